"""What the text of a key file says of the key, without loading it."""

import re
from typing import Final

from modelseal import openssh

LIMIT: Final = 1 << 20
"""Bytes of a key file; a larger file is refused unread."""

_LABEL = re.compile(rb"^-----BEGIN ([A-Z0-9 ]{1,40})-----", re.MULTILINE)


def label(data: bytes) -> str:
    """What the first PEM block says it is; `openssl ecparam` writes parameters before its key."""
    labels = (found[1].decode() for found in _LABEL.finditer(data))
    return next((label for label in labels if label != "EC PARAMETERS"), "")


def is_plain(data: bytes) -> bool:
    """Whether this is surely no encrypted private key; of others only loading them tells."""
    said = label(data)
    if said == "OPENSSH PRIVATE KEY":
        found = openssh.header(data)
        return found is not None and not found.encrypted
    # RFC 7468: what is encrypted has another label, or in older forms a header that says so.
    return said == "PRIVATE KEY" and b"ENCRYPTED" not in data
