"""Bundles of every generation of the reference implementation verify, and only as they are."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import VECTORS, Result

OMS = VECTORS / "oms"
BUNDLES = sorted(path.stem for path in (OMS / "bundles").iterdir())
FILES = ("signme-1", "signme-2", "sub/ü.bin")


@pytest.fixture
def check(run: Callable[..., Result], tmp_path: Path) -> Callable[..., Result]:
    """Verify a bundle with what it was made for, against a copy of its model."""
    shutil.copytree(OMS / "model", tmp_path / "model")

    def call(stem: str, *args: str) -> Result:
        kind = stem.split("-")[1]
        key = f"{kind if kind in ('p384', 'p521') else 'p256'}.pem"
        if kind == "certificate":
            trust = ("--certificate-chain", str(OMS / "root.pem"))
        else:
            trust = ("--key", str(OMS / key))
        model = tmp_path / "model"
        if stem.endswith("alone"):
            model /= "signme-1"
        return run(
            *("verify", "--manifest", OMS / "bundles" / f"{stem}.sig", "--model-dir", model),
            *(*trust, "--ignore-path", "ignore-me", *args),
        )

    return call


def test_every_generation_is_here() -> None:
    generations = {stem.split("-")[0] for stem in BUNDLES}
    assert generations == {"0.2.0", "0.3.1", "1.0.1", "1.1.1"}
    for generation in generations:
        kinds = {stem.split("-", 1)[1] for stem in BUNDLES if stem.startswith(generation)}
        assert {"p384", "certificate"} <= kinds
        assert any(kind.endswith("alone") for kind in kinds)


@pytest.mark.parametrize("stem", BUNDLES)
def test_a_bundle_verifies(check: Callable[..., Result], stem: str) -> None:
    done = check(stem)
    assert done.code == 0, done
    assert done.out.startswith("Signature: VALID\n")
    signed = FILES[:1] if stem.endswith("alone") else FILES
    for path in signed:
        assert f"  [OK] {path}\n" in done.out
    assert done.out.endswith("All files verified successfully.\n")
    assert ("Signer   : CN=issuer\n" in done.out) == ("certificate" in stem)


@pytest.mark.parametrize("stem", BUNDLES)
def test_a_changed_byte_is_seen(check: Callable[..., Result], tmp_path: Path, stem: str) -> None:
    (tmp_path / "model/signme-1").write_bytes(b"First\n")
    done = check(stem)
    assert done.code == 2
    assert "  [FAIL] signme-1\n         expected " in done.out


@pytest.mark.parametrize("stem", [stem for stem in BUNDLES if not stem.endswith("alone")])
def test_a_file_beside_them_is_seen(
    check: Callable[..., Result], tmp_path: Path, stem: str
) -> None:
    (tmp_path / "model/sub/modeling_x.py").write_text("import os\n")
    done = check(stem)
    assert (done.code, "  [UNSIGNED] sub/modeling_x.py\n" in done.out) == (2, True)
    assert check(stem, "--ignore-unsigned-files").code == 0


@pytest.mark.parametrize("stem", BUNDLES)
def test_another_key_or_root_is_refused(
    run: Callable[..., Result], tmp_path: Path, stem: str
) -> None:
    bundle = OMS / "bundles" / f"{stem}.sig"
    if "certificate" in stem:
        from tests.forging import authority

        (tmp_path / "other.pem").write_bytes(authority("root").pem)
        done = run("verify", "--manifest", bundle, "--certificate-chain", tmp_path / "other.pem")
        assert "INVALID — the certificate 'CN=issuer' does not lead to a trusted root" in done.out
    else:
        other = OMS / ("p384.pem" if "p384" not in stem else "p256.pem")
        done = run("verify", "--manifest", bundle, "--key", other)
        assert "Signature: INVALID — the " in done.out
    assert done.code == 2


GO = sorted(
    path.relative_to(OMS / "go")
    for path in OMS.glob("go/*/*.sig")
    if path.stem != "certificate"  # below
)


def trust_in(bundle: Path) -> tuple[str, Path]:
    """The options that name the key or the root of a bundle in Go's form."""
    if bundle.stem == "chain":
        return "--certificate-chain", bundle.with_name("root.pem")
    return "--key", bundle.with_name("p384.pem" if bundle.stem == "p384" else "p256.pem")


@pytest.mark.parametrize("name", GO, ids=str)
def test_what_go_writes_verifies(run: Callable[..., Result], tmp_path: Path, name: Path) -> None:
    bundle, model = OMS / "go" / name, tmp_path / "model"
    shutil.copytree(OMS / "model", model)
    (model / "ignore-me").unlink()
    check = ("verify", "--manifest", bundle, "--model-dir", model, *trust_in(bundle))
    done = run(*check)
    assert done.code == 0, done
    assert "".join(f"  [OK] {path}\n" for path in FILES) in done.out
    assert ("  Signer   : CN=go signer\n" in done.out) == ("--certificate-chain" in check)
    (model / "ignore-me").write_bytes(b"x")
    # Left out as `ignore-me` or as `model/ignore-me`, which is a path of the signer's directory.
    word = "IGNORED" if bundle.stem == "shards" else "UNSIGNED"
    assert f"  [{word}] ignore-me\n" in run(*check).out
    (model / "signme-1").write_bytes(b"First\n")
    assert "  [FAIL] signme-1\n" in run(*check).out


@pytest.mark.parametrize("name", GO, ids=str)
def test_what_go_writes_is_refused_by_another_root_or_key(
    run: Callable[..., Result], name: Path
) -> None:
    bundle = OMS / "go" / name
    option, _ = trust_in(bundle)
    other = OMS / ("root.pem" if option == "--certificate-chain" else "p256.pem")
    done = run("verify", "--manifest", bundle, option, other)
    assert (done.code, done.out.startswith("Signature: INVALID — the ")) == (2, True)
    identity = ("--identity", "a@b.example", "--identity-provider", "https://b.example")
    done = run("verify", "--manifest", bundle, *identity)
    assert (done.code, "INVALID — the bundle is signed with a " in done.out) == (2, True)


def test_go_writes_with_blanks_and_without() -> None:
    for style, blank in (("spaced", b", "), ("dense", b",")):
        assert {path.name for path in GO if path.parent.name == style} == {
            f"{kind}.sig" for kind in ("p256", "p384", "shards", "chain")
        }
        for path in OMS.glob(f"go/{style}/*.sig"):
            assert (b'",' + blank[1:] + b'"verificationMaterial"') in path.read_bytes()


@pytest.mark.parametrize("style", ["spaced", "dense"])
def test_a_certificate_without_a_chain_or_a_log_is_of_no_method(
    run: Callable[..., Result], style: str
) -> None:
    bundle = OMS / "go" / style / "certificate.sig"
    root = ("--certificate-chain", bundle.with_name("root.pem"))
    done = run("verify", "--manifest", bundle, *root)
    assert (done.code, done.out) == (1, "")
    assert "tlogEntries: a keyless bundle needs at least one, and there is none" in done.err
