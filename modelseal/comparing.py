"""Compare a model directory with the manifest that was signed of it."""

import os
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Unpack

from msgspec import structs

from modelseal import diff, fileio, hashing, oddities, paths, tree
from modelseal.errors import FormatError, ModelSealError, Reason
from modelseal.oms import shards
from modelseal.oms.statement import Statement
from modelseal.prechecking import Check, Form, Signed, size_of
from modelseal.report import Altered, Fault, Report, Unsigned


def check_files(
    report: Report,
    model_dir: fileio.Location,
    *,
    exclude: frozenset[str] = tree.ROOT_EXCLUSIONS,
    ignore: Collection[str] = (),
    overlook: Collection[str] = (),
    follow_symlinks: bool,
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
        tree.turn_back(found)
    absent = signed.keys() - set(found.files)
    for path, twin in tree.folded(top, absent, signed.keys() - absent):
        raise FormatError(f"'{path}' and '{twin}' are one file on this file system")
    files = [path for path in found.files if path in signed]
    form = Form.of(report.manifest)
    check = Check(top, signed, found.links, form, how)
    misfits = check.misfits(files) if form.shard_size else {}
    outcomes = check.suspects_first(files, recorded, report.warnings)
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
    form = Form.of(report.manifest)
    signed = {entry.path: entry for entry in report.manifest.files}
    _enter_oddities(report, found, ignore)
    actual: dict[str, hashing.FileDigest] = {}
    for path, outcome in outcomes.items():
        if isinstance(outcome, ModelSealError):
            report.errors.append(Fault(path, str(outcome), outcome.reason))
        else:
            actual[path] = outcome
    unjudged = {*ignore, *report.unchecked, *(fault.path for fault in report.errors)}
    expected = signed
    if unjudged:
        expected = {
            path: entry
            for path, entry in signed.items()
            if "." not in unjudged and not paths.is_below(path, unjudged)
        }
    _enter_difference(report, expected, actual, found, form, misfits)
    unsigned = (Unsigned(path) for path in found.files if path not in signed)
    odd = (
        Unsigned(odd.path, oddities.describe(odd))
        for odd in found.irregular
        if odd.path not in signed
    )
    report.unsigned = [
        item
        for item in sorted([*unsigned, *odd])
        if item.path not in named
        and not paths.is_below(item.path, tree.EXCLUDED_DIRECTORIES.intersection(named))
    ]
    report.checked = len(actual) + len(misfits)
    if not expected and not report.errors:
        report.errors.append(Fault("", "every signed file was ignored", Reason.FILE_MISSING))


def _signed(report: Report, model_dir: fileio.Location) -> dict[str, Signed]:
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


def _let_empty_pass(report: Report, top: fileio.Location) -> None:
    """An empty file has no shard, so that nobody can sign it: it is no stranger."""
    empty = [item for item in report.unsigned if not item.note and size_of(top, item.path) == 0]
    report.unsigned = [item for item in report.unsigned if item not in empty]
    report.warnings += [f"'{item.path}' is empty, and shards sign no empty file" for item in empty]


def _enter_oddities(report: Report, found: tree.Tree, ignore: Collection[str]) -> None:
    for path, error in found.unlistable:
        message = f"cannot read '{path}': {(error.strerror or 'unknown error').lower()}"
        report.errors.append(Fault(path, message, Reason.FILE_UNREADABLE))
    report.warnings += [oddities.outside_warning(path, found.links[path]) for path in found.outside]
    ignored = set(found.ignored)
    if ignore:
        named = [entry.path for entry in report.manifest.files]
        ignored |= paths.parents(named).union(named).intersection(ignore)
    report.ignored = sorted(ignored)


def _enter_difference(
    report: Report,
    expected: Mapping[str, Signed],
    actual: Mapping[str, hashing.FileDigest],
    found: tree.Tree,
    form: Form,
    misfits: Mapping[str, int],
) -> None:
    difference = diff.compare(
        {path: (entry.digests, entry.size_bytes) for path, entry in expected.items()},
        {**form.contents(actual), **{path: ((), size) for path, size in misfits.items()}},
    )
    hints = []
    for path in difference.altered:
        entry = expected[path]
        if path in misfits:
            note = _sizes(misfits[path], entry.size_bytes)
            report.altered.append(Altered(path, entry.digests[0], None, note))
            continue
        digest = actual[path]
        if digest.lfs_pointer:
            note = "git-lfs pointer"
            hints.append(oddities.HINT_POINTER)
        elif form.sized and digest.size != entry.size_bytes:
            note = _sizes(digest.size, entry.size_bytes)
        else:
            note = _note_shards(form, entry.digests, digest)
        was, now = _first_difference(entry.digests, form.digests(digest))
        report.altered.append(Altered(path, was, now, note))
    instead = {odd.path: odd for odd in found.irregular}
    for path in difference.missing:
        if path in instead:
            note = oddities.describe(instead[path])
            report.altered.append(Altered(path, expected[path].digests[0], None, note))
        else:
            report.missing.append(path)
    wrong = {*difference.altered, *difference.missing}
    report.passed = [path for path in expected if path not in wrong]
    hints += [oddities.hint_for(odd) for odd in found.irregular]
    report.hints += list(dict.fromkeys(filter(None, hints)))


def _sizes(actual: int, signed: int | None) -> str:
    return f"{actual:,} bytes, signed as {signed:,}"


def _first_difference(was: Sequence[str], now: Sequence[str]) -> tuple[str, str | None]:
    """Of a file's digests the first that is another; none is where only the size differs."""
    differing = (pair for pair in zip(was, now, strict=False) if pair[0] != pair[1])
    return next(differing, (was[0], None))


def _note_shards(form: Form, was: Sequence[str], digest: hashing.FileDigest) -> str:
    """Which ranges of a file differ that is as large as signed."""
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
    return f"shards {', '.join(bad[:3])}{more}"
