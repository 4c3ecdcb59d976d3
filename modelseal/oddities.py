"""What stands in a model that nobody can sign or has signed, in words, and what may help."""

import os
from typing import TYPE_CHECKING, Final

from modelseal import fileio, paths, tree
from modelseal.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection

    from modelseal.report import Unsigned

_HINT_LINK: Final = "'--follow-symlinks' takes a link to a regular file as that file"
_HINT_SNAPSHOT: Final = (
    "this looks like a Hugging Face snapshot: '--follow-symlinks' takes its links as the files"
)
HINT_POINTER: Final = "fetch the content first: git lfs pull"

_DOWNLOAD_CACHE: Final = ".cache/huggingface"
_HINT_CACHE: Final = f"leave the download cache out: --ignore-path {_DOWNLOAD_CACHE}"
_HINT_UNSIGNED: Final = (
    "a loader may run what nobody signed: remove it, or let it pass with '--ignore-unsigned-files'"
)


def refuse_oddities(found: tree.Tree, model_dir: fileio.Location) -> None:
    """Raise for the first thing that can't be signed, as the walk sorted it."""
    for path, error in found.unlistable:
        error.add_note(f"cannot read '{path}'")
        raise error
    for odd in found.irregular:
        raise ModelError(f"cannot sign '{odd.path}': {odd.kind}", hint=hint_for(odd))
    if not found.files:
        raise ModelError(f"model directory '{os.fspath(model_dir)}' holds no file to sign")


def outside_warning(path: str, target: str) -> str:
    """What to say of a followed link that leads out of the model."""
    return f"'{path}' leads out of the model, to '{target}'"


def hint_for(odd: tree.Irregular) -> str:
    """What may help where a link stands in a model."""
    if odd.kind not in (tree.SYMBOLIC_LINK, tree.LINK_OUT):
        return ""
    return _HINT_SNAPSHOT if "../blobs/" in odd.target else _HINT_LINK


def describe(odd: tree.Irregular) -> str:
    """What stands where a regular file should."""
    return f"{odd.kind}: '{odd.target}'" if odd.target else odd.kind


def hint_unsigned(unsigned: "Collection[Unsigned]") -> str:
    """What may be done about files that nobody signed."""
    if all(paths.is_below(item.path, [_DOWNLOAD_CACHE]) for item in unsigned):
        return _HINT_CACHE
    return _HINT_UNSIGNED
