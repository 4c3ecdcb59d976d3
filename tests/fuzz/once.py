"""JSON read with the standard library, for comparison with what a reader made of it."""


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A hook for pairs that takes each key once."""
    found = dict(pairs)
    assert len(found) == len(pairs), "a key is repeated"
    return found
