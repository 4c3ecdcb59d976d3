"""The checking flow: signature first, then every file, then what nobody signed."""

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Unpack

from modelseal import cosigning, fileio, hashing, judging, keys, paths, signatures
from modelseal.canonical import identifier
from modelseal.comparing import check_files
from modelseal.errors import (
    FormatError,
    KeyLoadError,
    ModelSealError,
    Reason,
    VersionReusedError,
)
from modelseal.levels import Trust
from modelseal.manifestfiles import DEFAULT_NAME, exclusions
from modelseal.oddities import hint_unsigned
from modelseal.publishers import as_utc
from modelseal.report import Report
from modelseal.structs import ModelManifest, Signature, SignedManifest, VerificationResult
from modelseal.trust import PublisherRegistry

if TYPE_CHECKING:
    from modelseal.store import Store

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
            check_files(report, model_dir, follow_symlinks=follow_symlinks)
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
        registry: PublisherRegistry | Trust | None = None,
        background: Trust | None = None,
        require: int = 0,
        cosignatures: Sequence[Signature] = (),
        manifest_path: fileio.Location | None = None,
        ignore_paths: Collection[str] = (),
        ignore_unsigned_files: bool = False,
        follow_symlinks: bool = False,
        store: "Store | None" = None,
        precheck: bool = False,
        no_rollback: bool = False,
        **how: Unpack[hashing.Options],
    ) -> Report:
        """The whole check: the signature, who made it, every signed file, and nothing beside them.

        model_dir: None checks the signature alone.
        public_key_bytes, registry: at least one. With both, the registry must hold that very key
        for the signer. A `Trust` is several registries in one.
        background: beside a key alone, what is known of revoked keys and of models that need more
        signatures; the signer need not be in it.
        require: so many different trusted publishers must have signed, cosigners among them. It
        needs a registry or a background.
        cosignatures: further ones over this manifest, beside those found where it lies.
        manifest_path: where the signed manifest lies, to leave that file out.
        ignore_paths: not checked, with their subtrees, relative to the model.
        ignore_unsigned_files: let files pass that nobody signed.
        follow_symlinks: take links to regular files as those files.
        store: what it knows counts against the model, never for it: other files under this name
        and version, a later manifest that was verified before. A good answer is noted there.
        precheck: let the BLAKE3 digests in the store choose what is looked at first, and stop
        where a file is not as signed.
        no_rollback: an older manifest than the one last verified is not just worth a warning.
        how: jobs, fork, executor and progress, as in `hashing.hash_files`.
        Raises KeyLoadError for a key that can't be used, FormatError for a manifest that names
        no file, ModelError where `model_dir` is no directory. What is wrong with the model is in
        the report.
        """
        if public_key_bytes is None and registry is None:
            raise ValueError("a public key, a registry or both are needed")
        if not signed_manifest.manifest.files:
            raise FormatError("the manifest names no file")
        if require and registry is None and background is None:
            raise ValueError("publishers can't be counted without a registry")
        report = Report(
            manifest=signed_manifest.manifest, signer_id=signed_manifest.signature.signer_id
        )
        lies = [] if manifest_path is None else [manifest_path]
        if model_dir is not None:
            usual = os.path.join(model_dir, DEFAULT_NAME)
            lies += [usual] if manifest_path is None or not _same(usual, manifest_path) else []
        cosigned = cosigning.gather(signed_manifest, lies, store, report.warnings)
        judging.judge(
            report,
            signed_manifest,
            [*cosigned.signatures, *cosignatures],
            public_key_bytes=public_key_bytes,
            trust=judging.as_trust(registry),
            background=background,
            require=require,
        )
        if not report.signature_valid:
            return report
        _question_time(report, signed_manifest.manifest.created_at)
        news = store is not None and _ask_store(
            report, store, signed_manifest, no_rollback=no_rollback
        )
        if model_dir is not None:
            check_files(
                report,
                model_dir,
                exclude=exclusions(model_dir, manifest_path, *cosigned.beside),
                ignore=paths.normalise_all(ignore_paths),
                follow_symlinks=follow_symlinks,
                recorded=_recorded(report, store, signed_manifest.manifest)
                if precheck and store is not None
                else {},
                **how,
            )
            if ignore_unsigned_files:
                report.unsigned.clear()
            if report.unsigned:
                report.hints.append(hint_unsigned(report.unsigned))
        report.conclude()
        if report.valid and news and model_dir is not None and store is not None:
            # It serves the next check's warnings: a store that can't take it is no failure.
            with suppress(ModelSealError, OSError):
                store.note_verified(signed_manifest)
        return report


def _same(path: fileio.Location, other: fileio.Location) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _question_time(report: Report, created_at: datetime) -> None:
    said = created_at.isoformat()
    if created_at.tzinfo is None:
        report.warnings.append(f"created_at {said} has no time zone")
    if as_utc(created_at) > datetime.now(UTC):
        report.warnings.append(f"created_at {said} is in the future: is a clock wrong?")
    elif created_at.year < _FIRST_PLAUSIBLE_YEAR:
        report.warnings.append(f"created_at {said} is too long ago to be true")


def _recorded(report: Report, store: "Store", manifest: ModelManifest) -> dict[str, bytes]:
    """Path → BLAKE3, where the store has one for the content that was signed."""
    by_sha256 = store.blake3({bytes.fromhex(e.sha256_hash) for e in manifest.files})
    if not by_sha256:
        report.warnings.append("the store has no BLAKE3 of this model: nothing to check first")
    return {
        entry.path: by_sha256[digest]
        for entry in manifest.files
        if (digest := bytes.fromhex(entry.sha256_hash)) in by_sha256
    }


def _ask_store(
    report: Report, store: "Store", signed: SignedManifest, *, no_rollback: bool
) -> bool:
    """Hold a manifest against what the store has seen before; a damaged one only warns.

    Returns whether it would be news there that this one is good: neither it nor a later one was
    the last to be verified.
    """
    manifest = signed.manifest
    try:
        store.check_version(
            manifest.model_name,
            manifest.model_version,
            ((entry.path, entry.sha256_hash) for entry in manifest.files),
        )
    except VersionReusedError as err:
        report.objections.append((Reason.VERSION_REUSED, str(err)))
    except (ModelSealError, OSError) as err:
        report.warnings.append(f"the store can't be asked for this version: {err}")
    try:
        last = store.last_verified(manifest.model_name)
        if last is None:
            return True
        later = as_utc(datetime.fromisoformat(last.created_at))
    except (ModelSealError, OSError, ValueError) as err:
        report.warnings.append(f"the store can't be asked what was verified before: {err}")
        return True
    if last.id == identifier(signed):
        return False
    if as_utc(manifest.created_at) >= later:
        return True
    message = f"older than version {last.version}, which was verified here {last.verified_at}"
    if no_rollback:
        report.objections.append((Reason.ROLLBACK, message))
    else:
        report.warnings.append(message)
    return False
