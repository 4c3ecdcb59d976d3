"""A disk whose power can be cut: an ext4 image, mounted through a loop device."""

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, of the kernel's include/uapi/linux/ext4.h."""
NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: what wasn't synced is gone."""

MIB = 1 << 20


class NoDiskError(Exception):
    """This place can't mount a disk; says why."""


class Disk:
    """Mounted while the context lasts. path: where."""

    def __init__(self, directory: Path, size: int = 64 * MIB) -> None:
        """Make an image and a mount point in `directory`; size: bytes."""
        self.path = directory / "disk"
        self._image = directory / "disk.img"
        self._size = size

    def __enter__(self) -> "Disk":
        if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
            raise NoDiskError("it takes root, and mkfs.ext4")
        self.path.mkdir()
        with open(self._image, "wb") as file:
            file.truncate(self._size)
        _do("mkfs.ext4", "-q", self._image)
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        _do("umount", self.path)
        self._image.unlink()
        self.path.rmdir()

    def sync(self) -> None:
        """Have all that was written so far on the disk."""
        _do("sync", "-f", self.path)

    def cut(self) -> None:
        """Cut the power, and start again with what had reached the disk."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("i", NO_LOG_FLUSH))
        finally:
            os.close(fd)
        _do("umount", self.path)
        self._mount()

    def _mount(self) -> None:
        # Nothing gets to the disk on its own while a test lasts.
        _do("mount", "-o", "loop,commit=600", self._image, self.path)


def _do(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoDiskError(f"{command[0]}: {done.stderr.strip()}")
