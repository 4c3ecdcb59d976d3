"""What a check found, as lines for a person and as fields for a program."""

from modelseal import output
from modelseal.errors import Reason

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.report import Altered, Report

_FINDINGS = (
    *("signer_id", "trusted", "fingerprint", "model_name", "model_version"),
    *("checked", "altered", "missing", "unsigned", "errors"),
)


def differences(report: "Report") -> None:
    """Write a line for everything that is not as it was signed."""
    for item in report.altered:
        _print_altered(item, beside=True)
    for path in report.missing:
        _print_missing(path)
    _print_unsigned(report)
    for fault in report.errors:
        output.failure(fault.message)


def findings(report: "Report") -> dict[str, object]:
    """Who signed, and what differs, for JSON."""
    whole = fields(report)
    return {name: whole[name] for name in _FINDINGS}


def fields(report: "Report") -> dict[str, object]:
    """The whole report, for JSON."""
    manifest = report.manifest
    return {
        "valid": report.valid,
        "reason": report.reason,
        "message": report.signature_error or "; ".join(said for _, said in report.objections),
        "signer_id": report.signer_id,
        "trusted": report.trusted,
        "fingerprint": report.fingerprint,
        "publisher": report.publisher,
        "registry": report.source,
        "required": report.required,
        "signatures": [
            {
                "signer_id": voice.signer_id,
                "fingerprint": voice.fingerprint,
                "reason": voice.reason,
                "message": voice.message,
                "publisher": voice.publisher,
                "registry": voice.source,
            }
            for voice in report.voices
        ],
        "model_name": manifest.model_name,
        "model_version": manifest.model_version,
        "framework": manifest.framework,
        "checked": report.checked,
        "altered": [item._asdict() for item in report.altered],
        "missing": report.missing,
        "unsigned": [item.path for item in report.unsigned],
        "unchecked": report.unchecked,
        "ignored": report.ignored,
        "errors": [item._asdict() for item in report.errors],
        "warnings": report.warnings,
        "hints": report.hints,
    }


def answer(report: "Report", *, files: bool, quiet: bool) -> None:
    """Write the answer of 'verify'.

    files: whether files were looked at. quiet: what is wrong alone.
    """
    for warning in report.warnings:
        output.warning(warning)
    if not report.signature_valid:
        word = "" if report.reason is Reason.SIGNATURE_INVALID else f" ({report.reason})"
        said = f" — {report.signature_error}{word}"
        output.marked(output.BAD, "Signature: INVALID", said)
        for hint in report.hints:
            output.hint(hint)
        return
    if not quiet:
        output.marked(output.GOOD, "Signature: VALID")
        _print_signers(report)
        version = report.manifest.model_version
        output.line(f"  Model    : {report.manifest.model_name}{f' v{version}' if version else ''}")
    for reason, said in report.objections:
        output.marked(output.BAD, "Refused:", f" {said} ({reason})")
    if files:
        if not quiet:
            output.line("Verifying on-disk file hashes...")
        _print_files(report, quiet=quiet)
    for hint in report.hints:
        output.hint(hint)


def _print_signers(report: "Report") -> None:
    if report.signer_id:
        output.line(f"  Signer   : {report.signer_id}{'' if report.trusted else ' (claimed)'}")
    output.line(f"  Key      : {report.fingerprint}")
    if report.publisher and not report.source:
        output.line(f"  Vouched  : by '{report.publisher}'")
    if report.source:
        name = f" ({report.publisher})" if report.publisher else ""
        output.line(f"  Trusted  : by '{report.source}'{name}")
    shown = report.signer_id if report.trusted else ""
    for voice in report.voices:
        if voice.reason is not None:
            said = f" {voice.signer_id} (claimed): {voice.message}"
            output.marked(output.DOUBTFUL, "  Ignored  :", said)
        elif voice.signer_id != shown:
            output.line(f"  Cosigned : {voice.signer_id}, {voice.fingerprint}")
    if report.required > 1:
        output.line(f"  Required : {report.counted} of {report.required} publishers")


def _print_files(report: "Report", *, quiet: bool) -> None:
    altered = {item.path: item for item in report.altered}
    missing, passed = set(report.missing), set(report.passed)
    passes = output.marker(output.GOOD, "  [OK]")
    for path in (entry.path for entry in report.manifest.files):
        if path in passed and not quiet:
            passes(f" {path}")
        if path in missing:
            _print_missing(path)
        if path in altered:
            _print_altered(altered[path])
    _print_unsigned(report)
    for path in report.unchecked:
        output.marked(output.DOUBTFUL, "  [NOT CHECKED]", f" {path}")
    for path in report.ignored:
        output.marked(output.DOUBTFUL, "  [IGNORED]", f" {path}")
    for fault in report.errors:
        output.failure(fault.message)
    if report.altered or report.missing or report.unsigned or report.errors:
        output.message("One or more files failed verification.")
    elif not quiet and report.valid:
        output.line("All files verified successfully.")


def _print_altered(item: "Altered", *, beside: bool = False) -> None:
    """Where there are digests, a note stands below them, or beside the path."""
    beside = bool(item.note) and (beside or item.actual is None)
    output.marked(output.BAD, "  [FAIL]", f" {item.path}{f' ({item.note})' if beside else ''}")
    if item.actual is None:
        return
    output.line(f"         expected {item.expected}")
    output.line(f"         actual   {item.actual}")
    if item.note and not beside:
        output.line(f"         {item.note}")


def _print_missing(path: str) -> None:
    output.marked(output.BAD, "  [FAIL]", f" {path} (missing)")


def _print_unsigned(report: "Report") -> None:
    for path, note in report.unsigned:
        output.marked(output.BAD, "  [UNSIGNED]", f" {path}{f' ({note})' if note else ''}")
