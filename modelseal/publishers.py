"""What a registry's entry says of a signature, and how entries change.

Times without a zone are UTC. Nothing here reads a file or a clock.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from modelseal import keys, signatures
from modelseal.errors import KeyLoadError, OverwriteError, Reason, UnknownPublisherError
from modelseal.structs import SignedManifest, TrustedKey, TrustedPublisher

Clock = Callable[[], datetime]


class Verdict(NamedTuple):
    """What one publisher's entry says of a signature.

    reason: None where the signature counts; message: why it doesn't.
    fingerprint: of the key that it was checked with; empty if there was none.
    """

    reason: Reason | None = None
    message: str = ""
    fingerprint: str = ""


def as_utc(time: datetime) -> datetime:
    """A time without a zone is taken for UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def load_key(text: str) -> keys.PublicKey:
    """A key that a registry holds, for manifests or for bundles alone. Raises KeyLoadError."""
    return keys.load_embedded(text, curves=keys.OMS_CURVES)


def encode_key(key: keys.PublicKey) -> str:
    """A public key as registries hold it."""
    return base64.b64encode(keys.encode_public(key)).decode()


def described(public_key: str, *, since: datetime, expires: datetime | None = None) -> TrustedKey:
    """A key with nothing against it. Raises KeyLoadError for one that may not be trusted."""
    fingerprint = keys.fingerprint(load_key(public_key))
    return TrustedKey(
        public_key=public_key, fingerprint=fingerprint, trusted_since=since, expires=expires
    )


def check_keys(publisher: TrustedPublisher) -> None:
    """Refuse what is said of keys that may not be trusted, twice of one, or of another.

    Raises KeyLoadError.
    """
    prints = set()
    for said in publisher.keys:
        if keys.fingerprint(load_key(said.public_key)) != said.fingerprint:
            raise KeyLoadError(f"'{said.fingerprint}' is not the fingerprint of its key")
        if said.fingerprint in prints:
            raise KeyLoadError(f"the key {said.fingerprint} is listed twice")
        prints.add(said.fingerprint)


def current_key(publisher: TrustedPublisher) -> TrustedKey:
    """The key that signs now. Raises KeyLoadError for one that may not be trusted."""
    plain = described(publisher.public_key, since=publisher.trusted_since)
    return next((k for k in publisher.keys if k.fingerprint == plain.fingerprint), plain)


def all_keys(publisher: TrustedPublisher) -> list[TrustedKey]:
    """Every key of a publisher that can be used at all, the current one first."""
    found = {}
    try:
        first = current_key(publisher)
        found[first.fingerprint] = first
    except KeyLoadError:
        pass  # `judge` names it; what is said of the others counts all the same
    for said in publisher.keys:
        found.setdefault(said.fingerprint, said)
    return list(found.values())


def allows(publisher: TrustedPublisher, model_name: str) -> bool:
    """Whether a publisher's patterns match a model's name; without patterns they all do.

    `*` is any text, `/` included, and `?` any one character; nothing else is special.
    """
    return not publisher.models or any(
        fnmatchcase(model_name, pattern.replace("[", "[[]")) for pattern in publisher.models
    )


def judge(
    publisher: TrustedPublisher, signed: SignedManifest, *, now: datetime, seen: Clock
) -> Verdict:
    """Whether a signature counts as this publisher's.

    seen: asked when the signature was first seen, where the answer depends on it; `signed_at` is
    the signer's own claim, and never asked.
    """
    name = publisher.publisher_id
    try:
        key = load_key(publisher.public_key)
    except KeyLoadError as err:
        return Verdict(Reason.SIGNATURE_INVALID, f"the registry's key of '{name}': {err}")
    key, said = _signing_key(publisher, signed) or (key, current_key(publisher))
    if keys.is_for_bundles_alone(key):
        message = f"the key {said.fingerprint} of '{name}' is for OMS bundles alone"
        return Verdict(Reason.SIGNATURE_INVALID, message, said.fingerprint)
    if error := signatures.check(signed, key).error:
        return Verdict(Reason.SIGNATURE_INVALID, error, said.fingerprint)
    return judge_use(publisher, said, signed.manifest.model_name, now=now, seen=seen)


def judge_use(
    publisher: TrustedPublisher, said: TrustedKey, model_name: str, *, now: datetime, seen: Clock
) -> Verdict:
    """The same of a signature that is well made with a key of this publisher's."""
    name = publisher.publisher_id
    if publisher.revoked_at is not None:
        message = revoked(f"publisher '{name}'", publisher.revoked_at, publisher.reason)
        return Verdict(Reason.PUBLISHER_REVOKED, message, said.fingerprint)
    reason, message = _judge_key(name, said, now, seen)
    if reason is None and not allows(publisher, model_name):
        reason = Reason.MODEL_NOT_ALLOWED
        message = f"'{name}' may not sign the model '{model_name}'"
    return Verdict(reason, message, said.fingerprint)


def _signing_key(
    publisher: TrustedPublisher, signed: SignedManifest
) -> tuple[keys.PublicKey, TrustedKey] | None:
    """The publisher's key that the signature names; naming one is all that its own key may do."""
    try:
        named = keys.fingerprint(keys.load_embedded(signed.signature.public_key))
        for said in all_keys(publisher):
            if said.fingerprint == named:
                return load_key(said.public_key), said
    except KeyLoadError:
        pass
    return None


def _judge_key(
    name: str, said: TrustedKey, now: datetime, seen: Clock
) -> tuple[Reason | None, str]:
    the_key = f"the key {said.fingerprint} of '{name}'"
    if said.revoked_at is not None:
        return Reason.KEY_REVOKED, revoked(the_key, said.revoked_at, said.reason)
    if as_utc(said.trusted_since) > now:
        return Reason.SIGNER_UNTRUSTED, f"{the_key} is trusted from {day(said.trusted_since)} on"
    ends = (
        (said.rotated_at, Reason.KEY_ROTATED, "was replaced"),
        (said.expires, Reason.KEY_EXPIRED, "expired"),
    )
    for end, reason, what in ends:
        if end is not None and as_utc(end) <= now and as_utc(end) <= seen():
            return reason, f"{the_key} {what} {day(end)}, and this signature is not known as older"
    return None, ""


def revoked(what: str, when: datetime, why: str) -> str:
    """The sentence that something was revoked."""
    return f"{what} was revoked {day(when)}{f': {why}' if why else ''}"


def day(time: datetime) -> str:
    """A time as messages have it."""
    return as_utc(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Revocations:
    """What is revoked in some registries, by fingerprint and by publisher.

    keys, publishers: fingerprint or id → the sentence that says so.
    """

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.publishers: dict[str, str] = {}

    def note(self, publisher: TrustedPublisher, source: str = "") -> None:
        """Enter what an entry revokes. source: the registry's file."""
        name = publisher.publisher_id
        where = f" (in '{source}')" if source else ""
        gone, why = publisher.revoked_at, publisher.reason
        if gone is not None:
            said = revoked(f"publisher '{name}'", gone, why)
            self.publishers.setdefault(name, said + where)
        for key in all_keys(publisher):
            if key.revoked_at is not None:
                said = revoked(f"the key {key.fingerprint} of '{name}'", key.revoked_at, key.reason)
            elif gone is not None:
                said = revoked(f"'{name}', whose key is {key.fingerprint},", gone, why)
            else:
                continue
            self.keys.setdefault(key.fingerprint, said + where)

    def against(self, signer_id: str, fingerprint: str) -> tuple[Reason | None, str]:
        """What is to be said against a signature by this publisher with this key."""
        if gone := self.publishers.get(signer_id):
            return Reason.PUBLISHER_REVOKED, gone
        if gone := self.keys.get(fingerprint):
            return Reason.KEY_REVOKED, gone
        return None, ""


# How entries change.


def find_key(publisher: TrustedPublisher, fingerprint: str) -> TrustedKey:
    """A key by its fingerprint, `SHA256:` or not. Raises UnknownPublisherError."""
    wanted = f"SHA256:{fingerprint.removeprefix('SHA256:')}"
    for said in all_keys(publisher):
        if said.fingerprint == wanted:
            return said
    raise UnknownPublisherError(
        f"'{publisher.publisher_id}' has no key '{fingerprint}'",
        hint=f"'modelseal trust show {publisher.publisher_id}' lists its keys",
    )


def with_key(publisher: TrustedPublisher, said: TrustedKey) -> TrustedPublisher:
    """The entry with this said of a key, and no longer what was said of it before."""
    others = [known for known in publisher.keys if known.fingerprint != said.fingerprint]
    return publisher.model_copy(update={"keys": [*others, said]})


def revoke(publisher: TrustedPublisher, *, at: datetime, reason: str) -> TrustedPublisher:
    """The entry with everything of the publisher's revoked; what was revoked stays as it was."""
    if publisher.revoked_at is not None:
        return publisher
    return publisher.model_copy(update={"revoked_at": at, "reason": reason})


def revoke_key(
    publisher: TrustedPublisher, fingerprint: str, *, at: datetime, reason: str
) -> TrustedPublisher:
    """The entry with one key revoked. Raises UnknownPublisherError."""
    said = find_key(publisher, fingerprint)
    if said.revoked_at is not None:
        return publisher
    return with_key(publisher, said.model_copy(update={"revoked_at": at, "reason": reason}))


def only_key(publisher: TrustedPublisher, fingerprint: str) -> TrustedPublisher:
    """An entry for one key, to say something against it where the publisher isn't known.

    Raises UnknownPublisherError.
    """
    said = find_key(publisher, fingerprint)
    return TrustedPublisher(
        publisher_id=publisher.publisher_id,
        name=publisher.name,
        public_key=said.public_key,
        trusted_since=said.trusted_since,
        keys=[said],
    )


def rotate(publisher: TrustedPublisher, new: TrustedKey, *, at: datetime) -> TrustedPublisher:
    """The entry with another current key; the old one signs nothing from `at` on.

    Raises OverwriteError for a key that the publisher has or had, KeyLoadError.
    """
    if any(known.fingerprint == new.fingerprint for known in all_keys(publisher)):
        raise OverwriteError(f"'{publisher.publisher_id}' has the key {new.fingerprint} already")
    old = current_key(publisher)
    retired = with_key(publisher, old.model_copy(update={"rotated_at": at}))
    said = [new] if new.expires is not None else []
    return retired.model_copy(
        update={
            "public_key": new.public_key,
            "trusted_since": at,
            "keys": [*retired.keys, *said],
        }
    )


def count(voices: Sequence[tuple[str, Iterable[str]]]) -> int:
    """How many different publishers there are.

    voices: an id and the fingerprints of its keys, for each. Those who share a key count once,
    however it is shared: one who holds it could have signed for them all.
    """
    groups: list[tuple[set[str], set[str]]] = []
    for name, prints in voices:
        names, held = {name}, set(prints)
        apart = []
        for other_names, other_held in groups:
            if names & other_names or held & other_held:
                names |= other_names
                held |= other_held
            else:
                apart.append((other_names, other_held))
        groups = [*apart, (names, held)]
    return len(groups)
