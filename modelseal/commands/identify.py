"""Find the sealed models that a file belongs to."""

import hashlib
import os
import stat
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from errno import EBADF

from modelseal import arguments, output
from modelseal.errors import EXIT_ERROR, EXIT_NOT_VERIFIED, EXIT_OK, ModelSealError

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.store import Seen

DESCRIPTION = """\
Find the sealed models that have exactly this content, and under which paths. The files are read in
full. Exit code 0: all are known; 2: one is not."""

EXAMPLES = """\
modelseal identify ~/Downloads/model.safetensors
modelseal identify *.bin --porcelain | cut -f 1,4,5
curl -s https://example.com/model.bin | modelseal identify -"""

_PIECE = 1 << 20


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="what to find; - is standard input"
    )
    arguments.add_store(parser)
    arguments.add_jobs(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Hash, ask, and print what is known."""
    store = arguments.find_store(args)
    digests, errors = _hash(dict.fromkeys(args.files), args.jobs)
    known = store.identify(set(digests.values()))
    found = {name: known[digests[name]] for name in dict.fromkeys(args.files) if name in digests}
    if args.json:
        output.document(
            {
                "files": [
                    {
                        "file": name,
                        "sha256": digests[name].hex(),
                        "known": [place._asdict() for place in places],
                    }
                    for name, places in found.items()
                ],
                "errors": [{"file": n, "message": message} for n, message in errors.items()],
            }
        )
    else:
        for message in errors.values():
            output.failure(message)
        for name, places in found.items():
            if args.porcelain or args.zero:
                _print_records(name, digests[name].hex(), places, zero=args.zero)
            else:
                _print(name, places)
    if not all(found.values()):
        return EXIT_NOT_VERIFIED
    return EXIT_ERROR if errors else EXIT_OK


def _hash(names: Iterable[str], jobs: int) -> tuple[dict[str, bytes], dict[str, str]]:
    """Name → digest, and name → why there is none."""
    from modelseal import hashing

    digests: dict[str, bytes] = {}
    errors: dict[str, str] = {}
    directories: dict[str, list[str]] = {}
    for name in names:
        try:
            if name == "-":
                digests[name] = _hash_standard_input()
                continue
            name.encode()
            if not stat.S_ISREG(os.stat(name).st_mode):
                errors[name] = f"'{name}' is not a regular file"
                continue
            directories.setdefault(os.path.dirname(name), []).append(name)
        except UnicodeEncodeError:
            errors[name] = f"the name '{name}' is not valid UTF-8"
        except OSError as err:
            errors[name] = f"cannot read '{name}': {(err.strerror or str(err)).lower()}"
    for directory, files in directories.items():
        parts = [os.path.basename(name) for name in files]
        with output.progress("hashing") as progress:
            outcomes = hashing.hash_files(
                directory or ".", parts, links=parts, jobs=jobs, fork=True, progress=progress
            )
        for name, outcome in zip(files, outcomes, strict=True):
            if isinstance(outcome, ModelSealError):
                errors[name] = str(outcome)
            else:
                digests[name] = outcome.sha256
    return digests, errors


def _hash_standard_input() -> bytes:
    if sys.stdin is None:
        raise OSError(EBADF, "standard input is closed")
    digest = hashlib.sha256()
    while piece := sys.stdin.buffer.read(_PIECE):
        digest.update(piece)
    return digest.digest()


def _print_records(name: str, digest: str, places: "list[Seen]", *, zero: bool) -> None:
    for seen in places:
        output.record(name, digest, seen.id, seen.name, seen.version, seen.path, zero=zero)
    if not places:
        output.record(name, digest, "", "", "", "", zero=zero)


def _print(name: str, places: "list[Seen]") -> None:
    for seen in places:
        model = f"{seen.name} v{seen.version} ({seen.id[: output.ID_DIGITS]})"
        output.line(f"{name}: {seen.path} of {model}")
    if not places:
        output.line(f"{name}: unknown")
