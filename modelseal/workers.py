"""Run tasks in forked workers, and survive the death of any of them.

For the command line alone: a fork inside somebody's threaded program is unsafe. A worker may map
files into memory, for the signal that a truncated one raises ends that worker and nobody else.
"""

import marshal
import mmap
import os
import select
import signal
import struct
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn, Self

Tick = Callable[[int], None]
"""Called with the count of bytes just hashed."""

AVAILABLE: Final = hasattr(os, "fork") and hasattr(select, "poll")

_POLL_MS: Final = 100
_ENDING: Final = {getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)}
_HANDLED: Final = {signal.SIGINT, *_ENDING}

_INDEX: Final = struct.Struct("=I")

_PIPE_BYTES: Final = 1 << 16
"""What a pipe holds by itself on Linux, and at the most elsewhere."""
_WIDE_BYTES: Final = 1 << 19
"""What is asked for at the most."""
_ALL_BYTES: Final = 16 << 20
"""What all of ours may hold: those of one user may hold 64 MiB there, and then get narrow."""


class Died(NamedTuple):
    """In the place of a task's result: its worker ended before giving one."""

    signal: int


class NoWorkersError(Exception):
    """No process, or no descriptor to speak with it, is to be had."""


class Pool:
    """Children that call tasks, in order. A context manager: leaving it ends them.

    tasks: each is called with what it is to tick with. Its result must be what `marshal` can
    write, and it must not raise.
    workers: children at the most.
    ahead: tasks that a worker holds beside the one at work, so that it needn't wait for the next;
    none where tasks are long, or they would wait for it.
    """

    def __init__(
        self, tasks: Sequence[Callable[[Tick], Any]], *, workers: int, ahead: int = 0
    ) -> None:
        size = min(workers, len(tasks))
        self._tasks = tasks
        self._settle_with: Callable[[int, Any], object] | None = None
        self._ahead = ahead
        self._waiting = deque(range(len(tasks)))
        self._missing = len(tasks)
        self._poll = select.poll()
        self._children: dict[int, _Child] = {}
        # One counter a worker, so that no two processes write to the same place.
        self._shared = mmap.mmap(-1, 8 * max(size, 1))
        self._counters = memoryview(self._shared).cast("Q")
        self._free = list(range(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the children, whatever they do. Called twice, it does nothing."""
        for child in self._children.values():
            child.end()
        self._children.clear()
        self._counters.release()
        self._shared.close()

    def begin(self, answer: int) -> None:
        """Set children to work; what they find waits for `run`, which is called later.

        answer: bytes of a usual one, as `marshal` writes it.
        """
        with suppress(NoWorkersError):  # `run` will say so
            self._staff()
        children = self._children.values()
        # At most half of the work, so that whoever is done first can take of the rest.
        share = len(self._tasks) // (2 * len(children)) if children else 0
        for child in children:
            room = child.widen(min(share * answer, _ALL_BYTES // len(children)))
            share = min(share, room // answer)
        for _ in range(share - 1 - self._ahead):
            for child in children:
                self._feed(child)

    def run(self, settle: Callable[[int, Any], object], tick: Tick) -> None:
        """Wait until all is done.

        settle: called in this process with a task's number and its result, `Died` for one that
        took its worker with it; while the others are still at work.
        tick: called in this process.
        Raises NoWorkersError where not even one child can be started for what is not settled yet.
        """
        self._settle_with = settle
        reported = 0
        while self._missing:
            self._staff()
            for fd, _ in self._poll.poll(_POLL_MS):
                self._hear(self._children[fd])
            done = sum(self._counters)
            if done > reported:
                tick(done - reported)
                reported = done

    def _staff(self) -> None:
        """Have a child for every free place while there are tasks for it."""
        while self._waiting and self._free:
            place = self._free.pop()
            try:
                child = self._start(place)
            except OSError as err:
                if not self._children:
                    self._free.append(place)
                    raise NoWorkersError from err
                break  # fewer, then: those at work will do it
            self._children[child.results] = child
            self._poll.register(child.results, select.POLLIN)
            self._feed(child)
        for child in self._children.values():
            while self._waiting and len(child.holding) <= self._ahead:
                self._feed(child)

    def _start(self, place: int) -> "_Child":
        inherited = [fd for child in self._children.values() for fd in (child.tasks, child.results)]
        tasks_read, tasks_write = os.pipe()
        results_read = results_write = -1
        try:
            results_read, results_write = os.pipe()
            parent = os.getpid()
            # No signal may reach the child before it has dealt with those of its parent.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
            try:
                pid = os.fork()
                if pid == 0:
                    _Worker(parent, tasks_read, results_write, self._counters, place).serve(
                        self._tasks, mask, close=[*inherited, tasks_write, results_read]
                    )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except OSError:
            for fd in (tasks_read, tasks_write, results_read, results_write):
                if fd >= 0:
                    os.close(fd)
            raise
        os.close(tasks_read)
        os.close(results_write)
        return _Child(pid, place, tasks_write, results_read)

    def _feed(self, child: "_Child") -> None:
        if not self._waiting:
            return
        index = self._waiting.popleft()
        child.holding.append(index)
        # A dead child is noticed when its results end.
        with suppress(BrokenPipeError):
            os.write(child.tasks, _INDEX.pack(index))

    def _hear(self, child: "_Child") -> None:
        data = os.read(child.results, 1 << 16)
        if not data:
            self._bury(child)
            return
        child.heard += data
        for payload in child.frames():
            index = child.holding.popleft()
            self._feed(child)  # first: it works while we look at what it found
            self._settle(index, marshal.loads(payload))  # noqa: S302 - our own

    def _bury(self, child: "_Child") -> None:
        self._poll.unregister(child.results)
        del self._children[child.results]
        died = Died(child.end())
        if child.holding:
            self._settle(child.holding.popleft(), died)
            self._waiting.extendleft(reversed(child.holding))
        self._free.append(child.place)

    def _settle(self, index: int, result: Any) -> None:
        self._missing -= 1
        assert self._settle_with  # noqa: S101 - nothing is heard before `run`
        self._settle_with(index, result)


class _Child:
    """The parent's end of a worker.

    holding: the tasks it has and hasn't answered, in order.
    """

    def __init__(self, pid: int, place: int, tasks: int, results: int) -> None:
        self.pid = pid
        self.place = place
        self.tasks = tasks
        self.results = results
        self.holding: deque[int] = deque()
        self.heard = bytearray()

    def widen(self, size: int) -> int:
        """Let so many bytes of results wait, if that is possible; return how many may."""
        try:
            import fcntl

            wanted = max(_PIPE_BYTES, min(size, _WIDE_BYTES))
            return fcntl.fcntl(self.results, fcntl.F_SETPIPE_SZ, wanted)
        except (ImportError, AttributeError, OSError):
            return _PIPE_BYTES

    def frames(self) -> Iterator[bytes]:
        """Cut whole answers off what was heard."""
        head = _INDEX.size
        while len(self.heard) >= head:
            end = head + _INDEX.unpack_from(self.heard)[0]
            if len(self.heard) < end:
                return
            frame = bytes(self.heard[head:end])
            del self.heard[:end]
            yield frame

    def end(self) -> int:
        """Stop the worker, whatever it does; return the signal that ended it, or 0."""
        os.close(self.tasks)
        os.close(self.results)
        try:
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return 0  # somebody else buries our children: SIGCHLD is ignored, say
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


class _Worker:
    """The child's end."""

    def __init__(
        self, parent: int, tasks: int, results: int, counters: memoryview, place: int
    ) -> None:
        self._parent = parent
        self._tasks = tasks
        self._results = results
        self._counters = counters
        self._place = place

    def serve(
        self,
        tasks: Sequence[Callable[[Tick], Any]],
        mask: Collection[int],
        *,
        close: Sequence[int],
    ) -> NoReturn:
        """Answer until there are no more tasks. Nothing of the parent's may run after."""
        status = 1
        try:
            # The terminal's Ctrl-C reaches children too: the parent hears it and ends them.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in _ENDING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    signal.signal(number, signal.SIG_DFL)
            # A page that can't be read ends this worker, whatever the parent does about that.
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for fd in close:
                os.close(fd)
            while order := os.read(self._tasks, _INDEX.size):
                answer = marshal.dumps(tasks[_INDEX.unpack(order)[0]](self._tick))
                self._write(_INDEX.pack(len(answer)) + answer)
            status = 0
        finally:
            os._exit(status)

    def _tick(self, count: int) -> None:
        self._counters[self._place] += count
        if os.getppid() != self._parent:
            os._exit(1)  # nobody is left to hear of it

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._results, data) :]
