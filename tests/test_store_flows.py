"""`sign` and `verify` with a store: what it remembers, and what it may never decide."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from modelseal import (
    KeyManager,
    ModelSigner,
    ModelVerifier,
    SignedManifest,
    hashing,
    manifestfiles,
    prechecking,
    tree,
)
from modelseal.canonical import identifier
from modelseal.errors import FormatError, Reason, StoreDamagedError, VersionReusedError
from modelseal.report import Report
from modelseal.store import Store, layout, log, verified
from tests.conftest import Keys, Result
from tests.sealed import seal_of

Run = Callable[..., Result]
Sign = Callable[..., Result]

WEIGHTS = "weights/model.bin"


@pytest.fixture
def sign(run: Run, model: Path, keys: Keys) -> Sign:
    """Sign `model` as alice, with more options."""

    def call(*more: str | Path) -> Result:
        key = ("--key", keys.private, "--signer-id", "alice")
        return run("sign", "--model-dir", model, *key, *more)

    return call


@pytest.fixture
def verify(run: Run, model: Path, keys: Keys) -> Sign:
    """Verify something with alice's key."""

    def call(*args: str | Path) -> Result:
        return run("verify", *args, "--key", keys.public)

    return call


def manifest_of(model: Path) -> SignedManifest:
    """What was signed last."""
    return manifestfiles.load(model / "signed_manifest.json")


def age() -> None:
    """Let files be older than the cache's entries, or those aren't believed."""
    time.sleep(0.1)


# Signing


def test_sign_makes_a_store_in_the_model_and_names_the_seal(sign: Sign, model: Path) -> None:
    done = sign("--model-version", "1.0")
    store = Store.open(model)
    id_ = store.resolve("model@1.0")
    assert (done.code, done.out.splitlines()[-1]) == (0, f"  Seal     : {id_[:12]}")
    assert id_ == identifier(manifest_of(model))
    assert store.get(store.resolve("model")) == manifest_of(model)


def test_sign_uses_the_nearest_store_upward(sign: Sign, model: Path) -> None:
    Store.init(model.parent)
    sign()
    assert not (model / ".modelseal").exists()
    seal = Store.open(model.parent).latest("model")
    assert seal is not None
    assert (seal.directory, seal.files) == (str(model), 3)


def test_no_store_makes_none(sign: Sign, model: Path) -> None:
    assert "Seal " not in sign("--no-store").out
    assert not (model / ".modelseal").exists()


@pytest.mark.parametrize("option", ["--incremental", "--precheck", "--allow-version-reuse"])
def test_what_needs_a_store_says_so(sign: Sign, option: str) -> None:
    assert sign("--no-store", option) == (
        64,
        "",
        f"error: {option} needs a store, --no-store has none\n",
    )


def test_a_failed_sign_makes_no_store(sign: Sign, model: Path) -> None:
    (model / "link").symlink_to("config.json")
    assert sign().code == 1
    assert not (model / ".modelseal").exists()
    assert not (model / "signed_manifest.json").exists()


def test_row_26_sign_finishes_a_store_that_was_begun(sign: Sign, model: Path) -> None:
    (model / ".modelseal" / "manifests").mkdir(parents=True)
    assert sign().code == 0
    store = Store.find(model)
    assert store is not None
    assert (len(list(store.log())), store.fsck().findings) == (1, [])


def test_row_26_sign_clears_away_what_a_killed_one_left(
    sign: Sign, verify: Sign, model: Path
) -> None:
    left = [model / f".{name}.{'0' * 16}.tmp" for name in ("signed_manifest.json", "config.json")]
    left[0].write_text("{")
    assert sign().code == 0
    assert not left[0].exists()
    assert verify("model", "--model-dir", model).code == 0
    left[1].write_text("{")
    assert sign().code == 0
    assert left[1].exists(), "not ours"


def test_sign_waits_for_nobody_who_holds_the_directory(sign: Sign, model: Path) -> None:
    left = model / f".signed_manifest.json.{'0' * 16}.tmp"
    left.write_text("{")
    fd = os.open(model, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        assert sign().code == 0
        assert left.exists(), "somebody may be writing it"
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert sign().code == 0
        assert left.exists()
    finally:
        os.close(fd)
    assert sign().code == 0
    assert not left.exists()


def test_a_store_that_is_named_must_be_there(sign: Sign, model: Path, tmp_path: Path) -> None:
    done = sign("--store", tmp_path / "none")
    assert (done.code, (model / ".modelseal").exists()) == (1, False)


# Incremental


def test_incremental_reads_what_may_have_changed(sign: Sign, model: Path) -> None:
    age()
    assert "  Read     : 3 files; the others look unchanged" in sign("--incremental").out
    first = manifest_of(model)
    (model / "config.json").write_text("{}")
    done = sign("--incremental")
    assert "  Read     : 1 files; the others look unchanged" in done.out
    second = manifest_of(model)
    assert second.manifest.files[0] != first.manifest.files[0]
    assert second.manifest.files[1:] == first.manifest.files[1:]


def test_without_incremental_everything_is_read(
    sign: Sign, model: Path, keys: Keys, tmp_path: Path
) -> None:
    sign()
    sealed = ModelSigner().sign_model(
        model,
        keys.private.read_bytes(),
        "alice",
        model / "signed_manifest.json",
        store=Store.open(model),
    )
    assert sealed.hashed == 3


@pytest.mark.parametrize("more", [[], ["--incremental"]])
def test_the_status_after_a_seal_reads_nothing(sign: Sign, model: Path, more: list[str]) -> None:
    age()
    sign(*more)
    status = Store.open(model).status(model)
    assert (status.clean, status.files, status.hashed) == (True, 3, 0)
    (model / "config.json").write_text('{"vocab_size": 32001}')  # of the same size
    changed = Store.open(model).status(model)
    assert ([change.path for change in changed.altered], changed.hashed) == (["config.json"], 1)


def test_verify_reads_what_the_cache_vouches_for(sign: Sign, verify: Sign, model: Path) -> None:
    """Content changed behind the clock's back: the cache can't see it, verify does."""
    path = model / "config.json"
    age()
    sign()
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = verify("--manifest", model / "signed_manifest.json", "--model-dir", model)
    assert (done.code, "  [FAIL] config.json" in done.out) == (2, True)


# If changed


def test_if_changed_does_nothing_for_the_same(sign: Sign, model: Path) -> None:
    manifest = model / "signed_manifest.json"
    sign("--if-changed")
    before = (manifest.read_bytes(), manifest.stat().st_mtime_ns)
    assert sign("--if-changed") == (0, f"Unchanged since it was signed: {manifest}\n", "")
    assert (manifest.read_bytes(), manifest.stat().st_mtime_ns) == before
    assert len(list(Store.open(model).log())) == 1


@pytest.mark.parametrize(
    "change", ["content", "version", "description", "no manifest", "bad manifest", "no seal"]
)
def test_if_changed_signs_what_is_new(sign: Sign, model: Path, change: str) -> None:
    sign("--if-changed")
    manifest = model / "signed_manifest.json"
    more: list[str] = []
    if change == "content":
        (model / "config.json").write_text("{}")
    elif change == "version":
        more = ["--model-version", "2"]
    elif change == "description":
        more = ["--description", "better"]
    elif change == "no manifest":
        manifest.unlink()
    elif change == "bad manifest":
        text = manifest.read_text()
        manifest.write_text(text.replace('"signature_hex": "', '"signature_hex": "00'))
    else:
        shutil.rmtree(model / ".modelseal")
    assert "Signed manifest written to" in sign("--if-changed", *more).out


def test_if_changed_signs_for_another_key(
    sign: Sign, run: Run, model: Path, ecdsa_keys: Keys
) -> None:
    sign("--if-changed")
    other = ("--key", ecdsa_keys.private, "--signer-id", "alice", "--if-changed")
    assert "Signed manifest written" in run("sign", "--model-dir", model, *other).out


# One version, one content


def test_row_17_other_content_under_a_sealed_version_is_refused(sign: Sign, model: Path) -> None:
    sign("--model-version", "1.0")
    before = (model / "signed_manifest.json").read_bytes()
    (model / "config.json").write_text("{}")
    done = sign("--model-version", "1.0")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "--allow-version-reuse" in done.err
    assert (model / "signed_manifest.json").read_bytes() == before
    assert sign("--model-version", "1.0", "--allow-version-reuse").code == 0
    assert sign("--model-version", "1.1").code == 0


def test_the_unversioned_version_may_be_sealed_again(sign: Sign, model: Path) -> None:
    sign()
    (model / "config.json").write_text("{}")
    assert sign().code == 0


def test_row_17_verify_refuses_a_reused_version(
    sign: Sign, verify: Sign, run: Run, keys: Keys, model: Path
) -> None:
    sign("--model-version", "1.0")
    (model / "config.json").write_text("{}")
    key = ("--key", keys.private, "--signer-id", "alice", "--model-version", "1.0")
    assert run("sign", "--model-dir", model, *key, "--no-store").code == 0
    args = ("--manifest", model / "signed_manifest.json", "--model-dir", model)
    done = verify(*args)
    assert done.code == 2
    refused = "Refused: 'model' 1.0 is sealed already, with other content ("
    assert done.out.splitlines()[4].startswith(refused)
    assert "[FAIL]" not in done.out
    assert "All files verified" not in done.out
    report = json.loads(verify(*args, "--json").out)
    assert (report["valid"], report["reason"]) == (False, "version-reused")


def test_row_17_an_older_manifest_than_the_last_one_verified(
    sign: Sign, verify: Sign, model: Path, tmp_path: Path
) -> None:
    args = ("--manifest", model / "signed_manifest.json", "--model-dir", model)
    sign("--model-version", "1.0")
    old = (model / "signed_manifest.json").read_bytes()
    assert verify(*args).code == 0
    sign("--model-version", "2.0")
    assert verify(*args, "--no-rollback").code == 0
    (model / "signed_manifest.json").write_bytes(old)
    done = verify(*args)
    assert (done.code, done.err.startswith("warning: older than version 2.0")) == (0, True)
    refused = json.loads(verify(*args, "--no-rollback", "--json").out)
    assert (refused["valid"], refused["reason"]) == (False, "rollback")
    # Its success was noted, but what was verified later stays the mark.
    assert verify(*args, "--no-rollback").code == 2


def dated(model: Path, keys: Keys, description: str, hour: int) -> SignedManifest:
    """The model, signed with a date of somebody's choice."""
    manifest = ModelSigner().create_manifest(model, "model", description=description)
    created_at = datetime(2024, 1, 31, hour, tzinfo=UTC)
    manifest = manifest.model_copy(update={"created_at": created_at})
    return ModelSigner().sign_manifest(manifest, keys.private.read_bytes(), "alice")


def test_only_news_is_noted(model: Path, keys: Keys) -> None:
    """Neither what was noted last nor what is older; of the same time, what is another one."""
    noted: list[str] = []

    class Diary(Store):
        def note_verified(self, signed: SignedManifest) -> None:
            noted.append(signed.manifest.description)
            super().note_verified(signed)

    store = Diary.init(model)

    def check(signed: SignedManifest, root: Path | None = model) -> Report:
        return ModelVerifier().verify_model(
            root, signed, public_key_bytes=keys.public.read_bytes(), store=store
        )

    def warnings(signed: SignedManifest) -> list[str]:
        report = check(signed)
        assert report.valid
        return report.warnings

    one, other = dated(model, keys, "a", 1), dated(model, keys, "b", 1)
    assert check(one, None).valid
    (model / "new").touch()
    assert not check(one).valid
    (model / "new").unlink()
    assert noted == [], "neither a signature alone nor what is not as signed"
    assert [warnings(signed) for signed in (one, one, other)] == [[], [], []]
    assert noted == ["a", "b"]
    assert warnings(dated(model, keys, "c", 2)) == []
    last = store.last_verified("model")
    assert last is not None
    said = f"older than version 0.0.0, which was verified here {last.verified_at}"
    assert warnings(other) == [said]
    assert noted == ["a", "b", "c"]


def test_a_damaged_store_speaks_against_nothing(sign: Sign, model: Path, keys: Keys) -> None:
    sign("--model-version", "1.0")
    store, signed = Store.open(model), manifest_of(model)
    id_ = identifier(signed)
    noted = Path(verified.path_of(store.path, "model"))

    def warnings() -> list[str]:
        report = ModelVerifier().verify_model(
            model, signed, public_key_bytes=keys.public.read_bytes(), store=store
        )
        assert report.valid
        return report.warnings

    before = "the store can't be asked what was verified before: "
    noted.parent.mkdir()
    noted.write_text("1.0\n")
    assert warnings() == [f"{before}'{noted}' is damaged"]
    # What can be read but for its time is replaced by what is verified now.
    words = [layout.encode(word) for word in ("model", "1.0", "yesterday")]
    noted.write_bytes(log.signed_line([log.now(), "0" * 64, *words]))
    assert warnings() == [f"{before}Invalid isoformat string: 'yesterday'"]
    assert warnings() == []
    last = store.last_verified("model")
    assert (last and last.id) == id_
    sealed = Path(store.path, "manifests", id_[:2], f"{id_[2:]}.json")
    sealed.write_text("{}")
    said = (
        f"the store can't be asked for this version: manifest '{sealed}' doesn't hash to its name"
    )
    assert warnings() == [said]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), StoreDamagedError("damaged")])
def test_a_store_that_can_note_nothing_is_no_failure(
    model: Path, keys: Keys, error: Exception
) -> None:
    class Full(Store):
        def note_verified(self, signed: SignedManifest) -> None:
            raise error

    report = ModelVerifier().verify_model(
        model,
        dated(model, keys, "", 1),
        public_key_bytes=keys.public.read_bytes(),
        store=Full.init(model),
    )
    assert (report.valid, report.warnings) == (True, [])


# Revisions


@pytest.mark.parametrize("revision", ["model", "model@1.0", "id"])
def test_a_revision_is_checked_where_it_was_signed(
    sign: Sign, verify: Sign, model: Path, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    sign("--model-version", "1.0")
    monkeypatch.chdir(model)
    if revision == "id":
        revision = identifier(manifest_of(model))[:8]
    done = verify(revision)
    assert (done.code, done.out.splitlines()[0]) == (0, f"Directory: {model}")
    (model / "config.json").write_text("{}")
    assert verify(revision).code == 2


def test_a_moved_model_takes_its_store_along(
    sign: Sign, verify: Sign, model: Path, tmp_path: Path
) -> None:
    sign()
    moved = model.rename(tmp_path / "moved")
    done = verify("model", "--store", moved)
    assert (done.code, done.out.splitlines()[0]) == (0, f"Directory: {moved}")


def test_a_store_that_came_along_sends_nobody_elsewhere(
    sign: Sign, verify: Sign, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign()
    copy = tmp_path / "delivered"
    shutil.copytree(model, copy)
    (copy / "config.json").write_text("{}")
    monkeypatch.chdir(copy)
    done = verify("model")
    assert (done.code, done.out.splitlines()[0]) == (2, f"Directory: {copy}")


def test_a_revision_nobody_sealed(sign: Sign, verify: Sign, model: Path) -> None:
    sign()
    done = verify("other", "--model-dir", model)
    assert (done.code, done.out) == (1, "")
    assert "other" in done.err


def test_a_sealed_manifest_of_no_file(verify: Sign, tmp_path: Path) -> None:
    Store.init(tmp_path).add(seal_of({}))
    done = verify("model", "--store", tmp_path)
    assert done == Result(1, "", "error: the manifest names no file\n")


@pytest.mark.parametrize("args", [[], ["model", "--manifest", "m.json"]])
def test_a_revision_or_a_manifest(verify: Sign, args: list[str]) -> None:
    assert verify(*args).code == 64


# Precheck


def test_precheck_stops_at_what_is_altered(sign: Sign, verify: Sign, model: Path) -> None:
    sign("--precheck")
    (model / "config.json").write_text("[]")
    done = verify("model", "--model-dir", model, "--precheck")
    assert done.code == 2
    assert "  [FAIL] config.json" in done.out
    assert f"  [NOT CHECKED] {WEIGHTS}" in done.out
    report = json.loads(verify("model", "--model-dir", model, "--precheck", "--json").out)
    assert (report["reason"], report["checked"]) == ("file-altered", 1)
    assert report["unchecked"] == ["empty.txt", WEIGHTS]


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        ({}, ["empty.txt", "config.json", WEIGHTS, WEIGHTS]),
        ({"empty.txt": 1}, ["empty.txt", "config.json", WEIGHTS, WEIGHTS]),
        ({"config.json": 1}, ["config.json", "empty.txt", WEIGHTS, WEIGHTS]),
        ({WEIGHTS: 2, "config.json": 1}, [WEIGHTS, WEIGHTS]),
    ],
)
def test_precheck_looks_first_at_what_changed_last_and_then_at_the_smallest(
    changed: dict[str, int],
    read: list[str],
    sign: Sign,
    verify: Sign,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sign("--precheck")
    (model / WEIGHTS).write_bytes(b"x")
    monkeypatch.setattr(prechecking, "_GROUP_BYTES", 1)
    monkeypatch.setattr(tree, "changed_at", lambda _, path: changed.get(path, 0))
    seen: list[str] = []
    hash_files = hashing.hash_files

    def spy(root: Path, files: list[str], **how: Any) -> object:
        seen.extend(files)
        return hash_files(root, files, **how)

    monkeypatch.setattr(hashing, "hash_files", spy)
    report = json.loads(verify("model", "--model-dir", model, "--precheck", "--json").out)
    assert [item["path"] for item in report["altered"]] == [WEIGHTS]
    assert report["unchecked"] == ["config.json", "empty.txt"]
    assert seen == read


def test_precheck_goes_by_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"b": b"", **dict.fromkeys("acdefghij", b"x")}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(prechecking, "_GROUP_BYTES", 4)
    monkeypatch.setattr(tree, "changed_at", lambda *_: 0)
    groups: list[str] = []
    hash_files = hashing.hash_files

    def spy(root: Path, files: list[str], **how: Any) -> object:
        groups.append("".join(files))
        return hash_files(root, files, **how)

    monkeypatch.setattr(hashing, "hash_files", spy)
    manifest = seal_of(contents).manifest
    signed = {entry.path: entry for entry in manifest.files}
    recorded = {path: blake3(content).digest() for path, content in contents.items()}
    check = prechecking.Check(tmp_path, signed, (), prechecking.Form.of(manifest), {})
    assert check.suspects_first(list(contents), recorded, []) == {}
    assert [group for group in groups if group] == ["bacde", "fghi", "j"]


def test_changed_at_is_the_file_systems_word(model: Path) -> None:
    assert tree.changed_at(model, "config.json") == int((model / "config.json").stat().st_ctime)
    assert tree.changed_at(model, "gone") == 0


def test_precheck_records_what_incremental_would_not_read(
    sign: Sign, verify: Sign, model: Path
) -> None:
    age()
    sign("--model-version", "1")
    assert "Read     : 3 files" in sign("--incremental", "--precheck", "--model-version", "2").out
    assert "Read     : 0 files" in sign("--incremental", "--precheck", "--model-version", "3").out
    (model / "config.json").write_text("[]")
    done = verify("model", "--model-dir", model, "--precheck")
    assert (done.code, f"  [NOT CHECKED] {WEIGHTS}" in done.out) == (2, True)


def test_precheck_of_a_good_model_checks_everything(sign: Sign, verify: Sign, model: Path) -> None:
    sign("--precheck")
    report = json.loads(verify("model", "--model-dir", model, "--precheck", "--json").out)
    assert (report["valid"], report["checked"], report["warnings"]) == (True, 3, [])


def test_precheck_with_nothing_recorded_is_the_plain_check(
    sign: Sign, verify: Sign, model: Path
) -> None:
    sign()
    report = json.loads(verify("model", "--model-dir", model, "--precheck", "--json").out)
    assert (report["valid"], report["checked"]) == (True, 3)
    assert report["warnings"] == ["the store has no BLAKE3 of this model: nothing to check first"]


class _FalseIndex(Store):
    """Somebody wrote what they liked into the index."""

    def blake3(self, digests: object) -> dict[bytes, bytes]:
        return {digest: bytes(32) for digest in digests}  # type: ignore[attr-defined]


@pytest.mark.parametrize("group", [1, 1 << 20])
@pytest.mark.parametrize("altered", [False, True])
def test_row_30_false_blake3_digests_never_decide(
    sign: Sign,
    model: Path,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    altered: bool,
    group: int,
) -> None:
    sign("--precheck")
    signed = manifest_of(model)
    if altered:
        (model / WEIGHTS).write_bytes(b"x")
    monkeypatch.setattr(prechecking, "_GROUP_BYTES", group)
    monkeypatch.setattr(tree, "changed_at", lambda *_: 0)
    report = ModelVerifier().verify_model(
        model,
        signed,
        public_key_bytes=keys.public.read_bytes(),
        store=_FalseIndex(model / ".modelseal"),
        precheck=True,
    )
    assert report.valid is not altered
    assert (report.checked, report.unchecked) == (3, [])
    if not altered:
        assert report.warnings == [
            f"the store's BLAKE3 of '{path}' is false; its SHA-256 is as signed"
            for path in ("empty.txt", "config.json", WEIGHTS)
        ]


# A store that is no help


def test_row_31_a_store_that_cannot_be_used_is_left_out(
    sign: Sign, verify: Sign, model: Path
) -> None:
    sign()
    shutil.rmtree(model / ".modelseal")
    (model / ".modelseal").write_text("a file")
    done = verify("--manifest", model / "signed_manifest.json", "--model-dir", model)
    assert (done.code, done.err.startswith("warning: going without the store: ")) == (0, True)


def test_the_api_refuses_a_reused_version(model: Path, keys: Keys) -> None:
    store = Store(model / ".modelseal")
    signer, key = ModelSigner(), keys.private.read_bytes()
    output = model / "signed_manifest.json"
    signer.sign_model(model, key, "alice", output, model_version="1.0", store=store)
    (model / "new").touch()
    with pytest.raises(VersionReusedError):
        signer.sign_model(model, key, "alice", output, model_version="1.0", store=store)
    assert VersionReusedError.reason == Reason.VERSION_REUSED


def test_keys_and_manifests_are_refused_before_the_store_is_touched(
    model: Path, keys: Keys
) -> None:
    store = Store(model / ".modelseal")
    with pytest.raises((FormatError, ValueError)):
        ModelSigner().sign_model(model, b"no key", "alice", model / "m.json", store=store)
    assert not (model / ".modelseal").exists()
    assert KeyManager().load_private_key(keys.private)


def test_row_26_cosign_clears_away_what_a_killed_one_left(
    sign: Sign, verify: Sign, model: Path, keys: Keys, ecdsa_keys: Keys, run: Callable[..., Result]
) -> None:
    sign()
    left = model / f".signed_manifest.json.cosigned.{'0' * 16}.tmp"
    left.write_text("{")
    assert verify("model", "--model-dir", model).code == 2
    manifest = model / "signed_manifest.json"
    done = run("cosign", "--manifest", manifest, "--key", ecdsa_keys.private, "--signer-id", "bob")
    assert (done.code, left.exists()) == (0, False)
    assert verify("model", "--model-dir", model).code == 0
    left.write_text("{")
    assert sign().code == 0
    assert not left.exists()
