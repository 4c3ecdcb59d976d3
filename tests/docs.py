"""What `make docs` runs: write completions/ and the README's tour anew, and check man/.

Exit code 1 if that changed anything, or mandoc finds something.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from argcomplete.shell_integration import shellcode

from tests import tour

ROOT: Final = Path(__file__).parents[1]
PROGRAMS: Final = ["modelseal", "aumai-modelseal"]
COMPLETIONS: Final = {"modelseal.bash": "bash", "_modelseal": "zsh", "modelseal.fish": "fish"}
"""File in completions/ → the shell it is for."""
PAGES: Final = sorted((ROOT / "man").glob("*.[1-9]"))


def completion(shell: str) -> str:
    """The script that has a shell ask modelseal what may follow."""
    # Without readline's own file names: those that fit come from modelseal.
    text = shellcode(PROGRAMS, shell=shell, use_defaults=False)
    return _by_words(text) if shell == "zsh" else text


def _by_words(script: str) -> str:
    """Let zsh pass the words of the command: its line has lost an open quote, or holds others."""
    changes = {
        "        local completions\n": """\
        local completions
        local typed=$PREFIX
        [[ -n ${compstate[quote]} ]] && typed=${(q)PREFIX}
        local line="${(j: :)words[1,CURRENT-1]} $typed"
""",
        'COMP_LINE="$BUFFER"': 'COMP_LINE="$line"',
        'COMP_POINT="$CURSOR"': 'COMP_POINT="${#line}"',
    }
    for old, new in changes.items():
        if script.count(old) != 1:
            raise ValueError(f"argcomplete's script has changed: {old!r} is not in it once")
        script = script.replace(old, new)
    return script


def regenerate() -> list[str]:
    """Write completions/ anew; return the names of the files that differed."""
    changed = []
    for name, shell in COMPLETIONS.items():
        path = ROOT / "completions" / name
        old = path.read_bytes() if path.exists() else None
        new = completion(shell).encode()
        if new != old:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(new)
            changed.append(name)
    return changed


def lint(mandoc: str) -> str:
    """What mandoc has against the pages; empty if nothing."""
    done = subprocess.run(
        [mandoc, "-Tlint", "-W", "warning", *PAGES], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def main() -> int:
    """Do both, and say what was found."""
    code = 0
    for name in regenerate():
        print(f"completions/{name} was out of date: it is new now, commit it")
        code = 1
    code |= tour.main()
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        print("man/ is not checked: mandoc is not installed")
    elif found := lint(mandoc):
        print(found, end="")
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
