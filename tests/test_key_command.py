"""`modelseal key`: fingerprints, public keys and passphrases, against ssh-keygen and openssl."""

import base64
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from modelseal import KeyManager, SignatureAlgorithm, fileio, keyfiles, openssh
from modelseal import keys as keys_
from modelseal.errors import KeyLoadError, PassphraseError
from tests.conftest import Keys, Result, need
from tests.test_keyfiles import mode, umask, unprivileged
from tests.test_prompts import Session, detached

Run = Callable[..., Result]

OLD, NEW = "old words", "new wörds"


def ssh_keygen(*args: str | Path) -> str:
    """What ssh-keygen prints."""
    command = [need("ssh-keygen"), *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def fingerprint_by_ssh(path: Path) -> str:
    return ssh_keygen("-l", "-f", path).split()[1]


@pytest.fixture
def secrets(tmp_path: Path) -> tuple[str, str]:
    """The options that give the old passphrase, and the new one."""
    (tmp_path / "old").write_text(OLD + "\n")
    (tmp_path / "new").write_text(NEW + "\n")
    return f"--passphrase-file={tmp_path / 'old'}", f"--new-passphrase-file={tmp_path / 'new'}"


@pytest.fixture(params=["ed25519", "ecdsa"])
def ssh_key(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A key of ssh-keygen's own, encrypted with OLD, with few rounds for the tests' sake."""
    path = tmp_path / "id"
    kind = ["-t", request.param, "-b", "256", "-a", "16"]
    ssh_keygen("-q", *kind, "-N", OLD, "-C", "alice@laptop", "-f", path)
    return path


def private_pem(path: Path, passphrase: bytes | None = None) -> Path:
    """A PKCS#8 key of ours."""
    private, _ = KeyManager().generate_keypair(SignatureAlgorithm.ed25519, passphrase)
    fileio.write_new(path, private, mode=0o600)
    return path


def opens(path: Path, passphrase: str | None) -> bool:
    data = None if passphrase is None else passphrase.encode()
    try:
        keys_.load_private(path.read_bytes(), data)
    except PassphraseError:
        return False
    return True


# Fingerprints and public keys


def test_the_fingerprint_is_ssh_keygens(ssh_key: Path, run: Run) -> None:
    expected = fingerprint_by_ssh(ssh_key)
    for name in ("id", "id.pub"):
        # An encrypted key of OpenSSH's shows its public half to everybody.
        assert run("key", "fingerprint", ssh_key.with_name(name)) == (0, f"{expected}\n", "")


def test_the_fingerprint_of_a_pem_file_is_the_same(
    keys: Keys, ecdsa_keys: Keys, run: Run, tmp_path: Path
) -> None:
    for pair, algorithm in ((keys, "ed25519"), (ecdsa_keys, "ecdsa_p256")):
        (tmp_path / "line").write_text(run("key", "public", pair.private, "--openssh").out)
        expected = fingerprint_by_ssh(tmp_path / "line")
        assert run("key", "fingerprint", pair.public).out == f"{expected}\n"
        assert run("key", "fingerprint", pair.private).out == f"{expected}\n"
        shown = run("key", "fingerprint", pair.private, "--json").out
        assert shown == f'{{"fingerprint": "{expected}", "algorithm": "{algorithm}"}}\n'


def test_an_encrypted_pem_key_needs_its_passphrase(
    run: Run, tmp_path: Path, secrets: tuple[str, str]
) -> None:
    path = private_pem(tmp_path / "k.pem", OLD.encode())
    done = detached("key", "fingerprint", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: no terminal to ask for a passphrase at\nhint: give it with")
    assert run("key", "fingerprint", path, secrets[0]).out.startswith("SHA256:")
    wrong = run("key", "fingerprint", path, secrets[1].replace("--new-", "--"))
    assert wrong == (1, "", f"error: '{path}': wrong passphrase, or a damaged private key\n")


def test_the_public_key_is_as_ssh_keygen_and_openssl_print_it(
    ssh_key: Path, run: Run, secrets: tuple[str, str]
) -> None:
    shown = run("key", "public", ssh_key, secrets[0], "--openssh").out
    assert shown.split() == ssh_key.with_suffix(".pub").read_text().split()[:2]
    assert shown.endswith("\n")
    pem = run("key", "public", ssh_key, secrets[0]).out
    convert = [need("openssl"), "pkey", "-pubin", "-pubout"]
    done = subprocess.run(convert, input=pem, text=True, capture_output=True, check=True)
    assert done.stdout == pem
    # A public key is turned from one form into the other.
    assert run("key", "public", ssh_key.with_suffix(".pub")).out == pem


def test_the_public_key_is_not_believed_but_derived(
    run: Run, tmp_path: Path, secrets: tuple[str, str]
) -> None:
    """The unencrypted half of an encrypted file may have been exchanged."""
    ssh_keygen("-q", "-t", "ed25519", "-a", "16", "-N", OLD, "-f", tmp_path / "mine")
    ssh_keygen("-q", "-t", "ed25519", "-a", "16", "-N", "", "-f", tmp_path / "theirs")
    mine, theirs = (
        openssh._BODY.search((tmp_path / name).read_bytes()) for name in ("mine", "theirs")
    )
    assert mine and theirs
    public = base64.b64decode((tmp_path / "theirs.pub").read_text().split()[1])[-32:]
    own = base64.b64decode((tmp_path / "mine.pub").read_text().split()[1])[-32:]
    forged = base64.encodebytes(base64.b64decode(mine[1]).replace(own, public)).decode()
    path = tmp_path / "forged"
    path.write_text(
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{forged}-----END OPENSSH PRIVATE KEY-----\n"
    )
    assert run("key", "public", path, secrets[0]).code == 1


@pytest.mark.parametrize("action", ["fingerprint", "public", "passwd"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "this is empty"),
        (b"hello", "this is neither PEM nor OpenSSH"),
        (b"-----BEGIN CERTIFICATE-----\n", "this is a certificate"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "the private key is damaged"),
    ],
    ids=["empty", "text", "certificate", "damaged"],
)
def test_what_is_no_key(action: str, content: bytes, said: str, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    done = run("key", action, path, *(["--remove-passphrase"] if action == "passwd" else []))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: '{path}': {said}")
    assert path.read_bytes() == content


def test_header_of_every_prefix_of_a_key(tmp_path: Path) -> None:
    """A header that is cut short anywhere is none."""
    ssh_keygen("-q", "-t", "ed25519", "-a", "17", "-N", OLD, "-f", tmp_path / "k")
    data = (tmp_path / "k").read_bytes()
    found = openssh.header(data)
    assert found is not None
    assert (found.encrypted, found.rounds) == (True, 17)
    body = openssh._BODY.search(data)
    assert body
    blob = base64.b64decode(body[1])
    seen = set()
    for length in range(len(blob)):
        text = base64.b64encode(blob[:length])
        made = b"-----BEGIN OPENSSH PRIVATE KEY-----\n%b\n-----END OPENSSH PRIVATE KEY-----" % text
        seen.add(openssh.header(made))
    assert seen == {None, found}
    assert openssh.header(b"") is openssh.header(data[:100]) is None


# Passphrases


@pytest.mark.parametrize(("before", "after"), [(None, NEW), (OLD, NEW), (OLD, None)])
def test_pem_stays_pem(
    before: str | None, after: str | None, tmp_path: Path, run: Run, secrets: tuple[str, str]
) -> None:
    old = before.encode() if before else None
    path = private_pem(tmp_path / "k.pem", old)
    public = keys_.load_private(path.read_bytes(), old).public_key()
    new = secrets[1] if after else "--remove-passphrase"
    code, out, err = run("key", "passwd", path, secrets[0], new)
    assert code == 0
    done = "removed" if after is None else "changed" if before else "set"
    form = "PKCS#8, PBKDF2 with 2,048 rounds" if after else "PKCS#8"
    print_ = keys_.fingerprint(public)
    assert out == f"Passphrase {done}: {path}\n  Format     : {form}\n  Fingerprint: {print_}\n"
    hint = "hint: this slows down guessing only a little; '--openssh' does it well\n"
    assert err == (hint if after else "")
    assert opens(path, after)
    assert not (before and opens(path, before)) or after is None
    assert path.read_bytes().startswith(
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----" if after else b"-----BEGIN PRIVATE KEY-----"
    )


def test_pkcs8_has_the_rounds_that_are_named(
    tmp_path: Path, run: Run, secrets: tuple[str, str]
) -> None:
    path = private_pem(tmp_path / "k.pem")
    assert run("key", "passwd", path, secrets[1]).code == 0
    show = [need("openssl"), "asn1parse", "-in", str(path)]
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert "PBKDF2" in shown
    assert "INTEGER           :0800" in shown  # 2,048


def test_ssh_keygen_reads_what_is_written(
    keys: Keys, ecdsa_keys: Keys, run: Run, secrets: tuple[str, str]
) -> None:
    for pair in (keys, ecdsa_keys):
        options = ("--openssh", "--rounds", "20", secrets[1])
        code, out, err = run("key", "passwd", pair.private, *options)
        assert (code, err) == (0, "")
        assert "  Format     : OpenSSH, bcrypt with 20 rounds\n" in out
        found = openssh.header(pair.private.read_bytes())
        assert found is not None
        assert (found.encrypted, found.rounds) == (True, 20)
        public = ssh_keygen("-y", "-P", NEW, "-f", pair.private)
        assert public.split() == run("key", "public", pair.public, "--openssh").out.split()


def test_what_ssh_keygen_writes_is_read_and_stays_openssh(
    ssh_key: Path, run: Run, secrets: tuple[str, str]
) -> None:
    public = ssh_keygen("-y", "-P", OLD, "-f", ssh_key).split()[:2]
    assert run("key", "passwd", ssh_key, *secrets).code == 0
    found = openssh.header(ssh_key.read_bytes())
    assert found is not None
    assert found.rounds == keys_.OPENSSH_ROUNDS
    assert ssh_keygen("-y", "-P", NEW, "-f", ssh_key).split()[:2] == public
    # ssh-keygen changes it once more, and it opens here.
    ssh_keygen("-q", "-p", "-a", "16", "-P", NEW, "-N", OLD, "-f", ssh_key)
    assert opens(ssh_key, OLD)


def test_rounds_are_never_lowered_by_the_way(
    tmp_path: Path, run: Run, secrets: tuple[str, str]
) -> None:
    path = tmp_path / "id"
    ssh_keygen("-q", "-t", "ed25519", "-a", "80", "-N", OLD, "-f", path)
    assert "bcrypt with 80 rounds" in run("key", "passwd", path, *secrets).out
    (tmp_path / "old").write_text(NEW)
    assert "bcrypt with 16 rounds" in run("key", "passwd", path, *secrets, "--rounds", "16").out


def test_from_openssh_to_pkcs8_and_without_a_passphrase(
    ssh_key: Path, run: Run, secrets: tuple[str, str]
) -> None:
    public = ssh_keygen("-y", "-P", OLD, "-f", ssh_key).split()[:2]
    assert run("key", "passwd", ssh_key, secrets[0], "--pkcs8", "--remove-passphrase").code == 0
    assert ssh_key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert run("key", "passwd", ssh_key, "--openssh", "--remove-passphrase").code == 0
    assert ssh_keygen("-y", "-P", "", "-f", ssh_key).split()[:2] == public


def test_the_new_passphrase_is_asked_for_twice(tmp_path: Path) -> None:
    path = private_pem(tmp_path / "k.pem", OLD.encode())
    session = Session("key", "passwd", path)
    session.answer(f"Passphrase for '{path}': ", OLD)
    session.answer(f"New passphrase for '{path}': ", NEW)
    session.answer("The same once more: ", NEW)
    assert session.end() == 0
    assert OLD not in session.shown
    assert NEW not in session.shown
    assert opens(path, NEW)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["wrong"], "wrong passphrase, or a damaged private key\n"),
        (
            [OLD, ""],
            "error: the passphrase is empty\nhint: '--remove-passphrase' goes without one\n",
        ),
        ([OLD, NEW, OLD], "error: the passphrases differ\n"),
        ([OLD, "x" * 1024, "x" * 1024], "error: a passphrase has 1 to 1,023 bytes\n"),
    ],
    ids=["wrong", "empty", "differ", "too long"],
)
def test_a_refused_answer_changes_nothing(answers: list[str], said: str, tmp_path: Path) -> None:
    path = private_pem(tmp_path / "k.pem", OLD.encode())
    before = path.read_bytes()
    session = Session("key", "passwd", path)
    questions = [
        *(f"Passphrase for '{path}': ", f"New passphrase for '{path}': "),
        "The same once more: ",
    ]
    for question, answer in zip(questions, answers, strict=False):
        session.answer(question, answer)
    assert session.end() == 1
    assert session.shown.endswith(said)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["k.pem"]


@pytest.mark.parametrize("at", range(3))
def test_ctrl_c_changes_nothing(at: int, tmp_path: Path) -> None:
    path = private_pem(tmp_path / "k.pem", OLD.encode())
    before = path.read_bytes()
    questions = [
        *(f"Passphrase for '{path}': ", f"New passphrase for '{path}': "),
        "The same once more: ",
    ]
    session = Session("key", "passwd", path)
    for question, answer in list(zip(questions, (OLD, NEW), strict=False))[:at]:
        session.answer(question, answer)
    session.interrupt(questions[at])
    assert session.end() == 130
    assert path.read_bytes() == before


def test_both_passphrases_from_the_environment(tmp_path: Path) -> None:
    path = private_pem(tmp_path / "k.pem", OLD.encode())
    env = {"MODELSEAL_PASSPHRASE": OLD, "MODELSEAL_NEW_PASSPHRASE": NEW}
    assert detached("key", "passwd", path, env=env).code == 0
    assert opens(path, NEW)


def test_a_passphrase_is_removed_only_when_that_is_said(tmp_path: Path) -> None:
    path = private_pem(tmp_path / "k.pem", OLD.encode())
    before = path.read_bytes()
    for empty in ({}, {"MODELSEAL_NEW_PASSPHRASE": ""}):
        done = detached("key", "passwd", path, env={"MODELSEAL_PASSPHRASE": OLD, **empty})
        assert (done.code, done.out) == (1, "")
        assert done.err == (
            "error: no terminal to ask for a passphrase at\n"
            "hint: give it with '--new-passphrase-file FILE' or in MODELSEAL_NEW_PASSPHRASE\n"
        )
    (tmp_path / "empty").touch()
    done = detached(
        *("key", "passwd", path, "--new-passphrase-file", tmp_path / "empty"),
        env={"MODELSEAL_PASSPHRASE": OLD},
    )
    said = f"error: '{tmp_path / 'empty'}' has no passphrase in its first line\n"
    assert done == (1, "", said)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rounds", "100"], "--rounds is for a passphrase in OpenSSH's format"),
        (
            ["--openssh", "--remove-passphrase", "--rounds", "100"],
            "--rounds is for a passphrase in OpenSSH's format",
        ),
        (["--openssh", "--rounds", "15"], "argument --rounds: '15' is not a number from 16 to"),
        (["--openssh", "--rounds", "10001"], "argument --rounds: '10001' is not a number from"),
        (["--openssh", "--pkcs8"], "argument --pkcs8: not allowed with argument --openssh"),
        (
            ["--remove-passphrase", "--new-passphrase-file", "x"],
            "argument --new-passphrase-file: not allowed with argument --remove-passphrase",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(options: list[str], said: str, keys: Keys, run: Run) -> None:
    before = keys.private.read_bytes()
    done = run("key", "passwd", keys.private, *options)
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith(f"error: {said}")
    assert keys.private.read_bytes() == before


# The file


@pytest.mark.parametrize(
    ("bits", "after"), [(0o600, 0o600), (0o644, 0o600), (0o400, 0o400)], ids="{:03o}".format
)
def test_modes(bits: int, after: int, keys: Keys, run: Run, secrets: tuple[str, str]) -> None:
    keys.private.chmod(bits)
    with umask(0):
        assert run("key", "passwd", keys.private, secrets[1]).code == 0
    assert mode(keys.private) == after


def test_the_mode_is_there_from_the_first_instant(
    keys: Keys, tmp_path: Path, secrets: tuple[str, str]
) -> None:
    trace = tmp_path / "trace"
    calls = "trace=?open,openat,?creat,?chmod,fchmod,fchmodat,?fchmodat2"
    command = [need("strace"), "-f", "-qq", "-e", calls, "-o", str(trace)]
    with umask(0):
        command += [sys.executable, "-B", "-m", "modelseal", "key", "passwd", str(keys.private)]
        subprocess.run([*command, secrets[1]], check=True, capture_output=True)
    lines = trace.read_text().splitlines()
    made = [line for line in lines if "O_CREAT" in line and str(keys.private.parent) in line]
    assert len(made) == 1
    assert "O_EXCL" in made[0]
    assert ", 0600)" in made[0]
    assert not [line for line in lines if "chmod" in line]


def test_a_link_stays_a_link(
    keys: Keys, run: Run, tmp_path: Path, secrets: tuple[str, str]
) -> None:
    link = tmp_path / "link"
    link.symlink_to(keys.private)
    assert run("key", "passwd", link, secrets[1]).code == 0
    assert link.is_symlink()
    assert opens(keys.private, NEW)


def test_another_name_of_the_file_is_said(
    keys: Keys, run: Run, tmp_path: Path, secrets: tuple[str, str]
) -> None:
    os.link(keys.private, tmp_path / "other")
    err = run("key", "passwd", keys.private, secrets[1]).err
    said = f"'{keys.private}' has another name, and the file of that is as it was"
    assert f"warning: {said}\n" in err
    assert not keys_.is_encrypted((tmp_path / "other").read_bytes())


def run_bound(command: Sequence[str | Path]) -> Result:
    done = subprocess.run(
        unprivileged([*map(str, command)]), capture_output=True, text=True, timeout=60
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_directory_that_cant_be_written(keys: Keys, secrets: tuple[str, str]) -> None:
    before = keys.private.read_bytes()
    keys.private.parent.chmod(0o500)
    try:
        done = run_bound(
            [sys.executable, "-B", "-m", "modelseal", "key", "passwd", keys.private, secrets[1]]
        )
    finally:
        keys.private.parent.chmod(0o700)
    assert done == (1, "", f"error: cannot write '{keys.private}': permission denied\n")
    assert keys.private.read_bytes() == before


def test_a_full_disk(keys: Keys, secrets: tuple[str, str]) -> None:
    before = keys.private.read_bytes()
    limited = [need("prlimit"), "--fsize=50", sys.executable, "-B", "-m", "modelseal"]
    done = run_bound([*limited, "key", "passwd", keys.private, secrets[1]])
    assert done == (1, "", f"error: cannot write '{keys.private}': file too large\n")
    assert keys.private.read_bytes() == before
    assert sorted(os.listdir(keys.private.parent)) == ["private.pem", "public.pem"]


def test_a_key_that_changed_meanwhile_stays(keys: Keys) -> None:
    keys.private.write_bytes(b"another key by now")
    with pytest.raises(KeyLoadError) as refused:
        keyfiles.replace_private(keys.private, b"what was read", b"the same, encrypted")
    said = f"'{keys.private}' changed meanwhile, and was left as it is"
    assert str(refused.value) == said
    assert keys.private.read_bytes() == b"another key by now"


def test_somebody_elses_key_stays(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    data = keys.private.read_bytes()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyLoadError) as refused:
        keyfiles.replace_private(keys.private, data, b"mine now")
    assert str(refused.value) == f"'{keys.private}' belongs to another user"
    assert keys.private.read_bytes() == data


def test_killed_at_any_call_the_key_is_the_old_or_the_new_one(
    keys: Keys, tmp_path: Path, secrets: tuple[str, str]
) -> None:
    original = keys.private.read_bytes()
    ends = set()
    for call in ("write", "fsync", "rename", "unlink"):
        for when in (1, 2):
            shutil.rmtree(keys.private.parent)
            keys.private.parent.mkdir()
            fileio.write_new(keys.private, original, mode=0o600)
            inject = f"inject={call}:signal=SIGKILL:when={when}"
            trace = [need("strace"), "-f", "-qq", "-o", os.devnull, "-e", inject]
            command = [sys.executable, "-B", "-m", "modelseal", "key", "passwd"]
            done = subprocess.run(
                [*trace, *command, keys.private, secrets[1]], capture_output=True, timeout=60
            )
            data = keys.private.read_bytes()
            assert data == original or opens(keys.private, NEW), (call, when)
            ends.add((done.returncode == 0, data == original))
            for path in keys.private.parent.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {(False, True), (False, False)} <= ends
