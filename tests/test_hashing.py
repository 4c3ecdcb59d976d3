"""The hashing engine: one answer however the work is spread, and none for a file in motion."""

import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from modelseal import tree
from modelseal.errors import FileChangedError, FileUnreadableError, ModelSealError
from modelseal.hashing import FileDigest, hash_files
from tests.irregular import make_socket
from tests.test_workers import alone, children, start

MIB = 1 << 20
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n"

Mode = Literal["in line", "threads", "fork", "thread pool", "process pool"]
MODES: list[Mode] = ["in line", "threads", "fork", "thread pool", "process pool"]
Outcomes = list[FileDigest | ModelSealError]


class Told(NamedTuple):
    """What `progress` was called with."""

    done: int
    total: int


def digests(root: Path, files: list[str], mode: Mode) -> tuple[Outcomes, list[Told]]:
    """Hash in one of the ways there are."""
    told: list[Told] = []

    def progress(done: int, total: int) -> None:
        told.append(Told(done, total))

    options: dict[Mode, dict[str, Any]] = {
        "in line": {"jobs": 1},
        "threads": {"jobs": 2},
        "fork": {"jobs": 2, "fork": True},
    }
    with ExitStack() as stack:
        chosen = options.get(mode, {})
        if mode == "thread pool":
            chosen["executor"] = stack.enter_context(ThreadPoolExecutor(2))
        if mode == "process pool":
            pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
            chosen["executor"] = stack.enter_context(pool)
        return hash_files(root, files, **chosen, progress=progress), told


def sparse(path: Path, size: int) -> Path:
    """A file of zeros that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough files, and bytes, for every way of working to start workers."""
    root = tmp_path_factory.mktemp("many")
    made = random.Random(1)
    for name in range(12):
        (root / f"{name}").mkdir()
        for size in range(200):
            (root / f"{name}" / f"{size}.txt").write_bytes(made.randbytes(size * name))
    for size in (MIB - 1, MIB, MIB + 1, 3 * MIB + 7):
        (root / f"{size}.bin").write_bytes(made.randbytes(size))
    (root / "pointer").write_bytes(POINTER)
    (root / "pointer-and-more").write_bytes(POINTER + b"\n" * 1024)
    sparse(root / "sparse.bin", 40 * MIB + 5)
    return root


def digest(path: Path) -> FileDigest:
    """The answer, by the simplest way there is."""
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).digest()
    return FileDigest(sha256, len(content), content == POINTER, b"", tree.stamp(path.stat()))


def expected(root: Path, files: list[str]) -> list[FileDigest]:
    """The answers for some files."""
    return [digest(root / path) for path in files]


def _every_file_has_its_digest(root: str, mode: Mode) -> None:
    top = Path(root)
    files = tree.walk(top).files
    for _ in range(2):
        outcomes, told = digests(top, files, mode)
        assert outcomes == expected(top, files)
        total = sum((top / path).stat().st_size for path in files)
        assert told[-1] == Told(total, total)
        assert [was.done for was in told] == sorted(was.done for was in told)
        assert {was.total for was in told} <= {0, total}
        random.Random(2).shuffle(files)


@pytest.mark.parametrize("mode", MODES)
def test_every_file_has_its_digest_in_the_order_asked_for(many: Path, mode: Mode) -> None:
    alone(_every_file_has_its_digest, many, mode)


@pytest.mark.parametrize(("jobs", "fork"), [(0, False), (0, True), (1, True), (16, True)])
def test_few_and_small_files_have_digests(model: Path, jobs: int, fork: bool) -> None:
    files = tree.walk(model).files
    assert hash_files(model, files, jobs=jobs, fork=fork) == expected(model, files)
    assert hash_files(model, [], jobs=jobs, fork=fork) == []


def test_a_path_may_be_text_relative_or_a_path(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tree.walk(model).files
    monkeypatch.chdir(model.parent)
    assert hash_files(str(model), files) == hash_files("model", files) == expected(model, files)


def _opened_in_this_order(root: str) -> None:
    opened: list[str] = []

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str | bytes):
            opened.append(os.path.basename(os.fsdecode(args[0])))

    large = [f"{size}.bin" for size in (40 * MIB, 5 * MIB, 3 * MIB, 2 * MIB)]
    for name in reversed(large):
        sparse(Path(root) / name, int(name.removesuffix(".bin")))
    for number in range(20):
        (Path(root) / f"{number}.txt").write_bytes(bytes(number))
    files = tree.walk(root).files
    sys.addaudithook(hear)
    hash_files(root, files, jobs=1)
    names = [name for name in opened if name.endswith(".bin")]
    assert names[-len(large) :] == large


def test_large_files_come_first(tmp_path: Path) -> None:
    alone(_opened_in_this_order, tmp_path)


# What becomes of a file between the walk and its turn.
Damage = Callable[[Path], object]
EITHER = (FileChangedError, FileUnreadableError)


def _grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def _linked(path: Path) -> None:
    path.rename(path.with_suffix(".kept"))
    path.symlink_to(path.with_suffix(".kept").name)


def _linked_away(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _looped(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _held_pipe(path: Path) -> None:
    """A FIFO that somebody holds open and never writes to; the descriptor stays for the test."""
    _piped(path)
    os.open(path, os.O_RDWR)


def _listening(path: Path) -> None:
    path.unlink()
    make_socket(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


# A regular file is what it is when it is opened; anything else is an error.
DAMAGES: dict[str, tuple[Damage, tuple[type, ...]]] = {
    "removed": (Path.unlink, (FileUnreadableError,)),
    "grown": (_grown, (FileDigest,)),
    "shrunk": (lambda path: os.truncate(path, 3), (FileDigest,)),
    "emptied": (lambda path: os.truncate(path, 0), (FileDigest,)),
    "linked": (_linked, EITHER),
    "linked-away": (_linked_away, EITHER),
    "looped": (_looped, EITHER),
    "piped": (_piped, EITHER),
    "held-pipe": (_held_pipe, EITHER),
    "listening": (_listening, EITHER),
    "directory": (_directory, EITHER),
}
SIZES = {"small": 5, "large": 2 * MIB + 3}


def _no_digest_for_what_is_no_file_any_more(top: str, mode: Mode) -> None:
    root = Path(top) / "model"
    for damage in DAMAGES:
        for name, size in SIZES.items():
            target = root / f"{damage}-{name}" / "file"
            target.parent.mkdir(parents=True)
            target.write_bytes(b"a" * size)
    sparse(root / "untouched", 40 * MIB)
    files = tree.walk(root).files
    for damage, (apply, _) in DAMAGES.items():
        for name in SIZES:
            apply(root / f"{damage}-{name}" / "file")
    outcomes, _ = digests(root, files, mode)
    for path, outcome in zip(files, outcomes, strict=True):
        allowed = (FileDigest,) if path == "untouched" else DAMAGES[path.rpartition("-")[0]][1]
        assert isinstance(outcome, allowed), f"{path}: {outcome!r}"
        if isinstance(outcome, FileDigest):
            assert outcome == digest(root / path), path
        else:
            assert f"'{path}'" in str(outcome)


@pytest.mark.parametrize("mode", MODES)
def test_no_digest_for_what_is_no_file_any_more(tmp_path: Path, mode: Mode) -> None:
    alone(_no_digest_for_what_is_no_file_any_more, tmp_path, mode)


def test_links_are_followed_only_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for name, target in {"link": "file", "zero": "/dev/zero", "directory": "."}.items():
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to-fifo").symlink_to("fifo")
    assert hash_files(tmp_path, ["link"], links=["link"]) == [digest(tmp_path / "link")]
    [outcome] = hash_files(tmp_path, ["link"], links=["other"])
    assert isinstance(outcome, EITHER)
    odd = ["zero", "directory", "to-fifo"]
    for outcome in hash_files(tmp_path, odd, links=odd):
        assert isinstance(outcome, EITHER)


def _a_file_that_moves(root: str, mode: Mode) -> None:
    """Damage, from within `progress`, what is being read at that moment."""
    for act, size in [("truncate", 0), ("truncate", 150 * MIB), ("append", 0), ("write", 0)]:
        path = sparse(Path(root) / "moving", 200 * MIB)
        done: list[int] = []

        def damage(
            count: int,
            _: int,
            *,
            path: Path = path,
            done: list[int] = done,
            act: str = act,
            size: int = size,
        ) -> None:
            if done or count == 0:
                return
            done.append(count)
            if act == "truncate":
                os.truncate(path, size)
            else:
                with path.open("ab" if act == "append" else "r+b") as file:
                    file.write(b"x")

        files = tree.walk(root).files
        assert files == ["moving"]
        [outcome] = hash_files(root, files, jobs=2, fork=mode == "fork", progress=damage)
        assert done
        assert done[0] < 200 * MIB
        assert isinstance(outcome, FileChangedError), (act, size, outcome)
        assert str(outcome) == "'moving' changed while it was read"


@pytest.mark.parametrize("mode", ["threads", "fork"])
def test_no_digest_for_a_file_that_moves_under_the_reader(tmp_path: Path, mode: Mode) -> None:
    alone(_a_file_that_moves, tmp_path, mode)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are listed in /proc"
)


def _killed_workers(root: str) -> None:
    before = len(os.listdir("/dev/fd"))
    for name in "abcd":
        sparse(Path(root) / name, 64 * MIB)
    killed: list[int] = []

    def kill(*_: int) -> None:
        if not killed and (found := children(os.getpid())):
            killed.append(found[0])
            os.kill(found[0], signal.SIGKILL)

    files = tree.walk(root).files
    outcomes = hash_files(root, files, jobs=2, fork=True, progress=kill)
    errors = [outcome for outcome in outcomes if not isinstance(outcome, FileDigest)]
    good = hashlib.sha256(bytes(64 * MIB)).digest()
    assert {outcome.sha256 for outcome in outcomes if isinstance(outcome, FileDigest)} == {good}
    assert len(errors) == 1
    assert isinstance(errors[0], FileUnreadableError)
    assert str(errors[0]).startswith("cannot hash '")
    assert str(errors[0]).endswith("': its worker was ended by signal 9")
    assert len(os.listdir("/dev/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@needs_proc
def test_a_killed_worker_is_no_digest_for_one_file_and_no_harm_to_others(tmp_path: Path) -> None:
    alone(_killed_workers, tmp_path)


def _few_descriptors(root: str) -> None:
    import resource

    files = tree.walk(root).files
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = max(map(int, os.listdir("/dev/fd"))) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 2, hard))
    outcomes = hash_files(root, files, jobs=2, fork=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    assert outcomes == expected(Path(root), files)


def test_without_descriptors_for_workers_the_work_is_done_all_the_same(many: Path) -> None:
    alone(_few_descriptors, many)


def _little_memory(root: str) -> None:
    import resource

    size = 512 * MIB
    sparse(Path(root) / "large", size)
    files = tree.walk(root).files
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + size // 2, used + size // 2))
    [outcome] = hash_files(root, files, jobs=2, fork=True)
    zeros = hashlib.sha256()
    for _ in range(size // MIB):
        zeros.update(bytes(MIB))
    assert isinstance(outcome, FileDigest), repr(outcome)
    assert (outcome.sha256, outcome.size) == (zeros.digest(), size)


@needs_proc
def test_a_file_that_cannot_be_mapped_is_read(tmp_path: Path) -> None:
    alone(_little_memory, tmp_path)


def _interrupted(root: str, mode: Mode) -> None:
    files = tree.walk(root).files

    def interrupt(*_: object) -> None:
        sent.append(time.monotonic())
        raise KeyboardInterrupt

    sent: list[float] = []
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(KeyboardInterrupt):
        hash_files(root, files, jobs=2, fork=mode == "fork")
    print(time.monotonic() - sent[0])


@pytest.mark.parametrize("mode", ["threads", "fork"])
def test_an_interruption_ends_it_within_half_a_second(tmp_path: Path, mode: Mode) -> None:
    for name in "ab":
        try:
            sparse(tmp_path / name, 1 << 40)
        except OSError as err:
            pytest.skip(f"no file of 1 TiB can be made here: {err}")

    def attempts() -> Iterator[float]:
        # Others use this machine too: the best of three tells.
        for _ in range(3):
            with start(_interrupted, tmp_path, mode) as process:
                out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            yield float(out)

    assert any(seconds < 0.5 for seconds in attempts())


class Inline(Executor):
    """The least that is an executor, such as a cluster's; what it is given must be picklable."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.futures: list[Future[Any]] = []
        self.failure = failure

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        import pickle

        future: Future[Any] = Future()
        self.futures.append(future)
        if self.failure and len(self.futures) == 2:
            future.set_exception(self.failure)
        else:
            fn, args, kwargs = pickle.loads(pickle.dumps((fn, args, kwargs)))  # noqa: S301 - ours
            future.set_result(pickle.loads(pickle.dumps(fn(*args, **kwargs))))  # noqa: S301
        return future


def test_any_executor_will_do(many: Path) -> None:
    files = tree.walk(many).files
    executor = Inline()
    assert hash_files(many, files, executor=executor) == expected(many, files)
    assert len(executor.futures) > 2


def test_an_executor_that_breaks_is_not_taken_for_an_answer(many: Path) -> None:
    files = tree.walk(many).files
    with pytest.raises(RuntimeError, match="the cluster is gone"):
        hash_files(many, files, executor=Inline(RuntimeError("the cluster is gone")))


def _no_fork(root: str) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def ended(*_: object) -> None:
        raise AssertionError("mapped in the process that a truncated map would end")

    from modelseal import digests

    files = tree.walk(root).files
    os.fork = refused
    digests._feed_mapped = ended  # type: ignore[assignment]
    assert hash_files(root, files, jobs=2, fork=True) == expected(Path(root), files)


def test_where_a_fork_is_refused_nothing_is_mapped(many: Path) -> None:
    alone(_no_fork, many)


def _bus_error(root: str) -> None:
    import faulthandler

    faulthandler.enable()  # as python -X dev does
    _a_file_that_moves(root, "fork")


def test_a_page_that_is_gone_leaves_no_traceback(tmp_path: Path) -> None:
    alone(_bus_error, tmp_path)
