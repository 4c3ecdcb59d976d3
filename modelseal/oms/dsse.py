"""The envelope's signed bytes: DSSE 1.0, and what version 0.2 of model_signing made of it."""

from typing import Final

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a signature covers: DSSE 1.0's pre-authentication encoding. Lengths count bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def pae_0_2(payload_type: str, payload: bytes) -> bytes:
    """The same as model_signing 0.2 got it wrong, and signed: Python's notation of the payload."""
    return f"DSSEV1 {len(payload_type)} {payload_type} {len(payload)} {payload!r}".encode()
