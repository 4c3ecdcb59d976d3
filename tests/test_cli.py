"""The command line: exit codes, help, suggestions, and the lines and objects scripts rely on."""

import base64
import hashlib
import json
import re
import shlex
import subprocess
import sys
import sysconfig
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from modelseal import PublisherRegistry, TrustedPublisher, __version__, cli, manifestfiles
from modelseal.canonical import identifier
from modelseal.errors import EXIT_CODES, Reason
from tests.conftest import Keys, Result, Shell, every_command

Run = Callable[..., Result]

OTHER_DIGEST = hashlib.sha256(b"other").hexdigest()


def module_of(name: str) -> ModuleType:
    """A command's module."""
    return cli._load(name)


def fingerprint(public: Path) -> str:
    """A key's fingerprint, as ssh-keygen shows it."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_public_key(public.read_bytes())
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `inspect` end with `error`."""

    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(module_of("inspect"), "run", fail)


# Exit codes


def test_exit_codes(
    run: Run, signed: Path, keys: Keys, ecdsa_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {
        run("verify", "--manifest", signed, "--key", keys.public).code,
        run("verify", "--manifest", "nowhere.json", "--key", keys.public).code,
        run("verify", "--manifest", signed, "--key", ecdsa_keys.public).code,
        run("verify", "--manifest", signed, "--nonsense").code,
    }
    fail_with(monkeypatch, KeyboardInterrupt())
    interrupted = run("inspect", "--manifest", signed)
    assert interrupted == (130, "", "")
    assert seen | {interrupted.code} == set(EXIT_CODES) == {0, 1, 2, 64, 130}


@pytest.mark.parametrize("name", ["modelseal", "aumai-modelseal"])
def test_both_console_names_pass_the_exit_code_on(name: str) -> None:
    script = Path(sysconfig.get_path("scripts")) / name
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"modelseal {__version__}\n")
    assert subprocess.run([script, "nonsense"], capture_output=True).returncode == 64


def test_python_m_passes_the_exit_code_on(shell: Shell) -> None:
    assert shell("--version") == (0, f"modelseal {__version__}\n", "")
    assert shell("inspect", "--manifest", "m.json") == (
        1,
        "",
        "error: cannot read 'm.json': no such file or directory\n",
    )
    assert shell() == (64, "", "error: no command\nhint: 'modelseal --help' lists them\n")


def test_an_unexpected_exception_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("two\nlines"))
    assert run("inspect", "--manifest", "m.json") == (
        1,
        "",
        (
            "error: unexpected RuntimeError: two\\nlines\n"
            "hint: this is a bug; with MODELSEAL_DEBUG=1 it shows where\n"
        ),
    )
    monkeypatch.setenv("MODELSEAL_DEBUG", "1")
    with pytest.raises(RuntimeError, match="two"):
        run("inspect", "--manifest", "m.json")


@pytest.mark.parametrize("error", [RuntimeError("why"), MemoryError()], ids=repr)
def test_with_json_an_unexpected_exception_is_json_too(
    error: Exception, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, error)
    code, out, _ = run("inspect", "--manifest", "m.json", "--json")
    assert code == 1
    assert json.loads(out)["valid"] is False


def test_no_memory_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, MemoryError())
    assert run("inspect", "--manifest", "m.json") == (1, "", "error: out of memory\n")


# Help


@pytest.mark.parametrize(
    "args", [[], *map(str.split, sorted({*cli.COMMANDS, *every_command()}))], ids=str
)
def test_help_fits_and_ends_with_examples(
    args: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, err = run(*args, "--help")
    assert (code, err) == (0, "")
    assert run(*args, "-h").out == text
    assert [line for line in text.splitlines() if len(line) > 80] == []
    examples = text.partition("\nexamples:\n")[2].splitlines()
    assert examples
    assert all(line.startswith("  ") for line in examples)
    options = set(re.findall(r"--[a-z-]+", text))
    for columns in ("40", "1", "0", "", "many", "100000"):
        monkeypatch.setenv("COLUMNS", columns)
        code, other, err = run(*args, "--help")
        assert (code, err) == (0, "")
        assert set(re.findall(r"--[a-z-]+", other)) == options, columns


@pytest.mark.parametrize("name", every_command())
def test_option_lines_fit_40_columns(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    options = (
        run(*name.split(), "--help").out.partition("\noptions:\n")[2].partition("\nexamples:\n")[0]
    )
    assert options
    assert [line for line in options.splitlines() if len(line) > 40] == []


def examples() -> list[list[str]]:
    """Every modelseal command line in a help text, without what only a shell understands."""
    texts = [cli._help().partition("examples:\n")[2]]
    texts += [module_of(name).EXAMPLES for name in sorted({*cli.COMMANDS, *every_command()})]
    return [
        [re.sub(r"\d<.*", "", word) for word in shlex.split(re.sub(r".*<\((.*)\)", r"\1", part))]
        for text in texts
        for line in re.sub(r"\\\n|(?<=\|)\n", " ", text).splitlines()
        for part in line.split("|")
        if "modelseal " in part and not part.lstrip().startswith("curl")
    ]


@pytest.mark.parametrize("example", examples(), ids=" ".join)
def test_an_example_is_one_that_works(example: list[str]) -> None:
    program, name, *args = [word for word in example if word]
    assert program == "modelseal"
    if name not in every_command():
        name, args = f"{name} {args[0]}", args[1:]
    cli._refuse_unknown_options(args, parser := cli._parser(name, module_of(name)))
    parser.parse_args(args)


def test_the_help_lists_every_command_and_exit_code(run: Run) -> None:
    text = run("--help").out
    for name, summary in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{summary}$", text, re.MULTILINE), name
    for code, meaning in EXIT_CODES.items():
        first = meaning.split()[0]
        assert re.search(rf"^  {code} +{first}", text, re.MULTILINE), code


# Groups of commands


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> list[Namespace]:
    """A group `made` with a command `do`; the arguments that this one was run with."""
    seen: list[Namespace] = []

    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--deep", action="store_true", help="do it well")

    def run_it(args: Namespace) -> int:
        seen.append(args)
        return 2

    made, do = ModuleType("modelseal.commands.made"), ModuleType("modelseal.commands.made.do")
    vars(made).update(
        COMMANDS={"do": "do it", "undo": "take it back"},
        DESCRIPTION="What is made.",
        EXAMPLES="modelseal made do",
    )
    vars(do).update(DESCRIPTION="Do.", EXAMPLES="x", add_arguments=add_arguments, run=run_it)
    monkeypatch.setitem(cli.COMMANDS, "made", "made for a test")
    for module in (made, do):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return seen


def test_a_command_of_a_group_is_run(run: Run, group: list[Namespace]) -> None:
    assert run("made", "do", "--deep").code == 2
    assert [vars(args) for args in group] == [{"deep": True}]


def test_a_group_has_a_help_of_its_own(run: Run, group: list[Namespace]) -> None:
    code, text, _ = run("made", "--help")
    assert code == 0
    assert text.startswith("usage: modelseal made COMMAND [OPTION ...]\n\nWhat is made.\n")
    assert "\n  do    do it\n  undo  take it back\n" in text
    assert text.endswith("\nexamples:\n  modelseal made do\n")
    assert run("made", "do", "-h").out.startswith("usage: modelseal made do [-h] [--deep]")
    assert group == []


@pytest.mark.parametrize(
    ("args", "error", "hint"),
    [
        (["made"], "no command after 'made'", "'modelseal made --help' lists them"),
        (["made", "unod"], "unknown command 'unod'", "did you mean 'undo'?"),
        (["made", "x"], "unknown command 'x'", "'modelseal made --help' lists the commands"),
        (["made", "--hlep"], "unknown option '--hlep'", "did you mean '--help'?"),
        (["made", "do", "--depe"], "unknown option '--depe'", "did you mean '--deep'?"),
        (
            ["made", "do", "it"],
            "unrecognized arguments: it",
            "'modelseal made do --help' says more",
        ),
    ],
    ids=" ".join,
)
def test_wrong_use_of_a_group(
    args: list[str], error: str, hint: str, run: Run, group: list[Namespace]
) -> None:
    assert run(*args) == (64, "", f"error: {error}\nhint: {hint}\n")
    assert group == []


# Wrong usage


@pytest.mark.parametrize(
    ("args", "error", "hint"),
    [
        ("verfy", "unknown command 'verfy'", "did you mean 'verify'?"),
        ("key-gen", "unknown command 'key-gen'", "did you mean 'keygen'?"),
        ("help", "unknown command 'help'", "did you mean '--help'?"),
        ("--verison", "unknown option '--verison'", "did you mean '--version'?"),
        ("zzz", "unknown command 'zzz'", "'modelseal --help' lists the commands"),
        ("sign --modeldir m", "unknown option '--modeldir'", "did you mean '--model-dir'?"),
        ("keygen --out=k", "unknown option '--out'", "did you mean '--output'?"),
        ("inspect --json-out", "unknown option '--json-out'", "did you mean '--json-output'?"),
        ("verify -quiet", "unknown option '-quiet'", "did you mean '--quiet'?"),
        ("inspect --zzz", "unknown option '--zzz'", "'modelseal inspect --help' lists the options"),
        # No abbreviations, not even of a single candidate.
        ("--vers", "unknown option '--vers'", "did you mean '--version'?"),
        ("verif", "unknown command 'verif'", "did you mean 'verify'?"),
        ("verify --man m --key k", "unknown option '--man'", None),
        ("verify --manifest m --key k --follow", "unknown option '--follow'", None),
    ],
)
def test_what_is_unknown_is_named_with_the_nearest(
    args: str, error: str, hint: str | None, run: Run
) -> None:
    code, out, err = run(*args.split())
    lines = err.splitlines()
    assert (code, out, lines[0]) == (64, "", f"error: {error}")
    assert len(lines) == 2
    if hint is not None:
        assert lines[1] == f"hint: {hint}"


@pytest.mark.parametrize(
    "args",
    [
        "keygen extra",
        "keygen --algorithm rsa",
        "keygen --output",
        "sign --model-dir m --key k",
        "verify --key k",
        "verify --manifest m --key k --jobs 0",
        "verify --manifest m --key k --jobs -1",
        "verify --manifest m --key k --jobs 1025",
        "verify --manifest m --key k --jobs 0010240000",
        "verify --manifest m --key k --quiet=yes",
        "inspect",
        "inspect -x",
    ],
)
def test_wrong_usage_is_64_and_two_lines_at_most(args: str, run: Run) -> None:
    code, out, err = run(*args.split())
    assert (code, out) == (64, "")
    assert re.fullmatch(r"error: [^\n]+\n(hint: [^\n]+\n)?", err)


@pytest.mark.parametrize("words", ["- of its kind, the first", "-- see the paper", "-5 % errors"])
def test_words_after_an_option_may_begin_with_a_dash(
    words: str, run: Run, model: Path, keys: Keys
) -> None:
    args = ["--model-dir", model, "--key", keys.private, "--signer-id", "a"]
    for description in (["--description", words], [f"--description={words}"]):
        assert run("sign", *args, *description).err == ""
        signed = json.loads((model / "signed_manifest.json").read_text())
        assert signed["manifest"]["description"] == words


# The lines scripts read


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa_p256"])
def test_keygen_lines(algorithm: str, run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "pair"
    code, out, err = run("keygen", "--output", directory, "--algorithm", algorithm)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"Key pair ({algorithm}) written to '{directory}/'",
        f"  Private: {directory}/private.pem",
        f"  Public : {directory}/public.pem",
        f"  Fingerprint: {fingerprint(directory / 'public.pem')}",
        f"Next: modelseal sign --model-dir DIR --key {directory}/private.pem --signer-id YOU",
    ]


def test_keys_go_where_the_system_finds_the_path(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("keygen", "--output", f"./{tmp_path}/pair").code == 0
    assert not (tmp_path / "pair").exists()
    assert (tmp_path / str(tmp_path)[1:] / "pair" / "private.pem").exists()
    assert run("keygen", "--output", "./keys/").out.startswith(
        "Key pair (ed25519) written to 'keys/'\n"
    )


@pytest.mark.parametrize("empty", ["--key", "--registry"])
def test_an_empty_value_is_not_taken_for_none(
    empty: str, run: Run, signed: Path, keys: Keys, tmp_path: Path
) -> None:
    registry = tmp_path / "trust.json"
    publisher = TrustedPublisher(
        publisher_id="alice@example.com",
        name="Alice",
        public_key=base64.b64encode(keys.public.read_bytes()).decode(),
        trusted_since=datetime.now(UTC),
    )
    PublisherRegistry(registry).add_publisher(publisher)
    given = {"--key": str(keys.public), "--registry": str(registry)}
    options = [word for option in given.items() for word in option]
    assert run("verify", "--manifest", signed, *options).code == 0
    options = [word for option in {**given, empty: ""}.items() for word in option]
    code, out, err = run("verify", "--manifest", signed, *options)
    assert (code, out, err) == (1, "", "error: cannot read '': no such file or directory\n")


def test_a_program_may_call_it_with_streams_and_threads_of_its_own() -> None:
    code: list[int] = []
    with redirect_stdout(StringIO()) as out:
        thread = Thread(target=lambda: code.append(cli.main(["--version"])))
        thread.start()
        thread.join()
    assert (code, out.getvalue()) == ([0], f"modelseal {__version__}\n")


def test_sign_and_verify_lines(run: Run, model: Path, keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    args = ["--model-dir", model, "--key", keys.private, "--signer-id", "bob", "--output", path]
    assert run("sign", *args, "--model-name", "tiny", "--model-version", "1.2.0") == (
        0,
        (
            f"Signed manifest written to: {path}\n"
            "  Files    : 3\n"
            "  Total    : 2,069 bytes\n"
            "  Signer   : bob\n"
            "  Algorithm: ed25519\n"
            f"  Seal     : {identifier(manifestfiles.load(path))[:12]}\n"
        ),
        "",
    )
    signature_lines = (
        "Signature: VALID\n"
        "  Signer   : bob (claimed)\n"
        f"  Key      : {fingerprint(keys.public)}\n"
        "  Model    : tiny v1.2.0\n"
    )
    check = ["verify", "--manifest", path, "--key", keys.public]
    assert run(*check) == (0, signature_lines, "")
    assert run(*check, "--model-dir", model) == (
        0,
        signature_lines + "Verifying on-disk file hashes...\n"
        "  [OK] config.json\n"
        "  [OK] empty.txt\n"
        "  [OK] weights/model.bin\n"
        "All files verified successfully.\n",
        "",
    )
    assert run(*check, "--model-dir", model, "--quiet") == (0, "", "")


def test_lines_of_a_model_that_is_not_as_signed(
    run: Run, signed: Path, model: Path, keys: Keys
) -> None:
    before = hashlib.sha256((model / "config.json").read_bytes()).hexdigest()
    (model / "config.json").write_text("other")
    (model / "empty.txt").unlink()
    (model / "new.py").touch()
    check = ["verify", "--manifest", signed, "--key", keys.public, "--model-dir", model]
    wrong = (
        "  [FAIL] config.json\n"
        f"         expected {before}\n"
        f"         actual   {OTHER_DIGEST}\n"
        "         5 bytes, signed as 21\n"
        "  [FAIL] empty.txt (missing)\n"
        "{}"
        "  [UNSIGNED] new.py\n"
    )
    code, out, err = run(*check)
    assert code == 2
    assert out.endswith(
        "Verifying on-disk file hashes...\n" + wrong.format("  [OK] weights/model.bin\n")
    )
    assert err.splitlines()[0] == "One or more files failed verification."
    assert run(*check, "--quiet") == (2, wrong.format(""), err)


def test_the_line_of_an_invalid_signature(
    run: Run, signed: Path, keys: Keys, ecdsa_keys: Keys
) -> None:
    check = ["verify", "--manifest", signed]
    reason = "the manifest says ed25519, the key is ecdsa_p256"
    line = f"Signature: INVALID — {reason}\n"
    assert run(*check, "--key", ecdsa_keys.public) == (2, line, "")
    assert run(*check, "--key", ecdsa_keys.public, "--quiet") == (2, line, "")
    signed.write_text(signed.read_text().replace('"unknown"', '"torch"'))
    assert run(*check, "--key", keys.public) == (
        2,
        "Signature: INVALID — the signature does not fit the manifest\n",
        "",
    )


# JSON


def write_registry(path: Path, signer: str, public: Path) -> Path:
    """A registry of one publisher."""
    publisher = {
        "publisher_id": signer,
        "name": "Alice",
        "public_key": base64.b64encode(public.read_bytes()).decode(),
        "trusted_since": "2024-01-31T12:00:00Z",
    }
    path.write_text(json.dumps([publisher]))
    return path


def test_json_report(run: Run, signed: Path, model: Path, keys: Keys) -> None:
    check = ["verify", "--manifest", signed, "--key", keys.public, "--model-dir", model, "--json"]
    good: dict[str, object] = {
        "valid": True,
        "reason": None,
        "message": "",
        "signer_id": "alice@example.com",
        "trusted": False,
        "fingerprint": fingerprint(keys.public),
        "publisher": "",
        "registry": "",
        "required": 0,
        "signatures": [],
        "model_name": "model",
        "model_version": "0.0.0",
        "framework": "unknown",
        "checked": 3,
        "altered": [],
        "missing": [],
        "unsigned": [],
        "unchecked": [],
        "ignored": [],
        "errors": [],
        "warnings": [],
        "hints": [],
    }
    code, out, err = run(*check)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == good
    before = hashlib.sha256((model / "config.json").read_bytes()).hexdigest()
    (model / "config.json").write_text("other")
    (model / "empty.txt").unlink()
    (model / "new.py").touch()
    (model / "cache").touch()
    code, out, err = run(*check, "--ignore-path", "cache")
    assert (code, err, out.count("\n")) == (2, "", 1)
    bad = json.loads(out)
    assert list(bad) == list(good)
    assert bad.pop("hints")
    assert bad.pop("altered")[0] == {
        "path": "config.json",
        "expected": before,
        "actual": OTHER_DIGEST,
        "note": "5 bytes, signed as 21",
    }
    changed = {"valid", "reason", "checked", "missing", "unsigned", "ignored"}
    assert {key: bad[key] for key in changed} == {
        "valid": False,
        "reason": "file-altered",
        "checked": 2,
        "missing": ["empty.txt"],
        "unsigned": ["new.py"],
        "ignored": ["cache"],
    }
    assert {key: bad[key] for key in bad.keys() - changed} == {
        key: good[key] for key in bad.keys() - changed
    }


def test_json_reasons(
    run: Run, signed: Path, model: Path, keys: Keys, ecdsa_keys: Keys, tmp_path: Path
) -> None:
    alice = write_registry(tmp_path / "alice.json", "alice@example.com", keys.public)
    mallory = write_registry(tmp_path / "mallory.json", "alice@example.com", ecdsa_keys.public)
    bob = write_registry(tmp_path / "bob.json", "bob", keys.public)
    cut = tmp_path / "cut.json"
    cut.write_text("{")
    extra = tmp_path / "extra"
    lacking = tmp_path / "lacking"
    for copy in (extra, lacking):
        subprocess.run(["cp", "-R", model, copy], check=True)
    (extra / "new.py").touch()
    (lacking / "empty.txt").unlink()
    altered = tmp_path / "altered"
    subprocess.run(["cp", "-R", model, altered], check=True)
    (altered / "empty.txt").write_text("no more")

    def ask(*args: str | Path, manifest: Path = signed) -> tuple[int, bool, str | None]:
        code, out, err = run("verify", "--json", "--manifest", manifest, *args)
        report = json.loads(out)
        assert err == ""
        assert report["valid"] is (code == 0)
        return code, report.get("trusted", False), report["reason"]

    assert ask("--registry", alice, "--model-dir", model) == (0, True, None)
    assert ask("--key", keys.public, "--registry", alice) == (0, True, None)
    key: list[str | Path] = ["--key", keys.public]
    assert [
        ask("--key", ecdsa_keys.public),
        ask("--registry", mallory),
        ask("--registry", bob),
        ask(*key, "--registry", bob),
        ask(*key, "--model-dir", altered),
        ask(*key, "--model-dir", lacking),
        ask(*key, "--model-dir", extra),
        ask(*key, manifest=cut),
        ask(*key, manifest=tmp_path / "nowhere"),
        ask("--key", keys.private),
        ask(*key, "--model-dir", cut),
        ask(),
        ask(*key, "--jobs", "0"),
    ] == [
        (2, False, "signature-invalid"),
        (2, False, "signature-invalid"),
        (2, False, "signer-untrusted"),
        (2, False, "signer-untrusted"),
        (2, False, "file-altered"),
        (2, False, "file-missing"),
        (2, False, "file-unsigned"),
        (1, False, "malformed"),
        (1, False, "system-error"),
        (1, False, "key-unusable"),
        (1, False, "model-refused"),
        (2, False, "signer-untrusted"),
        (64, False, "usage"),
    ]
    assert {reason.value for reason in Reason} >= {"file-changed", "file-unreadable", "passphrase"}


# inspect


def test_inspect_lines(run: Run, signed: Path, keys: Keys) -> None:
    in_json = json.loads(signed.read_text())
    code, out, err = run("inspect", "--manifest", signed)
    assert (code, err) == (0, "")
    digests = [entry["sha256_hash"] for entry in in_json["manifest"]["files"]]
    assert out.splitlines() == [
        "Model      : model v0.0.0",
        "Framework  : unknown",
        f"Created    : {in_json['manifest']['created_at']}",
        "Files      : 3",
        "Total      : 2,069 bytes",
        "Signer     : alice@example.com (claimed)",
        f"Signed     : {in_json['signature']['signed_at']} (claimed)",
        "Algorithm  : ed25519",
        f"Key        : {fingerprint(keys.public)} (embedded, never trusted)",
        "",
        f"  {digests[0]}     21  config.json",
        f"  {digests[1]}      0  empty.txt",
        f"  {digests[2]}  2,048  weights/model.bin",
    ]


@pytest.mark.parametrize("flag", ["--json-output", "--json"])
def test_inspect_json(flag: str, run: Run, shell: Shell, signed: Path) -> None:
    code, out, err = run("inspect", "--manifest", signed, flag)
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(signed.read_text())
    assert shell("inspect", "--manifest", "-", flag, stdin=signed.read_bytes()) == (0, out, "")


@pytest.mark.parametrize(
    "description",
    [
        "größe 模型 😀",
        'a\nb\\c"d\x7f',
        "\u202egnp.exe",
        "a\u00a0b\u2028c\x85\x1b[2K",
        "\U000e0041\\u0041",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("env", [{}, {"PYTHONIOENCODING": "ascii"}], ids=["utf-8", "ascii"])
def test_inspect_json_says_what_the_manifest_says(
    description: str, env: dict[str, str], run: Run, shell: Shell, model: Path, keys: Keys
) -> None:
    args = ["--model-dir", model, "--key", keys.private, "--signer-id", description]
    assert run("sign", *args, "--description", description).code == 0
    path = model / "signed_manifest.json"
    code, out, err = shell("inspect", "--manifest", path, "--json-output", env=env)
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(path.read_text())
    assert json.loads(out)["manifest"]["description"] == description
    assert "\x1b" not in out


def test_inspect_reads_standard_input(shell: Shell, run: Run, signed: Path) -> None:
    text = run("inspect", "--manifest", signed).out
    assert shell("inspect", "--manifest", "-", stdin=signed.read_bytes()) == (0, text, "")
    code, out, err = shell("inspect", "--manifest", "-", stdin=b"")
    assert (code, out) == (1, "")
    assert err.startswith("error: malformed manifest 'standard input': ")
    code, out, err = shell("inspect", "--manifest", "-", "--json", stdin=b"\xff")
    assert (code, err) == (1, "")
    assert json.loads(out)["reason"] == "malformed"
