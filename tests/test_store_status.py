"""The store: what changed in a model, and what need not be read to know it."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from modelseal import tree
from modelseal.errors import ModelError, UnknownRevisionError
from modelseal.store import Change, Digest, Store, index, lock, measuring, statcache
from tests.sealed import age, seal_directory, seal_of


@pytest.fixture
def store(model: Path) -> Store:
    """A store in a model that is sealed, and not so new that it could be changing."""
    store = Store.init(model)
    store.add(seal_directory(model), model_dir=model)
    age(model)
    return store


def listed(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.path, change.note) for change in changes]


def test_a_clean_model_is_read_once(store: Store, model: Path) -> None:
    first, second, third = (store.status(model) for _ in range(3))
    assert (first.clean, first.hashed, first.files) == (True, 3, 3)
    assert (second.clean, second.hashed) == (third.clean, third.hashed) == (True, 0)
    assert second.seal == store.latest() and second.directory == str(model)


@pytest.mark.parametrize("warm", [False, True])
def test_differences(store: Store, model: Path, warm: bool) -> None:
    if warm:
        assert store.status(model).clean
        assert store.status(model).clean
    (model / "config.json").write_text('{"vocab_size": 32001}')
    (model / "weights" / "model.bin").write_bytes(b"short")
    (model / "empty.txt").unlink()
    (model / "new.py").touch()
    (model / "weights" / "link").symlink_to("model.bin")
    (model / "sub").mkdir()
    (model / "sub" / "signed_manifest.json").touch()
    (model / "signed_manifest.json").touch()
    status = store.status(model)
    assert not status.clean
    assert listed(status.altered) == [
        ("config.json", ""),
        ("weights/model.bin", "5 bytes, sealed as 2,048"),
    ]
    assert status.altered[0].expected != status.altered[0].actual is not None
    assert listed(status.missing) == [("empty.txt", "")]
    assert listed(status.unsigned) == [
        ("new.py", ""),
        ("sub/signed_manifest.json", ""),
        ("weights/link", "symbolic link: 'model.bin'"),
    ]
    assert status.hashed == 1
    again = store.status(
        model, ignore_paths=["weights", "new.py"], manifest_path=model / "empty.txt"
    )
    assert listed(again.unsigned) == [("sub/signed_manifest.json", "")]
    assert again.ignored == ["new.py", "weights"]


def test_what_takes_a_files_place_is_told(store: Store, model: Path) -> None:
    (model / "config.json").unlink()
    (model / "config.json").mkdir()
    (model / "empty.txt").unlink()
    os.mkfifo(model / "empty.txt")
    (model / "weights" / "model.bin").unlink()
    (model / "weights" / "model.bin").symlink_to(model / "elsewhere")
    (model / "elsewhere").write_bytes(bytes(range(256)) * 8)
    status = store.status(model)
    assert listed(status.altered) == [
        ("empty.txt", "FIFO"),
        ("weights/model.bin", f"symbolic link: '{model}/elsewhere'"),
    ]
    assert listed(status.missing) == [("config.json", "")]
    followed = store.status(model, follow_symlinks=True)
    assert listed(followed.altered) == [("empty.txt", "FIFO")]


def test_the_same_size_and_times_do_not_hide_a_change(store: Store, model: Path) -> None:
    assert store.status(model).clean
    path = model / "config.json"
    before = path.stat()
    path.write_text('{"vocab_size": 99999}')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert listed(store.status(model).altered) == [("config.json", "")]


def test_a_change_right_after_hashing_is_seen(model: Path) -> None:
    store = Store.init(model)
    store.add(seal_directory(model), model_dir=model)
    path = model / "config.json"
    assert store.status(model).clean
    status = store.status(model)
    assert status.clean
    path.write_text('{"vocab_size": 11111}')
    assert listed(store.status(model).altered) == [("config.json", "")]


def digest_of(path: Path, sha256: bytes | None = None) -> Digest:
    """As if the file had been read just now."""
    info = path.stat()
    return Digest(sha256 or os.urandom(32), info.st_size, tree.stamp(info))


def test_what_is_too_new_is_not_cached(model: Path) -> None:
    path = model / "config.json"
    store = Store.init(model)
    os.utime(path, ns=(0, 2**62))
    cache = store.stat_cache(model, ["config.json", "empty.txt"])
    cache.update(statcache.columns({"config.json": digest_of(path)}))
    assert not store.stat_cache(model, ["config.json"]).known().files


def test_a_time_beyond_64_bits_has_a_stamp() -> None:
    times_ns = (0, 2**70 + 1, 3)
    info = os.stat_result((0o100644, 5, 7, 1, 0, 0, 9, *range(6), *times_ns))
    assert tree.STAMP.unpack(tree.stamp(info)) == (7, 5, 9, 1, 3)


def test_the_cache_serves_whoever_signs(store: Store, model: Path) -> None:
    files = ["config.json", "empty.txt", "weights/model.bin"]

    def known(files: list[str]) -> dict[str, bytes]:
        read = store.stat_cache(model, files).known()
        return dict(zip(read.files, read.sha256(), strict=True))

    cache = store.stat_cache(model, files, links=["empty.txt"])
    assert not cache.known().files
    digests = {path: digest_of(model / path) for path in files}
    unknown = {"unknown": Digest(b"x" * 32, 1, bytes(40))}
    cache.update(statcache.columns({**digests, **unknown}))
    wanted = {path: digests[path].sha256 for path in files if path != "empty.txt"}
    assert known(files) == wanted
    plain = [path for path in files if path != "empty.txt"]
    begun = measuring.Measuring(str(model), plain, fork=False)
    ahead = store.stat_cache(model, files, links=["empty.txt"], begun=begun)
    assert list(ahead.known().files) == plain
    (model / "config.json").touch()
    partly = store.stat_cache(model, files)
    assert list(partly.known().files) == ["weights/model.bin"]
    empty = statcache.columns({"empty.txt": digest_of(model / "empty.txt")})
    partly.update(empty)
    assert list(known(files)) == ["empty.txt", "weights/model.bin"]
    assert known(["empty.txt", "weights/model.bin"]) == known(files)  # nothing has moved
    afresh = store.stat_cache(model, files)
    afresh.update(empty)
    assert list(known(files)) == ["empty.txt"]


def test_a_false_row_does_not_outlive_the_file(store: Store, model: Path) -> None:
    assert store.status(model).clean
    (model / "empty.txt").unlink()
    collected = store.gc()
    assert collected.rows == 1
    assert store.stat_cache(model, tree.walk(model).files).known().files == [
        "config.json",
        "weights/model.bin",
    ]


def test_a_locked_or_read_only_cache_changes_no_answer(store: Store, model: Path) -> None:
    with lock.held(f"{store.path}/lock", 0):
        assert [store.status(model).hashed for _ in range(2)] == [3, 3]
    assert [store.status(model).hashed for _ in range(2)] == [3, 0]
    Path(store.path, "index.db").unlink()
    Path(store.path, "index.db").mkdir()
    assert store.status(model).clean


def test_an_unsealed_model(store: Store, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    status = store.status(other)
    assert (status.seal, status.clean, status.files) == (None, False, 0)
    with pytest.raises(ModelError, match="does not exist"):
        store.status(tmp_path / "nowhere")
    with pytest.raises(UnknownRevisionError):
        store.status(model, revision="nobody")


def test_an_older_revision_and_a_named_exclusion(store: Store, model: Path) -> None:
    (model / "config.json").write_text("{}")
    store.add(seal_directory(model, version="2"), model_dir=model)
    assert store.status(model).clean
    old = store.status(model, revision="model@1.0")
    assert old.seal is not None and old.seal.version == "1.0"
    assert [change.path for change in old.altered] == ["config.json"]
    (model / ".git").mkdir()
    (model / ".git" / "hook").write_text("x")
    assert store.status(model).clean
    contents = {path: (model / path).read_bytes() for path in tree.walk(model).files}
    store.add(
        seal_of({**contents, ".git/hook": b"y", ".git/lost": b""}, version="3"), model_dir=model
    )
    status = store.status(model)
    assert listed(status.altered) == [(".git/hook", "")]
    assert listed(status.missing) == [(".git/lost", "")]
    assert status.unsigned == []


def test_a_moved_store_knows_its_model(store: Store, model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    model.rename(moved)
    found = Store.find(moved)
    assert found is not None
    status = found.status(moved)
    assert status.clean and status.directory == str(moved)


def test_row_30_a_false_index_is_settled_by_reading(store: Store, model: Path) -> None:
    assert store.status(model).clean
    path = model / "config.json"
    wrong = b"\xff" * 32
    with lock.held(f"{store.path}/lock", 0), index.write(store.path) as opened:
        row = opened.tree(os.fsencode(model))
        assert row is not None and statcache.paths_of(row)[0] == path.name
        # Not by an attacker, who would have set the checksum right.
        opened.connection.execute("UPDATE trees SET digests = ?", (wrong + row.digests[32:],))
        opened.connection.commit()
    status = store.status(model)
    assert (status.clean, status.hashed) == (True, 3)


def test_status_loads_little(store: Store, model: Path) -> None:
    probe = """
import sys
from modelseal.store import Store
store = Store.find(sys.argv[1])
assert store.status(sys.argv[1]).clean and store.status(sys.argv[1]).clean
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", probe, model], capture_output=True, text=True, check=True
    )
    heavy = {"msgspec", "cryptography", "blake3", "pathlib", "dataclasses", "json", "tqdm"}
    assert not heavy & set(done.stdout.split())


def test_a_child_measures_what_its_parent_would(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_WORTH_A_CHILD", 2)
    os.mkfifo(model / "fifo")
    files = ["config.json", "gone", "empty.txt", "fifo", "weights/model.bin"]
    alone = measuring.take(str(model), files, fork=False)
    assert measuring.take(str(model), files, fork=True) == alone
    assert sorted(measuring.sizes(files, alone)) == [
        "config.json",
        "empty.txt",
        "weights/model.bin",
    ]
    info = (model / "config.json").stat()
    assert alone[:40] == struct.pack(
        "<5Q", info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
    )

    def no_child() -> int:
        raise BlockingIOError

    # A child that nobody waits for, and one that takes all.
    for ahead in (0, 5):
        begun = measuring.Measuring(str(model), files, fork=True, ahead=ahead)
        begun.end()
        begun.end()
        begun = measuring.Measuring(str(model), files, fork=True, ahead=ahead)
        assert begun.finish() == alone
        begun.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    monkeypatch.setattr(os, "fork", no_child)
    assert measuring.take(str(model), files, fork=True) == alone


def test_what_was_read_anew_is_not_remembered_as_it_was_before(tmp_path: Path) -> None:
    store = Store.init(tmp_path)
    old, new = (tree.STAMP.pack(1, 2, 3, time, time) for time in (5, 7))
    known = {path: Digest(b"o" * 32, 3, old) for path in ("a", "b")}
    hashed = {"b": Digest(b"n" * 32, 3, new)}  # too young to be believed at 7 ns
    kept = statcache.merged(statcache.columns(known), statcache.columns(hashed), 7)
    statcache.save(store.path, "/model", None, kept, "ab" * 32, 2)
    cached = statcache.load(store.path, "/model")
    assert (statcache.paths_of(cached), cached.seal) == (["a"], b"")
