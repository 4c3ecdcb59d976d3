"""Show one publisher, and all that is said of its keys."""

from argparse import ArgumentParser, Namespace

from modelseal import output, registries
from modelseal.errors import EXIT_OK

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from datetime import datetime

    from modelseal.levels import Level
    from modelseal.structs import TrustedPublisher

DESCRIPTION = """\
Show one publisher in every registry that has it, the nearest first: its keys, since when and until
when they count, what it may sign."""

EXAMPLES = """\
modelseal trust show alice@example.com
modelseal trust show alice@example.com --json | jq .publishers"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("id", metavar="ID", help="the publisher")
    registries.add_source(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Print what each registry says."""
    pairs = [
        (level, publisher)
        for level in registries.listed(args)
        if (publisher := level.registry.get_publisher(args.id)) is not None
    ]
    if not pairs:
        raise registries.unknown(args.id)
    if args.json:
        output.document({"publishers": [_as_json(*pair) for pair in pairs]})
        return EXIT_OK
    for number, (level, publisher) in enumerate(pairs):
        if number:
            output.line()
        _print(level, publisher)
    return EXIT_OK


def _print(level: "Level", publisher: "TrustedPublisher") -> None:
    from modelseal import publishers

    output.rows(
        ("Publisher", publisher.publisher_id),
        ("Name", publisher.name),
        ("Registry", level.path + ("" if level.own else " (not yours: it can only revoke)")),
        ("Models", ", ".join(publisher.models)),
        ("Requires", str(publisher.require or "")),
        ("Revoked", _with_reason(publisher.revoked_at, publisher.reason)),
    )
    for key in publishers.all_keys(publisher):
        output.rows(
            ("Key", key.fingerprint),
            ("  Since", publishers.day(key.trusted_since)),
            ("  Until", _with_reason(key.expires, "")),
            ("  Replaced", _with_reason(key.rotated_at, "")),
            ("  Revoked", _with_reason(key.revoked_at, key.reason)),
        )


def _with_reason(at: "datetime | None", reason: str) -> str:
    from modelseal import publishers

    if at is None:
        return ""
    return f"{publishers.day(at)}{f' ({reason})' if reason else ''}"


def _as_json(level: "Level", publisher: "TrustedPublisher") -> dict[str, object]:
    import msgspec

    from modelseal import publishers

    said = [msgspec.to_builtins(key) for key in publishers.all_keys(publisher)]
    return {
        "level": level.kind,
        "registry": level.path,
        "grants": level.grants,
        "state": registries.state(publisher),
        **msgspec.to_builtins(publisher),
        "keys": said,
    }
