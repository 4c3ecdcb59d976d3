"""What holds for any model and any manifest: what was signed verifies, and nothing else does."""

import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelseal import (
    ModelManifest,
    ModelSigner,
    ModelVerifier,
    SignatureAlgorithm,
    SignedManifest,
    keys,
    manifestfiles,
    signatures,
)
from modelseal.canonical import canonical
from modelseal.errors import FormatError, ModelError
from modelseal.report import Report
from tests.strategies import QUICK, manifests, path_sets, paths, texts

PRIVATE: Final = {each: keys.generate(each) for each in SignatureAlgorithm}
PEM: Final = keys.encode_private(PRIVATE[SignatureAlgorithm.ed25519])
PUBLIC: Final = keys.encode_public(PRIVATE[SignatureAlgorithm.ed25519].public_key())
NOW: Final = datetime(2024, 1, 31, 12, tzinfo=UTC)
AT_THE_TOP: Final = [".git", ".modelseal", "signed_manifest.json", "model.sig"]


def sign(manifest: ModelManifest, algorithm: SignatureAlgorithm) -> SignedManifest:
    return signatures.sign_manifest(
        manifest, PRIVATE[algorithm], signer_id="alice@example.com", signed_at=NOW
    )


def accepted(data: bytes, algorithm: SignatureAlgorithm) -> SignedManifest | None:
    """What bytes say, if they are a manifest signed by our key."""
    try:
        signed = manifestfiles.decode(data, "manifest.json")
    except FormatError:
        return None
    return signed if signatures.check(signed, PRIVATE[algorithm].public_key()).valid else None


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# Manifests.


@QUICK
@given(manifests(), st.sampled_from(SignatureAlgorithm), st.integers(0, 2**32))
def test_no_bit_of_a_manifest_changes_what_was_signed(
    manifest: ModelManifest, algorithm: SignatureAlgorithm, seed: int
) -> None:
    signed = sign(manifest, algorithm)
    for data in (canonical(signed), signed.model_dump_json(indent=2).encode()):
        assert accepted(data, algorithm) == signed
        for bit in random.Random(seed).sample(range(len(data) * 8), 20):
            found = accepted(flipped(data, bit), algorithm)
            assert found is None or found.manifest == manifest, bit


@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_every_bit_of_one_manifest(algorithm: SignatureAlgorithm) -> None:
    manifest = ModelManifest(
        model_name="naïve",
        model_version="1.0",
        framework="unknown",
        files=[],
        total_size_bytes=0,
        created_at=NOW,
        author="Zoë",
        description="\n",
    )
    signed = sign(manifest, algorithm)
    data = canonical(signed)
    survivors: dict[str, set[str]] = {}
    for bit in range(len(data) * 8):
        found = accepted(flipped(data, bit), algorithm)
        if found is not None:
            assert canonical(found.manifest) == canonical(manifest), bit
            how = f"{data[bit // 8]:c}{data[bit // 8] ^ 1 << bit % 8:c}"
            survivors.setdefault(_member(data, bit // 8), set()).add(how)
    # What the signer claims is not signed; what base64 and PEM leave open changes nothing in the
    # key that they hold; the rest is upper and lower case in an escape and a time.
    for unsigned in ("signer_id", "signed_at", "public_key"):
        survivors.pop(unsigned, None)
    assert survivors == {
        "model_name": {"eE", "fF"},
        "author": {"eE", "bB"},
        "created_at": {"Tt", "Zz"},
    }


def _member(data: bytes, place: int) -> str:
    """The name of the member whose text holds a byte of a canonical document."""
    return data[:place].rpartition(b'":')[0].rpartition(b'"')[2].decode()


@QUICK
@given(manifests(), manifests(), st.sampled_from(SignatureAlgorithm))
def test_a_signature_is_of_one_manifest(
    one: ModelManifest, other: ModelManifest, algorithm: SignatureAlgorithm
) -> None:
    signature = sign(one, algorithm).signature
    moved = SignedManifest(manifest=other, signature=signature)
    valid = signatures.check(moved, PRIVATE[algorithm].public_key()).valid
    assert valid == (canonical(one) == canonical(other))


@QUICK
@given(st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists, max_leaves=4))
def test_a_document_of_another_shape_is_refused(value: object) -> None:
    signed = json.loads(sign(_EMPTY, SignatureAlgorithm.ed25519).model_dump_json())
    for part, members in signed.items():
        for name, right in members.items():
            same = json.dumps(value) == json.dumps(right)
            other = {**signed, part: {**members, name: value}}
            found = accepted(json.dumps(other).encode(), SignatureAlgorithm.ed25519)
            assert (found is not None) == (
                same or (name == "signer_id" and isinstance(value, str))
            ), (part, name)
    assert accepted(json.dumps(value).encode(), SignatureAlgorithm.ed25519) is None


_EMPTY: Final = ModelManifest(
    model_name="model",
    model_version="1.0",
    framework="unknown",
    total_size_bytes=0,
    created_at=NOW,
    author="",
)


# Models on disk.

_CONTENTS = st.binary(max_size=40) | st.sampled_from([b"", b"\0", b"{}"])
TREES = st.builds(
    lambda found, data: {path: data.draw(_CONTENTS) for path in found},
    path_sets.filter(lambda found: all(_fits(path) for path in found)),
    st.data(),
)


def _fits(path: str) -> bool:
    """Whether a file system takes it, and the walk takes it for a part of the model."""
    parts = path.split("/")
    short = all(len(part.encode()) < 256 for part in parts)
    return short and parts[0] not in AT_THE_TOP


@contextmanager
def laid_out(contents: dict[str, bytes], links: set[str]) -> Iterator[Path]:
    """A model directory of these files; those of `links` lead to files outside it."""
    with tempfile.TemporaryDirectory() as top:
        root = Path(top, "model")
        blobs = Path(top, "blobs")
        for each in (root, blobs):
            each.mkdir()
        for number, (path, content) in enumerate(contents.items()):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if path in links:
                (blobs / str(number)).write_bytes(content)
                file.symlink_to(blobs / str(number))
            else:
                file.write_bytes(content)
        yield root


def sealed(root: Path, **how: bool) -> SignedManifest:
    output = root.parent / "manifest.json"
    ModelSigner().sign_model(root, PEM, "alice@example.com", output, jobs=1, **how)  # type: ignore[arg-type]
    return manifestfiles.load(output)


def verified(root: Path, signed: SignedManifest, **how: bool) -> Report:
    return ModelVerifier().verify_model(root, signed, public_key_bytes=PUBLIC, jobs=1, **how)  # type: ignore[arg-type]


@QUICK
@given(TREES, st.data())
def test_any_model_verifies_once_signed_and_not_once_changed(
    contents: dict[str, bytes], data: st.DataObject
) -> None:
    links = set(data.draw(st.lists(st.sampled_from(sorted(contents))))) if contents else set()
    with laid_out(contents, links) as root:
        if not contents:
            with pytest.raises(ModelError, match="holds no file"):
                sealed(root)
            return
        if links:
            with pytest.raises(ModelError, match="symbolic link"):
                sealed(root)
        how = {"follow_symlinks": bool(links)}
        signed = sealed(root, **how)
        assert [entry.path for entry in signed.manifest.files] == sorted(contents)
        report = verified(root, signed, **how)
        assert report.valid
        assert report.passed == sorted(contents)
        if links:
            assert not verified(root, signed).valid
        change = data.draw(st.sampled_from(CHANGES))
        expected = change(root, sorted(contents), data)
        report = verified(root, signed, **how)
        assert not report.valid
        found = {
            *(f"altered {each.path}" for each in report.altered),
            *(f"missing {each}" for each in report.missing),
            *(f"unsigned {each.path}" for each in report.unsigned),
        }
        assert expected <= found


def _flip(root: Path, files: list[str], data: st.DataObject) -> set[str]:
    path = data.draw(st.sampled_from(files))
    content = (root / path).read_bytes() or b"\0"
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    (root / path).write_bytes(flipped(content, bit))
    return {f"altered {path}"}


def _extend(root: Path, files: list[str], data: st.DataObject) -> set[str]:
    path = data.draw(st.sampled_from(files))
    with (root / path).open("ab") as file:
        file.write(data.draw(st.binary(min_size=1, max_size=3)))
    return {f"altered {path}"}


def _remove(root: Path, files: list[str], data: st.DataObject) -> set[str]:
    path = data.draw(st.sampled_from(files))
    (root / path).unlink()
    return {f"missing {path}"}


def _replace(root: Path, files: list[str], data: st.DataObject) -> set[str]:
    path = data.draw(st.sampled_from(files))
    (root / path).unlink()
    make: Callable[[Path], None] = data.draw(st.sampled_from([os.mkdir, os.mkfifo, _dangle]))
    make(root / path)
    return {f"missing {path}"} if make is os.mkdir else {f"altered {path}"}


def _dangle(path: Path) -> None:
    path.symlink_to("nowhere")


def _add(root: Path, files: list[str], data: st.DataObject) -> set[str]:
    beside = {part for path in files for part in _with_parents(path)}
    path = data.draw(
        paths.filter(
            lambda path: _fits(path) and not {*_with_parents(path)} & {*files} | {path} & beside
        )
    )
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data.draw(_CONTENTS))
    return {f"unsigned {path}"}


def _with_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _move(root: Path, files: list[str], data: st.DataObject) -> set[str]:
    path = data.draw(st.sampled_from(files))
    moved = f"{path[:1]}moved here"
    shutil.move(root / path, root / moved)
    return {f"missing {path}", f"unsigned {moved}"}


CHANGES: Final = [_flip, _extend, _remove, _replace, _add, _move]


@settings(QUICK, max_examples=30)
@given(st.sampled_from(AT_THE_TOP), _CONTENTS, st.booleans())
def test_what_is_left_out_at_the_top_is_signed_further_down(
    name: str, content: bytes, deeper: bool
) -> None:
    directory = name in (".git", ".modelseal")
    path = f"{name}/x" if directory else name
    with laid_out({"a": b"1", f"sub/{path}": content}, set()) as root:
        signed = sealed(root)
        assert [entry.path for entry in signed.manifest.files] == ["a", f"sub/{path}"]
        if deeper:
            with (root / "sub" / path).open("ab") as file:
                file.write(b"x")
        else:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(content)
        report = verified(root, signed)
        assert [each.path for each in report.altered] == [f"sub/{path}"] * deeper
        assert report.valid == (not deeper)


def test_every_bit_of_every_file_of_a_model(model: Path) -> None:
    (model / "weights" / "model.bin").write_bytes(bytes(range(24)))
    signed = sealed(model)
    files = [path for path in sorted(model.rglob("*")) if path.is_file()]
    bits = 0
    for path in files:
        content = path.read_bytes()
        for bit in range(len(content) * 8):
            path.write_bytes(flipped(content, bit))
            report = verified(model, signed)
            assert [model / each.path for each in report.altered] == [path], bit
            assert not report.valid
            bits += 1
        path.write_bytes(content)
    assert verified(model, signed).valid
    assert bits == 8 * signed.manifest.total_size_bytes > 300
