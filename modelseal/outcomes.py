"""What became of files that were hashed: a digest, or why there is none."""

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from modelseal import tree
from modelseal.digests import BLAKE2B, BLAKE3, SHA256, WIDTHS, Answer, Batch
from modelseal.errors import FileChangedError, FileUnreadableError, ModelSealError


class FileDigest(NamedTuple):
    """What a file is.

    sha256, blake3: 32 bytes, or none where that digest was not asked for.
    size: bytes.
    lfs_pointer: whether they stand in for the real content.
    stamp: of the file as it was read, as `tree.stamp` gives it.
    blake2b: 64 bytes, or none.
    shards: in place of all these, the digest of each shard.
    """

    sha256: bytes
    size: int
    lfs_pointer: bool = False
    blake3: bytes = b""
    stamp: bytes = b""
    blake2b: bytes = b""
    shards: tuple[bytes, ...] = ()

    def digest(self, algorithm: str) -> bytes:
        """The digest by one algorithm, of the whole file."""
        digest: bytes = getattr(self, algorithm)  # the fields are called as their algorithms
        return digest


Outcome = FileDigest | ModelSealError


class Outcomes:
    """What became of N files, in columns but for those that are no plain file read to its end.

    others: by number, these: a git-lfs pointer, a file in shards; FileUnreadableError, or
    FileChangedError for a file that changed while it was read or is none any more.
    """

    def __init__(self, files: Sequence[str], algorithms: Sequence[str]) -> None:
        """algorithms: those that each file has one digest by."""
        self.others: dict[int, Outcome] = {}
        self._files = files
        self._stamps = bytearray(tree.STAMP.size * len(files))
        self._digests = {name: bytearray(WIDTHS[name] * len(files)) for name in algorithms}
        self._newest = 0

    def put(self, first: int, batch: Batch) -> None:
        """Take what was read of the files from `first` on."""
        _, newest, stamps, columns, _ = batch
        self._newest = max(self._newest, newest)
        places = [(self._stamps, stamps, tree.STAMP.size)]
        if columns:
            wholes = self._digests.items()
            for (name, whole), column in zip(wholes, columns, strict=True):
                places.append((whole, column, WIDTHS[name]))
        for whole, column, width in places:
            start = first * width
            whole[start : start + len(column)] = column

    def digest(self, algorithm: str) -> dict[str, bytes]:
        """Path → digest by one algorithm, where there is one."""
        digests = tree.cut(bytes(self._digests[algorithm]), WIDTHS[algorithm])
        pairs = enumerate(zip(self._files, digests, strict=True))
        return {path: digest for number, (path, digest) in pairs if number not in self.others}

    def read(self) -> tree.Read:
        """What was read, by SHA-256."""
        columns = (bytes(self._stamps), bytes(self._digests[SHA256]))
        return tree.Read(self._files, *columns, self._newest).without(self.others)

    def listed(self) -> list[Outcome]:
        """All, in the order of the files."""
        sha256, blake3, blake2b = (
            tree.cut(bytes(self._digests[name]), WIDTHS[name])
            if name in self._digests
            else repeat(b"")
            for name in (SHA256, BLAKE3, BLAKE2B)
        )
        found: list[Outcome] = [
            FileDigest(digest, row[2], False, other, stamp, third)
            for digest, row, other, stamp, third in zip(
                sha256,
                tree.STAMP.iter_unpack(self._stamps),
                blake3,
                tree.cut(bytes(self._stamps), tree.STAMP.size),
                blake2b,
                strict=False,
            )
        ]
        for number, outcome in self.others.items():
            found[number] = outcome
        return found


def outcome_of(path: str, answer: Answer, algorithms: Sequence[str]) -> Outcome:
    """What an answer means. algorithms: none where files are cut."""
    word, what, size, stamp = answer
    pointer = word == "pointer"
    if word == "shards" or (pointer and not algorithms):
        return FileDigest(b"", size, pointer, b"", stamp, shards=tuple(what))
    if pointer:
        made = dict(zip(algorithms, what, strict=True))
        sha256, blake3 = made.get(SHA256, b""), made.get(BLAKE3, b"")
        return FileDigest(sha256, size, True, blake3, stamp, made.get(BLAKE2B, b""))
    if word == "unreadable":
        return FileUnreadableError(f"cannot read '{path}': {what}")
    if word == "died":
        how = f"was ended by signal {what}" if what else "ended early"
        return FileUnreadableError(f"cannot hash '{path}': its worker {how}")
    return FileChangedError(f"'{path}' changed while it was read")
