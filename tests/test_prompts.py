"""Passphrases: typed at a terminal, read from a file or the environment, and never shown."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pytest

from modelseal import KeyManager, SignatureAlgorithm, keys, prompts
from modelseal.errors import PassphraseError
from tests.conftest import Result

SECRET = "open sesame ü"
OTHER = "close sesame"
FIRST = "Passphrase for the private key: "
SECOND = "The same once more: "
NO_TERMINAL = (
    "error: no terminal to ask for a passphrase at\n"
    "hint: give it with '--passphrase-file FILE' or in MODELSEAL_PASSPHRASE\n"
)


class Session:
    """modelseal at a terminal of its own."""

    def __init__(self, *args: str | Path) -> None:
        self._process: Any = pexpect.spawn(
            sys.executable,
            ["-m", "modelseal", *map(str, args)],
            timeout=30,
            encoding="utf-8",
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        self.shown = ""

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type."""
        self._process.expect_exact(question)
        self.shown += self._process.before + self._process.after
        self._process.sendline(text)

    def interrupt(self, question: str) -> None:
        """Wait for a question, and press Ctrl-C."""
        self._process.expect_exact(question)
        self._process.sendintr()

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        self._process.expect(pexpect.EOF)
        self.shown = (self.shown + self._process.before).replace("\r\n", "\n")
        self._process.close()
        code: int = self._process.exitstatus
        return code


def detached(
    *args: str | Path, env: Mapping[str, str] | None = None, pass_fds: tuple[int, ...] = ()
) -> Result:
    """Run modelseal where there is no terminal at all, not even a controlling one."""
    done = subprocess.run(
        [sys.executable, "-m", "modelseal", *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **(env or {})},
        pass_fds=pass_fds,
        start_new_session=True,
        timeout=30,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A private key that is encrypted with SECRET."""
    manager = KeyManager()
    pair = manager.generate_keypair(SignatureAlgorithm.ed25519, SECRET.encode())
    manager.save_keypair(*pair, tmp_path / "locked")
    return tmp_path / "locked" / "private.pem"


def opens(path: Path, passphrase: str) -> bool:
    """Whether `passphrase` is that of an encrypted key."""
    data = path.read_bytes()
    assert keys.is_encrypted(data)
    try:
        keys.load_private(data, passphrase.encode())
    except PassphraseError:
        return False
    return True


def test_keygen_asks_twice(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    session = Session("keygen", "--output", directory, "--passphrase")
    session.answer(FIRST, SECRET)
    session.answer(SECOND, SECRET)
    assert session.end() == 0
    assert f"  Private: {directory / 'private.pem'} (encrypted)\n" in session.shown
    assert SECRET not in session.shown
    assert opens(directory / "private.pem", SECRET)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([(FIRST, SECRET), (SECOND, OTHER)], "error: the passphrases differ\n"),
        (
            [(FIRST, "")],
            "error: the passphrase is empty\nhint: leave out '--passphrase' for none\n",
        ),
        ([(FIRST, SECRET), (SECOND, "")], "error: the passphrases differ\n"),
        (
            [(FIRST, "x" * 1024), (SECOND, "x" * 1024)],
            "error: a passphrase has 1 to 1,023 bytes\n",
        ),
    ],
    ids=["mismatch", "empty", "empty the second time", "too long"],
)
def test_keygen_refuses(answers: list[tuple[str, str]], said: str, tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    session = Session("keygen", "--output", directory, "--passphrase")
    for question, answer in answers:
        session.answer(question, answer)
    assert session.end() == 1
    assert session.shown.endswith(said)
    for _, answer in answers:
        assert not answer or answer not in session.shown
    assert not directory.exists()


@pytest.mark.parametrize("question", [FIRST, SECOND])
def test_ctrl_c_at_the_prompt(question: str, tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    session = Session("keygen", "--output", directory, "--passphrase")
    if question == SECOND:
        session.answer(FIRST, SECRET)
    session.interrupt(question)
    assert session.end() == 130
    assert "Traceback" not in session.shown
    assert not directory.exists()


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (SECRET, 0, "Signed manifest written to: {manifest}\n"),
        (OTHER, 1, "error: '{key}': wrong passphrase, or a damaged private key\n"),
        ("", 1, "error: '{key}': wrong passphrase, or a damaged private key\n"),
    ],
    ids=["right", "wrong", "empty"],
)
def test_sign_asks_once(typed: str, code: int, said: str, locked: Path, model: Path) -> None:
    manifest = model / "signed_manifest.json"
    session = Session("sign", "--model-dir", model, "--key", locked, "--signer-id", "alice")
    session.answer(f"Passphrase for '{locked}': ", typed)
    assert session.end() == code
    assert said.format(manifest=manifest, key=locked) in session.shown
    assert not typed or typed not in session.shown
    assert manifest.exists() == (code == 0)


def test_a_wrong_passphrase_is_said_before_the_model_is_looked_at(
    locked: Path, keys: Any, tmp_path: Path
) -> None:
    def sign(key: Path, passphrase: str) -> Result:
        env = {"MODELSEAL_PASSPHRASE": passphrase}
        command = ["sign", "--model-dir", str(tmp_path / "missing"), "--signer-id", "alice"]
        return detached(*command, "--key", key, env=env)

    missing = f"error: model directory '{tmp_path / 'missing'}' does not exist\n"
    wrong = f"error: '{locked}': wrong passphrase, or a damaged private key\n"
    assert sign(locked, OTHER) == Result(1, "", wrong)
    assert sign(locked, SECRET) == Result(1, "", missing)
    assert sign(keys.private, "") == Result(1, "", missing)


def test_a_useless_key_ends_what_was_begun(model: Path, tmp_path: Path) -> None:
    for number in range(600):  # enough for workers
        (model / f"{number}.bin").write_bytes(b"x")
    key = tmp_path / "private.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    key.chmod(0o600)
    said = f"error: '{key}': the private key is damaged, or of an unknown kind\n"
    for more in ([], ["--incremental"]):
        command = ["sign", "--model-dir", str(model), "--key", str(key), "--signer-id", "alice"]
        assert detached(*command, *more) == Result(1, "", said)
    assert not (model / ".modelseal").exists()


def test_no_question_where_none_is_needed(keys: Any, model: Path) -> None:
    session = Session("sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice")
    assert session.end() == 0
    assert "assphrase" not in session.shown


def test_keygen_without_a_terminal_fails_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    done = detached("keygen", "--output", directory, "--passphrase")
    assert done == Result(1, "", NO_TERMINAL)
    assert not directory.exists()


def test_sign_without_a_terminal_fails_at_once(locked: Path, model: Path) -> None:
    done = detached("sign", "--model-dir", model, "--key", locked, "--signer-id", "alice")
    assert done == Result(1, "", NO_TERMINAL)
    assert not (model / "signed_manifest.json").exists()


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nsecond line\n"], ids=repr)
def test_passphrase_file(end: str, tmp_path: Path, model: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f"{SECRET}{end}".encode())
    directory = tmp_path / "keys"
    made = detached("keygen", "--output", directory, "--passphrase-file", file)
    assert (made.code, made.err) == (0, "")
    assert opens(directory / "private.pem", SECRET)
    key = directory / "private.pem"
    signed = detached(
        *("sign", "--model-dir", model, "--key", key, "--signer-id", "alice"),
        *("--passphrase-file", file),
    )
    assert (signed.code, signed.err) == (0, "")
    assert SECRET not in made.out + signed.out


def test_passphrase_by_descriptor(locked: Path, model: Path, tmp_path: Path) -> None:
    for run in (
        ("keygen", "--output", tmp_path / "keys"),
        ("sign", "--model-dir", model, "--key", locked, "--signer-id", "alice"),
    ):
        reading, writing = os.pipe()
        os.write(writing, f"{SECRET}\n".encode())
        os.close(writing)
        done = detached(*run, "--passphrase-file", f"/dev/fd/{reading}", pass_fds=(reading,))
        os.close(reading)
        assert (done.code, done.err) == (0, "")
        assert SECRET not in done.out
    assert opens(tmp_path / "keys" / "private.pem", SECRET)


def test_passphrase_in_the_environment(locked: Path, model: Path, tmp_path: Path) -> None:
    sign = ("sign", "--model-dir", model, "--key", locked, "--signer-id", "alice")
    done = detached(*sign, env={"MODELSEAL_PASSPHRASE": SECRET})
    assert (done.code, done.err) == (0, "")
    done = detached(*sign, env={"MODELSEAL_PASSPHRASE": OTHER})
    said = f"error: '{locked}': wrong passphrase, or a damaged private key\n"
    assert done == Result(1, "", said)
    done = detached(*sign, env={"MODELSEAL_PASSPHRASE": ""})
    assert done == Result(1, "", NO_TERMINAL)
    directory = tmp_path / "keys"
    done = detached(
        "keygen", "--output", directory, "--passphrase", env={"MODELSEAL_PASSPHRASE": SECRET}
    )
    assert (done.code, done.err) == (0, "")
    assert opens(directory / "private.pem", SECRET)


def test_the_file_goes_before_the_environment(tmp_path: Path) -> None:
    file, directory = tmp_path / "secret", tmp_path / "keys"
    file.write_text(SECRET)
    done = detached(
        *("keygen", "--output", directory, "--passphrase-file", file),
        env={"MODELSEAL_PASSPHRASE": OTHER},
    )
    assert done.code == 0
    assert opens(directory / "private.pem", SECRET)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "error: '{file}' has no passphrase in its first line\n"),
        (b"\nsecond\n", "error: '{file}' has no passphrase in its first line\n"),
        (None, "error: cannot read '{file}': no such file or directory\n"),
        (b"x" * 1024, "error: a passphrase has 1 to 1,023 bytes\n"),
        (b"x" * (1 << 20), "error: a passphrase has 1 to 1,023 bytes\n"),
    ],
    ids=["empty", "empty line", "missing", "long", "endless"],
)
def test_passphrase_files_of_no_use(
    content: bytes | None, said: str, run: Callable[..., Result], tmp_path: Path
) -> None:
    file, directory = tmp_path / "secret", tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    done = run("keygen", "--output", directory, "--passphrase-file", file)
    assert done == Result(1, "", said.format(file=file))
    assert not directory.exists()


def test_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = b"caf\xe9 \xff"
    (tmp_path / "secret").write_bytes(secret + b"\n")
    assert prompts.given(str(tmp_path / "secret")) == secret
    monkeypatch.setenv("MODELSEAL_PASSPHRASE", os.fsdecode(secret))
    assert prompts.given(None) == secret


@pytest.mark.parametrize("command", ["keygen", "sign"])
def test_the_command_line_takes_no_passphrase(command: str, run: Callable[..., Result]) -> None:
    """Everybody can read a command line: `--passphrase` has no value, and nothing else takes it."""
    done = run(command, f"--passphrase={SECRET}")
    assert done.code == 64
    assert done.out == ""
    help_ = run(command, "--help").out
    assert "--passphrase-file FILE" in help_
    assert "--password" not in help_
