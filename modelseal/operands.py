"""What a command line names: revisions, manifests, bundles, certificates."""

import os
import sys
from argparse import Namespace

from modelseal import arguments, output
from modelseal.errors import (
    FormatError,
    ModelError,
    StoreError,
    StoreMissingError,
    UnknownRevisionError,
)

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.oms.statement import Statement
    from modelseal.store import Entry, Store
    from modelseal.structs import SignedManifest


def find_sealed(args: Namespace, revision: str, start: str = ".") -> "tuple[Store | None, str]":
    """What a revision stands for: a store and an id, or None and a path.

    What begins with `/`, `./` or `../` is a path; anything else where no seal is called so.
    """
    if revision in (".", "..") or revision.startswith(("/", "./", "../")):
        return None, revision
    try:
        store = arguments.find_store(args, start)
        return store, store.resolve(revision)
    except (StoreMissingError, UnknownRevisionError):
        if os.path.lexists(revision):
            return None, revision
        raise


def sealed_entries(store: "Store | None", named: str) -> "list[Entry]":
    """The files of what `find_sealed` found, be it a manifest or a bundle."""
    if store is not None:
        return store.entries(named)
    from modelseal import manifestfiles
    from modelseal.oms import bundle
    from modelseal.store import Entry

    data = load_document(named)
    if bundle.is_bundle(data):
        return _stated_entries(load_statement(data, named), named)
    files = manifestfiles.decode(data, named).manifest.files
    return [Entry(entry.path, entry.size_bytes, entry.sha256_hash) for entry in files]


def _stated_entries(stated: "Statement", named: str) -> "list[Entry]":
    from modelseal.store import Entry

    if stated.algorithm != "sha256" or stated.shard_size:
        what = f"{stated.algorithm}{' of shards' if stated.shard_size else ''}"
        raise FormatError(
            f"'{named}' names files by {what}, not by SHA-256",
            hint="'modelseal inspect' lists them, 'modelseal verify' compares them",
        )
    return [Entry(file.path, file.size_bytes, file.digests[0]) for file in stated.files]


def load_statement(data: bytes, path: str) -> "Statement":
    """What a bundle that was read from a path claims. Raises FormatError."""
    from modelseal.oms import bundle, statement

    try:
        return statement.decode(bundle.decode(data).payload)
    except FormatError as err:
        name = "standard input" if path == "-" else path
        raise FormatError(f"malformed bundle '{name}': {err}") from None


def decode_manifest(data: bytes, path: str) -> "SignedManifest":
    """Decode what was read from a path, or standard input. Raises FormatError."""
    from modelseal import manifestfiles

    return manifestfiles.decode(data, "standard input" if path == "-" else path)


def load_document(path: str) -> bytes:
    """Read a signed manifest or a bundle, as bytes; `-` is standard input."""
    from modelseal import fileio
    from modelseal.structs import DOCUMENT_LIMIT

    return _standard_input() if path == "-" else fileio.read_bounded(path, DOCUMENT_LIMIT)


def load_certificates(path: str) -> bytes:
    """Read a file that should hold certificates in PEM. Raises OSError, KeyLoadError."""
    from modelseal import fileio, keyfiles
    from modelseal.oms import certificates

    data = fileio.read_bounded(path, certificates.LIMIT)
    with keyfiles.naming(path):
        certificates.load_pem(data)
    return data


def to_verify(args: Namespace) -> "tuple[SignedManifest | bytes, Store | None, str | None]":
    """What 'verify' checks: a signed manifest or a bundle's bytes, the store that knows of it, and
    where it lies.

    Completes `--model-dir` where the store knows it.
    """
    from modelseal.oms import bundle

    start = args.model_dir or "."
    if args.revision is not None:
        store, named = find_sealed(args, args.revision, start)
        if store is not None:
            if args.model_dir is None:
                args.model_dir = _signed_where(args, store, named)
            data = store.read(named)
            if not store.is_bundle(data):
                return store.get(named), store, None
            load_statement(data, named)
            return data, store, None
        args.manifest = named
    data = load_document(args.manifest)
    if bundle.is_bundle(data):
        return data, None, None if args.manifest == "-" else args.manifest
    signed = decode_manifest(data, args.manifest)
    store = None
    if args.model_dir is not None or args.store is not None:
        try:
            store = arguments.find_store(args, start)
        except StoreMissingError:
            if args.store or args.precheck or args.no_rollback:
                raise
        except StoreError as err:
            # Nobody's store can keep us from verifying.
            output.warning(f"going without the store: {err}")
    return signed, store, None if args.manifest == "-" else args.manifest


def _signed_where(args: Namespace, store: "Store", id_: str) -> str:
    """Where the log says the model lies, if that is ours to believe.

    A store that came with a model must not send us to look at another one.
    """
    seal = store.seal(id_)
    named = seal.directory if seal else ""
    inside = named and os.path.commonpath([store.root, named]) == store.root
    paths = store.paths(id_)
    if not paths:
        raise FormatError("the manifest names no file")
    # A model that is one file was sealed as that file.
    if named and (inside or args.store) and os.path.isfile(named):
        return _told(args, named)
    for directory in (named if inside or args.store else "", store.root):
        if directory and os.path.lexists(os.path.join(directory, paths[0])):
            return _told(args, directory)
    raise ModelError(
        f"the model is not where it was signed, '{named}'", hint="name it with '--model-dir DIR'"
    )


def _told(args: Namespace, directory: str) -> str:
    if not args.json and not args.quiet:
        output.line(f"Directory: {directory}")
    return directory


def _standard_input() -> bytes:
    from modelseal.structs import DOCUMENT_LIMIT

    if sys.stdin is None:
        raise FormatError("standard input is closed")
    data = sys.stdin.buffer.read(DOCUMENT_LIMIT + 1)
    if len(data) > DOCUMENT_LIMIT:
        raise FormatError(f"standard input is larger than {DOCUMENT_LIMIT:,} bytes")
    return data
