"""The documents: a manifest, its signature, publishers, and the answer of a check."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from modelseal import paths
from modelseal.documents import Document, check_text
from modelseal.errors import FormatError

SIZE_LIMIT: Final = 2**63 - 1
DOCUMENT_LIMIT: Final = 256 << 20
"""Bytes of a manifest or registry; a larger one is refused unread."""
SIGNATURES_LIMIT: Final = 64
"""Further signatures over one manifest."""

Size = Annotated[int, Meta(ge=0, le=SIZE_LIMIT)]


def _brief(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:
        return "a number of thousands of digits"  # Python won't write it out


class SignatureAlgorithm(str, Enum):  # noqa: UP042 - a StrEnum would print otherwise than before
    """How a manifest is signed."""

    ed25519 = "ed25519"
    """Ed25519 (RFC 8032): 64 raw bytes."""
    ecdsa_p256 = "ecdsa_p256"
    """ECDSA with P-256 and SHA-256 (FIPS 186-5): DER."""


def _is_digest(text: str) -> bool:
    """Whether a text is 64 lowercase hex digits; there and back is quicker than a pattern."""
    try:
        return len(text) == 64 and bytes.fromhex(text).hex() == text
    except ValueError:
        return False


class FileEntry(Document, frozen=True, kw_only=True, gc=False):
    """One regular file of a model.

    path: POSIX, relative to the model's root, as `paths.check` allows.
    size_bytes: bytes, 0 to 2**63 - 1.
    sha256_hash: SHA-256 of the content (FIPS 180-4), 64 lowercase hex digits.

    Raises FormatError, a ValueError, for anything else.
    """

    path: str
    size_bytes: int
    sha256_hash: str

    def __post_init__(self) -> None:
        # Written out: a manifest may have a million of these.
        path, size, digest = self.path, self.size_bytes, self.sha256_hash
        if type(path) is not str:
            raise FormatError("path: expected 'str'")
        if type(digest) is not str:
            raise FormatError("sha256_hash: expected 'str'")
        if type(size) is not int or not 0 <= size <= SIZE_LIMIT:
            raise FormatError(f"size_bytes: {_brief(size)} is not a size in bytes")
        if not _is_digest(digest):
            raise FormatError(
                f"sha256_hash: {_brief(digest)} is not 64 lowercase hexadecimal digits"
            )
        paths.check(path)

    @property
    def digests(self) -> tuple[str, ...]:
        """The same in the form of all formats: one digest, for the whole file."""
        return (self.sha256_hash,)


class ModelManifest(Document, frozen=True, kw_only=True):
    """What is signed: every file of a model, and what the publisher says of it.

    files: no two of one path, none below another.
    total_size_bytes: the sum of the files' sizes, in bytes.
    created_at: with microseconds; without a zone it stays without.
    """

    model_name: str
    model_version: str
    framework: str
    files: list[FileEntry] = msgspec.field(default_factory=list)
    total_size_bytes: Size
    created_at: datetime
    author: str
    description: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        total = sum(entry.size_bytes for entry in self.files)
        if total != self.total_size_bytes:
            raise FormatError(
                f"total_size_bytes: {self.total_size_bytes} is not the files' sum, {total}"
            )
        paths.check_all([entry.path for entry in self.files])


class Signature(Document, frozen=True, kw_only=True):
    """A signature over a manifest's canonical bytes.

    public_key: base64 of the public key's PEM; a convenience that is never trusted.
    signature_hex: the raw Ed25519 or DER ECDSA signature, lowercase hex.
    signed_at, signer_id: the signer's claims; the signature does not cover them.
    """

    algorithm: SignatureAlgorithm
    public_key: str
    signature_hex: str
    signed_at: datetime
    signer_id: str


class SignedManifest(Document, frozen=True, kw_only=True):
    """The document on disk: a manifest and the signature over it."""

    manifest: ModelManifest
    signature: Signature


class VerificationResult(Document, frozen=True, kw_only=True):
    """Whether a signature holds.

    manifest, signer_id: given only if it does. error: why not.
    """

    valid: bool
    manifest: ModelManifest | None = None
    signer_id: str | None = None
    error: str | None = None


class TrustedKey(Document, frozen=True, kw_only=True, omit_defaults=True):
    """What a registry says of one key of a publisher.

    public_key: base64 of the public key's PEM. fingerprint: as `ssh-keygen -lf` prints it.
    expires, rotated_at: it signs nothing from then on.
    revoked_at: its signatures count no more, whenever they were made. reason: why.
    """

    public_key: str
    fingerprint: str
    trusted_since: datetime
    expires: datetime | None = None
    rotated_at: datetime | None = None
    revoked_at: datetime | None = None
    reason: str = ""


class TrustedPublisher(Document, frozen=True, kw_only=True, omit_defaults=True):
    """A publisher and the keys that speak for it.

    public_key: the current key, base64 of its PEM.
    keys: former keys, and what is to be said of the current one beside its name and time.
    revoked_at: none of its signatures counts. reason: why.
    models: patterns of the model names that it may sign; any name if there is none.
    require: how many publishers must have signed a model with such a name, 0 for no rule.
    """

    publisher_id: str
    name: str
    public_key: str
    trusted_since: datetime
    keys: list[TrustedKey] = msgspec.field(default_factory=list)
    revoked_at: datetime | None = None
    reason: str = ""
    models: list[str] = msgspec.field(default_factory=list)
    require: Annotated[int, Meta(ge=0, le=SIGNATURES_LIMIT)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for pattern in self.models:
            check_text("models", pattern)
            if not pattern:
                raise FormatError("models: a pattern is empty")


class Cosignatures(Document, frozen=True, kw_only=True):
    """Further signatures over a manifest, in a file beside it.

    manifest_sha256: SHA-256 of the manifest's canonical bytes, in hex.
    signatures: each over these bytes.
    """

    manifest_sha256: str
    signatures: list[Signature]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_digest(self.manifest_sha256):
            raise FormatError("manifest_sha256: not 64 lowercase hexadecimal digits")
        if not 0 < len(self.signatures) <= SIGNATURES_LIMIT:
            raise FormatError(f"signatures: not 1 to {SIGNATURES_LIMIT}")


class KeptCosignature(Document, frozen=True, kw_only=True):
    """A further signature as a store keeps it. kept_at: since when, UTC."""

    kept_at: datetime
    signature: Signature
