"""The writers' lock, and in it what its holder is about to do.

The file is locked with flock, so that a dead holder's lock is free. It holds one line, process and
time, and while a seal is being added a second one, the log's line of it: whoever takes the lock
after a holder that died in the middle can finish the work.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EAGAIN, EWOULDBLOCK

from modelseal import fileio
from modelseal.errors import StoreLockedError

_FIRST_WAIT = 0.002
_LONGEST_WAIT = 0.05
_LIMIT = 1 << 16


class Journal:
    """The lock while it is held.

    pending: the line that a dead holder had announced; empty if it died idle, or not at all.
    """

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        _, _, self.pending = os.pread(fd, _LIMIT, 0).partition(b"\n")
        self._keep = bool(self.pending)

    def intend(self, line: bytes) -> None:
        """Announce a seal; from now on it is finished, even by somebody else."""
        with fileio.naming("write", self._path):
            self._write(_holder() + line)
            os.fsync(self._fd)
        self._keep = True

    def done(self) -> None:
        """What was announced is finished, or taken back."""
        self._keep = False
        with suppress(OSError):
            self._write(_holder())

    def release(self) -> None:
        """Leave nothing behind but what somebody else has to finish."""
        if not self._keep:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)

    def _write(self, data: bytes) -> None:
        written = os.pwrite(self._fd, data, 0)
        if written < len(data):
            os.pwrite(self._fd, data[written:], written)  # says why
        os.ftruncate(self._fd, len(data))


@contextmanager
def held(path: str, timeout: float) -> Iterator[Journal]:
    """Be the only writer of a store.

    path: of the lock file, made where it is missing. timeout: seconds.
    Raises StoreLockedError, which says who holds it; OSError.
    """
    fd = _take(path, timeout)
    try:
        journal = Journal(fd, path)
        if not journal.pending:
            journal.done()
        try:
            yield journal
        finally:
            journal.release()
    finally:
        os.close(fd)


def pending(path: str) -> bytes:
    """What the holder, dead or alive, had announced; for readers."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.pread(fd, _LIMIT, 0).partition(b"\n")[2]
        finally:
            os.close(fd)
    return b""


def _take(path: str, timeout: float) -> int:
    deadline = time.monotonic() + timeout
    wait = _FIRST_WAIT
    while True:
        with fileio.naming("lock", path):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            fd = os.open(path, flags, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody may have removed the file meanwhile: then this lock keeps nobody out.
                if _same(fd, path):
                    return fd
                os.close(fd)
                continue
            except OSError as err:
                holder = os.pread(fd, _LIMIT, 0) if _is_held(err) else b""
                os.close(fd)
                if not _is_held(err):
                    raise
        left = deadline - time.monotonic()
        if left <= 0:
            raise _locked(path, holder)
        time.sleep(min(wait, left))
        wait = min(2 * wait, _LONGEST_WAIT)


def _is_held(err: OSError) -> bool:
    return err.errno in (EAGAIN, EWOULDBLOCK)


def _same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _holder() -> bytes:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return f"{os.getpid()} {now}\n".encode()


def _locked(path: str, holder: bytes) -> StoreLockedError:
    words = holder.partition(b"\n")[0].decode("ascii", "replace").split(" ")
    by = f" by process {words[0]} since {words[1]}" if len(words) == 2 else ""
    return StoreLockedError(
        f"store '{os.path.dirname(path)}' is locked{by}",
        hint="wait for it, longer with '--lock-timeout SECONDS'",
    )
