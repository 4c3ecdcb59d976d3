"""The hashing engine: digests of many files, on every core.

Two rounds. The first opens every file, hashes the small ones where they lie in the page cache, and
learns the sizes of the others; the second hashes those, the largest first.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from modelseal import workers
from modelseal.digests import BLAKE2B, BLAKE3, CHANGED, SHA256, Answer, hash_large, hash_small
from modelseal.errors import FileChangedError, FileUnreadableError, ModelSealError
from modelseal.workers import Died, Tick

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_BATCH: Final = 256
# Below these, starting workers takes longer than the work.
_ALONE_FILES: Final = 512
_ALONE_BYTES: Final = 16 << 20
_WAIT_SECONDS: Final = 0.1

_PART_BYTES: Final = 32 << 20
"""Of a file in shards, what a task should have at least."""

# What reading a mapped page beyond the end of a file raises.
_BUS_ERROR: Final = getattr(signal, "SIGBUS", 0)

Progress = Callable[[int, int], None]
"""Called with the bytes hashed so far, and with those there are in all, 0 while nobody knows."""

_SHARDS: Final = ("shards",)
"""In place of algorithms, where files have a digest a shard."""

_Task = Callable[[Tick], list[Answer]]
_Settle = Callable[[int, list[Answer] | Died], None]


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
    blake2b: 64 bytes, or none.
    shards: in place of all these, the digest of each shard.
    """

    sha256: bytes
    size: int
    lfs_pointer: bool = False
    blake3: bytes = b""
    stamp: bytes = b""
    blake2b: bytes = b""
    shards: tuple[bytes, ...] = ()

    def digest(self, algorithm: str) -> bytes:
        """The digest by one algorithm, of the whole file."""
        return {SHA256: self.sha256, BLAKE3: self.blake3, BLAKE2B: self.blake2b}[algorithm]


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
    shard_size: int = 0,
    jobs: int = 0,
    fork: bool = False,
    executor: "Executor | None" = None,
    progress: Progress | None = None,
    total: int = 0,
    each: Callable[[int, FileDigest | ModelSealError], object] | None = None,
) -> list[FileDigest | ModelSealError]:
    """Hash N files.

    files: paths below `root`, as `tree.walk` gives them; neighbours beside each other are faster.
    links: those of them that may be symbolic links.
    algorithms: of `digests.SHA256`, `BLAKE3` and `BLAKE2B`, all of one reading.
    shard_size: bytes after which files are cut, to digest each part; by one algorithm then.
    jobs: workers; 0 means one a CPU this process may use.
    fork: use forked processes, the fastest way; only for a program without threads.
    executor: run on this instead; a process pool or a cluster's will do, as long as its workers
    see the same files.
    progress: called in this thread, now and then. total: bytes in all, where the caller knows.
    each: called in this thread with an index into `files` and what will be returned there, as soon
    as it is known, while others are still being hashed.
    Returns, in the order of `files`, N digests; in place of one FileUnreadableError, or
    FileChangedError for a file that changed while it was read or is none any more.
    """
    algorithms = tuple(algorithms)
    engine = _Engine(
        os.fsencode(root),
        algorithms,
        shard_size,
        jobs or usable_cpus(),
        fork=fork,
        executor=executor,
        progress=progress,
        total=total,
    )
    links = frozenset(links)
    # Every one of them is replaced below.
    outcomes: list[FileDigest | ModelSealError] = [_UNKNOWN] * len(files)
    large: list[tuple[int, int]] = []

    made = _SHARDS if shard_size else algorithms

    def settle(index: int, answer: Answer) -> None:
        if answer[0] == "large":
            large.append((answer[2], index))
            return
        outcomes[index] = outcome = _outcome(files[index], answer, made)
        if each:
            each(index, outcome)

    engine.small(files, links, settle)
    large.sort(key=lambda found: (-found[0], found[1]))
    indices = [index for _, index in large]
    sized = [(files[index], size) for size, index in large]
    engine.large(sized, links, lambda number, answer: settle(indices[number], answer))
    return outcomes


def _outcome(path: str, answer: Answer, algorithms: tuple[str, ...]) -> FileDigest | ModelSealError:
    word, what, size, stamp = answer
    if word in ("digest", "pointer"):
        if algorithms is _SHARDS:
            return FileDigest(b"", size, word == "pointer", b"", stamp, shards=tuple(what))
        if algorithms == (SHA256,):
            return FileDigest(what[0], size, word == "pointer", b"", stamp)
        made = dict(zip(algorithms, what, strict=True))
        sha256, blake3 = made.get(SHA256, b""), made.get(BLAKE3, b"")
        blake2b = made.get(BLAKE2B, b"")
        return FileDigest(sha256, size, word == "pointer", blake3, stamp, blake2b)
    if word == "unreadable":
        return FileUnreadableError(f"cannot read '{path}': {what}")
    if word == "died":
        how = f"was ended by signal {what}" if what else "ended early"
        return FileUnreadableError(f"cannot hash '{path}': its worker {how}")
    return FileChangedError(f"'{path}' changed while it was read")


def _died(worker: Died) -> Answer:
    return "died", worker.signal, 0, b""


_UNKNOWN: Final = FileDigest(b"", 0)


def _joined(answers: Sequence[Answer]) -> Answer:
    """What is said of a file, from what is said of its parts; all must have seen the same file."""
    for answer in answers:
        if answer[0] != "digest":
            return answer
    if len({answer[3] for answer in answers}) > 1:
        return CHANGED
    digests = [digest for answer in answers for digest in answer[1]]
    return "digest", digests, sum(answer[2] for answer in answers), answers[0][3]


class _Engine:
    """Where tasks run, and what is told of their progress."""

    def __init__(
        self,
        top: bytes,
        algorithms: tuple[str, ...],
        shard_size: int,
        jobs: int,
        *,
        fork: bool,
        executor: "Executor | None",
        progress: Progress | None,
        total: int,
    ) -> None:
        self._top = top
        self._algorithms = algorithms
        self._shard_size = shard_size
        self._jobs = jobs
        self._fork = fork and workers.AVAILABLE
        self._executor = executor
        self._progress = progress
        self._total = total
        self._done = 0

    def small(
        self,
        files: Sequence[str],
        links: frozenset[str],
        settle: Callable[[int, Answer], None],
    ) -> None:
        """The first round, a batch of neighbours a task."""
        batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
        tasks = [
            partial(
                hash_small,
                self._top,
                batch,
                links,
                self._algorithms,
                shard_size=self._shard_size,
            )
            for batch in batches
        ]

        def settle_batch(number: int, said: list[Answer] | Died) -> None:
            start = number * _BATCH
            if isinstance(said, Died):
                said = [_died(said)] * len(batches[number])
            for index, answer in enumerate(said, start):
                settle(index, answer)

        if self._executor is not None:
            self._on_executor(tasks, settle_batch)
        elif self._fork and len(files) >= _ALONE_FILES:
            self._in_children(tasks, tasks, settle_batch, ahead=1)
        else:
            # Not in threads: hashing lets others run for large buffers only.
            self._here(tasks, settle_batch)

    def large(
        self,
        files: Sequence[tuple[str, int]],
        links: frozenset[str],
        settle: Callable[[int, Answer], None],
    ) -> None:
        """The second round, a file or a part of one a task; files with their sizes."""
        total = sum(size for _, size in files)
        self._total = self._total or self._done + total
        alone = total < _ALONE_BYTES
        self._jobs = min(self._jobs, 1 + total // _ALONE_BYTES)  # a worker must be worth its start
        parts = [
            (index, part) for index, (_, size) in enumerate(files) for part in self._parts(size)
        ]
        tasks = [
            partial(
                hash_large,
                self._top,
                *files[index],
                files[index][0] in links,
                self._algorithms,
                part=part,
                shard_size=self._shard_size,
            )
            for index, part in parts
        ]

        of_files: list[dict[tuple[int, int], Answer | None]] = [{} for _ in files]
        for index, part in parts:
            of_files[index][part] = None

        def settle_file(number: int, said: list[Answer] | Died) -> None:
            if isinstance(said, Died) and said.signal == _BUS_ERROR:
                # Cut short, or on a bad disk: reading says which.
                said = tasks[number](_ignore)
            index, part = parts[number]
            answer = _died(said) if isinstance(said, Died) else said[0]
            if not self._shard_size:
                settle(index, answer)
                return
            of_files[index][part] = answer
            if None not in of_files[index].values():
                settle(index, _joined([each for each in of_files[index].values() if each]))

        if self._executor is not None:
            self._on_executor(tasks, settle_file)
        elif self._fork and not alone:
            mapped = [partial(task, mapped=True) for task in tasks]
            self._in_children(tasks, mapped, settle_file)
        elif alone or self._jobs == 1:
            self._here(tasks, settle_file)
        else:
            self._in_threads(tasks, settle_file)

    def _parts(self, size: int) -> list[tuple[int, int]]:
        """Where a file is cut for several to work on it: between shards."""
        if not self._shard_size:
            return [(0, size)]
        step = self._shard_size * max(1, _PART_BYTES // self._shard_size)
        return [(start, min(start + step, size)) for start in range(0, size, step)]

    def _tick(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _here(self, tasks: Sequence[_Task], settle: _Settle) -> None:
        for number, task in enumerate(tasks):
            settle(number, task(self._tick))

    def _in_children(
        self, tasks: Sequence[_Task], theirs: Sequence[_Task], settle: _Settle, ahead: int = 0
    ) -> None:
        """`theirs` is how children do the tasks: only what may die of it can use a map."""
        left = set(range(len(tasks)))

        def note(number: int, said: list[Answer] | Died) -> None:
            left.discard(number)
            settle(number, said)

        try:
            workers.run(theirs, note, workers=self._jobs, tick=self._tick, ahead=ahead)
        except workers.NoWorkersError:
            for number in sorted(left):  # slower, but done
                settle(number, tasks[number](self._tick))

    def _in_threads(self, tasks: Sequence[_Task], settle: _Settle) -> None:
        from concurrent.futures import ThreadPoolExecutor

        count = _Counter()
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                futures = [pool.submit(task, count.add) for task in tasks]
                _wait(futures, settle, lambda _: self._tick(count.take()))
            except BaseException:
                count.cancelled = True
                pool.shutdown(cancel_futures=True)
                raise

    def _on_executor(self, tasks: Sequence[_Task], settle: _Settle) -> None:
        assert self._executor is not None  # noqa: S101 - the callers looked
        futures: list[Future[list[Answer]]] = []
        try:
            futures = [self._executor.submit(task, _ignore) for task in tasks]
            _wait(futures, settle, lambda done: self._tick(sum(map(_hashed, done))))
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
    futures: "Sequence[Future[list[Answer]]]",
    settle: _Settle,
    report: "Callable[[set[Future[list[Answer]]]], object]",
) -> None:
    """Settle futures as they end. Raises what the first that failed has raised."""
    from concurrent.futures import FIRST_EXCEPTION, wait

    numbers = {future: number for number, future in enumerate(futures)}
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=_WAIT_SECONDS, return_when=FIRST_EXCEPTION)
        report(done)
        for future in done:
            settle(numbers[future], future.result())


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
