"""The store: where it is found, what is refused, and what its files are called."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelseal.errors import (
    StoreDamagedError,
    StoreFormatError,
    StoreMissingError,
    StoreRefusedError,
)
from modelseal.store import Store, layout


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_name_becomes_a_file_name_and_comes_back(text: str) -> None:
    word = layout.encode(text)
    assert layout.decode(word) == text
    assert word.isascii() and word.isprintable() and word[0] != "." and "/" not in word
    assert 0 < len(layout.file_name(text).encode()) <= 200


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "%"),
        (".", "%2E"),
        ("..", "%2E."),
        ("org/model", "org%2Fmodel"),
        ("a b", "a%20b"),
        ("%", "%25"),
        ("Llama-3.1", "Llama-3.1"),
        ("é\n", "%C3%A9%0A"),
    ],
)
def test_names_of_names(text: str, word: str) -> None:
    assert (layout.encode(text), layout.decode(word)) == (word, text)


@pytest.mark.parametrize("word", ["a b", ".a", "%2f", "%41", "a/b ", "%FG", "%%", "é"])
def test_words_that_no_name_becomes(word: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        layout.decode(word)


def test_long_names_stay_apart(tmp_path: Path) -> None:
    assert layout.file_name("é" * 100) != layout.file_name("é" * 101)
    assert layout.file_name("x" * 200) == "x" * 200
    assert layout.file_name("x" * 201).startswith("%%")


def test_init_makes_what_the_manual_says(tmp_path: Path) -> None:
    store = Store.init(tmp_path)
    assert store.path == str(tmp_path / ".modelseal")
    assert store.root == str(tmp_path)
    found = {
        str(path.relative_to(store.path)): path.read_bytes() if path.is_file() else None
        for path in Path(store.path).rglob("*")
    }
    assert found == {
        "format": b"modelseal store 1\n",
        ".gitignore": b"/index.db*\n/lock\n/owner\n/verified/\n",
        "log": b"",
        "manifests": None,
        "refs": None,
    }
    assert Store.init(tmp_path).path == store.path


def test_a_store_is_found_upward(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert Store.find(below) is None
    outer = Store.init(tmp_path)
    found = Store.find(below)
    assert found is not None and found.path == outer.path
    inner = Store.init(below)
    found = Store.find(below)
    assert found is not None and found.path == inner.path


def test_a_store_is_opened_by_itself_or_its_parent(tmp_path: Path) -> None:
    store = Store.init(tmp_path)
    assert Store.open(tmp_path).path == Store.open(store.path).path == store.path
    with pytest.raises(StoreMissingError, match="there is no store at"):
        Store.open(tmp_path / "elsewhere")


def test_an_unfinished_store_is_none_and_init_finishes_it(tmp_path: Path) -> None:
    (tmp_path / ".modelseal" / "manifests").mkdir(parents=True)
    assert Store.find(tmp_path) is None
    with pytest.raises(StoreMissingError):
        Store.open(tmp_path)
    Store.init(tmp_path)
    assert Store.open(tmp_path).fsck().findings == [
        finding for finding in Store.open(tmp_path).fsck().findings if finding.kind == "index"
    ]


@pytest.mark.parametrize("sign_of_use", ["lock", "index.db", "log"])
def test_a_store_that_another_finishes_while_we_look_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign_of_use: str
) -> None:
    """Ours finds no format; the other makes the store and writes into it; then ours looks on."""
    (tmp_path / "other").mkdir()
    other = Store.init(tmp_path / "other").path
    path = tmp_path / ".modelseal"
    path.mkdir()
    read = layout.read_small
    looks: list[bytes | None] = []

    def slowly(of: str) -> bytes | None:
        data = read(of)
        if not looks:
            shutil.copytree(other, path, dirs_exist_ok=True)
            path.joinpath(sign_of_use).write_bytes(b"x")
        looks.append(data)
        return data

    monkeypatch.setattr(layout, "read_small", slowly)
    assert Store.init(tmp_path).path == str(path)
    assert looks == [None, layout.FORMAT]


def test_row_31_a_newer_format_is_refused_and_not_touched(tmp_path: Path) -> None:
    store = Store.init(tmp_path)
    path = Path(store.path, "format")
    path.write_bytes(b"modelseal store 2\n")
    before = sorted(Path(store.path).rglob("*"))
    for use in (Store.open, Store.find, Store.init):
        with pytest.raises(StoreFormatError, match="format 2; this version knows format 1"):
            use(tmp_path)
    with pytest.raises(StoreFormatError):
        Store.open(tmp_path, repairing=True)
    assert path.read_bytes() == b"modelseal store 2\n"
    assert sorted(Path(store.path).rglob("*")) == before


@pytest.mark.parametrize("content", [None, b"", b"modelseal store 1", b"modelseal store 01\n"])
def test_a_damaged_format_is_told_and_repaired(tmp_path: Path, content: bytes | None) -> None:
    store = Store.init(tmp_path)
    Path(store.path, "manifests", "ab").mkdir()
    path = Path(store.path, "format")
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="missing or damaged"):
        Store.open(tmp_path)
    result = Store.open(tmp_path, repairing=True).fsck(repair=True)
    assert [(f.kind, f.repaired) for f in result.findings if f.damage] == [("format", True)]
    assert result.clean
    assert path.read_bytes() == b"modelseal store 1\n"


@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_row_31_what_is_only_called_like_a_store(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "model"
    place.mkdir()
    path = place / ".modelseal"
    if kind == "file":
        path.write_text("x")
    else:
        if kind == "link":
            Store.init(tmp_path)
        path.symlink_to(tmp_path / ".modelseal")
    for use in (Store.open, Store.find, Store.init):
        with pytest.raises(StoreRefusedError, match=r"\.modelseal' is "):
            use(place)


def test_row_31_somebody_elses_store_is_used_only_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.init(tmp_path)
    owner = os.lstat(store.path).st_uid
    if owner == 0:
        os.chown(store.path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StoreRefusedError, match="belongs to another user") as caught:
        Store.find(tmp_path)
    assert caught.value.hint == f"if you trust it: --store '{store.path}'"
    assert Store.open(tmp_path).path == store.path


@pytest.mark.parametrize("name", ["manifests", "refs", "verified"])
def test_nothing_is_written_through_a_delivered_link(tmp_path: Path, name: str) -> None:
    from tests.sealed import seal_of

    store = Store.init(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = Path(store.path, name)
    if path.is_dir():
        path.rmdir()
    path.symlink_to(elsewhere)
    with pytest.raises(StoreDamagedError, match="is not a directory"):
        store.add(seal_of({"a": b"1"}))
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("name", ["log", "lock"])
def test_nothing_is_appended_through_a_delivered_link(tmp_path: Path, name: str) -> None:
    from tests.sealed import seal_of

    store = Store.init(tmp_path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    path = Path(store.path, name)
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        store.add(seal_of({"a": b"1"}))
    assert victim.read_bytes() == b"mine"
    assert store.refs() == []


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_nothing_is_written_through_a_link_beside_the_index(tmp_path: Path, suffix: str) -> None:
    from tests.sealed import seal_of

    store = Store.init(tmp_path)
    store.add(seal_of({"a": b"1"}, version="1"))
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    path = Path(store.path, f"index.db{suffix}")
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    store.add(seal_of({"a": b"2"}, version="2"), blake3={"a": b"\1" * 32})
    digest = hashlib.sha256(b"2").digest()
    assert [seen.version for seen in store.identify([digest])[digest]] == ["2"]
    store.gc()
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize("top", ["manifests", "refs"])
def test_nothing_is_removed_through_a_delivered_link(tmp_path: Path, top: str) -> None:
    from tests.sealed import seal_of

    places = [tmp_path / name for name in ("ours", "delivered")]
    for place in places:
        place.mkdir()
    ours, delivered = (Store.init(place) for place in places)
    ours.add(seal_of({"a": b"1"}, name="ours"))
    delivered.add(seal_of({"a": b"2"}, name="delivered"))
    leftover = f".x.{'0' * 16}.tmp"
    shards = list(Path(ours.path, top).iterdir())
    for shard in shards:
        (shard / leftover).touch()
        Path(delivered.path, top, shard.name).symlink_to(shard)
    delivered.gc()
    assert [shard for shard in shards if not (shard / leftover).exists()] == []
    kinds = [found.kind for found in ours.fsck().findings]
    assert kinds == ["leftover"]
    found = [f"{each.kind} {each.where}" for each in delivered.fsck().findings if each.damage]
    assert found == [f"{top.removesuffix('s')} {top}/{shard.name}" for shard in shards]
    assert delivered.fsck().manifests == 1


def test_the_manual_states_what_the_code_does() -> None:
    from modelseal.store import index, log, statcache

    page = Path(__file__).parents[1] / "man" / "modelseal-store.5"
    text = " ".join(page.read_text().split())
    for statement in index.SCHEMA.values():
        assert statement in text
    for line in layout.GITIGNORE.decode().splitlines():
        assert f".Ql {line}" in text
    assert layout.FORMAT.decode().strip() in text
    assert f"at most {log.LONGEST:,} bytes" in text
    assert f"{statcache.TICK_NS // 10**6} ms before that" in text
    assert f"{statcache.COARSE_TICK_NS / 10**9} s, where" in text
