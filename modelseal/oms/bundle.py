"""The bundle: one JSON file with an envelope, and what it is to be verified with.

Source: the Sigstore bundle format 0.1 to 0.3, as OMS 1.0 (section 4) uses it.
"""

import base64
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from modelseal.errors import FormatError
from modelseal.oms import dsse, lenient

Method = Literal["key", "certificate", "sigstore"]

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"

_MEDIA_TYPES = re.compile(
    r"application/vnd\.dev\.sigstore\.bundle(\.v0\.[1-3]\+json|\+json;version=0\.[1-3])"
)
_NAMES: Final = frozenset({"mediaType", "verificationMaterial", "dsseEnvelope"})
_QUOTED: Final = tuple(f'"{name}"'.encode() for name in sorted(_NAMES))

_SIGNATURES: Final = 16
"""More than this are no bundle, but work for a verifier."""


class Bundle(NamedTuple):
    """A bundle's parts, decoded.

    method: what its verification material is made for.
    hint: of a key, the SHA-256 of its PEM in hex; empty where the bundle has none.
    certificates: DER, the signer's first.
    payload: the statement's bytes, as they were signed.
    signatures: one at least.
    """

    method: Method
    hint: str
    certificates: list[bytes]
    payload_type: str
    payload: bytes
    signatures: list[bytes]


class _Struct(msgspec.Struct, rename="camel"):
    pass


class _PublicKey(_Struct):
    hint: str | None = None


class _Certificate(_Struct):
    raw_bytes: str


class _Chain(_Struct):
    certificates: list[_Certificate]


class _Material(_Struct):
    public_key: _PublicKey | None = None
    chain: _Chain | None = msgspec.field(default=None, name="x509CertificateChain")
    certificate: _Certificate | None = None
    tlog_entries: list[msgspec.Raw] | None = None


class _Signature(_Struct):
    sig: str


class _Envelope(_Struct):
    payload: str
    payload_type: str
    signatures: list[_Signature]


class _Bundle(_Struct):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


def is_bundle(data: bytes) -> bool:
    """Whether JSON looks like a bundle rather than like a signed manifest of our own.

    A manifest may have any of a bundle's names for a file, so that only the outermost ones count.
    """
    if not any(name in data for name in _QUOTED):
        return False
    try:
        names = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return not data[:64].lstrip(b"{ \t\r\n").startswith(b'"manifest"')
    return "manifest" not in names and not _NAMES.isdisjoint(names)


def decode(data: bytes) -> Bundle:
    """Decode a bundle of any generation. Raises FormatError, which says what is wrong with it."""
    said = lenient.decode(data, _Bundle)
    if not _MEDIA_TYPES.fullmatch(said.media_type):
        raise FormatError(f"mediaType: {said.media_type!r:.80} is not that of a Sigstore bundle")
    envelope = said.dsse_envelope
    if envelope.payload_type != dsse.PAYLOAD_TYPE:
        raise FormatError(
            f"dsseEnvelope.payloadType: {envelope.payload_type!r:.80} is not '{dsse.PAYLOAD_TYPE}'"
        )
    if not envelope.signatures:
        raise FormatError("dsseEnvelope.signatures: there is none")
    if len(envelope.signatures) > _SIGNATURES:
        raise FormatError(f"dsseEnvelope.signatures: more than {_SIGNATURES}")
    method, hint, certificates = _material(said.verification_material)
    return Bundle(
        method,
        hint,
        certificates,
        envelope.payload_type,
        lenient.from_base64(envelope.payload, "dsseEnvelope.payload"),
        [lenient.from_base64(each.sig, "dsseEnvelope.sig") for each in envelope.signatures],
    )


def _material(said: _Material) -> tuple[Method, str, list[bytes]]:
    given = (said.public_key, said.chain, said.certificate)
    if sum(each is not None for each in given) != 1:
        what = "none" if not any(given) else "more than one"
        raise FormatError(
            "verificationMaterial: one of publicKey, x509CertificateChain and certificate is "
            f"needed, and there is {what}"
        )
    if said.public_key is not None:
        return "key", said.public_key.hint or "", []
    if said.chain is not None:
        if not said.chain.certificates:
            raise FormatError("x509CertificateChain.certificates: there is none")
        name = "x509CertificateChain.certificates"
        raws = [lenient.from_base64(each.raw_bytes, name) for each in said.chain.certificates]
        return "certificate", "", raws
    assert said.certificate is not None  # noqa: S101 - it is the one that is left
    if not said.tlog_entries:
        raise FormatError("tlogEntries: a keyless bundle needs at least one, and there is none")
    return "sigstore", "", [lenient.from_base64(said.certificate.raw_bytes, "certificate")]


def encode(
    payload: bytes, signature: bytes, *, hint: str = "", certificates: Sequence[bytes] = ()
) -> bytes:
    """A bundle of version 0.3 around a statement's bytes and their signature.

    hint: of the key, for the method key; else certificates: DER, the signer's first.
    """
    material: dict[str, object]
    if certificates:
        raws = [{"rawBytes": _base64(each)} for each in certificates]
        material = {"x509CertificateChain": {"certificates": raws}}
    else:
        material = {"publicKey": {"hint": hint}}
    return msgspec.json.encode(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {**material, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": _base64(payload),
                "payloadType": dsse.PAYLOAD_TYPE,
                "signatures": [{"sig": _base64(signature), "keyid": ""}],
            },
        }
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
