"""Check a signed manifest, and a model against it."""

import os
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import TYPE_CHECKING

from modelseal import arguments, defaults, output
from modelseal.errors import (
    FormatError,
    KeyLoadError,
    ModelError,
    Reason,
    StoreError,
    StoreMissingError,
    UsageError,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from modelseal.opening import Means
    from modelseal.report import Altered, Report
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


_IDENTITY = ("identity", "identity_provider", "trust_root")
_OMS_ALONE = ("certificate_chain", *_IDENTITY)


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
    from modelseal import keyfiles, verifying

    signed, store, manifest_path = _subject(args)
    if isinstance(signed, bytes):
        return _verify_bundle(args, signed, manifest_path)
    for name in _OMS_ALONE:
        if getattr(args, name):
            raise UsageError(f"{_option(name)} is for OMS bundles, this is a signed manifest")
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
        report = verifying.ModelVerifier().verify_model(
            args.model_dir,
            signed,
            public_key_bytes=public,
            registry=None if bare else trust,
            background=trust if bare else None,
            require=args.require or _required(found["require"].value),
            manifest_path=manifest_path,
            ignore_paths=args.ignore_path,
            ignore_unsigned_files=args.ignore_unsigned_files,
            follow_symlinks=args.follow_symlinks,
            store=store,
            precheck=precheck,
            no_rollback=args.no_rollback,
            jobs=args.jobs,
            fork=True,
            progress=progress,
        )
    if args.json:
        output.document(_as_json(report))
    else:
        _print(report, files=args.model_dir is not None, quiet=args.quiet)
    return report.exit_code


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _required(setting: object) -> int:
    """1, the default, asks for no more than the command line does."""
    return setting if isinstance(setting, int) and setting > 1 else 0


def _verify_bundle(args: Namespace, data: bytes, path: str | None) -> int:
    from modelseal import opening

    for name in ("precheck", "no_rollback"):
        if getattr(args, name):
            raise UsageError(f"{_option(name)} is for manifests, this is an OMS bundle")
    _refuse_mixtures(args)
    with output.progress("hashing") as progress:
        report = opening.verify_model(
            args.model_dir,
            data,
            _means(args, data, path),
            path=path,
            ignore_paths=args.ignore_path,
            ignore_unsigned_files=args.ignore_unsigned_files,
            follow_symlinks=args.follow_symlinks,
            jobs=args.jobs,
            fork=True,
            progress=progress,
        )
    if args.json:
        output.document(_as_json(report))
    else:
        _print(report, files=args.model_dir is not None, quiet=args.quiet)
    return report.exit_code


def _refuse_mixtures(args: Namespace) -> None:
    """A bundle is signed in one of three ways, and checked in that one."""
    keyless = [getattr(args, name) for name in _IDENTITY]
    if any(value is not None for value in keyless) and not all(keyless[:2]):
        raise UsageError("--identity and --identity-provider go together")
    ways = {
        "--identity": args.identity is not None,
        "--certificate-chain": bool(args.certificate_chain),
        "--key or --registry": args.key is not None or args.registry is not None,
    }
    given = [way for way, said in ways.items() if said]
    if len(given) > 1:
        raise UsageError(f"{given[0]} goes without {given[1]}")


def _means(args: Namespace, data: bytes, path: str | None) -> "Means":
    """What the command line, the registries and the system have to check a bundle with."""
    from modelseal import keyfiles, keys
    from modelseal.oms import bundle, certificates
    from modelseal.opening import Means, naming

    with naming(path):
        is_certified = bundle.decode(data).method == "certificate"
    trust = arguments.find_trust(args, None, args.model_dir or ".")
    found = defaults.find(args, None, args.model_dir)
    require = args.require or _required(found["require"].value)
    if any(getattr(args, name) is not None for name in _IDENTITY):
        return Means(
            identity=args.identity,
            provider=args.identity_provider,
            trust_root=args.trust_root,
            background=trust,
            require=require,
        )
    if args.certificate_chain:
        chains = [arguments.load_certificates(path) for path in args.certificate_chain]
        roots = [each for chain in chains for each in certificates.load_pem(chain)]
        return Means(roots=roots, background=trust, require=require)
    if args.key is None and args.registry is None and is_certified:
        return Means(roots=_system_roots(), background=trust, require=require)
    if args.key is None:
        return Means(registry=trust, require=require)
    public = keyfiles.KeyManager().load_public_key(args.key)
    keyfiles.check_public(public, args.key, curves=keys.OMS_CURVES)
    if args.registry is None:
        return Means(public_key=public, background=trust, require=require)
    return Means(public_key=public, registry=trust, require=require)


def _system_roots() -> "list[Certificate]":
    import ssl
    import warnings

    from modelseal.oms import certificates

    path = ssl.get_default_verify_paths().cafile
    if path is None:
        raise KeyLoadError(
            "this system has no file of trusted certificates",
            hint="name the roots with '--certificate-chain PEM'",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its authorities got wrong is not the user's concern
        return certificates.load_pem(arguments.load_certificates(path))


def _subject(args: Namespace) -> "tuple[SignedManifest | bytes, Store | None, str | None]":
    """What is checked: the signed manifest or a bundle's bytes, the store that knows of it, and
    where it lies.
    """
    from modelseal.oms import bundle

    start = args.model_dir or "."
    if args.revision is not None:
        store, named = arguments.find_sealed(args, args.revision, start)
        if store is not None:
            if args.model_dir is None:
                args.model_dir = _signed_where(args, store, named)
            return store.get(named), store, None
        args.manifest = named
    data = arguments.load_document(args.manifest)
    if bundle.is_bundle(data):
        return data, None, None if args.manifest == "-" else args.manifest
    signed = arguments.decode_manifest(data, args.manifest)
    store = None
    if args.model_dir is not None or args.store is not None:
        try:
            store = arguments.find_store(args, start)
        except StoreMissingError:
            if args.store or args.precheck or args.no_rollback:
                raise
        except StoreError as err:
            # Nobody's store can keep us from verifying.
            output.warning(f"going without the store: {err}")
    return signed, store, None if args.manifest == "-" else args.manifest


def _signed_where(args: Namespace, store: "Store", id_: str) -> str:
    """Where the log says the model lies, if that is ours to believe.

    A store that came with a model must not send us to look at another one.
    """
    seal = store.seal(id_)
    named = seal.directory if seal else ""
    inside = named and os.path.commonpath([store.root, named]) == store.root
    entries = store.entries(id_)
    if not entries:
        raise FormatError("the manifest names no file")
    for directory in (named if inside or args.store else "", store.root):
        if directory and os.path.lexists(os.path.join(directory, entries[0].path)):
            if not args.json and not args.quiet:
                output.line(f"Directory: {directory}")
            return directory
    raise ModelError(
        f"the model is not where it was signed, '{named}'", hint="name it with '--model-dir DIR'"
    )


def _as_json(report: "Report") -> dict[str, object]:
    manifest = report.manifest
    return {
        "valid": report.valid,
        "reason": report.reason,
        "message": report.signature_error or "; ".join(said for _, said in report.objections),
        "signer_id": report.signer_id,
        "trusted": report.trusted,
        "fingerprint": report.fingerprint,
        "publisher": report.publisher,
        "registry": report.source,
        "required": report.required,
        "signatures": [
            {
                "signer_id": voice.signer_id,
                "fingerprint": voice.fingerprint,
                "reason": voice.reason,
                "message": voice.message,
                "publisher": voice.publisher,
                "registry": voice.source,
            }
            for voice in report.voices
        ],
        "model_name": manifest.model_name,
        "model_version": manifest.model_version,
        "framework": manifest.framework,
        "checked": report.checked,
        "altered": [
            {"path": path, "expected": expected, "actual": actual, "note": note}
            for path, expected, actual, note in report.altered
        ],
        "missing": report.missing,
        "unsigned": [item.path for item in report.unsigned],
        "unchecked": report.unchecked,
        "ignored": report.ignored,
        "errors": [
            {"path": path, "message": message, "reason": reason}
            for path, message, reason in report.errors
        ],
        "warnings": report.warnings,
        "hints": report.hints,
    }


def _print(report: "Report", *, files: bool, quiet: bool) -> None:
    for warning in report.warnings:
        output.warning(warning)
    if not report.signature_valid:
        word = "" if report.reason is Reason.SIGNATURE_INVALID else f" ({report.reason})"
        said = f" — {report.signature_error}{word}"
        output.marked(output.BAD, "Signature: INVALID", said)
        for hint in report.hints:
            output.hint(hint)
        return
    if not quiet:
        output.marked(output.GOOD, "Signature: VALID")
        _print_signers(report)
        version = report.manifest.model_version
        output.line(f"  Model    : {report.manifest.model_name}{f' v{version}' if version else ''}")
    for reason, said in report.objections:
        output.marked(output.BAD, "Refused:", f" {said} ({reason})")
    if files:
        if not quiet:
            output.line("Verifying on-disk file hashes...")
        _print_files(report, quiet=quiet)
    for hint in report.hints:
        output.hint(hint)


def _print_signers(report: "Report") -> None:
    if report.signer_id:
        output.line(f"  Signer   : {report.signer_id}{'' if report.trusted else ' (claimed)'}")
    output.line(f"  Key      : {report.fingerprint}")
    if report.publisher and not report.source:
        output.line(f"  Vouched  : by '{report.publisher}'")
    if report.source:
        name = f" ({report.publisher})" if report.publisher else ""
        output.line(f"  Trusted  : by '{report.source}'{name}")
    shown = report.signer_id if report.trusted else ""
    for voice in report.voices:
        if voice.reason is not None:
            said = f" {voice.signer_id} (claimed): {voice.message}"
            output.marked(output.DOUBTFUL, "  Ignored  :", said)
        elif voice.signer_id != shown:
            output.line(f"  Cosigned : {voice.signer_id}, {voice.fingerprint}")
    if report.required > 1:
        output.line(f"  Required : {report.counted} of {report.required} publishers")


def _print_files(report: "Report", *, quiet: bool) -> None:
    altered = {item.path: item for item in report.altered}
    missing, passed = set(report.missing), set(report.passed)
    for path in (entry.path for entry in report.manifest.files):
        if path in passed and not quiet:
            output.marked(output.GOOD, "  [OK]", f" {path}")
        if path in missing:
            output.marked(output.BAD, "  [FAIL]", f" {path} (missing)")
        if path in altered:
            _print_altered(altered[path])
    _print_rest(report)
    if report.altered or report.missing or report.unsigned or report.errors:
        output.message("One or more files failed verification.")
    elif not quiet and report.valid:
        output.line("All files verified successfully.")


def _print_rest(report: "Report") -> None:
    for path, note in report.unsigned:
        output.marked(output.BAD, "  [UNSIGNED]", f" {path}{f' ({note})' if note else ''}")
    for path in report.unchecked:
        output.marked(output.DOUBTFUL, "  [NOT CHECKED]", f" {path}")
    for path in report.ignored:
        output.marked(output.DOUBTFUL, "  [IGNORED]", f" {path}")
    for fault in report.errors:
        output.failure(fault.message)


def _print_altered(item: "Altered") -> None:
    if item.actual is None:
        output.marked(output.BAD, "  [FAIL]", f" {item.path} ({item.note})")
        return
    output.marked(output.BAD, "  [FAIL]", f" {item.path}")
    output.line(f"         expected {item.expected}")
    output.line(f"         actual   {item.actual}")
    if item.note:
        output.line(f"         {item.note}")
