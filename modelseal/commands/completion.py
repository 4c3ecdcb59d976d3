"""Print the completion script for a shell."""

from argparse import ArgumentParser, Namespace

from modelseal import output, shared
from modelseal.errors import EXIT_OK

DESCRIPTION = """\
Print the script that lets a shell complete commands, options, and what they take: models and
versions of the store, publishers, keys, paths. Where the shell finds the installed script by itself
there is no need for this; in a virtual environment there is."""

EXAMPLES = """\
source <(modelseal completion bash)
source <(modelseal completion zsh)
modelseal completion fish | source"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("shell", choices=shared.COMPLETIONS, help="the shell it is for")


def run(args: Namespace) -> int:
    """Print it as it is installed."""
    with open(shared.completion(args.shell), encoding="utf-8") as file:
        output.exact(file.read())
    return EXIT_OK
