"""The pages and the completion files say what the program does, no more and no less."""

import hashlib
import json
import re
import shlex
import subprocess
import tomllib
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from modelseal import (
    FileEntry,
    ModelManifest,
    ModelSigner,
    Signature,
    SignedManifest,
    TrustedPublisher,
    canonical,
    checkup,
    cli,
    digests,
    errors,
    keys,
    pem,
    settings,
    shared,
    structs,
    tree,
)
from modelseal.documents import Document
from modelseal.structs import Cosignatures, TrustedKey
from tests import docs, test_layers
from tests.conftest import Keys, Result, every_command, need

TEXTS = {path.name: path.read_text() for path in docs.PAGES}
MAIN = "modelseal.1"
COMMAND_PAGES = {name: f"modelseal-{name}.1" for name in cli.COMMANDS}
GROUPED = {name: [n for n in every_command() if n.split()[0] == name] for name in cli.COMMANDS}
"""Command or group → the commands that its page is about."""


def section(page: str, title: str) -> str:
    """The source of one section of a page."""
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", TEXTS[page], re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {title}"
    return found[1]


def items(source: str) -> dict[str, str]:
    """The lists of a section: the head of each item → its text."""
    parts = re.split(r"^\.(?:It (.*)|El.*)\n", source, flags=re.MULTILINE)
    return {head: body for head, body in zip(parts[1::2], parts[2::2], strict=True) if head}


def words(source: str) -> str:
    """Text without markup, blanks and lines evened out."""
    return " ".join(re.sub(r"^\.[A-Z][a-z]\b", "", source, flags=re.MULTILINE).split())


def displays(source: str) -> list[str]:
    """What stands in a section as it is to be typed or read."""
    found = re.findall(
        r"^\.Bd -literal.*?\n(.*?)^\.Ed|^\.Dl (.*?\n)", source, re.MULTILINE | re.DOTALL
    )
    return [(block or line).replace(r"\e", "\\") for block, line in found]


def option_names(source: str) -> list[str]:
    """The options of a line of markup: `Fl -output` is `--output`."""
    return [f"-{name}" for name in re.findall(r"\bFl ([\w-]+)", source)]


def parser_of(name: str) -> ArgumentParser:
    return cli._parser(name, cli._load(name))


def options_of(name: str) -> list[Action]:
    return [action for action in parser_of(name)._actions if action.option_strings]


def test_a_page_is_about_every_command_of_its_group() -> None:
    assert sorted([name for names in GROUPED.values() for name in names]) == sorted(every_command())


# The pages as pages.


def test_every_command_has_a_page_and_no_other_has() -> None:
    first = {name for name in TEXTS if name.endswith(".1")}
    assert first == {MAIN, *COMMAND_PAGES.values()}


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_name_sections_are_well_formed(page: str) -> None:
    stem, _, number = page.rpartition(".")
    assert re.search(rf"^\.Dt {stem.upper()} {number}$", TEXTS[page], re.MULTILINE)
    found = re.fullmatch(r"\.Nm (\S+)\n\.Nd ([a-z].*[^.\s])\n", section(page, "NAME"))
    assert found
    assert found[1] == stem
    if page in COMMAND_PAGES.values():
        assert found[2] == cli.COMMANDS[stem.removeprefix("modelseal-")]


def test_pages_are_clean() -> None:
    assert docs.lint(need("mandoc")) == ""


def test_pages_refer_to_pages_that_exist() -> None:
    for text in TEXTS.values():
        for name, number in re.findall(r"^\.Xr (modelseal\S*) (\d)", text, re.MULTILINE):
            assert f"{name}.{number}" in TEXTS


# Commands and options.


@pytest.mark.parametrize("name", GROUPED)
def test_options_are_the_parsers(name: str) -> None:
    described = {
        tuple(option_names(head)): (head.partition(" Ar ")[2], words(body))
        for head, body in items(section(COMMAND_PAGES[name], "OPTIONS")).items()
    }
    actions = [action for command in GROUPED[name] for action in options_of(command)]
    assert described.keys() == {tuple(action.option_strings) for action in actions}
    for action in actions:
        options = tuple(action.option_strings)
        value, text = described[options]
        assert bool(value) == (action.nargs != 0), options
        if action.metavar:
            assert value == action.metavar, options
        words_due = [*(action.choices or []), action.default]
        assert all(word in text for word in words_due if word and word != SUPPRESS), options


@pytest.mark.parametrize("page", COMMAND_PAGES.values())
def test_synopses_are_the_parsers(page: str) -> None:
    source = section(page, "SYNOPSIS")
    parts = re.split(r"^\.Nm modelseal ([a-z ]+)\n", source, flags=re.MULTILINE)
    assert parts[0] == ""
    assert parts[1::2] == GROUPED[page.removeprefix("modelseal-").removesuffix(".1")]
    for name, lines in zip(parts[1::2], parts[2::2], strict=True):
        shown = {
            option: line.startswith(".Op ")
            for line in lines.splitlines()
            for option in option_names(line)
        }
        due = {action.option_strings[0]: not action.required for action in options_of(name)}
        assert shown == due, name


def test_the_main_page_has_the_commands() -> None:
    found = {
        head.removeprefix("Cm "): words(body)
        for head, body in items(section(MAIN, "COMMANDS")).items()
    }
    assert found == {
        name: f"{summary}; modelseal-{name} 1" for name, summary in cli.COMMANDS.items()
    }


def test_the_main_page_has_the_options_of_the_main_help() -> None:
    shown = re.findall(r"^  (-.*?)  ", cli._help(), re.MULTILINE)
    described = [", ".join(option_names(head)) for head in items(section(MAIN, "OPTIONS"))]
    assert described == shown == ["-h, --help", "--version", "--makefile"]


def commands_in(source: str) -> Iterator[list[str]]:
    """Every modelseal command line of a section, as a shell would split it."""
    for display in displays(source):
        for line in display.replace("\\\n", " ").splitlines():
            for command in line.split("|"):
                typed = shlex.split(command)
                if typed[:1] == ["modelseal"]:
                    yield typed[1:]


@pytest.mark.parametrize("page", [MAIN, *COMMAND_PAGES.values()])
def test_examples_are_accepted(page: str) -> None:
    names = set()
    for name, *arguments in commands_in(section(page, "EXAMPLES")):
        if name not in every_command():
            name, arguments = f"{name} {arguments[0]}", arguments[1:]
        parser = parser_of(name)
        cli._refuse_unknown_options(arguments, parser)
        parser.parse_args(arguments)
        names.add(name.split()[0])
    assert names >= {name for name, its in COMMAND_PAGES.items() if its == page}
    assert names


# Words and numbers that scripts rely on.


def test_exit_codes_are_the_table() -> None:
    described = items(section(MAIN, "EXIT STATUS"))
    assert {int(code): words(text) for code, text in described.items()} == errors.EXIT_CODES


def test_reasons_are_the_table() -> None:
    described = [head.removeprefix("Cm ") for head in items(section(MAIN, "REASONS"))]
    assert sorted(described) == sorted(errors.Reason)


def test_environment_variables_are_those_read() -> None:
    source = "".join(path.read_text() for path in test_layers.FILES)
    described = re.findall(r"^\.It Ev (MODELSEAL_\w+)", section(MAIN, "ENVIRONMENT"), re.MULTILINE)
    assert sorted(described) == sorted(set(re.findall(r"MODELSEAL_[A-Z_]*[A-Z]", source)))


def test_the_json_report_has_the_fields_described(
    signed: Path, keys: Keys, run: Callable[..., Result]
) -> None:
    done = run("verify", "--manifest", signed, "--key", keys.public, "--json")
    described: list[str] = []
    for head in items(section("modelseal-verify.1", "JSON REPORT")):
        described += head.removeprefix("Cm ").split(" , ")
    assert described == list(json.loads(done.out))


@pytest.mark.parametrize(
    ("page", "title", "figure"),
    [
        ("modelseal-format.5", "DOCUMENTS", f"{structs.DOCUMENT_LIMIT:,} bytes"),
        ("modelseal-inspect.1", "OPTIONS", f"{structs.DOCUMENT_LIMIT:,} bytes"),
        ("modelseal-verify.1", "OPTIONS", f"{structs.DOCUMENT_LIMIT:,} bytes"),
        ("modelseal-verify.1", "OPTIONS", f"{pem.LIMIT:,} bytes"),
        ("modelseal-keygen.1", "OPTIONS", f"1 to {keys._PASSPHRASE_LIMIT:,} bytes"),
        ("modelseal-key.1", "OPTIONS", f"1 to {keys._PASSPHRASE_LIMIT:,} bytes"),
        ("modelseal-key.1", "OPTIONS", f"The default is {keys.OPENSSH_ROUNDS},"),
        ("modelseal-doctor.1", "DESCRIPTION", f"{checkup.SPEED_SECONDS} seconds each"),
        ("modelseal-config.1", "CONFIGURATION FILES", f"{settings.FILE_LIMIT:,} bytes"),
        ("modelseal-config.1", "CONFIGURATION FILES", f"1 to {settings.REQUIRE_LIMIT:,}"),
        ("modelseal-format.5", "SIGNED MANIFEST", f"0 to {structs.SIZE_LIMIT:,}"),
        ("modelseal-design.7", "HASHING", f"of up to {digests.SMALL >> 20} MiB"),
    ],
)
def test_figures_are_the_programs(page: str, title: str, figure: str) -> None:
    assert figure in words(section(page, title))


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("modelseal-sign.1", "DESCRIPTION"),
        ("modelseal-verify.1", "DESCRIPTION"),
        ("modelseal-format.5", "CHECKING A MODEL"),
    ],
)
def test_what_is_left_out_is_named(page: str, title: str) -> None:
    assert (
        set(re.findall(r"^\.Pa (\S+)", section(page, title), re.MULTILINE)) == tree.ROOT_EXCLUSIONS
    )


# The format.


def kind(hint: object) -> str:
    """A field's type in the page's words."""
    if get_origin(hint) is UnionType:
        hint = get_args(hint)[0]  # the other one is None: left out
    if get_origin(hint) is list:
        return "array"
    if isinstance(hint, type) and issubclass(hint, Document):
        return "object"
    if hint is datetime:
        return "time"
    return "integer" if hint is int else "string"


def test_the_tables_of_fields_are_the_structs() -> None:
    lists = re.findall(
        r"^\.Bl -column.*?^\.El", TEXTS["modelseal-format.5"], re.MULTILINE | re.DOTALL
    )
    described = [re.findall(r"^\.It Va (\w+) Ta (\w+) Ta", table, re.MULTILINE) for table in lists]
    documents = [SignedManifest, ModelManifest, FileEntry, Signature]
    documents += [TrustedPublisher, TrustedKey, Cosignatures]
    assert described == [
        [(name, kind(hint)) for name, hint in get_type_hints(document).items() if name[0] != "_"]
        for document in documents
    ]
    assert get_args(get_type_hints(ModelManifest)["files"]) == (FileEntry,)


def test_the_worked_example_holds() -> None:
    # RFC 8032, section 7.1, test 1.
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    document, data, digest, signature = displays(section("modelseal-format.5", "SIGNATURES"))
    signed = data.replace("\n", "").encode()
    assert canonical.canonical(ModelManifest.model_validate_json(document)) == signed
    assert f"these {len(signed)} canonical bytes" in TEXTS["modelseal-format.5"]
    assert hashlib.sha256(signed).hexdigest() == digest.strip()
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    key.verify(bytes.fromhex(signature.replace("\n", "")), signed)


def test_row_13_a_signed_size_that_is_not_the_files(
    model: Path, keys: Keys, run: Callable[..., Result], tmp_path: Path
) -> None:
    true = ModelSigner().create_manifest(model)
    first, *others = true.files
    size = first.size_bytes + 1
    files = [first.model_copy(update={"size_bytes": size}), *others]
    total = true.total_size_bytes + 1
    false = true.model_copy(update={"files": files, "total_size_bytes": total})
    path = tmp_path / "signed.json"
    signed = ModelSigner().sign_manifest(false, keys.private.read_bytes(), "alice@example.com")
    path.write_text(signed.model_dump_json())
    done = run("verify", "--manifest", path, "--key", keys.public, "--model-dir", model)
    assert done.code == errors.EXIT_NOT_VERIFIED
    assert f"  [FAIL] {first.path}" in done.out


# The design.


def test_the_house_is_the_one_that_stands() -> None:
    source = section("modelseal-design.7", "THE HOUSE")
    drawn = [line.split() for line in displays(source)[0].splitlines()]
    levels = {level: rooms for level, *rooms in reversed(drawn)}
    assert list(levels.items()) == list(test_layers.LEVELS.items())
    assert [head.removeprefix("Pa ") for head in items(source)] == test_layers.ORDER


def test_decisions_are_numbered_and_whole() -> None:
    source = section("modelseal-design.7", "DECISIONS")
    parts = re.split(r"^\.Ss (\d+)\. .+\n", source, flags=re.MULTILINE)
    numbers = [int(number) for number in parts[1::2]]
    assert numbers == list(range(1, len(numbers) + 1))
    for decision in parts[2::2]:
        found = items(decision)
        assert list(found) == ["Context", "Options", "Choice", "Cost"]
        assert all(map(words, found.values()))


# Completions, and what is installed.


@pytest.mark.parametrize("name", sorted(docs.COMPLETIONS))
def test_completions_are_as_generated(name: str) -> None:
    path = docs.ROOT / "completions" / name
    assert path.read_text() == docs.completion(docs.COMPLETIONS[name]), "run 'make docs'"


def test_the_bash_completion_parses() -> None:
    path = docs.ROOT / "completions" / "modelseal.bash"
    done = subprocess.run([need("bash"), "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_pages_and_completions_are_installed() -> None:
    project = tomllib.loads((docs.ROOT / "pyproject.toml").read_text())
    completions = dict(shared.COMPLETIONS.values())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"] == {
        **{f"man/{name}": f"share/man/man{name[-1]}/{name}" for name in TEXTS},
        **{f"completions/{name}": f"share/{path}" for name, path in completions.items()},
        "modelseal/modelseal.mk": "share/modelseal/modelseal.mk",
    }
    assert {name: shell for shell, (name, _) in shared.COMPLETIONS.items()} == docs.COMPLETIONS


def test_the_settings_are_those_described() -> None:
    source = section("modelseal-config.1", "CONFIGURATION FILES")
    assert [head.removeprefix("Cm ") for head in items(source)] == list(settings.RULES)
    (example,) = displays(source)
    assert settings.decode(example.encode()).keys() == settings.RULES.keys()
