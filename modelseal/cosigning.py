"""The cosigning flow: further signatures over a manifest, beside it and in the store."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from modelseal import documents, fileio, keys, manifestfiles, signatures
from modelseal.canonical import canonical, identifier
from modelseal.errors import (
    FormatError,
    KeyLoadError,
    ModelSealError,
    OverwriteError,
    UnknownRevisionError,
)
from modelseal.structs import SIGNATURES_LIMIT, Cosignatures, Signature, SignedManifest

if TYPE_CHECKING:
    from modelseal.store import Store

LIMIT = 1 << 20
"""Bytes of a file of cosignatures; a larger one is refused unread."""


class Cosigned(NamedTuple):
    """What `cosign` made.

    signature: the new one. path: the file beside the manifest, empty if there is none.
    kept: whether the store keeps it. others: how many further signatures there were before.
    """

    signature: Signature
    path: str
    kept: bool
    others: int


class Gathered(NamedTuple):
    """The further signatures over a manifest, each good by the key that it names.

    beside: the files that hold some of them, and nothing else.
    """

    signatures: list[Signature]
    beside: list[str]


def load(path: fileio.Location) -> Cosignatures:
    """Read a file of cosignatures. Raises FormatError, OSError."""
    if os.path.islink(path):
        raise FormatError(f"cannot read '{os.fspath(path)}': it is a symbolic link")
    data = fileio.read_bounded(path, LIMIT)
    try:
        return documents.decode(data, Cosignatures)
    except FormatError as err:
        raise FormatError(f"malformed cosignatures '{os.fspath(path)}': {err}") from None


def gather(
    signed: SignedManifest,
    manifest_paths: Iterable[fileio.Location],
    store: "Store | None",
    warnings: list[str],
) -> Gathered:
    """Find the cosignatures of a manifest.

    manifest_paths: where the manifest lies, or usually does.
    warnings: told why a file is left out; one that is no good is no file of cosignatures, and
    counts as any other file does.
    """
    sides = [side for side in map(manifestfiles.side_path, manifest_paths) if os.path.lexists(side)]
    if not sides and (store is None or not store.has_cosignatures()):
        return Gathered([], [])
    data = canonical(signed.manifest)
    found: dict[str, Signature] = {}
    good = []
    for side in sides:
        try:
            said = load(side)
            check(said, data)
        except (ModelSealError, OSError) as err:
            warnings.append(f"cosignatures are left out: {_said(side, err)}")
            continue
        good.append(side)
        found |= {identifier(signature): signature for signature in said.signatures}
    if store is not None:
        with suppress(ModelSealError, OSError):  # what a store has lost is no signature
            for kept in store.cosignatures(hashlib.sha256(data).hexdigest()):
                if not fault(kept.signature, data):
                    found.setdefault(identifier(kept.signature), kept.signature)
    own = identifier(signed.signature)
    return Gathered([one for id_, one in found.items() if id_ != own][:SIGNATURES_LIMIT], good)


def check(said: Cosignatures, data: bytes) -> None:
    """Refuse cosignatures that are not over `data`, all of them. Raises FormatError."""
    if said.manifest_sha256 != hashlib.sha256(data).hexdigest():
        raise FormatError("they are of another manifest")
    for signature in said.signatures:
        if why := fault(signature, data):
            raise FormatError(f"the one of '{signature.signer_id}': {why}")


def fault(signature: Signature, data: bytes) -> str:
    """What is wrong with a signature, by the key that it names itself; nobody is trusted here."""
    try:
        key = keys.load_embedded(signature.public_key)
    except KeyLoadError as err:
        return f"the embedded public key is unusable: {err}"
    return signatures.fault(signature, data, key)


def cosign(
    signed: SignedManifest,
    key: keys.PrivateKey,
    signer_id: str,
    *,
    manifest_path: fileio.Location | None = None,
    store: "Store | None" = None,
    lock_timeout: float = 10.0,
) -> Cosigned:
    """Sign a manifest once more, beside what is signed.

    manifest_path: where the signed manifest lies; the new signature goes into a file beside it.
    store: where it is kept too, if the store has this manifest.
    lock_timeout: seconds to wait for somebody else who cosigns.
    Raises FormatError for a manifest whose own signature is wrong, or damaged cosignatures;
    OverwriteError where this key has signed it already; StoreLockedError; OSError.
    """
    signatures.check_signer(signer_id)
    data = canonical(signed.manifest)
    if why := fault(signed.signature, data):
        raise FormatError(f"its own signature is wrong: {why}")
    made = signatures.sign_manifest(
        signed.manifest, key, signer_id=signer_id, signed_at=datetime.now(UTC)
    ).signature
    keeps = store is not None and _has(store, identifier(signed))
    warnings: list[str] = []
    others = gather(signed, (), store if keeps else None, warnings).signatures
    path = ""
    if manifest_path is not None:
        path = manifestfiles.side_path(manifest_path)
        others = [*others, *_append(path, signed, made, data, others, lock_timeout)]
    else:
        _refuse_twice(made, [signed.signature, *others])
    if store is not None and keeps:
        store.keep_cosignature(hashlib.sha256(data).hexdigest(), made)
    return Cosigned(made, path, keeps, len({identifier(one) for one in others}))


def _append(
    path: str,
    signed: SignedManifest,
    made: Signature,
    data: bytes,
    others: Sequence[Signature],
    timeout: float,
) -> list[Signature]:
    """Put a signature into the file beside the manifest; return those that were there."""
    target = os.path.realpath(os.path.dirname(path) or ".")
    with fileio.locked(os.path.join(target, os.path.basename(path)), timeout):
        there: list[Signature] = []
        if os.path.lexists(path):
            said = load(path)
            check(said, data)
            there = said.signatures
        _refuse_twice(made, [signed.signature, *others, *there])
        if len(there) >= SIGNATURES_LIMIT:
            raise FormatError(f"'{path}' has {SIGNATURES_LIMIT} cosignatures, and may have no more")
        document = Cosignatures(
            manifest_sha256=hashlib.sha256(data).hexdigest(), signatures=[*there, made]
        )
        fileio.write_atomic(path, document.pretty() + b"\n")
        fileio.sweep(path)
    return there


def _refuse_twice(made: Signature, others: Sequence[Signature]) -> None:
    for other in others:
        if other.public_key == made.public_key:
            raise OverwriteError(
                f"this key has signed the manifest already, as '{other.signer_id}'"
            )


def _has(store: "Store", id_: str) -> bool:
    try:
        store.read(id_)
    except UnknownRevisionError:
        return False
    return True


def _said(path: str, err: Exception) -> str:
    if isinstance(err, OSError):
        return f"cannot read '{path}': {(err.strerror or 'unknown error').lower()}"
    said = str(err)
    return said if path in said else f"'{path}': {said}"


def retire(manifest_path: fileio.Location) -> bool:
    """Remove the cosignatures of a manifest that was replaced; whether there were any."""
    side = manifestfiles.side_path(manifest_path)
    if not is_cosignatures(side):
        return False
    with fileio.naming("remove", side):
        os.unlink(side)
    return True


def is_cosignatures(path: fileio.Location) -> bool:
    """Whether a file holds cosignatures, of whatever manifest."""
    if not os.path.lexists(path):
        return False
    try:
        load(path)
    except (ModelSealError, OSError):
        return False
    return True
