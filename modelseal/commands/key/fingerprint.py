"""Print a key's fingerprint."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, output, prompts

DESCRIPTION = """\
Print the fingerprint of a public or private key, as 'ssh-keygen -lf' has it. A passphrase is needed
for encrypted PEM files only: OpenSSH's show their public key without."""

EXAMPLES = """\
modelseal key fingerprint keys/public.pem
modelseal key fingerprint ~/.ssh/id_ed25519 --json"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("file", metavar="FILE", help="a public or private key: PEM or OpenSSH")
    arguments.add_passphrase_file(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Print one line, or one object."""
    from modelseal import keyfiles, keys

    key = keyfiles.load_public_half(
        args.file, lambda: prompts.for_key(args.file, args.passphrase_file), proven=False
    )
    fingerprint = keys.fingerprint(key)
    if args.json:
        algorithm = keys.algorithm_of(key).value
        output.document({"fingerprint": fingerprint, "algorithm": algorithm})
    else:
        output.line(fingerprint)
    return 0
