"""Clearing a store: what nobody names any more, and what killed writers left."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress

from modelseal import fileio
from modelseal.errors import ModelSealError, StoreError
from modelseal.store import (
    Collected,
    Store,
    adding,
    index,
    layout,
    lock,
    log,
    manifests,
    refs,
    statcache,
)


def gc(store: Store) -> Collected:
    """As `Store.gc`."""
    size = 0
    leftovers = []
    # The registry's writers hold the lock on the directory, not ours.
    with (
        adding.writing(store),
        fileio.locked(os.path.join(store.path, "trust.json"), store.lock_timeout),
    ):
        touched = set()
        for where in list(layout.leftovers(store.path)):
            size += _remove(os.path.join(store.path, where))
            leftovers.append(where)
            touched.add(os.path.dirname(os.path.join(store.path, where)))
        dropped = unreferenced(store, set(manifests.ids(store.path)))
        for id_ in dropped:
            size += _remove(manifests.path_of(store.path, id_))
            touched.add(os.path.dirname(manifests.path_of(store.path, id_)))
        for directory in touched:
            fileio.sync_directory(os.path.join(directory, "."))
        for name in layout.DIRECTORIES:
            for below in layout.names_in(os.path.join(store.path, name)):
                with suppress(OSError):
                    os.rmdir(os.path.join(store.path, name, below))
        rows = 0
        with suppress(sqlite3.Error, ModelSealError), index.write(store.path) as opened:
            rows = statcache.prune(store.path, opened)
    return Collected(dropped, leftovers, rows, size)


def unreferenced(store: Store, ids: Iterable[str]) -> list[str]:
    """Those of some manifests that neither a ref, nor the log, nor a killed writer names.

    Nothing is where something is damaged: it might be named there. Raises OSError.
    """
    named: set[str] = set()
    try:
        for line, _, ended in log.backwards(os.path.join(store.path, "log")):
            seal = log.parse(line, store.root)
            if seal is None and ended:
                return []
            if seal is not None:
                named.add(seal.id)
        for top, word in refs.files(store.path):
            named.add(refs.read(os.path.join(store.path, "refs", top, word)) or "")
    except StoreError:
        return []
    pending = lock.pending(os.path.join(store.path, "lock"))
    seal = log.parse(pending.rstrip(b"\n"), store.root)
    if seal is not None:
        named.add(seal.id)
    return sorted(id_ for id_ in ids if id_ not in named)


def _remove(path: str) -> int:
    with fileio.naming("remove", path):
        size = os.lstat(path).st_size
        os.unlink(path)
    return size
