"""The checking flow: what a report says, why, and how a script hears of it."""

import base64
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from modelseal import (
    FileEntry,
    ModelManifest,
    ModelSigner,
    ModelVerifier,
    PublisherRegistry,
    SignedManifest,
    TrustedPublisher,
    comparing,
    manifestfiles,
    tree,
)
from modelseal.errors import (
    FileChangedError,
    FileUnreadableError,
    FormatError,
    KeyLoadError,
    ModelError,
    Reason,
)
from modelseal.report import Altered, Fault, Report, Unsigned
from tests.conftest import Keys, Result

Run = Callable[..., Result]

WEIGHTS = "weights/model.bin"
ALL = ["config.json", "empty.txt", WEIGHTS]
NOTHING = hashlib.sha256(b"").hexdigest()
SIGNER = "alice@example.com"


def entry(root: Path, path: str, **changes: Any) -> FileEntry:
    """The true entry of a file, but for `changes`."""
    content = (root / path).read_bytes()
    true = {"size_bytes": len(content), "sha256_hash": hashlib.sha256(content).hexdigest()}
    return FileEntry(path=path, **{**true, **changes})


def sign(keys: Keys, files: list[FileEntry], **changes: Any) -> SignedManifest:
    """Sign a manifest of these files."""
    fields = {
        "model_name": "model",
        "model_version": "0.0.0",
        "framework": "unknown",
        "created_at": datetime.now(UTC),
        "author": "",
    }
    total = sum(file.size_bytes for file in files)
    manifest = ModelManifest(files=files, total_size_bytes=total, **{**fields, **changes})
    return ModelSigner().sign_manifest(manifest, keys.private.read_bytes(), SIGNER)


@pytest.fixture
def document(signed: Path) -> SignedManifest:
    """The signed manifest of `model`."""
    return manifestfiles.load(signed)


@pytest.fixture
def check(model: Path, document: SignedManifest, keys: Keys) -> Callable[..., Report]:
    """Verify `model`, or something else, with Alice's key."""

    def call(signed: SignedManifest = document, root: Path | None = model, **more: Any) -> Report:
        return ModelVerifier().verify_model(
            root, signed, public_key_bytes=keys.public.read_bytes(), **more
        )

    return call


def put(root: Path, *paths: str) -> None:
    """Make files, with their directories."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")


# Reports


def test_a_model_as_signed(check: Callable[..., Report], keys: Keys, run: Run) -> None:
    report = check()
    fingerprint = report.fingerprint
    assert report == Report(
        manifest=report.manifest,
        signer_id=SIGNER,
        signature_valid=True,
        fingerprint=fingerprint,
        checked=3,
        passed=ALL,
    )
    assert report.valid
    assert (report.exit_code, report.reason) == (0, None)
    assert fingerprint.startswith("SHA256:")


def _alter(root: Path) -> None:
    (root / "config.json").write_text("")


def _remove(root: Path) -> None:
    (root / "empty.txt").unlink()


def _add(root: Path) -> None:
    put(root, "weights/x.py", "a.py")
    os.mkfifo(root / "pipe")


def _replace(root: Path) -> None:
    (root / WEIGHTS).unlink()
    os.mkfifo(root / WEIGHTS)


ALTERED = Reason.FILE_ALTERED
DAMAGES: dict[str, tuple[list[Callable[[Path], None]], Reason]] = {
    "altered": ([_alter], ALTERED),
    "missing": ([_remove], Reason.FILE_MISSING),
    "unsigned": ([_add], Reason.FILE_UNSIGNED),
    "replaced": ([_replace], ALTERED),
    "altered and missing": ([_alter, _remove], ALTERED),
    "missing and unsigned": ([_remove, _add], Reason.FILE_MISSING),
    "all of it": ([_alter, _remove, _add, _replace], ALTERED),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_wrong_is_told_apart(model: Path, check: Callable[..., Report], what: str) -> None:
    damages, reason = DAMAGES[what]
    expected = {path: entry(model, path).sha256_hash for path in ALL}
    for damage in damages:
        damage(model)
    report = check()
    altered = []
    if _alter in damages:
        altered.append(
            Altered("config.json", expected["config.json"], NOTHING, "0 bytes, signed as 21")
        )
    if _replace in damages:
        altered.append(Altered(WEIGHTS, expected[WEIGHTS], None, "FIFO"))
    missing = ["empty.txt"] if _remove in damages else []
    unsigned = [Unsigned("a.py"), Unsigned("pipe", "FIFO"), Unsigned("weights/x.py")]
    wrong = {*missing, *(item.path for item in altered)}
    assert report.altered == altered
    assert report.missing == missing
    assert report.unsigned == (unsigned if _add in damages else [])
    assert report.passed == [path for path in ALL if path not in wrong]
    assert report.checked == 3 - len(missing) - (_replace in damages)
    assert report.errors == []
    assert (report.reason, report.exit_code, report.valid) == (reason, 2, False)
    assert report.signature_valid


def test_json_says_the_same(
    model: Path, signed: Path, keys: Keys, run: Run, check: Callable[..., Report]
) -> None:
    was = entry(model, "config.json").sha256_hash
    _alter(model)
    _remove(model)
    put(model, "new")
    done = run("verify", "--manifest", signed, "--key", keys.public, "--model-dir", model, "--json")
    assert (done.code, done.err) == (2, "")
    said = json.loads(done.out)
    expected = {
        "valid": False,
        "reason": "file-altered",
        "signer_id": SIGNER,
        "trusted": False,
        "fingerprint": check().fingerprint,
        "model_name": "model",
        "model_version": "0.0.0",
        "framework": "unknown",
        "checked": 2,
        "missing": ["empty.txt"],
        "unsigned": ["new"],
        "errors": [],
        "warnings": [],
    }
    assert {name: said[name] for name in expected} == expected
    [altered] = said["altered"]
    assert {name: altered[name] for name in ("path", "expected", "actual")} == {
        "path": "config.json",
        "expected": was,
        "actual": NOTHING,
    }


def test_json_of_a_model_as_signed(model: Path, signed: Path, keys: Keys, run: Run) -> None:
    done = run("verify", "--manifest", signed, "--key", keys.public, "--model-dir", model, "--json")
    said = json.loads(done.out)
    assert (done.code, said["valid"], said["reason"], said["checked"]) == (0, True, None, 3)
    assert said["altered"] == said["missing"] == said["unsigned"] == said["errors"] == []


def test_quiet_prints_only_what_is_wrong(model: Path, signed: Path, keys: Keys, run: Run) -> None:
    verify = ["verify", "--manifest", signed, "--key", keys.public, "--model-dir", model]
    assert run(*verify, "--quiet") == (0, "", "")
    _remove(model)
    done = run(*verify, "--quiet")
    assert done == (
        2,
        "  [FAIL] empty.txt (missing)\n",
        "One or more files failed verification.\n",
    )


def test_a_signature_alone(check: Callable[..., Report], model: Path) -> None:
    shutil.rmtree(model)
    report = check(root=None)
    assert (report.valid, report.exit_code, report.checked, report.passed) == (True, 0, 0, [])


def test_no_file_is_looked_at_before_the_signature_holds(
    model: Path, check: Callable[..., Report], ecdsa_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sign(ecdsa_keys, [entry(model, "config.json")])
    shutil.rmtree(model)
    report = check(other)
    assert (report.reason, report.exit_code) == (Reason.SIGNATURE_INVALID, 2)
    assert report.signature_error
    assert (report.signature_valid, report.checked, report.missing) == (False, 0, [])


def test_a_size_that_does_not_fit_the_file_is_no_match(
    model: Path, check: Callable[..., Report], keys: Keys
) -> None:
    # The digest fits and the signature holds; a receiver would be told a size that is not so.
    files = [entry(model, "config.json", size_bytes=22), *(entry(model, path) for path in ALL[1:])]
    report = check(sign(keys, files))
    note = "21 bytes, signed as 22"
    assert report.altered == [Altered("config.json", files[0].sha256_hash, None, note)]
    assert report.passed == ALL[1:]
    assert (report.reason, report.exit_code) == (ALTERED, 2)


# What stops the work


def test_a_key_or_a_registry_is_needed(model: Path, document: SignedManifest) -> None:
    with pytest.raises(ValueError, match=r"\Aa public key, a registry or both are needed\Z"):
        ModelVerifier().verify_model(model, document)


def test_only_registries_can_count_publishers(check: Callable[..., Report]) -> None:
    with pytest.raises(ValueError, match=r"\Apublishers can't be counted without a registry\Z"):
        check(require=1)


def test_a_manifest_that_names_no_file_is_malformed(
    check: Callable[..., Report], keys: Keys
) -> None:
    for root in ({}, {"root": None}):
        with pytest.raises(FormatError, match=r"\Athe manifest names no file\Z"):
            check(sign(keys, []), **root)


def test_a_model_directory_that_is_none(check: Callable[..., Report], model: Path) -> None:
    for path, fault in [("no", "does not exist"), ("config.json", "is not a directory")]:
        with pytest.raises(ModelError, match=fault):
            check(root=model / path)


def test_a_key_that_cannot_be_used(model: Path, document: SignedManifest) -> None:
    with pytest.raises(KeyLoadError):
        ModelVerifier().verify_model(model, document, public_key_bytes=b"no key")


def test_a_directory_that_is_none_on_the_command_line(
    model: Path, signed: Path, keys: Keys, run: Run
) -> None:
    verify = ["verify", "--manifest", signed, "--key", keys.public, "--model-dir"]
    said = f"error: model directory '{model / 'no'}' does not exist\n"
    assert run(*verify, model / "no") == (1, "", said)


# Trust


@pytest.fixture
def registry(document: SignedManifest) -> PublisherRegistry:
    """Alice is trusted."""
    registry = PublisherRegistry()
    registry.add_publisher(
        TrustedPublisher(
            publisher_id=SIGNER,
            name="Alice",
            public_key=document.signature.public_key,
            trusted_since=datetime.now(UTC),
        )
    )
    return registry


def test_a_registry_binds_the_name_to_the_key(
    model: Path, document: SignedManifest, registry: PublisherRegistry, check: Callable[..., Report]
) -> None:
    report = ModelVerifier().verify_model(model, document, registry=registry)
    assert (report.valid, report.trusted) == (True, True)
    assert report.fingerprint == check().fingerprint
    assert check(registry=registry).trusted
    assert not check().trusted
    renamed = document.model_copy(
        update={"signature": document.signature.model_copy(update={"signer_id": "mallory"})}
    )
    for report in (
        ModelVerifier().verify_model(model, renamed, registry=registry),
        check(renamed, registry=registry),
        ModelVerifier().verify_model(model, document, registry=PublisherRegistry()),
    ):
        assert (report.reason, report.exit_code) == (Reason.SIGNER_UNTRUSTED, 2)
        assert (report.trusted, report.checked) == (False, 0)


def test_with_both_the_registry_must_hold_that_very_key(
    model: Path, ecdsa_keys: Keys, registry: PublisherRegistry
) -> None:
    # Signed with another key, under Alice's name.
    signed = sign(ecdsa_keys, [entry(model, path) for path in ALL])
    report = ModelVerifier().verify_model(
        model, signed, public_key_bytes=ecdsa_keys.public.read_bytes(), registry=registry
    )
    assert (report.reason, report.exit_code) == (Reason.SIGNATURE_INVALID, 2)
    assert not report.trusted


def test_a_registry_on_the_command_line(
    model: Path, signed: Path, keys: Keys, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "trust.json"
    publisher = {
        "publisher_id": SIGNER,
        "name": "Alice",
        "public_key": base64.b64encode(keys.public.read_bytes()).decode(),
        "trusted_since": "2024-01-31T12:00:00Z",
    }
    path.write_text(json.dumps([publisher]))
    verify = ["verify", "--manifest", signed, "--model-dir", model, "--registry", path]
    done = run(*verify)
    assert (done.code, done.err) == (0, "")
    assert f"  Signer   : {SIGNER}" in done.out.splitlines()
    path.write_text(json.dumps([{**publisher, "publisher_id": "bob"}]))
    done = run(*verify, "--json")
    said = json.loads(done.out)
    assert (done.code, said["reason"], said["checked"]) == (2, "signer-untrusted", 0)


# What is left out


@pytest.mark.parametrize("where", ["signed_manifest.json", "m.json", "weights/m.json", "../m.json"])
def test_the_manifest_itself_is_not_unsigned(
    model: Path, signed: Path, check: Callable[..., Report], where: str
) -> None:
    path = model / where
    signed.rename(path)
    assert check(manifest_path=path).valid
    inside = where in ("m.json", "weights/m.json")
    assert check().unsigned == ([Unsigned(where)] if inside else [])


def test_another_manifest_than_the_one_that_is_checked_is_unsigned(
    model: Path, signed: Path, check: Callable[..., Report]
) -> None:
    shutil.copy(signed, model / "other.json")
    assert check(manifest_path=signed).unsigned == [Unsigned("other.json")]


def test_names_left_out_at_the_root_are_unsigned_below(
    model: Path, check: Callable[..., Report]
) -> None:
    names = [".git/config", ".modelseal/log", "model.sig", "signed_manifest.json"]
    put(model, *names[:3], *(f"weights/{name}" for name in names))
    (model / ".git" / "link").symlink_to("config")
    assert check(ignore_unsigned_files=True).hints == []
    assert check().unsigned == [Unsigned(f"weights/{name}") for name in names]


@pytest.mark.parametrize("name", [".git/config", "model.sig", ".modelseal/a/b"])
def test_what_is_usually_left_out_is_checked_where_it_is_named(
    model: Path, keys: Keys, check: Callable[..., Report], name: str
) -> None:
    put(model, name)
    signed = sign(keys, [entry(model, path) for path in [*ALL, name]])
    report = check(signed)
    assert (report.valid, report.passed) == (True, [*ALL, name])
    (model / name).write_text("y")
    assert [item.path for item in check(signed).altered] == [name]
    (model / name).unlink()
    assert check(signed).missing == [name]


def test_nothing_hides_below_a_directory_with_a_manifests_name(
    model: Path, keys: Keys, check: Callable[..., Report]
) -> None:
    put(model, "model.sig/signed")
    listed = [entry(model, path) for path in [*ALL, "model.sig/signed"]]
    signed = sign(keys, listed)
    assert check(signed).valid
    put(model, "model.sig/evil.py")
    assert check(signed).unsigned == [Unsigned("model.sig/evil.py")]


def test_ignored_paths_are_not_checked_and_told(model: Path, check: Callable[..., Report]) -> None:
    put(model, "weights/x.py")
    (model / WEIGHTS).write_text("altered")
    report = check(ignore_paths=["./weights/", "nothing"])
    assert (report.valid, report.checked) == (True, 2)
    assert report.passed == ALL[:2]
    assert report.ignored == ["weights"]
    shutil.rmtree(model / "weights")
    report = check(ignore_paths=["weights"])
    assert (report.valid, report.ignored) == (True, ["weights"])
    assert check(ignore_paths=["weight", "config"]).missing == [WEIGHTS]
    put(model, "new")
    report = check(ignore_paths=[WEIGHTS, "new", "nothing"])
    assert (report.valid, report.ignored) == (True, ["new", WEIGHTS])


def test_ignoring_everything_verifies_nothing(
    model: Path, signed: Path, check: Callable[..., Report]
) -> None:
    report = check(ignore_paths=ALL)
    assert (report.valid, report.exit_code, report.reason) == (False, 1, Reason.FILE_MISSING)
    assert report.errors == [Fault("", "every signed file was ignored", Reason.FILE_MISSING)]


@pytest.mark.parametrize("path", ["/", "..", "a/../../b", ""])
def test_an_ignored_path_lies_in_the_model(check: Callable[..., Report], path: str) -> None:
    with pytest.raises(FormatError):
        check(ignore_paths=[path])


def test_ignoring_one_name_of_a_file_keeps_the_other(
    model: Path, keys: Keys, check: Callable[..., Report]
) -> None:
    (model / "copy").mkdir()
    os.link(model / "config.json", model / "copy" / "config.json")
    signed = sign(keys, [entry(model, path) for path in [*ALL, "copy/config.json"]])
    assert check(signed).valid
    report = check(signed, ignore_paths=["copy"])
    assert (report.valid, report.ignored, report.passed) == (True, ["copy"], ALL)


def test_ignoring_many_files_is_no_work(tmp_path: Path, keys: Keys) -> None:
    for number in range(4000):
        put(tmp_path / "many", f"ignored/{number}", f"kept/{number}")
    root = tmp_path / "many"
    signed = ModelSigner().sign_manifest(
        ModelSigner().create_manifest(root), keys.private.read_bytes(), SIGNER
    )

    def seconds(*ignored: str) -> float:
        start = time.monotonic()
        report = ModelVerifier().verify_model(
            root, signed, public_key_bytes=keys.public.read_bytes(), ignore_paths=ignored
        )
        assert (report.valid, len(report.passed)) == (True, 4000 if ignored else 8000)
        return time.monotonic() - start

    # Were each ignored file compared with each of the others, it would be 16 million times.
    assert seconds("ignored") < 5 * seconds() + 0.5


def test_unsigned_files_pass_where_that_is_said(model: Path, check: Callable[..., Report]) -> None:
    _add(model)
    report = check(ignore_unsigned_files=True)
    assert (report.valid, report.unsigned, report.hints) == (True, [], [])
    _alter(model)
    assert check(ignore_unsigned_files=True).reason is ALTERED


# Links


def test_a_followed_link_is_the_file_it_shows(model: Path, check: Callable[..., Report]) -> None:
    (model / WEIGHTS).rename(model.parent / "twin")
    (model / WEIGHTS).symlink_to("../../twin")
    report = check()
    assert (report.reason, report.exit_code) == (ALTERED, 2)
    assert report.altered[0].note == "symbolic link: '../../twin'"
    assert report.hints == ["'--follow-symlinks' takes a link to a regular file as that file"]
    report = check(follow_symlinks=True)
    assert (report.valid, report.checked) == (True, 3)
    assert report.warnings == [f"'{WEIGHTS}' leads out of the model, to '../../twin'"]
    (model.parent / "twin").write_text("other")
    assert check(follow_symlinks=True).reason is ALTERED


def test_links_within_the_model_may_stand_for_each_other(
    model: Path, keys: Keys, check: Callable[..., Report]
) -> None:
    (model / "link").symlink_to("config.json")
    signed = sign(keys, [entry(model, path) for path in [*ALL, "link"]])
    report = check(signed, follow_symlinks=True)
    assert (report.valid, report.warnings) == (True, [])
    assert check(signed).exit_code == 2


# Hints and warnings


def test_the_hint_names_the_download_cache_where_it_is_all_that_is_unsigned(
    model: Path, check: Callable[..., Report]
) -> None:
    put(model, ".cache/huggingface/download/x.metadata", ".cache/huggingface/.gitignore")
    report = check()
    assert (report.reason, len(report.unsigned)) == (Reason.FILE_UNSIGNED, 2)
    assert report.hints == ["leave the download cache out: --ignore-path .cache/huggingface"]
    assert check(ignore_paths=[".cache/huggingface"]).valid
    put(model, ".cache/other")
    [hint] = check().hints
    assert hint.startswith("a loader may run what nobody signed")


@pytest.mark.parametrize(
    ("created_at", "warning"),
    [
        (timedelta(minutes=-1), ""),
        (timedelta(hours=1), "created_at {} is in the future: is a clock wrong?"),
        (datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=14))), ""),
        (
            datetime(2024, 1, 31, 12),  # noqa: DTZ001 - that it has no zone is the point
            "created_at 2024-01-31T12:00:00 has no time zone",
        ),
        (
            datetime(9999, 12, 31, tzinfo=UTC),
            "created_at 9999-12-31T00:00:00+00:00 is in the future: is a clock wrong?",
        ),
        (datetime(2000, 1, 1, tzinfo=UTC), ""),
        (
            datetime(1, 1, 1, tzinfo=UTC),
            "created_at 0001-01-01T00:00:00+00:00 is too long ago to be true",
        ),
        (
            datetime(1970, 1, 1, tzinfo=UTC),
            "created_at 1970-01-01T00:00:00+00:00 is too long ago to be true",
        ),
        (
            datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
            "created_at 9999-12-31T23:00:00-12:00 is in the future: is a clock wrong?",
        ),
        (
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))),
            "created_at 0001-01-01T00:00:00+12:00 is too long ago to be true",
        ),
    ],
    ids=str,
)
def test_row_13a_a_time_that_makes_no_sense_gets_a_warning(
    model: Path, keys: Keys, run: Run, created_at: datetime | timedelta, warning: str
) -> None:
    """A timedelta is from now."""
    if isinstance(created_at, timedelta):
        created_at += datetime.now(UTC)
    path = model / "signed_manifest.json"
    signed = sign(keys, [entry(model, name) for name in ALL], created_at=created_at)
    path.write_text(signed.model_dump_json())
    done = run("verify", "--manifest", path, "--key", keys.public, "--model-dir", model)
    assert done.code == 0
    expected = f"warning: {warning.format(created_at.isoformat())}\n" if warning else ""
    assert done.err == expected


# What can't be judged


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileUnreadableError("cannot read 'x'"), Reason.FILE_UNREADABLE),
        (FileChangedError("'x' changed"), Reason.FILE_CHANGED),
    ],
    ids=["unreadable", "changed"],
)
def test_what_cannot_be_judged_is_neither_right_nor_wrong(
    model: Path,
    check: Callable[..., Report],
    monkeypatch: pytest.MonkeyPatch,
    error: FileUnreadableError,
    reason: Reason,
) -> None:
    from modelseal import hashing

    hash_files = hashing.hash_files

    def fail_last(*args: Any, **options: Any) -> list[Any]:
        return [*hash_files(*args, **options)[:-1], error]

    monkeypatch.setattr(hashing, "hash_files", fail_last)
    report = check()
    assert report.errors == [Fault(WEIGHTS, str(error), reason)]
    assert (report.passed, report.checked) == (ALL[:2], 2)
    assert (report.altered, report.missing, report.unsigned) == ([], [], [])
    assert (report.reason, report.exit_code, report.valid) == (reason, 1, False)
    # Something that is wrong weighs more.
    put(model, "new")
    report = check()
    assert (report.reason, report.exit_code) == (Reason.FILE_UNSIGNED, 2)


@pytest.mark.parametrize(
    ("error", "why"), [(OSError(13, "Permission denied"), "permission denied"), (OSError(), "")]
)
def test_of_a_model_that_cannot_be_listed_nothing_is_missing(
    document: SignedManifest, error: OSError, why: str
) -> None:
    report, found = Report(manifest=document.manifest), tree.Tree()
    found.unlistable.append(tree.Unlistable(".", error))
    comparing.enter(report, found, {})
    said = f"cannot read '.': {why or 'unknown error'}"
    assert report.errors == [Fault(".", said, Reason.FILE_UNREADABLE)]
    assert (report.missing, report.passed) == ([], [])


# verify_files


def test_verify_files_answers_in_manifest_order(
    model: Path, document: SignedManifest, keys: Keys
) -> None:
    manifest = sign(keys, list(reversed(document.manifest.files))).manifest
    verify = ModelVerifier().verify_files
    assert verify(model, manifest) == [(path, True) for path in reversed(ALL)]
    assert verify(str(model), document.manifest) == [(path, True) for path in ALL]
    _alter(model)
    _remove(model)
    put(model, "new")
    assert verify(model, manifest) == [
        (WEIGHTS, True),
        ("empty.txt", False),
        ("config.json", False),
    ]
    _replace(model)
    assert verify(model, manifest) == [(path, False) for path in reversed(ALL)]


def test_verify_files_follows_links_where_that_is_said(
    model: Path, document: SignedManifest
) -> None:
    (model / "config.json").rename(model.parent / "twin")
    (model / "config.json").symlink_to("../twin")
    verify = ModelVerifier().verify_files
    assert verify(model, document.manifest)[0] == ("config.json", False)
    assert verify(model, document.manifest, follow_symlinks=True)[0] == ("config.json", True)


def test_verify_files_says_false_where_nothing_is(model: Path, document: SignedManifest) -> None:
    for root in (model / "no", model / "config.json"):
        answer = ModelVerifier().verify_files(root, document.manifest)
        assert answer == [(path, False) for path in ALL]


# Ways of working


def test_every_way_of_working_gives_the_same_report(
    model: Path, check: Callable[..., Report]
) -> None:
    _alter(model)
    plain = check()
    told: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        for options in (
            {"jobs": 1},
            {"jobs": 3},
            {"executor": pool},
            {"progress": lambda done, total: told.append(done)},
        ):
            assert check(**options) == plain
    assert told[-1] == 2048


def test_progress_knows_the_whole_from_the_start(check: Callable[..., Report]) -> None:
    told: list[tuple[int, int]] = []
    check(progress=lambda *counts: told.append(counts))
    assert told[-1] == (2069, 2069)
    assert {total for _, total in told} == {2069}


def test_a_manifest_is_loaded_within_bounds(model: Path, signed: Path) -> None:
    assert manifestfiles.load(str(signed)) == manifestfiles.load(signed)
    with pytest.raises(FormatError, match=r"^malformed manifest 'name': "):
        manifestfiles.decode(b"{}", "name")
    with pytest.raises(FormatError, match="it is not a regular file"):
        manifestfiles.load("/dev/zero")
    os.truncate(signed, (256 << 20) + 1)
    with pytest.raises(FormatError, match="is larger than 268,435,456 bytes"):
        manifestfiles.load(signed)
