"""The tutorial is typed as it stands, one command after the other."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result, need
from tests.test_docs import TEXTS, displays, section
from tests.test_transcripts import SCRIPTS, Step, difference, typed

PAGE = "modelseal-tutorial.7"
STARTS = "MODEL_DIR :="


def texts() -> list[str]:
    """What stands in the page as it is to be typed or read."""
    return [text.replace(r"\&", "") for text in displays(TEXTS[PAGE])]


def steps() -> list[Step]:
    """The commands, and what comes of each; three dots are any text."""
    found: list[Step] = []
    for text in texts():
        if text.startswith(STARTS):
            continue
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append(Step(len(found) + 1, line[2:]))
            else:
                found[-1].expected.append(line.replace("...", "*"))
    return found


def test_what_is_typed_gives_what_is_shown(tmp_path: Path) -> None:
    for step in steps():
        done = typed(step.command, tmp_path)
        # A refusal is shown by its words, or with `echo $?`.
        step.code = int(any(line.startswith("error: ") for line in step.expected))
        if wrong := difference(step, done.stdout.decode(), done.returncode):
            pytest.fail(f"{PAGE}, not as shown:\n{wrong}", pytrace=False)


def test_the_makefile_of_the_tutorial_works(
    tmp_path: Path, model: Path, run: Callable[..., Result]
) -> None:
    (text,) = [text for text in texts() if text.startswith(STARTS)]
    model.rename(tmp_path / "my-model")
    assert run("keygen", "--output", tmp_path / "keys").code == 0
    (tmp_path / "Makefile").write_text(text)
    done = subprocess.run(
        [need("make"), "-s", "seal"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "my-model" / "signed_manifest.json").exists()
    assert "four lines" in section(PAGE, "WITHOUT THINKING OF IT")
    assert len(text.splitlines()) == 4
