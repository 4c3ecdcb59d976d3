"""Sign machine-learning models, and check who signed them and that every byte is as signed."""

__version__ = "0.2.0"

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would cost every command
if TYPE_CHECKING:
    from modelseal.keyfiles import KeyManager
    from modelseal.sealing import ModelSigner
    from modelseal.store import Store
    from modelseal.structs import (
        FileEntry,
        ModelManifest,
        Signature,
        SignatureAlgorithm,
        SignedManifest,
        TrustedPublisher,
        VerificationResult,
    )
    from modelseal.trust import PublisherRegistry
    from modelseal.verifying import ModelVerifier

__all__ = [
    "FileEntry",
    "KeyManager",
    "ModelManifest",
    "ModelSigner",
    "ModelVerifier",
    "PublisherRegistry",
    "Signature",
    "SignatureAlgorithm",
    "SignedManifest",
    "Store",
    "TrustedPublisher",
    "VerificationResult",
]

_ROOMS = {
    "KeyManager": "keyfiles",
    "ModelSigner": "sealing",
    "ModelVerifier": "verifying",
    "PublisherRegistry": "trust",
    "Store": "store",
}


def __getattr__(name: str) -> object:
    # PEP 562: the command line imports this package, and must not pay for what it doesn't use.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'structs')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
