"""Keys as bytes and as objects: Ed25519 and P-256, in PEM and OpenSSH form.

Loading judges: what isn't a key that may be used here is refused, with a word on what it is.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection
from typing import Final

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from modelseal import openssh, pem
from modelseal.errors import KeyLoadError, PassphraseError
from modelseal.structs import SignatureAlgorithm

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey

CURVES: Final = ("secp256r1",)
"""Of ECDSA, what manifests are signed with."""
OMS_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
"""The same for bundles."""

OPENSSH_ROUNDS: Final = 64
"""Of bcrypt, where nobody says otherwise: half a second on a machine of 2024."""

_PASSPHRASE_LIMIT: Final = 1023
"""Bytes that encryption takes in cryptography."""

_UNPARSABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    NotImplementedError,
    InternalError,
    InvalidTag,
)
"""What cryptography raises for bytes that are no key, or one that it can't load."""

_OPENSSH_BODY = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", re.DOTALL)

_FIELD: Final = 2**255 - 19
# y of the eight points of order 1, 2, 4 and 8; a signature by one of them fits every message.
# From the curve equation of RFC 8032, section 5.1; a test multiplies them out.
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y: Final = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})


def generate(algorithm: SignatureAlgorithm) -> PrivateKey:
    """Make a new private key."""
    if algorithm is SignatureAlgorithm.ed25519:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def encode_private(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 PEM, encrypted where there is a passphrase.

    Raises PassphraseError for a passphrase that is empty or over 1,023 bytes.
    """
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        _check_length(passphrase)
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def encode_openssh(
    key: PrivateKey, passphrase: bytes | None = None, *, rounds: int = OPENSSH_ROUNDS
) -> bytes:
    """OpenSSH's own private key format, without a comment.

    rounds: of bcrypt, where there is a passphrase. Raises as `encode_private`.
    """
    form = serialization.PrivateFormat.OpenSSH
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        _check_length(passphrase)
        encryption = form.encryption_builder().kdf_rounds(rounds).build(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


def _check_length(passphrase: bytes) -> None:
    if not 0 < len(passphrase) <= _PASSPHRASE_LIMIT:
        raise PassphraseError(f"a passphrase has 1 to {_PASSPHRASE_LIMIT:,} bytes")


def encode_public(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def encode_openssh_public(key: PublicKey) -> bytes:
    """A line as in `id_ed25519.pub`, without a comment and without its end."""
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def fingerprint(key: PublicKey) -> str:
    """`SHA256:` and base64, as `ssh-keygen -lf` prints it for this key."""
    line = encode_openssh_public(key)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()


def algorithm_of(key: PrivateKey | PublicKey) -> SignatureAlgorithm:
    """How this key signs."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return SignatureAlgorithm.ed25519
    return SignatureAlgorithm.ecdsa_p256


def load_private(
    data: bytes, passphrase: bytes | None = None, *, curves: Collection[str] = CURVES
) -> PrivateKey:
    """Load a PKCS#8, SEC1 or OpenSSH private key; a passphrase it doesn't need is ignored.

    curves: of ECDSA, those that may be used.
    Raises PassphraseError where one is missing or wrong, KeyLoadError for anything else.
    """
    label = pem.label(data)
    if "PRIVATE KEY" not in label:
        raise KeyLoadError(f"{_found(data, label)}, not a private key")
    if not is_encrypted(data):
        passphrase = None
    elif passphrase is None:
        raise PassphraseError("the private key is encrypted, and there is no passphrase")
    try:
        key = _parse_private(data, passphrase)
    except KeyLoadError:
        raise
    except (TypeError, *_UNPARSABLE):
        if passphrase is not None:
            raise PassphraseError("wrong passphrase, or a damaged private key") from None
        raise KeyLoadError("the private key is damaged, or of an unknown kind") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        return key
    raise KeyLoadError(f"{kind(key)} private key can't be used", hint=_HINT_KINDS)


def is_private(data: bytes) -> bool:
    """Whether bytes call themselves a private key."""
    return "PRIVATE KEY" in pem.label(data)


def shown_public(data: bytes) -> PublicKey | None:
    """The public key that an OpenSSH private key shows without its passphrase; else None.

    Raises KeyLoadError for one that may not be used.
    """
    found = openssh.header(data)
    return None if found is None else load_public(found.public)


def is_encrypted(data: bytes) -> bool:
    """Whether a private key needs a passphrase; what is no private key needs none."""
    try:
        _parse_private(data, None)
    except TypeError:
        return True  # how both loaders say that a passphrase is missing
    except _UNPARSABLE:
        pass
    return False


def _parse_private(data: bytes, passphrase: bytes | None) -> object:
    if pem.label(data) == "OPENSSH PRIVATE KEY":
        found = _OPENSSH_BODY.search(data)
        # cryptography warns of these, and no warning can be silenced in one thread alone.
        if found and b"\0\0\0\7ssh-dss" in binascii.a2b_base64(found[1])[:200]:
            raise KeyLoadError("a DSA private key can't be used", hint=_HINT_KINDS)
        return serialization.load_ssh_private_key(data, passphrase)
    return serialization.load_pem_private_key(data, passphrase)


def load_public(data: bytes, *, curves: Collection[str] = CURVES) -> PublicKey:
    """Load a PEM (SubjectPublicKeyInfo) or OpenSSH public key that may be trusted.

    curves: of ECDSA, those that may be used.
    Raises KeyLoadError for anything else, Ed25519 points of small order and encodings that are
    not canonical among it (RFC 8032, section 5.1.3).
    """
    label = pem.label(data)
    try:
        if label in ("PUBLIC KEY", "RSA PUBLIC KEY"):
            key: object = serialization.load_pem_public_key(data)
        elif not label and _is_openssh(data) and not _is_certificate(data, label):
            key = _parse_openssh_public(data)
        else:
            raise KeyLoadError(f"{_found(data, label)}, not a public key")
    except KeyLoadError:
        raise
    except _UNPARSABLE:
        raise KeyLoadError("the public key is damaged, or of an unknown kind") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        _check_point(key)
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in curves:
        return key
    raise KeyLoadError(f"{kind(key)} public key can't be used", hint=_HINT_KINDS)


def is_for_bundles(data: bytes) -> bool:
    """Whether bytes are a public key that can be used with bundles, if with nothing else."""
    try:
        load_public(data, curves=OMS_CURVES)
    except KeyLoadError:
        return False
    return True


def is_for_bundles_alone(key: PublicKey) -> bool:
    """Whether no manifest can be signed with it."""
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in CURVES


def load_embedded(text: str, *, curves: Collection[str] = CURVES) -> PublicKey:
    """Load a public key given as base64 of its PEM, as manifests and registries hold it.

    curves: as for `load_public`.
    Raises KeyLoadError.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyLoadError("the public key is not valid base64") from None
    return load_public(data, curves=curves)


def _check_point(key: ed25519.Ed25519PublicKey) -> None:
    y = int.from_bytes(key.public_bytes_raw(), "little") & (2**255 - 1)
    if y >= _FIELD:
        raise KeyLoadError("the Ed25519 public key is not in canonical form")
    if y in _SMALL_ORDER_Y:
        raise KeyLoadError(
            "the Ed25519 public key is a point of small order: signatures by it prove nothing"
        )


_HINT_KINDS: Final = "keys are Ed25519 or ECDSA P-256: make a pair with 'modelseal keygen'"


def _parse_openssh_public(data: bytes) -> object:
    if data.startswith(b"sk-"):
        raise KeyLoadError("a FIDO security key can't be used", hint=_HINT_KINDS)
    if data.startswith(b"ssh-dss"):
        raise KeyLoadError("a DSA public key can't be used", hint=_HINT_KINDS)
    return serialization.load_ssh_public_key(data.strip())


def _is_openssh(data: bytes) -> bool:
    return data.startswith((b"ssh-", b"ecdsa-", b"sk-"))


def _is_certificate(data: bytes, label: str) -> bool:
    return label == "CERTIFICATE" or (not label and b"-cert-v01@openssh.com " in data[:100])


def _found(data: bytes, label: str) -> str:
    """What the bytes seem to be, to begin a sentence with."""
    if _is_certificate(data, label):
        return "this is a certificate"
    if "PRIVATE KEY" in label:
        return "this is a private key"
    if "PUBLIC KEY" in label or _is_openssh(data):
        return "this is a public key"
    if label:
        return f"this is PEM of the kind '{label}'"
    return "this is empty" if not data else "this is neither PEM nor OpenSSH"


def kind(key: object) -> str:
    """An unusable key's kind, with its article."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"an ECDSA {key.curve.name}"
    name = type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey").strip("_")
    return f"an {name}" if name[:1] in "AEIOURX" and name[:1] != "U" else f"a {name}"
