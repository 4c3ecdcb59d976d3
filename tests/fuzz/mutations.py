"""Ways to spoil an input, by chance."""

import json
import random
from typing import Final

JSON: Final = frozenset({"manifest", "registry", "outline", "bundle", "statement"})
"""The targets whose inputs are JSON."""

_AWKWARD: Final[tuple[object, ...]] = (
    *("", "\0", "é", "😀", "\x7f", "../x", "a/b", "\\"),
    *(-1, 0, 2**63, 1.5, None, True, [], {}),
)


def json_values(data: bytes, source: random.Random) -> bytes | None:
    """JSON with some of its values changed, in one of two spellings; None for what is no JSON."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    for _ in range(source.randint(1, 3)):
        value = _change(value, source)
    canonical = source.random() < 0.5
    separators = (",", ":") if canonical else None
    return json.dumps(value, sort_keys=canonical, separators=separators).encode()


def raw(data: bytes, source: random.Random) -> bytes:
    """Bytes with a few of them changed, removed, doubled or swapped."""
    mutated = bytearray(data)
    for _ in range(source.randint(1, 4)):
        start, end = sorted(source.choices(range(len(mutated) + 1), k=2))
        kind = source.randrange(5)
        if kind == 0 and mutated:
            mutated[min(start, len(mutated) - 1)] ^= 1 << source.randrange(8)
        elif kind == 1:
            mutated[start:start] = source.randbytes(source.randint(1, 4))
        elif kind == 2:
            del mutated[start : min(end, start + 8)]
        elif kind == 3:
            mutated[start:start] = mutated[start:end]
        else:
            mutated[start:end] = mutated[start:end][::-1]
    return bytes(mutated)


def _change(value: object, source: random.Random) -> object:
    if isinstance(value, dict) and value and source.random() < 0.9:
        name = source.choice(list(value))
        kind = source.random()
        if kind < 0.05:
            return {each: value[each] for each in value if each != name}
        if kind < 0.1:
            return {**value, name + "x": value[name]}
        return {**value, name: _change(value[name], source)}
    if isinstance(value, list) and value and source.random() < 0.9:
        place = source.randrange(len(value))
        kind = source.random()
        if kind < 0.2:
            return [*value, value[place]]
        if kind < 0.3:
            return value[:place] + value[place + 1 :]
        return [*value[:place], _change(value[place], source), *value[place + 1 :]]
    if isinstance(value, str) and value and source.random() < 0.7:
        place = source.randrange(len(value))
        other = chr(source.choice([source.randrange(128), source.randrange(0xD800)]))
        return value[:place] + other + value[place + source.randint(0, 1) :]
    if type(value) is int and source.random() < 0.7:
        return value + source.choice([-1, 1, 2**32, 2**62])
    return source.choice(_AWKWARD)
