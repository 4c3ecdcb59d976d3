"""What can go wrong, the stable words for it, and the exit codes."""

from enum import StrEnum

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_NOT_VERIFIED = 2
EXIT_USAGE = 64
EXIT_INTERRUPTED = 130

EXIT_CODES = {
    EXIT_OK: "verified, or done",
    EXIT_ERROR: "an error: unreadable file or key, malformed manifest, refused work",
    EXIT_NOT_VERIFIED: "not verified: bad signature, untrusted signer, altered or unsigned file",
    EXIT_USAGE: "wrong usage",
    EXIT_INTERRUPTED: "interrupted",
}
"""Exit code → meaning. The help, the manual pages and the tests read this table."""


class Reason(StrEnum):
    """Why an answer is not a plain yes: a stable word for scripts, `reason` in JSON."""

    SIGNATURE_INVALID = "signature-invalid"
    SIGNER_UNTRUSTED = "signer-untrusted"
    PUBLISHER_REVOKED = "publisher-revoked"
    KEY_REVOKED = "key-revoked"
    KEY_ROTATED = "key-rotated"
    KEY_EXPIRED = "key-expired"
    MODEL_NOT_ALLOWED = "model-not-allowed"
    THRESHOLD = "threshold"
    FILE_ALTERED = "file-altered"
    FILE_MISSING = "file-missing"
    FILE_UNSIGNED = "file-unsigned"
    FILE_CHANGED = "file-changed"
    FILE_UNREADABLE = "file-unreadable"
    FILE_EXISTS = "file-exists"
    FORMAT = "malformed"
    KEY = "key-unusable"
    PASSPHRASE = "passphrase"  # noqa: S105 - a reason word
    MODEL = "model-refused"
    UNSEALED = "model-unsealed"
    STORE_MISSING = "store-missing"
    STORE_DAMAGED = "store-damaged"
    STORE_FORMAT = "store-format"
    STORE_LOCKED = "store-locked"
    STORE_REFUSED = "store-refused"
    UNKNOWN_REVISION = "unknown-revision"
    VERSION_REUSED = "version-reused"
    ROLLBACK = "rollback"
    UNKNOWN_PUBLISHER = "unknown-publisher"
    GIT = "git-error"
    SYSTEM = "system-error"
    USAGE = "usage"


class ModelSealError(Exception):
    """A failure we expect; `hint` names the next thing to try."""

    exit_code = EXIT_ERROR
    reason = Reason.SYSTEM

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ModelSealError):
    """The command line asks for something that doesn't exist."""

    exit_code = EXIT_USAGE
    reason = Reason.USAGE


class FormatError(ModelSealError, ValueError):
    """A manifest, registry or one of their values is malformed."""

    reason = Reason.FORMAT


class KeyLoadError(ModelSealError, ValueError):
    """Bytes that are no key, or not a key that may be used here."""

    reason = Reason.KEY


class PassphraseError(KeyLoadError):
    """An encrypted private key and no passphrase, or the wrong one."""

    reason = Reason.PASSPHRASE


class ModelError(ModelSealError, ValueError):
    """A model directory that can't be signed as it is."""

    reason = Reason.MODEL


class FileUnreadableError(ModelSealError):
    """A file of the model can't be read."""

    reason = Reason.FILE_UNREADABLE


class FileChangedError(ModelSealError):
    """A file of the model changed while it was read: it has no digest."""

    reason = Reason.FILE_CHANGED


class OverwriteError(ModelSealError):
    """Something is already there, and would be lost."""

    reason = Reason.FILE_EXISTS


class StoreError(ModelSealError):
    """A store can't be used as it was asked for."""


class StoreMissingError(StoreError):
    """There is no store where one is needed."""

    reason = Reason.STORE_MISSING


class StoreDamagedError(StoreError):
    """Something in a store is not what was written there."""

    reason = Reason.STORE_DAMAGED


class StoreFormatError(StoreError):
    """A store of a format that this version doesn't know."""

    reason = Reason.STORE_FORMAT


class StoreLockedError(StoreError):
    """Somebody else is writing to the store."""

    reason = Reason.STORE_LOCKED


class StoreRefusedError(StoreError):
    """What is called like a store, and may not be used as one."""

    reason = Reason.STORE_REFUSED


class UnknownRevisionError(StoreError):
    """No seal, or more than one, is called so."""

    reason = Reason.UNKNOWN_REVISION


class UnknownPublisherError(ModelSealError):
    """A registry has no such publisher, or the publisher no such key."""

    reason = Reason.UNKNOWN_PUBLISHER


class KeyRevokedError(ModelSealError):
    """A key that was revoked can't be trusted again by adding it."""

    reason = Reason.KEY_REVOKED


class VersionReusedError(StoreError):
    """Other content under a name and version that are sealed already."""

    reason = Reason.VERSION_REUSED


class GitError(ModelSealError):
    """Git can't be asked, or its answer is no use. status: its exit code, where it had one."""

    reason = Reason.GIT

    def __init__(self, message: str, *, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status
