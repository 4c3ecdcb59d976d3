"""Commands about one key file."""

COMMANDS = {
    "fingerprint": "print a key's fingerprint",
    "public": "print the public key of a key file",
    "passwd": "change a private key's passphrase",
}

DESCRIPTION = """\
Look at a key file, or change the passphrase of a private key. PEM and OpenSSH files will do."""

EXAMPLES = """\
modelseal key fingerprint keys/public.pem
modelseal key public ~/.ssh/id_ed25519 | tee alice.pem
modelseal key passwd keys/private.pem --openssh --rounds 200"""
