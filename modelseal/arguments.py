"""Options that several commands share, and what they stand for."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from modelseal import owning

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import TypedDict

    from modelseal.git import Repository
    from modelseal.hooks import Policy
    from modelseal.levels import Level, Memory, Trust
    from modelseal.store import Store
    from modelseal.structs import SignedManifest

    class Walk(TypedDict):
        """How to look at a model directory."""

        ignore_paths: list[str]
        follow_symlinks: bool
        jobs: int
        fork: bool


def add_signer(parser: ArgumentParser) -> None:
    """Who signs, and with what; `defaults.name_signer` completes it."""
    parser.add_argument(
        "--key", metavar="PATH", help="private key: PEM or OpenSSH (else: MODELSEAL_KEY)"
    )
    parser.add_argument(
        "--signer-id",
        metavar="ID",
        help="who signs, as receivers know you (else: MODELSEAL_SIGNER_ID)",
    )


def add_passphrase_file(parser: ArgumentParser) -> None:
    """The private key's passphrase, as a file."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help="read the passphrase from the first line of FILE, also /dev/fd/N "
        "(else: MODELSEAL_PASSPHRASE)",
    )


def add_walk(parser: ArgumentParser) -> None:
    """What is looked at below the model directory, and by how many."""
    parser.add_argument(
        "--ignore-path",
        metavar="REL",
        action="append",
        default=[],
        help="leave out this path below the model, with its subtree (repeatable)",
    )
    parser.add_argument(
        "--follow-symlinks",
        action="store_true",
        help="take a link to a regular file as that file, instead of refusing it",
    )
    add_jobs(parser)


def walk(args: Namespace) -> "Walk":
    """What `add_walk` asked for, as signing and checking take it."""
    return {
        "ignore_paths": args.ignore_path,
        "follow_symlinks": args.follow_symlinks,
        "jobs": args.jobs,
        "fork": True,
    }


def add_jobs(parser: ArgumentParser) -> None:
    """By how many."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_count,
        default=0,
        help="hash with N workers (default: one a CPU)",
    )


def add_store(parser: ArgumentParser) -> None:
    """Which store."""
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="use this store (default: MODELSEAL_DIR, else the nearest .modelseal upward)",
    )


def add_lock_timeout(parser: ArgumentParser) -> None:
    """How long to wait for another writer."""
    parser.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        type=_seconds,
        default="10",
        help="wait so long for another writer of the store (default: 10)",
    )


def add_forms(parser: ArgumentParser) -> None:
    """The result in a form for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--porcelain",
        action="store_true",
        help="print lines for scripts: fields with tabs between them, the same in every version",
    )
    parser.add_argument(
        "-z",
        dest="zero",
        action="store_true",
        help="the same fields as they are, with a NUL after each",
    )


def find_store(args: Namespace, start: str = ".", *, repairing: bool = False) -> "Store":
    """The store that the command line names, or the environment, or the nearest above `start`."""
    from modelseal.errors import StoreMissingError
    from modelseal.store import LOCK_TIMEOUT, Store

    timeout: float = getattr(args, "lock_timeout", LOCK_TIMEOUT)
    if args.store is not None or os.environ.get("MODELSEAL_DIR"):
        given = os.environ["MODELSEAL_DIR"] if args.store is None else args.store
        return Store.open(given, lock_timeout=timeout, repairing=repairing)
    store = Store.find(start, lock_timeout=timeout, repairing=repairing)
    if store is None:
        where = "here" if start == "." else f"in '{start}'"
        raise StoreMissingError(
            f"there is no store {where}, nor in a directory above",
            hint="name one with '--store DIR', or make one with 'modelseal init'",
        )
    return store


def find_trust(args: Namespace, store: "Store | None" = None, start: str = ".") -> "Trust":
    """Whom the user trusts: by `--registry`, by a store of theirs, by the user's registry.

    store: the one in use; None looks for one from `start` on. One that the user neither named nor
    made, wherever it was found, may have come with the model: it can take trust away and not give
    any.
    Raises FormatError for a damaged registry, OSError.
    """
    from modelseal import fileio, levels
    from modelseal.errors import FormatError, StoreError

    if store is None:
        try:
            store = find_store(args, start)
        except StoreError:
            if owning.owns(args):
                raise
    own = owning.owns(args, store)
    named: str | None = getattr(args, "registry", None)
    found = []
    if named is not None:
        found.append(levels.load("registry", named))
        with fileio.naming("read", named):
            os.stat(named)  # a new registry is no answer to a mistyped name
        if found[0] is None or not found[0].registry.list_publishers():
            raise FormatError(f"registry '{named}' names no publisher")
    memory = None
    if store is not None:
        path = os.path.join(store.path, levels.FILE_NAME)
        found.append(levels.load("store", path, grants=own and named is None, own=own))
        memory = _memory(store) if own else None
    found.append(user_level(grants=named is None))
    return levels.Trust(found, memory)


def user_registry() -> str | None:
    """Where the user's own list of publishers is; None without a home directory."""
    from modelseal import defaults, levels

    directory = defaults.user_directory()
    return None if directory is None else os.path.join(directory, levels.FILE_NAME)


def user_level(*, grants: bool = True) -> "Level | None":
    """The user's own list of publishers, where there is one."""
    from modelseal import defaults, levels

    path = user_registry() if defaults.user_files_may_exist() else None
    return None if path is None else levels.load("user", path, grants=grants)


def _memory(store: "Store") -> "Memory":
    from contextlib import suppress

    from modelseal.errors import ModelSealError

    def first_seen(signed: "SignedManifest") -> "datetime | None":
        # What a damaged store can't say is not known: it is judged as of now.
        with suppress(ModelSealError, OSError, ValueError):
            return store.first_seen(signed)
        return None

    return first_seen


def own_files(args: Namespace, start: str) -> list[str]:
    """The files that say who is trusted and what may pass: a registry, those of the user's store.

    A store that is nobody's own can make things stricter alone.
    """
    from modelseal.errors import StoreError

    found = [] if args.registry is None else [args.registry]
    try:
        store = find_store(args, start)
    except StoreError:
        return found
    if owning.owns(args, store):
        found += [os.path.join(store.path, name) for name in ("trust.json", "config.toml")]
    return found


def find_policy(args: Namespace, repository: "Repository", told: "Mapping[str, str]") -> "Policy":
    """What a push has to fulfil: as told, else by git's configuration, else by our files.

    Raises StoreError, FormatError, GitError, OSError.
    """
    from modelseal import defaults, hooks
    from modelseal.errors import StoreMissingError

    try:
        store = find_store(args, repository.directory)
    except StoreMissingError:
        if owning.owns(args):
            raise
        store = None
    found = defaults.find(args, store, None)
    files = {name: str(found[f"hook.{name}"].value) for name in ("require", "check")}
    return hooks.policy(
        files,
        hooks.settings(repository),
        told,
        publishers=defaults.required(found),
    )


def number(text: str) -> int:
    """A count of 1 or more, as it is typed."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise ArgumentTypeError(f"'{text}' is not a number of 1 or more")
    return int(text)


def count_of_signatures(text: str) -> int:
    """How many publishers must have signed, as it is typed."""
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 0 < int(text) <= 64):
        raise ArgumentTypeError(f"'{text}' is not a number from 1 to 64")
    return int(text)


def size(text: str) -> int:
    """A size of 1 byte or more, as it is typed: `134217728` or `128MiB`."""
    digits = text.rstrip("KMGTiB")
    unit = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}.get(
        text[len(digits) :], 0
    )
    if not (digits.isascii() and digits.isdigit() and len(digits) < 18 and int(digits) * unit):
        raise ArgumentTypeError(f"'{text}' is not a size in bytes, KiB, MiB, GiB or TiB")
    return int(digits) * unit


def _seconds(text: str) -> float:
    if not (text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 10):
        raise ArgumentTypeError(f"'{text}' is not a number of seconds")
    return float(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 0 < int(text) <= 1024):
        raise ArgumentTypeError(f"'{text}' is not a number from 1 to 1024")
    return int(text)
