"""A Tab in bash, with the completion file that is installed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from modelseal import cli
from tests.conftest import every_command, need
from tests.docs import COMPLETIONS, PROGRAMS, ROOT

SCRIPT = ROOT / "completions" / "modelseal.bash"
BIN = Path(sys.executable).parent

# What bash does at a Tab: call the function that `complete -F` named, with the line so far.
PROBE = """
source {script}
function=$(complete -p {program} | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
COMP_LINE={line} COMP_POINT={point} COMP_TYPE=9
"$function" {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console scripts of this environment are those that completion runs."""
    for program in PROGRAMS:
        if not (BIN / program).exists():
            pytest.fail(f"{program} is not installed beside {sys.executable}: pip install -e .")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")


def tab(line: str, cwd: Path) -> list[str]:
    """What bash offers at the end of a line."""
    probe = PROBE.format(
        script=shlex.quote(str(SCRIPT)),
        program=line.split(maxsplit=1)[0],
        line=shlex.quote(line),
        point=len(line.encode()),
    )
    done = subprocess.run(
        [need("bash"), "--norc", "--noprofile", "-c", probe],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(word.strip() for word in done.stdout.splitlines() if word.strip())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("modelseal ", sorted(["--help", "--version", "-h", *cli.COMMANDS])),
        ("aumai-modelseal key", ["key", "keygen"]),
        ("modelseal --v", ["--version"]),
        ("modelseal keygen --algorithm ", ["ecdsa_p256", "ed25519"]),
        ("modelseal keygen --algorithm ec", ["ecdsa_p256"]),
        ("aumai-modelseal verify --model-dir m --ig", ["--ignore-path", "--ignore-unsigned-files"]),
        ("modelseal verify --k", ["--key"]),
        ("modelseal inspect --j", ["--json", "--json-output"]),
        ("modelseal sign --model-dir my", ["my-model/"]),
        ("modelseal sign --sor", []),
        ("modelseal nothing --k", []),
    ],
)
def test_bash_offers(line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    assert tab(line, tmp_path) == offered


@pytest.mark.parametrize("name", every_command())
def test_bash_offers_every_option(name: str, tmp_path: Path) -> None:
    actions = cli._parser(name, cli._load(name))._actions
    options = [option for action in actions for option in action.option_strings]
    assert tab(f"modelseal {name} --", tmp_path) == sorted(o for o in options if o[:2] == "--")


def test_a_tab_at_a_prompt(tmp_path: Path) -> None:
    bash = pexpect.spawn(
        need("bash"),
        ["--norc", "--noprofile", "-i"],
        env={**os.environ, "TERM": "dumb", "PS1": "$ ", "HISTFILE": ""},
        cwd=str(tmp_path),
        encoding="utf-8",
        timeout=30,
    )
    try:
        bash.expect_exact("$ ")
        bash.sendline(f"source {shlex.quote(str(SCRIPT))}; echo ready$((1))")
        bash.expect_exact("ready1")
        bash.expect_exact("$ ")
        bash.send("modelseal keyg\t--alg\tecd\t")
        bash.expect_exact("modelseal keygen --algorithm ecdsa_p256 ")
    finally:
        bash.close(force=True)


def test_each_shell_has_its_file() -> None:
    assert sorted(COMPLETIONS) == sorted(path.name for path in SCRIPT.parent.iterdir())
