"""The reference implementation verifies what is signed here, and the other way round."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result, need
from tests.forging import authority, certify, private_pem, public_pem

Run = Callable[..., Result]
Theirs = Callable[..., int]

REFERENCE = Path(__file__).parent.parent / ".reference" / "bin"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Names that sort differently, in Unicode, nested, ignored, and left out by default."""
    root = tmp_path / "model"
    for path in ("config.json", "a/b", "a-b/c", "a/ü/日本.bin", "cache/x", ".git/HEAD", ".env"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path * 3)
    (root / ".gitignore").write_text("x")
    (root / "sub").mkdir()
    (root / "sub/.gitignore").write_text("signed")
    return root


@pytest.fixture
def material(tmp_path: Path) -> Path:
    """A key, its certificate, and those above it."""
    root = authority("root")
    issuer = authority("issuer", root)
    signer = certify("signer", issuer)
    for name, made in (("root", root), ("issuer", issuer), ("signer", signer)):
        (tmp_path / f"{name}.pem").write_bytes(made.pem)
    (tmp_path / "key.pem").write_bytes(private_pem(signer.private))
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "pub.pem").write_bytes(public_pem(signer.private))
    return tmp_path


@pytest.fixture
def theirs(tmp_path: Path) -> Theirs:
    """Run their command line, or a script with their library; return the exit code."""
    program = need(str(REFERENCE / "model_signing"))

    def call(*args: str | Path) -> int:
        words = [program, *map(str, args)]
        if args[0] == "-c":
            words[0] = str(REFERENCE / "python")
        home = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(words, capture_output=True, timeout=120, env=home, cwd=tmp_path)
        return done.returncode

    return call


SIGN = {
    "key": ["--private_key", "key.pem"],
    "certificate": [
        *["--private_key", "key.pem", "--signing_certificate", "signer.pem"],
        *["--certificate_chain", "issuer.pem"],
    ],
}
VERIFY = {
    "key": ["--public_key", "pub.pem"],
    "certificate": ["--certificate_chain", "root.pem"],
}
OURS = {
    "key": [],
    "certificate": ["--certificate", "signer.pem", "--certificate-chain", "issuer.pem"],
}
CHECK = {"key": ["--key", "pub.pem"], "certificate": ["--certificate-chain", "root.pem"]}


def placed(words: list[str], where: Path) -> list[str]:
    """The same with the files where they lie."""
    return [str(where / word) if word.endswith(".pem") else word for word in words]


@pytest.mark.parametrize("method", ["key", "certificate"])
def test_they_verify_ours(
    run: Run, theirs: Theirs, model: Path, material: Path, method: str
) -> None:
    bundle = material / "ours.sig"
    done = run(
        *("sign", "--format", "oms", "--model-dir", model, "--key", material / "key.pem"),
        *(*placed(OURS[method], material), "--ignore-path", "cache", "--output", bundle),
        "--no-store",
    )
    assert done.code == 0, done
    verify = ("verify", method, model, "--signature", bundle, *placed(VERIFY[method], material))
    assert theirs(*verify) == 0
    (model / "cache/y").write_text("ignored")
    assert theirs(*verify) == 0
    (model / "a-b/c").write_text("altered")
    assert theirs(*verify) != 0


def test_a_store_in_the_model_is_none_of_it_to_them(
    run: Run, theirs: Theirs, model: Path, material: Path
) -> None:
    sign = ("sign", "--format", "oms", "--model-dir", model, "--key", material / "key.pem")
    assert run(*sign).code == 0
    assert (model / ".modelseal" / "log").exists()
    bundle, public = model / "model.sig", material / "pub.pem"
    verify = ("verify", "key", model, "--signature", bundle, "--public_key", public)
    assert theirs(*verify) == 0
    assert run("status", model).code == 0  # which writes to the store
    assert theirs(*verify) == 0


@pytest.mark.parametrize("method", ["key", "certificate"])
def test_we_verify_theirs(
    run: Run, theirs: Theirs, model: Path, material: Path, method: str
) -> None:
    bundle = model / "model.sig"
    sign = ("sign", method, model, "--signature", bundle, "--ignore-paths", model / "cache")
    assert theirs(*sign, *placed(SIGN[method], material)) == 0
    check = ("verify", "--manifest", bundle, "--model-dir", model, *placed(CHECK[method], material))
    done = run(*check)
    assert done.code == 0, done
    assert "  [OK] a/ü/日本.bin\n" in done.out
    assert "  [IGNORED] cache\n" in done.out
    (model / "sub/.gitignore").write_text("altered")
    assert "  [FAIL] sub/.gitignore\n" in run(*check).out


API = """
import sys
from model_signing import hashing, signing, verifying
from model_signing._hashing import io, memory
from model_signing._serialization import file_shard
how, model, bundle, key = sys.argv[1:]
config = hashing.Config()

def specified(path, start, end):
    # By itself it calls the algorithm of a shard sha256-sharded-5, and knows no other name.
    kinds = {"shards": (memory.SHA256, "sha256"), "blake2-shards": (memory.BLAKE2, "blake2b")}
    kind, name = kinds[how]
    return io.ShardedFileHasher(
        path, kind(), start=start, end=end, shard_size=5, digest_name_override=name
    )

if how.endswith("shards"):
    algorithm = {"shards": "sha256", "blake2-shards": "blake2"}[how]
    config.use_shard_serialization(hashing_algorithm=algorithm, shard_size=5)
else:
    config.use_file_serialization(hashing_algorithm=how)
if key.endswith("key.pem"):
    signer = signing.Config().use_elliptic_key_signer(private_key=key)
    signer.set_hashing_config(config).sign(model, bundle)
else:
    if how.endswith("shards"):
        config._serializer = file_shard.Serializer(specified)
    config.add_ignored_paths(model_path=model, paths=[".gitignore", ".git"])
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    verifier.set_hashing_config(config).verify(model, bundle)
"""

KINDS = {
    "shards": ["--shard-size", "5"],
    "blake2-shards": ["--shard-size", "5", "--hash", "blake2b"],
    "blake2": ["--hash", "blake2b"],
    "blake3": ["--hash", "blake3"],
}


@pytest.mark.parametrize("how", KINDS)
def test_shards_and_other_hashes(
    run: Run, theirs: Theirs, model: Path, material: Path, how: str
) -> None:
    bundle = material / "b.sig"
    assert theirs("-c", API, how, model, bundle, material / "key.pem") == 0
    check = ("verify", "--manifest", bundle, "--model-dir", model, "--key", material / "pub.pem")
    done = run(*check)
    assert done.code == 0, done
    assert "  [OK] config.json\n" in done.out
    assert run("verify", "--manifest", bundle, "--key", material / "pub.pem").code == 0
    ours = material / "ours.sig"
    sign = ("sign", "--format", "oms", "--no-store", "--model-dir", model, "--output", ours)
    assert run(*sign, "--key", material / "key.pem", *KINDS[how]).code == 0
    assert theirs("-c", API, how, model, ours, material / "pub.pem") == 0
    # Resource for resource they say the same, but for what they call the algorithm.
    said = [{each["name"]: each["digest"] for each in resources(path)} for path in (bundle, ours)]
    assert said[0] == said[1]
    (model / "a/b").write_text("altered")
    assert run(*check).code == 2
    assert theirs("-c", API, how, model, ours, material / "pub.pem") != 0


def resources(path: Path) -> list[dict[str, str]]:
    """What a bundle names."""
    payload = base64.b64decode(json.loads(path.read_bytes())["dsseEnvelope"]["payload"])
    found: list[dict[str, str]] = json.loads(payload)["predicate"]["resources"]
    return found


def test_a_model_that_is_one_file(run: Run, theirs: Theirs, model: Path, material: Path) -> None:
    bundle, file = material / "b.sig", model / "config.json"
    assert theirs("sign", "key", file, "--signature", bundle, *placed(SIGN["key"], material)) == 0
    check = ("verify", "--manifest", bundle, "--model-dir", file, "--key", material / "pub.pem")
    assert run(*check).code == 0
    assert [each["name"] for each in resources(bundle)] == ["."]
    file.write_text("altered")
    assert "  [FAIL] config.json\n" in run(*check).out
