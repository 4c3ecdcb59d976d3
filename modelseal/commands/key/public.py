"""Print the public key of a key file."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, output, prompts

DESCRIPTION = """\
Print the public key that belongs to a private one, or a public one in the other form: as PEM, or as
a line of OpenSSH's. It is what receivers need; the private key stays with you."""

EXAMPLES = """\
modelseal key public keys/private.pem | tee alice.pem
modelseal key public keys/public.pem --openssh | tee alice.pub"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("file", metavar="FILE", help="a private or public key: PEM or OpenSSH")
    parser.add_argument(
        "--openssh", action="store_true", help="print a line as in id_ed25519.pub, not PEM"
    )
    arguments.add_passphrase_file(parser)


def run(args: Namespace) -> int:
    """Print the key."""
    from modelseal import keyfiles, keys

    key = keyfiles.load_public_half(
        args.file, lambda: prompts.for_key(args.file, args.passphrase_file), proven=True
    )
    encode = keys.encode_openssh_public if args.openssh else keys.encode_public
    output.lines(encode(key).decode().rstrip("\n"))
    return 0
