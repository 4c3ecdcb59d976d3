"""Which version of a model was last verified here: what an older one is measured against."""

import os

from modelseal import fileio
from modelseal.canonical import canonical
from modelseal.errors import StoreDamagedError
from modelseal.store import Store, Verified, adding, layout, log, manifests
from modelseal.structs import SignedManifest

_WORDS = 5


def path_of(root: str, name: str) -> str:
    """The file for a model's name."""
    return os.path.join(root, "verified", layout.file_name(name))


def parse(data: bytes, path: str) -> tuple[str, Verified]:
    """The file's content as the model's name and what was noted. Raises StoreDamagedError."""
    said = log.words(data[:-1]) if data.endswith(b"\n") else None
    if said is None or len(said) != _WORDS or not manifests.is_id(said[1]):
        raise StoreDamagedError(f"'{path}' is damaged", hint="remove it to begin anew")
    try:
        name, version, created_at = (layout.decode(word) for word in (said[2], said[3], said[4]))
    except ValueError:
        raise StoreDamagedError(f"'{path}' is damaged", hint="remove it to begin anew") from None
    return name, Verified(said[1], version, created_at, said[0])


def get(root: str, name: str) -> Verified | None:
    """As `Store.last_verified`."""
    path = path_of(root, name)
    data = layout.read_small(path)
    if data is None:
        return None
    said, noted = parse(data, path)
    if said != name:
        raise StoreDamagedError(f"'{path}' is damaged", hint="remove it to begin anew")
    return noted


def note(store: Store, signed: SignedManifest) -> None:
    """As `Store.note_verified`."""
    data = canonical(signed)
    id_, said = manifests.id_of(data), manifests.outline(data)
    noted = get(store.path, said.name)
    if noted is not None and noted.id == id_:
        return
    texts = (said.name, said.version, said.created_at)
    line = log.signed_line([log.now(), id_, *map(layout.encode, texts)])
    with adding.writing(store):
        layout.make_directory(os.path.join(store.path, "verified"))
        fileio.write_atomic(path_of(store.path, said.name), line)
