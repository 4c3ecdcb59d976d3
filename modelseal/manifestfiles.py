"""The signed manifest as a file: reading it, writing it, and what it may replace.

What only asks for paths loads nothing heavy.
"""

import os
from typing import TYPE_CHECKING, Final

from modelseal import fileio, tree
from modelseal.errors import FormatError, OverwriteError

if TYPE_CHECKING:
    from modelseal.structs import SignedManifest

DEFAULT_NAME: Final = "signed_manifest.json"


def load(path: fileio.Location) -> "SignedManifest":
    """Read a signed manifest. Raises OSError, FormatError."""
    from modelseal.structs import DOCUMENT_LIMIT

    return decode(fileio.read_bounded(path, DOCUMENT_LIMIT), os.fspath(path))


def decode(data: bytes, name: str) -> "SignedManifest":
    """Decode a signed manifest that came from `name`. Raises FormatError."""
    from modelseal import documents
    from modelseal.oms import bundle
    from modelseal.structs import SignedManifest

    try:
        return documents.decode(data, SignedManifest)
    except FormatError as err:
        if bundle.is_bundle(data):
            hint = "'modelseal verify', 'inspect', 'ls' and 'diff' read bundles"
            raise FormatError(f"'{name}' is an OMS bundle, not a manifest", hint=hint) from None
        raise FormatError(f"malformed manifest '{name}': {err}") from None


def exclusions(model_dir: fileio.Location, *own: fileio.Location | None) -> frozenset[str]:
    """What is no part of the model: the names left out at its root, and its own documents."""
    return tree.ROOT_EXCLUSIONS | {relative(path, model_dir) for path in own if path}


def relative(manifest: fileio.Location, model_dir: fileio.Location) -> str:
    """A file's path relative to the model; it begins with `..` where it lies elsewhere."""
    # A relative path needs the current directory, which may be gone.
    with fileio.naming("find", model_dir):
        top = os.path.realpath(model_dir)
    with fileio.naming("find", manifest):
        # Not abspath: where `a` is a link, `a/../m` is no neighbour of `a`.
        parent, name = os.path.split(manifest)
        relative = os.path.relpath(os.path.join(os.path.realpath(parent or "."), name), top)
    return relative.replace(os.sep, "/")


def side_path(manifest_path: fileio.Location) -> str:
    """Where the cosignatures of a manifest are looked for: beside it."""
    return f"{os.fspath(manifest_path)}{tree.COSIGNED_SUFFIX}"


def save(signed: "SignedManifest", path: fileio.Location) -> None:
    """Write a signed manifest, replacing an earlier one whole.

    Raises OverwriteError as `check_output`, OSError.
    """
    check_output(path)
    fileio.write_tidy(path, signed.pretty() + b"\n", beside=side_path(path))


def check_output(
    path: fileio.Location,
    *,
    beginnings: tuple[bytes, ...] = (b'{"manifest":', b'{"signature":'),
    kind: str = "signed manifest",
) -> None:
    """Refuse to write where something else would be lost, or where there is no directory.

    beginnings: of what may be replaced, without its white space. kind: what it is called.

    Raises OverwriteError, OSError.
    """
    with fileio.naming("write", path):
        os.stat(os.path.dirname(path) or ".")
    if os.path.islink(path):  # also /dev/stdout
        raise OverwriteError(
            f"'{os.fspath(path)}' is a symbolic link, and would be replaced",
            hint="name the file that it leads to with '--output'",
        )
    if os.path.lexists(path) and not _begins(path, beginnings):
        raise OverwriteError(
            f"'{os.fspath(path)}' exists and is not a {kind}",
            hint="name another file with '--output'",
        )


def _begins(path: fileio.Location, beginnings: tuple[bytes, ...]) -> bool:
    """Whether a file begins as ours do: enough to tell it from a model's file."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        beginning = b"".join(file.read(256).split())
    return beginning.startswith(beginnings)
