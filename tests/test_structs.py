"""The documents as values: checked when made as when read, and the same in every form."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given

from modelseal import (
    FileEntry,
    ModelManifest,
    Signature,
    SignatureAlgorithm,
    SignedManifest,
    TrustedPublisher,
    VerificationResult,
)
from modelseal.documents import Document
from modelseal.errors import FormatError
from tests.strategies import QUICK, manifests, plain

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
DIGEST = "ab" * 32
NOT_A_DIGEST = "is not 64 lowercase hexadecimal digits"


def entry(**fields: Any) -> FileEntry:
    return FileEntry(**{"path": "a", "size_bytes": 5, "sha256_hash": DIGEST, **fields})


def manifest(**fields: Any) -> ModelManifest:
    return ModelManifest(
        **{
            "model_name": "m",
            "model_version": "1",
            "framework": "f",
            "files": [entry()],
            "total_size_bytes": 5,
            "created_at": NOON,
            "author": "",
            **fields,
        }
    )


def signature(**fields: Any) -> Signature:
    return Signature(
        **{
            "algorithm": SignatureAlgorithm.ed25519,
            "public_key": "AAAA",
            "signature_hex": "00",
            "signed_at": NOON,
            "signer_id": "alice",
            **fields,
        }
    )


def publisher(**fields: Any) -> TrustedPublisher:
    return TrustedPublisher(
        **{
            "publisher_id": "alice",
            "name": "Alice",
            "public_key": "AAAA",
            "trusted_since": NOON,
            **fields,
        }
    )


def signed(**fields: Any) -> SignedManifest:
    return SignedManifest(**{"manifest": manifest(), "signature": signature(), **fields})


def result(**fields: Any) -> VerificationResult:
    return VerificationResult(**{"valid": True, **fields})


MAKERS: list[Callable[..., Document]] = [entry, manifest, signature, publisher, signed, result]


@pytest.mark.parametrize(
    ("make", "field", "value", "error"),
    [
        (entry, "path", "", "path '' is empty"),
        (entry, "path", "../a", "path '../a' has a '.' or '..' part"),
        (entry, "path", "a\ud800", r"path 'a\ud800' is not valid Unicode"),
        (entry, "path", b"a", "path: expected 'str'"),
        (entry, "path", None, "path: expected 'str'"),
        (entry, "size_bytes", -1, "size_bytes: -1 is not a size in bytes"),
        (entry, "size_bytes", 2**63, "size_bytes: 9223372036854775808 is not a size in bytes"),
        (entry, "size_bytes", 1.0, "size_bytes: 1.0 is not a size in bytes"),
        (entry, "size_bytes", True, "size_bytes: True is not a size in bytes"),
        (entry, "size_bytes", "1", "size_bytes: '1' is not a size in bytes"),
        (entry, "size_bytes", None, "size_bytes: None is not a size in bytes"),
        (entry, "sha256_hash", None, "sha256_hash: expected 'str'"),
        *(
            (entry, "sha256_hash", text, f"sha256_hash: {text!r} {NOT_A_DIGEST}")
            for text in ("", "ab" * 31 + "a", "ab" * 32 + "0", "AB" * 32, DIGEST + "\n",
                         " " + DIGEST[1:], "g" * 64, "\u0660" * 64, "0x" + DIGEST[2:])
        ),
        (manifest, "model_name", None, "model_name: expected 'str', got 'null'"),
        (manifest, "model_name", "\ud800", r"model_name: '\ud800' is not valid Unicode"),
        (manifest, "model_version", 1, "model_version: expected 'str', got 'int'"),
        (manifest, "framework", b"f", "framework: expected 'str', got 'bytes'"),
        (manifest, "author", ["a"], "author: expected 'str', got 'array'"),
        (manifest, "description", "\udfff!", r"description: '\udfff!' is not valid Unicode"),
        (manifest, "total_size_bytes", 4, "total_size_bytes: 4 is not the files' sum, 5"),
        (manifest, "total_size_bytes", -5, "total_size_bytes: expected 'int' >= 0"),
        (manifest, "total_size_bytes", 5.0, "total_size_bytes: expected 'int', got 'float'"),
        (manifest, "total_size_bytes", True, "total_size_bytes: expected 'int', got 'bool'"),
        (
            manifest,
            "total_size_bytes",
            2**63,
            "total_size_bytes: expected 'int' <= 9223372036854775807",
        ),
        (manifest, "created_at", 0, "created_at: expected 'datetime', got 'int'"),
        (manifest, "created_at", NOON.date(), "created_at: expected 'datetime', got 'date'"),
        (manifest, "created_at", "noon", "created_at: invalid RFC3339 encoded datetime"),
        (
            manifest,
            "created_at",
            NOON.astimezone(timezone(timedelta(hours=1, seconds=1))),
            "created_at: the offset from UTC is not whole minutes",
        ),
        (manifest, "files", None, "files: expected 'array', got 'null'"),
        (manifest, "files", [entry(), None], "files: [1]: expected 'object', got 'null'"),
        (signature, "algorithm", "rsa", "algorithm: invalid enum value 'rsa'"),
        (signature, "algorithm", None, "algorithm: expected 'str', got 'null'"),
        (signature, "signature_hex", b"00", "signature_hex: expected 'str', got 'bytes'"),
        (signature, "signer_id", "\udc80", r"signer_id: '\udc80' is not valid Unicode"),
        (signature, "signed_at", None, "signed_at: expected 'datetime', got 'null'"),
        (publisher, "publisher_id", 7, "publisher_id: expected 'str', got 'int'"),
        (publisher, "trusted_since", "2024", "trusted_since: invalid RFC3339 encoded datetime"),
        (signed, "manifest", None, "manifest: expected 'object', got 'null'"),
        (signed, "signature", "00", "signature: expected 'object', got 'str'"),
        (result, "valid", 1, "valid: expected 'bool', got 'int'"),
        (result, "error", 1, "error: expected 'str | null', got 'int'"),
    ],
)  # fmt: skip
def test_a_wrong_value_cannot_be_constructed_nor_decoded(
    make: Callable[..., Document], field: str, value: object, error: str
) -> None:
    with pytest.raises(FormatError) as caught:
        make(**{field: value})
    assert str(caught.value) == error
    assert isinstance(caught.value, ValueError)
    with pytest.raises(FormatError) as copied:
        make().model_copy(update={field: value})
    assert str(copied.value) == error
    try:
        text = json.dumps({**json.loads(make().model_dump_json()), field: value})
    except TypeError:
        return  # JSON has nothing of the kind
    with pytest.raises(FormatError):
        type(make()).model_validate_json(text)


def test_a_number_too_long_to_print_is_out_of_range_as_well() -> None:
    with pytest.raises(FormatError, match=r"\Asize_bytes: "):
        entry(size_bytes=10**5000)
    with pytest.raises(FormatError, match=r"\Atotal_size_bytes: "):
        manifest(total_size_bytes=10**5000)


@pytest.mark.parametrize(
    ("paths", "error"),
    [
        (["a", "a"], "path 'a' is named twice"),
        (["a", "b", "c/d", "b"], "path 'b' is named twice"),
        (["a", "a/b"], "path 'a' is both a file and a directory"),
        (["a/b/c/d", "a/b"], "path 'a/b' is both a file and a directory"),
    ],
)
def test_paths_that_cannot_stand_beside_each_other(paths: list[str], error: str) -> None:
    files = [entry(path=path) for path in paths]
    with pytest.raises(FormatError) as caught:
        manifest(files=files, total_size_bytes=5 * len(files))
    assert str(caught.value) == error


def test_paths_that_only_look_alike() -> None:
    paths = ["a", "A", "a.b", "a-b/c", "ab", "\u00e9", "e\u0301", "b/a", "B/a"]
    files = [entry(path=path) for path in paths]
    assert manifest(files=files, total_size_bytes=5 * len(files)).files == files


def test_totals() -> None:
    assert manifest(files=[], total_size_bytes=0).total_size_bytes == 0
    largest = entry(size_bytes=2**63 - 1)
    assert manifest(files=[largest], total_size_bytes=2**63 - 1).files == [largest]
    with pytest.raises(FormatError, match="total_size_bytes: expected 'int' <= "):
        manifest(files=[largest, entry(path="b")], total_size_bytes=2**63 + 4)
    with pytest.raises(FormatError, match="0 is not the files' sum, 5"):
        manifest(total_size_bytes=0)


def test_an_unknown_or_missing_argument() -> None:
    with pytest.raises(TypeError):
        entry(mode=1)
    with pytest.raises(TypeError):
        entry().model_copy(update={"mode": 1})
    with pytest.raises(TypeError):
        FileEntry(path="a")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        FileEntry("a", 5, DIGEST)  # type: ignore[call-arg]


def test_values_in_their_json_form_become_what_the_field_says() -> None:
    assert signature(algorithm="ecdsa_p256").algorithm is SignatureAlgorithm.ecdsa_p256
    assert signature(signed_at="2024-01-31T12:00:00Z").signed_at == NOON
    assert manifest(created_at="2024-01-31T12:00:00+00:00").created_at == NOON
    assert publisher(trusted_since="2024-01-31T12:00:00Z") == publisher()
    whole = signed(manifest=manifest().model_dump())
    assert whole == signed()
    assert manifest(files=[entry().model_dump()]).files == [entry()]
    assert manifest(files=(entry(),)).files == [entry()]
    copied = signature().model_copy(update={"algorithm": "ecdsa_p256"})
    assert copied.algorithm is SignatureAlgorithm.ecdsa_p256
    with pytest.raises(FormatError, match="size_bytes: -1 is not a size"):
        manifest(files=[{"path": "a", "size_bytes": -1, "sha256_hash": DIGEST}])


def test_a_manifest_does_not_follow_the_list_it_was_made_from() -> None:
    files = [entry()]
    made = manifest(files=files)
    files.append(entry())
    assert made.files == [entry()]


@pytest.mark.parametrize("make", MAKERS)
def test_the_forms_of_a_document_agree(make: Callable[..., Document]) -> None:
    document = make()
    assert type(document).model_validate_json(document.model_dump_json()) == document
    assert type(document).model_validate_json(document.model_dump_json().encode()) == document
    indented = document.model_dump_json(indent=2)
    assert indented == json.dumps(json.loads(document.model_dump_json()), indent=2)
    assert document.model_copy() == document
    assert type(document)(**document.model_dump()) == document
    with pytest.raises(AttributeError):
        setattr(document, next(iter(document.model_dump())), None)


def test_model_dump() -> None:
    assert signed().model_dump() == {
        "manifest": {
            "model_name": "m",
            "model_version": "1",
            "framework": "f",
            "files": [{"path": "a", "size_bytes": 5, "sha256_hash": DIGEST}],
            "total_size_bytes": 5,
            "created_at": NOON,
            "author": "",
            "description": "",
        },
        "signature": {
            "algorithm": "ed25519",
            "public_key": "AAAA",
            "signature_hex": "00",
            "signed_at": NOON,
            "signer_id": "alice",
        },
    }
    assert result(valid=False).model_dump() == {
        "valid": False,
        "manifest": None,
        "signer_id": None,
        "error": None,
    }


def test_model_dump_json() -> None:
    assert entry(path="é\u2028\x7f").model_dump_json() == (
        f'{{"path":"é\u2028\x7f","size_bytes":5,"sha256_hash":"{DIGEST}"}}'
    )
    assert publisher().model_dump_json(indent=2) == (
        '{\n  "publisher_id": "alice",\n  "name": "Alice",\n  "public_key": "AAAA",\n'
        '  "trusted_since": "2024-01-31T12:00:00Z"\n}'
    )


def test_model_copy_checks_the_whole() -> None:
    copied = manifest().model_copy(update={"files": [entry(size_bytes=7)], "total_size_bytes": 7})
    assert (copied.total_size_bytes, copied.files[0].size_bytes) == (7, 7)
    with pytest.raises(FormatError, match="5 is not the files' sum, 7"):
        manifest().model_copy(update={"files": [entry(size_bytes=7)]})
    assert manifest().model_copy(update={}) == manifest()


@QUICK
@given(manifests())
def test_any_manifest_in_all_its_forms(made: ModelManifest) -> None:
    assert json.loads(made.model_dump_json()) == plain(made)
    assert {**made.model_dump(), "created_at": plain(made)["created_at"]} == plain(made)
    assert ModelManifest.model_validate_json(made.model_dump_json(indent=2)) == made


def test_the_algorithm_is_a_string_too() -> None:
    assert SignatureAlgorithm("ed25519") is SignatureAlgorithm.ed25519
    assert SignatureAlgorithm.ecdsa_p256 == "ecdsa_p256"
    assert [each.value for each in SignatureAlgorithm] == ["ed25519", "ecdsa_p256"]
