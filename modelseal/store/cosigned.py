"""Further signatures over manifests: one file each, named by the signature it holds."""

import os
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from modelseal import documents, fileio
from modelseal.canonical import canonical, identifier
from modelseal.errors import FormatError, StoreDamagedError, StoreError
from modelseal.store import Store, adding, layout, manifests, verified
from modelseal.structs import KeptCosignature, Signature, SignedManifest

NAME = "cosigned"


def path_of(root: str, payload: str, id_: str) -> str:
    """Where a signature lies. payload: SHA-256 of the manifest's canonical bytes, in hex."""
    return os.path.join(root, NAME, payload, id_ + manifests.SUFFIX)


def keep(store: Store, payload: str, signature: Signature) -> None:
    """As `Store.keep_cosignature`."""
    path = path_of(store.path, payload, identifier(signature))
    with adding.writing(store):
        if os.path.lexists(path):
            return  # since when it is known must not change
        for directory in (os.path.dirname(os.path.dirname(path)), os.path.dirname(path)):
            layout.make_directory(directory)
        now = datetime.now(UTC).replace(microsecond=0)
        fileio.write_atomic(path, canonical(KeptCosignature(kept_at=now, signature=signature)))


def listed(root: str, payload: str) -> list[KeptCosignature]:
    """As `Store.cosignatures`."""
    directory = os.path.join(root, NAME, payload)
    return [read(root, payload, name) for name in layout.names_in(directory) if _is_ours(name)]


def read(root: str, payload: str, name: str) -> KeptCosignature:
    """One of them, by its file's name. Raises StoreDamagedError, OSError."""
    path = os.path.join(root, NAME, payload, name)
    data = layout.read_small(path)
    try:
        kept = documents.decode(data or b"", KeptCosignature)
    except FormatError as err:
        raise StoreDamagedError(f"'{path}' is damaged: {err}") from None
    if identifier(kept.signature) + manifests.SUFFIX != name or canonical(kept) != data:
        raise StoreDamagedError(f"'{path}' is damaged: it doesn't hash to its name")
    return kept


def faults(root: str, payloads: Collection[str]) -> Iterator[tuple[str, str, bool]]:
    """What is wrong: place, message, whether it is damage.

    payloads: SHA-256 of the canonical bytes of every manifest in the store.
    """
    for payload in layout.names_in(os.path.join(root, NAME)):
        where = os.path.join(NAME, payload)
        if layout.is_leftover(payload):
            continue
        try:
            names = layout.names_in(os.path.join(root, where))
        except StoreError:
            yield where, "is not a directory", True
            continue
        if payload not in payloads:
            yield where, "is of no manifest in the store", False
        for name in names:
            if layout.is_leftover(name):
                continue
            try:
                read(root, payload, name)
            except (StoreError, OSError):
                yield os.path.join(where, name), "is damaged", True


def first_seen(store: Store, signed: SignedManifest) -> datetime | None:
    """As `Store.first_seen`."""
    id_ = identifier(signed)
    texts = [seal.sealed_at for seal in store.seals(id_)]
    noted = verified.get(store.path, signed.manifest.model_name)
    if noted is not None and noted.id == id_:
        texts.append(noted.verified_at)
    times = [_end_of(text) for text in texts]
    if os.path.isdir(os.path.join(store.path, NAME)):
        payload, signature = identifier(signed.manifest), identifier(signed.signature)
        if os.path.lexists(path_of(store.path, payload, signature)):
            kept = read(store.path, payload, signature + manifests.SUFFIX)
            times.append(kept.kept_at.replace(microsecond=999_999))
    return min(times, default=None)


def _end_of(at: str) -> datetime:
    """The last moment that a time of the log may stand for."""
    told = datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return told.replace(microsecond=999_999)


def _is_ours(name: str) -> bool:
    return not layout.is_leftover(name)
