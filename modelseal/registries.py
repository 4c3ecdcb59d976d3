"""Which registry a command of `trust` reads or changes."""

import os
import re
from argparse import ArgumentParser, Namespace

from modelseal import arguments, owning
from modelseal.errors import StoreError, StoreMissingError, UnknownPublisherError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from datetime import datetime

    from modelseal.levels import Level
    from modelseal.structs import TrustedPublisher

_is_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def add_target(parser: ArgumentParser) -> None:
    """Which registry is changed."""
    parser.add_argument(
        "--level",
        choices=["store", "user"],
        help="the store's registry, or the user's (default: user; with --store: store)",
    )
    parser.add_argument("--registry", metavar="FILE", help="this registry, at no level")
    arguments.add_store(parser)
    arguments.add_lock_timeout(parser)


def add_format(parser: ArgumentParser) -> None:
    """What the key is for."""
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        choices=["native", "oms"],
        default="native",
        help="oms: also take a key for bundles alone, P-384 or P-521 (default: native)",
    )


def add_source(parser: ArgumentParser) -> None:
    """Which registries are read."""
    parser.add_argument("--registry", metavar="FILE", help="this registry alone, at no level")
    arguments.add_store(parser)


def target(args: Namespace) -> "tuple[str, str]":
    """The kind and the path of the registry that is to be changed, whether it exists or not."""
    from modelseal import levels
    from modelseal.errors import UsageError

    if args.registry is not None:
        if args.level is not None or args.store is not None:
            raise UsageError("--registry goes with neither --level nor --store")
        return "registry", args.registry
    if args.level == "user" and args.store is not None:
        raise UsageError("--level user has no --store")
    if args.level == "store" or args.store is not None:
        return "store", os.path.join(arguments.find_store(args).path, levels.FILE_NAME)
    path = arguments.user_registry()
    if path is None:
        raise StoreMissingError(
            "there is no home directory for your registry",
            hint="name a registry with '--registry FILE', or a store with '--store DIR'",
        )
    return "user", path


def open_target(args: Namespace) -> "Level":
    """The registry that is to be changed; an empty one where there is no file yet."""
    from modelseal import levels
    from modelseal.trust import PublisherRegistry

    kind, path = target(args)
    level = levels.load(kind, path, lock_timeout=args.lock_timeout)
    if level is not None:
        return level
    return levels.Level(kind, path, PublisherRegistry(path, lock_timeout=args.lock_timeout))


def make_home(level: "Level") -> None:
    """Make the directory of the user's registry, which nobody else may enter."""
    if level.kind == "user":
        os.makedirs(os.path.dirname(level.path), mode=0o700, exist_ok=True)


def all_levels(args: Namespace) -> "list[Level]":
    """Every registry there is, nearest first: what is revoked in one of them counts in all."""
    from modelseal import levels

    found = []
    if args.registry is not None:
        found.append(levels.load("registry", args.registry))
    store = None
    try:
        store = arguments.find_store(args)
    except StoreError:
        if owning.owns(args):
            raise
    if store is not None:
        own = owning.owns(args, store)
        path = os.path.join(store.path, levels.FILE_NAME)
        found.append(levels.load("store", path, grants=own, own=own))
    found.append(arguments.user_level())
    return [level for level in found if level is not None]


def listed(args: Namespace) -> "list[Level]":
    """What `list`, `show` and `export` are about."""
    from modelseal import fileio

    if args.registry is None:
        return all_levels(args)
    with fileio.naming("read", args.registry):
        os.stat(args.registry)
    return [level for level in all_levels(args) if level.kind == "registry"]


def holding(args: Namespace, publisher_id: str) -> "Level":
    """The registry to change: the one that is named, or the nearest own one with this publisher.

    Raises UnknownPublisherError.
    """
    if args.registry is not None or args.level is not None or args.store is not None:
        return open_target(args)
    others = []
    for level in all_levels(args):
        if level.registry.get_publisher(publisher_id) is not None:
            if level.own:
                args.level = level.kind
                return open_target(args)
            others.append(level)
    if others:
        raise UnknownPublisherError(
            f"publisher '{publisher_id}' is only in '{others[0].path}'",
            hint="'--level store' changes it there",
        )
    raise unknown(publisher_id)


def unknown(publisher_id: str) -> UnknownPublisherError:
    """Nobody is called so."""
    return UnknownPublisherError(
        f"publisher '{publisher_id}' is in no registry", hint="'modelseal trust list' lists them"
    )


def public_key(path: str, *, bundles: bool = False) -> str:
    """A public key file as registries hold it. Raises KeyLoadError, OSError.

    bundles: take one that can sign bundles and no manifests, too.
    """
    from modelseal import keyfiles, keys, publishers
    from modelseal.errors import KeyLoadError

    data = keyfiles.KeyManager().load_public_key(path)
    try:
        keyfiles.check_public(data, path, curves=keys.OMS_CURVES if bundles else keys.CURVES)
    except KeyLoadError as err:
        if not bundles and keys.is_for_bundles(data):
            hint = "it can sign OMS bundles: '--format oms' trusts it for those"
            raise KeyLoadError(str(err), hint=hint) from None
        raise
    return publishers.encode_key(keys.load_public(data, curves=keys.OMS_CURVES))


def now() -> "datetime":
    """The time, in whole seconds."""
    from datetime import UTC, datetime

    return datetime.now(UTC).replace(microsecond=0)


def moment(text: str) -> "datetime":
    """A date, or a time with its zone, as it is typed."""
    from argparse import ArgumentTypeError
    from datetime import UTC, datetime

    try:
        told = datetime.fromisoformat(text if _is_date(text[:10]) else "")
        if told.tzinfo is None and len(text) == 10:
            return told.replace(tzinfo=UTC)
        if told.tzinfo is not None:
            return told.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ArgumentTypeError(f"'{text}' is neither a date, 2027-01-31, nor a time with its zone")


def text(value: str) -> str:
    """A text that a registry can hold, and that isn't empty."""
    from argparse import ArgumentTypeError

    try:
        value.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(f"{value!r} is not valid UTF-8") from None
    if not value:
        raise ArgumentTypeError("it is empty")
    return value


def state(publisher: "TrustedPublisher") -> str:
    """What there is to say of a publisher in a word or two; empty for one that counts."""
    from modelseal import publishers

    if publisher.revoked_at is not None:
        return "revoked"
    try:
        current = publishers.current_key(publisher)
    except ValueError as err:
        return f"unusable: {err}"
    if current.revoked_at is not None:
        return "key revoked"
    if current.expires is not None and publishers.as_utc(current.expires) <= now():
        return "expired"
    return "key replaced" if current.rotated_at is not None else ""
