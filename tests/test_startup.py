"""What a light command must not load, and what the package must not load by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelseal.store import Store
from tests.sealed import seal_of

HEAVY = {
    "cryptography",
    "msgspec",
    "blake3",
    "tqdm",
    "argcomplete",
    "concurrent",
    "json",
    "platformdirs",
    "tomllib",
}

PROBE = """
import sys
from modelseal.cli import main
code = main(sys.argv[1:])
print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def loaded(*args: str, env: dict[str, str] | None = None) -> set[str]:
    """The top-level modules that a command has loaded by its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *args],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **(env or {})},
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "args",
    [
        ["--version"],
        ["--help"],
        ["--makefile"],
        ["completion", "fish"],
        *(
            [name, "--help"]
            for name in ["keygen", "sign", "verify", "inspect", "config", "key", "doctor"]
        ),
        *(["key", action, "--help"] for action in ["fingerprint", "public", "passwd"]),
    ],
    ids=" ".join,
)
def test_light_commands_load_nothing_heavy(args: list[str]) -> None:
    assert not loaded(*args) & HEAVY


def test_the_package_alone_loads_nothing() -> None:
    probe = "import sys; a = set(sys.modules); import modelseal; print(*set(sys.modules) - a)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["modelseal"]


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("modelseal ", set()),
        ("modelseal verify --", set()),
        ("modelseal show t", set()),
        ("modelseal status --revision tiny@", set()),
        ("modelseal sign --model-dir ", set()),
        ("modelseal key fingerprint ", set()),
        ("modelseal sign --signer-id ", {"json"}),
        ("modelseal trust show ", {"json"}),
    ],
)
def test_a_completion_loads_nothing_heavy_but_argcomplete(
    line: str, allowed: set[str], tmp_path: Path
) -> None:
    store = Store.init(tmp_path)
    store.add(seal_of({"w.bin": b"1"}, "tiny", "1.0"))
    (tmp_path / ".modelseal" / "trust.json").write_text("[]")
    # argcomplete ends the process itself: the trace of imports is all there is to see.
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "modelseal"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull,
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
        cwd=tmp_path,
    )
    seen = {row.rpartition("|")[2].strip().split(".")[0] for row in done.stderr.splitlines()}
    assert "argcomplete" in seen
    assert seen & HEAVY == {"argcomplete"} | allowed


SURVEY = """
import sys
from modelseal.store import Store
from modelseal.surveying import Survey
with Survey(sys.argv[1], store=Store.init(sys.argv[1]), incremental=bool(sys.argv[2:]), fork=True):
    print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("more", [(), ("incremental",)], ids=["whole", "incremental"])
def test_hashing_begins_before_what_signs_is_loaded(more: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", SURVEY, tmp_path, *more], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())
