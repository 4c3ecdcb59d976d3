"""Further signatures: beside the manifest, in the store, and never a place to hide a file."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelseal import (
    ModelVerifier,
    SignedManifest,
    cosigning,
    judging,
    manifestfiles,
    publishers,
    structs,
)
from modelseal import keys as keys_
from modelseal.canonical import canonical, identifier
from modelseal.errors import FormatError, OverwriteError, Reason, StoreDamagedError
from modelseal.levels import Level, Memory, Trust
from modelseal.report import Report, Voice
from modelseal.store import Store
from modelseal.trust import PublisherRegistry
from tests.conftest import Keys, Result
from tests.test_levels import level, other
from tests.test_publishers import FIRST, ROTATED, SECOND, THIRD, alice, encoded, print_of
from tests.test_publishers import signed as by_alice
from tests.test_trust import publisher

Run = Callable[..., Result]
ALICE = "alice@example.com"


@pytest.fixture
def document(signed: Path) -> SignedManifest:
    return manifestfiles.load(signed)


@pytest.fixture
def trust(document: SignedManifest) -> Trust:
    """Alice, who signed, and bob and carol, who may."""
    registry = PublisherRegistry()
    for name, key in ((ALICE, document.signature.public_key), ("bob", encoded(SECOND))):
        registry.add_publisher(publisher(name).model_copy(update={"public_key": key}))
    registry.add_publisher(publisher("carol").model_copy(update={"public_key": encoded(THIRD)}))
    return Trust([Level("user", "trust.json", registry)])


def cosign(signed: Path, key: keys_.PrivateKey = SECOND, name: str = "bob") -> cosigning.Cosigned:
    return cosigning.cosign(manifestfiles.load(signed), key, name, manifest_path=signed)


def side(signed: Path) -> Path:
    return signed.with_name(f"{signed.name}.cosigned")


def verify(model: Path, signed: Path, trust: Trust, require: int = 2) -> Reason | None:
    report = ModelVerifier().verify_model(
        model, manifestfiles.load(signed), registry=trust, manifest_path=signed, require=require
    )
    assert report.valid == (report.reason is None)
    return report.reason


def test_a_cosignature_counts_and_the_manifest_stays(
    model: Path, signed: Path, trust: Trust, run: Run
) -> None:
    before = signed.read_bytes()
    assert verify(model, signed, trust) is Reason.THRESHOLD
    made = cosign(signed)
    assert (made.path, made.kept, made.others) == (str(side(signed)), False, 0)
    assert verify(model, signed, trust) is None
    assert verify(model, signed, trust, 3) is Reason.THRESHOLD
    assert cosign(signed, THIRD, "carol").others == 1
    assert verify(model, signed, trust, 3) is None
    assert signed.read_bytes() == before
    said = cosigning.load(side(signed))
    assert [one.signer_id for one in said.signatures] == ["bob", "carol"]
    assert said.manifest_sha256 == identifier(manifestfiles.load(signed).manifest)
    status = run("status", model)
    assert (status.code, status.err) == (0, "")
    assert run("diff", "model", model, "--store", model).code == 0


def test_a_cosigner_vouches_alone_where_the_signer_is_unknown(
    model: Path, signed: Path, trust: Trust
) -> None:
    cosign(signed)
    registry = PublisherRegistry()
    registry.add_publisher(publisher("bob").model_copy(update={"public_key": encoded(SECOND)}))
    report = ModelVerifier().verify_model(
        model, manifestfiles.load(signed), registry=registry, manifest_path=signed
    )
    assert (report.valid, report.trusted, report.signer_id) == (True, True, "bob")
    assert report.fingerprint == keys_.fingerprint(SECOND.public_key())
    assert [voice.reason for voice in report.voices] == [Reason.SIGNER_UNTRUSTED, None]
    # With a key, the registry must hold that very key for the signer.
    with_key = ModelVerifier().verify_model(
        model,
        manifestfiles.load(signed),
        registry=registry,
        public_key_bytes=(model.parent / "keys" / "public.pem").read_bytes(),
        manifest_path=signed,
    )
    assert (with_key.reason, with_key.trusted) == (Reason.SIGNER_UNTRUSTED, False)


def test_beside_a_key_a_cosigner_counts_and_lends_no_name(
    model: Path, signed: Path, document: SignedManifest, keys: Keys, trust: Trust
) -> None:
    cosign(signed)

    def check(background: Trust, require: int = 1) -> Report:
        return ModelVerifier().verify_model(
            model,
            document,
            public_key_bytes=keys.public.read_bytes(),
            background=background,
            require=require,
        )

    known = check(trust)
    assert (known.valid, known.counted, known.trusted) == (True, 2, True)
    assert (known.signer_id, known.publisher, known.source) == (ALICE, "Somebody", "trust.json")
    unknown = check(Trust([level("user", other("bob", SECOND))]))
    assert (unknown.valid, unknown.counted, unknown.trusted) == (True, 1, False)
    assert (unknown.signer_id, unknown.publisher, unknown.source) == (ALICE, "", "")
    assert unknown.fingerprint == known.fingerprint
    unasked = check(Trust([level("user", other("bob", SECOND))]), 0)
    assert (unasked.valid, unasked.voices, unasked.trusted) == (True, [], False)
    # Her name is one that somebody else's key has.
    taken = check(Trust([level("user", other(ALICE, THIRD), other("bob", SECOND))]))
    assert (taken.valid, taken.reason) == (False, Reason.SIGNATURE_INVALID)
    assert [voice.signer_id for voice in taken.voices] == [ALICE]


def test_so_many_sign_as_the_rule_for_that_name_wants() -> None:
    trust = Trust([level("user", alice(), other("bob", SECOND, require=2, models=["acme/*"]))])
    for name, required, reason in (("acme/tiny", 2, Reason.THRESHOLD), ("tiny", 1, None)):
        report = ModelVerifier().verify_model(None, by_alice(name=name), registry=trust)
        assert (report.required, report.counted, report.reason) == (required, 1, reason)


def test_a_bad_signature_of_the_manifest_itself_is_not_made_good(
    model: Path, signed: Path, trust: Trust
) -> None:
    cosign(signed)
    plain = json.loads(signed.read_text())
    plain["signature"]["signature_hex"] = "00" * 64
    signed.write_text(json.dumps(plain))
    assert verify(model, signed, trust, 1) is Reason.SIGNATURE_INVALID


def test_a_key_signs_once(signed: Path, keys: Keys) -> None:
    cosign(signed)
    own = keys_.load_private(keys.private.read_bytes())
    for key, name in ((SECOND, "bob"), (SECOND, "robert"), (own, "bob")):
        before = side(signed).read_bytes()
        with pytest.raises(OverwriteError, match="this key has signed the manifest already, as "):
            cosign(signed, key, name)
        assert side(signed).read_bytes() == before


def test_a_manifest_with_a_wrong_signature_is_not_cosigned(signed: Path) -> None:
    plain = json.loads(signed.read_text())
    plain["manifest"]["author"] = "mallory"
    signed.write_text(json.dumps(plain))
    with pytest.raises(FormatError, match="its own signature is wrong"):
        cosign(signed)
    assert not side(signed).exists()


def _spoilt(good: str, other: str) -> dict[str, str]:
    document = json.loads(good)
    bad = {**document["signatures"][0], "signature_hex": "00" * 64}
    return {
        "code": "import os",
        "code after it": good + "import os",
        "of another manifest": json.dumps({**document, "manifest_sha256": "0" * 64}),
        "a bad signature": json.dumps({**document, "signatures": [bad]}),
        "one good and one bad": json.dumps(
            {**document, "signatures": [*document["signatures"], bad]}
        ),
        "none": json.dumps({**document, "signatures": []}),
        "too many": json.dumps({**document, "signatures": document["signatures"] * 65}),
        "an unknown field": json.dumps({**document, "code": "import os"}),
        "a repeated key": good.replace(
            '"manifest_sha256"', '"manifest_sha256": "", "manifest_sha256"'
        ),
        "too large": good + " " * (1 << 20),
        "moved from another model": other,
    }


@pytest.mark.parametrize("how", _spoilt('{"manifest_sha256": "", "signatures": [{}]}', ""))
def test_row_03_what_is_no_cosignature_is_unsigned(
    how: str, model: Path, signed: Path, trust: Trust, run: Run, tmp_path: Path, keys: Keys
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("a")
    run("sign", "--model-dir", other, "--key", keys.private, "--signer-id", ALICE)
    cosign(other / "signed_manifest.json")
    cosign(signed)
    spoilt = _spoilt(side(signed).read_text(), side(other / "signed_manifest.json").read_text())
    side(signed).write_text(spoilt[how])
    assert verify(model, signed, trust, 1) is Reason.FILE_UNSIGNED
    assert verify(model, signed, trust, 2) is Reason.THRESHOLD
    report = ModelVerifier().verify_model(
        model, manifestfiles.load(signed), registry=trust, manifest_path=signed
    )
    assert [item.path for item in report.unsigned] == ["signed_manifest.json.cosigned"]
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("cosignatures are left out: ")
    with pytest.raises(FormatError):
        cosign(signed, THIRD, "carol")
    assert side(signed).read_text() == spoilt[how], "nothing is overwritten"


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_row_04_what_is_no_file_is_unsigned(
    kind: str, model: Path, signed: Path, trust: Trust, tmp_path: Path
) -> None:
    import os

    cosign(signed)
    side(signed).rename(tmp_path / "elsewhere")
    if kind == "link":
        side(signed).symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(side(signed))
    else:
        side(signed).mkdir()
        (side(signed) / "code.py").touch()
    assert verify(model, signed, trust, 1) is Reason.FILE_UNSIGNED


def test_only_the_file_beside_the_manifest_is_left_out(
    model: Path, signed: Path, trust: Trust
) -> None:
    cosign(signed)
    text = side(signed).read_text()
    for name in ("other.cosigned", "weights/signed_manifest.json.cosigned", "config.json.cosigned"):
        (model / name).write_text(text)
        assert verify(model, signed, trust, 1) is Reason.FILE_UNSIGNED
        (model / name).unlink()
    # A manifest that lies elsewhere, and the usual place in the model.
    moved = model.parent / "m.json"
    signed.rename(moved)
    assert verify(model, moved, trust, 2) is None
    side(signed).rename(side(moved))
    assert verify(model, moved, trust, 2) is None


def test_signing_anew_leaves_it_out_and_removes_it(
    model: Path, signed: Path, keys: Keys, run: Run
) -> None:
    sign = ["sign", "--model-dir", model, "--key", keys.private, "--signer-id", ALICE]
    cosign(signed)
    done = run(*sign, "--if-changed")
    assert (done.code, done.err) == (0, "")
    assert side(signed).exists()
    done = run(*sign)
    assert done == Result(
        0,
        done.out,
        "warning: the cosignatures of the manifest that was replaced are gone with it\n",
    )
    assert "  Files    : 3\n" in done.out
    assert not side(signed).exists()
    side(signed).write_text("no cosignatures")
    done = run(*sign)
    assert (done.code, done.err) == (0, "")
    assert "  Files    : 4\n" in done.out, "a file like any other"
    assert side(signed).read_text() == "no cosignatures"


# In the store


def test_the_store_keeps_it_where_it_has_the_manifest(
    model: Path, signed: Path, trust: Trust, run: Run, keys: Keys
) -> None:
    store = Store.open(model)
    document = manifestfiles.load(signed)
    made = cosigning.cosign(document, SECOND, "bob", manifest_path=signed, store=store)
    assert made.kept
    payload = identifier(document.manifest)
    (kept,) = store.cosignatures(payload)
    assert kept.signature == made.signature
    path = Path(store.path, "cosigned", payload, f"{identifier(made.signature)}.json")
    assert path.read_bytes() == canonical(kept)
    assert store.fsck().findings == []
    # By revision, in the store alone; and once more in neither.
    by_rev = cosigning.cosign(document, THIRD, "carol", store=store)
    assert (by_rev.path, by_rev.others) == ("", 1)
    with pytest.raises(OverwriteError):
        cosigning.cosign(document, THIRD, "carol", store=store)
    side(signed).unlink()
    report = ModelVerifier().verify_model(model, document, registry=trust, store=store, require=3)
    assert (report.valid, report.counted) == (True, 3)
    removed = run("gc", "--store", model)
    assert removed.code == 0
    assert len(store.cosignatures(payload)) == 2
    # A store without this manifest keeps nothing.
    other = Store.init(model.parent)
    assert not cosigning.cosign(document, FIRST, "dan", store=other).kept
    assert not other.has_cosignatures()


@pytest.mark.parametrize("how", ["flipped", "renamed", "emptied", "directory", "gone", "stray"])
def test_row_29_a_damaged_cosignature_is_found_and_never_counts(
    how: str, model: Path, signed: Path, trust: Trust
) -> None:
    store = Store.open(model)
    document = manifestfiles.load(signed)
    cosigning.cosign(document, SECOND, "bob", store=store)
    payload = identifier(document.manifest)
    (path,) = Path(store.path, "cosigned", payload).iterdir()
    data = path.read_bytes()
    if how == "flipped":
        place = data.index(b'"signature_hex":"') + 20
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    elif how == "renamed":
        path.rename(path.with_name("0" * 64 + ".json"))
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "directory":
        path.unlink()
        path.mkdir()
    elif how == "stray":
        path.parent.rename(path.parent.with_name("0" * 64))
    else:
        path.unlink()
    found = store.fsck()
    assert found.clean == (how in ("gone", "stray"))
    assert [f.kind for f in found.findings] == ([] if how == "gone" else ["cosigned"])
    report = ModelVerifier().verify_model(model, document, registry=trust, store=store, require=2)
    assert report.reason is Reason.THRESHOLD
    if how not in ("gone", "stray"):
        with pytest.raises(StoreDamagedError):
            store.cosignatures(payload)


def test_leftovers_of_a_killed_cosigner_are_removed(model: Path, signed: Path) -> None:
    store = Store.open(model)
    cosigning.cosign(manifestfiles.load(signed), SECOND, "bob", store=store)
    (directory,) = Path(store.path, "cosigned").iterdir()
    leftover = directory / f".x.{'0' * 16}.tmp"
    leftover.touch()
    assert [f.kind for f in store.fsck().findings] == ["leftover"]
    assert store.gc().leftovers == [str(leftover.relative_to(store.path))]
    assert store.fsck().findings == []


# First sight


def test_first_seen_is_the_earliest_that_the_store_knows(
    model: Path, signed: Path, document: SignedManifest
) -> None:
    store = Store.open(model)
    (line,) = store.seals(identifier(document))
    sealed = datetime.fromisoformat(line.sealed_at)
    second = timedelta(microseconds=999_999)
    assert store.first_seen(document) == sealed + second
    # Another signature over the same manifest is another one, however it is dated.
    other = document.signature.model_copy(update={"signed_at": datetime(2020, 1, 1, tzinfo=UTC)})
    again = structs.SignedManifest(manifest=document.manifest, signature=other)
    assert store.first_seen(again) is None
    store.note_verified(again)
    seen = store.first_seen(again)
    assert seen is not None and seen >= sealed
    made = cosigning.cosign(document, SECOND, "bob", store=store)
    cosigned = structs.SignedManifest(manifest=document.manifest, signature=made.signature)
    kept = store.first_seen(cosigned)
    assert kept is not None and kept >= sealed
    assert store.first_seen(document) == sealed + second


def test_an_old_cosignature_outlives_its_key_where_the_store_kept_it(
    model: Path, signed: Path, document: SignedManifest, trust: Trust
) -> None:
    store = Store.open(model)
    cosigning.cosign(document, SECOND, "bob", store=store)
    registry = trust.levels[0].registry
    later = datetime.now(UTC) + timedelta(seconds=1)
    new = publishers.described(encoded(FIRST), since=later)
    registry.change_publisher("bob", lambda bob: publishers.rotate(bob, new, at=later))
    import time

    time.sleep(1.1)
    for memory, reason in ((store.first_seen, None), (None, Reason.THRESHOLD)):
        report = ModelVerifier().verify_model(
            model, document, registry=Trust(trust.levels, memory), store=store, require=2
        )
        assert report.reason is reason


# Hints, and words


def hints(*levels: Level, memory: Memory | None = None) -> list[str]:
    """What there is to try where Alice's signature with her first key is refused."""
    report = ModelVerifier().verify_model(None, by_alice(), registry=Trust(levels, memory))
    assert report.reason is not None
    return report.hints


def test_a_store_that_saw_it_in_time_is_named_where_none_is_asked() -> None:
    rotated = level("user", ROTATED)
    hint = "a store of your own that saw it in time counts: name it with '--store DIR'"
    assert hints(rotated) == [hint]
    assert hints(rotated, memory=lambda _: None) == []
    assert hints(level("user", other("alice", SECOND))) == [], "another key, at any time"


def test_a_registry_that_came_along_is_named_where_it_knows_the_signer() -> None:
    came, other_came = (
        level("store", one, grants=False, own=False) for one in (alice(), other("bob", SECOND))
    )
    said = (
        "'store.json' knows this name, but may have come with the model: "
        "if it is yours, name its store with '--store DIR'"
    )
    assert hints(other_came, came) == [said]
    assert hints(other_came) == [judging.HINT_NOBODY]
    assert hints(level("user", alice(), grants=False)) == [judging.HINT_NOBODY]
    assert hints(level("registry"), came) == [], "whoever named a registry knows where it is"


def test_a_lone_registry_is_one_that_somebody_named(tmp_path: Path) -> None:
    registry = PublisherRegistry(tmp_path / "trust.json")
    refused = ModelVerifier().verify_model(None, by_alice(), registry=registry)
    assert (refused.reason, refused.hints) == (Reason.SIGNER_UNTRUSTED, [])
    registry.add_publisher(alice())
    report = ModelVerifier().verify_model(None, by_alice(), registry=registry)
    assert (report.publisher, report.source) == ("Alice", str(tmp_path / "trust.json"))
    assert report.fingerprint == print_of(FIRST)
    registry.add_publisher(alice(revoked_at=datetime.now(UTC)))
    revoked = ModelVerifier().verify_model(None, by_alice(), registry=registry)
    assert (revoked.valid, revoked.fingerprint) == (False, print_of(FIRST))


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (0, "0 trusted publishers, and 4 are needed"),
        (1, "1 trusted publisher, and 4 are needed"),
        (2, "2 trusted publishers, and 4 are needed"),
    ],
)
def test_who_does_not_count_is_named(counted: int, said: str, document: SignedManifest) -> None:
    report = Report(manifest=document.manifest, signer_id=ALICE, required=4, counted=counted)
    report.voices = [Voice("carol")]
    assert judging.too_few(report) == Voice(
        ALICE, reason=Reason.THRESHOLD, message=f"signed by {said}"
    )
    report.voices += [
        Voice(ALICE, reason=Reason.KEY_ROTATED),
        Voice("bob", reason=Reason.SIGNER_UNTRUSTED),
    ]
    assert judging.too_few(report).message == (
        f"signed by {said}; not counted: 'alice@example.com' (key-rotated), "
        "'bob' (signer-untrusted)"
    )
