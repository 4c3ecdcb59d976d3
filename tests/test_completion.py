"""A Tab in bash, zsh and fish, with the completion files that are installed."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from modelseal import cli
from modelseal import offers as offers_
from modelseal.store import Store
from tests.conftest import Result, every_command, need
from tests.docs import COMPLETIONS, PROGRAMS, ROOT
from tests.sealed import seal_of

SCRIPT = ROOT / "completions" / "modelseal.bash"
BIN = Path(sys.executable).parent

# What bash does at a Tab: call the function that `complete -F` named, with the line so far.
PROBE = """
source {script}
function=$(complete -p {program} | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
COMP_LINE={line} COMP_POINT={point} COMP_TYPE=9
"$function" {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console scripts of this environment are those that completion runs."""
    for program in PROGRAMS:
        if not (BIN / program).exists():
            pytest.fail(f"{program} is not installed beside {sys.executable}: pip install -e .")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")


def tab(line: str, cwd: Path) -> list[str]:
    """What bash offers at the end of a line."""
    probe = PROBE.format(
        script=shlex.quote(str(SCRIPT)),
        program=line.split(maxsplit=1)[0],
        line=shlex.quote(line),
        point=len(line.encode()),
    )
    done = subprocess.run(
        [need("bash"), "--norc", "--noprofile", "-c", probe],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(word.strip() for word in done.stdout.splitlines() if word.strip())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("aumai-modelseal key", ["key", "keygen"]),
        ("modelseal ", sorted(cli.COMMANDS)),
        ("modelseal --", ["--help", "--makefile", "--version"]),
        ("modelseal completion ", ["bash", "fish", "zsh"]),
        ("modelseal --v", ["--version"]),
        ("modelseal keygen --algorithm ", ["ecdsa_p256", "ed25519"]),
        ("modelseal keygen --algorithm ec", ["ecdsa_p256"]),
        ("aumai-modelseal verify --model-dir m --ig", ["--ignore-path", "--ignore-unsigned-files"]),
        ("modelseal verify --k", ["--key"]),
        ("modelseal inspect --j", ["--json", "--json-output"]),
        ("modelseal sign --model-dir my", ["my-model/"]),
        ("modelseal sign --sor", []),
        ("modelseal sign --jobs ", []),
        ("modelseal nothing --k", []),
    ],
)
def test_bash_offers(line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    assert tab(line, tmp_path) == offered


@pytest.mark.parametrize("name", every_command())
def test_bash_offers_every_option(name: str, tmp_path: Path) -> None:
    actions = cli._parser(name, cli._load(name))._actions
    options = [option for action in actions for option in action.option_strings]
    assert tab(f"modelseal {name} --", tmp_path) == sorted(o for o in options if o[:2] == "--")


def test_each_shell_has_its_file() -> None:
    assert sorted(COMPLETIONS) == sorted(path.name for path in SCRIPT.parent.iterdir())


# What is there to be offered.

NAME, VERSION = "acme:llm base", "1.0:rc 1"
CAROL = "carol@example.com"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a store, models, keys and a registry."""
    store = Store.init(tmp_path)
    for number, (name, version) in enumerate(
        [("tiny", "1.0.0"), ("tiny", "1.1.0"), (NAME, VERSION), ("e\x1b[31m\n", "1"), ("-x", "1")]
    ):
        store.add(seal_of({"w.bin": b"%d" % number}, name, version, signer=f"signer{number}@here"))
    keys = [{"fingerprint": "SHA256:a+b/c", "trusted_since": "2026-01-31T12:00:00Z"}, 8]
    publishers = [{"publisher_id": CAROL, "name": "Carol", "keys": keys}, {"name": 1}, 7]
    (tmp_path / ".modelseal" / "trust.json").write_text(json.dumps(publishers))
    (tmp_path / "other.json").write_text(
        json.dumps([{"publisher_id": "dave", "name": "Dave", "public_key": "-"}])
    )
    for name in ("my model/weights", "models", "keys", "certs"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        *["my model/w 1.bin", "my model/signed_manifest.json", "my model/.hidden", "notes.txt"],
        *["keys/private.pem", "keys/public.pem", "keys/id_ed25519", "keys/README", "models/x"],
    ):
        (tmp_path / name).touch()
    return tmp_path


def offers(line: str, cwd: Path) -> list[str]:
    """What a shell is told, in order: fish gets words as they are."""
    done = subprocess.run(
        ["/bin/sh", "-c", "exec modelseal 8>&1 >/dev/null"],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_DFS": "\t",
            "_ARGCOMPLETE_SHELL": "fish",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [word.partition("\t")[0] for word in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        # Revisions: names; versions of the one that is meant; what a terminal would act on is not
        # offered, nor what would be taken for an option.
        ("show ", [NAME, "tiny"]),
        ("show t", ["tiny", "tiny@1.0.0", "tiny@1.1.0"]),
        ("show tiny@1.1", ["tiny@1.1.0"]),
        (f"show '{NAME}@", [f"{NAME}@{VERSION}"]),
        ("status --revision t", ["tiny", "tiny@1.0.0", "tiny@1.1.0"]),
        ("log ", [NAME, "tiny"]),
        ("sign --model-name ", [NAME, "tiny"]),
        ("diff tiny m", ["models/", "my model/"]),
        ("ls ./n", ["./notes.txt"]),
        ("ls n", ["notes.txt"]),
        # Publishers, and who signed here, newest first.
        ("sign --signer-id c", ["carol@example.com"]),
        (
            "sign --signer-id ",
            ["carol@example.com", *(f"signer{n}@here" for n in (4, 3, 2, 1, 0))],
        ),
        ("trust show ", ["carol@example.com"]),
        ("trust show --registry other.json ", ["dave", "carol@example.com"]),
        ("trust revoke carol@example.com --key ", ["SHA256:a+b/c"]),
        ("trust revoke dave --registry other.json --key ", []),
        ("trust re", ["remove", "revoke"]),
        # Paths of the right kind.
        ("sign --model-dir ", ["certs/", "keys/", "models/", "my model/"]),
        ("verify --model-dir 'my model/", ["my model/weights/"]),
        ("sign --key keys/", ["keys/private.pem", "keys/public.pem", "keys/id_ed25519"]),
        ("sign --key=keys/pr", ["--key=keys/private.pem"]),
        ("sign --key keys/R", ["keys/README"]),
        ("verify --manifest 'my model/", ["my model/signed_manifest.json", "my model/weights/"]),
        ("verify --registry o", ["other.json"]),
        (
            "verify --model-dir 'my model' --ignore-path ",
            ["signed_manifest.json", "w 1.bin", "weights/"],
        ),
        ("identify my\\ model/w", ["my model/w 1.bin", "my model/weights/"]),
        ("key fingerprint keys/i", ["keys/id_ed25519"]),
        ("key pu", ["public"]),
        ("identify 'my model/.", ["my model/.hidden"]),
        ("sign --model-dir no/such/", []),
        # Where there is nothing to offer.
        ("sign --model-version ", []),
        ("sign --framework ", []),
        ("init --lock-timeout ", []),
        ("nothing ", []),
        ("show tiny ", []),
    ],
    ids=str,
)
def test_values_offered(line: str, offered: list[str], place: Path) -> None:
    assert offers(f"modelseal {line}", place) == offered


def test_a_store_is_where_the_command_would_find_it(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path_factory.mktemp("away")
    assert offers("modelseal show t", away) == []
    assert offers(f"modelseal show --store {place} tiny@1.1", away) == ["tiny@1.1.0"]
    assert offers(f"modelseal verify --model-dir {place}/models tiny@1.1", away) == ["tiny@1.1.0"]
    assert offers(f"modelseal status {place}/models --revision tiny@1.1", away) == ["tiny@1.1.0"]
    monkeypatch.setenv("MODELSEAL_DIR", str(place))
    assert offers("modelseal show tiny@1.1", away) == ["tiny@1.1.0"]
    monkeypatch.delenv("MODELSEAL_DIR")
    monkeypatch.setenv("HOME", str(place))
    assert offers("modelseal show --store ~/ tiny@1.1", away) == ["tiny@1.1.0"]
    assert offers("modelseal sign --key ~/keys/pr", away) == ["~/keys/private.pem"]


def test_ids_are_offered_once_they_are_begun(place: Path) -> None:
    (id_,) = [ref.id for ref in Store.open(place).refs("tiny") if ref.version == "1.1.0"]
    assert offers(f"modelseal show {id_[:4]}", place) == [id_[:12]]
    assert offers(f"modelseal show {id_[:20]}", place) == [id_]
    assert offers("modelseal show /", place) != []


def test_publishers_of_the_user_come_last(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = place / "settings"
    (settings / "modelseal").mkdir(parents=True)
    shutil.copy(place / "other.json", settings / "modelseal" / "trust.json")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(settings))
    found = offers("modelseal sign --signer-id ", place)
    assert found[:2] == ["carol@example.com", "dave"]


@pytest.mark.parametrize("harm", ["fifo", "damaged", "format", "refs"])
def test_what_can_not_be_read_offers_nothing(harm: str, place: Path) -> None:
    store = place / ".modelseal"
    if harm == "fifo":
        (store / "trust.json").unlink()
        os.mkfifo(store / "trust.json")
        assert offers("modelseal sign --signer-id c", place) == []
    elif harm == "damaged":
        (store / "trust.json").write_bytes(b"[{\xff")
        assert offers("modelseal sign --signer-id c", place) == []
    elif harm == "format":
        (store / "format").write_text("nonsense")
        assert offers("modelseal show t", place) == []
    else:
        (store / "refs" / "caf\u00e9").mkdir()  # not as names are written
        assert offers("modelseal show t", place) == []


@pytest.mark.parametrize("name", every_command())
def test_what_every_value_is_has_been_said(name: str) -> None:
    for action in cli._parser(name, cli._load(name))._actions:
        if action.nargs != 0 and not action.choices:
            assert callable(offers_.kind_of(action, name)), (
                f"{action.option_strings} {action.metavar}: say in offers.py what completes it"
            )


@pytest.mark.parametrize("name", sorted({name for name in every_command() if " " in name}))
def test_commands_of_a_group_are_offered(name: str, tmp_path: Path) -> None:
    group, command = name.split()
    assert command in offers(f"modelseal {group} ", tmp_path)
    assert offers(f"modelseal {group} {command[:-1]}", tmp_path) != []


# At a prompt.

STARTS = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        "source <(modelseal completion bash); PS1='>''> '",
    ),
    "zsh": (
        ["-f", "-i", "-V"],
        "fpath=({completions} $fpath); autoload -U compinit; compinit -u -D; PS1='>''> '",
    ),
    "fish": (
        ["--no-config", "-i"],
        "modelseal completion fish | source; function fish_prompt; echo -n '>''> '; end",
    ),
}


@pytest.fixture
def typed(place: Path) -> Iterator[Callable[..., str]]:
    """Type a line at a shell's prompt, Tabs and all; the words that it would run."""
    children: list[pexpect.spawn[str]] = []

    def start(shell: str) -> "pexpect.spawn[str]":
        options, setup = STARTS[shell]
        child = pexpect.spawn(
            need(shell),
            options,
            env={**os.environ, "TERM": "xterm", "HISTFILE": "", "PS1": "%# ", "LC_ALL": "C.UTF-8"},
            cwd=str(place),
            encoding="utf-8",
            timeout=30,
            dimensions=(50, 200),
        )
        children.append(child)
        child.sendline(setup.format(completions=SCRIPT.parent))
        child.expect_exact(">> ")
        return child

    def type_(shell: str, line: str) -> str:
        child = children[0] if children else start(shell)
        # Not run, but printed: the rest of the line is typed before and after it.
        child.send(line + "\x01printf '<%s>' \x05; echo END\r")
        child.expect(r"(<(?:aumai-)?modelseal>[^\r\n]*>)END")
        found: str = child.match[1]
        child.expect_exact(">> ")
        return found

    yield type_
    for child in children:
        child.close(force=True)


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
@pytest.mark.parametrize("shell", sorted(STARTS))
def test_at_a_prompt(shell: str, typed: Callable[..., str]) -> None:
    for line, words in [
        ("modelseal keyge\t--alg\tecd\t", ["modelseal", "keygen", "--algorithm", "ecdsa_p256"]),
        ("modelseal show tiny@1.1\t", ["modelseal", "show", "tiny@1.1.0"]),
        ("modelseal log ac\t", ["modelseal", "log", NAME]),
        ("modelseal log acme:l\t", ["modelseal", "log", NAME]),
        ("modelseal log 'ac\t", ["modelseal", "log", NAME]),
        (r"modelseal show acme:llm\ base@" + "\t", ["modelseal", "show", f"{NAME}@{VERSION}"]),
        ("modelseal show 'acme:llm base@1.0:\t", ["modelseal", "show", f"{NAME}@{VERSION}"]),
        ('modelseal show "acme:llm base@\t', ["modelseal", "show", f"{NAME}@{VERSION}"]),
        ("modelseal sign --model-dir my\t", ["modelseal", "sign", "--model-dir", "my model/"]),
        (r"modelseal identify my\ model/w\ " + "\t", ["modelseal", "identify", "my model/w 1.bin"]),
        ("modelseal sign --key=keys/pr\t", ["modelseal", "sign", "--key=keys/private.pem"]),
        ("modelseal sign --signer-id carol@e\t", ["modelseal", "sign", "--signer-id", CAROL]),
        ("aumai-modelseal ver\t--man\t", ["aumai-modelseal", "verify", "--manifest"]),
    ]:
        assert typed(shell, line) == "".join(f"<{word}>" for word in words), line


def test_the_scripts_are_printed_as_installed(run: Callable[..., Result]) -> None:
    for name, shell in COMPLETIONS.items():
        assert run("completion", shell) == (0, (SCRIPT.parent / name).read_text(), "")
