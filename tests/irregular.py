"""Makes what is no regular file: sockets, devices, links."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest


def make_socket(path: Path) -> None:
    """One that nobody listens at any more."""
    listener = socket.socket(socket.AF_UNIX)
    back = Path.cwd()
    os.chdir(path.parent)  # a socket's name may have 107 bytes
    try:
        listener.bind(path.name)
    finally:
        os.chdir(back)
        listener.close()


def make_device(path: Path) -> None:
    """One as /dev/zero, or a skip."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root, with all its capabilities, makes devices")


def link_to(target: str) -> Callable[[Path], None]:
    """What makes a link there."""

    def make(path: Path) -> None:
        path.symlink_to(target)

    return make
