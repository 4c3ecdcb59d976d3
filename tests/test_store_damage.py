"""The store when something in it isn't what was written: fsck finds it, and nobody believes it."""

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from modelseal.errors import StoreError
from modelseal.store import Checked, Store, index, lock, manifests, refs
from tests.sealed import seal_of

ONE = seal_of({"a": b"1", "b": b"2"}, version="1", at=1)
TWO = seal_of({"a": b"3", "b": b"2"}, version="2", at=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    place = tmp_path / "place"
    place.mkdir()
    store = Store.init(place)
    store.add(ONE, model_dir=place, blake3={"a": b"\1" * 32})
    store.add(TWO, model_dir=place)
    store.note_verified(TWO)
    return store


def damage(found: Checked) -> list[str]:
    return [finding.kind for finding in found.findings if finding.damage]


def files(store: Store) -> list[Path]:
    """What may never change unseen: all but the caches and the lock."""
    kept = sorted(path for path in Path(store.path).rglob("*") if path.is_file())
    return [path for path in kept if path.name not in {"index.db", "lock"}]


def test_row_29_every_byte_flipped_is_found(store: Store) -> None:
    for path in files(store):
        data = path.read_bytes()
        step = 1 if len(data) < 100 else 13
        for place in range(0, len(data), step):
            for bit in (1, 64):
                flipped = bytearray(data)
                flipped[place] ^= bit
                path.write_bytes(flipped)
                assert not store.fsck().clean, (path.name, place, bit)
        path.write_bytes(data)
    assert store.fsck().findings == []


@pytest.mark.parametrize("how", ["emptied", "removed", "directory", "half", "longer"])
def test_row_29_files_spoilt_are_found_and_mended(store: Store, how: str) -> None:
    place = Path(store.root)
    for path in files(store):
        relative = path.relative_to(place)
        copy = place.parent / "copy"
        shutil.copytree(place, copy)
        victim = copy / relative
        data = victim.read_bytes()
        victim.unlink()
        if how == "directory":
            victim.mkdir()
        elif how != "removed":
            victim.write_bytes(
                {"emptied": b"", "half": data[: len(data) // 2]}.get(how, data + b"x")
            )
        spoilt = Store.open(copy, repairing=True)
        found = spoilt.fsck()
        gone = how == "removed" and "verified" in relative.parts
        torn = how == "longer" and relative.name == "log"
        fits = how == "longer" and relative.name == ".gitignore"
        assert found.clean == (gone or torn or fits), (relative, found.findings)
        repaired = spoilt.fsck(repair=True)
        mendable = "manifests" not in relative.parts and how != "directory"
        if mendable:
            assert repaired.clean, (relative, repaired.findings)
            assert damage(spoilt.fsck()) == []
            assert [seal.version for seal in spoilt.log("model")] == ["2", "1"]
            assert {ref.version for ref in spoilt.refs()} == {"1", "2"}
        shutil.rmtree(copy)


def test_row_29_a_damaged_manifest_is_never_given_out(store: Store) -> None:
    id_ = store.resolve("model@1")
    path = Path(manifests.path_of(store.path, id_))
    path.write_bytes(path.read_bytes().replace(b'"author":""', b'"author":"x"'))
    for use in (store.read, store.get, store.entries):
        with pytest.raises(StoreError, match="doesn't hash to its name"):
            use(id_)
    assert damage(store.fsck()) == ["manifest", "log", "ref"]
    store.add(ONE)
    assert store.fsck().clean, "who has the manifest can add it once more"


@pytest.mark.parametrize("how", ["directory", "link"])
def test_row_29_a_lock_that_nobody_can_take_is_found(store: Store, how: str) -> None:
    lock = Path(store.path) / "lock"
    lock.unlink(missing_ok=True)
    if how == "directory":
        lock.mkdir()
    else:
        lock.symlink_to("elsewhere")
    (found,) = store.fsck().findings
    assert (found.kind, found.where, found.damage) == ("format", "lock", True)


def test_findings_say_what_and_where(store: Store) -> None:
    root = Path(store.path)
    one, two = store.resolve("model@1"), store.resolve("model@2")
    (root / "refs" / "model" / "1").write_text(two + "\n")
    (root / "refs" / "model" / "3").write_text(two + "\n")
    (root / "manifests" / "zz").mkdir()
    (root / "manifests" / one[:2] / "x.json").touch()
    (root / "manifests" / one[:2] / f".x.{'0' * 16}.tmp").touch()
    (root / "notes.txt").touch()
    manifests.add(store.path, stray := manifests.id_of(b"{}"), b"{}")
    found = {(f.kind, f.where, f.damage) for f in store.fsck().findings}
    assert found == {
        ("ref", "refs/model/1", True),
        ("ref", "refs/model/3", True),
        ("manifest", "manifests/zz", True),
        ("manifest", f"manifests/{one[:2]}/x.json", True),
        ("manifest", stray, True),
        ("leftover", f"manifests/{one[:2]}/.x.{'0' * 16}.tmp", False),
        ("unknown", "notes.txt", False),
    }


def test_signatures_are_judged_by_the_caller(store: Store) -> None:
    one, two = store.resolve("model@1"), store.resolve("model@2")
    verdicts = {one: "", two: None}
    found = store.fsck(check=lambda id_, _: verdicts[id_])
    assert (found.trusted, found.manifests, found.findings) == (1, 2, [])
    found = store.fsck(check=lambda *_: "the signature does not fit")
    assert damage(found) == ["signature", "signature"]
    assert not found.clean


def test_gc_keeps_what_is_named_and_drops_the_rest(store: Store) -> None:
    old = store.resolve("model@1")
    moved = store.add(seal_of({"a": b"9"}, version="1"), allow_version_reuse=True)
    manifests.add(store.path, stray := manifests.id_of(b"{}"), b"{}")
    leftover = Path(store.path, f".format.{'a' * 16}.tmp")
    leftover.write_bytes(b"12345")
    collected = store.gc()
    assert collected.manifests == [stray]
    assert collected.leftovers == [leftover.name]
    assert collected.size == 7
    assert store.get(old) and store.get(moved.id), "the log names the one that no ref names"
    assert store.fsck().findings == []
    path = Path(store.path, "log")
    path.write_bytes(path.read_bytes() + b"damaged\n")
    manifests.add(store.path, stray := manifests.id_of(b"{}"), b"{}")
    assert store.gc().manifests == [], "what can't be read might name it"


def test_row_27_gc_says_so_where_it_cannot_tell_what_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str) -> str | None:
        raise OSError(errno.EIO, "broken", path)

    monkeypatch.setattr(refs, "read", broken)
    with pytest.raises(OSError, match="broken"):
        store.gc()


def test_a_new_index_keeps_the_blake3_digests_of_the_old_one(store: Store) -> None:
    one = bytes.fromhex(ONE.manifest.files[0].sha256_hash)
    two = bytes.fromhex(ONE.manifest.files[1].sha256_hash)
    store.add(ONE, model_dir=store.root, blake3={"a": b"\1" * 32, "b": b"\2" * 32})
    with sqlite3.connect(Path(store.path, "index.db")) as connection:
        connection.execute("UPDATE objects SET blake3 = ? WHERE sha256 = ?", (b"\3" * 36, two))
    connection.close()
    Path(store.path, "refs/model/1").unlink()
    assert damage(store.fsck()) == ["ref", "index"]
    assert store.fsck(repair=True).clean
    assert store.blake3([one, two]) == {one: b"\1" * 32}
    assert store.fsck().findings == []


def test_row_26_a_new_index_is_there_as_a_whole_or_not_at_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: index.Index, root: str) -> None:
        raise OSError(errno.ENOSPC, "full")

    Path(store.path, "index.db").unlink()
    before = sorted(os.listdir(store.path))
    with monkeypatch.context() as patch:
        patch.setattr(index.Index, "catch_up", full)
        with pytest.raises(OSError, match="full"):
            index.rebuild(store.path)
    assert sorted(os.listdir(store.path)) == before
    with index.rebuild(store.path) as made:
        assert made.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store.fsck().findings == []


def test_a_torn_last_line_is_no_damage_and_does_not_last(store: Store) -> None:
    path = Path(store.path, "log")
    data = path.read_bytes()
    announced = data.splitlines(keepends=True)[-1]
    path.write_bytes(data[: -len(announced) // 2])
    Path(store.path, "refs", "model", "2").unlink()
    Path(store.path, "lock").write_bytes(b"1 2024-01-01T00:00:00Z\n" + announced)
    assert [seal.version for seal in store.log()] == ["1"]
    store.add(seal_of({"c": b""}, name="next"))
    assert [seal.name for seal in store.log()] == ["next", "model"]
    assert [f.kind for f in store.fsck().findings] == ["unreferenced"]


HOSTILE = {
    "garbage": b"\0garbage" * 4096,
    "empty": b"",
    "header": b"SQLite format 3\0" + b"\xff" * 4080,
}


@pytest.mark.parametrize("what", [*HOSTILE, "view", "version", "rows", "directory", "link"])
def test_row_30_a_hostile_index_changes_no_answer(store: Store, tmp_path: Path, what: str) -> None:
    digest = bytes.fromhex(ONE.manifest.files[1].sha256_hash)
    expected = store.identify([digest])
    assert len(expected[digest]) == 2
    path = Path(store.path, "index.db")
    if what in HOSTILE:
        path.write_bytes(HOSTILE[what])
    elif what == "directory":
        path.unlink()
        path.mkdir()
    elif what == "link":
        path.rename(tmp_path / "elsewhere.db")
        path.symlink_to(tmp_path / "elsewhere.db")
    else:
        connection = sqlite3.connect(path)
        if what == "view":
            endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n"
            connection.executescript(f"DROP TABLE seen; CREATE VIEW seen AS {endless};")
        elif what == "version":
            connection.execute("PRAGMA user_version = 2")
        else:
            # A content in a manifest that doesn't name it.
            other = bytes.fromhex(TWO.manifest.files[0].sha256_hash)
            connection.execute(
                "INSERT OR IGNORE INTO seen SELECT ?, number FROM manifests", (other,)
            )
            connection.execute("UPDATE objects SET size = 'x', blake3 = 'x'")
            connection.commit()
            connection.close()
            assert [seen.version for seen in store.identify([other])[other]] == ["2"]
            assert damage(store.fsck()) == ["index"] * 4
            return
        connection.close()
    assert store.identify([digest]) == expected
    assert store.status(store.root).seal is not None
    store.add(seal_of({"c": b"4"}, name="next"))
    assert damage(store.fsck()) == (["index"] if what == "directory" else [])
    assert what != "link" or (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize(
    ("paths", "stats", "digests", "seal"),
    [
        (b"\xff\xfe", bytes(40), bytes(32), b""),
        (b"a\0\0b", bytes(39), b"", b"x"),
        (b"../../x", b"\xff" * 40, b"\1" * 32, b"\2" * 32),
        (b"a", bytes(40), bytes(31), bytes(31)),
        (b"\0", b"", b"", b""),
        (b"a\0a", bytes(80), bytes(64), b""),
    ],
)
def test_row_30_a_false_stat_cache_stops_nobody(
    store: Store, paths: bytes, stats: bytes, digests: bytes, seal: bytes
) -> None:
    place = Path(store.root)
    for path, content in (("a", b"3"), ("b", b"2")):
        (place / path).write_bytes(content)
    for directory in (os.fsencode(store.root), b"/nowhere\0x", b"relative", b"\xff"):
        with index.write(store.path) as opened:
            opened.put_tree(directory, index.Tree(paths, stats, digests, seal))
        assert store.status(place).clean
        with index.write(store.path) as opened:
            opened.put_tree(directory, index.Tree(paths, stats, digests, seal))
        store.gc()
        assert store.fsck().clean


def test_a_trees_seal_is_bound_to_it(store: Store) -> None:
    place = os.fsencode(store.root)
    first = index.Tree(b"a", bytes(40), b"1" * 32, b"s" * 32)
    other = first._replace(digests=b"2" * 32)
    with index.write(store.path) as opened:

        def written(tree: index.Tree, *, seen: bool) -> int:
            before = opened.connection.total_changes
            opened.put_tree(place, tree, seen=seen)
            assert opened.tree(place) == tree
            return opened.connection.total_changes - before

        assert written(first, seen=False) == 2
        # The tree is as it was: its seal alone, or nothing, has to be written.
        for seen in (True, False):
            assert written(first._replace(seal=b"t" * 32), seen=seen) == 2
        assert written(first._replace(seal=b""), seen=True) == 1
        assert written(first, seen=True) == 1
        # Somebody wrote another one since it was seen.
        opened.put_tree(place, other)
        assert written(first, seen=True) == 3
        # A seal of what was there before, or of another directory, says nothing.
        run = opened.connection.execute
        run("CREATE TEMP TABLE kept AS SELECT * FROM sealed")
        opened.put_tree(place, other)
        run("DELETE FROM sealed")
        run("INSERT INTO sealed SELECT * FROM kept")
        assert opened.tree(place) == other._replace(seal=b"")
        assert list(opened.trees()) == [(place, False)]
        opened.put_tree(place, first)
        run("UPDATE sealed SET directory = ?", (b"/elsewhere",))
        assert opened.tree(place) == first._replace(seal=b"")
        assert opened.tree(b"/elsewhere") is None
        assert list(opened.trees()) == [(place, True), (b"/elsewhere", False)]
        # A damaged row is not taken for the one that is to be written.
        run("UPDATE trees SET digests = ?", (b"3" * 32,))
        assert opened.tree(place) is None
        assert written(first, seen=False) == 2
        opened.drop_tree(place)
        assert opened.tree(place) is None
        assert list(opened.trees()) == [(b"/elsewhere", False)]
    assert [f.kind for f in store.fsck().findings] == ["index"]
    assert store.fsck(repair=True).clean


def test_a_deleted_index_loses_nothing(store: Store) -> None:
    digest = bytes.fromhex(ONE.manifest.files[0].sha256_hash)
    expected = store.identify([digest])
    Path(store.path, "index.db").unlink()
    found = store.fsck()
    assert (found.clean, [f.kind for f in found.findings]) == (True, ["index"])
    assert store.fsck(repair=True).clean
    assert store.fsck().findings == []
    assert store.identify([digest]) == expected


def test_another_log_gets_another_index(store: Store) -> None:
    digest = bytes.fromhex(TWO.manifest.files[0].sha256_hash)
    path = Path(store.path, "log")
    first = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(first)
    Path(store.path, "refs", "model", "2").unlink()
    assert store.identify([digest]) == {digest: []}
    with lock.held(f"{store.path}/lock", 0), index.write(store.path) as opened:
        assert opened.holders(digest) == []
        assert len(list(opened.seen())) == 2


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may all")
def test_row_31_a_read_only_store_is_read(store: Store) -> None:
    import subprocess
    import sys

    script = """
import sys
from modelseal.store import Store
store = Store.open(sys.argv[1], lock_timeout=0)
digest = bytes.fromhex(sys.argv[2])
assert store.resolve("model") and len(store.identify([digest])[digest]) == 2
assert store.status(sys.argv[1]).seal.version == "2"
assert store.fsck().clean
try:
    store.gc()
except OSError as err:
    print(err.__notes__[0])
"""
    digest = ONE.manifest.files[1].sha256_hash
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    directories = [path for path in Path(store.root).rglob("*") if path.is_dir()]
    try:
        kept = [Path(store.path, name) for name in ("index.db", "lock")]
        for path in [*directories, *files(store), *kept]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        done = subprocess.run(
            [
                *(drop if os.geteuid() == 0 else []),
                sys.executable,
                "-c",
                script,
                store.root,
                digest,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in directories:
            path.chmod(0o755)
    assert (done.stderr, done.stdout) == ("", f"cannot lock '{store.path}/lock'\n")


def test_a_disputed_size_is_not_the_indexes_fault(store: Store) -> None:
    digest = ONE.manifest.files[0].sha256_hash
    for number, size in enumerate((5, 6, 7)):
        liar = seal_of({"a": b"x" * size}, name=f"liar{number}")
        entry = liar.manifest.files[0].model_copy(update={"sha256_hash": digest})
        manifest = liar.manifest.model_copy(update={"files": [entry]})
        store.add(liar.model_copy(update={"manifest": manifest}))
    assert store.fsck().findings == []
    assert len(store.identify([bytes.fromhex(digest)])[bytes.fromhex(digest)]) == 4
