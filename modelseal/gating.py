"""The flow before a push: what it would change, judged as a receiver would judge it."""

import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from modelseal import (
    bundling,
    comparing,
    cosigning,
    documents,
    lfs,
    manifestfiles,
    opening,
    pushed,
    tree,
)
from modelseal.canonical import canonical, identifier
from modelseal.errors import (
    EXIT_ERROR,
    EXIT_NOT_VERIFIED,
    EXIT_OK,
    FormatError,
    ModelSealError,
    Reason,
)
from modelseal.oms import bundle, statement
from modelseal.oms.statement import Statement
from modelseal.structs import DOCUMENT_LIMIT, Cosignatures, Signature, SignedManifest
from modelseal.verifying import ModelVerifier

if TYPE_CHECKING:
    from modelseal.levels import Trust
    from modelseal.pushed import Contents, Place, Push, Touched
    from modelseal.report import Report
    from modelseal.runners import Progress

_TEXT_LIMIT: Final = 16 << 20
_TEXTS: Final = 20
"""Altered files that are looked at for line endings, and the bytes up to which one is a text."""

_COSIGNED: Final = manifestfiles.side_path(manifestfiles.DEFAULT_NAME)

_NAMED: Final = 3
"""Files that a message names."""

_NOTE_LINES: Final = "only the line endings differ"
_HINT_LINES: Final = (
    "git changes line endings here: put '* -text' into .gitattributes, then 'git add --renormalize'"
)
_HINT_ANY: Final = "or judge sealed directories alone: git config modelseal.hook.require any"


class Judgement(NamedTuple):
    """What was found of one directory in one state.

    path: below the top of the repository, `.` for the top itself.
    places: the refs and commits that have it so.
    reason, message: what is wrong; none and empty where everything holds.
    hint: what to do about it.
    report: of the check, where there was one.
    """

    path: str
    places: "list[Place]"
    reason: Reason | None
    message: str = ""
    hint: str = ""
    report: "Report | None" = None

    @property
    def exit_code(self) -> int:
        """0 holds; 2 doesn't; 1 can't be judged."""
        if self.report is not None:
            return self.report.exit_code
        if self.reason is None:
            return EXIT_OK
        return EXIT_NOT_VERIFIED if self.reason is Reason.UNSEALED else EXIT_ERROR


def exit_code(judgements: Sequence[Judgement]) -> int:
    """Of them all: 2 where one is not verified, 1 where one can't be judged, else 0."""
    codes = {judgement.exit_code for judgement in judgements}
    return next((code for code in (EXIT_NOT_VERIFIED, EXIT_ERROR) if code in codes), EXIT_OK)


def judge(
    push: "Push",
    touched: "Sequence[Touched]",
    trust: "Callable[[], Trust]",
    *,
    require: str = "signed",
    publishers: int = 0,
    progress: "Progress | None" = None,
) -> list[Judgement]:
    """Judge what a push changes, by path.

    trust: who is trusted; asked for only where something is sealed.
    require: `signed`: weights lie in sealed directories; `any`: what is sealed holds.
    publishers: how many must have signed, where that is more than who is trusted asks for.
    progress: called with the bytes hashed so far, and 0 for those there are in all.
    """
    judge = _Judge(push, trust, publishers, progress)
    found = []
    for item in sorted(touched, key=lambda item: (item.path, item.kind)):
        if item.kind == pushed.SEALED:
            found += judge.sealed(item)
        elif item.kind == pushed.UNSEALED:
            found += judge.unsealed(item)
        elif item.kind == pushed.UNSIGNED and require == "signed":
            found.append(_unsigned(item))
    return found


class _Judge:
    def __init__(
        self,
        push: "Push",
        trust: "Callable[[], Trust]",
        publishers: int,
        progress: "Progress | None",
    ) -> None:
        self._push = push
        self._load_trust = trust
        self._trust: Trust | None = None
        self._publishers = publishers
        self._progress = progress
        self._done = 0

    def sealed(self, item: "Touched") -> list[Judgement]:
        """A directory that has a manifest or a bundle; nothing for what others stand in for."""
        path = shown(item.path)
        if self._trust is None:
            self._trust = self._load_trust()
        try:
            signed = self._open(item, path)
            if isinstance(signed, SignedManifest):
                report = self._judge_manifest(signed, item.tree, self._trust)
            elif self._stands_aside(signed, item.tree):
                return []
            else:
                report = self._judge_bundle(signed, item.tree, self._trust)
        except FormatError as err:
            hint = err.hint or f"sign what the model is now: {_command(path, item.seal_name)}"
            return [Judgement(path, item.places, err.reason, str(err), hint)]
        except ModelSealError as err:
            return [Judgement(path, item.places, err.reason, str(err), err.hint)]
        advice = _advice(path, report)
        return [Judgement(path, item.places, report.reason, _summary(report), advice, report)]

    def _judge_manifest(self, signed: SignedManifest, top: str, trust: "Trust") -> "Report":
        warnings: list[str] = []
        cosigned = self._cosigned(top, signed, warnings)
        report = ModelVerifier().verify_model(
            None,
            signed,
            registry=trust,
            require=self._publishers,
            cosignatures=cosigned,
        )
        report.warnings += warnings
        if report.signature_valid:
            self._check_files(report, top, {_COSIGNED} if cosigned else set())
        return report

    def _stands_aside(self, data: bytes, top: str) -> bool:
        """Whether a bundle is of no key, so that only the manifest beside it can be judged."""
        beside = self._push.entries(top).get(manifestfiles.DEFAULT_NAME.encode())
        return bundle.decode(data).method != "key" and beside is not None

    def _judge_bundle(self, data: bytes, top: str, trust: "Trust") -> "Report":
        means = opening.Means(registry=trust, require=self._publishers)
        report = opening.verify_model(None, data, means)
        if report.signature_valid:
            self._check_files(report, top, set())
        return report

    def unsealed(self, item: "Touched") -> list[Judgement]:
        """A directory whose manifest is gone; nothing where the files went with it."""
        path = shown(item.path)
        there = self._push.contents(item.tree).found
        stayed = set(there.files)
        try:
            signed = self._open(item, path)
            if isinstance(signed, bytes):
                named = {
                    file.path for file in statement.decode(bundle.decode(signed).payload).files
                }
            else:
                named = {entry.path for entry in signed.manifest.files}
            stayed &= named
        except ModelSealError:
            pass  # whatever it said: it can't say that nothing stayed
        if not stayed:
            return []
        kind = "bundle" if item.seal_name == bundling.DEFAULT_NAME else "manifest"
        message = f"its {kind} is removed, and signed files stay: {_some(sorted(stayed))}"
        hint = f"remove the model too, or sign what it is now: {sign_command(path)}"
        return [Judgement(path, item.places, Reason.UNSEALED, message, hint)]

    def _open(self, item: "Touched", path: str) -> SignedManifest | bytes:
        """The manifest, or a bundle's bytes: every name in `pushed.SEAL_NAMES` is read here."""
        name = os.path.normpath(f"{path}/{item.seal_name}")
        try:
            data = self._push.read(item.seal, DOCUMENT_LIMIT)
        except FormatError as err:
            raise FormatError(f"'{name}': {err}") from None
        if lfs.is_pointer(data):
            raise FormatError(
                f"'{name}' is a git-lfs pointer: nobody who judges a push can read it",
                hint=f"keep it in git itself: git lfs untrack {_quoted(name)}",
            )
        if not bundle.is_bundle(data):
            return manifestfiles.decode(data, name)
        with opening.naming(name):
            statement.decode(bundle.decode(data).payload)
        return data

    def _cosigned(self, top: str, signed: SignedManifest, warnings: list[str]) -> list[Signature]:
        """The further signatures that lie beside a manifest; none of a file that is no good."""
        entry = self._push.entries(top).get(_COSIGNED.encode())
        if entry is None:
            return []
        try:
            said = documents.decode(self._push.read(entry, cosigning.LIMIT), Cosignatures)
            cosigning.check(said, canonical(signed.manifest))
        except ModelSealError as err:
            warnings.append(f"cosignatures are left out: {err}")
            return []
        own = identifier(signed.signature)
        return [one for one in said.signatures if identifier(one) != own]

    def _check_files(self, report: "Report", top: str, beside: set[str]) -> None:
        stated = report.manifest if isinstance(report.manifest, Statement) else None
        signed = {entry.path: entry for entry in report.manifest.files}
        tops = {path.partition("/")[0] for path in signed}
        own = tree.ROOT_EXCLUSIONS | beside
        named = own & tops
        contents = self._push.contents(top, own - named)
        oids = {path: oid for path, oid in contents.oids.items() if path in signed}
        form = (stated.algorithm, stated.shard_size) if stated else ("sha256", 0)
        outcomes = self._push.digests(oids, self._tick, algorithm=form[0], shard_size=form[1])
        if stated:
            opening.overlook(contents.found, stated)
        comparing.enter(report, contents.found, outcomes, named=named)
        if stated and stated.shard_size:
            # An empty file has no shard, so that nobody can sign it.
            report.unsigned = [
                each for each in report.unsigned if not self._is_empty(each.path, contents)
            ]
        if form == ("sha256", 0):
            self._look_at_lines(report, contents)
        report.conclude()

    def _is_empty(self, path: str, contents: "Contents") -> bool:
        with suppress(ModelSealError):
            return path in contents.oids and not self._push.read(contents.entry(path), 0)
        return False

    def _tick(self, count: int) -> None:
        self._done += count
        if self._progress:
            self._progress(self._done, 0)

    def _look_at_lines(self, report: "Report", contents: "Contents") -> None:
        """Where git has other line endings than what was signed, say so."""
        for index, item in enumerate(report.altered[:_TEXTS]):
            if item.actual is None:
                continue
            try:
                data = self._push.read(contents.entry(item.path), _TEXT_LIMIT)
            except ModelSealError:
                continue
            there = data.replace(b"\n", b"\r\n")
            if hashlib.sha256(there).hexdigest() == item.expected:
                report.altered[index] = item._replace(note=_NOTE_LINES)


def shown(path: bytes) -> str:
    """A path below the top of the repository, for a person or the system's calls."""
    return os.fsdecode(path) or "."


def sign_command(path: str, signer: str = "ID") -> str:
    """What to type to sign a directory."""
    return (
        f"modelseal sign --model-dir {_quoted(path)} --key KEY --signer-id "
        f"{signer if signer == 'ID' else _quoted(signer)}"
    )


def _command(path: str, seal_name: str) -> str:
    """The same for a manifest or a bundle."""
    return _bundle_command(path) if seal_name == bundling.DEFAULT_NAME else sign_command(path)


def _bundle_command(path: str) -> str:
    return f"modelseal sign --format oms --model-dir {_quoted(path)} --key KEY"


def _quoted(text: str) -> str:
    """A word for a shell, in printable characters: others would be shown as something else."""
    if text.isprintable():
        return shlex.quote(text)
    plain = bytes(range(0x20, 0x7F)).translate(None, b"\\'")
    return "$'" + "".join(chr(b) if b in plain else f"\\x{b:02x}" for b in os.fsencode(text)) + "'"


def _unsigned(item: "Touched") -> Judgement:
    path = shown(item.path)
    return Judgement(
        path,
        item.places,
        Reason.UNSEALED,
        f"nobody signed {_some([os.fsdecode(name) for name in sorted(item.names)])}",
        f"sign the model: {sign_command(path)}; {_HINT_ANY}",
    )


def _summary(report: "Report") -> str:
    if not report.signature_valid:
        return report.signature_error
    found = [
        (len(report.altered), "altered"),
        (len(report.missing), "missing"),
        (len(report.unsigned), "unsigned"),
        (len(report.errors), "unreadable"),
    ]
    return ", ".join(f"{count:,} {what}" for count, what in found if count)


def _advice(path: str, report: "Report") -> str:
    if report.valid:
        return ""
    if any(item.note == _NOTE_LINES for item in report.altered):
        return _HINT_LINES
    if isinstance(report.manifest, Statement) and not report.signature_valid:
        return (
            "bundles are judged here by the keys of trusted publishers: 'modelseal trust add ID "
            f"--key PATH --format oms' trusts one; or sign it yourself: {_bundle_command(path)}"
        )
    if report.reason is Reason.SIGNER_UNTRUSTED:
        signer = _quoted(report.signer_id)
        return (
            "if you know whose key it is, trust the publisher: "
            f"modelseal trust add {signer} --key PATH; or sign it yourself: {sign_command(path)}"
        )
    if report.exit_code == EXIT_ERROR:
        return "fetch what is missing, or let 'git fsck' say more"
    if isinstance(report.manifest, Statement):
        command = _bundle_command(path)
    else:
        command = sign_command(path, report.signer_id)
    return f"if this is what you mean to publish, sign it and commit that: {command}"


def _some(names: Sequence[str]) -> str:
    first = ", ".join(f"'{name}'" for name in names[:_NAMED])
    return f"{first} and {len(names) - _NAMED:,} more" if len(names) > _NAMED else first
