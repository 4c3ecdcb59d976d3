"""Signed manifests and bundles by id: the SHA-256 of their bytes is their name.

A manifest lies there as its canonical bytes, a bundle as it is.

What `status`, `ls` and the index need of a manifest is read here from its canonical form, whose
keys stand in one order without white space, so that nothing heavy is loaded for it.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from modelseal import fileio
from modelseal.errors import FormatError, OverwriteError, StoreDamagedError, UnknownRevisionError
from modelseal.oms import outline as bundles
from modelseal.store import Entry, layout

LIMIT = 256 << 20
"""Bytes; as for any manifest."""

SUFFIX = ".json"

UNVERSIONED = "0.0.0"
"""The version of what has none, all bundles among it that nobody gave one to here."""

UNKNOWN = "-1"
"""In place of a size that a bundle doesn't say."""

_HINT = "'modelseal fsck' says what else is"
_SHARD_DIGITS = 2
_SHARD = re.compile(r"[0-9a-f]{2}").fullmatch
_REST = re.compile(r"([0-9a-f]{62})\.json").fullmatch
_ID = re.compile(r"[0-9a-f]{64}").fullmatch

_TEXT = r'"((?:[^"\\]|\\.)*+)"'
_HEAD = rf'\{{"manifest":\{{"author":{_TEXT},"created_at":{_TEXT},"description":{_TEXT},"files":\['
_TAIL = (
    rf'\],"framework":{_TEXT},"model_name":{_TEXT},"model_version":{_TEXT},'
    rf'"total_size_bytes":([0-9]+)\}},"signature":\{{"algorithm":{_TEXT},"public_key":{_TEXT},'
    rf'"signature_hex":{_TEXT},"signed_at":{_TEXT},"signer_id":{_TEXT}\}}\}}'
)
_FILE = r'\{"path":%s,"sha256_hash":"([0-9a-f]{64})","size_bytes":([0-9]+)\}'
# Patterns of this size are compiled when they are used: `status` mostly does without.
_FILES = _FILE % _TEXT
_FILES_PLAIN = _FILE % '"([^"]*)"'
_FRAME = len('{"path":"","sha256_hash":"","size_bytes":}') + 64


class Outline(NamedTuple):
    """What a signed manifest says, without its files; empty is what a bundle doesn't.

    size: bytes in all.
    """

    name: str
    version: str
    created_at: str
    signed_at: str
    signer_id: str
    size: int


def path_of(root: str, id_: str) -> str:
    """Where the manifest with this id lies."""
    return os.path.join(root, "manifests", id_[:_SHARD_DIGITS], id_[_SHARD_DIGITS:] + SUFFIX)


def add(root: str, id_: str, data: bytes) -> bool:
    """Have a manifest on disk, under the id that its bytes have; return whether it is new."""
    path = path_of(root, id_)
    layout.make_directory(os.path.dirname(path))
    try:
        fileio.write_new(path, data)
    except OverwriteError:
        try:
            if read(root, id_) == data:
                fileio.sync_directory(path)  # a writer that died may not have come so far
                return False
        except StoreDamagedError:
            pass
        fileio.write_atomic(path, data)
        return False
    return True


def read(root: str, id_: str) -> bytes:
    """The bytes of a manifest. Raises UnknownRevisionError, StoreDamagedError, OSError."""
    path = path_of(root, id_)
    try:
        data = fileio.read_bounded(path, LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        raise UnknownRevisionError(f"the store has no manifest '{id_}'") from None
    except FormatError as err:
        raise StoreDamagedError(f"manifest '{id_}' is damaged: {err}", hint=_HINT) from None
    if id_of(data) != id_:
        raise StoreDamagedError(f"manifest '{path}' doesn't hash to its name", hint=_HINT)
    return data


def id_of(data: bytes) -> str:
    """The id of a manifest, from its canonical bytes."""
    return hashlib.sha256(data).hexdigest()


def is_id(text: str) -> bool:
    """Whether a text is a whole id."""
    return _ID(text) is not None


def find(root: str, prefix: str) -> list[str]:
    """The ids that begin with `prefix`, two digits or more, sorted."""
    shard, rest = prefix[:_SHARD_DIGITS], prefix[_SHARD_DIGITS:]
    return [
        shard + found[1]
        for name in layout.names_in(os.path.join(root, "manifests", shard))
        if name.startswith(rest) and (found := _REST(name))
    ]


def ids(root: str) -> Iterator[str]:
    """The ids of all manifests, sorted."""
    for shard in layout.names_in(os.path.join(root, "manifests")):
        if _SHARD(shard):
            with suppress(StoreDamagedError):  # no directory: one of the `strangers`
                yield from find(root, shard)


def strangers(root: str) -> Iterator[str]:
    """What lies among the manifests and is none, as paths below the store."""
    for shard in layout.names_in(os.path.join(root, "manifests")):
        if _SHARD(shard):
            try:
                names = layout.names_in(os.path.join(root, "manifests", shard))
            except StoreDamagedError:
                names = [""]
            bad = sorted(name for name in names if not _REST(name))
        else:
            bad = [""]
        for name in bad:
            if not layout.is_leftover(name or shard):
                yield os.path.join("manifests", shard, name).rstrip("/")


def is_bundle(data: bytes) -> bool:
    """Whether these are a bundle's bytes, and not a manifest's."""
    return bundles.is_bundle(data)


def bundle(data: bytes) -> bundles.Outline:
    """What a bundle's bytes say. Raises StoreDamagedError."""
    try:
        return bundles.read(data)
    except FormatError as err:
        raise StoreDamagedError(f"a bundle is damaged: {err}", hint=_HINT) from None


def outline(data: bytes) -> Outline:
    """What a seal's bytes say beside their files. Raises StoreDamagedError."""
    if is_bundle(data):
        said = bundle(data)
        return Outline(said.name, UNVERSIONED, "", "", "", said.size or 0)
    return _outline(*_parts(data))


def entries(data: bytes) -> list[Entry]:
    """The files that a seal's bytes name, in their order.

    Raises StoreDamagedError; FormatError for a bundle that names them by other digests.
    """
    if is_bundle(data) and not (said := bundle(data)).form.plain:
        raise FormatError(
            f"'{said.name}' was sealed by {said.form}, not by SHA-256",
            hint="'modelseal show' lists the digests, 'modelseal verify' compares them",
        )
    return [
        Entry(path, None if size == UNKNOWN else int(size), digest)
        for path, digest, size in rows(data)
    ]


def rows(data: bytes) -> list[tuple[str, str, str]]:
    """The same as bare tuples: path, SHA-256 in hex, size in digits or UNKNOWN.

    Of a bundle only those files whose SHA-256 it tells.
    """
    if is_bundle(data):
        return [
            (path, digest, UNKNOWN if size is None else str(size))
            for path, digest, size in bundle(data).sha256()
        ]
    return _rows(_parts(data)[1])


def contents(data: bytes) -> tuple[bundles.Form, dict[str, str]]:
    """Path → digest in hex of every file, and by which digests; others are condensed."""
    if not is_bundle(data):
        return bundles.Form(), {path: digest for path, digest, _ in rows(data)}
    said = bundle(data)
    return said.form, {file.path: digest_of(file, said.form) for file in said.files}


def digest_of(file: bundles.File, form: bundles.Form) -> str:
    """What stands for a bundle's file, in hex: its SHA-256, or what its digests condense to."""
    if form.plain:
        return file.digests[0]
    return form.condense(map(bytes.fromhex, file.digests)).hex()


def paths(data: bytes) -> list[str]:
    """The paths that a seal's bytes name. Raises StoreDamagedError."""
    if is_bundle(data):
        return [file.path for file in bundle(data).files]
    return [path for path, _, _ in rows(data)]


def _parts(data: bytes) -> tuple[re.Match[str], str, re.Match[str]]:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise _not_canonical() from None
    head = re.match(_HEAD, text)
    # No text can hold a quotation mark that isn't escaped: this is the list's end.
    end = text.find('],"framework":', head.end() if head else 0)
    tail = re.compile(_TAIL).fullmatch(text, end) if end >= 0 else None
    if not head or not tail:
        raise _not_canonical()
    return head, text[head.end() : end], tail


def _outline(head: re.Match[str], _: str, tail: re.Match[str]) -> Outline:
    said = _unescape if "\\" in head[0] or "\\" in tail[0] else str
    name, version, total, signed_at, signer = tail.group(2, 3, 4, 8, 9)
    return Outline(said(name), said(version), head[2], signed_at, said(signer), int(total))


def _rows(text: str) -> list[tuple[str, str, str]]:
    escaped = "\\" in text
    found: list[tuple[str, str, str]] = re.findall(_FILES if escaped else _FILES_PLAIN, text)
    # Nothing may stand between the files but their commas.
    length = sum([len(path) + len(size) for path, _, size in found]) + len(found) * (_FRAME + 1)
    if length != len(text) + bool(found):
        raise _not_canonical()
    if escaped:
        found = [
            (_unescape(path) if "\\" in path else path, digest, size)
            for path, digest, size in found
        ]
    return found


def _unescape(text: str) -> str:
    return _loads(f'"{text}"')


def _loads(text: str) -> str:
    import json

    decode: Callable[[str], object] = json.loads
    try:
        value = decode(text)
    except ValueError:
        raise _not_canonical() from None
    return str(value)


def _not_canonical() -> StoreDamagedError:
    return StoreDamagedError("a manifest is not in canonical form", hint=_HINT)
