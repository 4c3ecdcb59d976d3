"""Manifests that must not work against us, by the rows of what is tried.

A manifest that its form must get refused carries a good signature: it is signed again after it was
changed, over what `json.dumps` makes of it.
"""

import base64
import copy
import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelseal import (
    KeyManager,
    ModelManifest,
    Signature,
    SignatureAlgorithm,
    sealing,
    verifying,
)
from modelseal.canonical import canonical as encode
from modelseal.keys import fingerprint, load_public
from tests.conftest import VECTORS, Keys, Result
from tests.strategies import rewrite

Run = Callable[..., Result]
Json = dict[str, Any]
Edit = Callable[[Json], None]

MANIFESTS = VECTORS / "manifests"
SECONDS = 5
"""An answer to a hostile document takes a second or so, on a machine with other work to do."""
VALID = "All files verified successfully.\n"


class Vector(NamedTuple):
    """A line of the table of malformed manifests."""

    row: str
    path: Path
    code: int
    error: str


def vectors() -> Iterator[Vector]:
    with open(MANIFESTS / "expected.tsv", encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            path = MANIFESTS / line["manifest"]
            yield Vector(line["row"], path, int(line["exit"]), line["error"])


TABLE = list(vectors())


def rows(row: str) -> pytest.MarkDecorator:
    """Run a test on every malformed manifest that stands for a row."""
    found = [vector for vector in TABLE if vector.row == row]
    assert found
    return pytest.mark.parametrize("vector", found, ids=lambda vector: str(vector.path.stem))


def canonical(manifest: object) -> bytes:
    """What is signed, for values that no ModelManifest can have too."""
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def read(path: Path) -> Json:
    value: Json = json.loads(path.read_text())
    return value


def write(path: Path, document: Json) -> None:
    path.write_text(json.dumps(document, indent=2))


def resign(path: Path, keys: Keys, edit: Edit) -> None:
    """Change a signed manifest, and sign it again."""
    document = read(path)
    edit(document["manifest"])
    key = serialization.load_pem_private_key(keys.private.read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    document["signature"]["signature_hex"] = key.sign(canonical(document["manifest"])).hex()
    write(path, document)


@pytest.fixture
def check(run: Run, signed: Path, keys: Keys, model: Path) -> Callable[..., Result]:
    """Verify the model against its manifest; options may follow."""

    def verify(*options: str | Path) -> Result:
        return run(
            "verify", "--manifest", signed, "--key", keys.public, "--model-dir", model, *options
        )

    return verify


def refused(run: Run, vector: Vector) -> None:
    """Every command that reads a manifest gives the answer of the table."""
    key = MANIFESTS / "public.pem"
    error = f"malformed manifest '{vector.path}': {vector.error}"
    for command in (["verify", "--key", key], ["inspect"]):
        done = run(*command, "--manifest", vector.path)
        assert done == Result(vector.code, "", f"error: {error}\n")
    told = run("verify", "--key", key, "--manifest", vector.path, "--json")
    assert (told.code, told.err) == (vector.code, "")
    assert json.loads(told.out) == {
        "valid": False,
        "reason": "malformed",
        "errors": [{"message": error}],
    }


def test_the_table_names_every_vector() -> None:
    assert sorted(vector.path for vector in TABLE) == sorted(MANIFESTS.glob("*.json"))
    assert {vector.row for vector in TABLE} == {"-", "11", "12", "13", "13a", "14"}


def test_the_vectors_are_made_from_a_valid_one(run: Run) -> None:
    (valid,) = (vector for vector in TABLE if vector.row == "-")
    done = run("verify", "--manifest", valid.path, "--key", MANIFESTS / "public.pem")
    assert (done.code, done.err) == (valid.code, "") == (0, "")
    assert done.out.startswith("Signature: VALID\n")


def test_the_vectors_are_not_refused_for_their_signatures() -> None:
    key = serialization.load_pem_public_key((MANIFESTS / "public.pem").read_bytes())
    assert isinstance(key, ed25519.Ed25519PublicKey)
    checked = 0
    for vector in TABLE:
        try:
            document = json.loads(vector.path.read_bytes().decode())
            manifest, signature = document["manifest"], document["signature"]["signature_hex"]
        except (ValueError, TypeError, KeyError):
            assert vector.row == "14", vector  # no JSON, or nothing in it to sign
            continue
        try:
            key.verify(bytes.fromhex(signature), canonical(manifest))
        except InvalidSignature:
            # Only what is no manifest at all has none that fits.
            assert not isinstance(manifest, dict), vector
        checked += 1
    assert checked > 100


# Row 11


@rows("11")
def test_row_11_a_path_that_no_manifest_may_name(run: Run, vector: Vector) -> None:
    refused(run, vector)


_WATCHED = """
import os, sys
opened = []
sys.addaudithook(
    lambda event, args: opened.append(os.fsdecode(args[0] or "."))
    if event in ("open", "os.scandir", "os.listdir") and not isinstance(args[0], int) else None
)
from modelseal.cli import main
key, model, *manifests = sys.argv[1:]
for manifest in manifests:
    opened.clear()
    code = main(["verify", "--manifest", manifest, "--key", key, "--model-dir", model])
    for path in opened:
        print("opened", code, os.path.basename(manifest), os.path.abspath(path), file=sys.stderr)
"""


def test_row_11_no_file_is_opened(tmp_path: Path, model: Path) -> None:
    (tmp_path / "x").touch()
    watched = [vector for vector in TABLE if vector.row in ("-", "11", "12")]
    paths = [str(vector.path) for vector in watched]
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(MANIFESTS / "public.pem"), str(model), *paths],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    lines = [line.split(" ", 3)[1:] for line in done.stderr.splitlines() if line[:7] == "opened "]
    touched = [
        (code, manifest, path)
        for code, manifest, path in lines
        if Path(path).is_relative_to(tmp_path) or path == "/etc/passwd"
    ]
    # The valid one has the model looked at: so the others would be seen.
    assert ("2", "valid.json", str(model)) in touched
    assert {manifest for _, manifest, _ in touched} == {"valid.json"}
    assert {manifest for _, manifest, _ in lines} == {vector.path.name for vector in watched}


# Row 12


@rows("12")
def test_row_12_paths_that_cannot_stand_beside_each_other(run: Run, vector: Vector) -> None:
    refused(run, vector)


def fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


@pytest.mark.parametrize(
    ("there", "twin"), [("config.json", "CONFIG.json"), ("na\u00efve.txt", "nai\u0308ve.txt")]
)
def test_row_12_two_names_of_one_file(
    there: str,
    twin: str,
    check: Callable[..., Result],
    run: Run,
    model: Path,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (model / there).write_text("{}")
    path = model / "signed_manifest.json"
    sign = ("sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice")
    assert run(*sign).code == 0

    def name_both(manifest: Json) -> None:
        (entry,) = (each for each in manifest["files"] if each["path"] == there)
        manifest["files"].append({**entry, "path": twin})
        manifest["total_size_bytes"] += entry["size_bytes"]

    resign(path, keys, name_both)
    assert f"  [FAIL] {twin} (missing)\n" in check().out  # two names are two files here

    # A file system that folds names, in the one call where it shows.
    lstat = os.lstat
    names = {fold(each): each for each in os.listdir(model)}

    def folding(name: bytes) -> os.stat_result:
        parent, base = os.path.split(os.fsdecode(name))
        return lstat(os.path.join(parent, names.get(fold(base), base)))

    monkeypatch.setattr(os, "lstat", folding)
    assert check() == Result(
        1, "", f"error: '{twin}' and '{there}' are one file on this file system\n"
    )


def test_row_12_names_that_differ_are_two_files_where_the_system_says_so(
    run: Run, model: Path, keys: Keys
) -> None:
    (model / "CONFIG.json").write_text("{}")
    if (model / "config.json").read_text() == "{}":
        pytest.skip("this file system folds names: two files can't be made")
    signing = ("sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice")
    assert run(*signing).code == 0
    manifest = model / "signed_manifest.json"
    done = run("verify", "--manifest", manifest, "--key", keys.public, "--model-dir", model)
    assert (done.code, done.err) == (0, "")


def test_row_12_many_ignored_files_are_not_compared_each_with_each(
    run: Run, keys: Keys, tmp_path: Path
) -> None:
    """Files that are there and not listed are looked at twice: that must stay a little."""
    model = tmp_path / "large"
    for directory in ("ignored", "checked"):
        (model / directory).mkdir(parents=True)
        for number in range(6000):
            (model / directory / str(number)).touch()
    sign = ("sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice")
    assert run(*sign).code == 0
    verify = ("verify", "--manifest", model / "signed_manifest.json", "--key", keys.public)
    start = time.perf_counter()
    done = run(*verify, "--model-dir", model, "--ignore-path", "ignored", "--quiet")
    assert time.perf_counter() - start < SECONDS
    assert done == Result(0, "  [IGNORED] ignored\n", "")


# Row 13


@rows("13")
def test_row_13_a_digest_size_or_total_of_the_wrong_form(run: Run, vector: Vector) -> None:
    refused(run, vector)


@pytest.mark.parametrize("difference", [-2, 1, 2**40])
def test_row_13_a_size_that_the_file_does_not_have(
    difference: int, check: Callable[..., Result], signed: Path, keys: Keys
) -> None:
    """Sum and digest are right and signed: only the file can tell."""

    def misstate(manifest: Json) -> None:
        manifest["files"][0]["size_bytes"] += difference
        manifest["total_size_bytes"] += difference

    resign(signed, keys, misstate)
    done = check()
    assert done.code == 2
    assert "  [FAIL] config.json" in done.out
    assert "  [OK] weights/model.bin\n" in done.out
    assert done.err == "One or more files failed verification.\n"
    told = json.loads(check("--json").out)
    assert (told["valid"], told["reason"]) == (False, "file-altered")
    assert [item["path"] for item in told["altered"]] == ["config.json"]


def test_row_13_a_digest_that_the_file_does_not_have(
    check: Callable[..., Result], signed: Path, keys: Keys
) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    resign(signed, keys, lambda manifest: manifest["files"][0].update(sha256_hash=other))
    done = check()
    assert done.code == 2
    assert f"  [FAIL] config.json\n         expected {other}\n" in done.out


# Row 13a


@rows("13a")
def test_row_13a_a_time_of_the_wrong_form(run: Run, vector: Vector) -> None:
    refused(run, vector)


FUTURE = "is in the future: is a clock wrong?"
PAST = "is too long ago to be true"


@pytest.mark.parametrize(
    ("created_at", "warnings"),
    [
        ("2024-01-31T12:00:00Z", []),
        ("2024-01-31T12:00:00.000001Z", []),
        ("2024-01-31T12:00:00+05:30", []),
        ("2024-01-31T12:00:00", ["2024-01-31T12:00:00 has no time zone"]),
        ("2999-01-01T00:00:00Z", [f"2999-01-01T00:00:00+00:00 {FUTURE}"]),
        ("9999-12-31T23:59:59.999999Z", [f"9999-12-31T23:59:59.999999+00:00 {FUTURE}"]),
        ("9999-12-31T23:59:59-12:00", [f"9999-12-31T23:59:59-12:00 {FUTURE}"]),
        (
            "9999-12-31T23:59:59",
            ["9999-12-31T23:59:59 has no time zone", f"9999-12-31T23:59:59 {FUTURE}"],
        ),
        ("0001-01-01T00:00:00Z", [f"0001-01-01T00:00:00+00:00 {PAST}"]),
        ("0001-01-01T00:00:00+12:00", [f"0001-01-01T00:00:00+12:00 {PAST}"]),
        (
            "0001-01-01T00:00:00",
            ["0001-01-01T00:00:00 has no time zone", f"0001-01-01T00:00:00 {PAST}"],
        ),
        ("1970-01-01T00:00:00Z", [f"1970-01-01T00:00:00+00:00 {PAST}"]),
    ],
)
def test_row_13a_a_time_that_makes_no_sense(
    created_at: str, warnings: list[str], check: Callable[..., Result], signed: Path, keys: Keys
) -> None:
    resign(signed, keys, lambda manifest: manifest.update(created_at=created_at))
    warnings = [f"created_at {warning}" for warning in warnings]
    done = check()
    assert (done.code, done.err) == (0, "".join(f"warning: {each}\n" for each in warnings))
    assert done.out.endswith(VALID)
    assert json.loads(check("--json").out)["warnings"] == warnings


def set_clock(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime(year, 1, 1, tzinfo=tz)

    for module in (sealing, verifying):
        monkeypatch.setattr(module, "datetime", Clock)


@pytest.mark.parametrize(
    ("signing", "checking", "warning"),
    [
        (2026, 1970, f"created_at 2026-01-01T00:00:00+00:00 {FUTURE}"),
        (2026, 2100, ""),
        (1970, 2026, f"created_at 1970-01-01T00:00:00+00:00 {PAST}"),
        (2100, 2026, f"created_at 2100-01-01T00:00:00+00:00 {FUTURE}"),
        (2100, 2100, ""),
    ],
)
def test_row_13a_a_clock_that_is_wrong(
    signing: int,
    checking: int,
    warning: str,
    run: Run,
    model: Path,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_clock(monkeypatch, signing)
    sign = ("sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice")
    assert run(*sign).code == 0
    manifest = model / "signed_manifest.json"
    assert read(manifest)["manifest"]["created_at"] == f"{signing}-01-01T00:00:00Z"
    set_clock(monkeypatch, checking)
    done = run("verify", "--manifest", manifest, "--key", keys.public, "--model-dir", model)
    assert (done.code, done.err) == (0, warning and f"warning: {warning}\n")


# Row 14


@rows("14")
def test_row_14_json_that_is_not_a_manifest(run: Run, vector: Vector) -> None:
    refused(run, vector)


def test_row_14_a_manifest_of_no_file(
    check: Callable[..., Result], signed: Path, keys: Keys
) -> None:
    for edit in (
        lambda manifest: manifest.update(files=[], total_size_bytes=0),
        lambda manifest: manifest.pop("files"),
    ):
        resign(signed, keys, edit)
        assert check() == Result(1, "", "error: the manifest names no file\n")


@pytest.mark.parametrize(
    ("before", "error"),
    [
        ("", "expected 'object', got 'array'"),
        ('{"manifest":', "manifest: expected 'object', got 'array'"),
        ('{"manifest":{"files":', "manifest.files[0]: expected 'object', got 'array'"),
        ('{"manifest":{"author":', "manifest.author: expected 'str', got 'array'"),
        ('{"x":', "object contains unknown field 'x'"),
    ],
)
def test_row_14_nesting_100_000_deep(before: str, error: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    for text in (f"{before}{'[' * 100_000}", f"{before}{'[' * 100_000}{']' * 100_000}"):
        path.write_text(text)
        refused(run, Vector("14", path, 1, error))
    path.write_text(before + '{"manifest":' * 100_000)
    done = run("inspect", "--manifest", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: malformed manifest '{path}': ")


def test_row_14_a_key_repeated_without_end(run: Run, signed: Path) -> None:
    text = signed.read_text().replace('"path"', '"path":"",' * 100_000 + '"path"', 1)
    signed.write_text(text)
    start = time.perf_counter()
    done = run("inspect", "--manifest", signed)
    assert time.perf_counter() - start < SECONDS
    assert done == Result(1, "", f"error: malformed manifest '{signed}': key 'path' is repeated\n")


def test_row_14_a_path_of_a_million_parts(run: Run, signed: Path) -> None:
    text = signed.read_text().replace('"path": "', f'"path": "{"a/" * 1_000_000}', 1)
    signed.write_text(text)
    start = time.perf_counter()
    done = run("inspect", "--manifest", signed)
    assert time.perf_counter() - start < SECONDS
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_row_14_what_is_no_regular_file(
    command: str, run: Run, keys: Keys, model: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    gone = tmp_path / "gone"
    dangling = tmp_path / "dangling"
    dangling.symlink_to(gone)
    options = ["--key", keys.public] if command == "verify" else []
    for path, error in (
        (model, "it is a directory"),
        (fifo, "it is not a regular file"),
        (Path("/dev/zero"), "it is not a regular file"),
        (Path("/dev/null"), "it is not a regular file"),
        (gone, "no such file or directory"),
        (dangling, "no such file or directory"),
        (model / "config.json" / "x", "not a directory"),
    ):
        done = run(command, "--manifest", path, *options)
        assert done == Result(1, "", f"error: cannot read '{path}': {error}\n")


_MEASURED = """
import resource, sys, time
from modelseal.cli import main
start = time.perf_counter()
code = main(sys.argv[1:])
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def measured(*args: str | Path, stdin: Path = Path(os.devnull)) -> tuple[int, str, float, float]:
    """Run modelseal in a process of its own → exit code, error, seconds, MiB at most."""
    with open(stdin, "rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *args],
            stdin=file,
            capture_output=True,
            text=True,
            timeout=60,
        )
    seconds, peak = done.stdout.split()
    return done.returncode, done.stderr, float(seconds), int(peak) / 1024


@pytest.fixture(scope="module")
def brackets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """250 MiB of `[`, the most that is read at all but for a little."""
    path = tmp_path_factory.mktemp("large") / "brackets.json"
    with open(path, "wb") as file:
        file.writelines([b"[" * (10 << 20)] * 25)
    yield path
    path.unlink()


def test_row_14_250_mib_of_brackets(brackets: Path) -> None:
    code, error, seconds, peak = measured("inspect", "--manifest", brackets)
    assert (code, error) == (
        1,
        f"error: malformed manifest '{brackets}': expected 'object', got 'array'\n",
    )
    assert seconds < SECONDS
    assert peak < 400
    code, error, seconds, peak = measured("inspect", "--manifest", "-", stdin=brackets)
    assert (code, error) == (
        1,
        "error: malformed manifest 'standard input': expected 'object', got 'array'\n",
    )
    assert seconds < SECONDS
    assert peak < 700


def test_row_14_more_than_256_mib_are_not_read(run: Run, tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "large.json"
    for size in ((256 << 20) + 1, 1 << 30, 1 << 40):
        with open(path, "wb") as file:
            file.truncate(size)
        start = time.perf_counter()
        done = run("verify", "--manifest", path, "--key", keys.public)
        assert time.perf_counter() - start < 1
        assert done == Result(1, "", f"error: '{path}' is larger than 268,435,456 bytes\n")
    code, error, seconds, peak = measured("inspect", "--manifest", "-", stdin=Path("/dev/zero"))
    assert (code, error) == (1, "error: standard input is larger than 268,435,456 bytes\n")
    assert seconds < SECONDS
    assert peak < 700


# Row 15


def move_size(manifest: Json) -> None:
    first, second = manifest["files"][0], manifest["files"][2]
    first["size_bytes"] += 1
    second["size_bytes"] -= 1


def drop_file(manifest: Json) -> None:
    manifest["total_size_bytes"] -= manifest["files"].pop()["size_bytes"]


def add_file(manifest: Json) -> None:
    manifest["files"].append({**manifest["files"][0], "path": "added"})
    manifest["total_size_bytes"] += manifest["files"][0]["size_bytes"]


UNFIT = "the signature does not fit the manifest"
CHANGES: dict[str, list[tuple[Edit, int, str]]] = {
    "model_name": [(lambda m: m.update(model_name="other"), 2, UNFIT)],
    "model_version": [(lambda m: m.update(model_version="0.0.1"), 2, UNFIT)],
    "framework": [(lambda m: m.update(framework="Unknown"), 2, UNFIT)],
    "author": [(lambda m: m.update(author="mallory"), 2, UNFIT)],
    "description": [(lambda m: m.update(description=" "), 2, UNFIT)],
    "created_at": [
        (lambda m: m.update(created_at="2024-01-31T12:00:00Z"), 2, UNFIT),
        (lambda m: m.update(created_at=m["created_at"].replace("Z", "")), 2, UNFIT),
        (lambda m: m.update(created_at=m["created_at"].replace("Z", "+01:00")), 2, UNFIT),
        (
            lambda m: m.update(created_at="yesterday"),
            1,
            "manifest.created_at: invalid RFC3339 encoded datetime",
        ),
    ],
    "total_size_bytes": [
        (
            lambda m: m.update(total_size_bytes=m["total_size_bytes"] + 1),
            1,
            "manifest: total_size_bytes: 2070 is not the files' sum, 2069",
        )
    ],
    "files": [
        (lambda m: m["files"][0].update(path="Config.json"), 2, UNFIT),
        (
            lambda m: m["files"][0].update(path="../config.json"),
            1,
            "manifest.files[0]: path '../config.json' has a '.' or '..' part",
        ),
        (lambda m: m["files"][0].update(sha256_hash="0" * 64), 2, UNFIT),
        (move_size, 2, UNFIT),
        (lambda m: m["files"].reverse(), 2, UNFIT),
        (drop_file, 2, UNFIT),
        (add_file, 2, UNFIT),
    ],
}


@pytest.mark.parametrize("field", ModelManifest.__struct_fields__)
def test_row_15_a_field_of_the_manifest_changed(
    field: str, check: Callable[..., Result], signed: Path
) -> None:
    original = read(signed)
    for edit, code, error in CHANGES[field]:
        document = copy.deepcopy(original)
        edit(document["manifest"])
        assert document != original
        write(signed, document)
        told = f"error: malformed manifest '{signed}': {error}\n"
        refusal = f"Signature: INVALID — {error}\n"
        assert check() == (Result(2, refusal, "") if code == 2 else Result(1, "", told))


def mutated(hexadecimal: str) -> list[tuple[str, str]]:
    flipped = f"{int(hexadecimal[0], 16) ^ 1:x}{hexadecimal[1:]}"
    form = "the signature is not lowercase hexadecimal"
    return [(flipped, UNFIT), (hexadecimal.upper(), form), ("", form), (hexadecimal[:-2], UNFIT)]


def test_row_15_a_field_of_the_signature_changed(
    check: Callable[..., Result], signed: Path
) -> None:
    original = read(signed)
    _, other = KeyManager().generate_keypair(SignatureAlgorithm.ed25519)
    by_another = f"signed by another key, {fingerprint(load_public(other))}"
    differs = "the manifest says ecdsa_p256, the key is ed25519"
    unusable = "the embedded public key is unusable: the public key is not valid base64"
    cases = {
        "algorithm": [("ecdsa_p256", differs)],
        "public_key": [(base64.b64encode(other).decode(), by_another), ("!", unusable)],
        "signature_hex": mutated(original["signature"]["signature_hex"]),
    }
    for field, values in cases.items():
        for value, error in values:
            document = copy.deepcopy(original)
            document["signature"][field] = value
            write(signed, document)
            assert check() == Result(2, f"Signature: INVALID — {error}\n", "")
    claims = {"signed_at", "signer_id"}
    assert {*cases, *claims} == set(Signature.__struct_fields__)


def test_row_15_what_the_signer_claims_binds_nobody_without_a_registry(
    check: Callable[..., Result], run: Run, signed: Path, keys: Keys, model: Path, tmp_path: Path
) -> None:
    """The signature does not cover these two: one is called a claim, the other decides nothing."""
    original = read(signed)
    registry = tmp_path / "trust.json"
    publisher = {
        "publisher_id": "alice@example.com",
        "name": "Alice",
        "public_key": original["signature"]["public_key"],
        "trusted_since": "2024-01-01T00:00:00Z",
    }
    registry.write_text(json.dumps([publisher]))
    by_registry = ("verify", "--manifest", signed, "--registry", registry, "--model-dir", model)
    assert run(*by_registry).code == 0

    original["signature"]["signed_at"] = "2024-01-31T12:00:00Z"
    write(signed, original)
    assert check().code == run(*by_registry).code == 0

    original["signature"]["signer_id"] = "mallory"
    write(signed, original)
    done = check()
    assert done.code == 0
    assert "  Signer   : mallory (claimed)\n" in done.out
    assert run(*by_registry) == Result(
        2, "Signature: INVALID — 'mallory' is not a trusted publisher (signer-untrusted)\n", ""
    )


# Row 16


def test_row_16_the_same_content_written_differently(
    check: Callable[..., Result], run: Run, model: Path, keys: Keys, signed: Path
) -> None:
    (model / 'naïve "quote" 模型\u2028😀.bin').write_bytes(b"\x00")
    signing = ("sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice/Zoë")
    assert run(*signing, "--description", "DEL \x7f, / and \\", "--author", "<a@b>").code == 0
    expected = check()
    assert expected.code == 0
    document = read(signed)
    moved = copy.deepcopy(document)
    for part, field in (("manifest", "created_at"), ("signature", "signed_at")):
        moved[part][field] = moved[part][field].replace("Z", "+00:00")
    escaped = "".join(
        rf"\u{ord(each):04X}" if each.isalnum() and each.isascii() else each
        for each in json.dumps(document["manifest"]["model_name"])
    )
    plain = json.dumps(document)
    name = f'"model_name": {json.dumps(document["manifest"]["model_name"])}'
    assert name in plain
    texts = {
        "keys sorted": json.dumps(document, sort_keys=True),
        "keys in reverse": json.dumps(
            {key: dict(reversed(value.items())) for key, value in reversed(document.items())}
        ),
        "no white space": json.dumps(document, separators=(",", ":")),
        "much white space": json.dumps(document, indent="\t \t").replace("\n", "\r\n") + "\r\n ",
        "not escaped": json.dumps(document, ensure_ascii=False),
        "escaped more": plain.replace("/", r"\/").replace(name, f'"model_name": {escaped}'),
        "+00:00": json.dumps(moved),
        "entry keys in reverse": json.dumps(
            {
                **document,
                "manifest": {
                    **document["manifest"],
                    "files": [
                        dict(reversed(entry.items())) for entry in document["manifest"]["files"]
                    ],
                },
            }
        ),
        **{f"anyhow {seed}": rewrite(moved, random.Random(seed)) for seed in range(10)},
    }
    for way, text in texts.items():
        assert json.loads(text) in (document, moved), way
        signed.write_text(text, encoding="utf-8", newline="")
        assert check() == expected, way


def test_row_16_whoever_signs_writes_the_same_bytes(signed: Path) -> None:
    """The bytes that `json.dumps` makes are those that the library signs."""
    document = read(signed)
    manifest = ModelManifest.model_validate_json(json.dumps(document["manifest"]))
    assert encode(manifest) == canonical(document["manifest"])


def test_row_16_an_absent_description_is_an_empty_one(
    check: Callable[..., Result], signed: Path
) -> None:
    document = read(signed)
    assert document["manifest"].pop("description") == ""
    write(signed, document)
    assert check().code == 0
