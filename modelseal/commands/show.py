"""Show one sealed model."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, operands, output

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.oms.statement import Statement
    from modelseal.store import Seal
    from modelseal.structs import SignedManifest

DESCRIPTION = """\
Show one sealed model: what its manifest says, and when and where it was sealed. REV is NAME (its
latest seal), NAME@VERSION, 4 or more digits of an id, or the path of a signed manifest or a bundle.
Nothing is verified: 'modelseal verify' does that."""

EXAMPLES = """\
modelseal show my-classifier
modelseal show my-classifier@1.0.0 --json | jq .signature
modelseal show 3f2a --raw | tee signed_manifest.json"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("revision", metavar="REV", help="the sealed model")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="print the signed manifest itself; its id is the SHA-256 of these bytes",
    )
    arguments.add_store(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Print the manifest, and what the store knows of it."""
    from hashlib import sha256

    from modelseal import canonical, manifestfiles
    from modelseal.oms import bundle

    store, named = operands.find_sealed(args, args.revision)
    data = operands.load_document(named) if store is None else store.read(named)
    signed = None
    if not bundle.is_bundle(data):
        signed = manifestfiles.decode(data, named)
        data = canonical.canonical(signed)
    id_ = sha256(data).hexdigest()
    seal = store.seal(id_) if store else None
    stated = None if signed else operands.load_statement(data, named)
    if args.raw:
        output.exact(data.decode())
    elif args.json:
        output.document(_as_json(id_, seal, signed, data))
    else:
        rows = output.stated(data, stated) if stated else []
        output.rows(("Id", id_), *(output.said(signed) if signed else rows))
        if seal:
            version = "" if signed else seal.version
            output.rows(
                ("Version", version), ("Sealed", seal.sealed_at), ("Directory", seal.directory)
            )
        if stated:
            _print_digests(stated)
    return 0


def _as_json(
    id_: str, seal: "Seal | None", signed: "SignedManifest | None", data: bytes
) -> dict[str, object]:
    import msgspec

    return {
        "id": id_,
        "sealed_at": seal and seal.sealed_at,
        "directory": seal and seal.directory,
        **(msgspec.to_builtins(signed) if signed else output.bundled(data)),
    }


def _print_digests(stated: "Statement") -> None:
    """What `ls` can't say where they aren't the files' SHA-256."""
    if stated.algorithm == "sha256" and not stated.shard_size:
        return
    output.line()
    for file in stated.files:
        for digest in file.digests:
            output.line(f"  {digest}  {file.path}")
