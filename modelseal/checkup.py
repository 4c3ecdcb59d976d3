"""Whether this installation, this machine and these files are fit for signing: one finding each."""

import os
import platform
import re
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from modelseal import fileio, hooks
from modelseal.errors import GitError, KeyLoadError, ModelSealError
from modelseal.git import Repository

TYPE_CHECKING = False  # typing itself would cost its import
if TYPE_CHECKING:
    from modelseal.store import Store

OK, NOTE, FAIL = "ok", "note", "fail"
"""States of a finding: as it should be; worth knowing; to be put right."""

SPEED_SECONDS: Final = 0.4
"""How long each hash is measured."""

_BLOCK: Final = 1 << 22
_SET_UP_HOOK: Final = "modelseal hook install"
_STARTUP_LIMIT: Final = 1 << 20


class Finding(NamedTuple):
    """What was looked at, and what to do about it.

    topic: a stable word. advice: the next thing to do; empty where there is nothing.
    """

    topic: str
    state: str
    message: str
    advice: str = ""


def machine(version: str, cpus: int) -> Finding:
    """Which modelseal, on which Python and machine. cpus: that this process may use."""
    python = f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
    return Finding("version", OK, f"modelseal {version}, {python}, {cpus} CPUs")


def packages(project: str) -> Finding:
    """The packages that a project needs, and their versions."""
    from importlib import metadata

    try:
        needed = metadata.requires(project) or []
    except metadata.PackageNotFoundError:
        advice = "install it: python -m pip install ."
        return Finding("packages", NOTE, f"{project} itself is not installed", advice)
    names = [re.split(r"[^\w.-]", line)[0] for line in needed if "extra ==" not in line]
    found, missing = [], []
    for name in sorted(names):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        said = f"not installed: {', '.join(missing)}"
        return Finding("packages", FAIL, said, f"python -m pip install {' '.join(missing)}")
    return Finding("packages", OK, ", ".join(found))


def speeds(seconds: float) -> dict[str, float]:
    """How fast one thread hashes here, in bytes a second. seconds: for each of the two."""
    import hashlib

    from blake3 import blake3

    return {
        "sha256": _speed(hashlib.sha256().update, seconds),
        "blake3": _speed(blake3().update, seconds),
    }


def _speed(update: Callable[[bytes], object], seconds: float) -> float:
    block = bytes(_BLOCK)
    update(block)  # the first one finds cold caches
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not done:
        update(block)
        done += len(block)
    return done / elapsed


def speed(measured: dict[str, float]) -> Finding:
    """The two speeds in words."""
    said = ", ".join(
        f"{name} {measured[key] / 1e9:.2f} GB/s"
        for key, name in (("sha256", "SHA-256"), ("blake3", "BLAKE3"))
    )
    return Finding("speed", OK, f"{said}, one thread")


def store(found: "Store | None") -> Finding:
    """The store in use, checked without its signatures. Raises as `Store.fsck`."""
    if found is None:
        advice = "'modelseal init' makes one, and so does 'modelseal sign'"
        return Finding("store", NOTE, "none here, nor in a directory above", advice)
    checked = found.fsck(repair=False, check=None)
    if not checked.clean:
        advice = f"modelseal fsck --store {shlex.quote(found.path)}"
        return Finding("store", FAIL, f"'{found.path}' is damaged", advice)
    said = f"'{found.path}' is sound: {checked.manifests} manifests, {checked.refs} refs"
    return Finding("store", OK, said)


def key(path: str, *, expected: bool) -> list[Finding]:
    """A private key: whether it is one, and who may read it.

    expected: whether somebody says that it is there; else there is no finding where it isn't.
    """
    from modelseal import keys, pem

    quoted = shlex.quote(path)
    try:
        data = fileio.read_bounded(path, pem.LIMIT)
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        if not expected:
            return []
        advice = "see 'modelseal config' for who names it, and 'modelseal keygen' for a new one"
        return [Finding("key", FAIL, f"'{path}' is not there", advice)]
    if not keys.is_private(data):
        return [Finding("key", FAIL, f"'{path}' is no private key", "name another one")]
    encrypted = keys.is_encrypted(data)
    if not encrypted:
        try:
            keys.load_private(data)
        except KeyLoadError as err:
            return [Finding("key", FAIL, f"'{path}': {err}", err.hint or "name another one")]
    if os.name == "posix" and mode & 0o077:
        said = f"'{path}' can be read by others (mode {mode:04o})"
        return [Finding("key", FAIL, said, f"chmod 600 {quoted}")]
    if not encrypted:
        said = f"'{path}' (mode {mode:04o}) is not encrypted"
        return [Finding("key", OK, said, f"modelseal key passwd {quoted} --openssh")]
    return [Finding("key", OK, f"'{path}' (mode {mode:04o}) is encrypted")]


def hook(directory: str) -> Finding:
    """The pre-push hook of the git repository around a directory."""
    try:
        repository = Repository.find(directory)
    except GitError as err:
        return Finding("hook", NOTE, "this is no git repository" if err.status else str(err))
    now = hooks.state(repository)
    if now.kind == hooks.MISSING:
        return Finding("hook", NOTE, "no pre-push hook: pushes are not checked", _SET_UP_HOOK)
    if now.kind == hooks.FOREIGN:
        said = f"'{now.path}' is there, and does not call modelseal"
        return Finding("hook", NOTE, said, _SET_UP_HOOK)
    if now.problem:
        advice = f"chmod +x {shlex.quote(now.path)}" if now.kind == hooks.CHAINED else _SET_UP_HOOK
        return Finding("hook", FAIL, f"'{now.path}': {now.problem}", advice)
    return Finding("hook", OK, f"'{now.path}' calls modelseal")


class Shell(NamedTuple):
    """Where a shell learns of completions.

    places: files that it reads by itself. startup: files of the user's that may say more.
    advice: what to put there.
    """

    name: str
    places: Sequence[str]
    startup: Sequence[str]
    advice: str


def completion(shell: Shell) -> Finding:
    """Whether Tab knows modelseal, as far as that can be told from outside of the shell."""
    topic = f"completion-{shell.name}"
    for path in shell.places:
        if os.path.isfile(path):
            return Finding(topic, OK, f"'{path}'")
    for path in shell.startup:
        if b"modelseal" in _content(path):
            return Finding(topic, OK, f"'{path}' names it")
    return Finding(topic, NOTE, f"{shell.name} does not seem to know modelseal", shell.advice)


def _content(path: str) -> bytes:
    try:
        return fileio.read_bounded(path, _STARTUP_LIMIT)
    except (OSError, ModelSealError):
        return b""


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether there is nothing to be put right."""
    return all(finding.state != FAIL for finding in findings)
