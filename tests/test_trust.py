"""The registry of trusted publishers: what is kept, when it is saved, and whom it answers for."""

import base64
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from modelseal import (
    ModelSigner,
    ModelVerifier,
    PublisherRegistry,
    SignatureAlgorithm,
    SignedManifest,
    TrustedPublisher,
    fileio,
    keys,
    publishers,
)
from modelseal.errors import FormatError, KeyLoadError, StoreLockedError, UnknownPublisherError
from modelseal.structs import TrustedKey
from tests.conftest import VECTORS, Keys
from tests.test_keys import HINT, NOT_CANONICAL, SMALL, ed25519_pem

SINCE = datetime(2024, 1, 1, tzinfo=UTC)
PREDECESSOR = VECTORS / "predecessor"
ED25519 = SignatureAlgorithm.ed25519
GOOD = keys.encode_public(keys.generate(ED25519).public_key())
ALSO_GOOD = keys.encode_public(keys.generate(SignatureAlgorithm.ecdsa_p256).public_key())


def publisher(name: str, public: bytes = GOOD, *, called: str = "Somebody") -> TrustedPublisher:
    """A publisher with a key, given as its file's bytes."""
    return TrustedPublisher(
        publisher_id=name,
        name=called,
        public_key=base64.b64encode(public).decode(),
        trusted_since=SINCE,
    )


def with_key(publisher: TrustedPublisher, key: TrustedKey, **more: Any) -> TrustedPublisher:
    """The publisher with something said of a key."""
    return publishers.with_key(publisher, key.model_copy(update=more))


def stored(path: Path) -> list[str]:
    """The ids in a registry's file."""
    return [entry["publisher_id"] for entry in json.loads(path.read_text())]


def test_the_predecessors_registry(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_bytes((PREDECESSOR / "registry.json").read_bytes())
    registry = PublisherRegistry(path)
    alice, releases = registry.list_publishers()
    assert (alice.publisher_id, alice.name) == ("alice@example.com", "Alice")
    assert (releases.publisher_id, releases.name) == ("releases@example.org", "Releases")
    assert alice.trusted_since == releases.trusted_since == SINCE
    pem = base64.b64decode(alice.public_key)
    assert pem == (PREDECESSOR / "ed25519.public.pem").read_bytes()

    # A change keeps what it said, in a form that its writer would have read.
    registry.add_publisher(publisher("carol"))
    registry.remove_publisher("carol")
    again = json.loads(path.read_text())
    assert again == json.loads((PREDECESSOR / "registry.json").read_text())
    assert path.read_text() == json.dumps(again, indent=2) + "\n"
    assert [list(entry) for entry in again] == [
        ["publisher_id", "name", "public_key", "trusted_since"]
    ] * 2


@pytest.mark.parametrize("case", ["plain-ed25519", "plain-ecdsa_p256"])
def test_the_predecessors_registry_answers_for_its_manifests(case: str) -> None:
    registry = PublisherRegistry(PREDECESSOR / "registry.json")
    signed = SignedManifest.model_validate_json(
        (PREDECESSOR / case / "signed_manifest.json").read_text()
    )
    name = signed.signature.signer_id
    trusted = registry.get_publisher(name)
    result = registry.verify_against_registry(signed)
    assert trusted is not None
    assert (result.valid, result.signer_id, result.error) == (True, name, None)
    report = ModelVerifier().verify_model(PREDECESSOR / case / "model", signed, registry=registry)
    assert (report.valid, report.trusted, report.exit_code) == (True, True, 0)


def test_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    registry = PublisherRegistry()
    registry.add_publisher(publisher("a"))
    assert [one.publisher_id for one in registry.list_publishers()] == ["a"]
    assert PublisherRegistry().list_publishers() == []
    assert os.listdir(tmp_path) == []


def test_a_change_is_made_to_what_the_file_says_by_then(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    PublisherRegistry(path).add_publisher(publisher("a"))
    one, other = PublisherRegistry(path), PublisherRegistry(path)
    one.add_publisher(publisher("b"))
    other.add_publisher(publisher("c"))
    assert stored(path) == ["a", "b", "c"]
    one.remove_publisher("c")
    assert stored(path) == ["a", "b"]


def test_a_registry_that_is_malformed_says_where_and_how(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    listed = publisher("a").model_dump_json()
    for text, said in (
        (f"[{listed},{listed}]", f"registry '{path}': a publisher is listed twice"),
        ("[1]", f"registry '{path}': [0]: expected 'object', got 'int'"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError) as refused:
            PublisherRegistry(path)
        assert (str(refused.value), refused.value.hint) == (said, "")
    path.write_text(f'[{listed[:-1]},"later":1}}]')
    with pytest.raises(FormatError, match="unknown field 'later'") as refused:
        PublisherRegistry(path)
    assert "newer" in refused.value.hint


def test_every_change_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    registry = PublisherRegistry(str(path))
    assert registry.list_publishers() == []
    assert not path.exists()
    registry.add_publisher(publisher("b"))
    assert stored(path) == ["b"]
    registry.add_publisher(publisher("a", ALSO_GOOD))
    assert stored(path) == ["b", "a"]
    replaced = publisher("b", ALSO_GOOD, called="Somebody else")
    registry.add_publisher(replaced)
    assert stored(path) == ["b", "a"]
    assert registry.get_publisher("b") == PublisherRegistry(path).get_publisher("b") == replaced
    assert PublisherRegistry(path).list_publishers() == registry.list_publishers()
    registry.remove_publisher("b")
    assert stored(path) == ["a"]
    assert registry.get_publisher("b") is None
    registry.remove_publisher("a")
    assert json.loads(path.read_text()) == []
    assert os.listdir(tmp_path) == ["trust.json"]


@pytest.mark.parametrize("path", ["trust.json", None])
def test_who_is_not_there(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = PublisherRegistry(path)
    registry.add_publisher(publisher("a"))
    assert registry.get_publisher("A") is None
    assert registry.get_publisher("") is None
    with pytest.raises(KeyError) as missing:
        registry.remove_publisher("A")
    assert missing.value.args == ("publisher 'A' is not in the registry",)
    assert [one.publisher_id for one in registry.list_publishers()] == ["a"]


@pytest.mark.parametrize(
    ("listed", "replacing", "refused"),
    [
        ("bc", "", ""),
        ("ab", "a", ""),
        ("ba", "abc", ""),
        ("a", "", "a"),
        ("ba", "b", "a"),
        ("bb", "", "b"),
        ("bb", "b", "b"),
        ("aa", "a", "a"),
        ("bbb", "b", "b"),
    ],
)
def test_several_are_added_together_or_not_at_all(
    listed: str, replacing: str, refused: str, tmp_path: Path
) -> None:
    path = tmp_path / "trust.json"
    registry = PublisherRegistry(path)
    registry.add_publishers([publisher("a"), publisher("z")])
    before, written = registry.list_publishers(), path.read_bytes()
    new = [publisher(name, ALSO_GOOD, called=str(nth)) for nth, name in enumerate(listed)]
    if refused:
        with pytest.raises(FormatError) as error:
            registry.add_publishers(new, replacing=replacing)
        assert str(error.value) == f"publisher '{refused}' is there already"
        assert registry.list_publishers() == before
        assert path.read_bytes() == written
    else:
        registry.add_publishers(new, replacing=replacing)
        wanted = {one.publisher_id: one for one in (*before, *new)}
        assert registry.list_publishers() == list(wanted.values())
        assert PublisherRegistry(path).list_publishers() == list(wanted.values())


def test_several_with_a_key_that_is_refused_are_not_added() -> None:
    registry = PublisherRegistry()
    p384 = keys.encode_public(ec.derive_private_key(1, ec.SECP384R1()).public_key())
    several = [publisher("a"), publisher("b", p384)]
    with pytest.raises(KeyLoadError) as refused:
        registry.add_publishers(several)
    assert str(refused.value) == "publisher 'b': an ECDSA secp384r1 public key can't be used"
    assert refused.value.hint == HINT
    assert registry.list_publishers() == []
    registry.add_publishers(several, curves=keys.OMS_CURVES)
    assert registry.list_publishers() == several


def test_a_change_of_one_who_is_not_there(tmp_path: Path) -> None:
    registry = PublisherRegistry(tmp_path / "trust.json")
    registry.add_publisher(publisher("a"))
    with pytest.raises(UnknownPublisherError) as unknown:
        registry.change_publisher("b", lambda _: publisher("b"))
    assert str(unknown.value) == "publisher 'b' is not in the registry"
    assert stored(tmp_path / "trust.json") == ["a"]
    changed = registry.change_publisher("a", lambda a: a.model_copy(update={"name": "A"}))
    assert changed == registry.get_publisher("a") == publisher("a", called="A")


def test_a_file_that_says_it_already_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    registry = PublisherRegistry(path)
    registry.add_publishers([])
    assert path.read_bytes() == b"[]\n", "there is a file from now on"
    registry.add_publisher(publisher("a"))
    inode = path.stat().st_ino
    registry.add_publisher(publisher("a"))
    assert path.stat().st_ino == inode
    path.unlink()
    registry.add_publisher(publisher("a"))
    assert stored(path) == ["a"]


def test_a_registry_waits_as_long_as_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trust.json"
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits"))
    with fileio.locked(path), pytest.raises(StoreLockedError):
        PublisherRegistry(path, lock_timeout=0).add_publisher(publisher("a"))
    assert not path.exists()


def test_the_list_is_a_copy() -> None:
    registry = PublisherRegistry()
    registry.add_publisher(publisher("a"))
    registry.list_publishers().clear()
    assert len(registry.list_publishers()) == 1


def test_names_and_times_survive(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    odd = TrustedPublisher(
        publisher_id='quo"te\\ 😀\x7f\u2028',
        name="模型\n",
        public_key=base64.b64encode(GOOD).decode(),
        trusted_since=datetime(
            2024, 1, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=5, minutes=30))
        ),
    )
    PublisherRegistry(path).add_publisher(odd)
    assert PublisherRegistry(path).list_publishers() == [odd]


@pytest.mark.parametrize(
    ("public", "why"),
    [
        (ed25519_pem(b"\x01" + bytes(31)), SMALL),
        (ed25519_pem(bytes(32)), SMALL),
        (ed25519_pem((2**255 - 20).to_bytes(32, "little")), SMALL),
        (ed25519_pem((2**255 - 19).to_bytes(32, "little")), NOT_CANONICAL),
        (keys.encode_private(keys.generate(ED25519)), "this is a private key, not a public key"),
        (b"", "this is empty, not a public key"),
        (b"x", "this is neither PEM nor OpenSSH, not a public key"),
    ],
    ids=["order 1", "order 4", "order 2", "not canonical", "private", "empty", "no key"],
)
@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])
def test_keys_that_are_refused(public: bytes, why: str, replacing: bool, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    registry = PublisherRegistry(path)
    registry.add_publisher(publisher("a"))
    before, written = registry.list_publishers(), path.read_bytes()
    with pytest.raises(KeyLoadError) as refused:
        registry.add_publisher(publisher("a" if replacing else "b", public))
    assert str(refused.value) == why
    assert isinstance(refused.value, ValueError)
    assert registry.list_publishers() == before
    assert path.read_bytes() == written


def test_a_key_that_is_not_base64() -> None:
    broken = publisher("a").model_copy(update={"public_key": "no base64"})
    with pytest.raises(KeyLoadError) as refused:
        PublisherRegistry().add_publisher(broken)
    assert str(refused.value) == "the public key is not valid base64"


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("change", ["add", "replace", "remove"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_change_is_made_whole_or_not_at_all(
    call: str,
    change: str,
    error: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "trust.json"
    registry = PublisherRegistry(path)
    registry.add_publisher(publisher("a"))
    before, written = registry.list_publishers(), path.read_bytes()

    def make_it() -> None:
        if change == "remove":
            registry.remove_publisher("a")
        elif change == "add":
            registry.add_publisher(publisher("b"))
        else:
            registry.add_publisher(publisher("a", ALSO_GOOD))

    def fail(*_: object, **__: object) -> None:
        raise error(ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(error):
            make_it()
    assert registry.list_publishers() == before
    assert path.read_bytes() == written
    assert os.listdir(tmp_path) == ["trust.json"]
    make_it()
    assert registry.list_publishers() == PublisherRegistry(path).list_publishers() != before


def test_the_old_file_is_whole_until_the_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers need no lock: the file is replaced by another, never written into."""
    path = tmp_path / "trust.json"
    registry = PublisherRegistry(path)
    registry.add_publisher(publisher("a"))
    with open(path) as reader:
        inode = path.stat().st_ino
        registry.add_publisher(publisher("b"))
        assert [entry["publisher_id"] for entry in json.load(reader)] == ["a"]
        assert path.stat().st_ino != inode


@pytest.mark.parametrize("text", ["", "[", "{}", "[{}]", '[{"publisher_id": "a"}]', "\ufeff[]"])
def test_a_damaged_file_is_an_error_and_stays(text: str, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"^registry '.*trust\.json': "):
        PublisherRegistry(path)
    assert path.read_text() == text
    assert os.listdir(tmp_path) == ["trust.json"]


def test_where_the_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        PublisherRegistry(tmp_path / "dangling")
    with pytest.raises((FormatError, IsADirectoryError)):
        PublisherRegistry(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FormatError) as refused:
        PublisherRegistry(tmp_path / "fifo")
    assert str(refused.value) == f"cannot read '{tmp_path / 'fifo'}': it is not a regular file"
    registry = PublisherRegistry(tmp_path / "missing" / "trust.json")
    with pytest.raises(FileNotFoundError):
        registry.add_publisher(publisher("a"))
    assert registry.list_publishers() == []


def test_verify_against_registry(model: Path, keys: Keys, ecdsa_keys: Keys) -> None:
    signer = ModelSigner()
    manifest = signer.create_manifest(model)
    signed = signer.sign_manifest(manifest, keys.private.read_bytes(), "alice")
    registry = PublisherRegistry()

    def verdict(document: SignedManifest) -> tuple[bool, str | None]:
        result = registry.verify_against_registry(document)
        assert (result.manifest == document.manifest) == result.valid
        assert result.signer_id == (document.signature.signer_id if result.valid else None)
        return result.valid, result.error

    assert verdict(signed) == (False, "'alice' is not a trusted publisher")
    registry.add_publisher(publisher("alice", keys.public.read_bytes()))
    assert verdict(signed) == (True, None)

    renamed = signed.model_copy(
        update={"signature": signed.signature.model_copy(update={"signer_id": "bob"})}
    )
    assert verdict(renamed) == (False, "'bob' is not a trusted publisher")
    registry.add_publisher(publisher("bob", ecdsa_keys.public.read_bytes()))
    assert verdict(renamed) == (False, "the manifest says ed25519, the key is ecdsa_p256")
    by_bob = signer.sign_manifest(manifest, ecdsa_keys.private.read_bytes(), "bob")
    assert verdict(by_bob) == (True, None)

    altered = manifest.model_copy(update={"author": "mallory"})
    forged = signed.model_copy(update={"manifest": altered})
    assert verdict(forged) == (False, "the signature does not fit the manifest")
    registry.add_publisher(publisher("alice"))
    valid, error = verdict(signed)
    assert (valid, (error or "")[:29]) == (False, "signed by another key, SHA256")
    registry.remove_publisher("alice")
    assert verdict(signed) == (False, "'alice' is not a trusted publisher")


def test_trust_that_ends_or_begins(model: Path, keys: Keys) -> None:
    """A registry alone remembers nothing: it is asked whether the signature counts now."""
    signer = ModelSigner()
    signed = signer.sign_manifest(signer.create_manifest(model), keys.private.read_bytes(), "alice")
    alice = publisher("alice", keys.public.read_bytes())
    key = publishers.current_key(alice)
    the_key = f"the key {key.fingerprint} of 'alice'"
    now, day = datetime.now(UTC), timedelta(days=1)
    before, when, later = (publishers.day(moment) for moment in (now - day, now, now + day))
    other = publishers.described(publisher("x").public_key, since=SINCE)
    not_older = "and this signature is not known as older"
    rows: tuple[tuple[TrustedPublisher, str | None], ...] = (
        (with_key(alice, key, expires=now + day), None),
        (with_key(alice, key, expires=now - day), f"{the_key} expired {before}, {not_older}"),
        (
            publishers.rotate(alice, other, at=now - day),
            f"{the_key} was replaced {before}, {not_older}",
        ),
        (publishers.rotate(alice, other, at=now + day), None),
        (
            with_key(alice, key, trusted_since=now + day),
            f"{the_key} is trusted from {later} on",
        ),
        (with_key(alice, key, trusted_since=now - day), None),
        (
            with_key(alice, key, revoked_at=now, reason="stolen"),
            f"{the_key} was revoked {when}: stolen",
        ),
        (with_key(alice, key, revoked_at=now + day), f"{the_key} was revoked {later}"),
        (
            publishers.revoke(alice, at=now, reason="stolen"),
            f"publisher 'alice' was revoked {when}: stolen",
        ),
        # It is another key of hers, and another publisher, who are revoked.
        (with_key(alice, other, revoked_at=now), None),
    )
    for listed, error in rows:
        registry = PublisherRegistry()
        gone = publisher("bob", ALSO_GOOD).model_copy(update={"revoked_at": now})
        registry.add_publishers([gone, listed])
        result = registry.verify_against_registry(signed)
        assert (result.valid, result.error) == (error is None, error)


def test_a_bad_key_that_came_with_the_file(tmp_path: Path, model: Path, keys: Keys) -> None:
    signer = ModelSigner()
    signed = signer.sign_manifest(signer.create_manifest(model), keys.private.read_bytes(), "alice")
    low = publisher("alice", ed25519_pem(bytes(32)))
    path = tmp_path / "trust.json"
    path.write_text(f"[{low.model_dump_json()}]")
    result = PublisherRegistry(path).verify_against_registry(signed)
    assert (result.valid, result.error) == (False, f"the registry's key of 'alice': {SMALL}")


def test_a_directory_that_cannot_be_opened_locks_nothing(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on Windows, or where a directory may be written and not read.
    def refused(path: str, *args: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *args)

    opened = os.open
    monkeypatch.setattr(os, "open", refused)
    registry = PublisherRegistry(tmp_path / "trust.json")
    registry.add_publisher(publisher("a", keys.public.read_bytes()))
    assert (
        PublisherRegistry(tmp_path / "trust.json").list_publishers() == registry.list_publishers()
    )


def test_row_26_what_a_killed_writer_left_is_gone_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / f".trust.json.{'0' * 16}.tmp"
    left.write_text("[")
    PublisherRegistry(tmp_path / "trust.json").add_publisher(publisher("alice"))
    assert os.listdir(tmp_path) == ["trust.json"]
