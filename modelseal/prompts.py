"""Where passphrases come from: a file, the environment, or the terminal. Never the command line."""

import os
from collections.abc import Collection
from typing import Final, NamedTuple

from modelseal import fileio, output, pem
from modelseal.errors import PassphraseError

VARIABLE: Final = "MODELSEAL_PASSPHRASE"
NEW_VARIABLE: Final = "MODELSEAL_NEW_PASSPHRASE"
_LIMIT: Final = 1 << 16


class _Way(NamedTuple):
    """How else than at the terminal a passphrase is given."""

    option: str
    variable: str

    @property
    def hint(self) -> str:
        return f"give it with '{self.option} FILE' or in {self.variable}"


_OLD: Final = _Way("--passphrase-file", VARIABLE)
_NEW: Final = _Way("--new-passphrase-file", NEW_VARIABLE)


def given(file: str | None, variable: str = VARIABLE) -> bytes | None:
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
    return os.fsencode(os.environ.get(variable, "")) or None


def for_key(path: str, file: str | None) -> bytes:
    """The passphrase of an encrypted key: as `given`, else asked for. Raises as these."""
    return given(file) or ask(f"Passphrase for '{path}'")


def ask(what: str, way: _Way = _OLD) -> bytes:
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
            message = "no terminal to ask for a passphrase at"
            raise PassphraseError(message, hint=way.hint) from None


def read_key(path: str, passphrase_file: str | None) -> tuple[bytes, bytes | None]:
    """A private key file's bytes, not judged, and the passphrase that opens it where it needs one.

    Loads nothing heavy for a key that surely needs none.
    """
    passphrase = given(passphrase_file)
    data = fileio.read_bounded(path, pem.LIMIT)
    if passphrase is None and not pem.is_plain(data):
        from modelseal import keys

        if keys.is_encrypted(data):
            passphrase = ask(f"Passphrase for '{path}'")
    return data, passphrase


def unlock(
    path: str, passphrase_file: str | None, **which: Collection[str]
) -> tuple[bytes, bytes | None]:
    """As `read_key`, of a key that can be used.

    which: `curves`, as for `KeyManager.load_private_key`.
    """
    from modelseal import keyfiles

    data, passphrase = read_key(path, passphrase_file)
    keyfiles.load_private(path, data, passphrase, **which)
    return data, passphrase


def warn_of_exposed(key: str) -> None:
    """Say so where others than its owner may read a private key file."""
    if fileio.exposed(key):
        output.warning(f"private key '{key}' can be read by others: chmod 600 '{key}'")


def ask_twice() -> bytes:
    """Ask for the passphrase of a key that is being made. Raises PassphraseError."""
    return _twice("Passphrase for the private key", _OLD, "leave out '--passphrase' for none")


def ask_new(path: str) -> bytes:
    """Ask for the passphrase that a key is to have from now on. Raises PassphraseError."""
    return _twice(f"New passphrase for '{path}'", _NEW, "'--remove-passphrase' goes without one")


def _twice(what: str, way: _Way, otherwise: str) -> bytes:
    first = ask(what, way)
    if not first:
        raise PassphraseError("the passphrase is empty", hint=otherwise)
    if ask("The same once more", way) != first:
        raise PassphraseError("the passphrases differ")
    return first
