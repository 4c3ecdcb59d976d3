"""The index, a cache in SQLite: which manifests hold a content, and the stat cache.

It says where to look, and what need not be read for `status`; nothing is believed for its sake.
Missing, damaged or of another version, it is made anew from the log and the manifests.
"""

import os
import sqlite3
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from modelseal import fileio
from modelseal.errors import ModelSealError, StoreDamagedError
from modelseal.store import Seal, log, manifests

VERSION = 1
SCHEMA = {
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "manifests": "CREATE TABLE manifests (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE)",
    "objects": (
        "CREATE TABLE objects (sha256 BLOB PRIMARY KEY, size INTEGER NOT NULL, blake3 BLOB)"
        " WITHOUT ROWID"
    ),
    "seen": (
        "CREATE TABLE seen (sha256 BLOB, manifest INTEGER, PRIMARY KEY (sha256, manifest))"
        " WITHOUT ROWID"
    ),
    "trees": (
        "CREATE TABLE trees (directory BLOB PRIMARY KEY, checksum BLOB NOT NULL,"
        " paths BLOB NOT NULL, stats BLOB NOT NULL, digests BLOB NOT NULL)"
    ),
    # Apart, for each seal has a row of its own, and that of the tree may have megabytes.
    "sealed": (
        "CREATE TABLE sealed (directory BLOB PRIMARY KEY, checksum BLOB NOT NULL,"
        " seal BLOB NOT NULL) WITHOUT ROWID"
    ),
}

_NAME = "index.db"
_NOWHERE = log.Mark(0, "")
_SIDE_FILES = ("", "-wal", "-shm", "-journal")
_WAL = "PRAGMA journal_mode = WAL"
_PATIENCE = 5.0
_BLAKE3_BYTES = 32
_PAGE_BYTES = 16384  # most of it are rows of megabytes: a quarter of the pages, and of their frames


def path_of(root: str) -> str:
    """Where the index lies."""
    return os.path.join(root, _NAME)


def is_stored_file(name: str) -> bool:
    """Whether a name is the index or one of those that SQLite keeps beside it."""
    return name in {_NAME + suffix for suffix in _SIDE_FILES}


class Tree(NamedTuple):
    """The stat cache of a directory, as it is stored.

    paths: joined with NUL, sorted. stats: of each path device, inode, size, mtime and ctime in ns,
    64 bits each, little-endian. digests: the SHA-256 of each.
    seal: of the manifest that names exactly these paths and digests; empty if none is known to.
    """

    paths: bytes
    stats: bytes
    digests: bytes
    seal: bytes


class Index:
    """An open index. Its methods raise sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def close(self) -> None:
        """Let go of it."""
        with suppress(sqlite3.Error):
            self.connection.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def mark(self) -> log.Mark:
        """Up to where the log has been read into the index."""
        said = dict(self.connection.execute("SELECT name, value FROM meta"))
        size, check = said.get("log_size"), said.get("log_check")
        if type(size) is not int or type(check) is not str or size < 0:
            raise sqlite3.DatabaseError("the mark is damaged")
        return log.Mark(size, check)

    def holders(self, digest: bytes) -> list[str]:
        """The ids of manifests that may name this content."""
        found = self.connection.execute(
            "SELECT id FROM seen JOIN manifests ON number = manifest WHERE sha256 = ?", (digest,)
        )
        return [id_.hex() for (id_,) in found if type(id_) is bytes]

    def blake3(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """SHA-256 → BLAKE3, where it is recorded."""
        said = {}
        for digest in digests:
            row = self.connection.execute(
                "SELECT blake3 FROM objects WHERE sha256 = ?", (digest,)
            ).fetchone()
            if row and (value := _unsealed(digest, row[0])):
                said[digest] = value
        return said

    def objects(self) -> Iterator[tuple[bytes, int, bool]]:
        """All contents: SHA-256, size, and whether what is said of BLAKE3 is undamaged."""
        for digest, size, said in self.connection.execute("SELECT * FROM objects"):
            yield digest, size, said is None or _unsealed(digest, said) is not None

    def seen(self) -> Iterator[tuple[bytes, bytes | None]]:
        """All pairs of a content and the id of a manifest that names it."""
        yield from self.connection.execute(
            "SELECT sha256, id FROM seen LEFT JOIN manifests ON number = manifest"
        )

    def tree(self, directory: bytes) -> "Tree | None":
        """The stat cache of a directory, None if there is none that is whole."""
        row = self.connection.execute(
            "SELECT checksum, paths, stats, digests FROM trees WHERE directory = ?", (directory,)
        ).fetchone()
        if row is None or not _is_whole(directory, *row):
            return None
        checksum, paths, stats, digests = row
        said = self.connection.execute(
            "SELECT checksum, seal FROM sealed WHERE directory = ?", (directory,)
        ).fetchone()
        is_sealed = said is not None and _is_whole(directory + checksum, *said)
        return Tree(paths, stats, digests, said[1] if is_sealed else b"")

    def trees(self) -> Iterator[tuple[bytes, bool]]:
        """The directories in the stat cache, and whether what is said of each is whole."""
        found = self.connection.execute(
            "SELECT trees.*, sealed.checksum, sealed.seal FROM trees LEFT JOIN sealed"
            " USING (directory) UNION ALL SELECT directory, NULL, NULL, NULL, NULL, checksum, seal"
            " FROM sealed WHERE directory NOT IN (SELECT directory FROM trees)"
        )
        for directory, checksum, *columns, check, seal in found:
            whole = _is_whole(directory, checksum, *columns)
            if whole and check is not None:
                whole = _is_whole(directory + checksum, check, seal)
            yield directory, whole

    def put_tree(self, directory: bytes, tree: "Tree", *, seen: bool = False) -> None:
        """Replace the stat cache of a directory.

        seen: whether it is known to be this but for the seal, which is all that is written then.
        """
        *columns, seal = tree
        checksum = _checksum(directory, *columns)
        with self.connection:
            there = self.connection.execute(
                "SELECT checksum FROM trees WHERE directory = ?", (directory,)
            ).fetchone()
            if there != (checksum,) or not (seen or self.tree(directory)):
                self.connection.execute(
                    "INSERT OR REPLACE INTO trees VALUES (?, ?, ?, ?, ?)",
                    (directory, checksum, *columns),
                )
            self.connection.execute("DELETE FROM sealed WHERE directory = ?", (directory,))
            if seal:
                check = _checksum(directory + checksum, seal)
                self.connection.execute(
                    "INSERT INTO sealed VALUES (?, ?, ?)", (directory, check, seal)
                )

    def drop_tree(self, directory: bytes) -> None:
        """Forget a directory."""
        with self.connection:
            for table in ("trees", "sealed"):
                self.connection.execute(
                    f"DELETE FROM {table} WHERE directory = ?",  # noqa: S608 - our own names
                    (directory,),
                )

    def put_blake3(self, values: Mapping[bytes, bytes]) -> None:
        """Record BLAKE3 for contents that the index has."""
        with self.connection:
            self.connection.executemany(
                "UPDATE objects SET blake3 = ? WHERE sha256 = ?",
                [(_sealed(digest, value), digest) for digest, value in values.items()],
            )

    def lags(self, root: str, files: int) -> bool:
        """Whether the manifests that `catch_up` would read in name more than so many files."""
        path = os.path.join(root, "log")
        mark = self.mark()
        for seal in logged_since(root, mark if log.holds(path, mark) else _NOWHERE):
            files -= max(seal.files, 1)
            if files < 0:
                return True
        return False

    def catch_up(self, root: str) -> None:
        """Read in the manifests that the log names since the index was last written."""
        path = os.path.join(root, "log")
        mark = self.mark()
        with self.connection:
            if not log.holds(path, mark):
                for table in ("seen", "manifests", "objects"):
                    self.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
                mark = _NOWHERE
            end = log.mark(path)
            if end == mark:
                return
            for seal in reversed(list(logged_since(root, mark))):
                self._ingest(root, seal.id)
            self.connection.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                [("log_size", end.size), ("log_check", end.check)],
            )

    def take(self, root: str, id_: str) -> None:
        """Read in one manifest that the log names, before those that may be due before it."""
        with self.connection:
            self._ingest(root, id_)

    def _ingest(self, root: str, id_: str) -> None:
        id_bytes = bytes.fromhex(id_)
        found = self.connection.execute("SELECT 1 FROM manifests WHERE id = ?", (id_bytes,))
        if found.fetchone():
            return
        try:
            rows = manifests.rows(manifests.read(root, id_))
        except ModelSealError:
            return  # fsck's to tell
        run = self.connection.execute("INSERT INTO manifests (id) VALUES (?)", (id_bytes,))
        number = run.lastrowid
        contents = {bytes.fromhex(digest): int(size) for _, digest, size in rows}
        self.connection.executemany(
            # Of a content that only bundles name nobody says how large it is.
            "INSERT INTO objects (sha256, size) VALUES (?, ?) ON CONFLICT (sha256)"
            " DO UPDATE SET size = excluded.size WHERE size = -1",
            [item for item in contents.items() if item[1] < 1 << 63],
        )
        self.connection.executemany(
            "INSERT INTO seen VALUES (?, ?)", [(digest, number) for digest in contents]
        )


def logged_since(root: str, mark: log.Mark) -> Iterator[Seal]:
    """The seals after a mark, newest first."""
    for line, _, _ in log.backwards(os.path.join(root, "log"), since=mark.size):
        seal = log.parse(line, "")
        if seal is not None:
            yield seal


def read(root: str) -> Index | None:
    """The index for reading, or None where there is none that can be used.

    It may lag behind the log: compare `mark`.
    """
    path = path_of(root)
    if not _is_file(path):
        return None
    # Where nothing may be written, SQLite can't make the files that it shares with writers.
    for mode in ("mode=rw", "mode=ro", "mode=ro&immutable=1"):
        connection = None
        try:
            connection = _connect(path, mode)
            if _is_ours(connection):
                return Index(connection)
        except sqlite3.OperationalError:
            if connection is not None:
                connection.close()
            continue
        except (sqlite3.Error, ValueError):
            pass
        if connection is not None:
            connection.close()
        break
    return None


def write(root: str, *, catch_up: bool = True) -> Index:
    """The index for writing, up to date with the log if asked; made anew where it has to be.

    Under the writers' lock. Raises sqlite3.Error, OSError.
    """
    index = read(root)
    if index is not None:
        try:
            index.connection.execute(_WAL)  # its maker may have been killed just before
            if catch_up:
                index.catch_up(root)
        except (sqlite3.DatabaseError, ValueError) as err:
            index.close()
            if isinstance(err, sqlite3.OperationalError):
                raise  # locked, full or read-only: none of it is damage
        except BaseException:
            index.close()
            raise
        else:
            return index
    return rebuild(root, catch_up=catch_up)


def rebuild(root: str, *, catch_up: bool = True) -> Index:
    """Make the index anew. Under the writers' lock. Raises sqlite3.Error, OSError.

    It is made under another name: nobody ever sees half of one.
    """
    path = path_of(root)
    temporary = fileio.temporary_name(path)
    try:
        _build(root, temporary, catch_up=catch_up)
        # The main file first: without it, no reader takes notice of the others. And all of them
        # before the new one comes, which would take their content for its own.
        for suffix in _SIDE_FILES:
            _remove(path + suffix)
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    fileio.sync_directory(path)
    connection = _connect(path, "mode=rw")
    try:
        connection.execute(_WAL)
    except BaseException:
        connection.close()
        raise
    return Index(connection)


def _build(root: str, path: str, *, catch_up: bool) -> None:
    connection = _connect(path, "mode=rwc")
    try:
        # No second file to lie about: nobody else knows of this one, and it is all or nothing.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.values():
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)", [("log_size", 0), ("log_check", "")]
            )
            connection.execute(f"PRAGMA user_version = {VERSION}")
        if catch_up:
            Index(connection).catch_up(root)
            _keep_blake3(root, connection)
    finally:
        connection.close()


def _keep_blake3(root: str, connection: sqlite3.Connection) -> None:
    """Take over what only the old index knows, as far as it can be read."""
    old = read(root)
    if old is None:
        return
    with old, suppress(sqlite3.DatabaseError), connection:
        connection.executemany(
            "UPDATE objects SET blake3 = ? WHERE sha256 = ?",
            (
                (said, digest)
                for digest, said in old.connection.execute(
                    "SELECT sha256, blake3 FROM objects WHERE blake3 IS NOT NULL"
                )
                if _unsealed(digest, said) is not None
            ),
        )


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        if not os.path.isdir(path):
            raise
        raise StoreDamagedError(f"'{path}' is a directory: remove it") from None


def _connect(path: str, mode: str) -> sqlite3.Connection:
    name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{name}?{mode}", uri=True, timeout=_PATIENCE)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_ours(connection: sqlite3.Connection) -> bool:
    # Word for word: a view or a trigger in the place of a table could keep us busy for ever.
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return version == VERSION and dict(found) == SCHEMA


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _checksum(*parts: bytes) -> bytes:
    whole = sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.digest()[:16]


def _is_whole(key: object, check: object, *parts: object) -> bool:
    row = (key, *parts)
    return all(type(part) is bytes for part in row) and check == _checksum(*row)  # type: ignore[arg-type]


def _sealed(digest: bytes, value: bytes) -> bytes:
    if len(value) != _BLAKE3_BYTES:
        raise ValueError("a BLAKE3 digest has 32 bytes")
    return value + zlib.crc32(digest + value).to_bytes(4, "little")


def _unsealed(digest: object, said: object) -> bytes | None:
    if type(digest) is not bytes or type(said) is not bytes:
        return None
    value = said[:_BLAKE3_BYTES]
    return value if len(value) == _BLAKE3_BYTES and said == _sealed(digest, value) else None
