"""Compare a model directory with the manifest that was signed of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Unpack

from modelseal import diff, fileio, hashing, paths, tree
from modelseal.digests import BLAKE3, SHA256
from modelseal.errors import FormatError, ModelSealError, Reason
from modelseal.report import Altered, Fault, Report, Unsigned
from modelseal.sealing import HINT_POINTER, hint_for, outside_warning
from modelseal.structs import FileEntry

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
    follow_symlinks: bool = False,
    recorded: Mapping[str, bytes] = MappingProxyType({}),
    **how: Unpack[hashing.Options],
) -> None:
    """Compare a directory with the report's manifest, and enter what is found."""
    signed = {entry.path: entry for entry in report.manifest.files}
    # What is usually left out is looked at where the manifest names it.
    tops = {path.partition("/")[0] for path in signed}
    named = {path for path in exclude if path in tops or path in signed}
    found = tree.walk(
        model_dir, exclude=exclude - named, ignore=ignore, follow_symlinks=follow_symlinks
    )
    absent = signed.keys() - set(found.files)
    for path, twin in tree.folded(model_dir, absent, signed.keys() - absent):
        raise FormatError(f"'{path}' and '{twin}' are one file on this file system")
    files = [path for path in found.files if path in signed]
    check = _Check(model_dir, signed, found.links, how)
    outcomes = check.suspects_first(files, recorded, report.warnings) if recorded else {}
    if not any(check.speaks_against(path, outcome) for path, outcome in outcomes.items()):
        outcomes |= check.hash([path for path in files if path not in outcomes])
    report.unchecked = [path for path in files if path not in outcomes]
    enter(report, found, outcomes, named=named, ignore=ignore)


def enter(
    report: Report,
    found: tree.Tree,
    outcomes: Mapping[str, hashing.FileDigest | ModelSealError],
    *,
    named: Collection[str] = (),
    ignore: Collection[str] = (),
) -> None:
    """Hold what was found beside the report's manifest, and enter what differs.

    outcomes: of the signed files that were looked at.
    named: what is usually left out, and was looked at because the manifest names it.
    """
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
    _enter_difference(report, expected, actual, found)
    unsigned = (Unsigned(path) for path in found.files if path not in signed)
    odd = (Unsigned(odd.path, describe(odd)) for odd in found.irregular if odd.path not in signed)
    report.unsigned += [
        item
        for item in sorted([*unsigned, *odd])
        if item.path not in named
        and not paths.is_below(item.path, tree.EXCLUDED_DIRECTORIES.intersection(named))
    ]
    report.checked = len(actual)
    if not expected and not report.errors:
        report.errors.append(Fault("", "every signed file was ignored", Reason.FILE_MISSING))


class _Check:
    """One model's files, and what was signed of them."""

    def __init__(
        self,
        model_dir: fileio.Location,
        signed: Mapping[str, FileEntry],
        links: Collection[str],
        how: hashing.Options,
    ) -> None:
        self._model_dir = model_dir
        self._signed = signed
        self._links = links
        self._how = how

    def hash(self, files: Sequence[str], *algorithms: str) -> dict[str, _Outcome]:
        """Digest some of the files, by SHA-256 unless told otherwise."""
        outcomes = hashing.hash_files(
            self._model_dir,
            files,
            links=self._links,
            algorithms=algorithms or (SHA256,),
            total=sum(self._signed[path].size_bytes for path in files),
            **self._how,
        )
        return dict(zip(files, outcomes, strict=True))

    def speaks_against(self, path: str, outcome: _Outcome) -> bool:
        """Whether a file was read, and is not what was signed."""
        return (
            isinstance(outcome, hashing.FileDigest)
            and outcome.sha256.hex() != self._signed[path].sha256_hash
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
            (-tree.changed_at(self._model_dir, path), self._signed[path].size_bytes, path)
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

    def _groups(self, files: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        size = 0
        for path in files:
            group.append(path)
            size += self._signed[path].size_bytes
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
    expected: Mapping[str, FileEntry],
    actual: Mapping[str, hashing.FileDigest],
    found: tree.Tree,
) -> None:
    difference = diff.compare(
        {path: (entry.sha256_hash, entry.size_bytes) for path, entry in expected.items()},
        {path: (digest.sha256.hex(), digest.size) for path, digest in actual.items()},
    )
    hints = []
    for path in difference.altered:
        entry, digest = expected[path], actual[path]
        note = ""
        if digest.lfs_pointer:
            note = "git-lfs pointer"
            hints.append(HINT_POINTER)
        elif digest.size != entry.size_bytes:
            note = f"{digest.size:,} bytes, signed as {entry.size_bytes:,}"
        report.altered.append(Altered(path, entry.sha256_hash, digest.sha256.hex(), note))
    instead = {odd.path: odd for odd in found.irregular}
    for path in difference.missing:
        if path in instead:
            note = describe(instead[path])
            report.altered.append(Altered(path, expected[path].sha256_hash, None, note))
        else:
            report.missing.append(path)
    wrong = {*difference.altered, *difference.missing}
    report.passed = [path for path in expected if path not in wrong]
    hints += [hint_for(odd) for odd in found.irregular]
    report.hints += list(dict.fromkeys(filter(None, hints)))


def describe(odd: tree.Irregular) -> str:
    """What stands where a regular file should."""
    return f"{odd.kind}: '{odd.target}'" if odd.target else odd.kind


def hint_unsigned(unsigned: Collection[Unsigned]) -> str:
    """What may be done about files that nobody signed."""
    if all(paths.is_below(item.path, [_DOWNLOAD_CACHE]) for item in unsigned):
        return _HINT_CACHE
    return _HINT_UNSIGNED
