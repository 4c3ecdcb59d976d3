"""Looking after a store: fsck finds what is wrong, and repairs what can be."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from modelseal import documents
from modelseal.canonical import canonical, identifier
from modelseal.errors import FormatError, ModelSealError, StoreDamagedError, StoreError
from modelseal.oms import bundle, statement
from modelseal.store import (
    Checked,
    Finding,
    Seal,
    Store,
    adding,
    collecting,
    cosigned,
    index,
    layout,
    lock,
    log,
    manifests,
    mending,
    refs,
    verified,
)
from modelseal.structs import SignedManifest

Check = Callable[[str, SignedManifest | bytes], str | None]

_KNOWN = layout.FILES | {"manifests", "refs", "verified", "cosigned", "log.damaged"}


def fsck(store: Store, *, repair: bool, check: Check | None) -> Checked:
    """As `Store.fsck`."""
    with _quiet(store, repair):
        first = Examination(store, check)
        if not (repair and any(found.kind != "leftover" for found in first.findings)):
            return first.result()
        mending.mend(store, first.good)
        second = Examination(store, check)
        left = {(found.kind, found.where) for found in second.findings}
        repaired = [
            found._replace(repaired=True)
            for found in first.findings
            if (found.kind, found.where) not in left
        ]
        result = second.result()
        return result._replace(findings=repaired + result.findings)


@contextmanager
def _quiet(store: Store, repair: bool) -> Iterator[None]:
    """Nobody writes meanwhile; where nothing can be written at all, nobody can."""
    if repair:
        with adding.writing(store):
            yield
        return
    try:
        held = lock.held(os.path.join(store.path, "lock"), store.lock_timeout)
        held.__enter__()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        held.__exit__(None, None, None)


class Examination:
    """One look at everything. good: the manifests that are whole, by id."""

    def __init__(self, store: Store, check: Check | None) -> None:
        self.findings: list[Finding] = []
        self.good: dict[str, mending.Known] = {}
        self._store = store
        self._check = check
        self._trusted = 0
        self._payloads: set[str] | None = None  # asked for where something is cosigned
        if os.path.lexists(self._path(cosigned.NAME)):
            self._payloads = set()
        self._lost = False
        self._sizes: dict[bytes, int] = {}
        self._disputed: set[bytes] = set()
        self._seen = 0  # a sum over pairs, for there may be millions
        self._logged: dict[tuple[str, str], str] = {}
        self._refs: dict[tuple[str, str], str] = {}
        self._seals = 0
        self._pending = log.parse(
            lock.pending(os.path.join(store.path, "lock")).rstrip(b"\n"), store.root
        )
        logged = self._read_ids()
        self._frame()
        self._manifests(logged)
        self._log()
        self._ref_files()
        self._agreement()
        self._index()
        self._verified()
        self._cosigned()
        self._leftovers()

    def result(self) -> Checked:
        """The answer."""
        return Checked(len(self.good), len(self._refs), self._seals, self._trusted, self.findings)

    def _find(self, kind: str, where: str, message: str, *, damage: bool = True) -> None:
        self.findings.append(Finding(kind, where, message, damage))

    def _path(self, *names: str) -> str:
        return os.path.join(self._store.path, *names)

    def _read_ids(self) -> set[str]:
        with suppress(OSError, StoreError):
            return {seal.id for seal in index.logged_since(self._store.path, log.Mark(0, ""))}
        return set()

    def _frame(self) -> None:
        for name, wanted in (("format", layout.FORMAT), (".gitignore", layout.GITIGNORE)):
            try:
                data = layout.read_small(self._path(name))
            except (StoreError, OSError):
                data = b""
            if data is None:
                self._find(name.lstrip("."), name, "is missing")
            elif name == "format" and data != wanted:
                self._find("format", name, "is damaged")
            elif not set(wanted.splitlines()) <= set(data.splitlines()):
                self._find("gitignore", name, "doesn't leave the caches out")
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(self._path("lock")).st_mode):
                self._find("format", "lock", "is not a regular file, so nobody can write")
        for name in layout.DIRECTORIES:
            try:
                if not stat.S_ISDIR(os.lstat(self._path(name)).st_mode):
                    self._find("format", name, "is not a directory")
            except FileNotFoundError:
                self._find("format", name, "is missing")
        for name in layout.names_in(self._store.path):
            ours = name in _KNOWN or index.is_stored_file(name) or layout.is_leftover(name)
            if not ours:
                self._find("unknown", name, "is nothing of the store's", damage=False)

    def _manifests(self, logged: set[str]) -> None:
        root = self._store.path
        try:
            ids = list(manifests.ids(root))
            for where in manifests.strangers(root):
                self._find("manifest", where, "is no manifest")
        except StoreError:
            # One of the directories is none: `strangers` names it unless it is the first.
            ids = []
            self._find("manifest", "manifests", "can't be listed")
        for id_ in ids:
            try:
                data = manifests.read(root, id_)
                signed: SignedManifest | bytes
                if manifests.is_bundle(data):
                    signed, known = data, _know_bundle(data)
                else:
                    signed = _decode(data)
                    known = self._know(data, signed)
                rows = manifests.rows(data)
            except (ModelSealError, OSError) as err:
                self._find("manifest", id_, str(err))
                continue
            self.good[id_] = known
            if id_ in logged:
                self._add_contents(id_, rows)
            if self._check is not None:
                verdict = self._check(id_, signed)
                if verdict:
                    self._find("signature", id_, verdict)
                self._trusted += verdict == ""

    def _know(self, data: bytes, signed: SignedManifest) -> mending.Known:
        said = signed.manifest
        if self._payloads is not None:
            self._payloads.add(identifier(said))
        return mending.Known(
            said.model_name,
            said.model_version,
            signed.signature.signer_id,
            len(said.files),
            said.total_size_bytes,
            manifests.outline(data).signed_at,
        )

    def _add_contents(self, id_: str, rows: list[tuple[str, str, str]]) -> None:
        """What the index should know of a manifest that is logged."""
        unknown = int(manifests.UNKNOWN)
        for _, digest, size in rows:
            content = bytes.fromhex(digest)
            before = self._sizes.setdefault(content, int(size))
            if before == unknown:
                self._sizes[content] = int(size)
            elif int(size) not in (before, unknown):
                self._disputed.add(content)
        contents = {bytes.fromhex(digest) for _, digest, _ in rows}
        self._seen += sum(_pair(content, bytes.fromhex(id_)) for content in contents)

    def _log(self) -> None:
        path = self._path("log")
        if not os.path.lexists(path):
            self._find("log", "log", "is missing")
            return
        number = 0
        try:
            for line, end, ended in log.backwards(path):
                number += 1
                seal = log.parse(line, self._store.root)
                where = f"log, at byte {end - len(line)}"
                if not ended:
                    self._find("log", where, "the last line is torn", damage=seal is not None)
                elif seal is None:
                    self._find("log", where, "a line is damaged")
                else:
                    self._seals += 1
                    self._logged.setdefault((seal.name, seal.version), seal.id)
                    self._log_line(where, seal)
        except (StoreError, OSError) as err:
            self._find("log", "log", str(err))

    def _log_line(self, where: str, seal: Seal) -> None:
        known = self.good.get(seal.id)
        if known is None:
            self._lost = True
            self._find("log", where, f"names the manifest {seal.id[:12]}, which isn't there whole")
        elif not mending.agrees(seal, known):
            self._find("log", where, f"doesn't say what the manifest {seal.id[:12]} says")

    def _ref_files(self) -> None:
        root = self._store.path
        try:
            files = list(refs.files(root))
        except StoreError:
            return  # told already
        for top, word in files:
            where = os.path.join("refs", top, word).rstrip("/")
            if not word:
                self._find("ref", where, "is not a directory")
                continue
            try:
                id_ = refs.read(self._path("refs", top, word))
            except (StoreError, OSError):
                self._find("ref", where, "is damaged")
                continue
            known = self.good.get(id_ or "")
            if known is None:
                self._find("ref", where, f"names the manifest {id_}, which isn't there whole")
                continue
            version = mending.version_of(word, known)
            if top != layout.file_name(known.name) or version is None:
                self._find("ref", where, "names a manifest of another name or version")
            else:
                self._refs[known.name, version] = id_ or ""

    def _agreement(self) -> None:
        for name, version in sorted({*self._refs, *self._logged}):
            ref, logged = self._refs.get((name, version)), self._logged.get((name, version))
            if ref == logged:
                continue
            where = os.path.join("refs", layout.file_name(name), layout.file_name(version))
            if any(finding.where == where for finding in self.findings):
                continue
            if self._pending is not None and ref == self._pending.id:
                self._find(
                    "unfinished",
                    where,
                    "its writer was killed; the next one finishes",
                    damage=False,
                )
            elif ref is None:
                self._find("ref", where, "is missing or wrong, and the log names it")
            elif logged is None:
                self._find("log", where, "the log lacks this ref")
            else:
                self._find("ref", where, "is not the one that the log names last")

    def _index(self) -> None:
        path = index.path_of(self._store.path)
        if not os.path.lexists(path):
            self._find("index", "index.db", "is missing: it is a cache", damage=False)
            return
        opened = index.read(self._store.path)
        if opened is None:
            self._find("index", "index.db", "is damaged, or of another version")
            return
        with opened:
            try:
                self._index_content(opened)
            except (sqlite3.Error, StoreError, ValueError, TypeError) as err:
                self._find("index", "index.db", f"is damaged: {err}")

    def _index_content(self, opened: index.Index) -> None:
        (verdict,) = opened.connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            self._find("index", "index.db", f"is damaged: {verdict}")
            return
        for directory, whole in opened.trees():
            if not whole:
                said = os.fsdecode(directory) if type(directory) is bytes else "?"
                self._find("index", "index.db", f"the stat cache of '{said}' is damaged")
        mark, end = opened.mark(), log.mark(self._path("log"))
        if mark != end:
            behind = mark.size < end.size and log.holds(self._path("log"), mark)
            said = "lags behind the log" if behind else "is of another log"
            self._find("index", "index.db", said, damage=False)
            return
        if self._lost:
            return  # without every manifest there is nothing to compare with
        count = 0
        right = True
        for digest, size, undamaged in opened.objects():
            count += 1
            # Of a content whose size the manifests dispute, the index has one.
            right = right and (self._sizes.get(digest) == size or digest in self._disputed)
            if not undamaged:
                self._find("index", "index.db", "a BLAKE3 digest is damaged")
        seen = sum(_pair(digest, id_ or b"") for digest, id_ in opened.seen())
        if not right or count != len(self._sizes) or seen != self._seen:
            self._find("index", "index.db", "doesn't say what the manifests say")

    def _verified(self) -> None:
        try:
            names = layout.names_in(self._path("verified"))
        except StoreError:
            self._find("verified", "verified", "is not a directory")
            return
        for word in names:
            if layout.is_leftover(word):
                continue
            where = os.path.join("verified", word)
            try:
                data = layout.read_small(self._path(where)) or b""
                name, _ = verified.parse(data, where)
                if layout.file_name(name) != word:
                    raise StoreDamagedError("it is another model's")
            except (StoreError, OSError):
                self._find("verified", where, "is damaged")

    def _cosigned(self) -> None:
        try:
            for where, message, damage in cosigned.faults(self._store.path, self._payloads or ()):
                self._find("cosigned", where, message, damage=damage)
        except StoreError:
            self._find("cosigned", cosigned.NAME, "is not a directory")

    def _leftovers(self) -> None:
        for where in layout.leftovers(self._store.path):
            self._find("leftover", where, "a killed writer left it: gc removes it", damage=False)
        with suppress(OSError):  # told already
            for id_ in collecting.unreferenced(self._store, self.good):
                self._find("unreferenced", id_, "neither ref nor log names it", damage=False)


def _decode(data: bytes) -> SignedManifest:
    signed = documents.decode(data, SignedManifest)
    if canonical(signed) != data:
        raise FormatError("it is not in canonical form")
    return signed


def _know_bundle(data: bytes) -> mending.Known:
    said = statement.decode(bundle.decode(data).payload)
    size = sum(file.size_bytes or 0 for file in said.files) if said.shard_size else None
    return mending.Known(said.model_name, None, None, len(said.files), size, "")


def _pair(digest: bytes, id_: bytes) -> int:
    return int.from_bytes(sha256(digest + id_).digest()[:16], "little")
