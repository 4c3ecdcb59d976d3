"""Where passphrases come from: a file, the environment, or the terminal. Never the command line."""

import os
from typing import Final

from modelseal import fileio, output
from modelseal.errors import PassphraseError

VARIABLE: Final = "MODELSEAL_PASSPHRASE"
_LIMIT: Final = 1 << 16
_HINT: Final = f"give it with '--passphrase-file FILE' or in {VARIABLE}"


def given(file: str | None) -> bytes | None:
    """A passphrase from `file`, else from the environment, else None.

    file: its first line, without the line's end; also a pipe, as `/dev/fd/N`.
    Raises OSError, PassphraseError where it is empty.
    """
    if file is not None:
        with fileio.naming("read", file), open(file, "rb") as stream:
            passphrase = stream.readline(_LIMIT).rstrip(b"\r\n")
        if not passphrase:
            raise PassphraseError(f"'{file}' has no passphrase in its first line")
        return passphrase
    return os.fsencode(os.environ.get(VARIABLE, "")) or None


def ask(what: str) -> bytes:
    """Ask for a passphrase at the terminal.

    Raises PassphraseError at once where there is none.
    """
    import getpass
    import warnings

    with warnings.catch_warnings():
        # Without a terminal getpass warns and reads standard input, echoing what is typed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return os.fsencode(getpass.getpass(output.printable(f"{what}: ")))
        except (getpass.GetPassWarning, EOFError, OSError):
            raise PassphraseError("no terminal to ask for a passphrase at", hint=_HINT) from None


def ask_twice() -> bytes:
    """Ask for a new passphrase, and once more to be sure. Raises PassphraseError."""
    first = ask("Passphrase for the private key")
    if not first:
        raise PassphraseError("the passphrase is empty", hint="leave out '--passphrase' for none")
    if ask("The same once more") != first:
        raise PassphraseError("the passphrases differ")
    return first
