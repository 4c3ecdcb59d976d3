"""Remove the hook."""

from argparse import ArgumentParser, Namespace

from modelseal import hooks, output
from modelseal.git import Repository

DESCRIPTION = """\
Remove the hook that 'modelseal hook install' made, and put back the one that it replaced, if any.
A hook that somebody else made, or changed, is left as it is."""

EXAMPLES = "modelseal hook uninstall"


def add_arguments(parser: ArgumentParser) -> None:
    """There are no options."""


def run(args: Namespace) -> int:
    """Remove it, and say so."""
    now = hooks.state(Repository.find())
    if now.kind == hooks.MISSING:
        output.line("Hook: none, so there is nothing to remove")
        return 0
    restored = hooks.uninstall(now)
    output.line(f"Hook: removed from '{now.path}'")
    if restored:
        output.line("  Restored : the hook that was there before")
    return 0
