"""Show the seals of a store, newest first."""

from argparse import ArgumentParser, Namespace
from itertools import islice

from modelseal import arguments, output

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelseal.store import Seal

DESCRIPTION = """\
Show what was sealed, newest first: all of it, or the seals of one model. The signer's name is what
the manifest claims."""

EXAMPLES = """\
modelseal log
modelseal log my-classifier --oneline -n 10
modelseal log --porcelain | cut -f 1"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="only this model")
    parser.add_argument("--oneline", action="store_true", help="print a line a seal")
    parser.add_argument(
        "-n",
        "--max-count",
        metavar="N",
        type=arguments.number,
        help="show at most N seals",
    )
    arguments.add_store(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Read as far as is asked for."""
    store = arguments.find_store(args)
    seals = islice(store.log(args.name), args.max_count)
    first = next(seals, None)
    if first is None and args.name:
        from modelseal.errors import UnknownRevisionError

        raise UnknownRevisionError(
            f"nothing is sealed as '{args.name}'", hint="'modelseal refs' lists the models"
        )
    found = _chain(first, seals)
    if args.json:
        output.document({"seals": [seal._asdict() for seal in found]})
    elif args.porcelain or args.zero:
        for seal in found:
            output.record(*seal, zero=args.zero)
    elif args.oneline:
        for seal in found:
            output.line(
                f"{seal.id[: output.ID_DIGITS]} {seal.sealed_at} "
                f"{seal.name} v{seal.version} ({seal.signer_id or 'signer unknown'})"
            )
    else:
        for number, seal in enumerate(found):
            _print(seal, first=not number)
    return 0


def _chain(first: "Seal | None", others: "Iterator[Seal]") -> "Iterator[Seal]":
    if first is not None:
        yield first
        yield from others


def _print(seal: "Seal", *, first: bool) -> None:
    if not first:
        output.line()
    output.rows(
        ("Id", seal.id),
        ("Model", f"{seal.name} v{seal.version}"),
        ("Signer", f"{seal.signer_id} (claimed)" if seal.signer_id else ""),
        ("Sealed", seal.sealed_at),
        ("Directory", seal.directory),
        ("Files", str(seal.files)),
        ("Total", f"{seal.size:,} bytes"),
    )
