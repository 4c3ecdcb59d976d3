"""The commands of `trust`: which file they change, what they print, and how verifying uses it."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelseal import PublisherRegistry, TrustedPublisher, keys, publishers
from modelseal.store import Store
from tests.conftest import VECTORS, Keys, Result, need
from tests.test_publishers import SECOND, THIRD
from tests.test_startup import HEAVY, loaded
from tests.test_threats_keys import ALICE, BOB, failed, print_of

Run = Callable[..., Result]


@pytest.fixture
def home() -> Path:
    """Where the user's registry is; it does not exist yet."""
    return Path(os.environ["HOME"], ".config", "modelseal", "trust.json")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The registry of a store that is found from where we stand."""
    Store.init(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".modelseal" / "trust.json"


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Another public key."""
    path = tmp_path / "second.pem"
    path.write_bytes(keys.encode_public(SECOND.public_key()))
    return path


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """One more, as a line of OpenSSH."""
    path = tmp_path / "third.pub"
    path.write_bytes(keys.encode_openssh_public(THIRD.public_key()) + b" me@home\n")
    return path


def only(path: Path) -> TrustedPublisher:
    """The one publisher of a registry."""
    (found,) = PublisherRegistry(path).list_publishers()
    return found


def test_add_writes_what_it_was_told(run: Run, third: Path, home: Path) -> None:
    more = ["--name", "Acme", "--expires", "2999-12-31", "--models", "acme/*", "--models", "a?"]
    done = run("trust", "add", "acme", "--key", third, *more, "--require", "2")
    fingerprint = print_of(third)
    rows = f"Trusted: acme\n  Key      : {fingerprint}\n  Registry : {home}\n"
    assert done == Result(0, rows, "")
    found = only(home)
    assert (found.publisher_id, found.name, found.require) == ("acme", "Acme", 2)
    assert found.models == ["acme/*", "a?"]
    assert base64.b64decode(found.public_key) == keys.encode_public(THIRD.public_key())
    (said,) = found.keys
    assert said.expires == datetime(2999, 12, 31, tzinfo=UTC)
    assert said.fingerprint == fingerprint
    assert abs((datetime.now(UTC) - found.trusted_since).total_seconds()) < 60
    again = run("trust", "add", "acme", "--key", third)
    failed(
        again,
        f"publisher 'acme' is in '{home}' already",
        "'modelseal trust rotate' gives another key, 'trust remove' forgets the publisher",
    )
    # Without anything to add, an entry is the predecessor's.
    assert run("trust", "remove", "acme").code == 0
    assert run("trust", "add", "acme", "--key", third).code == 0
    (plain,) = json.loads(home.read_text())
    assert list(plain) == ["publisher_id", "name", "public_key", "trusted_since"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--expires", "tomorrow"),
        ("--expires", "2027-13-01"),
        ("--expires", "2027-01-31T12:00:00"),
        ("--expires", "2027-W01-1"),
        ("--models", ""),
        ("--models", "\udc80"),
        ("--name", "\udc80"),
        ("--require", "0"),
        ("--require", "65"),
        ("--require", "x"),
        ("--level", "root"),
    ],
)
def test_add_with_a_value_that_is_none(
    option: str, value: str, run: Run, second: Path, home: Path
) -> None:
    done = run("trust", "add", "acme", "--key", second, option, value)
    assert (done.code, done.out) == (64, "")
    assert f"argument {option}: " in done.err
    assert run("trust", "add", "", "--key", second).code == 64
    assert not home.exists()


def test_which_registry_is_changed(
    run: Run, second: Path, third: Path, home: Path, store: Path, tmp_path: Path
) -> None:
    assert run("trust", "add", "a", "--key", second).code == 0
    assert only(home).publisher_id == "a"
    done = run("trust", "add", "b", "--key", second, "--level", "store")
    assert done.err == (
        "hint: this store was not made here: its publishers count where it is named, by "
        "'--store DIR' or MODELSEAL_DIR\n"
    )
    assert only(store).publisher_id == "b"
    done = run("trust", "add", "c", "--key", second, "--store", tmp_path)
    assert (done.code, done.err) == (0, "")
    assert [one.publisher_id for one in PublisherRegistry(store).list_publishers()] == ["b", "c"]
    own = tmp_path / "own.json"
    assert run("trust", "add", "d", "--key", second, "--registry", own).code == 0
    assert only(own).publisher_id == "d"
    for wrong in (
        ["--registry", own, "--level", "user"],
        ["--registry", own, "--store", tmp_path],
        ["--level", "user", "--store", tmp_path],
    ):
        assert run("trust", "add", "e", "--key", second, *wrong).code == 64
    # What is found is changed where it is said to be.
    done = run("trust", "rotate", "b", "--key", third)
    failed(done, f"publisher 'b' is only in '{store}'", "'--level store' changes it there")
    assert run("trust", "rotate", "b", "--key", third, "--level", "store").code == 0
    assert run("trust", "rotate", "a", "--key", third).code == 0
    failed(
        run("trust", "rotate", "nobody", "--key", third),
        "publisher 'nobody' is in no registry",
        "'modelseal trust list' lists them",
    )
    for command in ("remove", "revoke"):
        assert run("trust", command, "a", "--level", "store").code == (
            1 if command == "remove" else 0
        )


def test_the_same_id_at_two_levels_is_told(
    run: Run, second: Path, third: Path, home: Path, store: Path, tmp_path: Path
) -> None:
    assert run("trust", "add", "a", "--key", second).code == 0
    done = run("trust", "add", "a", "--key", third, "--store", tmp_path)
    assert done.err == f"warning: 'a' is in '{home}' too: the nearer registry counts\n"
    done = run("trust", "remove", "a", "--store", tmp_path)
    assert done.err == f"warning: 'a' is in '{home}' too, and still counts there\n"
    assert json.loads(store.read_text()) == []


def test_a_revocation_at_another_level_grants_nothing_there(
    run: Run, second: Path, third: Path, home: Path, store: Path, tmp_path: Path
) -> None:
    assert run("trust", "add", "a", "--key", second, "--store", tmp_path).code == 0
    assert run("trust", "rotate", "a", "--key", third, "--store", tmp_path).code == 0
    done = run("trust", "revoke", "a", "--key", print_of(second), "--level", "user")
    assert done == Result(0, f"Revoked: a, {print_of(second)}\n  Registry : {home}\n", "")
    assert [key.fingerprint for key in publishers.all_keys(only(home))] == [print_of(second)]
    done = run("trust", "revoke", "a", "--key", print_of(second), "--level", "user")
    failed(done, "it is revoked already", "'modelseal trust show' says when")
    done = run("trust", "revoke", "a", "--key", "SHA256:x")
    failed(done, "'a' has no key 'SHA256:x'", "'modelseal trust show a' lists its keys")


def test_list_show_and_their_forms(
    run: Run, second: Path, third: Path, home: Path, store: Path, tmp_path: Path
) -> None:
    done = run("trust", "list")
    assert (done.code, done.out) == (0, "Nobody is trusted.\n")
    run("trust", "add", "a", "--key", second, "--name", "Ann", "--models", "x*", "--require", "2")
    run("trust", "add", "b", "--key", second, "--level", "store")
    run("trust", "rotate", "a", "--key", third, "--expires", "2999-01-01")
    run("trust", "revoke", "b", "--level", "store", "--reason", "gone")
    assert run("trust", "list").out == (
        f"{store} (not yours: it can only revoke)\n  b  {print_of(second)}  revoked\n"
        f"{home}\n  a (Ann)  {print_of(third)}\n"
    )
    assert run("trust", "list", "--porcelain").out == (
        f"store\tb\t\t{print_of(second)}\trevoked\t{store}\n"
        f"user\ta\tAnn\t{print_of(third)}\t\t{home}\n"
    )
    assert run("trust", "list", "--registry", home, "-z").out == (
        f"registry\0a\0Ann\0{print_of(third)}\0\0{home}\0"
    )
    listed = json.loads(run("trust", "list", "--json").out)["publishers"]
    assert [(one["level"], one["grants"], one["state"]) for one in listed] == [
        ("store", False, "revoked"),
        ("user", True, ""),
    ]
    named = json.loads(run("trust", "list", "--json", "--store", tmp_path).out)["publishers"]
    assert [one["grants"] for one in named] == [True, True]
    shown = json.loads(run("trust", "show", "a", "--json").out)["publishers"][0]
    assert [key["fingerprint"] for key in shown["keys"]] == [print_of(third), print_of(second)]
    assert (shown["models"], shown["require"]) == (["x*"], 2)
    text = run("trust", "show", "a").out.splitlines()
    assert [line.partition(":")[0].strip() for line in text] == [
        *["Publisher", "Name", "Registry", "Models", "Requires"],
        *["Key", "Since", "Until", "Key", "Since", "Replaced"],
    ]
    assert "Revoked    : 20" in run("trust", "show", "b").out
    assert "(gone)" in run("trust", "show", "b").out
    failed(
        run("trust", "show", "c"),
        "publisher 'c' is in no registry",
        "'modelseal trust list' lists them",
    )
    missing = run("trust", "list", "--registry", tmp_path / "missing.json")
    failed(missing, f"cannot read '{tmp_path / 'missing.json'}': no such file or directory")


def test_import_of_the_predecessors_registry(run: Run, home: Path, second: Path) -> None:
    path = VECTORS / "predecessor" / "registry.json"
    done = run("trust", "import", path)
    assert done.out == (
        f"Imported: alice@example.com\nImported: releases@example.org\n  Registry : {home}\n"
    )
    assert json.loads(home.read_text()) == json.loads(path.read_text())
    assert json.loads(run("trust", "export").out) == json.loads(path.read_text())
    before = home.read_bytes()
    done = run("trust", "import", path)
    assert done.out.startswith("Unchanged: alice@example.com\nUnchanged: releases@example.org\n")
    assert home.read_bytes() == before
    assert run("trust", "rotate", ALICE, "--key", second).code == 0
    rotated = home.read_bytes()
    done = run("trust", "import", path)
    failed(
        done, f"publisher '{ALICE}' is in '{home}' already, and differs", "'--force' replaces it"
    )
    assert home.read_bytes() == rotated
    done = run("trust", "import", path, "--force")
    assert done.out.startswith(f"Replaced: {ALICE}\nUnchanged: releases@example.org\n")
    assert home.read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "# nothing\n", "\ufeff", "{}", "\udcff"])
def test_import_of_nothing(text: str, run: Run, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "import"
    path.write_bytes(text.encode(errors="surrogateescape"))
    done = run("trust", "import", path)
    assert (done.code, done.out) == (1, "")
    assert f"'{path}'" in done.err
    assert not home.exists()


def test_import_is_all_or_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    line = keys.encode_openssh_public(SECOND.public_key()).decode()
    path = tmp_path / "allowed_signers"
    path.write_text(f"a {line}\nb cert-authority {line}\n")
    why = "it is a certificate authority, which can't be trusted here"
    failed(run("trust", "import", path), f"'{path}', line 2: {why}")
    assert not home.exists()
    path.write_text(f'a {line}\nb namespaces="git" {line}\n')
    done = run("trust", "import", path)
    assert done == Result(
        0,
        f"Imported: a\n  Registry : {home}\n",
        f"warning: left out: '{path}', line 2: it is for the namespace 'git'\n",
    )


def test_what_ssh_keygen_makes_comes_and_goes(
    run: Run, signed: Path, keys: Keys, tmp_path: Path
) -> None:
    """A key of ssh's signs a model; its line in a list of allowed signers verifies it."""
    key = tmp_path / "ssh"
    command: list[str | Path] = [need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key]
    subprocess.run(command, check=True)
    listed = tmp_path / "allowed_signers"
    listed.write_text(f'{BOB} namespaces="modelseal" {key.with_suffix(".pub").read_text()}')
    sign = ["sign", "--model-dir", signed.parent, "--key", key, "--signer-id", BOB]
    assert run(*sign).code == 0
    own = tmp_path / "own.json"
    assert run("trust", "import", listed, "--registry", own).code == 0
    assert run("verify", "--manifest", signed, "--registry", own).code == 0
    listed.write_text(run("trust", "export", "--registry", own, "--format", "allowed_signers").out)
    check = [need("ssh-keygen"), "-Y", "find-principals", "-f", str(listed), "-s"]
    data = tmp_path / "data"
    data.write_bytes(b"x")
    make_signature: list[str | Path] = [need("ssh-keygen"), "-q", "-Y", "sign", "-n", "modelseal"]
    subprocess.run([*make_signature, "-f", key, data], check=True)
    found = subprocess.run([*check, f"{data}.sig"], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == BOB


def test_export_is_what_counts(
    run: Run, second: Path, third: Path, home: Path, store: Path, tmp_path: Path
) -> None:
    run("trust", "add", "a", "--key", second)
    run("trust", "add", "a", "--key", third, "--store", tmp_path)
    run("trust", "add", "b", "--key", third, "--store", tmp_path)
    found = json.loads(run("trust", "export").out)
    assert [one["publisher_id"] for one in found] == ["a"], "a store that is not named"
    assert found == json.loads(home.read_text())
    found = json.loads(run("trust", "export", "--store", tmp_path).out)
    assert found == json.loads(store.read_text()), "the nearest of each id"


# How verifying uses it


def test_a_named_registry_is_the_only_one_that_grants(
    run: Run, signed: Path, keys: Keys, second: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    assert run("trust", "add", ALICE, "--key", keys.public).code == 0
    assert run("trust", "add", BOB, "--key", second, "--registry", own).code == 0
    verify = ["verify", "--manifest", signed, "--json"]
    assert json.loads(run(*verify).out)["registry"].endswith("/trust.json")
    done = run(*verify, "--registry", own)
    assert (done.code, json.loads(done.out)["reason"]) == (2, "signer-untrusted")
    assert run("trust", "add", ALICE, "--key", keys.public, "--registry", own).code == 0
    assert run(*verify, "--registry", own).code == 0
    assert run("trust", "revoke", ALICE, "--level", "user").code == 0
    done = run(*verify, "--registry", own)
    assert (done.code, json.loads(done.out)["reason"]) == (2, "publisher-revoked")


def test_a_policy_holds_beside_a_key_too(
    run: Run, signed: Path, keys: Keys, second: Path, tmp_path: Path
) -> None:
    verify = ["verify", "--manifest", signed, "--key", keys.public]
    assert run("trust", "add", BOB, "--key", second, "--models", "mod*", "--require", "2").code == 0
    done = run(*verify)
    needed = f"and 2 are needed; not counted: '{ALICE}' (signer-untrusted) (threshold)"
    assert (done.code, done.err) == (2, "")
    assert done.out == f"Signature: INVALID — signed by 0 trusted publishers, {needed}\n"
    assert run("trust", "add", ALICE, "--key", keys.public).code == 0
    done = run(*verify)
    assert "signed by 1 trusted publisher, and 2 are needed (threshold)" in done.out
    private = tmp_path / "second.key"
    private.write_bytes(_private(SECOND))
    private.chmod(0o600)
    cosign = ["cosign", "--manifest", signed, "--key", private, "--signer-id", BOB]
    assert run(*cosign).code == 0
    done = run(*verify)
    assert done.code == 0
    assert f"  Signer   : {ALICE}\n" in done.out
    assert f"  Cosigned : {BOB}, {print_of(second)}\n" in done.out
    assert "  Required : 2 of 2 publishers\n" in done.out


def _private(key: keys.PrivateKey) -> bytes:
    return keys.encode_private(key)


def test_require_by_configuration(run: Run, signed: Path, keys: Keys, home: Path) -> None:
    assert run("trust", "add", ALICE, "--key", keys.public).code == 0
    config = home.with_name("config.toml")
    for said, code in (("2", 2), ("1", 0)):
        config.write_text(f"[modelseal]\nrequire = {said}\n")
        assert run("verify", "--manifest", signed).code == code
        assert run("verify", "--manifest", signed, "--key", keys.public).code == code
        assert run("verify", "--manifest", signed, "--require", "1").code == 0


def test_require_needs_somebody_to_count(run: Run, signed: Path, keys: Keys) -> None:
    done = run("verify", "--manifest", signed, "--key", keys.public, "--require", "1", "--json")
    assert (done.code, json.loads(done.out)["reason"]) == (2, "threshold")


def test_fsck_says_what_is_wrong_with_the_registry_and_no_more(
    run: Run, signed: Path, keys: Keys, second: Path
) -> None:
    model = signed.parent
    assert run("trust", "add", ALICE, "--key", keys.public, "--store", model).code == 0
    fsck = ["fsck", "--store", model]
    assert "(1 by trusted publishers)" in run(*fsck).out
    # The end of trust is no damage of the store.
    assert run("trust", "rotate", ALICE, "--key", second, "--store", model).code == 0
    assert run("trust", "revoke", ALICE, "--store", model).code == 0
    done = run(*fsck)
    assert (done.code, "(0 by trusted publishers)" in done.out) == (0, True)
    (model / ".modelseal" / "trust.json").write_text("[")
    done = run(*fsck, "--porcelain")
    assert done.code == 1
    assert done.out.startswith("damaged\ttrust\ttrust.json\t")


def test_help_loads_nothing_heavy() -> None:
    actions = ["add", "list", "show", "remove", "revoke", "rotate", "import", "export"]
    for command in (["trust"], ["cosign"], *(["trust", action] for action in actions)):
        assert not loaded(*command, "--help") & {*HEAVY, "platformdirs"}
    assert not loaded("status", os.environ["HOME"], "--help") & {*HEAVY, "platformdirs"}
