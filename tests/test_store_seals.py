"""The store: adding seals, and finding them by name, id, and content."""

import hashlib
from pathlib import Path

import pytest

from modelseal.canonical import canonical
from modelseal.errors import (
    StoreDamagedError,
    StoreLockedError,
    UnknownRevisionError,
    VersionReusedError,
)
from modelseal.store import Entry, Ref, Seal, Seen, Store, adding, index, lock, log, manifests
from tests.sealed import seal_of

ODD = 'a "quoted" \\ näme/with\nnewline\x7f 😀],"framework":"'
PATH = ODD.replace("\\", "")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    place = tmp_path / "place"
    place.mkdir()
    return Store.init(place)


def test_a_seal_is_its_canonical_bytes_under_their_digest(store: Store) -> None:
    signed = seal_of({"w.bin": b"1", PATH: b"22"}, name=ODD, version=ODD, signer=ODD)
    seal = store.add(signed, model_dir=store.root)
    data = canonical(signed)
    assert seal == Seal(
        hashlib.sha256(data).hexdigest(), ODD, ODD, ODD, 2, 3, seal.sealed_at, store.root
    )
    path = Path(store.path, "manifests", seal.id[:2], f"{seal.id[2:]}.json")
    assert path.read_bytes() == store.read(seal.id) == data
    assert store.get(seal.id) == signed
    assert store.entries(seal.id) == [
        Entry(entry.path, entry.size_bytes, entry.sha256_hash) for entry in signed.manifest.files
    ]
    assert list(store.log()) == list(store.log(ODD)) == [seal]
    assert store.seal(seal.id) == store.latest(directory=store.root) == seal
    assert store.refs() == [Ref(ODD, ODD, seal.id)]
    assert store.resolve(f"{ODD}@{ODD}") == seal.id
    assert store.fsck().findings == []


def test_the_outline_of_a_manifest_needs_no_decoder(store: Store) -> None:
    for contents in ({}, {"a": b""}, {PATH: b"1", "b": b"2"}):
        signed = seal_of(contents, ODD, "1")
        data = canonical(signed)
        said = manifests.outline(data)
        assert (said.name, said.version, said.size) == (ODD, "1", sum(map(len, contents.values())))
        assert [entry.path for entry in manifests.entries(data)] == sorted(contents)
    for damaged in (b"", b"{}", data[:-1], data.replace(b'},{"path"', b'},,{"path"'), b"\xff"):
        with pytest.raises(StoreDamagedError, match="not in canonical form"):
            manifests.rows(damaged)


def test_adding_the_latest_again_changes_nothing(store: Store) -> None:
    signed = seal_of({"a": b"1"})
    first = store.add(signed, model_dir=store.root)
    assert store.add(signed, model_dir=store.root) == first
    assert len(list(store.log())) == 1
    moved = store.add(signed, model_dir=f"{store.root}/elsewhere")
    assert moved.id == first.id
    assert [seal.directory for seal in store.log()] == [f"{store.root}/elsewhere", store.root]


def test_row_17_a_version_is_not_reused_for_other_content(store: Store) -> None:
    first = store.add(seal_of({"a": b"1"}))
    again = store.add(seal_of({"a": b"1"}, at=5))
    assert again.id != first.id == store.resolve(first.id)
    other = seal_of({"a": b"2"})
    with pytest.raises(VersionReusedError, match=r"'model' 1\.0 is sealed already") as caught:
        store.add(other)
    assert caught.value.reason == "version-reused"
    assert store.known("model", "1.0") == again.id
    assert [seal.id for seal in store.log()] == [again.id, first.id]
    assert len(list(manifests.ids(store.path))) == 2
    pairs = [("a", hashlib.sha256(b"2").hexdigest())]
    with pytest.raises(VersionReusedError):
        store.check_version("model", "1.0", pairs)
    store.check_version("model", "1.0", pairs, allow_version_reuse=True)
    store.check_version("model", "1.1", pairs)
    allowed = store.add(other, allow_version_reuse=True)
    assert store.known("model", "1.0") == allowed.id
    assert store.fsck().findings == []


def test_unversioned_content_moves_its_ref(store: Store) -> None:
    store.add(seal_of({"a": b"1"}, version="0.0.0"))
    second = store.add(seal_of({"a": b"2"}, version="0.0.0"))
    assert store.refs() == [Ref("model", "0.0.0", second.id)]
    assert store.fsck().findings == []


def test_revisions(store: Store) -> None:
    one = store.add(seal_of({"a": b"1"}, version="1"))
    two = store.add(seal_of({"a": b"2"}, version="2"))
    at = store.add(seal_of({"a": b"3"}, name="a@b", version="1@2"))
    assert store.resolve("model") == two.id
    assert store.resolve("model@1") == one.id
    assert store.resolve("a@b@1@2") == store.resolve("a@b") == at.id
    assert store.resolve(one.id) == store.resolve(one.id[:4]) == one.id
    named = store.add(seal_of({"a": b"4"}, name=two.id[:6]))
    assert store.resolve(two.id[:6]) == named.id, "a name goes before an id"
    for unknown in ("", "mod", "model@3", one.id[:3], one.id.upper(), "0" * 64, "/", "../x"):
        with pytest.raises(UnknownRevisionError, match="unknown revision"):
            store.resolve(unknown)


def test_an_ambiguous_id_is_refused(store: Store) -> None:
    for rest in ("0" * 58, "1" * 58):
        path = Path(store.path, "manifests", "ab", f"cdef{rest}.json")
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with pytest.raises(UnknownRevisionError, match="'abcd' is ambiguous: 2 ids begin with it"):
        store.resolve("abcd")


def test_the_latest_is_known_by_the_refs_too(store: Store) -> None:
    store.add(seal_of({"a": b"1"}, version="2", at=1))
    new = store.add(seal_of({"a": b"2"}, version="1", at=2))
    Path(store.path, "log").write_bytes(b"")
    assert store.resolve("model") == new.id


def test_content_is_identified_in_every_model(store: Store) -> None:
    digest = hashlib.sha256(b"weights").digest()
    one = store.add(seal_of({"a": b"weights", "b/c": b"weights"}, at=1))
    two = store.add(seal_of({"z": b"weights", "y": b"other"}, name="n", at=2))
    expected = [
        Seen(two.id, "n", "1.0", "z", 7),
        Seen(one.id, "model", "1.0", "a", 7),
        Seen(one.id, "model", "1.0", "b/c", 7),
    ]
    assert store.identify([digest, b"\0" * 32]) == {digest: expected, b"\0" * 32: []}
    Path(store.path, "index.db").unlink()
    assert store.identify([digest]) == {digest: expected}
    with lock.held(f"{store.path}/lock", 0):
        Path(store.path, "index.db").write_bytes(b"garbage" * 1000)
        assert store.identify([digest]) == {digest: expected}, "without an index, and without one"


def test_blake3_is_kept_for_ordering(store: Store) -> None:
    digests = {name: hashlib.sha256(name.encode()).digest() for name in "ab"}
    store.add(seal_of({"a": b"a", "b": b"b"}), blake3={"a": b"\1" * 32})
    assert store.blake3(digests.values()) == {digests["a"]: b"\1" * 32}
    store.add(seal_of({"b": b"b"}, version="2"), blake3={"b": b"\2" * 32})
    assert store.blake3(digests.values())[digests["b"]] == b"\2" * 32


def test_what_was_verified_is_remembered(store: Store) -> None:
    assert store.last_verified("model") is None
    signed = seal_of({"a": b"1"}, at=7)
    store.note_verified(signed)
    noted = store.last_verified("model")
    assert noted is not None
    assert (noted.version, noted.created_at) == ("1.0", "2023-11-14T22:13:27Z")
    newer = seal_of({"a": b"2"}, version="2.0")
    store.note_verified(newer)
    store.note_verified(newer)
    again = store.last_verified("model")
    assert again is not None and again.version == "2.0"
    assert store.fsck().clean


def test_the_log_is_read_backwards_whatever_its_size(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [b"%d %s" % (number, b"x" * (number * 37 % 5000)) for number in range(200)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    found = list(log.backwards(str(path)))
    assert [line for line, _, _ in found] == lines[::-1]
    data = path.read_bytes()
    assert all(ended and data[end : end + 1] == b"\n" for _, end, ended in found)
    since = found[10][1] + 1
    assert [line for line, _, _ in log.backwards(str(path), since=since)] == lines[:-11:-1]
    path.write_bytes(data + b"torn")
    assert next(log.backwards(str(path))) == (b"torn", len(data) + 4, False)
    path.write_bytes(b"\n\n")
    assert [line for line, _, _ in log.backwards(str(path))] == [b"", b""]


def test_a_live_holder_is_named(store: Store) -> None:
    import os

    waiting = Store.open(store.root, lock_timeout=0.01)
    with (
        lock.held(f"{store.path}/lock", 0),
        pytest.raises(StoreLockedError, match=rf"is locked by process {os.getpid()} since 2"),
    ):
        waiting.add(seal_of({"a": b"1"}))
    waiting.add(seal_of({"a": b"1"}))
    assert Path(store.path, "lock").read_bytes() == b""


def test_a_small_seal_does_not_pay_for_the_index_of_large_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "_INDEXED_AT_ONCE", 3)
    digest = {name: hashlib.sha256(name.encode()).digest() for name in "abcdef"}

    def indexed(name: str) -> int:
        with index.write(store.path, catch_up=False) as opened:
            return len(opened.holders(digest[name]))

    store.add(seal_of({"a": b"a"}, "small"))
    assert indexed("a") == 1
    store.add(seal_of({name: name.encode() for name in "bcde"}, "large"))
    store.add(seal_of({"f": b"f"}, "small", "2"))
    assert (indexed("b"), indexed("f")) == (0, 1)  # the large one waits for who asks first
    assert [len(seen) for seen in store.identify([digest["b"], digest["f"]]).values()] == [1, 1]
    assert store.fsck().clean
    with index.write(store.path):
        pass
    store.add(seal_of({"a": b"a"}, "small", "3"))
    assert (indexed("b"), indexed("f"), indexed("a")) == (1, 1, 2)
