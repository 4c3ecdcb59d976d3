"""What a bundle says of files, read without the strict decoder: for what must be quick.

Nothing is decided by it: who verifies decodes the same bytes with `bundle` and `statement`.
"""

import hashlib
from typing import Final, NamedTuple

from modelseal.errors import FormatError
from modelseal.oms import terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_SHA256: Final = "sha256"
_WRONG: Final = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
_NATIVE: Final = b'{"manifest"'


class File(NamedTuple):
    """digests: in hex; one, or one a shard. size: bytes; None where the bundle doesn't say."""

    path: str
    digests: tuple[str, ...]
    size: int | None = None


class Form(NamedTuple):
    """How a bundle digests files. shard_size: bytes; 0 where files are whole."""

    algorithm: str = _SHA256
    shard_size: int = 0

    @property
    def plain(self) -> bool:
        """Whether a file's digest is the SHA-256 of its content, as in a manifest."""
        return self == (_SHA256, 0)

    def condense(self, digests: "Iterable[bytes]") -> bytes:
        """What stands for a file that has other digests: 32 bytes, never its SHA-256."""
        kind = f"{self.algorithm} {self.shard_size}\0".encode()
        return hashlib.sha256(kind + b"".join(digests)).digest()

    def __str__(self) -> str:
        return f"{self.algorithm}{' of shards' if self.shard_size else ''}"


class Outline(NamedTuple):
    """What a bundle says. ignore_paths: those that can be inside a model."""

    name: str
    form: Form
    files: list[File]
    ignore_paths: frozenset[str] = terms.IGNORED
    allow_symlinks: bool = False

    @property
    def alone(self) -> bool:
        """Whether this is a model of one file, named as model_signing does."""
        return len(self.files) == 1 and self.files[0].path == terms.ALONE

    @property
    def size(self) -> int | None:
        """Bytes in all, where the bundle says so."""
        return sum(file.size or 0 for file in self.files) if self.form.shard_size else None

    def sha256(self) -> list[tuple[str, str, int | None]]:
        """Path, SHA-256 in hex and size of the files whose SHA-256 is told: one shard is enough."""
        if self.form.algorithm != _SHA256:
            return []
        return [(path, digests[0], size) for path, digests, size in self.files if len(digests) == 1]


def is_bundle(data: bytes) -> bool:
    """Whether what the store holds is a bundle; a canonical manifest has no such key."""
    return not data.startswith(_NATIVE) and b'"dsseEnvelope"' in data


def read(data: bytes) -> Outline:
    """Read a bundle that somebody has decoded strictly before. Raises FormatError."""
    import base64
    import json

    try:
        said = json.loads(base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"]))
        return _old(said) if said["predicateType"] == terms.OLD_PREDICATE else _outline(said)
    except (*_WRONG, RecursionError):
        raise FormatError("it is no bundle of OMS") from None


def _outline(said: "dict[str, Any]") -> Outline:
    serialization = said["predicate"]["serialization"]
    shard_size = int(serialization.get("shard_size") or 0)
    algorithm = terms.algorithm(serialization["hash_type"], shard_size)
    if algorithm is None or shard_size < 0:
        raise ValueError
    named = [(_text(each["name"]), each["digest"]) for each in said["predicate"]["resources"]]
    if shard_size:
        from modelseal.oms import shards

        whole = shards.join(named, shard_size)
        files = [File(path, digests, size) for path, (size, digests) in whole.items()]
    else:
        files = [File(path, (digest,)) for path, digest in named]
    return Outline(
        _text(said["subject"][0]["name"]),
        Form(algorithm, shard_size),
        _checked(files),
        terms.IGNORED | terms.inside(serialization.get("ignore_paths") or ()),
        bool(serialization["allow_symlinks"]),
    )


def _old(said: "dict[str, Any]") -> Outline:
    files = [File(_text(each["name"]), (each["digest"][_SHA256],)) for each in said["subject"]]
    return Outline("", Form(), _checked(files))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # raises a ValueError for what UTF-8 can't say
    return value


def _checked(files: list[File]) -> list[File]:
    for file in files:
        bytes.fromhex("".join(file.digests))
    return files
