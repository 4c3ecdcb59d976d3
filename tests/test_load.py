"""What `make load` does at full size, small."""

import os
from pathlib import Path

import pytest

from tests import load


def test_row_09_many_files(tmp_path: Path) -> None:
    ran = dict(load.many_files(tmp_path, 3000))
    assert ran["verify, one altered"].code == 2
    assert max(one.peak for one in ran.values()) < 200


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
