"""Walk a model directory: its regular files, and everything else that lies there.

Nothing is opened here, and no link is followed unless asked for. Names are UTF-8 whatever the
locale says, so the walk works on bytes.
"""

import os
import stat
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from modelseal import paths
from modelseal.errors import FormatError, ModelError

ROOT_EXCLUSIONS: Final = frozenset({".git", ".modelseal", "signed_manifest.json", "model.sig"})
"""Names left out at the root of a model, and only there."""

SYMBOLIC_LINK: Final = "symbolic link"
"""The kind of a link to a regular file, the one kind that may be followed."""

_KINDS: Final = {
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


class TreeFile(NamedTuple):
    """A regular file, as it was when the walk saw it.

    path: relative to the root, as a manifest would name it.
    size: bytes.
    version: what changes with the content: device, inode, mtime and ctime in nanoseconds.
    link: where the path is a link that is followed, its target; else empty.
    """

    path: str
    size: int
    version: tuple[int, int, int, int]
    link: str = ""


class Irregular(NamedTuple):
    """What can't be part of a model: a link, a FIFO, a name that isn't UTF-8, …

    path: printable, whatever the bytes of the name are.
    kind: what it is.
    target: where a link leads.
    """

    path: str
    kind: str
    target: str = ""


class Unlistable(NamedTuple):
    """A directory or file that could not be looked at, so that nothing is known of it."""

    path: str
    error: OSError


class Tree:
    """What lies below a root: everything is in one of these, files sorted by path.

    outside: followed links that lead out of the model, as (path, target).
    ignored: the paths left out because the caller said so, where they exist.
    """

    def __init__(self) -> None:
        self.files: list[TreeFile] = []
        self.irregular: list[Irregular] = []
        self.unlistable: list[Unlistable] = []
        self.outside: list[tuple[str, str]] = []
        self.ignored: list[str] = []


def version(info: os.stat_result) -> tuple[int, int, int, int]:
    """The part of a stat result that changes with a file's content."""
    return info.st_dev, info.st_ino, info.st_mtime_ns, info.st_ctime_ns


def walk(
    root: str | os.PathLike[str],
    *,
    exclude: Collection[str] = ROOT_EXCLUSIONS,
    ignore: Collection[str] = (),
    follow_symlinks: bool = False,
) -> Tree:
    """List a model directory.

    exclude: relative paths that are never part of a model.
    ignore: relative paths left out, with their subtree, because somebody asked.
    follow_symlinks: take a link to a regular file as that file.
    Raises ModelError where `root` is no directory. What can't be listed is in the result.
    """
    top = os.fsencode(root)
    if not os.path.isdir(top):
        kind = "is not a directory" if os.path.lexists(top) else "does not exist"
        raise ModelError(f"model directory '{os.fspath(root)}' {kind}")
    walker = _Walker(top, frozenset(exclude), frozenset(ignore), follow_symlinks)
    directories = [""]
    while directories:
        directories.extend(walker.read(directories.pop()))
    walker.tree.files.sort()
    walker.tree.irregular.sort()
    return walker.tree


class _Walker:
    def __init__(
        self, top: bytes, exclude: frozenset[str], ignore: frozenset[str], follow: bool
    ) -> None:
        self.tree = Tree()
        self._top = top
        self._exclude = exclude
        self._ignore = ignore
        self._follow = follow

    def read(self, directory: str) -> Iterable[str]:
        """Sort one directory's entries into the tree; return its directories."""
        subdirectories: list[str] = []
        prefix = f"{directory}/" if directory else ""
        special = self._exclude | self._ignore
        add = self.tree.files.append
        try:
            with os.scandir(locate(self._top, directory)) as entries:
                for entry in entries:
                    # A model may have a million files: what most of them are is dealt with here.
                    try:
                        path = prefix + entry.name.decode()
                    except UnicodeDecodeError:
                        self._note_name(prefix, entry.name)
                        continue
                    if path in special:
                        self._leave_out(path)
                    elif entry.is_dir(follow_symlinks=False):
                        subdirectories.append(path)
                    elif entry.is_file(follow_symlinks=False) and not _name_fault(path):
                        try:
                            info = entry.stat(follow_symlinks=False)
                        except OSError as err:
                            self.tree.unlistable.append(Unlistable(path, err))
                        else:
                            add(TreeFile(path, info.st_size, version(info)))
                    else:
                        self._judge(path, entry)
        except OSError as err:
            self.tree.unlistable.append(Unlistable(directory or ".", err))
        return subdirectories

    def _note_name(self, prefix: str, name: bytes) -> None:
        path = prefix + name.decode(errors="backslashreplace")
        self.tree.irregular.append(Irregular(path, "name that is not valid UTF-8"))

    def _leave_out(self, path: str) -> None:
        if path in self._ignore:
            self.tree.ignored.append(path)

    def _judge(self, path: str, entry: os.DirEntry[bytes]) -> None:
        """Something that is not plainly a file or a directory."""
        try:
            info = entry.stat(follow_symlinks=False)
            found: Irregular | TreeFile
            if stat.S_ISLNK(info.st_mode):
                found = self._look_through(path, entry.path)
            else:
                found = Irregular(path, kind_of(info.st_mode))
        except OSError as err:
            self.tree.unlistable.append(Unlistable(path, err))
            return
        if fault := _name_fault(path):
            found = Irregular(path, fault)
        if isinstance(found, TreeFile):
            self.tree.files.append(found)
        else:
            self.tree.irregular.append(found)

    def _look_through(self, path: str, full: bytes) -> Irregular | TreeFile:
        """A link: as the file it shows where that is asked for and possible."""
        target = os.readlink(full).decode(errors="backslashreplace")
        try:
            info = os.stat(full)
        except OSError:
            return Irregular(path, "symbolic link that leads nowhere", target)
        if stat.S_ISDIR(info.st_mode):
            return Irregular(path, "symbolic link to a directory", target)
        if not stat.S_ISREG(info.st_mode):
            return Irregular(path, f"symbolic link to a {kind_of(info.st_mode)}", target)
        if not self._follow:
            return Irregular(path, SYMBOLIC_LINK, target)
        top = os.path.realpath(self._top)
        if os.path.commonpath([top, os.path.realpath(full)]) != top:
            self.tree.outside.append((path, target))
        return TreeFile(path, info.st_size, version(info), target)


def _name_fault(path: str) -> str:
    # Whatever else `paths.check` refuses, no directory entry can be.
    if "\\" not in path and path[1:2] != ":":
        return ""
    try:
        paths.check(path)
    except FormatError:
        return "name that a manifest can't hold"
    return ""


def locate(top: bytes, path: str) -> bytes:
    """Where the file that a manifest calls `path` lies, for the system's calls."""
    return b"%b/%b" % (top, path.encode()) if path else top


def kind_of(mode: int) -> str:
    """What a file that isn't regular is."""
    return _KINDS.get(stat.S_IFMT(mode), "special file")
