"""A sample of the faults that `make faults` tries: of each scenario some."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import fault_scenarios, faults
from tests.conftest import need
from tests.fault_scenarios import SCENARIOS

SAMPLE = 8
"""Points of each scenario, the same ones each time."""


@pytest.fixture(autouse=True)
def _strace() -> None:
    done = subprocess.run([need("strace"), "-qq", "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"strace can't trace here: {done.stderr.strip()}")


@pytest.mark.parametrize("name", SCENARIOS)
def test_row_26_27_whatever_fails_nothing_is_lost(name: str, tmp_path: Path) -> None:
    points = faults.points(name, tmp_path)
    assert {point.fault for point in points} == set(faults.FAULTS)
    chosen = random.Random(name).sample(points, SAMPLE)
    tried = [faults.attempt(point, tmp_path) for point in chosen]
    assert not [item for item in tried if item.wrong]
    met = [item for item in tried if item.code is not None]
    assert len(met) > SAMPLE // 2, "the faults miss what they aim at"


def test_row_26_27_what_is_lost_would_be_seen(tmp_path: Path) -> None:
    fault_scenarios.make_sealed(tmp_path)
    (tmp_path / "model/.modelseal/log").write_text("")
    with pytest.raises(fault_scenarios.SpoiltError, match="fsck"):
        fault_scenarios.check_store(tmp_path)
    shutil.rmtree(tmp_path / "model/.modelseal")
    fault_scenarios.run("init", tmp_path / "model")
    with pytest.raises(fault_scenarios.SpoiltError, match="a seal is lost"):
        fault_scenarios.check_store(tmp_path)
    (tmp_path / "keys/private.pem").chmod(0o644)
    with pytest.raises(fault_scenarios.SpoiltError, match="read by others"):
        fault_scenarios.check_inputs(tmp_path)
