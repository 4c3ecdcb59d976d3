"""The stat cache: which files of a directory are, by all the system says, what they were.

A row counts only while the file has the device, inode, size, mtime and ctime it had before it was
hashed. A file that was changed just then could be changed again without any of them moving: it
gets no row.
"""

import os
import sqlite3
import stat
import struct
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from modelseal.errors import StoreError
from modelseal.store import Digest, index, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    _Stat = tuple[int, int, int, int, int]

_PACKED = struct.Struct("<5q")
_DIGEST_BYTES = 32
_NOTHING = (-1, -1, -1, -1, -1)
_WORTH_A_CHILD = 4000
MASK = (1 << 63) - 1
"""Of an inode's number, what is kept."""

# Time stamps move by the system's tick, of at most 10 ms; on some file systems by 2 s.
TICK_NS = 50_000_000
COARSE_TICK_NS = 2_500_000_000
_SECOND_NS = 1_000_000_000


NONE = index.Tree(b"", b"", b"", b"")


def load(root: str, directory: str) -> index.Tree:
    """What is cached of a directory; nothing where that isn't whole."""
    opened = index.read(root)
    if opened is not None:
        with opened, suppress(sqlite3.Error):
            return opened.tree(os.fsencode(directory)) or NONE
    return NONE


def paths_of(cached: index.Tree) -> list[str]:
    """The paths of what is cached."""
    return cached.paths.decode().split("\0") if cached.paths else []


class Sealed(NamedTuple):
    """The paths that a seal names, sorted, and their digests in this order."""

    id: str
    paths: list[str]
    digests: bytes


class StatCache:
    """The files of a directory, and the digests of those that need not be read again.

    Made before the other files are hashed, or what changes meanwhile would go unseen.
    """

    def __init__(
        self, root: str, directory: str, files: Sequence[str], links: Collection[str], *, fork: bool
    ) -> None:
        taken_at = time.time_ns()
        plain = [path for path in files if path not in links]
        now = unpack(plain, measure(directory, plain, fork=fork))
        self._snapshot = Snapshot(root, directory, taken_at, now, load(root, directory))

    @cached_property
    def known(self) -> dict[str, Digest]:
        """Path → digest, for the files unchanged since they were hashed."""
        return self._snapshot.known()

    def update(
        self,
        digests: Mapping[str, Digest],
        *,
        seal: str = "",
        sealed: Mapping[str, bytes] | None = None,
    ) -> None:
        """Remember digests of files that were hashed after this object was made.

        seal, sealed: the id of a manifest and its SHA-256 by path, if it was made of these files:
        the next `status` need not read it then.
        Paths that it was not made for are passed over. A cache that can't be written, or is being
        written by somebody else, stays as it is: nothing is raised.
        """
        content = None
        if sealed is not None:
            paths = sorted(sealed)
            content = Sealed(seal, paths, b"".join([sealed[path] for path in paths]))
        self._snapshot.update(digests, content)


class Snapshot(NamedTuple):
    """What the system said of a directory's files at a moment, beside what is cached of them."""

    root: str
    directory: str
    taken_at: int
    now: "dict[str, _Stat]"
    cached: index.Tree

    def known(self) -> dict[str, Digest]:
        """The digests that still hold."""
        now = self.now
        with suppress(ValueError, struct.error):
            return {
                path: Digest(digest, row[2])
                for path, row, digest in zip(
                    paths_of(self.cached),
                    _PACKED.iter_unpack(self.cached.stats),
                    _cut(self.cached.digests),
                    strict=True,
                )
                if now.get(path) == row
            }
        return {}

    def update(self, digests: Mapping[str, Digest], sealed: Sealed | None = None) -> None:
        """As `StatCache.update`. sealed: what to compare the outcome with."""
        # Where every file was hashed, nothing that was known before is of use.
        known = {} if digests.keys() >= self.now.keys() else self.known()
        kept = {path: digest.sha256 for path, digest in known.items()}
        for path, digest in digests.items():
            seen = self.now.get(path)
            if seen is not None and seen[2] == digest.size and not _is_racy(seen, self.taken_at):
                kept[path] = digest.sha256
        paths = sorted(kept)
        hashes = b"".join([kept[path] for path in paths])
        equal = sealed is not None and (sealed.paths, sealed.digests) == (paths, hashes)
        with suppress(StoreError, OSError, sqlite3.Error, ValueError, struct.error):
            tree_ = index.Tree(
                "\0".join(paths).encode(),
                b"".join([_PACKED.pack(*self.now[path]) for path in paths]),
                hashes,
                bytes.fromhex(sealed.id) if sealed is not None and equal else b"",
            )
            if tree_ == self.cached:
                return
            lock_file = os.path.join(self.root, "lock")
            with lock.held(lock_file, 0), index.write(self.root, catch_up=False) as opened:
                opened.put_tree(os.fsencode(self.directory), tree_)


def measure(directory: str, files: Sequence[str], *, fork: bool) -> bytes:
    """The stat values of some files, packed; fives of -1 for what is no regular file.

    fork: have half of the work done by a child, if it is worth one; only without threads.
    """
    top = os.fsencode(directory)
    if not fork or len(files) < _WORTH_A_CHILD or not hasattr(os, "fork"):
        return _measure(top, files)
    half = len(files) // 2
    read, write = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(read)
        os.close(write)
        return _measure(top, files)
    if pid == 0:
        try:
            with open(write, "wb") as pipe:
                pipe.write(_measure(top, files[half:]))
        finally:
            os._exit(0)  # short of bytes, if anything went wrong
    os.close(write)
    try:
        with open(read, "rb") as pipe:
            first = _measure(top, files[:half])
            second = pipe.read()
    finally:
        os.waitpid(pid, 0)
    if len(first) + len(second) != _PACKED.size * len(files):
        second = _measure(top, files[half:])
    return first + second


def _measure(top: bytes, files: Sequence[str]) -> bytes:
    lstat, kind, regular, mask = os.lstat, stat.S_IFMT, stat.S_IFREG, MASK
    values: list[int] = []
    add = values.extend
    for path in files:
        try:
            info = lstat(b"%b/%b" % (top, path.encode()))
        except OSError:
            add(_NOTHING)
            continue
        if kind(info.st_mode) == regular:
            add(
                (
                    info.st_dev,
                    info.st_ino & mask,
                    info.st_size,
                    info.st_mtime_ns,
                    info.st_ctime_ns,
                )
            )
        else:
            add(_NOTHING)
    return struct.pack(f"<{len(values)}q", *values)


def unpack(paths: Sequence[str], stats: bytes) -> "dict[str, _Stat]":
    """Packed stat values by path, for the paths that have some."""
    values: zip[tuple[str, _Stat]] = zip(paths, _PACKED.iter_unpack(stats), strict=True)
    return {path: said for path, said in values if said != _NOTHING}


def _is_racy(seen: "_Stat", taken_at: int) -> bool:
    latest = max(seen[3], seen[4])
    tick = TICK_NS if seen[3] % _SECOND_NS and seen[4] % _SECOND_NS else COARSE_TICK_NS
    return latest + tick > taken_at


def _cut(digests: bytes) -> Iterable[bytes]:
    return (
        digests[start : start + _DIGEST_BYTES] for start in range(0, len(digests), _DIGEST_BYTES)
    )


def prune(root: str, opened: index.Index) -> int:
    """Drop the rows of files and directories that are gone; return how many rows."""
    dropped = 0
    for directory, _ in list(opened.trees()):
        cached = opened.tree(directory)
        if cached is None:
            opened.drop_tree(directory)
            dropped += 1
            continue
        paths = paths_of(cached)
        keep = [
            number
            for number, path in enumerate(paths)
            if _is_there(os.path.join(directory, path.encode()))
        ]
        if len(keep) == len(paths):
            continue
        dropped += len(paths) - len(keep)
        if keep:
            tree_ = index.Tree(
                "\0".join([paths[number] for number in keep]).encode(),
                _select(cached.stats, _PACKED.size, keep),
                _select(cached.digests, _DIGEST_BYTES, keep),
                b"",
            )
            opened.put_tree(directory, tree_)
        else:
            opened.drop_tree(directory)
    return dropped


def _select(data: bytes, size: int, numbers: Sequence[int]) -> bytes:
    return b"".join([data[number * size : (number + 1) * size] for number in numbers])


def _is_there(path: bytes) -> bool:
    with suppress(OSError, ValueError):
        os.lstat(path)
        return True
    return False
