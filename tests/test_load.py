"""What `make load` does at full size, small."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import load


def test_row_09_many_files(tmp_path: Path) -> None:
    # In a process of its own: no child's peak is below what its parent had.
    program = (
        "import sys; from pathlib import Path; from tests import load\n"
        "for name, ran in load.many_files(Path(sys.argv[1]), 3000):\n"
        "    print(name, ran.code, ran.peak, sep='\\t')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    ran = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert ran["verify, one altered"].split("\t")[0] == "2"
    assert max(float(said.split("\t")[1]) for said in ran.values()) < 200


def test_row_09_a_file_without_end_can_be_interrupted(tmp_path: Path) -> None:
    (tmp_path / "probe").touch()
    try:
        os.truncate(tmp_path / "probe", load.TIB)
    except OSError as err:
        pytest.skip(f"no file of 1 TiB can be made here: {err}")
    assert load.interrupted(tmp_path, load.TIB, 1.5) < 30


def test_row_28_signers_at_once(tmp_path: Path) -> None:
    count, _ = load.signers(tmp_path, 20, 2)
    assert count >= 20


@pytest.mark.parametrize("altered", [False, True])
def test_row_06_a_tree_that_is_being_rewritten(tmp_path: Path, altered: bool) -> None:
    codes = load.rewritten(tmp_path, 3, altered=altered)
    assert sum(codes.values()) > 0
