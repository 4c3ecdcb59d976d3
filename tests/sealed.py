"""Signed manifests for tests of the store, which asks nobody whether a signature holds."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from modelseal import FileEntry, ModelManifest, Signature, SignatureAlgorithm, SignedManifest


def seal_of(
    contents: dict[str, bytes],
    name: str = "model",
    version: str = "1.0",
    *,
    signer: str = "alice@example.com",
    at: int = 0,
) -> SignedManifest:
    """A signed manifest of some files. at: seconds, to tell one signing from another."""
    entries = [
        FileEntry(path=path, size_bytes=len(data), sha256_hash=hashlib.sha256(data).hexdigest())
        for path, data in sorted(contents.items())
    ]
    when = datetime.fromtimestamp(1_700_000_000 + at, UTC)
    return SignedManifest(
        manifest=ModelManifest(
            model_name=name,
            model_version=version,
            framework="unknown",
            files=entries,
            total_size_bytes=sum(entry.size_bytes for entry in entries),
            created_at=when,
            author="",
        ),
        signature=Signature(
            algorithm=SignatureAlgorithm.ed25519,
            public_key="",
            signature_hex="00" * 64,
            signed_at=when,
            signer_id=signer,
        ),
    )


def seal_directory(root: Path, name: str = "model", version: str = "1.0") -> SignedManifest:
    """A signed manifest of a model directory as it is."""
    contents = {}
    for directory, below, files in os.walk(root):
        below[:] = [entry for entry in below if entry != ".modelseal"]
        for file in files:
            path = Path(directory, file)
            contents[path.relative_to(root).as_posix()] = path.read_bytes()
    return seal_of(contents, name, version)


def age(root: Path) -> None:
    """Let the files of a model have been there for a while, as those of a real one have."""
    import time

    latest = max(path.lstat().st_ctime_ns for path in root.rglob("*"))
    while time.time_ns() < latest + 60_000_000:
        time.sleep(0.01)
