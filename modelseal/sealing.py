"""The signing flow: a directory → entries → manifest → signature → document."""

import os
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Unpack

from modelseal import (
    cosigning,
    fileio,
    hashing,
    keys,
    manifestfiles,
    oddities,
    paths,
    signatures,
    tree,
)
from modelseal.canonical import identifier
from modelseal.digests import BLAKE3, SHA256
from modelseal.errors import FormatError, ModelError, ModelSealError
from modelseal.structs import FileEntry, ModelManifest, SignedManifest

if TYPE_CHECKING:
    from modelseal.store import Digest, Seal, Store
    from modelseal.store.statcache import StatCache


class Sealed(NamedTuple):
    """A signed model.

    signed: the signed manifest. changed: whether it is a new one.
    hashed: how many files were read for it.
    seal: what the store keeps of it, if it is new and there is a store.
    """

    signed: SignedManifest
    changed: bool
    hashed: int
    seal: "Seal | None" = None


class _Survey(NamedTuple):
    """What was found in a model directory.

    entries: what a manifest says of the files, in the order of their paths.
    blake3: by path, of those that were read, where it was asked for.
    hashed: how many of the files were read. remember: tells the store's stat cache of them, and of
    the seal that was made of them.
    """

    entries: list[FileEntry]
    blake3: dict[str, bytes]
    hashed: int
    remember: Callable[[str], None]


class ModelSigner:
    """Makes manifests of model directories and signs them."""

    def create_manifest(
        self,
        model_dir: fileio.Location,
        model_name: str = "",
        model_version: str = "0.0.0",
        framework: str = "unknown",
        author: str = "",
        description: str = "",
        *,
        output: fileio.Location | None = None,
        ignore_paths: Collection[str] = (),
        follow_symlinks: bool = False,
        warn: Callable[[str], None] | None = None,
        **how: Unpack[hashing.Options],
    ) -> ModelManifest:
        """Describe every file below `model_dir`, in the order of their paths.

        model_name: the directory's name if empty.
        output: where the signed manifest will be, to leave that file out.
        ignore_paths: left out with their subtrees, relative to the model.
        follow_symlinks: take links to regular files as those files.
        warn: told of each followed link that leads out of the model.
        how: jobs, fork, executor and progress, as in `hashing.hash_files`.
        Raises ModelError, a ValueError, for a directory that isn't one, is empty, or holds what
        can't be signed; FileUnreadableError; FileChangedError; FormatError.
        """
        survey = _survey(
            model_dir,
            output=output,
            ignore_paths=ignore_paths,
            follow_symlinks=follow_symlinks,
            warn=warn,
            **how,
        )
        about = (model_name, model_version, framework, author, description)
        return _describe(model_dir, survey.entries, *about)

    def sign_manifest(
        self,
        manifest: ModelManifest,
        private_key_bytes: bytes,
        signer_id: str,
        password: bytes | None = None,
    ) -> SignedManifest:
        """Sign a manifest with a private key, given as the bytes of its file.

        Raises PassphraseError, KeyLoadError, both ValueErrors.
        """
        key = keys.load_private(private_key_bytes, password)
        return signatures.sign_manifest(
            manifest, key, signer_id=signer_id, signed_at=datetime.now(UTC)
        )

    def sign_model(
        self,
        model_dir: fileio.Location,
        private_key_bytes: bytes,
        signer_id: str,
        output: fileio.Location,
        *,
        password: bytes | None = None,
        model_name: str = "",
        model_version: str = "0.0.0",
        framework: str = "unknown",
        author: str = "",
        description: str = "",
        store: "Store | None" = None,
        incremental: bool = False,
        if_changed: bool = False,
        precheck: bool = False,
        allow_version_reuse: bool = False,
        ignore_paths: Collection[str] = (),
        follow_symlinks: bool = False,
        warn: Callable[[str], None] | None = None,
        **how: Unpack[hashing.Options],
    ) -> Sealed:
        """The whole job: describe a model, sign it, put it into the store, write the manifest.

        output: where the signed manifest goes.
        store: where the seal is kept; one that isn't there yet is made when all else is done.
        incremental: files that the store's stat cache vouches for are not read again.
        if_changed: do nothing where `output` already is what would be written, but for times.
        precheck: record BLAKE3 digests in the store, for a quicker "no" when verifying.
        allow_version_reuse: let a sealed name and version name other files from now on.
        The rest as in `create_manifest` and `sign_manifest`.
        Raises as those; OverwriteError where `output` is something else; what `Store.add` raises.
        """
        key = keys.load_private(private_key_bytes, password)
        manifestfiles.check_output(output)
        about = (model_name, model_version, framework, author, description)
        # What can't be said of a model is refused before hours go into hashing it.
        _describe(model_dir, [], *about)
        signatures.check_signer(signer_id)
        survey = _survey(
            model_dir,
            output=output,
            store=store,
            incremental=incremental,
            algorithms=(SHA256, BLAKE3) if precheck else (SHA256,),
            ignore_paths=ignore_paths,
            follow_symlinks=follow_symlinks,
            warn=warn,
            **how,
        )
        manifest = _describe(model_dir, survey.entries, *about)
        if if_changed and (earlier := _unchanged(manifest, output, key, signer_id, store)):
            survey.remember(identifier(earlier))
            return Sealed(earlier, changed=False, hashed=survey.hashed)
        if store is not None and os.path.lexists(store.path):
            store.check_version(
                manifest.model_name,
                manifest.model_version,
                ((entry.path, entry.sha256_hash) for entry in manifest.files),
                allow_version_reuse=allow_version_reuse,
            )
        signed = signatures.sign_manifest(
            manifest, key, signer_id=signer_id, signed_at=datetime.now(UTC)
        )
        seal = None
        if store is not None:
            # Before the manifest: a store that can't take it leaves everything as it was.
            store.make()
            seal = store.add(
                signed,
                model_dir=model_dir,
                blake3=survey.blake3,
                allow_version_reuse=allow_version_reuse,
            )
        manifestfiles.save(signed, output)
        if cosigning.retire(output) and warn:
            warn("the cosignatures of the manifest that was replaced are gone with it")
        survey.remember(identifier(signed) if seal is None else seal.id)
        return Sealed(signed, changed=True, hashed=survey.hashed, seal=seal)


def _survey(
    model_dir: fileio.Location,
    *,
    output: fileio.Location | None,
    store: "Store | None" = None,
    incremental: bool = False,
    algorithms: Sequence[str] = (SHA256,),
    ignore_paths: Collection[str],
    follow_symlinks: bool,
    warn: Callable[[str], None] | None,
    **how: Unpack[hashing.Options],
) -> _Survey:
    """Walk and hash a model. Raises for the first thing that can't be signed."""
    found = tree.walk(
        model_dir,
        exclude=_left_out(model_dir, output),
        ignore=paths.normalise_all(ignore_paths),
        follow_symlinks=follow_symlinks,
    )
    written = (
        manifestfiles.DEFAULT_NAME if output is None else manifestfiles.relative(output, model_dir)
    )
    found.files = [path for path in found.files if not _is_stray(path, written)]
    oddities.refuse_oddities(found, model_dir)
    if warn:
        for path in found.outside:
            warn(oddities.outside_warning(path, found.links[path]))
    cache = None
    if store is not None:
        fork = how.get("fork", False)
        cache = store.stat_cache(model_dir, found.files, links=found.links, fork=fork)
    known = _known(store, cache, algorithms) if store and cache and incremental else {}
    unknown = [path for path in found.files if path not in known]
    entries = {path: _entry(path, digest) for path, digest in known.items()}

    def enter(index: int, outcome: hashing.FileDigest | ModelSealError) -> None:
        if isinstance(outcome, hashing.FileDigest):
            entries[unknown[index]] = _entry(unknown[index], outcome)

    outcomes = hashing.hash_files(
        model_dir, unknown, links=found.links, algorithms=algorithms, each=enter, **how
    )
    read = _without_faults(unknown, outcomes)

    def remember(seal: str) -> None:
        if cache is not None:
            cache.update(read, seal=seal, files=len(found.files))

    blake3 = {path: digest.blake3 for path, digest in read.items() if digest.blake3}
    return _Survey([entries[path] for path in found.files], blake3, len(unknown), remember)


def _without_faults(
    files: Sequence[str], outcomes: Sequence[hashing.FileDigest | ModelSealError]
) -> dict[str, hashing.FileDigest]:
    """The digests by path. Raises for the first file that can't be signed."""
    digests = {}
    for path, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, ModelSealError):
            raise outcome
        if outcome.lfs_pointer:
            raise ModelError(f"'{path}' is a git-lfs pointer", hint=oddities.HINT_POINTER)
        digests[path] = outcome
    return digests


def _is_stray(path: str, written: str) -> bool:
    """Whether another run is writing its manifest here, or was killed at it: no file of a model."""
    if not path.endswith(".tmp"):  # asked of a million files
        return False
    return any(fileio.is_temporary(path, of) for of in (written, written + tree.COSIGNED_SUFFIX))


def _entry(path: str, digest: "Digest | hashing.FileDigest") -> FileEntry:
    return FileEntry(path=path, size_bytes=digest.size, sha256_hash=digest.sha256.hex())


def _known(store: "Store", cache: "StatCache", algorithms: Sequence[str]) -> "dict[str, Digest]":
    known = cache.known()
    if BLAKE3 in algorithms:  # which the cache doesn't have
        recorded = store.blake3({digest.sha256 for digest in known.values()})
        known = {path: digest for path, digest in known.items() if digest.sha256 in recorded}
    return known


def _describe(
    model_dir: fileio.Location,
    entries: list[FileEntry],
    model_name: str,
    model_version: str,
    framework: str,
    author: str,
    description: str,
) -> ModelManifest:
    return ModelManifest(
        model_name=model_name or os.path.basename(os.path.abspath(model_dir)),
        model_version=model_version,
        framework=framework,
        files=entries,
        total_size_bytes=sum(entry.size_bytes for entry in entries),
        created_at=datetime.now(UTC),
        author=author,
        description=description,
    )


def _unchanged(
    manifest: ModelManifest,
    output: fileio.Location,
    key: keys.PrivateKey,
    signer_id: str,
    store: "Store | None",
) -> SignedManifest | None:
    """What `output` holds, where it says the same as `manifest` but for the time."""
    if not os.path.lexists(output):
        return None
    try:
        earlier = manifestfiles.load(output)
    except FormatError:
        return None
    same = (
        earlier.manifest.model_copy(update={"created_at": manifest.created_at}) == manifest
        and earlier.signature.signer_id == signer_id
        and signatures.check(earlier, key.public_key()).valid
    )
    if same and store is not None:
        about = (manifest.model_name, manifest.model_version)
        same = store.known(*about) == identifier(earlier)
    return earlier if same else None


def _left_out(model_dir: fileio.Location, output: fileio.Location | None) -> frozenset[str]:
    """What is no part of a model that is signed, perhaps anew."""
    side = manifestfiles.side_path(output or os.path.join(model_dir, manifestfiles.DEFAULT_NAME))
    return manifestfiles.exclusions(
        model_dir, output, side if cosigning.is_cosignatures(side) else None
    )
