"""A store is the user's own where they made it, or say so; no other grants trust."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelseal.store import Store
from tests.conftest import Keys, Result

Run = Callable[..., Result]


@pytest.fixture
def project(
    tmp_path: Path, model: Path, keys: Keys, run: Run, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A project with a store of its own that trusts the signer of the model in it."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copytree(model, root / "model")
    monkeypatch.chdir(root)
    assert run("init").code == 0
    signer = ("--key", keys.private, "--signer-id", "alice@example.com")
    assert run("sign", "--model-dir", "model", *signer).code == 0
    added = run("trust", "add", "alice@example.com", "--key", keys.public, "--level", "store")
    assert (added.code, added.err) == (0, "")
    return root


VERIFY = ("verify", "--manifest", "model/signed_manifest.json", "--model-dir", "model")


def test_a_store_made_here_says_whom_to_trust(project: Path, run: Run) -> None:
    done = run(*VERIFY)
    assert done.code == 0
    assert f"  Trusted  : by '{project}/.modelseal/trust.json'\n" in done.out


def test_so_does_one_that_sign_made(model: Path, keys: Keys, run: Run) -> None:
    signer = ("--key", keys.private, "--signer-id", "alice@example.com")
    assert run("sign", "--model-dir", model, *signer).code == 0
    where = ("--level", "store", "--store", model)
    assert run("trust", "add", "alice@example.com", "--key", keys.public, *where).code == 0
    manifest = model / "signed_manifest.json"
    assert run("verify", "--manifest", manifest, "--model-dir", model).code == 0


def copied(project: Path) -> Path:
    other = project.with_name("copy")
    shutil.copytree(project, other)
    return other


def without_secret(project: Path) -> Path:
    (project / ".modelseal" / "owner").unlink()
    return project


def with_another_secret(project: Path) -> Path:
    (project / ".modelseal" / "owner").write_text("0" * 32 + "\n")
    return project


def with_a_way_out(project: Path) -> Path:
    (project / ".modelseal" / "owner").write_text("../../../etc/passwd\n")
    return project


def with_a_directory(project: Path) -> Path:
    (project / ".modelseal" / "owner").unlink()
    (project / ".modelseal" / "owner").mkdir()
    return project


def without_a_record(project: Path) -> Path:
    shutil.rmtree(Path.home() / ".local")
    return project


def made_anew(project: Path) -> Path:
    """The store was removed, and another one came to its place."""
    store = project / ".modelseal"
    shutil.copytree(store, project / "kept", ignore=shutil.ignore_patterns("owner"))
    shutil.rmtree(store)
    (project / "kept").rename(store)
    return project


@pytest.mark.parametrize(
    "become",
    [
        copied,
        without_secret,
        with_another_secret,
        with_a_way_out,
        with_a_directory,
        without_a_record,
        made_anew,
    ],
)
def test_any_other_store_grants_nothing(
    become: Callable[[Path], Path], project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = become(project)
    monkeypatch.chdir(root)
    done = run(*VERIFY)
    assert done.code == 2
    assert "(signer-untrusted)" in done.out
    assert "may have come with the model" in done.err
    assert run(*VERIFY, "--store", root).code == 0
    monkeypatch.setenv("MODELSEAL_DIR", str(root))
    assert run(*VERIFY).code == 0
    monkeypatch.setenv("MODELSEAL_DIR", ".")
    assert run(*VERIFY).code == 2


def test_a_store_that_came_may_still_revoke(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, keys: Keys
) -> None:
    assert run("trust", "add", "alice@example.com", "--key", keys.public).code == 0
    assert run("trust", "revoke", "alice@example.com", "--level", "store").code == 0
    monkeypatch.chdir(copied(project))
    done = run(*VERIFY)
    assert (done.code, "(publisher-revoked)" in done.out) == (2, True)


def test_the_secret_is_nobody_elses_and_not_for_committing(project: Path) -> None:
    store = project / ".modelseal"
    assert (store / "owner").stat().st_mode & 0o777 == 0o600
    assert "/owner\n" in (store / ".gitignore").read_text()
    [record] = (Path.home() / ".local/state/modelseal/stores").iterdir()
    assert record.name == (store / "owner").read_text().strip()
    assert record.read_text() == f"{store}\n"
    assert Store.open(project).fsck().findings == []


@pytest.mark.parametrize("home", ["", os.devnull, "nowhere", "{tmp}/nowhere"])
def test_without_a_home_a_store_is_made_all_the_same(
    home: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", home.format(tmp=tmp_path))
    assert run("init", tmp_path) == (0, f"Store made: {tmp_path}/.modelseal\n", "")
    assert not (tmp_path / ".modelseal" / "owner").exists()
    assert not (tmp_path / "nowhere").exists()


def test_a_store_that_is_there_is_not_claimed(project: Path, run: Run) -> None:
    (project / ".modelseal" / "owner").unlink()
    assert run("init").out == "Store is there already: ./.modelseal\n"
    assert not (project / ".modelseal" / "owner").exists()
