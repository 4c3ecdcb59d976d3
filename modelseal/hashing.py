"""The hashing engine: every file's SHA-256, on every core, by the cheapest way for its size.

Files are given as the walk saw them. One that is anything else by the time it has been read gets
no digest.
"""

import hashlib
import mmap
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from modelseal import lfs, tree, workers
from modelseal.errors import FileChangedError, FileUnreadableError, ModelSealError
from modelseal.tree import TreeFile
from modelseal.workers import Tick

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

SMALL: Final = 1 << 20
"""Bytes up to which a file is read in one call; larger ones are mapped or read in pieces."""

_SLICE: Final = 32 << 20
_BUFFER: Final = 1 << 20
_BATCH_FILES: Final = 256
_BATCH_BYTES: Final = 8 << 20
# Below these, starting workers takes longer than the work.
_ALONE_BYTES: Final = 16 << 20
_ALONE_FILES: Final = 512
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
"""Called with the bytes hashed so far, and with those there are in all."""

_Answer = tuple[bytes, bool] | tuple[str, str]
"""What a worker says of one file, in types that any process can pass on: the digest and whether
it is a git-lfs pointer, or a word and a system's message."""


_Reader = Callable[[int, int, Tick], _Answer]
"""Hashes the file that a descriptor opens, of so many bytes."""


class FileDigest(NamedTuple):
    """sha256: 32 bytes. lfs_pointer: whether the content only stands in for the real one."""

    sha256: bytes
    lfs_pointer: bool = False


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hash_files(
    root: str | os.PathLike[str],
    files: Sequence[TreeFile],
    *,
    jobs: int = 0,
    fork: bool = False,
    executor: "Executor | None" = None,
    progress: Progress | None = None,
) -> list[FileDigest | ModelSealError]:
    """Hash N files, the largest first.

    files: from `tree.walk` of `root`.
    jobs: workers; 0 means one a CPU this process may use.
    fork: use forked processes, the fastest way; only for a program without threads.
    executor: run on this instead; a process pool or a cluster's will do, as long as its workers
    see the same files.
    progress: called in this thread, now and then, with the bytes hashed so far and in all.
    Returns, in the order of `files`, N digests; in place of one FileUnreadableError, or
    FileChangedError for a file that is not what the walk saw.
    Source: FIPS 180-4.
    """
    top = os.fsencode(root)
    batches = _plan(files)
    jobs = jobs or usable_cpus()
    total = sum(file.size for file in files)
    tick = _meter(progress, total)
    alone = total < _ALONE_BYTES and len(files) < _ALONE_FILES
    answers: Iterable[Sequence[_Answer] | workers.Died]
    if executor is not None:
        answers = _on_executor(top, files, batches, executor, tick)
    elif fork and workers.AVAILABLE and not alone:
        answers = _in_children(top, files, batches, jobs, tick)
    elif alone or jobs == 1:
        answers = [_hash_batch(top, [files[i] for i in batch], tick) for batch in batches]
    else:
        answers = _in_threads(top, files, batches, jobs, tick)
    outcomes: list[FileDigest | ModelSealError | None] = [None] * len(files)
    for batch, answer in zip(batches, answers, strict=True):
        if isinstance(answer, workers.Died):
            answer = [("died", str(answer.signal))] * len(batch)
        for index, said in zip(batch, answer, strict=True):
            outcomes[index] = _outcome(files[index].path, said)
    return [outcome for outcome in outcomes if outcome is not None]


def _meter(progress: Progress | None, total: int) -> Tick:
    if progress is None:
        return _ignore
    report = progress
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        report(done, total)

    return tick


def _plan(files: Sequence[TreeFile]) -> list[list[int]]:
    """Batches of indices: first a batch for each large file, then neighbours among the small."""
    large = [index for index, file in enumerate(files) if file.size > SMALL]
    large.sort(key=lambda index: files[index].size, reverse=True)
    batches = [[index] for index in large]
    room = count = 0
    for index, file in enumerate(files):
        size = file.size
        if size > SMALL:
            continue
        if size > room or count == 0:
            batches.append([])
            room, count = _BATCH_BYTES, _BATCH_FILES
        batches[-1].append(index)
        room -= size
        count -= 1
    return batches


def _outcome(path: str, said: _Answer) -> FileDigest | ModelSealError:
    what, detail = said
    if isinstance(what, bytes):
        return FileDigest(what, bool(detail))
    if what == "unreadable":
        return FileUnreadableError(f"cannot read '{path}': {detail}")
    if what == "died" and int(detail) != _BUS_ERROR:
        return FileUnreadableError(f"cannot hash '{path}': signal {detail} ended its worker")
    return FileChangedError(f"'{path}' changed while it was read")


def _hash_batch(
    top: bytes, files: Sequence[TreeFile], tick: Tick | None = None, mapped: bool = False
) -> list[_Answer]:
    """Hash one large file or some small ones, here and now.

    At the module's level, so that any executor can call it.
    """
    tick = tick or _ignore
    if files[0].size > SMALL:
        return [_hash_file(top, files[0], _read_mapped if mapped else _read_pieces, tick)]
    answers = [_hash_file(top, file, _read_whole, _ignore) for file in files]
    tick(sum(file.size for file in files))
    return answers


def _hash_file(top: bytes, file: TreeFile, read: _Reader, tick: Tick) -> _Answer:
    path, size, version, link = file
    try:
        fd = os.open(tree.locate(top, path), _OPEN_FLAGS if link else _OPEN_FLAGS_NO_LINK)
        try:
            answer = read(fd, size, tick)
            # One look, afterwards: it must be the very file that was walked, unchanged since.
            info = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError as err:
        return "unreadable", (err.strerror or "unknown error").lower()
    if info.st_size != size or tree.version(info) != version:
        return "changed", ""
    return answer


def _read_whole(fd: int, size: int, tick: Tick) -> _Answer:
    data = os.read(fd, size + 1)
    while 0 < len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return hashlib.sha256(data).digest(), lfs.is_pointer(data)


def _read_mapped(fd: int, size: int, tick: Tick) -> _Answer:
    digest = hashlib.sha256()
    try:
        mapping = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    except ValueError:
        return "changed", ""  # shorter than it was
    with mapping, memoryview(mapping) as view:
        for start in range(0, size, _SLICE):
            with view[start : start + _SLICE] as part:
                digest.update(part)
                tick(len(part))
    return digest.digest(), False


def _read_pieces(fd: int, size: int, tick: Tick) -> _Answer:
    digest = hashlib.sha256()
    left = size
    with (
        open(fd, "rb", buffering=0, closefd=False) as file,
        memoryview(bytearray(_BUFFER)) as buffer,
    ):
        # Never more than the walk saw, or a growing file could keep us for ever.
        while left and (count := file.readinto(buffer[: min(left, _BUFFER)])):
            digest.update(buffer[:count])
            tick(count)
            left -= count
    return ("changed", "") if left else (digest.digest(), False)


def _in_children(
    top: bytes,
    files: Sequence[TreeFile],
    batches: Sequence[list[int]],
    jobs: int,
    tick: Tick,
) -> list[Sequence[_Answer] | workers.Died]:
    def work(batch: list[int], tick: Tick) -> list[_Answer]:
        return _hash_batch(top, [files[index] for index in batch], tick, mapped=True)

    try:
        return workers.run(batches, work, workers=jobs, progress=tick)
    except OSError:
        # No process or descriptor is to be had: slower, but here.
        return _in_threads(top, files, batches, 1, tick)


def _in_threads(
    top: bytes,
    files: Sequence[TreeFile],
    batches: Sequence[list[int]],
    jobs: int,
    tick: Tick,
) -> list[Sequence[_Answer] | workers.Died]:
    from concurrent.futures import ThreadPoolExecutor

    count = _Counter()
    # Hashing lets other threads run for large buffers only: on small files they are a hindrance.
    large = [i for i, batch in enumerate(batches) if files[batch[0]].size > SMALL]
    answers: list[Sequence[_Answer] | workers.Died] = [[]] * len(batches)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = [
                pool.submit(_hash_batch, top, [files[j] for j in batches[i]], count.add)
                for i in large
            ]
            for i in range(len(large), len(batches)):
                answers[i] = _hash_batch(top, [files[j] for j in batches[i]], count.add)
                count.report(tick)
            _wait(futures, lambda _: count.report(tick))
        except BaseException:
            count.cancelled = True
            pool.shutdown(cancel_futures=True)
            raise
    for i, future in zip(large, futures, strict=True):
        answers[i] = future.result()
    return answers


def _on_executor(
    top: bytes,
    files: Sequence[TreeFile],
    batches: Sequence[list[int]],
    executor: "Executor",
    tick: Tick,
) -> list[Sequence[_Answer] | workers.Died]:
    sizes: dict[Future[list[_Answer]], int] = {}
    try:
        for batch in batches:
            chosen = [files[index] for index in batch]
            sizes[executor.submit(_hash_batch, top, chosen)] = sum(file.size for file in chosen)
        _wait(sizes, lambda done: tick(sum(sizes[future] for future in done)))
        return [future.result() for future in sizes]
    except BaseException:
        for future in sizes:
            future.cancel()
        raise


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
    """Bytes hashed by several threads, told to the caller in its own."""

    def __init__(self) -> None:
        self.cancelled = False
        self._counts: deque[int] = deque()

    def add(self, count: int) -> None:
        if self.cancelled:
            raise _Cancelled
        self._counts.append(count)  # atomic, unlike +=

    def report(self, tick: Tick) -> None:
        total = 0
        while self._counts:
            total += self._counts.popleft()
        tick(total)


def _ignore(count: int) -> None:
    pass
