"""Transcripts: what a person types, and what a person sees.

`# comment`, `$ command`, then the output, standard error among it. `*` alone is any number of
lines, within a line any text. `[N]` is the exit code where it isn't 0. `-- name --` at the end
begins a file that is there before the first command. `# needs: program`; `# model: package version`
has the model files of a published wheel in the directory `package-version`.
"""

import difflib
import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import real_models
from tests.conftest import every_command, need

DIRECTORY = Path(__file__).parent / "transcripts"
TRANSCRIPTS = sorted(DIRECTORY.glob("*.txt"))
SCRIPTS = Path(sysconfig.get_path("scripts"))


@dataclass
class Step:
    """A command, and what must come of it."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)
    code: int = 0


class Transcript(NamedTuple):
    """needs: programs that the commands run. models: packages. files: name → content."""

    needs: list[str]
    models: list[tuple[str, str]]
    steps: list[Step]
    files: dict[str, str]


def parse(text: str) -> Transcript:
    """Read a transcript; blank lines around a command's output only separate."""
    body, *sections = re.split(r"^-- (.+) --\n", text, flags=re.MULTILINE)
    needs: list[str] = []
    models: list[tuple[str, str]] = []
    steps: list[Step] = []
    for number, line in enumerate(body.splitlines(), 1):
        if line.startswith("# needs: "):
            needs += line.split()[2:]
        elif line.startswith("# model: "):
            package, version = line.split()[2:]
            models.append((package, version))
        elif line.startswith("$ "):
            steps.append(Step(number, line[2:]))
        elif line.startswith("#"):
            continue
        elif code := re.fullmatch(r"\[(\d+)\]", line):
            steps[-1].code = int(code[1])
        elif line or (steps and steps[-1].expected):
            steps[-1].expected.append(line)
    for step in steps:
        while step.expected and not step.expected[-1]:
            step.expected.pop()
    return Transcript(needs, models, steps, dict(zip(sections[::2], sections[1::2], strict=True)))


def pattern(line: str) -> str:
    """A line of a transcript as a regular expression."""
    if line == "*":
        return r"(?:.*\n)*"
    return re.escape(line).replace(r"\*", ".*") + r"\n"


def difference(step: Step, output: str, code: int) -> str:
    """What is not as expected, as a diff; empty if all is."""
    if code == step.code and re.fullmatch("".join(map(pattern, step.expected)), output):
        return ""
    seen = output.splitlines()
    # A line with a wildcard that fits one of the output is no difference.
    expected = [
        next((other for other in seen if re.fullmatch(pattern(line), other + "\n")), line)
        for line in step.expected
    ]
    return "\n".join(
        difflib.unified_diff(
            [*expected, f"[{step.code}]"],
            [*seen, f"[{code}]"],
            f"line {step.line}: $ {step.command}",
            "seen",
            lineterm="",
        )
    )


def typed(command: str, directory: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell; what it prints comes in the order of its writing."""
    return subprocess.run(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env={
            **os.environ,
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",  # else all of stdout would come last
        },
        start_new_session=True,  # without a terminal to ask at
        umask=0o022,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, tmp_path: Path) -> None:
    transcript = parse(path.read_text())
    assert transcript.steps
    for program in transcript.needs:
        need(program)
    for package, version in transcript.models:
        shutil.copytree(real_models.fetch(package, version), tmp_path / f"{package}-{version}")
    for name, content in transcript.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert (SCRIPTS / "modelseal").exists(), "modelseal is not installed"
    for step in transcript.steps:
        done = typed(step.command, tmp_path)
        if wrong := difference(step, done.stdout.decode(), done.returncode):
            pytest.fail(f"{path.name}, not as expected:\n{wrong}", pytrace=False)


def test_every_command_has_a_transcript() -> None:
    steps = [step for path in TRANSCRIPTS for step in parse(path.read_text()).steps]
    shown = {
        name
        for step in steps
        if step.expected != ["*"]
        for name in re.findall(r"\bmodelseal ([a-z]+(?: [a-z]+)?)", step.command)
    }
    shown |= {name.split()[0] for name in shown}
    assert shown >= {*every_command()}
    assert {"errors", "formats"} <= {path.stem for path in TRANSCRIPTS}


@pytest.mark.parametrize(
    ("expected", "code", "fits"),
    [
        ("a\nb\n", 0, True),
        ("a\n*\n", 0, True),
        ("*\na\nb\n*\n", 0, True),
        ("*a\n*\n[3]\n", 3, True),
        ("a\nb\n", 1, False),
        ("a\nb\n[2]\n", 0, False),
        ("a\n", 0, False),
        ("a\nb\nc\n", 0, False),
        ("b\n*\n", 0, False),
        ("a.\n*\n", 0, False),
        ("", 0, False),
    ],
)
def test_a_mismatch_is_seen(expected: str, code: int, fits: bool) -> None:
    (step,) = parse(f"# a comment\n$ command\n{expected}\n").steps
    assert (difference(step, "a\nb\n", code) == "") is fits
