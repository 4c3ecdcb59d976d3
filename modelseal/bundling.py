"""The signing flow of OMS: a model → its files → statement → signature → bundle."""

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Unpack

from modelseal import fileio, hashing, keys, manifestfiles, oddities, paths, tree
from modelseal.errors import KeyLoadError, ModelError, ModelSealError
from modelseal.oms import bundle, certificates, ecdsa, outline, statement
from modelseal.oms.statement import Algorithm, SignedFile, Statement
from modelseal.structs import DOCUMENT_LIMIT

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from modelseal.store import Seal, Store
    from modelseal.store.statcache import StatCache

DEFAULT_NAME: Final = "model.sig"

_BEGINNINGS: Final = (b'{"mediaType":', b'{"verificationMaterial":', b'{"dsseEnvelope":')

_SHARDS: Final = 1_500_000
"""More than this make a bundle that nobody would read."""


class Bundled(NamedTuple):
    """A model signed as a bundle.

    data: the bundle. size: bytes of the model in all.
    signer: whom the certificate is for; empty without one.
    changed: whether it is a new bundle.
    seal: what the store keeps of it, if it is new and there is a store.
    """

    statement: Statement
    data: bytes
    size: int
    signer: str
    key: ecdsa.PublicKey
    changed: bool = True
    seal: "Seal | None" = None


class Found(NamedTuple):
    """A model as it lies there.

    top: the directory that the paths start from.
    ignore: what was left out, beside what always is.
    """

    top: str
    tree: tree.Tree
    ignore: frozenset[str]


def sign_model(
    model: fileio.Location,
    private_key_bytes: bytes,
    output: fileio.Location,
    *,
    password: bytes | None = None,
    certificate: bytes = b"",
    certificate_chain: Sequence[bytes] = (),
    algorithm: Algorithm = "sha256",
    shard_size: int = 0,
    store: "Store | None" = None,
    version: str = "0.0.0",
    allow_version_reuse: bool = False,
    if_changed: bool = False,
    ignore_paths: Collection[str] = (),
    follow_symlinks: bool = False,
    warn: Callable[[str], None] | None = None,
    **how: Unpack[hashing.Options],
) -> Bundled:
    """Describe a model, sign it, put it into the store, and write the bundle.

    model: a directory, or the one file that a model is.
    certificate, certificate_chain: PEM of the signer's certificate, and of those above it; without
    them the bundle names the key alone.
    shard_size: bytes after which files are cut; 0 keeps them whole.
    store: where the seal is kept; one that isn't there yet is made when all else is done.
    version: what the store is to call it, for the bundle itself has none.
    allow_version_reuse: let a sealed name and version name other files from now on.
    if_changed: do nothing where `output` already is what would be written, but for the signature.
    ignore_paths: left out with their subtrees; relative to the model, or absolute.
    follow_symlinks: take links to regular files inside the model as those files.
    warn: told of an ignored path outside the model.
    Raises KeyLoadError, PassphraseError, for keys and certificates; OverwriteError; ModelError for
    what can't be signed; FileUnreadableError; FileChangedError; OSError; what `Store.add_bundle`
    raises.
    """
    key = ecdsa.load_private(private_key_bytes, password)
    chain = _certificates(key, certificate, certificate_chain)
    check_output(output)
    found = look(
        model,
        left_out=statement.IGNORED,
        ignore=relative_all(ignore_paths, model, warn),
        output=output,
        follow_symlinks=follow_symlinks,
    )
    _refuse_oddities(found, model)
    cache = store.stat_cache(model, found.tree.files, links=found.tree.links) if store else None
    digests = _hash(found, algorithm, shard_size, how)
    form = outline.Form(algorithm, shard_size)
    files = [_state(path, digest, form) for path, digest in digests.items()]
    size = sum(digest.size for digest in digests.values())
    signed = Statement(
        model_name=os.path.basename(os.path.abspath(model)),
        files=files,
        algorithm=algorithm,
        shard_size=shard_size,
        allow_symlinks=follow_symlinks,
        ignore_paths=_recorded(found, model, output),
    )
    payload = statement.encode(signed)
    signer = certificates.name(chain[0]) if chain else ""
    public = key.public_key()
    about = (signed.model_name, version)
    if (
        if_changed
        and (earlier := _unchanged(output, payload, public, chain))
        and (store is None or store.known(*about) == hashlib.sha256(earlier).hexdigest())
    ):
        return Bundled(signed, earlier, size, signer, public, changed=False)
    data = bundle.encode(
        payload,
        ecdsa.sign(key, payload),
        hint=ecdsa.hint(public),
        certificates=certificates.encode_der(chain),
    )
    if len(data) >= DOCUMENT_LIMIT:
        raise ModelError(
            f"the bundle would have {len(data):,} bytes, more than {DOCUMENT_LIMIT:,}",
            hint="make larger shards with '--shard-size'" if shard_size else "",
        )
    seal = None
    if store is not None:
        # Before the bundle: a store that can't take it leaves everything as it was.
        store.make()
        seal = store.add_bundle(
            data,
            model_dir=model,
            signer_id=signer or keys.fingerprint(public),
            size=size,
            version=version,
            allow_version_reuse=allow_version_reuse,
        )
    save(data, output)
    if cache is not None and seal is not None:
        _remember(cache, digests, form, seal.id)
    return Bundled(signed, data, size, signer, public, seal=seal)


def look(
    model: fileio.Location,
    *,
    left_out: Collection[str] = (),
    ignore: Collection[str] = (),
    output: fileio.Location | None = None,
    follow_symlinks: bool = False,
) -> Found:
    """List what lies in a model, be it a directory or one file; raises as `tree.walk`.

    left_out: beside what every model is without. output: where its bundle is, or will be.
    """
    if os.path.lexists(model) and not os.path.isdir(model):
        top, found = tree.alone(model, follow_symlinks=follow_symlinks)
        return Found(top, found, frozenset())
    left = frozenset({*left_out, *ignore})
    found = tree.walk(
        model,
        exclude=manifestfiles.exclusions(model, output),
        ignore=left,
        follow_symlinks=follow_symlinks,
    )
    return Found(os.fspath(model), found, left)


def relative_all(
    ignore: Collection[str],
    model: fileio.Location,
    warn: Callable[[str], None] | None = None,
) -> set[str]:
    """Paths as a person names them, relative or absolute → relative to the model.

    Raises FormatError for a relative one that leaves the model. An absolute one outside the model
    ignores nothing, and is worth a warning.
    """
    found = set()
    for path in ignore:
        if not os.path.isabs(path):
            found.add(paths.normalise(path))
            continue
        relative = manifestfiles.relative(path.rstrip("/") or path, model)
        if relative.split("/")[0] != "..":
            found.add(paths.normalise(relative))
        elif warn:
            warn(f"'{path}' is not in the model, and ignores nothing")
    return found


def _certificates(
    key: ecdsa.PrivateKey, certificate: bytes, chain: Sequence[bytes]
) -> "list[Certificate]":
    """The signer's certificate and those above it, each once. Raises KeyLoadError."""
    if not certificate:
        if chain:
            raise KeyLoadError("certificates above the signer's, and none of the signer")
        return []
    leaf = certificates.load_pem(certificate)[0]
    if certificates.public_key(leaf) != key.public_key():
        raise KeyLoadError(
            f"the certificate '{certificates.name(leaf)}' is of another key than the private one"
        )
    if said := certificates.fault(leaf, datetime.now(UTC)):
        raise KeyLoadError(said)
    above = [each for data in chain for each in certificates.load_pem(data)]
    return list(dict.fromkeys([*certificates.load_pem(certificate), *above]))


def _refuse_oddities(found: Found, model: fileio.Location) -> None:
    oddities.refuse_oddities(found.tree, model)
    for path in found.tree.outside:
        raise ModelError(
            f"cannot sign '{path}': it leads out of the model, to '{found.tree.links[path]}'",
            hint="copy the file into the model; the native format takes it as it is",
        )


def _hash(
    found: Found, algorithm: Algorithm, shard_size: int, how: hashing.Options
) -> dict[str, hashing.FileDigest]:
    """Digest a model's files, by path."""
    if shard_size:
        _refuse_crumbs(found, shard_size)
    outcomes = hashing.hash_files(
        found.top,
        found.tree.files,
        links=found.tree.links,
        algorithms=(algorithm,),
        shard_size=shard_size,
        **how,
    )
    digests = {}
    for path, outcome in zip(found.tree.files, outcomes, strict=True):
        if isinstance(outcome, ModelSealError):
            raise outcome
        if outcome.lfs_pointer:
            raise ModelError(f"'{path}' is a git-lfs pointer", hint=oddities.HINT_POINTER)
        digests[path] = outcome
    return digests


def _state(path: str, digest: hashing.FileDigest, form: outline.Form) -> SignedFile:
    made = digest.shards if form.shard_size else (digest.digest(form.algorithm),)
    return SignedFile(path, tuple(each.hex() for each in made), digest.size)


def _remember(
    cache: "StatCache", digests: dict[str, hashing.FileDigest], form: outline.Form, seal: str
) -> None:
    """Tell the store's stat cache what was read, and that just this was sealed."""
    from modelseal.store import statcache

    if not form.plain:
        # An empty file has no shard, and is not sealed.
        digests = {
            path: digest._replace(
                sha256=form.condense(
                    digest.shards if form.shard_size else [digest.digest(form.algorithm)]
                )
            )
            for path, digest in digests.items()
            if digest.size or not form.shard_size
        }
    cache.update(
        statcache.columns(digests), seal=seal, files=len(digests), condensed_alone=not form.plain
    )


def _refuse_crumbs(found: Found, shard_size: int) -> None:
    """Before hours go into hashing: whether the shards could be listed at all."""
    top = os.fsencode(found.top)
    sizes = (os.stat(tree.locate(top, path)).st_size for path in found.tree.files)
    count = sum(-(-size // shard_size) for size in sizes)
    if count > _SHARDS:
        raise ModelError(
            f"{count:,} shards are too many for a bundle",
            hint="make larger ones with '--shard-size'",
        )


def _recorded(found: Found, model: fileio.Location, output: fileio.Location) -> tuple[str, ...]:
    """What verifiers are to leave out as we did: the same whatever lies there."""
    if not found.ignore:
        return ()
    left = {*found.ignore, *manifestfiles.exclusions(model, output)}
    return tuple(sorted(path for path in left if path.split("/")[0] != ".."))


def _unchanged(
    output: fileio.Location,
    payload: bytes,
    key: ecdsa.PublicKey,
    chain: "Sequence[Certificate]",
) -> bytes:
    """What `output` holds, where that is `payload` signed with this key; else nothing."""
    if not os.path.lexists(output):
        return b""
    data = fileio.read_bounded(output, DOCUMENT_LIMIT)
    try:
        earlier = bundle.decode(data)
        same = (
            earlier.payload == payload
            and earlier.certificates == certificates.encode_der(chain)
            and earlier.hint == ("" if chain else ecdsa.hint(key))
            and ecdsa.verify(key, earlier)
        )
    except ModelSealError:
        return b""
    return data if same else b""


def save(data: bytes, path: fileio.Location) -> None:
    """Write a bundle, replacing an earlier one whole. Raises as `check_output`, OSError."""
    check_output(path)
    fileio.write_atomic(path, data)


def check_output(path: fileio.Location) -> None:
    """As `manifestfiles.check_output`: bundles may be replaced, and a file that holds nothing."""
    if os.path.isfile(path) and not os.path.islink(path) and not os.stat(path).st_size:
        return
    manifestfiles.check_output(path, beginnings=_BEGINNINGS, kind="bundle")
