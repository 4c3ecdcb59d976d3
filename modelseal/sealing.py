"""The signing flow: a survey of a directory → entries → manifest → signature → document."""

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Unpack

from modelseal import cosigning, fileio, hashing, keys, manifestfiles, signatures, tree
from modelseal.canonical import identifier
from modelseal.errors import FormatError
from modelseal.structs import FileEntry, ModelManifest, SignedManifest
from modelseal.surveying import Survey

if TYPE_CHECKING:
    from modelseal.store import Seal, Store


_DIGITS = 64  # of SHA-256 in hex


class About(NamedTuple):
    """What a publisher says of a model, beside its files.

    model_name: the directory's name if empty.
    """

    model_name: str = ""
    model_version: str = "0.0.0"
    framework: str = "unknown"
    author: str = ""
    description: str = ""


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
        with Survey(
            model_dir,
            output=output,
            ignore_paths=ignore_paths,
            follow_symlinks=follow_symlinks,
            warn=warn,
            **how,
        ) as survey:
            about = About(model_name, model_version, framework, author, description)
            return _describe(model_dir, _entries(survey), about)

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
        with Survey(
            model_dir,
            output=output,
            store=store,
            incremental=incremental,
            precheck=precheck,
            ignore_paths=ignore_paths,
            follow_symlinks=follow_symlinks,
            warn=warn,
            **how,
        ) as survey:
            return sign(
                survey,
                key,
                signer_id,
                output,
                about=About(model_name, model_version, framework, author, description),
                store=store,
                if_changed=if_changed,
                allow_version_reuse=allow_version_reuse,
                warn=warn,
            )


def sign(
    survey: Survey,
    key: keys.PrivateKey,
    signer_id: str,
    output: fileio.Location,
    *,
    about: About,
    store: "Store | None" = None,
    if_changed: bool = False,
    allow_version_reuse: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Sealed:
    """Sign what a survey finds, put it into the store, write the manifest.

    The options and what is raised are those of `ModelSigner.sign_model`.
    """
    model_dir = survey.model_dir
    # What can't be said of a model, or written, is refused before hours go into hashing it.
    manifestfiles.check_output(output)
    _describe(model_dir, [], about)
    signatures.check_signer(signer_id)
    manifest = _describe(model_dir, _entries(survey), about)
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
            blake3=survey.blake3(),
            allow_version_reuse=allow_version_reuse,
        )
    manifestfiles.save(signed, output)
    if cosigning.retire(output) and warn:
        warn("the cosignatures of the manifest that was replaced are gone with it")
    if seal is not None:
        survey.remember(seal.id)
    return Sealed(signed, changed=True, hashed=survey.hashed, seal=seal)


def _entries(survey: Survey) -> list[FileEntry]:
    """What a manifest says of the files, in the order of their paths."""
    entries: dict[str, FileEntry] = {}

    def enter(read: tree.Read) -> None:
        digests = read.digests.hex()
        starts = range(0, len(digests), _DIGITS)
        for path, size, start in zip(read.files, read.sizes(), starts, strict=True):
            entries[path] = FileEntry(
                path=path, size_bytes=size, sha256_hash=digests[start : start + _DIGITS]
            )

    survey.finish(enter)
    return [entries[path] for path in survey.files]


def _describe(model_dir: fileio.Location, entries: list[FileEntry], about: About) -> ModelManifest:
    name = about.model_name or os.path.basename(os.path.abspath(model_dir))
    return ModelManifest(
        **about._replace(model_name=name)._asdict(),
        files=entries,
        total_size_bytes=sum(entry.size_bytes for entry in entries),
        created_at=datetime.now(UTC),
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
