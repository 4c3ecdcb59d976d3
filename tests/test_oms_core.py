"""Bundles, statements and shards as bytes: what is read, what is written, what is refused."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from modelseal import comparing, hashing, prechecking, tree
from modelseal.errors import FormatError, KeyLoadError
from modelseal.oms import bundle, dsse, ecdsa, lenient, shards, statement
from modelseal.oms.statement import SignedFile, Statement
from modelseal.report import Altered, Report
from tests.forging import altered, key, public_pem, rooted, sign, statement_of
from tests.strategies import QUICK


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        # The example of the DSSE protocol document.
        (
            "http://example.com/HelloWorld",
            b"hello world",
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world",
        ),
        ("", b"", b"DSSEv1 0  0 "),
        ("t", b"a b\n\0", b"DSSEv1 1 t 5 a b\n\0"),
        ("ü", "€".encode(), b"DSSEv1 2 \xc3\xbc 3 \xe2\x82\xac"),
    ],
)
def test_the_encoding_that_is_signed(kind: str, payload: bytes, expected: bytes) -> None:
    assert dsse.pae(kind, payload) == expected


def test_the_encoding_that_version_0_2_signed() -> None:
    assert dsse.pae_0_2("t", b"a'\n\xff") == b'DSSEV1 1 t 4 b"a\'\\n\\xff"'


@QUICK
@given(st.text(), st.binary(), st.text(), st.binary())
def test_no_two_envelopes_are_signed_alike(kind: str, one: bytes, other: str, two: bytes) -> None:
    same = (kind, one) == (other, two)
    assert (dsse.pae(kind, one) == dsse.pae(other, two)) == same


# What is written


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two files whose order by parts isn't that by code points."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a-b").mkdir()
    (tmp_path / "a/b").write_bytes(b"1")
    (tmp_path / "a-b/c").write_bytes(b"2")
    return tmp_path


def test_a_statement_is_written_as_specified() -> None:
    made = Statement(
        model_name="m",
        files=[SignedFile("a/b", ("0b" * 32,)), SignedFile("a-b/c", ("0a" * 32,))],
        ignore_paths=("z", ".git"),
    )
    payload = statement.encode(made)
    assert payload == statement.encode(made)
    root = hashlib.sha256(b"\x0a" * 32 + b"\x0b" * 32).hexdigest()
    assert json.loads(payload) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "m", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [".git", "z"],
            },
            "resources": [
                {"name": "a-b/c", "digest": "0a" * 32, "algorithm": "sha256"},
                {"name": "a/b", "digest": "0b" * 32, "algorithm": "sha256"},
            ],
        },
    }


def test_shards_are_written_in_the_order_of_their_names() -> None:
    file = SignedFile("w", tuple(f"{n:02x}" * 64 for n in range(12)), 23)
    made = Statement(model_name="m", files=[file], algorithm="blake2b", shard_size=2)
    said = json.loads(statement.encode(made))["predicate"]
    assert said["serialization"]["shard_size"] == 2
    assert [each["name"] for each in said["resources"]][:3] == ["w:0:2", "w:10:12", "w:12:14"]
    assert said["resources"][-1]["name"] == "w:8:10"
    assert "w:22:23" in [each["name"] for each in said["resources"]]
    assert statement.decode(statement.encode(made)).files == [file]


def test_a_bundle_is_written_as_specified() -> None:
    assert json.loads(bundle.encode(b"payload", b"signature", hint="ab")) == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "ab"}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(b"payload").decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(b"signature").decode(), "keyid": ""}],
        },
    }


def test_nothing_but_empty_files_has_no_shard_to_sign() -> None:
    empty = Statement(model_name="m", files=[SignedFile("e", (), 0)], shard_size=5)
    with pytest.raises(FormatError, match="nothing to sign"):
        statement.encode(empty)


def test_a_hint_is_the_digest_of_the_pem() -> None:
    private = key()
    assert ecdsa.hint(private.public_key()) == hashlib.sha256(public_pem(private)).hexdigest()


# Signatures


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_each_curve_signs_with_the_hash_of_its_size(files: Path, curve: ec.EllipticCurve) -> None:
    from cryptography.hazmat.primitives import hashes

    private = key(curve)
    opened = bundle.decode(json.dumps(sign(statement_of(files, "a/b"), private)).encode())
    assert ecdsa.verify(private.public_key(), opened)
    assert not ecdsa.verify(key(curve).public_key(), opened)
    size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[curve.key_size]
    covered = dsse.pae(opened.payload_type, opened.payload)
    private.public_key().verify(opened.signatures[0], covered, ec.ECDSA(size))


def test_the_old_encoding_is_for_the_old_statement_alone(files: Path) -> None:
    from cryptography.hazmat.primitives import hashes

    private = key()
    mention = statement.OLD_PREDICATE
    payload = json.dumps({**statement_of(files, "a/b"), "note": mention}).encode()
    signature = private.sign(dsse.pae_0_2(dsse.PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    opened = bundle.decode(bundle.encode(payload, signature, hint=""))
    assert not ecdsa.verify(private.public_key(), opened)


def test_a_signature_in_another_encoding_is_refused(files: Path) -> None:
    private = key()
    opened = bundle.decode(json.dumps(sign(statement_of(files, "a/b"), private)).encode())
    longer = opened._replace(signatures=[opened.signatures[0] + b"\0"])
    assert not ecdsa.verify(private.public_key(), longer)
    assert ecdsa.verify(private.public_key(), longer._replace(signatures=[b"", *opened.signatures]))


def test_keys_that_oms_does_not_know_are_refused() -> None:
    from modelseal import KeyManager, SignatureAlgorithm

    private, public = KeyManager().generate_keypair(SignatureAlgorithm.ed25519)
    with pytest.raises(KeyLoadError, match="an Ed25519 key can't sign OMS bundles"):
        ecdsa.load_private(private)
    with pytest.raises(KeyLoadError, match="an Ed25519 key can't verify OMS bundles"):
        ecdsa.load_public(public)
    with pytest.raises(KeyLoadError, match="an ECDSA secp256k1 public key can't be used"):
        ecdsa.load_public(public_pem(key(ec.SECP256K1())))


# Shards that are compared


WEIGHTS = bytes(range(25))


def cut(content: bytes) -> tuple[str, ...]:
    """The digests of shards of five bytes."""
    parts = [content[start : start + 5] for start in range(0, len(content), 5)]
    return tuple(hashlib.sha256(part).hexdigest() for part in parts)


def in_shards(**contents: bytes) -> Statement:
    """What an honest signer says of some files."""
    files = [SignedFile(path, cut(content), len(content)) for path, content in contents.items()]
    return Statement(model_name="m", files=files, shard_size=5)


def entered(root: Path, signed: Statement) -> Report:
    """What is said of files that were read whatever their size, as those of a commit are."""
    found = tree.walk(root)
    outcomes = hashing.hash_files(root, found.files, shard_size=signed.shard_size)
    report = Report(manifest=signed)
    comparing.enter(report, found, dict(zip(found.files, outcomes, strict=True)))
    return report


@pytest.mark.parametrize(
    ("bad", "note"),
    [
        ([4], "shards 20:25"),
        ([1, 3], "shards 5:10, 15:20"),
        ([0, 1, 3], "shards 0:5, 5:10, 15:20"),
        ([0, 1, 2, 4], "shards 0:5, 5:10, 10:15 and 1 more"),
        ([0, 1, 2, 3, 4], "shards 0:5, 5:10, 10:15 and 2 more"),
    ],
)
def test_up_to_three_ranges_are_named_that_differ(
    tmp_path: Path, bad: list[int], note: str
) -> None:
    changed = bytearray(WEIGHTS)
    for number in bad:
        changed[5 * number] ^= 0xFF
    content = bytes(changed)
    (tmp_path / "w").write_bytes(content)
    was, now = cut(WEIGHTS)[bad[0]], cut(content)[bad[0]]
    assert entered(tmp_path, in_shards(w=WEIGHTS)).altered == [Altered("w", was, now, note)]


@pytest.mark.parametrize(
    ("content", "differs"),
    [(b"", None), (WEIGHTS[:10], None), (WEIGHTS[:12], 2), (WEIGHTS + b"x", None), (b"x" * 30, 0)],
    ids=["empty", "cut between shards", "cut in a shard", "longer", "longer and other"],
)
def test_a_file_of_another_size_than_its_shards(
    tmp_path: Path, content: bytes, differs: int | None
) -> None:
    (tmp_path / "w").write_bytes(content)
    was, now = cut(WEIGHTS)[differs or 0], None if differs is None else cut(content)[differs]
    note = f"{len(content)} bytes, signed as 25"
    assert entered(tmp_path, in_shards(w=WEIGHTS)).altered == [Altered("w", was, now, note)]


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    for name, content in {"e": b"", "s": WEIGHTS[:10], "v": b"v", "w": b"x"}.items():
        (tmp_path / name).write_bytes(content)
    manifest = in_shards(s=WEIGHTS, v=b"v", w=b"w")
    report = Report(manifest=manifest, warnings=["earlier"], hints=["earlier"])
    told: list[tuple[int, int]] = []
    comparing.check_files(
        report, tmp_path, follow_symlinks=False, progress=lambda *counts: told.append(counts)
    )
    assert report.altered == [
        Altered("s", cut(WEIGHTS)[0], None, "10 bytes, signed as 25"),
        Altered("w", cut(b"w")[0], cut(b"x")[0], "shards 0:1"),
    ]
    assert (report.passed, report.checked, told[-1]) == (["v"], 3, (2, 2))
    assert (report.unsigned, report.unchecked) == ([], [])
    assert report.hints == ["earlier"]
    assert report.warnings == ["earlier", "'e' is empty, and shards sign no empty file"]


@pytest.mark.parametrize("follow", [False, True])
def test_a_link_to_the_one_file_of_a_model_is_followed_where_that_is_said(
    tmp_path: Path, follow: bool
) -> None:
    (tmp_path / "w").write_bytes(WEIGHTS)
    (tmp_path / "link").symlink_to("w")
    report = Report(manifest=in_shards(**{statement.ALONE: WEIGHTS}))
    comparing.check_files(report, tmp_path / "link", follow_symlinks=follow)
    assert report.passed == (["link"] if follow else [])
    assert [item.note for item in report.altered] == ([] if follow else ["symbolic link: 'w'"])


def test_a_size_that_cannot_be_told_is_no_other_one(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    signed = {name: SignedFile(name, cut(b"12"), 2) for name in ("gone", "one")}
    check = prechecking.Check(tmp_path, signed, (), prechecking.Form("sha256", 5, True), {})
    assert check.misfits(["gone", "one"]) == {"one": 1}


# Names of shards


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("w:0:5", ("w", 0, 5)),
        ("a:0:5:0:10", ("a:0:5", 0, 10)),
        ("a\nb:c:10:20", ("a\nb:c", 10, 20)),
    ],
)
def test_a_shards_last_two_numbers_count(text: str, expected: tuple[str, int, int]) -> None:
    assert shards.split(text) == expected
    assert shards.name(*expected) == text


@pytest.mark.parametrize(
    "text",
    ["w", "w:5", "w:0:", "w::5", "w:00:5", "w:0:05", "w:-1:5", "w:0:\u0665", "w:0:0", "w:0:5 "],
)
def test_what_is_no_name_of_a_shard(text: str) -> None:
    with pytest.raises(FormatError, match="is not named as a shard"):
        shards.split(text)


@QUICK
@given(st.text(min_size=1), st.integers(0, 5000), st.integers(1, 700))
def test_a_file_is_the_sum_of_its_shards(path: str, size: int, shard_size: int) -> None:
    cut = list(shards.ranges(size, shard_size))
    named = sorted((shards.name(path, *each), str(each)) for each in cut)
    joined = shards.join(named, shard_size)
    assert joined == ({path: (size, tuple(map(str, cut)))} if size else {})


@pytest.mark.parametrize(
    ("ranges", "fault"),
    [
        (["0:5", "10:12"], "leave out the bytes from 5"),
        (["5:10"], "leave out the bytes from 0"),
        (["0:5", "5:10", "5:10"], "overlap"),
        (["0:5", "3:8"], "overlap"),
        (["0:4", "4:9"], "'0:4' of 'w' is not of 5 bytes"),
        (["0:6"], "'0:6' of 'w' is not of 5 bytes"),
        (["0:5", "5:5"], "'5:5' of 'w' is not of 5 bytes"),
    ],
)
def test_ranges_that_are_no_file(ranges: list[str], fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        shards.join([(f"w:{each}", "") for each in ranges], 5)


# What is read


def read(said: dict[str, Any]) -> Statement:
    """A statement from what it would be in JSON."""
    return statement.decode(json.dumps(said).encode())


def test_unknown_fields_are_left_aside(files: Path) -> None:
    said = statement_of(files, "a/b", reserved={"x": [None, 1.5, True]})
    said["extra"] = {"deep": [{"x": 1}]}
    said["predicate"]["resources"][0]["annotations"] = {"x": "y"}
    assert [file.path for file in read(said).files] == ["a/b"]


def test_a_whole_number_may_be_written_as_a_float(files: Path) -> None:
    said = statement_of(files, "a/b", method="shards", shard_size=5.0)
    said["predicate"]["resources"][0]["name"] = "a/b:0:1"
    read_back = read(rooted(said))
    assert read_back.shard_size == 5
    assert read_back.files[0].size_bytes == 1


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("application/vnd.dev.sigstore.bundle+json;version=0.1", "key"),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", "key"),
        ("application/vnd.dev.sigstore.bundle+json;version=0.3", "key"),
        ("application/vnd.dev.sigstore.bundle.v0.3+json", "key"),
    ],
)
def test_media_types_of_all_generations(files: Path, kind: str, method: str) -> None:
    made = {**sign(statement_of(files, "a/b"), key()), "mediaType": kind}
    del made["verificationMaterial"]["tlogEntries"]
    assert bundle.decode(json.dumps(made).encode()).method == method


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"mediaType": 1}', True),
        ('{"x": {}, "dsseEnvelope": {}}', True),
        ('{"manifest": {"path": "mediaType"}}', False),
        ('{\n  "manifest": {"path": "dsseEnvelope"}\n}', False),
        ('{"signature": {"signer_id": "verificationMaterial"}, "manifest": {}}', False),
        ('{"signature": {}, "manifest": {}, "mediaType": 1}', False),
        ('["mediaType"]', True),  # it is neither: whoever decodes it says so
        ('{ "manifest": ["mediaType"', False),
        ('{"mediaType": ' + "[" * 100_000, True),
    ],
)
def test_only_the_outermost_names_tell_a_bundle(text: str, expected: bool) -> None:
    assert bundle.is_bundle(text.encode()) is expected


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'{"a": 1, "a": 2}', "a key is repeated"),
        (b'{"a": [{"b": {}, "b": {}}]}', "a key is repeated"),
        (rb'{"a": 1, "\u0061": 2}', "a key is repeated"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"x":' * 100_000, "nested too deeply"),
        (b"\xef\xbb\xbf{}", "malformed|invalid|JSON"),
        (b'{"a": "\xff"}', "UTF-8|utf-8"),
        (b'{"a": NaN}', "invalid"),
        (b'{"a": 1} x', "trailing"),
        (b"", "ends too early"),
    ],
)
def test_json_of_others_is_read_strictly_all_the_same(data: bytes, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        lenient.decode(data, dict[str, Any])


@QUICK
@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.booleans(),
)
def test_only_a_repeated_key_is_called_one(value: Any, ascii_alone: bool) -> None:
    data = json.dumps({"x": value}, ensure_ascii=ascii_alone).encode()
    assert set(lenient.decode(data, dict[str, Any])) == {"x"}
    with pytest.raises(FormatError, match="a key is repeated"):
        lenient.decode(data[:-1] + b', "x": ' + data[5:], dict[str, Any])


def test_altered_copies_leave_the_original(files: Path) -> None:
    said = statement_of(files, "a/b")
    assert altered(said, lambda made: made.update(_type="x"))["_type"] != said["_type"]
