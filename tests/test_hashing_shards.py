"""Shards: parts of one file, hashed by several workers, that must be of the same file."""

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from modelseal import digests, hashing
from modelseal.errors import FileChangedError, FileUnreadableError

SIZES = {"empty": 0, "small": 1000, "exact": 4096, "large": (3 << 20) + 17, "huge": (80 << 20) + 5}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all sizes that are treated differently."""
    path = tmp_path_factory.mktemp("shards")
    for name, size in SIZES.items():
        (path / name).write_bytes(os.urandom(size))
    return path


def expected(path: Path, shard_size: int, make: Callable[[bytes], Any]) -> tuple[bytes, ...]:
    """The digests of a file's ranges, made in the plainest way."""
    data = path.read_bytes()
    return tuple(
        make(data[start : start + shard_size]).digest() for start in range(0, len(data), shard_size)
    )


@pytest.mark.parametrize("shard_size", [1 << 10, 4096, (1 << 20) + 1, 32 << 20, 1 << 40])
@pytest.mark.parametrize("how", [{"fork": True, "jobs": 2}, {"jobs": 2}, {"jobs": 1}])
def test_shards_are_those_of_the_file(root: Path, shard_size: int, how: dict[str, Any]) -> None:
    said: list[tuple[int, int]] = []
    outcomes = hashing.hash_files(
        root,
        list(SIZES),
        shard_size=shard_size,
        progress=lambda done, total: said.append((done, total)),
        **how,
    )
    for (name, size), outcome in zip(SIZES.items(), outcomes, strict=True):
        assert isinstance(outcome, hashing.FileDigest)
        assert outcome.size == size
        assert outcome.shards == expected(root / name, shard_size, hashlib.sha256)
        assert outcome.sha256 == b""
    assert said[-1] == (sum(SIZES.values()), sum(SIZES.values()))


@pytest.mark.parametrize(
    ("algorithm", "make"), [(digests.BLAKE2B, hashlib.blake2b), (digests.BLAKE3, blake3)]
)
def test_other_digests(root: Path, algorithm: str, make: Callable[[bytes], Any]) -> None:
    names = list(SIZES)
    for name, outcome in zip(
        names, hashing.hash_files(root, names, algorithms=(algorithm,), fork=True), strict=True
    ):
        assert isinstance(outcome, hashing.FileDigest)
        assert outcome.digest(algorithm) == make((root / name).read_bytes()).digest()
    cut = hashing.hash_files(root, ["large"], algorithms=(algorithm,), shard_size=1 << 20)[0]
    assert isinstance(cut, hashing.FileDigest)
    assert cut.shards == expected(root / "large", 1 << 20, make)


def test_on_an_executor(root: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        done: list[int] = []
        (outcome,) = hashing.hash_files(
            root,
            ["huge"],
            shard_size=1 << 20,
            executor=pool,
            progress=lambda count, _: done.append(count),
        )
    assert isinstance(outcome, hashing.FileDigest)
    assert outcome.shards == expected(root / "huge", 1 << 20, hashlib.sha256)
    assert done[-1] == SIZES["huge"]


def test_all_parts_are_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"a" * (70 << 20))
    parts: list[int] = []

    def change(done: int, total: int) -> None:
        parts.append(done)
        if done == 32 << 20:  # the first part is done, the next has not begun
            time.sleep(0.02)
            with path.open("r+b") as file:
                file.write(b"b")

    (outcome,) = hashing.hash_files(tmp_path, ["w"], shard_size=32 << 20, jobs=1, progress=change)
    assert 32 << 20 in parts
    assert isinstance(outcome, FileChangedError)


def test_a_part_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").write_bytes(b"a" * (70 << 20))
    feed = digests._feed_pieces

    def fail(fd: int, begin: int, *rest: Any) -> bool:
        if begin:
            raise OSError(5, "Input/output error")
        return feed(fd, begin, *rest)

    monkeypatch.setattr(digests, "_feed_pieces", fail)
    (outcome,) = hashing.hash_files(tmp_path, ["w"], shard_size=32 << 20, jobs=1)
    assert isinstance(outcome, FileUnreadableError)
    assert str(outcome) == "cannot read 'w': input/output error"
