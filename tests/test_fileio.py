"""Files as a whole: the old bytes or the new, nothing overwritten, nothing read without bounds."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelseal import fileio
from modelseal.errors import FormatError, OverwriteError
from tests.conftest import Keys, need
from tests.irregular import make_socket
from tests.test_workers import TOP, alone

Write = Callable[[Path, bytes], None]
OLD, NEW = b"the old bytes\n", b"the new bytes\n" * 20_000


def names(directory: Path) -> list[str]:
    """What lies in a directory."""
    return sorted(os.listdir(directory))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that is there already, alone in its directory."""
    path = tmp_path / "place" / "file"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


# Reading


def test_what_fits_is_read(old: Path) -> None:
    assert fileio.read_bounded(old, len(OLD)) == OLD
    assert fileio.read_bounded(str(old), 1 << 20) == OLD
    old.write_bytes(b"")
    assert fileio.read_bounded(old, 0) == b""


def test_a_link_to_a_file_is_read(old: Path) -> None:
    link = old.with_name("link")
    link.symlink_to(old.name)
    assert fileio.read_bounded(link, 100) == OLD


def _terabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


REFUSED: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "directory": (Path.mkdir, FormatError, "cannot read '{}': it is a directory"),
    "fifo": (os.mkfifo, FormatError, "cannot read '{}': it is not a regular file"),
    "zero": (
        lambda path: path.symlink_to("/dev/zero"),
        FormatError,
        "cannot read '{}': it is not a regular file",
    ),
    "terabyte": (
        _terabyte,
        FormatError,
        "'{}' is larger than 1,000 bytes",
    ),
    "one-too-many": (
        lambda path: path.write_bytes(bytes(1001)),
        FormatError,
        "'{}' is larger than 1,000 bytes",
    ),
    "socket": (make_socket, OSError, ""),
    "nothing": (lambda path: None, FileNotFoundError, ""),
    "dangling": (lambda path: path.symlink_to("nowhere"), FileNotFoundError, ""),
    "loop": (lambda path: path.symlink_to(path.name), OSError, ""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path, what: str) -> None:
    make, error, message = REFUSED[what]
    path = tmp_path / what
    make(path)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(error) as caught:
        fileio.read_bounded(path, 1000)
    assert len(os.listdir("/dev/fd")) == before
    if message:
        assert str(caught.value) == message.format(path)
    else:
        assert caught.value.__notes__ == [f"cannot read '{path}'"]


def test_a_file_that_says_it_is_empty_is_read_within_the_limit(tmp_path: Path) -> None:
    path = Path("/proc/self/maps")
    if not path.exists():
        pytest.skip("no file system here has files that say they are empty and aren't")
    assert path.stat().st_size == 0
    assert b"python" in fileio.read_bounded(path, 1 << 20)
    with pytest.raises(FormatError, match="is larger than 100 bytes"):
        fileio.read_bounded(path, 100)


# Writing


@pytest.mark.parametrize("write", [fileio.write_atomic, fileio.write_new])
def test_a_new_file_is_whole_and_alone(tmp_path: Path, write: Write) -> None:
    path = tmp_path / ("x" * 255)
    write(path, NEW)
    assert path.read_bytes() == NEW
    assert names(tmp_path) == [path.name]
    assert path.stat().st_nlink == 1


def test_an_old_file_is_replaced(old: Path) -> None:
    before = old.open("rb")
    fileio.write_atomic(old, NEW)
    with before:
        assert before.read() == OLD
    assert old.read_bytes() == NEW
    assert names(old.parent) == ["file"]


def test_readers_see_the_old_bytes_or_the_new(old: Path) -> None:
    seen: set[bytes] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.add(old.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for data in [NEW, OLD] * 25:
            fileio.write_atomic(old, data)
    finally:
        ended.set()
        reader.join()
    assert seen <= {OLD, NEW}
    assert seen


STANDS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_bytes(OLD),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link": lambda path: path.symlink_to("/dev/null"),
    "directory": Path.mkdir,
    "fifo": os.mkfifo,
}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("stands", STANDS)
def test_write_new_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands: str, links: bool
) -> None:
    path = tmp_path / "file"
    STANDS[stands](path)
    before = path.lstat()
    if not links:
        monkeypatch.setattr(os, "link", _fail(errno.EPERM))
    with pytest.raises(OverwriteError, match=r"^'.*/file' already exists\Z"):
        fileio.write_new(path, NEW)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_size,
        before.st_mtime_ns,
    )
    assert names(tmp_path) == ["file"]


def _fail(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_without_hard_links_write_new_works_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", _fail(errno.EPERM))
    fileio.write_new(tmp_path / "file", NEW, mode=0o600)
    assert (tmp_path / "file").read_bytes() == NEW
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("write", [fileio.write_atomic, fileio.write_new])
def test_the_mode_is_right_from_the_first_instant(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., None],
    links: bool,
) -> None:
    path = tmp_path / "secret"
    seen: list[int] = []
    make = os.open

    def look(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        fd = make(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            assert flags & os.O_EXCL
            seen.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return fd

    monkeypatch.setattr(os, "open", look)
    if not links:
        monkeypatch.setattr(os, "link", _fail(errno.EPERM))
    # Were the mode set afterwards, that would end here.
    monkeypatch.setattr(os, "chmod", _fail(errno.EPERM))
    monkeypatch.setattr(os, "fchmod", _fail(errno.EPERM))
    before = os.umask(0)
    try:
        write(path, NEW, mode=0o600)
    finally:
        os.umask(before)
    assert set(seen) == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_umask_counts(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        fileio.write_atomic(tmp_path / "file", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


FAULTS = [
    (write, call, number)
    for write, call in [
        (fileio.write_atomic, "open"),
        (fileio.write_atomic, "fsync"),
        (fileio.write_atomic, "replace"),
        (fileio.write_new, "open"),
        (fileio.write_new, "fsync"),
    ]
    for number in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES)
]


@pytest.mark.parametrize(
    ("write", "call", "number"),
    FAULTS,
    ids=[f"{write.__name__}-{call}-{errno.errorcode[number]}" for write, call, number in FAULTS],
)
def test_row_27_a_failed_write_leaves_what_was_there(
    old: Path, monkeypatch: pytest.MonkeyPatch, write: Write, call: str, number: int
) -> None:
    path = old if write is fileio.write_atomic else old.with_name("new")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, _fail(number))
        with pytest.raises(OSError) as caught:
            write(path, NEW)
    assert caught.value.errno == number
    assert caught.value.__notes__ == [f"cannot write '{path}'"]
    assert names(old.parent) == ["file"]
    assert old.read_bytes() == OLD


@pytest.mark.parametrize("write", [fileio.write_atomic, fileio.write_new])
def test_an_interruption_leaves_no_temporary_file(
    old: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    def interrupt(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(old, NEW)
    assert names(old.parent) == ["file"]
    assert old.read_bytes() == OLD


def test_a_directory_that_cannot_be_synced_is_no_failure(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse_directories(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(fd)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    fileio.write_atomic(old, NEW)
    assert old.read_bytes() == NEW


def _within_a_size_limit(directory: str) -> None:
    import resource

    old = Path(directory) / "file"
    # Writing ends in the middle: a count first, the error next.
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    for write, path in [(fileio.write_atomic, old), (fileio.write_new, old.with_name("new"))]:
        with pytest.raises(OSError) as caught:
            write(path, NEW)
        assert caught.value.errno == errno.EFBIG
        assert names(old.parent) == ["file"]
        assert old.read_bytes() == OLD


def test_row_27_a_short_write_leaves_what_was_there(old: Path) -> None:
    alone(_within_a_size_limit, old.parent)


FULL = """
mount -t tmpfs -o size=64k none "$1" || exit 77
cp "$2" "$1/m.json" && chmod 640 "$1/m.json"
head -c 200000 /dev/zero > "$1/filler" 2>/dev/null
shift 2
"$@"
echo "code $?"
cd "$PLACE" && ls -A && sha256sum m.json
"""


def test_row_27_a_full_disk_leaves_the_old_manifest(
    model: Path, keys: Keys, signed: Path, tmp_path: Path
) -> None:
    for number in range(400):
        (model / f"{number:03}.txt").touch()  # a manifest that no longer fits
    place = tmp_path / "full"
    place.mkdir()
    command = [sys.executable, "-m", "modelseal", "sign", "--model-dir", str(model)]
    command += ["--key", str(keys.private), "--signer-id", "a", "--output", f"{place}/m.json"]
    done = subprocess.run(
        [need("unshare"), "-m", "sh", "-c", FULL, "sh", place, signed, *command],
        cwd=TOP,
        env={**os.environ, "PLACE": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode in (1, 77) and "code " not in done.stdout:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    digest = subprocess.run(
        [need("sha256sum"), signed], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert done.stdout.splitlines() == ["code 1", "filler", "m.json", f"{digest}  m.json"]
    assert done.stderr == (f"error: cannot write '{place}/m.json': no space left on device\n")
    assert names(place) == []


@pytest.mark.parametrize(
    ("bits", "exposed"),
    [(0o600, False), (0o400, False), (0o700, False), (0o640, True), (0o604, True), (0o620, True)],
    ids=lambda value: f"{value:03o}" if type(value) is int else "",
)
def test_exposed(bits: int, exposed: bool, tmp_path: Path) -> None:
    path = tmp_path / "private.pem"
    path.touch()
    path.chmod(bits)
    assert fileio.exposed(path) is exposed


def test_a_link_is_judged_by_its_file(tmp_path: Path) -> None:
    path, link = tmp_path / "private.pem", tmp_path / "link.pem"
    path.touch(mode=0o600)
    link.symlink_to(path)
    assert not fileio.exposed(link)
    path.chmod(0o644)
    assert fileio.exposed(link)
