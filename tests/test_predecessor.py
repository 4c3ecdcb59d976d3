"""Programs and files of `aumai-modelseal` work here, with the package's name changed."""

import base64
import inspect
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import modelseal
from modelseal import (
    FileEntry,
    KeyManager,
    ModelManifest,
    ModelSigner,
    ModelVerifier,
    PublisherRegistry,
    Signature,
    SignatureAlgorithm,
    SignedManifest,
    TrustedPublisher,
    VerificationResult,
)
from modelseal.canonical import canonical
from tests.conftest import VECTORS, Result

CASES = sorted(path.parent for path in (VECTORS / "predecessor").glob("*/signed_manifest.json"))
WITH_MODEL = [case for case in CASES if (case / "model").is_dir()]
REQUIRED = inspect.Parameter.empty

# Every call that was documented: its arguments in order, with their defaults.
CALLS: dict[Callable[..., object], dict[str, object]] = {
    KeyManager: {},
    KeyManager.generate_keypair: {"self": REQUIRED, "algorithm": REQUIRED, "passphrase": None},
    KeyManager.save_keypair: {
        "self": REQUIRED,
        "private_key": REQUIRED,
        "public_key": REQUIRED,
        "path": REQUIRED,
    },
    KeyManager.load_private_key: {"self": REQUIRED, "path": REQUIRED, "password": None},
    KeyManager.load_public_key: {"self": REQUIRED, "path": REQUIRED},
    ModelSigner: {},
    ModelSigner.create_manifest: {
        "self": REQUIRED,
        "model_dir": REQUIRED,
        "model_name": "",
        "model_version": "0.0.0",
        "framework": "unknown",
        "author": "",
        "description": "",
    },
    ModelSigner.sign_manifest: {
        "self": REQUIRED,
        "manifest": REQUIRED,
        "private_key_bytes": REQUIRED,
        "signer_id": REQUIRED,
        "password": None,
    },
    ModelVerifier: {},
    ModelVerifier.verify_manifest: {
        "self": REQUIRED,
        "signed_manifest": REQUIRED,
        "public_key_bytes": REQUIRED,
    },
    ModelVerifier.verify_files: {"self": REQUIRED, "model_dir": REQUIRED, "manifest": REQUIRED},
    PublisherRegistry: {"registry_path": None},
    PublisherRegistry.add_publisher: {"self": REQUIRED, "publisher": REQUIRED},
    PublisherRegistry.remove_publisher: {"self": REQUIRED, "publisher_id": REQUIRED},
    PublisherRegistry.get_publisher: {"self": REQUIRED, "publisher_id": REQUIRED},
    PublisherRegistry.list_publishers: {"self": REQUIRED},
    PublisherRegistry.verify_against_registry: {"self": REQUIRED, "signed_manifest": REQUIRED},
    SignedManifest.model_dump_json: {"self": REQUIRED, "indent": None},
    SignedManifest.model_validate_json: {"text": REQUIRED},
    SignedManifest.model_dump: {"self": REQUIRED},
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_arguments_and_defaults(call: Callable[..., object]) -> None:
    expected = CALLS[call]
    found = inspect.signature(call).parameters.values()
    positional = [one for one in found if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert {one.name: one.default for one in positional} == expected
    assert [one.name for one in positional] == list(expected)
    for more in found:
        optional = more.default is not REQUIRED or more.kind is inspect.Parameter.VAR_KEYWORD
        assert more in positional or optional, more


def test_public_names() -> None:
    assert sorted(modelseal.__all__) == [
        "FileEntry",
        "KeyManager",
        "ModelManifest",
        "ModelSigner",
        "ModelVerifier",
        "PublisherRegistry",
        "Signature",
        "SignatureAlgorithm",
        "SignedManifest",
        "Store",
        "TrustedPublisher",
        "VerificationResult",
    ]
    assert set(modelseal.__all__) <= set(dir(modelseal))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = modelseal.Nothing


PROGRAM = """
import base64
from datetime import datetime, timezone

from modelseal import (
    KeyManager, ModelSigner, ModelVerifier, PublisherRegistry,
    SignatureAlgorithm, SignedManifest, TrustedPublisher,
)

manager = KeyManager()
for algorithm, passphrase in (
    (SignatureAlgorithm.ed25519, None),
    (SignatureAlgorithm.ecdsa_p256, b"s3cret"),
):
    where = "keys-" + algorithm.value
    private_pem, public_pem = manager.generate_keypair(algorithm, passphrase=passphrase)
    manager.save_keypair(private_pem, public_pem, where)
    private_pem = manager.load_private_key(where + "/private.pem", password=passphrase)
    public_pem = manager.load_public_key(where + "/public.pem")

    signer = ModelSigner()
    manifest = signer.create_manifest(
        model_dir="my-model",
        model_name="classifier",
        model_version="1.2.0",
        framework="pytorch",
        author="ML Team",
        description="Sentiment.",
    )
    signed = signer.sign_manifest(
        manifest, private_pem, signer_id="team@example.com", password=passphrase
    )
    with open("signed.json", "w") as file:
        file.write(signed.model_dump_json(indent=2))

    with open("signed.json") as file:
        loaded = SignedManifest.model_validate_json(file.read())
    assert loaded == signed
    verifier = ModelVerifier()
    result = verifier.verify_manifest(loaded, public_pem)
    print(result.valid, result.signer_id, result.error, result.manifest.model_name)
    print(loaded.signature.algorithm.value, loaded.manifest.total_size_bytes)
    for path, ok in verifier.verify_files("my-model", result.manifest):
        print("OK" if ok else "TAMPERED", path)
    with open("my-model/weights/model.bin", "ab") as file:
        file.write(b"x")
    print(verifier.verify_files("my-model", result.manifest))
    with open("my-model/weights/model.bin", "r+b") as file:
        file.truncate(2048)

    registry = PublisherRegistry(registry_path="trusted.json")
    registry.add_publisher(
        TrustedPublisher(
            publisher_id="team@example.com",
            name="ML Team",
            public_key=base64.b64encode(public_pem).decode(),
            trusted_since=datetime.now(tz=timezone.utc),
        )
    )
    print(registry.verify_against_registry(loaded).valid)
    print([p.name for p in PublisherRegistry(registry_path="trusted.json").list_publishers()])
    stranger = loaded.model_copy(
        update={"signature": loaded.signature.model_copy(update={"signer_id": "stranger"})}
    )
    print(registry.verify_against_registry(stranger).valid)
    registry.remove_publisher("team@example.com")
    print(registry.get_publisher("team@example.com"))
    assert datetime.fromisoformat(loaded.manifest.created_at.isoformat()) == manifest.created_at
"""

SAID = """\
True team@example.com None classifier
{algorithm} 2069
OK config.json
OK empty.txt
OK weights/model.bin
[('config.json', True), ('empty.txt', True), ('weights/model.bin', False)]
True
['ML Team']
False
None
"""


def test_a_program_with_every_call(model: Path) -> None:
    model.rename(model.with_name("my-model"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=model.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout == SAID.format(algorithm="ed25519") + SAID.format(algorithm="ecdsa_p256")


def test_positional_arguments(model: Path, tmp_path: Path) -> None:
    manager = KeyManager()
    private, public = manager.generate_keypair(SignatureAlgorithm("ed25519"), b"pw")
    manager.save_keypair(private_key=private, public_key=public, path=tmp_path / "k")
    assert manager.load_private_key(tmp_path / "k" / "private.pem", b"pw") == private
    manifest = ModelSigner().create_manifest(str(model), "n", "1", "f", "a", "d")
    got = (manifest.model_name, manifest.model_version, manifest.framework)
    assert (*got, manifest.author, manifest.description) == ("n", "1", "f", "a", "d")
    signed = ModelSigner().sign_manifest(manifest, private, "me", b"pw")
    assert ModelVerifier().verify_manifest(signed, public).valid


def test_defaults(model: Path) -> None:
    manifest = ModelSigner().create_manifest(model)
    got = (manifest.model_name, manifest.model_version, manifest.framework)
    assert (*got, manifest.author, manifest.description) == ("model", "0.0.0", "unknown", "", "")
    assert [entry.path for entry in manifest.files] == [
        "config.json",
        "empty.txt",
        "weights/model.bin",
    ]
    assert manifest.created_at.tzinfo is UTC
    assert abs((datetime.now(UTC) - manifest.created_at).total_seconds()) < 60


def test_errors_are_the_usual_ones(model: Path, tmp_path: Path) -> None:
    manager = KeyManager()
    private, public = manager.generate_keypair(SignatureAlgorithm.ed25519, b"pw")
    manager.save_keypair(private, public, tmp_path / "k")
    manifest = ModelSigner().create_manifest(model)
    for refused in (
        lambda: manager.load_private_key(tmp_path / "k" / "private.pem"),
        lambda: manager.load_private_key(tmp_path / "k" / "private.pem", password=b"other"),
        lambda: manager.load_private_key(tmp_path / "k" / "public.pem"),
        lambda: ModelSigner().create_manifest(model / "config.json"),
        lambda: ModelSigner().create_manifest(model / "missing"),
        lambda: ModelSigner().sign_manifest(manifest, private, "me"),
        lambda: ModelSigner().sign_manifest(manifest, b"junk", "me"),
        lambda: SignedManifest.model_validate_json("{}"),
        lambda: SignedManifest.model_validate_json("not JSON"),
        lambda: FileEntry(path="a", size_bytes=-1, sha256_hash="0" * 64),
        lambda: FileEntry(path="a", size_bytes=1, sha256_hash="0" * 63),
        lambda: SignatureAlgorithm("rsa"),
    ):
        with pytest.raises(ValueError, match=r"."):
            refused()
    with pytest.raises(FileNotFoundError):
        manager.load_private_key(tmp_path / "missing.pem")
    with pytest.raises(KeyError):
        PublisherRegistry().remove_publisher("nobody")
    assert PublisherRegistry().get_publisher("nobody") is None


def test_structs_by_hand(model: Path) -> None:
    now = datetime(2024, 1, 31, 12, 0, tzinfo=UTC)
    entry = FileEntry(path="a.bin", size_bytes=1, sha256_hash="0" * 64)
    manifest = ModelManifest(
        model_name="m",
        model_version="1",
        framework="f",
        files=[entry],
        total_size_bytes=1,
        created_at=now,
        author="a",
        description="d",
    )
    signature = Signature(
        algorithm=SignatureAlgorithm.ecdsa_p256,
        public_key="",
        signature_hex="00",
        signed_at=now,
        signer_id="s",
    )
    document = SignedManifest(manifest=manifest, signature=signature)
    dumped: dict[str, Any] = document.model_dump()
    assert list(dumped) == ["manifest", "signature"]
    assert list(dumped["manifest"]) == [
        *("model_name", "model_version", "framework", "files", "total_size_bytes"),
        *("created_at", "author", "description"),
    ]
    assert dumped["manifest"]["files"] == [
        {"path": "a.bin", "size_bytes": 1, "sha256_hash": "0" * 64}
    ]
    assert dumped["manifest"]["created_at"] == now
    assert list(dumped["signature"]) == [
        *("algorithm", "public_key", "signature_hex", "signed_at", "signer_id"),
    ]
    assert dumped["signature"]["algorithm"] == "ecdsa_p256"
    assert SignedManifest.model_validate_json(document.model_dump_json()) == document
    assert json.loads(document.model_dump_json(indent=4)) == json.loads(document.model_dump_json())
    assert document.model_dump_json(indent=2).startswith('{\n  "manifest": {\n    "model_name"')

    result = VerificationResult(valid=False, manifest=None, signer_id=None, error="no")
    assert (result.valid, result.manifest, result.signer_id) == (False, None, None)
    assert result == VerificationResult(valid=False, error="no")
    junk = ModelVerifier().verify_manifest(document, b"junk")
    assert (junk.valid, junk.manifest, junk.signer_id) == (False, None, None)
    assert junk.error == (
        "the public key can't be used: this is neither PEM nor OpenSSH, not a public key"
    )
    assert ModelVerifier().verify_files(model, manifest) == [("a.bin", False)]


@pytest.mark.parametrize("name", ["ed25519", "ecdsa_p256"])
def test_algorithms_are_texts(name: str) -> None:
    algorithm = SignatureAlgorithm(name)
    assert algorithm.value == algorithm == name
    assert isinstance(algorithm, str)
    assert getattr(SignatureAlgorithm, name) is algorithm
    assert [one.value for one in SignatureAlgorithm] == ["ed25519", "ecdsa_p256"]


@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_what_we_sign_verifies_there(algorithm: SignatureAlgorithm, model: Path) -> None:
    """As any reader of the documented format would check it, without a line of ours."""
    (model / "naïve 😀\x7f.txt").write_text("x")
    private, public = KeyManager().generate_keypair(algorithm)
    signer = ModelSigner()
    text = signer.sign_manifest(
        signer.create_manifest(model, author="Zoë"), private, "me"
    ).model_dump_json()
    document = json.loads(text)
    signature = document["signature"]
    payload = json.dumps(document["manifest"], sort_keys=True, separators=(",", ":")).encode()
    key = serialization.load_pem_public_key(base64.b64decode(signature["public_key"]))
    assert base64.b64decode(signature["public_key"]) == public
    check(key, bytes.fromhex(signature["signature_hex"]), payload)
    with pytest.raises(InvalidSignature):
        check(key, bytes.fromhex(signature["signature_hex"]), payload + b" ")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", document["manifest"]["created_at"]
    )


def check(key: object, signature: bytes, payload: bytes) -> None:
    """Verify as the standards say. Raises InvalidSignature."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, payload)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, payload, ec.ECDSA(hashes.SHA256()))


def read(case: Path) -> tuple[SignedManifest, bytes]:
    """A signed manifest of the predecessor's, and its public key's bytes."""
    public = case.parent / (case / "public-key").read_text().strip()
    text = (case / "signed_manifest.json").read_text(encoding="utf-8")
    return SignedManifest.model_validate_json(text), public.read_bytes()


def test_the_vectors_are_all_there() -> None:
    assert [case.name for case in CASES] == [
        *("plain-ecdsa_p256", "plain-ed25519", "time-naive", "time-offset"),
        *("time-utc-micro", "time-utc-milli", "time-utc-whole", "unicode"),
    ]
    assert [case.name for case in WITH_MODEL] == ["plain-ecdsa_p256", "plain-ed25519", "unicode"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_manifests_verify(case: Path) -> None:
    signed, public = read(case)
    assert canonical(signed.manifest) == (case / "canonical.bytes").read_bytes()
    result = ModelVerifier().verify_manifest(signed, public)
    assert (result.valid, result.error) == (True, None)
    assert (result.manifest, result.signer_id) == (signed.manifest, signed.signature.signer_id)
    again = SignedManifest.model_validate_json(signed.model_dump_json(indent=2))
    assert ModelVerifier().verify_manifest(again, public).valid
    changed = signed.manifest.model_copy(update={"author": f"{signed.manifest.author}."})
    forged = signed.model_copy(update={"manifest": changed})
    assert ModelVerifier().verify_manifest(forged, public).error == (
        "the signature does not fit the manifest"
    )


@pytest.mark.parametrize("case", WITH_MODEL, ids=lambda case: case.name)
def test_its_models_verify(case: Path) -> None:
    signed, public = read(case)
    verifier = ModelVerifier()
    paths = [entry.path for entry in signed.manifest.files]
    assert verifier.verify_files(case / "model", signed.manifest) == [
        (path, True) for path in paths
    ]
    report = verifier.verify_model(case / "model", signed, public_key_bytes=public)
    assert (report.valid, report.exit_code, report.checked) == (True, 0, len(paths))
    assert report.unsigned == []
    made = ModelSigner().create_manifest(case / "model")
    assert {entry.path: entry for entry in made.files} == {
        entry.path: entry for entry in signed.manifest.files
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_files_on_the_command_line(case: Path, run: Callable[..., Result]) -> None:
    signed, _ = read(case)
    public = case.parent / (case / "public-key").read_text().strip()
    model = ["--model-dir", case / "model"] if case in WITH_MODEL else []
    done = run("verify", "--manifest", case / "signed_manifest.json", "--key", public, *model)
    assert done.code == 0
    assert done.err == (
        "warning: created_at 2024-01-31T12:00:00 has no time zone\n"
        if case.name == "time-naive"
        else ""
    )
    manifest = signed.manifest
    lines = done.out.splitlines()
    assert lines[0] == "Signature: VALID"
    assert f"  Signer   : {signed.signature.signer_id} (claimed)" in lines
    named = f"{manifest.model_name} v{manifest.model_version}"
    if case.name == "unicode":
        named = 'модель "x" \\\\ \\u2028 \\x7f \\x01 😀 v1.0.0-β'
    assert f"  Model    : {named}" in lines
    oks = [line for line in lines if line.startswith("  [OK] ")]
    if model:
        assert oks == [f"  [OK] {shown(entry.path)}" for entry in manifest.files]
        assert lines[-1] == "All files verified successfully."
    else:
        assert oks == []
    report = json.loads(
        run(
            *("verify", "--manifest", case / "signed_manifest.json", "--key", public, "--json"),
            *model,
        ).out
    )
    assert (report["valid"], report["reason"], report["checked"]) == (True, None, len(oks))
    assert (report["model_name"], report["signer_id"]) == (
        manifest.model_name,
        signed.signature.signer_id,
    )
    shown_json = run("inspect", "--manifest", case / "signed_manifest.json", "--json-output")
    assert json.loads(shown_json.out) == json.loads((case / "signed_manifest.json").read_text())


def shown(path: str) -> str:
    """A name as the terminal gets it: one of the vectors' holds U+2028, a line separator."""
    return path.replace("\u2028", "\\u2028")


SCRIPTS = Path(sysconfig.get_path("scripts"))
USAGE = "usage: modelseal COMMAND [OPTION ...]\n"


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "modelseal.cli"],
        [sys.executable, "-m", "modelseal"],
        [str(SCRIPTS / "modelseal")],
        [str(SCRIPTS / "aumai-modelseal")],
    ],
    ids=["-m modelseal.cli", "-m modelseal", "modelseal", "aumai-modelseal"],
)
def test_ways_to_start(command: list[str]) -> None:
    if len(command) == 1 and not os.path.exists(command[0]):
        pytest.skip(f"{command[0]} is not there: the tests run from a tree that is not installed")
    for argument, expected in (("--help", USAGE), ("--version", modelseal.__version__)):
        done = subprocess.run([*command, argument], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout
    done = subprocess.run([*command, "frobnicate"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("error: unknown command 'frobnicate'\n")


def test_the_documented_session(model: Path, run: Callable[..., Result], tmp_path: Path) -> None:
    """The four commands with the flags that were documented, and the lines they promised."""
    key = tmp_path / "k"
    done = run("keygen", "--output", key, "--algorithm", "ecdsa_p256")
    assert done.out.splitlines()[:3] == [
        f"Key pair (ecdsa_p256) written to '{key}/'",
        f"  Private: {key}/private.pem",
        f"  Public : {key}/public.pem",
    ]
    manifest = tmp_path / "out.json"
    done = run(
        *("sign", "--model-dir", model, "--key", key / "private.pem", "--signer-id", "alice"),
        *("--model-name", "net", "--model-version", "1.0", "--framework", "onnx"),
        *("--author", "Alice", "--output", manifest),
    )
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        f"Signed manifest written to: {manifest}\n"
        "  Files    : 3\n"
        "  Total    : 2,069 bytes\n"
        "  Signer   : alice\n"
        "  Algorithm: ecdsa_p256\n"
    )
    verify = ("verify", "--manifest", manifest, "--key", key / "public.pem", "--model-dir", model)
    done = run(*verify)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line for line in lines if not line.startswith("  Key ")] == [
        "Signature: VALID",
        "  Signer   : alice (claimed)",
        "  Model    : net v1.0",
        "Verifying on-disk file hashes...",
        "  [OK] config.json",
        "  [OK] empty.txt",
        "  [OK] weights/model.bin",
        "All files verified successfully.",
    ]
    (model / "config.json").write_text("{}")
    done = run(*verify)
    assert (done.code, done.err) == (2, "One or more files failed verification.\n")
    assert "  [FAIL] config.json\n" in done.out
    document = json.loads(manifest.read_text())
    document["manifest"]["author"] = "Mallory"
    manifest.write_text(json.dumps(document))
    done = run(*verify)
    said = "Signature: INVALID — the signature does not fit the manifest\n"
    assert done == Result(2, said, "")
    done = run("inspect", "--manifest", manifest, "--json-output")
    assert json.loads(done.out) == document


def test_trusted_publisher_fields() -> None:
    since = datetime(2024, 1, 1, tzinfo=UTC)
    one = TrustedPublisher(publisher_id="p", name="n", public_key="", trusted_since=since)
    assert one.model_dump() == {
        "publisher_id": "p",
        "name": "n",
        "public_key": "",
        "trusted_since": since,
    }
    assert TrustedPublisher.model_validate_json(one.model_dump_json()) == one
