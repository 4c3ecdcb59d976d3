#!/usr/bin/env python3
"""The adapter that the OMS conformance suite calls: its options, our command line, exit 0 or not.

It runs with the Python that has the project installed, or else with that of `make`'s environment.
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

if not (find_spec("modelseal") and find_spec("cryptography")):
    python = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
    if Path(sys.executable) == python or not python.exists():
        sys.exit("modelseal is not installed: 'make test' does that")
    os.execv(python, [str(python), *sys.argv])  # noqa: S606 - a path of our own

from modelseal import cli


def parse(arguments: list[str]) -> argparse.Namespace:
    """The suite's own spelling of everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sign = commands.add_parser("sign-model")
    verify = commands.add_parser("verify-model")
    for command in (sign, verify):
        command.add_argument("--model-path", required=True)
        command.add_argument("--cert-chain", action="append", default=[])
        command.add_argument("--ignore-paths", action="append", default=[])
    sign.add_argument("--method", choices=["key", "certificate"], required=True)
    sign.add_argument("--output-bundle", required=True)
    sign.add_argument("--private-key")
    sign.add_argument("--signing-cert")
    verify.add_argument("--method", choices=["key", "certificate", "sigstore"], required=True)
    verify.add_argument("--bundle", required=True)
    verify.add_argument("--public-key")
    verify.add_argument("--identity")
    verify.add_argument("--identity-provider")
    verify.add_argument("--ignore-unsigned-files", action="store_true")
    return parser.parse_args(arguments)


def translate(given: argparse.Namespace) -> list[str]:
    """The same for our command line."""
    key, certificates = given.method == "key", given.method == "certificate"
    if given.command == "sign-model":
        words = ["sign", "--format", "oms", "--no-store", "--output", given.output_bundle]
        words += ["--key", given.private_key]
        if certificates:
            words += ["--certificate", given.signing_cert]
    else:
        words = ["verify", "--manifest", given.bundle]
        if key:
            words += ["--key", given.public_key]
        elif not certificates:
            words += ["--identity", given.identity, "--identity-provider", given.identity_provider]
        if given.ignore_unsigned_files:
            words += ["--ignore-unsigned-files"]
    words += ["--model-dir", given.model_path]
    if certificates:
        words += [word for path in given.cert_chain for word in ("--certificate-chain", path)]
    return words + [word for path in given.ignore_paths for word in ("--ignore-path", path)]


if __name__ == "__main__":
    words = translate(parse(sys.argv[1:]))
    sys.exit(cli.main(words) if None not in words else "an option of this method is missing")
