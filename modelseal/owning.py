"""Which stores are this user's own: those that were named, and those that were made here.

A store can come with what it lies in, a model or a repository, and nothing in it can prove that it
did not. So whoever makes a store keeps its place and a secret of it among the user's own files.
"""

import os
import re
import sys
from argparse import Namespace
from contextlib import suppress
from typing import Final

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.store import Store

OWNER_FILE: Final = "owner"
"""In a store: the secret that its maker's files have too."""

_SECRET_BYTES: Final = 16
_is_secret = re.compile(rb"[0-9a-f]{32}\n").fullmatch
_RECORD_LIMIT: Final = 1 << 16


def owns(args: Namespace, store: "Store | None" = None) -> bool:
    """Whether a store is taken at its word: the user named it, just now or for good, or made it.

    A relative MODELSEAL_DIR leads to whatever lies where one happens to be.
    """
    if args.store is not None or os.path.isabs(os.environ.get("MODELSEAL_DIR", "")):
        return True
    return store is not None and _is_claimed(store)


def claim(store: "Store") -> None:
    """Note that a store was just made by this user. Without a home there is nobody to note it."""
    from modelseal import fileio

    directory = _records()
    if directory is None:
        return
    secret = os.urandom(_SECRET_BYTES).hex()
    with suppress(OSError):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        record = os.path.join(directory, secret)
        fileio.write_atomic(record, os.fsencode(store.path) + b"\n", mode=0o600)
        try:
            owner = os.path.join(store.path, OWNER_FILE)
            fileio.write_atomic(owner, secret.encode() + b"\n", mode=0o600)
        except BaseException:
            os.unlink(record)
            raise


def _is_claimed(store: "Store") -> bool:
    from modelseal import fileio
    from modelseal.errors import ModelSealError

    directory = _records()
    if directory is None:
        return False
    try:
        secret = fileio.read_bounded(os.path.join(store.path, OWNER_FILE), _SECRET_BYTES * 2 + 1)
        if not _is_secret(secret):
            return False
        path = fileio.read_bounded(os.path.join(directory, secret[:-1].decode()), _RECORD_LIMIT)
    except (ModelSealError, OSError):
        return False
    # Somewhere else it is a copy, or came back from somebody.
    return path == os.fsencode(store.path) + b"\n"


def _records() -> str | None:
    """Where the secrets are kept; None without a home directory."""
    if sys.platform.startswith("linux"):
        # As platformdirs would have it, which takes longer to load than all of this.
        base = os.environ.get("XDG_STATE_HOME", "").strip()
        if not os.path.isabs(base):
            home = os.environ.get("HOME", "")
            if not os.path.isdir(home):  # which is not ours to make
                return None
            base = os.path.join(home, ".local", "state")
        directory = os.path.join(base, "modelseal")
    else:
        import platformdirs

        directory = platformdirs.user_state_dir("modelseal", appauthor=False)
    return os.path.join(directory, "stores") if os.path.isabs(directory) else None
