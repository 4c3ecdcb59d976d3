"""Options that several commands share, and what they stand for."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from modelseal import owning

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelseal.git import Repository
    from modelseal.hooks import Policy
    from modelseal.levels import Level, Memory, Trust
    from modelseal.oms.statement import Statement
    from modelseal.store import Entry, Store
    from modelseal.structs import SignedManifest


def add_signer(parser: ArgumentParser) -> None:
    """Who signs, and with what; `defaults.name_signer` completes it."""
    parser.add_argument(
        "--key", metavar="PATH", help="private key: PEM or OpenSSH (else: MODELSEAL_KEY)"
    )
    parser.add_argument(
        "--signer-id",
        metavar="ID",
        help="who signs, as receivers know you (else: MODELSEAL_SIGNER_ID)",
    )


def add_passphrase_file(parser: ArgumentParser) -> None:
    """The private key's passphrase, as a file."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help="read the passphrase from the first line of FILE, also /dev/fd/N "
        "(else: MODELSEAL_PASSPHRASE)",
    )


def add_walk(parser: ArgumentParser) -> None:
    """What is looked at below the model directory, and by how many."""
    parser.add_argument(
        "--ignore-path",
        metavar="REL",
        action="append",
        default=[],
        help="leave out this path below the model, with its subtree (repeatable)",
    )
    parser.add_argument(
        "--follow-symlinks",
        action="store_true",
        help="take a link to a regular file as that file, instead of refusing it",
    )
    add_jobs(parser)


def add_jobs(parser: ArgumentParser) -> None:
    """By how many."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_count,
        default=0,
        help="hash with N workers (default: one a CPU)",
    )


def add_store(parser: ArgumentParser) -> None:
    """Which store."""
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="use this store (default: MODELSEAL_DIR, else the nearest .modelseal upward)",
    )


def add_lock_timeout(parser: ArgumentParser) -> None:
    """How long to wait for another writer."""
    parser.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        type=_seconds,
        default="10",
        help="wait so long for another writer of the store (default: 10)",
    )


def add_forms(parser: ArgumentParser) -> None:
    """The result in a form for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--porcelain",
        action="store_true",
        help="print lines for scripts: fields with tabs between them, the same in every version",
    )
    parser.add_argument(
        "-z",
        dest="zero",
        action="store_true",
        help="the same fields as they are, with a NUL after each",
    )


def find_store(args: Namespace, start: str = ".", *, repairing: bool = False) -> "Store":
    """The store that the command line names, or the environment, or the nearest above `start`."""
    from modelseal.errors import StoreMissingError
    from modelseal.store import LOCK_TIMEOUT, Store

    timeout: float = getattr(args, "lock_timeout", LOCK_TIMEOUT)
    if args.store is not None or os.environ.get("MODELSEAL_DIR"):
        given = os.environ["MODELSEAL_DIR"] if args.store is None else args.store
        return Store.open(given, lock_timeout=timeout, repairing=repairing)
    store = Store.find(start, lock_timeout=timeout, repairing=repairing)
    if store is None:
        where = "here" if start == "." else f"in '{start}'"
        raise StoreMissingError(
            f"there is no store {where}, nor in a directory above",
            hint="name one with '--store DIR', or make one with 'modelseal init'",
        )
    return store


def find_trust(args: Namespace, store: "Store | None" = None, start: str = ".") -> "Trust":
    """Whom the user trusts: by `--registry`, by a store of theirs, by the user's registry.

    store: the one in use; None looks for one from `start` on. One that the user neither named nor
    made, wherever it was found, may have come with the model: it can take trust away and not give
    any.
    Raises FormatError for a damaged registry, OSError.
    """
    from modelseal import fileio, levels
    from modelseal.errors import FormatError, StoreError

    if store is None:
        try:
            store = find_store(args, start)
        except StoreError:
            if owning.owns(args):
                raise
    own = owning.owns(args, store)
    named: str | None = getattr(args, "registry", None)
    found = []
    if named is not None:
        found.append(levels.load("registry", named))
        with fileio.naming("read", named):
            os.stat(named)  # a new registry is no answer to a mistyped name
        if found[0] is None or not found[0].registry.list_publishers():
            raise FormatError(f"registry '{named}' names no publisher")
    memory = None
    if store is not None:
        path = os.path.join(store.path, levels.FILE_NAME)
        found.append(levels.load("store", path, grants=own and named is None, own=own))
        memory = _memory(store) if own else None
    found.append(user_level(grants=named is None))
    return levels.Trust(found, memory)


def user_registry() -> str | None:
    """Where the user's own list of publishers is; None without a home directory."""
    from modelseal import defaults, levels

    directory = defaults.user_directory()
    return None if directory is None else os.path.join(directory, levels.FILE_NAME)


def user_level(*, grants: bool = True) -> "Level | None":
    """The user's own list of publishers, where there is one."""
    from modelseal import defaults, levels

    path = user_registry() if defaults.user_files_may_exist() else None
    return None if path is None else levels.load("user", path, grants=grants)


def _memory(store: "Store") -> "Memory":
    from contextlib import suppress

    from modelseal.errors import ModelSealError

    def first_seen(signed: "SignedManifest") -> "datetime | None":
        # What a damaged store can't say is not known: it is judged as of now.
        with suppress(ModelSealError, OSError, ValueError):
            return store.first_seen(signed)
        return None

    return first_seen


def own_files(args: Namespace, start: str) -> list[str]:
    """The files that say who is trusted and what may pass: a registry, those of the user's store.

    A store that is nobody's own can make things stricter alone.
    """
    from modelseal.errors import StoreError

    found = [] if args.registry is None else [args.registry]
    try:
        store = find_store(args, start)
    except StoreError:
        return found
    if owning.owns(args, store):
        found += [os.path.join(store.path, name) for name in ("trust.json", "config.toml")]
    return found


def find_policy(args: Namespace, repository: "Repository", told: "Mapping[str, str]") -> "Policy":
    """What a push has to fulfil: as told, else by git's configuration, else by our files.

    Raises StoreError, FormatError, GitError, OSError.
    """
    from modelseal import defaults, hooks
    from modelseal.errors import StoreMissingError

    try:
        store = find_store(args, repository.directory)
    except StoreMissingError:
        if owning.owns(args):
            raise
        store = None
    found = defaults.find(args, store, None)
    files = {name: str(found[f"hook.{name}"].value) for name in ("require", "check")}
    wanted = found["require"].value
    return hooks.policy(
        files,
        hooks.settings(repository),
        told,
        # 1, the default, asks for no more than the registries do.
        publishers=wanted if isinstance(wanted, int) and wanted > 1 else 0,
    )


def find_sealed(args: Namespace, revision: str, start: str = ".") -> "tuple[Store | None, str]":
    """What a revision stands for: a store and an id, or None and a path.

    What begins with `/`, `./` or `../` is a path; anything else where no seal is called so.
    """
    from modelseal.errors import StoreMissingError, UnknownRevisionError

    if revision in (".", "..") or revision.startswith(("/", "./", "../")):
        return None, revision
    try:
        store = find_store(args, start)
        return store, store.resolve(revision)
    except (StoreMissingError, UnknownRevisionError):
        if os.path.lexists(revision):
            return None, revision
        raise


def sealed_entries(store: "Store | None", named: str) -> "list[Entry]":
    """The files of what `find_sealed` found, be it a manifest or a bundle."""
    if store is not None:
        return store.entries(named)
    from modelseal import manifestfiles
    from modelseal.oms import bundle
    from modelseal.store import Entry

    data = load_document(named)
    if bundle.is_bundle(data):
        return _stated_entries(load_statement(data, named), named)
    files = manifestfiles.decode(data, named).manifest.files
    return [Entry(entry.path, entry.size_bytes, entry.sha256_hash) for entry in files]


def _stated_entries(stated: "Statement", named: str) -> "list[Entry]":
    from modelseal.errors import FormatError
    from modelseal.store import Entry

    if stated.algorithm != "sha256" or stated.shard_size:
        what = f"{stated.algorithm}{' of shards' if stated.shard_size else ''}"
        raise FormatError(
            f"'{named}' names files by {what}, not by SHA-256",
            hint="'modelseal inspect' lists them, 'modelseal verify' compares them",
        )
    return [Entry(file.path, file.size_bytes, file.digests[0]) for file in stated.files]


def load_statement(data: bytes, path: str) -> "Statement":
    """What a bundle that was read from a path claims. Raises FormatError."""
    from modelseal.errors import FormatError
    from modelseal.oms import bundle, statement

    try:
        return statement.decode(bundle.decode(data).payload)
    except FormatError as err:
        name = "standard input" if path == "-" else path
        raise FormatError(f"malformed bundle '{name}': {err}") from None


def load_manifest(path: str) -> "SignedManifest":
    """Read a signed manifest; `-` is standard input. Raises OSError, FormatError."""
    return decode_manifest(load_document(path), path)


def decode_manifest(data: bytes, path: str) -> "SignedManifest":
    """Decode what was read from a path, or standard input. Raises FormatError."""
    from modelseal import manifestfiles

    return manifestfiles.decode(data, "standard input" if path == "-" else path)


def load_document(path: str) -> bytes:
    """Read a signed manifest or a bundle, as bytes; `-` is standard input."""
    from modelseal import fileio
    from modelseal.structs import DOCUMENT_LIMIT

    return _standard_input() if path == "-" else fileio.read_bounded(path, DOCUMENT_LIMIT)


def load_certificates(path: str) -> bytes:
    """Read a file that should hold certificates in PEM. Raises OSError, KeyLoadError."""
    from modelseal import fileio, keyfiles
    from modelseal.oms import certificates

    data = fileio.read_bounded(path, certificates.LIMIT)
    with keyfiles.naming(path):
        certificates.load_pem(data)
    return data


def _standard_input() -> bytes:
    from modelseal.errors import FormatError
    from modelseal.structs import DOCUMENT_LIMIT

    if sys.stdin is None:
        raise FormatError("standard input is closed")
    data = sys.stdin.buffer.read(DOCUMENT_LIMIT + 1)
    if len(data) > DOCUMENT_LIMIT:
        raise FormatError(f"standard input is larger than {DOCUMENT_LIMIT:,} bytes")
    return data


def number(text: str) -> int:
    """A count of 1 or more, as it is typed."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise ArgumentTypeError(f"'{text}' is not a number of 1 or more")
    return int(text)


def count_of_signatures(text: str) -> int:
    """How many publishers must have signed, as it is typed."""
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 0 < int(text) <= 64):
        raise ArgumentTypeError(f"'{text}' is not a number from 1 to 64")
    return int(text)


def size(text: str) -> int:
    """A size of 1 byte or more, as it is typed: `134217728` or `128MiB`."""
    digits = text.rstrip("KMGTiB")
    unit = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}.get(
        text[len(digits) :], 0
    )
    if not (digits.isascii() and digits.isdigit() and len(digits) < 18 and int(digits) * unit):
        raise ArgumentTypeError(f"'{text}' is not a size in bytes, KiB, MiB, GiB or TiB")
    return int(digits) * unit


def _seconds(text: str) -> float:
    if not (text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 10):
        raise ArgumentTypeError(f"'{text}' is not a number of seconds")
    return float(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 0 < int(text) <= 1024):
        raise ArgumentTypeError(f"'{text}' is not a number from 1 to 1024")
    return int(text)
