"""Shards: a file's consecutive ranges, each with a digest and a name of its own.

Source: OMS 1.0, section 6.3.2.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from modelseal.errors import FormatError

DEFAULT_SIZE: Final = 1_000_000_000
"""Bytes of a shard where nobody says otherwise."""

# Names may hold colons: the last two numbers count. Leading zeros would be a second spelling.
_NAME = re.compile(
    r"(?P<path>.*):(?P<start>0|[1-9][0-9]{0,18}):(?P<end>[1-9][0-9]{0,18})", re.DOTALL
)


def name(path: str, start: int, end: int) -> str:
    """What the bytes from `start` up to `end`, which is not among them, are called."""
    return f"{path}:{start}:{end}"


def split(text: str) -> tuple[str, int, int]:
    """A shard's name as path, start and end. Raises FormatError."""
    found = _NAME.fullmatch(text)
    if not found:
        raise FormatError(f"resource {text!r} is not named as a shard, 'path:start:end'")
    return found["path"], int(found["start"]), int(found["end"])


def ranges(size: int, shard_size: int) -> Iterator[tuple[int, int]]:
    """Start and end of each shard of a file; an empty file has none."""
    for start in range(0, size, shard_size):
        yield start, min(start + shard_size, size)


def join(
    resources: Iterable[tuple[str, str]], shard_size: int
) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Shards, as pairs of name and digest → path → size and digests, of whole files.

    Raises FormatError where the ranges of a file leave a gap, overlap, or aren't of one size.
    """
    found: dict[str, list[tuple[int, int, str]]] = {}
    for text, digest in resources:
        path, start, end = split(text)
        found.setdefault(path, []).append((start, end, digest))
    return {path: _whole(path, parts, shard_size) for path, parts in found.items()}


def _whole(
    path: str, parts: list[tuple[int, int, str]], shard_size: int
) -> tuple[int, tuple[str, ...]]:
    # In name order ten comes before two.
    parts.sort()
    expected = 0
    for start, end, _ in parts:
        if start != expected:
            fault = "overlap" if start < expected else f"leave out the bytes from {expected}"
            raise FormatError(f"the shards of {path!r} {fault}")
        if end <= start or end - start > shard_size:
            raise FormatError(f"shard '{start}:{end}' of {path!r} is not of {shard_size} bytes")
        expected = end
    for start, end, _ in parts[:-1]:
        if end - start != shard_size:
            raise FormatError(f"shard '{start}:{end}' of {path!r} is not of {shard_size} bytes")
    return expected, tuple(digest for _, _, digest in parts)
