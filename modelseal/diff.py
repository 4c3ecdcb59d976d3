"""Compare two trees, each a map from path to content."""

from collections.abc import Mapping
from typing import NamedTuple


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
