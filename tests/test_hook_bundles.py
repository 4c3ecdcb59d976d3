"""The hook and bundles: a `model.sig` that is pushed is judged by its blobs, as a manifest is."""

import hashlib
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from modelseal import digests
from tests.conftest import Keys, Result
from tests.forging import certify, private_pem
from tests.repositories import SIGNER, Repo, lines, pointer, trust, update

MODEL = {
    "model/config.json": b"{}\n",
    "model/w.safetensors": bytes(range(256)) * 9,
    "model/.gitattributes": b"* -text\n",
}
FORMS = [[], ["--hash", "blake2b"], ["--hash", "blake3"], ["--shard-size", "1000"]]

Run = Callable[..., Result]
Hook = Callable[..., Result]
Sign = Callable[..., None]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ecdsa_keys: Keys) -> Repo:
    """A repository with a model in it, which is where we are, and whose owner trusts the key."""
    repo = Repo(tmp_path / "here")
    monkeypatch.chdir(repo.path)
    path = trust(tmp_path / "trust.json", ecdsa_keys)
    repo.git("config", "modelseal.hook.registry", path)
    repo.write(MODEL)
    return repo


@pytest.fixture
def hook(run: Run, monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Push one commit."""

    def call(new: str, old: str = "0" * 40) -> Result:
        said = BytesIO(lines(update(new, old)))
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(said))
        return run("hook", "run", "pre-push", "origin", "url")

    return call


@pytest.fixture
def sign(run: Run, ecdsa_keys: Keys) -> Sign:
    """Sign the model in the work tree as a bundle."""

    def call(*args: str) -> None:
        key = ("--key", ecdsa_keys.private)
        done = run("sign", "--format", "oms", "--no-store", "--model-dir", "model", *key, *args)
        assert done.code == 0, done.err

    return call


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_bundle_is_judged_by_blobs(repo: Repo, hook: Hook, sign: Sign, form: list[str]) -> None:
    sign(*form)
    good = repo.commit()
    assert hook(good) == (
        0,
        f"[OK] model (refs/heads/main {good[:12]}): model, 2 files, signed by {SIGNER}\n",
        "",
    )
    bad = repo.commit({"model/w.safetensors": bytes(range(255)) * 9 + bytes(9)})
    done = hook(bad, good)
    assert done.code == 2
    assert f"[FAIL] model (refs/heads/main {bad[:12]}): 1 altered\n" in done.out
    assert "  [FAIL] w.safetensors" in done.out
    assert "sign it and commit that: modelseal sign --format oms --model-dir model" in done.err
    repo.write(MODEL)
    done = hook(repo.commit({"model/new.py": b"import os"}), good)
    assert (done.code, "  [UNSIGNED] new.py\n" in done.out) == (2, True)
    (repo.path / "model/new.py").unlink()
    (repo.path / "model/config.json").unlink()
    done = hook(repo.commit(), good)
    assert (done.code, "  [FAIL] config.json (missing)\n" in done.out) == (2, True)


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_signed_file_that_is_pushed_empty_is_altered(
    repo: Repo, hook: Hook, sign: Sign, form: list[str]
) -> None:
    sign(*form)
    done = hook(repo.commit({"model/config.json": b""}))
    assert (done.code, "  [FAIL] config.json" in done.out) == (2, True)


def test_nobodys_bundle_is_refused(repo: Repo, hook: Hook, sign: Sign, keys: Keys) -> None:
    sign()
    repo.git("config", "modelseal.hook.registry", trust(repo.path.parent / "other.json", keys))
    done = hook(repo.commit())
    assert done.code == 2
    assert "the bundle is not signed with a key of a trusted publisher" in done.out
    assert "'modelseal trust add ID --key PATH --format oms' trusts one" in done.err


def test_a_bundle_that_is_none_is_an_error(repo: Repo, hook: Hook) -> None:
    done = hook(repo.commit({"model/model.sig": b'{"mediaType": "x", "dsseEnvelope": {}}'}))
    assert (done.code, "malformed bundle 'model/model.sig'" in done.out) == (1, True)
    done = hook(repo.commit({"model/model.sig": pointer("0" * 64, 5)}))
    assert (done.code, "'model/model.sig' is a git-lfs pointer" in done.out) == (1, True)


def test_a_manifest_and_a_bundle_both_hold(
    repo: Repo, hook: Hook, sign: Sign, ecdsa_keys: Keys
) -> None:
    (repo.path / "model/.gitattributes").unlink()  # the manifest would sign it
    sign()
    repo.seal(ecdsa_keys)
    done = hook(repo.commit())
    assert (done.code, done.out.count("[OK] model ")) == (0, 2)
    repo.write({"model/config.json": b"[]\n"})
    repo.seal(ecdsa_keys)
    done = hook(repo.commit())
    assert (done.code, done.out.count("[OK] model "), done.out.count("[FAIL] model ")) == (2, 1, 1)
    sign()
    assert hook(repo.commit()).code == 0


def test_a_certificate_is_left_to_the_receiver(
    repo: Repo, hook: Hook, run: Run, ecdsa_keys: Keys, tmp_path: Path
) -> None:
    (repo.path / "model/.gitattributes").unlink()
    signer = certify("Alice")
    (tmp_path / "cert.pem").write_bytes(signer.pem)
    (tmp_path / "key.pem").write_bytes(private_pem(signer.private))
    (tmp_path / "key.pem").chmod(0o600)
    words = ("--key", tmp_path / "key.pem", "--certificate", tmp_path / "cert.pem", "--no-store")
    assert run("sign", "--format", "oms", "--model-dir", "model", *words).code == 0
    done = hook(repo.commit())
    assert (done.code, "the bundle is signed with a certificate" in done.out) == (2, True)
    repo.seal(ecdsa_keys)
    done = hook(repo.commit())
    assert (done.code, done.out.count("[OK] model ")) == (0, 1)


def test_a_bundle_that_goes_while_files_stay(repo: Repo, hook: Hook, sign: Sign) -> None:
    sign()
    old = repo.commit()
    (repo.path / "model/model.sig").unlink()
    repo.git("update-ref", "refs/remotes/origin/main", old)
    done = hook(repo.commit(), old)
    assert done.code == 2
    said = "its bundle is removed, and signed files stay: 'config.json', 'w.safetensors'"
    assert said in done.out


@pytest.mark.parametrize(("form", "code"), [([], 0), (["--hash", "blake3"], 1)])
def test_a_pointer_has_a_sha256_alone(
    repo: Repo, hook: Hook, sign: Sign, form: list[str], code: int
) -> None:
    sign(*form)
    data = MODEL["model/w.safetensors"]
    repo.write({"model/w.safetensors": pointer(hashlib.sha256(data).hexdigest(), len(data))})
    done = hook(repo.commit())
    assert done.code == code
    assert ("git-lfs has it, and says its SHA-256 alone" in done.err) == bool(code)


def test_an_empty_file_is_no_stranger_to_shards(repo: Repo, hook: Hook, sign: Sign) -> None:
    repo.write({"model/empty": b""})
    sign("--shard-size", "1000")
    assert hook(repo.commit()).code == 0
    assert hook(repo.commit({"model/empty": b"x"})).code == 2


@pytest.mark.parametrize("shard_size", [0, 1, 7, 10, 11, 100])
@pytest.mark.parametrize("algorithm", ["sha256", "blake2b", "blake3"])
def test_a_stream_is_cut_as_a_file_is(tmp_path: Path, algorithm: str, shard_size: int) -> None:
    from modelseal import hashing

    data = bytes(range(50))
    (tmp_path / "f").write_bytes(data)
    (whole,) = hashing.hash_files(tmp_path, ["f"], algorithms=(algorithm,), shard_size=shard_size)
    assert isinstance(whole, hashing.FileDigest)
    stream = digests.Stream(algorithm, shard_size)
    for start in range(0, 50, 10):
        stream.update(data[start : start + 10])
    expected = whole.shards if shard_size else (whole.digest(algorithm),)
    assert stream.digests() == expected
    assert digests.Stream("sha256", 5).digests() == ()
