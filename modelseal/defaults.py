"""What stands in for options that are not given: the environment, the store's settings, the user's.

A store can come with what it lies in: a model, a repository. What it sets is taken at its word
where it is the user's own; any other may make a policy stricter, never looser, may name a key of
its own tree alone, and is not read at all where it lies in the model at work.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Collection
from typing import Final

from modelseal import owning
from modelseal.errors import FormatError, UsageError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.settings import Level, Setting
    from modelseal.store import Store

VARIABLES: Final = {"key": "MODELSEAL_KEY", "signer_id": "MODELSEAL_SIGNER_ID"}
"""Setting → the variable that goes before every file."""


def find(args: Namespace, store: "Store | None", model: str | None) -> "dict[str, Setting]":
    """What counts of each setting where the command line says nothing.

    store: the one in use, if there is one. model: the directory of the model at work.
    Raises FormatError for a damaged file, OSError.
    """
    from modelseal import settings

    levels = [_environment(), _of_store(args, store, model), _of_user()]
    return settings.resolve([level for level in levels if level is not None])


def name_signer(
    args: Namespace,
    found: "dict[str, Setting]",
    store: "Store | None",
    model: str | None,
    *,
    needed: Collection[str] = ("key", "signer_id"),
) -> list[tuple[str, str]]:
    """Complete `--key` and `--signer-id`; return what is to be said of those that were not given.

    found: what `find` found. needed: which of the two are.
    Raises UsageError where nothing names them, FormatError.
    """
    options = {"key": "--key", "signer_id": "--signer-id"}
    absent = [name for name in options if name in needed and getattr(args, name) is None]
    missing = [options[name] for name in absent if found[name].value is None]
    if missing:
        raise UsageError(
            f"the following arguments are required: {', '.join(missing)}",
            hint=_missing_hint(passed_over(args, store, model)),
        )
    said = []
    if "key" in absent:
        args.key = _key_path(found["key"], store, own=owning.owns(args, store))
        said.append(("Key file", f"{args.key} (from {found['key'].where})"))
    if "signer_id" in absent:
        args.signer_id = str(found["signer_id"].value)
        said.append(("Signer ID", f"from {found['signer_id'].where}"))
    return said


def key(args: Namespace, found: "dict[str, Setting]", store: "Store | None") -> str | None:
    """The private key that is set, if one is. Raises FormatError for one out of bounds."""
    if found["key"].value is None:
        return None
    return _key_path(found["key"], store, own=owning.owns(args, store))


def required(found: "dict[str, Setting]", told: int = 0) -> int:
    """How many publishers must have signed, as told or as it is set; 0 is as the registries say."""
    wanted = found["require"].value
    # 1, the default, asks for no more than they do.
    return told or (wanted if isinstance(wanted, int) and wanted > 1 else 0)


def _missing_hint(passed_over: str | None) -> str:
    if passed_over is not None:
        return f"'{passed_over}' lies in the model, and doesn't count unless named by '--store'"
    return "MODELSEAL_KEY and MODELSEAL_SIGNER_ID, or a configuration file, can say it too"


def _key_path(setting: "Setting", store: "Store | None", *, own: bool) -> str:
    from modelseal import settings

    if setting.origin == "environment":
        return str(setting.value)
    if setting.origin != "store" or store is None:
        return settings.path_of(setting, os.path.dirname(setting.where))
    path = settings.path_of(setting, store.root)
    # A store that came with a download must not have us sign with some other key of ours.
    if not own and not settings.is_within(path, store.root):
        raise FormatError(
            f"configuration '{setting.where}': 'key' leads out of '{store.root}'",
            hint=f"give '--key PATH', or trust the store by naming it: --store '{store.path}'",
        )
    return path


def files(args: Namespace, store: "Store | None", model: str | None) -> dict[str, str | None]:
    """Where settings are looked for: level → path, or None where there is no such place."""
    return {"store": _store_file(args, store, model), "user": user_file()}


def user_file() -> str | None:
    """The user's own configuration file, be it there or not; None without a home directory."""
    from modelseal.settings import FILE_NAME

    directory = user_directory()
    return None if directory is None else os.path.join(directory, FILE_NAME)


def user_directory() -> str | None:
    """Where the user's own files are, be it there or not; None without a home directory."""
    import platformdirs

    directory = platformdirs.user_config_dir("modelseal", appauthor=False)
    return directory if os.path.isabs(directory) else None


def passed_over(args: Namespace, store: "Store | None", model: str | None) -> str | None:
    """The configuration file that is there and not read, since it lies in the model."""
    from modelseal.settings import FILE_NAME

    if store is None or _store_file(args, store, model) is not None:
        return None
    path = os.path.join(store.path, FILE_NAME)
    return path if os.path.lexists(path) else None


def _environment() -> "Level":
    from modelseal.settings import Level

    given = {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}
    return Level("environment", {name: value for name, value in given.items() if value}, VARIABLES)


def _of_store(args: Namespace, store: "Store | None", model: str | None) -> "Level | None":
    from modelseal import settings

    path = _store_file(args, store, model)
    return (
        None if path is None else settings.load(path, "store", bound=not owning.owns(args, store))
    )


def _store_file(args: Namespace, store: "Store | None", model: str | None) -> str | None:
    from modelseal import settings

    if store is None:
        return None
    if model is not None and not owning.owns(args, store) and settings.is_within(store.root, model):
        return None
    return os.path.join(store.path, settings.FILE_NAME)


def _of_user() -> "Level | None":
    from modelseal import settings

    if not user_files_may_exist():
        return None
    path = user_file()
    return None if path is None else settings.load(path, "user")


def user_files_may_exist() -> bool:
    """Whether it is worth loading what knows where the user's files are."""
    if not sys.platform.startswith("linux"):
        return True
    base = os.environ.get("XDG_CONFIG_HOME", "").strip()
    if not os.path.isabs(base):  # which its specification has ignored
        base = os.path.expanduser("~/.config")
    return os.path.isdir(os.path.join(base, "modelseal"))
