"""The walk: every name in a model directory is judged, and nothing is opened."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelseal import tree
from modelseal.errors import ModelError
from modelseal.tree import Irregular
from tests.irregular import link_to, make_socket


def put(root: Path, *paths: str, content: str = "x") -> None:
    """Make files, with their directories."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def test_files_are_listed_in_the_order_of_their_paths(tmp_path: Path) -> None:
    paths = ["B", "a", "a-b/c", "a.txt", "a/b/c", "a/z", "é", "zz/\U0001f600", ".hidden", "-x"]
    put(tmp_path, *(path for path in paths if path != "a"))
    (tmp_path / "nothing" / "in here").mkdir(parents=True)
    found = tree.walk(tmp_path)
    assert found.files == sorted(path for path in paths if path != "a")
    assert [*found.irregular, *found.unlistable, *found.outside, *found.ignored] == []


def _link_to_model(place: Path) -> Path:
    put(place / "model", "a")
    (place / "link").symlink_to("model")
    return place / "link"


def _relative(place: Path) -> Path:
    put(place / "model", "a")
    return Path(os.path.relpath(place / "model"))


@pytest.mark.parametrize("make", [_link_to_model, _relative])
def test_the_root_may_be_a_link_or_relative(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert tree.walk(make(tmp_path)).files == ["a"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nothing", "does not exist"),
        ("file", "is not a directory"),
        ("fifo", "is not a directory"),
        ("dangling", "is not a directory"),
        ("file/below", "does not exist"),
    ],
)
def test_what_is_no_directory_is_no_model(tmp_path: Path, name: str, fault: str) -> None:
    put(tmp_path, "file")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(ModelError) as caught:
        tree.walk(tmp_path / name)
    assert str(caught.value) == f"model directory '{tmp_path / name}' {fault}"
    assert isinstance(caught.value, ValueError)


def test_exclusions_hold_at_the_root_and_only_there(tmp_path: Path) -> None:
    excluded = [".git/config", ".modelseal/log", "signed_manifest.json", "model.sig"]
    kept = [
        *(f"sub/{path}" for path in excluded),
        ".git.txt",
        ".gitignore",
        "Model.sig",
        "model.sig.bak",
        "sub/.git2",
    ]
    put(tmp_path, *excluded, *kept)
    assert tree.walk(tmp_path).files == sorted(kept)
    assert tree.walk(tmp_path, exclude=()).files == sorted([*kept, *excluded])
    assert tree.walk(tmp_path, exclude=["sub/model.sig", ".git"]).files == sorted(
        [*excluded[1:], *(path for path in kept if path != "sub/model.sig")]
    )


def test_a_directory_with_a_manifests_name_is_left_out_nowhere(tmp_path: Path) -> None:
    put(tmp_path, "model.sig/a.py", "signed_manifest.json/b.py", "b")
    assert tree.walk(tmp_path).files == ["b", "model.sig/a.py", "signed_manifest.json/b.py"]


def test_what_is_ignored_is_left_out_with_its_subtree_and_told(tmp_path: Path) -> None:
    put(tmp_path, "a/b/c", "a/b2", "d", "e/d", "a/bb/c")
    os.mkfifo(tmp_path / "a" / "b" / "fifo")
    found = tree.walk(tmp_path, ignore=["a/b", "d", "not there", "b2"])
    assert found.files == ["a/b2", "a/bb/c", "e/d"]
    assert sorted(found.ignored) == ["a/b", "d"]
    assert found.irregular == []


ODD: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "fifo": (os.mkfifo, "FIFO", ""),
    "socket": (make_socket, "socket", ""),
    "to-file": (link_to("real"), "symbolic link", "real"),
    "to-directory": (link_to("directory"), "symbolic link to a directory", "directory"),
    "to-root": (link_to(".."), "symbolic link to a directory", ".."),
    "to-self": (link_to("."), "symbolic link to a directory", "."),
    "dangling": (link_to("no\nwhere"), "symbolic link that leads nowhere", "no\nwhere"),
    "loop": (link_to("loop"), "symbolic link that leads nowhere", "loop"),
    "to-zero": (link_to("/dev/zero"), "symbolic link to a character device", "/dev/zero"),
    "to-fifo": (link_to("fifo"), "symbolic link to a FIFO", "fifo"),
    "to-link": (link_to("to-file"), "symbolic link", "to-file"),
    "to-proc": (link_to("/proc/self/mem"), "symbolic link", "/proc/self/mem"),
    "C:": (lambda path: path.touch(), "name that a manifest can't hold", ""),
    "a\\b": (lambda path: path.touch(), "name that a manifest can't hold", ""),
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A model with everything that a manifest can't name, in its root."""
    root = tmp_path / "odd"
    put(root, "real", "directory/file")
    for name, (make, _, _) in ODD.items():
        make(root / name)
    os.close(os.open(os.fsencode(root) + b"/caf\xe9", os.O_CREAT | os.O_WRONLY))
    os.mkdir(os.fsencode(root) + b"/directory/\xff\xfe")
    return root


NOT_UTF8 = [
    Irregular("caf\\xe9", "name that is not valid UTF-8"),
    Irregular("directory/\\xff\\xfe", "name that is not valid UTF-8"),
]


def test_what_is_no_regular_file_is_told_apart(odd: Path) -> None:
    found = tree.walk(odd)
    assert found.files == ["directory/file", "real"]
    assert found.irregular == sorted(
        [*(Irregular(name, kind, to) for name, (_, kind, to) in ODD.items()), *NOT_UTF8]
    )
    assert found.unlistable == []
    assert found.outside == []


def test_followed_links_are_files_where_they_show_files(odd: Path) -> None:
    found = tree.walk(odd, follow_symlinks=True)
    assert found.files == ["directory/file", "real", "to-file", "to-link", "to-proc"]
    assert found.links == {"to-file": "real", "to-link": "to-file", "to-proc": "/proc/self/mem"}
    assert found.outside == ["to-proc"]
    assert {item.path for item in found.irregular} == {
        *(name for name in ODD if name not in found.links),
        *(item.path for item in NOT_UTF8),
    }


def test_followed_links_that_lead_out_are_told(tmp_path: Path) -> None:
    put(tmp_path, "blobs/1", "model/inside", "model-2/x")
    root = tmp_path / "model"
    for name, target in {
        "a": "../blobs/1",
        "b": "inside",
        "c": "../model/inside",
        "d": "../model-2/x",  # begins as the model's own path does
        "e": str(tmp_path / "model" / "inside"),
        "f": "a",
    }.items():
        (root / name).symlink_to(target)
    (tmp_path / "link").symlink_to("model")
    for top in (root, tmp_path / "link"):
        found = tree.walk(top, follow_symlinks=True)
        assert found.files == ["a", "b", "c", "d", "e", "f", "inside"]
        assert sorted(found.outside) == ["a", "d", "f"]


def test_names_may_hold_what_file_systems_allow(tmp_path: Path) -> None:
    names = ["-rf", " ", "a b ", "*", "?", "m:v1", "a:b", "\n", "\t", "\x1b[31m", "\u202e", "~"]
    names += ["x" * 255, "...", "..a", "$(id)", "'", '"', "\x7f", "%s", "e\u0301", "\u00e9"]
    put(tmp_path, *names)
    assert tree.walk(tmp_path).files == sorted(names)


def test_a_directory_that_vanishes_during_the_walk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "model", "a/b/c", "d/e")
    scan = os.scandir
    seen: list[Any] = []

    def vanish(path: Any) -> Iterator[os.DirEntry[Any]]:
        seen.append(path)
        if len(seen) == 2:
            (tmp_path / "model" / "a").rename(tmp_path / "gone")
        return scan(path)

    monkeypatch.setattr(os, "scandir", vanish)
    found = tree.walk(tmp_path / "model")
    monkeypatch.undo()
    assert found.files == ["d/e"]
    [missed] = found.unlistable
    assert missed.path in ("a", "a/b")
    assert isinstance(missed.error, FileNotFoundError)


def test_a_directory_too_deep_to_name_is_told(tmp_path: Path) -> None:
    levels = 50
    name = "d" * 200
    put(tmp_path, "file")
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    found = tree.walk(tmp_path)
    assert found.files == ["file"]
    [missed] = found.unlistable
    assert set(missed.path.split("/")) == {name}
    assert len(os.fsencode(tmp_path / missed.path)) >= os.pathconf(tmp_path, "PC_PATH_MAX") - 1
