"""The threats, by number: each has a test whose name says so, `test_row_07_…` or `test_07_…`."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.test_layers import PACKAGE


class Block(NamedTuple):
    """Threats to one part of the program.

    part: what has to be in the package for them; they are due from the day it is.
    rows: number → what somebody does.
    """

    part: str
    rows: dict[str, str]


THREATS: Final = {
    "the model directory": Block(
        "tree.py",
        {
            "01": "a file's content is altered, cut short, or replaced by another of its size",
            "02": "a signed file is removed, or swapped with its neighbour",
            "03": "a file is added",
            "04": "a file is replaced by a directory, FIFO, socket, device or link",
            "05": "a directory is replaced by a link",
            "06": "a file changes while it is read",
            "07": "a file or directory can't be read, or vanishes",
            "08": "names are no UTF-8, steer a terminal, or are as long as can be",
            "09": "the model is empty, very large, very deep, or of very many files",
            "10": "a git-lfs pointer stands where content should be",
        },
    ),
    "the manifest": Block(
        "canonical.py",
        {
            "11": "a path leaves the model, or means another on another system",
            "12": "two paths are one, or one is a file and a directory",
            "13": "a digest, a size or the total is of the wrong form, or doesn't fit",
            "13a": "a time makes no sense",
            "14": "the JSON is malformed, ambiguous or huge",
            "15": "a field is changed",
            "16": "the same content is written differently",
            "17": "an old manifest is put back, or a version gets other content",
        },
    ),
    "keys and signatures": Block(
        "signatures.py",
        {
            "18": "the key, the embedded key or the signer's name is replaced",
            "19": "the algorithm or the kind of key is another",
            "20": "the signature is damaged, or encoded otherwise",
            "21": "the key is a weak point, or not in canonical form",
            "22": "the key is encrypted, and nobody can be asked",
            "23": "keys would be overwritten, or half written",
            "24": "a private key can be read by others",
            "25": "the registry doesn't know the publisher, or is damaged",
        },
    ),
    "the store and the machine": Block(
        "store",
        {
            "26": "a writer is killed at any moment",
            "26a": "the power is cut",
            "27": "a write fails: no space, no rights, no descriptors",
            "28": "many write at once",
            "29": "anything in the store is damaged",
            "30": "the index is an attacker's",
            "31": "the store is a link, a file, somebody else's or read-only",
            "32": "signals, closed or full output, no home, no terminal, no directory",
        },
    ),
    "the git hook": Block(
        "pushed.py",
        {
            "33": "new branches, deletions, tags, force pushes, nothing to push",
            "34": "a pushed commit holds an altered, unsigned or untrusted model",
            "35": "hooks, work trees, bare repositories and refs of every kind",
        },
    ),
    "bundles of OpenSSF Model Signing": Block(
        "oms",
        {
            "36": "what is done to a model or a manifest is done to a bundle",
            "37": "the envelope, statement or material is of another type",
            "38": "a certificate is expired, of another root, or for another use",
            "39": "shards are missing, overlap, or end elsewhere",
            "40": "the bundle itself says what to ignore or to follow",
        },
    ),
}

_NAME = re.compile(r"test_(?:row_)?([0-9]{2}a?)_")


@cache
def named_after_rows() -> dict[str, list[str]]:
    """Number → the tests that are named after it."""
    found = defaultdict(list)
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                named = _NAME.match(node.name)
                assert named or not node.name.startswith("test_row_"), node.name
                if named:
                    found[named[1]].append(f"{path.name}::{node.name}")
    return found


def test_the_list_is_whole() -> None:
    rows = [row for block in THREATS.values() for row in block.rows]
    assert rows == sorted({*(f"{number:02}" for number in range(1, 41)), "13a", "26a"})


@pytest.mark.parametrize("title", THREATS)
def test_every_row_has_a_test(title: str) -> None:
    part, rows = THREATS[title]
    tested = rows.keys() & named_after_rows().keys()
    if (PACKAGE / part).exists() or tested:
        assert tested == rows.keys(), f"no test for {sorted(rows.keys() - tested)}"


def test_no_test_is_named_after_a_row_that_is_not_listed() -> None:
    rows = {row for block in THREATS.values() for row in block.rows}
    assert named_after_rows().keys() <= rows


def test_what_the_program_has_is_due() -> None:
    due = {title for title, block in THREATS.items() if (PACKAGE / block.part).exists()}
    assert due >= {*list(THREATS)[:4]}
