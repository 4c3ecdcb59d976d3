"""What is set once and for all: `[modelseal]` in TOML files, and which of several counts.

Source: TOML 1.0.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from modelseal import fileio
from modelseal.errors import FormatError

Value = str | bool | int

FILE_NAME: Final = "config.toml"
FILE_LIMIT: Final = 1 << 16
"""Bytes of a configuration file; a larger one is refused unread."""

REQUIRE_LIMIT: Final = 1000
_TABLE: Final = "modelseal"


class Rule(NamedTuple):
    """What a setting may be.

    kind: the type of its values. words: those that exist, the strictest last; empty for any.
    policy: whether it decides what passes.
    """

    kind: type
    default: Value | None
    words: tuple[str, ...] = ()
    policy: bool = False

    def strictness(self, value: Value | None) -> int:
        """Higher lets less pass."""
        if isinstance(value, str):
            return self.words.index(value)
        return int(value or 0)


RULES: Final[dict[str, Rule]] = {
    "key": Rule(str, None),
    "signer_id": Rule(str, None),
    "precheck": Rule(bool, False),
    "require": Rule(int, 1, policy=True),
    "hook.require": Rule(str, "signed", words=("any", "signed"), policy=True),
    "hook.check": Rule(str, "tip", words=("tip", "every"), policy=True),
}


class Setting(NamedTuple):
    """A value, and where it comes from.

    origin: `environment`, `store`, `user` or `default`. where: the variable, or the file.
    """

    value: Value | None
    origin: str = "default"
    where: str = ""


class Level(NamedTuple):
    """What is set in one place.

    values: setting → value. where: setting → the variable or file that it stands in.
    bound: whether it may only make a policy stricter.
    """

    origin: str
    values: Mapping[str, Value]
    where: Mapping[str, str]
    bound: bool = False


def resolve(levels: Sequence[Level]) -> dict[str, Setting]:
    """What counts of each setting. levels: the one that counts first comes first."""
    return {name: _resolve(name, levels) for name in RULES}


def _resolve(name: str, levels: Sequence[Level]) -> Setting:
    if not levels:
        return Setting(RULES[name].default)
    first, *others = levels
    other = _resolve(name, others)
    if name not in first.values:
        return other
    own = Setting(first.values[name], first.origin, first.where[name])
    rule = RULES[name]
    if first.bound and rule.policy and rule.strictness(own.value) < rule.strictness(other.value):
        return other
    return own


def load(path: str, origin: str, *, bound: bool = False) -> Level | None:
    """What a configuration file sets; None where there is none.

    Raises FormatError, which names file and setting, for one that breaks a rule; OSError.
    """
    try:
        data = fileio.read_bounded(path, FILE_LIMIT)
    except FileNotFoundError:
        if os.path.islink(path):  # what it set is lost, and might have been a policy
            raise
        return None
    try:
        values = decode(data)
    except FormatError as err:
        raise FormatError(f"configuration '{path}': {err}", hint=err.hint) from None
    return Level(origin, values, dict.fromkeys(values, path), bound)


def decode(data: bytes) -> dict[str, Value]:
    """The settings in a configuration file. Raises FormatError."""
    document = _parse(data)
    stray = next((name for name in document if name != _TABLE), None)
    if stray is not None:
        hint = f"settings stand below a line '[{_TABLE}]'"
        raise FormatError(f"'{stray}' is not below [{_TABLE}]", hint=hint)
    found = dict(_flat(document.get(_TABLE, {}), ""))
    for name, value in found.items():
        _check(name, value)
    return {name: value for name, value in found.items() if isinstance(value, Value)}


def _parse(data: bytes) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise FormatError("it is not UTF-8") from None
    except RecursionError:
        raise FormatError("it is nested too deeply") from None
    except ValueError as err:  # TOMLDecodeError, and an integer of thousands of digits
        reason = str(err)
        raise FormatError(f"it is not TOML: {reason[:1].lower()}{reason[1:]}") from None


def _flat(table: object, prefix: str) -> list[tuple[str, object]]:
    """`{"hook": {"check": x}}` → `hook.check`; what is no table where one belongs stays."""
    if not isinstance(table, dict):
        return [(prefix.rstrip(".") or _TABLE, table)]
    groups = {name.partition(".")[0] for name in RULES if "." in name}
    found: list[tuple[str, object]] = []
    for name, value in table.items():
        if not prefix and name in groups:
            found += _flat(value, f"{name}.")
        else:
            # A quoted "hook.check" is another name than hook.check, and none of ours.
            found.append((prefix + (f'"{name}"' if "." in name else name), value))
    return found


def _check(name: str, value: object) -> None:
    rule = RULES.get(name)
    if rule is None:
        from difflib import get_close_matches

        near = get_close_matches(name, RULES, n=1)
        known = ", ".join(RULES)
        raise FormatError(
            f"unknown setting '{name}'",
            hint=f"did you mean '{near[0]}'?" if near else f"there are: {known}",
        )
    if type(value) is not rule.kind:
        names = {str: "a string", bool: "true or false", int: "a whole number"}
        raise FormatError(f"'{name}' must be {names[rule.kind]}")
    if rule.words and value not in rule.words:
        raise FormatError(f"'{name}' must be {' or '.join(map(repr, rule.words))}")
    if isinstance(value, str) and (not value or "\0" in value):
        raise FormatError(f"'{name}' is {'not a name' if value else 'empty'}")
    if rule.kind is int and not 1 <= int(str(value)) <= REQUIRE_LIMIT:
        raise FormatError(f"'{name}' must be from 1 to {REQUIRE_LIMIT:,}")


def path_of(setting: Setting, base: str) -> str:
    """A path as a file sets it: `~` is the home, what is relative begins at `base`."""
    return os.path.join(base, os.path.expanduser(str(setting.value)))


def is_within(path: str, directory: str) -> bool:
    """Whether a path, links followed, lies in a directory or is it."""
    real = os.path.realpath(directory)
    return os.path.commonpath([real, os.path.realpath(path)]) == real
