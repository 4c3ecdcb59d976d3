"""Show what is set in the environment and in files."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, defaults, output, owning
from modelseal.errors import StoreMissingError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.settings import Setting, Value
    from modelseal.store import Store

DESCRIPTION = """\
Show what stands in for options that are not given, and where each value comes from: a variable of
the environment, else the store's config.toml, else the user's, else the default."""

EXAMPLES = """\
modelseal config
modelseal config --model-dir my-model --json"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "--model-dir", metavar="DIR", help="show what counts for this model (default: here)"
    )
    arguments.add_store(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Print a line for each setting, then the files."""
    store = _store(args)
    found = defaults.find(args, store, args.model_dir)
    if args.json:
        files = defaults.files(args, store, args.model_dir)
        output.document({**{name: _as_json(its) for name, its in found.items()}, "files": files})
    elif args.porcelain or args.zero:
        for name, its in found.items():
            fields = (name, _shown(its.value), its.origin, its.where)
            output.record(*fields, zero=args.zero)
    else:
        _print(args, store, found)
    return 0


def _store(args: Namespace) -> "Store | None":
    try:
        return arguments.find_store(args, args.model_dir or ".")
    except StoreMissingError:
        if owning.owns(args):
            raise
    return None


def _as_json(setting: "Setting") -> dict[str, object]:
    return {"value": setting.value, "origin": setting.origin, "where": setting.where or None}


def _shown(value: "Value | None") -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _print(args: Namespace, store: "Store | None", found: "dict[str, Setting]") -> None:
    for name, setting in found.items():
        value = _shown(setting.value) or "not set"
        source = f" ({setting.origin}: {setting.where})" if setting.where else ""
        output.line(f"{name:<12}: {value}{source}")
    output.line()
    for level, path in defaults.files(args, store, args.model_dir).items():
        output.line(f"{level:<12}: {_state(path)}")
    if args.model_dir is not None:
        over = defaults.passed_over(args, store, args.model_dir)
        if over is not None:
            output.warning(f"'{over}' lies in the model, and doesn't count unless named by --store")


def _state(path: str | None) -> str:
    import os

    if path is None:
        return "no file"
    return path if os.path.lexists(path) else f"{path} (not there)"
