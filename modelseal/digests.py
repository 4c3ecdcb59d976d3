"""Digests of one file at a time, by the cheapest way for its size.

Only what is a regular file when it is opened, and the same from before its first byte was read
until after its last, gets one. What is said of a file is made of plain types, which any process
can pass on.
"""

import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Protocol

from modelseal import lfs, tree
from modelseal.workers import Tick

SHA256: Final = "sha256"
"""FIPS 180-4: the verdict."""
BLAKE3: Final = "blake3"
"""The BLAKE3 paper, 2020: a precheck, several times as fast."""

SMALL: Final = 1 << 20
"""Bytes up to which a file is read in one call; larger ones are mapped or read in pieces."""

_SLICE: Final = 32 << 20
_BUFFER: Final = 256 << 10  # stays in the cache of a core

_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    # What was a file may be a FIFO by now: opening must not wait for a writer.
    | getattr(os, "O_NONBLOCK", 0)
)
_OPEN_FLAGS_NO_LINK: Final = _OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0)

Answer = tuple[str, Any, int, bytes]
"""What is said of a file, a word first: `digest` or, of a git-lfs pointer, `pointer` (digests in
the order asked for, size, stamp); `large` (nothing, size); `changed`; `unreadable` (a message)."""


_CHANGED: Final[Answer] = ("changed", None, 0, b"")


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...
    def digest(self) -> bytes: ...


def hash_small(
    top: bytes,
    paths: Sequence[str],
    links: Collection[str],
    algorithms: Sequence[str],
    tick: Tick,
) -> list[Answer]:
    """Hash those of some files that are small; say of the others how large they are.

    links: those of the paths that may be symbolic links.
    """
    answers: list[Answer] = []
    digest_by = [_AT_ONCE[name] for name in algorithms]
    count = 0
    for path in paths:
        try:
            fd = os.open(
                tree.locate(top, path), _OPEN_FLAGS if path in links else _OPEN_FLAGS_NO_LINK
            )
            try:
                before = os.fstat(fd)
                size = before.st_size
                if not stat.S_ISREG(before.st_mode):
                    answer = _CHANGED
                elif size > SMALL:
                    answer = ("large", None, size, b"")
                else:
                    data = os.read(fd, size + 1)
                    while 0 < len(data) < size and (more := os.read(fd, size - len(data))):
                        data += more
                    stamp = tree.stamp(before)
                    if len(data) == size and tree.stamp(os.fstat(fd)) == stamp:
                        word = "pointer" if lfs.is_pointer(data) else "digest"
                        answer = (word, [digest(data) for digest in digest_by], size, stamp)
                        count += size
                    else:
                        answer = _CHANGED
            finally:
                os.close(fd)
        except OSError as err:
            answer = _unreadable(err)
        answers.append(answer)
    tick(count)
    return answers


def hash_large(
    top: bytes,
    path: str,
    size: int,
    linked: bool,
    algorithms: Sequence[str],
    tick: Tick,
    *,
    mapped: bool = False,
) -> list[Answer]:
    """Hash one file of a size already known; a list, as `hash_small` gives one.

    mapped: through a memory map, whose reader a signal ends if the file is cut short.
    """
    try:
        fd = os.open(tree.locate(top, path), _OPEN_FLAGS if linked else _OPEN_FLAGS_NO_LINK)
        try:
            before = os.fstat(fd)
            if before.st_size != size or not stat.S_ISREG(before.st_mode):
                return [_CHANGED]
            hashes = [_IN_PIECES[name]() for name in algorithms]
            # A copy through the cache costs less than mapping pages, but for SHA-256's slow pace.
            feed = _feed_mapped if mapped and SHA256 in algorithms else _feed_pieces
            stamp = tree.stamp(before)
            if not feed(fd, size, hashes, tick) or tree.stamp(os.fstat(fd)) != stamp:
                return [_CHANGED]
            return [("digest", [hash_.digest() for hash_ in hashes], size, stamp)]
        finally:
            os.close(fd)
    except OSError as err:
        return [_unreadable(err)]


def _feed_mapped(fd: int, size: int, hashes: Sequence[_Hash], tick: Tick) -> bool:
    try:
        mapping = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    except ValueError:
        return False  # shorter than it was a moment ago
    except OSError:
        return _feed_pieces(fd, size, hashes, tick)  # not on this file system, or no room for it
    with mapping, memoryview(mapping) as view:
        for start in range(0, size, _SLICE):
            with view[start : start + _SLICE] as part:
                for hash_ in hashes:
                    hash_.update(part)
                tick(len(part))
    return True


def _feed_pieces(fd: int, size: int, hashes: Sequence[_Hash], tick: Tick) -> bool:
    left = size
    with (
        open(fd, "rb", buffering=0, closefd=False) as file,
        memoryview(bytearray(_BUFFER)) as buffer,
    ):
        # Never more than there was, or a growing file could keep us for ever.
        while left and (count := file.readinto(buffer[: min(left, _BUFFER)])):
            with buffer[:count] as part:
                for hash_ in hashes:
                    hash_.update(part)
            tick(count)
            left -= count
    return not left


def _blake3() -> _Hash:
    from blake3 import blake3

    hash_: _Hash = blake3()
    return hash_


def _blake3_at_once(data: bytes) -> bytes:
    from blake3 import blake3

    digest: bytes = blake3(data).digest()
    return digest


_IN_PIECES: Final[dict[str, Callable[[], _Hash]]] = {SHA256: hashlib.sha256, BLAKE3: _blake3}
_AT_ONCE: Final[dict[str, Callable[[bytes], bytes]]] = {
    SHA256: lambda data: hashlib.sha256(data).digest(),
    BLAKE3: _blake3_at_once,
}


def _unreadable(err: OSError) -> Answer:
    return "unreadable", (err.strerror or "unknown error").lower(), 0, b""
