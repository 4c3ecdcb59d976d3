"""Words of OMS that its readers share; loads nothing."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

Algorithm = Literal["sha256", "blake2b", "blake3"]

PREDICATE: Final = "https://model_signing/signature/v1.0"
OLD_PREDICATE: Final = "https://model_signing/Digests/v0.1"
"""Of model_signing 0.2: verified, never written."""

IGNORED: Final = frozenset({".git", ".gitattributes", ".github", ".gitignore"})
"""Left out at the top of every model."""

ALONE: Final = "."
"""What model_signing calls the one file of a model that is one."""

ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "sha256": "sha256",
    "blake2b": "blake2b",
    "blake2": "blake2b",  # as model_signing writes it, too
    "blake3": "blake3",
}


def algorithm(said: str, shard_size: int) -> Algorithm | None:
    """Which algorithm is meant; model_signing also writes `sha256-sharded-1000000`."""
    plain = said.removesuffix(f"-sharded-{shard_size}") if shard_size else said
    return ALGORITHMS.get(plain)


def inside(ignored: Sequence[str]) -> set[str]:
    """Of a statement's ignored paths those that can be inside a model.

    Some tools write them as they were typed, absolute or relative to anywhere.
    """
    found = set()
    for path in ignored:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if parts and not path.startswith("/") and ".." not in parts:
            found.add("/".join(parts))
    return found
