"""Who signed a bundle: registries, and keyless identities that are checked offline."""

import builtins
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from modelseal.store import Store
from tests.conftest import VECTORS, Result
from tests.forging import certify, key, private_pem, public_pem, sign, statement_of

Run = Callable[..., Result]
OMS = VECTORS / "oms"
KEYLESS = OMS / "keyless"
P256 = OMS / "bundles/1.1.1-p256.sig"
P384 = OMS / "bundles/1.1.1-p384.sig"
OLD = OMS / "bundles/1.0.1-p256.sig"

IDENTITY = ("--identity", "stefanb@us.ibm.com")
PROVIDER = ("--identity-provider", "https://sigstore.verify.ibm.com/oauth2")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What the bundles of all generations sign."""
    shutil.copytree(OMS / "model", tmp_path / "model")
    return tmp_path / "model"


def trust(run: Run, name: str, stem: str, *args: str) -> Result:
    """Trust one of the keys of those bundles."""
    return run("trust", "add", name, "--key", OMS / f"{stem}.pem", *args)


def test_a_publishers_key_verifies_bundles(run: Run, model: Path) -> None:
    assert trust(run, "alice@example.com", "p256", "--name", "Alice").code == 0
    for bundle in (P256, OLD):  # named by a hint, and not at all
        done = run("verify", "--manifest", bundle, "--model-dir", model, "--ignore-path=ignore-me")
        assert done.code == 0
        assert "  Signer   : alice@example.com\n" in done.out
        assert "config/modelseal/trust.json' (Alice)\n" in done.out
    said = json.loads(run("verify", "--manifest", P256, "--json").out)
    assert (said["valid"], said["trusted"], said["signer_id"]) == (True, True, "alice@example.com")


def test_nobody_else_is_trusted(run: Run, model: Path) -> None:
    done = run("verify", "--manifest", P256, "--model-dir", model)
    assert (done.code, "(signer-untrusted)" in done.out) == (2, True)
    assert "hint: 'modelseal trust add ID --key PATH' trusts a publisher" in done.err
    assert trust(run, "bob", "p521", "--format", "oms").code == 0
    done = run("verify", "--manifest", P256)
    assert "is not signed with a key of a trusted publisher" in done.out
    assert done.code == 2


def test_keys_for_bundles_alone_are_asked_for(run: Run, model: Path) -> None:
    done = trust(run, "alice", "p384")
    assert done.code == 1
    assert "an ECDSA secp384r1 public key can't be used" in done.err
    assert "hint: it can sign OMS bundles: '--format oms' trusts it for those\n" in done.err
    assert trust(run, "alice", "p384", "--format", "oms").code == 0
    assert run("trust", "list").code == 0
    assert run("verify", "--manifest", P384, "--model-dir", model).code == 0
    new = OMS / "p521.pem"
    assert run("trust", "rotate", "alice", "--key", new).code == 1
    assert run("trust", "rotate", "alice", "--key", new, "--format", "oms").code == 0
    done = run("verify", "--manifest", P384)
    assert (done.code, "(key-rotated)" in done.out) == (2, True)


def test_a_key_for_bundles_signs_no_manifest(
    run: Run, tmp_path: Path, signed: Path, model: Path
) -> None:
    assert trust(run, "alice@example.com", "p384", "--format", "oms").code == 0
    done = run("verify", "--manifest", signed, "--model-dir", model)
    assert (done.code, "' is for OMS bundles alone" in done.out) == (2, True)


def test_what_is_revoked_counts_nowhere(run: Run, model: Path) -> None:
    trust(run, "alice", "p384", "--format", "oms")
    assert run("trust", "revoke", "alice", "--reason", "lost").code == 0
    done = run("verify", "--manifest", P384, "--model-dir", model)
    assert (done.code, "(publisher-revoked)" in done.out) == (2, True)
    done = run("verify", "--manifest", P384, "--key", OMS / "p384.pem")
    assert (done.code, "(key-revoked)" in done.out) == (2, True)
    # The same key in a certificate.
    certified = ("--manifest", OMS / "bundles/1.1.1-certificate.sig")
    done = run("verify", *certified, "--certificate-chain", OMS / "root.pem")
    assert (done.code, "(key-revoked)" in done.out) == (2, True)


def test_models_that_a_publisher_may_sign(run: Run, model: Path) -> None:
    trust(run, "alice", "p256", "--models", "other*")
    done = run("verify", "--manifest", P256, "--model-dir", model)
    assert done.code == 2
    assert "'alice' may not sign the model 'model' (model-not-allowed)" in done.out


def test_who_shares_a_key_is_named_where_their_word_counts(run: Run, model: Path) -> None:
    trust(run, "alice", "p256", "--models", "other*")
    for name in ("bob", "carol"):
        assert trust(run, name, "p256").code == 0
    verify = ("verify", "--manifest", P256, "--model-dir", model, "--ignore-path=ignore-me")
    done = run(*verify)
    assert (done.code, "  Signer   : bob\n" in done.out) == (0, True)
    done = run(*verify, "--require", "2")
    assert (done.code, "1 trusted publisher, and 2 are needed" in done.out) == (2, True)
    # The key is the one that is revoked, under whatever name.
    assert run("trust", "revoke", "carol").code == 0
    done = run(*verify)
    assert (done.code, "'carol', whose key is SHA256:" in done.out) == (2, True)


def test_a_level_that_came_with_the_model_speaks_for_no_bundle(run: Run, model: Path) -> None:
    Store.init(model)
    delivered = model / ".modelseal" / "trust.json"
    assert trust(run, "alice", "p256", "--registry", str(delivered)).code == 0
    (delivered.parent / "owner").write_text("0" * 32 + "\n")
    verify = ("verify", "--manifest", P256, "--model-dir", model, "--ignore-path=ignore-me")
    done = run(*verify)
    assert (done.code, "(signer-untrusted)" in done.out) == (2, True)
    assert trust(run, "bob", "p256").code == 0
    done = run(*verify)
    assert (done.code, "  Signer   : bob\n" in done.out) == (0, True)


def test_one_signature_is_one(run: Run, model: Path) -> None:
    trust(run, "alice", "p256", "--require", "2")
    for args in ((), ("--key", OMS / "p256.pem")):
        done = run("verify", "--manifest", P256, *args)
        assert (done.code, "1 trusted publisher, and 2 are needed" in done.out) == (2, True)


def test_a_key_and_a_registry_must_both_hold(run: Run, tmp_path: Path) -> None:
    registry = ("--registry", tmp_path / "r.json")
    assert trust(run, "alice", "p256", *map(str, registry)).code == 0
    assert run("verify", "--manifest", P256, *registry, "--key", OMS / "p256.pem").code == 0
    done = run("verify", "--manifest", P384, *registry, "--key", OMS / "p384.pem")
    assert (done.code, "is that of no trusted publisher" in done.out) == (2, True)


def test_the_systems_roots_vouch_for_nobody_here(run: Run) -> None:
    done = run("verify", "--manifest", OMS / "bundles/1.1.1-certificate.sig")
    assert done.code == 2
    assert done.err == ""
    assert "does not lead to a trusted root" in done.out


@pytest.mark.parametrize(
    "args",
    [
        ("--identity", "x"),
        ("--identity-provider", "x"),
        ("--trust-root", "x"),
        ("--key", "x", "--certificate-chain", "y"),
        ("--registry", "x", "--certificate-chain", "y"),
        (*IDENTITY, *PROVIDER, "--certificate-chain", "y"),
        ("--no-rollback", "--key", "x"),
        ("--precheck", "--key", "x"),
    ],
)
def test_options_that_do_not_go_together(run: Run, args: tuple[str, ...]) -> None:
    done = run("verify", "--manifest", P256, *args)
    assert (done.code, done.out) == (64, "")


def test_options_of_bundles_are_none_of_manifests(run: Run, signed: Path) -> None:
    for args in (("--certificate-chain", "x"), (*IDENTITY, *PROVIDER)):
        done = run("verify", "--manifest", signed, *args)
        assert (done.code, "is for OMS bundles, this is a signed manifest" in done.err) == (
            64,
            True,
        )


# Keyless, with a bundle that was made and logged in public


OFFLINE = """
import socket, sys
from modelseal.cli import main

def refuse(*_, **__):
    raise AssertionError("the network was asked")

socket.create_connection = socket.getaddrinfo = refuse
sys.exit(main())
"""


@pytest.fixture
def offline(tmp_path: Path) -> Run:
    """Run modelseal without a network, in a process of its own: the package is a large one."""
    if find_spec("sigstore") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("sigstore is not installed")

    def call(*args: str | Path) -> Result:
        done = subprocess.run(
            [sys.executable, "-c", OFFLINE, *map(str, args)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def test_a_keyless_bundle(offline: Run, tmp_path: Path) -> None:
    model = tmp_path / "keyless"
    shutil.copytree(KEYLESS, model)
    verify = ("verify", "--manifest", model / "model.sig", "--model-dir", model)
    done = offline(*verify, *IDENTITY, *PROVIDER)
    assert (done.code, done.err) == (0, "")
    assert "  Signer   : stefanb@us.ibm.com\n" in done.out
    assert "  Vouched  : by 'https://sigstore.verify.ibm.com/oauth2'\n" in done.out
    done = offline(*verify, "--identity", "mallory@example.com", *PROVIDER)
    assert (done.code, "do not match mallory@example.com" in done.out) == (2, True)
    done = offline(*verify, *IDENTITY, "--identity-provider", "https://example.com")
    assert (done.code, "INVALID" in done.out) == (2, True)
    (model / "signme-2").write_bytes(b"signme-3")
    assert "  [FAIL] signme-2\n" in offline(*verify, *IDENTITY, *PROVIDER).out
    for args in ((), ("--key", str(OMS / "p256.pem"))):
        done = offline(*verify, *args)
        assert (done.code, "the bundle is signed keyless" in done.out) == (2, True)
    done = offline("verify", "--manifest", P256, *IDENTITY, *PROVIDER)
    assert (done.code, "the bundle is signed with a key" in done.out) == (2, True)


def test_a_keyless_bundle_that_was_changed(offline: Run, tmp_path: Path) -> None:
    made = json.loads((KEYLESS / "model.sig").read_bytes())
    other = sign(statement_of(KEYLESS, "signme-1"), key())
    made["dsseEnvelope"] = other["dsseEnvelope"]
    (tmp_path / "x.sig").write_text(json.dumps(made))
    done = offline("verify", "--manifest", tmp_path / "x.sig", *IDENTITY, *PROVIDER)
    assert (done.code, "INVALID" in done.out) == (2, True)


def test_a_private_instance(offline: Run, tmp_path: Path) -> None:
    from importlib import resources

    verify = ("verify", "--manifest", KEYLESS / "model.sig", *IDENTITY, *PROVIDER, "--trust-root")
    (tmp_path / "bad.json").write_text("{}")
    done = offline(*verify, tmp_path / "bad.json")
    assert (done.code, "error: trust root '" in done.err) == (1, True)
    (public,) = (
        path / "trusted_root.json"
        for path in resources.files("sigstore._store").iterdir()
        if path.name.endswith("sigstore.dev")
    )
    root = json.loads(public.read_text())
    (tmp_path / "root.json").write_text(json.dumps(root))
    assert offline(*verify, tmp_path / "root.json").code == 0
    # Another instance's authority: the same form, and a certificate of ours.
    import base64

    ours = certify("authority", authority=True, usage=(False, True))
    raw = [{"rawBytes": base64.b64encode(ours.der).decode()}]
    for each in root["certificateAuthorities"]:
        each["certChain"]["certificates"] = raw
    (tmp_path / "root.json").write_text(json.dumps(root))
    done = offline(*verify, tmp_path / "root.json")
    assert (done.code, "INVALID" in done.out) == (2, True)


def test_without_the_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.split(".", maxsplit=1)[0] == "sigstore":
            raise ImportError(name)
        return importing(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    done = run("verify", "--manifest", KEYLESS / "model.sig", *IDENTITY, *PROVIDER)
    assert done.code == 1
    assert done.err == (
        "error: keyless bundles need the package sigstore\n"
        "hint: add it: pip install 'modelseal[sigstore]'\n"
    )


def test_the_passphrase_of_a_key_opens_it(run: Run, tmp_path: Path, model: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    private = key()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"a secret"),
    )
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "pub.pem").write_bytes(public_pem(private))
    (tmp_path / "secret").write_text("a secret\n")
    sign_it = ("sign", "--format", "oms", "--model-dir", model, "--key", tmp_path / "key.pem")
    done = run(*sign_it, "--no-store", "--passphrase-file", tmp_path / "secret")
    assert done.code == 0, done
    verify = ("verify", "--manifest", model / "model.sig", "--model-dir", model)
    assert run(*verify, "--key", tmp_path / "pub.pem").code == 0
    assert private_pem(private) != pem
