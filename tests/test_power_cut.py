"""What is left when the power is cut: all that was acknowledged, and nothing half done."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import faults
from tests.conftest import need
from tests.fault_scenarios import SCENARIOS, Outcome, run
from tests.power import Disk, NoDiskError

SAMPLE = 3
"""Points of each scenario, the same ones each time."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        with Disk(tmp_path) as mounted:
            yield mounted
    except NoDiskError as err:
        pytest.skip(f"no disk can be mounted here: {err}")


def test_row_26a_a_cut_loses_what_was_not_synced(disk: Disk) -> None:
    for name in ("synced", "not"):
        (disk.path / name).write_bytes(b"x" * 4096)
        if name == "synced":
            disk.sync()
    disk.cut()
    assert (disk.path / "synced").read_bytes() == b"x" * 4096
    assert not (disk.path / "not").exists()


@pytest.mark.parametrize("name", SCENARIOS)
def test_row_26a_what_was_acknowledged_is_there(disk: Disk, name: str) -> None:
    scenario = SCENARIOS[name]
    scenario.prepare(disk.path)
    disk.sync()
    run(*scenario.arguments(disk.path))
    disk.cut()
    scenario.judge(disk.path, Outcome(0))


@pytest.mark.parametrize("name", SCENARIOS)
def test_row_26a_cut_at_any_call_the_old_state_or_the_new_one_is_there(
    disk: Disk, name: str
) -> None:
    need("strace")
    points = faults.points(name, disk.path, [faults.POWER_CUT])
    chosen = random.Random(name).sample(points, SAMPLE)
    tried = [faults.attempt(point, disk.path, disk) for point in chosen]
    assert not [item for item in tried if item.wrong]
    assert {item.code for item in tried} == {-9}
