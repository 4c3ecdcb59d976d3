"""Several registries as one answer: who may grant trust, who may only take it away."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from modelseal import fileio, keys, publishers
from modelseal.errors import Reason, StoreDamagedError
from modelseal.report import Voice
from modelseal.structs import SignedManifest, TrustedPublisher
from modelseal.trust import LOCK_TIMEOUT, PublisherRegistry

FILE_NAME = "trust.json"

Memory = Callable[[SignedManifest], datetime | None]
"""Tells when a signature was first seen by somebody whose word the verifier takes."""


class Level(NamedTuple):
    """One registry, and what it may do. Revocations in it count in any case.

    kind: `registry`, `store` or `user`.
    grants: whether its publishers are trusted.
    own: whether it is the verifier's; else it came from where the model may have come from.
    """

    kind: str
    path: str
    registry: PublisherRegistry
    grants: bool = True
    own: bool = True


def load(
    kind: str,
    path: fileio.Location,
    *,
    grants: bool = True,
    own: bool = True,
    lock_timeout: float = LOCK_TIMEOUT,
) -> Level | None:
    """A level, or None where there is no such file.

    Raises FormatError for a damaged one, StoreDamagedError for a link in a store, OSError.
    """
    path = os.fspath(path)
    with fileio.naming("read", path):
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
    if kind == "store" and os.path.islink(path):
        raise StoreDamagedError(f"'{path}' is a symbolic link, not a registry")
    return Level(kind, path, PublisherRegistry(path, lock_timeout=lock_timeout), grants, own)


class Trust:
    """What the verifier's registries say together.

    levels: nearest first. memory: when a signature was first seen, where the verifier's own store
    knows it.
    """

    def __init__(self, levels: Iterable[Level | None], memory: Memory | None = None) -> None:
        """Take levels; those that are None don't exist."""
        self.levels = [level for level in levels if level is not None]
        self._memory = memory
        self._revocations = publishers.Revocations()
        for level in self.levels:
            for publisher in level.registry.list_publishers():
                self._revocations.note(publisher, level.path)

    @property
    def remembers(self) -> bool:
        """Whether a store of the verifier's is asked when it first saw a signature."""
        return self._memory is not None

    @property
    def named(self) -> bool:
        """Whether the publishers are those of a registry that somebody named."""
        return any(level.kind == "registry" for level in self.levels)

    @property
    def grants(self) -> bool:
        """Whether anybody is trusted at all."""
        return any(level.grants and level.registry.list_publishers() for level in self.levels)

    def find(self, publisher_id: str) -> tuple[TrustedPublisher, Level] | None:
        """A publisher as the nearest level that grants has it, and that level."""
        for level in self.levels:
            publisher = level.registry.get_publisher(publisher_id) if level.grants else None
            if publisher is not None:
                return publisher, level
        return None

    def required(self, model_name: str) -> int:
        """How many publishers the verifier's own registries want for a model; 0 for no rule."""
        return max(
            (
                publisher.require
                for level in self.levels
                if level.own
                for publisher in level.registry.list_publishers()
                if publisher.require and publishers.allows(publisher, model_name)
            ),
            default=0,
        )

    def key_revoked(self, fingerprint: str) -> str:
        """Why a key is revoked at any level, in a sentence; empty if it isn't."""
        return self._revocations.keys.get(fingerprint, "")

    def publisher_revoked(self, publisher_id: str) -> str:
        """Why a publisher is revoked at any level, in a sentence; empty if it isn't."""
        return self._revocations.publishers.get(publisher_id, "")

    def judge(self, signed: SignedManifest) -> Voice:
        """What a signature is worth."""
        signer = signed.signature.signer_id
        found = self.find(signer)
        if found is None:
            if gone := self.publisher_revoked(signer):
                return Voice(signer, reason=Reason.PUBLISHER_REVOKED, message=gone)
            message = f"'{signer}' is not a trusted publisher"
            return Voice(signer, reason=Reason.SIGNER_UNTRUSTED, message=message)
        now = datetime.now(UTC)
        verdict = publishers.judge(found[0], signed, now=now, seen=lambda: self._seen(signed, now))
        return self._voice(*found, verdict)

    def judge_key(self, fits: Callable[[keys.PublicKey], bool], model_name: str) -> Voice | None:
        """What a signature is worth that names no signer, as those of bundles.

        fits: whether it is well made with a key. Returns what the first publisher has to say for
        it whom a key that fits belongs to; None where there is none.
        """
        now = datetime.now(UTC)
        voices = []
        for level in self.levels:
            for publisher in level.registry.list_publishers() if level.grants else ():
                if self.find(publisher.publisher_id) != (publisher, level):
                    continue  # a nearer level says otherwise
                for said in publishers.all_keys(publisher):
                    if fits(publishers.load_key(said.public_key)):
                        verdict = publishers.judge_use(
                            publisher, said, model_name, now=now, seen=lambda: now
                        )
                        voices.append(self._voice(publisher, level, verdict))
        counting = [voice for voice in voices if voice.reason is None]
        return next(iter(counting or voices), None)

    def _voice(
        self, publisher: TrustedPublisher, level: Level, verdict: publishers.Verdict
    ) -> Voice:
        """A verdict, with what is said of the publisher or the key at other levels."""
        signer = publisher.publisher_id
        reason, message = verdict.reason, verdict.message
        if reason is not Reason.SIGNATURE_INVALID:
            # Said of it elsewhere, or of its key under another name.
            elsewhere = self._revocations.against(signer, verdict.fingerprint)
            reason, message = elsewhere if elsewhere[0] else (reason, message)
        return Voice(signer, verdict.fingerprint, reason, message, publisher.name, level.path)

    def count(self, voices: Sequence[Voice]) -> int:
        """How many different publishers stand behind the voices that count."""
        held = []
        for voice in voices:
            found = self.find(voice.signer_id) if voice.reason is None else None
            if found is not None:
                prints = [said.fingerprint for said in publishers.all_keys(found[0])]
                held.append((voice.signer_id, prints))
        return publishers.count(held)

    def _seen(self, signed: SignedManifest, now: datetime) -> datetime:
        seen = self._memory(signed) if self._memory else None
        return now if seen is None else min(seen, now)
