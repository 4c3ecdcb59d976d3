"""What an installation has: pages that man finds, completions, the makefile."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import docs
from tests.conftest import need


class Environment(NamedTuple):
    """A virtual environment with modelseal in it. checkout: what it was installed from."""

    root: Path
    checkout: Path

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """What a command prints that is found as in an activated environment."""
        kept = ("HOME", "COLUMNS")
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd or self.root,
            env={
                **{name: os.environ[name] for name in kept},
                "PATH": f"{self.root}/bin{os.pathsep}{os.environ['PATH']}",
                "LC_ALL": "C.UTF-8",
            },
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def pip(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_INDEX": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """A fresh environment, where modelseal is installed from a copy of this checkout."""
    directory = tmp_path_factory.mktemp("installed")
    checkout, root = directory / "checkout", directory / "venv"
    checkout.mkdir()
    for name in ("modelseal", "man", "completions"):
        shutil.copytree(
            docs.ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(docs.ROOT / name, checkout)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    # What modelseal needs is here already; so is what builds it.
    here = sysconfig.get_path("purelib")
    (packages,) = root.glob("lib/python*/site-packages")
    (packages / "here.pth").write_text(f"{here}\n")
    python = root / "bin" / "python"
    how = ["--quiet", "--no-deps", "--no-build-isolation"]
    if request.param == "editable":
        pip("--python", python, "install", *how, "--editable", checkout)
    else:
        pip("wheel", *how, "--wheel-dir", directory, checkout)
        (wheel,) = directory.glob("*.whl")
        pip("--python", python, "install", *how, wheel)
        shutil.rmtree(checkout)
    return Environment(root, checkout)


def test_the_command_is_the_one_installed(installed: Environment) -> None:
    code = "import modelseal; print(modelseal.__file__)"
    place = installed.run("python", "-c", code).strip()
    inside = installed.checkout if installed.checkout.exists() else installed.root
    assert place.startswith(f"{inside}/")


def test_man_finds_every_page(installed: Environment) -> None:
    for page in (path.name for path in docs.PAGES):
        name, _, number = page.rpartition(".")
        found = installed.run(need("man"), "-w", number, name).strip()
        assert found == f"{installed.root}/share/man/man{number}/{page}"


def test_completions_are_printed(installed: Environment) -> None:
    for name, shell in docs.COMPLETIONS.items():
        printed = installed.run("modelseal", "completion", shell)
        assert printed == (docs.ROOT / "completions" / name).read_text()


def test_a_tab_at_a_prompt_of_the_environment(installed: Environment) -> None:
    probe = (
        "source <(modelseal completion bash); COMP_LINE='modelseal verif' COMP_POINT=15 "
        'COMP_TYPE=9; _python_argcomplete modelseal; echo "${COMPREPLY[@]}"'
    )
    assert installed.run(need("bash"), "-c", probe).split() == ["verify"]


def test_make_finds_its_makefile(installed: Environment, tmp_path: Path) -> None:
    place = installed.run("modelseal", "--makefile").removesuffix("\n")
    if installed.checkout.exists():
        assert place == f"{installed.checkout}/modelseal/modelseal.mk"
    else:
        assert place == f"{installed.root}/share/modelseal/modelseal.mk"
    (tmp_path / "m").mkdir()
    (tmp_path / "Makefile").write_text("MODEL_DIR := m\ninclude $(shell modelseal --makefile)\n")
    assert installed.run(need("make"), "-n", "seal", cwd=tmp_path).startswith("modelseal sign ")
