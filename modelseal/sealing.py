"""The signing flow: a directory → entries → manifest → signature → document."""

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from modelseal import fileio, hashing, keys, paths, signatures, tree
from modelseal.errors import ModelError, ModelSealError, OverwriteError
from modelseal.structs import FileEntry, ModelManifest, SignedManifest

if TYPE_CHECKING:
    from concurrent.futures import Executor

DEFAULT_NAME: Final = "signed_manifest.json"

_HINT_LINK: Final = "'--follow-symlinks' takes a link to a regular file as that file"
_HINT_SNAPSHOT: Final = (
    "this looks like a Hugging Face snapshot: '--follow-symlinks' takes its links as the files"
)
HINT_POINTER: Final = "fetch the content first: git lfs pull"


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
        jobs: int = 0,
        fork: bool = False,
        executor: "Executor | None" = None,
        progress: hashing.Progress | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> ModelManifest:
        """Describe every file below `model_dir`, in the order of their paths.

        model_name: the directory's name if empty.
        output: where the signed manifest will be, to leave that file out.
        ignore_paths: left out with their subtrees, relative to the model.
        follow_symlinks: take links to regular files as those files.
        jobs, fork, executor, progress: as in `hashing.hash_files`.
        warn: told of each followed link that leads out of the model.
        Raises ModelError, a ValueError, for a directory that isn't one, is empty, or holds what
        can't be signed; FileUnreadableError; FileChangedError; FormatError.
        """
        found = tree.walk(
            model_dir,
            exclude=exclusions(model_dir, output),
            ignore={paths.normalise(path) for path in ignore_paths},
            follow_symlinks=follow_symlinks,
        )
        written = _relative(output, model_dir) if output is not None else DEFAULT_NAME
        # Another run is writing its manifest, or was killed at it: no file of the model.
        found.files = [path for path in found.files if not fileio.is_temporary(path, written)]
        _refuse_oddities(found, model_dir)
        if warn:
            for path in found.outside:
                warn(outside_warning(path, found.links[path]))
        digests = hashing.hash_files(
            model_dir,
            found.files,
            links=found.links,
            jobs=jobs,
            fork=fork,
            executor=executor,
            progress=progress,
        )
        entries = []
        for path, digest in zip(found.files, digests, strict=True):
            if isinstance(digest, ModelSealError):
                raise digest
            if digest.lfs_pointer:
                raise ModelError(f"'{path}' is a git-lfs pointer", hint=HINT_POINTER)
            entries.append(
                FileEntry(path=path, size_bytes=digest.size, sha256_hash=digest.sha256.hex())
            )
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


def exclusions(model_dir: fileio.Location, manifest: fileio.Location | None) -> frozenset[str]:
    """What is no part of the model: the names left out at its root, and its own manifest."""
    if manifest is None:
        return tree.ROOT_EXCLUSIONS
    return tree.ROOT_EXCLUSIONS | {_relative(manifest, model_dir)}


def _relative(manifest: fileio.Location, model_dir: fileio.Location) -> str:
    """A manifest's path relative to the model; it begins with `..` where it lies elsewhere."""
    # A relative path needs the current directory, which may be gone.
    with fileio.naming("find", model_dir):
        top = os.path.realpath(model_dir)
    with fileio.naming("find", manifest):
        # Not abspath: where `a` is a link, `a/../m` is no neighbour of `a`.
        parent, name = os.path.split(manifest)
        relative = os.path.relpath(os.path.join(os.path.realpath(parent or "."), name), top)
    return relative.replace(os.sep, "/")


def save(signed: SignedManifest, path: fileio.Location) -> None:
    """Write a signed manifest, replacing an earlier one whole.

    Raises OverwriteError as `check_output`, OSError.
    """
    check_output(path)
    fileio.write_atomic(path, signed.model_dump_json(indent=2).encode() + b"\n")


def check_output(path: fileio.Location) -> None:
    """Refuse to write where something else would be lost, or where there is no directory.

    Raises OverwriteError, OSError.
    """
    with fileio.naming("write", path):
        os.stat(os.path.dirname(path) or ".")
    if os.path.islink(path):  # also /dev/stdout
        raise OverwriteError(
            f"'{os.fspath(path)}' is a symbolic link, and would be replaced",
            hint="name the file that it leads to with '--output'",
        )
    if os.path.lexists(path) and not _is_manifest(path):
        raise OverwriteError(
            f"'{os.fspath(path)}' exists and is not a signed manifest",
            hint="name another file with '--output'",
        )


def _is_manifest(path: fileio.Location) -> bool:
    """Whether a file begins as a signed manifest does: enough to tell it from a model's file."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        beginning = b"".join(file.read(256).split())
    return beginning.startswith((b'{"manifest":', b'{"signature":'))


def _refuse_oddities(found: tree.Tree, model_dir: fileio.Location) -> None:
    """Raise for the first thing that can't be signed, as the walk sorted it."""
    for path, error in found.unlistable:
        error.add_note(f"cannot read '{path}'")
        raise error
    for odd in found.irregular:
        raise ModelError(f"cannot sign '{odd.path}': {odd.kind}", hint=hint_for(odd))
    if not found.files:
        raise ModelError(f"model directory '{os.fspath(model_dir)}' holds no file to sign")


def outside_warning(path: str, target: str) -> str:
    """What to say of a followed link that leads out of the model."""
    return f"'{path}' leads out of the model, to '{target}'"


def hint_for(odd: tree.Irregular) -> str:
    """What may help where a link stands in a model."""
    if odd.kind != tree.SYMBOLIC_LINK:
        return ""
    return _HINT_SNAPSHOT if "../blobs/" in odd.target else _HINT_LINK
