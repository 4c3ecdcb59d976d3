"""Attacks on keys, signatures and trust, as command lines with their exact outcome."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import utils

from modelseal import KeyManager, PublisherRegistry, SignatureAlgorithm, TrustedPublisher, keys
from tests.conftest import Keys, Result, Shell, need
from tests.test_keyfiles import umask, unprivileged
from tests.test_keys import HINT, SMALL, UNUSABLE, ed25519_pem, make

Run = Callable[..., Result]

ALICE, BOB = "alice@example.com", "bob@example.com"
NO_FIT = "the signature does not fit the manifest"
NO_HEX = "the signature is not lowercase hexadecimal"
NO_TERMINAL = (
    "error: no terminal to ask for a passphrase at\n"
    "hint: give it with '--passphrase-file FILE' or in MODELSEAL_PASSPHRASE\n"
)


def embedded(public: Path) -> str:
    """A public key file as manifests and registries hold it."""
    return base64.b64encode(public.read_bytes()).decode()


def print_of(public: Path) -> str:
    """A public key file's fingerprint."""
    return keys.fingerprint(keys.load_public(public.read_bytes()))


def forge(manifest: Path, **fields: Any) -> None:
    """Change fields of the signature in a signed manifest, keeping all else."""
    document = json.loads(manifest.read_text())
    document["signature"].update(fields)
    manifest.write_text(json.dumps(document))


def signature_of(manifest: Path) -> str:
    """The signature in a signed manifest, in hexadecimal."""
    text: str = json.loads(manifest.read_text())["signature"]["signature_hex"]
    return text


def publisher(name: str, key: str) -> dict[str, str]:
    """A registry's entry."""
    return {
        "publisher_id": name,
        "name": "",
        "public_key": key,
        "trusted_since": "2024-01-01T00:00:00Z",
    }


def refused(
    run: Run,
    manifest: Path,
    why: str,
    *,
    reason: str = "signature-invalid",
    key: Path | None = None,
    registry: Path | None = None,
) -> None:
    """Check that `verify` says no for this reason, to people and to scripts, model or not."""
    trust: list[str | Path] = ["--key", key] if key else []
    word = "" if reason == "signature-invalid" else f" ({reason})"
    if registry:
        trust += ["--registry", registry]
    for rest in ([], ["--model-dir", manifest.parent], ["--quiet"]):
        done = run("verify", "--manifest", manifest, *trust, *rest)
        assert done == Result(2, f"Signature: INVALID — {why}{word}\n", "")
    done = run("verify", "--manifest", manifest, *trust, "--json")
    report = json.loads(done.out)
    assert (done.code, done.err) == (2, "")
    assert (report["valid"], report["trusted"], report["checked"]) == (False, False, 0)
    assert (report["reason"], report["message"]) == (reason, why)


def failed(done: Result, message: str, hint: str = "") -> None:
    """Check that a command ended with this error and nothing else."""
    assert done == Result(1, "", f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))


@pytest.fixture
def mallory(tmp_path: Path) -> Keys:
    """The attacker's pair."""
    manager = KeyManager()
    directory = tmp_path / "mallory"
    manager.save_keypair(*manager.generate_keypair(SignatureAlgorithm.ed25519), directory)
    return Keys(directory / "private.pem", directory / "public.pem")


@pytest.fixture
def registry(tmp_path: Path, keys: Keys, mallory: Keys) -> Path:
    """A registry of alice, with the keys of `keys`, and bob, who is the attacker."""
    path = tmp_path / "trust.json"
    path.write_text(
        json.dumps(
            [publisher(ALICE, embedded(keys.public)), publisher(BOB, embedded(mallory.public))]
        )
    )
    return path


def test_what_the_rows_start_from(run: Run, signed: Path, keys: Keys, registry: Path) -> None:
    for trust in (["--key", keys.public], ["--registry", registry]):
        done = run("verify", "--manifest", signed, *trust, "--model-dir", signed.parent)
        assert done.code == 0
        assert done.err == ""
        assert "Signature: VALID\n" in done.out
        assert "All files verified successfully.\n" in done.out
    both = run("verify", "--manifest", signed, "--key", keys.public, "--registry", registry)
    assert both.code == 0
    assert f"  Signer   : {ALICE}\n" in both.out


def test_row_18_wrong_key(
    run: Run, signed: Path, keys: Keys, mallory: Keys, ecdsa_keys: Keys
) -> None:
    why = f"signed by another key, {print_of(keys.public)}"
    refused(run, signed, why, key=mallory.public)
    why = "the manifest says ed25519, the key is ecdsa_p256"
    refused(run, signed, why, key=ecdsa_keys.public)


def test_row_18_embedded_key_replaced(
    run: Run, signed: Path, keys: Keys, mallory: Keys, registry: Path
) -> None:
    forge(signed, public_key=embedded(mallory.public))
    why = f"signed by another key, {print_of(mallory.public)}"
    refused(run, signed, why, key=keys.public)
    refused(run, signed, why, registry=registry)
    refused(run, signed, NO_FIT, key=mallory.public)


def test_row_18_signed_again_by_the_attacker(
    run: Run, signed: Path, keys: Keys, mallory: Keys, registry: Path
) -> None:
    (signed.parent / "modeling_x.py").write_text("import os")
    done = run(
        *("sign", "--model-dir", signed.parent, "--key", mallory.private, "--signer-id", ALICE)
    )
    assert done.code == 0
    why = f"signed by another key, {print_of(mallory.public)}"
    refused(run, signed, why, key=keys.public)
    refused(run, signed, why, registry=registry)
    refused(run, signed, why, key=mallory.public, registry=registry)
    # With the key alone the name is but a claim, and is called so.
    alone = run("verify", "--manifest", signed, "--key", mallory.public)
    assert alone.code == 0
    assert f"  Signer   : {ALICE} (claimed)\n" in alone.out


def test_row_18_signer_replaced_by_a_trusted_name(
    run: Run, signed: Path, keys: Keys, registry: Path
) -> None:
    forge(signed, signer_id=BOB)
    refused(run, signed, f"signed by another key, {print_of(keys.public)}", registry=registry)
    forge(signed, signer_id="carol")
    unknown = "'carol' is not a trusted publisher"
    refused(run, signed, unknown, reason="signer-untrusted", registry=registry)
    refused(run, signed, unknown, reason="signer-untrusted", key=keys.public, registry=registry)
    for name in ("", ALICE.upper(), f"{ALICE} ", f"{ALICE}\0", "alice@example.c\u043em"):
        forge(signed, signer_id=name)
        done = run("verify", "--manifest", signed, "--registry", registry, "--json")
        assert (done.code, json.loads(done.out)["reason"]) == (2, "signer-untrusted")


@pytest.mark.parametrize("ours", ["ed25519", "ecdsa_p256"])
def test_row_19_the_other_algorithm(
    ours: str, run: Run, model: Path, keys: Keys, ecdsa_keys: Keys
) -> None:
    pairs = {"ed25519": keys, "ecdsa_p256": ecdsa_keys}
    other = next(name for name in pairs if name != ours)
    manifest = model / "signed_manifest.json"
    run("sign", "--model-dir", model, "--key", pairs[ours].private, "--signer-id", ALICE)
    forge(manifest, algorithm=other)
    why = f"the manifest says {other}, the key is {ours}"
    refused(run, manifest, why, key=pairs[ours].public)
    why = f"signed by another key, {print_of(pairs[ours].public)}"
    refused(run, manifest, why, key=pairs[other].public)
    for wrong in ("rsa", "", "ED25519"):
        forge(manifest, algorithm=wrong)
        done = run("verify", "--manifest", manifest, "--key", pairs[ours].public)
        said = f"malformed manifest '{manifest}': signature.algorithm: invalid enum value '{wrong}'"
        failed(done, said)


@pytest.mark.parametrize("name", [*UNUSABLE, "certificate", "openssh certificate"])
def test_row_19_keys_of_another_kind(
    name: str, run: Run, signed: Path, keys: Keys, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    private, public = folder / "K", folder / "K.pub"
    hint = HINT
    if "certificate" in name:
        hint, what = "", "this is a certificate"
        private_said, public_said = f"{what}, not a private key", f"{what}, not a public key"
        make("ssh-keygen -q -t ed25519 -N '' -f K", folder)
        if name == "certificate":
            make("openssl genpkey -algorithm ed25519 -out key", folder)
            make("openssl req -x509 -new -key key -subj /CN=x -out K.pub", folder)
        else:
            make("ssh-keygen -q -s K -I me -n me K.pub", folder)
            public = folder / "K-cert.pub"
        private = public
    else:
        called, commands = UNUSABLE[name]
        make(commands, folder)
        if not public.exists():
            make("openssl pkey -in K -pubout -out K.pub", folder)
        private_said = f"{called} private key can't be used"
        public_said = f"{called} public key can't be used"
    before = signed.read_bytes()
    done = run("sign", "--model-dir", signed.parent, "--key", private, "--signer-id", ALICE)
    failed(done, f"'{private}': {private_said}", hint)
    assert signed.read_bytes() == before
    done = run("verify", "--manifest", signed, "--key", public)
    failed(done, f"'{public}': {public_said}", hint)
    forge(signed, public_key=embedded(public))
    why = f"the embedded public key is unusable: {public_said}"
    refused(run, signed, why, key=keys.public)


def test_row_19_the_other_half_of_a_pair(run: Run, signed: Path, keys: Keys) -> None:
    done = run("verify", "--manifest", signed, "--key", keys.private)
    failed(done, f"'{keys.private}': this is a private key, not a public key")
    done = run("sign", "--model-dir", signed.parent, "--key", keys.public, "--signer-id", ALICE)
    failed(done, f"'{keys.public}': this is a public key, not a private key")


def _bad_hex(text: str, other: str) -> dict[str, tuple[str, str]]:
    """How a signature can be damaged: what it becomes, and why it is refused."""
    return {
        "empty": ("", NO_HEX),
        "odd": (text[:-1], NO_HEX),
        "blanks": (" ".join(text[i : i + 2] for i in range(0, len(text), 2)), NO_HEX),
        "newline": (text + "\n", NO_HEX),
        "upper case": (text.upper(), NO_HEX),
        "no hex": ("xy" * 64, NO_HEX),
        "cut": (text[:-2], NO_FIT),
        "extended": (text + "00", NO_FIT),
        "zeros": ("0" * len(text), NO_FIT),
        "of another manifest": (other, NO_FIT),
    }


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa_p256"])
def test_row_20_damaged_signatures(
    algorithm: str, run: Run, model: Path, keys: Keys, ecdsa_keys: Keys
) -> None:
    pair = {"ed25519": keys, "ecdsa_p256": ecdsa_keys}[algorithm]
    manifest = model / "signed_manifest.json"
    sign = ("sign", "--model-dir", model, "--key", pair.private, "--signer-id", ALICE)
    assert run(*sign, "--author", "another").code == 0
    other = signature_of(manifest)
    assert run(*sign).code == 0
    for text, why in _bad_hex(signature_of(manifest), other).values():
        forge(manifest, signature_hex=text)
        refused(run, manifest, why, key=pair.public)


@pytest.mark.parametrize(("text", "why"), [("ab", NO_FIT), ("  ", NO_HEX), ("aB", NO_HEX)])
def test_row_20_ten_megabytes_of_hex(text: str, why: str, signed: Path, keys: Keys) -> None:
    """Refused within a few times the document's size."""
    forge(signed, signature_hex=text * 5_000_000)
    prlimit = (need("prlimit"), "--as=400000000", sys.executable, "-m", "modelseal")
    done = subprocess.run(
        [*prlimit, "verify", "--manifest", signed, "--key", keys.public],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == f"Signature: INVALID — {why}\n"


def test_row_20_ecdsa_written_otherwise(run: Run, model: Path, ecdsa_keys: Keys) -> None:
    manifest = model / "signed_manifest.json"
    run("sign", "--model-dir", model, "--key", ecdsa_keys.private, "--signer-id", ALICE)
    good = bytes.fromhex(signature_of(manifest))
    r, s = utils.decode_dss_signature(good)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    forms = {
        "raw": r.to_bytes(32) + s.to_bytes(32),
        "long-form length": b"\x30\x81" + good[1:],
        "trailing byte": good + b"\0",
        "trailing byte inside": bytes([0x30, good[1] + 1]) + good[2:] + b"\0",
        "r zero": utils.encode_dss_signature(0, s),
        "s zero": utils.encode_dss_signature(r, 0),
        "both zero": utils.encode_dss_signature(0, 0),
        "r too large": utils.encode_dss_signature(r + order, s),
        "s too large": utils.encode_dss_signature(r, s + order),
        "s the order": utils.encode_dss_signature(r, order),
    }
    for form in forms.values():
        forge(manifest, signature_hex=form.hex())
        refused(run, manifest, NO_FIT, key=ecdsa_keys.public)
    forge(manifest, signature_hex=good.hex())
    assert run("verify", "--manifest", manifest, "--key", ecdsa_keys.public).code == 0


def test_row_21_a_key_that_verifies_everything(run: Run, signed: Path, tmp_path: Path) -> None:
    """The neutral point as key: `0100… ‖ 0` would be its signature of any message."""
    one = b"\x01" + bytes(31)
    public = tmp_path / "low.pem"
    public.write_bytes(ed25519_pem(one))
    forge(signed, public_key=embedded(public), signature_hex=(one + bytes(32)).hex())
    failed(run("verify", "--manifest", signed, "--key", public), f"'{public}': {SMALL}")

    trusting = tmp_path / "trusting.json"
    adding = PublisherRegistry(trusting)
    with pytest.raises(ValueError, match="small order"):
        adding.add_publisher(
            TrustedPublisher(
                publisher_id=ALICE,
                name="Alice",
                public_key=embedded(public),
                trusted_since=datetime(2024, 1, 1, tzinfo=UTC),
            )
        )
    assert not trusting.exists()
    trusting.write_text(json.dumps([publisher(ALICE, embedded(public))]))
    refused(run, signed, f"the registry's key of '{ALICE}': {SMALL}", registry=trusting)


@pytest.mark.parametrize("value", [2**255 - 19, 2**255 - 18, 2**255 - 1])
def test_row_21_keys_not_in_canonical_form(
    value: int, run: Run, signed: Path, tmp_path: Path
) -> None:
    public = tmp_path / "odd.pem"
    public.write_bytes(ed25519_pem(value.to_bytes(32, "little")))
    done = run("verify", "--manifest", signed, "--key", public)
    failed(done, f"'{public}': the Ed25519 public key is not in canonical form")


def detached(*args: str | Path, env: Mapping[str, str] | None = None) -> Result:
    """Run modelseal with no terminal to ask at, not even a controlling one."""
    done = subprocess.run(
        [sys.executable, "-m", "modelseal", *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        timeout=30,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("form", ["pkcs8", "openssh"])
def test_row_22_encrypted_key(form: str, model: Path, tmp_path: Path) -> None:
    key = tmp_path / "K"
    commands = {
        "pkcs8": "openssl genpkey -algorithm ed25519 -aes-256-cbc -pass pass:secret -out K",
        "openssh": "ssh-keygen -q -t ed25519 -N secret -a 1 -f K",
    }
    make(commands[form], tmp_path)
    sign = ("sign", "--model-dir", model, "--key", key, "--signer-id", ALICE)
    assert detached(*sign) == Result(1, "", NO_TERMINAL)
    done = detached(*sign, env={"MODELSEAL_PASSPHRASE": "sesame"})
    failed(done, f"'{key}': wrong passphrase, or a damaged private key")
    assert not (model / "signed_manifest.json").exists()
    assert detached(*sign, env={"MODELSEAL_PASSPHRASE": "secret"}).code == 0


def test_row_22_nobody_to_ask_for_a_new_passphrase(tmp_path: Path) -> None:
    done = detached("keygen", "--output", tmp_path / "made", "--passphrase")
    assert done == Result(1, "", NO_TERMINAL)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("missing", ["private", "public", ""])
def test_row_23_keys_exist(missing: str, run: Run, keys: Keys) -> None:
    before = {path: (path.read_bytes(), path.stat()) for path in keys}
    if missing:
        path: Path = getattr(keys, missing)
        path.unlink()
        del before[path]
    done = run("keygen", "--output", keys.private.parent)
    failed(
        done,
        f"'{next(iter(before))}' already exists",
        "keys are never overwritten: name another directory, or move it away",
    )
    assert {path: (path.read_bytes(), path.stat()) for path in before} == before
    assert len(os.listdir(keys.private.parent)) == len(before)


def test_row_23_nowhere_to_write(run: Run, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    command = [sys.executable, "-m", "modelseal", "keygen", "--output", str(closed)]
    ended = subprocess.run(unprivileged(command), capture_output=True, text=True, timeout=60)
    said = f"error: cannot write '{closed / 'private.pem'}': permission denied\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", said)
    assert os.listdir(closed) == []

    file = tmp_path / "file"
    file.write_text("mine")
    done = run("keygen", "--output", file)
    failed(done, f"cannot make directory '{file}': file exists")
    done = run("keygen", "--output", file / "keys")
    failed(done, f"cannot make directory '{file / 'keys'}': not a directory")
    assert file.read_text() == "mine"


def test_row_23_missing_directory_is_made(run: Run, tmp_path: Path) -> None:
    with umask(0):
        done = run("keygen", "--output", tmp_path / "a" / "b")
    assert done.code == 0
    assert (tmp_path / "a" / "b" / "private.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("when", ["fsync:1", "fsync:2", "fsync:3", "fsync:4", "link:1", "link:2"])
def test_row_23_interrupted(when: str, tmp_path: Path) -> None:
    call, _, count = when.partition(":")
    trap = f"{'?link,linkat' if call == 'link' else call}:signal=SIGINT:when={count}"
    directory = tmp_path / "keys"
    done = subprocess.run(
        [
            *(need("strace"), "-qq", "-o", tmp_path / "trace", "-e", f"inject={trap}"),
            *(sys.executable, "-m", "modelseal", "keygen", "--output", directory),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    left = sorted(os.listdir(directory))
    assert left in ([], ["private.pem", "public.pem"])


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o604, 0o660])
def test_row_24_key_that_others_may_read(bits: int, run: Run, model: Path, keys: Keys) -> None:
    sign = ("sign", "--model-dir", model, "--key", keys.private, "--signer-id", ALICE)
    keys.private.chmod(bits)
    done = run(*sign)
    said = f"private key '{keys.private}' can be read by others: chmod 600 '{keys.private}'"
    assert (done.code, done.err) == (0, f"warning: {said}\n")
    assert (
        run("verify", "--manifest", model / "signed_manifest.json", "--key", keys.public).code == 0
    )
    for fine in (0o600, 0o400):
        keys.private.chmod(fine)
        assert (run(*sign).code, run(*sign).err) == (0, "")


def test_row_25_unknown_and_removed_publishers(
    run: Run, signed: Path, keys: Keys, registry: Path
) -> None:
    PublisherRegistry(registry).remove_publisher(ALICE)
    why = f"'{ALICE}' is not a trusted publisher"
    refused(run, signed, why, reason="signer-untrusted", registry=registry)
    refused(run, signed, why, reason="signer-untrusted", key=keys.public, registry=registry)
    PublisherRegistry(registry).remove_publisher(BOB)
    done = run("verify", "--manifest", signed, "--registry", registry)
    failed(done, f"registry '{registry}' names no publisher")


def _damaged(good: str) -> dict[str, tuple[bytes, str]]:
    """A registry's text damaged: what it becomes, and what is wrong with it."""
    entries = json.loads(good)
    newer = [{**entries[0], "colour": "red"}]
    short = [{key: value for key, value in entries[0].items() if key != "public_key"}]
    repeated = good.replace('"name": "",', '"name": "", "name": "x",', 1)
    typed = [{**entries[0], "name": 7}]
    twice = [entries[0], {**entries[1], "publisher_id": ALICE}]
    return {
        "two with one id": (json.dumps(twice).encode(), "a publisher is listed twice"),
        "half-written": (good[: len(good) // 2].encode(), "the JSON ends too early"),
        "empty": (b"", "the JSON ends too early"),
        "blank": (b" \n", "the JSON ends too early"),
        "an object": (b"{}", "expected 'array', got 'object'"),
        "null": (b"null", "expected 'array', got 'null'"),
        "a text": (b'"x"', "expected 'array', got 'str'"),
        "texts": (b'["x"]', "[0]: expected 'object', got 'str'"),
        "unknown field": (
            json.dumps(newer).encode(),
            "[0]: object contains unknown field 'colour'",
        ),
        "missing field": (
            json.dumps(short).encode(),
            "[0]: object missing required field 'public_key'",
        ),
        "another type": (json.dumps(typed).encode(), "[0].name: expected 'str', got 'int'"),
        "a repeated key": (repeated.encode(), "key 'name' is repeated"),
        "zeros": (bytes(100), "invalid character"),
        "two lists": (good.encode() * 2, "trailing characters"),
    }


DAMAGES = list(_damaged(json.dumps([publisher("a", ""), publisher("b", "")])))


@pytest.mark.parametrize("damage", DAMAGES)
def test_row_25_damaged_registry(
    damage: str, run: Run, signed: Path, keys: Keys, registry: Path
) -> None:
    data, what = _damaged(registry.read_text())[damage]
    registry.write_bytes(data)
    for trust in (["--registry", registry], ["--key", keys.public, "--registry", registry]):
        done = run("verify", "--manifest", signed, *trust, "--model-dir", signed.parent)
        # Where in the text it is, msgspec counts as it likes.
        done = done._replace(err=re.sub(r" \(byte \d+\)", "", done.err))
        newer = "a newer modelseal may have written it: use that one"
        failed(done, f"registry '{registry}': {what}", newer if damage == "unknown field" else "")
        done = run("verify", "--manifest", signed, *trust, "--json")
        answer = json.loads(done.out)
        assert (done.code, done.err, answer["valid"]) == (1, "", False)
        assert answer["reason"] == "malformed"
    with pytest.raises(ValueError, match="registry"):
        PublisherRegistry(registry)
    assert registry.read_bytes() == data
    assert not [name for name in os.listdir(registry.parent) if name.endswith(".tmp")]


def test_row_25_registry_of_nobody(run: Run, signed: Path, registry: Path) -> None:
    registry.write_text("[]")
    done = run("verify", "--manifest", signed, "--registry", registry)
    failed(done, f"registry '{registry}' names no publisher")
    for path, said in (
        (registry.parent, f"cannot read '{registry.parent}': it is a directory"),
        (Path(os.devnull), f"cannot read '{os.devnull}': it is not a regular file"),
    ):
        failed(run("verify", "--manifest", signed, "--registry", path), said)
    registry.unlink()
    assert run("verify", "--manifest", signed, "--registry", registry).code == 1
    assert not registry.exists()


def test_row_25_registry_by_process(shell: Shell, signed: Path, registry: Path) -> None:
    """One row through the real process: what it prints, it prints with its exit code."""
    done = shell("verify", "--manifest", signed, "--registry", registry)
    assert (done.code, done.err) == (0, "")
    registry.write_bytes(registry.read_bytes()[:-10])
    done = shell("verify", "--manifest", signed, "--registry", registry)
    failed(done, f"registry '{registry}': the JSON ends too early")
