"""Key files on disk: their modes, never overwritten, never half a pair."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from modelseal import KeyManager, SignatureAlgorithm, keyfiles
from modelseal.errors import FormatError, KeyLoadError, OverwriteError, PassphraseError
from tests.conftest import need

PRIVATE, PUBLIC = KeyManager().generate_keypair(SignatureAlgorithm.ed25519)
NAMES = ("private.pem", "public.pem")


@contextmanager
def umask(value: int) -> Iterator[None]:
    """Another umask for a while."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    """A file's permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


def unprivileged(command: Sequence[str]) -> list[str]:
    """`command`, bound by permissions even when the tests run as root."""
    if os.geteuid():
        return list(command)
    return [need("setpriv"), "--bounding-set", "-dac_override,-dac_read_search", *command]


def keygen(directory: Path) -> list[str]:
    """A command line that makes keys."""
    return [sys.executable, "-m", "modelseal", "keygen", "--output", str(directory)]


@pytest.mark.parametrize(
    ("mask", "private", "public"),
    [(0o022, 0o600, 0o644), (0o000, 0o600, 0o644), (0o077, 0o600, 0o600), (0o277, 0o400, 0o400)],
    ids="{:03o}".format,
)
def test_modes(mask: int, private: int, public: int, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    with umask(mask):
        KeyManager().save_keypair(PRIVATE, PUBLIC, tmp_path / "keys")
    assert mode(tmp_path / "keys" / "private.pem") == private
    assert mode(tmp_path / "keys" / "public.pem") == public
    assert sorted(os.listdir(tmp_path / "keys")) == list(NAMES)


def test_the_mode_is_there_from_the_first_instant(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    calls = "trace=?open,openat,?creat,?chmod,fchmod,fchmodat,?fchmodat2"
    command = [need("strace"), "-f", "-qq", "-e", calls, "-o", str(trace)]
    directory = tmp_path / "keys"
    with umask(0):
        subprocess.run([*command, *keygen(directory)], check=True, capture_output=True)
    lines = [line for line in trace.read_text().splitlines() if str(directory) in line]
    made = [line for line in lines if "O_CREAT" in line]
    assert [line for line in made if "private.pem" in line]
    for line in made:
        assert "O_EXCL" in line, line
        assert (", 0600)" if "private.pem" in line else ", 0644)") in line, line
    assert "chmod" not in trace.read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("thing", ["file", "dangling link", "link", "directory", "FIFO"])
def test_nothing_in_the_way_is_touched(name: str, thing: str, tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir()
    path = directory / name
    elsewhere = tmp_path / "elsewhere"
    if thing == "file":
        path.write_text("mine")
    elif thing == "directory":
        path.mkdir()
    elif thing == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to(elsewhere)
        if thing == "link":
            elsewhere.write_text("mine")
    before = path.lstat()
    with pytest.raises(OverwriteError) as refused:
        KeyManager().save_keypair(PRIVATE, PUBLIC, directory)
    assert str(refused.value) == f"'{path}' already exists"
    hint = "keys are never overwritten: name another directory, or move it away"
    assert refused.value.hint == hint
    assert os.listdir(directory) == [name]
    assert path.lstat() == before
    if thing in ("file", "link"):
        assert path.read_text() == "mine"
    else:
        assert not elsewhere.exists()


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_comes_in_between_stays(
    name: str, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_text("somebody was faster")
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    with pytest.raises(OverwriteError) as refused:
        KeyManager().save_keypair(PRIVATE, PUBLIC, tmp_path)
    assert str(refused.value) == f"'{path}' already exists"
    assert os.listdir(tmp_path) == [name]
    assert path.read_text() == "somebody was faster"


def refuse_links(source: object, target: object, **_: object) -> None:
    """`os.link` on a file system without hard links."""
    raise PermissionError(1, "Operation not permitted", source)


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse_links)
    with umask(0):
        KeyManager().save_keypair(PRIVATE, PUBLIC, tmp_path)
    assert sorted(os.listdir(tmp_path)) == list(NAMES)
    assert (tmp_path / "private.pem").read_bytes() == PRIVATE
    assert (tmp_path / "public.pem").read_bytes() == PUBLIC
    assert mode(tmp_path / "private.pem") == 0o600


def test_the_directory_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    KeyManager().save_keypair(PRIVATE, PUBLIC, str(directory))
    assert (directory / "private.pem").read_bytes() == PRIVATE
    assert (directory / "public.pem").read_bytes() == PUBLIC


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    for directory in (tmp_path / "keys", tmp_path / "keys" / "deeper"):
        with pytest.raises(OSError, match=r"exists|Not a directory"):
            KeyManager().save_keypair(PRIVATE, PUBLIC, directory)
    assert (tmp_path / "keys").read_text() == "a file"


class Fault:
    """Fails the n-th call of the functions of `os` that it watches."""

    def __init__(self, failing: int, error: BaseException, *, after: bool) -> None:
        self._countdown = failing
        self._error = error
        self._after = after

    def watch(self, name: str, patch: pytest.MonkeyPatch) -> None:
        """Stand in for `os.<name>`."""
        real: Callable[..., Any] = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._countdown -= 1
            if self._countdown:
                return real(*args, **kwargs)
            if self._after:
                made = real(*args, **kwargs)
                if name == "open":
                    os.close(made)
            raise self._error

        patch.setattr(os, name, call)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize(
    ("error", "after"),
    [(KeyboardInterrupt, False), (KeyboardInterrupt, True), (OSError, False)],
    ids=["interrupted before", "interrupted after", "disk full"],
)
def test_never_half_a_pair(
    links: bool, error: type[BaseException], after: bool, tmp_path: Path
) -> None:
    """Whatever call fails, all is there or nothing is, and an error says which file."""
    done, wrong = 0, []
    calls = 40
    for failing in range(1, calls):
        directory = tmp_path / str(failing)
        directory.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            if not links:
                patch.setattr(os, "link", refuse_links)
            fault = Fault(failing, error(ENOSPC, "No space left on device"), after=after)
            for name in ("open", "fsync", "link"):
                fault.watch(name, patch)
            try:
                KeyManager().save_keypair(PRIVATE, PUBLIC, directory)
                allowed = [list(NAMES)]
                done += 1
            except (KeyboardInterrupt, OSError) as err:
                allowed = [[], list(NAMES)]
                if isinstance(err, OSError):
                    assert err.__notes__[0].startswith(f"cannot write '{directory}/p")
        left = sorted(os.listdir(directory))
        if left not in allowed:
            wrong.append((failing, left))
    assert 1 < done < calls - 4, "the calls that are watched are no longer those that are made"
    assert wrong == []


def test_a_file_size_limit(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    command = [need("prlimit"), "--fsize=50", sys.executable, "-B", *keygen(directory)[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == f"error: cannot write '{directory / 'private.pem'}': file too large\n"
    assert (done.returncode, done.stdout) == (1, "")
    assert os.listdir(directory) == []


def test_read_only_directory(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o500)
    for target in (directory, directory / "deeper"):
        command = unprivileged(keygen(target))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        what = f"write '{target / 'private.pem'}'"
        if target != directory:
            what = f"make directory '{target}'"
        assert done.stderr == f"error: cannot {what}: permission denied\n"
        assert (done.returncode, done.stdout) == (1, "")
    assert os.listdir(directory) == []


def test_private_keys_are_judged_when_they_are_read(tmp_path: Path) -> None:
    manager = KeyManager()
    encrypted, _ = manager.generate_keypair(SignatureAlgorithm.ed25519, b"secret")
    path = tmp_path / "k.pem"
    path.write_bytes(encrypted)
    assert manager.load_private_key(path, b"secret") == encrypted
    assert manager.load_private_key(str(path), password=b"secret") == encrypted
    for password, message in (
        (None, f"'{path}': the private key is encrypted, and there is no passphrase"),
        (b"wrong", f"'{path}': wrong passphrase, or a damaged private key"),
    ):
        with pytest.raises(PassphraseError) as refused:
            manager.load_private_key(path, password)
        assert str(refused.value) == message
    path.write_bytes(PUBLIC)
    with pytest.raises(KeyLoadError) as other:
        manager.load_private_key(path)
    assert str(other.value) == f"'{path}': this is a public key, not a private key"
    path.write_bytes(PRIVATE)
    assert manager.load_private_key(path, b"not needed") == PRIVATE


def test_public_keys_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "public.pem"
    path.write_bytes(PUBLIC)
    assert KeyManager().load_public_key(path) == PUBLIC
    assert KeyManager().load_public_key(str(path)) == PUBLIC


@pytest.mark.parametrize("load", ["load_private_key", "load_public_key"])
def test_what_is_no_key_file(load: str, tmp_path: Path) -> None:
    read: Callable[[Path], bytes] = getattr(KeyManager(), load)
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with open(tmp_path / "large", "wb") as file:
        file.truncate((1 << 20) + 1)
    for name, message in (
        ("directory", "cannot read '{}': it is a directory"),
        ("fifo", "cannot read '{}': it is not a regular file"),
        ("large", "'{}' is larger than 1,048,576 bytes"),
    ):
        with pytest.raises(FormatError) as refused:
            read(tmp_path / name)
        assert str(refused.value) == message.format(tmp_path / name)
    with pytest.raises(FileNotFoundError) as missing:
        read(tmp_path / "missing")
    assert missing.value.__notes__ == [f"cannot read '{tmp_path / 'missing'}'"]


def test_what_a_killed_writer_left_is_gone_with_the_next(tmp_path: Path) -> None:
    KeyManager().save_keypair(PRIVATE, PUBLIC, tmp_path)
    left = tmp_path / f".private.pem.{'0' * 16}.tmp"
    others = tmp_path / f".other.pem.{'0' * 16}.tmp"
    for path in (left, others):
        path.write_bytes(PRIVATE)
    new, _ = KeyManager().generate_keypair(SignatureAlgorithm.ed25519)
    keyfiles.replace_private(tmp_path / "private.pem", PRIVATE, new)
    assert sorted(os.listdir(tmp_path)) == sorted([*NAMES, others.name])
