"""The statement: which files, by which digests, and how they were found.

Source: OMS 1.0, sections 5 and 6; in-toto Statement v1.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from modelseal import paths
from modelseal.errors import FormatError
from modelseal.oms import lenient, shards, terms
from modelseal.structs import SIZE_LIMIT

Algorithm = terms.Algorithm

TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = terms.PREDICATE
OLD_PREDICATE: Final = terms.OLD_PREDICATE
IGNORED: Final = terms.IGNORED
ALONE: Final = terms.ALONE
ALGORITHMS: Final = terms.ALGORITHMS
_DIGITS: Final = {"sha256": 64, "blake2b": 128, "blake3": 64}
_is_hex = re.compile(r"[0-9a-f]+").fullmatch


class SignedFile(msgspec.Struct, frozen=True, gc=False):
    """One file that a statement names.

    digests: in hex; one, or one a shard.
    size_bytes: None where the statement doesn't say, that is without shards.
    """

    path: str
    digests: tuple[str, ...]
    size_bytes: int | None = None


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle's signature covers, with the names that a manifest has for it.

    model_name: informative alone.
    files: none empty, no two of one path, none below another; sorted by path.
    shard_size: bytes; 0 where files are whole.
    ignore_paths: as they stand there: relative to the model, or to where somebody's tool ran.
    """

    model_name: str
    files: list[SignedFile]
    algorithm: Algorithm = "sha256"
    shard_size: int = 0
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()
    old: bool = False

    @property
    def model_version(self) -> str:
        """What a manifest has, and a statement hasn't."""
        return ""

    @property
    def framework(self) -> str:
        """What a manifest has, and a statement hasn't."""
        return ""

    @property
    def alone(self) -> bool:
        """Whether this is a model of one file, named as model_signing does."""
        return len(self.files) == 1 and self.files[0].path == ALONE


class _Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct, gc=False):
    name: str
    digest: str
    algorithm: str


class _Serialization(msgspec.Struct):
    method: Literal["files", "shards"]
    hash_type: str
    allow_symlinks: bool
    shard_size: int | float | None = None
    ignore_paths: list[str] = []


class _Predicate(msgspec.Struct):
    resources: list[_Resource]
    serialization: _Serialization


class _Statement(msgspec.Struct, rename={"type_": "_type", "predicate_type": "predicateType"}):
    type_: str
    predicate_type: str
    subject: list[_Subject]
    predicate: msgspec.Raw = msgspec.Raw()


def decode(payload: bytes) -> Statement:
    """Decode a statement of either generation. Raises FormatError, which says what is wrong."""
    said = lenient.decode(payload, _Statement)
    if said.type_ != TYPE:
        raise FormatError(f"_type: {said.type_!r:.80} is not '{TYPE}'")
    if said.predicate_type == OLD_PREDICATE:
        return _decode_old(said.subject)
    if said.predicate_type != PREDICATE:
        raise FormatError(f"predicateType: {said.predicate_type!r:.80} is not '{PREDICATE}'")
    if len(said.subject) != 1:
        raise FormatError(f"subject: one is needed, and there are {len(said.subject)}")
    if not said.subject[0].name:
        raise FormatError("subject.name: it is empty")
    if not bytes(said.predicate):
        raise FormatError("object missing required field 'predicate'")
    predicate = lenient.decode_part(said.predicate, _Predicate, "predicate")
    algorithm, shard_size = _serialization(predicate.serialization)
    _check_resources(predicate.resources, algorithm, shard_size)
    _check_root(said.subject[0], predicate.resources)
    named = [(each.name, each.digest) for each in predicate.resources]
    if shard_size:
        whole = shards.join(named, shard_size)
        files = [SignedFile(path, parts, size) for path, (size, parts) in whole.items()]
    else:
        files = [SignedFile(path, (digest,)) for path, digest in named]
    _check_paths(files)
    return Statement(
        model_name=said.subject[0].name,
        files=files,
        algorithm=algorithm,
        shard_size=shard_size,
        allow_symlinks=predicate.serialization.allow_symlinks,
        ignore_paths=tuple(predicate.serialization.ignore_paths or ()),
    )


def _decode_old(subjects: Sequence[_Subject]) -> Statement:
    files = []
    for subject in subjects:
        digest = subject.digest.get("sha256", "")
        _check_digest(subject.name, digest, "sha256")
        files.append(SignedFile(subject.name, (digest,)))
    if not files:
        raise FormatError("subject: it names no file")
    _check_paths(files)
    return Statement(model_name="", files=files, old=True)


def _serialization(said: _Serialization) -> tuple[Algorithm, int]:
    """The algorithm, and the shard size, 0 for whole files."""
    size = said.shard_size
    if said.method == "files":
        if size is not None:
            raise FormatError("serialization.shard_size: whole files have none")
    # A round trip through protobuf makes every number a float.
    elif size is None or size != size // 1 or not 0 < size <= SIZE_LIMIT:
        raise FormatError(f"serialization.shard_size: {size!r:.80} is not a number of bytes")
    shard_size = int(size or 0)
    algorithm = terms.algorithm(said.hash_type, shard_size)
    if algorithm is None:
        raise FormatError(
            f"serialization.hash_type: {said.hash_type!r:.80} is none of {', '.join(ALGORITHMS)}"
        )
    return algorithm, shard_size


def _check_resources(resources: Sequence[_Resource], algorithm: Algorithm, shard_size: int) -> None:
    if not resources:
        raise FormatError("predicate.resources: it names no file")
    for each in resources:
        if terms.algorithm(each.algorithm, shard_size) != algorithm:
            raise FormatError(
                f"resource {each.name!r}: algorithm {each.algorithm!r:.80} is not hash_type"
            )
        _check_digest(each.name, each.digest, algorithm)


def _check_digest(name: str, digest: str, algorithm: Algorithm) -> None:
    if len(digest) != _DIGITS[algorithm] or not _is_hex(digest):
        raise FormatError(
            f"resource {name!r}: the digest is not {_DIGITS[algorithm]} lowercase hexadecimal "
            "digits"
        )


def _check_root(subject: _Subject, resources: Sequence[_Resource]) -> None:
    if subject.digest.get("sha256") != _root(each.digest for each in resources):
        raise FormatError("subject.digest: the root digest does not fit the resources")


def _root(digests: Iterable[str]) -> str:
    """The digest of all digests, in their order; SHA-256 whatever they are."""
    return hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()


def _check_paths(files: Sequence[SignedFile]) -> None:
    if len(files) == 1 and files[0].path == ALONE:
        return
    for file in files:
        paths.check(file.path)
    paths.check_all([file.path for file in files])


def encode(statement: Statement) -> bytes:
    """The bytes to be signed: the same for the same statement, in the order of OMS 1.0.

    Raises FormatError for a model without a name, or without files.
    """
    resources = sorted(_resources(statement))
    if not resources:
        raise FormatError("there is nothing to sign in files that are all empty")
    serialization: dict[str, object] = {
        "method": "shards" if statement.shard_size else "files",
        "hash_type": statement.algorithm,
        "allow_symlinks": statement.allow_symlinks,
    }
    if statement.shard_size:
        serialization["shard_size"] = statement.shard_size
    if statement.ignore_paths:
        serialization["ignore_paths"] = sorted(statement.ignore_paths)
    root = _root(digest for _, digest in resources)
    return msgspec.json.encode(
        {
            "_type": TYPE,
            "subject": [{"name": statement.model_name, "digest": {"sha256": root}}],
            "predicateType": PREDICATE,
            "predicate": {
                "serialization": serialization,
                "resources": [
                    {"name": name, "digest": digest, "algorithm": statement.algorithm}
                    for name, digest in resources
                ],
            },
        }
    )


def _resources(statement: Statement) -> Iterator[tuple[str, str]]:
    for file in statement.files:
        if not statement.shard_size:
            yield file.path, file.digests[0]
            continue
        assert file.size_bytes is not None  # noqa: S101 - who cuts a file knows its size
        ranges = shards.ranges(file.size_bytes, statement.shard_size)
        for (start, end), digest in zip(ranges, file.digests, strict=True):
            yield shards.name(file.path, start, end), digest
