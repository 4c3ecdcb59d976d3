"""The hashing engine: digests of many files, on every core.

Two rounds. The first opens every file, hashes the small ones where they lie in the page cache, and
learns the sizes of the others; the second hashes those, the largest first.
"""

import os
import signal
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypedDict, Unpack

from modelseal import tree, workers
from modelseal.digests import BLAKE3, CHANGED, SHA256, Answer, Batch, hash_large, hash_small
from modelseal.outcomes import FileDigest, Outcome, Outcomes, outcome_of
from modelseal.runners import Progress, Runner, ignore
from modelseal.workers import Died

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = [
    "FileDigest",
    "Hashing",
    "Options",
    "Outcome",
    "Outcomes",
    "Request",
    "Tell",
    "hash_files",
]

_BATCH: Final = 256
_ANSWER_BYTES: Final = 80  # what is said of a small file, as it comes from a worker
# Below these, starting workers takes longer than the work.
_ALONE_FILES: Final = 512
_ALONE_BYTES: Final = 16 << 20

_PART_BYTES: Final = 32 << 20
"""Of a file in shards, what a task should have at least."""

# What reading a mapped page beyond the end of a file raises.
_BUS_ERROR: Final = getattr(signal, "SIGBUS", 0)


class Options(TypedDict, total=False):
    """The part of a `Request` that doesn't change what is found: for those who pass it on."""

    jobs: int
    fork: bool
    executor: "Executor | None"
    progress: Progress | None


class Request(Options, total=False):
    """What to hash, and how.

    links: those of the files that may be symbolic links.
    algorithms: of `digests.SHA256`, `BLAKE3` and `BLAKE2B`, all of one reading.
    shard_size: bytes after which files are cut, to digest each part; by one algorithm then.
    jobs: workers; 0 means one a CPU this process may use.
    fork: use forked processes, the fastest way; only for a program without threads.
    executor: run on this instead; a process pool or a cluster's will do, as long as its workers
    see the same files.
    progress: called in this thread, now and then. total: bytes in all, where the caller knows.
    """

    links: Collection[str]
    algorithms: Sequence[str]
    shard_size: int
    total: int


Tell = Callable[[tree.Read], object]
"""Called with some files as they were read."""


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hash_files(
    root: str | os.PathLike[str], files: Sequence[str], **what: Unpack[Request]
) -> list[Outcome]:
    """Hash N files: begin and finish, as in `Hashing`."""
    with Hashing(root, files, **what) as begun:
        return begun.finish().listed()


def _died(worker: Died, files: int = 1) -> Batch:
    answer: Answer = ("died", worker.signal, 0, b"")
    return 0, 0, b"", [], dict.fromkeys(range(files), answer)


def _joined(answers: Sequence[Answer]) -> Answer:
    """What is said of a file, from what is said of its parts; all must have seen the same file."""
    for answer in answers:
        if answer[0] != "shards":
            return answer
    if len({answer[3] for answer in answers}) > 1:
        return CHANGED
    digests = [digest for answer in answers for digest in answer[1]]
    return "shards", digests, sum(answer[2] for answer in answers), answers[0][3]


class Hashing:
    """N files that are being hashed. A context manager: leaving it ends what still runs.

    Workers, where there are any, begin at once; `finish` may be called after other things.

    root, files: paths below `root`, as `tree.walk` gives them; neighbours beside each other are
    faster. what: see `Request`.
    """

    def __init__(
        self, root: str | os.PathLike[str], files: Sequence[str], **what: Unpack[Request]
    ) -> None:
        self._top = os.fsencode(root)
        self._files = files
        self._links = frozenset(what.get("links", ()))
        self._algorithms = tuple(what.get("algorithms", (SHA256,)))
        self._shard_size = what.get("shard_size", 0)
        self._fork = what.get("fork", False) and workers.AVAILABLE
        self._executor = what.get("executor")
        self._runner = Runner(
            what.get("jobs") or usable_cpus(), what.get("progress"), what.get("total", 0)
        )
        self._batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
        self._tasks = [
            partial(
                hash_small,
                self._top,
                batch,
                self._links,
                self._algorithms,
                shard_size=self._shard_size,
            )
            for batch in self._batches
        ]
        if self._fork and BLAKE3 in self._algorithms:
            import blake3  # noqa: F401 - once here, and not in every child
        self._pool: workers.Pool | None = None
        if self._fork and self._executor is None and len(files) >= _ALONE_FILES:
            self._pool = workers.Pool(self._tasks, workers=self._runner.jobs, ahead=1)
            self._pool.begin(answer=_BATCH * _ANSWER_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.end()

    def finish(self, tell: Tell | None = None) -> Outcomes:
        """Wait for all.

        tell: called in this thread with files that were read, as soon as they are, while others are
        still being hashed; for whom SHA-256 is the first of the algorithms.
        """
        files = self._files
        algorithms = () if self._shard_size else self._algorithms
        outcomes = Outcomes(files, algorithms)
        large: list[tuple[int, int]] = []

        def settle(first: int, batch: Batch) -> None:
            outcomes.put(first, batch)
            for index, answer in batch[4].items():
                number = first + index
                if answer[0] == "large":
                    large.append((answer[2], number))
                else:
                    outcomes.others[number] = outcome_of(files[number], answer, algorithms)
            if tell and batch[3]:
                _, newest, stamps, (digests, *_), others = batch
                some = files[first : first + len(stamps) // tree.STAMP.size]
                tell(tree.Read(some, stamps, digests, newest).without(others))

        self._small(settle)
        large.sort(key=lambda found: (-found[0], found[1]))
        indices = [index for _, index in large]
        sized = [(files[index], size) for size, index in large]
        self._large(sized, lambda number, batch: settle(indices[number], batch))
        return outcomes

    def _small(self, settle: Callable[[int, Batch], None]) -> None:
        """The first round, a batch of neighbours a task."""

        def settle_batch(number: int, said: Batch | Died) -> None:
            if isinstance(said, Died):
                said = _died(said, len(self._batches[number]))
            settle(number * _BATCH, said)

        if self._executor is not None:
            self._runner.on_executor(self._executor, self._tasks, settle_batch)
        elif self._pool is not None:
            self._runner.in_children(self._pool, self._tasks, settle_batch)
        else:
            # Not in threads: hashing lets others run for large buffers only.
            self._runner.here(self._tasks, settle_batch)

    def _large(
        self, files: Sequence[tuple[str, int]], settle: Callable[[int, Batch], None]
    ) -> None:
        """The second round, a file or a part of one a task; files with their sizes."""
        total = sum(size for _, size in files)
        run = self._runner
        run.total = run.total or run.done + total
        alone = total < _ALONE_BYTES
        run.jobs = min(run.jobs, 1 + total // _ALONE_BYTES)  # a worker must be worth its start
        parts = [
            (index, part) for index, (_, size) in enumerate(files) for part in self._parts(size)
        ]
        tasks = [
            partial(
                hash_large,
                self._top,
                *files[index],
                files[index][0] in self._links,
                self._algorithms,
                part=part,
                shard_size=self._shard_size,
            )
            for index, part in parts
        ]

        of_files: list[dict[tuple[int, int], Answer | None]] = [{} for _ in files]
        for index, part in parts:
            of_files[index][part] = None

        def settle_file(number: int, said: Batch | Died) -> None:
            if isinstance(said, Died) and said.signal == _BUS_ERROR:
                # Cut short, or on a bad disk: reading says which.
                said = tasks[number](ignore)
            index, part = parts[number]
            batch = _died(said) if isinstance(said, Died) else said
            if not self._shard_size:
                settle(index, batch)
                return
            of_files[index][part] = batch[4][0]
            if None not in of_files[index].values():
                answer = _joined([each for each in of_files[index].values() if each])
                settle(index, (0, 0, b"", [], {0: answer}))

        if self._executor is not None:
            self._runner.on_executor(self._executor, tasks, settle_file)
        elif self._fork and not alone:
            mapped = [partial(task, mapped=True) for task in tasks]
            self._runner.in_children(workers.Pool(mapped, workers=run.jobs), tasks, settle_file)
        elif alone or run.jobs == 1:
            self._runner.here(tasks, settle_file)
        else:
            self._runner.in_threads(tasks, settle_file)

    def _parts(self, size: int) -> list[tuple[int, int]]:
        """Where a file is cut for several to work on it: between shards."""
        if not self._shard_size:
            return [(0, size)]
        step = self._shard_size * max(1, _PART_BYTES // self._shard_size)
        return [(start, min(start + step, size)) for start in range(0, size, step)]
