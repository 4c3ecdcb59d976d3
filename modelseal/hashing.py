"""The hashing engine: every file's SHA-256, on every core, by the cheapest way for its size.

Two rounds. The first opens every file, hashes the small ones where they lie in the page cache, and
learns the sizes of the others; the second hashes those, the largest first. Only what is a regular
file when it is opened, and the same from before its first byte was read until after its last, gets
a digest.
"""

import hashlib
import mmap
import os
import signal
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelseal import lfs, tree, workers
from modelseal.errors import FileChangedError, FileUnreadableError, ModelSealError
from modelseal.workers import Died, Tick

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

SMALL: Final = 1 << 20
"""Bytes up to which a file is read in one call; larger ones are mapped or read in pieces."""

_SLICE: Final = 32 << 20
_BUFFER: Final = 1 << 20
_BATCH: Final = 256
# Below these, starting workers takes longer than the work.
_ALONE_FILES: Final = 512
_ALONE_BYTES: Final = 16 << 20
_WAIT_SECONDS: Final = 0.1

_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    # What was a file may be a FIFO by now: opening must not wait for a writer.
    | getattr(os, "O_NONBLOCK", 0)
)
_OPEN_FLAGS_NO_LINK: Final = _OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0)
# What reading a mapped page beyond the end of a file raises.
_BUS_ERROR: Final = getattr(signal, "SIGBUS", 0)

Progress = Callable[[int, int], None]
"""Called with the bytes hashed so far, and with those there are in all, 0 while nobody knows."""

_Answer = tuple[str, Any, Any]
"""What a worker says of a file, in types that any process can pass on. A word first: `digest` (32
bytes, size), `pointer` (the same of a git-lfs pointer), `large` (size), `changed`, `unreadable`
(the system's message), `died` (signal)."""

_Task = Callable[[Tick], list[_Answer]]


class FileDigest(NamedTuple):
    """sha256: 32 bytes. size: bytes. lfs_pointer: whether they stand in for the real content."""

    sha256: bytes
    size: int
    lfs_pointer: bool = False


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hash_files(
    root: str | os.PathLike[str],
    files: Sequence[str],
    *,
    links: Collection[str] = (),
    jobs: int = 0,
    fork: bool = False,
    executor: "Executor | None" = None,
    progress: Progress | None = None,
    total: int = 0,
) -> list[FileDigest | ModelSealError]:
    """Hash N files.

    files: paths below `root`, as `tree.walk` gives them; neighbours beside each other are faster.
    links: those of them that may be symbolic links.
    jobs: workers; 0 means one a CPU this process may use.
    fork: use forked processes, the fastest way; only for a program without threads.
    executor: run on this instead; a process pool or a cluster's will do, as long as its workers
    see the same files.
    progress: called in this thread, now and then. total: bytes in all, where the caller knows.
    Returns, in the order of `files`, N digests; in place of one FileUnreadableError, or
    FileChangedError for a file that changed while it was read or is none any more.
    Source: FIPS 180-4.
    """
    engine = _Engine(os.fsencode(root), jobs or usable_cpus(), fork, executor, progress, total)
    links = frozenset(links)
    starts = range(0, len(files), _BATCH)
    answers: list[_Answer] = []
    for start, said in zip(starts, engine.small(files, starts, links), strict=True):
        count = len(files[start : start + _BATCH])
        answers += [("died", said.signal, 0)] * count if isinstance(said, Died) else said
    large = [index for index, answer in enumerate(answers) if answer[0] == "large"]
    large.sort(key=lambda index: answers[index][1], reverse=True)
    sized = [(files[index], int(answers[index][1])) for index in large]
    for index, told in zip(large, engine.large(sized, links), strict=True):
        answers[index] = ("died", told.signal, 0) if isinstance(told, Died) else told[0]
    return list(map(_outcome, files, answers))


def _outcome(path: str, answer: _Answer) -> FileDigest | ModelSealError:
    word, what, size = answer
    if word == "digest":
        return FileDigest(what, size)
    if word == "pointer":
        return FileDigest(what, size, lfs_pointer=True)
    if word == "unreadable":
        return FileUnreadableError(f"cannot read '{path}': {what}")
    if word == "died":
        how = f"was ended by signal {what}" if what else "ended early"
        return FileUnreadableError(f"cannot hash '{path}': its worker {how}")
    return FileChangedError(f"'{path}' changed while it was read")


class _Engine:
    """Where tasks run, and what is told of their progress."""

    def __init__(
        self,
        top: bytes,
        jobs: int,
        fork: bool,
        executor: "Executor | None",
        progress: Progress | None,
        total: int,
    ) -> None:
        self._top = top
        self._jobs = jobs
        self._fork = fork and workers.AVAILABLE
        self._executor = executor
        self._progress = progress
        self._total = total
        self._done = 0

    def small(
        self, files: Sequence[str], starts: Sequence[int], links: frozenset[str]
    ) -> list[list[_Answer] | Died]:
        """The first round, a batch of neighbours a task."""
        batches = (files[start : start + _BATCH] for start in starts)
        tasks = [partial(_hash_small, self._top, batch, links) for batch in batches]
        if self._executor is not None:
            return self._on_executor(tasks)
        if self._fork and len(files) >= _ALONE_FILES:
            return self._in_children(tasks, ahead=1)
        # Not in threads: hashing lets others run for large buffers only.
        return self._here(tasks)

    def large(
        self, files: Sequence[tuple[str, int]], links: frozenset[str]
    ) -> list[list[_Answer] | Died]:
        """The second round, a file a task."""
        size = sum(size for _, size in files)
        self._total = self._total or self._done + size
        alone = size < _ALONE_BYTES
        # Only a worker that may die of it can use a map: see `workers`.
        mapped = self._fork and self._executor is None and not alone
        tasks = [
            partial(_hash_large, self._top, path, size, path in links, mapped)
            for path, size in files
        ]
        if self._executor is not None:
            return self._on_executor(tasks)
        if mapped:
            told = self._in_children(tasks)
            # Cut short, or on a bad disk: reading says which.
            again = [isinstance(said, Died) and said.signal == _BUS_ERROR for said in told]
            return [
                _hash_large(self._top, path, size, path in links, False, _ignore) if bus else said
                for bus, said, (path, size) in zip(again, told, files, strict=True)
            ]
        return self._here(tasks) if alone or self._jobs == 1 else self._in_threads(tasks)

    def _tick(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _here(self, tasks: Sequence[_Task]) -> list[list[_Answer] | Died]:
        return [task(self._tick) for task in tasks]

    def _in_children(self, tasks: Sequence[_Task], ahead: int = 0) -> list[list[_Answer] | Died]:
        try:
            return workers.run(tasks, workers=self._jobs, tick=self._tick, ahead=ahead)
        except OSError:
            # No process or descriptor is to be had: slower, but here.
            return self._here(tasks)

    def _in_threads(self, tasks: Sequence[_Task]) -> list[list[_Answer] | Died]:
        from concurrent.futures import ThreadPoolExecutor

        count = _Counter()
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                futures = [pool.submit(task, count.add) for task in tasks]
                _wait(futures, lambda _: self._tick(count.take()))
            except BaseException:
                count.cancelled = True
                pool.shutdown(cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def _on_executor(self, tasks: Sequence[_Task]) -> list[list[_Answer] | Died]:
        assert self._executor is not None  # noqa: S101 - the callers looked
        futures: list[Future[list[_Answer]]] = []
        try:
            futures = [self._executor.submit(task, _ignore) for task in tasks]
            _wait(futures, lambda done: self._tick(sum(map(_hashed, done))))
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _hash_small(
    top: bytes, paths: Sequence[str], links: frozenset[str], tick: Tick
) -> list[_Answer]:
    """Hash those of some files that are small. At the module's level, so that it can be sent."""
    answers: list[_Answer] = []
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
                    answer: _Answer = ("changed", 0, 0)
                elif size > SMALL:
                    answer = ("large", size, 0)
                else:
                    data = os.read(fd, size + 1)
                    while 0 < len(data) < size and (more := os.read(fd, size - len(data))):
                        data += more
                    digest = hashlib.sha256(data).digest()
                    answer = ("pointer" if lfs.is_pointer(data) else "digest", digest, size)
                    count += size
                    if len(data) != size or _version(os.fstat(fd)) != _version(before):
                        answer = ("changed", 0, 0)
            finally:
                os.close(fd)
        except OSError as err:
            answer = _unreadable(err)
        answers.append(answer)
    tick(count)
    return answers


def _hash_large(
    top: bytes, path: str, size: int, linked: bool, mapped: bool, tick: Tick
) -> list[_Answer]:
    """Hash one file of more than a buffer; a list, as `_hash_small` gives one."""
    try:
        fd = os.open(tree.locate(top, path), _OPEN_FLAGS if linked else _OPEN_FLAGS_NO_LINK)
        try:
            before = os.fstat(fd)
            if before.st_size != size or not stat.S_ISREG(before.st_mode):
                return [("changed", 0, 0)]
            digest = (_read_mapped if mapped else _read_pieces)(fd, size, tick)
            if digest is None or _version(os.fstat(fd)) != _version(before):
                return [("changed", 0, 0)]
            return [("digest", digest, size)]
        finally:
            os.close(fd)
    except OSError as err:
        return [_unreadable(err)]


def _read_mapped(fd: int, size: int, tick: Tick) -> bytes | None:
    digest = hashlib.sha256()
    try:
        mapping = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    except ValueError:
        return None  # shorter than it was a moment ago
    except OSError:
        return _read_pieces(fd, size, tick)  # not on this file system, or no room for it
    with mapping, memoryview(mapping) as view:
        for start in range(0, size, _SLICE):
            with view[start : start + _SLICE] as part:
                digest.update(part)
                tick(len(part))
    return digest.digest()


def _read_pieces(fd: int, size: int, tick: Tick) -> bytes | None:
    digest = hashlib.sha256()
    left = size
    with (
        open(fd, "rb", buffering=0, closefd=False) as file,
        memoryview(bytearray(_BUFFER)) as buffer,
    ):
        # Never more than there was, or a growing file could keep us for ever.
        while left and (count := file.readinto(buffer[: min(left, _BUFFER)])):
            digest.update(buffer[:count])
            tick(count)
            left -= count
    return None if left else digest.digest()


def _version(info: os.stat_result) -> tuple[int, int, int, int, int]:
    """What changes with a file's content, and what would make it another file."""
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev


def _unreadable(err: OSError) -> _Answer:
    return "unreadable", (err.strerror or "unknown error").lower(), 0


def _hashed(future: "Future[list[_Answer]]") -> int:
    """The bytes that a finished task has hashed."""
    if future.cancelled() or future.exception():
        return 0
    return sum(size for word, _, size in future.result() if word in ("digest", "pointer"))


def _wait(
    futures: "Iterable[Future[list[_Answer]]]",
    report: "Callable[[set[Future[list[_Answer]]]], object]",
) -> None:
    from concurrent.futures import FIRST_EXCEPTION, wait

    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=_WAIT_SECONDS, return_when=FIRST_EXCEPTION)
        report(done)


class _Cancelled(BaseException):
    """Ends a thread's work; nobody looks at its answer."""


class _Counter:
    """Bytes hashed by several threads, to be told by the one that waits for them."""

    def __init__(self) -> None:
        self.cancelled = False
        self._counts: deque[int] = deque()

    def add(self, count: int) -> None:
        """Called by the threads, which it also ends."""
        if self.cancelled:
            raise _Cancelled
        self._counts.append(count)  # atomic, unlike +=

    def take(self) -> int:
        """The bytes since the last call."""
        total = 0
        while self._counts:
            total += self._counts.popleft()
        return total


def _ignore(count: int) -> None:
    pass
