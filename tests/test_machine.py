"""A store, a model and a registry under operations in any order, beside a plain model of them.

Never is something called valid that no trusted key signed, or that is not on disk as it was
signed; and no seal that was acknowledged is ever lost.
"""

import base64
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from modelseal import (
    ModelSigner,
    ModelVerifier,
    SignatureAlgorithm,
    SignedManifest,
    TrustedPublisher,
    comparing,
    keys,
    manifestfiles,
    publishers,
    sealing,
    signatures,
    tree,
)
from modelseal.errors import ModelError, StoreError, VersionReusedError
from modelseal.store import Store, adding, collecting, log
from modelseal.structs import TrustedKey
from modelseal.trust import PublisherRegistry
from tests.test_properties import NOW
from tests.test_store_durability import killed_at

PEOPLE: Final = {
    "alice": keys.generate(SignatureAlgorithm.ed25519),
    "bob": keys.generate(SignatureAlgorithm.ecdsa_p256),
    "mallory": keys.generate(SignatureAlgorithm.ed25519),
}
UNVERSIONED: Final = "0.0.0"

_names = st.sampled_from(sorted(PEOPLE))
_paths = st.sampled_from(["a", "b", "sub/a", "sub/deep/ü"])
_contents = st.sampled_from([b"", b"1", b"2", b"{}", b"long" * 9])
_versions = st.sampled_from([UNVERSIONED, "1", "2"])


class Output(NamedTuple):
    """What lies in the model as its signed manifest.

    signed: as it is read. key: who made the signature; empty once somebody has altered what it
    covers. claims: whose it says it is.
    """

    signed: SignedManifest
    key: str
    claims: str

    @property
    def contents(self) -> dict[str, str]:
        return contents_of(self.signed)


def contents_of(signed: SignedManifest) -> dict[str, str]:
    return {entry.path: entry.sha256_hash for entry in signed.manifest.files}


class Machine(RuleBasedStateMachine):
    """What is on disk, and what we know of it."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        top = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.model = top / "model"
        self.registry = top / "trust.json"
        self.output_path = self.model / manifestfiles.DEFAULT_NAME
        self.model.mkdir()
        self.store = Store.init(top)
        self.index = top / ".modelseal" / "index.db"
        self.files: dict[str, bytes] = {}
        self.trusted: dict[str, str] = {}
        self.output: Output | None = None
        self.made: list[Output] = []
        self.sealed: list[str] = []
        self.versions: dict[str, dict[str, str]] = {}
        self.old_index = b""

    def teardown(self) -> None:
        self.nothing_is_lost()
        self.close()

    def close(self) -> None:
        self._stack.close()

    @property
    def on_disk(self) -> dict[str, str]:
        return {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}

    # The publisher works on the model, and signs it.

    @initialize(content=_contents)
    def begin(self, content: bytes) -> None:
        self.write("a", content, keep_time=False)
        self.trust("alice", "alice")

    @rule(path=_paths, content=_contents, keep_time=st.booleans())
    def write(self, path: str, content: bytes, keep_time: bool) -> None:
        file = self.model / path
        before = file.stat() if keep_time and file.exists() else None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if before is not None:
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.files[path] = content

    @rule(path=_paths)
    def delete(self, path: str) -> None:
        (self.model / path).unlink(missing_ok=True)
        self.files.pop(path, None)

    @rule()
    def wait(self) -> None:
        """Until the stat cache believes what it sees."""
        time.sleep(0.06)

    def _sign(self, key: str, claims: str, version: str, **how: bool) -> sealing.Sealed:
        return ModelSigner().sign_model(
            self.model,
            keys.encode_private(PEOPLE[key]),
            claims,
            self.output_path,
            model_version=version,
            store=self.store,
            jobs=1,
            **how,  # type: ignore[arg-type]
        )

    @rule(
        key=_names,
        claims=_names,
        version=_versions,
        incremental=st.booleans(),
        precheck=st.booleans(),
        if_changed=st.booleans(),
        reuse=st.booleans(),
    )
    def sign(
        self,
        key: str,
        claims: str,
        version: str,
        incremental: bool,
        precheck: bool,
        if_changed: bool,
        reuse: bool,
    ) -> None:
        try:
            made = self._sign(
                key,
                claims,
                version,
                incremental=incremental,
                precheck=precheck,
                if_changed=if_changed,
                allow_version_reuse=reuse,
            )
        except ModelError:
            assert not self.files
            return
        except VersionReusedError:
            assert version != UNVERSIONED
            assert not reuse
            assert self.versions[version] != self.on_disk
            return
        assert contents_of(made.signed) == self.on_disk
        self._acknowledge(made, Output(made.signed, key, claims), reuse=reuse)

    def _acknowledge(self, made: sealing.Sealed, output: Output, *, reuse: bool) -> None:
        version = made.signed.manifest.model_version
        known = self.versions.get(version, output.contents)
        assert version == UNVERSIONED or reuse or known == output.contents
        if not made.changed:
            assert self.output is not None
            assert self.output.signed == made.signed
            assert self.output.key == output.key
        else:
            assert made.seal is not None
            self.sealed.append(made.seal.id)
        self.versions[version] = output.contents
        self.output = output
        self.made.append(output)

    @rule(version=_versions, step=st.integers(0, 45))
    def sign_and_be_killed(self, version: str, step: int) -> None:
        def work() -> None:
            with suppress(ModelError, VersionReusedError):
                self._sign("alice", "alice", version)

        killed_at(step, work)
        found = manifestfiles.load(self.output_path) if self.output_path.exists() else None
        if found != (self.output.signed if self.output else None):
            assert found is not None
            assert contents_of(found) == self.on_disk
            self.output = Output(found, "alice", "alice")
            self.made.append(self.output)
        named = self.store.known("model", version)
        contents = contents_of(self.store.get(named)) if named else None
        if contents != self.versions.get(version):
            assert contents == self.on_disk
            self.versions[version] = self.on_disk

    # Somebody looks after the store, or spoils its cache.

    @rule()
    def gc(self) -> None:
        self.store.gc()

    @rule()
    def repair(self) -> None:
        assert self.store.fsck(repair=True).clean
        assert self.store.fsck().clean

    @precondition(lambda self: self.index.exists())
    @rule(how=st.sampled_from(["keep", "lose", "restore", "spoil"]))
    def meddle_with_the_index(self, how: str) -> None:
        if how == "keep":
            self.old_index = self.index.read_bytes()
            return
        for suffix in ("-wal", "-shm"):
            Path(f"{self.index}{suffix}").unlink(missing_ok=True)
        if how == "lose":
            self.index.unlink()
        elif how == "restore":
            self.index.write_bytes(self.old_index)
        else:
            data = bytearray(self.index.read_bytes())
            data[len(data) // 2 :] = b"\xa5" * (len(data) - len(data) // 2)
            self.index.write_bytes(data)

    # The receiver trusts some, and somebody else forges.

    @rule(name=_names, key=_names)
    def trust(self, name: str, key: str) -> None:
        public = keys.encode_public(PEOPLE[key].public_key())
        PublisherRegistry(self.registry).add_publisher(
            TrustedPublisher(
                publisher_id=name,
                name=name,
                public_key=base64.b64encode(public).decode(),
                trusted_since=NOW,
            )
        )
        self.trusted[name] = key

    @rule(name=_names)
    def distrust(self, name: str) -> None:
        if name in self.trusted:
            PublisherRegistry(self.registry).remove_publisher(name)
            del self.trusted[name]

    @precondition(lambda self: self.output is not None)
    @rule(name=_names)
    def claim_another_signer(self, name: str) -> None:
        assert self.output is not None
        signed = self.output.signed
        signature = signed.signature.model_copy(update={"signer_id": name})
        self._plant(signed.model_copy(update={"signature": signature}), self.output.key, name)

    @precondition(lambda self: self.output is not None)
    @rule()
    def describe_the_disk(self) -> None:
        """Digests of what lies there, under the old signature."""
        assert self.output is not None
        signed = self.output.signed
        manifest = (
            ModelSigner().create_manifest(self.model, "model", jobs=1) if self.files else None
        )
        if manifest is not None and contents_of(signed) != self.on_disk:
            forged = signed.manifest.model_copy(
                update={
                    "files": manifest.files,
                    "total_size_bytes": manifest.total_size_bytes,
                }
            )
            self._plant(signed.model_copy(update={"manifest": forged}), "", self.output.claims)

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def put_an_old_one_back(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(range(len(self.made))))
        self._plant(*self.made[old])

    def _plant(self, signed: SignedManifest, key: str, claims: str) -> None:
        manifestfiles.save(signed, self.output_path)
        self.output = Output(signed, key, claims)

    # What must be answered.

    @precondition(lambda self: self.output is not None)
    @rule(precheck=st.booleans())
    def verify(self, precheck: bool) -> None:
        assert self.output is not None
        signed, key, claims = self.output
        genuine = bool(key) and self.trusted.get(claims) == key
        right = genuine and self.output.contents == self.on_disk
        read = manifestfiles.load(self.output_path)
        assert read == signed
        registry = PublisherRegistry(self.registry)
        report = ModelVerifier().verify_model(self.model, read, registry=registry, jobs=1)
        assert (report.signature_valid, report.valid) == (genuine, right)
        version = signed.manifest.model_version
        reused = version != UNVERSIONED and (
            self.versions.get(version, self.output.contents) != self.output.contents
        )
        report = ModelVerifier().verify_model(
            self.model,
            read,
            registry=registry,
            manifest_path=self.output_path,
            store=self.store,
            precheck=precheck,
            jobs=1,
        )
        assert report.valid == (right and not reused)

    @rule()
    def status(self) -> None:
        latest = self.store.latest(directory=self.model)
        status = self.store.status(self.model)
        assert status.seal == latest
        if latest is not None:
            said = {entry.path: entry.sha256 for entry in self.store.entries(latest.id)}
            assert status.clean == (said == self.on_disk)
            assert {change.path for change in status.altered} == {
                path for path in said if self.on_disk.get(path, said[path]) != said[path]
            }

    @rule()
    def identify(self) -> None:
        wanted = {hashlib.sha256(data).digest() for data in self.files.values()}
        for digest, seen in self.store.identify(wanted).items():
            for each in seen:
                said = {entry.path: entry.sha256 for entry in self.store.entries(each.id)}
                assert said[each.path] == digest.hex()

    @rule()
    def nothing_is_lost(self) -> None:
        logged = [seal.id for seal in self.store.log()]
        assert set(self.sealed) <= set(logged)
        places = [len(logged) - 1 - logged[::-1].index(id_) for id_ in dict.fromkeys(self.sealed)]
        assert places == sorted(places, reverse=True), "in the order in which they were made"
        for id_ in self.sealed:
            assert self.store.get(id_)

    @invariant()
    def there_is_no_damage(self) -> None:
        found = self.store.fsck().findings
        assert not [each for each in found if each.damage and each.kind != "index"], found


RUNS: Final = settings(
    derandomize=True,
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # what fails says its steps; to shorten them takes many minutes
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

Machine.TestCase.settings = RUNS
TestMachine = Machine.TestCase


# A machine that can't fail proves nothing: each of these shows it a program that is broken.


def _trusts_the_embedded_key(
    publisher: TrustedPublisher, signed: SignedManifest
) -> tuple[keys.PublicKey, TrustedKey]:
    return keys.load_embedded(signed.signature.public_key), publishers.current_key(publisher)


def _without_ctime(info: os.stat_result) -> bytes:
    device, inode, size, mtime, _ = tree.STAMP.unpack(STAMP(info))
    return tree.STAMP.pack(device, inode, size, mtime, mtime)


STAMP: Final = tree.stamp


def _signed(machine: Machine, **how: bool) -> None:
    others = {"incremental": False, "precheck": False, "if_changed": False, "reuse": False}
    machine.sign("alice", "alice", "1", **(others | how))


def _as_mallory(machine: Machine) -> None:
    machine.sign("mallory", "alice", "1", False, False, False, False)
    machine.verify(precheck=False)


def _altered(machine: Machine) -> None:
    _signed(machine)
    machine.write("a", b"2", keep_time=False)
    machine.verify(precheck=False)


def _described(machine: Machine) -> None:
    _signed(machine)
    machine.write("a", b"2", keep_time=False)
    machine.describe_the_disk()
    machine.verify(precheck=False)


def _altered_in_secret(machine: Machine) -> None:
    machine.wait()
    _signed(machine)
    machine.write("a", b"2", keep_time=True)
    _signed(machine, incremental=True, reuse=True)


def _sealed_twice(machine: Machine) -> None:
    _signed(machine)
    machine.write("a", b"2", keep_time=False)
    _signed(machine)


def _cleared(machine: Machine) -> None:
    _signed(machine)
    machine.gc()
    machine.nothing_is_lost()


def _checked(machine: Machine) -> None:
    _signed(machine)
    machine.there_is_no_damage()
    machine.nothing_is_lost()


Fault = tuple[object, str, Callable[..., object], Callable[[Machine], None]]

BROKEN: Final[dict[str, Fault]] = {
    "the embedded key is trusted": (
        *(publishers, "_signing_key"),
        *(_trusts_the_embedded_key, _as_mallory),
    ),
    "files are not compared": (comparing, "_enter_difference", lambda *_: None, _altered),
    "signatures are not checked": (signatures, "verify", lambda *_: True, _described),
    "later changes are not seen": (tree, "stamp", _without_ctime, _altered_in_secret),
    "a version is sealed again": (adding, "check_version", lambda *_: None, _sealed_twice),
    "the log is not written": (log, "append", lambda path, line: None, _checked),
    "gc drops what the log names": (
        *(collecting, "unreferenced"),
        *(lambda store, ids: sorted(ids), _cleared),
    ),
}
"""What is broken, and the steps after which that has to be seen."""


@pytest.fixture
def machines() -> Iterator[Callable[[], Machine]]:
    with ExitStack() as stack:

        def begun() -> Machine:
            machine = Machine()
            stack.callback(machine.close)
            machine.begin(b"1")
            return machine

        yield begun


@pytest.mark.parametrize("fault", BROKEN)
def test_the_machine_sees(
    fault: str, machines: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name, broken, steps = BROKEN[fault]
    steps(machines())
    machine = machines()
    monkeypatch.setattr(place, name, broken)
    with pytest.raises((AssertionError, StoreError)):
        steps(machine)
