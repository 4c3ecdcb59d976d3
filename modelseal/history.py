"""Which commits a push adds to what the remote has, and what each is to be compared with."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeGuard

from modelseal.errors import GitError
from modelseal.git import Objects, Repository

_COMMIT_LIMIT: Final = 16 << 20

_Commits = frozenset[str]


class Update(Protocol):
    """A ref here, and the one there that will follow it; names of objects."""

    @property
    def local(self) -> str: ...
    @property
    def remote_ref(self) -> str: ...
    @property
    def remote(self) -> str: ...


class Step(NamedTuple):
    """A tree to look at.

    ref: as it will be called there. commit: or the tree, where a ref points to one.
    bases: trees that the remote has; what is in one of them is not new.
    """

    ref: str
    commit: str
    top: str
    bases: list[str]


class History:
    """The commits of a push."""

    def __init__(self, repository: Repository, objects: Objects, remote: str) -> None:
        self._repository = repository
        self._objects = objects
        self._remote = remote
        self._tops: dict[str, tuple[str, str]] = {}

    def steps(self, updates: Sequence[Update], *, every: bool) -> Iterator[Step]:
        """What to look at, ref by ref.

        every: each new commit beside its parents, before where the ref will point. Raises
        GitError.
        """
        moved = [update for update in updates if update.local.strip("0")]
        tips = {update.local: self._peel(update.local) for update in moved}
        olds = {update.remote: self._peel(update.remote) for update in moved}
        known = {peeled[0] for peeled in olds.values() if _is_commit(peeled)}
        fresh = [update for update in moved if olds[update.remote] is None]
        new = _New({}, {})
        if every or fresh:
            known |= self._tracked() if fresh else set()
            commits = [peeled[0] for peeled in tips.values() if _is_commit(peeled)]
            new = self._new(commits, known, every=every)
        seen: set[str] = set()
        for update in moved:
            tip = tips[update.local]
            if tip is None:
                raise GitError(f"'{update.remote_ref}': {update.local} is not in this repository")
            commit, top = tip
            if not top:
                continue  # a lone file, which lies in no directory
            if every:
                yield from self._each(update.remote_ref, commit, new, seen)
            old = olds[update.remote]
            if old is not None:
                bases = [old[1]]
            elif update.remote.strip("0"):
                bases = []  # what the remote has there was never seen here
            else:
                bases = self._trees(new.borders.get(commit, {commit} & known))
            yield Step(update.remote_ref, commit, top, [base for base in bases if base])

    def _each(self, ref: str, tip: str, new: "_New", seen: set[str]) -> Iterator[Step]:
        waiting = [tip]
        while waiting:
            commit = waiting.pop()
            if commit in seen or commit not in new.parents:
                continue
            seen.add(commit)
            parents = new.parents[commit]
            peeled = self._peel(commit)
            if peeled is None:
                raise GitError(f"'{ref}': commit {commit} is not in this repository")
            yield Step(ref, commit, peeled[1], self._trees(parents))
            waiting.extend(parents)

    def _trees(self, commits: "Sequence[str] | _Commits | set[str]") -> list[str]:
        peeled = (self._peel(commit) for commit in commits)
        return [found[1] for found in peeled if found and found[1]]

    def _peel(self, name: str) -> tuple[str, str] | None:
        """Commit and its tree; a tree twice; a blob and nothing; None for what isn't here."""
        if not name.strip("0"):
            return None
        if name in self._tops:
            return self._tops[name]
        found = self._objects.get(f"{name}^{{}}", limit=_COMMIT_LIMIT)
        if found is None:
            return None
        top = ""
        if found.kind == "commit":
            word, _, rest = found.data.partition(b" ")
            if word != b"tree":
                raise GitError(f"commit {found.oid} is damaged", hint="git fsck says more")
            top = rest.partition(b"\n")[0].decode(errors="replace")
        elif found.kind == "tree":
            top = found.oid
        self._tops[name] = found.oid, top
        return self._tops[name]

    def _tracked(self) -> set[str]:
        """Commits that the remote had when it was last asked."""
        listed = self._repository.ask(
            "for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes/"
        )
        found = set()
        for line in listed.decode(errors="surrogateescape").splitlines():
            oid, _, ref = line.partition(" ")
            if ref.startswith(f"refs/remotes/{self._remote}/") and _is_commit(
                peeled := self._peel(oid)
            ):
                found.add(peeled[0])
        return found

    def _new(self, tips: Sequence[str], known: set[str], *, every: bool) -> "_New":
        """The commits that the remote doesn't have, and where they leave those that it has."""
        if not known and not every:
            return _New({}, {})  # nothing to compare with: no need to walk the whole history
        asked = "".join(f"{oid}\n" for oid in tips) + "".join(f"^{oid}\n" for oid in known)
        listed = self._repository.ask(
            "rev-list",
            "--stdin",
            "--topo-order",
            "--reverse",
            "--parents",
            stdin=asked.encode(),
        )
        parents: dict[str, list[str]] = {}
        borders: dict[str, _Commits] = {}
        for line in listed.decode().splitlines():
            commit, *above = line.split()
            parents[commit] = above
            ends = [borders.get(parent, frozenset({parent})) for parent in above]
            borders[commit] = ends[0] if len(ends) == 1 else frozenset().union(*ends)
        return _New(parents, borders)


def _is_commit(peeled: tuple[str, str] | None) -> TypeGuard[tuple[str, str]]:
    return peeled is not None and peeled[1] not in ("", peeled[0])


class _New(NamedTuple):
    """New commits, by name: their parents, and the nearest commits that are not new."""

    parents: dict[str, list[str]]
    borders: dict[str, _Commits]
