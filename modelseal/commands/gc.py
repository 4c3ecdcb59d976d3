"""Remove what a store has no use for."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, output

DESCRIPTION = """\
Remove what a store has no use for: what writers left behind that were killed, stale rows of its
cache, and manifests that neither a ref nor the log names. No seal is ever lost."""

EXAMPLES = """\
modelseal gc
modelseal gc --store my-model --json | jq .size"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    arguments.add_lock_timeout(parser)
    arguments.add_store(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Remove it, and say what it was."""
    removed = arguments.find_store(args).gc()
    if args.json:
        output.document(removed._asdict())
    elif args.porcelain or args.zero:
        for id_ in removed.manifests:
            output.record("manifest", id_, zero=args.zero)
        for path in removed.leftovers:
            output.record("leftover", path, zero=args.zero)
    else:
        for id_ in removed.manifests:
            output.line(f"  manifest {id_}")
        for path in removed.leftovers:
            output.line(f"  leftover {path}")
        output.line(
            f"Removed: {len(removed.manifests)} manifests, {len(removed.leftovers)} leftovers, "
            f"{removed.rows} cache rows; {removed.size:,} bytes."
        )
    return 0
