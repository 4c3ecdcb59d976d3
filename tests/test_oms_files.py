"""What OpenSSF Model Signing and DSSE specify, as files: one failure each, with the answer due."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from modelseal.errors import FormatError
from modelseal.oms import bundle, dsse, ecdsa, statement
from tests.conftest import VECTORS, Result
from tests.forging import public_pem
from tests.fuzz.bundles import KEY
from tests.test_vectors import ids, table

PAE: Final = VECTORS / "oms" / "pae"
STATEMENTS: Final = VECTORS / "oms" / "statements"
ENVELOPES: Final = VECTORS / "oms" / "envelopes"


@pytest.mark.parametrize(
    ("directory", "suffix"),
    [(PAE, ".pae"), (PAE, ".payload"), (STATEMENTS, ".json"), (ENVELOPES, ".json")],
)
def test_the_tables_name_every_file(directory: Path, suffix: str) -> None:
    names = [ids(row) for row in table(directory)]
    assert sorted(names) == sorted(path.stem for path in directory.glob(f"*{suffix}"))


@pytest.mark.parametrize("row", table(PAE), ids=ids)
def test_what_a_signature_covers(row: dict[str, str]) -> None:
    payload = (PAE / f"{row['name']}.payload").read_bytes()
    expected = (PAE / f"{row['name']}.pae").read_bytes()
    assert dsse.pae(json.loads(row["type"]), payload) == expected, row["what"]


@pytest.mark.parametrize("row", table(STATEMENTS), ids=ids)
def test_statements(row: dict[str, str]) -> None:
    data = (STATEMENTS / f"{row['name']}.json").read_bytes()
    assert row["name"].startswith("valid-") == (not row["error"])
    if not row["error"]:
        assert statement.decode(data).files, row["what"]
        return
    with pytest.raises(FormatError) as raised:
        statement.decode(data)
    assert str(raised.value) == row["error"], row["what"]


@pytest.mark.parametrize("row", table(ENVELOPES), ids=ids)
def test_envelopes(row: dict[str, str]) -> None:
    data = (ENVELOPES / f"{row['name']}.json").read_bytes()
    assert row["name"].startswith("valid") == (not row["error"])
    if not row["error"]:
        assert ecdsa.verify(KEY.public_key(), bundle.decode(data)), row["what"]
        return
    with pytest.raises(FormatError) as raised:
        bundle.decode(data)
    assert str(raised.value) == row["error"], row["what"]


def test_verify_says_the_same(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(public_pem(KEY))
    for directory in (ENVELOPES, STATEMENTS):
        for row in table(directory):
            data = (directory / f"{row['name']}.json").read_bytes()
            if directory == STATEMENTS:
                data = bundle.encode(data, ecdsa.sign(KEY, data))
            elif not bundle.is_bundle(data):
                continue  # without a word of bundles in it, it's taken for a manifest
            (tmp_path / "a.sig").write_bytes(data)
            done = run("verify", "--manifest", tmp_path / "a.sig", "--key", tmp_path / "key.pem")
            if row["error"]:
                assert (done.code, done.out) == (1, ""), row
                assert row["error"] in done.err, row
            else:
                assert done.code == 0, row
                assert done.out.startswith("Signature: VALID\n"), row


def test_a_payload_is_read_from_one_encoding() -> None:
    said = json.loads((ENVELOPES / "valid.json").read_bytes())
    for size in range(1, 8):
        text = base64.b64encode(b"x" * size).decode()
        said["dsseEnvelope"]["payload"] = text
        assert bundle.decode(json.dumps(said).encode()).payload == b"x" * size
        for other in (text + "=", text + "==", text + "====", text[:-1]):
            said["dsseEnvelope"]["payload"] = other
            with pytest.raises(FormatError, match=r"dsseEnvelope\.payload: it is not valid base64"):
                bundle.decode(json.dumps(said).encode())
