"""The readers that strangers' bytes reach, and what must hold whatever these bytes are.

A target is told bytes and a scratch directory of its own. It returns whether the bytes were taken
for what they should be. A broken promise is an AssertionError; any exception that is not the
reader's own is a finding as well.
"""

import base64
import json
import ntpath
import os
import posixpath
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelseal import (
    allowed_signers,
    documents,
    keys,
    lfs,
    manifestfiles,
    openssh,
    paths,
    pushed,
    settings,
    signatures,
)
from modelseal.canonical import canonical
from modelseal.digests import SHA256
from modelseal.errors import FormatError, GitError, KeyLoadError, StoreDamagedError
from modelseal.hashing import FileDigest, hash_files
from modelseal.store import Checked, Status, Store, index, layout, log, manifests, verified
from modelseal.structs import SignedManifest
from modelseal.trust import PublisherRegistry
from tests.fuzz import bundles
from tests.fuzz.once import once
from tests.sealed import seal_directory

Target = Callable[[bytes, Path], bool]

CORPUS: Final = Path(__file__).parent / "corpus"
_NOW: Final = datetime(2024, 1, 31, 12, tzinfo=UTC)
KEY: Final = ed25519.Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
"""Everybody knows it: it signs `corpus/manifest/signed.json` and nothing else."""

_REQUIRED: Final = {"files": [], "description": ""}


@cache
def genuine() -> SignedManifest:
    """The one manifest that `KEY` signed."""
    return manifestfiles.load(CORPUS / "manifest" / "signed.json")


def manifest(data: bytes, scratch: Path) -> bool:
    """A signed manifest: what is accepted says the same to every reader, and is signed or not."""
    try:
        signed = manifestfiles.decode(data, "manifest.json")
    except FormatError:
        return False
    written = canonical(signed)
    assert documents.decode(written, SignedManifest) == signed
    assert canonical(documents.decode(written, SignedManifest)) == written
    said, meant = (json.loads(text, object_pairs_hook=once) for text in (data.decode(), written))
    said["manifest"] = _REQUIRED | said["manifest"]
    for part, name in (("manifest", "created_at"), ("signature", "signed_at")):
        said[part][name] = meant[part][name]  # a time may be written in several ways
    assert json.dumps(said, sort_keys=True) == json.dumps(meant, sort_keys=True)
    outline, rows = manifests.outline(written), manifests.rows(written)
    assert (outline.name, outline.version) == (
        signed.manifest.model_name,
        signed.manifest.model_version,
    )
    assert (outline.signer_id, outline.size) == (
        signed.signature.signer_id,
        signed.manifest.total_size_bytes,
    )
    assert rows == [(e.path, e.sha256_hash, str(e.size_bytes)) for e in signed.manifest.files]
    if signatures.check(signed, KEY.public_key()).valid:
        assert canonical(signed.manifest) == canonical(genuine().manifest), "a forged signature"
    return True


def registry(data: bytes, scratch: Path) -> bool:
    """A registry: nobody is trusted for a key that it does not hold for their name."""
    path = scratch / "trust.json"
    path.write_bytes(data)
    try:
        known = PublisherRegistry(path)
    except FormatError:
        return False
    finally:
        assert path.read_bytes() == data
    said = json.loads(data.decode(), object_pairs_hook=once)
    assert [each["publisher_id"] for each in said] == [
        publisher.publisher_id for publisher in known.list_publishers()
    ]
    signer = genuine().signature
    if known.verify_against_registry(genuine()).valid:
        publisher = known.get_publisher(signer.signer_id)
        assert publisher
        embedded = keys.load_embedded(publisher.public_key)
        assert keys.encode_public(embedded) == base64.b64decode(signer.public_key)
    return True


def key(data: bytes, scratch: Path) -> bool:
    """A key: what is taken for one is of a kind that can be used, and is the same written anew."""
    taken = False
    for read in (keys.load_public, _embedded):
        try:
            public = read(data)
        except KeyLoadError:
            continue
        assert keys.encode_public(keys.load_public(keys.encode_public(public))) == (
            keys.encode_public(public)
        )
        for empty in (b"\1" + bytes(63), bytes.fromhex("3006020101020101")):
            assert not signatures.verify(public, b"nobody", empty), "it fits what nobody signed"
        taken = True
    keys.is_encrypted(data)
    openssh.header(data)
    try:
        private = keys.load_private(data)
    except KeyLoadError:
        return taken
    assert signatures.verify(private.public_key(), b"x", signatures.sign(private, b"x"))
    return True


def _embedded(data: bytes) -> keys.PublicKey:
    return keys.load_embedded(data.decode("latin-1"))


def path(data: bytes, scratch: Path) -> bool:
    """Paths, a line each: what is accepted stays inside a model, under any system's rules."""
    named = [_text(line) for line in data.split(b"\n")]
    good = []
    for each in named:
        try:
            good.append(paths.check(each))
        except FormatError:
            continue
        assert posixpath.normpath(each) == each
        assert not posixpath.isabs(each)
        drive, rest = ntpath.splitdrive(each)
        assert not (drive[:1].isascii() and drive[:1].isalpha() and rest[:1] in ("", "/"))
        assert not {"", ".", ".."} & {*each.split("/")}
        assert each.encode().decode() == each
    parents = {part for each in good for part in _above(each)}
    assert paths.parents(good) == parents
    stand = len({*good}) == len(good) and not parents & {*good}
    try:
        paths.check_all(good)
    except FormatError:
        assert not stand
        return False
    assert stand
    return len(good) == len(named)


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return line.decode("utf-8", "surrogateescape")  # as Python has names of files


def _above(each: str) -> list[str]:
    parts = each.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def config(data: bytes, scratch: Path) -> bool:
    """A configuration file: what is accepted is known, and of its kind."""
    try:
        values = settings.decode(data)
    except FormatError:
        return False
    said = tomllib.loads(data.decode()).get("modelseal", {})
    assert {name.partition(".")[0] for name in values} == said.keys() - {"hook"} | {
        "hook" for name in values if name.startswith("hook.")
    }
    for name, value in values.items():
        rule = settings.RULES[name]
        assert type(value) is rule.kind
        assert not rule.words or value in rule.words
        assert rule.strictness(value) >= 0 if rule.policy else value != ""
    level = settings.Level("store", values, dict.fromkeys(values, "config.toml"), bound=True)
    counts = settings.resolve([level])
    for name, rule in settings.RULES.items():
        if rule.policy:
            assert rule.strictness(counts[name].value) >= rule.strictness(rule.default)
    return True


def pointer(data: bytes, scratch: Path) -> bool:
    """A git-lfs pointer: told by its content, by the engine as by the function."""
    taken = lfs.is_pointer(data)
    assert not taken or (len(data) < lfs.POINTER_LIMIT and data.startswith(b"version https://"))
    (scratch / "weights.bin").write_bytes(data)
    (found,) = hash_files(scratch, ["weights.bin"], algorithms=(SHA256,), jobs=1)
    assert isinstance(found, FileDigest)
    assert (found.lfs_pointer, found.size) == (taken, len(data))
    parsed = lfs.parse(data)
    if parsed is not None:
        assert taken
        oid, size = parsed.sha256.hex(), parsed.size
        assert data.endswith(f"spec/v1\noid sha256:{oid}\nsize {size}\n".encode())
    return taken


def signers(data: bytes, scratch: Path) -> bool:
    """A list of OpenSSH's: whom we take over is on a line that says so, and can be written back."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    try:
        found, _ = allowed_signers.decode(text, "allowed_signers", now=_NOW)
    except FormatError:
        return False
    lines = [line for line in text.split("\n") if not line.strip().startswith("#")]
    for publisher in found:
        assert any(publisher.publisher_id in line for line in lines)
    written, _ = allowed_signers.encode(found, now=_NOW)
    again, _ = allowed_signers.decode(written, "again", now=_NOW)
    assert {each.publisher_id for each in again} <= {each.publisher_id for each in found}
    return bool(found)


def push(data: bytes, scratch: Path) -> bool:
    """What git tells a hook, and a tree object: every line and every entry, or an error."""
    taken = False
    try:
        updates = pushed.parse(data)
    except FormatError:
        pass
    else:
        said = "\n".join(" ".join(update) for update in updates)
        lines = [line for line in data.split(b"\n") if line]
        assert said.encode(errors="surrogateescape") == b"\n".join(lines)
        taken = bool(updates)
    for width in (40, 64):
        try:
            entries = pushed._parse_tree(data, "0" * width)
        except GitError:
            continue
        size = sum(len(name) + 2 + width // 2 for name in entries)
        modes = sum(len(each.mode) for each in entries.values())
        assert size + modes <= len(data)
        assert all(len(each.oid) == width for each in entries.values())
        taken = taken or bool(entries)
    return taken


def words(data: bytes, scratch: Path) -> bool:
    """The log and what was verified: every line is read once, from the end as from the start."""
    place = scratch / "log"
    place.write_bytes(data)
    whole, block = str(place), log._BLOCK
    log._BLOCK = 7  # blocks end within lines then
    try:
        read = [line for line, _, _ in log.backwards(whole)]
        log.mark(whole)
        assert log.torn_line(whole) == data.rpartition(b"\n")[2]
    finally:
        log._BLOCK = block
    assert [line for line in read[::-1] if line] == [line for line in data.split(b"\n") if line]
    taken = False
    for line in read:
        seal = log.parse(line, "/place")
        if seal is not None:
            assert log.parse(log.format_line(seal, "/place")[:-1], "/place") == seal
            taken = True
    try:
        verified.parse(data, "verified/name")
        taken = True
    except StoreDamagedError:
        pass
    try:
        word = data.decode("ascii")
        text = layout.decode(word)
    except ValueError:
        return taken
    assert word in (layout.encode(text), layout.encode(text, also=b"/"))
    return True


def outline(data: bytes, scratch: Path) -> bool:
    """A stored manifest: the reader without msgspec believes what the strict one would."""
    try:
        said, rows = manifests.outline(data), manifests.rows(data)
    except StoreDamagedError:
        said, rows = None, []
    try:
        signed = documents.decode(data, SignedManifest)
    except FormatError:
        return False
    if canonical(signed) != data:
        return False
    assert said is not None
    assert [tuple(row) for row in rows] == [
        (e.path, e.sha256_hash, str(e.size_bytes)) for e in signed.manifest.files
    ]
    return True


class _Sealed:
    """A store with one model, and what a sound index makes of it."""

    def __init__(self, scratch: Path) -> None:
        self.model = scratch / "model"
        self.model.mkdir()
        (self.model / "config.json").write_bytes(b"{}")
        (self.model / "model.bin").write_bytes(bytes(range(256)))
        for each in self.model.iterdir():
            os.utime(each, (1_700_000_000, 1_700_000_000))
        self.store = Store.init(scratch)
        signed = seal_directory(self.model)
        self.contents = {bytes.fromhex(entry.sha256_hash) for entry in signed.manifest.files}
        self.store.add(
            signed,
            model_dir=self.model,
            blake3={entry.path: b"\3" * 32 for entry in signed.manifest.files},
        )
        self.truth = self.store.identify(self.contents)
        self.status = self._status()
        self.path = Path(index.path_of(self.store.path))
        self.sound = self.path.read_bytes()

    def _status(self) -> Status:
        return self.store.status(self.model)._replace(hashed=0)

    def judge(self, data: bytes) -> bool:
        for name in os.listdir(self.store.path):
            if index.is_stored_file(name):
                os.unlink(os.path.join(self.store.path, name))
        self.path.write_bytes(data)
        fsck: Checked = self.store.fsck()
        assert {found.kind for found in fsck.findings} <= {"index"}
        assert self._status() == self.status
        self.store.blake3(self.contents)
        for digest, seen in self.store.identify(self.contents).items():
            assert seen in ([], self.truth[digest])
        return not fsck.findings


@cache
def _sealed(scratch: Path) -> _Sealed:
    return _Sealed(scratch)


def database(data: bytes, scratch: Path) -> bool:
    """The index: whole, or edits of a sound one, three bytes each: place, place, value."""
    sealed = _sealed(scratch)
    if data.startswith(b"SQLite format 3\0"):
        return sealed.judge(data)
    edited = bytearray(sealed.sound)
    for high, low, value in zip(data[::3], data[1::3], data[2::3], strict=False):
        edited[(high << 8 | low) % len(edited)] = value
    return sealed.judge(bytes(edited))


TARGETS: Final[dict[str, Target]] = {
    "manifest": manifest,
    "registry": registry,
    "key": key,
    "path": path,
    "pointer": pointer,
    "config": config,
    "signers": signers,
    "push": push,
    "words": words,
    "outline": outline,
    "index": database,
    **bundles.TARGETS,
}
"""Name → target. Each has a directory of inputs in `corpus/`."""

MORE: Final = {
    "manifest": ["manifests"],
    "outline": ["manifests"],
    "bundle": ["oms/bundles", "oms/envelopes"],
    "encoding": ["oms/pae"],
    "statement": ["oms/statements"],
}
"""Directories of `tests/vectors` that are inputs too."""


def inputs(name: str) -> list[Path]:
    """Everything that a target starts from."""
    vectors = Path(__file__).parents[1] / "vectors"
    directories = [CORPUS / name, *(vectors / each for each in MORE.get(name, []))]
    return sorted(each for top in directories for each in top.iterdir() if each.is_file())
