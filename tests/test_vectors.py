"""Published rules as files: one failure each, with the answer that is due."""

import csv
from pathlib import Path
from typing import Final

import pytest

from modelseal import ModelManifest, SignedManifest, documents, keys, signatures
from modelseal.canonical import canonical
from modelseal.errors import StoreDamagedError
from modelseal.store import Store, manifests
from tests.conftest import VECTORS
from tests.sealed import seal_of

SIGNATURES: Final = VECTORS / "signatures"
CANONICAL: Final = VECTORS / "canonical"
NOT_CANONICAL: Final = VECTORS / "not-canonical"


def table(directory: Path) -> list[dict[str, str]]:
    with (directory / "expected.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def ids(row: dict[str, str]) -> str:
    return next(iter(row.values()))


def test_the_tables_name_every_file() -> None:
    for directory, suffix in ((SIGNATURES, ".sig"), (CANONICAL, ".json"), (NOT_CANONICAL, ".json")):
        named = {ids(row).removesuffix(suffix) for row in table(directory)}
        there = {path.stem for path in directory.glob(f"*{suffix}")}
        assert there - named <= {"canonical"}, directory
        assert named <= there, directory


@pytest.mark.parametrize("row", table(SIGNATURES), ids=ids)
def test_signatures(row: dict[str, str]) -> None:
    key = keys.load_public((SIGNATURES / row["key"]).read_bytes())
    message = (SIGNATURES / "message").read_bytes()
    signature = (SIGNATURES / row["signature"]).read_bytes()
    assert signatures.verify(key, message, signature) == (row["result"] == "valid"), row["what"]


def test_the_signatures_are_of_both_kinds() -> None:
    valid = {row["signature"] for row in table(SIGNATURES) if row["result"] == "valid"}
    assert valid == {"p256-valid.sig", "p256-s-negated.sig", "ed25519-valid.sig"}


@pytest.mark.parametrize("row", table(CANONICAL), ids=ids)
def test_canonical_bytes(row: dict[str, str]) -> None:
    name = row["name"]
    manifest = documents.decode((CANONICAL / f"{name}.json").read_bytes(), ModelManifest)
    expected = (CANONICAL / f"{name}.bytes").read_bytes()
    assert canonical(manifest) == expected, row["what"]
    assert documents.decode(expected, ModelManifest) == manifest


@pytest.mark.parametrize("row", table(NOT_CANONICAL), ids=ids)
def test_not_canonical(row: dict[str, str], tmp_path: Path) -> None:
    data = (NOT_CANONICAL / f"{row['name']}.json").read_bytes()
    right = (NOT_CANONICAL / "canonical.json").read_bytes()
    meant = documents.decode(right, SignedManifest)
    if row["name"] == "description-absent":
        meant = meant.model_copy(
            update={"manifest": meant.manifest.model_copy(update={"description": ""})}
        )
    # As a manifest it is as good as another; in the store, where bytes are names, it is damage.
    assert documents.decode(data, SignedManifest) == meant
    assert canonical(meant) != data
    store = Store.init(tmp_path)
    store.add(seal_of({"a": b"1"}))
    assert store.fsck().clean
    id_ = manifests.id_of(data)
    assert manifests.add(store.path, id_, data)
    assert [(each.kind, each.where) for each in store.fsck().findings if each.damage] == [
        ("manifest", id_)
    ]


def test_the_one_that_is_canonical(tmp_path: Path) -> None:
    data = (NOT_CANONICAL / "canonical.json").read_bytes()
    signed = documents.decode(data, SignedManifest)
    assert canonical(signed) == data
    assert [row[0] for row in manifests.rows(data)] == ["a", "b"]
    with pytest.raises(StoreDamagedError):
        manifests.rows(data + b"\n")
