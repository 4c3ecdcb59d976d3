"""Comparing what was signed with what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelseal.diff import Change, Content, Difference, changes, compare
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


A, B, EMPTY = Content("a", 1), Content("b", 2), Content("e", 0)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"x": A}, {"x": A}, []),
        ({"x": A}, {"x": B}, [Change("altered", "x", A, B)]),
        ({"x": A}, {}, [Change("removed", "x", A, None)]),
        ({}, {"x": A}, [Change("added", "x", None, A)]),
        ({"x": A}, {"y": A}, [Change("renamed", "y", A, A, "x")]),
        ({"x": A}, {"x": A, "y": A}, [Change("added", "y", None, A)]),
        ({"x": A, "y": A}, {"x": A}, [Change("removed", "y", A, None)]),
        (
            {"x": A, "y": B},
            {"x": B, "z": A},
            [
                Change("altered", "x", A, B),
                Change("removed", "y", B, None),
                Change("added", "z", None, A),
            ],
        ),
        # Of two with one content the one that kept its name, whatever the order.
        (
            {"a/x": EMPTY, "a/y": EMPTY},
            {"b/y": EMPTY, "c/q": EMPTY},
            [
                Change("renamed", "b/y", EMPTY, EMPTY, "a/y"),
                Change("renamed", "c/q", EMPTY, EMPTY, "a/x"),
            ],
        ),
        (
            {"a": A, "b": A},
            {"c": A},
            [Change("removed", "b", A, None), Change("renamed", "c", A, A, "a")],
        ),
        (
            {"a": A},
            {"b": A, "c": A},
            [Change("renamed", "b", A, A, "a"), Change("added", "c", None, A)],
        ),
    ],
)
def test_changes(old: dict[str, Content], new: dict[str, Content], found: list[Change]) -> None:
    assert changes(old, new) == found


_CONTENTS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([A, B, EMPTY]))


@QUICK
@given(_CONTENTS, _CONTENTS)
def test_changes_lead_from_one_tree_to_the_other(
    old: dict[str, Content], new: dict[str, Content]
) -> None:
    tree = dict(old)
    found = changes(old, new)
    for change in found:
        assert change.before == old.get(change.old_path or change.path)
        tree.pop(change.old_path or change.path, None)
    for change in found:
        if change.after is not None:
            tree[change.path] = change.after
    assert tree == new
    # Nothing is both removed and added: it was renamed.
    gone = {change.before for change in found if change.kind == "removed"}
    assert gone.isdisjoint(change.after for change in found if change.kind == "added")
