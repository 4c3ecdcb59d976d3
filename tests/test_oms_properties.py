"""What holds for any model and any bundle: what was signed verifies, and nothing else does."""

import json
import random
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelseal import bundling, opening
from modelseal.errors import FormatError, KeyLoadError, ModelError
from modelseal.oms import bundle, dsse, ecdsa, statement
from modelseal.oms.statement import Statement
from modelseal.report import Report
from tests import forging
from tests.strategies import QUICK
from tests.test_properties import CHANGES, TREES, flipped, laid_out

PRIVATE: Final = forging.key()
PEM: Final = forging.private_pem(PRIVATE)
MEANS: Final = opening.Means(public_key=forging.public_pem(PRIVATE))
HINT: Final = ecdsa.hint(PRIVATE.public_key())

SHARDS: Final = st.sampled_from([0, 1, 7, 1000])
"""Sizes of shards; 0 is for whole files."""

ALGORITHMS: Final[st.SearchStrategy[statement.Algorithm]] = st.sampled_from(
    ["sha256", "blake2b", "blake3"]
)


def sealed(root: Path, **how: Any) -> bytes:
    return bundling.sign_model(root, PEM, root.parent / "model.sig", jobs=1, **how).data


def verified(root: Path, data: bytes, **how: bool) -> Report:
    return opening.verify_model(root, data, MEANS, jobs=1, **how)  # type: ignore[arg-type]


def accepted(data: bytes) -> Statement | None:
    """What bytes say, if they are a bundle that our key signed."""
    try:
        report = opening.verify_model(None, data, MEANS)
    except (FormatError, KeyLoadError):
        return None
    if not report.signature_valid:
        return None
    assert isinstance(report.manifest, Statement)
    return report.manifest


# Models on disk.


@QUICK
@given(TREES, SHARDS, ALGORITHMS, st.data())
def test_any_model_verifies_once_signed_and_not_once_changed(
    contents: dict[str, bytes],
    shard_size: int,
    algorithm: statement.Algorithm,
    data: st.DataObject,
) -> None:
    contents = {
        path: content
        for path, content in contents.items()
        if path.split("/")[0] not in statement.IGNORED
    }
    # Shards sign no file that is empty: it stays, and is none of the model's.
    signed = sorted(path for path, content in contents.items() if content or not shard_size)
    with laid_out(contents, set()) as root:
        if not signed:
            with pytest.raises((ModelError, FormatError), match=r"no file|nothing to sign"):
                sealed(root, shard_size=shard_size, algorithm=algorithm)
            return
        made = sealed(root, shard_size=shard_size, algorithm=algorithm)
        report = verified(root, made)
        assert report.valid
        assert report.passed == signed
        change = data.draw(st.sampled_from(CHANGES))
        expected = change(root, signed, data)
        report = verified(root, made)
        added = {each.removeprefix("unsigned ") for each in expected if each[:1] == "u"}
        if shard_size and any(not (root / each).stat().st_size for each in added):
            assert any("shards sign no empty file" in each for each in report.warnings)
            return
        assert not report.valid
        found = {
            *(f"altered {each.path}" for each in report.altered),
            *(f"missing {each}" for each in report.missing),
            *(f"unsigned {each.path}" for each in report.unsigned),
        }
        assert expected <= found


@pytest.mark.parametrize("shard_size", [0, 5])
def test_every_bit_of_every_file_of_a_model(tmp_path: Path, shard_size: int) -> None:
    root = tmp_path / "model"
    (root / "weights").mkdir(parents=True)
    (root / "config.json").write_bytes(b"{}")
    (root / "weights" / "model.bin").write_bytes(bytes(range(12)))
    made = sealed(root, shard_size=shard_size)
    for path in (root / "config.json", root / "weights" / "model.bin"):
        content = path.read_bytes()
        for bit in range(len(content) * 8):
            path.write_bytes(flipped(content, bit))
            report = verified(root, made)
            assert [root / each.path for each in report.altered] == [path], bit
            assert not report.valid
        path.write_bytes(content)
    assert verified(root, made).valid


# Bundles.


def signed_bundle(payload: bytes) -> bytes:
    return bundle.encode(payload, ecdsa.sign(PRIVATE, payload), hint=HINT)


def stated(shard_size: int = 0) -> bytes:
    """A statement of a few files, written with blanks and an escape."""
    said = json.loads(
        statement.encode(
            Statement(
                model_name="naïve",
                files=[
                    statement.SignedFile("a", ("0f" * 32,), 3),
                    statement.SignedFile("ü", ("a0" * 32,), 2),
                ],
                shard_size=shard_size,
                ignore_paths=(".git",),
            )
        )
    )
    return json.dumps(said).encode()


@pytest.mark.parametrize("shard_size", [0, 3])
def test_every_bit_that_is_signed(shard_size: int) -> None:
    payload = stated(shard_size)
    signature = ecdsa.sign(PRIVATE, payload)
    assert accepted(bundle.encode(payload, signature, hint=HINT))
    for bit in range(len(payload) * 8):
        changed = bundle.encode(flipped(payload, bit), signature, hint=HINT)
        assert accepted(changed) is None, bit
    for bit in range(len(signature) * 8):
        changed = bundle.encode(payload, flipped(signature, bit), hint=HINT)
        assert accepted(changed) is None, bit


def test_every_bit_of_one_bundle() -> None:
    payload = stated()
    data = signed_bundle(payload)
    meant = accepted(data)
    assert meant is not None
    survivors: dict[str, int] = {}
    for bit in range(len(data) * 8):
        found = accepted(flipped(data, bit))
        if found is not None:
            assert found == meant, bit
            name = _member(data, bit // 8)
            survivors[name] = survivors.get(name, 0) + 1
    # Beside the signature: the media type's generations, what is left aside, what the key is called
    # (by a name that nobody knows, so that nothing is said of it), and what base64 leaves open.
    assert survivors.keys() <= {"mediaType", "tlogEntries", "keyid", "hint", "publicKey", "sig"} | {
        "payload"
    }
    assert survivors.get("payload", 0) <= 2 * 4
    assert survivors.get("mediaType", 0) <= 2


def _member(data: bytes, place: int) -> str:
    """The name of the member whose name or value holds a byte of a compact document."""
    start = data.rfind(b',"', 0, place + 2) + 1 or data.find(b'"')
    inner = data.rfind(b'{"', 0, place + 2) + 1
    return data[max(start, inner) + 1 :].partition(b'"')[0].decode()


@settings(QUICK, max_examples=60)
@given(st.integers(0, 2**32))
def test_no_byte_of_a_bundle_changes_what_it_means(seed: int) -> None:
    source = random.Random(seed)
    data = signed_bundle(stated(source.choice([0, 3])))
    meant = accepted(data)
    assert meant is not None
    for _ in range(20):
        changed = bytearray(data)
        place = source.randrange(len(data))
        match source.randrange(3):
            case 0:
                changed[place] = source.randrange(256)
            case 1:
                del changed[place : place + source.randint(1, 9)]
            case _:
                changed[place:place] = source.randbytes(1)
        assert accepted(bytes(changed)) in (None, meant), (seed, place)


@QUICK
@given(st.text(), st.binary(max_size=60), st.binary(max_size=60))
def test_a_signature_is_of_one_type_and_payload(kind: str, payload: bytes, other: bytes) -> None:
    signature = ecdsa.sign(PRIVATE, payload)
    opened = bundle.Bundle("key", HINT, [], dsse.PAYLOAD_TYPE, payload, [signature])
    assert ecdsa.verify(PRIVATE.public_key(), opened)
    for moved in (opened._replace(payload=other), opened._replace(payload_type=kind)):
        assert ecdsa.verify(PRIVATE.public_key(), moved) == (moved == opened)
