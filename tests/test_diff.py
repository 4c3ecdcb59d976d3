"""Comparing what was signed with what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelseal.diff import Difference, compare
from tests.strategies import QUICK

_TREES = st.dictionaries(st.sampled_from("abcde"), st.sampled_from("01"))


@pytest.mark.parametrize(
    ("expected", "actual", "difference"),
    [
        ({}, {}, Difference([], [], [])),
        ({"a": "0"}, {"a": "0"}, Difference([], [], [])),
        ({"a": "0"}, {"a": "1"}, Difference(["a"], [], [])),
        ({"a": "0"}, {}, Difference([], ["a"], [])),
        ({}, {"a": "0"}, Difference([], [], ["a"])),
        ({"a": "0"}, {"b": "0"}, Difference([], ["a"], ["b"])),
        ({"a": "0", "b": "1"}, {"a": "1", "b": "0"}, Difference(["a", "b"], [], [])),
        ({"a": "0"}, {"A": "0", "a/": "0"}, Difference([], ["a"], ["A", "a/"])),
        (
            {"z": "0", "y": "0", "x": "0", "w": "0"},
            {"v": "0", "x": "1", "u": "0", "z": "1"},
            Difference(["z", "x"], ["y", "w"], ["v", "u"]),
        ),
    ],
)
def test_compare(expected: dict[str, str], actual: dict[str, str], difference: Difference) -> None:
    assert compare(expected, actual) == difference


@QUICK
@given(_TREES, _TREES)
def test_every_path_is_in_its_place(expected: dict[str, str], actual: dict[str, str]) -> None:
    altered, missing, added = compare(expected, actual)
    alike = [path for path in expected if actual.get(path) == expected[path]]
    assert sorted([*alike, *altered, *missing]) == sorted(expected)
    assert sorted([*alike, *altered, *added]) == sorted(actual)
    assert all(expected[path] != actual[path] for path in altered)


@QUICK
@given(_TREES, _TREES)
def test_the_other_way_round(expected: dict[str, str], actual: dict[str, str]) -> None:
    forth, back = compare(expected, actual), compare(actual, expected)
    assert (forth.missing, forth.added) == (back.added, back.missing)
    assert set(forth.altered) == set(back.altered)
    assert (forth == ([], [], [])) is (expected == actual)
