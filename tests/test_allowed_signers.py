"""OpenSSH's allowed signers: read and written as ssh-keygen itself reads them."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelseal import allowed_signers, keys, publishers
from modelseal.errors import FormatError
from tests.conftest import need
from tests.test_publishers import FIRST, SECOND, THIRD, alice, print_of, said

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LINE = keys.encode_openssh_public(FIRST.public_key()).decode()
OTHER = keys.encode_openssh_public(SECOND.public_key()).decode()


def decode(text: str) -> dict[str, list[str]]:
    """Id → fingerprints, the current one first."""
    found, _ = allowed_signers.decode(text, "signers", now=NOW)
    return {
        one.publisher_id: [key.fingerprint for key in publishers.all_keys(one)] for one in found
    }


@pytest.mark.parametrize(
    "line",
    [
        f"alice {LINE}",
        f"  alice\t{LINE} a comment",
        f'"alice" {LINE}',
        f'alice namespaces="modelseal" {LINE}',
        f'alice namespaces="git,modelseal" {LINE}',
        f'alice NAMESPACES="*" {LINE}',
        f'alice namespaces="modelseal",valid-after="20240101" {LINE}',
        f'# who\n\nalice valid-after="202401011200Z",valid-before="20990101120000Z" {LINE}\n',
    ],
)
def test_lines_that_are_taken(line: str) -> None:
    assert decode(line) == {"alice": [print_of(FIRST)]}


def test_times_and_several_keys() -> None:
    text = (
        f'alice,bob valid-after="20240131Z",valid-before="20270131123456Z" {LINE}\nalice {OTHER}\n'
    )
    alice_, bob = allowed_signers.decode(text, "signers", now=NOW)[0]
    assert [k.fingerprint for k in publishers.all_keys(alice_)] == [
        print_of(SECOND),
        print_of(FIRST),
    ]
    assert alice_.trusted_since == NOW
    (former,) = bob.keys
    assert former.trusted_since == bob.trusted_since == datetime(2024, 1, 31, tzinfo=UTC)
    assert former.expires == datetime(2027, 1, 31, 12, 34, 56, tzinfo=UTC)


def test_local_times_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        text = f'alice valid-before="20270131" {LINE}'
        ((one,), _) = allowed_signers.decode(text, "signers", now=NOW)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert one.keys[0].expires == datetime(2027, 1, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            f"alice cert-authority {LINE}",
            "it is a certificate authority, which can't be trusted here",
        ),
        (
            f"*@example.com {LINE}",
            "the principal '*@example.com' is a pattern, and no publisher's id",
        ),
        (f"!alice {LINE}", "the principal '!alice' is a pattern, and no publisher's id"),
        (f"alice,,bob {LINE}", "the principal '' is a pattern, and no publisher's id"),
        (f"alice touch-required {LINE}", "its option 'touch-required' is unknown"),
        (f'alice valid-before="soon" {LINE}', "valid-before: 'soon' is no time"),
        (f'alice valid-before="20271301" {LINE}', "valid-before: '20271301' is no time"),
        (f'alice namespaces="a {LINE}', "its options"),
        ("alice ssh-rsa AAAA", "a key of the kind 'ssh-rsa' can't be used"),
        ("alice ecdsa-sha2-nistp384 AAAA", "a key of the kind 'ecdsa-sha2-nistp384' can't be used"),
        ("alice sk-ssh-ed25519@openssh.com AAAA", "a key of the kind 'sk-ssh-ed25519@openssh.com'"),
        ("alice ssh-ed25519-cert-v01@openssh.com A", "a key of the kind 'ssh-ed25519-cert-v01"),
        ("alice ssh-ed25519 AAAA", "the public key is damaged, or of an unknown kind"),
        ("alice ssh-ed25519", "it has no key"),
        ("alice", "it has no key"),
        (f"alice {LINE}\nalice {LINE}", "'alice' has the key "),
    ],
    ids=lambda text: "" if "ssh-" in text else text,
)
def test_lines_that_end_an_import(line: str, why: str) -> None:
    with pytest.raises(FormatError) as refused:
        decode(f"bob {OTHER}\n{line}\n")
    assert str(refused.value).startswith(f"'signers', line {2 + line.count(chr(10))}: {why}")


def test_other_namespaces_are_left_out_and_named() -> None:
    found, left_out = allowed_signers.decode(
        f'alice namespaces="git" {LINE}\nbob {OTHER}\n', "signers", now=NOW
    )
    assert [one.publisher_id for one in found] == ["bob"]
    assert left_out == ["'signers', line 1: it is for the namespace 'git'"]


def test_what_the_list_cannot_hold_is_named() -> None:
    listed = [
        publishers.rotate(alice(models=["acme/*"]), said(SECOND), at=NOW - DAY),
        alice(revoked_at=NOW).model_copy(update={"publisher_id": "bob"}),
        alice().model_copy(update={"publisher_id": "two words"}),
        alice(keys=[said(expires=NOW)]).model_copy(update={"publisher_id": "late"}),
    ]
    text, lost = allowed_signers.encode(listed, now=NOW)
    assert decode(text) == {"alice": [print_of(SECOND)]}
    assert lost == [
        "'alice' may sign any model by this list",
        f"the key {print_of(FIRST)} of 'alice' signs no more, and is left out",
        "'bob' is revoked, and left out",
        "'two words' is no principal, and left out",
        f"the key {print_of(FIRST)} of 'late' signs no more, and is left out",
    ]


def test_a_round_trip() -> None:
    listed = [
        alice(keys=[said(expires=NOW + DAY)]),
        alice(keys=[said(SECOND)]).model_copy(update={"publisher_id": "bob@example.com"}),
    ]
    text, lost = allowed_signers.encode(listed, now=NOW)
    assert lost == []
    again, left_out = allowed_signers.decode(text, "signers", now=NOW)
    assert left_out == []
    assert {one.publisher_id for one in again} == {"alice", "bob@example.com"}
    assert again[0].keys == listed[0].keys
    assert {k.fingerprint for k in publishers.all_keys(again[1])} == {
        print_of(FIRST),
        print_of(SECOND),
    }


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_ssh_keygen_agrees(kind: str, tmp_path: Path) -> None:
    """What it signs is found valid by the list that we write of what it wrote."""
    ssh_keygen = need("ssh-keygen")
    key = tmp_path / "key"
    make: list[str | Path] = [ssh_keygen, "-q", "-t", kind, "-N", "", "-f", key]
    subprocess.run([*make, *(["-b", "256"] if kind == "ecdsa" else [])], check=True)
    data = tmp_path / "data"
    data.write_bytes(b"data")
    subprocess.run([ssh_keygen, "-q", "-Y", "sign", "-n", "modelseal", "-f", key, data], check=True)
    public = key.with_suffix(".pub").read_text()
    ((one,), _) = allowed_signers.decode(f"alice {public}", "signers", now=NOW)
    printed = subprocess.run([ssh_keygen, "-lf", key], capture_output=True, text=True, check=True)
    assert publishers.current_key(one).fingerprint in printed.stdout.split()

    def valid(expires: datetime | None, space: str = "modelseal") -> bool:
        said = publishers.current_key(one).model_copy(update={"expires": expires})
        text, _ = allowed_signers.encode([publishers.with_key(one, said)], now=NOW)
        (tmp_path / "signers").write_text(text)
        check: list[str | Path] = [
            ssh_keygen,
            "-Y",
            "verify",
            "-f",
            tmp_path / "signers",
            "-I",
            "alice",
        ]
        check += ["-n", space, "-s", f"{data}.sig"]
        return subprocess.run(check, input=b"data", capture_output=True).returncode == 0

    assert valid(None)
    assert valid(datetime.now(UTC) + 2 * DAY)
    assert not valid(NOW + timedelta(seconds=1))  # long past by now
    assert not valid(None, "other")


def test_two_keys_of_one_publisher_are_two_lines() -> None:
    text, _ = allowed_signers.encode([alice(keys=[said(SECOND), said(THIRD)])], now=NOW)
    assert len(text.splitlines()) == 3
    assert len(decode(text)["alice"]) == 3
