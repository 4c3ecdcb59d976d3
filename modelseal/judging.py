"""Whose signatures these are, whether they count, and whether they are enough."""

from collections.abc import Sequence

from modelseal import keys, signatures
from modelseal.errors import Reason
from modelseal.levels import Level, Trust
from modelseal.report import Report, Voice
from modelseal.structs import Signature, SignedManifest
from modelseal.trust import PublisherRegistry

HINT_NOBODY = (
    "'modelseal trust add ID --key PATH' trusts a publisher; '--key PATH' checks with a key alone"
)
_HINT_TIME = "a store of your own that saw it in time counts: name it with '--store DIR'"
_IN_TIME = (Reason.KEY_ROTATED, Reason.KEY_EXPIRED)


def as_trust(registry: PublisherRegistry | Trust | None) -> Trust | None:
    """A lone registry as the only level."""
    if isinstance(registry, PublisherRegistry):
        return Trust([Level("registry", registry.path, registry)])
    return registry


def judge(
    report: Report,
    signed: SignedManifest,
    others: Sequence[Signature],
    *,
    public_key_bytes: bytes | None,
    trust: Trust | None,
    background: Trust | None,
    require: int,
) -> None:
    """Enter into the report whether the signatures do.

    others: further signatures over the same manifest.
    trust: must know the signer. background: speaks against keys, and counts publishers where more
    than a key is asked for.
    Raises KeyLoadError for a key that can't be used.
    """
    known = trust or background
    if public_key_bytes is not None and not _check_key(report, signed, public_key_bytes, known):
        return
    name = signed.manifest.model_name
    report.required = max(require, known.required(name) if known else 0, int(trust is not None))
    if known is None or not report.required:
        report.signature_valid = True
        return
    own = known.judge(signed)
    report.fingerprint = own.fingerprint or report.fingerprint
    report.voices = [own]
    if own.reason is not Reason.SIGNATURE_INVALID:
        report.voices += [
            known.judge(SignedManifest(manifest=signed.manifest, signature=signature))
            for signature in others
        ]
    report.counted = known.count(report.voices)
    # With a key too, the registry must hold that very key.
    bound = own.reason is None or (public_key_bytes is None and report.counted)
    if own.reason is Reason.SIGNATURE_INVALID or (trust is not None and not bound):
        _refuse(report, own, known)
    elif report.counted < report.required:
        _refuse(report, too_few(report), known)
    else:
        _accept(report, trusting=trust is not None)


def _check_key(
    report: Report, signed: SignedManifest, public_key_bytes: bytes, known: Trust | None
) -> bool:
    """Whether the manifest is signed with the caller's key, and nobody has revoked that."""
    key = keys.load_public(public_key_bytes)
    report.fingerprint = keys.fingerprint(key)
    if error := signatures.check(signed, key).error:
        report.reason, report.signature_error = Reason.SIGNATURE_INVALID, error
    elif known is not None and (gone := known.key_revoked(report.fingerprint)):
        report.reason, report.signature_error = Reason.KEY_REVOKED, gone
    return report.reason is None


def _accept(report: Report, *, trusting: bool) -> None:
    report.signature_valid = True
    first = next(voice for voice in report.voices if voice.reason is None)
    if trusting or first is report.voices[0]:
        # It may be a cosigner whose word is taken, and not the one who signed first.
        report.trusted = True
        report.signer_id, report.fingerprint = first.signer_id, first.fingerprint
        report.publisher, report.source = first.publisher, first.source


def _refuse(report: Report, voice: Voice, known: Trust) -> None:
    report.reason, report.signature_error = voice.reason, voice.message
    if voice.reason in _IN_TIME and not known.remembers:
        report.hints.append(_HINT_TIME)
    if voice.reason is not Reason.SIGNER_UNTRUSTED or known.named:
        return
    for level in known.levels:
        if not level.own and level.registry.get_publisher(voice.signer_id):
            report.hints.append(
                f"'{level.path}' knows this name, but may have come with the model: "
                "if it is yours, name its store with '--store DIR'"
            )
            return
    report.hints.append(HINT_NOBODY)


def too_few(report: Report) -> Voice:
    """What there is to say where fewer publishers signed than are needed."""
    count = f"{report.counted} trusted publisher{'s' if report.counted != 1 else ''}"
    message = f"signed by {count}, and {report.required} are needed"
    without = [f"'{v.signer_id}' ({v.reason})" for v in report.voices if v.reason is not None]
    if without:
        message += f"; not counted: {', '.join(without)}"
    return Voice(report.signer_id, reason=Reason.THRESHOLD, message=message)
