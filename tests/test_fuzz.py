"""The targets of the fuzzer on their corpus, and a short run of chance."""

import base64
import random
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from modelseal import (
    TrustedPublisher,
    allowed_signers,
    documents,
    keys,
    lfs,
    paths,
    pushed,
    settings,
    signatures,
)
from modelseal.errors import FormatError
from modelseal.oms import certificates, dsse, ecdsa, lenient, shards, statement
from modelseal.store import identifying, index, log, manifests
from modelseal.trust import PublisherRegistry
from tests.conftest import VECTORS
from tests.fuzz import mutations, readers

TAKEN: Final = {
    "manifest": {"signed.json", "ecdsa.json", "valid.json"},
    "registry": {"two.json", "none.json", "wrong-key.json"},
    "key": {
        *("ed25519.pem", "ed25519.openssh", "ed25519.ssh", "ed25519.pub.pem"),
        *("p256.pem", "p256.openssh", "p256.sec1", "p256.ssh", "p256.pub.pem"),
        *("ed25519.pub.base64", "p256.pub.base64"),
    },
    "path": {"good"},
    "pointer": {"pointer", "hawser"},
    "config": {"all.toml", "none.toml", "loose.toml"},
    "signers": {"two", "options", "year-448"},
    "push": {"branch", "deletion", "tree"},
    "words": {"log", "torn", "blank", "verified", "word"},
    "outline": {"signed.json", "ecdsa.json"},
    "index": {"none"},
    "bundle": {
        *("key.json", "indented.json", "another-payload.json", "damaged-certificate.json"),
        *("subject-malformed.json", "key-unknown.json"),
        *(path.name for path in (VECTORS / "oms" / "bundles").iterdir()),
        *("valid.json", "valid-0.1.json", "valid-no-hint.json", "valid-unknown-field.json"),
    },
    "certificate": {"signer.der"},
    "encoding": {path.name for path in (VECTORS / "oms" / "pae").glob("*.pae")}
    | {"payload-encoded.payload"},
    "statement": {
        *("files.json", "shards.json"),
        *(path.name for path in (VECTORS / "oms" / "statements").glob("valid-*.json")),
    },
    "shards": {"one", "two", "colons"},
}
"""Which inputs are taken for what they should be; all others are refused."""

RUNS: Final = {"index": 40}
"""How many inputs are made by chance, where it isn't 400."""


def test_every_target_has_inputs_of_both_kinds() -> None:
    assert TAKEN.keys() == readers.TARGETS.keys()
    for name, taken in TAKEN.items():
        names = {path.name for path in readers.inputs(name)}
        assert taken < names, name


@pytest.mark.parametrize("name", readers.TARGETS)
def test_the_corpus_is_taken_or_refused(name: str, tmp_path: Path) -> None:
    found = {path.name for path in readers.inputs(name) if _run(name, path.read_bytes(), tmp_path)}
    assert found == TAKEN[name]


@pytest.mark.parametrize("name", readers.TARGETS)
def test_what_chance_makes_of_the_corpus(name: str, tmp_path: Path) -> None:
    source = random.Random(1)
    inputs = [path.read_bytes() for path in readers.inputs(name)]
    for _ in range(RUNS.get(name, 400)):
        data = source.choice(inputs)
        mutated = mutations.json_values(data, source) if name in mutations.JSON else None
        if mutated is None or source.random() < 0.5:
            mutated = mutations.raw(data, source)
        _run(name, mutated, tmp_path)


def _run(name: str, data: bytes, scratch: Path) -> bool:
    try:
        return readers.TARGETS[name](data, scratch)
    except Exception as err:
        err.add_note(f"{name} was told {data!r}")
        raise


# A target that can't fail proves nothing: each is shown a reader that is broken.


def corpus(name: str, file: str) -> bytes:
    return (readers.CORPUS / name / file).read_bytes()


def vector(file: str) -> bytes:
    return (VECTORS / "manifests" / file).read_bytes()


def test_the_manifest_target_sees_a_repeated_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "count_strings", lambda data: 0)
    monkeypatch.setattr(documents, "_expected_strings", lambda data, value: 0)
    with pytest.raises(AssertionError, match="a key is repeated"):
        readers.manifest(vector("repeated-author.json"), tmp_path)


def test_the_manifest_target_sees_an_exception_that_is_not_the_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(paths, "check_all", broken)
    with pytest.raises(RecursionError):
        readers.manifest(corpus("manifest", "signed.json"), tmp_path)


def test_the_manifest_target_sees_a_forged_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "verify", lambda *_: True)
    forged = corpus("manifest", "signed.json").replace(b'"model"', b'"MODEL"')
    with pytest.raises(AssertionError, match="a forged signature"):
        readers.manifest(forged, tmp_path)


def test_the_registry_target_sees_a_key_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = keys.load_embedded(readers.genuine().signature.public_key)
    monkeypatch.setattr(
        PublisherRegistry,
        "verify_against_registry",
        lambda self, signed: signatures.check(signed, right),
    )
    with pytest.raises(AssertionError):
        readers.registry(corpus("registry", "wrong-key.json"), tmp_path)


def test_the_key_target_sees_a_key_that_fits_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = b"ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20\1" + bytes(31))
    assert not readers.key(identity, tmp_path)
    monkeypatch.setattr(keys, "_check_point", lambda key: None)
    with pytest.raises(AssertionError, match="fits what nobody signed"):
        readers.key(identity, tmp_path)


def test_the_path_target_sees_a_path_that_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "_fault", lambda path: "")
    for path in (b"../x", b"/a", b"a//b", b"./a", b"C:/x", b"a/..", b"a/"):
        with pytest.raises(AssertionError):
            readers.path(path, tmp_path)


def test_the_path_target_sees_paths_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "check_all", lambda each: None)
    for named in (b"a\na", b"a\na/b", b"a/b/c\na/b"):
        with pytest.raises(AssertionError):
            readers.path(named, tmp_path)


def test_the_pointer_target_sees_an_engine_that_does_not_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfs, "is_pointer", lambda content: len(content) == 7)
    with pytest.raises(AssertionError):
        readers.pointer(b"content", tmp_path)


def test_the_words_target_sees_a_line_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = log.backwards
    monkeypatch.setattr(log, "backwards", lambda path: list(read(path))[1:])
    with pytest.raises(AssertionError):
        readers.words(corpus("words", "log"), tmp_path)


def test_the_outline_target_sees_an_entry_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = manifests.rows
    monkeypatch.setattr(manifests, "rows", lambda data: read(data)[1:])
    with pytest.raises(AssertionError):
        readers.outline(corpus("outline", "signed.json"), tmp_path)


def test_the_index_target_sees_an_index_that_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers.database(corpus("index", "none"), tmp_path)
    monkeypatch.setattr(
        identifying,
        "_confirm",
        lambda root, asked, wanted: {digest: [index.VERSION] for digest in wanted},
    )
    with pytest.raises(AssertionError):
        readers.database(corpus("index", "garbage"), tmp_path)


def test_the_config_target_sees_a_policy_that_is_loosened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = corpus("config", "loose.toml")
    assert readers.config(loose, tmp_path)
    monkeypatch.setattr(
        settings,
        "resolve",
        lambda levels: {
            name: settings.Setting(levels[0].values.get(name, rule.default), "")
            for name, rule in settings.RULES.items()
        },
    )
    with pytest.raises(AssertionError):
        readers.config(loose, tmp_path)


def test_the_signers_target_sees_a_name_from_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = allowed_signers.decode

    def broken(text: str, name: str, *, now: datetime) -> object:
        found, warnings = read(text, name, now=now)
        renamed = {"publisher_id": "mallory"}
        return [TrustedPublisher.model_copy(each, update=renamed) for each in found], warnings

    monkeypatch.setattr(allowed_signers, "decode", broken)
    with pytest.raises(AssertionError):
        readers.signers(corpus("signers", "two"), tmp_path)


@pytest.mark.parametrize("file", ["branch", "tree"])
def test_the_push_target_sees_what_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    lines, tree = pushed.parse, pushed._parse_tree

    def longer(data: bytes, oid: str) -> object:
        entries = tree(data, oid)
        return {each + b"beyond the data": entries[each] for each in entries}

    monkeypatch.setattr(pushed, "parse", lambda data: lines(data)[1:])
    monkeypatch.setattr(pushed, "_parse_tree", longer)
    with pytest.raises(AssertionError):
        readers.push(corpus("push", file), tmp_path)


def test_the_bundle_target_sees_a_forged_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert readers.TARGETS["bundle"](corpus("bundle", "another-payload.json"), tmp_path)
    monkeypatch.setattr(ecdsa, "verify", lambda *_: True)
    with pytest.raises(AssertionError, match="a forged signature"):
        readers.TARGETS["bundle"](corpus("bundle", "another-payload.json"), tmp_path)


def test_the_bundle_target_sees_a_repeated_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeated = (VECTORS / "oms" / "envelopes" / "repeated-payload.json").read_bytes()
    assert not readers.TARGETS["bundle"](repeated, tmp_path)
    monkeypatch.setattr(lenient, "count_strings", lambda data: 0)
    with pytest.raises(AssertionError, match="a key is repeated"):
        readers.TARGETS["bundle"](repeated, tmp_path)


def test_the_bundle_target_sees_an_exception_that_is_not_the_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = corpus("bundle", "damaged-certificate.json")

    def broken(_: object) -> None:
        raise x509.DuplicateExtension("twice", ExtensionOID.KEY_USAGE)

    monkeypatch.setattr(certificates, "load_der", broken)
    with pytest.raises(x509.DuplicateExtension):
        readers.TARGETS["bundle"](damaged, tmp_path)


def test_the_certificate_target_sees_a_path_from_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = corpus("certificate", "issuer.der")
    monkeypatch.setattr(certificates, "path_fault", lambda *_: "")
    monkeypatch.setattr(ecdsa, "verify", lambda *_: True)
    with pytest.raises(AssertionError, match="a forged certificate"):
        readers.TARGETS["certificate"](issuer, tmp_path)


def test_the_encoding_target_sees_lengths_in_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        dsse,
        "pae",
        lambda kind, payload: (
            b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
        ),
    )
    assert not readers.TARGETS["encoding"](b"type\npayload", tmp_path)
    with pytest.raises(AssertionError):
        readers.TARGETS["encoding"](corpus("encoding", "parts"), tmp_path)


def test_the_statement_target_sees_a_root_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (VECTORS / "oms" / "statements" / "root-other.json").read_bytes()
    monkeypatch.setattr(statement, "_check_root", lambda *_: None)
    with pytest.raises(AssertionError):
        readers.TARGETS["statement"](other, tmp_path)


def test_the_statement_target_sees_a_path_that_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (VECTORS / "oms" / "statements" / "path-parent.json").read_bytes()
    monkeypatch.setattr(statement, "_check_paths", lambda files: None)
    with pytest.raises(FormatError, match=r"'\.\./x' has a '\.'"):
        readers.TARGETS["statement"](other, tmp_path)


@pytest.mark.parametrize("file", ["gap", "overlap"])
def test_the_shards_target_sees_ranges_that_are_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    def broken(path: str, parts: list[tuple[int, int, str]], size: int) -> object:
        return max(end for _, end, _ in parts), tuple(digest for _, _, digest in sorted(parts))

    monkeypatch.setattr(shards, "_whole", broken)
    with pytest.raises(AssertionError):
        readers.TARGETS["shards"](corpus("shards", file), tmp_path)
