"""Which certificates may sign models, and which paths lead from them to a root."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from modelseal.errors import KeyLoadError
from modelseal.oms import certificates
from tests.forging import CODE_SIGNING, NOW, SERVER, Certified, authority, certify, key

CODE = "is not for code signing"
SIGNATURES = "is not for signatures"
AUTHORITY = "is that of an authority, not of a signer"
NO_PATH = "does not lead to a trusted root"


@pytest.fixture(scope="module")
def root() -> Certified:
    """Trusted."""
    return authority("root")


@pytest.fixture(scope="module")
def issuer(root: Certified) -> Certified:
    """Made by the root to make signers' certificates, and no further authority."""
    return authority("issuer", root, path_length=0)


def fault(*chain: Certified, roots: tuple[Certified, ...], days: float = 0) -> str:
    """What is wrong with a path, now or some days away."""
    return certificates.path_fault(
        [each.certificate for each in chain],
        [each.certificate for each in roots],
        NOW + timedelta(days=days),
    )


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, ""),
        ({"usage": None}, ""),
        ({"extended": [*CODE_SIGNING, *SERVER]}, ""),
        ({"extended": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}, ""),
        ({"authority": None}, ""),
        ({"extended": ()}, CODE),
        ({"extended": SERVER}, CODE),
        ({"usage": None, "extended": ()}, CODE),
        ({"usage": (False, False)}, SIGNATURES),
        ({"usage": (False, True)}, SIGNATURES),
        # It says that it is an authority, and may not act as one.
        ({"authority": True}, ""),
        ({"authority": True, "usage": (True, True)}, AUTHORITY),
        ({"authority": True, "usage": None}, AUTHORITY),
        ({"ends": -0.01}, "expired on"),
        ({"begins": 0.5}, "is not valid before"),
    ],
)
def test_who_may_sign(
    root: Certified, issuer: Certified, made: dict[str, object], expected: str
) -> None:
    signer = certify("signer", issuer, **made)  # type: ignore[arg-type]
    said = fault(signer, issuer, roots=(root,))
    assert expected in said
    assert bool(said) == bool(expected)
    assert certificates.fault(signer.certificate, NOW) == said


def test_a_path_goes_through_the_bundle_to_a_root(root: Certified, issuer: Certified) -> None:
    signer = certify("signer", issuer)
    assert fault(signer, issuer, roots=(root,)) == ""
    assert fault(signer, issuer, roots=(authority("other"), root)) == ""
    assert fault(signer, roots=(issuer,)) == ""
    assert fault(certify("direct", root), roots=(root,)) == ""
    assert NO_PATH in fault(signer, roots=(root,))
    assert NO_PATH in fault(signer, issuer, roots=())
    assert NO_PATH in fault(signer, issuer, roots=(authority("root"),))


def test_a_root_in_the_bundle_is_no_root(root: Certified, issuer: Certified) -> None:
    theirs = authority("theirs")
    signer = certify("signer", theirs)
    assert NO_PATH in fault(signer, theirs, roots=(root,))
    alone = certify("alone")
    assert NO_PATH in fault(alone, alone, roots=(root,))


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"authority": True},
        {"authority": True, "usage": (True, True)},
    ],
)
def test_a_signer_may_be_its_own_root(made: dict[str, object]) -> None:
    alone = certify("alone", **made)  # type: ignore[arg-type]
    assert fault(alone, roots=(alone,)) == ""
    assert fault(alone, alone, roots=(alone,)) == ""
    assert "expired on" in fault(alone, roots=(alone,), days=101)
    assert certificates.fault(alone.certificate, NOW) == ""


def test_all_of_the_path_is_valid_now(root: Certified) -> None:
    for ends, begins, said in ((-0.01, -9, "expired on"), (9, 0.5, "is not valid before")):
        late = authority("late", root, begins=begins, ends=ends)
        assert f"'CN=late' {said}" in fault(certify("signer", late), late, roots=(root,))
        top = authority("top", begins=begins, ends=ends)
        assert f"'CN=top' {said}" in fault(certify("signer", top), roots=(top,))
    signer = certify("signer", root)
    assert fault(signer, roots=(root,), days=99) == ""
    assert "expired on" in fault(signer, roots=(root,), days=101)


def test_only_authorities_stand_above(root: Certified, issuer: Certified) -> None:
    for made in (
        certify("no-authority", root),
        authority("no-signing", root, usage=(True, False)),
        authority("for-servers", root, extended=SERVER),
    ):
        assert NO_PATH in fault(certify("signer", made), made, roots=(root,))
    too_deep = authority("too-deep", issuer)
    assert NO_PATH in fault(certify("signer", too_deep), too_deep, issuer, roots=(root,))
    for_code = authority("for-code", root, extended=CODE_SIGNING)
    assert fault(certify("signer", for_code), for_code, roots=(root,)) == ""


def test_a_forged_issuer_is_no_issuer(root: Certified) -> None:
    forged = authority("root", private=key())
    signer = certify("signer", forged)
    assert NO_PATH in fault(signer, root, roots=(root,))


def test_a_certificate_that_is_a_little_wrong_is_loaded_in_silence() -> None:
    made = certify("odd").certificate
    while not made.serial_number >> 152:  # one of fewer than 20 bytes
        made = certify("odd").certificate
    der = bytearray(made.public_bytes(Encoding.DER))
    der[der.index(made.serial_number.to_bytes(20))] |= 0x80  # below zero now
    with pytest.warns(CryptographyDeprecationWarning, match="wasn't positive"):
        odd = x509.load_der_x509_certificate(bytes(der))
    # A warning would be an error here.
    assert certificates.load_der([bytes(der)]) == [odd]
    assert certificates.load_pem(odd.public_bytes(Encoding.PEM)) == [odd]


def test_a_signature_of_whole_bytes_is_written_in_one_way() -> None:
    made = certify("signer").certificate
    while made.signature[-1] & 1:  # else it would be no bit string
        made = certify("signer").certificate
    der = bytearray(made.public_bytes(Encoding.DER))
    der[-len(made.signature) - 1] = 1  # so many bits of the last byte don't count
    odd = x509.load_der_x509_certificate(bytes(der))
    assert odd.signature == made.signature
    with pytest.raises(KeyLoadError, match="a certificate in the bundle is damaged"):
        certificates.load_der([bytes(der)])
    with pytest.raises(KeyLoadError, match="this is a damaged certificate"):
        certificates.load_pem(odd.public_bytes(Encoding.PEM))


def test_what_is_no_certificate() -> None:
    for data, said in (
        (b"", "this is no certificate in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no certificate in PEM"),
    ):
        with pytest.raises(KeyLoadError, match=said):
            certificates.load_pem(data)
    with pytest.raises(KeyLoadError, match="is damaged"):
        certificates.load_der([b"\x30\x03\x02\x01\x01"])
    with pytest.raises(KeyLoadError, match="more than 64"):
        certificates.load_der([certify("x").der] * 65)


@pytest.mark.parametrize("critical", [True, False])
def test_an_authority_for_some_subjects_vouches_for_no_other(
    root: Certified, critical: bool
) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "theirs")])
    bound = authority("bound", root, only=x509.DirectoryName(subject), critical=critical)
    assert NO_PATH in fault(certify("x", bound, extended=CODE_SIGNING), bound, roots=(root,))


def test_a_certificate_that_can_be_parsed_in_part() -> None:
    der = certify("y").der
    # The subject's text becomes a tag that no text has; a signer's key one of an unknown kind.
    for old, new in ((b"\x0c\x01y", b"\x00\x01y"), (b"\x06\x07\x2a\x86", b"\x06\x07\x2a\x87")):
        damaged = der.replace(old, new)
        assert damaged != der
        if old[:1] == b"\x0c":
            with pytest.raises(KeyLoadError, match="a certificate in the bundle is damaged"):
                certificates.load_der([damaged])
        else:
            (loaded,) = certificates.load_der([damaged])
            with pytest.raises(
                KeyLoadError, match="the key of the certificate 'CN=y' can't be read"
            ):
                certificates.public_key(loaded)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x27"),  # of no version
        (b"\x0c\x02xy", b"\x03\x02\0y"),  # a name in bits
    ],
)
def test_what_else_cryptography_raises(old: bytes, new: bytes) -> None:
    der = certify("xy").der
    assert old in der
    with pytest.raises(KeyLoadError, match="a certificate in the bundle is damaged"):
        certificates.load_der([der.replace(old, new)])
