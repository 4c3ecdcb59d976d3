"""What our JSON documents have in common: strict structs, read strictly, written predictably."""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, Self, TypeVar

import msgspec

from modelseal.errors import FormatError

_T = TypeVar("_T")

_MESSAGE_LIMIT: Final = 500
"""Characters of what is said of a value."""

_EXPLAIN_LIMIT: Final = 1 << 20
"""Bytes of JSON up to which a repeated key is worth a second, slower look to name it."""


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object with fixed fields.

    Its values are checked whether it is constructed or decoded; FormatError, a ValueError, is
    raised for a wrong one.
    """

    def __post_init__(self) -> None:
        # msgspec checks types when it decodes, and nothing when it constructs.
        for field in msgspec.structs.fields(self):
            given = getattr(self, field.name)
            try:
                value = msgspec.convert(given, field.type)
            except msgspec.ValidationError as err:
                raise FormatError(f"{field.name}: {explain(err)}") from None
            if value is not given:
                msgspec.structs.force_setattr(self, field.name, value)
            if isinstance(value, str) and not value.isascii():
                check_text(field.name, value)
            elif isinstance(value, datetime):
                _check_time(field.name, value)

    def model_dump_json(self, indent: int | None = None) -> str:
        """The document as JSON text, fields in their declared order.

        indent: blanks a level; None for one line.
        """
        return (msgspec.json.encode(self) if indent is None else self.pretty(indent)).decode()

    def pretty(self, indent: int = 2) -> bytes:
        """The same as bytes of UTF-8, for a file that people look into."""
        return msgspec.json.format(msgspec.json.encode(self), indent=indent)

    def model_dump(self) -> dict[str, Any]:
        """The document as dicts, lists, strings, numbers and datetimes."""
        dumped: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(datetime,))
        return dumped

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """A copy with the fields in `update` replaced; they are checked like any other."""
        return msgspec.structs.replace(self, **(update or {}))

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Self:
        """Decode JSON as `decode` does."""
        return decode(text, cls)


def decode(text: str | bytes, type_: type[_T]) -> _T:
    """Decode JSON into a Document, or a list of them, leaving nothing to interpretation.

    text: UTF-8 without a byte-order mark.
    Raises FormatError for anything but one JSON value of that type: unknown, missing or repeated
    keys at any level, other types, values out of range, trailing data.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
        value = msgspec.json.decode(data, type=type_)
        # msgspec keeps the last of two equal keys: without this, two readers could see
        # different files under one valid signature.
        if count_strings(data) != _expected_strings(data, value):
            raise FormatError(_name_repeated_key(data))
    except msgspec.MsgspecError as err:
        raise FormatError(explain(err)) from None
    except UnicodeError:
        raise FormatError("the text is not valid UTF-8") from None
    return value


def count_strings(data: bytes) -> int:
    """How many strings, keys included, valid JSON holds: half its quotation marks."""
    quotes = data.count(b'"')
    if b"\\" in data:
        # Once pairs of backslashes are gone, a backslash before a quotation mark escapes it.
        quotes -= data.replace(rb"\\", b"").count(rb"\"")
    return quotes // 2


def _expected_strings(data: bytes | msgspec.Raw, value: object) -> int:
    """How many strings the JSON of `value` holds where no key is repeated.

    A repeated key adds at least one string to the text and none to this count.
    """
    if isinstance(value, Document):
        present = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return sum(1 + _expected_strings(raw, getattr(value, key)) for key, raw in present.items())
    if isinstance(value, list):
        if value and isinstance(value[0], Document) and (each := _fixed_strings(type(value[0]))):
            return each * len(value)
        raws = msgspec.json.decode(data, type=list[msgspec.Raw])
        return sum(map(_expected_strings, raws, value))
    return 0 if value is None or isinstance(value, int) else 1


@cache
def _fixed_strings(type_: type[Document]) -> int:
    """The same count for every value of a type whose fields are required scalars; else 0."""
    total = 0
    for field in msgspec.structs.fields(type_):
        if not field.required or field.type not in (str, int):
            return 0
        total += 1 + (field.type is str)
    return total


def _name_repeated_key(data: bytes) -> str:
    if len(data) > _EXPLAIN_LIMIT:
        return "a key is repeated"
    import json

    repeated: list[str] = []

    def look(pairs: list[tuple[str, object]]) -> None:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)

    json.loads(data, object_pairs_hook=look)
    return f"key {repeated[0]!r} is repeated"


_WHERE = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<where>.*)`)?", re.DOTALL)


def explain(err: Exception) -> str:
    """msgspec's message in our form: the field first, then what is wrong with it."""
    found = _WHERE.fullmatch(str(err))
    assert found  # noqa: S101 - the pattern matches every text
    what = found["what"].replace("`", "'")
    what = what.removeprefix("JSON is malformed: ")
    if what == "Input data was truncated":
        what = "the JSON ends too early"
    what = what[:1].lower() + what[1:]
    if len(what) > _MESSAGE_LIMIT:  # it quotes the document
        what = f"{what[:_MESSAGE_LIMIT]}…"
    return f"{found['where']}: {what}" if found["where"] else what


def check_text(name: str, value: str) -> None:
    """Refuse what can't be written as UTF-8. Raises FormatError."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FormatError(f"{name}: {value!r} is not valid Unicode") from None


def _check_time(name: str, value: datetime) -> None:
    # The text form has minutes only; seconds would vanish, and the signature with them.
    offset = value.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        raise FormatError(f"{name}: the offset from UTC is not whole minutes")
