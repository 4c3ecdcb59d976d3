# PYTHON_ARGCOMPLETE_OK
"""The command line: one table of commands, and the one place where errors become exit codes."""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from modelseal import __version__, output
from modelseal.errors import (
    EXIT_CODES,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ModelSealError,
    UsageError,
)

TYPE_CHECKING = False  # typing itself would cost every command its import
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from types import FrameType, ModuleType
    from typing import NoReturn

COMMANDS = {
    "keygen": "make a key pair",
    "key": "look at a key file, or change its passphrase",
    "sign": "sign a model directory",
    "verify": "check a signature, and a model against it",
    "inspect": "show what a signed manifest says",
    "trust": "say who is trusted, and whose trust has ended",
    "cosign": "add a further signature to a signed manifest",
    "init": "make a store, which remembers what was signed",
    "status": "show what changed in a model since its latest seal",
    "log": "show the seals of a store, newest first",
    "show": "show one sealed model",
    "ls": "list the files of a sealed model",
    "diff": "compare a sealed model with another, or with a directory",
    "refs": "list the models and versions of a store",
    "identify": "find the sealed models that a file belongs to",
    "hook": "have git judge what you push",
    "fsck": "check a store, and mend what can be",
    "gc": "remove what a store has no use for",
    "doctor": "look whether everything is in order here",
    "config": "show what is set in the environment and in files",
    "completion": "print the completion script for a shell",
}
"""Command → what it does. Its module, `modelseal.commands.<command>`, is loaded when asked for.

A module that has `COMMANDS` of its own is a group: what is typed next names one of them.
"""

_PROGRAMS = ("modelseal", "aumai-modelseal")
_JSON_FLAGS = frozenset({"--json", "--json-output"})
_WIDEST = 100
_NARROWEST = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, or end the process where that is ours."""
    code = _main(sys.argv[1:] if argv is None else list(argv), ours=argv is None)
    if argv is None and _is_program():
        # What is left is to take everything apart, and that takes long for a small command.
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        os._exit(code)
    return code


def _is_program() -> bool:
    """Whether nobody but us runs in this process: no caller, no debugger, no profiler."""
    if sys.gettrace() or sys.getprofile() or sys.flags.interactive:
        return False
    path = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    ours = os.path.join(os.path.dirname(__file__), "__main__.py")
    return os.path.basename(path) in _PROGRAMS or path == ours


def _main(arguments: list[str], *, ours: bool) -> int:
    _prepare()
    # Nothing here makes cycles worth collecting, and a million entries make looking for them slow.
    collecting = gc.isenabled()
    gc.disable()
    try:
        code = _guarded(arguments)
        lost = output.finish()
    except KeyboardInterrupt:
        if ours:  # a program that calls us keeps its standard output
            output.abandon()
        return EXIT_INTERRUPTED
    except _Terminated as err:
        # Everything was put away on the way here; now end as the sender meant.
        signal.signal(err.number, signal.SIG_DFL)
        os.kill(os.getpid(), err.number)
        raise
    finally:
        if collecting:
            gc.enable()
    if lost is None:
        return code
    if not isinstance(lost, BrokenPipeError):
        output.failure(f"cannot write standard output: {output.describe(lost)}")
    return code or EXIT_ERROR


def _guarded(arguments: list[str]) -> int:
    try:
        return _dispatch(arguments)
    except (ModelSealError, OSError) as err:
        failure: Exception = err
    except MemoryError:
        failure = ModelSealError("out of memory")
    except Exception as err:
        if "MODELSEAL_DEBUG" in os.environ:
            raise
        failure = ModelSealError(
            f"unexpected {type(err).__name__}: {err}",
            hint="this is a bug; with MODELSEAL_DEBUG=1 it shows where",
        )
    output.error(failure, json=not _JSON_FLAGS.isdisjoint(arguments))
    return failure.exit_code if isinstance(failure, ModelSealError) else EXIT_ERROR


def _dispatch(arguments: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:
        from modelseal import completing

        completing.complete(COMMANDS, _load)
    if not arguments:
        raise UsageError("no command", hint="'modelseal --help' lists them")
    first, *rest = arguments
    if first in ("-h", "--help"):
        output.lines(_help())
        return EXIT_OK
    if first == "--version":
        output.line(f"modelseal {__version__}")
        return EXIT_OK
    if first == "--makefile":
        from modelseal import shared

        output.line(shared.makefile())
        return EXIT_OK
    _refuse_unknown_command(first, [*COMMANDS, "--help", "--version", "--makefile"], "modelseal")
    module = _load(first)
    if hasattr(module, "COMMANDS"):
        return _dispatch_in(first, module, rest)
    return _run(first, module, rest)


def _dispatch_in(group: str, module: "ModuleType", arguments: list[str]) -> int:
    program = f"modelseal {group}"
    if not arguments:
        raise UsageError(f"no command after '{group}'", hint=f"'{program} --help' lists them")
    first, *rest = arguments
    if first in ("-h", "--help"):
        output.lines(_group_help(program, module))
        return EXIT_OK
    _refuse_unknown_command(first, [*module.COMMANDS, "--help"], program)
    name = f"{group} {first}"
    return _run(name, _load(name), rest)


def _refuse_unknown_command(word: str, known: list[str], program: str) -> None:
    if word in known:
        return
    kind = "option" if word.startswith("-") else "command"
    raise UsageError(
        f"unknown {kind} '{word}'",
        hint=_nearest(word, known) or f"'{program} --help' lists the commands",
    )


def _run(name: str, module: "ModuleType", arguments: list[str]) -> int:
    parser = _parser(name, module)
    _refuse_unknown_options(arguments, parser)
    try:
        args = parser.parse_args(arguments)
    except SystemExit:
        return EXIT_OK  # help was printed; errors raise UsageError
    code: int = module.run(args)
    return code


def _refuse_unknown_options(arguments: Sequence[str], parser: "ArgumentParser") -> None:
    """Before argparse, which would rather complain of what is missing."""
    known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001
    for argument in arguments:
        if argument == "--":
            break  # what follows is no option, whatever it begins with
        option = argument.partition("=")[0]
        # What has a blank in it is a value to argparse, whatever it begins with.
        if option[:1] == "-" != option and " " not in option and option not in known:
            raise UsageError(
                f"unknown option '{option}'",
                hint=_nearest(option, known) or f"'{parser.prog} --help' lists the options",
            )


def _load(name: str) -> "ModuleType":
    """The module of a command; one of a group is named with it, as it is typed."""
    from importlib import import_module
    from keyword import iskeyword

    parts = [f"{word}_" if iskeyword(word) else word for word in name.split()]
    return import_module(".".join(["modelseal.commands", *parts]))


def _parser(name: str, module: "ModuleType") -> "ArgumentParser":
    from argparse import ArgumentParser, HelpFormatter

    class Formatter(HelpFormatter):
        def _fill_text(self, text: str, width: int, indent: str) -> str:
            # The description is wrapped, the examples are not.
            return text if text.startswith("examples:") else super()._fill_text(text, width, indent)

    class Parser(ArgumentParser):
        def error(self, message: str) -> "NoReturn":
            raise UsageError(message, hint=f"'modelseal {name} --help' says more")

        def _print_message(self, message: str, file: object = None) -> None:
            output.lines(message.rstrip("\n"))

    def formatter(prog: str) -> HelpFormatter:
        # Without a width argparse loads shutil to find one.
        return Formatter(prog, max_help_position=28, width=_width())

    parser = Parser(
        prog=f"modelseal {name}",
        description=module.DESCRIPTION,
        epilog=f"examples:\n{_indented(module.EXAMPLES)}",
        formatter_class=formatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    return parser


def _group_help(program: str, module: "ModuleType") -> str:
    from textwrap import fill

    return f"""\
usage: {program} COMMAND [OPTION ...]

{fill(module.DESCRIPTION, _width())}

commands:
{_listed(module.COMMANDS)}

options:
  -h, --help  show this help; '{program} COMMAND --help' shows a command's

examples:
{_indented(module.EXAMPLES)}"""


def _listed(commands: dict[str, str]) -> str:
    width = max(map(len, commands)) + 1
    return "\n".join(f"  {name:<{width}} {summary}" for name, summary in commands.items())


def _indented(examples: str) -> str:
    return "\n".join(f"  {line}" for line in examples.splitlines())


def _help() -> str:
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())
    return f"""\
usage: modelseal COMMAND [OPTION ...]

Sign machine-learning models, and check who signed them and that every byte
is as signed.

commands:
{_listed(COMMANDS)}

options:
  -h, --help  show this help; 'modelseal COMMAND --help' shows a command's
  --version   show the version
  --makefile  show where the makefile for models is, to include

exit codes:
{codes}

examples:
  modelseal keygen --output keys
  modelseal sign --model-dir my-model --key keys/private.pem \\
      --signer-id alice@example.com
  modelseal verify --manifest my-model/signed_manifest.json \\
      --key keys/public.pem --model-dir my-model"""


def _nearest(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(word, known, n=1)
    return f"did you mean '{found[0]}'?" if found else ""


def _width() -> int:
    try:
        columns = int(os.environ.get("COLUMNS", "")) or _WIDEST
    except ValueError:
        try:
            columns = os.get_terminal_size().columns
        except OSError:
            columns = 80
    return max(_NARROWEST, min(columns, _WIDEST)) - 2


class _Terminated(BaseException):
    """A signal that ends us asks for the same care as Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _prepare() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed: a file of ours must not get this number, and then be taken for the terminal.
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        # A notebook's streams, and those of a test, are not files.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with suppress(ValueError):  # signals are the main thread's alone
        if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or we could not bury our workers
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _terminate)


def _terminate(number: int, frame: "FrameType | None") -> "NoReturn":
    raise _Terminated(number)


if __name__ == "__main__":
    sys.exit(main())
