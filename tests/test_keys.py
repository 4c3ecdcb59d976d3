"""Keys as bytes: what openssl and ssh-keygen make is loaded, or refused for the right reason."""

import base64
import shlex
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelseal import SignatureAlgorithm, keys, signatures
from modelseal.errors import KeyLoadError, PassphraseError
from modelseal.pem import is_plain
from tests.conftest import Result, need

SECRET = b"correct horse"
HINT = "keys are Ed25519 or ECDSA P-256: make a pair with 'modelseal keygen'"
DAMAGED_PRIVATE = "the private key is damaged, or of an unknown kind"
DAMAGED_PUBLIC = "the public key is damaged, or of an unknown kind"
SMALL = "the Ed25519 public key is a point of small order: signatures by it prove nothing"
NOT_CANONICAL = "the Ed25519 public key is not in canonical form"

# SubjectPublicKeyInfo up to the key itself (RFC 8410, RFC 5480).
SPKI_ED25519 = bytes.fromhex("302a300506032b6570032100")
SPKI_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")

ED25519, ECDSA = SignatureAlgorithm.ed25519, SignatureAlgorithm.ecdsa_p256
_ED25519 = "openssl genpkey -algorithm ed25519"
_DSA = "openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024"
_EC = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
_SEC1 = "openssl ecparam -name prime256v1 -genkey"
_PASS = "pass:'correct horse'"

USABLE: dict[str, tuple[SignatureAlgorithm, str]] = {
    "ed25519 pkcs8": (ED25519, f"{_ED25519} -out K"),
    "ed25519 pkcs8 encrypted": (
        ED25519,
        f"{_ED25519} -aes-256-cbc -pass {_PASS} -out K",
    ),
    "ed25519 pkcs8 scrypt encrypted": (
        ED25519,
        f"{_ED25519} -out plain\nopenssl pkcs8 -topk8 -scrypt -in plain -passout {_PASS} -out K",
    ),
    "ed25519 openssh": (ED25519, "ssh-keygen -q -t ed25519 -N '' -C '' -f K"),
    "ed25519 openssh encrypted": (
        ED25519,
        "ssh-keygen -q -t ed25519 -N 'correct horse' -a 1 -C me@here -f K",
    ),
    "p256 pkcs8": (ECDSA, f"{_EC} -out K"),
    "p256 pkcs8 encrypted": (ECDSA, f"{_EC} -aes-256-cbc -pass {_PASS} -out K"),
    "p256 sec1": (ECDSA, f"{_SEC1} -noout -out K"),
    "p256 sec1 after its parameters": (ECDSA, f"{_SEC1} -out K"),
    "p256 sec1 encrypted": (
        ECDSA,
        f"{_SEC1} -noout -out plain\nopenssl ec -in plain -aes128 -passout {_PASS} -out K",
    ),
    "p256 sec1 by ssh-keygen": (ECDSA, "ssh-keygen -q -t ecdsa -m PEM -N '' -f K"),
    "p256 pkcs8 by ssh-keygen": (ECDSA, "ssh-keygen -q -t ecdsa -m PKCS8 -N '' -f K"),
    "p256 openssh": (ECDSA, "ssh-keygen -q -t ecdsa -N '' -f K"),
    "p256 openssh encrypted": (ECDSA, "ssh-keygen -q -t ecdsa -N 'correct horse' -a 1 -f K"),
}

# Kind → how it is called, and how its private key is made.
UNUSABLE = {
    "rsa": ("an RSA", "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out K"),
    "dsa": (
        "a DSA",
        f"{_DSA} -out parameters\nopenssl genpkey -paramfile parameters -out K",
    ),
    "x25519": ("an X25519", "openssl genpkey -algorithm x25519 -out K"),
    "x448": ("an X448", "openssl genpkey -algorithm x448 -out K"),
    "ed448": ("an Ed448", "openssl genpkey -algorithm ed448 -out K"),
    "p384": ("an ECDSA secp384r1", "openssl ecparam -name secp384r1 -genkey -noout -out K"),
    "p521": ("an ECDSA secp521r1", "openssl ecparam -name secp521r1 -genkey -noout -out K"),
    "secp256k1": ("an ECDSA secp256k1", "openssl ecparam -name secp256k1 -genkey -noout -out K"),
    "openssh rsa": ("an RSA", "ssh-keygen -q -t rsa -b 1024 -N '' -f K"),
    "openssh dsa": ("a DSA", "ssh-keygen -q -t dsa -N '' -f K"),
    "openssh p384": ("an ECDSA secp384r1", "ssh-keygen -q -t ecdsa -b 384 -N '' -f K"),
}


# A P-256 point in compressed form, which OpenSSH never writes.
COMPRESSED = b"ecdsa-sha2-nistp256 " + base64.b64encode(
    b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x08nistp256\0\0\0\x21\2" + bytes(32)
)
# Made by changing bytes of a good key: OpenSSL gives an error that cryptography doesn't know.
STRANGE = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBBqMP1ThT9WUm8tb2wuuxd/AgIIADAM
BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQlJxOH0B5CNHgiBABTpD3JgRAsWmsrNjW3ycOBeuq
ndlArn7sS8nawUvg+vEtyHfc70+CFOEcfIKZYePOgZ6iBaYycCJRiN/mGRj47L34/wPNFw==
-----END ENCRYPTED PRIVATE KEY-----
"""


def make(commands: str, directory: Path) -> bytes:
    """Run command lines that make the key file `K`; return its bytes."""
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        done = subprocess.run(
            [need(program), *arguments], cwd=directory, capture_output=True, text=True
        )
        if done.returncode and "-t dsa" in command:
            pytest.skip(f"this ssh-keygen makes no DSA keys: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
    return (directory / "K").read_bytes()


def pem(label: str, der: bytes) -> bytes:
    """DER in PEM (RFC 7468)."""
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def string(data: bytes) -> bytes:
    """A string of SSH's wire format (RFC 4251, section 5)."""
    return len(data).to_bytes(4, "big") + data


def ed25519_pem(point: bytes) -> bytes:
    """An Ed25519 public key file for 32 bytes, whatever they are."""
    return pem("PUBLIC KEY", SPKI_ED25519 + point)


def openssh_line(public_pem: bytes) -> bytes:
    """The OpenSSH form of a public key, made without the program under test."""
    der = base64.b64decode(b"".join(public_pem.splitlines()[1:-1]))
    if der.startswith(SPKI_ED25519):
        name, parts = b"ssh-ed25519", [der[len(SPKI_ED25519) :]]
    else:
        assert der.startswith(SPKI_P256)
        name, parts = b"ecdsa-sha2-nistp256", [b"nistp256", der[len(SPKI_P256) :]]
    blob = b"".join(map(string, [name, *parts]))
    return name + b" " + base64.b64encode(blob) + b" somebody@example.com\n"


def ssh_fingerprint(line: bytes, directory: Path) -> str:
    """What `ssh-keygen -lf` says of an OpenSSH public key."""
    file = directory / "line.pub"
    file.write_bytes(line)
    shown = subprocess.run([need("ssh-keygen"), "-lf", str(file)], capture_output=True, check=True)
    return shown.stdout.split()[1].decode()


@pytest.mark.parametrize("name", USABLE)
def test_usable_private_keys(name: str, tmp_path: Path) -> None:
    algorithm, commands = USABLE[name]
    data = make(commands, tmp_path)
    # Of SEC1's form only loading it tells.
    assert is_plain(data) is ("encrypted" not in name and b"BEGIN EC " not in data)
    if "encrypted" in name:
        assert keys.is_encrypted(data)
        with pytest.raises(PassphraseError) as missing:
            keys.load_private(data)
        assert str(missing.value) == "the private key is encrypted, and there is no passphrase"
        for wrong in (b"wrong", b"", SECRET + b"\n", b"x" * 5000):
            with pytest.raises(PassphraseError) as refused:
                keys.load_private(data, wrong)
            assert str(refused.value) == "wrong passphrase, or a damaged private key"
        key = keys.load_private(data, SECRET)
    else:
        assert not keys.is_encrypted(data)
        key = keys.load_private(data)
        assert keys.algorithm_of(keys.load_private(data, b"not needed")) is algorithm
    assert keys.algorithm_of(key) is algorithm

    public = keys.encode_public(key.public_key())
    beside = tmp_path / "K.pub"
    line = beside.read_bytes() if beside.exists() else openssh_line(public)
    fingerprint = ssh_fingerprint(line, tmp_path)
    signature = signatures.sign(key, b"message")
    for form in (line, public, public.replace(b"\n", b"\r\n")):
        loaded = keys.load_public(form)
        assert keys.algorithm_of(loaded) is algorithm
        assert keys.fingerprint(loaded) == fingerprint
        assert signatures.verify(loaded, b"message", signature)


@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_openssl_reads_what_we_write(algorithm: SignatureAlgorithm, tmp_path: Path) -> None:
    key = keys.generate(algorithm)
    (tmp_path / "K").write_bytes(keys.encode_private(key, SECRET))
    command = [need("openssl"), "pkey", "-in", str(tmp_path / "K"), "-passin", "file:/dev/stdin"]
    done = subprocess.run([*command, "-pubout"], input=SECRET, capture_output=True)
    assert done.stdout == keys.encode_public(key.public_key()), done.stderr


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa_p256"])
def test_keygen_prints_the_fingerprint_of_ssh_keygen(
    algorithm: str, run: Callable[..., Result], tmp_path: Path
) -> None:
    directory = tmp_path / "made"
    done = run("keygen", "--algorithm", algorithm, "--output", directory)
    line = openssh_line((directory / "public.pem").read_bytes())
    assert done.code == 0
    assert f"  Fingerprint: {ssh_fingerprint(line, tmp_path)}\n" in done.out


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_kinds(name: str, tmp_path: Path) -> None:
    called, commands = UNUSABLE[name]
    data = make(commands, tmp_path)
    with pytest.raises(KeyLoadError) as private:
        keys.load_private(data)
    assert str(private.value) == f"{called} private key can't be used"
    assert private.value.hint == HINT
    assert not keys.is_encrypted(data)

    beside = tmp_path / "K.pub"
    if not beside.exists():
        make("openssl pkey -in K -pubout -out K.pub", tmp_path)
    with pytest.raises(KeyLoadError) as public:
        keys.load_public(beside.read_bytes())
    assert str(public.value) == f"{called} public key can't be used"
    assert public.value.hint == HINT


def test_pkcs1_public_key_is_called_rsa(tmp_path: Path) -> None:
    make(f"{UNUSABLE['rsa'][1]}\nopenssl rsa -in K -RSAPublicKey_out -out K.pub", tmp_path)
    with pytest.raises(KeyLoadError) as refused:
        keys.load_public((tmp_path / "K.pub").read_bytes())
    assert str(refused.value) == "an RSA public key can't be used"


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """Files that people mistake for a key, by name, and whole keys."""
    directory = tmp_path_factory.mktemp("things")
    private = make("openssl genpkey -algorithm ed25519 -out K", directory)
    make("openssl pkey -in K -pubout -out public", directory)
    make("openssl req -x509 -new -key K -subj /CN=x -out certificate", directory)
    make("openssl req -new -key K -subj /CN=x -out request", directory)
    make("ssh-keygen -q -t ed25519 -N '' -f openssh", directory)
    make("ssh-keygen -q -s openssh -I me -n me openssh.pub", directory)
    found = {path.name: path.read_bytes() for path in directory.iterdir()}
    sk = b"sk-ssh-ed25519@openssh.com"
    blob = string(sk) + string(bytes([9]) * 32) + string(b"ssh:")
    yield {
        **found,
        "private": private,
        "empty": b"",
        "text": b"my key\n",
        "noise": bytes(range(256)),
        "der": base64.b64decode(b"".join(found["public"].splitlines()[1:-1])),
        "utf-16": found["public"].decode().encode("utf-16"),
        "pem cut": private[:60],
        "pem cut at its end": private[:-10],
        "openssh cut": found["openssh"][:200],
        "public cut": found["public"][:60],
        "public cut at its end": found["public"][:-10],
        "openssh public cut": found["openssh.pub"][:40],
        "openssh word": b"ssh-ed25519",
        "openssh other word": b"ssh-rsa " + found["openssh.pub"].split()[1],
        "compressed point": COMPRESSED,
        "security key": sk + b" " + base64.b64encode(blob) + b" me\n",
        "pem of zeros": pem("PUBLIC KEY", bytes(44)),
        "private pem of zeros": pem("PRIVATE KEY", bytes(48)),
    }


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "empty": "this is empty, not a private key",
        "text": "this is neither PEM nor OpenSSH, not a private key",
        "noise": "this is neither PEM nor OpenSSH, not a private key",
        "der": "this is neither PEM nor OpenSSH, not a private key",
        "public": "this is a public key, not a private key",
        "openssh.pub": "this is a public key, not a private key",
        "certificate": "this is a certificate, not a private key",
        "openssh-cert.pub": "this is a certificate, not a private key",
        "request": "this is PEM of the kind 'CERTIFICATE REQUEST', not a private key",
        "pem cut": DAMAGED_PRIVATE,
        "pem cut at its end": DAMAGED_PRIVATE,
        "openssh cut": DAMAGED_PRIVATE,
        "private pem of zeros": DAMAGED_PRIVATE,
    }.items(),
)
def test_no_private_key(name: str, message: str, things: dict[str, bytes]) -> None:
    for passphrase in (None, SECRET):
        with pytest.raises(KeyLoadError) as refused:
            keys.load_private(things[name], passphrase)
        assert str(refused.value) == message
        assert not isinstance(refused.value, PassphraseError)
    assert not keys.is_encrypted(things[name])


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "empty": "this is empty, not a public key",
        "text": "this is neither PEM nor OpenSSH, not a public key",
        "noise": "this is neither PEM nor OpenSSH, not a public key",
        "der": "this is neither PEM nor OpenSSH, not a public key",
        "utf-16": "this is neither PEM nor OpenSSH, not a public key",
        "private": "this is a private key, not a public key",
        "openssh": "this is a private key, not a public key",
        "certificate": "this is a certificate, not a public key",
        "openssh-cert.pub": "this is a certificate, not a public key",
        "security key": "a FIDO security key can't be used",
        "request": "this is PEM of the kind 'CERTIFICATE REQUEST', not a public key",
        "public cut": DAMAGED_PUBLIC,
        "public cut at its end": DAMAGED_PUBLIC,
        "openssh public cut": DAMAGED_PUBLIC,
        "openssh word": DAMAGED_PUBLIC,
        "openssh other word": DAMAGED_PUBLIC,
        "compressed point": DAMAGED_PUBLIC,
        "pem of zeros": DAMAGED_PUBLIC,
    }.items(),
)
def test_no_public_key(name: str, message: str, things: dict[str, bytes]) -> None:
    with pytest.raises(KeyLoadError) as refused:
        keys.load_public(things[name])
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "é", "QUFB\nQUFB", " QUFB"])
def test_no_embedded_key(text: str) -> None:
    with pytest.raises(KeyLoadError) as refused:
        keys.load_embedded(text)
    messages = {
        "": "this is empty, not a public key",
        "AAAA": "this is neither PEM nor OpenSSH, not a public key",
    }
    assert str(refused.value) == messages.get(text, "the public key is not valid base64")


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1024])
def test_passphrase_out_of_range(passphrase: bytes) -> None:
    with pytest.raises(PassphraseError) as refused:
        keys.encode_private(keys.generate(ED25519), passphrase)
    assert str(refused.value) == "a passphrase has 1 to 1,023 bytes"


def test_longest_passphrase() -> None:
    key = keys.generate(ED25519)
    passphrase = bytes(range(1, 256)) * 4
    data = keys.encode_private(key, passphrase)
    assert keys.encode_private(keys.load_private(data, passphrase)) == keys.encode_private(key)


# Ed25519, by RFC 8032, section 5.1: the curve -x² + y² = 1 + dx²y² over the integers modulo P.
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """The sum of two points."""
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P
    return x, y


def multiply(count: int, point: Point) -> Point:
    """`count` times a point."""
    total = (0, 1)
    while count:
        if count & 1:
            total = add(total, point)
        point = add(point, point)
        count >>= 1
    return total


def points() -> Iterator[Point]:
    """Points with small y; x is a square root modulo P, where there is one."""
    for y in range(2, 100):
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        root = pow(square, (P + 3) // 8, P)
        for x in (root, root * pow(2, (P - 1) // 4, P) % P):
            if x * x % P == square:
                yield x, y


def torsion() -> set[Point]:
    """The eight points whose order divides 8: what is left of any point after its prime part."""
    found: set[Point] = set()
    for point in points():
        found.add(multiply(ORDER, point))
        if len(found) == 8:
            break
    return found


def test_every_encoding_of_every_small_order_point_is_refused() -> None:
    small = torsion()
    assert len(small) == 8
    assert all(multiply(8, point) == (0, 1) for point in small)
    encodings = {
        (value | sign << 255).to_bytes(32, "little"): value
        for _, y in small
        for value in (y, y + P)
        for sign in (0, 1)
        if value < 2**255
    }
    assert len(encodings) == 14
    for encoding, value in encodings.items():
        form = ed25519_pem(encoding)
        for file in (form, openssh_line(form)):
            with pytest.raises(KeyLoadError) as refused:
                keys.load_public(file)
            assert str(refused.value) == (NOT_CANONICAL if value >= P else SMALL)
        with pytest.raises(KeyLoadError):
            keys.load_embedded(base64.b64encode(form).decode())


def test_no_y_outside_the_field() -> None:
    for value in range(P, 2**255):
        for sign in (0, 1):
            with pytest.raises(KeyLoadError) as refused:
                keys.load_public(ed25519_pem((value | sign << 255).to_bytes(32, "little")))
            assert str(refused.value) == NOT_CANONICAL


def test_points_beside_the_refused_ones_are_keys() -> None:
    x, y = next(points())
    raw = (y | (x & 1) << 255).to_bytes(32, "little")
    assert keys.encode_public(keys.load_public(ed25519_pem(raw))) == ed25519_pem(raw)


def test_what_is_surely_not_encrypted() -> None:
    for label in ("ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PUBLIC KEY"):
        assert not is_plain(pem(label, b"x" * 48))
    plain = pem("PRIVATE KEY", b"x" * 48)
    assert is_plain(plain)
    assert is_plain(b"some text\n" + plain)
    assert not is_plain(plain.replace(b"\n", b"\nProc-Type: 4,ENCRYPTED\n\n", 1))
    for data in (b"", b"PRIVATE KEY", b" " + plain):
        assert not is_plain(data)


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "aes256-ctr", "aes256-cbc"])
def test_a_wrong_passphrase_whatever_the_cipher(cipher: str, tmp_path: Path) -> None:
    key = make(f"ssh-keygen -q -t ed25519 -N right -a 1 -Z {cipher} -f K", tmp_path)
    assert keys.is_encrypted(key)
    keys.load_private(key, b"right")
    with pytest.raises(PassphraseError) as refused:
        keys.load_private(key, b"wrong")
    assert str(refused.value) == "wrong passphrase, or a damaged private key"


def test_a_key_that_openssl_has_no_word_for() -> None:
    with pytest.raises(PassphraseError):
        keys.load_private(STRANGE, b"pw")


def test_loading_leaves_the_warnings_of_the_process_alone(
    things: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Their filters are shared by all threads: two that restore them leave those of neither.
    with monkeypatch.context() as patch:
        patch.setattr(warnings, "catch_warnings", None)
        keys.load_public(things["openssh.pub"])
        keys.load_private(things["openssh"])
