"""git-lfs pointers, told by their content alone."""

import hashlib

import pytest

from modelseal.lfs import POINTER_LIMIT, Pointer, is_pointer, parse

OID = hashlib.sha256(b"content").hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 7\n".encode()
EXTENDED = POINTER.replace(b"oid", f"ext-0-case sha256:{OID}\noid".encode())


def padded(length: int) -> bytes:
    """A pointer of this length: keys of extensions make them long."""
    return EXTENDED.replace(b"case", b"x" * (length - len(EXTENDED) + 4))


@pytest.mark.parametrize(
    "content",
    [
        POINTER,
        EXTENDED,
        POINTER.replace(b"git-lfs", b"hawser"),
        POINTER.replace(b"spec/v1", b"spec/v2"),
        padded(POINTER_LIMIT - 1),
    ],
)
def test_a_pointer(content: bytes) -> None:
    assert is_pointer(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"version ",
        POINTER[1:],
        b"\n" + POINTER,
        b" " + POINTER,
        b"\xef\xbb\xbf" + POINTER,
        POINTER.replace(b"https", b"http"),
        POINTER.replace(b"git-lfs.github.com", b"example.com"),
        POINTER.replace(b"version", b"Version"),
        b"# see\n" + POINTER,
        POINTER.decode().encode("utf-16"),
        padded(POINTER_LIMIT),
        POINTER + bytes(POINTER_LIMIT),
    ],
)
def test_no_pointer(content: bytes) -> None:
    assert not is_pointer(content)


def test_the_lengths_above_are_what_they_say() -> None:
    assert POINTER_LIMIT == 1024
    assert [len(padded(length)) for length in (1023, 1024)] == [1023, 1024]


@pytest.mark.parametrize("name", [b"git-lfs", b"hawser"])
@pytest.mark.parametrize("size", [0, 7, 1 << 40])
def test_what_a_pointer_says(name: bytes, size: int) -> None:
    said = POINTER.replace(b"git-lfs", name).replace(b"size 7", b"size %d" % size)
    assert parse(said) == Pointer(bytes.fromhex(OID), size)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plain",
        EXTENDED,
        POINTER[:-1],
        POINTER + b"\n",
        POINTER + b"size 8\n",
        POINTER.replace(b"\n", b"\r\n"),
        POINTER.replace(b"spec/v1", b"spec/v2"),
        POINTER.replace(b"size 7", b"size 07"),
        POINTER.replace(b"size 7", b"size -7"),
        POINTER.replace(b"size 7", b"size " + b"9" * 20),
        POINTER.replace(b"oid sha256", b"oid sha512"),
        POINTER.replace(OID.encode(), OID.upper().encode()),
        POINTER.replace(OID.encode(), OID[:-1].encode()),
        POINTER.replace(b"oid", b"oid sha256:%b\noid" % (b"0" * 64)),
    ],
)
def test_a_pointer_that_says_nothing_for_certain(content: bytes) -> None:
    assert parse(content) is None
