"""The hashing engine: digests of many files, on every core.

Two rounds. The first opens every file, hashes the small ones where they lie in the page cache, and
learns the sizes of the others; the second hashes those, the largest first.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from modelseal import workers
from modelseal.digests import BLAKE3, SHA256, Answer, hash_large, hash_small
from modelseal.errors import FileChangedError, FileUnreadableError, ModelSealError
from modelseal.workers import Died, Tick

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_BATCH: Final = 256
# Below these, starting workers takes longer than the work.
_ALONE_FILES: Final = 512
_ALONE_BYTES: Final = 16 << 20
_WAIT_SECONDS: Final = 0.1

# What reading a mapped page beyond the end of a file raises.
_BUS_ERROR: Final = getattr(signal, "SIGBUS", 0)

Progress = Callable[[int, int], None]
"""Called with the bytes hashed so far, and with those there are in all, 0 while nobody knows."""

_Task = Callable[[Tick], list[Answer]]


class Options(TypedDict, total=False):
    """How to hash, as `hash_files` takes it: for those who pass it on."""

    jobs: int
    fork: bool
    executor: "Executor | None"
    progress: Progress | None


class FileDigest(NamedTuple):
    """What a file is.

    sha256, blake3: 32 bytes, or none where that digest was not asked for.
    size: bytes.
    lfs_pointer: whether they stand in for the real content.
    stamp: of the file as it was read, as `tree.stamp` gives it.
    """

    sha256: bytes
    size: int
    lfs_pointer: bool = False
    blake3: bytes = b""
    stamp: bytes = b""


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
    algorithms: Sequence[str] = (SHA256,),
    jobs: int = 0,
    fork: bool = False,
    executor: "Executor | None" = None,
    progress: Progress | None = None,
    total: int = 0,
) -> list[FileDigest | ModelSealError]:
    """Hash N files.

    files: paths below `root`, as `tree.walk` gives them; neighbours beside each other are faster.
    links: those of them that may be symbolic links.
    algorithms: `digests.SHA256`, `digests.BLAKE3` or both, of one reading.
    jobs: workers; 0 means one a CPU this process may use.
    fork: use forked processes, the fastest way; only for a program without threads.
    executor: run on this instead; a process pool or a cluster's will do, as long as its workers
    see the same files.
    progress: called in this thread, now and then. total: bytes in all, where the caller knows.
    Returns, in the order of `files`, N digests; in place of one FileUnreadableError, or
    FileChangedError for a file that changed while it was read or is none any more.
    """
    algorithms = tuple(algorithms)
    engine = _Engine(
        os.fsencode(root),
        algorithms,
        jobs or usable_cpus(),
        fork=fork,
        executor=executor,
        progress=progress,
        total=total,
    )
    links = frozenset(links)
    answers = engine.small(files, links)
    large = [index for index, answer in enumerate(answers) if answer[0] == "large"]
    large.sort(key=lambda index: answers[index][2], reverse=True)
    sized = [(files[index], answers[index][2]) for index in large]
    for index, answer in zip(large, engine.large(sized, links), strict=True):
        answers[index] = answer
    return [_outcome(path, answer, algorithms) for path, answer in zip(files, answers, strict=True)]


def _outcome(path: str, answer: Answer, algorithms: tuple[str, ...]) -> FileDigest | ModelSealError:
    word, what, size, stamp = answer
    if word in ("digest", "pointer"):
        if algorithms == (SHA256,):
            return FileDigest(what[0], size, word == "pointer", b"", stamp)
        made = dict(zip(algorithms, what, strict=True))
        sha256, blake3 = made.get(SHA256, b""), made.get(BLAKE3, b"")
        return FileDigest(sha256, size, word == "pointer", blake3, stamp)
    if word == "unreadable":
        return FileUnreadableError(f"cannot read '{path}': {what}")
    if word == "died":
        how = f"was ended by signal {what}" if what else "ended early"
        return FileUnreadableError(f"cannot hash '{path}': its worker {how}")
    return FileChangedError(f"'{path}' changed while it was read")


def _died(worker: Died) -> Answer:
    return "died", worker.signal, 0, b""


class _Engine:
    """Where tasks run, and what is told of their progress."""

    def __init__(
        self,
        top: bytes,
        algorithms: tuple[str, ...],
        jobs: int,
        *,
        fork: bool,
        executor: "Executor | None",
        progress: Progress | None,
        total: int,
    ) -> None:
        self._top = top
        self._algorithms = algorithms
        self._jobs = jobs
        self._fork = fork and workers.AVAILABLE
        self._executor = executor
        self._progress = progress
        self._total = total
        self._done = 0

    def small(self, files: Sequence[str], links: frozenset[str]) -> list[Answer]:
        """The first round, a batch of neighbours a task."""
        batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
        tasks = [
            partial(hash_small, self._top, batch, links, self._algorithms) for batch in batches
        ]
        if self._executor is not None:
            told = self._on_executor(tasks)
        elif self._fork and len(files) >= _ALONE_FILES:
            told = self._in_children(tasks, tasks, ahead=1)
        else:
            # Not in threads: hashing lets others run for large buffers only.
            told = self._here(tasks)
        answers: list[Answer] = []
        for batch, said in zip(batches, told, strict=True):
            answers += [_died(said)] * len(batch) if isinstance(said, Died) else said
        return answers

    def large(self, files: Sequence[tuple[str, int]], links: frozenset[str]) -> list[Answer]:
        """The second round, a file a task; files with their sizes."""
        total = sum(size for _, size in files)
        self._total = self._total or self._done + total
        alone = total < _ALONE_BYTES
        self._jobs = min(self._jobs, 1 + total // _ALONE_BYTES)  # a worker must be worth its start
        tasks = [
            partial(hash_large, self._top, path, size, path in links, self._algorithms)
            for path, size in files
        ]
        if self._executor is not None:
            told = self._on_executor(tasks)
        elif self._fork and not alone:
            told = self._in_children(tasks, [partial(task, mapped=True) for task in tasks])
        elif alone or self._jobs == 1:
            told = self._here(tasks)
        else:
            told = self._in_threads(tasks)
        for index, said in enumerate(told):
            if isinstance(said, Died) and said.signal == _BUS_ERROR:
                # Cut short, or on a bad disk: reading says which.
                told[index] = tasks[index](_ignore)
        return [_died(said) if isinstance(said, Died) else said[0] for said in told]

    def _tick(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _here(self, tasks: Sequence[_Task]) -> list[list[Answer] | Died]:
        return [task(self._tick) for task in tasks]

    def _in_children(
        self, tasks: Sequence[_Task], theirs: Sequence[_Task], ahead: int = 0
    ) -> list[list[Answer] | Died]:
        """`theirs` is how children do the tasks: only what may die of it can use a map."""
        try:
            return workers.run(theirs, workers=self._jobs, tick=self._tick, ahead=ahead)
        except workers.NoWorkersError:
            return self._here(tasks)  # slower, but done

    def _in_threads(self, tasks: Sequence[_Task]) -> list[list[Answer] | Died]:
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

    def _on_executor(self, tasks: Sequence[_Task]) -> list[list[Answer] | Died]:
        assert self._executor is not None  # noqa: S101 - the callers looked
        futures: list[Future[list[Answer]]] = []
        try:
            futures = [self._executor.submit(task, _ignore) for task in tasks]
            _wait(futures, lambda done: self._tick(sum(map(_hashed, done))))
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _hashed(future: "Future[list[Answer]]") -> int:
    """The bytes that a finished task has hashed."""
    if future.cancelled() or future.exception():
        return 0
    return sum(size for word, _, size, _ in future.result() if word in ("digest", "pointer"))


def _wait(
    futures: "Iterable[Future[list[Answer]]]",
    report: "Callable[[set[Future[list[Answer]]]], object]",
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
