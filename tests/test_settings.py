"""Settings: what a file may say, which of several counts, and how far a store is believed."""

import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelseal import settings
from modelseal.errors import FormatError
from modelseal.settings import RULES, Level, Setting
from tests.conftest import Keys, Result, Shell
from tests.test_startup import loaded

Run = Callable[..., Result]

FULL = """\
[modelseal]
key = "~/keys/private.pem"
signer_id = "alice@example.com"
precheck = true
require = 2

[modelseal.hook]
require = "any"
check = "every"
"""
VALUES: dict[str, settings.Value] = {
    "key": "~/keys/private.pem",
    "signer_id": "alice@example.com",
    "precheck": True,
    "require": 2,
    "hook.require": "any",
    "hook.check": "every",
}


# What a file may say


def test_a_whole_file() -> None:
    assert settings.decode(FULL.encode()) == VALUES
    assert VALUES.keys() == RULES.keys()
    assert settings.decode(b"") == settings.decode(b"[modelseal]\n") == {}
    dotted = b'[modelseal]\nhook.check = "tip"\n'
    assert settings.decode(dotted) == {"hook.check": "tip"}


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        (b'key = "k"', "'key' is not below [modelseal]", "settings stand below a line"),
        (b"[modelsael]", "'modelsael' is not below [modelseal]", "settings stand below a line"),
        (b"modelseal = 3", "unknown setting 'modelseal'", "there are: key, signer_id, "),
        (b"[[modelseal]]", "unknown setting 'modelseal'", "there are: key, signer_id, "),
        (b"[modelseal]\nkye = 'k'", "unknown setting 'kye'", "did you mean 'key'?"),
        (b"[modelseal]\nhook = 'tip'", "unknown setting 'hook'", ""),
        (b"[modelseal.hook]\nchek = 'tip'", "unknown setting 'hook.chek'", "did you mean 'hook.c"),
        (b"[modelseal]\n'hook.check' = 'tip'", "unknown setting '\"hook.check\"'", ""),
        (b"[modelseal.key]\nx = 1", "'key' must be a string", ""),
        (b"[modelseal]\nkey = 1", "'key' must be a string", ""),
        (b"[modelseal]\nkey = ''", "'key' is empty", ""),
        (b'[modelseal]\nsigner_id = "a\\u0000"', "'signer_id' is not a name", ""),
        (b"[modelseal]\nprecheck = 1", "'precheck' must be true or false", ""),
        (b"[modelseal]\nprecheck = 'true'", "'precheck' must be true or false", ""),
        (b"[modelseal]\nrequire = true", "'require' must be a whole number", ""),
        (b"[modelseal]\nrequire = 2.0", "'require' must be a whole number", ""),
        (b"[modelseal]\nrequire = 0", "'require' must be from 1 to 1,000", ""),
        (b"[modelseal]\nrequire = 1001", "'require' must be from 1 to 1,000", ""),
        (b"[modelseal]\nhook.check = 'TIP'", "'hook.check' must be 'tip' or 'every'", ""),
        (b"[modelseal]\nhook.require = 'no'", "'hook.require' must be 'any' or 'signed'", ""),
        (b"[modelseal]\nkey = 'a'\nkey = 'b'", "it is not TOML: cannot overwrite a value", ""),
        (b"[modelseal", "it is not TOML: ", ""),
        (b"[modelseal]\nrequire = " + b"9" * 5000, "it is not TOML: exceeds the limit", ""),
        (b"[modelseal]\nkey = '\xff'", "it is not UTF-8", ""),
        (b"\xef\xbb\xbf[modelseal]", "it is not TOML: invalid statement", ""),
        (b"[modelseal]\nx = " + b"[" * 30000, "it is nested too deeply", ""),
    ],
)
def test_what_no_file_may_say(text: bytes, said: str, hint: str) -> None:
    with pytest.raises(FormatError) as refused:
        settings.decode(text)
    assert str(refused.value).startswith(said)
    assert refused.value.hint.startswith(hint)


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_a_format_error(data: bytes) -> None:
    try:
        assert settings.decode(data).keys() <= RULES.keys()
    except FormatError as err:
        assert str(err)


def test_a_file_that_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert settings.load(str(path), "user") is None
    path.write_bytes(b"#" * (settings.FILE_LIMIT + 1))
    with pytest.raises(FormatError, match="is larger than 65,536 bytes"):
        settings.load(str(path), "user")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FormatError, match="it is not a regular file"):
        settings.load(str(path), "user")
    path.unlink()
    path.write_text("[modelseal]\nprecheck = 1\n")
    with pytest.raises(FormatError) as refused:
        settings.load(str(path), "user")
    assert str(refused.value) == f"configuration '{path}': 'precheck' must be true or false"


# Which of several counts


def level(origin: str, *, bound: bool = False, **values: settings.Value) -> Level:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return Level(origin, named, dict.fromkeys(named, f"the {origin}"), bound)


def test_a_link_that_leads_nowhere_is_not_no_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert settings.load(str(path), "user") is None
    path.symlink_to("elsewhere.toml")
    with pytest.raises(FileNotFoundError) as caught:
        settings.load(str(path), "user")
    assert caught.value.__notes__ == [f"cannot read '{path}'"]


def test_the_first_level_counts_then_the_next_then_the_default() -> None:
    found = settings.resolve(
        [
            level("environment", key="e"),
            level("store", key="s", signer_id="s", require=1),
            level("user", key="u", signer_id="u", require=3, precheck=True),
        ]
    )
    assert found == {
        "key": Setting("e", "environment", "the environment"),
        "signer_id": Setting("s", "store", "the store"),
        "precheck": Setting(True, "user", "the user"),
        "require": Setting(1, "store", "the store"),
        "hook.require": Setting("signed", "default", ""),
        "hook.check": Setting("tip", "default", ""),
    }
    assert list(found) == list(RULES)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("require", [1, 2, 3]),
        ("hook.require", ["any", "signed"]),
        ("hook.check", ["tip", "every"]),
    ],
)
def test_a_store_that_was_found_never_makes_a_policy_looser(
    name: str, values: list[settings.Value]
) -> None:
    for store, user in product(values, [None, *values]):
        levels = [Level("store", {name: store}, {name: "store"}, bound=True)]
        if user is not None:
            levels.append(Level("user", {name: user}, {name: "user"}))
        otherwise = RULES[name].default if user is None else user
        stricter = max((store, otherwise), key=values.index)  # type: ignore[arg-type]
        assert settings.resolve(levels)[name].value == stricter


def test_a_store_that_was_found_may_set_the_rest() -> None:
    found = settings.resolve(
        [level("store", bound=True, signer_id="s", precheck=False), level("user", precheck=True)]
    )
    assert (found["signer_id"].value, found["precheck"].value) == ("s", False)


# As commands use them


@pytest.fixture
def user_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration file, in a directory that is there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    path = tmp_path / "xdg" / "modelseal" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def store(tmp_path: Path, model: Path, run: Run) -> Path:
    """A store above the model, made by nobody we know."""
    assert run("init", tmp_path).code == 0
    (tmp_path / ".modelseal" / "owner").unlink()
    return tmp_path / ".modelseal"


def sign(model: Path, run: Run, *options: str | Path) -> Result:
    return run("sign", "--model-dir", model, *options)


def signer(model: Path) -> str:
    said: str = json.loads((model / "signed_manifest.json").read_text())["signature"]["signer_id"]
    return said


def config(run: Run, *options: str | Path) -> dict[str, dict[str, object]]:
    done = run("config", "--json", *options)
    assert done.code == 0, done.err
    found: dict[str, dict[str, object]] = json.loads(done.out)
    return found


def test_sign_by_the_environment(
    model: Path, keys: Keys, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSEAL_KEY", str(keys.private))
    monkeypatch.setenv("MODELSEAL_SIGNER_ID", "alice")
    done = sign(model, run)
    assert done.code == 0
    assert f"  Signer   : alice\n  Algorithm: ed25519\n  Key file : {keys.private} " in done.out
    assert "(from MODELSEAL_KEY)\n  Signer ID: from MODELSEAL_SIGNER_ID\n" in done.out
    assert signer(model) == "alice"


def test_sign_by_the_users_file(model: Path, keys: Keys, run: Run, user_config: Path) -> None:
    os.symlink(keys.private, user_config.parent / "k.pem")
    user_config.write_text("[modelseal]\nkey = 'k.pem'\nsigner_id = 'ulla'\n")
    done = sign(model, run)
    assert done.code == 0
    # What is relative begins at the file.
    assert f"  Key file : {user_config.parent / 'k.pem'} (from {user_config})\n" in done.out
    assert signer(model) == "ulla"


def test_a_tilde_is_the_home(
    model: Path, keys: Keys, run: Run, user_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(keys.private.parent))
    user_config.write_text("[modelseal]\nkey = '~/private.pem'\nsigner_id = 'ulla'\n")
    assert f"  Key file : {keys.private} (from" in sign(model, run).out


def test_a_flag_beats_the_environment_beats_the_store_beats_the_user(
    model: Path,
    keys: Keys,
    store: Path,
    run: Run,
    user_config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = ("--key", keys.private)
    user_config.write_text("[modelseal]\nsigner_id = 'user'\n")
    assert sign(model, run, *key).code == 0
    assert signer(model) == "user"
    (store / "config.toml").write_text("[modelseal]\nsigner_id = 'store'\n")
    assert sign(model, run, *key).code == 0
    assert signer(model) == "store"
    monkeypatch.setenv("MODELSEAL_SIGNER_ID", "environment")
    assert sign(model, run, *key).code == 0
    assert signer(model) == "environment"
    assert sign(model, run, *key, "--signer-id", "flag").code == 0
    assert signer(model) == "flag"
    monkeypatch.setenv("MODELSEAL_SIGNER_ID", "")  # empty is not set
    assert sign(model, run, *key, "--no-store").code == 0
    assert signer(model) == "user"


def test_precheck_by_a_file_and_off_by_a_flag(
    model: Path, keys: Keys, store: Path, run: Run, user_config: Path
) -> None:
    options = ("--key", keys.private, "--signer-id", "a")
    user_config.write_text("[modelseal]\nprecheck = true\n")

    def recorded() -> bool:
        from modelseal.store import Store

        opened = Store.open(store)
        (ref,) = opened.refs()
        digests = [bytes.fromhex(entry.sha256) for entry in opened.entries(ref.id)]
        return bool(opened.blake3(digests))

    assert sign(model, run, *options, "--no-precheck").code == 0
    assert not recorded()
    assert sign(model, run, *options).code == 0
    assert recorded()
    # Without a store there is nothing to record in: the file asks for nothing then.
    assert sign(model, run, *options, "--no-store").code == 0
    said = "--precheck needs a store, --no-store has none"
    assert said in sign(model, run, *options, "--no-store", "--precheck").err


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ((), "--key, --signer-id"),
        (("--signer-id", "a"), "--key"),
        (("--key", "k.pem"), "--signer-id"),
    ],
)
def test_nothing_says_who_signs(
    options: tuple[str, ...], missing: str, model: Path, run: Run
) -> None:
    done = sign(model, run, *options)
    assert (done.code, done.out) == (64, "")
    assert done.err == (
        f"error: the following arguments are required: {missing}\n"
        "hint: MODELSEAL_KEY and MODELSEAL_SIGNER_ID, or a configuration file, can say it too\n"
    )
    assert not (model / "signed_manifest.json").exists()
    assert not (model / ".modelseal").exists()


# A store that came with something


def test_a_store_names_keys_of_its_own_tree_alone(
    model: Path, keys: Keys, store: Path, run: Run, tmp_path: Path
) -> None:
    config = store / "config.toml"
    config.write_text("[modelseal]\nkey = 'keys/private.pem'\nsigner_id = 's'\n")
    assert sign(model, run).code == 0  # keys/ lies beside the store
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    keys.private.rename(outside / "private.pem")
    os.symlink(outside / "private.pem", tmp_path / "link.pem")
    named = outside / "private.pem"
    for said in (str(named), f"../{outside.name}/private.pem", "link.pem"):
        config.write_text(f"[modelseal]\nkey = '{said}'\nsigner_id = 's'\n")
        done = sign(model, run)
        assert (done.code, done.out) == (1, ""), said
        assert done.err == (
            f"error: configuration '{config}': 'key' leads out of '{tmp_path}'\n"
            f"hint: give '--key PATH', or trust the store by naming it: --store '{store}'\n"
        )
        assert sign(model, run, "--store", store).code == 0, said


def test_a_home_directory_is_out_of_a_found_stores_reach(
    model: Path, keys: Keys, store: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(store.parent.parent))
    config = store / "config.toml"
    config.write_text(f"[modelseal]\nkey = '~/{keys.private.name}'\nsigner_id = 's'\n")
    assert "'key' leads out of" in sign(model, run).err


@pytest.mark.parametrize("below", [".", "weights"])
def test_a_store_in_the_model_sets_nothing(
    below: str, model: Path, keys: Keys, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = model / below
    assert run("init", directory).code == 0
    (directory / ".modelseal" / "owner").unlink()
    config = directory / ".modelseal" / "config.toml"
    # Damaged, even: what came with a model can't keep it from being signed or verified.
    for text in (f"[modelseal]\nkey = '{keys.private}'\nsigner_id = 'evil'\n", "damaged"):
        config.write_text(text)
        done = sign(model, run)
        assert done.code == 64
        hint = f"'{config}' lies in the model, and doesn't count unless named by '--store'\n"
        assert (hint in done.err) is (below == ".")
        shown = run("config", "--model-dir", model)
        assert shown.code == 0
        assert "signer_id   : not set\n" in shown.out
    monkeypatch.setenv("MODELSEAL_DIR", str(directory))
    assert sign(model, run).err.startswith(f"error: configuration '{config}': it is not TOML: ")
    config.write_text(f"[modelseal]\nkey = '{keys.private}'\nsigner_id = 'me'\n")
    done = sign(model, run, "--output", model.parent / "m.json")
    assert done.code == 0
    assert "  Signer   : me\n" in done.out


def test_a_damaged_file_is_an_error_that_names_it(
    model: Path, keys: Keys, store: Path, signed: Path, run: Run, user_config: Path
) -> None:
    verify = ("verify", "--manifest", signed, "--key", keys.public, "--model-dir", model)
    assert run(*verify).code == 0
    for path in (user_config, store / "config.toml"):
        path.write_text("[modelseal]\nreqiure = 2\n")
        said = (
            f"error: configuration '{path}': unknown setting 'reqiure'\n"
            "hint: did you mean 'require'?\n"
        )
        for command in (
            verify,
            ("config",) if path == user_config else ("config", "--store", store),
        ):
            assert run(*command) == (1, "", said)
        assert sign(model, run, "--key", keys.private, "--signer-id", "a") == (1, "", said)
        done = run(*verify, "--json")
        assert json.loads(done.out)["reason"] == "malformed"
        path.unlink()


def test_fsck_knows_the_file(store: Path, run: Run) -> None:
    (store / "config.toml").write_text("[modelseal]\n")
    done = run("fsck", "--store", store, "--porcelain")
    assert done == (0, "note\tindex\tindex.db\tis missing: it is a cache\n", "")


# modelseal config


def test_config_says_where_values_come_from(
    store: Path, model: Path, run: Run, user_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSEAL_KEY", "k.pem")
    user_config.write_text("[modelseal]\nsigner_id = 'ulla'\nrequire = 3\n")
    (store / "config.toml").write_text("[modelseal]\nprecheck = true\nrequire = 1\n")
    at = ("--model-dir", model)
    assert run("config", *at).out == (
        "key         : k.pem (environment: MODELSEAL_KEY)\n"
        f"signer_id   : ulla (user: {user_config})\n"
        f"precheck    : true (store: {store / 'config.toml'})\n"
        f"require     : 3 (user: {user_config})\n"
        "hook.require: signed\n"
        "hook.check  : tip\n"
        "\n"
        f"store       : {store / 'config.toml'}\n"
        f"user        : {user_config}\n"
    )
    found = config(run, *at)
    assert found["require"] == {"value": 3, "origin": "user", "where": str(user_config)}
    assert found["hook.check"] == {"value": "tip", "origin": "default", "where": None}
    assert found["files"] == {"store": str(store / "config.toml"), "user": str(user_config)}
    # Named, the store counts as it is; a relative variable names what may lie anywhere.
    assert config(run, *at, "--store", store)["require"]["value"] == 1
    for variable, value in ((str(store), 1), (store.name, 3)):
        monkeypatch.setenv("MODELSEAL_DIR", variable)
        monkeypatch.chdir(store.parent)
        assert config(run, *at)["require"]["value"] == value
    monkeypatch.delenv("MODELSEAL_DIR")
    lines = run("config", *at, "--porcelain").out.splitlines()
    assert lines[3] == f"require\t3\tuser\t{user_config}"
    assert run("config", *at, "-z").out.startswith("key\0k.pem\0environment\0MODELSEAL_KEY\0")


def test_config_without_any_file(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.environ["HOME"]) / ".config/modelseal/config.toml"
    code, out, err = run("config")
    assert (code, err) == (0, "")
    assert out.startswith("key         : not set\nsigner_id   : not set\nprecheck    : false\n")
    assert out.endswith(f"\nstore       : no file\nuser        : {path} (not there)\n")
    assert run("config", "--store", tmp_path).code == 1


def test_nothing_is_loaded_for_files_that_are_not_there(
    model: Path, keys: Keys, user_config: Path
) -> None:
    options = ["sign", "--model-dir", str(model), "--key", str(keys.private), "--signer-id", "a"]
    assert not loaded(*options) & {"tomllib", "difflib"}
    environment = {"XDG_CONFIG_HOME": str(model)}
    assert not loaded(*options, env=environment) & {"tomllib", "platformdirs"}
    user_config.write_text("[modelseal]\nsigner_id = 'a'\n")
    assert {"tomllib", "platformdirs"} <= loaded(*options[:-2])


def test_without_a_home_the_user_has_no_file(shell: Shell, tmp_path: Path) -> None:
    done = shell("config", env={"HOME": ""})
    assert done.code == 0
    done = shell("config", env={"HOME": "relative"}, cwd=tmp_path)
    assert done.code == 0


def test_cosign_by_the_environment(
    signed: Path, ecdsa_keys: Keys, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosign = ("cosign", "--manifest", signed)
    said = "error: the following arguments are required: --key, --signer-id\n"
    assert run(*cosign).err.startswith(said)
    # The store is in the model, and nobody we know made it.
    (signed.parent / ".modelseal" / "owner").unlink()
    config = signed.parent / ".modelseal" / "config.toml"
    config.write_text("[modelseal]\nkey = 'config.json'\nsigner_id = 'evil'\n")
    assert f"hint: '{config}' lies in the model" in run(*cosign).err
    monkeypatch.setenv("MODELSEAL_KEY", str(ecdsa_keys.private))
    monkeypatch.setenv("MODELSEAL_SIGNER_ID", "bob")
    code, out, err = run(*cosign)
    assert (code, err) == (0, "")
    assert "  Signer   : bob\n" in out
    assert f"  Key file : {ecdsa_keys.private} (from MODELSEAL_KEY)\n" in out
    assert "  Signer ID: from MODELSEAL_SIGNER_ID\n" in out


def test_verify_holds_to_the_number_that_is_set(
    signed: Path, keys: Keys, run: Run, user_config: Path
) -> None:
    """`require` of a file counts like the option, which goes before it."""
    registry = user_config.parent / "trust.json"
    assert run("trust", "add", "alice@example.com", "--key", keys.public).code == 0
    assert registry.exists()
    verify = ("verify", "--manifest", signed, "--json")
    assert run(*verify).code == 0
    user_config.write_text("[modelseal]\nrequire = 2\n")
    done = run(*verify)
    assert (done.code, json.loads(done.out)["reason"]) == (2, "threshold")
    assert run(*verify, "--require", "1").code == 0
    # The store that came with the model can't lower it.
    (signed.parent / ".modelseal" / "owner").unlink()
    (signed.parent / ".modelseal" / "config.toml").write_text("[modelseal]\nrequire = 1\n")
    assert run(*verify, "--model-dir", signed.parent).code == 2
