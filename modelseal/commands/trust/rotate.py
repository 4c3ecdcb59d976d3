"""Give a publisher another key."""

from argparse import ArgumentParser, Namespace

from modelseal import output, registries
from modelseal.errors import EXIT_OK, KeyRevokedError

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.structs import TrustedPublisher

DESCRIPTION = """\
Give a publisher another key. What was signed with the old one stays good where a store of yours saw
it before now; the old key may sign nothing newer. Where a key was stolen, revoke it as well."""

EXAMPLES = """\
modelseal trust rotate alice@example.com --key alice-2027.pem
modelseal trust rotate alice@example.com --key alice-2027.pem \\
    --expires 2028-01-31 --level store"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("id", metavar="ID", help="the publisher")
    parser.add_argument("--key", metavar="KEY", required=True, help="public key: PEM or OpenSSH")
    parser.add_argument(
        "--expires",
        metavar="DATE",
        type=registries.moment,
        help="the key signs nothing from then on, as 2027-01-31 or 2027-01-31T12:00:00Z",
    )
    registries.add_format(parser)
    registries.add_target(parser)


def run(args: Namespace) -> int:
    """Replace the current key, and remember it."""
    from modelseal import levels, publishers

    key = registries.public_key(args.key, bundles=args.format == "oms")
    level = registries.holding(args, args.id)
    if level.registry.get_publisher(args.id) is None:
        raise registries.unknown(args.id)
    at = registries.now()
    new = publishers.described(key, since=at, expires=args.expires)
    gone = levels.Trust([level, *registries.all_levels(args)]).key_revoked(new.fingerprint)
    if gone:
        raise KeyRevokedError(gone)

    def change(publisher: "TrustedPublisher") -> "TrustedPublisher":
        return publishers.rotate(publisher, new, at=at)

    made = level.registry.change_publisher(args.id, change)
    former = [said for said in publishers.all_keys(made) if said.rotated_at == at]
    output.line(f"Rotated: {args.id}")
    output.rows(
        ("  Key", new.fingerprint),
        *[("  Replaced", said.fingerprint) for said in former],
        ("  Registry", level.path),
    )
    return EXIT_OK
