"""Check a signed manifest, and a model against it."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace

from modelseal import arguments, defaults, means, operands, output, rendering
from modelseal.errors import UsageError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelseal.report import Report
    from modelseal.store import Store
    from modelseal.structs import SignedManifest

DESCRIPTION = """\
Check who signed a manifest and, with --model-dir, that every byte of the model is as signed and
that nothing lies beside it. Exit code 0: verified; 2: not verified; 1: could not tell."""

EXAMPLES = """\
modelseal verify --manifest my-model/signed_manifest.json \\
    --key alice.pem --model-dir my-model
modelseal verify --manifest my-model/signed_manifest.json \\
    --registry trust.json --model-dir my-model --quiet
modelseal verify --manifest m.json --key alice.pem --model-dir my-model \\
    --json | jq .reason"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "revision",
        metavar="REV",
        nargs="?",
        help="in place of --manifest, a sealed model: NAME, NAME@VERSION, an id, or a path; "
        "checked where it was signed unless --model-dir says otherwise",
    )
    parser.add_argument("--manifest", metavar="PATH", help="signed manifest; - is standard input")
    parser.add_argument(
        "--key",
        metavar="PATH",
        help="public key of the signer, PEM or OpenSSH (default: the signer must be trusted)",
    )
    parser.add_argument(
        "--registry",
        metavar="FILE",
        help="trusted publishers; the signer must be one of them (default: those of 'modelseal "
        "trust')",
    )
    parser.add_argument(
        "--require",
        metavar="N",
        type=arguments.count_of_signatures,
        default=0,
        help="so many different trusted publishers must have signed, cosigners among them",
    )
    parser.add_argument(
        "--certificate-chain",
        metavar="PEM",
        action="append",
        default=[],
        help="of an OMS bundle signed with a certificate: roots to trust (repeatable; default: "
        "the system's)",
    )
    parser.add_argument(
        "--identity", metavar="ID", help="of a keyless OMS bundle: who must have signed"
    )
    parser.add_argument(
        "--identity-provider", metavar="URL", help="with --identity: who must have vouched for that"
    )
    parser.add_argument(
        "--trust-root",
        metavar="FILE",
        help="with --identity: trust root of a private instance (default: the public one)",
    )
    parser.add_argument("--model-dir", metavar="DIR", help="model to check, file by file")
    parser.add_argument(
        "--ignore-unsigned-files",
        action="store_true",
        help="let files pass that the manifest does not name",
    )
    arguments.add_walk(parser)
    arguments.add_store(parser)
    parser.add_argument(
        "--precheck",
        action=BooleanOptionalAction,
        help="look first at files whose recorded BLAKE3 differs, and stop at the first bad ones",
    )
    parser.add_argument(
        "--no-rollback",
        action="store_true",
        help="refuse a manifest older than the one last verified here, instead of warning",
    )
    parser.add_argument("--quiet", action="store_true", help="print only what is wrong")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(args: Namespace) -> int:
    """Check, print the report, and let its exit code be ours."""
    if (args.revision is None) == (args.manifest is None):
        raise UsageError("one of the arguments REV --manifest is required, and not both")
    document, store, path = operands.to_verify(args)
    if isinstance(document, bytes):
        report = _check_bundle(args, document, store, path)
    else:
        report = _check_manifest(args, document, store, path)
    if args.json:
        output.document(rendering.fields(report))
    else:
        rendering.answer(report, files=args.model_dir is not None, quiet=args.quiet)
    return report.exit_code


def _check_manifest(
    args: Namespace, signed: "SignedManifest", store: "Store | None", path: str | None
) -> "Report":
    from modelseal import keyfiles, verifying

    _refuse(args, means.OMS_ALONE, "for OMS bundles, this is a signed manifest")
    public = None
    if args.key is not None:  # an empty one is a mistake, not a wish to go without
        public = keyfiles.KeyManager().load_public_key(args.key)
        keyfiles.check_public(public, args.key)
    trust = arguments.find_trust(args, store, args.model_dir or ".")
    bare = args.key is not None and args.registry is None
    found = defaults.find(args, store, args.model_dir)
    precheck = args.precheck
    if precheck is None:
        precheck = store is not None and bool(found["precheck"].value)
    with output.progress("hashing", quiet=args.quiet) as progress:
        return verifying.ModelVerifier().verify_model(
            args.model_dir,
            signed,
            public_key_bytes=public,
            registry=None if bare else trust,
            background=trust if bare else None,
            require=defaults.required(found, args.require),
            manifest_path=path,
            ignore_unsigned_files=args.ignore_unsigned_files,
            store=store,
            precheck=precheck,
            no_rollback=args.no_rollback,
            progress=progress,
            **arguments.walk(args),
        )


def _check_bundle(
    args: Namespace, data: bytes, store: "Store | None", path: str | None
) -> "Report":
    from modelseal import opening

    _refuse(args, ("precheck", "no_rollback"), "for manifests, this is an OMS bundle")
    with output.progress("hashing", quiet=args.quiet) as progress:
        return opening.verify_model(
            args.model_dir,
            data,
            means.gather(args, data, path, store),
            path=path,
            ignore_unsigned_files=args.ignore_unsigned_files,
            progress=progress,
            **arguments.walk(args),
        )


def _refuse(args: Namespace, names: "Iterable[str]", said: str) -> None:
    """Refuse options that mean nothing for what is checked."""
    for name in names:
        if getattr(args, name):
            raise UsageError(f"--{name.replace('_', '-')} is {said}")
