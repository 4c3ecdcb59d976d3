"""Where a store is, what lies in it under which name, and whether it may be used."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from errno import ENOENT, ENOTDIR

from modelseal import fileio
from modelseal.errors import (
    FormatError,
    OverwriteError,
    StoreDamagedError,
    StoreFormatError,
    StoreMissingError,
    StoreRefusedError,
)

NAME = ".modelseal"
FORMAT = b"modelseal store 1\n"
GITIGNORE = b"/index.db*\n/lock\n/owner\n/verified/\n"
DIRECTORIES = ("manifests", "refs")
FILES = frozenset(
    {"format", "log", "trust.json", "config.toml", "index.db", ".gitignore", "lock", "owner"}
)

_FORMAT = re.compile(rb"modelseal store ([1-9][0-9]{0,8})\n").fullmatch
_SMALL_FILE = 1 << 16
LONGEST = 200
"""Bytes of an encoded name; file systems take 255."""

_PLAIN = re.compile(r"[A-Za-z0-9_+@=,~-][A-Za-z0-9._+@=,~-]*").fullmatch
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+@=,~-")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{16}\.tmp").fullmatch

_HINT_NAME = "name a store with '--store DIR'"
_HINT_FSCK = "'modelseal fsck' says more"


def encode(text: str, *, also: bytes = b"") -> str:
    """Any text → a word of letters, digits and `._+@=,~-%` that doesn't begin with a dot.

    also: further characters that stand for themselves, `/` for one.
    """
    if _PLAIN(text):
        return text
    if not text:
        return "%"
    data = text.encode("utf-8", "surrogateescape")
    said = "".join(chr(byte) if byte in _SAFE or byte in also else f"%{byte:02X}" for byte in data)
    return "%2E" + said[1:] if said[0] == "." else said


def decode(word: str) -> str:
    """What `encode` made a word of. Raises ValueError for a word that it doesn't make."""
    if _PLAIN(word):
        return word
    if word == "%":
        return ""
    data = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), word.encode("ascii"))
    text = data.decode("utf-8", "surrogateescape")
    if encode(text, also=b"/") != word and encode(text) != word:
        raise ValueError(f"{word!r} is no encoded name")
    return text


def file_name(text: str) -> str:
    """The file name for a model's name or version; a digest of what would be too long."""
    word = encode(text)
    return word if len(word) <= LONGEST else f"%%{hashlib.sha256(text.encode()).hexdigest()}"


def is_leftover(name: str) -> bool:
    """Whether a file name is one of those that are written before a file is replaced."""
    return _LEFTOVER(name) is not None


def find(start: fileio.Location, *, repairing: bool) -> str | None:
    """The nearest store at `start` or above; None where there is none, or an unfinished one."""
    with fileio.naming("find", start):
        directory = os.path.realpath(start)
    while True:
        path = os.path.join(directory, NAME)
        try:
            info = os.lstat(path)
        except OSError as err:
            if err.errno not in (ENOENT, ENOTDIR):
                raise
        else:
            _judge(path, info)
            _check_owner(path, info)
            return path if _check_format(path, repairing=repairing) else None
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def open_(directory: fileio.Location, *, repairing: bool) -> str:
    """The store that somebody names: the directory itself, or `.modelseal` in it."""
    with fileio.naming("find", directory):
        path = os.path.realpath(directory)
    if os.path.basename(path) != NAME and not os.path.lexists(os.path.join(path, "format")):
        path = os.path.join(path, NAME)
    try:
        info = os.lstat(path)
    except OSError as err:
        if err.errno not in (ENOENT, ENOTDIR):
            raise
        raise _missing(os.fspath(directory)) from None
    _judge(path, info)
    if not _check_format(path, repairing=repairing):
        raise _missing(os.fspath(directory))
    return path


def init(directory: fileio.Location) -> str:
    """Make a store, or finish one that was begun; `format` comes last and makes it one."""
    with fileio.naming("find", directory):
        path = os.path.join(os.path.realpath(directory), NAME)
    with suppress(FileExistsError), fileio.naming("make", path):
        os.mkdir(path)
    _judge(path, os.lstat(path))
    if _check_format(path, repairing=False):
        return path
    for name in DIRECTORIES:
        make_directory(os.path.join(path, name))
    for name, data in ((".gitignore", GITIGNORE), ("log", b""), ("format", FORMAT)):
        with suppress(OverwriteError):
            fileio.write_new(os.path.join(path, name), data)
    fileio.sync_directory(path)
    _check_format(path, repairing=False)
    return path


def check_directories(path: str) -> None:
    """Before writing: nothing in a delivered store may lead out of it."""
    for name in (*DIRECTORIES, "verified", "cosigned"):
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(os.path.join(path, name)).st_mode):
                raise StoreDamagedError(f"'{os.path.join(path, name)}' is not a directory")


def make_directory(path: str) -> None:
    """Make a directory of the store where it isn't there yet."""
    with fileio.naming("make", path):
        try:
            os.mkdir(path)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                return
            raise StoreDamagedError(f"'{path}' is not a directory") from None
        fileio.sync_directory(path)


def names_in(directory: str) -> list[str]:
    """The names in a directory of the store, sorted; none where it doesn't exist.

    Raises StoreDamagedError for what is none, a link to one among it: gc would clear another store.
    """
    try:
        return _list(directory)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise StoreDamagedError(f"'{directory}' is not a directory", hint=_HINT_FSCK) from None


def read_small(path: str) -> bytes | None:
    """The content of a small file of the store, None where it doesn't exist.

    Raises StoreDamagedError for what is no file, or too large for one of ours.
    """
    try:
        return fileio.read_bounded(path, _SMALL_FILE)
    except FileNotFoundError:
        return None
    except (FormatError, NotADirectoryError) as err:
        raise StoreDamagedError(f"'{path}' is damaged: {err}", hint=_HINT_FSCK) from None


def leftovers(path: str) -> Iterator[str]:
    """What killed writers left behind, as paths below the store."""
    for top in ("", "verified", "manifests", "refs", "cosigned"):
        directory = os.path.join(path, top)
        for name in _names(directory):
            if is_leftover(name):
                yield os.path.join(top, name)
            elif top in (*DIRECTORIES, "cosigned"):
                for below in _names(os.path.join(directory, name)):
                    if is_leftover(below):
                        yield os.path.join(top, name, below)


def _list(directory: str) -> list[str]:
    if stat.S_ISLNK(os.lstat(directory).st_mode):
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), directory)
    return sorted(os.listdir(directory))


def _names(directory: str) -> list[str]:
    try:
        return _list(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _judge(path: str, info: os.stat_result) -> None:
    if stat.S_ISLNK(info.st_mode):
        raise StoreRefusedError(f"'{path}' is a symbolic link, not a store", hint=_HINT_NAME)
    if not stat.S_ISDIR(info.st_mode):
        raise StoreRefusedError(f"'{path}' is not a directory", hint=_HINT_NAME)


def _check_owner(path: str, info: os.stat_result) -> None:
    # Somebody else's store above a shared directory would bring somebody else's trusted keys.
    if hasattr(os, "geteuid") and info.st_uid not in (os.geteuid(), 0):
        raise StoreRefusedError(
            f"'{path}' belongs to another user", hint=f"if you trust it: --store '{path}'"
        )


def _check_format(path: str, *, repairing: bool) -> bool:
    """Whether there is a store of our format; False for one that nobody finished making."""
    data = _format(path)
    if data is None:
        if not _is_used(path):
            return False
        data = _format(path)  # whoever has used it meanwhile found it there
    if data == FORMAT:
        return True
    newer = _FORMAT(data or b"")
    if newer:
        raise StoreFormatError(
            f"'{path}' has store format {int(newer[1])}; this version knows format 1",
            hint="use a newer modelseal",
        )
    if repairing:
        return True
    raise StoreDamagedError(
        f"'{os.path.join(path, 'format')}' is missing or damaged",
        hint="'modelseal fsck --repair' writes it anew",
    )


def _format(path: str) -> bytes | None:
    try:
        return read_small(os.path.join(path, "format"))
    except StoreDamagedError:
        return b""


def _is_used(path: str) -> bool:
    """Whether something lies in a store that only comes into one that is finished."""
    if any(os.path.lexists(os.path.join(path, name)) for name in ("lock", "index.db")):
        return True
    if any(_names(os.path.join(path, name)) for name in DIRECTORIES):
        return True
    with suppress(OSError):
        return os.path.getsize(os.path.join(path, "log")) > 0
    return False


def _missing(directory: str) -> StoreMissingError:
    return StoreMissingError(
        f"there is no store at '{directory}'", hint="'modelseal init' makes one"
    )
