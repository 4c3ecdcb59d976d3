"""Measure what a store with many seals costs, against one that holds a single seal.

The same model is sealed in both, in the large one once before all others and once after them.
Every command is run in turn in each store, and must stay within twice its time in the small one and
50 ms. On a busy machine the processor's time tells more than the clock's.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from modelseal import (
    FileEntry,
    KeyManager,
    ModelManifest,
    Signature,
    SignatureAlgorithm,
    SignedManifest,
    Store,
)
from tests.benchmarks.bench import MODELSEAL, machine

ALLOWANCE = 0.05
"""Seconds."""
NAMES = 100
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> int:
    """Make both stores, measure, print; the exit code says whether all is within bounds."""
    os.environ["XDG_STATE_HOME"] = os.devnull  # nothing is noted in the home directory
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--manifests", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=1_000_000, help="contents, all different")
    parser.add_argument("--files", type=int, default=20_000, help="files of the model on disk")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dir", type=Path, help="work here (default: a temporary directory)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelseal-scale-", dir=args.dir) as temporary:
        large, small = Path(temporary, "large"), Path(temporary, "small")
        for root in (large, small):
            make_model(root / "early", args.files)
            Store.init(root)
        make_model(large / "late", args.files)
        KeyManager().save_keypair(
            *KeyManager().generate_keypair(SignatureAlgorithm.ed25519), Path(temporary, "keys")
        )
        seal(small, "early")
        seal(large, "early")
        fill(Store.open(large), args.manifests, args.objects)
        seal(large, "late")
        shutil.copy(large / "early/0/0", Path(temporary, "stray"))
        return compare(large, small, args.rounds)


def make_model(root: Path, count: int) -> None:
    """A directory of small files, 1,000 to a directory."""
    for number in range(count):
        path = root / str(number // 1000) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)


def seal(root: Path, name: str) -> None:
    """Sign a model, and let its stat cache see it once."""
    key = str(root.parent / "keys/private.pem")
    model = str(root / name)
    timed([MODELSEAL, "sign", "--model-dir", model, "--key", key, "--signer-id", "bench"])
    timed([MODELSEAL, "status", model])


def fill(store: Store, manifests: int, objects: int) -> None:
    """Add seals of models that name so many contents in all."""
    started = time.perf_counter()
    each = objects // manifests
    for number in range(manifests):
        store.add(manifest(number, each))
    seconds = time.perf_counter() - started
    with_what = f"{manifests:,} manifests with {manifests * each:,} contents"
    print(f"{with_what}: added in {seconds:.0f} s, {1000 * seconds / manifests:.1f} ms each")
    index = Path(store.path, "index.db")
    print(f"index.db: {index.stat().st_size / (1 << 20):.0f} MiB")


def manifest(number: int, files: int) -> SignedManifest:
    """One of many; the store asks nobody whether a signature holds."""
    entries = [
        FileEntry(
            path=f"layer-{n:05}.bin",
            size_bytes=n,
            sha256_hash=hashlib.sha256(b"%d %d" % (number, n)).hexdigest(),
        )
        for n in range(files)
    ]
    return SignedManifest(
        manifest=ModelManifest(
            model_name=f"model-{number % NAMES}",
            model_version=f"1.{number // NAMES}",
            framework="unknown",
            files=entries,
            total_size_bytes=sum(entry.size_bytes for entry in entries),
            created_at=WHEN,
            author="",
        ),
        signature=Signature(
            algorithm=SignatureAlgorithm.ed25519,
            public_key="",
            signature_hex="00" * 64,
            signed_at=WHEN,
            signer_id="bench",
        ),
    )


def compare(large: Path, small: Path, rounds: int) -> int:
    """Race each command in both stores; print medians, in seconds."""
    print(machine())
    print(f"{'':34} {'small':>8} {'large':>8} {'bound':>8} {'cpu, small':>11} {'large':>8}")
    missed = 0
    for title, in_small, in_large in CONTESTS:
        places = [in_small.format(small).split(), in_large.format(large).split()]
        times: list[list[tuple[float, float]]] = [[], []]
        for round_ in range(rounds + 1):
            for place, spent in zip(places, times, strict=True):
                seconds = timed([MODELSEAL, *place])
                if round_:
                    spent.append(seconds)
        few, many = (statistics.median(wall for wall, _ in spent) for spent in times)
        little, much = (statistics.median(cpu for _, cpu in spent) for spent in times)
        bound = 2 * few + ALLOWANCE
        missed += many > bound
        said = "" if many <= bound else "  MISSED"
        print(f"{title:34} {few:8.3f} {many:8.3f} {bound:8.3f} {little:11.3f} {much:8.3f}{said}")
    return int(missed > 0)


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one run, which must end with 0."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"scale: exit code {process.returncode}: {' '.join(command)}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


CONTESTS = [
    ("log --oneline -n 10", *["log --oneline -n 10 --store {}"] * 2),
    ("log of the oldest name", *["log early -n 1 --store {}"] * 2),
    ("show NAME", *["show early --store {}"] * 2),
    ("show NAME@VERSION", *["show early@0.0.0 --store {}"] * 2),
    ("identify", *["identify {0}/../stray --store {0}"] * 2),
    ("status, sealed before all others", *["status {}/early"] * 2),
    ("status, sealed after them", "status {}/early", "status {}/late"),
]


if __name__ == "__main__":
    sys.exit(main())
