"""Strict decoding: one reading of a document, or none."""

import json
import random
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelseal import SignedManifest, TrustedPublisher, VerificationResult
from modelseal.documents import decode
from modelseal.errors import FormatError
from tests.conftest import VECTORS
from tests.strategies import QUICK, plain, rewrite, signed_manifests

TEXT = (VECTORS / "predecessor" / "plain-ed25519" / "signed_manifest.json").read_text()
PUBLISHER = (
    '{"publisher_id":"alice","name":"Alice","public_key":"AAAA",'
    '"trusted_since":"2024-01-01T00:00:00Z"}'
)


def refusal(text: str | bytes, type_: type[object] = SignedManifest) -> str:
    """The error that decoding ends with."""
    with pytest.raises(FormatError) as caught:
        decode(text, type_)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"path": "config', '"path": "other", "path": "config', "path"),
        ('"path": "config', '"path": "config.json", "path": "config', "path"),
        ('"path": "config', r'"p\u0061th": "other", "path": "config', "path"),
        ('"path": "config', r'"path": "other", "\u0070\u0061\u0074\u0068": "config', "path"),
        ('"size_bytes": 19', '"size_bytes": 19, "size_bytes": 19', "size_bytes"),
        ('"size_bytes": 19', r'"size\u005Fbytes": 1, "size_bytes": 19', "size_bytes"),
        ('"files": [', '"files": [], "files": [', "files"),
        ('"author": "Alice"', r'"author": "\"", "author": "Alice"', "author"),
        ('"author": "Alice"', r'"author": "\\", "author": "\\\""', "author"),
        ('"total_size_bytes"', '"total_size_bytes": 0, "total_size_bytes"', "total_size_bytes"),
        ('"created_at"', '"created_at": "2020-01-01T00:00:00", "created_at"', "created_at"),
        ('"algorithm"', '"algorithm": "ecdsa_p256", "algorithm"', "algorithm"),
        ('"signer_id"', '"signer_id": "mallory", "signer_id"', "signer_id"),
    ],
)
def test_a_repeated_key_is_refused_and_named(old: str, new: str, key: str) -> None:
    assert refusal(changed(old, new)) == f"key '{key}' is repeated"


def test_repeated_keys_of_other_documents() -> None:
    twice = PUBLISHER.replace('"name"', '"name":"Mallory","name"')
    assert refusal(f"[{PUBLISHER},{twice}]", list[TrustedPublisher]) == "key 'name' is repeated"
    for text in ('{"valid":true,"valid":false}', '{"valid":false,"error":null,"error":"x"}'):
        assert refusal(text, VerificationResult).endswith("' is repeated")
    whole = json.loads(TEXT)
    manifest, signature = json.dumps(whole["manifest"]), json.dumps(whole["signature"])
    for text in (
        f'{{"manifest":{manifest},"manifest":{manifest},"signature":{signature}}}',
        f'{{"manifest":{manifest},"signature":{signature},"signature":{signature}}}',
    ):
        assert refusal(text).endswith("' is repeated")


@QUICK
@given(signed_manifests, st.randoms(use_true_random=False))
def test_any_repeated_key_in_any_writing(signed: SignedManifest, source: random.Random) -> None:
    """Every key of every object once more, before or after itself, with its value or another."""
    data = json.loads(signed.model_dump_json())
    assert decode(rewrite(data, source), SignedManifest) == signed
    objects = [data, data["manifest"], data["signature"], *data["manifest"]["files"]]
    for each in objects:
        key = source.choice(sorted(each))
        marked = {**each, "repeated": each[key]}
        holder = json.dumps(each, sort_keys=True)
        text = json.dumps(data, sort_keys=True)
        written = rewrite(key, source)
        repeated = json.dumps(marked, sort_keys=True).replace('"repeated"', written)
        assert refusal(text.replace(holder, repeated)) == f"key {key!r} is repeated"


def test_a_null_and_an_absent_field_are_no_repetition() -> None:
    full = decode(
        '{"valid":false,"manifest":null,"signer_id":null,"error":"x"}', VerificationResult
    )
    assert full == decode('{"valid":false,"error":"x"}', VerificationResult)
    assert full == VerificationResult(valid=False, error="x")
    inner = json.dumps(json.loads(TEXT)["manifest"])
    read = decode(f'{{"valid":true,"manifest":{inner},"signer_id":"a"}}', VerificationResult)
    assert read.manifest is not None
    assert plain(read.manifest)["author"] == "Alice"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"author"', '"auth"', "manifest: object contains unknown field 'auth'"),
        ('"author"', '"Author"', "manifest: object contains unknown field 'Author'"),
        ('"author": "Alice",', "", "manifest: object missing required field 'author'"),
        ('"Alice"', "null", "manifest.author: expected 'str', got 'null'"),
        ('"Alice"', "1", "manifest.author: expected 'str', got 'int'"),
        ('"Alice"', '["Alice"]', "manifest.author: expected 'str', got 'array'"),
        (": 19", ": 19.0", "manifest.files[0].size_bytes: expected 'int', got 'float'"),
        (": 19", ": true", "manifest.files[0].size_bytes: expected 'int', got 'bool'"),
        (": 19", ': "19"', "manifest.files[0].size_bytes: expected 'int', got 'str'"),
        (": 19", ": -19", "manifest.files[0]: size_bytes: -19 is not a size in bytes"),
        (
            ": 19",
            f": {2**63}",
            "manifest.files[0]: size_bytes: 9223372036854775808 is not a size in bytes",
        ),
        (
            ": 1043",
            f": {10**400}",
            "manifest.total_size_bytes: expected 'int' <= 9223372036854775807",
        ),
        (
            ": 19",
            f": {'1' * 5000}",
            "manifest.files[0].size_bytes: integer value out of range",
        ),
        (": 19", ": 1e400", "manifest.files[0].size_bytes: number out of range"),
        ('"ed25519"', '"rsa"', "signature.algorithm: invalid enum value 'rsa'"),
        (
            '"2026-11-22T08:00:09.382556Z"',
            "1706702400",
            "manifest.created_at: expected 'datetime', got 'int'",
        ),
        (
            "2026-11-22T08:00:09.382556Z",
            "2026-02-29T00:00:00Z",
            "manifest.created_at: invalid RFC3339 encoded datetime",
        ),
    ],
)
def test_a_wrong_value_is_named(old: str, new: str, error: str) -> None:
    assert refusal(changed(old, new)) == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "the JSON ends too early"),
        (TEXT[:-3], "the JSON ends too early"),
        ("null", "expected 'object', got 'null'"),
        ("[]", "expected 'object', got 'array'"),
        (f"{TEXT}x", "trailing characters"),
        (f"{TEXT}{TEXT}", "trailing characters"),
        (f"{TEXT}\0", "trailing characters"),
        (f"\ufeff{TEXT}", "invalid character (byte 0)"),
        (f"\f{TEXT}", "invalid character (byte 0)"),
        (TEXT.encode("utf-16"), "invalid character (byte 0)"),
        (TEXT.encode("utf-16-le"), "object keys must be strings"),
        (TEXT.encode("utf-16-be"), "invalid character (byte 0)"),
        (TEXT.encode().replace(b"Alice", b"\xff"), "the text is not valid UTF-8"),
        (TEXT.encode().replace(b"Alice", b"\xc0\x80"), "the text is not valid UTF-8"),
        (TEXT.encode().replace(b"Alice", b"\xed\xa0\xbd"), "the text is not valid UTF-8"),
        (TEXT.replace("Alice", "\ud800"), "the text is not valid UTF-8"),
        (TEXT.replace("Alice", r"\ud800"), "unexpected end of escaped utf-16 surrogate pair"),
        (TEXT.replace("Alice", r"\udfff"), "invalid utf-16 surrogate pair"),
        (TEXT.replace("Alice", "\n"), "invalid character"),
        (changed(": 19", ": NaN"), "invalid character"),
        (changed(": 19", ": Infinity"), "invalid character"),
        (changed(": 19", ": -Infinity"), "invalid character"),
        (changed(": 19", ": 019"), "invalid number"),
    ],
)
def test_what_is_not_one_json_value_in_utf8(text: str | bytes, error: str) -> None:
    assert refusal(text).startswith(error)


def test_white_space_around_is_no_trailing_data() -> None:
    assert decode(f" \t\r\n{TEXT}\n \t\r", SignedManifest) == decode(TEXT, SignedManifest)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[" * 100_000, "expected 'object', got 'array'"),
        ("[" * 100_000 + "]" * 100_000, "expected 'object', got 'array'"),
        ('{"manifest":' * 100_000, "manifest: object contains unknown field 'manifest'"),
        ('{"x":' * 100_000, "object contains unknown field 'x'"),
        (
            changed('"files": [', f'"files": {"[" * 100_000}'),
            "manifest.files[0]: expected 'object', got 'array'",
        ),
        (
            changed('"Alice"', "[" * 100_000 + "]" * 100_000),
            "manifest.author: expected 'str', got 'array'",
        ),
    ],
)
def test_nesting_100_000_deep(text: str, error: str) -> None:
    assert refusal(text) == error


def test_no_time_is_lost_on_many_repeated_keys() -> None:
    """A document small enough to have its fault explained must not take long to explain."""
    text = changed('"path": "config', '"path":"",' * 100_000 + '"path": "config')
    assert len(text) < 1 << 20
    start = time.process_time()
    assert refusal(text) == "key 'path' is repeated"
    assert time.process_time() - start < 4


def test_a_large_document_with_a_repeated_key() -> None:
    text = changed('"Alice"', f'"{"x" * (1 << 20)}", "author": "Alice"')
    assert refusal(text) == "a key is repeated"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"author"', f'"{"x" * 100_000}"', "manifest: object contains unknown field 'xxxx"),
        ('"ed25519"', f'"{"x" * 100_000}"', "signature.algorithm: invalid enum value 'xxxx"),
    ],
)
def test_a_message_quotes_a_document_in_part(old: str, new: str, error: str) -> None:
    said = refusal(changed(old, new))
    assert said.startswith(error)
    assert len(said) < 600
    assert said.endswith("…")


_HUGE = """
import resource, sys, time
from modelseal import SignedManifest
from modelseal.documents import decode
from modelseal.errors import FormatError
size = 250 << 20
text = open(sys.argv[2], "rb").read()
data = {
    "brackets": lambda: b"[" * size,
    "unended string": lambda: b'"'.ljust(size, b"x"),
    "digits": lambda: b"1" * size,
    "repeated keys": lambda: text.replace(b'"path"', b'"path":"",' * (size // 10) + b'"path"', 1),
    "escapes": lambda: text.replace(b"Alice", rb"\\\\\\"" * (size // 4) + b'","author":"', 1),
}[sys.argv[1]]()
start = time.process_time()
try:
    decode(data, SignedManifest)
except FormatError as err:
    print(err)
print(time.process_time() - start)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize(
    ("kind", "error", "copies"),
    [
        ("brackets", "expected 'object', got 'array'", 1),
        ("unended string", "the JSON ends too early", 1),
        ("digits", "number out of range", 1),
        ("repeated keys", "a key is repeated", 2),
        ("escapes", "a key is repeated", 3),
    ],
)
def test_250_mib_are_refused_in_little_time_and_memory(kind: str, error: str, copies: int) -> None:
    """copies: how often the document may lie in memory, besides 100 MiB for the program."""
    vector = VECTORS / "predecessor" / "plain-ed25519" / "signed_manifest.json"
    done = subprocess.run(
        [sys.executable, "-c", _HUGE, kind, vector],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said, seconds, peak = done.stdout.splitlines()
    assert said.startswith(error)
    assert float(seconds) < 15
    assert int(peak) < (copies * 250 + 100) << 10


def test_what_was_decoded_is_what_was_written() -> None:
    listed = decode(f"[{PUBLISHER}]", list[TrustedPublisher])
    assert listed == [
        TrustedPublisher(
            publisher_id="alice",
            name="Alice",
            public_key="AAAA",
            trusted_since=datetime(2024, 1, 1, tzinfo=UTC),
        )
    ]
    assert decode("[]", list[TrustedPublisher]) == []
