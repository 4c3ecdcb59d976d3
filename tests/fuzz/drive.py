"""One target under atheris: `python -m tests.fuzz.drive TARGET [libFuzzer's arguments]`."""

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["modelseal"]):
    from tests.fuzz import mutations, readers


def main() -> None:
    """Run until libFuzzer has had enough."""
    name = sys.argv.pop(1)
    target = readers.TARGETS[name]
    memory = Path("/dev/shm")  # where no fsync takes long
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:

        def once(data: bytes) -> None:
            target(data, Path(scratch))

        more = {"custom_mutator": _mutate} if name in mutations.JSON else {}
        atheris.Setup(sys.argv, once, **more)
        atheris.Fuzz()


def _mutate(data: bytes, limit: int, seed: int) -> bytes:
    """Change a value of the JSON in one case of two, else any bytes."""
    source = random.Random(seed)
    mutated = mutations.json_values(data, source) if source.random() < 0.5 else None
    if mutated is None or len(mutated) > limit:
        mutated = bytes(atheris.Mutate(data, limit))
    return mutated


if __name__ == "__main__":
    main()
