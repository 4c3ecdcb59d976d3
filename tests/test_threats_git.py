"""Rows 33 to 35 of the threats: what a git hook must not let pass, and what it must get along with.

Every push here is git's own, through the hook that `hook install` made.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from modelseal import gating
from tests.conftest import Keys, Result, need
from tests.repositories import WHO, Repo, pointer, trust

MODEL = {"model/config.json": b"{}\n", "model/w.safetensors": b"weights"}


class Said(NamedTuple):
    """How a push ended, and what was said."""

    code: int
    text: str


class Pusher:
    """A repository that the hook guards, and the bare one that it pushes to."""

    def __init__(self, top: Path, keys: Keys, *options: str) -> None:
        self.keys = keys
        self.there = Repo(top / "there", "--bare", *options)
        self.repo = Repo(top / "here", *options)
        self.repo.git("remote", "add", "origin", self.there.path)
        registry = trust(top / "trust.json", keys)
        self.repo.git("config", "modelseal.hook.registry", registry)
        self.install(self.repo.path)

    def install(self, where: Path) -> Result:
        """Set the hook up, from some directory."""
        done = subprocess.run(
            [sys.executable, "-m", "modelseal", "hook", "install"],
            cwd=where,
            capture_output=True,
            text=True,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def good(self, files: dict[str, bytes] | None = None) -> str:
        """Commit a model, signed."""
        self.repo.write({**MODEL, **(files or {})})
        self.repo.seal(self.keys)
        return self.repo.commit()

    def bad(self) -> str:
        """Commit the model altered."""
        return self.repo.commit({"model/w.safetensors": b"altered"})

    def push(self, *arguments: str | Path, where: Path | None = None) -> Said:
        """Push."""
        done = subprocess.run(
            [need("git"), *WHO, "push", *map(str, arguments)],
            cwd=where or self.repo.path,
            capture_output=True,
            text=True,
            errors="backslashreplace",
        )
        return Said(done.returncode, done.stderr)

    def refs(self) -> dict[str, str]:
        """What the other repository has now."""
        listed = self.there.git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split() for line in listed.splitlines())


@pytest.fixture
def pusher(tmp_path: Path, keys: Keys) -> Pusher:
    """With a signed model pushed."""
    pusher = Pusher(tmp_path, keys)
    pusher.good()
    assert pusher.push("origin", "main").code == 0
    return pusher


def stopped(said: Said, ref: str, commit: str, what: str = "1 altered") -> None:
    """The push was stopped by us, with ref, commit and path."""
    assert said.code == 1
    assert f"[FAIL] model ({ref} {commit[:12]}): {what}\n" in said.text
    assert "hint: " in said.text


# 33: every way to push.


def test_33_a_new_branch(pusher: Pusher) -> None:
    bad = pusher.bad()
    stopped(pusher.push("origin", "main:topic"), "refs/heads/topic", bad)
    assert pusher.push("origin", "main~:refs/heads/topic").code == 0


def test_33_a_deletion(pusher: Pusher) -> None:
    assert pusher.push("origin", "main:topic").code == 0
    pusher.bad()
    assert pusher.push("origin", ":topic").code == 0
    assert list(pusher.refs()) == ["refs/heads/main"]


def test_33_a_deletion_beside_an_altered_model(pusher: Pusher) -> None:
    assert pusher.push("origin", "main:topic").code == 0
    bad = pusher.bad()
    stopped(pusher.push("origin", ":topic", "main"), "refs/heads/main", bad)
    assert len(pusher.refs()) == 2


@pytest.mark.parametrize("options", [["-a", "-m", "x"], []])
def test_33_a_tag(pusher: Pusher, options: list[str]) -> None:
    bad = pusher.bad()
    pusher.repo.git("tag", *options, "v1")
    stopped(pusher.push("origin", "v1"), "refs/tags/v1", bad)
    pusher.repo.git("tag", *options, "v0", "HEAD~")
    assert pusher.push("origin", "v0").code == 0


def test_33_a_forced_push(pusher: Pusher) -> None:
    pusher.repo.git("commit", "-q", "--amend", "--allow-empty", "-m", "another")
    assert pusher.push("--force", "origin", "main").code == 0
    pusher.repo.git("reset", "-q", "--hard", "HEAD")
    pusher.repo.write({"model/w.safetensors": b"altered"})
    pusher.repo.git("commit", "-q", "-a", "--amend", "-m", "worse")
    bad = pusher.repo.git("rev-parse", "HEAD")
    stopped(pusher.push("--force", "origin", "main"), "refs/heads/main", bad)


def test_33_a_forced_push_over_what_was_never_seen_here(pusher: Pusher, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    other.git("push", "-q", "--force", pusher.there.path, f"{other.commit()}:refs/heads/main")
    pusher.repo.git("update-ref", "-d", "refs/remotes/origin/main")
    bad = pusher.bad()
    stopped(pusher.push("--force", "origin", "main"), "refs/heads/main", bad)


def test_33_all_refs(pusher: Pusher) -> None:
    pusher.repo.git("branch", "good")
    bad = pusher.bad()
    pusher.repo.git("branch", "bad")
    for how in ("--all", "--mirror"):
        said = pusher.push(how, "origin")
        assert said.code == 1
        # Once for both of the branches that have it; git says which of them comes first.
        assert re.search(
            rf"\[FAIL\] model \(refs/heads/(bad|main) {bad[:12]} and 1 more\): 1 altered", said.text
        )
    assert list(pusher.refs()) == ["refs/heads/main"]


def test_33_nothing(pusher: Pusher) -> None:
    said = pusher.push("origin", "main")
    assert said == (0, "Everything up-to-date\n")


def test_33_the_first_push_of_a_root_commit(tmp_path: Path, keys: Keys) -> None:
    pusher = Pusher(tmp_path, keys)
    pusher.repo.write(MODEL)
    bad = pusher.repo.commit()
    stopped(pusher.push("origin", "main"), "refs/heads/main", bad, "nobody signed 'w.safetensors'")
    pusher.good()
    assert pusher.push("origin", "main").code == 0


def test_33_to_an_address(pusher: Pusher) -> None:
    bad = pusher.bad()
    stopped(pusher.push(pusher.there.path, "main"), "refs/heads/main", bad)
    assert pusher.push(pusher.there.path, "main~:refs/heads/topic").code == 0


def test_33_an_object_by_its_name(pusher: Pusher) -> None:
    bad = pusher.bad()
    stopped(pusher.push("origin", f"{bad}:refs/heads/x"), "refs/heads/x", bad)
    stopped(pusher.push("origin", "HEAD@{0}:refs/heads/x"), "refs/heads/x", bad)


def test_33_never_the_work_tree(pusher: Pusher) -> None:
    bad = pusher.bad()
    pusher.repo.write(MODEL)
    pusher.repo.git("add", "-A")
    stopped(pusher.push("origin", "main"), "refs/heads/main", bad)
    pusher.repo.git("commit", "-q", "-m", "good again")
    pusher.repo.write({"model/w.safetensors": b"altered", "model/evil.py": b""})
    assert pusher.push("origin", "main").code == 0


# 34: what must be stopped.


def test_34_altered_though_signed_later_in_the_work_tree(pusher: Pusher) -> None:
    bad = pusher.bad()
    pusher.repo.seal(pusher.keys)  # but not committed
    stopped(pusher.push("origin", "main"), "refs/heads/main", bad)


def test_34_a_removed_manifest(pusher: Pusher) -> None:
    pusher.repo.git("rm", "-q", "model/signed_manifest.json")
    bad = pusher.repo.commit()
    stopped(
        pusher.push("origin", "main"),
        "refs/heads/main",
        bad,
        "its manifest is removed, and signed files stay: 'config.json', 'w.safetensors'",
    )


def test_34_a_manifest_that_became_a_directory(pusher: Pusher) -> None:
    pusher.repo.git("rm", "-q", "model/signed_manifest.json")
    pusher.repo.write({"model/signed_manifest.json/x": b""})
    bad = pusher.repo.commit()
    said = pusher.push("origin", "main")
    assert said.code == 1
    assert f"[FAIL] model (refs/heads/main {bad[:12]}): its manifest is removed" in said.text


def test_34_an_unknown_signer(pusher: Pusher) -> None:
    pusher.repo.seal(pusher.keys, signer="mallory")
    bad = pusher.repo.commit()
    stopped(
        pusher.push("origin", "main"),
        "refs/heads/main",
        bad,
        "'mallory' is not a trusted publisher",
    )


def test_34_code_that_nobody_signed(pusher: Pusher) -> None:
    bad = pusher.repo.commit({"model/modeling_x.py": b""})
    said = pusher.push("origin", "main")
    stopped(said, "refs/heads/main", bad, "1 unsigned")
    assert "  [UNSIGNED] modeling_x.py\n" in said.text


def test_34_a_link_and_a_submodule(pusher: Pusher) -> None:
    (pusher.repo.path / "model" / "w.safetensors").unlink()
    (pusher.repo.path / "model" / "w.safetensors").symlink_to("../../w")
    pusher.repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},model/sub")
    pusher.repo.git("add", "-A", "model/w.safetensors")
    pusher.repo.git("commit", "-q", "-m", "x")
    said = pusher.push("--no-recurse-submodules", "origin", "main")
    assert said.code == 1
    assert "  [FAIL] w.safetensors (symbolic link: '../../w')\n" in said.text
    assert "  [UNSIGNED] sub (submodule)\n" in said.text


def test_34_a_replaced_object(pusher: Pusher) -> None:
    good = pusher.repo.git("rev-parse", "HEAD:model/w.safetensors")
    bad = pusher.bad()
    pusher.repo.git("replace", pusher.repo.git("rev-parse", "HEAD:model/w.safetensors"), good)
    stopped(pusher.push("origin", "main"), "refs/heads/main", bad)


def test_34_a_commit_that_a_graft_hides(pusher: Pusher) -> None:
    good = pusher.good({"model/more.txt": b"more"})
    pusher.push("origin", "HEAD:main")
    pusher.bad()
    pusher.repo.git("checkout", "--quiet", good, "--", "model")
    tip = pusher.repo.commit()
    (pusher.repo.path / ".git/info").mkdir(exist_ok=True)
    (pusher.repo.path / ".git/info/grafts").write_text(f"{tip} {good}\n")
    pusher.repo.git("config", "modelseal.hook.check", "every")
    said = pusher.push("origin", "HEAD:main")
    assert "1 altered" in said.text
    assert said.code == 1
    assert pusher.refs()["refs/heads/main"] == good


@pytest.mark.parametrize("mode", [b"40000", b"40755", b"040000", b"40001"])
def test_34_a_directory_of_another_mode_is_one_all_the_same(pusher: Pusher, mode: bytes) -> None:
    def tree(*entries: tuple[bytes, bytes, str]) -> str:
        data = b"".join(b"%b %b\0%b" % (m, name, bytes.fromhex(oid)) for m, name, oid in entries)
        store = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
        return pusher.repo.git(*store, stdin=data)

    blob = pusher.repo.git("hash-object", "-w", "--stdin", stdin=b"nobody's")
    model = pusher.repo.git("rev-parse", "HEAD:model")
    inner = tree((b"100644", b"w.safetensors", blob))
    top = tree((mode, b"evil", inner), (b"40000", b"model", model))
    commit = pusher.repo.git("commit-tree", "-p", "HEAD", "-m", "x", top)
    said = pusher.push("origin", f"{commit}:refs/heads/main")
    assert said.code == 1
    fault = f"[FAIL] evil (refs/heads/main {commit[:12]}): nobody signed 'w.safetensors'\n"
    assert said.text.startswith(fault)


def test_34_a_manifest_that_is_a_link(pusher: Pusher) -> None:
    (pusher.repo.path / "model/signed_manifest.json").unlink()
    (pusher.repo.path / "model/signed_manifest.json").symlink_to("../elsewhere.json")
    commit = pusher.repo.commit()
    said = pusher.push("origin", "HEAD:main")
    assert said.code == 1
    assert (
        f"[FAIL] model (refs/heads/main {commit[:12]}): 'model/signed_manifest.json': it is a "
        "symbolic link\nhint: sign what the model is now: modelseal sign --model-dir model "
    ) in said.text


@pytest.mark.parametrize("name", ["a\nb", "a\x1b'b\\", "é\u202e", "plain", "two words'"])
def test_35_what_to_type_is_what_a_shell_takes_for_the_path(name: str) -> None:
    command = gating.sign_command(name)
    assert command.isprintable()
    said = subprocess.run(
        [need("bash"), "-c", f'modelseal() {{ printf %s "$3"; }}; {command}'], capture_output=True
    )
    assert said.stdout == name.encode()


def lfs_pusher(tmp_path: Path, keys: Keys) -> Pusher:
    """One whose weights are in git-lfs, signed and pushed."""
    need("git-lfs")
    pusher = Pusher(tmp_path, keys)
    pusher.repo.git("lfs", "install", "--local", "--skip-repo")
    pusher.repo.git("lfs", "track", "*.safetensors")
    hook = pusher.repo.path / ".git" / "hooks" / "pre-push"
    ours = hook.read_text()
    hook.unlink()
    pusher.repo.git("lfs", "install", "--local")
    hook.write_text(pusher.install(pusher.repo.path).out)
    assert hook.read_text() != ours
    pusher.good()
    said = pusher.push("origin", "main")
    assert said.code == 0, said.text
    return pusher


def test_34_content_in_git_lfs(tmp_path: Path, keys: Keys) -> None:
    pusher = lfs_pusher(tmp_path, keys)
    bad = pusher.bad()
    stopped(pusher.push("origin", "main"), "refs/heads/main", bad)


def test_34_content_in_git_lfs_that_is_not_here(tmp_path: Path, keys: Keys) -> None:
    lfs_pusher(tmp_path, keys)
    clone = tmp_path / "clone"
    # Nobody set git-lfs up for this clone, so the pointers stay.
    subprocess.run([need("git"), "clone", "-q", tmp_path / "there", clone], check=True)
    away = Pusher.__new__(Pusher)
    away.repo, away.there, away.keys = Repo(clone), Repo(tmp_path / "there"), keys
    away.repo.git("config", "modelseal.hook.registry", tmp_path / "trust.json")
    away.install(clone)
    assert not (clone / ".git" / "lfs" / "objects").exists()
    assert (clone / "model" / "w.safetensors").read_bytes().startswith(b"version ")
    # A new directory of the same content is judged by its pointers alone.
    away.repo.git("mv", "model", "moved")
    away.repo.git("commit", "-q", "-m", "x")
    said = away.push("origin", "HEAD:refs/heads/topic")
    assert said.code == 0, said.text
    assert "[OK] moved (refs/heads/topic " in said.text
    digest = hashlib.sha256(b"altered").hexdigest()
    away.repo.write({"moved/w.safetensors": pointer(digest, 7)})
    away.repo.git("commit", "-q", "-a", "-m", "x")
    said = away.push("origin", "HEAD:refs/heads/topic")
    assert said.code == 1
    assert f"         actual   {digest}\n" in said.text


# 35: what it must get along with.


def test_35_a_linked_work_tree(pusher: Pusher, tmp_path: Path) -> None:
    linked = tmp_path / "linked tree"
    pusher.repo.git("worktree", "add", "-q", "-b", "topic", linked)
    assert pusher.install(linked).out == f"Hook: '{pusher.repo.path}/.git/hooks/pre-push'\n"
    (linked / "model" / "w.safetensors").write_bytes(b"altered")
    subprocess.run([need("git"), *WHO, "commit", "-q", "-a", "-m", "x"], cwd=linked, check=True)
    bad = pusher.repo.git("rev-parse", "topic")
    stopped(pusher.push("origin", "topic", where=linked), "refs/heads/topic", bad)
    assert pusher.push("origin", "topic~:refs/heads/topic", where=linked).code == 0


def test_35_from_a_directory_below(pusher: Pusher) -> None:
    bad = pusher.bad()
    below = pusher.repo.path / "model"
    stopped(pusher.push("origin", "main", where=below), "refs/heads/main", bad)


def test_35_a_bare_repository(pusher: Pusher, tmp_path: Path) -> None:
    bad = pusher.bad()
    pusher.repo.git("push", "-q", "--no-verify", "origin", "main")
    beyond = Repo(tmp_path / "beyond", "--bare")
    assert pusher.install(pusher.there.path).code == 0
    pusher.there.git("config", "modelseal.hook.registry", tmp_path / "trust.json")
    where = pusher.there.path
    stopped(pusher.push(beyond.path, "main", where=where), "refs/heads/main", bad)
    assert pusher.push(beyond.path, "main~:refs/heads/main", where=where).code == 0


def test_35_sha256_names(tmp_path: Path, keys: Keys) -> None:
    pusher = Pusher(tmp_path, keys, "--object-format=sha256")
    assert len(pusher.good()) == 64
    said = pusher.push("origin", "main")
    assert said.code == 0, said.text
    assert "[OK] model (" in said.text
    bad = pusher.bad()
    stopped(pusher.push("origin", "main"), "refs/heads/main", bad)
    assert pusher.push("origin", "main~:refs/heads/topic").code == 0


def test_35_paths_with_any_characters(tmp_path: Path, keys: Keys) -> None:
    pusher = Pusher(tmp_path / "a b\n\u202ec'd", keys)
    odd = "model/\u00fc \t\n\"'*\x1b[2J"
    pusher.good({odd: b"1", "model/-x": b"2", "model/" + "n" * 255: b"3"})
    said = pusher.push("origin", "main")
    assert said.code == 0, said.text
    pusher.repo.write({odd: b"2"})
    pusher.repo.commit()
    said = pusher.push("origin", "main")
    assert said.code == 1
    assert "  [FAIL] \u00fc \\t\\n\"'*\\x1b[2J\n" in said.text
    assert "\x1b" not in said.text


def test_35_directories_with_any_bytes(tmp_path: Path, keys: Keys) -> None:
    pusher = Pusher(tmp_path, keys)
    pusher.good()
    model = pusher.repo.git("rev-parse", "HEAD:model")
    data = b"40000 \xff\x1b\n\0" + bytes.fromhex(model)
    tree = pusher.repo.git("hash-object", "-t", "tree", "-w", "--stdin", stdin=data)
    new = pusher.repo.git("commit-tree", "-m", "x", tree)
    said = pusher.push("origin", f"{new}:refs/heads/main")
    assert said.code == 0, said.text
    assert f"[OK] \\udcff\\x1b\\n (refs/heads/main {new[:12]}): " in said.text


def test_35_ten_thousand_refs(pusher: Pusher) -> None:
    new = pusher.repo.git("rev-parse", "HEAD")
    refs = "".join(f"create refs/heads/b{n:05} {new}\n" for n in range(10_000))
    pusher.repo.git("update-ref", "--stdin", stdin=refs.encode())
    bad = pusher.bad()
    pusher.repo.git("update-ref", "refs/heads/b05000", bad)
    said = pusher.push("--all", "origin")
    assert said.code == 1
    assert re.search(
        rf"\[FAIL\] model \(refs/heads/(b05000|main) {bad[:12]} and 1 more\): 1 altered", said.text
    )
    assert len(pusher.refs()) == 1
    pusher.repo.git("update-ref", "refs/heads/b05000", new)
    pusher.repo.git("update-ref", "refs/heads/main", new)
    assert pusher.push("--all", "origin").code == 0
    assert len(pusher.refs()) == 10_001


@pytest.mark.parametrize("where", ["hooks", "core.hooksPath"])
def test_35_an_existing_hook_is_never_overwritten(
    pusher: Pusher, where: str, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = pusher.repo.path / ".git" / "hooks"
    if where == "core.hooksPath":
        directory = pusher.repo.path.parent / "shared hooks"
        directory.mkdir()
        pusher.repo.git("config", "core.hooksPath", directory)
    hook = directory / "pre-push"
    hook.write_text("#!/bin/sh\necho foreign >&2\n")
    hook.chmod(0o755)
    monkeypatch.chdir(pusher.repo.path)
    for command in (["install"], ["uninstall"], ["status"]):
        assert run("hook", *command).code == 1
        assert hook.read_text() == "#!/bin/sh\necho foreign >&2\n"
        assert [
            each.name for each in directory.glob("pre-push.*") if each.suffix != ".sample"
        ] == []
