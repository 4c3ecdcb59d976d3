"""Options that several commands share."""

from argparse import ArgumentParser, ArgumentTypeError


def add_passphrase_file(parser: ArgumentParser) -> None:
    """The private key's passphrase, as a file."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help="read the passphrase from the first line of FILE, also /dev/fd/N "
        "(else: MODELSEAL_PASSPHRASE)",
    )


def add_walk(parser: ArgumentParser) -> None:
    """What is looked at below the model directory, and by how many."""
    parser.add_argument(
        "--ignore-path",
        metavar="REL",
        action="append",
        default=[],
        help="leave out this path below the model, with its subtree (repeatable)",
    )
    parser.add_argument(
        "--follow-symlinks",
        action="store_true",
        help="take a link to a regular file as that file, instead of refusing it",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_count,
        default=0,
        help="hash with N workers (default: one a CPU)",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 0 < int(text) <= 1024):
        raise ArgumentTypeError(f"'{text}' is not a number from 1 to 1024")
    return int(text)
