"""Make a key pair."""

import os
from argparse import ArgumentParser, Namespace

from modelseal import arguments, output, prompts

DESCRIPTION = """\
Make a key pair to sign models with: DIR/private.pem (mode 0600) and DIR/public.pem. Keys that are
there already are never overwritten."""

EXAMPLES = """\
modelseal keygen
modelseal keygen --output ~/.config/modelseal/keys --passphrase
modelseal keygen --algorithm ecdsa_p256 --output ci-keys \\
    --passphrase-file /dev/fd/3 3<secret"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "--output",
        metavar="DIR",
        default="keys",
        help="directory for the pair, made if need be (default: keys)",
    )
    parser.add_argument(
        "--algorithm",
        choices=["ed25519", "ecdsa_p256"],
        default="ed25519",
        help="kind of key (default: ed25519)",
    )
    parser.add_argument(
        "--passphrase",
        action="store_true",
        help="encrypt the private key; the passphrase is asked for at the terminal",
    )
    arguments.add_passphrase_file(parser)


def run(args: Namespace) -> int:
    """Make the pair and say what to do with it."""
    from pathlib import PurePath

    from modelseal import keyfiles, keys
    from modelseal.structs import SignatureAlgorithm

    directory = os.fspath(PurePath(args.output)) if args.output else ""  # `.//keys` is no /keys
    keyfiles.check_output(directory)  # before anybody types a passphrase
    passphrase = prompts.given(args.passphrase_file)
    if passphrase is None and args.passphrase:
        passphrase = prompts.ask_twice()
    manager = keyfiles.KeyManager()
    private, public = manager.generate_keypair(SignatureAlgorithm(args.algorithm), passphrase)
    manager.save_keypair(private, public, directory)
    private_path = os.path.join(directory, keyfiles.PRIVATE_NAME)
    output.line(f"Key pair ({args.algorithm}) written to '{os.path.join(directory, '')}'")
    output.line(f"  Private: {private_path}{' (encrypted)' if passphrase else ''}")
    output.line(f"  Public : {os.path.join(directory, keyfiles.PUBLIC_NAME)}")
    output.line(f"  Fingerprint: {keys.fingerprint(keys.load_public(public))}")
    output.line(f"Next: modelseal sign --model-dir DIR --key {private_path} --signer-id YOU")
    return 0
