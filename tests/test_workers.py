"""Forked workers: results in order, whatever becomes of the workers, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelseal import workers
from modelseal.workers import Died, NoWorkersError, Pool, Tick

pytestmark = pytest.mark.skipif(not workers.AVAILABLE, reason="this system does not fork")

TOP = Path(__file__).parents[1]
CALL = """
import importlib, sys
getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*sys.argv[3:])
"""


def start(function: Callable[..., None], *args: str | Path) -> subprocess.Popen[str]:
    """Run a function of a test module in a process of its own, where it may fork."""
    return subprocess.Popen(
        [sys.executable, "-c", CALL, function.__module__, function.__name__, *map(str, args)],
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alone(function: Callable[..., None], *args: str | Path, timeout: float = 60) -> None:
    """The same, to its end; what fails there fails here."""
    with start(function, *args) as process:
        try:
            _, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, err
    assert err == ""


def children(parent: int) -> list[int]:
    """The processes that `parent` started and that still live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it ended meanwhile
        if int(ppid) == parent and state != "Z":
            found.append(int(stat.parent.name))
    return found


def lives(pid: int) -> bool:
    """Whether a process is there, and more than a zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descriptors() -> list[int]:
    """The open descriptors of this process, in order."""
    found = []
    for number in sorted(map(int, os.listdir("/dev/fd"))):
        # The one that the listing was read by is closed again.
        with suppress(OSError):
            os.fstat(number)
            found.append(number)
    return found


def give(
    work: Callable[[Any, Tick], Any],
    orders: Iterable[Any],
    *,
    workers: int,
    tick: Tick = lambda _: None,
    answer: int = 0,
) -> list[Any]:
    """Have `work` done for each of some orders.

    answer: bytes of one, to have it begun before anybody listens.
    """
    tasks = [partial(work, order) for order in orders]
    settled: dict[int, Any] = {}

    def settle(number: int, said: Any) -> None:
        assert number not in settled
        settled[number] = said

    with Pool(tasks, workers=workers) as pool:
        if answer:
            pool.begin(answer)
            time.sleep(0.1)
        pool.run(settle, tick)
    return [settled[number] for number in range(len(tasks))]


def _nothing_is_left(before: list[int]) -> None:
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def _later_the_sooner(task: int, tick: Tick) -> tuple[int, bytes]:
    time.sleep((task % 3) / 500)
    tick(task)
    # Longer than a pipe holds, so that answers come in pieces.
    return task, bytes([task]) * (200_000 if task % 5 == 0 else 3)


def _answers_come_in_order() -> None:
    before = descriptors()
    tasks = list(range(1, 40))
    for answer in (0, 1, 10_000, 1 << 30):
        told: list[int] = []
        results = give(_later_the_sooner, tasks, workers=3, tick=told.append, answer=answer)
        assert results == [_later_the_sooner(task, lambda _: None) for task in tasks]
        assert sum(told) == sum(tasks)
        assert min(told) > 0
        _nothing_is_left(before)


def test_answers_come_in_order_and_progress_sums_up() -> None:
    alone(_answers_come_in_order)


def _process_id(task: int, tick: Tick) -> int:
    time.sleep(0.02)
    return os.getpid()


def _as_many_as_asked_for() -> None:
    for count, tasks, expected in [(1, 5, 1), (3, 30, 3), (8, 2, 2)]:
        pids = give(_process_id, range(tasks), workers=count)
        assert len(pids) == tasks
        assert len(set(pids)) == expected
        assert os.getpid() not in pids


def test_as_many_workers_as_asked_for_and_no_more_than_tasks() -> None:
    alone(_as_many_as_asked_for)


def test_no_task_is_no_work() -> None:
    assert give(_process_id, [], workers=2) == []


def _fatal(task: str, tick: Tick) -> Any:
    tick(1)
    match task:
        case "raise":
            raise RuntimeError("work that breaks its promise")
        case "exit":
            os._exit(3)
        case "answer":
            return object()  # nothing that marshal can write
        case number if number.isdigit():
            os.kill(os.getpid(), int(number))
    return task


ENDS = {
    "9": Died(signal.SIGKILL),
    "raise": Died(0),
    "fine": "fine",
    str(int(signal.SIGBUS)): Died(signal.SIGBUS),
    "exit": Died(0),
    "too": "too",
    "answer": Died(0),
    str(int(signal.SIGSEGV)): Died(signal.SIGSEGV),
    "last": "last",
}


def _a_worker_takes_its_task_alone_with_it() -> None:
    before = descriptors()
    for answer in (0, 10):
        for count in (1, 2, 4):
            assert give(_fatal, ENDS, workers=count, answer=answer) == list(ENDS.values())
            _nothing_is_left(before)
        ends = give(_fatal, ["9"] * 20, workers=2, answer=answer)
        assert ends == [Died(signal.SIGKILL)] * 20
        _nothing_is_left(before)


def test_a_worker_takes_its_task_alone_with_it() -> None:
    alone(_a_worker_takes_its_task_alone_with_it)


def _without_end(task: int, tick: Tick) -> int:
    while task:
        tick(1)
        time.sleep(0.001)
    return task


def _an_interruption_ends_the_workers() -> None:
    before = descriptors()
    started = []

    def interrupt(count: int) -> None:
        started.extend(children(os.getpid()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give(_without_end, [1, 1, 1], workers=2, tick=interrupt)
    assert len(started) == 2
    _nothing_is_left(before)


def _half_of_the_work_is_done_before_anybody_listens() -> None:
    before = descriptors()
    told: list[int] = []

    def report(task: int, tick: Tick) -> int:
        tick(1)
        return task

    tasks = [partial(report, task) for task in range(40)]
    with Pool(tasks, workers=2) as pool:
        pool.begin(8)
        deadline = time.monotonic() + 10
        while sum(pool._counters) < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert sum(pool._counters) == 20
        pool.run(lambda number, said: told.append(said), lambda _: None)
        assert sorted(told) == list(range(40))
    _nothing_is_left(before)
    with pytest.raises(KeyboardInterrupt), Pool(tasks, workers=2) as pool:
        pool.begin(8)
        raise KeyboardInterrupt
    _nothing_is_left(before)


def _no_descriptor_is_to_be_had() -> None:
    import resource

    before = descriptors()
    top = max(before) + 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for more in range(4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + more, hard))
        for answer in (0, 8):
            with pytest.raises(NoWorkersError):
                give(_without_end, [0, 0], workers=2, answer=answer)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        _nothing_is_left(before)
    # Enough for one worker: it does the work of the others.
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 5, hard))
    assert give(_without_end, [0] * 9, workers=3) == [0] * 9
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    _nothing_is_left(before)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
@pytest.mark.parametrize(
    "scenario",
    [
        _an_interruption_ends_the_workers,
        _half_of_the_work_is_done_before_anybody_listens,
        _no_descriptor_is_to_be_had,
    ],
)
def test_nothing_is_left_behind(scenario: Callable[[], None]) -> None:
    alone(scenario)


def _work_for_ever() -> None:
    def tell(count: int) -> None:
        if told or not count:
            return
        told.append(count)
        print(*children(os.getpid()), flush=True)

    told: list[int] = []
    # The second task ends at once, and its worker waits for another.
    give(_without_end, [1, 0], workers=2, tick=tell)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
def test_workers_end_with_their_parent() -> None:
    with start(_work_for_ever) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
        deadline = time.monotonic() + 10
        while any(map(lives, pids)) and time.monotonic() < deadline:
            time.sleep(0.005)
        left = [pid for pid in pids if lives(pid)]
    assert pids
    assert left == []


def _an_interrupt_at_the_terminal() -> None:
    def interrupt(count: int) -> None:
        # As the terminal does it: everybody in the foreground gets the signal.
        os.killpg(0, signal.SIGINT)

    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    heard: list[int] = []
    results = give(_later_the_sooner, range(1, 40), workers=2, tick=interrupt)
    assert heard
    assert [task for task, _ in results] == list(range(1, 40))


def test_an_interrupt_is_for_the_parent_to_judge() -> None:
    alone(_an_interrupt_at_the_terminal)


def _a_hangup_under_nohup() -> None:
    def hang_up(count: int) -> None:
        os.killpg(0, signal.SIGHUP)

    os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    results = give(_later_the_sooner, range(1, 40), workers=2, tick=hang_up)
    assert [task for task, _ in results] == list(range(1, 40))


def test_what_the_parent_ignores_ends_no_worker() -> None:
    alone(_a_hangup_under_nohup)


def _somebody_else_buries() -> None:
    before = descriptors()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    results = give(_later_the_sooner, range(1, 40), workers=3)
    assert [task for task, _ in results] == list(range(1, 40))
    assert Died(0) in give(_die, [1, 0], workers=1)
    _nothing_is_left(before)


def _die(task: int, tick: Tick) -> int:
    if task:
        os._exit(1)
    return task


def test_children_that_are_not_ours_to_bury() -> None:
    alone(_somebody_else_buries)
