"""Which sealed models hold a content: the index says where to look, the manifests answer."""

import os
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import suppress

from modelseal.errors import ModelSealError
from modelseal.store import Seen, index, lock, log, manifests


def identify(root: str, digests: Collection[bytes]) -> dict[bytes, list[Seen]]:
    """As `Store.identify`."""
    wanted: dict[bytes, list[str]] = {digest: [] for digest in digests}
    behind = log.Mark(0, "")
    opened = _current(root)
    if opened is not None:
        with opened, suppress(sqlite3.Error, ValueError):
            for digest, ids in wanted.items():
                ids.extend(opened.holders(digest))
            behind = opened.mark()
    later = [seal.id for seal in index.logged_since(root, behind)]
    asked: dict[str, set[str]] = {}
    for digest, ids in wanted.items():
        for id_ in (*ids, *later):
            asked.setdefault(id_, set()).add(digest.hex())
    return _confirm(root, asked, wanted)


def blake3(root: str, digests: Iterable[bytes]) -> dict[bytes, bytes]:
    """As `Store.blake3`."""
    opened = index.read(root)
    if opened is not None:
        with opened, suppress(sqlite3.Error, ValueError):
            return opened.blake3(digests)
    return {}


def _current(root: str) -> index.Index | None:
    """The index, brought up to date first if nobody else is writing; None without a usable one."""
    path = os.path.join(root, "log")
    opened = index.read(root)
    if opened is not None:
        with suppress(sqlite3.Error, ValueError):
            if opened.mark() == log.mark(path):
                return opened
        opened.close()
    lock_file = os.path.join(root, "lock")
    with suppress(ModelSealError, OSError, sqlite3.Error), lock.held(lock_file, 0):
        return index.write(root)
    opened = index.read(root)
    if opened is not None:
        with suppress(sqlite3.Error, ValueError, OSError):
            if log.holds(path, opened.mark()):
                return opened
        opened.close()
    return None


def _confirm(
    root: str, asked: dict[str, set[str]], wanted: Collection[bytes]
) -> dict[bytes, list[Seen]]:
    """Let each manifest say itself which of the digests it names, and where."""
    found: list[tuple[str, str, Seen]] = []
    for id_, digests in asked.items():
        with suppress(ModelSealError):  # a damaged manifest is no answer
            data = manifests.read(root, id_)
            bundle = manifests.is_bundle(data)
            if not bundle and not any(digest.encode() in data for digest in digests):
                continue
            said = manifests.outline(data)
            version, at = _logged(root, id_) if bundle else (said.version, said.signed_at)
            for path, digest, size in manifests.rows(data):
                if digest in digests:
                    known = None if size == manifests.UNKNOWN else int(size)
                    found.append((at, digest, Seen(id_, said.name, version, path, known)))
    found.sort(key=lambda item: item[2].path)
    found.sort(key=lambda item: item[0], reverse=True)
    answers: dict[bytes, list[Seen]] = {digest: [] for digest in wanted}
    for _, digest, seen in found:
        answers[bytes.fromhex(digest)].append(seen)
    return answers


def _logged(root: str, id_: str) -> tuple[str, str]:
    """What a bundle doesn't say: its version here, and when it was sealed."""
    seals = log.seals(os.path.join(root, "log"), os.path.dirname(root), id_=id_)
    return next(((seal.version, seal.sealed_at) for seal in seals), (manifests.UNVERSIONED, ""))
