"""Trust a publisher's key."""

from argparse import ArgumentParser, Namespace

from modelseal import arguments, output, owning, registries
from modelseal.errors import EXIT_OK, KeyRevokedError, OverwriteError

DESCRIPTION = """\
Trust what is signed as ID with this key. ID is the signer's name as it stands in manifests. The key
must come from the publisher by a way that you trust; its fingerprint is printed to compare it."""

EXAMPLES = """\
modelseal trust add alice@example.com --key alice.pem
modelseal trust add release@acme.example --key acme.pub --name 'Acme' \\
    --models 'acme/*' --expires 2027-12-31 --require 2
modelseal trust add ci@example.com --key ci.pem --registry trust.json"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("id", metavar="ID", type=registries.text, help="the signer's name")
    parser.add_argument("--key", metavar="KEY", required=True, help="public key: PEM or OpenSSH")
    registries.add_format(parser)
    parser.add_argument("--name", metavar="TEXT", type=registries.text, help="what you call them")
    parser.add_argument(
        "--expires",
        metavar="DATE",
        type=registries.moment,
        help="the key signs nothing from then on, as 2027-01-31 or 2027-01-31T12:00:00Z",
    )
    parser.add_argument(
        "--models",
        metavar="PATTERN",
        type=registries.text,
        action="append",
        default=[],
        help="they may sign models of such names alone; * is any text (repeatable)",
    )
    parser.add_argument(
        "--require",
        metavar="N",
        type=arguments.count_of_signatures,
        default=0,
        help="such a model needs the signatures of so many publishers",
    )
    registries.add_target(parser)


def run(args: Namespace) -> int:
    """Judge the key, and add the publisher."""
    from modelseal import keys, levels, publishers
    from modelseal.structs import TrustedPublisher

    oms = args.format == "oms"
    key = registries.public_key(args.key, bundles=oms)
    since = registries.now()
    said = publishers.described(key, since=since, expires=args.expires)
    level = registries.open_target(args)
    trust = levels.Trust([level, *registries.all_levels(args)])
    gone = trust.key_revoked(said.fingerprint) or trust.publisher_revoked(args.id)
    if gone:
        raise KeyRevokedError(gone)
    if level.registry.get_publisher(args.id) is not None:
        raise OverwriteError(
            f"publisher '{args.id}' is in '{level.path}' already",
            hint="'modelseal trust rotate' gives another key, 'trust remove' forgets the publisher",
        )
    publisher = TrustedPublisher(
        publisher_id=args.id,
        name=args.name or "",
        public_key=key,
        trusted_since=since,
        keys=[said] if args.expires else [],
        models=args.models,
        require=args.require,
    )
    for other in trust.levels if level.kind != "registry" else ():
        if other.registry.get_publisher(args.id) is not None:
            output.warning(f"'{args.id}' is in '{other.path}' too: the nearer registry counts")
    registries.make_home(level)
    curves = keys.OMS_CURVES if oms else keys.CURVES
    level.registry.add_publishers([publisher], curves=curves)
    output.line(f"Trusted: {args.id}")
    output.rows(("  Key", said.fingerprint), ("  Registry", level.path))
    if level.kind == "store" and not owning.owns(args, arguments.find_store(args)):
        output.hint(
            "this store was not made here: its publishers count where it is named, by '--store "
            "DIR' or MODELSEAL_DIR"
        )
    return EXIT_OK
