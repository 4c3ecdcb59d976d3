"""What a check found, as lines for a person and as fields for a program."""

from modelseal import output

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.report import Report


def differences(report: "Report") -> None:
    """Write a line for everything that is not as it was signed."""
    for path, expected, actual, note in report.altered:
        output.line(f"  [FAIL] {path}{f' ({note})' if note else ''}")
        if actual is not None:
            output.line(f"         expected {expected}")
            output.line(f"         actual   {actual}")
    for path in report.missing:
        output.line(f"  [FAIL] {path} (missing)")
    for path, note in report.unsigned:
        output.line(f"  [UNSIGNED] {path}{f' ({note})' if note else ''}")
    for fault in report.errors:
        output.message(f"error: {fault.message}")


def findings(report: "Report") -> dict[str, object]:
    """The fields of a report, for JSON."""
    manifest = report.manifest
    return {
        "signer_id": report.signer_id,
        "trusted": report.trusted,
        "fingerprint": report.fingerprint,
        "model_name": manifest.model_name,
        "model_version": manifest.model_version,
        "checked": report.checked,
        "altered": [item._asdict() for item in report.altered],
        "missing": report.missing,
        "unsigned": [item.path for item in report.unsigned],
        "errors": [item._asdict() for item in report.errors],
    }
