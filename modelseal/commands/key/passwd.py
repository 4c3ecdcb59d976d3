"""Change a private key's passphrase."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from modelseal import arguments, output, prompts
from modelseal.errors import UsageError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from modelseal.keys import PrivateKey

DESCRIPTION = """\
Give a private key another passphrase, a first one, or none, in one step: the file holds the old key
or the new one, never less. A file keeps its format, PEM or OpenSSH's, unless told otherwise."""

EXAMPLES = """\
modelseal key passwd keys/private.pem
modelseal key passwd keys/private.pem --openssh --rounds 200
modelseal key passwd ci.pem --passphrase-file /dev/fd/3 \\
    --new-passphrase-file /dev/fd/4 3<old 4<new"""

_FEWEST, _MOST = 16, 10_000


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("file", metavar="FILE", help="the private key")
    arguments.add_passphrase_file(parser)
    new = parser.add_mutually_exclusive_group()
    new.add_argument(
        "--new-passphrase-file",
        metavar="FILE",
        help="read the new passphrase from the first line of FILE, also /dev/fd/N "
        "(else: MODELSEAL_NEW_PASSPHRASE)",
    )
    new.add_argument(
        "--remove-passphrase", action="store_true", help="leave the key without encryption"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--openssh",
        action="store_true",
        help="write OpenSSH's format, where guessing is slowed down by bcrypt",
    )
    form.add_argument("--pkcs8", action="store_true", help="write PKCS#8 PEM")
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=_rounds,
        help="of bcrypt, for OpenSSH's format, 16 to 10000 (default: 64, or what the file has, "
        "if more)",
    )


def run(args: Namespace) -> int:
    """Read with the old passphrase, write with the new one."""
    from modelseal import fileio, keyfiles, keys, openssh, pem

    old = fileio.read_bounded(args.file, pem.LIMIT)
    header = openssh.header(old)
    as_openssh = args.openssh or (header is not None and not args.pkcs8)
    if args.rounds is not None and (not as_openssh or args.remove_passphrase):
        raise UsageError("--rounds is for a passphrase in OpenSSH's format", hint="add '--openssh'")
    encrypted = keys.is_encrypted(old)
    passphrase = prompts.for_key(args.file, args.passphrase_file) if encrypted else None
    key = keyfiles.load_private(args.file, old, passphrase)
    new = _new_passphrase(args)
    if as_openssh:
        rounds = args.rounds or max(keys.OPENSSH_ROUNDS, header.rounds if header else 0)
        written = keys.encode_openssh(key, new, rounds=rounds)
        form = f"OpenSSH, bcrypt with {rounds:,} rounds" if new else "OpenSSH"
    else:
        written = keys.encode_private(key, new)
        form = "PKCS#8, PBKDF2 with 2,048 rounds" if new else "PKCS#8"
    names = os.stat(args.file).st_nlink
    keyfiles.replace_private(args.file, old, written)
    _report(args.file, key, form, before=encrypted, after=new is not None)
    if names > 1:
        output.warning(f"'{args.file}' has another name, and the file of that is as it was")
    return 0


def _new_passphrase(args: Namespace) -> bytes | None:
    if args.remove_passphrase:
        return None
    new = prompts.given(args.new_passphrase_file, prompts.NEW_VARIABLE)
    return prompts.ask_new(args.file) if new is None else new


def _report(path: str, key: "PrivateKey", form: str, *, before: bool, after: bool) -> None:
    from modelseal import keys

    done = ("changed" if before else "set") if after else "removed"
    output.line(f"Passphrase {done}: {path}")
    output.line(f"  Format     : {form}")
    output.line(f"  Fingerprint: {keys.fingerprint(key.public_key())}")
    if after and form.startswith("PKCS#8"):
        output.hint("this slows down guessing only a little; '--openssh' does it well")


def _rounds(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    if not _FEWEST <= count <= _MOST:
        raise ArgumentTypeError(f"'{text}' is not a number from {_FEWEST} to {_MOST}")
    return count
