"""Reading the files of a model as they were signed, and the suspects among them first."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Final, NamedTuple

from modelseal import fileio, hashing, tree
from modelseal.digests import BLAKE3, SHA256
from modelseal.errors import ModelSealError
from modelseal.oms.statement import SignedFile, Statement
from modelseal.structs import FileEntry, ModelManifest

Signed = FileEntry | SignedFile
Outcome = hashing.FileDigest | ModelSealError

_GROUP_BYTES: Final = 512 << 20
"""Bytes prechecked before the suspects among them are put to the test."""


class Form(NamedTuple):
    """How a format digests its files.

    shard_size: bytes; 0 where files are whole. sized: whether it says how large they are.
    """

    algorithm: str
    shard_size: int
    sized: bool

    @classmethod
    def of(cls, manifest: ModelManifest | Statement) -> "Form":
        """As the document says that its files were digested."""
        if isinstance(manifest, Statement):
            return cls(manifest.algorithm, manifest.shard_size, bool(manifest.shard_size))
        return cls(SHA256, 0, True)

    def digests(self, outcome: hashing.FileDigest) -> tuple[str, ...]:
        """What was found, to be compared with what was signed."""
        if self.shard_size:
            return tuple(shard.hex() for shard in outcome.shards)
        return (outcome.digest(self.algorithm).hex(),)

    def contents(
        self, found: Mapping[str, hashing.FileDigest]
    ) -> dict[str, tuple[tuple[str, ...], int | None]]:
        """The same of many, by path, with their sizes where the format says them."""
        if self.shard_size:
            return {path: (self.digests(digest), digest.size) for path, digest in found.items()}
        algorithm, sized = attrgetter(self.algorithm), self.sized
        return {
            path: ((algorithm(digest).hex(),), digest.size if sized else None)
            for path, digest in found.items()
        }


class Check:
    """One model's files, and what was signed of them."""

    def __init__(
        self,
        model_dir: fileio.Location,
        signed: Mapping[str, Signed],
        links: Collection[str],
        form: Form,
        how: hashing.Options,
    ) -> None:
        self._model_dir = model_dir
        self._signed = signed
        self._links = links
        self._form = form
        self._how = how

    def hash(self, files: Sequence[str], *algorithms: str) -> dict[str, Outcome]:
        """Digest some of the files, as they were signed unless told otherwise."""
        outcomes = hashing.hash_files(
            self._model_dir,
            files,
            links=self._links,
            algorithms=algorithms or (self._form.algorithm,),
            shard_size=self._form.shard_size,
            total=sum(self._signed[path].size_bytes or 0 for path in files),
            **self._how,
        )
        return dict(zip(files, outcomes, strict=True))

    def misfits(self, files: Sequence[str]) -> dict[str, int]:
        """Files of another size than signed, with the one they have; nobody need read those."""
        sizes = {path: size_of(self._model_dir, path) for path in files}
        return {
            path: n for path, n in sizes.items() if n not in (-1, self._signed[path].size_bytes)
        }

    def speaks_against(self, path: str, outcome: Outcome) -> bool:
        """Whether a file was read, and is not what was signed."""
        return (
            isinstance(outcome, hashing.FileDigest)
            and self._form.digests(outcome) != self._signed[path].digests
        )

    def suspects_first(
        self, files: Sequence[str], recorded: Mapping[str, bytes], warnings: list[str]
    ) -> dict[str, Outcome]:
        """SHA-256 of those files whose BLAKE3 is not as recorded, up to the first bad group.

        What was changed last comes first, by the file system's word, and of what was changed in
        one second the smallest: they are read soonest, and it is the code that hides among them.
        """
        outcomes: dict[str, Outcome] = {}
        known = [
            (-tree.changed_at(self._model_dir, path), self._size(path), path)
            for path in files
            if path in recorded
        ]
        for group in self._groups([path for _, _, path in sorted(known)]):
            looks = self.hash(group, BLAKE3)
            suspects = self.hash(
                [
                    path
                    for path, look in looks.items()
                    if not isinstance(look, hashing.FileDigest) or look.blake3 != recorded[path]
                ]
            )
            outcomes |= suspects
            if any(self.speaks_against(path, outcome) for path, outcome in suspects.items()):
                break
            warnings += [
                f"the store's BLAKE3 of '{path}' is false; its SHA-256 is as signed"
                for path, outcome in suspects.items()
                if isinstance(outcome, hashing.FileDigest)
            ]
        return outcomes

    def _size(self, path: str) -> int:
        return self._signed[path].size_bytes or 0

    def _groups(self, files: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        size = 0
        for path in files:
            group.append(path)
            size += self._size(path)
            if size >= _GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group


def size_of(top: fileio.Location, path: str) -> int:
    """In bytes; -1 where it can't be told, which is for others to say."""
    with suppress(OSError):
        return os.stat(tree.locate(os.fsencode(top), path)).st_size
    return -1
