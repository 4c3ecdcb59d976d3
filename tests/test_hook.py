"""The hook: set up, looked at, run by git."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from modelseal import hooks
from modelseal.errors import FormatError
from modelseal.git import Repository
from modelseal.pushed import Update
from tests.conftest import Keys, Result, need
from tests.repositories import SIGNER, WHO, Repo, lines, pointer, trust, update

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
MODEL = {"model/config.json": b"{}\n", "model/w.safetensors": b"weights"}


Runner = Callable[..., Result]


class Hook(Protocol):
    """Runs the hook as git does, without git."""

    def __call__(self, *arguments: str | Update, stdin: bytes | None = None) -> Result: ...


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A repository with a remote, which is where we are."""
    there = Repo(tmp_path / "there", "--bare")
    repo = Repo(tmp_path / "here")
    repo.git("remote", "add", "origin", there.path)
    monkeypatch.chdir(repo.path)
    return repo


@pytest.fixture
def trusted(repo: Repo, keys: Keys) -> Path:
    """A registry outside of the repository, in git's configuration."""
    path = trust(repo.path.parent / "trust.json", keys)
    repo.git("config", "modelseal.hook.registry", path)
    return path


@pytest.fixture
def hook(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Hook:
    """`hook(update(new, old), "--quiet")`."""

    def call(*arguments: str | Update, stdin: bytes | None = None) -> Result:
        updates = [each for each in arguments if isinstance(each, Update)]
        options = [each for each in arguments if isinstance(each, str)]
        said = lines(*updates) if stdin is None else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
        return run("hook", "run", "pre-push", "origin", "url", *options)

    return call


def push(repo: Repo, *arguments: str | Path) -> tuple[int, str]:
    """Push with the hooks that are set up; the exit code, and what was said."""
    done = subprocess.run(
        [need("git"), *WHO, "push", *map(str, arguments)],
        cwd=repo.path,
        capture_output=True,
        text=True,
    )
    assert "model" not in done.stdout  # which is git's own, and git-lfs's
    return done.returncode, done.stderr


def hook_file(repo: Repo) -> Path:
    """Where git looks for the hook, unless told otherwise."""
    return repo.path / ".git" / "hooks" / "pre-push"


def foreign(repo: Repo, text: str = "#!/bin/sh\nexit 0\n") -> Path:
    """Somebody else's hook."""
    path = hook_file(repo)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


# Judging.


def test_a_sealed_model_may_be_pushed(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    new = repo.commit()
    done = hook(update(new))
    assert done == (
        0,
        f"[OK] model (refs/heads/main {new[:12]}): model v0.0.0, 2 files, signed by {SIGNER}\n",
        "",
    )
    assert hook(update(new), "--quiet") == (0, "", "")


def test_the_work_tree_is_not_what_is_pushed(
    repo: Repo, keys: Keys, trusted: Path, hook: Hook
) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    good = repo.commit()
    bad = repo.commit({"model/w.safetensors": b"altered"})
    repo.write(MODEL)
    assert hook(update(bad, good)).code == 2
    repo.write({"model/w.safetensors": b"altered once more"})
    assert hook(update(good)).code == 0


def test_what_is_wrong_is_named_with_ref_commit_path_and_fix(
    repo: Repo, keys: Keys, trusted: Path, hook: Hook
) -> None:
    repo.write({f"my models/x y/{name}": b"1" for name in ("a", "b", "c")})
    repo.seal(keys, "my models/x y")
    old = repo.commit()
    repo.git("rm", "-q", "my models/x y/b")
    (repo.path / "my models" / "x y" / "link").symlink_to("/etc/passwd")
    new = repo.commit({"my models/x y/a": b"2", "my models/x y/evil\n.py": b""})
    done = hook(update(new, old, "refs/heads/topic"))
    assert done.code == 2
    assert done.out == (
        f"[FAIL] my models/x y (refs/heads/topic {new[:12]}): 1 altered, 1 missing, 2 unsigned\n"
        "  [FAIL] a\n"
        "         expected 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\n"
        "         actual   d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35\n"
        "  [FAIL] b (missing)\n"
        "  [UNSIGNED] evil\\n.py\n"
        "  [UNSIGNED] link (symbolic link: '/etc/passwd')\n"
    )
    assert done.err == (
        "hint: if this is what you mean to publish, sign it and commit that: modelseal sign "
        f"--model-dir 'my models/x y' --key KEY --signer-id {SIGNER}\n"
        "Push stopped: 1 of 1 directories do not pass.\n"
    )


def test_nothing_to_judge_needs_no_registry(repo: Repo, hook: Hook) -> None:
    new = repo.commit({"code.py": b""})
    assert hook(update(new)) == (0, "", "")
    assert hook() == (0, "", "")


def test_no_registry(repo: Repo, keys: Keys, hook: Hook) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    done = hook(update(repo.commit()))
    assert done.code == 2
    assert f"'{SIGNER}' is not a trusted publisher" in done.out
    assert f"modelseal trust add {SIGNER} --key PATH" in done.err


def test_a_registry_that_the_push_brings_along_grants_nothing(
    repo: Repo, keys: Keys, hook: Hook
) -> None:
    repo.write(MODEL)
    (repo.path / ".modelseal").mkdir()
    (repo.path / ".modelseal" / "format").write_text("modelseal store 1\n")
    registry = trust(repo.path / ".modelseal" / "trust.json", keys)
    repo.seal(keys)
    new = repo.commit()
    done = hook(update(new))
    assert done.code == 2
    assert f"'{SIGNER}' is not a trusted publisher" in done.out
    # Unless its owner says so.
    assert hook(update(new), "--store", str(registry.parent)).code == 0


def test_a_registry_in_the_work_tree_that_changes(repo: Repo, keys: Keys, hook: Hook) -> None:
    repo.write(MODEL)
    trust(repo.path / "etc" / "trust.json", keys)
    repo.git("config", "modelseal.hook.registry", "etc/trust.json")
    repo.seal(keys)
    new = repo.commit()
    done = hook(update(new))
    assert done.code == 0
    assert done.out.startswith("[OK] model ")
    assert done.err == (
        "warning: this push changes 'trust.json', which says who is trusted or what may pass, in "
        f"refs/heads/main {new[:12]}: it was judged by what stands there now\n"
    )
    later = repo.commit({"x": b""})
    assert hook(update(later, new)) == (0, "", "")


def test_a_store_that_was_made_here(repo: Repo, keys: Keys, hook: Hook, run: Runner) -> None:
    assert run("init").code == 0
    trust(repo.path / ".modelseal" / "trust.json", keys)
    repo.write(MODEL)
    repo.seal(keys)
    done = hook(update(repo.commit()))
    assert done.code == 0
    assert done.err.startswith("warning: this push changes 'trust.json', which says who is trusted")


def test_the_users_registry(
    repo: Repo, keys: Keys, hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    trust(tmp_path / "xdg" / "modelseal" / "trust.json", keys)
    repo.write(MODEL)
    repo.seal(keys)
    new = repo.commit()
    assert hook(update(new)).code == 0
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert hook(update(new)).code == 2


def test_a_revoked_key(repo: Repo, keys: Keys, trusted: Path, hook: Hook, run: Runner) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    new = repo.commit()
    assert run("trust", "revoke", SIGNER, "--registry", trusted).code == 0
    done = hook(update(new), "--json")
    assert (done.code, json.loads(done.out)["reason"]) == (2, "publisher-revoked")


def test_more_than_one_signature(
    repo: Repo, keys: Keys, ecdsa_keys: Keys, trusted: Path, hook: Hook, run: Runner
) -> None:
    trust(trusted, ecdsa_keys, "bob")
    (repo.path / ".modelseal").mkdir()
    (repo.path / ".modelseal" / "format").write_text("modelseal store 1\n")
    (repo.path / ".modelseal" / "config.toml").write_text("[modelseal]\nrequire = 2\n")
    repo.write(MODEL)
    repo.seal(keys)
    one = hook(update(repo.commit()))
    assert one.code == 2
    assert "signed by 1 trusted publisher, and 2 are needed" in one.out
    manifest = repo.path / "model" / "signed_manifest.json"
    added = run("cosign", "--manifest", manifest, "--key", ecdsa_keys.private, "--signer-id", "bob")
    assert added.code == 0, added.err
    two = hook(update(repo.commit()))
    assert (two.code, two.err) == (0, "")
    repo.write({"model/signed_manifest.json.cosigned": b"{}"})
    none = hook(update(repo.commit()))
    assert none.code == 2


def test_cosignatures_that_are_none_are_a_file_like_any_other(
    repo: Repo, keys: Keys, trusted: Path, hook: Hook
) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    done = hook(update(repo.commit({"model/signed_manifest.json.cosigned": b"{}"})))
    assert done.code == 2
    assert "  [UNSIGNED] signed_manifest.json.cosigned\n" in done.out
    assert "warning: cosignatures are left out: " in done.err


def test_settings_of_a_store_that_was_found_make_it_stricter_alone(repo: Repo, hook: Hook) -> None:
    store = repo.path / ".modelseal"
    store.mkdir()
    (store / "format").write_text("modelseal store 1\n")
    (store / "config.toml").write_text('[modelseal.hook]\nrequire = "any"\ncheck = "every"\n')
    repo.commit({"m/w.pt": b""})
    repo.git("rm", "-q", "m/w.pt")
    new = repo.commit()
    done = hook(update(new))
    assert done.code == 2
    assert "[FAIL] m (refs/heads/main " in done.out
    assert hook(update(new), "--check", "tip") == (0, "", "")


def test_a_signer_whom_nobody_knows(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.write(MODEL)
    repo.seal(keys, signer="mallory")
    new = repo.commit()
    for require in ("signed", "any"):
        done = hook(update(new), "--require", require)
        assert done.code == 2
        assert done.out == (
            f"[FAIL] model (refs/heads/main {new[:12]}): 'mallory' is not a trusted publisher\n"
        )


def test_a_key_that_is_not_the_signers(
    repo: Repo, keys: Keys, ecdsa_keys: Keys, trusted: Path, hook: Hook
) -> None:
    repo.write(MODEL)
    repo.seal(ecdsa_keys)
    done = hook(update(repo.commit()), "--json")
    assert done.code == 2
    assert json.loads(done.out)["reason"] == "signature-invalid"


def test_weights_that_nobody_signed(repo: Repo, hook: Hook) -> None:
    new = repo.commit({f"m/{n}.pt": b"" for n in range(5)})
    done = hook(update(new))
    assert done.code == 2
    assert done.out == (
        f"[FAIL] m (refs/heads/main {new[:12]}): nobody signed '0.pt', '1.pt', '2.pt' and 2 more\n"
    )
    assert "modelseal sign --model-dir m --key KEY --signer-id ID" in done.err
    assert "git config modelseal.hook.require any" in done.err
    assert hook(update(new), "--require", "any") == (0, "", "")
    repo.git("config", "modelseal.hook.require", "any")
    assert hook(update(new)) == (0, "", "")


@pytest.mark.parametrize("require", ["signed", "any"])
def test_a_manifest_removed_while_its_files_stay(
    repo: Repo, keys: Keys, trusted: Path, hook: Hook, require: str
) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    old = repo.commit({"model/other": b""})
    repo.git("rm", "-q", "model/signed_manifest.json")
    new = repo.commit()
    done = hook(update(new, old), "--require", require)
    assert done.code == 2
    assert done.out == (
        f"[FAIL] model (refs/heads/main {new[:12]}): its manifest is removed, and signed files "
        "stay: 'config.json', 'w.safetensors'\n"
    )
    repo.git("rm", "-q", *MODEL)
    assert hook(update(repo.commit(), old), "--require", require) == (0, "", "")


def test_a_model_that_moves(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    old = repo.commit()
    repo.git("mv", "model", "moved")
    new = repo.commit()
    done = hook(update(new, old))
    assert done.code == 0
    assert done.out.startswith(f"[OK] moved (refs/heads/main {new[:12]}): ")


def test_a_model_in_a_model(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.write({"m/w.pt": b"1", "m/sub/w.pt": b"2"})
    repo.seal(keys, "m/sub")
    repo.seal(keys, "m")
    old = repo.commit()
    done = hook(update(old))
    assert [line.split()[:2] for line in done.out.splitlines()] == [
        ["[OK]", "m"],
        ["[OK]", "m/sub"],
    ]
    repo.write({"m/sub/w.pt": b"3"})
    repo.seal(keys, "m/sub")
    done = hook(update(repo.commit(), old))
    assert done.code == 2
    assert "[FAIL] m (" in done.out
    assert "[OK] m/sub (" in done.out


def test_the_whole_repository_is_the_model(
    repo: Repo, keys: Keys, trusted: Path, hook: Hook
) -> None:
    repo.write({"w.pt": b"1", ".gitattributes": b"* -text\n"})
    repo.seal(keys, ".")
    done = hook(update(repo.commit()))
    assert done.code == 0
    assert done.out.startswith("[OK] . (refs/heads/main ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "malformed manifest"),
        (b"", "too early"),
        (b"[" * 100_000, "malformed manifest"),
        (pointer("0" * 64, 100), "is a git-lfs pointer"),
    ],
)
def test_a_manifest_that_is_none(
    repo: Repo, trusted: Path, hook: Hook, content: bytes, said: str
) -> None:
    new = repo.commit({"model/signed_manifest.json": content})
    done = hook(update(new))
    assert done.code == 1
    assert done.out.startswith(f"[FAIL] model (refs/heads/main {new[:12]}): ")
    assert "'model/signed_manifest.json'" in done.out
    assert said in done.out


def test_a_manifest_that_is_a_link(repo: Repo, trusted: Path, hook: Hook) -> None:
    (repo.path / "signed_manifest.json").symlink_to("/dev/zero")
    done = hook(update(repo.commit()))
    assert done.code == 1
    assert done.out.endswith(": 'signed_manifest.json': it is a symbolic link\n")


def test_not_verified_outweighs_an_error(repo: Repo, trusted: Path, hook: Hook) -> None:
    new = repo.commit({"a/signed_manifest.json": b"{}", "b/w.pt": b""})
    done = hook(update(new), "--json")
    found = json.loads(done.out)
    assert (done.code, found["valid"], found["reason"]) == (2, False, "model-unsealed")
    assert [item["reason"] for item in found["judged"]] == ["malformed", "model-unsealed"]


def test_every_new_commit(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    old = repo.commit()
    bad = repo.commit({"model/w.safetensors": b"altered"})
    good = repo.commit(MODEL)
    assert hook(update(good, old)).code == 0
    repo.git("config", "modelseal.hook.check", "every")
    done = hook(update(good, old))
    assert done.code == 2
    assert f"[FAIL] model (refs/heads/main {bad[:12]}): 1 altered\n" in done.out


def test_line_endings_that_git_changed(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.git("config", "core.autocrlf", "true")
    repo.write({"model/a.txt": b"one\r\ntwo\r\n", "model/w.pt": b"\0"})
    repo.seal(keys)
    done = hook(update(repo.commit()))
    assert done.code == 2
    assert "  [FAIL] a.txt (only the line endings differ)\n" in done.out
    assert "hint: git changes line endings here: put '* -text' into .gitattributes" in done.err


def test_content_in_git_lfs_that_is_another(
    repo: Repo, keys: Keys, trusted: Path, hook: Hook
) -> None:
    import hashlib

    repo.write(MODEL)
    repo.seal(keys)
    good = hashlib.sha256(b"weights").hexdigest()
    repo.write({"model/w.safetensors": pointer(good, 7)})
    assert hook(update(repo.commit())).code == 0
    for false in (pointer(good, 8), pointer("0" * 64, 7), pointer(good, 7) + b"x"):
        done = hook(update(repo.commit({"model/w.safetensors": false})))
        assert done.code == 2
        assert "  [FAIL] w.safetensors" in done.out


def test_a_blob_that_is_missing(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    new = repo.commit()
    oid = repo.git("rev-parse", "HEAD:model/config.json")
    (repo.path / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    done = hook(update(new))
    assert done.code == 1
    assert f"cannot read 'config.json': blob {oid} is not in this repository" in done.err


def test_json(repo: Repo, keys: Keys, trusted: Path, hook: Hook) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    new = repo.commit()
    found = json.loads(hook(update(new), "--json").out)
    (judged,) = found.pop("judged")
    assert found == {"valid": True, "reason": None}
    assert judged["path"] == "model"
    assert judged["places"] == [{"ref": "refs/heads/main", "commit": new}]
    assert (judged["valid"], judged["checked"], judged["signer_id"]) == (True, 2, SIGNER)
    failed = hook(stdin=b"x\n")
    assert failed.code == 1
    assert failed.err.startswith("error: line 1 of standard input is not what git gives")


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [("require", "none", "signed"), ("check", "Every", "tip"), ("require", "", "signed")],
)
def test_a_policy_that_is_none(repo: Repo, hook: Hook, name: str, value: str, fix: str) -> None:
    repo.git("config", f"modelseal.hook.{name}", value)
    done = hook(update(repo.commit()))
    assert done.code == 1
    assert done.err.startswith(f"error: setting '{name}' of the hook is '{value}', not ")
    assert done.err.endswith(f"hint: git config modelseal.hook.{name} {fix}\n")


def test_policies() -> None:
    assert hooks.policy({}) == hooks.Policy("signed", "tip", "", 0)
    assert hooks.policy({"require": "any", "other": "x"}).require == "any"
    with pytest.raises(FormatError):
        hooks.policy({"require": "unsigned"})


# Under pre-commit(1), which gives no standard input.


def test_as_pre_commit_runs_it(
    repo: Repo, keys: Keys, trusted: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write(MODEL)
    repo.seal(keys)
    old = repo.commit()
    new = repo.commit({"model/w.safetensors": b"altered"})
    monkeypatch.setenv("PRE_COMMIT", "1")
    monkeypatch.setenv("PRE_COMMIT_LOCAL_BRANCH", "refs/heads/main")
    monkeypatch.setenv("PRE_COMMIT_REMOTE_BRANCH", "refs/heads/there")
    first = hook(stdin=b"not read")
    assert first.code == 2
    assert f"[FAIL] model (refs/heads/there {new[:12]})" in first.out
    monkeypatch.setenv("PRE_COMMIT_FROM_REF", old)
    monkeypatch.setenv("PRE_COMMIT_TO_REF", new)
    assert hook().code == 2
    monkeypatch.setenv("PRE_COMMIT_TO_REF", old)
    assert hook() == (0, "", "")


def test_in_pre_commit(
    repo: Repo, keys: Keys, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = ROOT / ".pre-commit-hooks.yaml"
    pre_commit = [sys.executable, "-m", "pre_commit"]
    subprocess.run([*pre_commit, "validate-manifest", manifest], check=True)
    # As the project offers them, but with the program that is installed already.
    offered = manifest.read_text().replace("language: python", "language: system")
    hooks_ = "".join(f"      {line}\n" for line in offered.splitlines())
    config = f"repos:\n  - repo: local\n    hooks:\n{hooks_}"
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    repo.write({**MODEL, ".pre-commit-config.yaml": config.encode()})
    repo.seal(keys)
    first = repo.commit()
    subprocess.run([*pre_commit, "install", "--hook-type", "pre-push"], check=True)
    done = subprocess.run(
        [need("git"), "push", "origin", "main"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bad = repo.commit({"model/w.safetensors": b"altered"})
    done = subprocess.run(
        [need("git"), "push", "origin", "main"], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"[FAIL] model (refs/heads/main {bad[:12]}): 1 altered" in said
    assert repo.git("ls-remote", "origin", "main").split()[0] == first


# Set up, and taken away.


def test_installed_looked_at_and_removed(repo: Repo, run: Callable[..., Result]) -> None:
    path = hook_file(repo)
    assert run("hook", "status") == (
        1,
        f"Hook: not installed\n  Path     : {path}\n  Require  : signed\n  Check    : tip\n",
        "hint: have git run it: modelseal hook install\n",
    )
    assert run("hook", "install") == (0, f"Hook: '{path}'\n", "")
    assert path.stat().st_mode & 0o777 == 0o755
    first = path.read_bytes()
    assert run("hook", "install").code == 0
    assert path.read_bytes() == first
    repo.git("config", "modelseal.hook.check", "every")
    assert run("hook", "status") == (
        0,
        f"Hook: installed\n  Path     : {path}\n  Require  : signed\n  Check    : every\n",
        "",
    )
    assert run("hook", "uninstall") == (0, f"Hook: removed from '{path}'\n", "")
    assert not path.exists()
    assert run("hook", "uninstall") == (0, "Hook: none, so there is nothing to remove\n", "")


def test_the_script_is_a_shell_script() -> None:
    text = hooks.script("/a b/it's/python")
    subprocess.run([need("sh"), "-n"], input=text.encode(), check=True)
    assert "python='/a b/it'\"'\"'s/python'\n" in text


def test_an_interpreter_that_is_gone_stops_the_push(repo: Repo) -> None:
    now = hooks.state(Repository.find())
    gone = str(repo.path / "no python")
    hooks.install(now, gone)
    repo.commit()
    assert hooks.state(Repository.find()) == (
        hooks.INSTALLED,
        str(hook_file(repo)),
        gone,
        False,
        f"'{gone}' is gone: run 'modelseal hook install' again",
    )
    code, said = push(repo, "origin", "main")
    assert code == 1
    assert f"error: {gone} is gone, so nothing judges this push\nhint: " in said


def test_a_foreign_hook_is_left_alone(repo: Repo, run: Callable[..., Result]) -> None:
    path = foreign(repo)
    done = run("hook", "install")
    assert done.code == 1
    assert done.out.splitlines()[0] == "#!/bin/sh"
    assert done.out.splitlines()[-1] == (
        f'printf %s "$lines" | {shlex.quote(str(path))}.before-modelseal "$@"'
    )
    assert done.err == (
        f"error: '{path}' is a hook that modelseal did not make\n"
        f"hint: move it to '{path}.before-modelseal', and make the text above the hook; it runs "
        "both\n"
    )
    refused = run("hook", "uninstall")
    assert (refused.code, refused.out) == (1, "")
    assert path.read_text() == "#!/bin/sh\nexit 0\n"
    assert [entry.name for entry in path.parent.glob("pre-push*") if entry.suffix != ".sample"] == [
        "pre-push"
    ]


def test_force_keeps_what_was_there_and_uninstall_restores_it(
    repo: Repo, run: Callable[..., Result]
) -> None:
    path = foreign(repo, "#!/bin/sh\nexit 7\n")
    backup = path.with_name("pre-push.before-modelseal")
    done = run("hook", "install", "--force")
    assert done == (
        0,
        f"Hook: '{path}'\n  Replaced : kept as '{backup}', which is not run any more\n",
        "",
    )
    assert backup.read_text() == "#!/bin/sh\nexit 7\n"
    assert backup.stat().st_mode & 0o111
    assert run("hook", "status").code == 0
    restored = run("hook", "uninstall")
    assert restored.code == 0
    assert restored.out.endswith("  Restored : the hook that was there before\n")
    assert path.read_text() == "#!/bin/sh\nexit 7\n"
    assert path.stat().st_mode & 0o111
    assert not backup.exists()


def test_force_never_loses_an_older_backup(repo: Repo, run: Callable[..., Result]) -> None:
    path = foreign(repo)
    backup = path.with_name("pre-push.before-modelseal")
    backup.write_text("precious")
    done = run("hook", "install", "--force")
    assert done.code == 1
    assert done.err.startswith(f"error: '{backup}' already exists\nhint: ")
    assert (path.read_text(), backup.read_text()) == ("#!/bin/sh\nexit 0\n", "precious")


def test_our_hook_with_changes_is_somebodys(repo: Repo, run: Callable[..., Result]) -> None:
    run("hook", "install")
    path = hook_file(repo)
    path.write_text(path.read_text() + "echo more\n")
    assert run("hook", "install") == (0, f"Hook: '{path}' runs modelseal already\n", "")
    assert run("hook", "uninstall").code == 1
    assert path.read_text().endswith("echo more\n")
    assert json.loads(run("hook", "status", "--json").out)["kind"] == "chained"


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\n# modelseal hook run pre-push\n",
        "#!/bin/sh\nmodelseal verify\n",
        "#!/bin/sh\nhook run pre-push\n",
        "",
    ],
)
def test_a_hook_that_only_speaks_of_us(repo: Repo, run: Callable[..., Result], text: str) -> None:
    foreign(repo, text)
    assert json.loads(run("hook", "status", "--json").out)["kind"] == "foreign"


def test_a_hook_that_git_does_not_run(repo: Repo, run: Callable[..., Result]) -> None:
    run("hook", "install")
    hook_file(repo).chmod(0o644)
    done = run("hook", "status")
    assert done.code == 1
    assert "  Problem  : it is not executable, so git does not run it\n" in done.out
    assert run("hook", "install").code == 0
    assert run("hook", "status").code == 0


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_is_somebodys(repo: Repo, run: Callable[..., Result], target: str) -> None:
    elsewhere = repo.path / "elsewhere"
    elsewhere.write_text(hooks.script(sys.executable))
    path = hook_file(repo)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(repo.path / target)
    assert run("hook", "uninstall").code == 1
    assert path.is_symlink()
    assert elsewhere.exists()


def test_hooks_path(
    repo: Repo, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.git("config", "core.hooksPath", "my hooks")
    below = repo.path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    path = repo.path / "my hooks" / "pre-push"
    assert run("hook", "install") == (0, f"Hook: '{path}'\n", "")
    assert path.exists()
    monkeypatch.chdir(repo.path)
    repo.commit({"m/w.pt": b""})
    code, said = push(repo, "origin", "main")
    assert code == 1
    assert "[FAIL] m (refs/heads/main " in said


def test_hooks_that_are_turned_off(repo: Repo, run: Callable[..., Result]) -> None:
    repo.git("config", "core.hooksPath", "/dev/null")
    done = run("hook", "install")
    assert done.code == 1
    assert done.err.startswith("error: git runs no hooks here: '/dev/null' is not a directory\n")


def test_outside_of_a_repository(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["install"], ["uninstall"], ["status"], ["run", "pre-push"]):
        done = run("hook", *command)
        assert done.code == 1
        assert done.err.startswith("error: git rev-parse: not a git repository")


def test_status_and_install_load_nothing_heavy(repo: Repo) -> None:
    from tests.test_startup import HEAVY, loaded

    assert not loaded("hook", "install") & HEAVY
    assert not loaded("hook", "status") & HEAVY


def test_a_push_without_models_loads_no_cryptography(repo: Repo) -> None:
    from tests.test_startup import PROBE

    said = lines(update(repo.commit({"code.py": b""})))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "hook", "run", "pre-push", "origin"],
        input=said,
        capture_output=True,
        check=True,
    )
    assert not {"cryptography", "msgspec", "blake3"} & set(done.stderr.decode().split())


# Real pushes.


def test_a_push_of_an_altered_model_is_stopped_and_passes_once_signed(
    repo: Repo, keys: Keys, trusted: Path, run: Callable[..., Result]
) -> None:
    run("hook", "install")
    repo.write(MODEL)
    repo.seal(keys)
    first = repo.commit()
    code, said = push(repo, "origin", "main")
    assert (code, said.splitlines()[0]) == (
        0,
        f"[OK] model (refs/heads/main {first[:12]}): model v0.0.0, 2 files, signed by {SIGNER}",
    )
    altered = repo.commit({"model/w.safetensors": b"altered"})
    code, said = push(repo, "origin", "main")
    assert code == 1
    # Results and hints come in their order.
    assert [line.split(":")[0].split()[0] for line in said.splitlines()[:6]] == [
        *["[FAIL]", "[FAIL]", "expected", "actual", "hint", "Push"]
    ]
    assert f"[FAIL] model (refs/heads/main {altered[:12]}): 1 altered" in said
    assert repo.git("ls-remote", "origin", "main").split()[0] == first
    repo.seal(keys)
    second = repo.commit()
    assert push(repo, "origin", "main")[0] == 0
    assert repo.git("ls-remote", "origin", "main").split()[0] == second


def test_a_module_of_the_repository_is_not_run(
    repo: Repo, keys: Keys, trusted: Path, run: Callable[..., Result]
) -> None:
    run("hook", "install")
    evil = b"raise SystemExit(0)\n"
    repo.commit({"modelseal/__init__.py": evil, "subprocess.py": evil, "m/w.pt": b""})
    code, said = push(repo, "origin", "main")
    assert code == 1
    assert "nobody signed 'w.pt'" in said


def test_chained_with_git_lfs(
    repo: Repo, keys: Keys, trusted: Path, run: Callable[..., Result]
) -> None:
    need("git-lfs")
    repo.git("lfs", "install", "--local")
    repo.git("lfs", "track", "*.safetensors")
    path = hook_file(repo)
    done = run("hook", "install")
    assert done.code == 1
    assert done.out.splitlines()[-1] == 'printf %s "$lines" | git lfs pre-push "$@"'
    assert done.err.endswith("hint: make the text above the hook; it runs both\n")
    path.write_text(done.out)
    assert run("hook", "install") == (0, f"Hook: '{path}' runs modelseal already\n", "")
    repo.write(MODEL)
    repo.seal(keys)
    repo.commit()
    assert repo.git("show", "HEAD:model/w.safetensors").startswith("version https://git-lfs")
    code, said = push(repo, "origin", "main")
    assert code == 0, said
    assert "[OK] model (" in said
    there = repo.path.parent / "there" / "lfs" / "objects"
    assert [file.read_bytes() for file in there.rglob("*") if file.is_file()] == [b"weights"]
    repo.commit({"model/w.safetensors": b"altered"})
    code, said = push(repo, "origin", "main")
    assert code == 1
    assert "  [FAIL] w.safetensors" in said
    assert len([file for file in there.rglob("*") if file.is_file()]) == 1


def test_forced_over_git_lfs_says_what_is_lost(repo: Repo, run: Callable[..., Result]) -> None:
    need("git-lfs")
    repo.git("lfs", "install", "--local")
    done = run("hook", "install", "--force")
    assert done.code == 0
    assert done.err.startswith("warning: git-lfs uploads nothing now")


def test_chained_with_any_hook(repo: Repo, run: Callable[..., Result], tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    path = foreign(repo, f"#!/bin/sh\necho $# $1 > '{seen}'; cat >> '{seen}'\n")
    text = run("hook", "install").out
    path.rename(f"{path}.before-modelseal")
    foreign(repo, text)
    new = repo.commit({"code.py": b""})
    assert push(repo, "origin", "main")[0] == 0
    assert seen.read_text() == f"2 origin\nrefs/heads/main {new} refs/heads/main {'0' * 40}\n"
    seen.unlink()
    repo.commit({"w.pt": b""})
    assert push(repo, "origin", "main")[0] == 1
    assert not seen.exists()
    assert push(repo, "origin", "HEAD~:main")[0] == 0
    assert seen.read_text() == "2 origin\n"


def test_a_chained_hook_that_fails_stops_the_push(repo: Repo, run: Callable[..., Result]) -> None:
    path = foreign(repo, "#!/bin/sh\nexit 3\n")
    text = run("hook", "install").out
    path.rename(f"{path}.before-modelseal")
    foreign(repo, text)
    repo.commit()
    assert push(repo, "origin", "main")[0] == 1


def test_porcelain_output_of_git_stays_its_own(repo: Repo, run: Callable[..., Result]) -> None:
    run("hook", "install")
    repo.commit({"w.pt": b""})
    done = subprocess.run(
        [need("git"), "push", "--porcelain", "origin", "main"],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert done.returncode == 1
    assert "[FAIL]" not in done.stdout
