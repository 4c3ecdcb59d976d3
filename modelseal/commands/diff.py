"""Compare a sealed model with another, or with a directory."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Collection

from modelseal import arguments, operands, output
from modelseal.errors import (
    EXIT_NOT_VERIFIED,
    EXIT_OK,
    FileUnreadableError,
    ModelSealError,
    UnknownRevisionError,
)

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.diff import Change, Content

DESCRIPTION = """\
Compare a sealed model with another one, or with a directory, which is read in full: files altered,
added, removed, and renamed, that is of the same content under another path. Exit code 0: no
difference; 2: different."""

EXAMPLES = """\
modelseal diff my-classifier@1.0.0 my-classifier@1.1.0
modelseal diff my-classifier ./my-model
modelseal diff my-classifier@1.0.0 my-classifier --porcelain | cut -f 1,2"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "old", metavar="REV", help="NAME, NAME@VERSION, an id, or a signed manifest's path"
    )
    parser.add_argument(
        "new",
        metavar="REV|DIR",
        nargs="?",
        default="",
        help="the same, or a directory (default: where the first was sealed)",
    )
    arguments.add_store(parser)
    arguments.add_walk(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Compare, print, and let the difference be the exit code."""
    from modelseal import diff, paths

    ignored = {paths.normalise(path) for path in args.ignore_path}
    start = args.new if os.path.isdir(args.new) else "."
    old, before = _side(args, args.old, start, ignored)
    new, after = _side(args, args.new or _origin(args), start, ignored, named=before)
    if any(each.size is None for side in (before, after) for each in side.values()):
        # A bundle doesn't say how large files are: the digests tell all the same.
        before, after = (
            {path: each._replace(size=None) for path, each in side.items()}
            for side in (before, after)
        )
    changes = diff.changes(before, after)
    if args.json:
        output.document(
            {
                "identical": not changes,
                "old": old,
                "new": new,
                "changes": [_as_json(change) for change in changes],
            }
        )
    elif args.porcelain or args.zero:
        for kind, path, was, now, old_path in changes:
            sides = (*_fields(was), *_fields(now))
            output.record(kind, path, old_path, *sides, zero=args.zero)
    else:
        output.line(f"{old} → {new}")
        _print(changes)
    return EXIT_NOT_VERIFIED if changes else EXIT_OK


def _origin(args: Namespace) -> str:
    """Where the first revision was sealed."""
    store, id_ = operands.find_sealed(args, args.old)
    seal = store.seal(id_) if store else None
    if seal is None or not os.path.isdir(seal.directory):
        raise UnknownRevisionError(
            f"it is not known where '{args.old}' lies", hint="name what to compare it with"
        )
    return seal.directory


def _side(
    args: Namespace,
    text: str,
    start: str,
    ignored: Collection[str],
    named: Collection[str] = (),
) -> "tuple[str, dict[str, Content]]":
    """What one side is called, and what it holds. named: the paths of the other side."""
    from modelseal import paths
    from modelseal.diff import Content

    store, found = operands.find_sealed(args, text, start)
    if store is None and os.path.isdir(found):
        return f"'{found}'", _read(args, found, ignored, named)
    contents = {
        entry.path: Content(entry.sha256, entry.size)
        for entry in operands.sealed_entries(store, found)
        if not paths.is_below(entry.path, ignored)
    }
    return (f"{text} ({found[: output.ID_DIGITS]})" if store else f"'{found}'"), contents


def _read(
    args: Namespace, directory: str, ignored: Collection[str], named: Collection[str]
) -> "dict[str, Content]":
    """What lies in a directory now, every file of it hashed."""
    from modelseal import hashing, paths, tree
    from modelseal.diff import Content

    # What is usually left out is looked at where the other side names it.
    tops = {path.partition("/")[0] for path in named}
    found = tree.walk(
        directory,
        exclude=tree.ROOT_EXCLUSIONS - tops,
        ignore=ignored,
        follow_symlinks=args.follow_symlinks,
    )
    tree.leave_out_cosignatures(found, directory)
    for path, err in found.unlistable:
        said = (err.strerror or "unknown error").lower()
        raise FileUnreadableError(f"cannot read '{path}': {said}")
    with output.progress("hashing") as progress:
        outcomes = hashing.hash_files(
            directory,
            found.files,
            links=found.links,
            jobs=args.jobs,
            fork=True,
            progress=progress,
        )
    contents = {}
    for path, outcome in zip(found.files, outcomes, strict=True):
        if isinstance(outcome, ModelSealError):
            raise outcome
        if path in named or not paths.is_below(path, tree.EXCLUDED_DIRECTORIES):
            contents[path] = Content(outcome.sha256.hex(), outcome.size)
    for odd in found.irregular:
        note = f"{odd.kind}: '{odd.target}'" if odd.target else odd.kind
        contents[odd.path] = Content("", 0, note)
    return contents


def _fields(content: "Content | None") -> tuple[object, object]:
    return (content.sha256, content.size) if content and not content.note else ("", "")


def _as_json(change: "Change") -> dict[str, object]:
    return {
        "kind": change.kind,
        "path": change.path,
        "old_path": change.old_path or None,
        "before": change.before and change.before._asdict(),
        "after": change.after and change.after._asdict(),
    }


def _print(changes: "list[Change]") -> None:
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
        output.line(f"  {change.kind}  {change.path} ({_note(change)})")
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    output.line(said or "No difference.")


def _note(change: "Change") -> str:
    before, after = change.before, change.after
    if after is None:
        return _size(before)
    if change.old_path:
        return f"from {change.old_path}, {_size(after)}"
    if before is None or (before.size == after.size is not None and not after.note):
        return _size(after)
    return f"{_size(before) if before.size is None else f'{before.size:,}'} → {_size(after)}"


def _size(content: "Content | None") -> str:
    assert content  # noqa: S101 - every change has one side at least
    return content.note or (content.sha256[:12] if content.size is None else _bytes(content.size))


def _bytes(size: int) -> str:
    return f"{size:,} bytes"
