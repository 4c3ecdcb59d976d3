"""The log: one line a seal, only ever appended to."""

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from modelseal import fileio
from modelseal.errors import StoreDamagedError
from modelseal.store import Seal, layout

LONGEST = 1 << 16
"""Bytes of a line."""

_BLOCK = 1 << 16
_FIELDS = 9
_CHECK_DIGITS = 16
_ID = re.compile(r"[0-9a-f]{64}").fullmatch
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}").fullmatch
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z").fullmatch


class Mark(NamedTuple):
    """A place in the log: its size in bytes, and the check digits of the line that ends there."""

    size: int
    check: str


def now() -> str:
    """The time as the log has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def signed_line(fields: list[str]) -> bytes:
    """Words → a line, ended by the check digits of what precedes them."""
    body = " ".join(fields)
    return f"{body} {_check(body)}\n".encode("ascii")


def words(line: bytes) -> list[str] | None:
    """The words of a line without its check digits; None where these don't fit."""
    try:
        body, blank, check = line.decode("ascii").rpartition(" ")
    except UnicodeDecodeError:
        return None
    return body.split(" ") if blank and check == _check(body) else None


def format_line(seal: Seal, root: str) -> bytes:
    """A seal as a line of the log of the store below `root`."""
    return signed_line(
        [
            seal.sealed_at,
            seal.id,
            layout.encode(seal.name),
            layout.encode(seal.version),
            layout.encode(seal.signer_id),
            str(seal.files),
            str(seal.size),
            layout.encode(relative(seal.directory, root), also=b"/"),
        ]
    )


def parse(line: bytes, root: str) -> Seal | None:
    """A line, without its end, as a seal; None for what isn't one."""
    said = words(line)
    if said is None or len(said) != _FIELDS - 1:
        return None
    at, id_, name, version, signer, files, size, directory = said
    if not (_TIME(at) and _ID(id_) and _NUMBER(files) and _NUMBER(size)):
        return None
    try:
        name, version, signer, directory = map(layout.decode, said[2:5] + said[7:])
    except ValueError:
        return None
    place = os.path.normpath(os.path.join(root, directory)) if directory else ""
    return Seal(id_, name, version, signer, int(files), int(size), at, place)


def relative(directory: str, root: str) -> str:
    """A directory as the log names it: below the store's root if it lies there, else absolute."""
    if directory == root:
        return "."
    below = root.rstrip("/") + "/"
    return f"./{directory[len(below) :]}" if directory.startswith(below) else directory


def append(path: str, line: bytes) -> None:
    """Add a line, and have it on disk; all of it, or nothing.

    Under the writers' lock. Raises OSError, StoreDamagedError.
    """
    with fileio.naming("write", path):
        fd = _open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line  # `mend` had no reason to drop it: fsck will name it
            try:
                written = os.write(fd, line)
                if written < len(line):
                    os.write(fd, line[written:])  # says why
                os.fsync(fd)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(fd, size)
                raise
            if not size:
                fileio.sync_directory(path)
        finally:
            os.close(fd)


def mend(path: str, announced: bytes) -> None:
    """Drop a torn last line, if it is the beginning of the one that was announced."""
    torn = torn_line(path)
    if torn and announced.startswith(torn):
        with fileio.naming("write", path):
            fd = _open(path, os.O_RDWR)
            try:
                os.ftruncate(fd, os.fstat(fd).st_size - len(torn))
                os.fsync(fd)
            finally:
                os.close(fd)


def torn_line(path: str) -> bytes:
    """What stands after the last line's end."""
    for line, _, ended in backwards(path):
        return b"" if ended else line
    return b""


def last_line(path: str) -> bytes:
    """The last whole line."""
    return next((line for line, _, ended in backwards(path) if ended), b"")


def backwards(path: str, *, since: int = 0) -> Iterator[tuple[bytes, int, bool]]:
    """The lines after byte `since`, newest first: text, place of its end, whether it is ended."""
    try:
        fd = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        end = place = os.fstat(fd).st_size
        held = b""
        ended = False
        while place > since:
            start = max(since, place - _BLOCK)
            held, *lines = (os.pread(fd, place - start, start) + held).split(b"\n")
            for line in reversed(lines):
                if line or ended:
                    yield line, end, ended
                end -= len(line) + 1
                ended = True
            if len(held) > LONGEST:
                raise StoreDamagedError(f"'{path}' holds a line of more than {LONGEST:,} bytes")
            place = start
        if held or ended:
            yield held, end, ended
    finally:
        os.close(fd)


def seals(
    path: str, root: str, *, name: str = "", id_: str = "", directory: str = ""
) -> Iterator[Seal]:
    """Seals, newest first: all, or those of a name, an id and a directory where given."""
    wanted = [layout.encode(name)] if name else []
    wanted += [id_] if id_ else []
    wanted += [layout.encode(relative(directory, root), also=b"/")] if directory else []
    words = [f" {word} ".encode() for word in wanted]
    for line, _, _ in backwards(path):
        # Most lines needn't be parsed to see that they are others.
        if all(word in line for word in words):
            seal = parse(line, root)
            if seal is not None and (
                name in ("", seal.name)
                and id_ in ("", seal.id)
                and directory in ("", seal.directory)
            ):
                yield seal


def mark(path: str) -> Mark:
    """Where the log ends, for `holds`."""
    for line, end, ended in backwards(path):
        if ended:
            return Mark(end + 1, line[-_CHECK_DIGITS:].decode("latin-1"))
    return Mark(0, "")


def holds(path: str, place: Mark) -> bool:
    """Whether the log still has the line that ended at a mark."""
    if not place.size:
        return True
    try:
        fd = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        wanted = place.check.encode("latin-1") + b"\n"
        return os.pread(fd, len(wanted), max(0, place.size - len(wanted))) == wanted
    finally:
        os.close(fd)


def _open(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise StoreDamagedError(f"'{path}' is not a regular file")
    return fd


def _check(body: str) -> str:
    return hashlib.sha256(body.encode("ascii")).hexdigest()[:_CHECK_DIGITS]
