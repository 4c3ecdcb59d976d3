"""Everything a person or a script sees: results, messages, progress."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EBADF

from modelseal.errors import ModelSealError, Reason

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any, TextIO

    from modelseal.oms.statement import Statement
    from modelseal.runners import Progress
    from modelseal.structs import SignedManifest

ID_DIGITS = 12
"""Of an id, where a person reads it: enough to ask for it again."""

_PATIENCE = 0.5
"""Seconds before progress is worth a line, and worth loading what draws it."""

_PIECE = 1 << 16
_NARROW = 60
_NARROW_FORMAT = "{percentage:3.0f}% {n_fmt}/{total_fmt} {remaining} {rate_fmt}"
"""For terminals without the columns for a bar beside rate and time left."""

GOOD, BAD, DOUBTFUL = "32", "31", "33"
"""Tones of a mark: green, red and yellow, as ECMA-48 numbers them."""

_lost: OSError | None = None
"""Why results could not be written, once that has happened."""


def printable(text: str) -> str:
    """`text` with control and invisible characters escaped, as Python writes them.

    Names come from strangers: a terminal must not act on them, nor show them in another order.
    """
    if text.isprintable():
        return text
    # In pieces: every character of a long text as a string of its own takes many gigabytes.
    starts = range(0, len(text), _PIECE)
    return "".join([_printable(text[start : start + _PIECE]) for start in starts])


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() and character != "\\" else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def line(text: str = "") -> None:
    """Write a line of the result to standard output.

    A failure is kept for `finish`: the work goes on to its exit code.
    """
    _write(printable(text) + "\n")


def marked(tone: str, mark: str, text: str = "") -> None:
    """Write a line that begins with `mark`, which has a colour where colours are wanted.

    tone: GOOD, BAD or DOUBTFUL.
    """
    marker(tone, mark)(text)


def marker(tone: str, mark: str) -> "Callable[[str], None]":
    """What writes such lines, for very many of them: it asks for colours only once."""
    start = _toned(tone, mark, sys.stdout)
    return lambda text: _write(f"{start}{printable(text)}\n")


def _toned(tone: str, mark: str, stream: "TextIO | None") -> str:
    plain = printable(mark)
    if not _coloured(stream):
        return plain
    word = plain.lstrip(" ")
    return f"{plain[: -len(word)]}\x1b[{tone}m{word}\x1b[0m"


def _coloured(stream: "TextIO | None") -> bool:
    """Whether a stream gets colours: see no-color.org and bixense.com/clicolors."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "") not in ("", "0"):
        return True
    if os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("CLICOLOR") == "0":
        return False
    return stream is not None and stream.isatty()


def record(*fields: object, zero: bool = False) -> None:
    """Write a line for scripts: fields with tabs between them, each as `printable` has it.

    zero: every field as it is, and a NUL after each.
    """
    if zero:
        exact("".join(f"{field}\0" for field in fields))
    else:
        _write("\t".join(printable(str(field)) for field in fields) + "\n")


def exact(text: str) -> None:
    """Write text as it is, in UTF-8 whatever the locale says, for a program to read.

    Not beside lines: they would come after it.
    """
    _write(text, exact=True)


def _write(text: str, *, exact: bool = False) -> None:
    global _lost  # noqa: PLW0603 - one standard output a process
    if _lost is not None:
        return
    try:
        if sys.stdout is None:
            raise OSError(EBADF, os.strerror(EBADF))
        if exact:
            sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
        else:
            sys.stdout.write(text)
    except OSError as err:
        _lost = err


def document(value: Mapping[str, object]) -> None:
    """Write a JSON object to standard output, ASCII alone."""
    import json

    line(json.dumps(value))


def lines(text: str) -> None:
    """Write a text of several lines."""
    for part in text.split("\n"):
        line(part)


def rows(*pairs: tuple[str, str]) -> None:
    """Write a label and its value a line, without those that have none."""
    for label, value in pairs:
        if value:
            line(f"{label:<11}: {value}")


def said(signed: "SignedManifest") -> list[tuple[str, str]]:
    """What a signed manifest says of itself, as rows."""
    manifest, signature = signed.manifest, signed.signature
    return [
        ("Model", f"{manifest.model_name} v{manifest.model_version}"),
        ("Framework", manifest.framework),
        ("Author", manifest.author),
        ("Description", manifest.description),
        ("Created", _time(manifest.created_at)),
        ("Files", f"{len(manifest.files)}"),
        ("Total", f"{manifest.total_size_bytes:,} bytes"),
        ("Signer", f"{signature.signer_id} (claimed)"),
        ("Signed", f"{_time(signature.signed_at)} (claimed)"),
        ("Algorithm", signature.algorithm.value),
        ("Key", _fingerprint(signature.public_key)),
    ]


def stated(data: bytes, statement: "Statement") -> list[tuple[str, str]]:
    """What a bundle says of itself, as rows."""
    about = bundled(data)
    signers = about["certificates"]
    shard_size = statement.shard_size
    return [
        ("Model", statement.model_name),
        ("Format", f"OMS, signed by the method {about['method']}"),
        ("Files", f"{len(statement.files)}"),
        ("Digest", statement.algorithm),
        ("Shards", f"{shard_size:,} bytes" if shard_size else ""),
        ("Links", "followed" if statement.allow_symlinks else ""),
        ("Ignored", ", ".join(statement.ignore_paths)),
        ("Signer", f"{signers[0]} (claimed)" if signers else ""),
        ("Key hint", str(about["hint"])),
    ]


def bundled(data: bytes) -> "dict[str, Any]":
    """The same as fields, with the statement as it stands there."""
    import json

    from modelseal.oms import bundle, certificates

    opened = bundle.decode(data)
    return {
        "format": "oms",
        "method": opened.method,
        "hint": opened.hint,
        "certificates": [
            certificates.name(each) for each in certificates.load_der(opened.certificates)
        ],
        "statement": json.loads(opened.payload),
    }


def _time(value: "datetime") -> str:
    """As the document has it."""
    return value.isoformat().replace("+00:00", "Z")


def _fingerprint(public_key: str) -> str:
    from modelseal import keys
    from modelseal.errors import KeyLoadError

    try:
        return f"{keys.fingerprint(keys.load_embedded(public_key))} (embedded, never trusted)"
    except KeyLoadError as err:
        return f"unusable: {err}"


def message(text: str, *, tone: str = "", mark: str = "") -> None:
    """Write a line to standard error; there is nobody to tell if that fails.

    mark: what it begins with, in the colour of `tone` where colours are wanted.
    """
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"{_toned(tone, mark, sys.stderr) if mark else ''}{printable(text)}\n")
            sys.stderr.flush()
    except OSError:
        _silence(2)


def failure(text: str) -> None:
    """Something that could not be done, or not be judged."""
    message(f" {text}", tone=BAD, mark="error:")


def warning(text: str) -> None:
    """Something to know that changes nothing in the answer."""
    message(f" {text}", tone=DOUBTFUL, mark="warning:")


def hint(text: str) -> None:
    """The next thing to try."""
    message(f"hint: {text}")


def error(err: Exception, *, json: bool = False) -> None:
    """Say what stopped the work: two lines on standard error, or an object on standard output."""
    said, advice = describe(err), getattr(err, "hint", "")
    if json:
        reason = err.reason if isinstance(err, ModelSealError) else Reason.SYSTEM
        problem = {"message": said, **({"hint": advice} if advice else {})}
        document({"valid": False, "reason": reason, "errors": [problem]})
        return
    failure(said)
    if advice:
        hint(advice)


def describe(err: Exception) -> str:
    """An exception as one line."""
    if not isinstance(err, OSError) or isinstance(err, ModelSealError):
        return str(err)
    what = (err.strerror or str(err)).lower()
    notes = getattr(err, "__notes__", None)
    if notes:
        return f"{notes[0]}: {what}"
    return f"cannot use '{os.fsdecode(err.filename)}': {what}" if err.filename else what


def finish() -> OSError | None:
    """Flush standard output; return what kept results from being written, if anything did."""
    global _lost
    lost, _lost = _lost, None
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as err:
        lost = lost or err
    if lost is not None and sys.stdout is not None:
        _silence(1)
    return lost


def abandon() -> None:
    """Give up what is not written yet: who interrupts us must not wait for its reader."""
    with suppress(OSError):
        if sys.stdout is not None:
            _silence(sys.stdout.fileno())


def _silence(descriptor: int) -> None:
    # The interpreter flushes once more as it ends, and a failure then is an exit code of its own.
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@contextmanager
def progress(label: str, *, quiet: bool = False) -> "Iterator[Progress | None]":
    """A bar with rate and time left on standard error, if that is a terminal.

    quiet: none in any case.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    bar: Any = None
    start = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            waited = time.monotonic() - start
            if waited < _PATIENCE:
                return
            bar = _bar(label, waited)
        bar.total = total or None
        bar.update(done - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


def _bar(label: str, waited: float) -> "Any":
    from tqdm import tqdm

    columns = os.get_terminal_size(sys.stderr.fileno()).columns
    tqdm.monitor_interval = 0  # no thread of its own: a fork may follow
    bar = tqdm(
        desc=label,
        unit="B",
        unit_scale=True,
        leave=False,
        file=sys.stderr,
        # Room for the `^C` of a terminal, or it would push the bar to a second line.
        ncols=max(columns - 2, 0),
        bar_format=None if columns >= _NARROW else _NARROW_FORMAT,
        smoothing=0,  # the rate since the beginning, which was before the bar
        delay=waited,  # not drawn yet: whoever is interrupted now has nobody to clear it
    )
    bar.delay = 0
    bar.start_t -= waited
    bar.last_print_t -= waited
    return bar
