"""What the values of arguments may become: paths, what a store knows, people.

All comes from listing directories and, for publishers, from JSON files, so that nothing heavy is
loaded for it.
"""

import os
import sys
from argparse import Action, Namespace
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice

from modelseal.errors import ModelSealError

TYPE_CHECKING = False  # typing itself would cost every Tab its import
if TYPE_CHECKING:
    from typing import Any

Offers = Mapping[str, str] | Collection[str]
"""What may be typed, with what is said of each where there is something to say."""

Kind = Callable[[str, Namespace], Offers]
"""What has been typed of a value, and the arguments before it → what it may become."""

_KEYS = (".pem", ".key", ".pub", "id_ed25519", "id_ecdsa")
_MANIFESTS = (".json", ".sig")
_RECENT = 1000
"""Seals of the log that are looked at for signers."""
_REGISTRY_LIMIT = 16 << 20
"""Bytes of a registry that is worth a Tab's time."""
_ID_DIGITS = 12
_SHARD_DIGITS = 2


def kind_of(action: Action, command: str) -> Kind:
    """What the values of a command's argument are. Raises KeyError where nobody has said it."""
    metavar = action.metavar
    for name in action.option_strings or [action.dest]:
        for known in (f"{command} {name}", name):
            if known in _BY_NAME:
                return _BY_NAME[known]
    return _BY_METAVAR[metavar if isinstance(metavar, str) else ""]


# Paths.


def _paths(prefix: str, below: str = "") -> tuple[list[str], list[str]]:
    """The directories, with a slash, and the files that a path may become; sorted."""
    start, name = os.path.split(prefix)
    head = prefix[: len(prefix) - len(name)]
    directories, files = [], []
    with os.scandir(os.path.join(below, os.path.expanduser(start)) or ".") as entries:
        for entry in entries:
            if not entry.name.startswith(name) or (entry.name[0] == "." and not name):
                continue
            if entry.is_dir():
                directories.append(f"{head}{entry.name}/")
            else:
                files.append(head + entry.name)
    return sorted(directories), sorted(files)


def _files(prefix: str, args: Namespace) -> Offers:
    directories, files = _paths(prefix)
    return files + directories


def _directories(prefix: str, args: Namespace) -> Offers:
    return _paths(prefix)[0]


def _in_model(prefix: str, args: Namespace) -> Offers:
    directories, files = _paths(prefix, os.path.expanduser(_model(args)))
    return files + directories


def _ending(*endings: str) -> Kind:
    """Files with such names, the first ending first; all files where there is none."""

    def kind(prefix: str, args: Namespace) -> Offers:
        directories, files = _paths(prefix)
        first = [file for ending in endings for file in files if file.endswith(ending)]
        return (first or files) + directories

    return kind


def _nothing(prefix: str, args: Namespace) -> Offers:
    return ()


# What a store knows.


def _model(args: Namespace) -> str:
    for name in ("model_dir", "directory"):
        given: str | None = getattr(args, name, None)
        if given:
            return given
    return "."


def _store(args: Namespace) -> str | None:
    """The store that the command would use; its path."""
    from modelseal.store import layout

    given = getattr(args, "store", None) or os.environ.get("MODELSEAL_DIR")
    if given:
        return layout.open_(os.path.expanduser(given), repairing=False)
    return layout.find(os.path.expanduser(_model(args)), repairing=False)


def _names(prefix: str, args: Namespace) -> Offers:
    store = _store(args)
    return _decoded(os.path.join(store, "refs")) if store else ()


def _decoded(directory: str) -> list[str]:
    """The names in a directory of refs; not those too long to be file names, which have ids."""
    from modelseal.store import layout

    return [
        layout.decode(word)
        for word in layout.names_in(directory)
        if not (layout.is_leftover(word) or word.startswith("%%"))
    ]


def _revisions(prefix: str, args: Namespace) -> Offers:
    """Names; versions of a name that is whole; ids, of which something must be typed; paths."""
    from modelseal.store import layout

    offers: dict[str, str] = {}
    with suppress(OSError, ValueError, ModelSealError):
        store = _store(args)
        if store:
            names = _decoded(os.path.join(store, "refs"))
            offers = {name: "latest seal" for name in names if name.startswith(prefix)}
            whole = [name for name in names if prefix.startswith(f"{name}@")]
            for name in list(offers) if len(offers) == 1 else whole:
                for version in _decoded(os.path.join(store, "refs", layout.file_name(name))):
                    offers[f"{name}@{version}"] = "sealed version"
            offers |= dict.fromkeys(_ids(store, prefix), "id of a seal")
    if not any(word.startswith(prefix) for word in offers):
        with suppress(OSError):
            return _files(prefix, args)
    return offers


def _ids(store: str, prefix: str) -> Iterator[str]:
    shard, rest = prefix[:_SHARD_DIGITS], prefix[_SHARD_DIGITS:]
    if len(shard) < _SHARD_DIGITS or not set(prefix) <= set("0123456789abcdef"):
        return
    from modelseal.store import layout

    for name in layout.names_in(os.path.join(store, "manifests", shard)):
        if name.startswith(rest) and name.endswith(".json"):
            whole = shard + name.removesuffix(".json")
            yield whole if len(prefix) > _ID_DIGITS else whole[:_ID_DIGITS]


def _revisions_or_directories(prefix: str, args: Namespace) -> Offers:
    offers = _revisions(prefix, args)
    with suppress(OSError):
        return {**dict.fromkeys(_directories(prefix, args), "directory"), **_described(offers)}
    return offers


def _described(offers: Offers) -> Mapping[str, str]:
    return offers if isinstance(offers, Mapping) else dict.fromkeys(offers, "")


# People.


def _publishers(prefix: str, args: Namespace) -> Offers:
    """Who is in a registry; the nearest one says under which name."""
    found: dict[str, str] = {}
    for publisher in _registered(args):
        found.setdefault(publisher["publisher_id"], f"publisher {publisher['name']}")
    return found


def _fingerprints(prefix: str, args: Namespace) -> Offers:
    """The keys of the publisher that was named."""
    found = {}
    for publisher in _registered(args):
        if publisher["publisher_id"] == getattr(args, "id", None):
            keys = publisher.get("keys")
            for key in keys if isinstance(keys, list) else ():
                if isinstance(key, dict) and isinstance(key.get("fingerprint"), str):
                    found[key["fingerprint"]] = "key since " + str(key.get("trusted_since"))
    return found


def _registered(args: Namespace) -> "Iterator[dict[str, Any]]":
    """Publishers with an id and a name, nearest registry first."""
    import json

    from modelseal import fileio

    for path in _registries(args):
        with suppress(OSError, ValueError, ModelSealError):
            listed = json.loads(fileio.read_bounded(path, _REGISTRY_LIMIT))
            for entry in listed if isinstance(listed, list) else ():
                named = isinstance(entry, dict) and (entry.get("publisher_id"), entry.get("name"))
                if named and all(isinstance(text, str) for text in named):
                    yield entry


def _registries(args: Namespace) -> Iterator[str]:
    """Where publishers are registered, nearest first: the option, the store, the user."""
    given = getattr(args, "registry", None)
    if given:
        yield os.path.expanduser(given)
    with suppress(OSError, ModelSealError):
        store = _store(args)
        if store:
            yield os.path.join(store, "trust.json")
    # Where platformdirs has it, which takes longer to load than a Tab may.
    settings = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(settings):
        home = "~/Library/Application Support" if sys.platform == "darwin" else "~/.config"
        settings = os.path.expanduser(home)
    yield os.path.join(settings, "modelseal", "trust.json")


def _signers(prefix: str, args: Namespace) -> Offers:
    """Publishers, and who signed here lately."""
    from modelseal.store import log

    found = dict(_described(_publishers(prefix, args)))
    with suppress(OSError, ModelSealError):
        store = _store(args)
        if store:
            seals = log.seals(os.path.join(store, "log"), os.path.dirname(store))
            for seal in islice(seals, _RECENT):
                found.setdefault(seal.signer_id, "signed here")
    return found


_BY_NAME: dict[str, Kind] = {
    "file": _ending(*_KEYS, ".json", "allowed_signers"),
    "--framework": _nothing,
    "--identity": _nothing,
    "--key": _ending(*_KEYS),
    "--manifest": _ending(*_MANIFESTS),
    "--registry": _ending(".json"),
    "--signer-id": _signers,
    "trust revoke --key": _fingerprints,
}
"""Where an argument's own name, after its command's or alone, says more than its value's."""

_BY_METAVAR: dict[str, Kind] = {
    "": _nothing,
    "BYTES": _nothing,
    "DATE": _nothing,
    "DIR": _directories,
    "FILE": _files,
    "ID": _publishers,
    "N": _nothing,
    "NAME": _names,
    "PATH": _files,
    "PATTERN": _names,
    "PEM": _ending(".pem", ".crt", ".cer"),
    "REL": _in_model,
    "REMOTE": _nothing,
    "REV": _revisions,
    "REV|DIR": _revisions_or_directories,
    "SECONDS": _nothing,
    "TEXT": _nothing,
    "URL": _nothing,
    "VERSION": _nothing,
}
"""What a value is called in the help → what it may become."""
