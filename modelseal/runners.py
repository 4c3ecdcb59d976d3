"""Where hashing runs: in this thread, in forked children, in threads, or on an executor."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from modelseal import workers
from modelseal.digests import Batch
from modelseal.workers import Died, Tick

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_WAIT_SECONDS: Final = 0.1

Progress = Callable[[int, int], None]
"""Called with the bytes hashed so far, and with those there are in all, 0 while nobody knows."""

Task = Callable[[Tick], Batch]
Settle = Callable[[int, Batch | Died], None]
"""Called with a task's number and what came of it."""


class Runner:
    """Runs tasks, and tells how far they are.

    jobs: workers at the most. total: bytes in all, 0 while nobody knows. done: those hashed so far.
    """

    def __init__(self, jobs: int, progress: Progress | None, total: int) -> None:
        self.jobs = jobs
        self.total = total
        self.done = 0
        self._progress = progress

    def tick(self, count: int) -> None:
        """So many more bytes are hashed."""
        self.done += count
        if self._progress is not None:
            self._progress(self.done, self.total)

    def here(self, tasks: Sequence[Task], settle: Settle) -> None:
        """In this thread, one after the other."""
        for number, task in enumerate(tasks):
            settle(number, task(self.tick))

    def in_children(self, pool: workers.Pool, tasks: Sequence[Task], settle: Settle) -> None:
        """In forked children.

        pool: of the tasks as children do them; only what may die of it can use a map.
        """
        left = set(range(len(tasks)))

        def note(number: int, said: Batch | Died) -> None:
            left.discard(number)
            settle(number, said)

        try:
            with pool:
                pool.run(note, self.tick)
        except workers.NoWorkersError:
            for number in sorted(left):  # slower, but done
                settle(number, tasks[number](self.tick))

    def in_threads(self, tasks: Sequence[Task], settle: Settle) -> None:
        """In threads; a failure, or an interrupt, ends them all."""
        from concurrent.futures import ThreadPoolExecutor

        count = _Counter()
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                futures = [pool.submit(task, count.add) for task in tasks]
                _wait(futures, settle, lambda _: self.tick(count.take()))
            except BaseException:
                count.cancelled = True
                pool.shutdown(cancel_futures=True)
                raise

    def on_executor(self, executor: "Executor", tasks: Sequence[Task], settle: Settle) -> None:
        """On the caller's executor, whatever it is."""
        futures: list[Future[Batch]] = []
        try:
            futures = [executor.submit(task, ignore) for task in tasks]
            _wait(futures, settle, lambda done: self.tick(sum(map(_hashed, done))))
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _hashed(future: "Future[Batch]") -> int:
    """The bytes that a finished task has hashed."""
    if future.cancelled() or future.exception():
        return 0
    return future.result()[0]


def _wait(
    futures: "Sequence[Future[Batch]]",
    settle: Settle,
    report: "Callable[[set[Future[Batch]]], object]",
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


def ignore(count: int) -> None:
    pass
