"""The first half of signing: a directory → the digests of its files.

Nothing heavy is loaded here, and what children can do they begin at once: whoever signs has a key
to load meanwhile, and what loads keys.
"""

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, Unpack

from modelseal import fileio, hashing, manifestfiles, oddities, paths, tree
from modelseal.digests import BLAKE3, SHA256
from modelseal.errors import ModelError, ModelSealError
from modelseal.store import measuring

if TYPE_CHECKING:
    from modelseal.store import Store

_WHILE_LOADING = 15_000
"""Files that a child measures in the time that it takes to load what signs."""


class Survey:
    """A model directory that was walked, and whose files are being hashed.

    A context manager: leaving it ends what still runs.

    files: the paths of the model's files, sorted.
    hashed: how many of them were read, once `finish` has returned.
    """

    def __init__(
        self,
        model_dir: fileio.Location,
        *,
        output: fileio.Location | None = None,
        store: "Store | None" = None,
        incremental: bool = False,
        precheck: bool = False,
        ignore_paths: Collection[str] = (),
        follow_symlinks: bool = False,
        warn: Callable[[str], None] | None = None,
        **how: Unpack[hashing.Options],
    ) -> None:
        """Walk the model, and begin.

        output: where the signed manifest will be, to leave that file out.
        store: whose stat cache is to be told. incremental: ask it, too.
        precheck: make BLAKE3 digests beside those by SHA-256.
        The rest as for `ModelSigner.create_manifest`.
        Raises ModelError for a directory that isn't one, is empty, or holds what can't be signed;
        FormatError.
        """
        self.model_dir = model_dir
        self.hashed = 0
        found = tree.walk(
            model_dir,
            exclude=_left_out(model_dir, output),
            ignore=paths.normalise_all(ignore_paths),
            follow_symlinks=follow_symlinks,
        )
        written = (
            manifestfiles.DEFAULT_NAME
            if output is None
            else manifestfiles.relative(output, model_dir)
        )
        found.files = [path for path in found.files if not _is_stray(path, written)]
        oddities.refuse_oddities(found, model_dir)
        if warn:
            for path in found.outside:
                warn(oddities.outside_warning(path, found.links[path]))
        self.files: Sequence[str] = found.files
        self._links = found.links
        self._algorithms = (SHA256, BLAKE3) if precheck else (SHA256,)
        self._how = how
        self._store = store
        self._outcomes: hashing.Outcomes | None = None
        fork = how.get("fork", False)
        taken_at = time.time_ns()
        self._begun: hashing.Hashing | None = None
        measured = None
        with ExitStack() as stack:
            if incremental and store is not None:
                plain = [path for path in found.files if path not in found.links]
                top = os.path.realpath(model_dir)
                measured = measuring.Measuring(top, plain, fork=fork, ahead=_WHILE_LOADING)
                stack.callback(measured.end)
            else:
                self._begun = stack.enter_context(self._hashing(found.files))
            self._cache = None
            if store is not None:  # only now: what it loads takes its time, too
                self._cache = store.stat_cache(
                    model_dir,
                    found.files,
                    links=found.links,
                    fork=fork,
                    taken_at=taken_at,
                    begun=measured,
                )
            self._running = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def finish(self, tell: hashing.Tell) -> None:
        """Wait for all. Raises for the first file that can't be signed.

        tell: called with what is known of some files or was read of them, while others are still
        being hashed; with each file once.
        Raises FileUnreadableError, FileChangedError, ModelError for a git-lfs pointer.
        """
        unknown = self.files
        if self._begun is None:
            known = self._known()
            tell(known)
            if len(known.files) == len(self.files):
                unknown = ()
            elif known.files:
                there = frozenset(known.files)
                unknown = [path for path in unknown if path not in there]
        self.hashed = len(unknown)
        with self._begun or self._hashing(unknown) as work:
            outcomes = work.finish(tell)
        _refuse_others(unknown, outcomes)
        self._outcomes = outcomes

    def blake3(self) -> dict[str, bytes]:
        """Path → BLAKE3, of those files that were read, where it was asked for."""
        if self._outcomes is None or BLAKE3 not in self._algorithms:
            return {}
        return self._outcomes.digest(BLAKE3)

    def remember(self, seal: str) -> None:
        """Tell the store's stat cache what was found, and the id of the seal made of it."""
        if self._cache is not None and self._outcomes is not None:
            self._cache.update(self._outcomes.read(), seal=seal, files=len(self.files))

    def _hashing(self, files: Sequence[str]) -> hashing.Hashing:
        return hashing.Hashing(
            self.model_dir, files, links=self._links, algorithms=self._algorithms, **self._how
        )

    def _known(self) -> tree.Read:
        if self._cache is None or self._store is None:
            return tree.NOTHING_READ
        known = self._cache.known()
        if BLAKE3 in self._algorithms:  # which the cache doesn't have
            recorded = self._store.blake3(set(known.sha256()))
            lacking = [n for n, digest in enumerate(known.sha256()) if digest not in recorded]
            known = known.without(lacking)
        return known


def _refuse_others(files: Sequence[str], outcomes: hashing.Outcomes) -> None:
    """Raise for the first file that can't be signed."""
    for number, outcome in sorted(outcomes.others.items()):
        if isinstance(outcome, ModelSealError):
            raise outcome
        raise ModelError(f"'{files[number]}' is a git-lfs pointer", hint=oddities.HINT_POINTER)


def _is_stray(path: str, written: str) -> bool:
    """Whether another run is writing its manifest here, or was killed at it: no file of a model."""
    if not path.endswith(".tmp"):  # asked of a million files
        return False
    return any(fileio.is_temporary(path, of) for of in (written, written + tree.COSIGNED_SUFFIX))


def _left_out(model_dir: fileio.Location, output: fileio.Location | None) -> frozenset[str]:
    """What is no part of a model that is signed, perhaps anew."""
    side = manifestfiles.side_path(output or os.path.join(model_dir, manifestfiles.DEFAULT_NAME))
    if os.path.lexists(side):
        from modelseal import cosigning

        if cosigning.is_cosignatures(side):
            return manifestfiles.exclusions(model_dir, output, side)
    return manifestfiles.exclusions(model_dir, output)
