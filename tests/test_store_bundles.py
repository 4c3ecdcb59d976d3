"""Bundles in the store: sealed, found, listed, compared, verified and checked as manifests are."""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelseal.canonical import canonical
from modelseal.errors import (
    FormatError,
    StoreDamagedError,
    StoreRefusedError,
    VersionReusedError,
)
from modelseal.oms import bundle, outline, statement
from modelseal.store import Entry, Ref, Seen, Store
from modelseal.store.log import format_line
from tests.conftest import VECTORS, Keys, Result
from tests.forging import certify, private_pem
from tests.sealed import age, seal_of
from tests.test_startup import HEAVY, loaded

Run = Callable[..., Result]
Sign = Callable[..., bytes]

FORMS = [
    [],
    ["--hash", "blake2b"],
    ["--hash", "blake3"],
    ["--shard-size", "1000"],
    ["--shard-size", "1000", "--hash", "blake3"],
]


@pytest.fixture
def sign(model: Path, ecdsa_keys: Keys, run: Run) -> Sign:
    """Sign `model` as a bundle, and return that."""

    def call(*args: str | Path) -> bytes:
        done = run(
            *("sign", "--format", "oms", "--model-dir", model, "--key", ecdsa_keys.private), *args
        )
        assert done.code == 0, done.err
        return (model / "model.sig").read_bytes()

    return call


def id_of(data: bytes) -> str:
    """What the store calls it."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(run: Run, keys: Keys) -> str:
    """The key's."""
    return run("key", "fingerprint", keys.public).out.split()[0]


# What the store says.


def test_a_bundle_lies_there_as_it_is(sign: Sign, model: Path) -> None:
    data = sign()
    store = Store.open(model)
    id_ = id_of(data)
    assert Path(store.path, "manifests", id_[:2], f"{id_[2:]}.json").read_bytes() == data
    assert store.read(id_) == data
    (seal,) = store.log()
    assert seal[:3] == (id_, "model", "0.0.0")
    assert seal[4:6] == (3, 2069)
    assert seal.directory == str(model)
    assert seal.signer_id.startswith("SHA256:")
    assert store.refs() == [Ref("model", "0.0.0", id_)]
    assert store.resolve("model") == store.resolve(id_[:4]) == id_
    assert store.entries(id_)[0] == Entry(
        "config.json", None, hashlib.sha256(b'{"vocab_size": 32000}').hexdigest()
    )
    assert store.paths(id_) == ["config.json", "empty.txt", "weights/model.bin"]
    with pytest.raises(FormatError, match="is an OMS bundle, not a manifest"):
        store.get(id_)
    assert store.fsck().findings == []


def test_a_certificates_name_is_the_signer(model: Path, tmp_path: Path, run: Run) -> None:
    signer = certify("Alice")
    (tmp_path / "cert.pem").write_bytes(signer.pem)
    (tmp_path / "key.pem").write_bytes(private_pem(signer.private))
    (tmp_path / "key.pem").chmod(0o600)
    words = ("--key", tmp_path / "key.pem", "--certificate", tmp_path / "cert.pem")
    assert run("sign", "--format", "oms", "--model-dir", model, *words).code == 0
    (seal,) = Store.open(model).log()
    assert "Alice" in seal.signer_id
    assert run("verify", "model", "--store", model, "--certificate-chain", words[3]).code == 0


@pytest.mark.parametrize("path", sorted((VECTORS / "oms" / "bundles").glob("*.sig")), ids=str)
def test_the_quick_reader_reads_what_the_strict_one_does(path: Path) -> None:
    data = path.read_bytes()
    said = statement.decode(bundle.decode(data).payload)
    quick = outline.read(data)
    assert outline.is_bundle(data)
    assert (quick.name, quick.form) == (said.model_name, (said.algorithm, said.shard_size))
    assert [(file.path, file.digests, file.size) for file in quick.files] == [
        (file.path, file.digests, file.size_bytes) for file in said.files
    ]
    assert quick.allow_symlinks == said.allow_symlinks
    assert quick.alone == said.alone


def test_the_quick_reader_refuses_what_is_no_bundle() -> None:
    manifest = canonical(seal_of({'"dsseEnvelope"': b"1"}))
    assert not outline.is_bundle(manifest)
    for data in (b"", b"{}", b'{"dsseEnvelope":{"payload":"AA=="}}', manifest, b"[" * 100_000):
        with pytest.raises(FormatError, match="it is no bundle of OMS"):
            outline.read(data)


def test_what_digests_condense_to_is_of_one_form_alone() -> None:
    digests = [bytes(32)]
    forms = [("blake3", 0), ("blake2b", 0), ("sha256", 8), ("sha256", 9), ("blake3", 8)]
    made = {outline.Form(*form).condense(digests) for form in forms}
    assert len(made) == len(forms)
    assert hashlib.sha256(bytes(32)).digest() not in made


def _hash_type(said: Any) -> None:
    said["predicate"]["serialization"]["hash_type"] = "md5"


def _shard_size(said: Any) -> None:
    said["predicate"]["serialization"]["shard_size"] = -1


def _infinite(said: Any) -> None:
    said["predicate"]["serialization"]["shard_size"] = float("inf")


def _path(said: Any) -> None:
    said["predicate"]["resources"][0]["name"] = ["config.json"]


def _surrogate(said: Any) -> None:
    said["predicate"]["resources"][0]["name"] = "\ud800"


def _digest(said: Any) -> None:
    said["predicate"]["resources"][0]["digest"] = "no digest"


def _name(said: Any) -> None:
    said["subject"][0]["name"] = None


def _ignored(said: Any) -> None:
    said["predicate"]["serialization"]["ignore_paths"] = [7]


def _predicate(said: Any) -> None:
    said["predicate"] = []


@pytest.mark.parametrize(
    "change",
    [_hash_type, _shard_size, _infinite, _path, _surrogate, _digest, _name, _ignored, _predicate],
)
def test_somebodys_store_may_hold_anything(
    sign: Sign, model: Path, run: Run, change: Callable[[Any], None]
) -> None:
    """Well named, logged and named by its ref: that it is no bundle must be said all the same."""
    data = sign()
    said = json.loads(data)
    stated = json.loads(base64.b64decode(said["dsseEnvelope"]["payload"]))
    change(stated)
    payload = base64.b64encode(json.dumps(stated).encode()).decode()
    said["dsseEnvelope"]["payload"] = payload
    bad = json.dumps(said).encode()
    store = Store.open(model)
    path = Path(store.path, "manifests", id_of(bad)[:2], f"{id_of(bad)[2:]}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bad)
    (seal,) = store.log()
    Path(store.path, "log").write_bytes(format_line(seal._replace(id=id_of(bad)), store.root))
    Path(store.path, "refs", "model", "0.0.0").write_text(f"{id_of(bad)}\n")
    Path(store.path, "index.db").unlink()
    for command in (["status", model], ["ls", "model"], ["show", "model"], ["verify", "model"]):
        done = run(*command, *([] if command[0] == "status" else ["--store", model]))
        assert (done.code, done.out) == (1, ""), command
        assert done.err.startswith("error: ")
    assert run("log", "--store", model).code == 0
    assert run("identify", model / "config.json", "--store", model).code == 2
    done = run("fsck", "--store", model)
    assert (done.code, id_of(bad) in done.out) == (1, True)


# Versions.


def test_a_version_stands_in_ref_and_log_alone(sign: Sign, model: Path, run: Run) -> None:
    data = sign("--model-version", "1.0")
    store = Store.open(model)
    assert store.refs() == [Ref("model", "1.0", id_of(data))]
    assert store.resolve("model@1.0") == id_of(data)
    assert b"1.0" not in outline.read(data).name.encode()
    assert "Version    : 1.0\n" in run("show", "model@1.0", "--store", model).out
    assert store.fsck().findings == []
    with pytest.raises(StoreRefusedError, match="the version is too long for a bundle"):
        store.add_bundle(data, model_dir=model, signer_id="", size=0, version="1" * 201)
    assert store.refs() == [Ref("model", "1.0", id_of(data))]


def test_a_version_names_one_content(sign: Sign, model: Path, ecdsa_keys: Keys, run: Run) -> None:
    first = sign("--model-version", "1.0")
    again = sign("--model-version", "1.0")  # the same files
    assert first != again
    native = ("sign", "--model-dir", model, "--key", ecdsa_keys.private, "--signer-id", "alice")
    assert run(*native, "--model-version", "1.0").code == 0
    (model / "config.json").write_text("{}")
    refused = ("--format", "oms", "--model-version", "1.0")
    done = run("sign", "--model-dir", model, "--key", ecdsa_keys.private, *refused)
    assert (done.code, "is sealed already, with other content" in done.err) == (1, True)
    assert (model / "model.sig").read_bytes() == again
    done = run("sign", "--model-dir", model, "--key", ecdsa_keys.private, *refused, "--hash=blake3")
    assert (done.code, "is sealed already, by other digests (sha256)" in done.err) == (1, True)
    assert len(list(Store.open(model).log())) == 3
    sign("--model-version", "1.0", "--allow-version-reuse")
    store = Store.open(model)
    assert store.known("model", "1.0") == id_of((model / "model.sig").read_bytes())
    with pytest.raises(VersionReusedError):
        store.check_version("model", "1.0", [("a", "0" * 64)])


def test_if_changed_wants_the_seal_too(sign: Sign, model: Path) -> None:
    data = sign("--no-store")
    assert not (model / ".modelseal").exists()
    assert sign("--if-changed", "--no-store") == data
    data = sign("--if-changed")
    assert sign("--if-changed") == data
    assert len(list(Store.open(model).log())) == 1


# Commands.


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_status_reads_what_may_have_changed(
    sign: Sign, model: Path, run: Run, form: list[str]
) -> None:
    (model / ".gitattributes").write_text("* -text\n")
    age(model)
    sign(*form)

    def status() -> dict[str, object]:
        said: dict[str, object] = json.loads(run("status", model, "--json").out)
        return said

    said = status()
    assert (said["clean"], said["hashed"], said["ignored"]) == (True, 0, [".gitattributes"])
    Path(model, ".modelseal", "index.db").unlink()
    said = status()
    sealed = 2 if "--shard-size" in form else 3
    assert (said["clean"], said["files"], said["hashed"]) == (True, sealed, sealed)
    assert status()["hashed"] == 0
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace("32000", "32001"))
    (model / "new.py").write_text("import os")
    done = run("status", model, "--porcelain")
    assert done == (2, "altered\tconfig.json\nunsigned\tnew.py\n", "")
    (model / "weights" / "model.bin").unlink()
    done = run("status", model, "--porcelain")
    assert done.out == "altered\tconfig.json\nmissing\tweights/model.bin\nunsigned\tnew.py\n"


def test_status_expects_only_what_the_bundle_says(sign: Sign, model: Path, run: Run) -> None:
    sign("--hash", "blake3")
    (model / "config.json").write_text("{}")
    (item,) = json.loads(run("status", model, "--json").out)["altered"]
    assert item == {"path": "config.json", "expected": None, "actual": None, "note": ""}
    sign("--shard-size", "1000")
    (model / "weights" / "model.bin").write_bytes(b"short")
    (item,) = json.loads(run("status", model, "--json").out)["altered"]
    assert item["note"] == "5 bytes, sealed as 2,048"


def test_status_follows_links_as_the_signer_did(
    sign: Sign, model: Path, run: Run, tmp_path: Path
) -> None:
    (model / "link").symlink_to("config.json")
    sign("--follow-symlinks")
    assert run("status", model).code == 0
    (tmp_path / "outside").write_text('{"vocab_size": 32000}')
    (model / "link").unlink()
    (model / "link").symlink_to(tmp_path / "outside")
    done = run("status", model, "--porcelain")
    assert (done.code, done.out) == (2, "altered\tlink\n")


def test_a_model_of_one_file(model: Path, ecdsa_keys: Keys, run: Run, tmp_path: Path) -> None:
    file, sig = model / "weights" / "model.bin", tmp_path / "one.sig"
    words = ("sign", "--format", "oms", "--model-dir", file, "--key", ecdsa_keys.private)
    done = run(*words, "--output", sig)
    assert (done.code, "Seal" in done.out) == (0, False)  # no store is made beside it
    assert not (model / "weights" / ".modelseal").exists()
    Store.init(model)
    done = run(*words, "--output", sig)
    assert (done.code, "Seal" in done.out) == (0, True)
    assert run("status", file).code == 0
    assert run("verify", "model.bin", "--store", model, "--key", ecdsa_keys.public).code == 0
    file.write_bytes(b"altered")
    assert run("status", file, "--porcelain") == (2, "altered\tmodel.bin\n", "")
    assert run("verify", "model.bin", "--store", model, "--key", ecdsa_keys.public).code == 2


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_verify_takes_a_revision(
    sign: Sign, model: Path, ecdsa_keys: Keys, run: Run, form: list[str]
) -> None:
    data = sign(*form)
    (model / "model.sig").unlink()
    assert not os.listdir(model)[0].endswith(".sig")
    for revision in ("model", "model@0.0.0", id_of(data)[:12]):
        done = run("verify", revision, "--store", model, "--key", ecdsa_keys.public)
        assert (done.code, f"Directory: {model}\n" in done.out) == (0, True)
    (model / "config.json").write_text("{}")
    done = run("verify", "model", "--store", model, "--key", ecdsa_keys.public)
    assert (done.code, "  [FAIL] config.json" in done.out) == (2, True)


def test_identify_knows_what_the_bundle_says(sign: Sign, model: Path, run: Run) -> None:
    weights = hashlib.sha256((model / "weights" / "model.bin").read_bytes()).digest()
    data = sign("--model-version", "1.0")
    store = Store.open(model)
    seen = Seen(id_of(data), "model", "1.0", "weights/model.bin", None)
    assert store.identify([weights]) == {weights: [seen]}
    sign("--hash", "blake3")
    sign("--shard-size", "1000")  # the weights have three shards
    assert store.identify([weights]) == {weights: [seen]}
    data = sign("--shard-size", "2048")  # and now one, which is the whole
    whole = Seen(id_of(data), "model", "0.0.0", "weights/model.bin", 2048)
    assert {*store.identify([weights])[weights]} == {seen, whole}
    assert store.fsck().findings == []
    Path(store.path, "index.db").unlink()
    assert len(store.identify([weights])[weights]) == 2
    done = run("identify", model / "weights" / "model.bin", "--store", model)
    assert "weights/model.bin of model v1.0" in done.out


def test_the_index_learns_sizes_from_manifests(sign: Sign, model: Path) -> None:
    data = (model / "config.json").read_bytes()
    sign()
    store = Store.open(model)
    store.add(seal_of({"c": data}, "other"))
    sign()
    assert store.identify([hashlib.sha256(data).digest()])
    assert [found.message for found in store.fsck().findings] == []


def test_ls_and_diff_go_by_sha256(sign: Sign, model: Path, run: Run) -> None:
    sign("--model-version", "1")
    shown = run("ls", "model@1", "--store", model, "--format", "sha256sums").out
    assert shown.splitlines()[1].endswith("  empty.txt")
    assert run("diff", "model@1", model, "--store", model).code == 0
    (model / "config.json").write_text("{}")
    sign("--model-version", "2")
    done = run("diff", "model@1", "model@2", "--store", model, "--porcelain")
    assert (done.code, done.out.split("\t")[:2]) == (2, ["altered", "config.json"])
    sign("--hash", "blake3", "--model-version", "3")
    done = run("ls", "model@3", "--store", model)
    assert done.code == 1
    assert done.err.startswith("error: 'model' was sealed by blake3, not by SHA-256\n")


def test_show_log_and_refs(sign: Sign, model: Path, ecdsa_keys: Keys, run: Run) -> None:
    data = sign("--hash", "blake3")
    done = run("show", "model", "--store", model)
    assert f"Id         : {id_of(data)}\n" in done.out
    assert "Format     : OMS, signed by the method key\n" in done.out
    assert "Digest     : blake3\n" in done.out
    assert "  config.json\n" in done.out
    assert run("show", "model", "--store", model, "--raw").out.encode() == data
    said = json.loads(run("show", "model", "--store", model, "--json").out)
    assert (said["id"], said["format"], said["method"]) == (id_of(data), "oms", "key")
    assert said["statement"]["subject"][0]["name"] == "model"
    assert run("show", model / "model.sig", "--json").code == 0
    said = run("log", "--store", model, "--porcelain").out.split("\t")
    assert said[0:4] == [id_of(data), "model", "0.0.0", fingerprint(run, ecdsa_keys)]
    assert run("refs", "--store", model, "--porcelain").out == f"model\t0.0.0\t{id_of(data)}\n"
    done = run("cosign", "model", "--store", model, "--key", ecdsa_keys.private, "--signer-id=bob")
    assert (done.code, "is an OMS bundle, not a manifest" in done.err) == (1, True)


def test_light_commands_stay_light(sign: Sign, model: Path) -> None:
    age(model)
    sign("--hash", "blake3")
    assert not loaded("log", "--store", str(model)) & HEAVY
    assert not loaded("refs", "--store", str(model)) & HEAVY
    assert not loaded("status", str(model)) & HEAVY
    sign()
    assert loaded("ls", "model", "--store", str(model)) & HEAVY <= {"json"}
    assert loaded("identify", str(model / "config.json"), "--store", str(model)) & HEAVY <= {"json"}


# fsck and gc.


def test_fsck_tells_what_is_wrong_with_a_bundle(sign: Sign, model: Path, run: Run) -> None:
    data = sign()
    store = Store.open(model)
    path = Path(store.path, "manifests", id_of(data)[:2], f"{id_of(data)[2:]}.json")
    path.write_bytes(data[:-1])
    (first, *_) = store.fsck().findings
    assert (first.kind, first.where) == ("manifest", id_of(data))
    assert run("verify", "model", "--store", model).code == 1
    assert run("status", model).code == 1
    path.write_bytes(data)
    assert store.fsck().findings == []
    # One that hashes to its name, and is none all the same.
    bad = data.replace(b"application/vnd.in-toto+json", b"application/json")
    other = Path(store.path, "manifests", id_of(bad)[:2])
    other.mkdir(exist_ok=True)
    (other / f"{id_of(bad)[2:]}.json").write_bytes(bad)
    found = [finding for finding in store.fsck().findings if finding.damage]
    assert [(item.kind, item.where) for item in found] == [("manifest", id_of(bad))]
    assert "payloadType" in found[0].message
    (other / f"{id_of(bad)[2:]}.json").unlink()


def test_fsck_counts_bundles_of_trusted_publishers(
    sign: Sign, model: Path, ecdsa_keys: Keys, run: Run
) -> None:
    data = sign()
    assert run("trust", "add", "alice", "--key", ecdsa_keys.public, "--store", model).code == 0
    assert "1 manifests (1 by trusted publishers)" in run("fsck", "--store", model).out
    # Another statement under the same signature, which names the trusted key by its hint.
    said = json.loads(data)
    payload = bundle.decode(data).payload.replace(b'"name":"model"', b'"name":"other"')
    said["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    forged = json.dumps(said).encode()
    Store.open(model).add_bundle(forged, model_dir=model, signer_id="", size=1)
    done = run("fsck", "--store", model)
    assert (done.code, "the signature does not fit the statement" in done.out) == (1, True)


def test_a_lost_log_is_made_anew(sign: Sign, model: Path) -> None:
    first, second = sign("--model-version", "1.0"), sign("--hash", "blake3")
    store = Store.open(model)
    before = list(store.log())
    Path(store.path, "log").unlink()
    assert store.fsck(repair=True).clean
    after = {(seal.id, seal.name, seal.version, seal.files) for seal in store.log()}
    assert after == {(seal.id, seal.name, seal.version, seal.files) for seal in before}
    assert {seal.signer_id for seal in store.log()} == {""}  # which no bundle says
    assert store.fsck().findings == []
    assert {ref.id for ref in store.refs()} == {id_of(first), id_of(second)}


def test_a_damaged_line_keeps_what_can_be_read(sign: Sign, model: Path) -> None:
    sign("--model-version", "1.0")
    store = Store.open(model)
    before = list(store.log())
    log = Path(store.path, "log")
    text = log.read_text()
    log.write_text(text[:-3] + ("00\n" if text[-3:-1] != "00" else "11\n"))
    assert not store.fsck().clean
    assert store.fsck(repair=True).clean
    assert list(store.log()) == before
    shutil.rmtree(Path(store.path, "refs"))
    assert store.fsck(repair=True).clean
    assert store.refs() == [Ref("model", "1.0", before[0].id)]
    line = log.read_text().split(" ")
    log.write_text(" ".join([*line[:4], "%", *line[5:]]))  # a signer that the check digits deny
    assert store.fsck(repair=True).clean
    assert [(seal.id, seal.version) for seal in store.log()] == [(before[0].id, "1.0")]


def test_gc_keeps_what_is_named(sign: Sign, model: Path) -> None:
    age(model)  # or there would be nothing in the stat cache
    first, second = sign("--model-version", "1.0"), sign("--shard-size", "1000")
    store = Store.open(model)
    collected = store.gc()
    assert (collected.manifests, collected.rows) == ([], 0)
    assert store.read(id_of(first)) == first
    third = second.replace(b'"keyid":""', b'"keyid":"x"')
    path = Path(store.path, "manifests", id_of(third)[:2], f"{id_of(third)[2:]}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(third)
    assert store.gc().manifests == [id_of(third)]
    (model / "config.json").unlink()
    assert store.gc().rows > 0


def test_a_store_that_cant_take_it_leaves_the_bundle_alone(
    sign: Sign, model: Path, ecdsa_keys: Keys, run: Run
) -> None:
    data = sign()
    store = Store.open(model)
    log = Path(store.path, "log")
    log.rename(log.with_name("kept"))
    log.mkdir()
    done = run("sign", "--format", "oms", "--model-dir", model, "--key", ecdsa_keys.private)
    assert done.code == 1
    assert (model / "model.sig").read_bytes() == data
    log.rmdir()
    log.with_name("kept").rename(log)
    assert store.fsck().clean
    with pytest.raises(StoreDamagedError, match="a bundle is damaged"):
        store.add_bundle(b'{"dsseEnvelope":{}}', model_dir=model, signer_id="", size=0)
