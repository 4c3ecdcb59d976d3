"""Show whether the hook is set up."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, hooks, output
from modelseal.errors import EXIT_ERROR, EXIT_OK
from modelseal.git import Repository

DESCRIPTION = """\
Show whether git runs modelseal before a push of this repository, and what the hook asks for.
Exit code 0: it does; 1: it does not."""

EXAMPLES = """\
modelseal hook status
modelseal hook status --json | jq -r .kind"""

_SAID = {
    hooks.INSTALLED: "installed",
    hooks.CHAINED: "called by a hook that somebody else made",
    hooks.FOREIGN: "not installed; there is a hook that somebody else made",
    hooks.MISSING: "not installed",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    arguments.add_store(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Look, show, and let the exit code say whether a push is judged."""
    repository = Repository.find()
    now = hooks.state(repository)
    policy = arguments.find_policy(args, repository, {})
    if args.json:
        found = {"runs": now.runs, **now._asdict(), "policy": policy._asdict()}
        output.document(found)
        return EXIT_OK if now.runs else EXIT_ERROR
    output.line(f"Hook: {_SAID[now.kind]}")
    output.rows(
        ("  Path", now.path),
        ("  Problem", now.problem),
        ("  Require", policy.require),
        ("  Check", policy.check),
        ("  Registry", policy.registry),
    )
    if now.runs:
        return EXIT_OK
    output.hint("have git run it: modelseal hook install")
    return EXIT_ERROR
