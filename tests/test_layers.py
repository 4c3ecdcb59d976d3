"""The house: a room imports what stands below it, or left of it on its own level."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelseal

PACKAGE = Path(modelseal.__file__).parent

# From the ground up; on a level from left to right.
LEVELS = {
    "ground": ["errors", "fileio"],
    "core": [
        "paths",
        "documents",
        "structs",
        "canonical",
        "openssh",
        "pem",
        "keys",
        "signatures",
        "publishers",
        "allowed_signers",
        "oms",
        "diff",
        "lfs",
    ],
    "answers": ["report"],
    "rooms": [
        *[
            "tree",
            "oddities",
            "workers",
            "digests",
            "runners",
            "outcomes",
            "hashing",
            "keyfiles",
            "manifestfiles",
            "settings",
        ],
        *["store", "trust", "levels", "keyless", "git", "history", "pushed", "hooks"],
    ],
    "flows": [
        *["cosigning", "surveying", "sealing", "bundling", "prechecking", "comparing", "judging"],
        *["opening", "verifying", "gating", "checkup"],
    ],
    "roof": [
        *["output", "rendering", "prompts", "owning", "defaults", "arguments"],
        *["operands", "means", "registries"],
        *["shared", "offers", "completing", "commands", "cli", "__main__"],
    ],
}
ORDER = [room for rooms in LEVELS.values() for room in rooms]
STORE = [
    *[
        "records",
        "layout",
        "lock",
        "log",
        "manifests",
        "refs",
        "index",
        "measuring",
        "statcache",
        "status",
    ],
    *["adding", "identifying", "verified", "cosigned", "mending", "collecting", "checking"],
]
"""The parts of the store, from left to right; its `__init__` loads them when they are used."""

OMS = [
    "terms",
    "dsse",
    "lenient",
    "bundle",
    "shards",
    "outline",
    "statement",
    "ecdsa",
    "certificates",
]

EVERYWHERE = "__init__"  # the version and the public names, loaded on first use
PURE = {*LEVELS["core"], *LEVELS["answers"]}
IMPURE_MODULES = {
    "os",
    "io",
    "sys",
    "pathlib",
    "time",
    "subprocess",
    "socket",
    "shutil",
    "tempfile",
}


def room_of(path: Path) -> str:
    """The room that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def rooms_imported(path: Path) -> Iterator[str]:
    """Every room of ours that a file imports."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "modelseal" and len(parts) > 1:
            yield parts[1]


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_a_room() -> None:
    assert {room_of(path) for path in FILES} == {*ORDER, EVERYWHERE}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_or_left(path: Path) -> None:
    room = room_of(path)
    if room == EVERYWHERE:
        return
    for imported in rooms_imported(path):
        if imported not in ORDER:
            continue  # a name of the package itself, such as __version__
        if imported == room in ("store", "oms"):
            continue  # has its own order
        assert ORDER.index(imported) < ORDER.index(room), f"{room} imports {imported}"


def test_the_stores_parts_import_to_the_left() -> None:
    paths = {path.stem: path for path in (PACKAGE / "store").glob("*.py")}
    assert {*STORE, EVERYWHERE} == set(paths)
    for part in STORE:
        for name in imports(paths[part]):
            word = name.removeprefix("modelseal.store.").partition(".")[0]
            if name.startswith("modelseal.store.") and word in STORE:
                assert STORE.index(word) < STORE.index(part), f"{part} imports {word}"


def test_the_parts_of_oms_import_to_the_left() -> None:
    paths = {path.stem: path for path in (PACKAGE / "oms").glob("*.py")}
    assert {*OMS, EVERYWHERE} == set(paths)
    for part in OMS:
        for name in imports(paths[part]):
            word = name.removeprefix("modelseal.oms.").partition(".")[0]
            if name.startswith("modelseal.oms.") and word in OMS:
                assert OMS.index(word) < OMS.index(part), f"{part} imports {word}"


def test_the_store_loads_no_cryptography() -> None:
    for path in (PACKAGE / "store").glob("*.py"):
        assert not {"keys", "signatures", "keyfiles", "trust"} & set(rooms_imported(path)), path


def test_commands_never_import_each_other() -> None:
    paths = list((PACKAGE / "commands").rglob("*.py"))
    for path in paths:
        for name in imports(path):
            assert not name.startswith("modelseal.commands"), f"{path.stem} imports {name}"
    assert PACKAGE / "commands" / "sign.py" in paths


@pytest.mark.parametrize("room", sorted(PURE))
def test_the_core_is_pure(room: str) -> None:
    files = [path for path in FILES if room_of(path) == room]
    used = {name.split(".")[0] for path in files for name in imports(path)}
    assert files
    assert not used & IMPURE_MODULES, f"{room} touches the world"


def test_only_the_roof_prints_or_reads_the_environment() -> None:
    for path in FILES:
        if room_of(path) in LEVELS["roof"]:
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Name) and node.id in {"print", "input"}), path
            assert not (
                isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
            ), path
