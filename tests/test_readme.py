"""The README's commands and code run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelseal.errors import EXIT_CODES
from tests import tour
from tests.conftest import need

README = (Path(__file__).parent.parent / "README.md").read_text()
SCRIPTS = Path(sys.executable).parent


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def make_model(directory: Path) -> None:
    """The model that the README speaks of."""
    (directory / "my-model").mkdir()
    (directory / "my-model" / "config.json").write_text("{}")
    (directory / "my-model" / "model.safetensors").write_bytes(bytes(1000))


def in_shell(commands: list[str], directory: Path) -> str:
    """Run commands as a reader would; return what they print."""
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(commands)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_three_steps(tmp_path: Path) -> None:
    make_model(tmp_path)
    steps = section("Three steps")
    printed = in_shell(blocks(steps, "sh"), tmp_path)
    (shown,) = blocks(steps, "text")
    seen = "Signature: VALID" + printed.split("Signature: VALID")[1]
    assert re.sub("SHA256:.*", "SHA256:…", seen) == shown


def test_the_tour_is_what_comes_of_it() -> None:
    (block,) = blocks(section("A tour"), "console")
    steps = tour.parse(block)
    assert "".join(map("".join, steps)) == block
    for step, taken in zip(steps, tour.take(steps), strict=True):
        assert tour.masked(taken.printed) == tour.masked(step.printed), "run 'make tour'"


def test_only_what_varies_is_passed_over() -> None:
    said = (
        "Key SHA256:" + "a" * 43 + " at 2026-01-31T12:00:00Z, seal 0123456789ab, v1.0.0, 27 bytes"
    )
    assert tour.masked(said) == "Key SHA256:… at TIME, seal DIGEST, v1.0.0, 27 bytes"


@pytest.mark.parametrize("block", ["printed\n$ true\n", "$ true\n# a remark\nprinted\n"])
def test_a_tour_prints_nothing_by_itself(block: str) -> None:
    with pytest.raises(ValueError, match="printed by no command"):
        tour.parse(block)


def test_the_store(tmp_path: Path) -> None:
    make_model(tmp_path)
    in_shell(blocks(section("Three steps"), "sh"), tmp_path)
    printed = in_shell(blocks(section("The store"), "sh"), tmp_path)
    assert "my-classifier" in printed
    assert printed.endswith("All files verified successfully.\n")


def test_the_python_example(tmp_path: Path) -> None:
    make_model(tmp_path)
    (code,) = blocks(section("Python"), "python")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_the_exit_codes_are_the_tables() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", section("Commands"), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_the_git_hook(tmp_path: Path) -> None:
    subprocess.run([need("git"), "init", "-q", tmp_path], check=True)
    (block,) = blocks(section("The git hook"), "sh")
    printed = in_shell([block, "modelseal hook status"], tmp_path)
    assert "Hook: installed" in printed
