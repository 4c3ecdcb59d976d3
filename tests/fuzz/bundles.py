"""The readers of OpenSSF Model Signing: bundle, certificate, encoding, statement and shards."""

import ast
import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_pem_x509_certificates

from modelseal import manifestfiles, opening, paths
from modelseal.errors import FormatError, KeyLoadError
from modelseal.keys import encode_public
from modelseal.oms import bundle, dsse, shards, statement
from tests.fuzz.once import once

KEY: Final = ec.derive_private_key(7, ec.SECP256R1())
"""Everybody knows it: it signs `corpus/bundle/key.json` and nothing else."""

_CORPUS: Final = Path(__file__).parent / "corpus"
_VECTORS: Final = Path(__file__).parents[1] / "vectors" / "oms"


@cache
def genuine() -> bytes:
    """The one statement that `KEY` signed."""
    return bundle.decode((_CORPUS / "bundle" / "key.json").read_bytes()).payload


@cache
def certified() -> bundle.Bundle:
    """A bundle by a certificate: the signer's, and that of who issued it."""
    return bundle.decode((_VECTORS / "bundles" / "1.1.1-certificate.sig").read_bytes())


@cache
def _signed() -> tuple[set[bytes], set[bytes]]:
    """What the keys behind `_means` signed."""
    published = (_VECTORS / "bundles").glob("*-certificate*.sig")
    return {genuine()}, {bundle.decode(path.read_bytes()).payload for path in published}


@cache
def _means() -> tuple[opening.Means, opening.Means]:
    roots = load_pem_x509_certificates((_VECTORS / "root.pem").read_bytes())
    return opening.Means(public_key=encode_public(KEY.public_key())), opening.Means(roots=roots)


def envelope(data: bytes, scratch: Path) -> bool:
    """A bundle: it is read in one way, and fits nothing but what was signed."""
    try:
        opened = bundle.decode(data)
    except FormatError:
        opened = None
    if opened is not None:
        _check_reading(opened, json.loads(data.decode(), object_pairs_hook=once))
        assert not _is_manifest(data), "two formats at once"
    for means, signed in zip(_means(), _signed(), strict=True):
        if _is_valid(data, means):
            assert opened is not None
            assert opened.payload in signed, "a forged signature"
    return opened is not None


def _is_valid(data: bytes, means: opening.Means) -> bool:
    try:
        return opening.verify_model(None, data, means).signature_valid
    except (FormatError, KeyLoadError):
        return False


def _is_manifest(data: bytes) -> bool:
    try:
        manifestfiles.decode(data, "manifest.json")
    except FormatError:
        return False
    return True


def _check_reading(opened: bundle.Bundle, said: dict[str, Any]) -> None:
    assert said["mediaType"].startswith("application/vnd.dev.sigstore.bundle")
    inner = said["dsseEnvelope"]
    assert inner["payloadType"] == opened.payload_type == dsse.PAYLOAD_TYPE
    assert base64.b64decode(inner["payload"]) == opened.payload
    sigs = [base64.b64decode(each["sig"]) for each in inner["signatures"]]
    assert sigs == opened.signatures != []
    material = {name for name, value in said["verificationMaterial"].items() if value is not None}
    names = {"publicKey": "key", "x509CertificateChain": "certificate", "certificate": "sigstore"}
    assert [names[name] for name in names if name in material] == [opened.method]
    if opened.method != "sigstore":
        written = bundle.encode(
            opened.payload,
            opened.signatures[0],
            hint=opened.hint,
            certificates=opened.certificates,
        )
        assert bundle.decode(written) == opened._replace(signatures=opened.signatures[:1])


def certificate(data: bytes, scratch: Path) -> bool:
    """The signer's certificate in a bundle: the genuine one leads to the root, with its key."""
    signed = certified()
    written = bundle.encode(
        signed.payload, signed.signatures[0], certificates=[data, *signed.certificates[1:]]
    )
    _, means = _means()
    if not _is_valid(written, means):
        return False
    assert data == signed.certificates[0], "a forged certificate"
    return True


def encoding(data: bytes, scratch: Path) -> bool:
    """What a signature covers: type and payload can be read back from it, in one way."""
    found = _parse_pae(data)
    if found is not None:
        kind, payload = found
        assert dsse.pae(kind, payload) == data
    first, _, rest = data.partition(b"\n")
    kind = first.decode(errors="ignore")
    assert _parse_pae(dsse.pae(kind, rest)) == (kind, rest)
    old = dsse.pae_0_2(kind, rest).decode().removeprefix(f"DSSEV1 {len(kind)} {kind} {len(rest)} ")
    assert ast.literal_eval(old) == rest
    assert _parse_pae(dsse.pae_0_2(kind, rest)) is None
    return found is not None


def _parse_pae(data: bytes) -> tuple[str, bytes] | None:
    """Type and payload of DSSE's pre-authentication encoding, read by its definition alone."""
    texts = []
    header, separator, rest = data.partition(b" ")
    if (header, separator) != (b"DSSEv1", b" "):
        return None
    for last in (False, True):
        length, separator, rest = rest.partition(b" ")
        if not separator or not re.fullmatch(rb"0|[1-9][0-9]{0,9}", length):
            return None
        size = int(length)
        if len(rest) < size or rest[size : size + 1] != (b"" if last else b" "):
            return None
        texts.append(rest[:size])
        rest = rest[size + 1 :]
    try:
        return texts[0].decode(), texts[1]
    except UnicodeDecodeError:
        return None


def stated(data: bytes, scratch: Path) -> bool:
    """A statement: each digest is of one file, or of one piece of it, and all are accounted for."""
    try:
        found = statement.decode(data)
    except FormatError:
        return False
    said = json.loads(data.decode(), object_pairs_hook=once)
    assert found.files
    assert found.alone or {paths.check(each.path) for each in found.files}
    paths.check_all([each.path for each in found.files])
    if found.old:
        assert [(each["name"], each["digest"]["sha256"]) for each in said["subject"]] == [
            (file.path, *file.digests) for file in found.files
        ]
        return True
    resources = said["predicate"]["resources"]
    digests = [each["digest"] for each in resources]
    root = hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()
    (subject,) = said["subject"]
    assert (subject["name"], subject["digest"]["sha256"]) == (found.model_name, root)
    assert sorted(statement._resources(found)) == sorted(
        (each["name"], each["digest"]) for each in resources
    )
    again = statement.decode(statement.encode(found))
    assert sorted(again.files, key=_path) == sorted(found.files, key=_path)
    assert (again.algorithm, again.shard_size) == (found.algorithm, found.shard_size)
    assert again.allow_symlinks == found.allow_symlinks
    assert sorted(again.ignore_paths) == sorted(found.ignore_paths)
    return True


def _path(file: statement.SignedFile) -> str:
    return file.path


def sharded(data: bytes, scratch: Path) -> bool:
    """Names of shards, a line each, below a size: they cover each file once, without a gap."""
    first, *lines = data.decode("latin-1").split("\n")
    if not re.fullmatch(r"[1-9][0-9]{0,17}", first):
        return False
    split: dict[str, list[tuple[int, int]]] = defaultdict(list)
    try:
        for line in lines:
            path, start, end = shards.split(line)
            assert shards.name(path, start, end) == line
            split[path].append((start, end))
        whole = shards.join([(line, line) for line in lines], int(first))
    except FormatError:
        return False
    assert whole.keys() == split.keys()
    for path, (size, digests) in whole.items():
        named = sorted(split[path])
        assert list(digests) == [shards.name(path, *each) for each in named]
        assert (size, len(named)) == (named[-1][1], -(-size // int(first)))
        assert named == list(shards.ranges(size, int(first)))
    return bool(whole)


TARGETS: Final[dict[str, Callable[[bytes, Path], bool]]] = {
    "bundle": envelope,
    "certificate": certificate,
    "encoding": encoding,
    "statement": stated,
    "shards": sharded,
}
