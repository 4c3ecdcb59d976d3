"""What tests share: no way to the real home, a small model, a key pair, and the command to run."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from modelseal import KeyManager, SignatureAlgorithm, cli
from modelseal.cli import main

VECTORS = Path(__file__).parent / "vectors"


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Keys(NamedTuple):
    """A key pair on disk."""

    private: Path
    public: Path


class Shell(Protocol):
    """Runs modelseal as a process of its own."""

    def __call__(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | bytes = b"",
    ) -> Result: ...


def pytest_configure() -> None:
    """Commands that tests start can be interrupted, also where we are a shell's background job."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches the real home directory, or sees the caller's settings."""
    for name in list(os.environ):
        if name.startswith(("MODELSEAL_", "XDG_", "CLICOLOR", "NO_COLOR", "GIT_", "PRE_COMMIT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of three small files, one in a directory, one empty."""
    root = tmp_path / "model"
    (root / "weights").mkdir(parents=True)
    (root / "config.json").write_text('{"vocab_size": 32000}')
    (root / "weights" / "model.bin").write_bytes(bytes(range(256)) * 8)
    (root / "empty.txt").touch()
    return root


@pytest.fixture(scope="session")
def _pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("keys")
    manager = KeyManager()
    for algorithm in SignatureAlgorithm:
        manager.save_keypair(*manager.generate_keypair(algorithm), root / algorithm.value)
    return root


@pytest.fixture
def keys(_pairs: Path, tmp_path: Path) -> Keys:
    """An Ed25519 pair of this test's own."""
    directory = tmp_path / "keys"
    shutil.copytree(_pairs / "ed25519", directory)
    return Keys(directory / "private.pem", directory / "public.pem")


@pytest.fixture
def ecdsa_keys(_pairs: Path, tmp_path: Path) -> Keys:
    """An ECDSA P-256 pair of this test's own."""
    directory = tmp_path / "ecdsa-keys"
    shutil.copytree(_pairs / "ecdsa_p256", directory)
    return Keys(directory / "private.pem", directory / "public.pem")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run modelseal in this process: `run("verify", "--manifest", path)`."""

    def call(*args: str | Path) -> Result:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run modelseal as a process of its own, without a terminal."""

    def call(
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | bytes = b"",
    ) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "modelseal", *map(str, args)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=cwd or tmp_path,
            env={**os.environ, **(env or {})},
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture
def signed(model: Path, keys: Keys, run: Callable[..., Result]) -> Iterator[Path]:
    """The signed manifest of `model`, signed with `keys` as alice@example.com."""
    done = run(
        "sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice@example.com"
    )
    assert done.code == 0, done.err
    yield model / "signed_manifest.json"


def every_command() -> list[str]:
    """The commands as they are typed, those of a group after its name."""
    names = []
    for name in cli.COMMANDS:
        inner: dict[str, str] = getattr(cli._load(name), "COMMANDS", {})
        names += [f"{name} {action}" for action in inner] or [name]
    return names


def need(program: str) -> str:
    """The path of a program that a test runs.

    Where it is missing the test fails in CI, and is skipped elsewhere with the reason.
    """
    path = shutil.which(program)
    if path:
        return path
    reason = f"{program} is not installed: see tests/system-packages.sh"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
