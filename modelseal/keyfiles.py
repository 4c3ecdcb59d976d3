"""Key files: made with the right mode, never overwritten, judged when they are read."""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from modelseal import fileio, keys, pem
from modelseal.errors import FormatError, KeyLoadError, OverwriteError
from modelseal.structs import SignatureAlgorithm

PRIVATE_NAME: Final = "private.pem"
PUBLIC_NAME: Final = "public.pem"


class KeyManager:
    """Makes, saves and loads key pairs. Keys travel as the bytes of their files."""

    def generate_keypair(
        self, algorithm: SignatureAlgorithm, passphrase: bytes | None = None
    ) -> tuple[bytes, bytes]:
        """Make a pair: the private key as PKCS#8 PEM, the public one as PEM.

        passphrase: encrypts the private key; 1 to 1,023 bytes.
        Raises PassphraseError, a ValueError.
        """
        key = keys.generate(SignatureAlgorithm(algorithm))
        return keys.encode_private(key, passphrase), keys.encode_public(key.public_key())

    def save_keypair(self, private_key: bytes, public_key: bytes, path: fileio.Location) -> None:
        """Write `private.pem` (mode 0600) and `public.pem` into a directory, made if need be.

        Raises OverwriteError where either is there already, OSError; no file is left then.
        """
        check_output(path)
        with fileio.naming("make directory", path):
            os.makedirs(path, exist_ok=True)
        private_path, public_path = _pair(path)
        try:
            fileio.write_new(private_path, private_key, mode=0o600)
            fileio.write_new(public_path, public_key)
        except BaseException:
            # Ctrl-C may come after a file got its name: by its content it is known for ours.
            _unlink_ours(private_path, private_key)
            _unlink_ours(public_path, public_key)
            raise

    def load_private_key(
        self,
        path: fileio.Location,
        password: bytes | None = None,
        *,
        curves: Collection[str] = keys.CURVES,
    ) -> bytes:
        """Read a private key (PKCS#8, SEC1 or OpenSSH), and check at once that it can be used.

        curves: of ECDSA, those that may be used.
        Returns the file's bytes, encrypted if they were.
        Raises OSError; PassphraseError for a missing or wrong password; KeyLoadError for what is
        no Ed25519 or P-256 private key. The last two are ValueErrors.
        """
        data = fileio.read_bounded(path, pem.LIMIT)
        load_private(path, data, password, curves=curves)
        return data

    def load_public_key(self, path: fileio.Location) -> bytes:
        """Read a public key file. It is judged where it is used.

        Raises OSError; FormatError for more than 1 MiB, or no regular file.
        """
        return fileio.read_bounded(path, pem.LIMIT)


def check_output(path: fileio.Location) -> None:
    """Refuse a directory that holds a key of a pair already. Raises OverwriteError."""
    for file in _pair(path):
        if os.path.lexists(file):
            raise OverwriteError(
                f"'{file}' already exists",
                hint="keys are never overwritten: name another directory, or move it away",
            )


def _pair(path: fileio.Location) -> tuple[str, str]:
    return os.path.join(path, PRIVATE_NAME), os.path.join(path, PUBLIC_NAME)


def _unlink_ours(path: str, data: bytes) -> None:
    with suppress(OSError, FormatError):
        if fileio.read_bounded(path, len(data)) == data:
            os.unlink(path)


def check_public(
    data: bytes, path: fileio.Location, *, curves: Collection[str] = keys.CURVES
) -> None:
    """Refuse bytes read from `path` that are no public key to trust. Raises KeyLoadError."""
    with naming(path):
        keys.load_public(data, curves=curves)


def load_public_half(
    path: fileio.Location, unlock: Callable[[], bytes | None], *, proven: bool
) -> keys.PublicKey:
    """The public key of a key file, be that public or private.

    unlock: gives the passphrase; called where the file can't be read without.
    proven: derive it from the private key, though the file shows one that is said to be its.
    Raises as `KeyManager.load_private_key`.
    """
    data = fileio.read_bounded(path, pem.LIMIT)
    with naming(path):
        if not keys.is_private(data):
            return keys.load_public(data)
        shown = None if proven else keys.shown_public(data)
    if shown is not None:
        return shown
    passphrase = unlock() if keys.is_encrypted(data) else None
    return load_private(path, data, passphrase).public_key()


def load_private(
    path: fileio.Location,
    data: bytes,
    passphrase: bytes | None,
    *,
    curves: Collection[str] = keys.CURVES,
) -> keys.PrivateKey:
    """The key in bytes that were read from `path`. Raises as `KeyManager.load_private_key`."""
    with naming(path):
        return keys.load_private(data, passphrase, curves=curves)


def replace_private(path: fileio.Location, old: bytes, new: bytes) -> None:
    """Put a private key in another form in the place of the same key.

    old: what the file held when the key was read from it. The new file is its owner's alone from
    the first instant. A link to the file stays one.
    Raises OSError; KeyLoadError for a file that is somebody else's, or changed meanwhile. The file
    is as it was then.
    """
    real = os.path.realpath(path)
    info = os.stat(real)
    if hasattr(os, "geteuid") and info.st_uid != os.geteuid():
        raise KeyLoadError(
            f"'{os.fspath(path)}' belongs to another user", hint="its owner can change it"
        )
    with fileio.locked(real):
        if fileio.read_bounded(real, pem.LIMIT) != old:
            raise KeyLoadError(f"'{os.fspath(path)}' changed meanwhile, and was left as it is")
        fileio.write_atomic(real, new, mode=stat.S_IMODE(info.st_mode) & 0o600 or 0o600)
        fileio.sweep(real)


@contextmanager
def naming(path: fileio.Location) -> Iterator[None]:
    """Let an error about a key say which file it is in."""
    try:
        yield
    except KeyLoadError as err:
        raise type(err)(f"'{os.fspath(path)}': {err}", hint=err.hint) from None
