"""Bundles for tests: any statement, well signed by any key, and certificates of every kind."""

import base64
import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from modelseal.oms import ecdsa

NOW = datetime.now(UTC)
CODE_SIGNING = (ExtendedKeyUsageOID.CODE_SIGNING,)
SERVER = [ExtendedKeyUsageOID.SERVER_AUTH]
PAYLOAD_TYPE = "application/vnd.in-toto+json"

Json = dict[str, Any]


def key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """A new private key."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def private_pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8."""
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half."""
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Certified(NamedTuple):
    """A certificate and the key that it is for."""

    certificate: x509.Certificate
    private: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The same in binary."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def certify(
    name: str,
    by: Certified | None = None,
    *,
    authority: bool | None = False,
    path_length: int | None = None,
    usage: tuple[bool, bool] | None = (True, False),
    extended: Sequence[x509.ObjectIdentifier] = CODE_SIGNING,
    begins: float = -1,
    ends: float = 100,
    private: ec.EllipticCurvePrivateKey | None = None,
    only: x509.GeneralName | None = None,
    critical: bool = True,
) -> Certified:
    """Make a certificate, signed by itself where nobody else does.

    authority: of the basic constraints; None leaves them out.
    usage: whether digital signatures and signing certificates are allowed; None says nothing.
    begins, ends: days from now.
    only: names that an authority may vouch for; critical: whether all have to understand that.
    """
    private = private or key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=ends))
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(authority, path_length), True)
    if usage is not None:
        signs, certifies = usage
        allowed = (signs, False, False, False, False, certifies, False, False, False)
        builder = builder.add_extension(x509.KeyUsage(*allowed), True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), False)
    if only is not None:
        builder = builder.add_extension(x509.NameConstraints([only], None), critical)
    return Certified(builder.sign(by.private if by else private, hashes.SHA256()), private)


def authority(name: str, by: Certified | None = None, **how: Any) -> Certified:
    """A certificate that may sign others."""
    return certify(name, by, **{"authority": True, "usage": (False, True), "extended": (), **how})


def statement_of(model: Path, *names: str, **serialization_args: Any) -> Json:
    """What an honest signer says of some files of a model."""
    resources = [
        {
            "name": name,
            "digest": hashlib.sha256((model / name).read_bytes()).hexdigest(),
            "algorithm": "sha256",
        }
        for name in sorted(names)
    ]
    return rooted(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "model", "digest": {}}],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": {
                "resources": resources,
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    **serialization_args,
                },
            },
        }
    )


def rooted(statement: Json) -> Json:
    """A statement with the root digest that fits its resources."""
    digests = "".join(each["digest"] for each in statement["predicate"]["resources"])
    root = hashlib.sha256(bytes.fromhex(digests)).hexdigest()
    statement["subject"][0]["digest"]["sha256"] = root
    return statement


def altered(statement: Json, change: Callable[[Json], object], *, root: bool = True) -> Json:
    """A copy with one change, and a root digest that fits again."""
    changed = copy.deepcopy(statement)
    change(changed)
    return rooted(changed) if root else changed


def sign(
    statement: Json | bytes, private: ec.EllipticCurvePrivateKey, chain: Sequence[Certified] = ()
) -> Json:
    """A bundle around a statement, well signed; with certificates if there are some."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    signature = ecdsa.sign(private, payload)
    material: Json = {"publicKey": {"hint": hashlib.sha256(public_pem(private)).hexdigest()}}
    if chain:
        raws = [{"rawBytes": base64.b64encode(each.der).decode()} for each in chain]
        material = {"x509CertificateChain": {"certificates": raws}}
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
