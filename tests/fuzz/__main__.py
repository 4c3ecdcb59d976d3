"""Fuzz the readers: `python -m tests.fuzz --seconds 60 [TARGET ...]`.

Each target runs in a process of its own, one after the other. What it finds on the way, and the
inputs that led to new code, are kept below `build/fuzz/`.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz import readers

BUILD = Path("build", "fuzz")


def main() -> int:
    """Run the targets; 1 if any of them found something."""
    parser = argparse.ArgumentParser(prog="tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(readers.TARGETS))
    args = parser.parse_args()
    failed = [name for name in args.targets or readers.TARGETS if not _run(name, args.seconds)]
    for name in failed:
        print(f"{name}: found something, see {BUILD / name}")
    return 1 if failed else 0


def _run(name: str, seconds: int) -> bool:
    if name not in readers.TARGETS:
        sys.exit(f"no target '{name}': {', '.join(readers.TARGETS)}")
    kept = BUILD / name / "corpus"
    kept.mkdir(parents=True, exist_ok=True)
    sources = {str(each.parent) for each in readers.inputs(name)}
    done = subprocess.run(
        [
            *[sys.executable, "-m", "tests.fuzz.drive", name, str(kept), *sorted(sources)],
            f"-max_total_time={seconds}",
            f"-artifact_prefix={BUILD / name}/",
            *["-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096", "-max_len=16384"],
            *["-detect_leaks=0", "-verbosity=1"],
        ],
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    (BUILD / name / "log").write_text(done.stderr)
    print(f"{name:<9} {_figures(done.stderr)}", flush=True)
    if done.returncode:
        print("\n".join(done.stderr.splitlines()[-40:]))
    return done.returncode == 0


def _figures(said: str) -> str:
    """Executions, edges and features, from what libFuzzer prints."""
    executed = re.findall(r"stat::number_of_executed_units: *(\d+)", said)
    covered = re.findall(r"cov: (\d+) ft: (\d+)", said)
    edges, features = covered[-1] if covered else ("?", "?")
    count = f"{int(executed[-1]):,}" if executed else "?"
    return f"{count} executions, {edges} edges, {features} features"


if __name__ == "__main__":
    sys.exit(main())
