"""What changed in a model directory since it was sealed. Loads little, and reads little."""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping

from modelseal import fileio, paths, tree
from modelseal.errors import ModelError, ModelSealError
from modelseal.oms import outline
from modelseal.store import Change, Digest, Seal, Status, index, manifests, measuring, statcache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from modelseal.hashing import FileDigest

    _Sealed = dict[str, tuple[str, str]]

_POINTER = "git-lfs pointer"


class Subject:
    """What a seal names, and what it says of looking for it.

    form: by which digests; those in `files` are condensed where it isn't plain.
    files: path → digest in hex and size, as `manifests.rows` has it.
    overlook: left out as long as nothing there is sealed.
    follow_symlinks: whether links that stay inside the model are files.
    """

    def __init__(self, data: bytes, directory: str) -> None:
        self.form = outline.Form()
        self.overlook: frozenset[str] = frozenset()
        self.follow_symlinks = False
        self.files: _Sealed = {}
        if not manifests.is_bundle(data):
            self.files = {path: (digest, size) for path, digest, size in manifests.rows(data)}
            return
        said = manifests.bundle(data)
        self.form, self.follow_symlinks = said.form, said.allow_symlinks
        for file in said.files:
            size = manifests.UNKNOWN if file.size is None else str(file.size)
            path = file.path
            if said.alone and not os.path.isdir(directory):
                path = os.path.basename(directory)
            self.files[path] = (manifests.digest_of(file, said.form), size)
        named = paths.parents(self.files) | self.files.keys()
        self.overlook = said.ignore_paths - tree.ROOT_EXCLUSIONS - named


class Walk:
    """A directory, or the one file that a model is, as it is now, beside what is cached of it.

    follow_symlinks: take links as files. stay_inside: those alone that don't leave the model.
    """

    def __init__(
        self,
        directory: str,
        cached: index.Tree,
        *,
        exclude: Collection[str],
        ignore: Collection[str],
        follow_symlinks: bool,
        fork: bool,
        stay_inside: bool = False,
        alone: bool = False,
    ) -> None:
        self.directory = directory
        self.taken_at = time.time_ns()
        self.top = directory
        if alone and os.path.lexists(directory) and not os.path.isdir(directory):
            self.top, self.tree = tree.alone(directory, follow_symlinks=follow_symlinks)
        else:
            self.tree = tree.walk(
                directory, exclude=exclude, ignore=ignore, follow_symlinks=follow_symlinks
            )
        if stay_inside:
            tree.turn_back(self.tree)
        tree.leave_out_cosignatures(self.tree, directory)
        self._cached = cached
        self._stats = measuring.take(self.top, self.tree.files, fork=fork)

    def is_as_cached(self) -> bool:
        """Whether every file there is has its row, and no row is without its file."""
        found, cached = self.tree, self._cached
        return not (found.irregular or found.unlistable or found.links) and statcache.is_as_cached(
            found.files, self._stats, cached
        )

    def known(self) -> dict[str, Digest]:
        """The digests that need no reading."""
        return statcache.still_known(self.tree.files, self._stats, self._cached)

    def sizes(self) -> dict[str, int]:
        """The sizes of the regular files, in bytes."""
        return measuring.sizes(self.tree.files, self._stats)


def compare(
    root: str,
    model_dir: fileio.Location,
    seal: Seal | None,
    *,
    ignore_paths: Collection[str] = (),
    follow_symlinks: bool = False,
    manifest_path: fileio.Location | None = None,
    jobs: int = 0,
    fork: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Status:
    """As `Store.status`, against a seal that has been found."""
    directory = os.path.realpath(model_dir)
    if seal is None:
        if not os.path.isdir(directory):
            kind = "is not a directory" if os.path.lexists(directory) else "does not exist"
            raise ModelError(f"model directory '{os.fspath(model_dir)}' {kind}")
        return Status(directory, None, [], [], [], [], 0, 0, [])
    data = manifests.read(root, seal.id)
    bundle = manifests.is_bundle(data)
    row = directory
    cached = statcache.load(root, row)
    if bundle and cached.seal != bytes.fromhex(seal.id):
        other = statcache.load(root, statcache.condensed(directory))
        if other.seal == bytes.fromhex(seal.id):
            row, cached = statcache.condensed(directory), other
    plain = not (ignore_paths or follow_symlinks or manifest_path)
    walk = None
    if plain and cached.seal == bytes.fromhex(seal.id):
        # All that this manifest names is cached, and nothing else.
        walk = Walk(
            directory,
            cached,
            exclude=tree.ROOT_EXCLUSIONS,
            ignore=(),
            follow_symlinks=False,
            fork=fork,
            alone=bundle,
        )
        if walk.is_as_cached():
            return Status(directory, seal, [], [], [], [], seal.files, 0, [])
    said = Subject(data, directory)
    sealed = said.files
    wanted = directory if said.form.plain else statcache.condensed(directory)
    if row != wanted:
        row, cached, walk = wanted, statcache.load(root, wanted), None
    exclude = _exclusions(directory, manifest_path)
    named = _named(exclude, sorted(sealed))
    ignore = {paths.normalise(path) for path in ignore_paths}
    if walk is None or named or bundle:
        walk = Walk(
            directory,
            cached,
            exclude=exclude - named,
            ignore=ignore | said.overlook,
            follow_symlinks=follow_symlinks or said.follow_symlinks,
            stay_inside=said.follow_symlinks and not follow_symlinks,
            fork=fork,
            alone=bundle,
        )
    known = walk.known()
    hasher = _Hasher(walk.top, walk.tree.links, said.form, jobs, fork, progress)
    status, hashed = _differences(seal, said, walk, known, ignore, named, hasher)
    as_sealed = status.clean and plain and not named
    if hashed or as_sealed:
        named_by = (seal.id, len(sealed)) if as_sealed else ("", 0)
        was, now = statcache.columns(known), statcache.columns(hashed)
        statcache.save(root, row, cached, statcache.merged(was, now, walk.taken_at), *named_by)
    return status


class _Hasher:
    """Reads the files that nothing vouches for."""

    def __init__(
        self,
        directory: str,
        links: Collection[str],
        form: outline.Form,
        jobs: int,
        fork: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._directory = directory
        self._links = links
        self._form = form
        self._jobs = jobs
        self._fork = fork
        self._progress = progress

    def run(self, files: list[str]) -> "dict[str, FileDigest | ModelSealError]":
        """The digest of each file, in the place of its SHA-256 what others condense to."""
        if not files:
            return {}
        from modelseal import hashing

        outcomes = hashing.hash_files(
            self._directory,
            files,
            links=self._links,
            algorithms=(self._form.algorithm,),
            shard_size=self._form.shard_size,
            jobs=self._jobs,
            fork=self._fork,
            progress=self._progress,
        )
        return dict(zip(files, map(self._condense, outcomes), strict=True))

    def _condense(self, outcome: "FileDigest | ModelSealError") -> "FileDigest | ModelSealError":
        if self._form.plain or isinstance(outcome, ModelSealError):
            return outcome
        return outcome._replace(sha256=condense(self._form, outcome))


def condense(form: outline.Form, outcome: "FileDigest") -> bytes:
    """What stands for a file that was digested as a bundle digests files."""
    if form.shard_size:
        return form.condense(outcome.shards)
    return form.condense([outcome.digest(form.algorithm)])


def _differences(
    seal: Seal,
    said: Subject,
    walk: Walk,
    known: Mapping[str, Digest],
    ignore: Collection[str],
    named: Collection[str],
    hasher: _Hasher,
) -> "tuple[Status, dict[str, FileDigest]]":
    sealed = said.files
    found, sizes = walk.tree, walk.sizes()
    present = set(found.files)
    odd = {item.path: _describe(item) for item in found.irregular}
    blind = {item.path for item in found.unlistable}
    errors = [
        Change(item.path, note=(item.error.strerror or "unknown error").lower())
        for item in found.unlistable
    ]
    unjudged = {*ignore, *blind}
    altered, missing, unread = [], [], []
    for path, (expected, size) in sealed.items():
        if "." in unjudged or paths.is_below(path, unjudged):
            continue
        if path in odd:
            altered.append(Change(path, expected, None, odd[path]))
        elif path not in present:
            missing.append(Change(path, expected))
        elif path in known:
            altered += _altered(path, expected, size, known[path])
        elif size != manifests.UNKNOWN and sizes.get(path, int(size)) != int(size):
            note = f"{sizes[path]:,} bytes, sealed as {int(size):,}"
            altered.append(Change(path, expected, None, note))
        else:
            unread.append(path)
    hashed: dict[str, FileDigest] = {}
    for path, outcome in hasher.run(unread).items():
        expected, size = sealed[path]
        if isinstance(outcome, ModelSealError):
            errors.append(Change(path, expected, None, str(outcome)))
            continue
        if path not in found.links:
            hashed[path] = outcome
        note = _POINTER if outcome.lfs_pointer else ""
        altered += _altered(path, expected, size, outcome, note)
    below = {path for path in named if path in tree.EXCLUDED_DIRECTORIES}
    unsigned = [Change(path) for path in found.files if path not in sealed]
    unsigned += [Change(path, note=note) for path, note in odd.items() if path not in sealed]
    if said.form.shard_size:  # an empty file has no shard, so that nobody can sign it
        unsigned = [item for item in unsigned if item.note or sizes.get(item.path) != 0]
    if not said.form.plain:  # what digests condense to is for comparing alone
        altered, missing, errors = (
            [change._replace(expected=None, actual=None) for change in changes]
            for changes in (altered, missing, errors)
        )
    status = Status(
        walk.directory,
        seal,
        sorted(altered, key=_path),
        sorted(missing, key=_path),
        sorted(
            (
                item
                for item in unsigned
                if item.path not in named and not paths.is_below(item.path, below)
            ),
            key=_path,
        ),
        sorted(errors, key=_path),
        len(sealed),
        len(unread),
        sorted(found.ignored),
    )
    return status, hashed


def _path(change: Change) -> str:
    return change.path


def _altered(
    path: str, expected: str, size: str, actual: "Digest | FileDigest", note: str = ""
) -> list[Change]:
    digest = actual.sha256.hex()
    if digest == expected:
        return []
    if not note and size != manifests.UNKNOWN and actual.size != int(size):
        note = f"{actual.size:,} bytes, sealed as {int(size):,}"
    return [Change(path, expected, digest, note)]


def _describe(odd: tree.Irregular) -> str:
    return f"{odd.kind}: '{odd.target}'" if odd.target else odd.kind


def _exclusions(directory: str, manifest: fileio.Location | None) -> frozenset[str]:
    if manifest is None:
        return tree.ROOT_EXCLUSIONS
    parent, name = os.path.split(os.path.abspath(manifest))
    relative = os.path.relpath(os.path.join(os.path.realpath(parent), name), directory)
    return tree.ROOT_EXCLUSIONS | {relative.replace(os.sep, "/")}


def _named(exclude: Collection[str], sealed: list[str]) -> frozenset[str]:
    """What is usually left out, and is looked at because the manifest names it."""
    named = set()
    for path in exclude:
        for wanted in (path, f"{path}/"):
            place = bisect_left(sealed, wanted)
            if place < len(sealed) and (
                sealed[place] == path or sealed[place].startswith(f"{path}/")
            ):
                named.add(path)
    return frozenset(named)
