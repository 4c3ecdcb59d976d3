"""git-lfs pointers: the small text that stands in for a file's content.

Source: the git-lfs specification, docs/spec.md; `hawser` was the name before version 1.
"""

import re
from typing import Final, NamedTuple

POINTER_LIMIT: Final = 1024
"""A pointer is shorter than this, in bytes."""

_BEGINNINGS: Final = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)


def is_pointer(content: bytes) -> bool:
    """Whether `content`, the whole of a file, stands in for something else."""
    return len(content) < POINTER_LIMIT and content.startswith(_BEGINNINGS)


class Pointer(NamedTuple):
    """What a pointer says of the content it stands in for.

    sha256: 32 bytes. size: bytes.
    """

    sha256: bytes
    size: int


_POINTER: Final = re.compile(
    rb"(?:%b)v1\noid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,18})\n"
    % b"|".join(map(re.escape, _BEGINNINGS))
)


def parse(content: bytes) -> Pointer | None:
    """The content that a pointer stands in for.

    None for what is no pointer, for one not in the exact form that git-lfs writes, and for one
    with extensions: its oid is not that of the file's content.
    """
    found = _POINTER.fullmatch(content) if is_pointer(content) else None
    return Pointer(bytes.fromhex(found[1].decode()), int(found[2])) if found else None
