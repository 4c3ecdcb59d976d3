"""Show what a signed manifest says."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from modelseal import operands, output

if TYPE_CHECKING:
    from modelseal.structs import SignedManifest

DESCRIPTION = """\
Show what a signed manifest or an OMS bundle says. Nothing is verified: all of it is a claim until
'modelseal verify' says otherwise."""

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
    from modelseal import canonical
    from modelseal.oms import bundle

    data = operands.load_document(args.manifest)
    if bundle.is_bundle(data):
        return _inspect_bundle(data, args.manifest, json=args.json)
    signed = operands.decode_manifest(data, args.manifest)
    if args.json:
        text = signed.model_dump_json(indent=2)
        output.lines(canonical.escape(text.encode()).decode())
    else:
        _print(signed)
    return 0


def _print(signed: "SignedManifest") -> None:
    output.rows(*output.said(signed))
    output.line()
    files = signed.manifest.files
    width = max((len(f"{entry.size_bytes:,}") for entry in files), default=0)
    for entry in files:
        output.line(f"  {entry.sha256_hash}  {entry.size_bytes:>{width},}  {entry.path}")


def _inspect_bundle(data: bytes, path: str, *, json: bool) -> int:
    stated = operands.load_statement(data, path)
    if json:
        output.document(output.bundled(data))
        return 0
    output.rows(*output.stated(data, stated))
    output.line()
    for file in stated.files:
        for digest in file.digests:
            output.line(f"  {digest}  {file.path}")
    return 0
