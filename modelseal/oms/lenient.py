"""JSON of others: fields that we don't know may be there, but nothing may be there twice."""

import base64
import binascii
from typing import TypeVar

import msgspec

from modelseal.documents import count_strings, explain
from modelseal.errors import FormatError

_T = TypeVar("_T")


def decode(data: bytes, type_: type[_T]) -> _T:
    """Decode JSON into a msgspec struct, leaving unknown fields aside.

    data: UTF-8 without a byte-order mark.
    Raises FormatError for anything but one JSON value of that type, and for a repeated key at any
    level, known or not: two readers could see different files under one signature.
    """
    try:
        value = msgspec.json.decode(data, type=type_)
        # A repeated key adds at least one string to the text, and none to what is read of it.
        if count_strings(data) != count_strings(msgspec.json.encode(msgspec.json.decode(data))):
            raise FormatError("a key is repeated")
    except msgspec.MsgspecError as err:
        raise FormatError(explain(err)) from None
    except UnicodeError:
        raise FormatError("the text is not valid UTF-8") from None
    except RecursionError:
        raise FormatError("the JSON is nested too deeply") from None
    return value


def decode_part(data: msgspec.Raw, type_: type[_T], name: str) -> _T:
    """Decode a part of what `decode` has seen. Raises FormatError, naming the part."""
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.MsgspecError as err:
        raise FormatError(f"{name}: {explain(err)}") from None


def from_base64(text: str, name: str) -> bytes:
    """Decode base64 with padding (RFC 4648, section 4). Raises FormatError, naming the field."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    # Python passes over padding where nothing is left to pad.
    if data is None or len(text) != (len(data) + 2) // 3 * 4:
        raise FormatError(f"{name}: it is not valid base64")
    return data
