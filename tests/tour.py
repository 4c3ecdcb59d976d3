"""What `make tour` runs: the README's tour is typed anew, and what comes of it written there.

The tour is the README's block of `console`. A line that begins with `$ ` is typed, with the lines
that a backslash continues it by; `#` begins a remark; the rest is what was printed.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

README: Final = Path(__file__).parents[1] / "README.md"
BLOCK: Final = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
VARIES: Final = (
    (re.compile(r"SHA256:[A-Za-z0-9+/]{43}"), "SHA256:…"),
    (re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "DIGEST"),
)
"""What is another at every run, and what stands for it where two runs are compared."""


class Step(NamedTuple):
    """What stands before a command, the command as it is typed, and what it printed."""

    remarks: str
    command: str
    printed: str


def parse(block: str) -> list[Step]:
    """The steps of a tour. Raises ValueError where something is printed before all commands."""
    steps: list[Step] = []
    remarks = ""
    lines = iter(block.splitlines(keepends=True))
    for line in lines:
        if line.startswith("$ "):
            command = line
            while command.endswith("\\\n"):
                command += next(lines)
            steps.append(Step(remarks, command, ""))
            remarks = ""
        elif line.startswith("#") or not line.strip():
            remarks += line
        elif remarks or not steps:
            raise ValueError(f"printed by no command: {line!r}")
        else:
            steps[-1] = steps[-1]._replace(printed=steps[-1].printed + line)
    return steps


def take(steps: list[Step]) -> list[Step]:
    """Type every command once more, in a home of its own with the model that the tour is about."""
    with tempfile.TemporaryDirectory() as home:
        model = Path(home, "my-model")
        model.mkdir()
        (model / "config.json").write_text('{"layers": 24}\n')
        (model / "model.safetensors").write_bytes(bytes(4096))
        return [step._replace(printed=_run(step.command, home)) for step in steps]


def _run(command: str, home: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", command.removeprefix("$ ")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=home,
        env={
            "HOME": home,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",  # else all of stdout would come last
        },
        start_new_session=True,
        umask=0o022,
        timeout=120,
        check=False,
    )
    return done.stdout.decode().replace(os.path.realpath(home), "/home/you")


def masked(text: str) -> str:
    """A text without what varies from run to run."""
    for pattern, word in VARIES:
        text = pattern.sub(word, text)
    return text


def regenerate() -> bool:
    """Write the tour anew where it has become another; whether it had."""
    text = README.read_text()
    (block,) = BLOCK.findall(text)
    steps = parse(block)
    taken = take(steps)
    if [masked(step.printed) for step in taken] == [masked(step.printed) for step in steps]:
        return False
    README.write_text(BLOCK.sub(lambda _: "".join(map("".join, taken)), text))
    return True


def main() -> int:
    """Exit code 1 if the tour had become another."""
    if not regenerate():
        return 0
    print("the tour in README.md was out of date: it is new now, read it and commit it")
    return 1


if __name__ == "__main__":
    sys.exit(main())
