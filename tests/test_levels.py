"""Several registries as one: the nearest counts, revocations everywhere, and who may grant."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelseal import (
    ModelVerifier,
    PublisherRegistry,
    TrustedPublisher,
    fileio,
    keys,
    publishers,
)
from modelseal.errors import FormatError, Reason, StoreDamagedError, StoreLockedError
from modelseal.levels import Level, Trust, load
from tests.test_publishers import FIRST, SECOND, THIRD, alice, encoded, print_of, said, signed

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def level(kind: str, *listed: TrustedPublisher, **more: Any) -> Level:
    """A registry in memory."""
    registry = PublisherRegistry()
    registry.add_publishers(listed)
    return Level(kind, f"{kind}.json", registry, **more)


def other(name: str, key: keys.PrivateKey, **more: Any) -> TrustedPublisher:
    return alice(**more).model_copy(update={"publisher_id": name, "public_key": encoded(key)})


def fits(key: keys.PrivateKey) -> Callable[[keys.PublicKey], bool]:
    """Whether something is signed with a key."""
    return lambda public: keys.fingerprint(public) == print_of(key)


def test_the_nearest_level_counts() -> None:
    near = level("store", alice())
    far = level("user", other("alice", SECOND), other("bob", THIRD))
    trust = Trust([near, None, far])
    voice = trust.judge(signed(FIRST))
    assert (voice.reason, voice.source, voice.publisher) == (None, "store.json", "Alice")
    assert voice.fingerprint == print_of(FIRST)
    assert trust.judge(signed(SECOND)).reason is Reason.SIGNATURE_INVALID
    found = trust.find("bob")
    assert found is not None and found[1] is far
    assert trust.find("carol") is None


@pytest.mark.parametrize("kind", ["registry", "store", "user"])
def test_a_revocation_counts_from_every_level(kind: str) -> None:
    trusting = level("registry", alice())
    for gone, reason in (
        (alice(revoked_at=NOW, reason="stolen"), Reason.PUBLISHER_REVOKED),
        (alice(keys=[said(revoked_at=NOW, reason="stolen")]), Reason.KEY_REVOKED),
        # The same key under another name, and the key of somebody who is revoked.
        (other("mallory", FIRST, keys=[said(revoked_at=NOW)]), Reason.KEY_REVOKED),
        (other("mallory", FIRST, revoked_at=NOW), Reason.KEY_REVOKED),
    ):
        revoking = level(kind, gone, grants=False, own=False)
        for order in ([trusting, revoking], [revoking, trusting]):
            voice = Trust(order).judge(signed())
            assert voice.reason is reason
            assert f"(in '{kind}.json')" in voice.message
        assert Trust([revoking]).judge(signed()).reason in (reason, Reason.SIGNER_UNTRUSTED)


def test_what_is_said_of_those_whom_nobody_lists() -> None:
    gone = level("user", alice(revoked_at=NOW, reason="stolen"), grants=False, own=False)
    assert Trust([gone]).publisher_revoked("bob") == ""
    assert Trust([gone]).key_revoked(print_of(THIRD)) == ""
    assert "(in 'user.json')" in Trust([gone]).key_revoked(print_of(FIRST))
    assert "(in 'user.json')" in Trust([gone]).publisher_revoked("alice")
    voice = Trust([gone]).judge(signed(THIRD))
    assert (voice.signer_id, voice.reason) == ("alice", Reason.PUBLISHER_REVOKED)
    assert voice.message == Trust([gone]).publisher_revoked("alice")
    voice = Trust([level("user")]).judge(signed())
    assert (voice.signer_id, voice.reason) == ("alice", Reason.SIGNER_UNTRUSTED)
    assert voice.message == "'alice' is not a trusted publisher"


def test_a_level_that_may_not_grant() -> None:
    trust = Trust([level("store", alice(require=3), grants=False, own=False)])
    assert not trust.grants
    assert trust.judge(signed()).reason is Reason.SIGNER_UNTRUSTED
    assert trust.judge_key(fits(FIRST), "acme/tiny") is None
    assert trust.required("acme/tiny") == 0
    assert Trust([level("user", alice(require=3), grants=False)]).required("acme/tiny") == 3


def test_a_key_speaks_for_the_first_publisher_whose_word_counts() -> None:
    elsewhere, elsewhere_too = (other(name, THIRD, models=["other"]) for name in ("bob", "carol"))
    dave, erin = other("dave", THIRD), other("erin", THIRD)
    for listed, name, reason in (
        ([elsewhere, dave, erin], "dave", None),
        ([erin, elsewhere, dave], "erin", None),
        ([elsewhere, elsewhere_too], "bob", Reason.MODEL_NOT_ALLOWED),
        ([elsewhere_too, elsewhere], "carol", Reason.MODEL_NOT_ALLOWED),
    ):
        for levels in (
            [level("user", alice(), *listed)],
            [level(f"user{number}", one) for number, one in enumerate(listed)],
        ):
            voice = Trust(levels).judge_key(fits(THIRD), "acme/tiny")
            assert voice is not None
            assert (voice.signer_id, voice.reason) == (name, reason)
            assert voice.fingerprint == print_of(THIRD)
            assert Trust(levels).count([voice]) == int(reason is None)
    assert Trust([level("user", alice(), dave)]).judge_key(fits(SECOND), "acme/tiny") is None


def test_a_former_key_speaks_for_its_publisher_until_its_end_alone() -> None:
    gone = publishers.rotate(alice(), said(SECOND), at=NOW - DAY)
    trust = Trust([level("user", gone, other("bob", THIRD))], lambda _: NOW - 2 * DAY)
    for key, reason in ((FIRST, Reason.KEY_ROTATED), (SECOND, None)):
        voice = trust.judge_key(fits(key), "acme/tiny")
        assert voice is not None
        # No memory knows a signature by its key: only what is as of now counts.
        assert (voice.signer_id, voice.reason) == ("alice", reason)


def test_a_nearer_level_hides_its_own_publishers_keys_and_no_others() -> None:
    near = level("store", alice())
    far = level("user", other("alice", SECOND), other("bob", THIRD))
    trust = Trust([near, far])
    assert trust.judge_key(fits(SECOND), "acme/tiny") is None
    for key, name, source in ((FIRST, "alice", "store.json"), (THIRD, "bob", "user.json")):
        voice = trust.judge_key(fits(key), "acme/tiny")
        assert voice is not None
        assert (voice.signer_id, voice.reason, voice.source) == (name, None, source)


def test_a_level_that_may_not_grant_hides_nobody() -> None:
    delivered = level("store", alice(), other("mallory", THIRD), grants=False, own=False)
    own = level("user", other("bob", FIRST), alice())
    for order in ([delivered, own], [own, delivered]):
        voice = Trust(order).judge_key(fits(FIRST), "acme/tiny")
        assert voice is not None
        assert (voice.signer_id, voice.reason, voice.source) == ("bob", None, "user.json")
        assert Trust(order).judge_key(fits(THIRD), "acme/tiny") is None


@pytest.mark.parametrize("kind", ["registry", "store", "user"])
def test_a_key_that_is_revoked_at_any_level_speaks_for_nobody(kind: str) -> None:
    trusting = level("registry", alice(), other("bob", FIRST))
    for gone, name, reason in (
        # Bob is not revoked; his key is, as it is Alice's.
        (alice(revoked_at=NOW), "alice", Reason.PUBLISHER_REVOKED),
        (other("mallory", FIRST, revoked_at=NOW), "alice", Reason.KEY_REVOKED),
    ):
        revoking = level(kind, gone, grants=False, own=False)
        for order in ([trusting, revoking], [revoking, trusting]):
            voice = Trust(order).judge_key(fits(FIRST), "acme/tiny")
            assert voice is not None
            assert (voice.signer_id, voice.reason) == (name, reason)
            assert f"(in '{kind}.json')" in voice.message


def test_a_revocation_in_the_same_registry_under_another_name() -> None:
    registry = PublisherRegistry()
    registry.add_publishers([alice(), other("mallory", FIRST, revoked_at=NOW)])
    result = registry.verify_against_registry(signed())
    assert not result.valid
    when = publishers.day(NOW)
    assert result.error == f"'mallory', whose key is {print_of(FIRST)}, was revoked {when}"
    report = ModelVerifier().verify_model(None, signed(), registry=registry)
    assert report.reason is Reason.KEY_REVOKED


def test_the_most_that_is_required_counts() -> None:
    trust = Trust(
        [
            level("store", alice(require=2, models=["acme/*"])),
            level("user", alice(require=4, models=["other"]), other("bob", SECOND, require=1)),
        ]
    )
    assert [trust.required(name) for name in ("acme/tiny", "other", "x")] == [2, 4, 1]


def test_first_sight_is_asked_of_the_memory_and_never_in_the_future() -> None:
    gone = publishers.rotate(alice(), said(SECOND), at=NOW - DAY)
    answers = {NOW - 2 * DAY: None, NOW + DAY: Reason.KEY_ROTATED, None: Reason.KEY_ROTATED}
    for answer, reason in answers.items():
        trust = Trust([level("user", gone)], lambda _, answer=answer: answer)  # type: ignore[misc]
        assert trust.remembers
        assert trust.judge(signed(FIRST)).reason is reason
    assert not Trust([]).remembers
    assert Trust([level("user", gone)]).judge(signed(FIRST)).reason is Reason.KEY_ROTATED


def test_publishers_who_share_a_key_in_the_registry_count_once() -> None:
    listed = [
        alice(keys=[said(THIRD)]),
        other("bob", SECOND, keys=[said(THIRD)]),
        other("carol", SECOND),
    ]
    trust = Trust([level("user", *listed)])
    voices = [trust.judge(signed(FIRST))]
    assert trust.count(voices) == 1
    bob = voices[0]._replace(signer_id="bob")
    assert trust.count([*voices, bob]) == 1
    assert trust.count([bob._replace(reason=Reason.KEY_REVOKED)]) == 0
    assert trust.count([voices[0], bob._replace(signer_id="carol")]) == 2


def test_loading_a_level(tmp_path: Path) -> None:
    assert load("user", tmp_path / "none.json") is None
    assert load("user", tmp_path / "none" / "none.json") is None
    path = tmp_path / "trust.json"
    path.write_text("[")
    with pytest.raises(FormatError, match=r"registry '.*trust.json': the JSON ends too early"):
        load("user", path)
    assert path.read_text() == "["
    PublisherRegistry(tmp_path / "good.json").add_publisher(alice())
    found = load("store", tmp_path / "good.json", grants=False)
    assert found is not None
    assert (found.grants, found.own, found.path) == (False, True, str(tmp_path / "good.json"))
    (tmp_path / "link.json").symlink_to(tmp_path / "good.json")
    assert load("user", tmp_path / "link.json") is not None
    with pytest.raises(StoreDamagedError, match="is a symbolic link, not a registry"):
        load("store", tmp_path / "link.json")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FormatError, match="it is not a regular file"):
        load("user", tmp_path / "fifo")
    too_long = tmp_path / ("x" * 300)
    with pytest.raises(OSError) as unreadable:
        load("user", too_long)
    assert unreadable.value.errno == errno.ENAMETOOLONG
    assert unreadable.value.__notes__ == [f"cannot read '{too_long}'"]


def test_a_level_waits_as_long_as_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trust.json"
    PublisherRegistry(path).add_publisher(alice())
    found = load("user", path, lock_timeout=0)
    assert found is not None
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits"))
    with fileio.locked(path), pytest.raises(StoreLockedError):
        found.registry.remove_publisher("alice")
    assert found.registry.list_publishers() == [alice()]
