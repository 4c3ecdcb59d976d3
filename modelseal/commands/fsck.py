"""Check a store, and mend what can be."""

import os
from argparse import ArgumentParser, Namespace

from modelseal import arguments, output
from modelseal.errors import EXIT_ERROR, EXIT_OK, ModelSealError, Reason

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from collections.abc import Callable

    from modelseal.levels import Trust
    from modelseal.store import Checked, Finding
    from modelseal.structs import SignedManifest

    Check = Callable[[str, SignedManifest | bytes], str | None]

DESCRIPTION = """\
Check everything in a store: that each manifest hashes to its name, decodes, and verifies where
its signer is trusted, and that refs, log and index agree with the manifests. Exit code 0: sound; 1:
damaged."""

EXAMPLES = """\
modelseal fsck
modelseal fsck --repair
modelseal fsck --store my-model/.modelseal --porcelain | grep '^damaged'"""

_TRUST = "trust.json"
_TONES = {"damaged": output.BAD, "repaired": output.GOOD, "note": output.DOUBTFUL}


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "--repair", action="store_true", help="rebuild what the manifests and the log can tell"
    )
    arguments.add_lock_timeout(parser)
    arguments.add_store(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Look, print what was found, and let damage be the exit code."""
    store = arguments.find_store(args, repairing=True)
    check, fault = _checker(os.path.join(store.path, _TRUST))
    checked = store.fsck(repair=args.repair, check=check)
    if fault is not None:
        checked.findings.append(fault)
    if args.json:
        output.document({"clean": checked.clean, **_as_json(checked)})
    elif args.porcelain or args.zero:
        for found in checked.findings:
            output.record(_state(found), *found[:3], zero=args.zero)
    else:
        _print(checked)
        if not checked.clean and not args.repair:
            output.hint("'modelseal fsck --repair' mends what can be mended")
    return EXIT_OK if checked.clean else EXIT_ERROR


def _checker(registry: str) -> "tuple[Check | None, Finding | None]":
    """What judges signatures by the store's own list of publishers, and what is wrong with that."""
    if not os.path.lexists(registry):
        return None, None
    from modelseal import levels
    from modelseal.store import Finding

    try:
        trusted = levels.Trust([levels.load("store", registry)])
    except (ModelSealError, OSError) as err:
        return None, Finding("trust", _TRUST, output.describe(err))

    def check(id_: str, signed: "SignedManifest | bytes") -> str | None:
        if isinstance(signed, bytes):
            return _check_bundle(signed, trusted)
        voice = trusted.judge(signed)
        if voice.reason is Reason.SIGNATURE_INVALID:
            return voice.message
        return None if voice.reason else ""  # what is no longer trusted is no damage

    return check, None


def _check_bundle(data: bytes, trusted: "Trust") -> str | None:
    """As for a manifest; whose signature it claims to be, a bundle says by its key's hint alone."""
    from modelseal import opening
    from modelseal.oms import bundle, ecdsa

    if opening.verify_model(None, data, opening.Means(registry=trusted)).signature_valid:
        return ""
    opened = bundle.decode(data)

    def belied(key: object) -> bool:
        return (
            isinstance(key, ecdsa.PublicKey)
            and ecdsa.hint(key) == opened.hint
            and not ecdsa.verify(key, opened)
        )

    is_belied = trusted.judge_key(belied, "") is not None
    return "the signature does not fit the statement" if is_belied else None


def _state(found: "Finding") -> str:
    if found.repaired:
        return "repaired"
    return "damaged" if found.damage else "note"


def _as_json(checked: "Checked") -> dict[str, object]:
    return {
        **checked._asdict(),
        "findings": [found._asdict() for found in checked.findings],
    }


def _print(checked: "Checked") -> None:
    for found in checked.findings:
        state = _state(found)
        mark = f"  [{state.upper()}]"
        output.marked(_TONES[state], mark, f" {found.where}: {found.message}")
    output.marked(
        output.GOOD if checked.clean else output.BAD,
        "Sound:" if checked.clean else "Damaged:",
        f" {checked.manifests} manifests ({checked.trusted} by trusted publishers), "
        f"{checked.refs} refs, {checked.seals} seals.",
    )
