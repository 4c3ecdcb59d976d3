"""Compare two trees, each a map from path to content."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["altered", "added", "removed", "renamed"]


class Difference(NamedTuple):
    """How `actual` differs from `expected`; paths in the order of their map."""

    altered: list[str]
    missing: list[str]
    added: list[str]


def compare(expected: Mapping[str, object], actual: Mapping[str, object]) -> Difference:
    """Compare paths, and what stands for the content, a digest say, where both have the path."""
    return Difference(
        altered=[p for p, content in expected.items() if p in actual and actual[p] != content],
        missing=[p for p in expected if p not in actual],
        added=[p for p in actual if p not in expected],
    )


class Content(NamedTuple):
    """What lies at a path.

    sha256: hex. size: bytes, or None if that isn't known.
    note: what it is, where it is no regular file; digest and size say nothing then.
    """

    sha256: str
    size: int | None
    note: str = ""


class Change(NamedTuple):
    """One step from an old tree to a new one.

    path: in the new tree; in the old one where it was removed.
    before, after: what was there and what is; None where nothing is.
    old_path: where a renamed file was; empty for every other kind.
    """

    kind: Kind
    path: str
    before: Content | None
    after: Content | None
    old_path: str = ""


def changes(old: Mapping[str, Content], new: Mapping[str, Content]) -> list[Change]:
    """Every change from `old` to `new`, by path.

    A file that is gone from one path and whose content came up at another was renamed; among
    several of one content those whose path ends in the same name belong together.
    """
    altered, missing, added = compare(old, new)
    renamed = _renames({path: old[path] for path in missing}, {path: new[path] for path in added})
    left = set(renamed.values())
    found = [Change("altered", path, old[path], new[path]) for path in altered]
    found += [Change("removed", path, old[path], None) for path in missing if path not in left]
    for path in added:
        if path in renamed:
            was = renamed[path]
            found.append(Change("renamed", path, old[was], new[path], was))
        else:
            found.append(Change("added", path, None, new[path]))
    return sorted(found, key=lambda change: change.path)


def _renames(missing: Mapping[str, Content], added: Mapping[str, Content]) -> dict[str, str]:
    """New path → the old one of the same content."""
    found: dict[str, str] = {}
    for by_name in (True, False):
        gone: dict[tuple[Content, str], list[str]] = {}
        taken = set(found.values())
        for path in sorted(missing.keys() - taken, reverse=True):
            gone.setdefault((missing[path], _last(path) if by_name else ""), []).append(path)
        for path in sorted(added.keys() - found.keys()):
            if same := gone.get((added[path], _last(path) if by_name else "")):
                found[path] = same.pop()
    return found


def _last(path: str) -> str:
    return path.rpartition("/")[2]
