"""Walk a model directory: its regular files, and everything else that lies there.

Nothing is opened here, and no link is followed unless asked for. Names are UTF-8 whatever the
locale says, so the walk works on bytes.
"""

import os
import stat
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from modelseal import paths
from modelseal.errors import FormatError, ModelError

ROOT_EXCLUSIONS: Final = frozenset({".git", ".modelseal", "signed_manifest.json", "model.sig"})
"""Names left out at the root of a model, and only there."""

EXCLUDED_DIRECTORIES: Final = frozenset({".git", ".modelseal"})
"""Of these names the ones that may be directories: nothing may hide below a manifest's name."""

COSIGNED_SUFFIX: Final = ".cosigned"
"""What the file of further signatures is called, after its manifest's name."""

_COSIGNED: Final = "signed_manifest.json" + COSIGNED_SUFFIX
_COSIGNED_START: Final = b'{"manifest_sha256":'

SYMBOLIC_LINK: Final = "symbolic link"
"""The kind of a link to a regular file, the one kind that may be followed."""

NOT_UTF8: Final = "name that is not valid UTF-8"
"""The kind of what no manifest can name."""

LINK_OUT: Final = "symbolic link out of the model"
"""The kind of a link that is followed inside the model alone."""

_KINDS: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: SYMBOLIC_LINK,
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


STAMP: Final = struct.Struct("<3Q2q")
"""What a stamp is: device, inode, size in bytes, mtime and ctime in ns."""

_SIZE: Final = struct.Struct("<16xQ16x")
"""The size alone."""


class Read(NamedTuple):
    """What N files were found to hold, in columns: a model may have a million.

    files: their paths, sorted. stamps: of each, joined. digests: the SHA-256 of each, joined.
    newest: when the last of them was changed, in ns.
    """

    files: Sequence[str]
    stamps: bytes
    digests: bytes
    newest: int

    def sizes(self) -> list[int]:
        """In bytes."""
        return [size for (size,) in _SIZE.iter_unpack(self.stamps)]

    def sha256(self) -> list[bytes]:
        """Digest by digest."""
        return cut(self.digests, _DIGEST_BYTES)

    def without(self, numbers: Collection[int]) -> "Read":
        """But for some of the files."""
        if not numbers:
            return self
        gone = frozenset(numbers)
        keep = [number for number in range(len(self.files)) if number not in gone]
        stamps, digests = cut(self.stamps, STAMP.size), self.sha256()
        return Read(
            [self.files[number] for number in keep],
            b"".join([stamps[number] for number in keep]),
            b"".join([digests[number] for number in keep]),
            self.newest,
        )


NOTHING_READ: Final = Read((), b"", b"", 0)


def cut(data: bytes, size: int) -> list[bytes]:
    """The pieces of so many bytes that were joined."""
    return [data[start : start + size] for start in range(0, len(data), size)]


_DIGEST_BYTES: Final = 32
_LOW_BITS: Final = (1 << 63) - 1


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
    """What lies below a root: everything is in one of these, sorted.

    files: paths of regular files, as a manifest would name them.
    links: those of the files that are links to one, with their targets.
    outside: those of the links that lead out of the model.
    ignored: the paths left out because the caller said so, where they exist.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.links: dict[str, str] = {}
        self.irregular: list[Irregular] = []
        self.unlistable: list[Unlistable] = []
        self.outside: list[str] = []
        self.ignored: list[str] = []


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


def alone(file: str | os.PathLike[str], *, follow_symlinks: bool = False) -> tuple[str, Tree]:
    """A model that is one file: the directory it lies in, and a tree of it alone.

    follow_symlinks: as for `walk`.
    Raises ModelError where `file` does not exist.
    """
    top, name = os.path.split(os.fsencode(file))
    with suppress(FileNotFoundError), os.scandir(top or b".") as entries:
        for entry in entries:
            if entry.name == name:
                walker = _Walker(top or b".", frozenset(), frozenset(), follow_symlinks)
                walker.take(entry)
                return os.fsdecode(top or b"."), walker.tree
    raise ModelError(f"model '{os.fspath(file)}' does not exist")


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
                    if path in special and self._leave_out(path, entry):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        subdirectories.append(path)
                    elif entry.is_file(follow_symlinks=False) and not name_fault(path):
                        add(path)
                    else:
                        self._judge(path, entry)
        except OSError as err:
            self.tree.unlistable.append(Unlistable(directory or ".", err))
        return subdirectories

    def take(self, entry: os.DirEntry[bytes]) -> None:
        """Sort one entry at the top into the tree, whatever it is but a directory."""
        try:
            path = entry.name.decode()
        except UnicodeDecodeError:
            self._note_name("", entry.name)
            return
        if entry.is_file(follow_symlinks=False) and not name_fault(path):
            self.tree.files.append(path)
        else:
            self._judge(path, entry)
            self.tree.outside.clear()  # there is no model around it to lead out of

    def _note_name(self, prefix: str, name: bytes) -> None:
        path = prefix + name.decode(errors="backslashreplace")
        self.tree.irregular.append(Irregular(path, NOT_UTF8))

    def _leave_out(self, path: str, entry: os.DirEntry[bytes]) -> bool:
        if path in self._ignore:
            self.tree.ignored.append(path)
            return True
        return path in EXCLUDED_DIRECTORIES or not entry.is_dir(follow_symlinks=False)

    def _judge(self, path: str, entry: os.DirEntry[bytes]) -> None:
        """Something that is not plainly a file or a directory."""
        try:
            target = ""
            kind = name_fault(path) or kind_of(entry.stat(follow_symlinks=False).st_mode)
            if kind == SYMBOLIC_LINK:
                target = os.readlink(entry.path).decode(errors="backslashreplace")
                kind = _link_kind(entry.path)
        except OSError as err:
            self.tree.unlistable.append(Unlistable(path, err))
            return
        if kind == SYMBOLIC_LINK and self._follow:
            self.tree.files.append(path)
            self.tree.links[path] = target
            top = os.path.realpath(self._top)
            if os.path.commonpath([top, os.path.realpath(entry.path)]) != top:
                self.tree.outside.append(path)
        else:
            self.tree.irregular.append(Irregular(path, kind, target))


def _link_kind(link: bytes) -> str:
    try:
        mode = os.stat(link).st_mode
    except OSError:
        return "symbolic link that leads nowhere"
    return SYMBOLIC_LINK if stat.S_ISREG(mode) else f"{SYMBOLIC_LINK} to a {kind_of(mode)}"


def name_fault(path: str) -> str:
    """Why a manifest can't name what a directory holds; empty where it can."""
    # Whatever else `paths.check` refuses, no directory entry can be.
    if "\\" not in path and path[1:2] != ":":
        return ""
    try:
        paths.check(path)
    except FormatError:
        return "name that a manifest can't hold"
    return ""


def turn_back(found: Tree) -> None:
    """Take links that lead out of the model for what they are."""
    for path in found.outside:
        found.irregular.append(Irregular(path, LINK_OUT, found.links.pop(path)))
    leaving = set(found.outside)
    found.files = [path for path in found.files if path not in leaving]
    found.outside.clear()
    found.irregular.sort()


def leave_out_cosignatures(found: Tree, root: str | os.PathLike[str]) -> None:
    """Drop the file of further signatures at the model's root, where it looks like one.

    For answers that only inform; verifying judges all of its content.
    """
    if _COSIGNED in found.files and _COSIGNED not in found.links:
        with suppress(OSError), open(locate(os.fsencode(root), _COSIGNED), "rb") as file:
            if b"".join(file.read(64).split()).startswith(_COSIGNED_START):
                found.files.remove(_COSIGNED)


def locate(top: bytes, path: str) -> bytes:
    """Where the file that a manifest calls `path` lies, for the system's calls."""
    return b"%b/%b" % (top, path.encode()) if path else top


def stamp(info: os.stat_result) -> bytes:
    """What moves when a file is changed, or becomes another one."""
    mtime, ctime = info.st_mtime_ns, info.st_ctime_ns
    try:
        return STAMP.pack(info.st_dev, info.st_ino, info.st_size, mtime, ctime)
    except struct.error:  # hundreds of years from now: the lower bits will do
        return STAMP.pack(
            info.st_dev, info.st_ino, info.st_size, mtime & _LOW_BITS, ctime & _LOW_BITS
        )


def changed_at(root: str | os.PathLike[str], path: str) -> int:
    """When a file was last changed, in seconds; 0 where nobody can say."""
    with suppress(OSError):
        return int(os.lstat(locate(os.fsencode(root), path)).st_ctime)
    return 0


def folded(
    root: str | os.PathLike[str], absent: Iterable[str], present: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Pairs of a path that the walk did not show and one that it did, which are one file.

    A file system that knows no case, or one Unicode form, opens a file by names it doesn't show.
    """
    top = os.fsencode(root)
    hidden = {}
    for path in absent:
        with suppress(OSError):
            hidden[path] = os.lstat(locate(top, path))
    if not hidden:
        return
    twins: dict[str, list[str]] = {}
    for path in present:
        twins.setdefault(_fold(path), []).append(path)
    for path, info in hidden.items():
        for twin in twins.get(_fold(path), ()):
            with suppress(OSError):
                if os.path.samestat(info, os.lstat(locate(top, twin))):
                    yield path, twin


def _fold(path: str) -> str:
    from unicodedata import normalize

    return normalize("NFC", path).casefold()


def kind_of(mode: int) -> str:
    """What a file that isn't regular is."""
    return _KINDS.get(stat.S_IFMT(mode), "special file")
