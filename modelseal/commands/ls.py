"""List the files of a sealed model."""

import sys
from argparse import ArgumentParser, Namespace

from modelseal import arguments, operands, output
from modelseal.errors import UsageError

DESCRIPTION = """\
List the files of a sealed model: SHA-256, size and path. REV is NAME (its latest seal),
NAME@VERSION, 4 or more digits of an id, or the path of a signed manifest."""

EXAMPLES = """\
modelseal ls my-classifier@1.0.0
modelseal ls my-classifier --format sha256sums | sha256sum -c --quiet
modelseal ls my-classifier --format paths -z | xargs -0 ls -l"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("revision", metavar="REV", help="the sealed model")
    parser.add_argument(
        "--format",
        choices=["long", "paths", "sha256sums"],
        default="long",
        help="long (default), paths alone, or lines for sha256sum -c",
    )
    arguments.add_store(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Print what the manifest names."""
    if args.format != "long" and args.json:
        raise UsageError("--json goes without --format")
    if args.format == "sha256sums" and (args.zero or args.porcelain):
        raise UsageError("--format sha256sums has a form of its own, without --porcelain and -z")
    entries = operands.sealed_entries(*operands.find_sealed(args, args.revision))
    if args.json:
        output.document({"files": [entry._asdict() for entry in entries]})
    elif args.format == "sha256sums":
        for entry in entries:
            _print_sum(entry.sha256, entry.path)
    elif args.format == "paths":
        for entry in entries:
            output.record(entry.path, zero=args.zero)
    elif args.porcelain or args.zero:
        for entry in entries:
            size = "" if entry.size is None else entry.size
            output.record(entry.sha256, size, entry.path, zero=args.zero)
    else:
        sizes = ["-" if entry.size is None else f"{entry.size:,}" for entry in entries]
        width = max(map(len, sizes), default=0)
        for entry, size in zip(entries, sizes, strict=True):
            output.line(f"{entry.sha256}  {size:>{width}}  {entry.path}")
    return 0


def _print_sum(digest: str, path: str) -> None:
    """As GNU sha256sum writes and reads it: names with a newline are marked and escaped."""
    if path == "-":
        path = "./-"  # or it would read standard input
    if "\n" in path or "\r" in path:
        digest = f"\\{digest}"
        path = path.replace("\n", "\\n").replace("\r", "\\r")
    if sys.stdout is not None and sys.stdout.isatty():
        output.line(f"{digest}  {path}")
    else:
        output.exact(f"{digest}  {path}\n")
