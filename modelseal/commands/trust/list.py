"""List the publishers."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, output, registries
from modelseal.errors import EXIT_OK

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.levels import Level
    from modelseal.structs import TrustedPublisher

DESCRIPTION = """\
List the publishers of every registry, the nearest first: the store's, then the user's. Where an id
is in both, the nearer one counts; what is revoked in either is revoked."""

EXAMPLES = """\
modelseal trust list
modelseal trust list --store . --porcelain
modelseal trust list --registry trust.json --json"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    registries.add_source(parser)
    arguments.add_forms(parser)


def run(args: Namespace) -> int:
    """Print them."""
    found = registries.listed(args)
    pairs = [(level, one) for level in found for one in level.registry.list_publishers()]
    if args.json:
        output.document({"publishers": [_as_json(*pair) for pair in pairs]})
    elif args.porcelain or args.zero:
        for level, publisher in pairs:
            fields = (level.kind, publisher.publisher_id, publisher.name, _print_of(publisher))
            output.record(*fields, registries.state(publisher), level.path, zero=args.zero)
    else:
        for level in found:
            output.line(f"{level.path}{'' if level.own else ' (not yours: it can only revoke)'}")
            for publisher in level.registry.list_publishers():
                _print(publisher)
        if not pairs:
            output.line("Nobody is trusted.")
            output.hint("'modelseal trust add ID --key PATH' trusts a publisher")
    return EXIT_OK


def _print(publisher: "TrustedPublisher") -> None:
    name = f" ({publisher.name})" if publisher.name else ""
    state = registries.state(publisher)
    output.line(
        f"  {publisher.publisher_id}{name}  {_print_of(publisher)}{f'  {state}' if state else ''}"
    )


def _print_of(publisher: "TrustedPublisher") -> str:
    from modelseal import publishers
    from modelseal.errors import KeyLoadError

    try:
        return publishers.current_key(publisher).fingerprint
    except KeyLoadError:
        return "-"


def _as_json(level: "Level", publisher: "TrustedPublisher") -> dict[str, object]:
    import msgspec

    return {
        "level": level.kind,
        "registry": level.path,
        "grants": level.grants,
        "fingerprint": _print_of(publisher),
        "state": registries.state(publisher),
        **msgspec.to_builtins(publisher),
    }
