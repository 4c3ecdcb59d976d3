"""Show what changed in a model since its latest seal."""

import os
from argparse import ArgumentParser, Namespace

from modelseal import arguments, output
from modelseal.errors import EXIT_ERROR, EXIT_NOT_VERIFIED, EXIT_OK, Reason

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.store import Change, Status

DESCRIPTION = """\
Show what changed in a model directory since it was last sealed: files altered, missing and
unsigned. Only what may have changed is read again, and no signature is checked: 'modelseal verify'
does that. Exit code 0: as sealed; 2: different, or never sealed."""

EXAMPLES = """\
modelseal status
modelseal status my-model --revision my-classifier@1.0.0
modelseal status my-model --porcelain | grep '^altered'"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "model_dir", metavar="DIR", nargs="?", help="the model (default: the one around us)"
    )
    parser.add_argument(
        "--revision",
        metavar="REV",
        default="",
        help="compare with this instead: NAME, NAME@VERSION, or an id",
    )
    arguments.add_store(parser)
    arguments.add_walk(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Compare, show, and let the difference be the exit code."""
    status = _compare(args)
    if args.json:
        output.document(_as_json(status))
    elif args.porcelain or args.zero:
        for kind, change in _changes(status):
            output.record(kind, change.path, zero=args.zero)
    else:
        _print(status)
    if status.clean:
        return EXIT_OK
    return EXIT_NOT_VERIFIED if _differs(status) else EXIT_ERROR


def _compare(args: Namespace) -> "Status":
    directory = args.model_dir or "."
    store = arguments.find_store(args, directory)
    while True:
        with output.progress("hashing") as progress:
            status = store.status(
                directory,
                revision=args.revision,
                progress=progress,
                **arguments.walk(args),
            )
        if status.seal or args.model_dir or not status.directory.startswith(f"{store.root}/"):
            return status
        # Somewhere in a model: like git, look upward for its top.
        directory = os.path.dirname(status.directory)


def _changes(status: "Status") -> "list[tuple[str, Change]]":
    found = [("altered", change) for change in status.altered]
    found += [("missing", change) for change in status.missing]
    found += [("unsigned", change) for change in status.unsigned]
    found += [("error", change) for change in status.errors]
    return found


def _differs(status: "Status") -> bool:
    """Whether something is known to be otherwise, beside what can't be judged."""
    return status.seal is None or bool(status.altered or status.missing or status.unsigned)


def _reason(status: "Status") -> Reason | None:
    if status.seal is None:
        return Reason.UNSEALED
    found = (
        (status.altered, Reason.FILE_ALTERED),
        (status.missing, Reason.FILE_MISSING),
        (status.unsigned, Reason.FILE_UNSIGNED),
        (status.errors, Reason.FILE_UNREADABLE),
    )
    return next((reason for changes, reason in found if changes), None)


def _as_json(status: "Status") -> dict[str, object]:
    return {
        "clean": status.clean,
        "reason": _reason(status),
        "directory": status.directory,
        "seal": status.seal and status.seal._asdict(),
        "altered": [change._asdict() for change in status.altered],
        "missing": [change.path for change in status.missing],
        "unsigned": [change.path for change in status.unsigned],
        "errors": [{"path": change.path, "message": _message(change)} for change in status.errors],
        "ignored": status.ignored,
        "files": status.files,
        "hashed": status.hashed,
    }


def _message(change: "Change") -> str:
    said = change.note
    return said if f"'{change.path}'" in said else f"cannot read '{change.path}': {said}"


def _print(status: "Status") -> None:
    seal = status.seal
    if seal is None:
        output.marked(output.BAD, "Unsealed:", f" nothing was signed in '{status.directory}'")
        output.hint(f"modelseal sign --model-dir '{status.directory}' --key PATH --signer-id YOU")
        return
    output.line(f"Model  : {seal.name} v{seal.version} ({seal.id[: output.ID_DIGITS]})")
    signer = f" by {seal.signer_id} (claimed)" if seal.signer_id else ""
    output.line(f"Sealed : {seal.sealed_at}{signer}")
    counts: dict[str, int] = {}
    for kind, change in _changes(status):
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "error":
            output.failure(_message(change))
        else:
            note = f" ({change.note})" if change.note else ""
            output.marked(output.BAD, f"  {kind:<8}", f"  {change.path}{note}")
    for path in status.ignored:
        output.marked(output.DOUBTFUL, f"  {'ignored':<8}", f"  {path}")
    if counts:
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        answer = "Different" if _differs(status) else "Could not tell"
        output.marked(output.BAD, f"{answer}:", f" {said}; {status.files} files were sealed.")
    else:
        output.marked(output.GOOD, "Clean:", f" {status.files} files as sealed.")
