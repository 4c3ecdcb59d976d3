"""The stat cache: which files of a directory are, by all the system says, what they were.

A row counts only while the file has the device, inode, size, mtime and ctime it had before it was
hashed. A file that was changed just then could be changed again without any of them moving: it
gets no row.
"""

import os
import sqlite3
import struct
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from modelseal import tree
from modelseal.errors import StoreError
from modelseal.store import Digest, index, lock, measuring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from modelseal.hashing import FileDigest

_DIGEST_BYTES = 32

# Time stamps move by the system's tick, of at most 10 ms; on some file systems by 2 s.
TICK_NS = 50_000_000
COARSE_TICK_NS = 2_500_000_000
_SECOND_NS = 1_000_000_000


NONE = index.Tree(b"", b"", b"", b"")


def condensed(directory: str) -> str:
    """The row beside a directory's own, for bundles whose digests are no SHA-256 of files.

    In it what a file's digests condense to stands in the place of its SHA-256.
    """
    return f"{directory}\0oms"  # as no directory is called


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


class StatCache:
    """The files of a directory, and the digests of those that need not be read again.

    Made before the other files are hashed, or what changes meanwhile would go unseen.
    """

    def __init__(
        self,
        root: str,
        directory: str,
        files: Sequence[str],
        *,
        links: Collection[str],
        fork: bool,
        taken_at: int,
        begun: measuring.Measuring | None,
    ) -> None:
        self._root = root
        self._directory = directory
        self._plain = [path for path in files if path not in links] if links else files
        self._links = links
        self._fork = fork
        self._taken_at = taken_at or time.time_ns()
        self._begun = begun
        self._known = tree.NOTHING_READ
        self._cached: index.Tree | None = None

    def known(self) -> tree.Read:
        """The files unchanged since they were hashed, as they were then."""
        self._cached = load(self._root, self._directory)
        begun = self._begun or measuring.Measuring(self._directory, self._plain, fork=self._fork)
        try:
            stamps = begun.finish()
        finally:
            begun.end()
        if is_as_cached(self._plain, stamps, self._cached):
            self._known = tree.Read(self._plain, stamps, self._cached.digests, 0)
        else:
            self._known = columns(still_known(self._plain, stamps, self._cached))
        return self._known

    def update(
        self,
        read: tree.Read,
        *,
        seal: str = "",
        files: int = 0,
        condensed_alone: bool = False,
    ) -> None:
        """Remember files that were hashed after this object was made.

        seal, files: the id of a manifest that names so many files, each of them by the digest that
        is given here or was known: the next `status` need not read it then.
        condensed_alone: they are of no use but to a seal by the same digests.

        What was known is kept if it was asked for. Links are passed over. A cache that can't be
        written, or is being written by somebody else, stays as it is: nothing is raised.
        """
        row = condensed(self._directory) if condensed_alone else self._directory
        kept = merged(self._known, read, self._taken_at, links=self._links)
        save(self._root, row, self._cached, kept, seal, files)


def columns(digests: "Mapping[str, Digest | FileDigest]") -> tree.Read:
    """Digests by path, in columns."""
    rows = sorted(digests.items())
    stamps = b"".join([digest.stamp for _, digest in rows])
    return tree.Read(
        [path for path, _ in rows],
        stamps,
        b"".join([digest.sha256 for _, digest in rows]),
        _newest(stamps),
    )


def _newest(stamps: bytes) -> int:
    changes = [max(mtime, ctime) for *_, mtime, ctime in tree.STAMP.iter_unpack(stamps)]
    return max(changes, default=0)


def is_as_cached(files: Sequence[str], stamps: bytes, cached: index.Tree) -> bool:
    """Whether these are the cached files, and nothing of them has moved."""
    return (
        stamps == cached.stats
        and measuring.NOTHING not in stamps
        and "\0".join(files).encode() == cached.paths
        and len(cached.digests) == len(files) * _DIGEST_BYTES
    )


def still_known(files: Sequence[str], stamps: bytes, cached: index.Tree) -> dict[str, Digest]:
    """The cached digests that still hold, given the files' stamps as they are now."""
    now = dict(zip(files, tree.cut(stamps, tree.STAMP.size), strict=True))
    with suppress(ValueError, struct.error):
        return {
            path: Digest(digest, row[2], stamp)
            for path, stamp, row, digest in zip(
                paths_of(cached),
                tree.cut(cached.stats, tree.STAMP.size),
                tree.STAMP.iter_unpack(cached.stats),
                tree.cut(cached.digests, _DIGEST_BYTES),
                strict=True,
            )
            if now.get(path) == stamp and stamp != measuring.NOTHING
        }
    return {}


def merged(
    known: tree.Read, hashed: tree.Read, taken_at: int, *, links: Collection[str] = ()
) -> tree.Read:
    """What is to be cached.

    known: what was cached before and still holds.
    hashed: what was read since `taken_at`; links among it are passed over.
    """
    if not (known.files or links) and hashed.newest < taken_at - COARSE_TICK_NS:
        return hashed
    if not hashed.files:
        return known
    # Of what was read anew nothing is kept, whatever came of it.
    gone = set(hashed.files)
    kept = [row for row in _rows(known) if row[0] not in gone]
    kept += [row for row in _rows(hashed) if row[0] not in links and not _is_racy(row[1], taken_at)]
    kept.sort()
    paths, stamps, digests = zip(*kept, strict=True) if kept else ((), (), ())
    return tree.Read(paths, b"".join(stamps), b"".join(digests), 0)


def _rows(read: tree.Read) -> Iterable[tuple[str, bytes, bytes]]:
    """Path, stamp and digest of each file."""
    return zip(read.files, tree.cut(read.stamps, tree.STAMP.size), read.sha256(), strict=True)


def save(
    root: str, directory: str, cached: index.Tree | None, kept: tree.Read, seal: str, files: int
) -> None:
    """Write what is known of a directory, in the place of what was cached.

    kept: as `merged` gives it.
    seal, files: a manifest that names so many files, each of them by its digest here.
    Nothing is raised where that can't be done.
    """
    whole = len(kept.files) == files  # some may be too young to be remembered
    with suppress(StoreError, OSError, sqlite3.Error, ValueError):
        tree_ = index.Tree(
            "\0".join(kept.files).encode(),
            kept.stamps,
            kept.digests,
            bytes.fromhex(seal) if whole else b"",
        )
        if tree_ == cached:
            return
        seen = cached is not None and tree_[:3] == cached[:3]
        with (
            lock.held(os.path.join(root, "lock"), 0),
            index.write(root, catch_up=False) as opened,
        ):
            opened.put_tree(os.fsencode(directory), tree_, seen=seen)


def _is_racy(stamp: bytes, taken_at: int) -> bool:
    mtime: int
    ctime: int
    *_, mtime, ctime = tree.STAMP.unpack(stamp)
    tick = TICK_NS if mtime % _SECOND_NS and ctime % _SECOND_NS else COARSE_TICK_NS
    return max(mtime, ctime) + tick > taken_at


def prune(root: str, opened: index.Index) -> int:
    """Drop the rows of files and directories that are gone; return how many rows."""
    dropped = 0
    for directory, _ in list(opened.trees()):
        cached = opened.tree(directory)
        if cached is None:
            opened.drop_tree(directory)
            dropped += 1
            continue
        paths = cached.paths.split(b"\0") if cached.paths else []  # UTF-8, or somebody's garbage
        top = directory.partition(b"\0")[0]
        keep = [number for number, path in enumerate(paths) if _is_there(os.path.join(top, path))]
        if len(keep) == len(paths):
            continue
        dropped += len(paths) - len(keep)
        if keep:
            tree_ = index.Tree(
                b"\0".join([paths[number] for number in keep]),
                _select(cached.stats, tree.STAMP.size, keep),
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
