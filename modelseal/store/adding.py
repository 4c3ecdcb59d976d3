"""Putting a seal into the store: manifest, ref, log, index, in this order and all or nothing.

Whoever is killed on the way has announced in the lock what was to be done; the next writer finishes
it, or finds that nothing had been begun.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from modelseal import fileio
from modelseal.canonical import canonical
from modelseal.errors import ModelSealError, StoreRefusedError, VersionReusedError
from modelseal.oms.outline import Form
from modelseal.store import Seal, Store, index, layout, lock, log, manifests, refs
from modelseal.structs import SignedManifest

UNVERSIONED = manifests.UNVERSIONED

_INDEXED_AT_ONCE = 4096
"""Files that are indexed as a model is sealed; where more are due, they wait for who asks first."""


@contextmanager
def writing(store: Store) -> Iterator[lock.Journal]:
    """Hold the writers' lock, with what a killed writer had begun finished."""
    with lock.held(os.path.join(store.path, "lock"), store.lock_timeout) as journal:
        layout.check_directories(store.path)
        if journal.pending:
            _finish(store, journal.pending)
            journal.done()
        yield journal


def add(
    store: Store,
    signed: SignedManifest,
    *,
    directory: str,
    blake3: Mapping[str, bytes],
    allow_version_reuse: bool,
) -> Seal:
    """As `Store.add`."""
    manifest, data = signed.manifest, canonical(signed)
    contents = {entry.path: entry.sha256_hash for entry in manifest.files} if blake3 else {}
    seal = Seal(
        manifests.id_of(data),
        manifest.model_name,
        manifest.model_version,
        signed.signature.signer_id,
        len(manifest.files),
        manifest.total_size_bytes,
        log.now(),
        directory,
    )
    by_content = {contents[path]: value for path, value in blake3.items()}
    return _add(store, data, seal, by_content, allow_version_reuse=allow_version_reuse)


def add_bundle(store: Store, data: bytes, seal: Seal, *, allow_version_reuse: bool) -> Seal:
    """As `Store.add_bundle`. seal: what is known of it; its id and its time are put in here."""
    if len(layout.encode(seal.version)) > layout.LONGEST:
        # Nothing but the ref's name would say it.
        raise StoreRefusedError("the version is too long for a bundle")
    seal = seal._replace(id=manifests.id_of(data), sealed_at=log.now())
    return _add(store, data, seal, {}, allow_version_reuse=allow_version_reuse)


def _add(
    store: Store,
    data: bytes,
    seal: Seal,
    blake3: Mapping[str, bytes],
    *,
    allow_version_reuse: bool,
) -> Seal:
    """Put a seal's bytes into the store, and the seal into ref, log and index.

    blake3: SHA-256 in hex → BLAKE3.
    """
    id_, name, version = seal.id, seal.name, seal.version
    with writing(store) as journal:
        old = refs.get(store.path, name, version)
        if not allow_version_reuse and old not in (None, id_) and version != UNVERSIONED:
            form, contents = manifests.contents(data)
            check_version(store.path, name, version, contents.items(), form)
        new = manifests.add(store.path, id_, data)
        last = store.latest(name) if old == id_ else None
        if last is not None and seal._replace(sealed_at=last.sealed_at) == last:
            seal = last
        else:
            try:
                _commit(store, journal, seal, old)
            except BaseException:
                with suppress(OSError, ModelSealError):
                    if new and refs.get(store.path, name, version) != id_:
                        os.unlink(manifests.path_of(store.path, id_))
                raise
        if blake3 or seal.files <= _INDEXED_AT_ONCE:
            _index(store.path, id_, blake3)
    return seal


def check_version(
    root: str,
    name: str,
    version: str,
    entries: Iterable[tuple[str, str]],
    form: Form = Form(),  # noqa: B008 - a tuple
) -> None:
    """Raise VersionReusedError where other content is sealed under a name and version."""
    if version == UNVERSIONED:
        return
    old = refs.get(root, name, version)
    if old is None:
        return
    said, sealed = manifests.contents(manifests.read(root, old))
    if sealed != dict(entries):
        what = "with other content" if said == form else f"by other digests ({said})"
        raise VersionReusedError(
            f"'{name}' {version} is sealed already, {what} ({old[:12]})",
            hint="give it a new --model-version, or say --allow-version-reuse",
        )


def _commit(store: Store, journal: lock.Journal, seal: Seal, old: str | None) -> None:
    path = os.path.join(store.path, "log")
    line = log.format_line(seal, store.root)
    if len(line) > log.LONGEST:
        raise StoreRefusedError("name, version, signer and directory are too long to be logged")
    journal.intend(line)
    try:
        refs.put(store.path, seal.name, seal.version, seal.id)
        log.append(path, line)
    except BaseException:
        # What can't be taken back stays announced, for the next writer to finish.
        with suppress(OSError, ModelSealError):
            if not _is_logged(path, line):
                _take_back(store.path, seal, old)
            journal.done()
        raise
    journal.done()


def _is_logged(path: str, line: bytes) -> bool:
    """An interrupt may come when all is done."""
    with suppress(OSError, ModelSealError):
        return log.last_line(path) + b"\n" == line
    return False


def _take_back(root: str, seal: Seal, old: str | None) -> None:
    if old is None:
        refs.remove(root, seal.name, seal.version)
    elif refs.get(root, seal.name, seal.version) != old:
        refs.put(root, seal.name, seal.version, old)


def _finish(store: Store, line: bytes) -> None:
    """What a killed writer had announced: log it, if its ref was made."""
    path = os.path.join(store.path, "log")
    log.mend(path, line)
    seal = log.parse(line.rstrip(b"\n"), store.root)
    if seal is None or not line.endswith(b"\n"):
        return  # it was killed before the announcement was whole, and had done nothing
    with suppress(ModelSealError):
        if refs.get(store.path, seal.name, seal.version) != seal.id:
            return
        manifests.read(store.path, seal.id)
        if log.last_line(path) + b"\n" != line:
            fileio.sync_directory(refs.path_of(store.path, seal.name, seal.version))
            log.append(path, line)


def _index(root: str, id_: str, blake3: Mapping[str, bytes]) -> None:
    # The seal stands by now, and what the index lacks it reads in later.
    with (
        suppress(sqlite3.Error, ModelSealError, OSError),
        index.write(root, catch_up=False) as opened,
    ):
        if blake3 or not opened.lags(root, _INDEXED_AT_ONCE):
            opened.catch_up(root)
        else:  # this one does not wait for others
            opened.take(root, id_)
        if blake3:
            opened.put_blake3({bytes.fromhex(digest): said for digest, said in blake3.items()})
