"""git-lfs pointers: the small text that stands in for a file's content.

Source: the git-lfs specification, docs/spec.md; `hawser` was the name before version 1.
"""

from typing import Final

POINTER_LIMIT: Final = 1024
"""A pointer is shorter than this, in bytes."""

_BEGINNINGS: Final = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)


def is_pointer(content: bytes) -> bool:
    """Whether `content`, the whole of a file, stands in for something else."""
    return len(content) < POINTER_LIMIT and content.startswith(_BEGINNINGS)
