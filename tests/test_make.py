"""Real make with the makefile that `modelseal --makefile` names."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.conftest import Keys, Result, need

SCRIPTS = Path(sys.executable).parent
SIGNS = "modelseal sign --if-changed --model-dir 'model'"
IDLE = "make: Nothing to be done for 'seal'.\n"
MAKEFILE = """\
MODEL_DIR := model
KEY := keys/private.pem
PUBLIC_KEY := keys/public.pem
SIGNER_ID := alice@example.com
include $(shell modelseal --makefile)
"""

Make = Callable[..., Result]


@pytest.fixture
def make(model: Path, keys: Keys, tmp_path: Path) -> Make:
    """Run make in a directory with a model, keys and a Makefile, all a minute old."""
    program = need("make")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for path in [*tmp_path.rglob("*"), tmp_path]:
        past(path)

    def call(*args: str, code: int = 0) -> Result:
        done = subprocess.run(
            [program, *args],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={
                **{name: os.environ[name] for name in ("HOME", "COLUMNS")},
                "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
                "LC_ALL": "C",
                "TMPDIR": str(tmp_path),
            },
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert not list(tmp_path.glob("tmp.*"))
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def past(path: Path, seconds: int = 60) -> None:
    """Make a file or directory look older."""
    info = path.lstat()
    when = info.st_mtime_ns - seconds * 10**9
    os.utime(path, ns=(when, when), follow_symlinks=False)


def edit(tmp_path: Path, old: str, new: str, *, more: str = "") -> None:
    """Change the Makefile, and let it look as old as before."""
    path = tmp_path / "Makefile"
    info = path.stat()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) + more)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_the_makefile_is_found(run: Callable[..., Result]) -> None:
    done = run("--makefile")
    assert (done.code, done.err) == (0, "")
    assert Path(done.out.removesuffix("\n")).read_text().startswith("# Sign and verify models")


def test_a_second_seal_does_nothing(make: Make) -> None:
    first = make("seal")
    assert first.out.startswith(f"{SIGNS} --key 'keys/private.pem' --signer-id 'alice@example.com'")
    assert "\nSigned manifest written to: model/signed_manifest.json\n" in first.out
    assert make("seal").out == IDLE
    make("-q", "seal")
    assert make("-s", "seal").out == ""


def test_silent_is_silent_about_commands(make: Make) -> None:
    out = make("-s", "seal").out
    assert out.startswith("Signed manifest written to: model/signed_manifest.json\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model / "weights" / "model.bin").write_bytes(b"new"),
        lambda model: (model / "config.json").unlink(),
        lambda model: (model / "weights" / "model.bin").unlink(),
        lambda model: (model / "config.json").rename(model / "renamed.json"),
        lambda model: (model / "weights" / "added.bin").write_bytes(b"new"),
        lambda model: (model / "odd $name: #1 (%) 'x'\n.bin").write_bytes(b"new"),
    ],
    ids=["altered", "removed", "removed below", "renamed", "added", "odd name"],
)
def test_a_change_is_signed_once(change: Callable[[Path], object], make: Make, model: Path) -> None:
    make("seal")
    change(model)
    make("-q", "seal", code=1)
    assert "Signed manifest written" in make("seal").out
    assert make("seal").out == IDLE
    assert "All files verified" in make("verify-seal").out


def test_an_odd_name_is_watched(make: Make, model: Path) -> None:
    odd = model / "odd $name: #1 (%) 'x'\n.bin"
    odd.write_bytes(b"old")
    make("seal")
    odd.write_bytes(b"new")
    assert "Signed manifest written" in make("seal").out
    assert make("seal").out == IDLE


def test_a_touched_file_is_not_signed_again(make: Make, model: Path) -> None:
    make("seal")
    signed = (model / "signed_manifest.json").read_bytes()
    os.utime(model / "config.json")
    assert "Unchanged since it was signed" in make("seal").out
    assert make("seal").out == IDLE
    assert (model / "signed_manifest.json").read_bytes() == signed


def test_what_is_left_out_of_a_model_signs_nothing(make: Make, model: Path) -> None:
    make("seal")
    (model / ".git").mkdir()
    past(model / ".git", -60)
    os.utime(model, ns=(0, 0))
    (model / ".modelseal" / "log").touch()
    assert make("seal").out == IDLE


def test_a_change_while_signing_is_seen_by_the_next_make(make: Make, tmp_path: Path) -> None:
    script = tmp_path / "slow"
    script.write_text(
        '#!/bin/sh\nmodelseal "$@" || exit\n[ -e changed ] || printf x >>model/config.json\n'
        "touch changed\n"
    )
    script.chmod(0o755)
    make("seal", "MODELSEAL=./slow")
    make("verify-seal", code=2)
    assert "Signed manifest written" in make("seal", "MODELSEAL=./slow").out
    assert make("seal").out == IDLE
    make("verify-seal")


def test_verify_never_signs_and_fails_for_an_altered_file(make: Make, model: Path) -> None:
    make("seal")
    signed = (model / "signed_manifest.json").read_bytes()
    (model / "config.json").write_text("{}")
    done = make("verify-seal", code=2)
    assert "  [FAIL] config.json\n" in done.out
    assert "verify-seal/model] Error 2" in done.err
    status = make("seal-status", code=2)
    assert "  altered   config.json" in status.out
    assert (model / "signed_manifest.json").read_bytes() == signed
    # Both asked for: what is signed is verified after, however many run at once.
    done = make("-j4", "verify-seal", "seal")
    assert done.out.index("Signed manifest written") < done.out.index("Signature: VALID")
    assert "Clean: 3 files as sealed." in make("seal-status").out


def test_a_new_version_key_or_signer_is_signed(make: Make, tmp_path: Path) -> None:
    make("seal")
    path = tmp_path / "Makefile"
    path.write_text("MODEL_VERSION := 1.1.0\n" + path.read_text())
    assert " --model-version '1.1.0'\n" in make("seal").out
    assert make("seal").out == IDLE
    os.utime(tmp_path / "keys" / "private.pem")
    assert "Unchanged since it was signed" in make("seal").out
    assert make("seal").out == IDLE


def test_several_models_at_once_with_spaces_in_names(
    make: Make, tmp_path: Path, model: Path
) -> None:
    names = ["a model", "other", "third"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "w 1.bin").write_text(name)
    (tmp_path / "keys").rename(tmp_path / "my keys")
    listed = r"model a\ model other/ " + str(tmp_path / "third")
    edit(
        tmp_path,
        "MODEL_DIR := model\nKEY := keys/private.pem\nPUBLIC_KEY := keys/public.pem\n",
        f"MODEL_DIR := {listed}\nKEY := my\\ keys/private.pem\nPUBLIC_KEY := my keys/public.pem\n",
        more="other/signed_manifest.json: MODEL_VERSION := 2.0\n",
    )
    assert make("-j4", "seal").out.count("Signed manifest written") == 4
    assert make("-j4", "seal").out == IDLE
    done = make("-j4", "verify-seal")
    assert sorted(line for line in done.out.splitlines() if "Model    :" in line) == [
        "  Model    : a model v0.0.0",
        "  Model    : model v0.0.0",
        "  Model    : other v2.0",
        "  Model    : third v0.0.0",
    ]
    (tmp_path / "a model" / "w 1.bin").write_text("altered")
    assert "  [FAIL] w 1.bin" in make("verify-seal/a model", code=2).out
    make("verify-seal/other")
    assert make("seal").out.count("Signed manifest written") == 1


def test_a_file_that_make_makes(make: Make, tmp_path: Path, model: Path) -> None:
    edit(
        tmp_path,
        "include",
        "include",
        more="$(MODEL_MANIFESTS): model/made.bin\nmodel/made.bin: source\n\tcp source $@\n",
    )
    (tmp_path / "source").write_text("1")
    past(tmp_path / "source")
    make("seal")
    assert "  [OK] made.bin" in make("verify-seal").out
    assert make("seal").out == IDLE
    (tmp_path / "source").write_text("2")
    assert "Signed manifest written" in make("seal").out
    make("verify-seal")
    assert make("seal").out == IDLE


def test_it_leaves_the_first_target_to_the_makefile(make: Make, tmp_path: Path) -> None:
    edit(tmp_path, "include", "include", more="all:\n\t@echo mine\n")
    assert make().out == "mine\n"


def test_values_reach_the_command_as_they_are(make: Make, tmp_path: Path, model: Path) -> None:
    edit(tmp_path, "alice@example.com", 'it\'s "me" `x`')
    edit(tmp_path, "include", "MODEL_NAME := my  model; false\nFRAMEWORK := a&b\ninclude")
    assert '  Signer   : it\'s "me" `x`\n' in make("seal").out
    assert "  Model    : my  model; false v0.0.0\n" in make("verify-seal").out


def test_what_is_not_set_is_named(make: Make, model: Path) -> None:
    done = make("seal", "MODEL_DIR=", code=2)
    assert "*** modelseal.mk: set MODEL_DIR before including it.  Stop." in done.err
    for name in ("KEY", "SIGNER_ID"):
        done = make("seal", f"{name}=", code=2)
        option = name.lower().replace("_", "-")
        assert f"error: the following arguments are required: --{option}\n" in done.err
    assert not (model / "signed_manifest.json").exists()


def test_key_and_signer_can_be_configured(make: Make, model: Path, tmp_path: Path) -> None:
    edit(tmp_path, "KEY := keys/private.pem\n", "")
    edit(tmp_path, "SIGNER_ID := alice@example.com\n", "")
    configured = Path(os.environ["HOME"], ".config", "modelseal")
    configured.mkdir(parents=True)
    (configured / "config.toml").write_text(
        f'[modelseal]\nkey = "{tmp_path}/keys/private.pem"\nsigner_id = "bob"\n'
    )
    out = make("seal").out
    assert out.startswith(f"{SIGNS}\n")
    assert "  Signer   : bob\n" in out


def test_a_refusal_stays_until_it_is_dealt_with(make: Make, tmp_path: Path, model: Path) -> None:
    edit(tmp_path, "include", "MODEL_VERSION := 1.0\ninclude")
    make("seal")
    (model / "config.json").write_text("{}")
    for _ in range(2):
        assert "is sealed already, with other content" in make("seal", code=2).err
    assert "Signed manifest written" in make("seal", "SIGN_FLAGS=--allow-version-reuse").out
    assert make("seal").out == IDLE


def test_a_link_is_watched_where_it_is_followed(make: Make, tmp_path: Path, model: Path) -> None:
    edit(tmp_path, "include", "SIGN_FLAGS := --follow-symlinks\ninclude")
    (tmp_path / "blob").write_text("1")
    (model / "link.bin").symlink_to("../blob")
    make("seal")
    (tmp_path / "blob").write_text("2")
    assert "Signed manifest written" in make("seal").out
    assert make("seal").out == IDLE


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_ctrl_c_leaves_what_was_signed_before(make: Make, tmp_path: Path, model: Path) -> None:
    make("seal")
    signed = (model / "signed_manifest.json").read_bytes()
    with (model / "large.bin").open("wb") as file:
        file.truncate(64 << 30)
    (tmp_path / "temporary").mkdir()
    child = pexpect.spawn(
        need("make"),
        ["seal"],
        cwd=str(tmp_path),
        env={
            **os.environ,
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
            "TERM": "xterm",
            "TMPDIR": str(tmp_path / "temporary"),
        },
        encoding="utf-8",
        timeout=60,
    )
    try:
        child.expect("hashing:.*B/s")
        child.sendintr()
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert (model / "signed_manifest.json").read_bytes() == signed
    assert list((tmp_path / "temporary").iterdir()) == []
    (model / "large.bin").unlink()
    assert "Unchanged since it was signed" in make("seal").out
