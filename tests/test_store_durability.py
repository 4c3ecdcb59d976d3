"""The store when it is killed, when the disk is full, and when twenty write at once."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelseal.errors import StoreLockedError
from modelseal.store import Store, lock
from tests.conftest import need
from tests.sealed import seal_of

# What changes a disk, as far as the store's own code calls it; SQLite's calls are for strace.
CALLS = ["open", "write", "pwrite", "fsync", "ftruncate", "replace", "link", "unlink", "mkdir"]
OLD = seal_of({"a": b"1"}, version="0.0.0", at=1)
NEW = seal_of({"a": b"2"}, version="0.0.0", at=2)


@contextmanager
def interposed(before: Callable[[], None]) -> Iterator[None]:
    """Call `before` ahead of every system call that changes a disk."""
    kept = {name: getattr(os, name) for name in CALLS}

    def wrapped(call: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **named: object) -> object:
            before()
            return call(*args, **named)

        return run

    try:
        for name, call in kept.items():
            setattr(os, name, wrapped(call))
        yield
    finally:
        for name, call in kept.items():
            setattr(os, name, call)


@dataclass
class Count:
    """How many calls there were."""

    calls: int = 0


@contextmanager
def failing(step: int, code: int) -> Iterator[Count]:
    """Let call number `step` of those that change a disk fail, once."""
    count = Count()

    def fail() -> None:
        count.calls += 1
        if count.calls == step + 1:
            raise OSError(code, os.strerror(code))

    with interposed(fail):
        yield count


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked process; return how it ended, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except OSError:
            code = 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Kill `work` before its call number `step`; False where it ends before that."""
    calls = 0

    def count() -> None:
        nonlocal calls
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1

    def counted() -> None:
        with interposed(count):
            work()

    code = in_child(counted)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def state(store: Store) -> tuple[str | None, list[str]]:
    """What the store says: the ref, and the log."""
    return store.known("model", "0.0.0"), [seal.id for seal in store.log("model")]


def assert_sound(store: Store) -> None:
    """No damage, and after the next writer and gc not even a leftover."""
    found = store.fsck()
    assert not [finding for finding in found.findings if finding.damage], found.findings
    store.gc()
    assert store.fsck().findings == []
    store.add(seal_of({"next": b"1"}, name="next"))
    assert store.resolve("next")
    assert store.fsck().findings == []


def fresh(tmp_path: Path, step: int) -> tuple[Store, str]:
    """A store of its own for each step, with one seal."""
    template = tmp_path / "template"
    if not template.exists():
        template.mkdir()
        Store.init(template).add(OLD)
    place = tmp_path / str(step)
    shutil.copytree(template, place)
    store = Store.open(place)
    return store, store.resolve("model")


def steps(limit: int = 200) -> Iterator[int]:
    yield from range(limit)
    pytest.fail("it never came to an end")


def test_row_26_add_killed_at_every_step(tmp_path: Path) -> None:
    outcomes = set()
    for step in steps():
        store, old = fresh(tmp_path, step)
        killed = killed_at(step, lambda store=store: store.add(NEW))  # type: ignore[misc]
        new = [id_ for id_ in [store.known("model", "0.0.0")] if id_ != old]
        assert_sound(store)
        ref, logged = state(store)
        assert (ref, logged) in ((old, [old]), (ref, [ref, old])), step
        if new:
            assert ref == new[0], "what a reader has seen stays"
        outcomes.add(ref == old)
        if not killed:
            assert ref != old
            break
    assert outcomes == {True, False}
    assert step > 20


def test_row_26_init_killed_at_every_step(tmp_path: Path) -> None:
    for step in steps():
        place = tmp_path / str(step)
        place.mkdir()
        killed = killed_at(step, lambda place=place: Store.init(place))  # type: ignore[misc]
        assert Store.find(place) is None or not killed or (place / ".modelseal/format").exists()
        store = Store.init(place)
        store.add(OLD)
        assert_sound(store)
        assert list(place.iterdir()) == [place / ".modelseal"]
        if not killed:
            break
    assert step > 5


def test_row_26_gc_killed_at_every_step(tmp_path: Path) -> None:
    for step in steps():
        place = tmp_path / str(step)
        place.mkdir()
        store = Store.init(place)
        store.add(OLD)
        Path(store.path, "manifests", "00").mkdir()
        Path(store.path, "manifests", "00", f".x.{'0' * 16}.tmp").touch()
        stray = Path(store.path, "manifests", "00", f"{'0' * 62}.json")
        stray.touch()
        killed = killed_at(step, store.gc)
        stray.unlink(missing_ok=True)
        assert_sound(store)
        if not killed:
            break
    assert step > 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE])
def test_row_27_add_failing_at_every_step(tmp_path: Path, code: int) -> None:
    failures = 0
    for step in steps():
        store, old = fresh(tmp_path, step)
        try:
            with failing(step, code) as count:
                new = store.add(NEW).id
        except OSError as err:
            failures += 1
            assert err.errno == code
            notes = getattr(err, "__notes__", [])
            assert notes and ".modelseal" in notes[0], step
            assert state(store) == (old, [old]), step
        else:
            assert state(store) == (new, [new, old]), step
        assert_sound(store)
        if count.calls <= step:
            break
    assert failures > 10


def test_row_27_a_file_size_limit_stops_and_harms_nothing(tmp_path: Path) -> None:
    store = Store.init(tmp_path)
    old = store.add(OLD).id
    for limit in (0, 10, 60, 300):

        def limited(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            store.add(NEW)

        assert in_child(limited) == 2
        assert state(store) == (old, [old])
        assert not [finding for finding in store.fsck().findings if finding.damage]
    assert_sound(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_row_27_a_full_disk_stops_and_harms_nothing(tmp_path: Path) -> None:
    place = tmp_path / "full"
    place.mkdir()
    options = ["-o", "size=1m", "-t", "tmpfs"]
    done = subprocess.run(["mount", *options, "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"tmpfs can't be mounted here: {done.stderr.decode().strip()}")
    try:
        store = Store.init(place)
        acknowledged = []
        filler = b"x" * 4096
        with open(place / "filler", "wb", buffering=0) as file:
            for number in range(200):
                try:
                    acknowledged.append(store.add(seal_of({"a": b"%d" % number}, f"m{number}")).id)
                    file.write(filler * 4)
                except OSError as err:
                    assert err.errno == errno.ENOSPC
                    break
            else:
                pytest.fail("it never filled up")
        assert [seal.id for seal in store.log()] == acknowledged[::-1]
        assert not [finding for finding in store.fsck().findings if finding.damage]
        (place / "filler").unlink()
        store.gc()
        store.add(NEW)
        assert store.fsck().findings == []
        assert [seal.id for seal in store.log()][1:] == acknowledged[::-1]
    finally:
        subprocess.run(["umount", place], check=True)


def test_row_28_twenty_writers_at_once(tmp_path: Path) -> None:
    children = []
    for writer in range(20):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                store = Store.init(tmp_path, lock_timeout=60)
                for number in range(3):
                    store.add(
                        seal_of({"a": b"%d %d" % (writer, number)}, f"m{writer}", f"{number}")
                    )
                    if writer % 7 == 0:
                        store.gc()
                    if writer % 7 == 1:
                        assert store.fsck().clean
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 20
    store = Store.open(tmp_path)
    expected = {(f"m{writer}", f"{number}") for writer in range(20) for number in range(3)}
    assert {(ref.name, ref.version) for ref in store.refs()} == expected
    assert {(seal.name, seal.version) for seal in store.log()} == expected
    assert store.fsck().findings == []


def test_row_28_a_dead_owners_lock_is_free(tmp_path: Path) -> None:
    store = Store.init(tmp_path, lock_timeout=0)
    path = f"{store.path}/lock"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with lock.held(path, 0):
            os.write(write, b"x")
            signal.pause()
        os._exit(1)
    os.read(read, 1)
    try:
        with pytest.raises(StoreLockedError, match=f"locked by process {pid} since "):
            store.add(OLD)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
    store.add(OLD)
    assert store.fsck().findings == []


SCRIPT = """
import sys
from modelseal import documents
from modelseal.store import Store
from modelseal.structs import SignedManifest
signed = documents.decode(sys.stdin.buffer.read(), SignedManifest)
Store.open(sys.argv[1]).add(signed)
"""


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "unlink", "ftruncate"])
def test_row_26_killed_inside_sqlite(tmp_path: Path, call: str) -> None:
    strace = need("strace")
    for step in range(1, 4):
        store, old = fresh(tmp_path, step)
        paths = [f"{store.path}/index.db{suffix}" for suffix in ("", "-wal", "-shm", "-journal")]
        only = [word for path in paths for word in ("-P", path)]
        inject = f"inject={call}:signal=SIGKILL:when={step}"
        command = [strace, "-qq", "-o", os.devnull, *only, "-e", inject]
        done = subprocess.run(
            [*command, sys.executable, "-c", SCRIPT, store.path],
            input=NEW.model_dump_json().encode(),
            capture_output=True,
            check=False,
        )
        if b"ptrace" in done.stderr.lower():
            pytest.skip(f"strace can't trace here: {done.stderr.decode()}")
        assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
        new = store.resolve("model")
        assert (new != old, state(store)) == (True, (new, [new, old]))
        assert_sound(store)
        if done.returncode == 0:
            break


def test_row_26a_what_a_name_stands_for_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = fresh(tmp_path, 0)
    events: list[tuple[str, str]] = []
    fsync, replace, link = os.fsync, os.replace, os.link

    def traced_fsync(fd: int) -> None:
        events.append(("sync", os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    def traced_name(call: Callable[[str, str], None]) -> Callable[[str, str], None]:
        def run(source: str, target: str) -> None:
            assert ("sync", source) in events, target
            events.append(("name", target))
            call(source, target)

        return run

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_name(replace))
    monkeypatch.setattr(os, "link", traced_name(link))
    new = store.add(NEW).id
    shard, rest = new[:2], f"{new[2:]}.json"
    kept = [
        ("name", f"{store.path}/manifests/{shard}/{rest}"),
        ("sync", f"{store.path}/manifests/{shard}"),
        ("sync", f"{store.path}/lock"),
        ("name", f"{store.path}/refs/model/0.0.0"),
        ("sync", f"{store.path}/refs/model"),
        ("sync", f"{store.path}/log"),
    ]
    assert [event for event in events if event in kept] == kept
    assert ("sync", f"{store.path}/manifests") in events, "the new directory's own name"
