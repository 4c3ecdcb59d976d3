"""At a terminal: progress, Ctrl-C, and what is left on the screen."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from tests.conftest import Keys, need
from tests.test_threats_machine import await_end, await_mapping, command, make_endless, snapshot

# Newer Pythons warn of a fork beside threads, which a parallel test run has.
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

PIECE = 256 << 20
PIECES = 8


def spawn(
    *args: str | Path, columns: int = 80, cwd: Path, env: dict[str, str] | None = None
) -> "pexpect.spawn[str]":
    """Run modelseal at a terminal of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return pexpect.spawn(
        sys.executable,
        ["-m", "modelseal", *map(str, args)],
        dimensions=(24, columns),
        encoding="utf-8",
        cwd=str(cwd),
        env={**environment, "TERM": "xterm", **(env or {})},
        timeout=60,
    )


def finish(child: "pexpect.spawn[str]") -> tuple[int | None, str]:
    """The exit code, and the output from here on."""
    text = child.read()
    child.close()
    return child.exitstatus, text


def screen(text: str, columns: int) -> list[str]:
    """What a terminal shows in the end; no line may be wider than it is."""
    shown = []
    for line in text.removesuffix("\r\n").split("\r\n"):
        cells = ""
        for piece in line.split("\r"):
            assert len(piece) <= columns, piece
            cells = piece + cells[len(piece) :]
        shown.append(cells.rstrip())
    return shown


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes a second or more to hash, and no space on disk.

    Its files are one: the system has to find memory for that one alone.
    """
    model = tmp_path_factory.mktemp("long") / "model"
    model.mkdir()
    (model / "w0.bin").touch()
    os.truncate(model / "w0.bin", PIECE)
    for number in range(1, PIECES):
        os.link(model / "w0.bin", model / f"w{number}.bin")
    return model


def long_job(long_model: Path, keys: Keys) -> list[str]:
    """Sign it, however many processors there are."""
    return [*command("sign", long_model, keys), "--output", "m.json", "--jobs", "1", "--no-store"]


@pytest.mark.parametrize("columns", [80, 40])
def test_a_long_job_shows_progress_and_leaves_no_trace(
    columns: int, long_model: Path, keys: Keys, tmp_path: Path
) -> None:
    args = long_job(long_model, keys)
    code, text = finish(spawn(*args, columns=columns, cwd=tmp_path))
    assert code == 0
    assert screen(text, columns) == [
        "Signed manifest written to: m.json",
        f"  Files    : {PIECES}",
        f"  Total    : {PIECE * PIECES:,} bytes",
        "  Signer   : a",
        "  Algorithm: ed25519",
    ]
    bars = [piece for piece in text.split("\r") if "%" in piece]
    assert len(bars) > 1
    percentages = [int(bar.partition("%")[0].split()[-1]) for bar in bars]
    assert percentages == sorted(percentages)
    # How far, how fast, and how long still.
    assert re.search(r"\d%.*\d[KMG].*\d\d:\d\d.*\d[KMG]B/s", bars[-1]), bars[-1]


def test_a_short_job_shows_no_progress(model: Path, keys: Keys, tmp_path: Path) -> None:
    code, text = finish(
        spawn(*command("sign", model, keys), "--no-store", columns=300, cwd=tmp_path)
    )
    assert code == 0
    assert text == (
        f"Signed manifest written to: {model}/signed_manifest.json\r\n"
        "  Files    : 3\r\n"
        "  Total    : 2,069 bytes\r\n"
        "  Signer   : a\r\n"
        "  Algorithm: ed25519\r\n"
    )


def test_a_dumb_terminal_and_a_pipe_get_no_progress(
    long_model: Path, keys: Keys, tmp_path: Path
) -> None:
    args = long_job(long_model, keys)
    code, text = finish(spawn(*args, cwd=tmp_path, env={"TERM": "dumb"}))
    assert code == 0
    assert text.startswith("Signed manifest written to: m.json\r\n")
    assert len(text.splitlines()) == 5
    done = subprocess.run(
        [sys.executable, "-m", "modelseal", *args], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == text.replace("\r\n", "\n")


def test_a_result_in_a_pipe_leaves_progress_to_the_terminal(
    long_model: Path, keys: Keys, tmp_path: Path
) -> None:
    args = long_job(long_model, keys)
    child = pexpect.spawn(
        "/bin/sh",
        ["-c", '"$@" >out', "sh", sys.executable, "-m", "modelseal", *args],
        encoding="utf-8",
        cwd=str(tmp_path),
        env={**os.environ, "TERM": "xterm"},
        timeout=60,
    )
    code, text = finish(child)
    assert code == 0
    assert "hashing:" in text
    assert screen(text, 80) == [""]
    assert (tmp_path / "out").read_text().startswith("Signed manifest written to: m.json\n")


@pytest.mark.parametrize("name", ["sign", "verify"])
def test_row_32_ctrl_c_ends_a_long_job_within_half_a_second(
    name: str, keys: Keys, tmp_path: Path
) -> None:
    model = make_endless(tmp_path, keys)
    before = snapshot(tmp_path)
    elapsed: list[float] = []
    while len(elapsed) < 3 and min(elapsed, default=1) >= 0.5:  # a busy machine may stand still
        child = spawn(*command(name, model, keys), cwd=tmp_path)
        try:
            await_mapping(child.pid, "/w1.bin")
            child.expect("hashing:.*B/s")
            start = time.monotonic()
            child.sendintr()
            code, text = finish(child)
            elapsed.append(time.monotonic() - start)
            assert code == 130
            assert text.endswith("\r")
            assert await_end(child.pid) == set()
        finally:
            child.close(force=True)
        assert snapshot(tmp_path) == before
    assert min(elapsed) < 0.5


def test_row_32_ctrl_c_at_the_passphrase(keys: Keys, model: Path, tmp_path: Path) -> None:
    child = spawn("keygen", "--output", "new-keys", "--passphrase", cwd=tmp_path)
    child.expect("Passphrase for the private key: ")
    child.sendintr()
    code, _ = finish(child)
    assert code == 130
    assert not (tmp_path / "new-keys").exists()


def test_a_passphrase_is_asked_for_twice_and_never_shown(model: Path, tmp_path: Path) -> None:
    child = spawn("keygen", "--passphrase", cwd=tmp_path)
    for _ in range(2):
        child.expect(r"[^:\r\n]+: ")
        child.sendline("open sesame")
    code, text = finish(child)
    assert code == 0
    assert "sesame" not in text
    assert "  Private: keys/private.pem (encrypted)" in text
    for typed, code in (("open sesame", 0), ("wrong", 1)):
        sign: list[str | Path] = ["sign", "--model-dir", model, "--key", "keys/private.pem"]
        sign += ["--signer-id", "a"]
        child = spawn(*sign, cwd=tmp_path)
        child.expect_exact("Passphrase for 'keys/private.pem': ")
        child.sendline(typed)
        assert finish(child)[0] == code
    child = spawn("keygen", "--output", "other", "--passphrase", cwd=tmp_path)
    for typed in ("one", "two"):
        child.expect(r"[^:\r\n]+: ")
        child.sendline(typed)
    code, text = finish(child)
    assert (code, uncoloured(text).strip()) == (1, "error: the passphrases differ")
    assert not (tmp_path / "other").exists()


def test_row_08_a_prompt_shows_a_name_without_its_control_characters(
    model: Path, tmp_path: Path
) -> None:
    name = "\x1b[31mkey\n"
    keygen = [need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "a secret", "-C", "", "-f"]
    subprocess.run([*keygen, tmp_path / name], check=True)
    child = spawn(*("sign", "--model-dir", model, "--key", name, "--signer-id", "a"), cwd=tmp_path)
    child.expect(": ")
    assert child.before == r"Passphrase for '\x1b[31mkey\n'"
    child.sendline("a secret")
    assert finish(child)[0] == 0


# Colours


def uncoloured(text: str) -> str:
    """Text without the sequences that set a colour."""
    return re.sub(r"\x1b\[\d+m", "", text)


def test_marks_have_colours_at_a_terminal_and_pipes_get_the_same_text(
    signed: Path, model: Path, keys: Keys, tmp_path: Path
) -> None:
    (model / "config.json").write_text("altered")
    (model / "extra.py").touch()
    verify = ["verify", "--manifest", str(signed), "--key", str(keys.public)]
    verify += ["--model-dir", str(model)]
    code, text = finish(spawn(*verify, cwd=tmp_path))
    assert code == 2
    assert "\x1b[32mSignature: VALID\x1b[0m\r\n" in text
    assert "  \x1b[31m[FAIL]\x1b[0m config.json\r\n" in text
    assert "  \x1b[32m[OK]\x1b[0m empty.txt\r\n" in text
    assert "  \x1b[31m[UNSIGNED]\x1b[0m extra.py\r\n" in text
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CLICOLOR": "0"}):
        assert finish(spawn(*verify, cwd=tmp_path, env=plain)) == (2, uncoloured(text))
    done = subprocess.run(
        [sys.executable, "-m", "modelseal", *verify],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": "1"},
    )
    assert done.stdout.decode() == uncoloured(text).replace("\r\n", "\n")


@pytest.mark.parametrize("format_", ["--json", "--porcelain", "-z"])
def test_what_programs_read_has_no_colour_even_where_it_is_forced(
    format_: str, signed: Path, model: Path, tmp_path: Path
) -> None:
    (model / "config.json").write_text("altered")
    code, text = finish(spawn("status", model, format_, cwd=tmp_path, env={"CLICOLOR_FORCE": "1"}))
    assert code == 2
    assert "config.json" in text
    assert "\x1b" not in text


def test_errors_begin_in_red(tmp_path: Path) -> None:
    code, text = finish(spawn("show", "--store", "nowhere", "x", cwd=tmp_path))
    assert code == 1
    assert text.startswith("\x1b[31merror:\x1b[0m there is no store at 'nowhere'\r\nhint: ")


@pytest.mark.parametrize("name", ["sign", "verify"])
def test_quiet_is_without_progress_and_answer(
    name: str, long_model: Path, keys: Keys, tmp_path: Path
) -> None:
    args = long_job(long_model, keys)
    if name == "verify":
        subprocess.run([sys.executable, "-m", "modelseal", *args], check=True, cwd=tmp_path)
        args = ["verify", "--manifest", "m.json", "--key", str(keys.public)]
        args += ["--model-dir", str(long_model), "--jobs", "1"]
    code, text = finish(spawn(*args, "--quiet", cwd=tmp_path))
    assert (code, text) == (0, "")


def test_quiet_is_quiet_about_a_bundle_too(
    long_model: Path, ecdsa_keys: Keys, tmp_path: Path
) -> None:
    where = ["--model-dir", str(long_model), "--jobs", "1"]
    sign = ["sign", "--format", "oms", "--output", "m.sig", "--key", str(ecdsa_keys.private)]
    command = [sys.executable, "-m", "modelseal", *sign, *where, "--no-store"]
    subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
    verify = ["verify", "--manifest", "m.sig", "--key", str(ecdsa_keys.public), *where]
    assert finish(spawn(*verify, "--quiet", cwd=tmp_path)) == (0, "")
