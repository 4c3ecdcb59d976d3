"""What fsck can put right: all that the manifests, or another part of the store, still know."""

import os
import re
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from modelseal import fileio
from modelseal.errors import StoreError
from modelseal.store import Ref, Seal, Store, index, layout, log, manifests, refs, verified

_IDS = re.compile(rb"[0-9a-f]{64}")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})")


class Known(NamedTuple):
    """What a good manifest says, as far as the rest of the store has to agree with it.

    None and an empty `signed_at`: what a bundle doesn't say, and only the log, or a ref, knows.
    """

    name: str
    version: str | None
    signer_id: str | None
    files: int
    size: int | None
    signed_at: str


Good = Mapping[str, Known]


def agrees(seal: Seal, known: Known) -> bool:
    """Whether a line of the log says what its manifest says."""
    said = (seal.name, seal.version, seal.signer_id, seal.files, seal.size)
    return all(each in (None, word) for each, word in zip(known[:5], said, strict=True))


def version_of(word: str, known: Known) -> str | None:
    """The version that a ref's file name stands for, None where it isn't the manifest's."""
    if known.version is not None:
        return known.version if word == layout.file_name(known.version) else None
    with suppress(ValueError):
        return layout.decode(word)
    return None


def mend(store: Store, good: Good) -> None:
    """Repair a store. good: the manifests that are whole. Under the writers' lock."""
    _frame(store.path)
    seals, whole = _seals(store, good)
    _refs(store, good, seals)
    logged = {(seal.name, seal.version, seal.id) for seal in seals}
    lost = [
        _from_manifest(ref.id, good, ref.version)
        for ref in _good_refs(store, good)
        if (ref.name, ref.version, ref.id) not in logged
    ]
    if lost or not whole:
        _rewrite_log(store, good, seals, lost)
    _verified(store.path)
    with suppress(sqlite3.Error, StoreError):
        index.rebuild(store.path).close()


def _frame(root: str) -> None:
    for name, wanted in (("format", layout.FORMAT), (".gitignore", layout.GITIGNORE)):
        path = os.path.join(root, name)
        with suppress(StoreError, OSError):
            try:
                data = layout.read_small(path) or b""
            except StoreError:
                data = b""
            if name == "format":
                kept = data == wanted
            else:
                kept = set(wanted.splitlines()) <= set(data.splitlines())
            if not kept:
                fileio.write_atomic(path, wanted)
    for name in layout.DIRECTORIES:
        with suppress(StoreError, OSError):
            layout.make_directory(os.path.join(root, name))


def _seals(store: Store, good: Good) -> tuple[list[Seal], bool]:
    """What the log says, oldest first, and whether it needs no repair."""
    path = os.path.join(store.path, "log")
    versions = {ref.id: ref.version for ref in _good_refs(store, good)}
    seals = []
    whole = os.path.lexists(path)
    with suppress(StoreError, OSError):
        for line, _, ended in log.backwards(path):
            seal = log.parse(line, store.root)
            agreed = seal is not None and _agrees(seal, good)
            whole = whole and ended and (agreed or (seal is not None and seal.id not in good))
            if seal is None or not (agreed or seal.id not in good):
                seal = _salvage(line, store.root, good, versions)
            if seal is not None:
                seals.append(seal)
        return seals[::-1], whole
    return [], False


def _agrees(seal: Seal, good: Good) -> bool:
    known = good.get(seal.id)
    return known is not None and agrees(seal, known)


def _salvage(line: bytes, root: str, good: Good, versions: Mapping[str, str]) -> Seal | None:
    """A damaged line as the manifest has it, with what of time and place can still be read."""
    named = [found.decode() for found in _IDS.findall(line) if found.decode() in good]
    if not named:
        return None
    seal = _from_manifest(named[0], good, versions.get(named[0], manifests.UNVERSIONED))
    words = line.decode("ascii", "replace").split(" ")
    body = " ".join(words[:-1])
    fixed = (
        log.parse(log.signed_line(body.split(" ")).rstrip(b"\n"), root) if body.isascii() else None
    )
    if fixed is not None and fixed.id == seal.id and _agrees(fixed, good):
        return fixed
    if fixed is not None:
        seal = seal._replace(sealed_at=fixed.sealed_at, directory=fixed.directory)
    return seal


def _from_manifest(id_: str, good: Good, version: str) -> Seal:
    """version: of a bundle, which doesn't say it."""
    known = good[id_]
    found = _TIME.match(known.signed_at)
    return Seal(
        id_,
        known.name,
        version if known.version is None else known.version,
        known.signer_id or "",
        known.files,
        known.size or 0,
        f"{found[1]}Z" if found else log.now(),
        "",
    )


def _refs(store: Store, good: Good, seals: list[Seal]) -> None:
    """Every ref as the log has it last."""
    wanted = {(seal.name, seal.version): seal.id for seal in seals if _agrees(seal, good)}
    for (name, version), id_ in wanted.items():
        with suppress(StoreError, OSError):
            try:
                if refs.get(store.path, name, version) == id_:
                    continue
            except StoreError:
                with suppress(OSError):
                    os.rmdir(refs.path_of(store.path, name, version))
            top = os.path.dirname(refs.path_of(store.path, name, version))
            if os.path.lexists(top) and not stat.S_ISDIR(os.lstat(top).st_mode):
                os.unlink(top)
            refs.put(store.path, name, version, id_)


def _good_refs(store: Store, good: Good) -> list[Ref]:
    found = []
    for top, word in refs.files(store.path):
        with suppress(StoreError, OSError):
            id_ = refs.read(os.path.join(store.path, "refs", top, word)) if word else None
            known = good.get(id_ or "")
            if known is None:
                continue
            version = known.version or version_of(word, known)
            if id_ and version is not None and top == layout.file_name(known.name):
                found.append(Ref(known.name, version, id_))
    return found


def _rewrite_log(store: Store, good: Good, seals: list[Seal], lost: list[Seal]) -> None:
    """Put what was lost where its time says, and keep the old log beside the new one."""
    path = os.path.join(store.path, "log")

    def signed_at(seal: Seal) -> str:
        known = good.get(seal.id)
        return (known and known.signed_at) or seal.sealed_at

    merged = list(seals)
    for seal in lost:
        later = (n for n, other in enumerate(merged) if signed_at(other) > signed_at(seal))
        place = next(later, len(merged))
        merged.insert(place, seal)
    with suppress(FileNotFoundError):
        if os.lstat(path).st_size:
            os.rename(path, f"{path}.damaged")
    fileio.write_atomic(path, b"".join(log.format_line(seal, store.root) for seal in merged))


def _verified(root: str) -> None:
    directory = os.path.join(root, "verified")
    for word in layout.names_in(directory) if os.path.isdir(directory) else []:
        path = os.path.join(directory, word)
        try:
            name, _ = verified.parse(layout.read_small(path) or b"", path)
            damaged = layout.file_name(name) != word
        except StoreError:
            damaged = True
        if damaged and not layout.is_leftover(word):
            with suppress(OSError):
                os.unlink(path)
