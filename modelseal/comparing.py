"""Compare a model directory with the manifest that was signed of it."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple, Unpack

from msgspec import structs

from modelseal import diff, fileio, hashing, paths, tree
from modelseal.digests import BLAKE3, SHA256
from modelseal.errors import FormatError, ModelSealError, Reason
from modelseal.oms import shards
from modelseal.oms.statement import SignedFile, Statement
from modelseal.report import Altered, Fault, Report, Unsigned
from modelseal.sealing import HINT_POINTER, hint_for, outside_warning
from modelseal.structs import FileEntry, ModelManifest

_Signed = FileEntry | SignedFile
_Outcome = hashing.FileDigest | ModelSealError

_GROUP_BYTES: Final = 512 << 20
"""Bytes prechecked before the suspects among them are put to the test."""

_DOWNLOAD_CACHE: Final = ".cache/huggingface"
_HINT_CACHE: Final = f"leave the download cache out: --ignore-path {_DOWNLOAD_CACHE}"
_HINT_UNSIGNED: Final = (
    "a loader may run what nobody signed: remove it, or let it pass with '--ignore-unsigned-files'"
)


def check_files(
    report: Report,
    model_dir: fileio.Location,
    *,
    exclude: frozenset[str] = tree.ROOT_EXCLUSIONS,
    ignore: Collection[str] = (),
    overlook: Collection[str] = (),
    follow_symlinks: bool = False,
    stay_inside: bool = False,
    recorded: Mapping[str, bytes] = MappingProxyType({}),
    **how: Unpack[hashing.Options],
) -> None:
    """Compare a directory with the report's manifest, and enter what is found.

    model_dir: of a bundle also the one file that the model is.
    ignore: not judged. overlook: left out as long as nothing there is signed.
    stay_inside: followed links that lead out of the model are no files of it.
    """
    signed = _signed(report, model_dir)
    # What is usually left out is looked at where the manifest names it.
    tops = {path.partition("/")[0] for path in signed}
    named = {path for path in exclude if path in tops or path in signed}
    if overlook:
        overlook = {*overlook} - exclude - paths.parents(signed) - signed.keys()
    top, found = _look(
        report,
        model_dir,
        exclude=exclude - named,
        ignore={*ignore, *overlook},
        follow_symlinks=follow_symlinks,
    )
    if stay_inside:
        _turn_back(found)
    absent = signed.keys() - set(found.files)
    for path, twin in tree.folded(top, absent, signed.keys() - absent):
        raise FormatError(f"'{path}' and '{twin}' are one file on this file system")
    files = [path for path in found.files if path in signed]
    form = _Form.of(report.manifest)
    check = _Check(top, signed, found.links, form, how)
    misfits = check.misfits(files) if form.shard_size else {}
    outcomes = check.suspects_first(files, recorded, report.warnings) if recorded else {}
    if not any(check.speaks_against(path, outcome) for path, outcome in outcomes.items()):
        rest = [path for path in files if path not in outcomes and path not in misfits]
        outcomes |= check.hash(rest)
    report.unchecked = [path for path in files if path not in outcomes and path not in misfits]
    enter(report, found, outcomes, named=named, ignore=ignore, misfits=misfits)
    if form.shard_size:
        _let_empty_pass(report, top)


def enter(
    report: Report,
    found: tree.Tree,
    outcomes: Mapping[str, hashing.FileDigest | ModelSealError],
    *,
    named: Collection[str] = (),
    ignore: Collection[str] = (),
    misfits: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Hold what was found beside the report's manifest, and enter what differs.

    outcomes: of the signed files that were looked at.
    named: what is usually left out, and was looked at because the manifest names it.
    misfits: files that needn't be looked at, since they have another size than signed; and which.
    """
    form = _Form.of(report.manifest)
    signed = {entry.path: entry for entry in report.manifest.files}
    _enter_oddities(report, found, ignore)
    actual: dict[str, hashing.FileDigest] = {}
    for path, outcome in outcomes.items():
        if isinstance(outcome, ModelSealError):
            report.errors.append(Fault(path, str(outcome), outcome.reason))
        else:
            actual[path] = outcome
    unjudged = {*ignore, *report.unchecked, *(fault.path for fault in report.errors)}
    expected = {
        path: entry
        for path, entry in signed.items()
        if "." not in unjudged and not paths.is_below(path, unjudged)
    }
    _enter_difference(report, expected, actual, found, form, misfits)
    unsigned = (Unsigned(path) for path in found.files if path not in signed)
    odd = (Unsigned(odd.path, describe(odd)) for odd in found.irregular if odd.path not in signed)
    report.unsigned += [
        item
        for item in sorted([*unsigned, *odd])
        if item.path not in named
        and not paths.is_below(item.path, tree.EXCLUDED_DIRECTORIES.intersection(named))
    ]
    report.checked = len(actual) + len(misfits)
    if not expected and not report.errors:
        report.errors.append(Fault("", "every signed file was ignored", Reason.FILE_MISSING))


class _Form(NamedTuple):
    """How a format digests its files.

    shard_size: bytes; 0 where files are whole. sized: whether it says how large they are.
    """

    algorithm: str
    shard_size: int
    sized: bool

    @classmethod
    def of(cls, manifest: ModelManifest | Statement) -> "_Form":
        if isinstance(manifest, Statement):
            return cls(manifest.algorithm, manifest.shard_size, bool(manifest.shard_size))
        return cls(SHA256, 0, True)

    def digests(self, outcome: hashing.FileDigest) -> tuple[str, ...]:
        """What was found, to be compared with what was signed."""
        if self.shard_size:
            return tuple(shard.hex() for shard in outcome.shards)
        return (outcome.digest(self.algorithm).hex(),)


def _signed(report: Report, model_dir: fileio.Location) -> dict[str, _Signed]:
    """Path → what was signed; the one file of a model gets the name that it has here."""
    manifest = report.manifest
    if isinstance(manifest, Statement) and manifest.alone and not os.path.isdir(model_dir):
        file = structs.replace(manifest.files[0], path=os.path.basename(model_dir))
        report.manifest = structs.replace(manifest, files=[file])
    return {entry.path: entry for entry in report.manifest.files}


def _look(
    report: Report,
    model_dir: fileio.Location,
    *,
    exclude: Collection[str],
    ignore: Collection[str],
    follow_symlinks: bool,
) -> tuple[fileio.Location, tree.Tree]:
    """What is there, and the directory that its paths start from."""
    file = isinstance(report.manifest, Statement) and not os.path.isdir(model_dir)
    if file and os.path.lexists(model_dir):
        return tree.alone(model_dir, follow_symlinks=follow_symlinks)
    return model_dir, tree.walk(
        model_dir, exclude=exclude, ignore=ignore, follow_symlinks=follow_symlinks
    )


def _turn_back(found: tree.Tree) -> None:
    """Take links that lead out of the model for what they are."""
    for path in found.outside:
        found.irregular.append(tree.Irregular(path, tree.LINK_OUT, found.links.pop(path)))
    leaving = set(found.outside)
    found.files = [path for path in found.files if path not in leaving]
    found.outside.clear()
    found.irregular.sort()


def _let_empty_pass(report: Report, top: fileio.Location) -> None:
    """An empty file has no shard, so that nobody can sign it: it is no stranger."""
    empty = [item for item in report.unsigned if not item.note and _size(top, item.path) == 0]
    report.unsigned = [item for item in report.unsigned if item not in empty]
    report.warnings += [f"'{item.path}' is empty, and shards sign no empty file" for item in empty]


def _size(top: fileio.Location, path: str) -> int:
    """In bytes; -1 where it can't be told, which is for others to say."""
    with suppress(OSError):
        return os.stat(tree.locate(os.fsencode(top), path)).st_size
    return -1


class _Check:
    """One model's files, and what was signed of them."""

    def __init__(
        self,
        model_dir: fileio.Location,
        signed: Mapping[str, _Signed],
        links: Collection[str],
        form: _Form,
        how: hashing.Options,
    ) -> None:
        self._model_dir = model_dir
        self._signed = signed
        self._links = links
        self._form = form
        self._how = how

    def hash(self, files: Sequence[str], *algorithms: str) -> dict[str, _Outcome]:
        """Digest some of the files, as they were signed unless told otherwise."""
        outcomes = hashing.hash_files(
            self._model_dir,
            files,
            links=self._links,
            algorithms=algorithms or (self._form.algorithm,),
            shard_size=self._form.shard_size,
            total=sum(self._signed[path].size_bytes or 0 for path in files),
            **self._how,
        )
        return dict(zip(files, outcomes, strict=True))

    def misfits(self, files: Sequence[str]) -> dict[str, int]:
        """Files of another size than signed, with the one they have; nobody need read those."""
        sizes = {path: _size(self._model_dir, path) for path in files}
        return {
            path: n for path, n in sizes.items() if n not in (-1, self._signed[path].size_bytes)
        }

    def speaks_against(self, path: str, outcome: _Outcome) -> bool:
        """Whether a file was read, and is not what was signed."""
        return (
            isinstance(outcome, hashing.FileDigest)
            and self._form.digests(outcome) != self._signed[path].digests
        )

    def suspects_first(
        self, files: Sequence[str], recorded: Mapping[str, bytes], warnings: list[str]
    ) -> dict[str, _Outcome]:
        """SHA-256 of those files whose BLAKE3 is not as recorded, up to the first bad group.

        What was changed last comes first, by the file system's word, and of what was changed in
        one second the smallest: they are read soonest, and it is the code that hides among them.
        """
        outcomes: dict[str, _Outcome] = {}
        known = [
            (-tree.changed_at(self._model_dir, path), self._size(path), path)
            for path in files
            if path in recorded
        ]
        for group in self._groups([path for _, _, path in sorted(known)]):
            looks = self.hash(group, BLAKE3)
            suspects = self.hash(
                [
                    path
                    for path, look in looks.items()
                    if not isinstance(look, hashing.FileDigest) or look.blake3 != recorded[path]
                ]
            )
            outcomes |= suspects
            if any(self.speaks_against(path, outcome) for path, outcome in suspects.items()):
                break
            warnings += [
                f"the store's BLAKE3 of '{path}' is false; its SHA-256 is as signed"
                for path, outcome in suspects.items()
                if isinstance(outcome, hashing.FileDigest)
            ]
        return outcomes

    def _size(self, path: str) -> int:
        return self._signed[path].size_bytes or 0

    def _groups(self, files: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        size = 0
        for path in files:
            group.append(path)
            size += self._size(path)
            if size >= _GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group


def _enter_oddities(report: Report, found: tree.Tree, ignore: Collection[str]) -> None:
    for path, error in found.unlistable:
        message = f"cannot read '{path}': {(error.strerror or 'unknown error').lower()}"
        report.errors.append(Fault(path, message, Reason.FILE_UNREADABLE))
    report.warnings += [outside_warning(path, found.links[path]) for path in found.outside]
    named: set[str] = set()
    if ignore:
        named = paths.parents(entry.path for entry in report.manifest.files)
        named.update(entry.path for entry in report.manifest.files)
    report.ignored = sorted({*found.ignored, *(path for path in ignore if path in named)})


def _enter_difference(
    report: Report,
    expected: Mapping[str, _Signed],
    actual: Mapping[str, hashing.FileDigest],
    found: tree.Tree,
    form: _Form,
    misfits: Mapping[str, int],
) -> None:
    difference = diff.compare(
        {path: (entry.digests, entry.size_bytes) for path, entry in expected.items()},
        {
            **{path: ((), size) for path, size in misfits.items()},
            **{
                path: (form.digests(digest), digest.size if form.sized else None)
                for path, digest in actual.items()
            },
        },
    )
    hints = []
    for path in difference.altered:
        entry = expected[path]
        if path in misfits:
            note = _sizes(misfits[path], entry.size_bytes)
            report.altered.append(Altered(path, entry.digests[0], None, note))
            continue
        digest = actual[path]
        note = _note_shard(form, entry.digests, digest)
        if digest.lfs_pointer:
            note = "git-lfs pointer"
            hints.append(HINT_POINTER)
        elif form.sized and digest.size != entry.size_bytes:
            note = _sizes(digest.size, entry.size_bytes)
        was, now = _first_difference(entry.digests, form.digests(digest))
        report.altered.append(Altered(path, was, now, note))
    instead = {odd.path: odd for odd in found.irregular}
    for path in difference.missing:
        if path in instead:
            note = describe(instead[path])
            report.altered.append(Altered(path, expected[path].digests[0], None, note))
        else:
            report.missing.append(path)
    wrong = {*difference.altered, *difference.missing}
    report.passed = [path for path in expected if path not in wrong]
    hints += [hint_for(odd) for odd in found.irregular]
    report.hints += list(dict.fromkeys(filter(None, hints)))


def _sizes(actual: int, signed: int | None) -> str:
    return f"{actual:,} bytes, signed as {signed:,}"


def _first_difference(was: Sequence[str], now: Sequence[str]) -> tuple[str, str]:
    """Of a file's digests the first that is another, or its only one."""
    pairs = [pair for pair in zip(was, now, strict=False) if pair[0] != pair[1]]
    return pairs[0] if pairs else (was[0], now[0])


def _note_shard(form: _Form, was: Sequence[str], digest: hashing.FileDigest) -> str:
    """Which ranges of a file differ."""
    if not form.shard_size:
        return ""
    now = form.digests(digest)
    ranges = shards.ranges(digest.size, form.shard_size)
    bad = [
        f"{start}:{end}"
        for (start, end), old, new in zip(ranges, was, now, strict=False)
        if old != new
    ]
    more = f" and {len(bad) - 3:,} more" if len(bad) > 3 else ""
    return f"shards {', '.join(bad[:3])}{more}" if bad else ""


def describe(odd: tree.Irregular) -> str:
    """What stands where a regular file should."""
    return f"{odd.kind}: '{odd.target}'" if odd.target else odd.kind


def hint_unsigned(unsigned: Collection[Unsigned]) -> str:
    """What may be done about files that nobody signed."""
    if all(paths.is_below(item.path, [_DOWNLOAD_CACHE]) for item in unsigned):
        return _HINT_CACHE
    return _HINT_UNSIGNED
