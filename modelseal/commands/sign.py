"""Sign a model directory."""

import os
from argparse import ArgumentParser, Namespace

from modelseal import arguments, output, prompts

DESCRIPTION = """\
Hash every file of a model directory, name them all in a manifest, and sign it. Left out at the top
of the directory: .git, .modelseal, signed_manifest.json, model.sig."""

EXAMPLES = """\
modelseal sign --model-dir my-model --key keys/private.pem \\
    --signer-id alice@example.com
modelseal sign --model-dir my-model --key ~/.ssh/id_ed25519 \\
    --signer-id alice@example.com --model-name my-classifier \\
    --model-version 1.0.0 --framework pytorch
modelseal sign --model-dir hub/models--a--b/snapshots/1f2e --follow-symlinks \\
    --key keys/private.pem --signer-id ci@example.com --output b.signed.json"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("--model-dir", metavar="DIR", required=True, help="model to sign")
    parser.add_argument("--key", metavar="PATH", required=True, help="private key: PEM or OpenSSH")
    parser.add_argument(
        "--signer-id", metavar="ID", required=True, help="who signs, as receivers know you"
    )
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
        "--output", metavar="PATH", help="default: signed_manifest.json in the model directory"
    )
    arguments.add_passphrase_file(parser)
    arguments.add_walk(parser)


def run(args: Namespace) -> int:
    """Sign, and write the signed manifest."""
    from modelseal import keyfiles, sealing

    key, passphrase = _unlock(args.key, args.passphrase_file)
    if keyfiles.exposed(args.key):
        output.warning(f"private key '{args.key}' can be read by others: chmod 600 '{args.key}'")
    path = args.output or os.path.join(args.model_dir, sealing.DEFAULT_NAME)
    sealing.check_output(path)
    signer = sealing.ModelSigner()
    with output.progress("hashing") as progress:
        manifest = signer.create_manifest(
            args.model_dir,
            args.model_name,
            args.model_version,
            args.framework,
            args.author,
            args.description,
            output=path,
            ignore_paths=args.ignore_path,
            follow_symlinks=args.follow_symlinks,
            jobs=args.jobs,
            fork=True,
            progress=progress,
            warn=output.warning,
        )
    signed = signer.sign_manifest(manifest, key, args.signer_id, passphrase)
    sealing.save(signed, path)
    output.line(f"Signed manifest written to: {path}")
    output.line(f"  Files    : {len(manifest.files)}")
    output.line(f"  Total    : {manifest.total_size_bytes:,} bytes")
    output.line(f"  Signer   : {args.signer_id}")
    output.line(f"  Algorithm: {signed.signature.algorithm.value}")
    return 0


def _unlock(path: str, passphrase_file: str | None) -> tuple[bytes, bytes | None]:
    """The key file's bytes, and the passphrase that opens it where it needs one."""
    from modelseal import fileio, keyfiles, keys

    passphrase = prompts.given(passphrase_file)
    if passphrase is None and keys.is_encrypted(fileio.read_bounded(path, keys.KEY_LIMIT)):
        passphrase = prompts.ask(f"Passphrase for '{path}'")
    return keyfiles.KeyManager().load_private_key(path, passphrase), passphrase
