"""Sign a model directory."""

import os
from argparse import ArgumentParser, BooleanOptionalAction, Namespace

from modelseal import arguments, defaults, operands, output, owning, prompts
from modelseal.errors import EXIT_OK, UsageError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.bundling import Bundled
    from modelseal.keys import PrivateKey
    from modelseal.store import Store

DESCRIPTION = """\
Hash every file of a model directory, name them all in a manifest, and sign it. Left out at the top
of the directory: .git, .modelseal, signed_manifest.json, model.sig. With --format oms the result is
a bundle as OpenSSF Model Signing specifies it, for other tools to verify; see modelseal-oms(7)."""

EXAMPLES = """\
modelseal sign --model-dir my-model --key keys/private.pem \\
    --signer-id alice@example.com
modelseal sign --model-dir my-model --key ~/.ssh/id_ed25519 \\
    --signer-id alice@example.com --model-name my-classifier \\
    --model-version 1.0.0 --framework pytorch
modelseal sign --model-dir hub/models--a--b/snapshots/1f2e --follow-symlinks \\
    --key keys/private.pem --signer-id ci@example.com --output b.signed.json
modelseal sign --model-dir my-model --format oms --key key.pem \\
    --certificate cert.pem --certificate-chain intermediate.pem"""

_NATIVE_ALONE: dict[str, object] = {
    "signer_id": None,
    "model_name": "",
    "framework": "unknown",
    "author": "",
    "description": "",
    "incremental": False,
    "precheck": None,
}
_OMS_ALONE: dict[str, object] = {
    "certificate": None,
    "certificate_chain": [],
    "hash": "sha256",
    "shard_size": 0,
}
"""Options that one format has, with the value that says nothing."""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("--model-dir", metavar="DIR", required=True, help="model to sign")
    parser.add_argument(
        "--format", choices=["native", "oms"], default="native", help="default: native"
    )
    arguments.add_signer(parser)
    parser.add_argument(
        "--model-name", metavar="NAME", default="", help="default: the directory's name"
    )
    parser.add_argument(
        "--model-version", metavar="VERSION", default="0.0.0", help="default: 0.0.0"
    )
    parser.add_argument("--framework", metavar="NAME", default="unknown", help="default: unknown")
    parser.add_argument("--author", metavar="TEXT", default="", help="who made the model")
    parser.add_argument("--description", metavar="TEXT", default="", help="what the model is")
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="default: signed_manifest.json, of OMS model.sig, in the model directory",
    )
    arguments.add_passphrase_file(parser)
    arguments.add_walk(parser)
    arguments.add_store(parser)
    arguments.add_lock_timeout(parser)
    _add_oms(parser)
    parser.add_argument("--no-store", action="store_true", help="keep the seal in no store")
    parser.add_argument(
        "--incremental",
        action="store_true",
        help="don't read files again that look unchanged since they were last hashed",
    )
    parser.add_argument(
        "--if-changed", action="store_true", help="do nothing where the model is as it was sealed"
    )
    parser.add_argument(
        "--precheck",
        action=BooleanOptionalAction,
        help="record BLAKE3 digests in the store, for 'verify --precheck'",
    )
    parser.add_argument(
        "--allow-version-reuse",
        action="store_true",
        help="let a sealed name and version name other files from now on",
    )
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors alone")


def _add_oms(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--certificate", metavar="PEM", help="of OMS: sign with this certificate of the key"
    )
    parser.add_argument(
        "--certificate-chain",
        metavar="PEM",
        action="append",
        default=[],
        help="of OMS: certificates above it, to lie in the bundle (repeatable)",
    )
    parser.add_argument(
        "--hash",
        choices=["sha256", "blake2b", "blake3"],
        default="sha256",
        help="of OMS: digest of the files (default: sha256)",
    )
    parser.add_argument(
        "--shard-size",
        metavar="BYTES",
        nargs="?",
        type=arguments.size,
        const=1_000_000_000,
        default=0,
        help="of OMS: cut files into shards, hashed each for itself; 128MiB is a size, too "
        "(without one: 1,000,000,000 bytes)",
    )


def run(args: Namespace) -> int:
    """Sign, and write the signed manifest or the bundle."""
    oms = args.format == "oms"
    for name, silent in (_NATIVE_ALONE if oms else _OMS_ALONE).items():
        if getattr(args, name) != silent:
            other = "the native format" if oms else "--format oms"
            raise UsageError(f"--{name.replace('_', '-')} is for {other} alone")
    store = _store(args)
    return _sign_bundle(args, store) if oms else _sign(args, store)


def _sign_bundle(args: Namespace, store: "Store | None") -> int:
    from modelseal import bundling, keys

    found = defaults.find(args, store, args.model_dir)
    sources = defaults.name_signer(args, found, store, args.model_dir, needed=("key",))
    key, passphrase = prompts.unlock(args.key, args.passphrase_file, curves=keys.OMS_CURVES)
    prompts.warn_of_exposed(args.key)
    if args.output is None and os.path.isfile(args.model_dir):
        raise UsageError("--output is needed where a model is one file")
    path = args.output or os.path.join(args.model_dir, bundling.DEFAULT_NAME)
    new_store = store is not None and not os.path.lexists(store.path)
    with output.progress("hashing", quiet=args.quiet) as progress:
        bundled = bundling.sign_model(
            args.model_dir,
            key,
            path,
            password=passphrase,
            certificate=operands.load_certificates(args.certificate) if args.certificate else b"",
            certificate_chain=[operands.load_certificates(each) for each in args.certificate_chain],
            algorithm=args.hash,
            shard_size=args.shard_size,
            store=store,
            version=args.model_version,
            allow_version_reuse=args.allow_version_reuse,
            if_changed=args.if_changed,
            warn=output.warning,
            progress=progress,
            **arguments.walk(args),
        )
    if store is not None and new_store:
        owning.claim(store)
    if args.quiet:
        return EXIT_OK
    if bundled.changed:
        output.line(f"Bundle written to: {path}")
        _print_bundle(bundled)
        output.rows(*[(f"  {label}", value) for label, value in sources])
        if bundled.seal is not None:
            output.line(f"  Seal     : {bundled.seal.id[: output.ID_DIGITS]}")
    else:
        output.line(f"Unchanged since it was signed: {path}")
    return EXIT_OK


def _print_bundle(bundled: "Bundled") -> None:
    from modelseal import keys

    output.line(f"  Files    : {len(bundled.statement.files)}")
    output.line(f"  Total    : {bundled.size:,} bytes")
    if bundled.signer:
        output.line(f"  Signer   : {bundled.signer}")
    output.line(f"  Key      : {keys.fingerprint(bundled.key)}")
    output.line(f"  Algorithm: ecdsa_p{bundled.key.key_size}, {bundled.statement.algorithm}")


def _sign(args: Namespace, store: "Store | None") -> int:
    from modelseal import manifestfiles, pem, surveying

    found = defaults.find(args, store, args.model_dir)
    sources = defaults.name_signer(args, found, store, args.model_dir)
    if args.precheck is None:
        args.precheck = store is not None and bool(found["precheck"].value)
    data, passphrase = prompts.read_key(args.key, args.passphrase_file)
    # Whoever typed a passphrase is told at once whether it was the right one.
    key = None if pem.is_plain(data) else _load(args.key, data, passphrase)
    prompts.warn_of_exposed(args.key)
    path = args.output or os.path.join(args.model_dir, manifestfiles.DEFAULT_NAME)
    new_store = store is not None and not os.path.lexists(store.path)
    with (
        output.progress("hashing", quiet=args.quiet) as progress,
        surveying.Survey(
            args.model_dir,
            output=path,
            store=store,
            incremental=args.incremental,
            precheck=args.precheck,
            warn=output.warning,
            progress=progress,
            **arguments.walk(args),
        ) as survey,
    ):
        from modelseal import sealing  # takes its time, in which workers hash

        sealed = sealing.sign(
            survey,
            key or _load(args.key, data, passphrase),
            args.signer_id,
            path,
            about=sealing.About(
                args.model_name, args.model_version, args.framework, args.author, args.description
            ),
            store=store,
            if_changed=args.if_changed,
            allow_version_reuse=args.allow_version_reuse,
            warn=output.warning,
        )
    if store is not None and new_store:
        owning.claim(store)
    if args.quiet:
        return EXIT_OK
    if not sealed.changed:
        output.line(f"Unchanged since it was signed: {path}")
        return EXIT_OK
    manifest = sealed.signed.manifest
    output.line(f"Signed manifest written to: {path}")
    output.line(f"  Files    : {len(manifest.files)}")
    output.line(f"  Total    : {manifest.total_size_bytes:,} bytes")
    output.line(f"  Signer   : {args.signer_id}")
    output.line(f"  Algorithm: {sealed.signed.signature.algorithm.value}")
    for label, source in sources:
        output.line(f"  {label:<9}: {source}")
    if args.incremental:
        output.line(f"  Read     : {sealed.hashed} files; the others look unchanged")
    if sealed.seal is not None:
        output.line(f"  Seal     : {sealed.seal.id[: output.ID_DIGITS]}")
    return EXIT_OK


def _store(args: Namespace) -> "Store | None":
    """Where the seal is kept: a store that is found, or the one to be made in the model."""
    if args.no_store:
        for option in ("store", "incremental", "precheck", "allow_version_reuse"):
            if getattr(args, option) not in (None, False):
                raise UsageError(f"--{option.replace('_', '-')} needs a store, --no-store has none")
        return None
    from modelseal.errors import StoreMissingError
    from modelseal.store import Store

    try:
        return arguments.find_store(args, args.model_dir)
    except StoreMissingError:
        if args.store is not None or os.environ.get("MODELSEAL_DIR"):
            raise
    if os.path.isfile(args.model_dir):
        return None  # there is no place in a file for a store to be made
    if os.path.isdir(args.model_dir) and not os.access(args.model_dir, os.W_OK):
        output.warning(f"'{args.model_dir}' can't be written, so there is no store of this seal")
        return None
    path = os.path.join(os.path.abspath(args.model_dir), ".modelseal")
    return Store(path, lock_timeout=args.lock_timeout)


def _load(path: str, data: bytes, passphrase: bytes | None) -> "PrivateKey":
    from modelseal import keyfiles

    return keyfiles.load_private(path, data, passphrase)
