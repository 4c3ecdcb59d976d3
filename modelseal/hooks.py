"""The hook file: where git looks for it, whose it is, how it is set up and taken away.

Only a file that is byte for byte what `install` writes is ours; everything else is somebody's.
"""

import os
import re
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from modelseal import fileio
from modelseal.errors import FormatError, ModelSealError, OverwriteError
from modelseal.git import Repository

NAME = "pre-push"
SECTION = "modelseal.hook"
BACKUP_SUFFIX = ".before-modelseal"

INSTALLED = "installed"
CHAINED = "chained"
FOREIGN = "foreign"
MISSING = "missing"

_LIMIT = 1 << 20
# -P: the work tree must not stand in for our modules. -u: results and hints in their order.
_RUN = f"-Pu -m modelseal hook run {NAME}"

_SCRIPT = f"""\
#!/bin/sh
# modelseal judges what this push sends. 'modelseal hook uninstall' removes this file.
python={{python}}
if [ ! -x "$python" ]; then
	printf 'error: %s is gone, so nothing judges this push\\n' "$python" >&2
	echo "hint: install modelseal again, then run 'modelseal hook install'" >&2
	exit 1
fi
exec "$python" {_RUN} "$@" >&2
"""
_OURS = re.compile(re.escape(_SCRIPT).replace(r"\{python\}", r"([^\n]+)"))
_CALL = re.compile(rf"^[^#\n]*\bmodelseal\b[^#\n]* hook run {NAME}\b", re.MULTILINE)
_COMMENTS = re.compile(r"^[ \t]*(?:#.*)?\n", re.MULTILINE)
_LFS = re.compile(r"(?:.*\bgit[ -]lfs\b.*\n)+")


class State(NamedTuple):
    """What a push of this repository runs.

    kind: INSTALLED, CHAINED (somebody's hook that calls us), FOREIGN or MISSING.
    path: where git looks for the hook.
    python: the interpreter that our own hook runs; else empty.
    lfs: whether the hook calls git-lfs and does nothing else.
    problem: why a hook that should judge does not; empty where it does, or there is none.
    """

    kind: str
    path: str
    python: str = ""
    lfs: bool = False
    problem: str = ""

    @property
    def runs(self) -> bool:
        """Whether a push is judged."""
        return self.kind in (INSTALLED, CHAINED) and not self.problem


class Policy(NamedTuple):
    """What a push has to fulfil.

    require: `signed`: weights lie in sealed directories; `any`: what is sealed holds.
    check: `tip`: the commit that each ref will point to; `every`: each new commit too.
    registry: the file of trusted publishers; empty for the usual ones.
    publishers: how many of them must have signed, where that is more than they ask for.
    """

    require: str = "signed"
    check: str = "tip"
    registry: str = ""
    publishers: int = 0


REQUIRE = ("signed", "any")
CHECK = ("tip", "every")


def policy(*levels: Mapping[str, str], publishers: int = 0) -> Policy:
    """The policy of settings by name, such as `require`; a later level goes before an earlier one.

    Raises FormatError for a word that is none.
    """
    settings = {name: value for level in levels for name, value in level.items()}
    names = ("require", "check", "registry")
    found = Policy(
        **{name: settings[name] for name in names if name in settings}, publishers=publishers
    )
    for name, value, words in (
        ("require", found.require, REQUIRE),
        ("check", found.check, CHECK),
    ):
        if value not in words:
            raise FormatError(
                f"setting '{name}' of the hook is '{value}', not {' or '.join(words)}",
                hint=f"git config {SECTION}.{name} {words[0]}",
            )
    return found


def settings(repository: Repository) -> dict[str, str]:
    """What git's configuration says of the hook: nobody who pushes to us can write it."""
    start = f"{SECTION}."
    found = repository.settings(SECTION.replace(".", r"\."))
    return {name.removeprefix(start): value for name, value in found.items()}


def state(repository: Repository) -> State:
    """Look at the hook of a repository. Raises GitError; OSError, FormatError."""
    path = repository.hook_path(NAME)
    if not os.path.lexists(path):
        return State(MISSING, path)
    if os.path.islink(path) and not os.path.exists(path):
        return State(FOREIGN, path, problem="it is a link that leads nowhere")
    text = fileio.read_bounded(path, _LIMIT).decode(errors="replace")
    lfs = bool(_LFS.fullmatch(_COMMENTS.sub("", text)))
    executable = os.stat(path).st_mode & stat.S_IXUSR
    problem = "" if executable else "it is not executable, so git does not run it"
    if (found := _OURS.fullmatch(text)) and not os.path.islink(path):
        python = "".join(shlex.split(found[1])[:1])
        if not problem and not os.access(python, os.X_OK):
            problem = f"'{python}' is gone: run 'modelseal hook install' again"
        return State(INSTALLED, path, python, problem=problem)
    kind = CHAINED if _CALL.search(text) else FOREIGN
    return State(kind, path, lfs=lfs, problem=problem if kind == CHAINED else "")


def install(now: State, python: str, *, force: bool = False) -> str:
    """Set the hook up; return where what stood there is kept, if anything.

    now: what `state` saw. python: the interpreter to run.
    Raises OverwriteError for a foreign hook, unless `force` is set; OSError.
    """
    directory = os.path.dirname(now.path)
    if os.path.lexists(directory) and not os.path.isdir(directory):
        raise ModelSealError(
            f"git runs no hooks here: '{directory}' is not a directory",
            hint="core.hooksPath says where they are: git config --show-origin core.hooksPath",
        )
    with fileio.naming("make", directory):
        os.makedirs(directory, exist_ok=True)
    with fileio.locked(now.path):
        backup = ""
        if now.kind in (FOREIGN, CHAINED):
            if not force:
                raise OverwriteError(f"'{now.path}' is a hook that modelseal did not make")
            backup = _set_aside(now.path)
        fileio.write_atomic(now.path, script(python).encode(), mode=0o755)
    return backup


def uninstall(now: State) -> str:
    """Take our hook away, and put back what stood there before; return that hook's path.

    Raises OverwriteError where the hook is not ours to remove; OSError.
    """
    if now.kind != INSTALLED:
        raise OverwriteError(f"'{now.path}' is a hook that modelseal did not make")
    backup = now.path + BACKUP_SUFFIX
    with fileio.locked(now.path), fileio.naming("remove", now.path):
        if os.path.lexists(backup):
            os.replace(backup, now.path)
            fileio.sync_directory(now.path)
            return now.path
        os.unlink(now.path)
    return ""


def script(python: str) -> str:
    """The hook that `install` writes."""
    return _SCRIPT.replace("{python}", shlex.quote(python))


def chain(now: State, python: str) -> str:
    """The text of a hook that runs modelseal and then what is there now.

    Both read what git says of the push. A hook that does more than call git-lfs has to move
    aside, to where this text expects it.
    """
    after = "git lfs pre-push" if now.lfs else shlex.quote(now.path + BACKUP_SUFFIX)
    return f"""\
#!/bin/sh
lines=$(cat; echo x); lines=${{lines%x}}
printf %s "$lines" | {shlex.quote(python)} {_RUN} "$@" >&2 || exit $?
printf %s "$lines" | {after} "$@"
"""


def _set_aside(path: str) -> str:
    """Keep a hook under another name, and leave it where it is until ours takes its place."""
    backup = path + BACKUP_SUFFIX
    with fileio.naming("keep", path):
        if os.path.lexists(backup):
            raise OverwriteError(
                f"'{backup}' already exists", hint="move it away: it is what was kept the last time"
            )
        with suppress(OSError):
            os.link(path, backup, follow_symlinks=False)
            return backup
        os.rename(path, backup)  # no hard links on this file system
    return backup
