"""Files as a whole: read within bounds, replaced in one step, or made anew."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EEXIST

from modelseal.errors import FormatError, OverwriteError, StoreLockedError

Location = str | os.PathLike[str]

_BINARY = getattr(os, "O_BINARY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_PATIENCE = 1.0
_NAME_CUT = 40  # a name may have 255 bytes, and the temporary one is longer
_LOCK_PAUSE = 0.02
_HEX = frozenset("0123456789abcdef")


@contextmanager
def naming(action: str, path: Location) -> Iterator[None]:
    """Let an OSError say what was tried on which file.

    The note becomes the message's beginning on the command line: a failed write has no file name
    of its own.
    """
    try:
        yield
    except OSError as err:
        err.add_note(f"cannot {action} '{os.fspath(path)}'")
        raise


def read_bounded(path: Location, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises OSError; FormatError for anything larger, or not a regular file. Nothing is read of
    either, so a FIFO can't hang the reader.
    """
    with naming("read", path):
        fd = os.open(path, os.O_RDONLY | _BINARY | _NO_WAIT)
        try:
            info = os.fstat(fd)
            if stat.S_ISDIR(info.st_mode):
                raise FormatError(f"cannot read '{os.fspath(path)}': it is a directory")
            if not stat.S_ISREG(info.st_mode):
                raise FormatError(f"cannot read '{os.fspath(path)}': it is not a regular file")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(info.st_size + 1) if info.st_size <= limit else b""
                if len(data) > info.st_size:  # it grows, or its size is not known beforehand
                    data += file.read(limit + 1 - len(data))
        finally:
            os.close(fd)
    if info.st_size > limit or len(data) > limit:
        raise FormatError(f"'{os.fspath(path)}' is larger than {limit:,} bytes")
    return data


def write_atomic(path: Location, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path`: readers see the old bytes or the new, never a mix.

    Raises OSError, leaving `path` as it was and no temporary file.
    """
    with naming("write", path), _temporary(path, data, mode) as temporary:
        os.replace(temporary, path)
        # A rename survives power loss only once its directory has reached the disk.
        sync_directory(path)


def write_tidy(path: Location, data: bytes, *, beside: Location) -> None:
    """As `write_atomic`, and remove what killed writers of `path` and `beside` left there.

    All writers of these two have to come here, or hold `locked`: what is being written is left
    alone.
    """
    # Nobody waits for long: it may be the user's own lock, as with `flock my-model modelseal …`.
    with _directory_lock(path, exclusive=False, patience=_PATIENCE):
        write_atomic(path, data)
    with _directory_lock(path, exclusive=True, patience=0) as alone:
        if alone:
            sweep(path)
            sweep(beside)


def sweep(path: Location) -> None:
    """Remove what killed writers of `path` left beside it. Under `locked`."""
    directory = os.path.dirname(path)
    with suppress(OSError):
        for name in os.listdir(directory or "."):
            left = os.path.join(directory, name)
            if is_temporary(left, os.fspath(path)):
                os.unlink(left)


def write_new(path: Location, data: bytes, *, mode: int = 0o644) -> None:
    """Make `path` with `data`, whole or not at all, with `mode` from the first instant.

    Raises OverwriteError where something of that name exists, even a dangling link; OSError.
    """
    with naming("write", path), _temporary(path, data, mode) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise OverwriteError(f"'{os.fspath(path)}' already exists") from None
        except OSError:
            # No hard links on this file system: the name is taken, then filled.
            try:
                _write_exclusive(path, data, mode)
            except FileExistsError:
                raise OverwriteError(f"'{os.fspath(path)}' already exists") from None
        sync_directory(path)


def exposed(path: Location) -> bool:
    """Whether others than its owner may read a file."""
    return os.name == "posix" and bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)


def temporary_name(of: Location) -> str:
    """A name beside `of` for what is on the way to become it; `is_temporary` knows it."""
    directory, name = os.path.split(of)
    return os.path.join(directory, f".{name[:_NAME_CUT]}.{os.urandom(8).hex()}.tmp")


def is_temporary(path: str, of: str) -> bool:
    """Whether a file is what writing `of` makes for a moment, and leaves where it is killed."""
    if not path.endswith(".tmp"):  # asked of a million files
        return False
    directory, name = os.path.split(of)
    start = os.path.join(directory, f".{name[:_NAME_CUT]}.")
    middle = path.removeprefix(start).removesuffix(".tmp")
    return path == f"{start}{middle}.tmp" and len(middle) == 16 and _HEX.issuperset(middle)


@contextmanager
def _temporary(path: Location, data: bytes, mode: int) -> Iterator[str]:
    temporary = temporary_name(path)
    _write_exclusive(temporary, data, mode)
    try:
        yield temporary
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # what was asked for is done: at worst this name is left over
        os.unlink(temporary)


def _write_exclusive(path: Location, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
    try:
        with open(os.open(path, flags, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as err:
        if not (isinstance(err, OSError) and err.errno == EEXIST):
            with suppress(FileNotFoundError):
                os.unlink(path)
        raise


@contextmanager
def locked(path: Location, timeout: float = 10.0) -> Iterator[None]:
    """Be the only one of those who ask to change `path`.

    The lock is on its directory, so that nothing is left behind. Where that can't be opened, or
    its file system knows no locks, there is none.
    timeout: seconds to wait for another one. Raises StoreLockedError.
    """
    with _directory_lock(path, exclusive=True, patience=timeout) as held:
        if held is False:
            raise StoreLockedError(
                f"'{os.fspath(path)}' is being changed by another process",
                hint="wait for it, longer with '--lock-timeout SECONDS'",
            )
        yield


@contextmanager
def _directory_lock(path: Location, *, exclusive: bool, patience: float) -> Iterator[bool | None]:
    """Whether the lock on the directory of `path` was to be had; None where there are no locks.

    patience: seconds to wait for whoever has it. It may be the user's own, as with
    `flock my-model modelseal …`.
    """
    with ExitStack() as stack:
        held = None
        with suppress(ImportError, OSError):
            import fcntl

            fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
            stack.callback(os.close, fd)
            kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
            deadline = time.monotonic() + patience
            while not held:
                try:
                    fcntl.flock(fd, kind | fcntl.LOCK_NB)
                    held = True
                except BlockingIOError:
                    held = False
                    if time.monotonic() >= deadline:
                        break
                    time.sleep(_LOCK_PAUSE)
        yield held


def sync_directory(path: Location) -> None:
    """Have the directory that `path` lies in on disk: the names in it, and what they stand for."""
    # Some file systems refuse to sync a directory; what was asked for is done by then.
    with suppress(OSError):
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
