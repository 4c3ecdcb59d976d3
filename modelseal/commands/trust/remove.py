"""Forget a publisher."""

from argparse import ArgumentParser, Namespace

from modelseal import output, registries
from modelseal.errors import EXIT_OK, OverwriteError

DESCRIPTION = """\
Forget a publisher, its keys and all that was said of them. What was signed by them is no longer
trusted; 'modelseal trust revoke' remembers why. Something revoked is forgotten with --force alone:
without its revocation, another registry might trust it again."""

EXAMPLES = """\
modelseal trust remove alice@example.com
modelseal trust remove alice@example.com --level store"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("id", metavar="ID", help="the publisher")
    parser.add_argument("--force", action="store_true", help="go on where it would be refused")
    registries.add_target(parser)


def run(args: Namespace) -> int:
    """Remove it from one registry."""
    level = registries.holding(args, args.id)
    publisher = level.registry.get_publisher(args.id)
    if publisher is None:
        raise registries.unknown(args.id)
    revoked = publisher.revoked_at or any(key.revoked_at for key in publisher.keys)
    if revoked and not args.force:
        raise OverwriteError(
            f"what was revoked of '{args.id}' would be forgotten", hint="'--force' forgets it"
        )
    try:
        level.registry.remove_publisher(args.id)
    except KeyError:
        raise registries.unknown(args.id) from None
    output.line(f"Removed: {args.id}")
    output.rows(("  Registry", level.path))
    for other in registries.all_levels(args) if level.kind != "registry" else ():
        if other.registry.get_publisher(args.id) and other.grants and other.path != level.path:
            output.warning(f"'{args.id}' is in '{other.path}' too, and still counts there")
    return EXIT_OK
