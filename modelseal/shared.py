"""Files that are installed beside the package, below the environment's `share/`."""

import os

from modelseal.errors import ModelSealError

COMPLETIONS = {
    "bash": ("modelseal.bash", "bash-completion/completions/modelseal"),
    "zsh": ("_modelseal", "zsh/site-functions/_modelseal"),
    "fish": ("modelseal.fish", "fish/vendor_completions.d/modelseal.fish"),
}
"""Shell → its file in completions/ of a checkout, and below share/."""

MAKEFILE = "modelseal/modelseal.mk"
"""Below share/."""

_HEIGHT = 4
"""From prefix/lib/pythonX.Y/site-packages up to prefix, itself counted."""


def completion(shell: str) -> str:
    """Where the completion script for a shell is. Raises ModelSealError where it isn't."""
    ours, installed = COMPLETIONS[shell]
    checkout = os.path.join(os.path.dirname(_package()), "completions", ours)
    return _first([checkout, *_below_share(installed)])


def makefile() -> str:
    """Where the makefile for models is. Raises ModelSealError where it isn't."""
    return _first([*_below_share(MAKEFILE), os.path.join(_package(), "modelseal.mk")])


def _package() -> str:
    return os.path.dirname(os.path.abspath(__file__))


def _below_share(path: str) -> list[str]:
    """Every place where an installation that holds this package may have put a file."""
    found = []
    directory = os.path.dirname(_package())
    for _ in range(_HEIGHT):
        found.append(os.path.join(directory, "share", path))
        directory = os.path.dirname(directory)
    return found


def _first(places: list[str]) -> str:
    for place in places:
        if os.path.isfile(place):
            return place
    raise ModelSealError(
        f"'{os.path.basename(places[-1])}' is not installed beside '{_package()}'",
        hint="install modelseal with pip, which puts it below share/",
    )
