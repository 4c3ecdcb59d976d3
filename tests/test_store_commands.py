"""The commands about a store: two versions of a model in one, and every command asked of them."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from modelseal import manifestfiles
from modelseal.commands import diff, gc, identify, log, ls, refs, show, status
from modelseal.store import Finding, Seal, Store
from tests.conftest import Keys, Result, Shell, need
from tests.test_docs import items, section
from tests.test_startup import HEAVY, loaded

Run = Callable[..., Result]

NAMES = ["init", "status", "log", "show", "ls", "diff", "refs", "identify", "fsck", "gc"]
WITH_STORE = {
    "status": ["status", "{model}"],
    "log": ["log"],
    "show": ["show", "tiny"],
    "ls": ["ls", "tiny"],
    "diff": ["diff", "tiny@1.0.0", "tiny@1.1.0"],
    "refs": ["refs"],
    "identify": ["identify", "{model}/config.json"],
    "fsck": ["fsck"],
    "gc": ["gc"],
}
"""A plain use of each command; all but `diff` find nothing wrong."""
AWKWARD = [
    "-n",
    "a b",
    "tab\there",
    "new\nline",
    "esc\x1b[2K",
    "*",
    "größe 😀",
    "\u202etxt.exe",
    "-",
]


class Two(NamedTuple):
    """A store above a model, which was sealed as tiny 1.0.0, then changed, then as 1.1.0."""

    root: Path
    model: Path
    first: Seal
    second: Seal


def digest(data: bytes | str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def seal(run: Run, model: Path, keys: Keys, store: Path, version: str) -> Seal:
    """Sign a model as tiny, and put it into a store."""
    Store.init(store)
    done = run(
        *("sign", "--model-dir", model, "--key", keys.private, "--signer-id", "alice"),
        *("--model-name", "tiny", "--model-version", version),
    )
    assert done.code == 0, done.err
    signed = manifestfiles.load(model / "signed_manifest.json")
    return Store.open(store).add(signed, model_dir=model)


WEIGHTS = bytes(range(256)) * 8


@pytest.fixture
def two(run: Run, model: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Two:
    """The two versions; the working directory is the store's."""
    first = seal(run, model, keys, tmp_path, "1.0.0")
    (model / "config.json").write_text('{"vocab_size": 64000, "more": 1}')
    (model / "weights" / "model.bin").rename(model / "weights" / "model.safetensors")
    (model / "empty.txt").unlink()
    (model / "new.txt").write_text("new")
    second = seal(run, model, keys, tmp_path, "1.1.0")
    monkeypatch.chdir(tmp_path)
    return Two(tmp_path, model, first, second)


def fields(text: str) -> list[list[str]]:
    """The lines of --porcelain, cut at their tabs."""
    return [line.split("\t") for line in text.splitlines()]


# What all have in common


@pytest.mark.parametrize("name", sorted(WITH_STORE))
def test_without_a_store_there_is_a_hint(
    name: str, run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    args = [arg.format(model=model) for arg in WITH_STORE[name]]
    where = f"in '{model}'" if name == "status" else "here"
    assert run(*args) == (
        1,
        "",
        (
            f"error: there is no store {where}, nor in a directory above\n"
            "hint: name one with '--store DIR', or make one with 'modelseal init'\n"
        ),
    )
    code, out, err = run(*args, "--json")
    assert (code, err, json.loads(out)["reason"]) == (1, "", "store-missing")
    code, out, err = run(*args, "--store", model / "weights", "--json")
    assert (code, err, json.loads(out)["reason"]) == (1, "", "store-missing")


@pytest.mark.parametrize("name", sorted(WITH_STORE))
def test_a_store_is_found_in_four_ways(
    name: str, run: Run, two: Two, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = [arg.format(model=two.model) for arg in WITH_STORE[name]]
    above = run(*args)
    assert above.code == (2 if name == "diff" else 0)
    assert above.out
    assert above.err == ""
    other = two.root / "other"
    other.mkdir()
    Store.init(other)
    stray = other / ".modelseal" / "refs" / f".x.{'0' * 16}.tmp"
    stray.touch()
    assert run(*args, "--store", other) != above
    stray.touch()
    monkeypatch.chdir(two.model / "weights")
    assert run(*args) == above
    monkeypatch.setenv("MODELSEAL_DIR", str(other))
    assert run(*args) != above
    assert run(*args, "--store", two.root) == above
    assert run(*args, "--store", two.root / ".modelseal") == above
    monkeypatch.setenv("MODELSEAL_DIR", str(two.root))
    assert run(*args) == above
    monkeypatch.setenv("MODELSEAL_DIR", "")
    assert run(*args) == above


@pytest.mark.parametrize("name", sorted(WITH_STORE))
def test_json_is_one_object_in_ascii(name: str, run: Run, two: Two) -> None:
    args = [arg.format(model=two.model) for arg in WITH_STORE[name]]
    code, out, err = run(*args, "--json")
    assert (code, err, out.count("\n")) == (run(*args).code, "", 1)
    assert isinstance(json.loads(out), dict)
    assert out.isascii()


@pytest.mark.parametrize("name", sorted(WITH_STORE))
def test_a_newer_store_is_refused(name: str, run: Run, two: Two) -> None:
    (two.root / ".modelseal" / "format").write_text("modelseal store 2\n")
    args = [arg.format(model=two.model) for arg in WITH_STORE[name]]
    code, out, err = run(*args, "--json")
    assert (code, err, json.loads(out)["reason"]) == (1, "", "store-format")


@pytest.mark.parametrize("module", [diff, gc, identify, log, ls, refs, show, status])
def test_commands_import_little(module: object) -> None:
    # Their functions load what they need; at the top stands what every command has loaded.
    source = Path(str(getattr(module, "__file__", ""))).read_text()
    assert not re.search(r"^(from|import) (typing|pathlib|dataclasses)", source, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_help_loads_nothing_heavy(name: str) -> None:
    assert not loaded(name, "--help") & HEAVY


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        ("status", HEAVY | {"pathlib", "dataclasses", "inspect"}),
        *((name, {"msgspec", "cryptography", "blake3"}) for name in ("log", "ls", "refs", "diff")),
    ],
)
def test_what_a_command_does_not_load(name: str, spared: set[str], two: Two) -> None:
    if name == "diff":
        (two.model / "config.json").touch()
        args = ["diff", "tiny@1.1.0", str(two.model)]
    else:
        args = [arg.format(model=two.model) for arg in WITH_STORE[name]]
    seen = loaded(*args)
    assert "modelseal" in seen
    assert not seen & spared


# init


def test_init(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init") == (0, "Store made: ./.modelseal\n", "")
    assert (tmp_path / ".modelseal" / "format").read_text() == "modelseal store 1\n"
    before = sorted(tmp_path.rglob("*"))
    assert run("init") == (0, "Store is there already: ./.modelseal\n", "")
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "below").mkdir()
    out = run("init", "below", "--json").out
    assert json.loads(out) == {"store": str(tmp_path / "below" / ".modelseal"), "made": True}
    assert json.loads(run("init", "below", "--json").out)["made"] is False
    code, out, err = run("init", "nowhere")
    assert (code, out) == (1, "")
    assert "nowhere" in err


# status


def test_status_lines(run: Run, two: Two) -> None:
    head = (
        f"Model  : tiny v1.1.0 ({two.second.id[:12]})\n"
        f"Sealed : {two.second.sealed_at} by alice (claimed)\n"
    )
    assert run("status", two.model) == (0, head + "Clean: 3 files as sealed.\n", "")
    (two.model / "config.json").write_text('{"vocab_size": 64000, "more": 2}')
    (two.model / "new.txt").unlink()
    (two.model / "a.py").touch()
    (two.model / "link").symlink_to("config.json")
    (two.model / "cache").mkdir()
    (two.model / "cache" / "x").touch()
    assert run("status", two.model, "--ignore-path", "cache") == (
        2,
        (
            f"{head}"
            "  altered   config.json\n"
            "  missing   new.txt\n"
            "  unsigned  a.py\n"
            "  unsigned  link (symbolic link: 'config.json')\n"
            "  ignored   cache\n"
            "Different: 1 altered, 1 missing, 2 unsigned; 3 files were sealed.\n"
        ),
        "",
    )


def test_status_for_scripts(run: Run, two: Two) -> None:
    assert run("status", two.model, "--porcelain") == (0, "", "")
    (two.model / "config.json").write_text("shorter")
    (two.model / "new.txt").unlink()
    (two.model / "new\nline").touch()
    rows = [["altered", "config.json"], ["missing", "new.txt"], ["unsigned", "new\\nline"]]
    code, out, err = run("status", two.model, "--porcelain")
    assert (code, fields(out), err) == (2, rows, "")
    assert run("status", two.model, "-z") == (
        2,
        "altered\0config.json\0missing\0new.txt\0unsigned\0new\nline\0",
        "",
    )
    said = json.loads(run("status", two.model, "--json").out)
    assert said.pop("altered")[0] == {
        "path": "config.json",
        "expected": digest('{"vocab_size": 64000, "more": 1}'),
        "actual": None,
        "note": "7 bytes, sealed as 32",
    }
    assert said.pop("hashed") <= 3
    assert said == {
        "clean": False,
        "reason": "file-altered",
        "directory": str(two.model),
        "seal": two.second._asdict(),
        "missing": ["new.txt"],
        "unsigned": ["new\nline"],
        "errors": [],
        "ignored": [],
        "files": 3,
    }


def test_status_against_an_older_version(run: Run, two: Two) -> None:
    code, out, err = run("status", two.model, "--porcelain", "--revision", "tiny@1.0.0")
    assert (code, err) == (2, "")
    assert fields(out) == [
        ["altered", "config.json"],
        ["missing", "empty.txt"],
        ["missing", "weights/model.bin"],
        ["unsigned", "new.txt"],
        ["unsigned", "weights/model.safetensors"],
    ]
    code, _, err = run("status", two.model, "--revision", "tiny@3")
    assert (code, err.startswith("error: ")) == (1, True)


def test_status_of_what_was_never_sealed(run: Run, two: Two) -> None:
    other = two.root / "it's new"
    other.mkdir()
    (other / "w.bin").touch()
    code, out, err = run("status", other)
    assert (code, out) == (2, f"Unsealed: nothing was signed in '{other}'\n")
    assert err.startswith("hint: modelseal sign --model-dir ")
    assert run("status", other, "--porcelain") == (2, "", "")
    said = json.loads(run("status", other, "--json").out)
    assert (said["clean"], said["reason"], said["seal"]) == (False, "model-unsealed", None)
    code, out, err = run("status", other / "w.bin")
    assert (code, out) == (1, "")
    assert "is not a directory" in err


def test_status_finds_the_model_around_it(
    run: Run, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = run("status", two.model)
    for place in (two.model, two.model / "weights"):
        monkeypatch.chdir(place)
        assert run("status") == asked
    # One that was named is taken at its word.
    assert run("status", two.model / "weights").code == 2
    monkeypatch.chdir(two.root)
    assert run("status").out == f"Unsealed: nothing was signed in '{two.root}'\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["status", "model"], "Could not tell: 1 error; 3 files were sealed.\n"),
        (["diff", "tiny", "model"], ""),
    ],
    ids=str,
)
def test_a_directory_that_may_not_be_listed_is_not_empty(
    args: list[str], said: str, two: Two
) -> None:
    command = [sys.executable, "-m", "modelseal", *args]
    if os.geteuid() == 0:
        drop = "-dac_override,-dac_read_search"
        command = [need("setpriv"), f"--bounding-set={drop}", f"--inh-caps={drop}", *command]
    (two.model / "weights").chmod(0o000)
    done = subprocess.run(command, capture_output=True, text=True, cwd=two.root)
    (two.model / "weights").chmod(0o755)
    assert done.returncode == 1
    assert done.stderr == "error: cannot read 'weights': permission denied\n"
    assert done.stdout.endswith(said) if said else not done.stdout


# log, refs, show


def test_log_lines(run: Run, two: Two) -> None:
    def lines(seal: Seal, size: str, files: int) -> str:
        return (
            f"Id         : {seal.id}\n"
            f"Model      : tiny v{seal.version}\n"
            "Signer     : alice (claimed)\n"
            f"Sealed     : {seal.sealed_at}\n"
            f"Directory  : {two.model}\n"
            f"Files      : {files}\n"
            f"Total      : {size} bytes\n"
        )

    first, second = lines(two.first, "2,069", 3), lines(two.second, "2,083", 3)
    assert run("log") == run("log", "tiny") == (0, f"{second}\n{first}", "")
    assert run("log", "-n", "1") == (0, second, "")
    oneline = [
        f"{seal.id[:12]} {seal.sealed_at} tiny v{seal.version} (alice)\n"
        for seal in (two.second, two.first)
    ]
    assert run("log", "--oneline") == (0, "".join(oneline), "")
    assert run("log", "--oneline", "--max-count", "1") == (0, oneline[0], "")
    assert run("log", "--porcelain").out.splitlines() == [
        "\t".join(map(str, seal)) for seal in (two.second, two.first)
    ]
    assert run("log", "-z", "-n", "1").out == "".join(f"{field}\0" for field in two.second)
    seals = [two.second._asdict(), two.first._asdict()]
    assert json.loads(run("log", "--json").out) == {"seals": seals}


def test_log_and_refs_of_a_name_that_is_unknown(run: Run, two: Two) -> None:
    said = "error: nothing is sealed as 'large'\nhint: 'modelseal refs' lists the models\n"
    for name in ("log", "refs"):
        assert run(name, "large") == (1, "", said)
        assert json.loads(run(name, "large", "--json").out)["reason"] == "unknown-revision"


def test_an_empty_store_has_nothing_to_show(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init").code == 0
    for args in (["log"], ["log", "--oneline"], ["refs"], ["log", "-z"], ["refs", "--porcelain"]):
        assert run(*args) == (0, "", "")
    assert json.loads(run("log", "--json").out) == {"seals": []}
    assert run("fsck").code == run("gc").code == 0


def test_refs_lines(run: Run, two: Two) -> None:
    rows = [("tiny", "1.0.0", two.first.id), ("tiny", "1.1.0", two.second.id)]
    assert run("refs") == (0, "".join(f"{n} v{v}  {i[:12]}\n" for n, v, i in rows), "")
    assert fields(run("refs", "tiny", "--porcelain").out) == [list(row) for row in rows]
    assert run("refs", "-z").out == "".join(f"{field}\0" for row in rows for field in row)
    assert json.loads(run("refs", "--json").out) == {
        "refs": [dict(zip(("name", "version", "id"), row, strict=True)) for row in rows]
    }


def test_show_says_what_inspect_says_and_more(run: Run, two: Two) -> None:
    path = two.model / "signed_manifest.json"
    rows = run("inspect", "--manifest", path).out.partition("\n\n")[0]
    known = f"Sealed     : {two.second.sealed_at}\nDirectory  : {two.model}\n"
    text = f"Id         : {two.second.id}\n{rows}\n"
    for revision in ("tiny", "tiny@1.1.0", two.second.id, two.second.id[:10]):
        assert run("show", revision) == (0, f"{text}{known}", "")
    assert run("show", path) == (0, text, "")
    said = json.loads(run("show", "tiny", "--json").out)
    assert said == {
        "id": two.second.id,
        "sealed_at": two.second.sealed_at,
        "directory": str(two.model),
        **json.loads(path.read_text()),
    }
    said = json.loads(run("show", path, "--json").out)
    assert (said["id"], said["sealed_at"]) == (two.second.id, None)


def test_show_gives_the_signed_manifest_itself(run: Run, two: Two, keys: Keys) -> None:
    out = run("show", "tiny@1.0.0", "--raw").out
    assert digest(out) == two.first.id
    path = two.root / "again.json"
    path.write_text(out)
    assert run("verify", "--manifest", path, "--key", keys.public).code == 0
    assert run("show", path, "--raw").out == out


@pytest.mark.parametrize("revision", ["large", "tiny@2", "0000", "tiny@", "@", "zz"])
@pytest.mark.parametrize("name", ["show", "ls", "diff"])
def test_an_unknown_revision_is_named(name: str, revision: str, run: Run, two: Two) -> None:
    code, out, err = run(name, revision)
    assert (code, out) == (1, "")
    assert f"'{revision}'" in err.splitlines()[0]
    assert json.loads(run(name, revision, "--json").out)["reason"] == "unknown-revision"


def test_a_path_is_a_path(run: Run, two: Two) -> None:
    copy = two.root / "tiny"
    shutil.copy(two.model / "signed_manifest.json", two.root / "file")
    shutil.copytree(two.model, copy)
    # A seal of the name goes first; a path may say that it is one.
    assert run("ls", "tiny").out == run("ls", "file").out == run("ls", "./file").out
    assert run("diff", "tiny@1.0.0", "tiny").out.startswith("tiny@1.0.0 (")
    assert "tiny (" in run("diff", "tiny@1.0.0", "tiny").out.splitlines()[0]
    assert run("diff", "tiny@1.1.0", "./tiny").out.splitlines() == [
        f"tiny@1.1.0 ({two.second.id[:12]}) → './tiny'",
        "No difference.",
    ]
    code, out, err = run("ls", "./tiny")
    assert (code, out) == (1, "")
    assert "it is a directory" in err


# ls


def test_ls_lines(run: Run, two: Two) -> None:
    config = digest('{"vocab_size": 32000}')
    rows = [
        [config, "21", "config.json"],
        [digest(""), "0", "empty.txt"],
        [digest(WEIGHTS), "2048", "weights/model.bin"],
    ]
    assert run("ls", "tiny@1.0.0").out.splitlines() == [
        f"{config}     21  config.json",
        f"{digest('')}      0  empty.txt",
        f"{digest(WEIGHTS)}  2,048  weights/model.bin",
    ]
    assert fields(run("ls", "tiny@1.0.0", "--porcelain").out) == rows
    assert run("ls", "tiny@1.0.0", "-z").out == "".join(f"{f}\0" for row in rows for f in row)
    paths = [path for _, _, path in rows]
    assert run("ls", "tiny@1.0.0", "--format", "paths").out.splitlines() == paths
    assert run("ls", "tiny@1.0.0", "--format", "paths", "-z").out == "\0".join([*paths, ""])
    assert json.loads(run("ls", "tiny@1.0.0", "--json").out) == {
        "files": [
            {"path": path, "size": int(size), "sha256": sha256} for sha256, size, path in rows
        ]
    }


@pytest.mark.parametrize(
    "flags", [["--format", "paths", "--json"], ["--format", "sha256sums", "-z"]], ids=" ".join
)
def test_ls_forms_that_do_not_go_together(flags: list[str], run: Run, two: Two) -> None:
    assert run("ls", "tiny", *flags)[:2] == (
        64,
        "" if "--json" not in flags else run("ls", "tiny", *flags).out,
    )


def test_row_08_ls_feeds_sha256sum(run: Run, shell: Shell, model: Path, keys: Keys) -> None:
    for name in AWKWARD:
        (model / name).write_text(name)
    seal(run, model, keys, model, "1")
    out = shell("ls", "tiny", "--format", "sha256sums", cwd=model).out
    check = [need("sha256sum"), "-c", "--strict"]
    done = subprocess.run(check, input=out.encode(), capture_output=True, cwd=model)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b": OK\n") == len(AWKWARD) + 3
    (model / "new\nline").write_text("x")
    done = subprocess.run(check, input=out.encode(), capture_output=True, cwd=model)
    assert done.returncode == 1
    assert b"new\\nline: FAILED" in done.stdout


def test_row_08_sums_at_a_terminal_are_escaped(
    run: Run, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shutil.copy(two.model / "signed_manifest.json", two.root / "m.json")
    text = (two.root / "m.json").read_text().replace('"new.txt"', '"new\\u001b[2K.txt"')
    (two.root / "m.json").write_text(text)
    out = run("ls", "./m.json", "--format", "sha256sums").out
    assert "  new\\x1b[2K.txt\n" in out
    assert "\x1b" not in out


def test_row_08_names_are_escaped_for_persons_and_exact_for_programs(
    run: Run, shell: Shell, model: Path, keys: Keys
) -> None:
    for name in AWKWARD:
        (model / name).write_text(name)
    seal(run, model, keys, model, "1")
    everywhere: list[list[str]] = [
        ["ls", "tiny"],
        ["ls", "tiny", "--porcelain"],
        ["ls", "tiny", "--format", "paths"],
        ["diff", "tiny", ".", "--ignore-path", "config.json"],
        ["identify", *(f"./{name}" for name in AWKWARD)],
        ["identify", "--", *AWKWARD[:-1]],
    ]
    for args in everywhere:
        code, out, err = shell(*args, cwd=model)
        assert (code, err) == (0, ""), args
        assert "\x1b" not in out + err
        assert "\u202e" not in out + err
    exact = shell("ls", "tiny", "--format", "paths", "-z", cwd=model, env={"LC_ALL": "C"}).out
    assert {*exact.split("\0")} > {*AWKWARD}
    for name in AWKWARD:
        (model / name).unlink()
    rows = shell("status", "-z", cwd=model).out.split("\0")
    assert {*rows[1::2]} == {*AWKWARD}


# diff


def test_diff_lines(run: Run, two: Two) -> None:
    head = f"tiny@1.0.0 ({two.first.id[:12]}) → "
    changes = (
        "  altered  config.json (21 → 32 bytes)\n"
        "  removed  empty.txt (0 bytes)\n"
        "  added  new.txt (3 bytes)\n"
        "  renamed  weights/model.safetensors (from weights/model.bin, 2,048 bytes)\n"
        "1 altered, 1 removed, 1 added, 1 renamed\n"
    )
    assert run("diff", "tiny@1.0.0", "tiny") == (
        2,
        f"{head}tiny ({two.second.id[:12]})\n{changes}",
        "",
    )
    # A directory; without one, where the first was sealed.
    assert run("diff", "tiny@1.0.0", two.model) == (2, f"{head}'{two.model}'\n{changes}", "")
    assert run("diff", "tiny@1.0.0") == (2, f"{head}'{two.model}'\n{changes}", "")
    assert run("diff", "tiny") == (
        0,
        f"tiny ({two.second.id[:12]}) → '{two.model}'\nNo difference.\n",
        "",
    )
    code, out, _ = run("diff", "tiny", "tiny@1.0.0")
    assert code == 2
    assert "  renamed  weights/model.bin (from weights/model.safetensors, 2,048 bytes)\n" in out


def test_diff_for_scripts(run: Run, two: Two) -> None:
    old, new = digest('{"vocab_size": 32000}'), digest('{"vocab_size": 64000, "more": 1}')
    weights, empty = digest(WEIGHTS), digest("")
    rows = [
        ["altered", "config.json", "", old, "21", new, "32"],
        ["removed", "empty.txt", "", empty, "0", "", ""],
        ["added", "new.txt", "", "", "", digest("new"), "3"],
        [
            *("renamed", "weights/model.safetensors", "weights/model.bin"),
            *(weights, "2048", weights, "2048"),
        ],
    ]
    code, out, err = run("diff", "tiny@1.0.0", "tiny", "--porcelain")
    assert (code, fields(out), err) == (2, rows, "")
    assert run("diff", "tiny@1.0.0", "tiny", "-z").out == "".join(
        f"{field}\0" for row in rows for field in row
    )
    assert run("diff", "tiny", "tiny", "--porcelain") == (0, "", "")
    said = json.loads(run("diff", "tiny@1.0.0", "tiny", "--json").out)
    assert said["identical"] is False
    assert said["changes"][0] == {
        "kind": "altered",
        "path": "config.json",
        "old_path": None,
        "before": {"sha256": old, "size": 21, "note": ""},
        "after": {"sha256": new, "size": 32, "note": ""},
    }
    assert [change["kind"] for change in said["changes"]] == [row[0] for row in rows]
    assert json.loads(run("diff", "tiny", "tiny", "--json").out)["identical"] is True


def test_diff_reads_every_byte_and_sees_what_is_no_file(run: Run, two: Two) -> None:
    path = two.model / "weights" / "model.safetensors"
    before = path.stat()
    path.write_bytes(b"\xff" + WEIGHTS[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (two.model / "new.txt").unlink()
    (two.model / "new.txt").symlink_to("config.json")
    os.mkfifo(two.model / "pipe")
    (two.model / ".git").mkdir()
    (two.model / ".git" / "x").touch()
    (two.model / "cache").touch()
    code, out, err = run("diff", "tiny", two.model, "--ignore-path", "./cache")
    assert (code, err) == (2, "")
    assert out.splitlines()[1:] == [
        "  altered  new.txt (3 → symbolic link: 'config.json')",
        "  added  pipe (FIFO)",
        "  altered  weights/model.safetensors (2,048 bytes)",
        "2 altered, 1 added",
    ]
    followed = run("diff", "tiny", two.model, "--follow-symlinks", "--porcelain").out
    assert fields(followed)[1][:2] == ["altered", "new.txt"]
    assert fields(followed)[1][6] == "32"


def test_diff_needs_to_know_where_the_model_lies(run: Run, two: Two) -> None:
    shutil.rmtree(two.model)
    code, out, err = run("diff", "tiny")
    assert (code, out) == (1, "")
    assert err == "error: it is not known where 'tiny' lies\nhint: name what to compare it with\n"


# identify


def test_identify(run: Run, two: Two) -> None:
    known, other = two.model / "weights" / "model.safetensors", two.root / "other.bin"
    other.write_text("nobody knows")
    new, old = f"tiny v1.1.0 ({two.second.id[:12]})", f"tiny v1.0.0 ({two.first.id[:12]})"
    lines = f"{known}: weights/model.safetensors of {new}\n{known}: weights/model.bin of {old}\n"
    assert run("identify", known) == (0, lines, "")
    assert run("identify", known, other, known) == (2, f"{lines}{other}: unknown\n", "")
    rows = [
        [str(known), digest(WEIGHTS), two.second.id, "tiny", "1.1.0", "weights/model.safetensors"],
        [str(known), digest(WEIGHTS), two.first.id, "tiny", "1.0.0", "weights/model.bin"],
        [str(other), digest("nobody knows"), "", "", "", ""],
    ]
    code, out, err = run("identify", known, other, "--porcelain")
    assert (code, fields(out), err) == (2, rows, "")
    assert run("identify", known, other, "-z").out == "".join(f"{f}\0" for row in rows for f in row)
    said = json.loads(run("identify", known, other, "--json").out)
    assert [item["file"] for item in said["files"]] == [str(known), str(other)]
    assert said["files"][0]["known"][0] == {
        "id": two.second.id,
        "name": "tiny",
        "version": "1.1.0",
        "path": "weights/model.safetensors",
        "size": 2048,
    }
    assert said["files"][1]["known"] == said["errors"] == []


def test_identify_reads_standard_input(shell: Shell, two: Two) -> None:
    assert shell("identify", "-", stdin=WEIGHTS).out.startswith("-: weights/model.safetensors of ")
    assert shell("identify", "-", stdin=b"?") == (2, "-: unknown\n", "")


def test_identify_goes_on_after_what_it_cannot_read(run: Run, two: Two) -> None:
    os.mkfifo(two.root / "pipe")
    known = two.model / "config.json"
    link = two.root / "link"
    link.symlink_to(known)
    code, out, err = run("identify", "pipe", two.model, "nowhere", "caf\udce9", known, link)
    assert code == 1
    assert [line.split(": ")[0] for line in out.splitlines()] == [str(known), str(link)]
    assert err.splitlines() == [
        "error: 'pipe' is not a regular file",
        f"error: '{two.model}' is not a regular file",
        "error: cannot read 'nowhere': no such file or directory",
        "error: the name 'caf\\udce9' is not valid UTF-8",
    ]
    said = json.loads(run("identify", "nowhere", known, "--json").out)
    assert said["errors"] == [
        {"file": "nowhere", "message": "cannot read 'nowhere': no such file or directory"}
    ]


# fsck, gc


def test_fsck_of_a_sound_store(run: Run, two: Two) -> None:
    said = "Sound: 2 manifests (0 by trusted publishers), 2 refs, 2 seals.\n"
    assert run("fsck") == run("fsck", "--repair") == (0, said, "")
    assert run("fsck", "--porcelain") == (0, "", "")
    assert json.loads(run("fsck", "--json").out) == {
        "clean": True,
        "manifests": 2,
        "refs": 2,
        "seals": 2,
        "trusted": 0,
        "findings": [],
    }


def test_fsck_names_damage(run: Run, two: Two) -> None:
    id_ = two.first.id
    path = two.root / ".modelseal" / "manifests" / id_[:2] / f"{id_[2:]}.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"tiny", b"tidy"))
    code, out, err = run("fsck")
    assert code == 1
    assert re.search(rf"^  \[DAMAGED\] {id_}: .", out, re.MULTILINE)
    assert out.splitlines()[-1].startswith("Damaged: ")
    assert err == "hint: 'modelseal fsck --repair' mends what can be mended\n"
    rows = fields(run("fsck", "--porcelain").out)
    assert rows[0][:2] == ["damaged", "manifest"]
    assert all(len(row) == 4 for row in rows)
    said = json.loads(run("fsck", "--json").out)
    assert said["clean"] is False
    assert said["findings"][0]["damage"] is True
    # There is no mending what only the signer can make.
    code, _, err = run("fsck", "--repair")
    assert (code, err) == (1, "")
    for args in (["show", "tiny@1.0.0"], ["ls", "tiny@1.0.0"], ["diff", "tiny@1.0.0", "tiny"]):
        code, out, err = run(*args, "--json")
        assert (code, json.loads(out)["reason"]) == (1, "store-damaged")


def test_fsck_repairs(run: Run, two: Two) -> None:
    ref = two.root / ".modelseal" / "refs" / "tiny" / "1.0.0"
    ref.write_text("garbage")
    assert run("fsck").code == 1
    code, out, err = run("fsck", "--repair")
    assert (code, err) == (0, "")
    assert "  [REPAIRED] refs/tiny/1.0.0: " in out
    assert run("fsck").code == 0
    assert run("ls", "tiny@1.0.0").code == 0


def test_fsck_asks_whom_the_store_trusts(run: Run, two: Two, keys: Keys, ecdsa_keys: Keys) -> None:
    from tests.test_cli import write_registry

    trust = two.root / ".modelseal" / "trust.json"
    write_registry(trust, "alice", keys.public)
    assert "2 manifests (2 by trusted publishers)" in run("fsck").out
    write_registry(trust, "bob", keys.public)
    assert "2 manifests (0 by trusted publishers)" in run("fsck").out
    write_registry(trust, "alice", ecdsa_keys.public)
    code, out, _ = run("fsck", "--porcelain")
    assert code == 1
    assert [row[:2] for row in fields(out)] == [["damaged", "signature"]] * 2
    trust.write_text("[")
    code, out, _ = run("fsck", "--porcelain")
    assert code == 1
    assert [row[:3] for row in fields(out)] == [["damaged", "trust", "trust.json"]]


def test_the_kinds_of_findings_are_those_described() -> None:
    said = str(Finding.__doc__).partition("kind:")[2].partition("where:")[0]
    described = items(section("modelseal-fsck.1", "FIELDS"))["Cm kind"]
    assert {*re.findall(r"^\.Cm (\w+)", described, re.MULTILINE)} == {
        *re.findall(r"`(\w+)`", said),
        "trust",
    }


def test_gc(run: Run, two: Two) -> None:
    said = "Removed: 0 manifests, 0 leftovers, 0 cache rows; 0 bytes.\n"
    assert run("gc") == (0, said, "")
    stray = two.root / ".modelseal" / "refs" / f".1.0.0.{'0' * 16}.tmp"
    stray.write_text("12345")
    code, out, err = run("gc", "--porcelain")
    assert (code, fields(out), err) == (0, [["leftover", f"refs/{stray.name}"]], "")
    stray.write_text("12345")
    assert run("gc") == (
        0,
        f"  leftover refs/{stray.name}\n" + said.replace("0 left", "1 left").replace("; 0", "; 5"),
        "",
    )
    assert json.loads(run("gc", "--json").out) == {
        "manifests": [],
        "leftovers": [],
        "rows": 0,
        "size": 0,
    }
    assert run("fsck").code == 0
    assert run("log", "--porcelain").out.count("\n") == 2


@pytest.mark.parametrize("value", ["", "x", "-1", "1e3", "inf", "9" * 12])
def test_a_lock_timeout_is_seconds(value: str, run: Run, two: Two) -> None:
    assert run("gc", f"--lock-timeout={value}").code == 64
    assert run("gc", "--lock-timeout", "0.5").code == 0


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "9" * 12])
def test_a_count_of_seals_is_a_number(value: str, run: Run, two: Two) -> None:
    assert run("log", f"--max-count={value}").code == 64
