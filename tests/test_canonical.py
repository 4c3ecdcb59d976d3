"""The bytes that are signed: those of the predecessor, whatever the content and however written."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelseal import FileEntry, ModelManifest, SignedManifest, signatures
from modelseal.canonical import canonical, escape
from modelseal.keys import load_embedded
from tests.conftest import VECTORS
from tests.strategies import (
    AWKWARD,
    QUICK,
    manifests,
    plain,
    rewrite,
    signed_manifests,
    texts,
    times,
)

MIB = 1 << 20
CASES = sorted(path.parent for path in VECTORS.glob("predecessor/*/canonical.bytes"))


def dumped(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def described(
    description: str, created_at: datetime = datetime(2024, 1, 31, 12, tzinfo=UTC)
) -> ModelManifest:
    return ModelManifest(
        model_name="m",
        model_version="1",
        framework="f",
        files=[FileEntry(path="a", size_bytes=1, sha256_hash="ab" * 32)],
        total_size_bytes=1,
        created_at=created_at,
        author="",
        description=description,
    )


def test_there_are_vectors_of_the_predecessor() -> None:
    assert len(CASES) == 8


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_the_predecessors_bytes(case: Path) -> None:
    text = (case / "signed_manifest.json").read_text()
    signed = SignedManifest.model_validate_json(text)
    expected = (case / "canonical.bytes").read_bytes()
    assert canonical(signed.manifest) == expected
    assert dumped(plain(signed.manifest)) == expected
    assert signed.model_dump_json(indent=2) == text.removesuffix("\n")
    assert signatures.check(signed, load_embedded(signed.signature.public_key)).valid


@QUICK
@given(manifests())
def test_canonical_bytes_are_those_of_json_dumps(manifest: ModelManifest) -> None:
    expected = dumped(plain(manifest))
    assert canonical(manifest) == expected
    assert dumped(json.loads(manifest.model_dump_json())) == expected


@QUICK
@given(signed_manifests)
def test_every_encoding_is_read_back(signed: SignedManifest) -> None:
    for text in (signed.model_dump_json(), signed.model_dump_json(indent=2), canonical(signed)):
        assert SignedManifest.model_validate_json(text) == signed


@QUICK
@given(manifests(), st.randoms(use_true_random=False))
def test_the_way_it_is_written_changes_nothing(
    manifest: ModelManifest, source: random.Random
) -> None:
    data = plain(manifest)
    data["created_at"] = str(data["created_at"]).replace("Z", "+00:00")
    again = ModelManifest.model_validate_json(rewrite(data, source))
    assert canonical(again) == dumped(plain(manifest))


@QUICK
@given(texts)
def test_text_is_escaped_as_json_dumps_does(text: str) -> None:
    assert dumped(text) in canonical(described(text))


def test_every_character_below_the_surrogates_and_some_above() -> None:
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10400), 0x10FFFE, 0x10FFFF]))
    assert canonical(described(text)) == dumped(plain(described(text)))


@pytest.mark.parametrize("text", ["\x7f", "plain\x7f ASCII", "\x7f\x7f", "\\\x7f", "a\x80\x7f"])
def test_del_is_escaped_in_ascii_too(text: str) -> None:
    assert dumped(text) in canonical(described(text))


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2024, 1, 31, 12, tzinfo=UTC), "2024-01-31T12:00:00Z"),
        (datetime(2024, 1, 31, 12), "2024-01-31T12:00:00"),  # noqa: DTZ001 - on purpose
        (datetime(2024, 1, 31, 12, 0, 0, 120000, UTC), "2024-01-31T12:00:00.120000Z"),
        (datetime(2024, 1, 31, 12, 0, 0, 1, UTC), "2024-01-31T12:00:00.000001Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), "9999-12-31T23:59:59.999999Z"),
        (
            datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2024-01-31T12:00:00+05:30",
        ),
        (
            datetime(2024, 1, 31, 12, tzinfo=timezone(-timedelta(minutes=30))),
            "2024-01-31T12:00:00-00:30",
        ),
        (datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(0))), "2024-01-31T12:00:00Z"),
    ],
)
def test_times(time: datetime, text: str) -> None:
    assert f'"created_at":"{text}"'.encode() in canonical(described("", time))


@QUICK
@given(times)
def test_any_time(time: datetime) -> None:
    manifest = described("", time)
    assert canonical(manifest) == dumped(plain(manifest))
    assert ModelManifest.model_validate_json(canonical(manifest)).created_at == time


@pytest.mark.parametrize("character", ["é", "\u2028", "😀", "\x7f", "é\x7f", "\x7f😀", '"', "\\"])
def test_content_is_cut_into_pieces_between_characters(character: str) -> None:
    """One MiB is looked at in one go; whatever stands around the cut must come out whole."""
    before = canonical(described("")).index(b'"description":"') + len('"description":"')
    for room in range(5):
        text = "x" * (MIB - before - room) + character * 3 + "é" * 10
        assert canonical(described(text)) == dumped(plain(described(text))), room


@pytest.mark.parametrize("pieces", [1, 2])
def test_content_that_ends_with_a_piece(pieces: int) -> None:
    text = "x" * (pieces * MIB - 2) + "é"
    assert escape(text.encode()) == text[:-1].encode() + rb"\u00e9"


@pytest.mark.parametrize("unit", ["é", "x\u2028", "xx😀", "\U0010ffff", AWKWARD])
def test_content_of_several_pieces(unit: str) -> None:
    manifest = described(unit * (2 * MIB // len(unit.encode()) + 3))
    assert canonical(manifest) == dumped(plain(manifest))


def test_the_signed_document_too() -> None:
    text = (CASES[-1] / "signed_manifest.json").read_text()
    assert canonical(SignedManifest.model_validate_json(text)) == dumped(json.loads(text))
