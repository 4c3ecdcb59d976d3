"""The stamps of files, by which the stat cache knows them again."""

import os
import signal
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress

from modelseal import tree

NOTHING = b"\xff" * tree.STAMP.size
"""In place of the stamp of what is no regular file."""

_WORTH_A_CHILD = 4000


class Measuring:
    """The stamps of some files, that are being taken. `end` is to be called in any case.

    fork: have half of the work done by a child, if it is worth one; only without threads.
    ahead: how many files the child takes at least, since its parent has something else to do.
    """

    def __init__(self, directory: str, files: Sequence[str], *, fork: bool, ahead: int = 0) -> None:
        self._top = os.fsencode(directory)
        self._files = files
        self._cut = len(files)  # what follows is the child's
        self._child = self._pipe = 0
        if fork and len(files) >= _WORTH_A_CHILD and hasattr(os, "fork"):
            self._fork(max(0, min(len(files) // 2, len(files) - ahead)))

    def _fork(self, cut: int) -> None:
        read, write = os.pipe()
        try:
            child = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            return
        if child == 0:
            try:
                os.close(read)
                with open(write, "wb") as pipe:
                    pipe.write(_measure(self._top, self._files[cut:]))
            finally:
                os._exit(0)  # short of bytes, if anything went wrong
        os.close(write)
        self._child, self._cut, self._pipe = child, cut, read

    def finish(self) -> bytes:
        """The stamps, joined; all bits set for what is no regular file."""
        first = _measure(self._top, self._files[: self._cut])
        second = b""
        if self._child:
            with open(self._pipe, "rb", closefd=False) as pipe:
                second = pipe.read()
        if len(first) + len(second) != tree.STAMP.size * len(self._files):
            second = _measure(self._top, self._files[self._cut :])
        return first + second

    def end(self) -> None:
        """Let go of the child, whatever it does; called twice, it does nothing."""
        if self._child:
            child, self._child = self._child, 0
            os.close(self._pipe)
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def take(directory: str, files: Sequence[str], *, fork: bool) -> bytes:
    """The stamps of some files, as `Measuring` gives them."""
    measuring = Measuring(directory, files, fork=fork)
    try:
        return measuring.finish()
    finally:
        measuring.end()


def _measure(top: bytes, files: Sequence[str]) -> bytes:
    lstat, stamp, kind, regular = os.lstat, tree.stamp, stat.S_IFMT, stat.S_IFREG
    stamps: list[bytes] = []
    add = stamps.append
    for path in files:
        try:
            info = lstat(b"%b/%b" % (top, path.encode()))
        except OSError:
            add(NOTHING)
            continue
        add(stamp(info) if kind(info.st_mode) == regular else NOTHING)
    return b"".join(stamps)


def sizes(files: Iterable[str], stamps: bytes) -> dict[str, int]:
    """The sizes in bytes of those files that have a stamp."""
    stamped = zip(files, tree.cut(stamps, tree.STAMP.size), strict=True)
    return {path: tree.STAMP.unpack(stamp)[2] for path, stamp in stamped if stamp != NOTHING}
