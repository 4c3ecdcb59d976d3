"""The machine against us: signals, lost outputs, an environment that lacks everything."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from modelseal import (
    FileEntry,
    KeyManager,
    ModelManifest,
    ModelSigner,
    PublisherRegistry,
    SignatureAlgorithm,
    SignedManifest,
    TrustedPublisher,
    manifestfiles,
)
from modelseal.store import Store
from tests.conftest import Keys, Result, Shell, every_command, need

Args = list[str | Path]

MODELSEAL = [sys.executable, "-m", "modelseal"]
NO_SPACE = "error: cannot write standard output: no space left on device\n"
CLOSED = "error: cannot write standard output: bad file descriptor\n"


def session_members(session: int) -> set[int]:
    """The processes of a session, those aside that only wait to be buried."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("there is no /proc here: stray children can't be seen")
    members = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, of = (directory / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                members.add(int(directory.name))
    return members


def await_mapping(session: int, name: str) -> None:
    """Wait until some process of the session has mapped a file."""
    for _ in range(1000):
        for process in session_members(session):
            with contextlib.suppress(OSError):
                if name in Path(f"/proc/{process}/maps").read_text():
                    return
        time.sleep(0.01)
    pytest.fail(f"nobody reads {name}")


def await_end(session: int) -> set[int]:
    """The processes of a session that are left after half a second."""
    end = time.monotonic() + 0.5
    while (left := session_members(session)) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def snapshot(root: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a directory, stores left out: path → mode, size, mtime."""
    return {
        str(path.relative_to(root)): (info.st_mode, info.st_size, info.st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if ".modelseal" not in path.relative_to(root).parts
        for info in [path.lstat()]
    }


def sign_lightly(model: Path, names: Sequence[str], keys: Keys) -> Path:
    """Sign `names`, files of `model`, without reading them: no digest fits."""
    sizes = {name: (model / name).stat().st_size for name in names}
    manifest = ModelManifest(
        model_name="model",
        model_version="0.0.0",
        framework="unknown",
        files=[
            FileEntry(path=name, size_bytes=size, sha256_hash="0" * 64)
            for name, size in sizes.items()
        ],
        total_size_bytes=sum(sizes.values()),
        created_at=datetime.now(UTC),
        author="",
    )
    signed = ModelSigner().sign_manifest(manifest, keys.private.read_bytes(), "alice")
    path = model / "signed_manifest.json"
    path.write_text(signed.model_dump_json(indent=2))
    return path


def make_endless(directory: Path, keys: Keys) -> Path:
    """Make a signed model of two files that take a minute to hash and no space on disk."""
    model = directory / "model"
    model.mkdir()
    for name in ("w1.bin", "w2.bin"):
        (model / name).touch()
        os.truncate(model / name, 64 << 30)
    sign_lightly(model, ["w1.bin", "w2.bin"], keys)
    return model


def command(name: str, model: Path, keys: Keys) -> list[str]:
    """A command line that does `name`'s main job, `keygen` into a new directory.

    Some need what `furnish` makes.
    """
    manifest = str(model / "signed_manifest.json")
    store = ["--store", str(model.parent)]
    registry = ["--registry", str(model.parent / "registry.json")]
    other = str(model.parent / "other.pem")
    passphrase = str(model.parent / "passphrase")
    return {
        "keygen": ["keygen", "--output", str(model.parent / "new-keys")],
        "sign": ["sign", "--model-dir", str(model), "--key", str(keys.private), "--signer-id", "a"],
        "verify": [
            "verify",
            *("--manifest", manifest, "--key", str(keys.public), "--model-dir", str(model)),
        ],
        "inspect": ["inspect", "--manifest", manifest],
        "init": ["init", str(model.parent)],
        "status": ["status", str(model)],
        "log": ["log", *store],
        "show": ["show", "model", *store],
        "ls": ["ls", "model", *store],
        "diff": ["diff", "model", str(model), *store],
        "refs": ["refs", *store],
        "identify": ["identify", str(model / "config.json"), *store],
        "fsck": ["fsck", *store],
        "gc": ["gc", *store],
        "key fingerprint": ["key", "fingerprint", str(keys.public)],
        "key public": ["key", "public", str(keys.private)],
        "key passwd": [
            *("key", "passwd", "--passphrase-file", passphrase),
            *("--new-passphrase-file", passphrase, "--openssh", str(keys.private)),
        ],
        "cosign": [
            *("cosign", "--manifest", manifest, "--signer-id", "bob", *store),
            *("--key", str(model.parent / "other-private.pem")),
        ],
        "trust add": ["trust", "add", "bob", "--key", other, *registry],
        "trust list": ["trust", "list", *registry],
        "trust show": ["trust", "show", "alice", *registry],
        "trust remove": ["trust", "remove", "alice", *registry],
        "trust revoke": ["trust", "revoke", "alice", *registry],
        "trust rotate": ["trust", "rotate", "alice", "--key", other, *registry],
        "trust import": ["trust", "import", str(model.parent / "theirs.json"), *registry],
        "trust export": ["trust", "export", *registry],
        "hook install": ["hook", "install"],
        "hook uninstall": ["hook", "uninstall"],
        "hook status": ["hook", "status"],
        "config": ["config"],
        "completion": ["completion", "bash"],
        "doctor": ["doctor"],
        "--help": ["--help"],
        "--version": ["--version"],
    }[name]


# `hook run` answers by its exit code, and says nothing of a push that may go on.
EVERY = [*(name for name in every_command() if name != "hook run"), "--help", "--version"]


def test_every_command_is_tried(model: Path, keys: Keys) -> None:
    for name in EVERY:
        words = name.split()
        assert command(name, model, keys)[: len(words)] == words


def furnish(directory: Path, keys: Keys) -> None:
    """Make what commands ask for beside a model: registries, another key, a git repository."""
    private, public = KeyManager().generate_keypair(SignatureAlgorithm.ed25519)
    (directory / "other-private.pem").write_bytes(private)
    (directory / "other-private.pem").chmod(0o600)
    (directory / "other.pem").write_bytes(public)
    (directory / "passphrase").write_text("secret\n")
    for name, key, file in (
        ("alice", keys.public.read_bytes(), "registry.json"),
        ("carol", public, "theirs.json"),
    ):
        PublisherRegistry(directory / file).add_publisher(
            TrustedPublisher(
                publisher_id=name,
                name=name,
                public_key=base64.b64encode(key).decode(),
                trusted_since=datetime(2026, 1, 1, tzinfo=UTC),
            )
        )
    subprocess.run(["git", "init", "-q", directory], check=True)
    install = [*MODELSEAL, "hook", "install"]
    subprocess.run(install, check=True, cwd=directory, stdout=subprocess.DEVNULL)


# Row 32: signals


@pytest.mark.parametrize("name", ["sign", "verify"])
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        # Whoever sends these sees that they did it: a shell shows 128 and the number.
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_row_32_a_signal_ends_a_long_job(
    name: str, number: signal.Signals, code: int, keys: Keys, tmp_path: Path
) -> None:
    model = make_endless(tmp_path, keys)
    before = snapshot(tmp_path)
    process = subprocess.Popen(
        [*MODELSEAL, *command(name, model, keys)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        await_mapping(process.pid, "/w1.bin")
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (code, b"", b"")
        assert await_end(process.pid) == set()
    finally:
        for member in session_members(process.pid):
            os.kill(member, signal.SIGKILL)
    assert snapshot(tmp_path) == before


def test_row_32_nohup_is_respected(keys: Keys, tmp_path: Path) -> None:
    model = make_endless(tmp_path, keys)
    process = subprocess.Popen(
        [need("nohup"), *MODELSEAL, *command("verify", model, keys)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        await_mapping(process.pid, "/w1.bin")
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == -signal.SIGTERM
    finally:
        for member in session_members(process.pid):
            os.kill(member, signal.SIGKILL)


class Moment(NamedTuple):
    """The K-th call of some system calls, as strace counts them."""

    calls: str
    which: int = 1


@pytest.mark.parametrize(
    ("name", "moment", "number", "code"),
    [
        ("sign", Moment("fsync"), "INT", 130),
        ("sign", Moment("/^rename"), "INT", 130),
        ("sign", Moment("fsync", 2), "TERM", -signal.SIGTERM),
        ("keygen", Moment("fsync"), "INT", 130),
        ("keygen", Moment("/^link"), "INT", 130),
        ("keygen", Moment("/^unlink"), "TERM", -signal.SIGTERM),
        ("keygen", Moment("fsync", 3), "INT", 130),
        ("keygen", Moment("/^link", 2), "HUP", -signal.SIGHUP),
        ("keygen", Moment("/^unlink", 2), "INT", 130),
    ],
    ids=str,
)
def test_row_32_a_signal_while_writing_leaves_all_or_nothing(
    name: str, moment: Moment, number: str, code: int, signed: Path, keys: Keys, tmp_path: Path
) -> None:
    model = signed.parent
    old = signed.read_bytes()
    before = set(snapshot(tmp_path))
    inject = f"inject={moment.calls}:signal={number}:when={moment.which}"
    done = subprocess.run(
        [
            *(need("strace"), "-qq", "-o", os.devnull, "-e", inject),
            *(*MODELSEAL, *command(name, model, keys)),
        ],
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
    )
    if b"ptrace" in done.stderr.lower():
        pytest.skip(f"strace may not trace here: {done.stderr!r}")
    assert (done.returncode, done.stderr) == (code, b"")
    new = set(snapshot(tmp_path)) - before
    if name == "keygen":
        pair = {"new-keys", "new-keys/private.pem", "new-keys/public.pem"}
        assert new in ({"new-keys"}, pair)
    else:
        assert new == set()
        assert signed.read_bytes() == old or SignedManifest.model_validate_json(signed.read_bytes())


# Row 32: outputs


INTERRUPTED = """
import os, sys
from modelseal import cli, output

def interrupted():
    os.kill(os.getpid(), int(sys.argv.pop()))
    return finish()

finish = output.finish
output.finish = interrupted
sys.exit(cli.main())
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_row_32_a_signal_while_nobody_reads_the_answer(number: signal.Signals, code: int) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x")
    os.set_blocking(write, True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED, "--version", str(int(number))],
            stdout=write,
            stderr=subprocess.PIPE,
            # Unbuffered, the answer would be stuck sooner.
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            timeout=10,
        )
    finally:
        os.close(read)
        os.close(write)
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("where", ["/dev/full", "closed", "pipe"])
def test_row_32_an_answer_that_is_lost_is_no_success(
    name: str, where: str, signed: Path, keys: Keys, tmp_path: Path
) -> None:
    Store.init(tmp_path).add(manifestfiles.load(signed), model_dir=signed.parent)
    furnish(tmp_path, keys)
    args = [*MODELSEAL, *command(name, signed.parent, keys)]
    stdout: int | None = None
    if where == "/dev/full":
        if not Path(where).exists():
            pytest.skip("there is no /dev/full here")
        stdout, said = os.open(where, os.O_WRONLY), NO_SPACE
    elif where == "closed":
        args, said = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *args], CLOSED
    else:
        # As `| head` leaves it: that nobody reads on is no error to tell anybody of.
        reader, stdout = os.pipe()
        os.close(reader)
        said = ""
    try:
        done = subprocess.run(
            args, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60
        )
    finally:
        if stdout is not None:
            os.close(stdout)
    assert (done.returncode, done.stderr) == (1, said)
    # What was to be written to files is whole all the same.
    SignedManifest.model_validate_json(signed.read_bytes())
    if name == "keygen":
        private = tmp_path / "new-keys" / "private.pem"
        assert private.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
        assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_row_32_not_verified_stays_so_when_the_answer_is_lost(
    signed: Path, keys: Keys, ecdsa_keys: Keys, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    args: Args = ["verify", "--manifest", signed, "--key", ecdsa_keys.public]
    for flags in [], ["--json"]:
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [*MODELSEAL, *args, *flags], stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert (done.returncode, done.stderr) == (2, NO_SPACE)


def test_row_32_head_reads_one_line_of_many(model: Path, keys: Keys, tmp_path: Path) -> None:
    names = [f"{number:05}.bin" for number in range(5000)]
    for name in names:
        (model / name).touch()
    path = sign_lightly(model, names, keys)
    done = subprocess.run(
        [
            *("/bin/sh", "-c", '{ "$@"; echo $? >code; } | head -n 1', "sh"),
            *(*MODELSEAL, "inspect", "--manifest", str(path)),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("Model      : model v0.0.0\n", "")
    assert (tmp_path / "code").read_text() == "1\n"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_row_32_without_standard_error_all_else_is_the_same(
    redirection: str, shell: Shell, signed: Path, keys: Keys, ecdsa_keys: Keys, tmp_path: Path
) -> None:
    keys.private.chmod(0o644)  # worth a warning
    verify = command("verify", signed.parent, keys)
    for args, code in (
        ([*command("sign", signed.parent, keys), "--no-store"], 0),
        (verify, 0),
        ([*verify[:-3], str(ecdsa_keys.public)], 2),
        (["verify"], 64),
        (["verify", "--manifest", "nowhere"], 1),
        (["inspect", "--manifest", "nowhere"], 1),
    ):
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *MODELSEAL, *args],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stdout) == (code, shell(*args).out)
        SignedManifest.model_validate_json(signed.read_bytes())


def test_row_32_with_every_descriptor_closed(signed: Path, keys: Keys, tmp_path: Path) -> None:
    for name in ("keygen", "sign", "verify"):
        args = [*MODELSEAL, *command(name, signed.parent, keys)]
        done = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *args], cwd=tmp_path
        )
        assert done.returncode == 1
    SignedManifest.model_validate_json(signed.read_bytes())
    assert (tmp_path / "new-keys" / "private.pem").read_bytes()[:10] == b"-----BEGIN"


# Row 32: the environment


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LANG": "C"},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
        {"TERM": "nonsense", "HOME": "/nonexistent", "COLUMNS": "0", "LANG": "xx_YY"},
    ],
    ids=str,
)
def test_row_32_an_environment_without_home_terminal_and_language(
    env: Mapping[str, str], model: Path, keys: Keys, tmp_path: Path
) -> None:
    names = ["größe 模型.bin", "e\u0301", "config.json", "empty.txt", "weights/model.bin"]
    for name in names[:2]:
        (model / name).write_text(name)
    model = model.rename(tmp_path / "modèle")

    def ask(*args: str | Path) -> Result:
        done = subprocess.run(
            [*MODELSEAL, *map(os.fsencode, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": os.environ["PATH"], **env},
            cwd=tmp_path,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    args: Args = ["--model-name", "m", "--key", keys.private, "--signer-id", "a"]
    done = ask("sign", "--model-dir", model, *args)
    assert (done.code, done.err) == (0, "")
    path = model / "signed_manifest.json"
    signed = SignedManifest.model_validate_json(path.read_bytes())
    assert [entry.path for entry in signed.manifest.files] == sorted(names)
    check: Args = ["verify", "--manifest", path, "--key", keys.public, "--model-dir", model]
    done = ask(*check)
    assert (done.code, done.err) == (0, "")
    assert "  [OK] config.json\n" in done.out
    if "PYTHONIOENCODING" in env:
        assert done.out.isascii()
        assert "  [OK] gr\\xf6\\xdfe \\u6a21\\u578b.bin\n" in done.out
    (model / names[0]).unlink()
    done = ask(*check, "--json")
    assert (done.code, done.err) == (2, "")
    assert json.loads(done.out)["missing"] == names[:1]
    done = ask("inspect", "--manifest", path)
    assert (done.code, done.err) == (0, "")
    done = ask("inspect", "--manifest", model / "größe")
    assert done.code == 1
    assert done.err.startswith("error: cannot read '")


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[Path]:
    """A current directory that was removed."""
    directory = tmp_path / "gone"
    directory.mkdir()
    here = Path.cwd()
    os.chdir(directory)
    directory.rmdir()
    yield directory
    os.chdir(here)


def test_row_32_a_current_directory_that_was_removed(
    gone: Path, signed: Path, keys: Keys, run: Callable[..., Result]
) -> None:
    # Whole paths need no current directory.
    for name in ("sign", "verify", "inspect", "keygen"):
        done = run(*command(name, signed.parent, keys))
        assert (done.code, done.err) == (0, ""), name
    key = ["--key", keys.private, "--signer-id", "a"]
    for args in (
        ["keygen"],
        ["sign", "--model-dir", ".", *key],
        ["sign", "--model-dir", signed.parent, *key, "--output", "m.json"],
        ["verify", "--manifest", "m.json", "--key", keys.public],
        ["verify", "--manifest", signed, "--key", keys.public, "--model-dir", "."],
    ):
        done = run(*args)
        assert (done.code, done.out) == (1, ""), args
        # It says of what.
        assert re.fullmatch(
            r"error: [^\n]*'[^'\n]+'[^\n]*no such file or directory\n|"
            r"error: [^\n]*current directory[^\n]*\n",
            done.err,
        ), (args, done.err)


# Row 8: names that would act on a terminal

EVIL = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "a\r[OK] b",
    "a\n  [OK] b",
    "tab\tbed",
    "a\u202egnp.exe",
    "\x9b31m",
    "del\x7f",
    "line\u2028break",
]


def test_row_08_no_output_carries_a_control_character(
    run: Callable[..., Result], model: Path, keys: Keys, ecdsa_keys: Keys, tmp_path: Path
) -> None:
    said: list[str] = []

    def ask(code: int, *args: str | Path) -> str:
        done = run(*args)
        assert done.code == code, (args, done)
        said.append(done.out + done.err)
        return done.out

    for number, name in enumerate(EVIL):
        (model / name).write_text(name)
        (model / f"dir {number} {name}").mkdir()
        (model / f"dir {number} {name}" / "w").touch()
    model = model.rename(tmp_path / "\x1b[2Jmodel\n")
    odd = "\x1b[1mb\u202eob\n"
    key = shutil.copy(keys.private, tmp_path / "\x1b[7mkey")
    os.chmod(key, 0o644)
    sign: Args = ["sign", "--model-dir", model, "--key", key, "--signer-id", odd]
    ask(0, *sign, "--author", odd, "--description", odd, "--framework", odd)
    path = model / "signed_manifest.json"
    check: Args = ["verify", "--manifest", path, "--key", keys.public]
    out = ask(0, *check, "--model-dir", model)
    assert out.count("\n") == 7 + 3 + 2 * len(EVIL) - 1
    assert r"  [OK] a\n  [OK] b" in out.splitlines()
    assert r"  [OK] \x1b[31mred" in out.splitlines()
    ask(0, "inspect", "--manifest", path)
    ask(0, "inspect", "--manifest", path, "--json-output")
    for name in EVIL[::2]:
        (model / name).write_text("altered")
    for name in EVIL[1::2]:
        (model / name).rename(model / f"new {name}")
    ask(2, *check, "--model-dir", model)
    ask(2, *check, "--model-dir", model, "--json")
    ask(2, *check, "--model-dir", model, *("--ignore-path", EVIL[0]))
    ask(2, "verify", "--manifest", path, "--key", ecdsa_keys.public)
    for name in EVIL:
        ask(1, "inspect", "--manifest", tmp_path / name)
        ask(1, "inspect", "--manifest", tmp_path / name, "--json")
        ask(1, "verify", "--manifest", path, "--key", tmp_path / name)
        ask(1, *check, "--model-dir", tmp_path / name)
        ask(1, *check, "--model-dir", model, "--ignore-path", f"/{name}")
        ask(64, name)
        # What has a blank in it is no option, but the name of a model.
        ask(1 if " " in name else 64, "verify", f"--{name}")
        ask(64, "keygen", "--algorithm", name)
    (model / "\x1b[5mlink").symlink_to("\x1b[6mtarget")
    os.close(os.open(os.fsencode(model) + b"/\xff\x1b[0m", os.O_CREAT))
    ask(1, *sign)
    ask(2, *check, "--model-dir", model)
    for text in said:
        for line in text.splitlines():
            assert line.isprintable(), ascii(line)
        assert text.count("\n") == len(text.splitlines())
