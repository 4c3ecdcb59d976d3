"""The checking flow of OMS: a bundle's signature first, its statement second, then the files."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Unpack

from modelseal import (
    bundling,
    fileio,
    hashing,
    judging,
    keyless,
    keys,
    manifestfiles,
    paths,
    tree,
)
from modelseal.comparing import check_files
from modelseal.errors import FormatError, KeyLoadError, Reason
from modelseal.levels import Trust
from modelseal.oddities import hint_unsigned
from modelseal.oms import bundle, certificates, ecdsa, statement, terms
from modelseal.oms.statement import Statement
from modelseal.report import Report, Voice

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_METHODS: Final = {
    "key": "signed with a key: check it with '--key', or with registries",
    "certificate": "signed with a certificate: check it with '--certificate-chain'",
    "sigstore": "signed keyless: check it with '--identity' and '--identity-provider'",
}


class Means(NamedTuple):
    """What a bundle's signature is checked with.

    public_key: PEM or OpenSSH. roots: certificates that may stand at the end of a path.
    identity, provider: of a keyless signer, and who vouched for him; both or none.
    trust_root: of a private instance, which logs and certifies keyless signatures.
    registry: a publisher's key must have signed; with `public_key`, that very key.
    background: beside a key or roots, what is known of revoked keys and of models that need more
    signatures.
    require: so many publishers must have signed.
    """

    public_key: bytes | None = None
    roots: "Sequence[Certificate] | None" = None
    identity: str = ""
    provider: str = ""
    trust_root: fileio.Location | None = None
    registry: Trust | None = None
    background: Trust | None = None
    require: int = 0

    @property
    def method(self) -> bundle.Method:
        """Which bundles can be checked with it."""
        if self.identity:
            return "sigstore"
        return "key" if self.roots is None else "certificate"


def verify_model(
    model: fileio.Location | None,
    data: bytes,
    means: Means,
    *,
    path: fileio.Location | None = None,
    ignore_paths: Collection[str] = (),
    ignore_unsigned_files: bool = False,
    follow_symlinks: bool = False,
    **how: Unpack[hashing.Options],
) -> Report:
    """The whole check of a bundle, as `verifying.ModelVerifier.verify_model` does a manifest's.

    model: a directory, or the one file that the model is; None checks the signature alone.
    path: where the bundle lies, to leave that file out.
    follow_symlinks: take links as the files they lead to, wherever those are; without it, links
    inside the model are taken so if the statement says that the signer did.
    Raises FormatError for what is no bundle or states nothing that can be checked; KeyLoadError;
    ModelError where there is no model. What is wrong with the model is in the report.
    """
    with naming(path):
        opened = bundle.decode(data)
    report = Report(manifest=Statement(model_name="", files=[]))
    if not _check_signature(report, opened, data, means, path):
        return report
    with naming(path):
        signed = statement.decode(opened.payload)
    report.manifest = signed
    if not _check_publishers(report, means, signed.model_name):
        return report
    report.signature_valid = True
    if model is not None:
        check_files(
            report,
            model,
            exclude=tree.ROOT_EXCLUSIONS if path is None else manifestfiles.exclusions(model, path),
            ignore=bundling.relative_all(ignore_paths, model, report.warnings.append),
            overlook=statement.IGNORED | terms.inside(signed.ignore_paths),
            follow_symlinks=follow_symlinks or signed.allow_symlinks,
            stay_inside=not follow_symlinks,
            **how,
        )
        if ignore_unsigned_files:
            report.unsigned.clear()
        if report.unsigned:
            report.hints.append(hint_unsigned(report.unsigned))
    report.conclude()
    return report


@contextmanager
def naming(path: fileio.Location | None) -> Iterator[None]:
    """Let a FormatError say which bundle it is of. path: None for standard input."""
    try:
        yield
    except FormatError as err:
        name = "standard input" if path is None else os.fspath(path)
        raise FormatError(f"malformed bundle '{name}': {err}", hint=err.hint) from None


def overlook(found: tree.Tree, stated: Statement) -> None:
    """Leave out what a bundle says its signer left out, as long as nothing there is signed."""
    named = {file.path for file in stated.files}
    left = statement.IGNORED | terms.inside(stated.ignore_paths)
    left = left - named - paths.parents(named) - tree.ROOT_EXCLUSIONS
    found.ignored = sorted(path for path in found.files if paths.is_below(path, left))
    found.files = [path for path in found.files if not paths.is_below(path, left)]
    found.irregular = [odd for odd in found.irregular if not paths.is_below(odd.path, left)]


def _check_signature(
    report: Report,
    opened: bundle.Bundle,
    data: bytes,
    means: Means,
    path: fileio.Location | None,
) -> bool:
    """Enter with which key the bundle is signed, and whether it is."""
    if opened.method != means.method:
        return _refuse(report, f"the bundle is {_METHODS[opened.method]}")
    if means.identity:
        fault = _check_identity(report, opened, data, means)
    elif means.roots is not None:
        with naming(path):
            fault = _check_path(report, opened, means.roots)
    elif means.public_key is not None:
        key = ecdsa.load_public(means.public_key)
        report.fingerprint = keys.fingerprint(key)
        with naming(path):
            fault = _key_fault(opened, key)
    else:
        return _find_key(report, opened, means.registry)
    if fault:
        return _refuse(report, fault)
    known = means.registry or means.background
    if known is not None and (gone := known.key_revoked(report.fingerprint)):
        return _refuse(report, gone, Reason.KEY_REVOKED)
    return True


def _check_path(report: Report, opened: bundle.Bundle, roots: "Sequence[Certificate]") -> str:
    try:
        chain = certificates.load_der(opened.certificates)
        key = ecdsa.check_public(certificates.public_key(chain[0]))
    except KeyLoadError as err:
        raise FormatError(f"x509CertificateChain: {err}") from None
    report.fingerprint = keys.fingerprint(key)
    report.signer_id = certificates.name(chain[0])
    fault = certificates.path_fault(chain, roots, datetime.now(UTC)) or _key_fault(opened, key)
    report.trusted = not fault
    return fault


def _check_identity(report: Report, opened: bundle.Bundle, data: bytes, means: Means) -> str:
    said = keyless.verify(data, means.identity, means.provider, means.trust_root)
    if said.fault:
        return said.fault
    if (said.payload_type, said.payload) != (opened.payload_type, opened.payload):
        raise FormatError("dsseEnvelope.payload: it can be read in two ways")
    (leaf,) = certificates.load_der([said.certificate])
    key = ecdsa.check_public(certificates.public_key(leaf))
    report.fingerprint = keys.fingerprint(key)
    report.signer_id, report.publisher = means.identity, means.provider
    report.trusted = True
    return ""


def _key_fault(opened: bundle.Bundle, key: ecdsa.PublicKey) -> str:
    """Why a bundle is not signed by a key; nothing if it is."""
    if opened.hint and opened.hint != ecdsa.hint(key):
        return f"the bundle names another key, by the SHA-256 {opened.hint:.64}"
    if not ecdsa.verify(key, opened):
        return "the signature does not fit the statement"
    return ""


def _check_publishers(report: Report, means: Means, model_name: str) -> bool:
    """Enter whose key it is, where somebody wants to know, and whether one is enough."""
    known = means.registry or means.background
    wanted = max(means.require, known.required(model_name) if known else 0)
    report.required = max(wanted, int(means.registry is not None))
    if known is None or not report.required:
        return True
    voice = _voice(report, known, model_name)
    report.voices = [voice]
    report.counted = int(voice.reason is None)
    if means.registry is not None and voice.reason is not None:
        if voice.reason is Reason.SIGNER_UNTRUSTED and not known.named:
            report.hints.append(judging.HINT_NOBODY)
        return _refuse(report, voice.message, voice.reason)
    if report.counted < report.required:
        return _refuse(report, judging.too_few(report).message, Reason.THRESHOLD)
    report.trusted = True
    report.signer_id, report.fingerprint = voice.signer_id, voice.fingerprint
    report.publisher, report.source = voice.publisher, voice.source
    return True


def _find_key(report: Report, opened: bundle.Bundle, registry: Trust | None) -> bool:
    """Which of the publishers' keys the bundle is signed with; what it is worth is asked later."""

    def fits(key: keys.PublicKey) -> bool:
        return isinstance(key, ecdsa.PublicKey) and not _key_fault(opened, key)

    voice = registry.judge_key(fits, "") if registry else None
    if voice is not None:
        report.fingerprint = voice.fingerprint
        return True
    message = "the bundle is not signed with a key of a trusted publisher"
    if opened.hint:
        message += f"; it names one by the SHA-256 {opened.hint:.64}"
    if registry and not registry.named:
        report.hints.append(judging.HINT_NOBODY)
    return _refuse(report, message, Reason.SIGNER_UNTRUSTED)


def _voice(report: Report, known: Trust, model_name: str) -> Voice:
    """What the registries say of the key that the bundle is signed with."""
    voice = known.judge_key(lambda key: keys.fingerprint(key) == report.fingerprint, model_name)
    if voice is not None:
        return voice
    message = f"the key {report.fingerprint} is that of no trusted publisher"
    signer = report.signer_id or report.fingerprint
    return Voice(signer, report.fingerprint, Reason.SIGNER_UNTRUSTED, message)


def _refuse(report: Report, message: str, reason: Reason = Reason.SIGNATURE_INVALID) -> bool:
    report.signature_error, report.reason = message, reason
    report.trusted = False
    return False
