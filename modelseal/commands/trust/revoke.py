"""Have a publisher or one of its keys count no more."""

from argparse import ArgumentParser, Namespace

from modelseal import output, registries
from modelseal.errors import EXIT_OK, OverwriteError

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.levels import Level
    from modelseal.structs import TrustedPublisher

DESCRIPTION = """\
Have no signature of a publisher count any more, or none by one of its keys: neither old ones nor
new ones, whatever any other registry says. It is remembered, with the reason."""

EXAMPLES = """\
modelseal trust revoke alice@example.com --reason 'laptop stolen'
modelseal trust revoke alice@example.com \\
    --key SHA256:jPlmd4SOzQGYLNDfzZgTvQKyNYf8cXmwXWVBZqYHs1o"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("id", metavar="ID", help="the publisher")
    parser.add_argument(
        "--key", metavar="KEY", help="this key alone: its fingerprint, SHA256:... (default: all)"
    )
    parser.add_argument(
        "--reason", metavar="TEXT", type=registries.text, help="why, for those who ask"
    )
    registries.add_target(parser)


def run(args: Namespace) -> int:
    """Revoke in one registry; it counts in all."""
    from modelseal import publishers

    level = registries.holding(args, args.id)
    at, reason = registries.now(), args.reason or ""

    def change(publisher: "TrustedPublisher") -> "TrustedPublisher":
        if args.key is None:
            changed = publishers.revoke(publisher, at=at, reason=reason)
        else:
            changed = publishers.revoke_key(publisher, args.key, at=at, reason=reason)
        if changed is publisher:
            raise OverwriteError("it is revoked already", hint="'modelseal trust show' says when")
        return changed

    if level.registry.get_publisher(args.id) is None:
        level.registry.add_publishers([change(_copied(args, level))])
    else:
        level.registry.change_publisher(args.id, change)
    output.line(f"Revoked: {args.id}{f', {args.key}' if args.key else ''}")
    output.rows(("  Registry", level.path))
    return EXIT_OK


def _copied(args: Namespace, level: "Level") -> "TrustedPublisher":
    """A publisher that only another registry has, so as to be revoked here."""
    from modelseal import publishers

    for other in registries.all_levels(args):
        publisher = other.registry.get_publisher(args.id)
        if publisher is not None:
            registries.make_home(level)
            # A revoked key alone: the others of the publisher must not come to be trusted here.
            return publishers.only_key(publisher, args.key) if args.key else publisher
    raise registries.unknown(args.id)
