"""Which paths a manifest may name: each by itself, and beside each other."""

import posixpath
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelseal import paths
from modelseal.errors import FormatError
from tests import strategies
from tests.strategies import QUICK

_SHORT = st.text(st.sampled_from("ab./"), max_size=8)
"""Short enough that every kind of path comes up, right and wrong."""


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c",
        ".hidden",
        "a/.hidden",
        "..a",
        "a..",
        "a/..b",
        "...",
        "a/...",
        "a.",
        "-rf",
        "--help",
        " ",
        " a ",
        "~",
        "$HOME",
        "*",
        "a:b:c",
        "weights:0",
        "model.bin:Zone.Identifier",
        "sub/C:",
        "line\nbreak",
        "tab\t",
        "\x1b[31m",
        "\u202egnp.bin",
        "naïve",
        "nai\u0308ve",
        "模型/重み",
        "😀",
        "\ufeff",
        "CON",
        "x" * 255,
        "/".join(["x" * 15] * 256),
    ],
)
def test_allowed(path: str) -> None:
    assert paths.check(path) == path


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "is empty"),
        ("/", "is absolute"),
        ("/etc/passwd", "is absolute"),
        ("//host/share", "is absolute"),
        (".", "has a '.' or '..' part"),
        ("..", "has a '.' or '..' part"),
        ("./a", "has a '.' or '..' part"),
        ("../a", "has a '.' or '..' part"),
        ("a/.", "has a '.' or '..' part"),
        ("a/..", "has a '.' or '..' part"),
        ("a/./b", "has a '.' or '..' part"),
        ("a/../b", "has a '.' or '..' part"),
        ("../../../../etc/passwd", "has a '.' or '..' part"),
        ("a/", "has an empty part"),
        ("a//b", "has an empty part"),
        ("a/b//", "has an empty part"),
        ("a\\b", "has a backslash"),
        ("\\", "has a backslash"),
        ("..\\a", "has a backslash"),
        ("C:\\x", "has a backslash"),
        ("C:", "has a drive letter"),
        ("C:/x", "has a drive letter"),
        ("z:/", "has a drive letter"),
        ("\0", "has a NUL"),
        ("a\0", "has a NUL"),
        ("a/\0b", "has a NUL"),
        ("\ud800", "is not valid Unicode"),
        ("a/\udcff", "is not valid Unicode"),
    ],
)
def test_refused(path: str, fault: str) -> None:
    with pytest.raises(FormatError) as caught:
        paths.check(path)
    assert str(caught.value) == f"path {path!r} {fault}"


@QUICK
@given(strategies.paths)
def test_what_a_manifest_may_name_passes(path: str) -> None:
    assert paths.check(path) == path
    assert paths.normalise(path) == path


@QUICK
@given(_SHORT)
def test_a_path_passes_only_in_its_simplest_form_and_inside(path: str) -> None:
    simple = posixpath.normpath(path) == path and path != "."
    inside = posixpath.normpath(f"/root/model/{path}").startswith("/root/model/")
    try:
        paths.check(path)
    except FormatError:
        assert not (simple and inside and not path.startswith("/") and ".." not in path.split("/"))
    else:
        assert simple
        assert inside


@pytest.mark.parametrize(
    "each",
    [
        [],
        ["a"],
        ["a", "b", "a.b", "a b", "a-b/c", "ab/c"],
        ["a/b", "a/c", "b/a", "c/a/b"],
        ["a", "A", "é", "e\u0301"],
        ["a0", "a/b", "a.txt"],
    ],
)
def test_sets_that_fit(each: list[str]) -> None:
    paths.check_all(each)
    paths.check_all(each[::-1])


@pytest.mark.parametrize(
    ("each", "error"),
    [
        (["a", "a"], "path 'a' is named twice"),
        (["b", "a/b", "c", "a/b"], "path 'a/b' is named twice"),
        (["a", "a/b"], "path 'a' is both a file and a directory"),
        (["a/b/c/d/e", "z", "a/b"], "path 'a/b' is both a file and a directory"),
        (["x/y/z", "x/y", "x/w/v", "x/w"], "path 'x/w' is both a file and a directory"),
        # Sorted by their bytes these three are not neighbours.
        (["a", "a.b", "a/b"], "path 'a' is both a file and a directory"),
    ],
)
def test_sets_that_do_not_fit(each: list[str], error: str) -> None:
    for order in (each, each[::-1]):
        with pytest.raises(FormatError) as caught:
            paths.check_all(order)
        assert str(caught.value) == error


def test_paths_of_very_many_parts_take_no_more_memory_than_they_are_long() -> None:
    deep = "a/" * 100_000
    tracemalloc.start()
    try:
        paths.check_all([deep + "x", deep + "y"])
        with pytest.raises(FormatError) as caught:
            paths.check_all([deep + "x", deep[:-1]])
        assert tracemalloc.get_traced_memory()[1] < 20 * len(deep)
    finally:
        tracemalloc.stop()
    assert str(caught.value) == (
        f"path {deep[:80]!r}… of 199,999 characters is both a file and a directory"
    )


def test_a_path_that_no_system_could_open_is_not_shown_whole() -> None:
    for path in ("../" + "x" * 5000, "x" * 5000 + "/", "/" + "x" * 5000):
        with pytest.raises(FormatError) as caught:
            paths.check(path)
        assert len(str(caught.value)) < 200
    with pytest.raises(FormatError, match=r"x{4093}'"):
        paths.check("../" + "x" * 4093)


def _clashes(each: Sequence[str]) -> bool:
    """The same judgement, by comparing each with each."""
    return any(
        left == right or left.startswith(f"{right}/")
        for at, left in enumerate(each)
        for other, right in enumerate(each)
        if at != other
    )


@QUICK
@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join), max_size=4))
def test_any_set(each: list[str]) -> None:
    if _clashes(each):
        with pytest.raises(FormatError):
            paths.check_all(each)
    else:
        paths.check_all(each)


@QUICK
@given(strategies.path_sets)
def test_sets_of_any_names(each: list[str]) -> None:
    paths.check_all(each)
    if each:
        with pytest.raises(FormatError, match="is named twice"):
            paths.check_all([*each, each[-1]])
        with pytest.raises(FormatError, match="is both a file and a directory"):
            paths.check_all([*each, f"{each[0]}/below"])


def test_parents() -> None:
    assert paths.parents([]) == set()
    assert paths.parents(["a", "b.c"]) == set()
    assert paths.parents(["a/b/c", "a/b/d", "a/e", "f/g"]) == {"a", "a/b", "f"}
    assert paths.parents(["a/b/c", "a/d/e", "b/b/c"]) == {"a", "a/b", "a/d", "b", "b/b"}


@QUICK
@given(strategies.path_sets)
def test_parents_of_any_names(each: list[str]) -> None:
    parts = [path.split("/") for path in each]
    expected = {"/".join(some[:length]) for some in parts for length in range(1, len(some))}
    assert paths.parents(each) == expected


@pytest.mark.parametrize(
    ("path", "tops", "below"),
    [
        ("a", [], False),
        ("a", ["a"], True),
        ("a/b", ["a"], True),
        ("a/b/c", ["x", "a/b"], True),
        ("a", ["a/b"], False),
        ("ab", ["a"], False),
        ("a.b/c", ["a"], False),
        ("b/a", ["a"], False),
    ],
)
def test_is_below(path: str, tops: list[str], below: bool) -> None:
    assert paths.is_below(path, tops) is below
    assert paths.is_below(path, set(tops)) is below


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("a", "a"),
        ("a/", "a"),
        ("./a", "a"),
        ("./a/", "a"),
        ("a//b", "a/b"),
        ("a/./b/.", "a/b"),
        ("././/a", "a"),
        (".cache/huggingface/", ".cache/huggingface"),
    ],
)
def test_normalise(typed: str, path: str) -> None:
    assert paths.normalise(typed) == path


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("/a", "path '/a' is absolute"),
        ("//", "path '//' is absolute"),
        ("..", "path '..' has a '.' or '..' part"),
        ("../a", "path '../a' has a '.' or '..' part"),
        ("a/../b", "path 'a/../b' has a '.' or '..' part"),
        ("./a/..", "path 'a/..' has a '.' or '..' part"),
        ("a\\b", "path 'a\\\\b' has a backslash"),
        ("a\0", "path 'a\\x00' has a NUL"),
        ("", "path '' is empty"),
        (".", "path '.' is the whole model"),
        ("././", "path '././' is the whole model"),
    ],
)
def test_what_cannot_be_normalised(typed: str, error: str) -> None:
    with pytest.raises(FormatError) as caught:
        paths.normalise(typed)
    assert str(caught.value) == error
    absolute = typed.startswith("/")
    assert caught.value.hint == ("name it relative to the model" if absolute else "")


@QUICK
@given(_SHORT)
def test_normalise_gives_paths_that_pass(typed: str) -> None:
    try:
        path = paths.normalise(typed)
    except FormatError:
        parts = typed.split("/")
        assert typed.startswith("/") or ".." in parts or not any(p not in ("", ".") for p in parts)
    else:
        assert paths.check(path) == posixpath.normpath(typed)


def test_one_string_is_no_collection_of_paths() -> None:
    with pytest.raises(TypeError, match=r"\Aa collection of paths is needed, not one string\Z"):
        paths.normalise_all("ab")
