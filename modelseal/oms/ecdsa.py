"""Keys and signatures of bundles: ECDSA with P-256, P-384 or P-521, and the hash of that size.

Source: OMS 1.0's algorithm registry; FIPS 186-5. Signatures are DER.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from modelseal import keys
from modelseal.errors import KeyLoadError
from modelseal.oms import dsse, statement
from modelseal.oms.bundle import Bundle

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}

_HINT: Final = "OMS takes ECDSA keys: 'modelseal keygen --algorithm ecdsa_p256' makes one"


def load_private(data: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """As `keys.load_private`, for the keys of OMS."""
    key = keys.load_private(data, passphrase, curves=keys.OMS_CURVES)
    if not isinstance(key, PrivateKey):
        raise KeyLoadError("an Ed25519 key can't sign OMS bundles", hint=_HINT)
    return key


def load_public(data: bytes) -> PublicKey:
    """As `keys.load_public`, for the keys of OMS."""
    return check_public(keys.load_public(data, curves=keys.OMS_CURVES))


def check_public(key: object) -> PublicKey:
    """Refuse a key that OMS has no use for. Raises KeyLoadError."""
    if not isinstance(key, PublicKey) or key.curve.name not in _HASHES:
        raise KeyLoadError(f"{keys.kind(key)} key can't verify OMS bundles", hint=_HINT)
    return key


def hint(key: PublicKey) -> str:
    """What a bundle names a key by: the SHA-256 of its PEM, in hex."""
    return hashlib.sha256(keys.encode_public(key)).hexdigest()


def sign(key: PrivateKey, payload: bytes) -> bytes:
    """Sign a statement's bytes: DER."""
    covered = dsse.pae(dsse.PAYLOAD_TYPE, payload)
    return key.sign(covered, ec.ECDSA(_HASHES[key.curve.name]))


def verify(key: PublicKey, bundle: Bundle) -> bool:
    """Whether one of a bundle's signatures is by `key` over its payload."""
    covered = dsse.pae(bundle.payload_type, bundle.payload)
    if _verify_any(key, covered, bundle.signatures, _HASHES[key.curve.name]):
        return True
    if statement.OLD_PREDICATE.encode() not in bundle.payload:
        return False
    # Version 0.2 took SHA-256 for every curve.
    covered = dsse.pae_0_2(bundle.payload_type, bundle.payload)
    if not _verify_any(key, covered, bundle.signatures, hashes.SHA256()):
        return False
    return statement.decode(bundle.payload).old


def _verify_any(
    key: PublicKey, data: bytes, signatures: Sequence[bytes], algorithm: hashes.HashAlgorithm
) -> bool:
    return any(_verify(key, data, signature, algorithm) for signature in signatures)


def _verify(key: PublicKey, data: bytes, signature: bytes, algorithm: hashes.HashAlgorithm) -> bool:
    try:
        # One encoding only: strict DER, written again, is what it was.
        if utils.encode_dss_signature(*utils.decode_dss_signature(signature)) != signature:
            return False
        key.verify(signature, data, ec.ECDSA(algorithm))
    except (InvalidSignature, ValueError):
        return False
    return True
