"""What the store says: seals, refs, entries, and the answers of its methods."""

from typing import NamedTuple


class Seal(NamedTuple):
    """One line of the log: a signed manifest or a bundle that was put into the store.

    id: 64 hex digits, the SHA-256 of the signed manifest's canonical bytes, or of the bundle's.
    version: of a bundle what its ref says, since it has none itself.
    signer_id: of a bundle its certificate's name, or its key's fingerprint; empty if unknown.
    files, size: how many files it names, and their bytes in all.
    sealed_at: when it came into the store, UTC, as `2024-01-31T12:00:00Z`.
    directory: absolute path of the model; empty if unknown.
    """

    id: str
    name: str
    version: str
    signer_id: str
    files: int
    size: int
    sealed_at: str
    directory: str


class Ref(NamedTuple):
    """Which manifest is a name at a version."""

    name: str
    version: str
    id: str


class Entry(NamedTuple):
    """One file of a sealed model. size: bytes; None where a bundle doesn't say. sha256: in hex."""

    path: str
    size: int | None
    sha256: str


class Digest(NamedTuple):
    """What a file was found to hold. sha256: 32 bytes. size: bytes.

    stamp: of the file as it was then, as `tree.stamp` gives it.
    """

    sha256: bytes
    size: int
    stamp: bytes


class Seen(NamedTuple):
    """Where a content was sealed: `path` in the model of seal `id`.

    size: bytes; None where a bundle doesn't say.
    """

    id: str
    name: str
    version: str
    path: str
    size: int | None


class Change(NamedTuple):
    """A path of a model that isn't as sealed.

    expected, actual: SHA-256 in hex; None where there is none on that side, and where a bundle
    names files by other digests.
    note: what stands there, if it is no regular file, or the two sizes.
    """

    path: str
    expected: str | None = None
    actual: str | None = None
    note: str = ""


class Status(NamedTuple):
    """A model directory against its latest seal.

    directory: absolute. seal: None if the model is unsealed; nothing was compared then.
    altered, missing, unsigned: what differs, sorted by path.
    errors: what could not be judged; `note` says why.
    files: how many files the seal names. hashed: how many had to be read for this answer.
    ignored: paths left out because the caller said so, where they exist.
    """

    directory: str
    seal: Seal | None
    altered: list[Change]
    missing: list[Change]
    unsigned: list[Change]
    errors: list[Change]
    files: int
    hashed: int
    ignored: list[str]

    @property
    def clean(self) -> bool:
        """Whether there is a seal, all could be judged, and nothing differs."""
        return self.seal is not None and not (
            self.altered or self.missing or self.unsigned or self.errors
        )


class Finding(NamedTuple):
    """What fsck has to say of one thing in the store.

    kind: a stable word: `format`, `manifest`, `signature`, `ref`, `log`, `index`, `gitignore`,
    `verified`, `cosigned`, `leftover`, `unreferenced`, `unfinished`, `unknown`.
    where: path below the store's directory, or an id.
    damage: False for what is worth knowing and harms nobody, such as leftovers of a killed writer.
    repaired: whether it has just been put right.
    """

    kind: str
    where: str
    message: str
    damage: bool = True
    repaired: bool = False


class Checked(NamedTuple):
    """What fsck looked at, and found. manifests, refs, seals: how many.

    trusted: how many manifests the caller's check called good.
    """

    manifests: int
    refs: int
    seals: int
    trusted: int
    findings: list[Finding]

    @property
    def clean(self) -> bool:
        """Whether there is no damage, or none that was not repaired."""
        return not any(finding.damage and not finding.repaired for finding in self.findings)


class Collected(NamedTuple):
    """What gc removed: unreferenced manifests (ids), leftovers (paths), cache rows, and bytes."""

    manifests: list[str]
    leftovers: list[str]
    rows: int
    size: int


class Verified(NamedTuple):
    """The version of a model that was last verified here.

    created_at: the manifest's own time. verified_at: when it was noted, UTC.
    """

    id: str
    version: str
    created_at: str
    verified_at: str
