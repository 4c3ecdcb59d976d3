"""Keyless signatures: what the `sigstore` package says of a bundle, without asking the network."""

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelseal import fileio
from modelseal.errors import FormatError, ModelSealError
from modelseal.structs import DOCUMENT_LIMIT

if TYPE_CHECKING:
    from sigstore.models import TrustedRoot

_PIP: Final = "pip install 'modelseal[sigstore]'"
_SHIPPED: Final = ("https%3A%2F%2Ftuf-repo-cdn.sigstore.dev", "trusted_root.json")
"""Where in the package the public instance's trust root lies."""


class Verdict(NamedTuple):
    """fault: why the signature is refused; empty if it isn't.

    payload: what is signed. certificate: DER, of the signer's key.
    """

    fault: str
    payload_type: str = ""
    payload: bytes = b""
    certificate: bytes = b""


def verify(
    data: bytes, identity: str, provider: str, trust_root: fileio.Location | None = None
) -> Verdict:
    """Check a keyless bundle: its certificate, that it was logged, and its signature.

    identity: whom the certificate must be for. provider: who must have vouched for that, a URL.
    trust_root: of a private instance; without it the one that the package ships.
    Raises ModelSealError where the package is missing; FormatError for a trust root or a bundle
    that it can't read; OSError.
    """
    try:
        from sigstore import errors, models
        from sigstore.verify import Verifier, policy
    except ImportError:
        raise ModelSealError(
            "keyless bundles need the package sigstore", hint=f"add it: {_PIP}"
        ) from None
    root = _trust_root(trust_root)
    # The package's own errors, and what its parser raises for another form.
    expected: Any = (errors.Error, ValueError, KeyError, TypeError)
    try:
        bundle = models.Bundle.from_json(data)
    except expected as err:
        raise FormatError(f"not a keyless bundle: {_brief(err)}") from None
    try:
        wanted = policy.Identity(identity=identity, issuer=provider)
        payload_type, payload = Verifier(trusted_root=root).verify_dsse(bundle, wanted)
    except expected as err:
        return Verdict(_brief(err))
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = bundle.signing_certificate.public_bytes(Encoding.DER)
    return Verdict("", payload_type, payload, certificate)


def _trust_root(path: fileio.Location | None) -> "TrustedRoot":
    from importlib import resources

    from sigstore import errors, models

    if path is None:
        with resources.as_file(resources.files("sigstore._store").joinpath(*_SHIPPED)) as shipped:
            return models.TrustedRoot.from_file(str(shipped))
    fileio.read_bounded(path, DOCUMENT_LIMIT)  # no FIFO, and nothing endless
    expected: Any = (errors.Error, ValueError, KeyError, TypeError)
    try:
        return models.TrustedRoot.from_file(os.fspath(path))
    except expected as err:
        raise FormatError(f"trust root '{os.fspath(path)}': {_brief(err)}") from None


def _brief(err: Exception) -> str:
    """The first line of what another package says, in our form."""
    said = (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(".")
    return said[:1].lower() + said[1:]
