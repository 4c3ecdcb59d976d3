"""The store, `.modelseal/`: what was signed here, found again by name, by id and by content.

`Store` ties the parts together and loads each when it is first asked for. Nothing here prints,
reads the environment, signs, or decides whom to trust.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from modelseal.errors import StoreDamagedError, UnknownRevisionError
from modelseal.store.records import (
    Change,
    Checked,
    Collected,
    Digest,
    Entry,
    Finding,
    Ref,
    Seal,
    Seen,
    Status,
    Verified,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from modelseal.store.measuring import Measuring
    from modelseal.store.statcache import StatCache
    from modelseal.structs import KeptCosignature, Signature, SignedManifest

__all__ = [
    "LOCK_TIMEOUT",
    "Change",
    "Checked",
    "Collected",
    "Digest",
    "Entry",
    "Finding",
    "Location",
    "Ref",
    "Seal",
    "Seen",
    "Status",
    "Store",
    "Verified",
]

Location = str | os.PathLike[str]

LOCK_TIMEOUT = 10.0
"""Seconds that a writer waits for another one, unless told otherwise."""

_PREFIX = re.compile(r"[0-9a-f]{4,64}").fullmatch


class Store:
    """A store on disk. Methods raise StoreDamagedError, StoreLockedError, OSError.

    path: the `.modelseal` directory, absolute. root: the directory that holds it.
    lock_timeout: seconds that a method which writes waits for another writer.

    Readers (everything but `init`, `make`, `add`, `note_verified`, `keep_cosignature`, `fsck` and
    `gc`) take no lock.
    """

    def __init__(self, path: Location, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        """Take `path`, the `.modelseal` directory itself, unseen; `open` and `find` look first."""
        self.path = os.fspath(path)
        self.root = os.path.dirname(self.path)
        self.lock_timeout = lock_timeout

    @classmethod
    def open(
        cls, directory: Location, *, lock_timeout: float = LOCK_TIMEOUT, repairing: bool = False
    ) -> "Store":
        """The store at `directory`: a `.modelseal` directory, or one that holds it (`--store`).

        repairing: let a store without a readable format file pass, for `fsck`.
        Raises StoreMissingError, StoreDamagedError, StoreFormatError for a newer format.
        """
        from modelseal.store import layout

        return cls(layout.open_(directory, repairing=repairing), lock_timeout=lock_timeout)

    @classmethod
    def find(
        cls,
        start: Location = ".",
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        repairing: bool = False,
    ) -> "Store | None":
        """The nearest store upward from `start`, a model directory, itself included; or None.

        Raises as `open`, and StoreRefusedError where the nearest `.modelseal` is a link, no
        directory, or somebody else's: what lies above may be planted.
        """
        from modelseal.store import layout

        path = layout.find(start, repairing=repairing)
        return None if path is None else cls(path, lock_timeout=lock_timeout)

    @classmethod
    def init(cls, directory: Location, *, lock_timeout: float = LOCK_TIMEOUT) -> "Store":
        """Make `.modelseal` in `directory`, which exists; one that is there already is opened.

        Raises as `open` and `find`, OSError.
        """
        from modelseal.store import layout

        return cls(layout.init(directory), lock_timeout=lock_timeout)

    def make(self) -> None:
        """Make this store where it isn't there yet, or finish what a killed process began of it.

        Raises as `init`.
        """
        from modelseal.store import layout

        if not os.path.lexists(os.path.join(self.path, "format")):
            layout.init(self.root)

    # Sealing

    def add(
        self,
        signed: "SignedManifest",
        *,
        model_dir: Location | None = None,
        blake3: Mapping[str, bytes] | None = None,
        allow_version_reuse: bool = False,
    ) -> Seal:
        """Put a signed manifest into the store, make it the ref of its name and version, log it.

        model_dir: where the model lies, for `status` and for `Seal.directory`.
        blake3: path in the model → BLAKE3 of the file, 32 bytes.
        allow_version_reuse: let a sealed name and version (not 0.0.0) name other files from now on.
        Adding the latest seal of its name once more, for the same directory, changes nothing.
        On return everything is on disk. Raises VersionReusedError, StoreLockedError, OSError; the
        store is as it was then.
        """
        from modelseal.store import adding

        directory = "" if model_dir is None else os.path.realpath(model_dir)
        return adding.add(
            self,
            signed,
            directory=directory,
            blake3=blake3 or {},
            allow_version_reuse=allow_version_reuse,
        )

    def add_bundle(
        self,
        data: bytes,
        *,
        model_dir: Location,
        signer_id: str,
        size: int,
        version: str = "0.0.0",
        allow_version_reuse: bool = False,
    ) -> Seal:
        """Put a bundle of OMS into the store, as `add` does with a signed manifest.

        data: the bundle as it is; somebody has decoded it strictly.
        signer_id: its certificate's name or its key's fingerprint.
        size: bytes of the model in all. version: of the ref; the bundle has none.
        Raises as `add`; StoreDamagedError for what is no bundle.
        """
        from modelseal.store import adding, manifests

        said = manifests.bundle(data)
        directory = os.path.realpath(model_dir)
        seal = Seal("", said.name, version, signer_id, len(said.files), size, "", directory)
        return adding.add_bundle(self, data, seal, allow_version_reuse=allow_version_reuse)

    def check_version(
        self,
        name: str,
        version: str,
        entries: Iterable[tuple[str, str]],
        *,
        allow_version_reuse: bool = False,
    ) -> None:
        """Raise VersionReusedError where `add` would, before anything is signed.

        entries: pairs of path and SHA-256 in hex.
        """
        from modelseal.store import adding

        if not allow_version_reuse:
            adding.check_version(self.path, name, version, entries)

    # Reading

    def get(self, id_: str) -> "SignedManifest":
        """A signed manifest by its whole id.

        Raises UnknownRevisionError; StoreDamagedError where its bytes don't hash to the id;
        FormatError for a bundle, which `read` gives.
        """
        from modelseal import documents
        from modelseal.errors import FormatError
        from modelseal.structs import SignedManifest

        data = self.read(id_)
        if self.is_bundle(data):
            raise FormatError(f"'{id_[:12]}' is an OMS bundle, not a manifest")
        try:
            return documents.decode(data, SignedManifest)
        except FormatError as err:
            raise StoreDamagedError(f"manifest '{id_}' is damaged: {err}") from None

    def read(self, id_: str) -> bytes:
        """The bytes of a bundle, or the canonical ones of a signed manifest; they hash to `id_`.

        Raises UnknownRevisionError, StoreDamagedError.
        """
        from modelseal.store import manifests

        return manifests.read(self.path, id_)

    @staticmethod
    def is_bundle(data: bytes) -> bool:
        """Whether what `read` gave is a bundle of OMS."""
        from modelseal.store import manifests

        return manifests.is_bundle(data)

    def entries(self, id_: str) -> list[Entry]:
        """The files that a seal names, in its order; loads no msgspec.

        Raises as `read`; FormatError for a bundle that names them by other digests than SHA-256.
        """
        from modelseal.store import manifests

        return manifests.entries(manifests.read(self.path, id_))

    def paths(self, id_: str) -> list[str]:
        """The paths that a seal names, in its order. Raises as `read`."""
        from modelseal.store import manifests

        return manifests.paths(manifests.read(self.path, id_))

    def resolve(self, revision: str) -> str:
        """A revision → an id: NAME (latest seal), NAME@VERSION, or 4 or more digits of an id.

        A name goes before an id. Raises UnknownRevisionError, also for an ambiguous prefix.
        """
        if revision and (id_ := self._latest_id(revision)):
            return id_
        cut = len(revision)
        while (cut := revision.rfind("@", 0, cut)) >= 0:
            id_ = self.known(revision[:cut], revision[cut + 1 :])
            if id_ is not None:
                return id_
        return self._by_prefix(revision)

    def known(self, name: str, version: str) -> str | None:
        """The id of the manifest that is `name` at `version`, or None."""
        from modelseal.store import refs

        return refs.get(self.path, name, version)

    def latest(self, name: str = "", *, directory: Location | None = None) -> Seal | None:
        """The newest seal, of one name and of one model directory where given; or None."""
        place = "" if directory is None else os.path.realpath(directory)
        return next(self._logged(name=name, directory=place), None)

    def seal(self, id_: str) -> Seal | None:
        """The newest line of the log for a manifest, or None."""
        return next(self._logged(id_=id_), None)

    def refs(self, name: str = "") -> list[Ref]:
        """All refs, or those of one name, sorted by name and version."""
        from modelseal.store import refs

        return refs.listed(self.path, name)

    def log(self, name: str = "") -> Iterator[Seal]:
        """Seals, newest first, all or those of one name. Torn or malformed lines are left out.

        Reads backwards and as far as it is consumed.
        """
        return self._logged(name=name)

    def identify(self, digests: Collection[bytes]) -> dict[bytes, list[Seen]]:
        """SHA-256 (32 bytes) → the sealed models and paths with exactly this content.

        One item a digest, an empty list for what is unknown. Newest seal first. Every answer is
        confirmed by the manifest itself.
        """
        from modelseal.store import identifying

        return identifying.identify(self.path, digests)

    def blake3(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """SHA-256 → BLAKE3, for the contents whose BLAKE3 was recorded; to order work by."""
        from modelseal.store import identifying

        return identifying.blake3(self.path, digests)

    # The model on disk

    def status(
        self,
        model_dir: Location,
        *,
        revision: str = "",
        ignore_paths: Collection[str] = (),
        follow_symlinks: bool = False,
        manifest_path: Location | None = None,
        jobs: int = 0,
        fork: bool = False,
        progress: "Callable[[int, int], None] | None" = None,
    ) -> Status:
        """Compare a model directory with its latest seal, or with `revision`.

        ignore_paths, follow_symlinks, manifest_path, jobs, fork, progress: as for verifying.
        Reads only files that the stat cache can't vouch for. Loads no msgspec, no cryptography.
        Raises ModelError where `model_dir` is no directory, UnknownRevisionError.
        """
        from modelseal.store import status

        seal = self._sealed(self.resolve(revision)) if revision else None
        return status.compare(
            self.path,
            model_dir,
            seal or self.latest(directory=model_dir),
            ignore_paths=ignore_paths,
            follow_symlinks=follow_symlinks,
            manifest_path=manifest_path,
            jobs=jobs,
            fork=fork,
            progress=progress,
        )

    def stat_cache(
        self,
        model_dir: Location,
        files: Sequence[str],
        *,
        links: Collection[str] = (),
        fork: bool = False,
        taken_at: int = 0,
        begun: "Measuring | None" = None,
    ) -> "StatCache":
        """What is known of `files`, paths below `model_dir`, without reading them.

        links: those of them that may be symbolic links; nothing is known of them.
        fork: have a child do half of the looking; only for a program without threads.
        taken_at: a time before any of them was read, in ns; else it is now.
        begun: the stamps of those that are no links, being taken already.
        """
        from modelseal.store import statcache

        return statcache.StatCache(
            self.path,
            os.path.realpath(model_dir),
            files,
            links=links,
            fork=fork,
            taken_at=taken_at,
            begun=begun,
        )

    # What was verified here

    def last_verified(self, name: str) -> Verified | None:
        """What `note_verified` last noted for a name, or None. Raises StoreDamagedError."""
        from modelseal.store import verified

        return verified.get(self.path, name)

    def note_verified(self, signed: "SignedManifest") -> None:
        """Note that this manifest has just passed verification, unless it is noted already."""
        from modelseal.store import verified

        verified.note(self, signed)

    # Who else signed

    def keep_cosignature(self, payload: str, signature: "Signature") -> None:
        """Keep a further signature, with the time since when it is here.

        payload: SHA-256 of the manifest's canonical bytes, in hex.
        """
        from modelseal.store import cosigned

        cosigned.keep(self, payload, signature)

    def has_cosignatures(self) -> bool:
        """Whether any manifest has further signatures here; cheap."""
        return os.path.isdir(os.path.join(self.path, "cosigned"))

    def cosignatures(self, payload: str) -> "list[KeptCosignature]":
        """The further signatures over a manifest, unjudged. Raises StoreDamagedError."""
        from modelseal.store import cosigned

        return cosigned.listed(self.path, payload)

    def seals(self, id_: str) -> Iterator[Seal]:
        """Every line of the log for a manifest, newest first."""
        return self._logged(id_=id_)

    def first_seen(self, signed: "SignedManifest") -> "datetime | None":
        """When this very signature was first sealed, verified or kept here; None if never."""
        from modelseal.store import cosigned

        return cosigned.first_seen(self, signed)

    # Upkeep

    def fsck(
        self,
        *,
        repair: bool = False,
        check: "Callable[[str, SignedManifest | bytes], str | None] | None" = None,
    ) -> Checked:
        """Look at everything in the store; with `repair`, put right what can be.

        check: told the id and the manifest, or a bundle's bytes; returns "" if a trusted key signed
        it, None where no trusted key claims to, else what is wrong with its signature.
        """
        from modelseal.store import checking

        return checking.fsck(self, repair=repair, check=check)

    def gc(self) -> Collected:
        """Remove leftovers of killed writers, stale cache rows, and manifests that neither a ref
        nor the log names.
        """
        from modelseal.store import collecting

        return collecting.gc(self)

    def _logged(self, *, name: str = "", id_: str = "", directory: str = "") -> Iterator[Seal]:
        from modelseal.store import log

        path = os.path.join(self.path, "log")
        return log.seals(path, self.root, name=name, id_=id_, directory=directory)

    def _latest_id(self, name: str) -> str | None:
        from modelseal.store import layout

        if not os.path.isdir(os.path.join(self.path, "refs", layout.file_name(name))):
            return None
        seal = self.latest(name)
        if seal is not None:
            return seal.id
        # The log may have been lost, and the refs not.
        named = [self._outlined(ref.id) for ref in self.refs(name)]
        return max(named, key=lambda seal: seal.sealed_at).id if named else None

    def _by_prefix(self, revision: str) -> str:
        from modelseal.store import manifests

        found = manifests.find(self.path, revision) if _PREFIX(revision) else []
        if not found:
            raise UnknownRevisionError(
                f"unknown revision '{revision}'", hint="'modelseal log' lists the seals"
            )
        if len(found) > 1:
            raise UnknownRevisionError(
                f"revision '{revision}' is ambiguous: {len(found)} ids begin with it",
                hint=f"give more digits: {', '.join(id_[:12] for id_ in found[:4])}",
            )
        return found[0]

    def _sealed(self, id_: str) -> Seal:
        """A seal for an id, even if the log has lost it."""
        return self.seal(id_) or self._outlined(id_)

    def _outlined(self, id_: str) -> Seal:
        from modelseal.store import manifests

        data = self.read(id_)
        said = manifests.outline(data)
        count = len(manifests.paths(data))
        return Seal(
            id_, said.name, said.version, said.signer_id, count, said.size, said.signed_at, ""
        )
