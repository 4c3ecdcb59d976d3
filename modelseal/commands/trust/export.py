"""Write publishers to standard output."""

from argparse import ArgumentParser, Namespace

from modelseal import output, registries
from modelseal.errors import EXIT_OK

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.structs import TrustedPublisher

DESCRIPTION = """\
Write the publishers of all registries, or of one, to standard output: as a registry, or as the list
of allowed signers that OpenSSH reads. Of an id that is in several, the nearest is written."""

EXAMPLES = """\
modelseal trust export
modelseal trust export --registry trust.json --format allowed_signers"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "--format",
        choices=["json", "allowed_signers"],
        default="json",
        help="default: json, a registry",
    )
    registries.add_source(parser)


def run(args: Namespace) -> int:
    """Print them, and say what the form can't hold."""
    from modelseal import allowed_signers, trust

    nearest: dict[str, TrustedPublisher] = {}
    for level in registries.listed(args):
        for publisher in level.registry.list_publishers():
            if level.grants:
                nearest.setdefault(publisher.publisher_id, publisher)
    if args.format == "json":
        output.exact(trust.encode(nearest.values()).decode())
        return EXIT_OK
    text, lost = allowed_signers.encode(nearest.values(), now=registries.now())
    for said in lost:
        output.warning(said)
    output.exact(text)
    return EXIT_OK
