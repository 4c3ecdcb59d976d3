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
BLAKE2B: Final = "blake2b"
"""RFC 7693, 64 bytes: for bundles that were made with it."""

SMALL: Final = 1 << 20
"""Bytes up to which a file is read in one call; larger ones are mapped or read in pieces."""

_NO_STAMP: Final = bytes(tree.STAMP.size)
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

WIDTHS: Final = {SHA256: 32, BLAKE3: 32, BLAKE2B: 64}
"""Bytes of a digest."""

Answer = tuple[str, Any, int, bytes]
"""What is said of one file, a word first: `shards` or, of a git-lfs pointer, `pointer` (digests in
the order asked for, shard by shard; size, stamp); `large` (nothing, size); `changed`; `unreadable`
(a message)."""

Batch = tuple[int, int, bytes, list[bytes], dict[int, Answer]]
"""What is said of N files, in columns: of a million, no more objects than need be.

Bytes that were hashed; when the last of the files was changed, in ns; the files' stamps, joined;
by each algorithm their digests, joined. The last has answers by number: for these files, and where
files are cut for all, there are zeros in the columns, or no columns at all."""

CHANGED: Final[Answer] = ("changed", None, 0, b"")


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...
    def digest(self) -> bytes: ...


def hash_small(
    top: bytes,
    paths: Sequence[str],
    links: Collection[str],
    algorithms: Sequence[str],
    tick: Tick,
    *,
    shard_size: int = 0,
) -> Batch:
    """Hash those of some files that are small; say of the others how large they are.

    links: those of the paths that may be symbolic links.
    shard_size: bytes after which a file is cut, each part with a digest; 0 for whole files.
    """
    digests_of = _at_once(algorithms, shard_size)
    stamps: list[bytes] = []
    made: list[list[bytes]] = []
    others: dict[int, Answer] = {}
    count = newest = 0
    for number, path in enumerate(paths):
        try:
            fd = os.open(
                tree.locate(top, path), _OPEN_FLAGS if path in links else _OPEN_FLAGS_NO_LINK
            )
            try:
                before = os.fstat(fd)
                size = before.st_size
                if not stat.S_ISREG(before.st_mode):
                    answer = CHANGED
                elif size > SMALL:
                    answer = ("large", None, size, b"")
                else:
                    data = os.read(fd, size + 1)
                    while 0 < len(data) < size and (more := os.read(fd, size - len(data))):
                        data += more
                    if len(data) == size and not _has_moved(before, os.fstat(fd)):
                        count += size
                        digests, stamp = digests_of(data), tree.stamp(before)
                        if not shard_size and not lfs.is_pointer(data):
                            stamps.append(stamp)
                            made.append(digests)
                            newest = max(newest, before.st_mtime_ns, before.st_ctime_ns)
                            continue
                        word = "pointer" if lfs.is_pointer(data) else "shards"
                        answer = (word, digests, size, stamp)
                    else:
                        answer = CHANGED
            finally:
                os.close(fd)
        except OSError as err:
            answer = _unreadable(err)
        others[number] = answer
        stamps.append(_NO_STAMP)
        made.append([bytes(WIDTHS[algorithm]) for algorithm in algorithms])
    tick(count)
    columns = [] if shard_size else [b"".join(column) for column in zip(*made, strict=True)]
    return count, newest, b"".join(stamps), columns, others


def hash_large(
    top: bytes,
    path: str,
    size: int,
    linked: bool,
    algorithms: Sequence[str],
    tick: Tick,
    *,
    mapped: bool = False,
    part: tuple[int, int] | None = None,
    shard_size: int = 0,
) -> Batch:
    """Hash one file of a size already known.

    part: from where to where, of a large file that several work on. shard_size: as there.
    mapped: through a memory map, whose reader a signal ends if the file is cut short.
    """
    try:
        fd = os.open(tree.locate(top, path), _OPEN_FLAGS if linked else _OPEN_FLAGS_NO_LINK)
        try:
            before = os.fstat(fd)
            if before.st_size != size or not stat.S_ISREG(before.st_mode):
                return _other(CHANGED)
            begin, end = part or (0, size)
            made: list[bytes] = []
            # A copy through the cache costs less than mapping pages, but for SHA-256's slow pace.
            feed = _feed_mapped if mapped and SHA256 in algorithms else _feed_pieces
            for start in range(begin, end, shard_size or size):
                hashes = [_HASHES[name]() for name in algorithms]
                stop = min(start + shard_size, end) if shard_size else end
                if not feed(fd, start, stop, hashes, tick):
                    return _other(CHANGED)
                made += [hash_.digest() for hash_ in hashes]
            if _has_moved(before, os.fstat(fd)):
                return _other(CHANGED)
            stamp = tree.stamp(before)
            if shard_size:
                return _other(("shards", made, end - begin, stamp))
            return size, max(before.st_mtime_ns, before.st_ctime_ns), stamp, made, {}
        finally:
            os.close(fd)
    except OSError as err:
        return _other(_unreadable(err))


def _other(answer: Answer) -> Batch:
    """Of one file, for which there are no columns."""
    return answer[2], 0, b"", [], {0: answer}


def _has_moved(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether an open file was written to between two looks."""
    return (
        before.st_ctime_ns != after.st_ctime_ns
        or before.st_mtime_ns != after.st_mtime_ns
        or before.st_size != after.st_size
    )


def _cut(data: bytes, shard_size: int) -> list[bytes]:
    return [data[start : start + shard_size] for start in range(0, len(data), shard_size)]


def _feed_mapped(fd: int, begin: int, end: int, hashes: Sequence[_Hash], tick: Tick) -> bool:
    try:
        mapping = mmap.mmap(fd, end, prot=mmap.PROT_READ)
    except ValueError:
        return False  # shorter than it was a moment ago
    except OSError:
        return _feed_pieces(
            fd, begin, end, hashes, tick
        )  # not on this file system, or no room for it
    with mapping, memoryview(mapping) as view:
        for start in range(begin, end, _SLICE):
            with view[start : min(start + _SLICE, end)] as part:
                for hash_ in hashes:
                    hash_.update(part)
                tick(len(part))
    return True


def _feed_pieces(fd: int, begin: int, end: int, hashes: Sequence[_Hash], tick: Tick) -> bool:
    left = end - begin
    os.lseek(fd, begin, os.SEEK_SET)
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


class Stream:
    """Digests of one content that comes in pieces: of the whole, or shard by shard."""

    def __init__(self, algorithm: str, shard_size: int = 0) -> None:
        """shard_size: bytes; 0 for the whole."""
        self._start = _HASHES[algorithm]
        self._shard_size = shard_size
        self._room = shard_size
        self._hash = None if shard_size else self._start()
        self._made: list[bytes] = []

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        if not self._shard_size:
            assert self._hash is not None  # noqa: S101 - the whole has one from the start
            self._hash.update(memoryview(piece))
            return
        view = memoryview(piece)
        while view:
            self._hash = self._hash or self._start()
            part = view[: self._room]
            self._hash.update(part)
            view = view[len(part) :]
            self._room -= len(part)
            if not self._room:
                self._made.append(self._hash.digest())
                self._hash, self._room = None, self._shard_size

    def digests(self) -> tuple[bytes, ...]:
        """Those of all that came; of an empty content in shards none."""
        return (*self._made, self._hash.digest()) if self._hash else tuple(self._made)


def _blake3(data: bytes = b"") -> _Hash:
    from blake3 import blake3

    hash_: _Hash = blake3(data)
    return hash_


_HASHES: Final[dict[str, Callable[..., _Hash]]] = {
    SHA256: hashlib.sha256,
    BLAKE3: _blake3,
    BLAKE2B: hashlib.blake2b,
}


def _at_once(algorithms: Sequence[str], shard_size: int) -> Callable[[bytes], list[bytes]]:
    """What makes the digests of a whole content: by each algorithm, of each shard if it is cut."""
    hashes = [_HASHES[name] for name in algorithms]
    if shard_size:
        return lambda data: [
            hash_(part).digest() for part in _cut(data, shard_size) for hash_ in hashes
        ]
    return lambda data: [hash_(data).digest() for hash_ in hashes]


def _unreadable(err: OSError) -> Answer:
    return "unreadable", (err.strerror or "unknown error").lower(), 0, b""
