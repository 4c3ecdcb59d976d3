"""What a registry's entry says of a signature: keys, times, patterns, and who counts once."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelseal import SignedManifest, TrustedPublisher, keys, publishers
from modelseal.errors import (
    FormatError,
    KeyLoadError,
    OverwriteError,
    Reason,
    UnknownPublisherError,
)
from modelseal.signatures import sign_manifest
from modelseal.structs import TrustedKey
from tests.sealed import seal_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
# The same in every process that collects tests: their names have keys in them.
FIRST, SECOND, THIRD = (
    Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(3)
)


def encoded(key: keys.PrivateKey) -> str:
    return publishers.encode_key(key.public_key())


def print_of(key: keys.PrivateKey) -> str:
    return keys.fingerprint(key.public_key())


def alice(**more: Any) -> TrustedPublisher:
    """Alice, who signs with the first key."""
    return TrustedPublisher(
        publisher_id="alice",
        name="Alice",
        public_key=encoded(FIRST),
        trusted_since=NOW - 10 * DAY,
        **more,
    )


def said(key: keys.PrivateKey = FIRST, **more: Any) -> TrustedKey:
    """What is said of a key."""
    plain = publishers.described(encoded(key), since=NOW - 10 * DAY)
    return plain.model_copy(update=more)


def signed(
    key: keys.PrivateKey = FIRST, name: str = "acme/tiny", at: datetime = NOW
) -> SignedManifest:
    """A manifest that claims to be signed by Alice at some time."""
    return sign_manifest(seal_of({"a": b"1"}, name).manifest, key, signer_id="alice", signed_at=at)


def judge(
    publisher: TrustedPublisher, manifest: SignedManifest, seen: datetime = NOW
) -> Reason | None:
    return publishers.judge(publisher, manifest, now=NOW, seen=lambda: seen).reason


ROTATED = publishers.rotate(alice(), said(SECOND), at=NOW - DAY)


@pytest.mark.parametrize(
    ("publisher", "key", "seen", "reason"),
    [
        (alice(), FIRST, NOW, None),
        (alice(), SECOND, NOW, Reason.SIGNATURE_INVALID),
        # Replaced: what was seen before counts, to the instant.
        (ROTATED, SECOND, NOW, None),
        (ROTATED, FIRST, NOW, Reason.KEY_ROTATED),
        (ROTATED, FIRST, NOW - DAY, Reason.KEY_ROTATED),
        (ROTATED, FIRST, NOW - DAY - timedelta(microseconds=1), None),
        # Expired, and about to.
        (alice(keys=[said(expires=NOW - DAY)]), FIRST, NOW, Reason.KEY_EXPIRED),
        (alice(keys=[said(expires=NOW - DAY)]), FIRST, NOW - 2 * DAY, None),
        (alice(keys=[said(expires=NOW)]), FIRST, NOW, Reason.KEY_EXPIRED),
        (alice(keys=[said(expires=NOW + DAY)]), FIRST, NOW, None),
        # A time without a zone is UTC.
        (
            alice(keys=[said(expires=(NOW - DAY).replace(tzinfo=None))]),
            FIRST,
            NOW,
            Reason.KEY_EXPIRED,
        ),
        # Revoked: time does not matter, nor does a time that is yet to come.
        (alice(keys=[said(revoked_at=NOW)]), FIRST, NOW - 9 * DAY, Reason.KEY_REVOKED),
        (alice(keys=[said(revoked_at=NOW + DAY)]), FIRST, NOW - 9 * DAY, Reason.KEY_REVOKED),
        (alice(revoked_at=NOW), FIRST, NOW - 9 * DAY, Reason.PUBLISHER_REVOKED),
        (alice(revoked_at=NOW), SECOND, NOW, Reason.SIGNATURE_INVALID),
        # Trusted from tomorrow on; first seen before it was trusted.
        (alice(keys=[said(trusted_since=NOW + DAY)]), FIRST, NOW, Reason.SIGNER_UNTRUSTED),
        (alice(), FIRST, NOW - 20 * DAY, None),
        (alice(keys=[said(trusted_since=NOW)]), FIRST, NOW, None),
        # Another key beside the current one.
        (alice(keys=[said(SECOND)]), SECOND, NOW, None),
        (alice(keys=[said(SECOND, revoked_at=NOW)]), FIRST, NOW, None),
    ],
)
def test_when_a_signature_counts(
    publisher: TrustedPublisher, key: keys.PrivateKey, seen: datetime, reason: Reason | None
) -> None:
    assert judge(publisher, signed(key), seen) is reason


THE_KEY = f"the key {print_of(FIRST)} of 'alice'"
NOT_OLDER = ", and this signature is not known as older"


@pytest.mark.parametrize(
    ("publisher", "reason", "message"),
    [
        (alice(), None, ""),
        (
            alice(revoked_at=NOW),
            Reason.PUBLISHER_REVOKED,
            "publisher 'alice' was revoked 2026-01-01T00:00:00Z",
        ),
        (
            alice(revoked_at=NOW, reason="stolen"),
            Reason.PUBLISHER_REVOKED,
            "publisher 'alice' was revoked 2026-01-01T00:00:00Z: stolen",
        ),
        (
            alice(keys=[said(revoked_at=NOW, reason="stolen")]),
            Reason.KEY_REVOKED,
            f"{THE_KEY} was revoked 2026-01-01T00:00:00Z: stolen",
        ),
        (
            alice(keys=[said(trusted_since=NOW + DAY)]),
            Reason.SIGNER_UNTRUSTED,
            f"{THE_KEY} is trusted from 2026-01-02T00:00:00Z on",
        ),
        (
            ROTATED,
            Reason.KEY_ROTATED,
            f"{THE_KEY} was replaced 2025-12-31T00:00:00Z{NOT_OLDER}",
        ),
        (
            alice(keys=[said(expires=NOW)]),
            Reason.KEY_EXPIRED,
            f"{THE_KEY} expired 2026-01-01T00:00:00Z{NOT_OLDER}",
        ),
        (
            alice(models=["other"]),
            Reason.MODEL_NOT_ALLOWED,
            "'alice' may not sign the model 'acme/tiny'",
        ),
    ],
)
def test_what_is_said_of_a_signature(
    publisher: TrustedPublisher, reason: Reason | None, message: str
) -> None:
    verdict = publishers.judge(publisher, signed(), now=NOW, seen=lambda: NOW)
    assert verdict == (reason, message, print_of(FIRST))


def test_what_is_said_of_a_signature_that_is_none_of_the_publishers() -> None:
    def verdict(publisher: TrustedPublisher, manifest: SignedManifest) -> publishers.Verdict:
        return publishers.judge(publisher, manifest, now=NOW, seen=lambda: NOW)

    # With the key that it was held against, not with the one that it names.
    for manifest, message in (
        (signed(SECOND), f"signed by another key, {print_of(SECOND)}"),
        (
            signed().model_copy(update={"manifest": signed(name="other").manifest}),
            "the signature does not fit the manifest",
        ),
    ):
        said_of_it = (Reason.SIGNATURE_INVALID, message, print_of(FIRST))
        assert verdict(alice(), manifest) == said_of_it
    for_bundles = ec.derive_private_key(1, ec.SECP384R1()).public_key()
    publisher = alice().model_copy(update={"public_key": publishers.encode_key(for_bundles)})
    print_ = keys.fingerprint(for_bundles)
    message = f"the key {print_} of 'alice' is for OMS bundles alone"
    assert verdict(publisher, signed()) == (Reason.SIGNATURE_INVALID, message, print_)


def test_times_are_told_in_utc_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        told = [
            publishers.day(moment)
            for moment in (
                datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
                datetime(2026, 2, 3, 4, 5, 6),  # noqa: DTZ001
                datetime(2026, 2, 2, 23, 5, 6, 7, tzinfo=timezone(timedelta(hours=-5))),
            )
        ]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told == ["2026-02-03T04:05:06Z"] * 3


@pytest.mark.parametrize("claim", [datetime(1970, 1, 1, tzinfo=UTC), NOW - 5 * DAY, NOW + DAY])
def test_the_claimed_time_changes_nothing(claim: datetime) -> None:
    assert judge(ROTATED, signed(FIRST, at=claim)) is Reason.KEY_ROTATED
    expired = alice(keys=[said(expires=NOW - DAY)])
    assert judge(expired, signed(FIRST, at=claim)) is Reason.KEY_EXPIRED


def test_the_first_sight_is_asked_for_only_where_it_matters() -> None:
    def never() -> datetime:
        raise AssertionError

    assert publishers.judge(alice(), signed(), now=NOW, seen=never).reason is None
    later = alice(keys=[said(expires=NOW + DAY)])
    assert publishers.judge(later, signed(), now=NOW, seen=never).reason is None


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("acme/*", "acme/tiny", True),
        ("acme/*", "acme/a/b", True),
        ("acme/*", "acme", False),
        ("acme/*", "xacme/tiny", False),
        ("acme/*", "Acme/tiny", False),
        ("*", "", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a?c", "a/c", True),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a.c", "abc", False),
        ("a", "a\n", False),
        ("*a*a*a*a*a*a*a*a*b", "a" * 10_000, False),
    ],
)
def test_patterns(pattern: str, name: str, fits: bool) -> None:
    publisher = alice(models=[pattern])
    assert publishers.allows(publisher, name) is fits
    assert judge(publisher, signed(name=name)) is (None if fits else Reason.MODEL_NOT_ALLOWED)
    assert publishers.allows(alice(models=["never", pattern]), name) is fits


def test_values_out_of_range() -> None:
    for more, why in (
        ({"models": [""]}, "models: a pattern is empty"),
        ({"models": ["\udc80"]}, "models: '\\udc80' is not valid Unicode"),
        ({"require": -1}, "require: "),
        ({"require": 65}, "require: "),
    ):
        with pytest.raises(FormatError) as refused:
            alice(**more)
        assert str(refused.value).startswith(why)


def test_rotation_keeps_the_former_key_and_adds_no_field_to_a_plain_new_one() -> None:
    once = publishers.rotate(alice(), said(SECOND), at=NOW - DAY)
    assert once.public_key == encoded(SECOND)
    assert once.trusted_since == NOW - DAY
    assert once.keys == [said(rotated_at=NOW - DAY)]
    twice = publishers.rotate(once, said(THIRD, expires=NOW + DAY), at=NOW)
    assert [key.fingerprint for key in twice.keys] == [print_of(k) for k in (FIRST, SECOND, THIRD)]
    assert [key.rotated_at for key in twice.keys] == [NOW - DAY, NOW, None]
    for again in (FIRST, SECOND):
        with pytest.raises(OverwriteError, match=r"has the key SHA256:.* already"):
            publishers.rotate(once, said(again), at=NOW)


def test_a_key_is_described_with_its_end() -> None:
    plain = publishers.described(encoded(FIRST), since=NOW)
    assert (plain.fingerprint, plain.trusted_since, plain.expires) == (print_of(FIRST), NOW, None)
    ending = publishers.described(encoded(FIRST), since=NOW, expires=NOW + DAY)
    assert ending == plain.model_copy(update={"expires": NOW + DAY})


def test_revocations_keep_their_first_time_and_reason() -> None:
    once = publishers.revoke(alice(), at=NOW, reason="stolen")
    assert publishers.revoke(once, at=NOW + DAY, reason="other") is once
    key = publishers.revoke_key(ROTATED, print_of(FIRST), at=NOW, reason="stolen")
    assert (
        publishers.revoke_key(key, print_of(FIRST)[len("SHA256:") :], at=NOW + DAY, reason="")
        is key
    )
    former = publishers.find_key(key, print_of(FIRST))
    assert (former.rotated_at, former.revoked_at, former.reason) == (NOW - DAY, NOW, "stolen")
    with pytest.raises(UnknownPublisherError, match="'alice' has no key 'SHA256:none'") as unknown:
        publishers.revoke_key(alice(), "SHA256:none", at=NOW, reason="")
    assert unknown.value.hint == "'modelseal trust show alice' lists its keys"


def test_an_entry_for_a_revoked_key_alone_grants_nothing_else() -> None:
    alone = publishers.only_key(ROTATED, print_of(FIRST))
    assert alone.keys == [said(rotated_at=NOW - DAY)]
    alone = publishers.revoke_key(alone, print_of(FIRST), at=NOW, reason="")
    assert [key.fingerprint for key in publishers.all_keys(alone)] == [print_of(FIRST)]
    assert judge(alone, signed(FIRST)) is Reason.KEY_REVOKED
    assert judge(alone, signed(SECOND)) is Reason.SIGNATURE_INVALID


def test_what_entries_revoke() -> None:
    first, second, third = (print_of(key) for key in (FIRST, SECOND, THIRD))
    when = "was revoked 2026-01-01T00:00:00Z"
    found = publishers.Revocations()
    # One key of hers, and not the current one; then everything of Bob's, who has that key too.
    found.note(alice(keys=[said(SECOND, revoked_at=NOW, reason="stolen")]), "trust.json")
    the_second = f"the key {second} of 'alice' {when}: stolen (in 'trust.json')"
    assert (found.publishers, found.keys) == ({}, {second: the_second})
    bob = alice(keys=[said(SECOND), said(THIRD, revoked_at=NOW)], revoked_at=NOW, reason="left")
    bob = bob.model_copy(update={"publisher_id": "bob"})
    found.note(bob)
    assert found.publishers == {"bob": f"publisher 'bob' {when}: left"}
    assert found.keys == {
        first: f"'bob', whose key is {first}, {when}: left",
        second: the_second,
        third: f"the key {third} of 'bob' {when}",
    }
    assert found.against("alice", second) == (Reason.KEY_REVOKED, the_second)
    assert found.against("bob", second) == (Reason.PUBLISHER_REVOKED, found.publishers["bob"])
    assert found.against("alice", "SHA256:none") == (None, "")


def test_what_is_said_of_keys_must_fit_them() -> None:
    false = said().model_copy(update={"fingerprint": print_of(SECOND)})
    with pytest.raises(KeyLoadError, match="is not the fingerprint of its key"):
        publishers.check_keys(alice(keys=[false]))
    with pytest.raises(KeyLoadError, match="is listed twice"):
        publishers.check_keys(alice(keys=[said(), said(revoked_at=NOW)]))


@pytest.mark.parametrize(
    ("voices", "count"),
    [
        ([], 0),
        ([("a", ["1"])], 1),
        ([("a", ["1"]), ("a", ["2"])], 1),
        ([("a", ["1"]), ("b", ["1"])], 1),
        ([("a", ["1"]), ("b", ["2"])], 2),
        ([("a", ["1"]), ("b", ["1", "2"]), ("c", ["2"])], 1),
        ([("a", ["1"]), ("c", ["2"]), ("b", ["1", "2"])], 1),
        ([("a", ["1"]), ("b", ["1"]), ("c", ["2", "3"])], 2),
        # Two groups until the third joins them: by its keys, by its name, by one of each.
        ([("a", ["1"]), ("b", ["2"]), ("c", ["3", "1", "2"])], 1),
        ([("a", ["1"]), ("b", ["2"]), ("a", ["2"])], 1),
        ([("a", ["1"]), ("b", ["2"]), ("c", ["3"]), ("a", ["3"])], 2),
        # Whoever joined a group speaks for it under every name.
        ([("a", ["1"]), ("b", ["1"]), ("a", ["2"])], 1),
        ([("a", ["1"]), ("b", ["1"]), ("b", ["2"])], 1),
        ([("a", ["1"]), ("b", ["1"]), ("a", ["2"]), ("b", ["3"]), ("c", ["3"]), ("d", ["4"])], 2),
    ],
)
def test_who_shares_a_key_counts_once(voices: list[tuple[str, list[str]]], count: int) -> None:
    assert publishers.count(voices) == count
    assert publishers.count(voices[::-1]) == count
