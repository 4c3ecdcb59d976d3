"""List the models and versions of a store."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, output

DESCRIPTION = """\
List the models and versions of a store, and the id of the manifest that each one is."""

EXAMPLES = """\
modelseal refs
modelseal refs my-classifier
modelseal refs --porcelain | cut -f 1 | uniq"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="only this model")
    arguments.add_store(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Print them, sorted."""
    refs = arguments.find_store(args).refs(args.name)
    if args.name and not refs:
        from modelseal.errors import UnknownRevisionError

        raise UnknownRevisionError(
            f"nothing is sealed as '{args.name}'", hint="'modelseal refs' lists the models"
        )
    if args.json:
        output.document({"refs": [ref._asdict() for ref in refs]})
    elif args.porcelain or args.zero:
        for ref in refs:
            output.record(*ref, zero=args.zero)
    else:
        width = max((len(output.printable(f"{r.name} v{r.version}")) for r in refs), default=0)
        for ref in refs:
            name = output.printable(f"{ref.name} v{ref.version}")
            output.line(f"{name:<{width}}  {ref.id[: output.ID_DIGITS]}")
    return 0
