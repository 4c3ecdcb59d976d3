"""Ask git: where a repository is, what its settings say, and what its objects hold.

Objects are read by `git cat-file --batch`, so any object format, packing and alternate will do.
Replacements (git-replace(1)) are never followed: a push sends what they hide.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from modelseal.errors import GitError
from modelseal.lfs import POINTER_LIMIT

TYPE_CHECKING = False  # typing itself would cost `hook status` its import
if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Self

    from modelseal.digests import Stream

_GIT = ("git", "--no-replace-objects")
_GROUP = 100  # questions: twice as many fit in a pipe, or writing and reading would wait in turn
_PIECE = 1 << 20


class Repository:
    """A git repository, and a directory of it to ask from.

    directory: where git runs hooks: the top of the work tree, or a bare repository itself.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @classmethod
    def find(cls, start: str = ".") -> "Self":
        """The repository around `start`. Raises GitError where there is none."""
        inside = _ask(start, "rev-parse", "--is-inside-work-tree").strip()
        what = "--show-toplevel" if inside == b"true" else "--absolute-git-dir"
        return cls(_line(_ask(start, "rev-parse", what)))

    def ask(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What a git command prints. Raises GitError where it fails."""
        return _ask(self.directory, *arguments, stdin=stdin)

    def hook_path(self, name: str) -> str:
        """Where git looks for a hook: core.hooksPath and linked work trees have their say."""
        # Relative to where hooks run, as git itself takes a relative core.hooksPath; and as it
        # is called, since git's own absolute form is that of what a link leads to.
        path = _line(self.ask("rev-parse", "--git-path", f"hooks/{name}"))
        return os.path.normpath(os.path.join(self.directory, path))

    def settings(self, section: str) -> dict[str, str]:
        """Key → value of a section of git's configuration; of several values the last."""
        try:
            listed = self.ask("config", "--null", "--get-regexp", rf"^{section}\.")
        except GitError as err:
            if err.status == 1:  # nothing of that name
                return {}
            raise
        pairs = (item.partition("\n") for item in listed.decode(errors="replace").split("\0"))
        return {key.lower(): value for key, _, value in pairs if key}


def _ask(directory: str, *arguments: str, stdin: bytes = b"") -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - a list, and no shell
            [*_GIT, *arguments], input=stdin, capture_output=True, cwd=directory, check=False
        )
    except FileNotFoundError as err:
        raise _not_started(err, directory) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[0].removeprefix("fatal: ") if said else f"exit code {done.returncode}"
        raise GitError(f"git {arguments[0]}: {reason}", status=done.returncode)
    return done.stdout


def _not_started(err: FileNotFoundError, directory: str) -> GitError:
    if err.filename == directory:
        return GitError(f"cannot use '{directory}': no such directory")
    return GitError("git is not installed", hint="install it, or put it on PATH")


def _line(output: bytes) -> str:
    """One path, as the system's calls take it: git ends it with a newline of its own."""
    return os.fsdecode(output[:-1] if output.endswith(b"\n") else output)


class Object:
    """An object of a repository. size, data: its bytes, none where they are more than asked for."""

    __slots__ = ("data", "kind", "oid", "size")

    def __init__(self, oid: str, kind: str, size: int, data: bytes) -> None:
        self.oid = oid
        self.kind = kind
        self.size = size
        self.data = data


class Blob:
    """What is known of a blob once it was streamed.

    digests: one, or one a shard.
    head: the whole of it where it is smaller than a git-lfs pointer may be, else nothing.
    """

    __slots__ = ("digests", "head", "size")

    def __init__(self, size: int, digests: tuple[bytes, ...], head: bytes) -> None:
        self.size = size
        self.digests = digests
        self.head = head


class Objects:
    """The objects of a repository, through one `git cat-file --batch`; a context manager."""

    def __init__(self, repository: Repository) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a list, and no shell
                [*_GIT, "cat-file", "--batch"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=repository.directory,
                bufsize=_PIECE,
            )
        except FileNotFoundError as err:
            raise _not_started(err, repository.directory) from None
        assert self._process.stdin and self._process.stdout  # noqa: S101 - both are pipes
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        err: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        if err is not None:
            self._process.kill()  # it may be in the middle of an answer that nobody reads
        with suppress(OSError):
            self._in.close()
        self._out.close()
        self._process.wait()

    def get(self, name: str, *, limit: int) -> Object | None:
        """An object by any name that git knows, peeled with `^{}`; None where there is none.

        limit: bytes; of a larger object the data is left empty.
        """
        self._send([name])
        found = self._header()
        if found is None:
            return None
        oid, kind, size = found
        keep = size <= limit
        pieces = [piece for piece in self._content(size) if keep]
        return Object(oid, kind, size, b"".join(pieces))

    def blobs(
        self,
        oids: Iterable[str],
        tick: Callable[[int], None] | None = None,
        *,
        algorithm: str = "sha256",
        shard_size: int = 0,
    ) -> dict[str, Blob | None]:
        """Blobs by their names, streamed: no more than a piece of one is in memory.

        algorithm, shard_size: as in `digests.Stream`.
        tick: called with the count of bytes just read.
        Returns None for what is missing or no blob.
        """
        from modelseal.digests import Stream

        names = list(dict.fromkeys(oids))
        found: dict[str, Blob | None] = {}
        # One group ahead, so that git is never without a question.
        self._send(names[:_GROUP])
        for start in range(0, len(names), _GROUP):
            ahead = start + _GROUP
            self._send(names[ahead : ahead + _GROUP])
            for name in names[start:ahead]:
                found[name] = self._blob(tick, Stream(algorithm, shard_size))
        return found

    def _blob(self, tick: Callable[[int], None] | None, stream: "Stream") -> Blob | None:
        header = self._header()
        if header is None:
            return None
        _, kind, size = header
        head = b""
        for piece in self._content(size):
            stream.update(piece)
            if size < POINTER_LIMIT:
                head = piece
            if tick:
                tick(len(piece))
        return Blob(size, stream.digests(), head) if kind == "blob" else None

    def _send(self, names: Sequence[str]) -> None:
        try:
            self._in.write("".join(f"{name}\n" for name in names).encode())
            self._in.flush()
        except BrokenPipeError:
            raise GitError("git cat-file ended before it was asked everything") from None

    def _header(self) -> tuple[str, str, int] | None:
        header = self._out.readline()
        if not header.endswith(b"\n"):
            raise GitError("git cat-file ended in the middle of an answer")
        words = header.decode(errors="replace").split()
        if len(words) == 3 and words[2].isdigit():
            return words[0], words[1], int(words[2])
        return None  # "… missing", and whatever else is no object

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            piece = self._out.read(min(left, _PIECE))
            if not piece:
                raise GitError("git cat-file ended in the middle of an object")
            left -= len(piece)
            yield piece
        self._out.read(1)  # the newline after it
