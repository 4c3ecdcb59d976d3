"""What may follow at a Tab: commands, options, and what `offers` has for their values.

What can't be read offers nothing: a Tab is no place for errors.
"""

import os
from argparse import Action, ArgumentParser, HelpFormatter, Namespace
from collections.abc import Callable, Mapping, Sequence

from modelseal import offers
from modelseal.errors import ModelSealError

TYPE_CHECKING = False  # typing itself would cost every Tab its import
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

OPTIONS = {"--version": "show the version", "--makefile": "show where the makefile for models is"}
"""What modelseal takes before a command, beside `--help`."""


def complete(commands: Mapping[str, str], load: "Callable[[str], ModuleType]") -> None:
    """Answer a Tab, and end the process. Only the command that is being typed is loaded.

    load: a command's name, after its group's where it is in one → its module.
    """
    from argcomplete.finders import CompletionFinder
    from argcomplete.lexers import split_line

    class Finder(CompletionFinder):
        def quote_completions(self, words: list[str], quote: str, cut: int | None) -> list[str]:
            if os.environ.get("_ARGCOMPLETE_SHELL") == "zsh":
                # Zsh quotes by itself, once it has told a word from what is said of it.
                self._display_completions = {
                    _escaped(word): said for word, said in self._display_completions.items()
                }
                return [_escaped(word) for word in words]
            # Bash takes the word to begin after the last `:` or `=`, but with the last `@`.
            if cut is not None and all(word[cut : cut + 1] == "@" for word in words):
                cut -= 1
            return super().quote_completions(words, quote, cut)

    line = os.environ.get("COMP_LINE", "")
    point = os.environ.get("COMP_POINT", "")
    # The word at the cursor is still being typed: it chooses no command.
    typed = split_line(line, int(point) if point.isdecimal() else None)[3][1:]
    parser, depth = _parser(commands, load, typed)
    os.environ["_ARGCOMPLETE"] = str(int(os.environ["_ARGCOMPLETE"]) + depth)
    positional = any(not action.option_strings for action in parser._actions)  # noqa: SLF001
    # Options where nothing else could come; else names would drown in them.
    always: bool | str = False if positional else "long"
    offering: Any = _Offering()  # its base class would be argcomplete's
    Finder()(parser, always_complete_options=always, default_completer=offering)


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace(":", r"\:")


def _parser(
    commands: Mapping[str, str], load: "Callable[[str], ModuleType]", typed: Sequence[str]
) -> tuple[ArgumentParser, int]:
    """A parser for what comes next, and after how many words it takes over."""
    names: list[str] = []
    for word in typed:
        if word not in commands:
            return ArgumentParser(prog="modelseal", add_help=False), len(names)
        names.append(word)
        module = load(" ".join(names))
        if not hasattr(module, "COMMANDS"):
            name = " ".join(names)
            parser = ArgumentParser(prog=name, allow_abbrev=False, formatter_class=_formatter)
            module.add_arguments(parser)
            return parser, len(names)
        commands = module.COMMANDS
    parser = ArgumentParser(allow_abbrev=False, formatter_class=_formatter)
    if not names:
        for option, said in OPTIONS.items():
            parser.add_argument(option, action="store_true", help=said)
    action = parser.add_argument("command", choices=commands)
    action.completer = lambda **_: commands  # type: ignore[attr-defined]
    return parser, len(names)


def _formatter(prog: str) -> HelpFormatter:
    # Without a width argparse loads shutil to find one.
    return HelpFormatter(prog, width=80)


class _Offering:
    """Finds the values for an argument by what it is called."""

    def __call__(
        self, prefix: str, action: Action, parser: ArgumentParser, parsed_args: Namespace
    ) -> offers.Offers:
        try:
            found = offers.kind_of(action, parser.prog)(prefix, parsed_args)
            # A terminal must not act on names from outside, nor a parser take them for options.
            fit = [word for word in found if word.isprintable() and word[:1] != "-"]
        except (OSError, ValueError, ModelSealError):
            return ()
        return {word: found[word] for word in fit} if isinstance(found, Mapping) else fit
