"""Rows 36 to 40 of the threats: bundles that are well signed, and wrong all the same."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import VECTORS, Result
from tests.forging import (
    SERVER,
    Certified,
    Json,
    altered,
    authority,
    certify,
    key,
    private_pem,
    public_pem,
    rooted,
    sign,
    statement_of,
)
from tests.fuzz.readers import CORPUS

Run = Callable[..., Result]
NAMES = ("config.json", "empty.txt", "weights/model.bin")


class Forger:
    """A signer who signs anything, and the verifier who trusts his key."""

    def __init__(self, model: Path, run: Run) -> None:
        self.model = model
        self.key = key()
        self.bundle = model.parent / "a.sig"
        self._run = run
        (model.parent / "pub.pem").write_bytes(public_pem(self.key))

    def honest(self, *names: str, **serialization: Any) -> Json:
        """What he would say if he were honest."""
        return statement_of(self.model, *(names or NAMES), **serialization)

    def error(self, fault: str) -> str:
        """What the verifier prints of a bundle that can't be read."""
        return f"error: malformed bundle '{self.bundle}': {fault}\n"

    def verify(self, statement: Json | bytes, *args: str | Path) -> Result:
        """What the verifier says of a statement, well signed."""
        return self.verify_bundle(sign(statement, self.key), *args)

    def verify_bundle(self, made: Json | bytes, *args: str | Path) -> Result:
        """What he says of a bundle."""
        self.bundle.write_bytes(made if isinstance(made, bytes) else json.dumps(made).encode())
        trust = ("--key", self.model.parent / "pub.pem")
        where = ("--manifest", self.bundle, "--model-dir", self.model)
        return self._run("verify", *where, *trust, *args)


@pytest.fixture
def forger(model: Path, run: Run) -> Forger:
    """One, with a model of three files."""
    return Forger(model, run)


def test_honest_bundles_pass(forger: Forger) -> None:
    done = forger.verify(forger.honest())
    assert (done.code, done.err) == (0, "")


# Row 36: rows 1 to 5 and 11 to 14, on a bundle.


def test_36_the_model_is_changed(forger: Forger) -> None:
    said = forger.honest()
    weights = forger.model / "weights/model.bin"
    content = weights.read_bytes()
    for changed in (content[:-1] + b"\0", content + b"x", content[:-1], b""):
        info = weights.stat()
        weights.write_bytes(changed)
        os.utime(weights, ns=(info.st_atime_ns, info.st_mtime_ns))
        done = forger.verify(said)
        assert done.code == 2
        assert "  [FAIL] weights/model.bin\n         expected " in done.out
    weights.unlink()
    assert "  [FAIL] weights/model.bin (missing)\n" in forger.verify(said).out
    weights.mkdir()
    assert "  [FAIL] weights/model.bin (missing)\n" in forger.verify(said).out
    weights.rmdir()
    os.mkfifo(weights)
    assert "  [FAIL] weights/model.bin (FIFO)\n" in forger.verify(said).out
    weights.unlink()
    weights.symlink_to("/dev/zero")
    done = forger.verify(said)
    assert done.code == 2
    assert "weights/model.bin (symbolic link to a character device: '/dev/zero')" in done.out


@pytest.mark.parametrize(
    "path", ["modeling_x.py", ".env", "new/a.pkl", "sub/.git/x", "weights/.gitignore"]
)
def test_36_a_file_is_added(forger: Forger, path: str) -> None:
    (forger.model / path).parent.mkdir(parents=True, exist_ok=True)
    (forger.model / path).write_text("x")
    done = forger.verify(forger.honest())
    assert (done.code, f"  [UNSIGNED] {path}\n" in done.out) == (2, True)


def test_36_a_directory_is_swapped_for_a_link(forger: Forger) -> None:
    said = forger.honest()
    (forger.model / "weights").rename(forger.model.parent / "elsewhere")
    (forger.model / "weights").symlink_to("../elsewhere")
    assert forger.verify(said).code == 2
    assert forger.verify(said, "--follow-symlinks").code == 2


PATHS = ["../x", "/etc/passwd", "a/../b", "./a", "a//b", "a/", "", ".", "C:\\x", "a\\b", "a\0b"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("extra", [(), ("--ignore-unsigned-files",)])
def test_36_40_paths_that_no_model_has(forger: Forger, path: str, extra: tuple[str, ...]) -> None:
    said = altered(
        forger.honest(), lambda made: made["predicate"]["resources"][0].update(name=path)
    )
    done = forger.verify(said, *extra)
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith(f"error: malformed bundle '{forger.bundle}': path ")


def test_36_a_path_that_is_there_twice(forger: Forger) -> None:
    for twice in ({}, {"digest": "0" * 64}):
        said = forger.honest()
        first = said["predicate"]["resources"][0]
        for resources in ([first, {**first, **twice}], [{**first, **twice}, first]):
            said["predicate"]["resources"][:1] = resources
            done = forger.verify(rooted(said))
            assert (done.code, done.err) == (1, forger.error("path 'config.json' is named twice"))
            said = forger.honest()
    first = forger.honest()["predicate"]["resources"][0]
    below = {**first, "name": "config.json/x"}
    said = altered(forger.honest(), lambda made: made["predicate"]["resources"].append(below))
    assert "is both a file and a directory" in forger.verify(said).err


@pytest.mark.parametrize(
    "digest", ["0" * 62, "0" * 66, "AB" * 32, "0" * 63 + "g", "0" * 64 + "\n", ""]
)
def test_36_digests_of_another_form(forger: Forger, digest: str) -> None:
    said = forger.honest()
    said["predicate"]["resources"][0]["digest"] = digest
    done = forger.verify(said)
    assert done.code == 1
    assert "resource 'config.json': the digest is not 64 lowercase hexadecimal digits" in done.err


def test_36_json_that_can_be_read_in_two_ways(forger: Forger) -> None:
    payload = json.dumps(forger.honest())
    for one, two in (
        ('"resources": [', '"resources": [], "resources": ['),
        ('"name": "config.json"', '"name": "x", "name": "config.json"'),
        ('"_type": ', '"note": {"a": 1, "a": 2}, "_type": '),
    ):
        done = forger.verify(payload.replace(one, two, 1).encode())
        assert (done.code, done.err) == (1, forger.error("a key is repeated"))
    made = json.dumps(sign(forger.honest(), forger.key))
    done = forger.verify_bundle(made.replace("{", '{"mediaType": "x", ', 1).encode())
    assert (done.code, done.err) == (1, forger.error("a key is repeated"))


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_36_a_bundle_that_is_cut(forger: Forger, cut: int) -> None:
    done = forger.verify_bundle(json.dumps(sign(forger.honest(), forger.key)).encode()[:cut])
    assert done.code == 1
    assert done.out == ""


def test_36_other_files_in_a_bundles_place(forger: Forger, run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        done = run("verify", "--manifest", path, "--key", tmp_path / "pub.pem")
        assert done.code == 1
    deep = b'{"mediaType": "x", "dsseEnvelope": ' + b"[" * 200_000
    done = forger.verify_bundle(deep)
    assert (done.code, done.out) == (1, "")


# Row 37


def change(path: str, value: object) -> Callable[[Json], None]:
    """Set a field that lies deeper; None removes it."""

    def changed(whole: Json) -> None:
        made: Any = whole
        *above, last = path.split(".")
        for name in above:
            made = made[int(name)] if isinstance(made, list) else made[name]
        if value is None:
            del made[last]
        else:
            made[last] = value

    return changed


RESOURCE = {"name": "x", "digest": "0" * 64, "algorithm": "sha256"}
STATEMENTS: dict[str, tuple[str, object, str]] = {
    "statement type": ("_type", "https://in-toto.io/Statement/v0.1", "_type: "),
    "predicate type": ("predicateType", "https://example.com/x/v1.0", "predicateType: "),
    "no statement type": ("_type", None, "missing required field '_type'"),
    "no predicate type": ("predicateType", None, "missing required field 'predicateType'"),
    "no predicate": ("predicate", None, "predicate"),
    "no subject": ("subject", [], "subject: one is needed, and there are 0"),
    "two subjects": (
        "subject",
        [{"name": "a", "digest": {"sha256": ""}}] * 2,
        "subject: one is needed, and there are 2",
    ),
    "no name": ("subject.0.name", "", "subject.name: it is empty"),
    "no root": ("subject.0.digest", {}, "the root digest does not fit"),
    "another root": ("subject.0.digest.sha256", "0" * 64, "the root digest does not fit"),
    "no resources": ("predicate.resources", [], "predicate.resources: it names no file"),
    "no list of them": ("predicate.resources", None, "predicate: object missing"),
    "no serialization": ("predicate.serialization", None, "serialization"),
    "no method": ("predicate.serialization.method", None, "method"),
    "another method": ("predicate.serialization.method", "tree", "method"),
    "no hash type": ("predicate.serialization.hash_type", None, "hash_type"),
    "another hash": ("predicate.serialization.hash_type", "md5", "hash_type: 'md5' is none of"),
    "no links": ("predicate.serialization.allow_symlinks", None, "allow_symlinks"),
    "links as text": ("predicate.serialization.allow_symlinks", "false", "allow_symlinks"),
    "paths as text": ("predicate.serialization.ignore_paths", "x", "ignore_paths"),
    "size of files": ("predicate.serialization.shard_size", 5, "shard_size: whole files have"),
    "algorithm": ("predicate.resources.0.algorithm", "blake3", "is not hash_type"),
}


@pytest.mark.parametrize("what", STATEMENTS)
def test_37_statements_that_are_none(forger: Forger, what: str) -> None:
    path, value, fault = STATEMENTS[what]
    said = forger.honest()
    change(path, value)(said)
    done = forger.verify(said)
    assert done.code == 1
    assert done.out == ""
    assert fault in done.err


BUNDLES: dict[str, tuple[str, object, int, str]] = {
    "media type": ("mediaType", "application/json", 1, "mediaType: 'application/json' is not"),
    "no media type": ("mediaType", None, 1, "mediaType"),
    "later media type": (
        "mediaType",
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        1,
        "is not that of a Sigstore bundle",
    ),
    "payload type": ("dsseEnvelope.payloadType", "application/octet-stream", 1, "payloadType: "),
    "no signatures": ("dsseEnvelope.signatures", [], 1, "signatures: there is none"),
    "no envelope": ("dsseEnvelope", None, 1, "dsseEnvelope"),
    "no material": ("verificationMaterial", None, 1, "verificationMaterial"),
    "empty material": ("verificationMaterial", {}, 1, "there is none"),
    "two materials": ("verificationMaterial.certificate", {"rawBytes": ""}, 1, "more than one"),
    "base64": ("dsseEnvelope.payload", "a-b_", 1, "payload: it is not valid base64"),
    "another signature": (
        "dsseEnvelope.signatures.0.sig",
        "MAYCAQECAQE=",
        2,
        "the signature does not fit the statement",
    ),
    "no signature": ("dsseEnvelope.signatures.0.sig", "", 2, "the signature does not fit"),
    "wrong hint": ("verificationMaterial.publicKey.hint", "0" * 64, 2, "names another key"),
    "certificates": (
        "verificationMaterial",
        {"x509CertificateChain": {"certificates": [{"rawBytes": ""}]}},
        2,
        "signed with a certificate",
    ),
    "no certificates": (
        "verificationMaterial",
        {"x509CertificateChain": {"certificates": []}},
        1,
        "certificates: there is none",
    ),
    "keyless": (
        "verificationMaterial",
        {"certificate": {"rawBytes": ""}, "tlogEntries": [{}]},
        2,
        "signed keyless",
    ),
    "keyless without log": (
        "verificationMaterial",
        {"certificate": {"rawBytes": ""}, "tlogEntries": []},
        1,
        "tlogEntries: a keyless bundle needs at least one",
    ),
}


@pytest.mark.parametrize("what", BUNDLES)
def test_37_bundles_that_are_none(forger: Forger, what: str) -> None:
    path, value, code, fault = BUNDLES[what]
    made = sign(forger.honest(), forger.key)
    change(path, value)(made)
    done = forger.verify_bundle(made)
    assert done.code == code
    assert fault in done.out + done.err
    assert "[OK]" not in done.out


def test_37_a_statement_changed_under_its_signature(forger: Forger) -> None:
    made = sign(forger.honest(), forger.key)
    other = base64.b64encode(json.dumps(forger.honest("config.json")).encode()).decode()
    change("dsseEnvelope.payload", other)(made)
    done = forger.verify_bundle(made, "--ignore-unsigned-files")
    assert (done.code, "does not fit the statement" in done.out) == (2, True)


def test_37_material_is_of_the_method_that_is_asked_for(forger: Forger, run: Run) -> None:
    signer = certify("signer")
    (forger.model.parent / "root.pem").write_bytes(signer.pem)
    forger.bundle.write_text(json.dumps(sign(forger.honest(), forger.key)))
    root = forger.model.parent / "root.pem"
    done = run("verify", "--manifest", forger.bundle, "--certificate-chain", root)
    assert (done.code, "INVALID — the bundle is signed with a key" in done.out) == (2, True)
    done = forger.verify_bundle(sign(forger.honest(), signer.private, [signer]))
    assert (done.code, "INVALID — the bundle is signed with a certificate" in done.out) == (2, True)


# Row 38


def chains() -> dict[str, tuple[list[Certified], str]]:
    """Chains that must not pass against `root`, the first of each list, and what is said."""
    root = authority("root")
    issuer = authority("issuer", root)
    theirs = authority("root")
    late = authority("late", root, ends=-0.01)
    alone = certify("alone")
    acting = certify("acting", issuer, authority=True, usage=(True, True))
    return {
        "expired": ([root, certify("x", issuer, ends=-0.01), issuer], "'CN=x' expired on"),
        "not yet valid": ([root, certify("x", issuer, begins=1), issuer], "'CN=x' is not valid"),
        "expired above": ([root, certify("x", late), late], "'CN=late' expired on"),
        "another root": ([root, certify("x", theirs)], "does not lead to a trusted root"),
        "its own root": ([root, certify("x", theirs), theirs], "does not lead to a trusted root"),
        "self-signed": ([root, alone], "does not lead to a trusted root"),
        "no usage": (
            [root, certify("x", issuer, extended=()), issuer],
            "is not for code signing",
        ),
        "for servers": ([root, certify("x", issuer, extended=SERVER), issuer], "is not for code"),
        "no signatures": (
            [root, certify("x", issuer, usage=(False, True)), issuer],
            "is not for signatures",
        ),
        "an authority": ([root, acting, issuer], "is that of an authority"),
        "no issuer": ([root, certify("x", issuer)], "does not lead to a trusted root"),
    }


@pytest.mark.parametrize("what", chains())
def test_38_certificates(forger: Forger, run: Run, tmp_path: Path, what: str) -> None:
    (root, signer, *others), fault = chains()[what]
    (tmp_path / "root.pem").write_bytes(root.pem)
    forger.bundle.write_text(json.dumps(sign(forger.honest(), signer.private, [signer, *others])))
    where = ("--manifest", forger.bundle, "--model-dir", forger.model)
    done = run("verify", *where, "--certificate-chain", tmp_path / "root.pem")
    assert done.code == 2
    assert done.out.startswith("Signature: INVALID — the certificate ")
    assert fault in done.out
    assert "[OK]" not in done.out


@pytest.mark.parametrize(
    ("there", "instead", "fault"),
    [
        # The name of a curve, of a kind of key, and a text that is not UTF-8.
        ("06082a8648ce3d030107", "06082a8648ce3d03017f", "key of the certificate 'CN=x' can't"),
        ("06072a8648ce3d0201", "06072a8648ce3d0209", "key of the certificate 'CN=x' can't"),
        ("0c0178", "0c01ff", "a certificate in the bundle is damaged"),
    ],
)
def test_38_certificates_that_no_library_reads(
    forger: Forger, run: Run, tmp_path: Path, there: str, instead: str, fault: str
) -> None:
    root = authority("root")
    signer = certify("x", root)
    der = signer.der.replace(bytes.fromhex(there), bytes.fromhex(instead))
    assert der != signer.der
    made = sign(forger.honest(), signer.private, [signer])
    material = made["verificationMaterial"]["x509CertificateChain"]
    material["certificates"][0]["rawBytes"] = base64.b64encode(der).decode()
    forger.bundle.write_text(json.dumps(made))
    (tmp_path / "root.pem").write_bytes(root.pem)
    done = run("verify", "--manifest", forger.bundle, "--certificate-chain", tmp_path / "root.pem")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(forger.error("x509CertificateChain: ")[:-1])
    assert fault in done.err


def test_38_what_can_not_sign_is_refused_by_sign(forger: Forger, run: Run, tmp_path: Path) -> None:
    signer = certify("x", ends=-0.01)
    (tmp_path / "key.pem").write_bytes(private_pem(signer.private))
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "cert.pem").write_bytes(signer.pem)
    sign_it = ("sign", "--format", "oms", "--no-store", "--model-dir", forger.model)
    args = (*sign_it, "--key", tmp_path / "key.pem", "--certificate", tmp_path / "cert.pem")
    done = run(*args)
    assert (done.code, "error: the certificate 'CN=x' expired on" in done.err) == (1, True)
    (tmp_path / "cert.pem").write_bytes(certify("y").pem)
    assert "is of another key than the private one" in run(*args).err
    assert not (forger.model / "model.sig").exists()


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("damaged-certificate.json", "a certificate in the bundle is damaged"),
        ("subject-malformed.json", "a certificate in the bundle is damaged"),
        ("key-unknown.json", "the key of the certificate 'CN=issuer' can't be read"),
    ],
)
def test_38_certificates_that_can_be_parsed_in_part(run: Run, file: str, fault: str) -> None:
    made = CORPUS / "bundle" / file
    done = run("verify", "--manifest", made, "--certificate-chain", VECTORS / "oms" / "root.pem")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert f"x509CertificateChain: {fault}" in done.err
    done = run("inspect", "--manifest", made)
    assert done.code == (0 if file == "key-unknown.json" else 1)
    assert "Traceback" not in done.err


# Row 39


def sharded(model: Path, size: int = 1024) -> Json:
    """An honest statement in shards of the model's one large file."""
    import hashlib

    content = (model / "weights/model.bin").read_bytes()
    said = statement_of(model, "config.json", method="shards", shard_size=size)
    config = (model / "config.json").stat().st_size
    said["predicate"]["resources"][0]["name"] = f"config.json:0:{config}"
    for start in range(0, len(content), size):
        end = min(start + size, len(content))
        said["predicate"]["resources"].append(
            {
                "name": f"weights/model.bin:{start}:{end}",
                "digest": hashlib.sha256(content[start:end]).hexdigest(),
                "algorithm": "sha256",
            }
        )
    return rooted(said)


def test_39_honest_shards_pass(forger: Forger) -> None:
    done = forger.verify(sharded(forger.model))
    assert done.code == 0
    assert "warning: 'empty.txt' is empty, and shards sign no empty file\n" in done.err
    backwards = altered(
        sharded(forger.model), lambda made: made["predicate"]["resources"].reverse()
    )
    assert forger.verify(backwards).code == 0  # in the order listed


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["0:1024"], "shards"),
        (["1024:2048"], "leave out the bytes from 0"),
        (["0:1024", "1024:2048", "1024:2048"], "overlap"),
        (["0:1024", "1000:2024"], "overlap"),
        (["0:1000", "1000:2000", "2000:2048"], "is not of 1024 bytes"),
        (["0:2048"], "is not of 1024 bytes"),
        (["0:1024", "1024:2048", "2048:3072"], "2,048 bytes, signed as 3,072"),
        (["0:1024", "1024:2047"], "2,048 bytes, signed as 2,047"),
        (["0:1024", "2048:1024"], "leave out|is not of"),
        ([""], "is not named as a shard"),
    ],
)
def test_39_shards_that_are_not_the_file(forger: Forger, names: list[str], fault: str) -> None:
    import re

    said = sharded(forger.model)
    digest = said["predicate"]["resources"][1]["digest"]
    said["predicate"]["resources"][1:] = [
        {"name": f"weights/model.bin:{each}", "digest": digest, "algorithm": "sha256"}
        for each in names
    ]
    done = forger.verify(rooted(said))
    assert done.code in (1, 2)
    assert "  [OK] weights/model.bin" not in done.out
    if fault != "shards":
        assert re.search(fault, done.out + done.err)


def test_39_a_shard_of_another_file(forger: Forger) -> None:
    content = forger.model / "weights/model.bin"
    said = sharded(forger.model)
    content.write_bytes(content.read_bytes()[:1024] + b"\0" * 1024)
    done = forger.verify(said)
    assert done.code == 2
    assert "         shards 1024:2048\n" in done.out


def test_39_a_file_that_is_named_as_a_shard(forger: Forger) -> None:
    (forger.model / "a:0:5").write_bytes(b"12345")
    assert forger.verify(forger.honest(*NAMES, "a:0:5")).code == 0
    said = sharded(forger.model)
    done = forger.verify(said)
    assert (done.code, "  [UNSIGNED] a:0:5\n" in done.out) == (2, True)
    digest = statement_of(forger.model, "a:0:5")["predicate"]["resources"][0]["digest"]
    named = {"name": "a:0:5:0:5", "digest": digest, "algorithm": "sha256"}
    said = altered(said, lambda made: made["predicate"]["resources"].append(named))
    assert "  [OK] a:0:5\n" in forger.verify(said).out
    misnamed = {"name": "a:0:5", "digest": digest, "algorithm": "sha256"}
    said["predicate"]["resources"][-1] = misnamed
    done = forger.verify(rooted(said))
    assert (done.code, "  [FAIL] a (missing)\n" in done.out) == (2, True)


# Row 40


def test_40_ignored_paths_are_shown(forger: Forger) -> None:
    (forger.model / "modeling_x.py").write_text("import os")
    said = forger.honest(ignore_paths=["modeling_x.py", "absent", "weights"])
    done = forger.verify(said)
    assert done.code == 0
    assert "  [IGNORED] modeling_x.py\n" in done.out
    assert "absent" not in done.out
    assert "  [OK] weights/model.bin\n" in done.out  # it is signed, so it is checked
    (forger.model / "weights/x.py").write_text("import os")
    assert "  [UNSIGNED] weights/x.py\n" in forger.verify(said).out


@pytest.mark.parametrize("path", [".", "", "..", "../model", "/", "./", "*", "x/../modeling_x.py"])
def test_40_ignored_paths_hide_no_more_than_they_name(forger: Forger, path: str) -> None:
    (forger.model / "modeling_x.py").write_text("import os")
    done = forger.verify(forger.honest(ignore_paths=[path, str(forger.model)]))
    assert (done.code, "  [UNSIGNED] modeling_x.py\n" in done.out) == (2, True)


def test_40_links_are_followed_inside_alone(forger: Forger) -> None:
    said = forger.honest(allow_symlinks=True)
    content = forger.model / "weights/model.bin"
    content.rename(forger.model.parent / "outside.bin")
    content.symlink_to("../../outside.bin")
    done = forger.verify(said)
    assert done.code == 2
    assert "symbolic link out of the model: '../../outside.bin'" in done.out
    assert "hint: '--follow-symlinks' takes a link" in done.err
    assert forger.verify(said, "--follow-symlinks").code == 0  # the user says so
    content.unlink()
    (forger.model.parent / "outside.bin").rename(forger.model / "weights/blob")
    content.symlink_to("blob")
    assert forger.verify(said, "--ignore-unsigned-files").code == 0
    assert forger.verify(forger.honest(), "--ignore-unsigned-files").code == 2


def test_40_what_is_left_out_by_default_may_be_signed(forger: Forger) -> None:
    (forger.model / ".gitignore").write_text("x")
    done = forger.verify(forger.honest())
    assert (done.code, "  [IGNORED] .gitignore\n" in done.out) == (0, True)
    said = forger.honest(*NAMES, ".gitignore")
    assert "  [OK] .gitignore\n" in forger.verify(said).out
    (forger.model / ".gitignore").write_text("y")
    assert "  [FAIL] .gitignore\n" in forger.verify(said).out


def test_40_ignored_paths_as_they_are_typed(forger: Forger, run: Run, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(forger.key))
    (tmp_path / "key.pem").chmod(0o600)
    (forger.model / "cache").symlink_to("/dev")  # in an ignored path, a link is no error
    sign_it = ("sign", "--format", "oms", "--no-store", "--model-dir", forger.model)
    where = (*sign_it, "--key", tmp_path / "key.pem", "--output", tmp_path / "b.sig")
    (tmp_path / "b.sig").touch()  # as a temporary file is made
    for typed in (f"{forger.model}/cache/", "cache", "./cache//"):
        done = run(*where, "--ignore-path", typed)
        assert (done.code, done.err) == (0, "")
    payload = json.loads((tmp_path / "b.sig").read_bytes())["dsseEnvelope"]["payload"]
    said = json.loads(base64.b64decode(payload))["predicate"]
    assert "cache" in said["serialization"]["ignore_paths"]
    assert [each["name"] for each in said["resources"]] == sorted(NAMES)
    done = run(*where, "--ignore-path", "cache", "--ignore-path", str(tmp_path))
    assert done.code == 0
    assert "is not in the model, and ignores nothing\n" in done.err
    assert run(*where, "--ignore-path", str(forger.model)).code == 1
    assert run(*where, "--ignore-path", "../x").code == 1
