"""The checking flow: signature first, then every file, then what nobody signed."""

import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from modelseal import diff, documents, fileio, hashing, keys, paths, signatures, tree
from modelseal.errors import FormatError, KeyLoadError, ModelSealError, Reason
from modelseal.report import Altered, Fault, Report, Unsigned
from modelseal.sealing import HINT_POINTER, exclusions, hint_for, outside_warning
from modelseal.structs import (
    DOCUMENT_LIMIT,
    FileEntry,
    ModelManifest,
    SignedManifest,
    VerificationResult,
)
from modelseal.trust import PublisherRegistry

if TYPE_CHECKING:
    from concurrent.futures import Executor

_DOWNLOAD_CACHE: Final = ".cache/huggingface"
_HINT_CACHE: Final = f"leave the download cache out: --ignore-path {_DOWNLOAD_CACHE}"
_HINT_UNSIGNED: Final = (
    "a loader may run what nobody signed: remove it, or let it pass with '--ignore-unsigned-files'"
)
_FIRST_PLAUSIBLE_YEAR: Final = 2000


class ModelVerifier:
    """Checks signatures, and models against what was signed."""

    def verify_manifest(
        self, signed_manifest: SignedManifest, public_key_bytes: bytes
    ) -> VerificationResult:
        """Check a signature with a public key, given as the bytes of its file.

        Never raises for a bad signature, key or hex string: `error` says what is wrong.
        """
        try:
            key = keys.load_public(public_key_bytes)
        except KeyLoadError as err:
            return VerificationResult(valid=False, error=f"the public key can't be used: {err}")
        return signatures.check(signed_manifest, key)

    def verify_files(
        self,
        model_dir: fileio.Location,
        manifest: ModelManifest,
        *,
        follow_symlinks: bool = False,
    ) -> list[tuple[str, bool]]:
        """Hash the files that `manifest` names; tell for each path whether it is as signed.

        In manifest order. False for what is missing, unreadable or no regular file. Of further
        files in the directory this says nothing: `verify_model` does.
        """
        report = Report(manifest=manifest)
        try:
            _check_files(report, model_dir, follow_symlinks=follow_symlinks)
        except (ModelSealError, OSError):
            report.passed.clear()
        passed = set(report.passed)
        return [(entry.path, entry.path in passed) for entry in manifest.files]

    def verify_model(
        self,
        model_dir: fileio.Location | None,
        signed_manifest: SignedManifest,
        *,
        public_key_bytes: bytes | None = None,
        registry: PublisherRegistry | None = None,
        manifest_path: fileio.Location | None = None,
        ignore_paths: Collection[str] = (),
        ignore_unsigned_files: bool = False,
        follow_symlinks: bool = False,
        jobs: int = 0,
        fork: bool = False,
        executor: "Executor | None" = None,
        progress: hashing.Progress | None = None,
    ) -> Report:
        """The whole check: the signature, who made it, every signed file, and nothing beside them.

        model_dir: None checks the signature alone.
        public_key_bytes, registry: at least one. With both, the registry must hold that very key
        for the signer.
        manifest_path: where the signed manifest lies, to leave that file out.
        ignore_paths: not checked, with their subtrees, relative to the model.
        ignore_unsigned_files: let files pass that nobody signed.
        follow_symlinks: take links to regular files as those files.
        jobs, fork, executor, progress: as in `hashing.hash_files`.
        Raises KeyLoadError for a key that can't be used, FormatError for a manifest that names
        no file, ModelError where `model_dir` is no directory. What is wrong with the model is in
        the report.
        """
        if public_key_bytes is None and registry is None:
            raise ValueError("a public key, a registry or both are needed")
        if not signed_manifest.manifest.files:
            raise FormatError("the manifest names no file")
        report = Report(
            manifest=signed_manifest.manifest, signer_id=signed_manifest.signature.signer_id
        )
        _check_signature(report, signed_manifest, public_key_bytes, registry)
        if not report.signature_valid:
            return report
        _question_time(report, signed_manifest.manifest.created_at)
        if model_dir is None:
            return report
        _check_files(
            report,
            model_dir,
            exclude=exclusions(model_dir, manifest_path),
            ignore={paths.normalise(path) for path in ignore_paths},
            follow_symlinks=follow_symlinks,
            jobs=jobs,
            fork=fork,
            executor=executor,
            progress=progress,
        )
        if ignore_unsigned_files:
            report.unsigned.clear()
        report.conclude()
        if report.unsigned:
            report.hints.append(_hint_unsigned(report.unsigned))
        return report


def load(path: fileio.Location) -> SignedManifest:
    """Read a signed manifest. Raises OSError, FormatError."""
    return decode(fileio.read_bounded(path, DOCUMENT_LIMIT), os.fspath(path))


def decode(data: bytes, name: str) -> SignedManifest:
    """Decode a signed manifest that came from `name`. Raises FormatError."""
    try:
        return documents.decode(data, SignedManifest)
    except FormatError as err:
        raise FormatError(f"malformed manifest '{name}': {err}") from None


def _check_signature(
    report: Report,
    signed: SignedManifest,
    public_key_bytes: bytes | None,
    registry: PublisherRegistry | None,
) -> None:
    if public_key_bytes is not None:
        key = keys.load_public(public_key_bytes)
        report.fingerprint = keys.fingerprint(key)
        report.signature_error = signatures.check(signed, key).error or ""
        if report.signature_error:
            report.reason = Reason.SIGNATURE_INVALID
            return
    if registry is not None:
        result = registry.verify_against_registry(signed)
        if not result.valid:
            known = registry.get_publisher(report.signer_id) is not None
            report.reason = Reason.SIGNATURE_INVALID if known else Reason.SIGNER_UNTRUSTED
            report.signature_error = result.error or ""
            return
        report.trusted = True
        # The embedded key is the one it was checked with, or the check had failed.
        report.fingerprint = keys.fingerprint(keys.load_embedded(signed.signature.public_key))
    report.signature_valid = True


def _question_time(report: Report, created_at: datetime) -> None:
    said = created_at.isoformat()
    if created_at.tzinfo is None:
        report.warnings.append(f"created_at {said} has no time zone")
        created_at = created_at.replace(tzinfo=UTC)
    if created_at > datetime.now(UTC):
        report.warnings.append(f"created_at {said} is in the future: is a clock wrong?")
    elif created_at.year < _FIRST_PLAUSIBLE_YEAR:
        report.warnings.append(f"created_at {said} is too long ago to be true")


def _check_files(
    report: Report,
    model_dir: fileio.Location,
    *,
    exclude: frozenset[str] = tree.ROOT_EXCLUSIONS,
    ignore: Collection[str] = (),
    follow_symlinks: bool = False,
    jobs: int = 0,
    fork: bool = False,
    executor: "Executor | None" = None,
    progress: hashing.Progress | None = None,
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
    outcomes = hashing.hash_files(
        model_dir,
        files,
        links=found.links,
        jobs=jobs,
        fork=fork,
        executor=executor,
        progress=progress,
        total=sum(signed[path].size_bytes for path in files),
    )
    _enter_oddities(report, found, ignore)
    actual: dict[str, hashing.FileDigest] = {}
    for path, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, ModelSealError):
            report.errors.append(Fault(path, str(outcome), outcome.reason))
        else:
            actual[path] = outcome
    unjudged = {*ignore, *(fault.path for fault in report.errors)}
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
        and not paths.is_below(item.path, named & tree.EXCLUDED_DIRECTORIES)
    ]
    report.checked = len(actual)
    if not expected and not report.errors:
        report.errors.append(Fault("", "every signed file was ignored", Reason.FILE_MISSING))


def _enter_oddities(report: Report, found: tree.Tree, ignore: Collection[str]) -> None:
    for path, error in found.unlistable:
        message = f"cannot read '{path}': {(error.strerror or 'unknown error').lower()}"
        report.errors.append(Fault(path, message, Reason.FILE_UNREADABLE))
    report.warnings += [outside_warning(path, found.links[path]) for path in found.outside]
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


def _hint_unsigned(unsigned: Collection[Unsigned]) -> str:
    if all(paths.is_below(item.path, [_DOWNLOAD_CACHE]) for item in unsigned):
        return _HINT_CACHE
    return _HINT_UNSIGNED
