"""Load: a million files, a file without end, twenty signers at once, a tree that does not rest.

`python -m tests.load`, or `make load`, runs all of it at full size and prints figures; the tests
run it small. What must hold raises AssertionError at any size.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from modelseal import KeyManager, SignatureAlgorithm, Store

PROGRAM = [sys.executable, "-m", "modelseal"]
TIB = 1 << 40
LARGE = 4 << 20
"""Bytes of a file that the workers map into memory."""


class Ran(NamedTuple):
    """How a command ended. seconds: wall time. cpu: processor seconds.

    peak: MiB of its largest process.
    """

    code: int
    err: str
    seconds: float
    cpu: float
    peak: float


def main() -> int:
    """Run what was asked for."""
    os.environ["XDG_STATE_HOME"] = os.devnull  # nothing is noted in the home directory
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--signers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60, help="of signing, and of rewriting")
    parser.add_argument("--only", action="append", choices=list(LOADS))
    parser.add_argument("--dir", type=Path, help="work here (default: a temporary directory)")
    args = parser.parse_args()
    for name, load in LOADS.items():
        if name in (args.only or LOADS):
            with tempfile.TemporaryDirectory(prefix="modelseal-load-", dir=args.dir) as directory:
                for line in load(Path(directory), args):
                    print(f"{name}: {line}", flush=True)
    return 0


def run(*words: str | Path, code: int = 0) -> Ran:
    """Run a command, which has to end with `code`; -1 for any."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [*PROGRAM, *map(str, words)], stdout=subprocess.DEVNULL, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        said = err.read().decode()
    assert "Traceback" not in said, said
    assert code in (-1, process.returncode), (words, process.returncode, said)
    seconds = time.perf_counter() - started
    cpu = usage.ru_utime + usage.ru_stime
    return Ran(process.returncode, said, seconds, cpu, usage.ru_maxrss / 1024)


def make_keys(root: Path) -> Path:
    """A key pair; returns its directory."""
    manager = KeyManager()
    manager.save_keypair(*manager.generate_keypair(SignatureAlgorithm.ed25519), root / "keys")
    return root / "keys"


def sign(root: Path, model: Path, *more: str) -> list[str | Path]:
    """Words that sign a model with the keys below `root`."""
    key = root / "keys/private.pem"
    return ["sign", "--model-dir", model, "--key", key, "--signer-id", "load", *more]


def verify(root: Path, model: Path, *more: str) -> list[str | Path]:
    """Words that verify it."""
    words: list[str | Path] = ["verify", "--manifest", model / "signed_manifest.json", *more]
    return [*words, "--key", root / "keys/public.pem", "--model-dir", model]


def many_files(root: Path, count: int) -> Iterator[tuple[str, Ran]]:
    """Everything that is done with a model, done with one of `count` files of a few bytes."""
    make_keys(root)
    model = root / "model"
    for number in range(count):
        if number % 1000 == 0:
            (model / f"{number // 1000:04}").mkdir(parents=True)
        (model / f"{number // 1000:04}/{number}").write_bytes(b"%d" % number)
    commands: dict[str, list[str | Path]] = {
        "sign": sign(root, model),
        "status": ["status", model],
        "sign --incremental": sign(root, model, "--incremental"),
        "verify": verify(root, model),
        "inspect": ["inspect", "--manifest", model / "signed_manifest.json"],
        "identify": ["identify", model / "0000/1", "--store", model],
        "fsck": ["fsck", "--store", model],
        "gc": ["gc", "--store", model],
    }
    for name, words in commands.items():
        yield name, run(*words)
    last = model / f"{(count - 1) // 1000:04}/{count - 1}"
    last.write_bytes(b"altered")
    yield "verify, one altered", run(*verify(root, model, "--quiet"), code=2)


def interrupted(root: Path, size: int, after: float) -> float:
    """Interrupt signing a sparse file; returns the seconds until it had ended."""
    make_keys(root)
    model = root / "model"
    model.mkdir()
    with open(model / "weights.bin", "wb") as file:
        file.truncate(size)
    words = map(str, sign(root, model))
    # A job in the background is born with SIGINT ignored, and modelseal would leave it so.
    process = subprocess.Popen(
        [*PROGRAM, *words],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_interrupts,  # noqa: PLW1509 - there are no threads
    )
    time.sleep(after)
    assert process.poll() is None, "it was done too soon"
    started = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    seconds = time.perf_counter() - started
    assert process.returncode == 130, (process.returncode, err)
    assert "Traceback" not in err, err
    assert os.listdir(model) == ["weights.bin"], "something was left"
    return seconds


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def signers(root: Path, count: int, seconds: float) -> tuple[int, float]:
    """Let some sign into one store at once, each its own model, one version after the other.

    Returns how many seals were acknowledged, and the longest wait for one, in seconds.
    """
    make_keys(root)
    Store.init(root)
    read, write = os.pipe()
    children = [_in_child(lambda n=n: _signer(root, n, seconds, write)) for n in range(count)]  # type: ignore[misc]
    os.close(write)
    with open(read, encoding="ascii") as pipe:
        told = [line.split() for line in pipe]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * count
    store = Store.open(root)
    acknowledged = sorted((name, version) for name, version, _ in told)
    assert sorted((seal.name, seal.version) for seal in store.log()) == acknowledged
    assert sorted((ref.name, ref.version) for ref in store.refs()) == acknowledged
    assert store.fsck().findings == []
    return len(told), max(float(waited) for _, _, waited in told)


def _signer(root: Path, number: int, seconds: float, pipe: int) -> None:
    model = root / f"model-{number}"
    model.mkdir()
    end = time.monotonic() + seconds
    version = 0
    while time.monotonic() < end:
        version += 1
        (model / "weights.bin").write_bytes(b"%d %d" % (number, version))
        words = sign(root, model, "--model-version", str(version), "--lock-timeout", "60")
        waited = run(*words).seconds
        os.write(pipe, f"{model.name} {version} {waited:.3f}\n".encode())
        if number == 0 and version % 5 == 0:
            run("gc", "--store", root, "--lock-timeout", "60")
        if number == 1 and version % 5 == 0:
            run("fsck", "--store", root, "--lock-timeout", "60")
        if number == 2:
            run(*verify(root, model))


def rewritten(root: Path, seconds: float, *, altered: bool) -> Counter[int]:
    """Verify a model again and again while all of its files are rewritten.

    altered: whether one file stays altered, so that no answer may be a yes.
    Returns how often there was which exit code.
    """
    make_keys(root)
    model = root / "model"
    model.mkdir()
    contents = {f"{n}.bin": bytes([n]) * (LARGE if n < 4 else 100) for n in range(16)}
    for name, content in contents.items():
        (model / name).write_bytes(content)
    run(*sign(root, model, "--no-store"))
    if altered:
        name, content = contents.popitem()
        (model / name).write_bytes(b"!" + content[1:])
    child = _in_child(lambda: _rewriter(model, contents))
    codes: Counter[int] = Counter()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ran = run(*verify(root, model), code=-1)
            assert ran.code in ((1, 2) if altered else (0, 1, 2)), ran
            codes[ran.code] += 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for name, content in contents.items():
        (model / name).write_bytes(content)
    for left in model.glob("*.new"):
        left.unlink()
    run(*verify(root, model), code=2 if altered else 0)
    return codes


def _rewriter(model: Path, contents: dict[str, bytes]) -> None:
    """Rewrite files for ever with what they have, each time in another way."""
    ways = (Path.write_bytes, _cut_short_first, _replace, _remove_first)
    number = 0
    while True:
        for name, content in contents.items():
            number += 1
            ways[number % len(ways)](model / name, content)
            time.sleep(0.001)


def _cut_short_first(path: Path, content: bytes) -> None:
    os.truncate(path, len(content) // 2)
    path.write_bytes(content)


def _replace(path: Path, content: bytes) -> None:
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").rename(path)


def _remove_first(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _in_child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def _many(root: Path, args: argparse.Namespace) -> Iterator[str]:
    for name, ran in many_files(root, args.files):
        spent = f"{ran.seconds:.1f} s, of the processor {ran.cpu:.1f} s"
        yield f"{name} of {args.files:,} files: {spent}, {ran.peak:.0f} MiB"


def _sparse(root: Path, _: argparse.Namespace) -> Iterator[str]:
    yield f"a file of 1 TiB, interrupted: ended after {interrupted(root, TIB, 5):.2f} s"


def _signers(root: Path, args: argparse.Namespace) -> Iterator[str]:
    count, longest = signers(root, args.signers, args.seconds)
    yield f"{args.signers} for {args.seconds:.0f} s: {count} seals, the slowest {longest:.1f} s"


def _rewritten(root: Path, args: argparse.Namespace) -> Iterator[str]:
    for altered in (False, True):
        place = root / str(altered)
        place.mkdir()
        codes = rewritten(place, args.seconds / 2, altered=altered)
        what = "with one file altered" if altered else "with the same content"
        yield f"{what}: {dict(sorted(codes.items()))} by exit code"


LOADS: dict[str, Callable[[Path, argparse.Namespace], Iterator[str]]] = {
    "many files": _many,
    "without end": _sparse,
    "signers": _signers,
    "rewritten": _rewritten,
}


if __name__ == "__main__":
    sys.exit(main())
