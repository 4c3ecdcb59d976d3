"""Sign bytes and manifests with a key, and check such signatures with one."""

import base64
import re
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256

from modelseal import keys
from modelseal.canonical import canonical
from modelseal.errors import FormatError, KeyLoadError
from modelseal.structs import ModelManifest, Signature, SignedManifest, VerificationResult

_is_hex = re.compile(r"[0-9a-f]+").fullmatch


def sign(key: keys.PrivateKey, data: bytes) -> bytes:
    """64 raw bytes by Ed25519 (RFC 8032), or DER by ECDSA P-256 with SHA-256 (FIPS 186-5)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(SHA256()))


def verify(key: keys.PublicKey, data: bytes, signature: bytes) -> bool:
    """Whether `signature`, of the form that `sign` gives, is by `key` over `data`."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
            return True
        # One encoding only: strict DER, written again, is what it was.
        r, s = utils.decode_dss_signature(signature)
        if utils.encode_dss_signature(r, s) != signature:
            return False
        key.verify(signature, data, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def sign_manifest(
    manifest: ModelManifest, key: keys.PrivateKey, *, signer_id: str, signed_at: datetime
) -> SignedManifest:
    """Sign a manifest's canonical bytes."""
    public = keys.encode_public(key.public_key())
    return SignedManifest(
        manifest=manifest,
        signature=Signature(
            algorithm=keys.algorithm_of(key),
            public_key=base64.b64encode(public).decode(),
            signature_hex=sign(key, canonical(manifest)).hex(),
            signed_at=signed_at,
            signer_id=signer_id,
        ),
    )


def check_signer(signer_id: str) -> None:
    """Refuse a name that nobody can be known by. Raises FormatError."""
    if not signer_id:
        raise FormatError("signer_id: it is empty")
    try:
        signer_id.encode()
    except UnicodeEncodeError:
        raise FormatError(f"signer_id: {signer_id!r} is not valid Unicode") from None


def check(signed: SignedManifest, key: keys.PublicKey) -> VerificationResult:
    """Whether `signed` is signed by `key`, in all its parts."""
    if why := fault(signed.signature, canonical(signed.manifest), key):
        return VerificationResult(valid=False, error=why)
    return VerificationResult(
        valid=True, manifest=signed.manifest, signer_id=signed.signature.signer_id
    )


def fault(signature: Signature, data: bytes, key: keys.PublicKey) -> str:
    """What keeps a signature from being by `key` over a manifest's canonical bytes, or nothing."""
    if signature.algorithm is not keys.algorithm_of(key):
        return (
            f"the manifest says {signature.algorithm.value}, the key is "
            f"{keys.algorithm_of(key).value}"
        )
    try:
        embedded = keys.load_embedded(signature.public_key)
    except KeyLoadError as err:
        return f"the embedded public key is unusable: {err}"
    if keys.encode_public(embedded) != keys.encode_public(key):
        return f"signed by another key, {keys.fingerprint(embedded)}"
    if len(signature.signature_hex) % 2 or not _is_hex(signature.signature_hex):
        return "the signature is not lowercase hexadecimal"
    if not verify(key, data, bytes.fromhex(signature.signature_hex)):
        return "the signature does not fit the manifest"
    return ""
