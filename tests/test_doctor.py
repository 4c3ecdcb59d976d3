"""`modelseal doctor`: what is in order, what is not, and that it says so."""

import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from modelseal import KeyManager, SignatureAlgorithm, __version__, checkup
from modelseal.checkup import Finding, Shell
from tests.conftest import Keys, Result, need

Run = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, where no repository is around us."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setattr(checkup, "SPEED_SECONDS", 0.0)
    return directory


def doctor(run: Run, *options: str | Path) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The exit code, and the checks by topic."""
    code, out, err = run("doctor", "--json", *options)
    assert err == ""
    report = json.loads(out)
    assert report["clean"] is (code == 0)
    found: dict[str, list[dict[str, str]]] = {}
    for check in report["checks"]:
        found.setdefault(check["topic"], []).append(check)
    return code, found


def only(found: dict[str, list[dict[str, str]]], topic: str) -> tuple[str, str, str]:
    (check,) = found[topic]
    return check["state"], check["message"], check["advice"]


def test_a_machine_that_is_in_order(run: Run, here: Path) -> None:
    code, found = doctor(run)
    assert code == 0
    state, said, _ = only(found, "version")
    assert (state, said.split(",")[0]) == ("ok", f"modelseal {__version__}")
    state, said, _ = only(found, "packages")
    assert state == "ok"
    assert f"cryptography {metadata.version('cryptography')}" in said
    assert [part.split()[0] for part in said.split(", ")] == [
        *("argcomplete", "bcrypt", "blake3", "cryptography", "msgspec", "platformdirs", "tqdm")
    ]
    assert only(found, "store")[:2] == ("note", "none here, nor in a directory above")
    assert only(found, "config") == ("ok", "no file", "")
    assert only(found, "hook") == ("note", "this is no git repository", "")
    assert "key" not in found


def test_the_speeds_are_measured_for_about_a_second(run: Run, here: Path) -> None:
    start = time.perf_counter()
    measured = checkup.speeds(0.2)
    assert time.perf_counter() - start >= 0.4
    assert measured.keys() == {"sha256", "blake3"}
    assert all(10e6 < value < 1e12 for value in measured.values())
    assert checkup.speed({"sha256": 1.234e9, "blake3": 5e9}).message == (
        "SHA-256 1.23 GB/s, BLAKE3 5.00 GB/s, one thread"
    )


def test_a_package_that_is_missing(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name in ("bcrypt", "tqdm"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    code, found = doctor(run)
    assert code == 1
    assert only(found, "packages") == (
        *("fail", "not installed: bcrypt, tqdm"),
        "python -m pip install bcrypt tqdm",
    )


def test_a_source_tree_that_is_not_installed() -> None:
    found = checkup.packages("no-such-project")
    assert (found.state, found.message) == ("note", "no-such-project itself is not installed")


def test_a_store(run: Run, here: Path, signed: Path, model: Path) -> None:
    store = model / ".modelseal"
    code, found = doctor(run, "--store", model)
    assert code == 0
    assert only(found, "store") == ("ok", f"'{store}' is sound: 1 manifests, 1 refs", "")
    (manifest,) = (store / "manifests").glob("*/*.json")
    manifest.chmod(0o600)
    manifest.write_text("{}")
    code, found = doctor(run, "--store", model)
    assert code == 1
    assert only(found, "store") == (
        *("fail", f"'{store}' is damaged"),
        f"modelseal fsck --store {store}",
    )
    assert manifest.read_text() == "{}"  # it changes nothing


def test_a_store_that_is_named_and_not_there(run: Run, here: Path) -> None:
    code, found = doctor(run, "--store", here)
    assert code == 1
    assert only(found, "store") == (
        *("fail", f"there is no store at '{here}'"),
        "'modelseal init' makes one",
    )
    assert "version" in found
    assert "hook" in found


def test_a_damaged_configuration(
    run: Run, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "modelseal" / "config.toml"
    path.parent.mkdir()
    path.write_text("[modelseal]\n")
    assert only(doctor(run)[1], "config") == ("ok", f"'{path}'", "")
    path.write_text("[modelseal]\nkey = 3\n")
    code, found = doctor(run)
    assert code == 1
    said = f"configuration '{path}': 'key' must be a string"
    assert only(found, "config") == ("fail", said, "")


def test_the_keys_that_are_known_of(
    run: Run, here: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configured one, those in keys/ here, beside the store, and beside the user's file."""
    manager = KeyManager()
    pair = manager.generate_keypair(SignatureAlgorithm.ed25519, b"secret")
    manager.save_keypair(*pair, here / "keys")
    manager.save_keypair(*pair, tmp_path / "xdg" / "modelseal" / "keys")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert run("init", tmp_path).code == 0
    configured = tmp_path / "mine.pem"
    keys.public.with_name("private.pem").rename(configured)
    manager.save_keypair(*pair, tmp_path / "keys2")
    monkeypatch.setenv("MODELSEAL_KEY", str(configured))
    code, found = doctor(run)
    assert code == 0
    said = [(check["state"], check["message"], check["advice"]) for check in found["key"]]
    assert said == [
        (
            *("ok", f"'{configured}' (mode 0600) is not encrypted"),
            f"modelseal key passwd {configured} --openssh",
        ),
        ("ok", "'./keys/private.pem' (mode 0600) is encrypted", ""),
        ("ok", f"'{tmp_path}/xdg/modelseal/keys/private.pem' (mode 0600) is encrypted", ""),
    ]
    (tmp_path / "keys" / "private.pem").symlink_to(configured)  # beside the store: known already
    assert len(doctor(run)[1]["key"]) == 3
    (here / "keys" / "private.pem").unlink()
    (here / "keys" / "private.pem").mkdir()  # keeps nobody from looking at the others
    code, found = doctor(run)
    assert code == 1
    assert [check["state"] for check in found["key"]] == ["ok", "fail", "ok"]
    assert found["key"][1]["message"] == "cannot read './keys/private.pem': it is a directory"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_may_use(mode: int, keys: Keys) -> None:
    keys.private.chmod(mode)
    said = f"'{keys.private}' can be read by others (mode {mode:04o})"
    (found,) = checkup.key(str(keys.private), expected=True)
    assert found == Finding("key", "fail", said, f"chmod 600 {keys.private}")


def test_what_is_no_private_key(keys: Keys, tmp_path: Path) -> None:
    (found,) = checkup.key(str(keys.public), expected=True)
    assert found == Finding("key", "fail", f"'{keys.public}' is no private key", "name another one")
    rsa = tmp_path / "rsa"
    command = [need("ssh-keygen"), "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]
    command += ["-f", str(rsa)]
    subprocess.run(command, check=True)
    (found,) = checkup.key(str(rsa), expected=True)
    assert (found.state, found.message) == (
        *("fail",),
        f"'{rsa}': an RSA private key can't be used",
    )
    missing = str(tmp_path / "missing")
    assert checkup.key(missing, expected=False) == []
    (found,) = checkup.key(missing, expected=True)
    assert (found.state, found.message) == ("fail", f"'{missing}' is not there")


@pytest.mark.parametrize("hooks_path", [None, "elsewhere"])
def test_the_hook(hooks_path: str | None, run: Run, here: Path) -> None:
    git = need("git")
    subprocess.run([git, "init", "-q"], check=True)
    directory = here / ".git" / "hooks"
    if hooks_path:
        directory = here / hooks_path
        subprocess.run([git, "config", "core.hooksPath", hooks_path], check=True)
    directory.mkdir(exist_ok=True)
    path = directory / "pre-push"

    def found() -> tuple[str, str, str]:
        return only(doctor(run)[1], "hook")

    advice = "modelseal hook install"
    assert found() == ("note", "no pre-push hook: pushes are not checked", advice)
    path.write_text("#!/bin/sh\ngit lfs pre-push\n")
    assert found() == ("note", f"'{path}' is there, and does not call modelseal", advice)
    path.write_text("#!/bin/sh\nexec modelseal hook run pre-push\n")
    assert found() == (
        *("fail", f"'{path}': it is not executable, so git does not run it"),
        f"chmod +x {path}",
    )
    path.chmod(0o755)
    assert found() == ("ok", f"'{path}' calls modelseal", "")


def test_without_git(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    assert checkup.hook(".") == Finding("hook", "note", "git is not installed")


def test_completion_is_found_where_a_shell_looks(tmp_path: Path) -> None:
    place, startup = tmp_path / "modelseal", tmp_path / ".bashrc"
    shell = Shell("bash", [str(place)], [str(startup), str(tmp_path)], "source it")
    topic = "completion-bash"
    said = "bash does not seem to know modelseal"
    assert checkup.completion(shell) == Finding(topic, "note", said, "source it")
    startup.write_text("source <(modelseal completion bash)\n")
    assert checkup.completion(shell) == Finding(topic, "ok", f"'{startup}' names it")
    place.touch()
    assert checkup.completion(shell) == Finding(topic, "ok", f"'{place}'")


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", "data/bash-completion/completions/modelseal"),
        ("bash", "shared/bash-completion/completions/modelseal"),
        ("bash", "home/.bashrc"),
        ("zsh", "functions/_modelseal"),
        ("zsh", "home/.zshrc"),
        ("fish", "config/fish/completions/modelseal.fish"),
        ("fish", "data/fish/vendor_completions.d/modelseal.fish"),
        ("fish", "config/fish/config.fish"),
    ],
)
def test_completion_by_the_environment(
    shell: str, file: str, run: Run, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / shell).symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path / 'other'}:{tmp_path / 'shared'}")
    monkeypatch.setenv("FPATH", str(tmp_path / "functions"))
    found = doctor(run)[1]
    assert [topic for topic in found if topic.startswith("completion")] == [f"completion-{shell}"]
    state, _, advice = only(found, f"completion-{shell}")
    assert state == "note"
    assert f"modelseal completion {shell}" in advice
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("modelseal\n")
    state, said, _ = only(doctor(run)[1], f"completion-{shell}")
    assert state == "ok"
    assert str(tmp_path / file) in said


def test_what_is_advised_for_bash_works(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = f"{sysconfig.get_path('scripts')}:{Path(need('bash')).parent}"
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_DATA_DIRS", str(here))
    _, _, advice = only(doctor(run)[1], "completion-bash")
    script = f"{advice.partition(': ')[2]} && complete -p modelseal"
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" modelseal\n")


def test_the_text_says_the_same(
    run: Run, here: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.private.chmod(0o644)
    monkeypatch.setenv("MODELSEAL_KEY", str(keys.private))
    code, out, err = run("doctor")
    assert (code, err) == (1, "")
    assert f"  [FAIL] key: '{keys.private}' can be read by others (mode 0644)\n" in out
    assert f"\n         chmod 600 {keys.private}\n" in out
    assert out.endswith("\nNot well: 1 to be put right.\n")
    keys.private.chmod(0o600)
    assert run("doctor").out.endswith("\nWell: nothing to be put right.\n")
