"""What a push would send, read from git's objects."""

import hashlib
import tracemalloc
from collections.abc import Collection
from pathlib import Path

import pytest

from modelseal.errors import FormatError, GitError
from modelseal.git import Objects, Repository
from modelseal.hashing import FileDigest
from modelseal.pushed import SEALED, UNSEALED, UNSIGNED, Push, Touched, Update, is_weights, parse
from modelseal.tree import ROOT_EXCLUSIONS
from tests.repositories import ZERO, Repo, pointer, update

OID = "1" * 40
OTHER = "2" * 40


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty repository."""
    return Repo(tmp_path / "repo")


def brief(found: list[Touched]) -> list[tuple[str, str]]:
    """Kind and path of what a push changes."""
    return sorted((item.kind, item.path.decode(errors="backslashreplace")) for item in found)


# What git says.


def test_lines_of_git() -> None:
    said = f"refs/heads/a {OID} refs/heads/b {OTHER}\n(delete) {ZERO} refs/heads/c {OID}\n"
    assert parse(said.encode()) == [
        Update("refs/heads/a", OID, "refs/heads/b", OTHER),
        Update("(delete)", ZERO, "refs/heads/c", OID),
    ]


@pytest.mark.parametrize("ref", ["HEAD~2", "main@{1 hour ago}", ":/fix the bug", "a\udcff"])
def test_what_was_typed_for_a_ref_is_kept(ref: str) -> None:
    said = f"{ref} {OID} refs/heads/b {OTHER}\n".encode(errors="surrogateescape")
    assert parse(said) == [Update(ref, OID, "refs/heads/b", OTHER)]


def test_sha256_names() -> None:
    said = f"a {'1' * 64} b {'0' * 64}\n"
    assert parse(said.encode()) == [Update("a", "1" * 64, "b", "0" * 64)]


def test_nothing_is_pushed() -> None:
    assert parse(b"") == []


@pytest.mark.parametrize(
    "said",
    [
        "a b c\n",
        f"a {OID} b\n",
        f"a {OID[:-1]} b {OTHER}\n",
        f"a {OID.upper().replace('1', 'A')} b {OTHER}\n",
        f"a {OID} b {OTHER}^\n",
        f"a {OID} b {OTHER}\n--all\n",
        "\0",
    ],
)
def test_lines_that_are_not_gits(said: str) -> None:
    with pytest.raises(FormatError, match=r"line \d of standard input is not what git gives"):
        parse(said.encode())


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        (b"model.safetensors", True),
        (b"W.PT", True),
        (b"a.b.onnx", True),
        (b"pytorch_model.bin", True),
        (b"README.md", False),
        (b"safetensors", False),
        (b"pt", False),
        (b"x.ptx", False),
        (b".pt", True),
        (b"\xff.gguf", True),
    ],
)
def test_names_of_weights(name: bytes, is_it: bool) -> None:
    assert is_weights(name) is is_it


# What a push changes.


def test_a_sealed_directory_is_found_wherever_it_lies(repo: Repo) -> None:
    new = repo.commit({"signed_manifest.json": b"a", "a/b/signed_manifest.json": b"b", "c/d": b""})
    assert brief(repo.survey(update(new))) == [(SEALED, ""), (SEALED, "a/b")]


def test_what_the_remote_has_is_not_looked_at(repo: Repo) -> None:
    old = repo.commit({"a/signed_manifest.json": b"a", "b/signed_manifest.json": b"b", "c": b""})
    new = repo.commit({"b/code.py": b"x"})
    assert brief(repo.survey(update(new, old))) == [(SEALED, "b")]
    assert repo.survey(update(repo.commit({"c": b"x"}), new)) == []


def test_a_manifest_alone_makes_a_change(repo: Repo) -> None:
    old = repo.commit({"a/signed_manifest.json": b"a"})
    new = repo.commit({"a/signed_manifest.json": b"b"})
    assert brief(repo.survey(update(new, old))) == [(SEALED, "a")]


def test_a_removed_manifest(repo: Repo) -> None:
    old = repo.commit({"a/signed_manifest.json": b"a", "a/w": b""})
    repo.git("rm", "-q", "a/signed_manifest.json")
    assert brief(repo.survey(update(repo.commit(), old))) == [(UNSEALED, "a")]
    repo.git("rm", "-q", "a/w")
    assert repo.survey(update(repo.commit(), old)) == []


def test_a_manifest_removed_below_another_is_for_that_one_to_judge(repo: Repo) -> None:
    old = repo.commit(
        {"a/signed_manifest.json": b"", "a/b/signed_manifest.json": b"", "a/b/w": b""}
    )
    repo.git("rm", "-q", "a/b/signed_manifest.json")
    assert brief(repo.survey(update(repo.commit(), old))) == [(SEALED, "a")]


def test_weights_that_no_manifest_covers(repo: Repo) -> None:
    old = repo.commit({"a/old.pt": b""})
    new = repo.commit(
        {
            "a/new.pt": b"",
            "a/b/x.onnx": b"",
            "a/readme": b"",
            "s/signed_manifest.json": b"",
            "s/deep/w.pt": b"",
        }
    )
    found = repo.survey(update(new, old))
    assert brief(found) == [(SEALED, "s"), (UNSIGNED, "a"), (UNSIGNED, "a/b")]
    assert [item.names for item in found if item.path == b"a"] == [[b"new.pt"]]


def test_a_directory_called_like_a_manifest_seals_nothing(repo: Repo) -> None:
    new = repo.commit({"signed_manifest.json/w.pt": b""})
    assert brief(repo.survey(update(new))) == [(UNSIGNED, "signed_manifest.json")]


def test_a_new_branch_is_held_against_what_the_remote_had(repo: Repo) -> None:
    old = repo.commit({"a/signed_manifest.json": b"a"})
    new = repo.commit({"b/signed_manifest.json": b"b"})
    assert brief(repo.survey(update(new))) == [(SEALED, "a"), (SEALED, "b")]
    repo.git("update-ref", "refs/remotes/origin/main", old)
    assert brief(repo.survey(update(new))) == [(SEALED, "b")]
    assert brief(repo.survey(update(new), remote="elsewhere")) == [(SEALED, "a"), (SEALED, "b")]
    assert repo.survey(update(old, ref="refs/tags/v1")) == []


def test_a_branch_that_exists_is_held_against_itself(repo: Repo) -> None:
    bad = repo.commit({"a/signed_manifest.json": b"bad"})
    repo.git("update-ref", "refs/remotes/origin/topic", bad)
    repo.git("checkout", "-q", "--orphan", "clean")
    good = repo.commit({"a/signed_manifest.json": b"good"})
    # The remote has the other commit already, but not in this branch.
    assert brief(repo.survey(update(bad, good))) == [(SEALED, "a")]


def test_a_merge_of_what_the_remote_has(repo: Repo) -> None:
    repo.commit({"x": b""})
    repo.git("checkout", "-q", "-b", "left")
    left = repo.commit({"l/signed_manifest.json": b"l"})
    repo.git("checkout", "-q", "-b", "right", "main")
    right = repo.commit({"r/signed_manifest.json": b"r"})
    repo.git("merge", "-q", "--no-edit", "left")
    merged = repo.git("rev-parse", "HEAD")
    repo.git("update-ref", "refs/remotes/origin/left", left)
    assert brief(repo.survey(update(merged))) == [(SEALED, "r")]
    repo.git("update-ref", "refs/remotes/origin/right", right)
    assert repo.survey(update(merged)) == []


def test_a_commit_that_was_never_seen_here_proves_nothing(repo: Repo) -> None:
    old = repo.commit({"a/signed_manifest.json": b"a"})
    new = repo.commit({"b/signed_manifest.json": b"b"})
    repo.git("update-ref", "refs/remotes/origin/main", old)
    assert brief(repo.survey(update(new, OID))) == [(SEALED, "a"), (SEALED, "b")]


def test_every_commit(repo: Repo) -> None:
    old = repo.commit({"a/signed_manifest.json": b"1"})
    middle = repo.commit({"a/signed_manifest.json": b"2"})
    repo.git("rm", "-q", "a/signed_manifest.json")
    repo.write({"a/w": b""})
    bare = repo.commit()
    new = repo.commit({"a/signed_manifest.json": b"3"})
    assert len(repo.survey(update(new, old))) == 1
    found = repo.survey(update(new, old), every=True)
    assert {(item.kind, item.places[0].commit) for item in found} == {
        (SEALED, new),
        (UNSEALED, bare),
        (SEALED, middle),
    }


def test_every_commit_of_a_new_history(repo: Repo) -> None:
    first = repo.commit({"a/signed_manifest.json": b"1"})
    second = repo.commit({"a/signed_manifest.json": b"2"})
    found = repo.survey(update(second), every=True)
    assert {item.places[0].commit for item in found} == {first, second}


def test_one_state_is_told_once_with_every_place(repo: Repo) -> None:
    new = repo.commit({"a/signed_manifest.json": b"1"})
    (found,) = repo.survey(update(new, ref="refs/heads/a"), update(new, ref="refs/heads/b"))
    assert found.places == [("refs/heads/a", new), ("refs/heads/b", new)]


def test_tags_are_peeled(repo: Repo) -> None:
    new = repo.commit({"a/signed_manifest.json": b"1"})
    repo.git("tag", "-a", "-m", "x", "v1")
    repo.git("tag", "-a", "-m", "x", "v2", "v1")
    (found,) = repo.survey(update(repo.git("rev-parse", "v2"), ref="refs/tags/v2"))
    assert found.places == [("refs/tags/v2", new)]


def test_tags_of_a_tree_and_of_a_file(repo: Repo) -> None:
    repo.commit({"a/signed_manifest.json": b"1"})
    tree, blob = (repo.git("rev-parse", f"HEAD:{path}") for path in ("a", "a/signed_manifest.json"))
    for every in (False, True):
        assert brief(repo.survey(update(tree, ref="refs/tags/tree"), every=every)) == [(SEALED, "")]
        assert repo.survey(update(blob, ref="refs/tags/blob"), every=every) == []


def test_a_shallow_clone(repo: Repo, tmp_path: Path) -> None:
    old = repo.commit({"a/signed_manifest.json": b"1"})
    repo.commit({"b/signed_manifest.json": b"1"})
    shallow = Repo(tmp_path / "shallow")
    shallow.git("fetch", "-q", "--depth=1", repo.path, "main")
    shallow.git("reset", "-q", "--hard", "FETCH_HEAD")
    new = shallow.commit({"b/signed_manifest.json": b"2"})
    for every in (False, True):
        found = brief(shallow.survey(update(new, old), every=every))
        assert set(found) == {(SEALED, "a"), (SEALED, "b")}


def test_a_commit_that_is_not_here(repo: Repo) -> None:
    repo.commit()
    with pytest.raises(GitError, match=f"'refs/heads/main': {OID} is not in this repository"):
        repo.survey(update(OID))


def test_replacements_are_not_what_is_pushed(repo: Repo) -> None:
    repo.commit({"a/signed_manifest.json": b"good"})
    good = repo.git("rev-parse", "HEAD")
    bad = repo.commit({"a/signed_manifest.json": b"bad"})
    repo.git("replace", bad, good)
    repo.git(
        "replace",
        repo.git("hash-object", "a/signed_manifest.json"),
        f"{good}:a/signed_manifest.json",
    )
    (found,) = repo.survey(update(bad, good))
    repository = Repository.find(str(repo.path))
    with Objects(repository) as objects:
        assert Push(repository, objects, "").read(found.seal, 100) == b"bad"


# Trees as git would not make them.


def raw_tree(repo: Repo, *entries: tuple[str, bytes, str]) -> str:
    """Write a tree as it is given: mode, name and object."""
    data = b"".join(m.encode() + b" " + n + b"\0" + bytes.fromhex(oid) for m, n, oid in entries)
    return repo.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=data)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([b"w", b"w"], "has a name twice"),
        ([b".."], "which no tree may have"),
        ([b"."], "which no tree may have"),
        ([b""], "which no tree may have"),
        ([b"a/b"], "which no tree may have"),
    ],
)
def test_names_that_no_tree_may_have(repo: Repo, names: list[bytes], said: str) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"x")
    tree = raw_tree(repo, *(("100644", name, blob) for name in names))
    with pytest.raises(GitError, match=said):
        repo.survey(update(repo.git("commit-tree", "-m", "x", tree)))


def test_a_tree_that_is_cut_short(repo: Repo) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"x")
    data = b"100644 w\0" + bytes.fromhex(blob)
    for cut in range(1, len(data)):
        tree = repo.git(
            "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=data[:cut]
        )
        with pytest.raises(GitError, match="is damaged"):
            repo.survey(update(tree))


def test_a_tree_that_is_missing(repo: Repo) -> None:
    new = repo.commit({"a/signed_manifest.json": b"1"})
    tree = repo.git("rev-parse", "HEAD:a")
    (repo.path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(GitError, match=f"tree {tree} is not in this repository"):
        repo.survey(update(new))


# What lies in a model.


def contents_of(
    repo: Repo, exclude: Collection[str] = ROOT_EXCLUSIONS
) -> tuple[list[str], dict[str, str]]:
    """The files of the last commit's tree, and what can't be one, by path."""
    repository = Repository.find(str(repo.path))
    with Objects(repository) as objects:
        push = Push(repository, objects, "")
        found = push.contents(repo.git("rev-parse", "HEAD^{tree}"), exclude).found
    return found.files, {odd.path: f"{odd.kind}: {odd.target}" for odd in found.irregular}


def test_what_is_left_out_at_the_top_alone(repo: Repo) -> None:
    special = ["signed_manifest.json", "model.sig", ".modelseal/log"]
    repo.commit({name: b"" for top in ("", "sub/") for name in [top + s for s in special]})
    files, odd = contents_of(repo)
    assert files == sorted(f"sub/{name}" for name in special)
    assert not odd
    assert contents_of(repo, ROOT_EXCLUSIONS - {"model.sig"})[0] == sorted(["model.sig", *files])


def test_a_directory_called_like_a_signature_is_looked_into(repo: Repo) -> None:
    repo.commit({"model.sig/code.py": b""})
    assert contents_of(repo)[0] == ["model.sig/code.py"]


def test_links_and_submodules_are_no_files(repo: Repo) -> None:
    (repo.path / "link").symlink_to("../outside")
    repo.commit({"file": b""})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{OID},sub")
    repo.git("commit", "-q", "-m", "x")
    assert contents_of(repo) == (
        ["file"],
        {"link": "symbolic link: ../outside", "sub": "submodule: "},
    )


def test_names_of_any_bytes(repo: Repo) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"x")
    names = [b"a\nb", b"a b", b'"q"', "ü".encode(), b"\xff", b"back\\slash", b"-x"]
    tree = raw_tree(repo, *(("100644", name, blob) for name in sorted(names)))
    repo.git("reset", "-q", "--soft", repo.git("commit-tree", "-m", "x", tree))
    files, odd = contents_of(repo)
    assert files == sorted(["a\nb", "a b", '"q"', "ü", "-x"])
    assert odd == {
        "\\xff": "name that is not valid UTF-8: ",
        "back\\slash": "name that a manifest can't hold: ",
    }


def test_digests_of_content_and_of_pointers(repo: Repo) -> None:
    content = hashlib.sha256(b"weights").hexdigest()
    odd = pointer(content, 7).replace(b"oid", b"ext-0-x sha256:" + b"0" * 64 + b"\noid")
    files = {"plain": b"plain", "empty": b"", "lfs": pointer(content, 7), "odd": odd}
    repo.commit(files)
    repository = Repository.find(str(repo.path))
    with Objects(repository) as objects:
        oids = {name: repo.git("rev-parse", f"HEAD:{name}") for name in files}
        found = Push(repository, objects, "").digests({**oids, "gone": OID})
    assert str(found.pop("gone")) == f"cannot read 'gone': blob {OID} is not in this repository"
    assert found == {
        "plain": FileDigest(hashlib.sha256(b"plain").digest(), 5),
        "empty": FileDigest(hashlib.sha256(b"").digest(), 0),
        "lfs": FileDigest(bytes.fromhex(content), 7),
        "odd": FileDigest(hashlib.sha256(odd).digest(), len(odd), lfs_pointer=True),
    }


def test_a_large_blob_is_never_in_memory(repo: Repo) -> None:
    size = 48 << 20
    (repo.path / "large").write_bytes(bytes(size))
    repo.commit()
    repository = Repository.find(str(repo.path))
    ticks: list[int] = []
    with Objects(repository) as objects:
        tracemalloc.start()
        try:
            found = objects.blobs([repo.git("rev-parse", "HEAD:large")], ticks.append)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    (blob,) = found.values()
    assert blob is not None
    assert (blob.size, blob.digests[0]) == (size, hashlib.sha256(bytes(size)).digest())
    assert sum(ticks) == size
    assert peak < 8 << 20


def test_thousands_of_blobs_in_one_go(repo: Repo) -> None:
    count = 2500
    stream = (
        b"".join(b"blob\nmark :%d\ndata <<E\nfile %d\nE\n" % (n + 1, n) for n in range(count))
        + b"commit refs/heads/main\ncommitter A <a@b> 0 +0000\ndata 0\n"
    )
    stream += b"".join(b"M 100644 :%d %d\n" % (n + 1, n) for n in range(count))
    repo.git("fast-import", "--quiet", stdin=stream)
    repository = Repository.find(str(repo.path))
    with Objects(repository) as objects:
        push = Push(repository, objects, "")
        contents = push.contents(repo.git("rev-parse", "main^{tree}"))
        found = push.digests(contents.oids)
    assert {name: digest.sha256 for name, digest in found.items()} == {  # type: ignore[union-attr]
        str(n): hashlib.sha256(b"file %d\n" % n).digest() for n in range(count)
    }


def test_git_that_ends_early(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = repo.commit({"a/signed_manifest.json": b"1"})
    repository = Repository.find(str(repo.path))
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nread line; echo 'half an ans'; exit 0\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=":")
    with (
        pytest.raises(GitError, match="git cat-file ended"),
        Objects(repository) as objects,
    ):
        Push(repository, objects, "").survey([update(new), update(OTHER, ref="refs/heads/b")])


def test_no_git(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository.find(str(repo.path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git is not installed"):
        Repository.find(str(repo.path))
    with pytest.raises(GitError, match="git is not installed"):
        Objects(repository)


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="git rev-parse: not a git repository"):
        Repository.find(str(tmp_path))


def test_nothing_is_left_running(repo: Repo) -> None:
    repository = Repository.find(str(repo.path))
    with pytest.raises(RuntimeError), Objects(repository) as objects:
        process = objects._process
        raise RuntimeError
    assert process.returncode is not None
