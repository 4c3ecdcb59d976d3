"""Faults: the process killed, or one system call failing, at every call that touches its files.

`python -m tests.faults` counts with strace the calls of each scenario that have to do with its
directory, and then runs it once for each call and each fault, with `strace -e inject`; where a disk
can be mounted, the power is cut at each call too. After each run the old state or the new one must
be there, keys and model untouched, and the next command must work. `make faults` tries all points;
the tests a sample.
"""

import argparse
import compileall
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import modelseal
from tests.fault_scenarios import SCENARIOS, Outcome, Scenario, SpoiltError
from tests.power import Disk, NoDiskError

OPENS = ("openat",)
WRITES = ("write", "pwrite64", "ftruncate", "fsync", "fdatasync")
NAMES = ("rename", "link", "unlink", "mkdir", "rmdir")
CALLS = OPENS + WRITES + NAMES
LASTING = ("pwrite64", "ftruncate", "fsync", "fdatasync", *NAMES)
"""Calls that can fail from some point on for good and still let the process say so."""

KILL = "SIGKILL"
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "EINTR")
DEAD_DISK = "EIO from there on"
FAULTS = (KILL, *ERRORS, DEAD_DISK)
POWER_CUT = "power cut"
"""Killed, and what wasn't on the disk by then is lost; only where a disk can be mounted."""

_PATIENCE = 5
_TRACED = re.compile(r"^\d+ +([a-z0-9]+)\(")


class Point(NamedTuple):
    """One run. where: system call and its number from 1, with "+" for all that come after too."""

    scenario: str
    fault: str
    where: tuple[tuple[str, str], ...]


class Tried(NamedTuple):
    """What came of a point. code: None if the fault met none of the scenario's files.

    wrong: what is not as it should be; empty if nothing.
    """

    point: Point
    code: int | None
    wrong: str = ""


def main() -> int:
    """Try all that was asked for; print a table and what went wrong."""
    os.environ["XDG_STATE_HOME"] = os.devnull  # nothing is noted in the home directory
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--every", type=int, default=1, help="try every Nth point only")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="scenario")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="fault")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    started = time.monotonic()
    names = args.only or list(SCENARIOS)
    tried = try_all(names, args.fault or FAULTS, args.every, args.jobs)
    if not args.fault:
        tried += cut_power(names, args.every)
    print(row("all", tried))
    print(f"{time.monotonic() - started:.0f} s")
    for item in tried:
        if item.wrong:
            print(f"WRONG: {item.point}: {item.wrong}")
        elif item.code is None:
            print(f"missed: {item.point}")
    return any(item.wrong for item in tried)


def try_all(names: Sequence[str], kinds: Sequence[str], every: int, jobs: int) -> list[Tried]:
    """Try every Nth point of some scenarios, in several processes."""
    tried: list[Tried] = []
    # Every process has a directory of its own, which is the same for all of its runs.
    with (
        tempfile.TemporaryDirectory(prefix="modelseal-faults-") as base,
        ProcessPoolExecutor(jobs) as pool,
    ):
        for name in names:
            found = points(name, Path(base), kinds)[::every]
            done = list(pool.map(insist, found, [Path(base)] * len(found), chunksize=8))
            print(row(name, done), flush=True)
            tried += done
    return tried


def cut_power(names: Sequence[str], every: int) -> list[Tried]:
    """Cut the power at every Nth call of some scenarios; nothing where no disk can be mounted."""
    tried: list[Tried] = []
    with tempfile.TemporaryDirectory(prefix="modelseal-faults-") as base:
        try:
            with Disk(Path(base)) as disk:
                for name in names:
                    found = points(name, disk.path, [POWER_CUT])[::every]
                    done = [attempt(point, disk.path, disk) for point in found]
                    print(row(name, done) + f" ({POWER_CUT})", flush=True)
                    tried += done
        except NoDiskError as err:
            print(f"no {POWER_CUT}: {err}")
    return tried


def row(name: str, tried: Sequence[Tried]) -> str:
    """A line of the table."""
    codes = Counter(item.code for item in tried)
    said = (
        f"{codes[0]} went through, {codes[1]} failed, {codes[-9]} were killed,"
        f" {codes[None]} missed, {sum(bool(item.wrong) for item in tried)} wrong"
    )
    return f"{name:>12}: {len(tried)} points: {said}"


def points(name: str, base: Path, faults: Sequence[str] = FAULTS) -> list[Point]:
    """Every point of a scenario, the faults in turn at each call."""
    with _workplace(SCENARIOS[name], base) as (scenario, root):
        _, lines = _run(scenario, root, ["-e", f"trace={','.join(CALLS)}"])
    counts: Counter[str] = Counter()
    found = []
    for line in lines:
        call = _TRACED.match(line)
        if not call:
            continue
        counts[call[1]] += 1
        if not _touches(line, root):
            continue
        here = ((call[1], str(counts[call[1]])),)
        onwards = tuple((kind, f"{counts[kind] + (kind != call[1])}+") for kind in LASTING)
        for fault in faults:
            if fault != DEAD_DISK:
                found.append(Point(name, fault, here))
            elif call[1] in LASTING:
                found.append(Point(name, fault, onwards))
    return found


def insist(point: Point, base: Path) -> Tried:
    """As `attempt`, a few times where the fault meets nothing.

    How many writes there are is not the same each time: too young a file is not remembered.
    """
    for _ in range(_PATIENCE):
        tried = attempt(point, base)
        if tried.code is not None:
            break
    return tried


def attempt(point: Point, base: Path, disk: Disk | None = None) -> Tried:
    """Run a scenario with one fault, and judge what is there after.

    base: a directory to work in; for a power cut, that of the disk.
    """
    deadly = point.fault in (KILL, POWER_CUT)
    fault = f"signal={KILL}" if deadly else f"error={point.fault.split()[0]}"
    options = ["-e", f"trace={','.join(CALLS)}"]
    for call, when in point.where:
        options += ["-e", f"inject={call}:{fault}:when={when}"]
    with _workplace(SCENARIOS[point.scenario], base) as (scenario, root):
        if disk:
            disk.sync()
        outcome, lines = _run(scenario, root, options)
        if disk:
            disk.cut()
        met = [line for line in lines if "(INJECTED)" in line or line.endswith("= ?")]
        if not any(_touches(line, root) for line in met):
            return Tried(point, None)
        try:
            _judge_answer(outcome, point)
            scenario.judge(root, outcome._replace(helpless=point.fault == DEAD_DISK))
        except SpoiltError as err:
            return Tried(point, outcome.code, f"{err} ({met[0]}) {outcome.err}")
        return Tried(point, outcome.code)


def _judge_answer(outcome: Outcome, point: Point) -> None:
    if outcome.code not in ((-9,) if point.fault in (KILL, POWER_CUT) else (0, 1)):
        raise SpoiltError(f"exit code {outcome.code}")
    if outcome.code == 1 and not re.match(r"(warning: .*\n)*error: .*'.+'", outcome.err):
        raise SpoiltError("the message names no file")
    if "Traceback" in outcome.err:
        raise SpoiltError("a traceback")


class _workplace:  # noqa: N801 - used as a context manager, like a function
    """A scenario's files, as they are before it, in this process's directory."""

    def __init__(self, scenario: Scenario, base: Path) -> None:
        self._scenario = scenario
        self._own = base / str(os.getpid())
        self._template = self._own / f"{scenario.name} before"

    def __enter__(self) -> tuple[Scenario, Path]:
        root = self._own / "work"
        if not self._template.exists():
            compileall.compile_dir(os.path.dirname(modelseal.__file__), quiet=1)
            root.mkdir(parents=True)
            self._scenario.prepare(root)
            root.rename(self._template)
        shutil.copytree(self._template, root, symlinks=True)
        return self._scenario, root

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._own / "work")


def _run(scenario: Scenario, root: Path, options: list[str]) -> tuple[Outcome, list[str]]:
    trace = root.with_name("trace")
    trace.unlink(missing_ok=True)
    home = root.with_name("home")
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "modelseal", *scenario.arguments(root)]
    # With a filter in the kernel strace is quicker, and its signals don't arrive.
    quicker = [] if any(KILL in option for option in options) else ["--seccomp-bpf"]
    done = subprocess.run(
        ["strace", "-f", "-qq", "-y", *quicker, "-o", str(trace), *options, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        # Absolute paths tell our files from those of Python in the trace.
        cwd="/",
        # What Python opens before us must be the same each time.
        env={
            **os.environ,
            "HOME": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
        },
        timeout=60,
        check=False,
    )
    code = -9 if done.returncode == 128 + 9 else done.returncode
    if not trace.exists() or (code and len(options) == 2):
        raise RuntimeError(f"strace: {done.stderr}")
    with open(trace, encoding="utf-8", errors="replace") as file:
        return Outcome(code, done.stdout, done.stderr), file.read().splitlines()


def _touches(line: str, root: Path) -> bool:
    return f'"{root}' in line or f"<{root}" in line


if __name__ == "__main__":
    sys.exit(main())
