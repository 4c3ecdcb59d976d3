"""Take publishers from a file."""

from argparse import ArgumentParser, Namespace

from modelseal import output, registries
from modelseal.errors import EXIT_OK, FormatError, KeyRevokedError, OverwriteError

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.structs import TrustedPublisher

DESCRIPTION = """\
Take the publishers of another registry, or of OpenSSH's list of allowed signers, into a registry:
all of them, or none. A publisher who is there already is not replaced unless --force says so."""

EXAMPLES = """\
modelseal trust import trusted.json
modelseal trust import ~/.ssh/allowed_signers --level user"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("file", metavar="FILE", help="a registry, or a list of allowed signers")
    parser.add_argument("--force", action="store_true", help="go on where it would be refused")
    registries.add_target(parser)


def run(args: Namespace) -> int:
    """Read, judge and add them."""
    from modelseal import levels, publishers

    found, left_out = _read(args.file)
    level = registries.open_target(args)
    trust = levels.Trust([level, *registries.all_levels(args)])
    for publisher in found:
        if publisher.revoked_at is not None:
            continue
        gone = trust.publisher_revoked(publisher.publisher_id)
        for key in publishers.all_keys(publisher):
            gone = gone or ("" if key.revoked_at else trust.key_revoked(key.fingerprint))
        if gone:
            raise KeyRevokedError(gone)
    known = {one.publisher_id: one for one in level.registry.list_publishers()}
    new = [one for one in found if known.get(one.publisher_id) != one]
    there = [one.publisher_id for one in new if one.publisher_id in known]
    if there and not args.force:
        raise OverwriteError(
            f"publisher '{there[0]}' is in '{level.path}' already, and differs",
            hint="'--force' replaces it",
        )
    if new:
        registries.make_home(level)
        level.registry.add_publishers(new, replacing=there if args.force else ())
    for why in left_out:
        output.warning(f"left out: {why}")
    for publisher in found:
        name = publisher.publisher_id
        what = "Replaced" if name in there else "Imported" if publisher in new else "Unchanged"
        output.line(f"{what}: {name}")
    output.rows(("  Registry", level.path))
    return EXIT_OK


def _read(path: str) -> "tuple[list[TrustedPublisher], list[str]]":
    from modelseal import allowed_signers, fileio, trust
    from modelseal.structs import DOCUMENT_LIMIT

    left_out: list[str] = []
    data = fileio.read_bounded(path, DOCUMENT_LIMIT)
    if data.lstrip()[:1] in (b"[", b"{"):
        found = trust.decode(data, path)
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise FormatError(f"'{path}' is not valid UTF-8") from None
        found, left_out = allowed_signers.decode(text, path, now=registries.now())
    if not found:
        raise FormatError(f"'{path}' names no publisher")
    return found, left_out
