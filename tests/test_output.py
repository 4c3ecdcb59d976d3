"""What is shown: names made harmless, errors as one line, a standard output that is lost."""

import io
import json
import os
import subprocess
import sys
import tracemalloc
from errno import EACCES, EBADF, ENOENT, ENOSPC
from pathlib import Path

import pytest

from modelseal import output
from modelseal.errors import KeyLoadError, Reason, UsageError

ESC = "\x1b"


class Closed(io.StringIO):
    """A stream that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(ENOSPC, os.strerror(ENOSPC))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("weights/model-00001.bin", "weights/model-00001.bin"),
        ("größe 模型 😀 e\u0301", "größe 模型 😀 e\u0301"),
        ("", ""),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\0\a\b\x7f", r"\x00\x07\x08\x7f"),
        (f"{ESC}[31mred{ESC}[0m", r"\x1b[31mred\x1b[0m"),
        (f"{ESC}]0;title\a", r"\x1b]0;title\x07"),
        ("\x85\x9b31m", r"\x85\x9b31m"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("\u200b\u2066\u2069\ufeff", r"\u200b\u2066\u2069\ufeff"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("a\u00a0b", r"a\xa0b"),
        ("\udcff\ud800", r"\udcff\ud800"),
        ("\U000e0041", r"\U000e0041"),
        # A backslash of the name's own is told from ours, wherever one of ours is shown.
        (r"a\nb", r"a\nb"),
        ("a\\nb\n", r"a\\nb\n"),
        (f"\\x1b{ESC}", r"\\x1b\x1b"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert output.printable(text) == shown


def test_a_long_text_is_escaped_in_pieces() -> None:
    text = "\u200bé\\" * 500_000
    tracemalloc.start()
    try:
        shown = output.printable(text)
        assert tracemalloc.get_traced_memory()[1] < 6 * len(shown)
    finally:
        tracemalloc.stop()
    assert shown == r"\u200bé\\" * 500_000


def test_no_character_reaches_a_terminal_raw_that_is_not_printable() -> None:
    for number in range(sys.maxunicode + 1):
        shown = output.printable(chr(number))
        assert shown.isprintable(), hex(number)
        assert shown == chr(number) or shown.isascii(), hex(number)


@pytest.mark.parametrize("write", [output.line, output.message, output.warning, output.hint])
def test_one_call_is_one_line(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(write)
    write(f"a\nerror: b{ESC}[2K")
    out, err = capsys.readouterr()
    assert (out + err).count("\n") == 1
    assert (out + err).endswith("a\\nerror: b\\x1b[2K\n")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": None}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"CLICOLOR": "0"}, True, False),
        ({"CLICOLOR": "1"}, True, True),
        ({"CLICOLOR": "1"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, False, True),
        ({"CLICOLOR_FORCE": "0"}, False, False),
        ({"CLICOLOR_FORCE": ""}, False, False),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, True, False),
    ],
    ids=str,
)
def test_who_gets_colours(
    environment: dict[str, str | None],
    terminal: bool,
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"TERM": "xterm", **environment}.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    streams = [Terminal() if terminal else io.StringIO() for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    output.marked(output.BAD, "  [FAIL]", " w.bin")
    output.warning("mind the gap")
    out, err = (stream.getvalue() for stream in streams)
    if coloured:
        assert out == f"  {ESC}[31m[FAIL]{ESC}[0m w.bin\n"
        assert err == f"{ESC}[33mwarning:{ESC}[0m mind the gap\n"
    else:
        assert (out, err) == ("  [FAIL] w.bin\n", "warning: mind the gap\n")


def test_what_is_coloured_is_as_harmless_as_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    output.marked(output.GOOD, f"[{ESC}]", f" a{ESC}[2K\n")
    assert capsys.readouterr().out == f"{ESC}[32m[\\x1b]{ESC}[0m a\\x1b[2K\\n\n"


def test_a_document_is_ascii_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"path": "".join(map(chr, range(0x300))) + "\u202e\u2028\ud800😀", "n": [1, None]}
    output.document(value)
    text = capsys.readouterr().out
    assert text.isascii()
    assert text[:-1].isprintable()
    assert json.loads(text) == value


def test_a_record_is_a_line_with_tabs_or_ends_each_field_with_nul(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    row = ("a b", 12, "tab\there\n", "", "\u202e😀", f"{ESC}\\", "caf\udce9")
    output.record(*row)
    output.finish()
    out = capfdbinary.readouterr().out
    assert out.count(b"\n") == 1
    assert out[:-1].split(b"\t") == [
        *(b"a b", b"12", b"tab\\there\\n", b"", b"\\u202e" + "😀".encode()),
        *(b"\\x1b\\\\", b"caf\\udce9"),
    ]
    output.record(*row, zero=True)
    output.finish()
    out = capfdbinary.readouterr().out
    assert out.split(b"\0")[:-1] == [os.fsencode(str(field)) for field in row]


def noted(err: OSError, note: str) -> OSError:
    """An error with a note, as `fileio.naming` leaves it."""
    err.add_note(note)
    return err


@pytest.mark.parametrize(
    ("err", "shown"),
    [
        (KeyLoadError("'k': no key"), "'k': no key"),
        (ValueError("what"), "what"),
        (OSError(ENOENT, "No such file", "w.bin"), "cannot use 'w.bin': no such file"),
        (OSError(ENOENT, "No such file", b"w\xff.bin"), "cannot use 'w\udcff.bin': no such file"),
        (OSError(EBADF, "Bad file descriptor"), "bad file descriptor"),
        (OSError("odd"), "odd"),
        (
            noted(OSError(EACCES, "Permission denied", ".w.tmp"), "cannot write 'w'"),
            "cannot write 'w': permission denied",
        ),
    ],
    ids=repr,
)
def test_describe(err: Exception, shown: str) -> None:
    assert output.describe(err) == shown


def test_an_error_is_two_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    output.error(UsageError("no\nsuch", hint="this"))
    assert capsys.readouterr() == ("", "error: no\\nsuch\nhint: this\n")


def test_an_error_in_json_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    output.error(UsageError("no\nsuch", hint="this"), json=True)
    output.error(OSError(ENOENT, "No such file", "w.bin"), json=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "valid": False,
            "reason": Reason.USAGE,
            "errors": [{"message": "no\nsuch", "hint": "this"}],
        },
        {
            "valid": False,
            "reason": Reason.SYSTEM,
            "errors": [{"message": "cannot use 'w.bin': no such file"}],
        },
    ]


def test_a_lost_standard_output_is_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_lost", None)
    monkeypatch.setattr(sys, "stdout", Closed())
    output.line("lost")
    lost = output._lost
    assert lost is not None
    assert lost.errno == ENOSPC
    # Half an answer would be worse than none: nothing more is written.
    again = io.StringIO()
    monkeypatch.setattr(sys, "stdout", again)
    output.line("after")
    assert again.getvalue() == ""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(output, "_lost", None)
    output.line("nowhere")
    lost = output._lost
    assert lost is not None
    assert lost.errno == EBADF
    assert output.finish() is lost


@pytest.mark.parametrize("stream", [Closed(), None])
def test_a_lost_standard_error_stops_nothing(
    stream: io.StringIO | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    output.message("lost")
    output.error(UsageError("lost", hint="too"))
    with output.progress("hashing") as progress:
        assert progress is None
    output.line("the answer")
    assert capsys.readouterr().out == "the answer\n"


@pytest.mark.parametrize(("size", "writes"), [(1, "at the end"), (1 << 20, "at once")])
def test_finish_tells_what_was_lost_and_the_interpreter_ends_in_silence(
    size: int, writes: str, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    script = (
        "import sys; from modelseal import output\n"
        f"output.line('x' * {size})\n"
        "lost = output.finish()\n"
        "sys.exit(lost.errno if lost else 0)"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path
        )
    assert (done.returncode, done.stderr) == (ENOSPC, b""), writes
