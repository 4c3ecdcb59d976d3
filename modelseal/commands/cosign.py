"""Add a further signature to a signed manifest."""

import os
from argparse import ArgumentParser, Namespace

from modelseal import arguments, defaults, operands, output, prompts
from modelseal.errors import EXIT_OK, StoreMissingError, UsageError

TYPE_CHECKING = False  # typing itself would cost this command its import
if TYPE_CHECKING:
    from modelseal.store import Store
    from modelseal.structs import SignedManifest

DESCRIPTION = """\
Sign what a signed manifest says once more, with another key, for receivers who want several
publishers to vouch for a model. The manifest stays as it is; the signature goes into a file beside
it, and into a store that has the manifest. No file of the model is read: verify it first."""

EXAMPLES = """\
modelseal cosign --manifest my-model/signed_manifest.json \\
    --key keys/private.pem --signer-id bob@example.com
modelseal cosign my-classifier@1.0.0 --key keys/private.pem \\
    --signer-id bob@example.com"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "revision",
        metavar="REV",
        nargs="?",
        help="in place of --manifest, a sealed model: NAME, NAME@VERSION, an id, or a path",
    )
    parser.add_argument("--manifest", metavar="PATH", help="signed manifest")
    arguments.add_signer(parser)
    arguments.add_passphrase_file(parser)
    arguments.add_store(parser)
    arguments.add_lock_timeout(parser)


def run(args: Namespace) -> int:
    """Sign, and say where the signature is."""
    if (args.revision is None) == (args.manifest is None):
        raise UsageError("one of the arguments REV --manifest is required, and not both")
    from modelseal import cosigning, keys

    signed, store, path = _subject(args)
    model = None if path is None else os.path.dirname(path) or "."
    sources = defaults.name_signer(args, defaults.find(args, store, model), store, model)
    data, passphrase = prompts.unlock(args.key, args.passphrase_file)
    prompts.warn_of_exposed(args.key)
    key = keys.load_private(data, passphrase)
    made = cosigning.cosign(
        signed,
        key,
        args.signer_id,
        manifest_path=path,
        store=store,
        lock_timeout=args.lock_timeout,
    )
    manifest = signed.manifest
    output.line(f"Cosigned: {manifest.model_name} v{manifest.model_version}")
    output.rows(
        ("  Signer", args.signer_id),
        ("  Key", keys.fingerprint(key.public_key())),
        *((f"  {label}", source) for label, source in sources),
        ("  Beside", f"{signed.signature.signer_id} (claimed)" + _and(made.others)),
        ("  Written", made.path),
        ("  Store", store.path if store is not None and made.kept else ""),
    )
    return EXIT_OK


def _and(others: int) -> str:
    return f", and {others} more" if others else ""


def _subject(args: Namespace) -> "tuple[SignedManifest, Store | None, str | None]":
    from modelseal import manifestfiles

    if args.revision is not None:
        store, named = operands.find_sealed(args, args.revision)
        if store is not None:
            return store.get(named), store, None
        args.manifest = named
    signed = manifestfiles.load(args.manifest)
    try:
        return (
            signed,
            arguments.find_store(args, os.path.dirname(args.manifest) or "."),
            args.manifest,
        )
    except StoreMissingError:
        if args.store is not None:
            raise
        return signed, None, args.manifest
