"""Who is trusted: publishers and their keys."""

COMMANDS = {
    "add": "trust a publisher's key",
    "list": "list the publishers",
    "show": "show one publisher, and all that is said of its keys",
    "remove": "forget a publisher",
    "revoke": "have a publisher or one of its keys count no more",
    "rotate": "give a publisher another key",
    "import": "take publishers from a file",
    "export": "write publishers to standard output",
}

DESCRIPTION = """\
Name the publishers whose signatures count, once, so that verifying needs no key. A publisher is an
id, as it stands in a manifest, and its keys."""

EXAMPLES = """\
modelseal trust add alice@example.com --key alice.pem
modelseal trust list
modelseal trust rotate alice@example.com --key alice-2027.pem
modelseal trust revoke alice@example.com --reason 'laptop stolen'"""
