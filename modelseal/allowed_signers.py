"""OpenSSH's list of allowed signers ↔ publishers; see ALLOWED SIGNERS in ssh-keygen(1)."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from modelseal import keys, publishers
from modelseal.errors import FormatError, KeyLoadError
from modelseal.structs import TrustedKey, TrustedPublisher

NAMESPACE = "modelseal"

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256")
_KEY = re.compile(r"(?:ssh|ecdsa|sk|webauthn)-")
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|\Z)')
_PRINCIPAL = re.compile(r'(?:"([^"]*)"|(\S+))\s+')
_TIME = re.compile(r"([0-9]{8})(?:([0-9]{4})([0-9]{2})?)?(Z?)")
_SPECIAL = re.compile(r'[\s",*?!\\]|\A#')


def decode(text: str, name: str, *, now: datetime) -> tuple[list[TrustedPublisher], list[str]]:
    """The publishers of such a list that came from `name`, and what was left out, in sentences.

    Several lines of one principal are several keys; the last one is current. Lines for other
    namespaces alone are left out.
    now: since when they are trusted where the list does not say.
    Raises FormatError, which names the line, for anything else that can't be taken over.
    """
    found: dict[str, TrustedPublisher] = {}
    foreign: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        where = f"'{name}', line {number}"
        try:
            principals, options, key = _parse(line)
            spaces = options.get("namespaces", NAMESPACE).split(",")
            if NAMESPACE not in spaces and "*" not in spaces:
                foreign.append(f"{where}: it is for the namespace '{options['namespaces']}'")
                continue
            said = _described(options, key, now)
            for principal in principals:
                found[principal] = _add(found.get(principal), principal, said)
        except (FormatError, KeyLoadError) as err:
            raise FormatError(f"{where}: {err}") from None
    return list(found.values()), foreign


def encode(listed: Iterable[TrustedPublisher], *, now: datetime) -> tuple[str, list[str]]:
    """Publishers as such a list, and what it can't say of them, in sentences.

    Keys that signed their last are left out: the list knows no first sight of a signature.
    """
    lines: list[str] = []
    lost: list[str] = []
    for publisher in listed:
        name = publisher.publisher_id
        if publisher.revoked_at is not None:
            lost.append(f"'{name}' is revoked, and left out")
            continue
        if _SPECIAL.search(name) or not name:
            lost.append(f"'{name}' is no principal, and left out")
            continue
        if publisher.models or publisher.require:
            lost.append(f"'{name}' may sign any model by this list")
        for said in publishers.all_keys(publisher):
            ended = said.revoked_at or said.rotated_at
            if ended is not None or (said.expires and publishers.as_utc(said.expires) <= now):
                lost.append(
                    f"the key {said.fingerprint} of '{name}' signs no more, and is left out"
                )
            else:
                lines.append(_line(name, said))
    return "".join(f"{line}\n" for line in lines), lost


def _line(name: str, said: TrustedKey) -> str:
    since = publishers.as_utc(said.trusted_since)
    options = f'namespaces="{NAMESPACE}",valid-after="{_time(since)}"'
    if said.expires is not None:
        options += f',valid-before="{_time(said.expires)}"'
    key = publishers.load_key(said.public_key)
    return f"{name} {options} {keys.encode_openssh_public(key).decode()}"


def _time(time: datetime) -> str:
    moment = publishers.as_utc(time).astimezone(UTC)
    return f"{moment.year:04}{moment:%m%d%H%M%SZ}"  # %Y alone has three digits for the year 448


def _parse(line: str) -> tuple[list[str], dict[str, str], str]:
    """Principals, options with their names in lower case, and the key."""
    matched = _PRINCIPAL.match(line)
    if matched is None:
        raise FormatError("it has no key")
    principals = (matched[1] or matched[2] or "").split(",")
    for principal in principals:
        if not principal or _SPECIAL.search(principal):
            raise FormatError(f"the principal '{principal}' is a pattern, and no publisher's id")
    rest = line[matched.end() :]
    given, key = ("", rest) if _KEY.match(rest) else _split(rest)
    options: dict[str, str] = {}
    place = 0
    while place < len(given):
        option = _OPTION.match(given, place)
        if option is None or option[1].lower() in options:
            raise FormatError(f"its options '{given}' can't be read")
        options[option[1].lower()] = option[2] or ""
        place = option.end()
    if "cert-authority" in options:
        raise FormatError("it is a certificate authority, which can't be trusted here")
    unknown = options.keys() - {"namespaces", "valid-after", "valid-before"}
    if unknown:
        raise FormatError(f"its option '{min(unknown)}' is unknown")
    return principals, options, key


def _split(text: str) -> tuple[str, str]:
    """At the first blank outside quotation marks."""
    quoted = False
    for place, character in enumerate(text):
        if character == '"' and text[place - 1 : place] != "\\":
            quoted = not quoted
        elif character in " \t" and not quoted:
            return text[:place], text[place:].lstrip()
    return text, ""


def _described(options: dict[str, str], key: str, now: datetime) -> TrustedKey:
    words = key.split(maxsplit=2)[:2]
    if words and words[0] not in _KINDS:
        raise FormatError(f"a key of the kind '{words[0]}' can't be used")
    if len(words) < 2:
        raise FormatError("it has no key")
    since = _moment(options, "valid-after") or now
    expires = _moment(options, "valid-before")
    encoded = publishers.encode_key(keys.load_public(" ".join(words).encode()))
    return publishers.described(encoded, since=since, expires=expires)


def _moment(options: dict[str, str], name: str) -> datetime | None:
    text = options.get(name)
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        digits = found[1] + (found[2] or "0000") + (found[3] or "00")
        told = datetime.strptime(digits, "%Y%m%d%H%M%S")  # noqa: DTZ007 - see below
        # Without a Z it is local time, to ssh-keygen too.
        return (told.replace(tzinfo=UTC) if found[4] else told).astimezone(UTC)
    except (ValueError, OverflowError):
        raise FormatError(f"{name}: '{text}' is no time") from None


def _add(publisher: TrustedPublisher | None, principal: str, said: TrustedKey) -> TrustedPublisher:
    described = [said] if said.expires is not None else []
    if publisher is None:
        return TrustedPublisher(
            publisher_id=principal,
            name="",
            public_key=said.public_key,
            trusted_since=said.trusted_since,
            keys=described,
        )
    if any(said.fingerprint == k.fingerprint for k in publishers.all_keys(publisher)):
        raise FormatError(f"'{principal}' has the key {said.fingerprint} twice")
    former = publishers.with_key(publisher, publishers.current_key(publisher))
    return former.model_copy(
        update={
            "public_key": said.public_key,
            "trusted_since": said.trusted_since,
            "keys": [*former.keys, *described],
        }
    )
