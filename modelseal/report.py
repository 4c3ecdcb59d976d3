"""What a check found: the answer, and everything that speaks against it."""

from typing import NamedTuple

import msgspec

from modelseal.errors import EXIT_ERROR, EXIT_NOT_VERIFIED, EXIT_OK, Reason
from modelseal.oms.statement import Statement
from modelseal.structs import ModelManifest


class Altered(NamedTuple):
    """A signed file whose content is not what was signed.

    expected, actual: digests in hex, of the file or of the first shard that differs; `actual` is
    None where there is no regular file, or one of another size.
    note: what stands there instead, or what else is known.
    """

    path: str
    expected: str
    actual: str | None
    note: str = ""


class Unsigned(NamedTuple):
    """Something in the model directory that the manifest does not name.

    note: what it is, where it is no regular file.
    """

    path: str
    note: str = ""


class Fault(NamedTuple):
    """Something that could not be judged."""

    path: str
    message: str
    reason: Reason


class Voice(NamedTuple):
    """One signature over a manifest, and what it is worth to the verifier.

    fingerprint: of the key that it was checked with; empty if there was none.
    reason: None where it counts; message: why it doesn't.
    publisher, source: the name that its publisher has, and the registry that says so.
    """

    signer_id: str
    fingerprint: str = ""
    reason: Reason | None = None
    message: str = ""
    publisher: str = ""
    source: str = ""


class Report(msgspec.Struct, kw_only=True):
    """The answer of a check is `valid`; everything else says why.

    manifest: what was signed, or of a bundle the statement.
    manifest, signer_id: proven where the signature is valid and `trusted`, else what is claimed.
    signature_error: why the signature is refused.
    trusted: whether a registry binds the signer's name to the key.
    fingerprint: of the key that the signature was checked with; empty where there was none.
    publisher, source: the signer's name in the registry, and that registry, where trusted.
    voices: what each signature is worth, the manifest's own first; empty where no registry was
    asked. required, counted: how many publishers had to sign, and how many did.
    reason: the first thing that is wrong, by weight.
    checked: how many files were hashed and compared.
    passed: the paths of those that are as signed, in manifest order.
    ignored: paths left out because the caller said so.
    objections: what the store knows against a manifest that is well signed, with its reason.
    unchecked: paths that were left alone once others had failed.
    hints: what to try next.
    """

    manifest: ModelManifest | Statement
    signer_id: str = ""
    signature_valid: bool = False
    signature_error: str = ""
    trusted: bool = False
    fingerprint: str = ""
    publisher: str = ""
    source: str = ""
    voices: list[Voice] = []
    required: int = 0
    counted: int = 0
    reason: Reason | None = None
    checked: int = 0
    passed: list[str] = []
    altered: list[Altered] = []
    missing: list[str] = []
    unsigned: list[Unsigned] = []
    ignored: list[str] = []
    errors: list[Fault] = []
    objections: list[tuple[Reason, str]] = []
    unchecked: list[str] = []
    warnings: list[str] = []
    hints: list[str] = []

    def conclude(self) -> None:
        """Set `reason` from what was found."""
        found = (
            (self.altered, Reason.FILE_ALTERED),
            (self.missing, Reason.FILE_MISSING),
            (self.unsigned, Reason.FILE_UNSIGNED),
            (self.objections, self.objections[0][0] if self.objections else None),
            (self.errors, self.errors[0].reason if self.errors else None),
        )
        self.reason = next((reason for items, reason in found if items), None)

    @property
    def valid(self) -> bool:
        """Whether all that was asked for was checked, and holds."""
        return self.signature_valid and self.reason is None

    @property
    def exit_code(self) -> int:
        """0 verified; 2 not verified; 1 where nothing is wrong but something can't be judged."""
        if self.valid:
            return EXIT_OK
        wrong = self.altered or self.missing or self.unsigned or self.objections
        return EXIT_NOT_VERIFIED if wrong or not self.signature_valid else EXIT_ERROR
