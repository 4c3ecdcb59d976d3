"""The adapter for the conformance suite, as the suite calls it: options, exit codes, results."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conftest import VECTORS
from tests.forging import Certified, authority, certify, key, private_pem, public_pem

ADAPTER = Path(__file__).parent / "oms_conformance.py"
Adapter = Callable[..., int]


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    """Run the adapter as a process of its own, and return its exit code."""

    def call(*args: str | Path) -> int:
        done = subprocess.run(
            [sys.executable, str(ADAPTER), *map(str, args)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode

    return call


@pytest.fixture
def simple(tmp_path: Path) -> Path:
    """Two files to sign, and one not to."""
    model = tmp_path / "simple"
    model.mkdir()
    for name in ("signme-1", "signme-2", "ignore-me"):
        (model / name).write_text(name)
    return model


def statement(bundle: Path) -> Any:
    """What a bundle signs."""
    return json.loads(base64.b64decode(json.loads(bundle.read_bytes())["dsseEnvelope"]["payload"]))


def names(bundle: Path) -> list[str]:
    """The names of a bundle's resources."""
    return [each["name"] for each in statement(bundle)["predicate"]["resources"]]


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_with_a_key(
    adapter: Adapter, simple: Path, tmp_path: Path, curve: ec.EllipticCurve
) -> None:
    private = key(curve)
    (tmp_path / "key.pem").write_bytes(private_pem(private))
    (tmp_path / "pub.pem").write_bytes(public_pem(private))
    (tmp_path / "other.pem").write_bytes(public_pem(key(curve)))
    bundle = simple / "a.sig"
    ignoring = ("--ignore-paths", simple / "ignore-me")
    sign = ("sign-model", "--method", "key", "--model-path", simple, "--output-bundle", bundle)
    assert adapter(*sign, "--private-key", tmp_path / "key.pem", *ignoring) == 0
    assert names(bundle) == ["signme-1", "signme-2"]
    assert not (simple / ".modelseal").exists()
    verify = ("verify-model", "--method", "key", "--model-path", simple, "--bundle", bundle)
    public = ("--public-key", tmp_path / "pub.pem")
    assert adapter(*verify, *public, *ignoring) == 0
    assert adapter(*verify, *public) == 0  # the bundle says what was ignored
    assert adapter(*verify, "--public-key", tmp_path / "other.pem") == 2
    (simple / "extra").touch()
    assert adapter(*verify, *public) == 2
    assert adapter(*verify, *public, "--ignore-unsigned-files") == 0
    (simple / "signme-1").write_text("TAMPERED")
    assert adapter(*verify, *public, "--ignore-unsigned-files") == 2
    (simple / "signme-1").unlink()
    assert adapter(*verify, *public, "--ignore-unsigned-files") == 2


@pytest.mark.parametrize("self_signed", [False, True])
def test_with_a_certificate(
    adapter: Adapter, simple: Path, tmp_path: Path, self_signed: bool
) -> None:
    root = authority("root")
    issuer = authority("issuer", root)
    signer = certify("signer", None if self_signed else issuer)
    if self_signed:
        root = issuer = signer
    key_path = write(tmp_path, root=root, issuer=issuer, signer=signer)
    bundle = tmp_path / "b.sig"
    sign = ("sign-model", "--method", "certificate", "--model-path", simple, "--output-bundle")
    chain = ("--signing-cert", tmp_path / "signer.pem", "--cert-chain", tmp_path / "issuer.pem")
    assert adapter(*sign, bundle, "--private-key", key_path, *chain) == 0
    material = json.loads(bundle.read_bytes())["verificationMaterial"]["x509CertificateChain"]
    assert len(material["certificates"]) == (1 if self_signed else 2)
    verify = ("verify-model", "--model-path", simple, "--bundle", bundle, "--method")
    trusted = ("--cert-chain", tmp_path / "root.pem")
    assert adapter(*verify, "certificate", *trusted) == 0
    assert adapter(*verify, "certificate") == 2  # the system's roots don't know it
    (tmp_path / "wrong.pem").write_bytes(authority("root").pem)
    assert adapter(*verify, "certificate", "--cert-chain", tmp_path / "wrong.pem") == 2
    (tmp_path / "pub.pem").write_bytes(public_pem(signer.private))
    assert adapter(*verify, "key", "--public-key", tmp_path / "pub.pem") == 2


def write(directory: Path, **certificates: Certified) -> Path:
    """Write certificates, and the signer's key, whose path is returned."""
    for name, made in certificates.items():
        (directory / f"{name}.pem").write_bytes(made.pem)
    path = directory / "key.pem"
    path.write_bytes(private_pem(certificates["signer"].private))
    return path


def test_a_model_that_is_one_file(adapter: Adapter, simple: Path, tmp_path: Path) -> None:
    private = key()
    (tmp_path / "key.pem").write_bytes(private_pem(private))
    (tmp_path / "pub.pem").write_bytes(public_pem(private))
    file, bundle = simple / "signme-1", tmp_path / "b.sig"
    sign = ("sign-model", "--method", "key", "--model-path", file, "--output-bundle", bundle)
    assert adapter(*sign, "--private-key", tmp_path / "key.pem") == 0
    said = statement(bundle)
    digest = hashlib.sha256(b"signme-1").digest()
    assert said["subject"][0]["name"] == "signme-1"
    assert said["subject"][0]["digest"]["sha256"] == hashlib.sha256(digest).hexdigest()
    assert said["predicate"]["resources"] == [
        {"name": "signme-1", "digest": digest.hex(), "algorithm": "sha256"}
    ]
    verify = ("verify-model", "--method", "key", "--model-path", file, "--bundle", bundle)
    assert adapter(*verify, "--public-key", tmp_path / "pub.pem") == 0
    file.write_text("signme-2")
    assert adapter(*verify, "--public-key", tmp_path / "pub.pem") == 2


def test_what_is_left_out_by_default(adapter: Adapter, simple: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(key()))
    for path in (".git/HEAD", ".github/x", "sub/.git/y", "sub/.gitignore", ".cache/z", ".env"):
        (simple / path).parent.mkdir(parents=True, exist_ok=True)
        (simple / path).write_text(path)
    for path in (".gitignore", ".gitattributes", "sub/ignore-me"):
        (simple / path).write_text(path)
    bundle = simple / "model.sig"
    sign = ("sign-model", "--method", "key", "--model-path", simple, "--output-bundle", bundle)
    ignoring = ("--ignore-paths", simple / "ignore-me")
    assert adapter(*sign, "--private-key", tmp_path / "key.pem", *ignoring) == 0
    assert names(bundle) == [
        *[".cache/z", ".env", "signme-1", "signme-2"],
        *["sub/.git/y", "sub/.gitignore", "sub/ignore-me"],
    ]
    ignored = statement(bundle)["predicate"]["serialization"]["ignore_paths"]
    assert {".git", ".github", ".gitignore", ".gitattributes", "ignore-me", "model.sig"} <= {
        *ignored
    }


@pytest.mark.parametrize("target", ["signme-1", ".", "/nowhere/at/all"])
def test_links_are_refused(adapter: Adapter, simple: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(key()))
    (simple / "link").symlink_to(target)
    sign = ("sign-model", "--method", "key", "--model-path", simple, "--output-bundle")
    args = (*sign, tmp_path / "b.sig", "--private-key", tmp_path / "key.pem")
    assert adapter(*args) == 1
    assert not (tmp_path / "b.sig").exists()
    assert adapter(*args, "--ignore-paths", simple / "link") == 0


def test_an_empty_model_is_refused(adapter: Adapter, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(key()))
    (tmp_path / "empty").mkdir()
    sign = ("sign-model", "--method", "key", "--model-path", tmp_path / "empty")
    args = (*sign, "--output-bundle", tmp_path / "b.sig", "--private-key", tmp_path / "key.pem")
    assert adapter(*args) == 1


def test_without_what_a_method_needs(adapter: Adapter, simple: Path, tmp_path: Path) -> None:
    bundle = VECTORS / "oms/bundles/1.1.1-p256.sig"
    verify = ("verify-model", "--model-path", simple, "--bundle", bundle, "--method")
    assert adapter(*verify, "key") == 1
    assert adapter(*verify, "sigstore") == 1
    assert adapter(*verify, "certificate", "--cert-chain", VECTORS / "oms/root.pem") == 2


def test_it_can_be_called_by_its_path() -> None:
    assert os.access(ADAPTER, os.X_OK)
    # By its first line: the first python3 of PATH, which is the one under test.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ADAPTER, "verify-model", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert "--ignore-unsigned-files" in done.stdout
