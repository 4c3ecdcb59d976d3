"""Refs: which manifest is a name at a version."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from modelseal import fileio
from modelseal.errors import StoreDamagedError, UnknownRevisionError
from modelseal.store import Ref, layout, manifests

_CONTENT = re.compile(rb"([0-9a-f]{64})\n").fullmatch


def path_of(root: str, name: str, version: str) -> str:
    """The file that a ref is."""
    return os.path.join(root, "refs", layout.file_name(name), layout.file_name(version))


def get(root: str, name: str, version: str) -> str | None:
    """The id that a ref names, None where there is no such ref. Raises StoreDamagedError."""
    return read(path_of(root, name, version))


def put(root: str, name: str, version: str, id_: str) -> None:
    """Make a ref, or move it."""
    path = path_of(root, name, version)
    layout.make_directory(os.path.dirname(path))
    fileio.write_atomic(path, id_.encode() + b"\n")


def remove(root: str, name: str, version: str) -> None:
    """Take back a ref that has just been made."""
    path = path_of(root, name, version)
    with suppress(FileNotFoundError):
        os.unlink(path)
        fileio.sync_directory(path)


def listed(root: str, name: str = "") -> list[Ref]:
    """All refs, or those of one name, sorted."""
    directory = os.path.join(root, "refs")
    tops = [layout.file_name(name)] if name else layout.names_in(directory)
    return sorted(
        _ref(root, top, word)
        for top in tops
        if not layout.is_leftover(top)
        for word in layout.names_in(os.path.join(directory, top))
        if not layout.is_leftover(word)
    )


def files(root: str) -> Iterator[tuple[str, str]]:
    """Every file below refs/, as its two names; ("name", "") for what should be a directory."""
    for top in layout.names_in(os.path.join(root, "refs")):
        if layout.is_leftover(top):
            continue
        try:
            words = layout.names_in(os.path.join(root, "refs", top))
        except StoreDamagedError:
            yield top, ""
            continue
        for word in words:
            if not layout.is_leftover(word):
                yield top, word


def _ref(root: str, top: str, word: str) -> Ref:
    path = os.path.join(root, "refs", top, word)
    id_ = read(path)
    if id_ is None:
        raise StoreDamagedError(f"ref '{path}' vanished")
    try:
        if not (top.startswith("%%") or word.startswith("%%")):
            return Ref(layout.decode(top), layout.decode(word), id_)
        said = manifests.outline(manifests.read(root, id_))
    except (ValueError, UnknownRevisionError) as err:
        raise StoreDamagedError(f"ref '{path}' is damaged: {err}") from None
    return Ref(said.name, said.version, id_)


def read(path: str) -> str | None:
    """The id in a ref file, None where there is none. Raises StoreDamagedError."""
    data = layout.read_small(path)
    if data is None:
        return None
    found = _CONTENT(data)
    if not found:
        raise StoreDamagedError(
            f"ref '{path}' is damaged", hint="'modelseal fsck --repair' may know better"
        )
    return found[1].decode()
