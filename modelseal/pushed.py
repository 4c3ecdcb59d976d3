"""What a push would send: which directories of which commits it changes, and what lies in them.

Everything is read from git's objects, never from the work tree.
"""

import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from modelseal import lfs, tree
from modelseal.digests import BLAKE2B, BLAKE3, SHA256
from modelseal.errors import FileUnreadableError, FormatError, GitError, ModelSealError
from modelseal.git import Blob, Objects, Repository
from modelseal.hashing import FileDigest
from modelseal.history import History

SEAL_NAMES: Final = ("signed_manifest.json", "model.sig")
"""What makes a directory a sealed one; the flow that judges knows how each is read."""

SEALED: Final = "sealed"
UNSEALED: Final = "unsealed"
UNSIGNED: Final = "unsigned"
WATCHED: Final = "watched"

WEIGHTS: Final = frozenset(
    [
        *["bin", "caffemodel", "ckpt", "engine", "ggml", "gguf", "h5", "joblib", "keras", "mar"],
        *["mlmodel", "msgpack", "nemo", "npz", "onnx", "onnx_data", "pdparams", "pickle", "pkl"],
        *["pt", "pt2", "pth", "ptl", "safetensors", "t7", "tflite"],
    ]
)
"""Name suffixes by which a file is taken for the weights of a model."""

_TREE_LIMIT: Final = 1 << 30
_TARGET_LIMIT: Final = 4096
_CACHED_ENTRIES: Final = 1 << 20

_DIRECTORY: Final = "40000"
_LINK: Final = "120000"
_SUBMODULE: Final = "160000"
_FILES: Final = frozenset({"100644", "100755"})
_MODE_DIGITS: Final = 7


class Update(NamedTuple):
    """A line that git gives a pre-push hook: a ref here, and the one there that will follow it.

    local, remote: object names, all zeros where there is nothing.
    """

    local_ref: str
    local: str
    remote_ref: str
    remote: str


class Entry(NamedTuple):
    """What a tree has under a name. mode: as git takes it, and writes it today."""

    mode: str
    oid: str


class Place(NamedTuple):
    """Where something was found: a ref as it will be called there, and a commit."""

    ref: str
    commit: str


class Touched(NamedTuple):
    """A directory that a push changes, in one state.

    kind: SEALED; UNSEALED where the manifest is gone and the remote has it; UNSIGNED where
    weights changed that no sealed directory holds; WATCHED where a file did that somebody watches.
    path: `/`-separated bytes, empty for the top. tree: the directory's object name.
    seal: the manifest or the bundle, of UNSEALED the one that the remote has; and its name.
    names: of UNSIGNED the weights, of WATCHED the files.
    places: where it was found, the first one first.
    """

    kind: str
    path: bytes
    tree: str
    seal: Entry
    names: list[bytes]
    places: list[Place]
    seal_name: str = ""


_NOTHING: Final = Entry("", "")


def parse(lines: bytes) -> list[Update]:
    """What git writes to a pre-push hook. Raises FormatError."""
    updates = []
    for number, line in enumerate(lines.decode(errors="surrogateescape").split("\n"), 1):
        if not line:
            continue
        # What was typed for the local ref may hold blanks: main@{1 hour ago}.
        words = line.rsplit(" ", 3)
        if len(words) != 4 or not _is_name(words[1]) or not _is_name(words[3]):
            raise FormatError(
                f"line {number} of standard input is not what git gives a pre-push hook: {line!r}",
                hint="git runs this; 'modelseal hook install' sets it up",
            )
        updates.append(Update(*words))
    return updates


def _is_name(text: str) -> bool:
    return len(text) in (40, 64) and not set(text) - set("0123456789abcdef")


class Push:
    """A push, as the repository's objects have it."""

    def __init__(self, repository: Repository, objects: Objects, remote: str) -> None:
        """remote: its name; of a URL no tracking refs are known."""
        self._repository = repository
        self._objects = objects
        self._remote = remote
        self._trees: dict[str, dict[bytes, Entry]] = {}
        self._cached = 0

    def survey(
        self, updates: Sequence[Update], *, every: bool = False, watch: Collection[bytes] = ()
    ) -> list[Touched]:
        """What the push changes, each directory once a state.

        every: look at each commit that the remote doesn't have, not only where refs will point.
        watch: paths of files to tell of, whatever they are.
        Raises GitError for what can't be read.
        """
        found: dict[tuple[object, ...], Touched] = {}
        history = History(self._repository, self._objects, self._remote)
        for ref, commit, top, bases in history.steps(updates, every=every):
            place = Place(ref, commit)
            for touched in self._walk(top, bases, place, watch):
                key = (touched.kind, touched.path, touched.tree, touched.seal, touched.seal_name)
                known = found.setdefault(key, touched)
                if known is not touched and known.places[-1] != place:
                    known.places.append(place)
                known.names.extend(name for name in touched.names if name not in known.names)
        return list(found.values())

    def _walk(
        self, top: str, bases: Collection[str], place: Place, watch: Collection[bytes]
    ) -> Iterator[Touched]:
        """Go where the pushed tree is like none of those that the remote has."""
        waiting = [(b"", top, list(bases), False)]
        while waiting:
            path, oid, olds, covered = waiting.pop()
            if oid in olds:
                continue
            new = self.entries(oid)
            old = [entries for name in olds if (entries := self._known(name)) is not None]
            seals = {*_seals([new])}
            for called, seal in sorted(seals):
                yield Touched(SEALED, path, oid, seal, [], [place], called)
            if not seals and not covered:
                for called, lost in sorted({*_seals(old)}):
                    yield Touched(UNSEALED, path, oid, lost, [], [place], called)
            covered = covered or bool(seals)
            changed = []
            for name, entry in new.items():
                before = [entries[name] for entries in old if name in entries]
                if entry.mode == _DIRECTORY:
                    below = [each.oid for each in before if each.mode == _DIRECTORY]
                    waiting.append((_join(path, name), entry.oid, below, covered))
                elif entry not in before:
                    changed.append(name)
            if not covered and (names := [name for name in changed if is_weights(name)]):
                yield Touched(UNSIGNED, path, oid, _NOTHING, names, [place])
            if watch and (names := [name for name in changed if _join(path, name) in watch]):
                yield Touched(WATCHED, path, oid, _NOTHING, names, [place])

    def _known(self, oid: str) -> dict[bytes, Entry] | None:
        """A tree that the remote has; a shallow or partial clone may be without it."""
        try:
            return self.entries(oid)
        except GitError:
            return None

    def entries(self, oid: str) -> dict[bytes, Entry]:
        """What a tree holds. Raises GitError where it is missing, or no tree git would make."""
        if (known := self._trees.get(oid)) is not None:
            return known
        found = self._objects.get(oid, limit=_TREE_LIMIT)
        if found is None or found.kind != "tree":
            raise GitError(f"tree {oid} is not in this repository", hint="git fsck says more")
        parsed = _parse_tree(found.data, oid)
        self._cached += len(parsed)
        while self._trees and self._cached > _CACHED_ENTRIES:
            self._cached -= len(self._trees.pop(next(iter(self._trees))))
        self._trees[oid] = parsed
        return parsed

    def blob_at(self, top: str, path: bytes) -> Entry | None:
        """What a tree has at a path, through its subtrees."""
        entry = Entry(_DIRECTORY, top)
        for name in path.split(b"/"):
            if entry.mode != _DIRECTORY or name not in (entries := self.entries(entry.oid)):
                return None
            entry = entries[name]
        return entry

    def read(self, entry: Entry, limit: int) -> bytes:
        """A blob of at most `limit` bytes. Raises GitError, FormatError."""
        if entry.mode not in _FILES:
            raise FormatError(f"it is a {kind_of(entry.mode)}")
        found = self._objects.get(entry.oid, limit=limit)
        if found is None or found.kind != "blob":
            raise GitError(f"blob {entry.oid} is not in this repository")
        if found.size > limit:
            raise FormatError(f"it is larger than {limit:,} bytes")
        return found.data

    def contents(self, top: str, exclude: Collection[str] = tree.ROOT_EXCLUSIONS) -> "Contents":
        """What lies in a model's tree, as `tree.walk` would have it.

        exclude: relative paths that are never part of a model.
        """
        contents = Contents()
        left_out = {name.encode() for name in exclude}
        waiting = [(b"", top)]
        while waiting:
            above, oid = waiting.pop()
            for name, entry in self.entries(oid).items():
                path = _join(above, name)
                if path in left_out and (
                    name.decode() in tree.EXCLUDED_DIRECTORIES or entry.mode != _DIRECTORY
                ):
                    continue
                if entry.mode == _DIRECTORY:
                    waiting.append((path, entry.oid))
                else:
                    self._sort_in(contents, path, entry)
        contents.found.files.sort()
        contents.found.irregular.sort()
        return contents

    def _sort_in(self, contents: "Contents", path: bytes, entry: Entry) -> None:
        try:
            text = path.decode()
        except UnicodeDecodeError:
            shown = path.decode(errors="backslashreplace")
            contents.found.irregular.append(tree.Irregular(shown, tree.NOT_UTF8))
            return
        if fault := tree.name_fault(text):
            contents.found.irregular.append(tree.Irregular(text, fault))
        elif entry.mode in _FILES:
            contents.found.files.append(text)
            contents.oids[text] = entry.oid
        else:
            target = b""
            if entry.mode == _LINK and (blob := self._objects.get(entry.oid, limit=_TARGET_LIMIT)):
                target = blob.data
            contents.found.irregular.append(
                tree.Irregular(text, kind_of(entry.mode), target.decode(errors="backslashreplace"))
            )

    def digests(
        self,
        oids: Mapping[str, str],
        tick: Callable[[int], None] | None = None,
        *,
        algorithm: str = SHA256,
        shard_size: int = 0,
    ) -> dict[str, FileDigest | ModelSealError]:
        """Digest files by path, from a git-lfs pointer where there is one.

        oids: path → blob. tick: called with the count of bytes just read.
        algorithm, shard_size: as in `hashing.hash_files`; of pointers the SHA-256 alone is known.
        """
        blobs = self._objects.blobs(oids.values(), tick, algorithm=algorithm, shard_size=shard_size)
        return {
            path: _missing(path, oid)
            if (blob := blobs[oid]) is None
            else _digest(path, blob, algorithm, shard_size)
            for path, oid in oids.items()
        }


class Contents:
    """What lies in a model's tree. oids: path → blob, of the regular files."""

    def __init__(self) -> None:
        self.found = tree.Tree()
        self.oids: dict[str, str] = {}

    def entry(self, path: str) -> Entry:
        """A regular file as its tree has it, whatever its mode was."""
        return Entry("100644", self.oids[path])


def _digest(path: str, blob: Blob, algorithm: str, shard_size: int) -> FileDigest | ModelSealError:
    """What a file will be once it is checked out."""
    is_pointer = lfs.is_pointer(blob.head)
    if is_pointer and (pointer := lfs.parse(blob.head)):
        if (algorithm, shard_size) == (SHA256, 0):
            return FileDigest(pointer.sha256, pointer.size)
        return FileUnreadableError(
            f"cannot judge '{path}': git-lfs has it, and says its SHA-256 alone"
        )
    made = blob.digests
    if shard_size:
        return FileDigest(b"", blob.size, lfs_pointer=is_pointer, shards=made)
    by = {algorithm: made[0]}
    return FileDigest(
        by.get(SHA256, b""),
        blob.size,
        lfs_pointer=is_pointer,
        blake3=by.get(BLAKE3, b""),
        blake2b=by.get(BLAKE2B, b""),
    )


def _missing(path: str, oid: str) -> FileUnreadableError:
    return FileUnreadableError(f"cannot read '{path}': blob {oid} is not in this repository")


def _parse_tree(data: bytes, oid: str) -> dict[bytes, Entry]:
    """A tree object: mode, blank, name, NUL and the raw object name, again and again."""
    width = len(oid) // 2
    found: dict[bytes, Entry] = {}
    count = at = 0
    while at < len(data):
        blank = data.find(b" ", at)
        end = data.find(b"\0", blank)
        if blank < 0 or end < 0 or end + width >= len(data):
            raise GitError(f"tree {oid} is damaged", hint="git fsck says more")
        name = data[blank + 1 : end]
        if name in (b"", b".", b"..") or b"/" in name:
            raise GitError(f"tree {oid} has the name {name!r}, which no tree may have")
        mode = _mode(data[at:blank])
        if not mode:
            raise GitError(f"tree {oid} is damaged", hint="git fsck says more")
        at = end + 1 + width
        found[name] = Entry(mode, data[end + 1 : at].hex())
        count += 1
    if len(found) != count:
        raise GitError(f"tree {oid} has a name twice", hint="git fsck says more")
    return found


@cache
def _mode(text: bytes) -> str:
    """A mode as git takes it, whatever bits somebody made it of; empty for what is none."""
    if not text or len(text) > _MODE_DIGITS or text.strip(b"01234567"):
        return ""
    mode = int(text, 8)
    if stat.S_ISREG(mode):
        return "100755" if mode & stat.S_IXUSR else "100644"
    if stat.S_ISDIR(mode):
        return _DIRECTORY
    return _LINK if stat.S_ISLNK(mode) else _SUBMODULE


def _seals(trees: Sequence[Mapping[bytes, Entry]]) -> Iterator[tuple[str, Entry]]:
    for entries in trees:
        for seal in SEAL_NAMES:
            entry = entries.get(seal.encode())
            if entry is not None and entry.mode != _DIRECTORY:
                yield seal, entry


def is_weights(name: bytes) -> bool:
    """Whether a file's name is one that the weights of a model have."""
    _, dot, suffix = name.rpartition(b".")
    return bool(dot) and suffix.decode(errors="replace").lower() in WEIGHTS


def kind_of(mode: str) -> str:
    """What an entry that is no regular file is."""
    if mode == _LINK:
        return tree.SYMBOLIC_LINK
    return "submodule" if mode == _SUBMODULE else f"entry of mode {mode}"


def _join(path: bytes, name: bytes) -> bytes:
    return b"%b/%b" % (path, name) if path else name
