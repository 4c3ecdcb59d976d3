"""Registries: publishers, and the keys that speak for them, in a file."""

import os
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

import msgspec

from modelseal import documents, fileio, keys, publishers
from modelseal.errors import FormatError, KeyLoadError, UnknownPublisherError
from modelseal.structs import (
    DOCUMENT_LIMIT,
    SignedManifest,
    TrustedPublisher,
    VerificationResult,
)

_Publishers = dict[str, TrustedPublisher]

LOCK_TIMEOUT = 10.0
"""Seconds to wait for somebody else who changes the file, unless told otherwise."""

_HINT_NEWER = "a newer modelseal may have written it: use that one"


class PublisherRegistry:
    """Trusted publishers by id; with a path, in a JSON file that follows every change.

    The file is a JSON list of publishers. A damaged one is an error and is left as it is.
    """

    def __init__(
        self,
        registry_path: fileio.Location | None = None,
        *,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        """Load the file where it exists.

        lock_timeout: seconds that a change waits for somebody else's.
        Raises FormatError for a damaged file, OSError for one that can't be read.
        """
        self._path = registry_path
        self._timeout = lock_timeout
        self._publishers: _Publishers = {}
        if self._path is not None and os.path.lexists(self._path):
            self._publishers = _load(self._path)

    @property
    def path(self) -> str:
        """The file, as it was named; empty if there is none."""
        return "" if self._path is None else os.fspath(self._path)

    def add_publisher(self, publisher: TrustedPublisher) -> None:
        """Add a publisher, or replace the one with its id.

        Raises KeyLoadError, a ValueError, for a key that may not be trusted; StoreLockedError;
        OSError. Nothing has changed then.
        """
        _check(publisher, keys.CURVES)
        self._change(lambda known: {**known, publisher.publisher_id: publisher})

    def add_publishers(
        self,
        added: Iterable[TrustedPublisher],
        *,
        replacing: Iterable[str] = (),
        curves: Collection[str] = keys.CURVES,
    ) -> None:
        """Add several in one step.

        replacing: the ids that may be there already.
        curves: of ECDSA, those of the keys. Raises as `add_publisher`; FormatError where
        another one is there by now, or one is given twice.
        """
        wanted = list(added)
        free = set(replacing)
        for publisher in wanted:
            try:
                _check(publisher, curves)
            except KeyLoadError as err:
                said = f"publisher '{publisher.publisher_id}': {err}"
                raise KeyLoadError(said, hint=err.hint) from None

        def all_of(known: _Publishers) -> _Publishers:
            changed = dict(known)
            for publisher in wanted:
                name = publisher.publisher_id
                if name in changed and name not in free:
                    raise FormatError(f"publisher '{name}' is there already")
                free.discard(name)
                changed[name] = publisher
            return changed

        self._change(all_of)

    def change_publisher(
        self, publisher_id: str, change: Callable[[TrustedPublisher], TrustedPublisher]
    ) -> TrustedPublisher:
        """Replace a publisher by what `change` makes of it as it stands in the file now.

        Raises UnknownPublisherError, and as `add_publisher`.
        """
        made: list[TrustedPublisher] = []

        def changed(known: _Publishers) -> _Publishers:
            if publisher_id not in known:
                raise UnknownPublisherError(f"publisher '{publisher_id}' is not in the registry")
            made.append(change(known[publisher_id]))
            _check(made[0], keys.OMS_CURVES)
            return {**known, publisher_id: made[0]}

        self._change(changed)
        return made[0]

    def remove_publisher(self, publisher_id: str) -> None:
        """Remove a publisher. Raises KeyError for one that isn't there."""

        def without(known: _Publishers) -> _Publishers:
            if publisher_id not in known:
                raise KeyError(f"publisher '{publisher_id}' is not in the registry")
            return {key: value for key, value in known.items() if key != publisher_id}

        self._change(without)

    def get_publisher(self, publisher_id: str) -> TrustedPublisher | None:
        """The publisher with this id, or None."""
        return self._publishers.get(publisher_id)

    def list_publishers(self) -> list[TrustedPublisher]:
        """All publishers, in the order they were added."""
        return list(self._publishers.values())

    def verify_against_registry(self, signed_manifest: SignedManifest) -> VerificationResult:
        """Check a signature with the key registered for the signer it names, as of now."""
        signer = signed_manifest.signature.signer_id
        publisher = self._publishers.get(signer)
        if publisher is None:
            return VerificationResult(valid=False, error=f"'{signer}' is not a trusted publisher")
        now = datetime.now(UTC)
        verdict = publishers.judge(publisher, signed_manifest, now=now, seen=lambda: now)
        revocations = publishers.Revocations()
        for other in self._publishers.values():  # a key may be revoked under another name
            revocations.note(other)
        if verdict.reason is None:
            reason, message = revocations.against(signer, verdict.fingerprint)
            verdict = publishers.Verdict(reason, message)
        if verdict.reason is not None:
            return VerificationResult(valid=False, error=verdict.message)
        return VerificationResult(valid=True, manifest=signed_manifest.manifest, signer_id=signer)

    def _change(self, change: Callable[[_Publishers], _Publishers]) -> None:
        """Change what the file says now: somebody else may have changed it since it was loaded."""
        if self._path is None:
            self._publishers = change(self._publishers)
            return
        path = os.path.realpath(self._path)  # a link to the registry stays one
        with fileio.locked(path, self._timeout):
            known = _load(path) if os.path.lexists(path) else self._publishers
            changed = change(known)
            if changed != known or not os.path.lexists(path):
                fileio.write_atomic(path, encode(changed.values()))
                fileio.sweep(path)
        self._publishers = changed


def encode(listed: Iterable[TrustedPublisher]) -> bytes:
    """Publishers as a registry's file."""
    return msgspec.json.format(msgspec.json.encode(list(listed)), indent=2) + b"\n"


def decode(data: bytes, name: str) -> list[TrustedPublisher]:
    """The publishers of a registry that came from `name`. Raises FormatError."""
    try:
        listed = documents.decode(data, list[TrustedPublisher])
    except FormatError as err:
        newer = "unknown field" in str(err)
        hint = _HINT_NEWER if newer else ""
        raise FormatError(f"registry '{name}': {err}", hint=hint) from None
    if len({publisher.publisher_id for publisher in listed}) != len(listed):
        raise FormatError(f"registry '{name}': a publisher is listed twice")
    for publisher in listed:
        try:
            publishers.check_keys(publisher)
        except KeyLoadError as err:
            said = f"registry '{name}': publisher '{publisher.publisher_id}': {err}"
            raise FormatError(said) from None
    return listed


def _check(publisher: TrustedPublisher, curves: Collection[str]) -> None:
    keys.load_embedded(publisher.public_key, curves=curves)
    publishers.check_keys(publisher)


def _load(path: fileio.Location) -> _Publishers:
    data = fileio.read_bounded(path, DOCUMENT_LIMIT)
    return {publisher.publisher_id: publisher for publisher in decode(data, os.fspath(path))}
