"""Measure modelseal against other tools: whole processes, in turn, in one run.

Every figure that matters is a ratio to the first row of its table, taken round by round, so that it
holds when the machine's speed drifts. Times are seconds, memory is the largest process's peak.
"""

import argparse
import compileall
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import modelseal

MIB = 1 << 20
MODELSEAL = str(Path(sys.executable).with_name("modelseal"))

# The way of most scripts, and of aumai-modelseal 0.1: one thread, 64 KiB at a time.
NAIVE = """
import hashlib, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*")):
    if path.is_file():
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(65536):
                digest.update(chunk)
        digest.hexdigest()
"""

IN_MEMORY = """
import hashlib, sys
data, digest = bytes(64 << 20), hashlib.sha256()
left = int(sys.argv[1])
while left > 0:
    digest.update(data[:left] if left < len(data) else data)
    left -= len(data)
"""

ALTERED_FILES = 16

Command = list[str]


class Figure(NamedTuple):
    """One contestant's rounds."""

    seconds: list[float]
    ratios: list[float]
    peak_mib: float


def main() -> None:
    """Make the data, run all tables, print them."""
    args = parse()
    # As installed: the first run after a change would else pay for compiling.
    compileall.compile_dir(os.path.dirname(modelseal.__file__), quiet=1)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with data_directory(args.dir) as directory:
        peer = install_model_signing(directory) if args.model_signing else None
        tables = {}
        for name, make in selected(args).items():
            print(f"{name} …", file=sys.stderr, flush=True)
            root = directory / name.replace(" ", "-")
            make(root)
            tables[name] = measure(contestants(root, directory, peer), root, args.rounds)
        if not args.only or "altered" in args.only:
            print("altered …", file=sys.stderr, flush=True)
            root = directory / "altered"
            raced = altered(root, directory, args.altered)
            tables["altered"] = measure(raced, root, args.rounds, code=2)
            for path in root.rglob("*"):  # as after a copy: nothing tells what was changed last
                os.utime(path)
            tables["altered, then copied"] = measure(raced, root, args.rounds, code=2)
        if not args.only or "start-up" in args.only:
            tables["start-up"] = measure(start_up(directory), directory / "small", args.rounds * 3)
    if args.json:
        json.dump({"machine": machine(), "tables": jsonable(tables)}, sys.stdout, indent=2)
        print()
    else:
        show(tables)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--one", type=int, default=512, help="MiB of the one large file")
    parser.add_argument("--eight", type=int, default=64, help="MiB of each of eight files")
    parser.add_argument("--many", type=int, default=20_000, help="files of 4 KiB")
    parser.add_argument(
        "--altered", type=int, default=512, help="MiB of the model with one altered byte"
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of every contestant")
    parser.add_argument(
        "--only", action="append", help="one large, eight, many small, altered, start-up"
    )
    parser.add_argument("--dir", type=Path, help="keep the data here (default: a temporary one)")
    parser.add_argument(
        "--model-signing", action="store_true", help="install OpenSSF model-signing and race it too"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


@contextmanager
def data_directory(kept: Path | None) -> Iterator[Path]:
    """Where the data lies, with a key pair in it."""
    with tempfile.TemporaryDirectory(prefix="modelseal-bench-") as temporary:
        directory = kept or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        # What is noted of the stores that are made here goes with them.
        os.environ["XDG_STATE_HOME"] = str(directory / "state")
        shutil.rmtree(directory / "keys", ignore_errors=True)
        for command in (["keygen", "--output", str(directory / "keys")], ["init", str(directory)]):
            subprocess.run([MODELSEAL, *command], check=True, stdout=subprocess.DEVNULL)
        yield directory


def selected(args: argparse.Namespace) -> dict[str, Callable[[Path], None]]:
    """The data sets to make."""
    everything: dict[str, Callable[[Path], None]] = {
        "one large": lambda root: make_large(root, 1, args.one),
        "eight": lambda root: make_large(root, 8, args.eight),
        "many small": lambda root: make_small(root, args.many),
    }
    return {name: make for name, make in everything.items() if not args.only or name in args.only}


def make_large(root: Path, count: int, mib: int) -> None:
    """Files of random bytes, of which no two begin alike."""
    root.mkdir(exist_ok=True)
    block = os.urandom(MIB)
    for number in range(count):
        path = root / f"model-{number}.bin"
        if path.exists() and path.stat().st_size == mib * MIB:
            continue
        with path.open("wb") as file:
            for _ in range(mib):
                file.write(block[number:] + block[:number])


def make_small(root: Path, count: int) -> None:
    """Files of 4 KiB, a hundred a directory, directories within directories."""
    for number in range(count):
        path = root / f"{number // 1000:03}" / f"{number // 100 % 10}" / f"part-{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(os.urandom(4096))


def contestants(root: Path, directory: Path, peer: Path | None) -> dict[str, Command]:
    """What is raced on a data set; the first is what the others are compared with."""
    find = f"find {root} -type f -print0 | xargs -0"
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    sign, verify = sign_and_verify(root, directory)
    subprocess.run(sign, check=True, stdout=subprocess.DEVNULL)
    raced = {
        "openssl dgst -sha256": ["sh", "-c", f"{find} openssl dgst -sha256"],
        "openssl, two processes": ["sh", "-c", f"{find} -P 2 -n {half(root)} openssl dgst -sha256"],
        "SHA-256 of memory": [sys.executable, "-c", IN_MEMORY, str(size)],
        "sha256sum": ["sh", "-c", f"{find} sha256sum"],
        "b3sum (BLAKE3)": ["sh", "-c", f"{find} b3sum"],
        "one thread, 64 KiB reads": [sys.executable, "-c", NAIVE, str(root)],
        "modelseal sign": sign,
        "modelseal sign --no-store": [*without_store(sign), "--no-store"],
        "modelseal sign --incremental": [*sign, "--incremental"],
        "modelseal verify": verify,
        "modelseal status": [MODELSEAL, "status", str(root), "--store", str(directory)],
        "git status": git_status(root, directory),
    }  # fmt: skip
    if peer:
        signature = f"{root}.sig"
        raced["model_signing sign"] = [
            str(peer),
            "sign",
            "key",
            str(root),
            "--signature",
            signature,
        ]
        raced["model_signing sign"] += ["--private_key", str(peer_key(directory))]
    return {name: command for name, command in raced.items() if runs(name)}


def sign_and_verify(root: Path, directory: Path) -> tuple[Command, Command]:
    """The command lines of the main job; all data sets share a store beside them."""
    manifest, keys, store = f"{root}.json", directory / "keys", ["--store", str(directory)]
    sign = [MODELSEAL, "sign", "--model-dir", str(root), "--key", f"{keys}/private.pem", *store]
    sign += ["--signer-id", "bench", "--output", manifest]
    verify = [MODELSEAL, "verify", "--model-dir", str(root), "--manifest", manifest, *store]
    return sign, [*verify, "--key", f"{keys}/public.pem"]


def without_store(command: Command) -> Command:
    """A command line that names no store."""
    at = command.index("--store")
    return command[:at] + command[at + 2 :]


def git_status(root: Path, directory: Path) -> Command:
    """What git asks of the same tree, committed, with its own directory elsewhere."""
    git = ["git", f"--git-dir={root}.git", f"--work-tree={root}"]
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    if shutil.which("git") and not Path(f"{root}.git").exists():
        for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
            options = command[: command.index("commit")] if "commit" in command else []
            subprocess.run([*git, *options, *command[len(options) :]], check=True)
    return [*git, "status", "--porcelain"]


def altered(root: Path, directory: Path, mib: int) -> dict[str, Command]:
    """A model signed with its BLAKE3 digests recorded, in which one byte differs since."""
    make_large(root, ALTERED_FILES, mib // ALTERED_FILES)
    sign, verify = sign_and_verify(root, directory)
    subprocess.run([*sign, "--precheck"], check=True, stdout=subprocess.DEVNULL)
    with (root / f"model-{ALTERED_FILES // 2}.bin").open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    return {"modelseal verify": verify, "modelseal verify --precheck": [*verify, "--precheck"]}


def half(root: Path) -> int:
    """How many of the files each of two processes gets."""
    return -(-sum(1 for path in root.rglob("*") if path.is_file()) // 2)


def runs(name: str) -> bool:
    """Whether a contestant is on this machine."""
    program = name.split(maxsplit=1)[0].rstrip(",")
    return program not in {"openssl", "sha256sum", "b3sum", "git"} or bool(shutil.which(program))


def start_up(directory: Path) -> dict[str, Command]:
    """What a person waits for when there is next to nothing to do."""
    root = directory / "small"
    root.mkdir(exist_ok=True)
    for name in ("config.json", "model.bin", "vocab.txt"):
        (root / name).write_text(name)
    raced = contestants(root, directory, None)
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "modelseal --version": [MODELSEAL, "--version"],
        "modelseal --help": [MODELSEAL, "--help"],
        "one Tab": ["env", "_ARGCOMPLETE=1", "_ARGCOMPLETE_STDOUT_FILENAME=/dev/null",
                    "COMP_LINE=modelseal verify --", "COMP_POINT=19", MODELSEAL],
        "modelseal sign, 3 files": raced["modelseal sign"],
        "modelseal verify, 3 files": raced["modelseal verify"],
    }  # fmt: skip


def install_model_signing(directory: Path) -> Path:
    """OpenSSF's tool in an environment of its own; returns its program."""
    environment = directory / "model-signing"
    program = environment / "bin" / "model_signing"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        # 1.1.1 does not import without pyOpenSSL beside it.
        packages = ["model-signing", "pyOpenSSL"]
        subprocess.run([environment / "bin" / "pip", "install", "-q", *packages], check=True)
    return program


def peer_key(directory: Path) -> Path:
    """A P-256 key, which is what OpenSSF's tool signs with."""
    path = directory / "p256.pem"
    if not path.exists():
        command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]
        subprocess.run([*command, "-out", str(path)], check=True)
    return path


def measure(
    raced: dict[str, Command], root: Path, rounds: int, *, code: int = 0
) -> dict[str, Figure]:
    """Run every contestant once a round, in turn, with the data in the page cache."""
    seconds: dict[str, list[float]] = {name: [] for name in raced}
    peaks = dict.fromkeys(raced, 0.0)
    for number in range(rounds + 1):
        warm(root)
        for name, command in raced.items():
            spent, peak = run(command, code)
            if number:  # the first round warms the programs themselves
                seconds[name].append(spent)
                peaks[name] = max(peaks[name], peak)
    first = seconds[next(iter(raced))]
    return {
        name: Figure(times, [t / f for t, f in zip(times, first, strict=True)], peaks[name])
        for name, times in seconds.items()
    }


def warm(root: Path) -> None:
    """Read everything, so that nobody waits for the disk."""
    for path in root.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(MIB):
                    pass


def run(command: Command, code: int) -> tuple[float, float]:
    """Wall seconds and peak MiB of one run, which must end with `code`."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    spent = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        sys.exit(f"bench: exit code {process.returncode}: {' '.join(command)}")
    return spent, usage.ru_maxrss / 1024


def machine() -> str:
    """What this was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    flags = next((line for line in lines if line.startswith("flags")), "")
    extension = ", SHA-NI" if "sha_ni" in flags else ""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} CPUs ({model}{extension}), Python {python}"


def show(tables: dict[str, dict[str, Figure]]) -> None:
    """Print the tables for people."""
    print(machine())
    for title, table in tables.items():
        print(f"\n{title:29} {'seconds':>8} {'ratio':>6}  {'min-max':>11} {'peak MiB':>9}")
        for name, figure in table.items():
            spread = f"{min(figure.ratios):.2f}-{max(figure.ratios):.2f}"
            print(
                f"{name:29} {statistics.median(figure.seconds):8.3f} "
                f"{statistics.median(figure.ratios):6.2f}  {spread:>11} {figure.peak_mib:9.0f}"
            )


def jsonable(tables: dict[str, dict[str, Figure]]) -> dict[str, dict[str, dict[str, object]]]:
    """The tables for machines."""
    return {
        title: {name: figure._asdict() for name, figure in table.items()}
        for title, table in tables.items()
    }


if __name__ == "__main__":
    main()
