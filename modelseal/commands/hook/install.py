"""Have git run the hook."""

import sys
from argparse import ArgumentParser, Namespace

from modelseal import hooks, output
from modelseal.errors import ModelSealError, OverwriteError
from modelseal.git import Repository

DESCRIPTION = """\
Have git run modelseal before a push, wherever core.hooksPath says that hooks are. A hook that
somebody else made is left as it is, and the text of one that runs both is printed."""

EXAMPLES = """\
modelseal hook install
modelseal hook install --force"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace somebody else's hook, and keep it beside ours for 'hook uninstall'",
    )


def run(args: Namespace) -> int:
    """Write the hook, or show what to write."""
    if not sys.executable:
        raise ModelSealError("Python doesn't know where it is, so no hook could start it")
    now = hooks.state(Repository.find())
    if now.kind == hooks.CHAINED and not args.force:
        output.line(f"Hook: '{now.path}' runs modelseal already")
        if now.problem:
            raise ModelSealError(f"'{now.path}': {now.problem}")
        return 0
    if now.kind == hooks.FOREIGN and not args.force:
        return _refuse(now)
    backup = hooks.install(now, sys.executable, force=args.force)
    output.line(f"Hook: '{now.path}'")
    if backup:
        output.line(f"  Replaced : kept as '{backup}', which is not run any more")
        if now.lfs:
            output.warning("git-lfs uploads nothing now; to run both, see 'modelseal hook --help'")
    return 0


def _refuse(now: hooks.State) -> int:
    """The text goes to standard output: it is what to write, and may be written from there."""
    output.lines(hooks.chain(now, sys.executable).rstrip("\n"))
    first = "" if now.lfs else f"move it to '{now.path}{hooks.BACKUP_SUFFIX}', and "
    raise OverwriteError(
        f"'{now.path}' is a hook that modelseal did not make",
        hint=f"{first}make the text above the hook; it runs both",
    )
