"""Make a store."""

import os
from argparse import ArgumentParser, Namespace

from modelseal import arguments, output, owning

DESCRIPTION = """\
Make a store, DIR/.modelseal, which remembers what was signed below DIR. One that is there already
is left as it is. 'modelseal sign' makes one by itself, inside the model."""

EXAMPLES = """\
modelseal init
modelseal init ~/models"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", default=".", help="where to make it (default: .)"
    )
    arguments.add_lock_timeout(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Make it, or say that it is there."""
    from modelseal.store import Store, layout

    shown = os.path.join(args.directory, layout.NAME)
    made = not os.path.lexists(shown)
    store = Store.init(args.directory, lock_timeout=args.lock_timeout)
    if made:
        owning.claim(store)
    if args.json:
        output.document({"store": store.path, "made": made})
    else:
        output.line(f"Store made: {shown}" if made else f"Store is there already: {shown}")
    return 0
