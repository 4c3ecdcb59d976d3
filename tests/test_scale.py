"""A manifest of a million files: within bounded memory, and in seconds."""

import json
import subprocess
import sys
from pathlib import Path

ENTRIES = 1_000_000
PEAK = 1.2 * (1 << 30)
"""Bytes."""
ENCODE_SECONDS = 4 * 2
DECODE_SECONDS = 4 * 6
"""Four times what it should take: other work may be going on."""

_HEAD = """
import json, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
from modelseal import FileEntry, ModelManifest, SignedManifest
from modelseal.canonical import canonical
path, count = Path(sys.argv[1]), int(sys.argv[2])

def entry(n):
    name = f"data-{n // 1000}/файл-{n}.bin"
    return FileEntry(path=name, size_bytes=n, sha256_hash=f"{n:064x}")

def report(**figures):
    figures["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(figures))
"""

_ENCODE = f"""{_HEAD}
manifest = ModelManifest(
    model_name="large",
    model_version="1",
    framework="f",
    files=[entry(n) for n in range(count)],
    total_size_bytes=sum(range(count)),
    created_at=datetime(2024, 1, 31, 12, tzinfo=UTC),
    author="",
)
start = time.perf_counter()
data = canonical(manifest)
seconds = time.perf_counter() - start
report(seconds=seconds, size=len(data))
signature = {{
    "algorithm": "ed25519",
    "public_key": "",
    "signature_hex": "",
    "signed_at": "2024-01-31T12:00:00Z",
    "signer_id": "large",
}}
with open(path, "wb") as file:
    file.writelines([b'{{"manifest":', data])
    file.write(b',"signature":' + json.dumps(signature).encode() + b"}}")
"""

_DECODE = f"""{_HEAD}
data = path.read_bytes()
start = time.perf_counter()
signed = SignedManifest.model_validate_json(data)
seconds = time.perf_counter() - start
report(seconds=seconds, size=len(data))
files = signed.manifest.files
assert (len(files), files[-1]) == (count, entry(count - 1))
"""


def measure(code: str, path: Path) -> dict[str, float]:
    """Run it as a process of its own, whose memory is nobody else's."""
    done = subprocess.run(
        [sys.executable, "-c", code, path, str(ENTRIES)],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def test_a_million_entries(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    encoded = measure(_ENCODE, path)
    decoded = measure(_DECODE, path)
    for name, figures in (("encode", encoded), ("decode", decoded)):
        print(
            f"{name}: {figures['seconds']:.2f} s, {figures['size'] / 1e6:.0f} MB,"
            f" peak {figures['peak'] / (1 << 20):.0f} MiB"
        )
    path.unlink()
    assert encoded["seconds"] < ENCODE_SECONDS
    assert decoded["seconds"] < DECODE_SECONDS
    assert encoded["peak"] < PEAK
    assert decoded["peak"] < PEAK
