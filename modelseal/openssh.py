"""The part of an OpenSSH private key file that is not encrypted.

Source: PROTOCOL.key of OpenSSH.
"""

import base64
import binascii
import re
from typing import Final, NamedTuple

_BODY = re.compile(
    rb"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL
)
_MAGIC: Final = b"openssh-key-v1\0"
_BCRYPT: Final = b"bcrypt"


class Header(NamedTuple):
    """What stands before the private key.

    encrypted: whether a passphrase is needed. rounds: of bcrypt; 0 where there are none.
    public: the public key as a line of OpenSSH's. Nothing proves that it belongs to the private
    one.
    """

    encrypted: bool
    rounds: int
    public: bytes


def header(data: bytes) -> Header | None:
    """The header of an OpenSSH private key file; None for anything else, or a damaged one."""
    body = _BODY.search(data)
    if body is None:
        return None
    try:
        return _header(binascii.a2b_base64(body[1]))
    except (binascii.Error, ValueError):
        return None


def _header(blob: bytes) -> Header:
    if not blob.startswith(_MAGIC):
        raise ValueError("another kind of key")
    cipher, rest = _string(blob[len(_MAGIC) :])
    kdf, rest = _string(rest)
    options, rest = _string(rest)
    keys, rest = _number(rest)
    if keys != 1:
        raise ValueError("not one key")
    public, _ = _string(rest)
    rounds = 0
    if kdf == _BCRYPT:
        _, options = _string(options)  # the salt
        rounds, _ = _number(options)
    kind, _ = _string(public)
    return Header(cipher != b"none", rounds, kind + b" " + base64.b64encode(public))


def _number(data: bytes) -> tuple[int, bytes]:
    """A 32-bit number, and what follows it."""
    if len(data) < 4:
        raise ValueError("cut short")
    return int.from_bytes(data[:4], "big"), data[4:]


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A string with its length before it, and what follows it."""
    length, rest = _number(data)
    if len(rest) < length:
        raise ValueError("cut short")
    return rest[:length], rest[length:]
