"""Certificates: who vouches for a signer's key, up to a root that the user trusts.

Source: OMS 1.0, section 4.1 and 8.2; RFC 5280.
"""

import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from modelseal.errors import KeyLoadError

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

LIMIT: Final = 16 << 20
"""Bytes of a file of certificates; a system's roots take a fraction of it."""

_MANY: Final = 64
"""Certificates in a bundle: more are no path, but work for a verifier."""

_UNPARSABLE: Final = (
    ValueError,
    TypeError,  # a bit string in a name, of another kind than the one that may be
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
)
"""What cryptography raises for bytes that are no certificate, or one that it can't read."""

_SIGNING: Final = {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def load_pem(data: bytes) -> list[x509.Certificate]:
    """Load the certificates of a PEM file, one or more. Raises KeyLoadError."""
    try:
        return _loaded(lambda: x509.load_pem_x509_certificates(data))
    except _UNPARSABLE:
        pass
    what = "a damaged certificate" if b"BEGIN CERTIFICATE" in data else "no certificate in PEM"
    raise KeyLoadError(f"this is {what}")


def load_der(raws: Sequence[bytes]) -> list[x509.Certificate]:
    """Load a bundle's certificates. Raises KeyLoadError."""
    if len(raws) > _MANY:
        raise KeyLoadError(f"a bundle with more than {_MANY} certificates")
    try:
        return _loaded(lambda: [x509.load_der_x509_certificate(raw) for raw in raws])
    except _UNPARSABLE:
        raise KeyLoadError("a certificate in the bundle is damaged") from None


def _loaded(load: Callable[[], list[x509.Certificate]]) -> list[x509.Certificate]:
    """Have names and times read now: what is wrong with them would show at any later use."""
    with warnings.catch_warnings():
        # What an authority got a little wrong is not the user's concern.
        warnings.simplefilter("ignore")
        loaded = load()
        for each in loaded:
            _ = each.subject.rfc4514_string(), each.issuer.rfc4514_string()
            _ = each.not_valid_before_utc, each.not_valid_after_utc
            # A signature is whole bytes: nobody else looks whether it says so, and one certificate
            # could be written in several ways.
            if not each.public_bytes(serialization.Encoding.DER).endswith(b"\0" + each.signature):
                raise ValueError("bits of the signature are left over")
    return loaded


def public_key(certificate: x509.Certificate) -> object:
    """The key that a certificate is for. Raises KeyLoadError for one of an unknown kind."""
    try:
        return certificate.public_key()
    except _UNPARSABLE:
        raise KeyLoadError(
            f"the key of the certificate '{name(certificate)}' can't be read"
        ) from None


def encode_der(chain: Sequence[x509.Certificate]) -> list[bytes]:
    """The bytes of each certificate, as bundles hold them."""
    return [each.public_bytes(serialization.Encoding.DER) for each in chain]


def name(certificate: x509.Certificate) -> str:
    """Whom a certificate is for, as RFC 4514 writes it."""
    return certificate.subject.rfc4514_string()


def fault(leaf: x509.Certificate, when: datetime) -> str:
    """What keeps a certificate from signing models at a time; nothing if it may.

    One that is signed by itself may be its own root.
    """
    return _time_fault(leaf, when) or _role_fault(leaf, own_root=leaf.issuer == leaf.subject)


def path_fault(
    certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], when: datetime
) -> str:
    """Why there is no path from a bundle's certificates to a root; nothing if there is one.

    certificates: the signer's first; the others may lie on the path, and are trusted for nothing.
    roots: trusted by the user; a self-signed signer's certificate may be one.
    when: every certificate of the path is valid then.
    """
    leaf, *others = certificates
    own_root = leaf in roots and leaf.issuer == leaf.subject
    if said := _time_fault(leaf, when) or _role_fault(leaf, own_root=own_root):
        return said
    if not roots:
        return _explain(leaf, others, roots, when)
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(list(roots)))
        .time(when.astimezone(UTC))
        .extension_policies(ca_policy=_authorities(), ee_policy=_signers())
        .build_client_verifier()
    )
    try:
        verifier.verify(leaf, others)
    except (verification.VerificationError, *_UNPARSABLE):
        return _explain(leaf, others, roots, when)
    return ""


def _signers() -> verification.ExtensionPolicy:
    """Of a signer's certificate we have looked at all that counts."""
    return verification.ExtensionPolicy.permit_all()


def _authorities() -> verification.ExtensionPolicy:
    return (
        verification.ExtensionPolicy.permit_all()
        .require_present(
            x509.BasicConstraints, verification.Criticality.AGNOSTIC, _require_authority
        )
        .may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _require_cert_sign)
        .may_be_present(
            x509.ExtendedKeyUsage, verification.Criticality.AGNOSTIC, _require_code_signing
        )
        .may_be_present(
            x509.NameConstraints, verification.Criticality.AGNOSTIC, _refuse_directories
        )
    )


def _require_authority(
    _: verification.Policy, __: x509.Certificate, extension: x509.BasicConstraints
) -> None:
    if not extension.ca:
        raise ValueError("not an authority")


def _require_cert_sign(
    _: verification.Policy, __: x509.Certificate, extension: x509.KeyUsage | None
) -> None:
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("an authority that may not sign certificates")


def _require_code_signing(
    _: verification.Policy, __: x509.Certificate, extension: x509.ExtendedKeyUsage | None
) -> None:
    if extension is not None and _SIGNING.isdisjoint(extension):
        raise ValueError("an authority for other uses")


def _refuse_directories(
    _: verification.Policy, __: x509.Certificate, extension: x509.NameConstraints | None
) -> None:
    """The verifier holds nobody to a constraint of subjects, unless that is critical."""
    trees = [] if extension is None else [extension.permitted_subtrees, extension.excluded_subtrees]
    if any(isinstance(each, x509.DirectoryName) for tree in trees for each in tree or ()):
        raise ValueError("an authority for some subjects alone")


def _time_fault(certificate: x509.Certificate, when: datetime) -> str:
    if when < certificate.not_valid_before_utc:
        begin = certificate.not_valid_before_utc
        return f"the certificate '{name(certificate)}' is not valid before {begin:%Y-%m-%d}"
    if when > certificate.not_valid_after_utc:
        end = certificate.not_valid_after_utc
        return f"the certificate '{name(certificate)}' expired on {end:%Y-%m-%d}"
    return ""


def _role_fault(leaf: x509.Certificate, *, own_root: bool) -> str:
    try:
        return _usage_fault(leaf) or ("" if own_root else _authority_fault(leaf))
    except _UNPARSABLE:
        return f"the extensions of the certificate '{name(leaf)}' are malformed"


def _usage_fault(leaf: x509.Certificate) -> str:
    """Code signing among the extended usages; digital signature among the others, if it has any."""
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    usage = _extension(leaf, x509.KeyUsage)
    if extended is None or _SIGNING.isdisjoint(extended):
        return f"the certificate '{name(leaf)}' is not for code signing"
    if usage is not None and not usage.digital_signature:
        return f"the certificate '{name(leaf)}' is not for signatures"
    return ""


def _authority_fault(leaf: x509.Certificate) -> str:
    """A certificate that can make others is no signer's; one that only says so in part may be."""
    constraints = _extension(leaf, x509.BasicConstraints)
    usage = _extension(leaf, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage and not usage.key_cert_sign):
        return ""
    return f"the certificate '{name(leaf)}' is that of an authority, not of a signer"


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _explain(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    when: datetime,
) -> str:
    """In words why no path was found."""
    for certificate in _above(leaf, [*others, *roots]):
        if said := _time_fault(certificate, when):
            return said
    return f"the certificate '{name(leaf)}' does not lead to a trusted root"


def _above(leaf: x509.Certificate, known: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Those that might stand above a certificate, by their names."""
    found: list[x509.Certificate] = []
    wanted = [leaf]
    while wanted:
        issuer = wanted.pop().issuer
        new = [each for each in known if each.subject == issuer and each not in found]
        found += new
        wanted += new
    return found
