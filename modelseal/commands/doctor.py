"""Look whether everything is in order here."""

import os
from argparse import ArgumentParser, Namespace
from functools import partial

from modelseal import __version__, arguments, defaults, output, owning
from modelseal.errors import EXIT_ERROR, EXIT_OK, ModelSealError, StoreMissingError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from collections.abc import Callable

    from modelseal.checkup import Finding, Shell
    from modelseal.store import Store

DESCRIPTION = """\
Look whether everything is in order: versions, hashing speed, the store, private keys and who may
read them, the git hook, shell completion. Exit code 0: nothing to be put right; 1: something is."""

EXAMPLES = """\
modelseal doctor
modelseal doctor --json | jq .speed.sha256"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    arguments.add_store(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Look, and print a line for each thing that was looked at."""
    from modelseal import checkup

    measured = checkup.speeds(checkup.SPEED_SECONDS)
    findings = [
        checkup.machine(__version__, _cpus()),
        checkup.packages("modelseal"),
        checkup.speed(measured),
        *_about_files(args),
        *_guarded("hook", lambda: [checkup.hook(".")]),
        *map(checkup.completion, _shells()),
    ]
    well = checkup.is_well(findings)
    if args.json:
        checks = [finding._asdict() for finding in findings]
        speed = {name: round(value) for name, value in measured.items()}
        output.document({"clean": well, "checks": checks, "speed": speed})
    else:
        _print(findings, well=well)
    return EXIT_OK if well else EXIT_ERROR


def _about_files(args: Namespace) -> "list[Finding]":
    """The store, the configuration, and the keys that these name or that lie where they do."""
    from modelseal import checkup

    store: Store | None = None
    paths: dict[str, bool] = {}

    def look_at_store() -> "list[Finding]":
        nonlocal store
        try:
            store = arguments.find_store(args)
        except StoreMissingError:
            if owning.owns(args):
                raise
        return [checkup.store(store)]

    def look_at_config() -> "list[Finding]":
        configured = defaults.key(args, defaults.find(args, store, None), store)
        if configured is not None:
            paths[configured] = True
        files = [path for path in defaults.files(args, store, None).values() if path]
        there = [f"'{path}'" for path in files if os.path.lexists(path)]
        return [checkup.Finding("config", checkup.OK, ", ".join(there) or "no file")]

    def look_at_keys() -> "list[Finding]":
        for directory in (".", store.root if store else None, defaults.user_directory()):
            if directory is not None:
                paths.setdefault(os.path.join(directory, "keys", "private.pem"), False)
        distinct: dict[str, str] = {}
        for path in paths:
            distinct.setdefault(os.path.realpath(path), path)
        looks = (partial(checkup.key, path, expected=paths[path]) for path in distinct.values())
        return [finding for look in looks for finding in _guarded("key", look)]

    return [
        *_guarded("store", look_at_store),
        *_guarded("config", look_at_config),
        *_guarded("key", look_at_keys),
    ]


def _guarded(topic: str, look: "Callable[[], list[Finding]]") -> "list[Finding]":
    """What stops one look is a finding itself: the others go on."""
    from modelseal.checkup import FAIL, Finding

    try:
        return look()
    except (ModelSealError, OSError) as err:
        return [Finding(topic, FAIL, output.describe(err), getattr(err, "hint", ""))]


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shells() -> "list[Shell]":
    """The shells that are installed, and where they look."""
    from shutil import which

    from modelseal.checkup import Shell

    home = os.path.expanduser
    config = os.environ.get("XDG_CONFIG_HOME") or home("~/.config")
    own = os.environ.get("XDG_DATA_HOME") or home("~/.local/share")
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    data = [own, *shared.split(":")]
    zsh = ["/usr/local/share/zsh/site-functions", "/usr/share/zsh/site-functions"]
    zsh += ["/usr/share/zsh/vendor-completions", *os.environ.get("FPATH", "").split(":")]
    bash_file = os.path.join("bash-completion", "completions", "modelseal")
    fish_file = os.path.join("fish", "vendor_completions.d", "modelseal.fish")
    fish = [os.path.join(config, "fish", "completions", "modelseal.fish")]
    shells = [
        Shell(
            "bash",
            [os.path.join(directory, bash_file) for directory in data],
            [home("~/.bashrc"), home("~/.bash_profile"), home("~/.bash_completion")],
            "in ~/.bashrc: source <(modelseal completion bash)",
        ),
        Shell(
            "zsh",
            [os.path.join(directory, "_modelseal") for directory in zsh if directory],
            [home("~/.zshrc")],
            "in ~/.zshrc, after compinit: source <(modelseal completion zsh)",
        ),
        Shell(
            "fish",
            [*fish, *(os.path.join(directory, fish_file) for directory in data)],
            [os.path.join(config, "fish", "config.fish")],
            "in config.fish: modelseal completion fish | source",
        ),
    ]
    return [shell for shell in shells if which(shell.name)]


def _print(findings: "list[Finding]", *, well: bool) -> None:
    from modelseal import checkup

    tones = {
        checkup.OK: output.GOOD,
        checkup.NOTE: output.DOUBTFUL,
        checkup.FAIL: output.BAD,
    }
    for topic, state, message, advice in findings:
        output.marked(tones[state], f"  [{state.upper()}]", f" {topic}: {message}")
        if advice:
            output.line(f"         {advice}")
    count = sum(finding.state == checkup.FAIL for finding in findings)
    if well:
        output.marked(output.GOOD, "Well:", " nothing to be put right.")
    else:
        output.marked(output.BAD, "Not well:", f" {count} to be put right.")
