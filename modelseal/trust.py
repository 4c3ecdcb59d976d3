"""Who is trusted: publishers, and the keys that speak for them."""

import os
from collections.abc import Callable

import msgspec

from modelseal import documents, fileio, keys, signatures
from modelseal.errors import FormatError, KeyLoadError
from modelseal.structs import (
    DOCUMENT_LIMIT,
    SignedManifest,
    TrustedPublisher,
    VerificationResult,
)

_Publishers = dict[str, TrustedPublisher]


class PublisherRegistry:
    """Trusted publishers by id; with a path, in a JSON file that follows every change.

    The file is a JSON list of publishers. A damaged one is an error and is left as it is.
    """

    def __init__(self, registry_path: fileio.Location | None = None) -> None:
        """Load the file where it exists.

        Raises FormatError for a damaged file, OSError for one that can't be read.
        """
        self._path = registry_path
        self._publishers: _Publishers = {}
        if self._path is not None and os.path.lexists(self._path):
            self._publishers = _load(self._path)

    def add_publisher(self, publisher: TrustedPublisher) -> None:
        """Add a publisher, or replace the one with its id.

        Raises KeyLoadError, a ValueError, for a key that may not be trusted; OSError. Nothing has
        changed then.
        """
        keys.load_embedded(publisher.public_key)
        self._change(lambda known: {**known, publisher.publisher_id: publisher})

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
        """Check a signature with the key registered for the signer it names."""
        signer = signed_manifest.signature.signer_id
        publisher = self._publishers.get(signer)
        if publisher is None:
            return VerificationResult(valid=False, error=f"'{signer}' is not a trusted publisher")
        try:
            key = keys.load_embedded(publisher.public_key)
        except KeyLoadError as err:
            return VerificationResult(valid=False, error=f"the registry's key of '{signer}': {err}")
        return signatures.check(signed_manifest, key)

    def _change(self, change: Callable[[_Publishers], _Publishers]) -> None:
        """Change what the file says now: somebody else may have changed it since it was loaded."""
        if self._path is None:
            self._publishers = change(self._publishers)
            return
        path = os.path.realpath(self._path)  # a link to the registry stays one
        with fileio.locked(path):
            known = _load(path) if os.path.lexists(path) else self._publishers
            publishers = change(known)
            data = msgspec.json.format(msgspec.json.encode(list(publishers.values())), indent=2)
            fileio.write_atomic(path, data + b"\n")
        self._publishers = publishers


def _load(path: fileio.Location) -> _Publishers:
    data = fileio.read_bounded(path, DOCUMENT_LIMIT)
    try:
        listed = documents.decode(data, list[TrustedPublisher])
    except FormatError as err:
        raise FormatError(f"registry '{os.fspath(path)}': {err}") from None
    publishers = {publisher.publisher_id: publisher for publisher in listed}
    if len(publishers) != len(listed):
        raise FormatError(f"registry '{os.fspath(path)}': a publisher is listed twice")
    return publishers
