"""Which relative paths a manifest may name, and which sets of them."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, pairwise

from modelseal.errors import FormatError

_DRIVE = re.compile(r"[A-Za-z]:(?:/|\Z)")
_LONGEST_SHOWN = 4096
_SHOWN = 80


def check(path: str) -> str:
    """Return `path` if a manifest may name it.

    path: relative, `/`-separated, without empty, `.` or `..` parts, backslash, NUL, drive letter
    or lone surrogate.

    Raises FormatError, which says what is wrong with it.
    """
    # In most paths nothing asks for a closer look, and a manifest may have a million.
    framed = f"/{path}/"
    if (
        "//" in framed
        or "/." in framed
        or "\\" in path
        or "\0" in path
        or ":" in path
        or not path.isascii()
    ) and (fault := _fault(path)):
        raise FormatError(f"path {_brief(path)} {fault}")
    return path


def _fault(path: str) -> str:
    if not path:
        return "is empty"
    if "\\" in path:
        return "has a backslash"
    if "\0" in path:
        return "has a NUL"
    if path[0] == "/":
        return "is absolute"
    if path[1:2] == ":" and _DRIVE.match(path):
        return "has a drive letter"
    parts = path.split("/")
    if "" in parts:
        return "has an empty part"
    if "." in parts or ".." in parts:
        return "has a '.' or '..' part"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return ""


def check_all(paths: Sequence[str]) -> None:
    """Check that N paths can stand beside each other in one tree.

    Raises FormatError for a path that is there twice, or that is a file in one entry and a
    directory in another.
    """
    # In this order a path's subtree follows it at once. The directories themselves are not made:
    # of a few paths of very many parts they would fill all memory.
    ends = sorted([f"{path}/" for path in paths])
    if not any(map(str.startswith, islice(ends, 1, None), ends)):
        return
    twice = next((path for path, count in Counter(paths).items() if count > 1), None)
    if twice is not None:
        raise FormatError(f"path {_brief(twice)} is named twice")
    both = min(end for end, after in pairwise(ends) if after.startswith(end))
    raise FormatError(f"path {_brief(both[:-1])} is both a file and a directory")


def _brief(path: str) -> str:
    """A path as a message shows it: whole, unless no system could open it."""
    if len(path) <= _LONGEST_SHOWN:
        return repr(path)
    return f"{path[:_SHOWN]!r}… of {len(path):,} characters"


def parents(paths: Iterable[str]) -> set[str]:
    """Every directory above the files `paths`, the root left out."""
    directories: set[str] = set()
    last = ""
    for path in paths:
        # Sorted paths come directory by directory.
        if (parent := path[: path.rfind("/") + 1]) == last:
            continue
        last = parent
        for directory in _above(path):
            if directory in directories:
                break
            directories.add(directory)
    return directories


def is_below(path: str, tops: Collection[str]) -> bool:
    """Whether `path` is one of `tops` or lies in the subtree of one."""
    return bool(tops) and (path in tops or any(above in tops for above in _above(path)))


def _above(path: str) -> Iterator[str]:
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def normalise(path: str) -> str:
    """A path as a person types it (`./a/`, `a//b`) → as a manifest would name it.

    Raises FormatError for one that leaves the model.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/"):
        raise FormatError(f"path {_brief(path)} is absolute", hint="name it relative to the model")
    if not parts and path:
        raise FormatError(f"path {_brief(path)} is the whole model")
    return check("/".join(parts))


def normalise_all(paths: Collection[str]) -> set[str]:
    """As `normalise`, for several. Raises TypeError for a string in place of a collection."""
    if isinstance(paths, str):
        raise TypeError("a collection of paths is needed, not one string")
    return {normalise(path) for path in paths}
