"""A document's only bytes: what is signed, and what a document is named by."""

import codecs
import hashlib
from typing import Final

import msgspec

from modelseal.documents import Document

_PIECE: Final = 1 << 20
"""Bytes looked at in one go: decoded, non-ASCII text may take four times as many."""

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(document: Document) -> bytes:
    r"""The one encoding of a document.

    Byte for byte `json.dumps(data, sort_keys=True, separators=(",", ":")).encode()`: keys sorted,
    no white space, DEL and everything non-ASCII as `\uXXXX`, surrogate pairs above U+FFFF, times
    as RFC 3339 with `Z` for UTC and microseconds only where they aren't zero.
    """
    return escape(_encoder.encode(document))


def identifier(document: Document) -> str:
    """What a document is named by: the SHA-256 of its canonical bytes, in hex."""
    return hashlib.sha256(canonical(document)).hexdigest()


def escape(data: bytes) -> bytes:
    r"""JSON in UTF-8 → the same JSON in ASCII, with DEL and everything above it as `\uXXXX`."""
    if data.isascii():
        return data.replace(b"\x7f", rb"\u007f")
    pieces = []
    start = 0
    while start < len(data):
        end = start + _PIECE
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1  # never between the bytes of one character
        pieces.append(_escape_piece(data[start:end]))
        start = end
    return b"".join(pieces)


def _escape_piece(piece: bytes) -> bytes:
    if not piece.isascii():
        piece = piece.decode().encode("ascii", "modelseal.json")
    return piece.replace(b"\x7f", rb"\u007f")


def _escape_run(err: UnicodeError) -> tuple[str, int]:
    import json

    assert isinstance(err, UnicodeEncodeError)  # noqa: S101 - used with an encoder only
    return json.dumps(err.object[err.start : err.end])[1:-1], err.end


codecs.register_error("modelseal.json", _escape_run)
