"""What a bundle is checked with: as the command line, the registries and the system have it."""

from argparse import Namespace

from modelseal import arguments, defaults, operands
from modelseal.errors import KeyLoadError, UsageError

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from modelseal.opening import Means
    from modelseal.store import Store

_IDENTITY = ("identity", "identity_provider", "trust_root")
OMS_ALONE = ("certificate_chain", *_IDENTITY)
"""Options that mean nothing for a signed manifest."""


def gather(args: Namespace, data: bytes, path: str | None, store: "Store | None" = None) -> "Means":
    """What there is to check a bundle with.

    path: where it was found; None for standard input, and for a bundle of a store.
    store: the one that has it.
    Raises UsageError, KeyLoadError, FormatError.
    """
    from modelseal import keyfiles, keys
    from modelseal.oms import bundle, certificates
    from modelseal.opening import Means, naming

    _refuse_mixtures(args)
    with naming(path):
        is_certified = bundle.decode(data).method == "certificate"
    trust = arguments.find_trust(args, store, args.model_dir or ".")
    found = defaults.find(args, store, args.model_dir)
    require = defaults.required(found, args.require)
    if any(getattr(args, name) is not None for name in _IDENTITY):
        return Means(
            identity=args.identity,
            provider=args.identity_provider,
            trust_root=args.trust_root,
            background=trust,
            require=require,
        )
    if args.certificate_chain:
        chains = [operands.load_certificates(path) for path in args.certificate_chain]
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


def _system_roots() -> "list[Certificate]":
    import ssl

    from modelseal.oms import certificates

    path = ssl.get_default_verify_paths().cafile
    if path is None:
        raise KeyLoadError(
            "this system has no file of trusted certificates",
            hint="name the roots with '--certificate-chain PEM'",
        )
    return certificates.load_pem(operands.load_certificates(path))
