"""Attacks on trust, rows 18 to 32, as command lines with their exact outcome."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelseal import KeyManager, PublisherRegistry, SignatureAlgorithm, fileio, keys
from modelseal.errors import StoreLockedError
from tests.conftest import Keys, Result, Shell
from tests.test_keys import HINT, SMALL, UNUSABLE, ed25519_pem, make
from tests.test_store_durability import failing, killed_at, steps
from tests.test_threats_keys import ALICE, BOB, embedded, failed, forge, print_of
from tests.test_trust import ALSO_GOOD, publisher

Run = Callable[..., Result]
BUT_FOR_NAMING = "if it is yours, name its store with '--store DIR'"


@pytest.fixture
def home() -> Path:
    """Where the user's registry is; it does not exist yet."""
    return Path(os.environ["HOME"], ".config", "modelseal", "trust.json")


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[str], Keys]:
    """Makes further key pairs."""

    def made(name: str) -> Keys:
        manager = KeyManager()
        directory = tmp_path / name
        manager.save_keypair(*manager.generate_keypair(SignatureAlgorithm.ed25519), directory)
        return Keys(directory / "private.pem", directory / "public.pem")

    return made


@pytest.fixture
def trusted(run: Run, keys: Keys) -> None:
    """Alice is trusted by the user."""
    assert run("trust", "add", ALICE, "--key", keys.public, "--name", "Alice").code == 0


def answer(run: Run, manifest: Path, *more: str | Path) -> tuple[int, str | None, str]:
    """Exit code, reason and message of a check that must look at no file."""
    done = run("verify", "--manifest", manifest, "--json", *more)
    said = json.loads(done.out)
    assert (said["valid"], done.err) == (done.code == 0, "")
    assert said["valid"] or said["checked"] == 0
    return done.code, said["reason"], said.get("message", "")


def edit(path: Path, **fields: Any) -> None:
    """Change fields of the first publisher in a registry, past all checks."""
    listed = json.loads(path.read_text())
    listed[0].update(fields)
    path.write_text(json.dumps(listed))


def deliver(model: Path) -> None:
    """Have a model's store be one that somebody else made, and who would have it ours."""
    (model / ".modelseal" / "owner").write_text("0" * 32 + "\n")


def test_what_the_rows_start_from(run: Run, signed: Path, trusted: None, home: Path) -> None:
    done = run("verify", "--manifest", signed, "--model-dir", signed.parent)
    assert (done.code, done.err) == (0, "")
    assert f"  Signer   : {ALICE}\n" in done.out
    assert f"  Trusted  : by '{home}' (Alice)\n" in done.out
    assert home.stat().st_mode & 0o777 == 0o644
    assert home.parent.stat().st_mode & 0o777 == 0o700


def test_nobody_is_trusted_by_default(run: Run, signed: Path, home: Path) -> None:
    done = run("verify", "--manifest", signed, "--model-dir", signed.parent)
    assert done.code == 2
    said = f"'{ALICE}' is not a trusted publisher (signer-untrusted)"
    assert done.out == f"Signature: INVALID — {said}\n"
    assert done.err.startswith("hint: 'modelseal trust add ID --key PATH' trusts a publisher")
    assert not home.parent.exists()


# Row 18: the wrong key, the embedded key, a trusted name


def test_row_18_wrong_key_and_trusted_name(
    run: Run, signed: Path, trusted: None, pair: Callable[[str], Keys], keys: Keys
) -> None:
    mallory = pair("mallory")
    before = signed.read_text()
    sign = ["sign", "--model-dir", signed.parent, "--key", mallory.private, "--signer-id", ALICE]
    assert run(*sign).code == 0
    other = f"signed by another key, {print_of(mallory.public)}"
    assert answer(run, signed) == (2, "signature-invalid", other)
    forge(signed, public_key=embedded(keys.public))
    no_fit = "the signature does not fit the manifest"
    assert answer(run, signed) == (2, "signature-invalid", no_fit)
    signed.write_text(before)
    forge(signed, public_key=embedded(mallory.public))
    assert answer(run, signed) == (2, "signature-invalid", other)
    signed.write_text(before)
    for name in ("carol", "", ALICE.upper(), f"{ALICE} ", "alice@example.c\u043em"):
        forge(signed, signer_id=name)
        assert answer(run, signed)[:2] == (2, "signer-untrusted")


def test_row_18_one_publishers_key_under_another_publishers_name(
    run: Run, signed: Path, trusted: None, pair: Callable[[str], Keys]
) -> None:
    bob = pair("bob")
    assert run("trust", "add", BOB, "--key", bob.public).code == 0
    forge(signed, signer_id=BOB)
    assert answer(run, signed)[:2] == (2, "signature-invalid")


def test_row_18_a_cosignature_under_a_trusted_name(
    run: Run, signed: Path, trusted: None, pair: Callable[[str], Keys]
) -> None:
    bob, mallory = pair("bob"), pair("mallory")
    assert run("trust", "add", BOB, "--key", bob.public).code == 0
    cosign = ["cosign", "--manifest", signed, "--key", mallory.private, "--signer-id"]
    assert run(*cosign, BOB).code == 0
    code, reason, message = answer(run, signed, "--require", "2")
    assert (code, reason) == (2, "threshold")
    assert message.endswith(f"not counted: '{BOB}' (signature-invalid)")


def test_row_18_a_store_that_came_with_the_model_vouches_for_nobody(
    run: Run, signed: Path, pair: Callable[[str], Keys], tmp_path: Path
) -> None:
    """Neither at the model's root, nor above it, nor above where we stand."""
    mallory = pair("mallory")
    model = signed.parent
    sign = ["sign", "--model-dir", model, "--key", mallory.private, "--signer-id", ALICE]
    assert run(*sign).code == 0
    inside = model / ".modelseal"
    add = ["trust", "add", ALICE, "--key", mallory.public, "--store", model]
    assert run(*add).code == 0
    deliver(model)
    for place in (inside, tmp_path / ".modelseal"):
        if place != inside:
            inside.rename(place)
        done = run("verify", "--manifest", signed, "--model-dir", model)
        assert (done.code, "(signer-untrusted)" in done.out) == (2, True)
        assert f"'{place}/trust.json' knows this name" in done.err
        assert BUT_FOR_NAMING in done.err
        named = run("verify", "--manifest", signed, "--model-dir", model, "--store", place)
        assert named.code == 0, "the user said so"
        by_rev = run("verify", "model", "--model-dir", model, "--json")
        if by_rev.code != 1:  # found from the current directory
            assert json.loads(by_rev.out)["reason"] == "signer-untrusted"


@pytest.mark.parametrize(("value", "code"), [("absolute", 0), ("relative", 2), ("", 2)])
def test_row_18_a_relative_modelseal_dir_names_nothing(
    value: str, code: int, run: Run, signed: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = signed.parent
    assert run("trust", "add", ALICE, "--key", keys.public, "--store", model).code == 0
    deliver(model)
    monkeypatch.chdir(model)
    places = {"absolute": str(model / ".modelseal"), "relative": ".modelseal", "": ""}
    monkeypatch.setenv("MODELSEAL_DIR", places[value])
    assert run("verify", "--manifest", signed, "--model-dir", ".").code == code


def test_row_18_a_delivered_store_can_only_revoke(
    run: Run, signed: Path, keys: Keys, trusted: None
) -> None:
    model = signed.parent
    assert run("trust", "add", ALICE, "--key", keys.public, "--store", model).code == 0
    edit(model / ".modelseal" / "trust.json", require=5)
    assert answer(run, signed, "--model-dir", model)[:2] == (2, "threshold"), "it is ours"
    deliver(model)
    assert answer(run, signed, "--model-dir", model)[:2] == (0, None), "nor ask for more"
    assert run("trust", "revoke", ALICE, "--store", model).code == 0
    assert answer(run, signed, "--model-dir", model)[:2] == (2, "publisher-revoked")
    assert answer(run, signed, "--model-dir", model, "--key", keys.public)[:2] == (2, "key-revoked")


# Rows 19 and 21: what may not be trusted


@pytest.mark.parametrize("command", ["add", "rotate"])
@pytest.mark.parametrize("name", [*UNUSABLE, "certificate", "openssh certificate", "private"])
def test_row_19_keys_of_another_kind(
    name: str, command: str, run: Run, keys: Keys, trusted: None, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    public, hint = folder / "K.pub", ""
    if name == "private":
        public, what = keys.private, "this is a private key, not a public key"
    elif "certificate" in name:
        what = "this is a certificate, not a public key"
        make("ssh-keygen -q -t ed25519 -N '' -f K", folder)
        if name == "certificate":
            make("openssl genpkey -algorithm ed25519 -out key", folder)
            make("openssl req -x509 -new -key key -subj /CN=x -out K.pub", folder)
        else:
            make("ssh-keygen -q -s K -I me -n me K.pub", folder)
            public = folder / "K-cert.pub"
    else:
        called, commands = UNUSABLE[name]
        make(commands, folder)
        if not public.exists():
            make("openssl pkey -in K -pubout -out K.pub", folder)
        what, hint = f"{called} public key can't be used", HINT
        if "secp384r1" in called or "secp521r1" in called:
            hint = "it can sign OMS bundles: '--format oms' trusts it for those"
    before = home.read_bytes()
    who = "bob" if command == "add" else ALICE
    failed(run("trust", command, who, "--key", public), f"'{public}': {what}", hint)
    assert home.read_bytes() == before


@pytest.mark.parametrize(
    "point", [b"\x01" + bytes(31), bytes(32), (2**255 - 20).to_bytes(32, "little")]
)
def test_row_21_points_of_small_order(
    point: bytes, run: Run, signed: Path, trusted: None, home: Path, tmp_path: Path
) -> None:
    low = tmp_path / "low.pem"
    low.write_bytes(ed25519_pem(point))
    before = home.read_bytes()
    for command, who in (("add", "bob"), ("rotate", ALICE)):
        failed(run("trust", command, who, "--key", low), f"'{low}': {SMALL}")
    (tmp_path / "import.json").write_text(
        f"[{publisher('bob', ed25519_pem(point)).model_dump_json()}]"
    )
    done = run("trust", "import", tmp_path / "import.json")
    failed(done, f"publisher 'bob': {SMALL}")
    assert home.read_bytes() == before
    # Written into the file past all checks, it makes nothing valid.
    edit(home, public_key=embedded(low))
    forge(signed, public_key=embedded(low), signature_hex=(point + bytes(32)).hex())
    assert answer(run, signed)[:2] == (2, "signature-invalid")
    former = {
        "public_key": embedded(low),
        "fingerprint": "SHA256:x",
        "trusted_since": "2024-01-01T00:00:00Z",
    }
    edit(home, keys=[former])
    done = run("verify", "--manifest", signed)
    failed(done, f"registry '{home}': publisher '{ALICE}': {SMALL}")


def test_row_22_an_encrypted_key_and_nobody_to_ask(signed: Path, tmp_path: Path) -> None:
    make("openssl genpkey -algorithm ed25519 -aes-256-cbc -pass pass:secret -out K", tmp_path)
    command: list[str | Path] = ["cosign", "--manifest", signed, "--key", tmp_path / "K"]
    command += ["--signer-id", BOB]
    done = subprocess.run(
        [sys.executable, "-m", "modelseal", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no terminal to ask for a passphrase at\nhint: ")
    assert not signed.with_name("signed_manifest.json.cosigned").exists()


def test_row_24_a_key_that_others_may_read(
    run: Run, signed: Path, pair: Callable[[str], Keys]
) -> None:
    bob = pair("bob")
    bob.private.chmod(0o644)
    done = run("cosign", "--manifest", signed, "--key", bob.private, "--signer-id", BOB)
    said = f"private key '{bob.private}' can be read by others: chmod 600 '{bob.private}'"
    assert (done.code, done.err) == (0, f"warning: {said}\n")


# Row 25: registries


@pytest.mark.parametrize(
    "end", ["unknown", "removed", "revoked", "key revoked", "expired", "later"]
)
def test_row_25_how_trust_ends(
    end: str, run: Run, signed: Path, keys: Keys, trusted: None, home: Path
) -> None:
    fingerprint = print_of(keys.public)
    said = {
        "public_key": embedded(keys.public),
        "fingerprint": fingerprint,
        "trusted_since": "2024-01-01T00:00:00Z",
    }
    expected = "signer-untrusted"
    if end == "unknown":
        edit(home, publisher_id="carol")
    elif end == "removed":
        assert run("trust", "remove", ALICE).code == 0
    elif end == "revoked":
        expected = "publisher-revoked"
        assert run("trust", "revoke", ALICE, "--reason", "gone").code == 0
    elif end == "key revoked":
        expected = "key-revoked"
        assert run("trust", "revoke", ALICE, "--key", fingerprint).code == 0
    elif end == "expired":
        expected = "key-expired"
        edit(home, keys=[{**said, "expires": "2024-02-01T00:00:00Z"}])
    else:
        edit(home, keys=[{**said, "trusted_since": "2999-01-01T00:00:00Z"}])
    assert answer(run, signed)[:2] == (2, expected)
    # The name is not asked for with a key alone, but the key is.
    alone = answer(run, signed, "--key", keys.public)[:2]
    assert alone == ((2, "key-revoked") if "revoked" in end else (0, None))


def test_row_25_the_claimed_time_widens_nothing(
    run: Run, signed: Path, keys: Keys, trusted: None, pair: Callable[[str], Keys]
) -> None:
    time.sleep(1.1)
    assert run("trust", "rotate", ALICE, "--key", pair("new").public).code == 0
    for claim in ("1970-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2999-01-01T00:00:00Z"):
        forge(signed, signed_at=claim)
        assert answer(run, signed)[:2] == (2, "key-rotated")
        # The store knows the signature that was sealed; this one is not it.
        assert answer(run, signed, "--store", signed.parent)[:2] == (2, "key-rotated")


def test_row_25_what_a_delivered_store_saw_is_not_believed(
    run: Run, signed: Path, trusted: None, pair: Callable[[str], Keys]
) -> None:
    time.sleep(1.1)
    assert run("trust", "rotate", ALICE, "--key", pair("new").public).code == 0
    model = signed.parent
    assert run("verify", "--manifest", signed, "--model-dir", model).code == 0, "it is ours"
    deliver(model)
    assert answer(run, signed, "--model-dir", model)[:2] == (2, "key-rotated")
    done = run("verify", "--manifest", signed, "--model-dir", model, "--store", model)
    assert done.code == 0
    # A log that can't be read knows nothing.
    (model / ".modelseal" / "log").write_bytes(b"")
    shutil.rmtree(model / ".modelseal" / "verified")
    assert answer(run, signed, "--store", model)[:2] == (2, "key-rotated")


DAMAGES = {
    "empty": ("", "the JSON ends too early", ""),
    "half-written": ('[{"publisher_id": "a', "the JSON ends too early", ""),
    "an object": ("{}", "expected 'array', got 'object'", ""),
    "a newer field": (
        '[{"publisher_id": "a", "colour": 1}]',
        "[0]: object contains unknown field 'colour'",
        "a newer modelseal may have written it: use that one",
    ),
}


@pytest.mark.parametrize("level", ["user", "store", "found store", "registry"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_row_25_a_damaged_registry_at_any_level(
    damage: str, level: str, run: Run, signed: Path, keys: Keys, trusted: None, home: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    text, what, hint = DAMAGES[damage]
    store = signed.parent / ".modelseal" / "trust.json"
    path = {"user": home, "registry": tmp_path / "r.json"}.get(level, store)
    path.write_text(text)
    more: dict[str, list[str | Path]] = {
        "user": [],
        "store": ["--store", signed.parent],
        "found store": ["--model-dir", signed.parent],
        "registry": ["--registry", path],
    }
    wanted = f"registry '{path}': {what}"
    for key in ([], ["--key", keys.public]):
        failed(run("verify", "--manifest", signed, *key, *more[level]), wanted, hint)
    if level != "found store":
        commands: list[list[str | Path]] = [
            ["add", "bob", "--key", keys.public],
            ["rotate", ALICE, "--key", keys.public],
            ["revoke", ALICE],
            ["remove", ALICE],
            ["list"],
            ["show", ALICE],
            ["export"],
        ]
        for command in commands:
            failed(run("trust", *command, *more[level]), wanted, hint)
    assert path.read_text() == text
    assert [name for name in os.listdir(path.parent) if name.endswith(".tmp")] == []


def test_row_25_two_with_one_id(run: Run, signed: Path, trusted: None, home: Path) -> None:
    home.write_text(json.dumps(json.loads(home.read_text()) * 2))
    failed(run("verify", "--manifest", signed), f"registry '{home}': a publisher is listed twice")


def test_row_25_a_revoked_key_does_not_come_back(
    run: Run, keys: Keys, trusted: None, home: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "before.json"
    exported.write_text(run("trust", "export").out)
    assert run("trust", "revoke", ALICE, "--key", print_of(keys.public)).code == 0
    before = home.read_bytes()
    for command in (
        ["add", "robert", "--key", keys.public],
        ["add", "robert", "--key", keys.public, "--registry", tmp_path / "new.json"],
        ["import", exported],
        ["import", exported, "--force"],
        ["remove", ALICE],
    ):
        done = run("trust", *command)
        assert (done.code, done.out) == (1, "")
        assert "revoked" in done.err
    assert home.read_bytes() == before
    assert not (tmp_path / "new.json").exists()
    assert run("trust", "remove", ALICE, "--force").code == 0


# Rows 26 to 28: killed, full, at once


def test_row_26_trust_add_killed_at_every_step(tmp_path: Path) -> None:
    outcomes = set()
    for step in steps():
        place = tmp_path / str(step)
        place.mkdir()
        path = place / "trust.json"
        PublisherRegistry(path).add_publisher(publisher("alice"))
        before = path.read_bytes()
        registry = PublisherRegistry(path)
        killed = killed_at(step, lambda r=registry: r.add_publishers([publisher("bob")]))  # type: ignore[misc]
        names = [one.publisher_id for one in PublisherRegistry(path).list_publishers()]
        assert names in (["alice"], ["alice", "bob"])
        assert names != ["alice"] or path.read_bytes() == before
        outcomes.add(len(names))
        again = PublisherRegistry(path)
        again.add_publisher(publisher("carol"))
        assert again.list_publishers() == PublisherRegistry(path).list_publishers()
        if not killed:
            assert os.listdir(place) == ["trust.json"]
            break
    assert outcomes == {1, 2}
    assert step > 3


def test_row_26_cosign_killed_at_every_step(
    tmp_path: Path, signed: Path, pair: Callable[[str], Keys]
) -> None:
    from modelseal import cosigning, manifestfiles

    bob = keys.load_private(pair("bob").private.read_bytes())
    carol = keys.load_private(pair("carol").private.read_bytes())
    cosigning.cosign(manifestfiles.load(signed), bob, BOB, manifest_path=signed)
    side = signed.with_name("signed_manifest.json.cosigned")
    counts = set()
    for step in steps():
        place = tmp_path / str(step)
        place.mkdir()
        shutil.copy(side, place)
        manifest = shutil.copy(signed, place)
        document = manifestfiles.load(manifest)
        killed = killed_at(
            step,
            lambda d=document, m=manifest: cosigning.cosign(d, carol, "carol", manifest_path=m),  # type: ignore[misc]
        )
        counts.add(len(cosigning.load(manifestfiles.side_path(manifest)).signatures))
        if not killed:
            break
    assert counts == {1, 2}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EMFILE])
def test_row_27_trust_add_failing_at_every_step(code: int, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    PublisherRegistry(path).add_publisher(publisher("alice"))
    before = path.read_bytes()
    failures = 0
    for step in steps():
        registry = PublisherRegistry(path)
        try:
            with failing(step, code) as count:
                registry.add_publishers([publisher("bob", ALSO_GOOD)])
        except OSError as err:
            failures += 1
            assert err.errno == code
            assert f"'{path}'" in getattr(err, "__notes__", [""])[0]
            assert path.read_bytes() == before
        else:
            assert len(PublisherRegistry(path).list_publishers()) == 2
            path.write_bytes(before)
        assert os.listdir(tmp_path) == ["trust.json"]
        if count.calls <= step:
            break
    assert failures > 2


def test_row_27_a_place_that_cannot_be_written(run: Run, keys: Keys, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "trust.json"
    add = ["trust", "add", ALICE, "--key", keys.public, "--registry"]
    failed(run(*add, missing), f"cannot write '{missing}': no such file or directory")
    config = Path(os.environ["HOME"], ".config")
    config.write_text("")
    done = run("trust", "add", ALICE, "--key", keys.public)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ") and "not a directory" in done.err
    assert config.read_text() == ""


def test_row_28_twenty_add_at_once(shell: Shell, keys: Keys, home: Path) -> None:
    results: list[Result] = []

    def add(number: int) -> None:
        results.append(shell("trust", "add", f"p{number}", "--key", keys.public))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.code for result in results] == [0] * 20, results
    names = {one.publisher_id for one in PublisherRegistry(home).list_publishers()}
    assert names == {f"p{number}" for number in range(20)}


def test_row_28_a_lock_whose_owner_lives(run: Run, keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    add = ["trust", "add", ALICE, "--key", keys.public, "--registry", path, "--lock-timeout"]
    with fileio.locked(path):
        failed(
            run(*add, "0.1"),
            f"'{path}' is being changed by another process",
            "wait for it, longer with '--lock-timeout SECONDS'",
        )
        done = json.loads(run("verify", "--manifest", "x", "--json").out)
        assert done["reason"] == "system-error", "readers don't wait"
        with pytest.raises(StoreLockedError):
            PublisherRegistry(path, lock_timeout=0).add_publisher(publisher("a"))
    assert not path.exists()
    assert run(*add, "0.1").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make it somebody else's")
def test_row_31_somebody_elses_store_is_not_asked(
    run: Run, signed: Path, keys: Keys, trusted: None
) -> None:
    store = signed.parent / ".modelseal"
    assert run("trust", "add", ALICE, "--key", keys.public, "--store", store).code == 0
    assert run("trust", "revoke", ALICE, "--store", store).code == 0
    os.chown(store, 12345, 12345)
    done = run("verify", "--manifest", signed, "--model-dir", signed.parent)
    assert (done.code, "belongs to another user" in done.err) == (0, True)
    done = run("trust", "revoke", ALICE, "--level", "store")
    assert done.code == 1


def test_row_31_a_registry_in_a_store_that_is_a_link(
    run: Run, signed: Path, keys: Keys, trusted: None, home: Path
) -> None:
    store = signed.parent / ".modelseal"
    (store / "trust.json").symlink_to(home)
    before = home.read_bytes()
    said = f"'{store}/trust.json' is a symbolic link, not a registry"
    failed(run("verify", "--manifest", signed, "--model-dir", signed.parent), said)
    failed(run("trust", "add", "bob", "--key", keys.public, "--store", store), said)
    assert home.read_bytes() == before


def test_row_32_no_home(signed: Path, keys: Keys, shell: Shell) -> None:
    env = {"HOME": "", "XDG_CONFIG_HOME": ""}
    done = shell("verify", "--manifest", signed, env=env)
    assert (done.code, "(signer-untrusted)" in done.out) == (2, True)
    assert shell("verify", "--manifest", signed, "--key", keys.public, env=env).code == 0
    done = shell("verify", "--manifest", signed, env={"XDG_CONFIG_HOME": "relative"})
    assert done.code == 2


def test_names_are_printed_escaped(run: Run, signed: Path, keys: Keys, home: Path) -> None:
    odd = "a\x1b[2Jb\u202e"
    assert run("trust", "add", odd, "--key", keys.public, "--name", odd).code == 0
    forge(signed, signer_id=odd)
    for command in (
        ["verify", "--manifest", signed],
        ["trust", "list"],
        ["trust", "show", odd],
        ["trust", "revoke", odd, "--reason", odd],
        ["verify", "--manifest", signed],
        ["trust", "add", odd, "--key", keys.public],
    ):
        done = run(*command)
        assert "\x1b" not in done.out + done.err
        assert "\u202e" not in done.out + done.err
        assert "\\x1b" in done.out + done.err
