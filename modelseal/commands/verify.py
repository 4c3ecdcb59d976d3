"""Check a signed manifest, and a model against it."""

import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from modelseal import arguments, output
from modelseal.errors import UsageError

if TYPE_CHECKING:
    from modelseal.report import Altered, Report

DESCRIPTION = """\
Check who signed a manifest and, with --model-dir, that every byte of the model is as signed and
that nothing lies beside it. Exit code 0: verified; 2: not verified; 1: could not tell."""

EXAMPLES = """\
modelseal verify --manifest my-model/signed_manifest.json \\
    --key alice.pem --model-dir my-model
modelseal verify --manifest my-model/signed_manifest.json \\
    --registry trust.json --model-dir my-model --quiet
modelseal verify --manifest m.json --key alice.pem --model-dir my-model \\
    --json | jq .reason"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("--manifest", metavar="PATH", required=True, help="signed manifest")
    parser.add_argument("--key", metavar="PATH", help="public key of the signer: PEM or OpenSSH")
    parser.add_argument(
        "--registry", metavar="FILE", help="trusted publishers; the signer must be one of them"
    )
    parser.add_argument("--model-dir", metavar="DIR", help="model to check, file by file")
    parser.add_argument(
        "--ignore-unsigned-files",
        action="store_true",
        help="let files pass that the manifest does not name",
    )
    arguments.add_walk(parser)
    parser.add_argument("--quiet", action="store_true", help="print only what is wrong")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(args: Namespace) -> int:
    """Check, print the report, and let its exit code be ours."""
    if args.key is None and args.registry is None:
        raise UsageError("one of the arguments --key --registry is required")
    from modelseal import fileio, keyfiles, trust, verifying
    from modelseal.errors import FormatError

    signed = verifying.load(args.manifest)
    public = None
    if args.key is not None:  # an empty one is a mistake, not a wish to go without
        public = keyfiles.KeyManager().load_public_key(args.key)
        keyfiles.check_public(public, args.key)
    registry = None
    if args.registry is not None:
        with fileio.naming("read", args.registry):
            os.stat(args.registry)  # a new registry is no answer to a mistyped name
        registry = trust.PublisherRegistry(args.registry)
        if not registry.list_publishers():
            raise FormatError(f"registry '{args.registry}' names no publisher")
    with output.progress("hashing") as progress:
        report = verifying.ModelVerifier().verify_model(
            args.model_dir,
            signed,
            public_key_bytes=public,
            registry=registry,
            manifest_path=args.manifest,
            ignore_paths=args.ignore_path,
            ignore_unsigned_files=args.ignore_unsigned_files,
            follow_symlinks=args.follow_symlinks,
            jobs=args.jobs,
            fork=True,
            progress=progress,
        )
    if args.json:
        output.document(_as_json(report))
    else:
        _print(report, files=args.model_dir is not None, quiet=args.quiet)
    return report.exit_code


def _as_json(report: "Report") -> dict[str, object]:
    manifest = report.manifest
    return {
        "valid": report.valid,
        "reason": report.reason,
        "message": report.signature_error,
        "signer_id": report.signer_id,
        "trusted": report.trusted,
        "fingerprint": report.fingerprint,
        "model_name": manifest.model_name,
        "model_version": manifest.model_version,
        "framework": manifest.framework,
        "checked": report.checked,
        "altered": [
            {"path": path, "expected": expected, "actual": actual, "note": note}
            for path, expected, actual, note in report.altered
        ],
        "missing": report.missing,
        "unsigned": [item.path for item in report.unsigned],
        "ignored": report.ignored,
        "errors": [
            {"path": path, "message": message, "reason": reason}
            for path, message, reason in report.errors
        ],
        "warnings": report.warnings,
        "hints": report.hints,
    }


def _print(report: "Report", *, files: bool, quiet: bool) -> None:
    for warning in report.warnings:
        output.warning(warning)
    if not report.signature_valid:
        output.line(f"Signature: INVALID — {report.signature_error}")
        return
    if not quiet:
        output.line("Signature: VALID")
        output.line(f"  Signer   : {report.signer_id}{'' if report.trusted else ' (claimed)'}")
        output.line(f"  Key      : {report.fingerprint}")
        output.line(f"  Model    : {report.manifest.model_name} v{report.manifest.model_version}")
    if files:
        if not quiet:
            output.line("Verifying on-disk file hashes...")
        _print_files(report, quiet=quiet)
    for hint in report.hints:
        output.hint(hint)


def _print_files(report: "Report", *, quiet: bool) -> None:
    altered = {item.path: item for item in report.altered}
    missing, passed = set(report.missing), set(report.passed)
    for path in (entry.path for entry in report.manifest.files):
        if path in passed and not quiet:
            output.line(f"  [OK] {path}")
        if path in missing:
            output.line(f"  [FAIL] {path} (missing)")
        if path in altered:
            _print_altered(altered[path])
    _print_rest(report)
    if not report.valid:
        output.message("One or more files failed verification.")
    elif not quiet:
        output.line("All files verified successfully.")


def _print_rest(report: "Report") -> None:
    for path, note in report.unsigned:
        output.line(f"  [UNSIGNED] {path}{f' ({note})' if note else ''}")
    for path in report.ignored:
        output.line(f"  [IGNORED] {path}")
    for fault in report.errors:
        output.message(f"error: {fault.message}")


def _print_altered(item: "Altered") -> None:
    if item.actual is None:
        output.line(f"  [FAIL] {item.path} ({item.note})")
        return
    output.line(f"  [FAIL] {item.path}")
    output.line(f"         expected {item.expected}")
    output.line(f"         actual   {item.actual}")
    if item.note:
        output.line(f"         {item.note}")
