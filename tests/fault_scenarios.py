"""What is tried under faults: a command, the files before it, and what must be there after."""

import contextlib
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from modelseal import KeyManager, PublisherRegistry, SignatureAlgorithm, cosigning, manifestfiles
from modelseal.canonical import canonical
from modelseal.cli import main
from modelseal.errors import FormatError, PassphraseError
from modelseal.keys import encode_public, load_private
from modelseal.store import Seal, Store, manifests
from tests.sealed import seal_of

SIGNER = "alice@example.com"


class Outcome(NamedTuple):
    """How the command ended, negative for a signal, and what it printed.

    helpless: whether it could not clear up either.
    """

    code: int
    out: str = ""
    err: str = ""
    helpless: bool = False


class SpoiltError(Exception):
    """Something is neither as it was nor as it should have become."""


class Scenario(NamedTuple):
    """prepare: makes the files, in an empty directory. arguments: of the command.

    judge: raises SpoiltError for what must not be there after it.
    """

    name: str
    prepare: Callable[[Path], None]
    arguments: Callable[[Path], list[str]]
    judge: Callable[[Path, Outcome], None]


def expect(held: object, what: str) -> None:
    """Raise unless it holds."""
    if not held:
        raise SpoiltError(what)


def run(*args: str | Path) -> str:
    """The next command, which has to work; returns what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(arg) for arg in args])
    if code != 0:
        raise SpoiltError(f"{args[0]} after it: exit code {code}: {out.getvalue()}{err.getvalue()}")
    return out.getvalue()


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory, without the store's."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".modelseal" not in path.parts
    }


def sign(root: Path, version: str) -> list[str]:
    """Arguments that sign the model."""
    words = ["sign", "--model-dir", root / "model", "--key", root / "keys/private.pem"]
    words += ["--signer-id", SIGNER, "--model-version", version, "--precheck", "--jobs", "1"]
    return [str(word) for word in words]


def make_model(root: Path) -> None:
    """A key pair, and a model of two files."""
    manager = KeyManager()
    pair = manager.generate_keypair(SignatureAlgorithm.ed25519)
    manager.save_keypair(*pair, root / "keys")
    (root / "model").mkdir()
    (root / "model/a").write_bytes(b"first")
    (root / "model/b").write_bytes(b"second")


def make_sealed(root: Path) -> None:
    """The same, sealed at version 1, and then altered."""
    make_model(root)
    run(*sign(root, "1"))
    keep(root)
    (root / "model/b").write_bytes(b"third")


def make_littered(root: Path) -> None:
    """The same with two versions, leftovers of killed writers, and a manifest nobody names."""
    make_sealed(root)
    run(*sign(root, "2"))
    keep(root)
    store = root / "model/.modelseal"
    first = next(store.glob("manifests/*/*.json"))
    for where in (store, first.parent, store / "refs/model"):
        (where / f".left.{'0' * 16}.tmp").write_bytes(b"left")
    nobodys = canonical(seal_of({"a": b"first"}, version="3"))
    manifests.add(str(store), manifests.id_of(nobodys), nobodys)
    (root / "model/c").write_bytes(b"gone soon")
    run("status", root / "model", "--revision", "model@2", "--ignore-path", "c")
    (root / "model/c").unlink()


def keep(root: Path) -> None:
    """Note what was acknowledged: seals, keys."""
    store = Store.open(root / "model")
    (root / "acknowledged").write_text("".join(f"{seal.id}\n" for seal in store.log()))


def acknowledged(root: Path) -> list[str]:
    """The seals that were in the store before, newest first."""
    path = root / "acknowledged"
    return path.read_text().split() if path.exists() else []


def check_store(root: Path) -> list[Seal]:
    """No damage, nothing acknowledged lost; returns the log, newest first."""
    store = Store.open(root / "model")
    damage = [found for found in store.fsck().findings if found.damage]
    expect(not damage, f"fsck: {damage}")
    seals = list(store.log())
    old = acknowledged(root)
    expect([seal.id for seal in seals][-len(old) :] == old if old else True, "a seal is lost")
    for seal in seals:
        store.get(seal.id)
    return seals


def check_next(root: Path, version: str) -> None:
    """Signing, verifying, gc and fsck work, and gc leaves nothing."""
    run(*sign(root, version))
    model, key = root / "model", root / "keys/public.pem"
    run("verify", "--manifest", model / "signed_manifest.json", "--key", key, "--model-dir", model)
    run("verify", f"model@{version}", "--key", key, "--model-dir", model)
    run("gc", "--store", model)
    found = Store.open(model).fsck().findings
    expect(not found, f"after gc: {found}")
    expect(set(tree(model)) == {"a", "b", "signed_manifest.json"}, f"strays: {sorted(tree(model))}")
    check_store(root)


def check_inputs(root: Path) -> None:
    """Keys and model are what they were."""
    files = tree(root / "model")
    expect(files.get("a") == b"first", "the model is altered")
    expect(files.get("b") in (b"second", b"third"), "the model is altered")
    private, public = (root / "keys" / name for name in ("private.pem", "public.pem"))
    expect(private.stat().st_mode & 0o077 == 0, "the key can be read by others")
    manager = KeyManager()
    expect(manager.load_private_key(private).startswith(b"-----BEGIN"), "the key is gone")
    manager.load_public_key(public)


def make_trusting(root: Path) -> None:
    """A sealed model whose store trusts somebody already."""
    make_sealed(root)
    run(*trust(root, "bob@example.com"))


def trust(root: Path, who: str) -> list[str]:
    """Arguments that trust the key in the store."""
    words = ["trust", "add", who, "--key", root / "keys/public.pem", "--level", "store"]
    return [str(word) for word in (*words, "--store", root / "model")]


def judge_trust(root: Path, outcome: Outcome) -> None:
    check_inputs(root)
    check_store(root)
    path = root / "model/.modelseal/trust.json"
    known = {publisher.publisher_id for publisher in PublisherRegistry(path).list_publishers()}
    expect("bob@example.com" in known, "somebody is no longer trusted")
    expect(known <= {"bob@example.com", SIGNER}, f"trusted: {known}")
    expect(SIGNER in known or outcome.code != 0, "acknowledged, and not trusted")
    run(*trust(root, "carol@example.com"))
    check_next(root, "2")


def make_cosignable(root: Path) -> None:
    """A sealed model, and a second key."""
    make_model(root)
    run(*sign(root, "1"))
    keep(root)
    manager = KeyManager()
    manager.save_keypair(*manager.generate_keypair(SignatureAlgorithm.ed25519), root / "second")


def cosign(root: Path) -> list[str]:
    """Arguments that sign with the second key too."""
    words = ["cosign", "--manifest", root / "model/signed_manifest.json"]
    words += ["--key", root / "second/private.pem", "--signer-id", "bob@example.com"]
    return [str(word) for word in words]


def judge_cosign(root: Path, outcome: Outcome) -> None:
    check_inputs(root)
    check_store(root)
    manifest = root / "model/signed_manifest.json"
    side = Path(manifestfiles.side_path(manifest))
    beside = cosigning.load(side).signatures if side.exists() else []
    digest = hashlib.sha256(canonical(manifestfiles.load(manifest).manifest)).hexdigest()
    kept = Store.open(root / "model").cosignatures(digest)
    expect(len(beside) in (0, 1) and len(kept) in (0, 1), "too many")
    expect((len(beside) == len(kept) == 1) or outcome.code != 0, "acknowledged, and not there")
    expect(beside or not kept, "in the store alone")
    if not beside:
        run(*cosign(root))
    key = root / "keys/public.pem"
    if outcome.code >= 0 or not beside:
        run("verify", "--manifest", manifest, "--key", key, "--model-dir", root / "model")
    check_next(root, "2")


def judge_init(root: Path, outcome: Outcome) -> None:
    store = Store.find(root / "model")
    expect(store or outcome.code != 0, "there is no store")
    check_inputs(root)
    run("init", root / "model")
    check_store(root)
    check_next(root, "1")


def judge_sign(version: str) -> Callable[[Path, Outcome], None]:
    def judge(root: Path, outcome: Outcome) -> None:
        check_inputs(root)
        model = root / "model"
        store = Store.find(model)
        seen = store.known("model", version) if store else None
        seals = check_store(root) if store else []
        expect(store or not acknowledged(root), "the store is gone")
        if store and outcome.code == 0:
            expect(seen and seals[0].id == seen, "acknowledged, and not there")
        manifest = model / "signed_manifest.json"
        try:
            said = manifestfiles.load(manifest).manifest.model_version if manifest.exists() else ""
        except FormatError as err:
            raise SpoiltError(f"half a manifest: {err}") from None
        expect(said == version or outcome.code != 0, "acknowledged, and no manifest")
        expect(said in (version, "1" if acknowledged(root) else ""), f"manifest of '{said}'")
        check_next(root, version)
        if seen and store:
            expect(seen in {seal.id for seal in store.log()}, "what a reader saw is gone")

    return judge


def judge_gc(root: Path, outcome: Outcome) -> None:
    check_inputs(root)
    seals = check_store(root)
    expect([seal.id for seal in seals] == acknowledged(root), "the log is another one")
    if outcome.code == 0:
        left = [found.kind for found in Store.open(root / "model").fsck().findings]
        expect(not {"leftover", "unreferenced", "manifest"} & set(left), f"left: {left}")
    check_next(root, "2")


def make_passphrases(root: Path) -> None:
    """A key with a passphrase, and another one for it."""
    private, public = KeyManager().generate_keypair(SignatureAlgorithm.ed25519, b"old")
    KeyManager().save_keypair(private, public, root / "keys")
    for word in ("old", "new"):
        (root / word).write_text(word)


def passwd(root: Path, old: str = "old") -> list[str]:
    """Arguments that change the passphrase."""
    words = ["key", "passwd", root / "keys/private.pem", "--passphrase-file", root / old]
    return [str(word) for word in (*words, "--new-passphrase-file", root / "new")]


def check_private_files(root: Path) -> None:
    """No file with a private key, not even a leftover, is anybody else's to read."""
    for path in (root / "keys").iterdir():
        if b"PRIVATE KEY" in path.read_bytes():
            expect(path.stat().st_mode & 0o077 == 0, f"{path.name} can be read by others")


def judge_passwd(root: Path, outcome: Outcome) -> None:
    check_private_files(root)
    private = root / "keys/private.pem"
    manager = KeyManager()
    opened = []
    for word in ("old", "new"):
        with contextlib.suppress(PassphraseError):
            manager.load_private_key(private, word.encode())
            opened.append(word)
    expect(len(opened) == 1, "the key is lost")
    expect(opened == ["new"] or outcome.code != 0, "acknowledged, and not done")
    run(*passwd(root, opened[0]))
    key = load_private(manager.load_private_key(private, b"new"), b"new")
    public = manager.load_public_key(root / "keys/public.pem")
    expect(encode_public(key.public_key()) == public, "it is another key")


def judge_keygen(root: Path, outcome: Outcome) -> None:
    names = ("private.pem", "public.pem")
    there = [name for name in names if (root / "keys" / name).exists()]
    expect(len(there) == 2 or outcome.code != 0, "acknowledged, and not there")
    expect(there != ["public.pem"], "half a pair, the wrong half")
    expect(outcome.code != 1 or outcome.helpless or not there, f"failed, and left {there}")
    manager = KeyManager()
    if there:
        check_private_files(root)
        key = load_private(manager.load_private_key(root / "keys/private.pem"))
    if len(there) == 2:
        public = manager.load_public_key(root / "keys/public.pem")
        expect(encode_public(key.public_key()) == public, "the halves don't fit")
    run("keygen", "--output", root / ("other" if there else "keys"))


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("init", make_model, lambda root: ["init", str(root / "model")], judge_init),
        Scenario("first sign", make_model, lambda root: sign(root, "1"), judge_sign("1")),
        Scenario("sign", make_sealed, lambda root: sign(root, "2"), judge_sign("2")),
        Scenario(
            "keygen",
            lambda root: None,
            lambda root: ["keygen", "--output", str(root / "keys")],
            judge_keygen,
        ),
        Scenario("trust add", make_trusting, lambda root: trust(root, SIGNER), judge_trust),
        Scenario("cosign", make_cosignable, cosign, judge_cosign),
        Scenario("key passwd", make_passphrases, passwd, judge_passwd),
        Scenario(
            "gc", make_littered, lambda root: ["gc", "--store", str(root / "model")], judge_gc
        ),
    )
}
