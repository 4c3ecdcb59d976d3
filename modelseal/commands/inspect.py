"""Show what a signed manifest says."""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from modelseal import output

if TYPE_CHECKING:
    from datetime import datetime

    from modelseal.structs import SignedManifest

DESCRIPTION = """\
Show what a signed manifest says. Nothing is verified: all of it is a claim until 'modelseal verify'
says otherwise."""

EXAMPLES = """\
modelseal inspect --manifest my-model/signed_manifest.json
modelseal inspect --manifest my-model/signed_manifest.json \\
    --json-output | jq .signature
curl -s https://example.com/signed_manifest.json |
    modelseal inspect --manifest -"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "--manifest", metavar="PATH", required=True, help="signed manifest; - is standard input"
    )
    parser.add_argument(
        "--json-output",
        "--json",
        dest="json",
        action="store_true",
        help="print the manifest as JSON",
    )


def run(args: Namespace) -> int:
    """Print the manifest."""
    from modelseal import canonical, verifying

    if args.manifest == "-":
        signed = verifying.decode(_standard_input(), "standard input")
    else:
        signed = verifying.load(args.manifest)
    if args.json:
        text = signed.model_dump_json(indent=2)
        output.lines(canonical.escape(text.encode()).decode())
    else:
        _print(signed)
    return 0


def _standard_input() -> bytes:
    from modelseal.errors import FormatError
    from modelseal.structs import DOCUMENT_LIMIT

    if sys.stdin is None:
        raise FormatError("standard input is closed")
    data = sys.stdin.buffer.read(DOCUMENT_LIMIT + 1)
    if len(data) > DOCUMENT_LIMIT:
        raise FormatError(f"standard input is larger than {DOCUMENT_LIMIT:,} bytes")
    return data


def _print(signed: "SignedManifest") -> None:
    manifest, signature = signed.manifest, signed.signature
    rows = (
        ("Model", f"{manifest.model_name} v{manifest.model_version}"),
        ("Framework", manifest.framework),
        ("Author", manifest.author),
        ("Description", manifest.description),
        ("Created", _time(manifest.created_at)),
        ("Files", f"{len(manifest.files)}"),
        ("Total", f"{manifest.total_size_bytes:,} bytes"),
        ("Signer", f"{signature.signer_id} (claimed)"),
        ("Signed", f"{_time(signature.signed_at)} (claimed)"),
        ("Algorithm", signature.algorithm.value),
        ("Key", _fingerprint(signature.public_key)),
    )
    for label, value in rows:
        if value:
            output.line(f"{label:<11}: {value}")
    output.line()
    width = max((len(f"{entry.size_bytes:,}") for entry in manifest.files), default=0)
    for entry in manifest.files:
        output.line(f"  {entry.sha256_hash}  {entry.size_bytes:>{width},}  {entry.path}")


def _time(value: "datetime") -> str:
    """As the document has it."""
    return value.isoformat().replace("+00:00", "Z")


def _fingerprint(public_key: str) -> str:
    from modelseal import keys
    from modelseal.errors import KeyLoadError

    try:
        return f"{keys.fingerprint(keys.load_embedded(public_key))} (embedded, never trusted)"
    except KeyLoadError as err:
        return f"unusable: {err}"
