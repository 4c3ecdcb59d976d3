"""What hypothesis makes documents of, and ways of writing the same JSON differently."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st

from modelseal import (
    FileEntry,
    ModelManifest,
    Signature,
    SignatureAlgorithm,
    SignedManifest,
)

QUICK: Final = settings(derandomize=True, max_examples=120, deadline=None, database=None)
"""The same examples in every run, and few enough for every run."""

AWKWARD: Final = (
    "\x00\x01\b\t\n\f\r\x1b\x1f \"'\\/<&\x7f\x80\xa0é\u2028\u2029\ufeff\ufffd\uffff😀\U0010ffff"
)
"""Characters that JSON encoders write differently from each other."""

texts: Final = st.text(
    st.one_of(st.sampled_from(AWKWARD), st.characters(exclude_categories=["Cs"])), max_size=20
)

_ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)

times: Final = st.builds(
    lambda moment, whole: moment.replace(microsecond=0) if whole else moment,
    st.datetimes(timezones=st.one_of(st.none(), st.just(UTC), _ZONES)),
    st.booleans(),
)
"""With a zone and without one, with microseconds and without."""

_PARTS = (
    st.text(
        st.one_of(
            st.sampled_from(AWKWARD.translate({0: None, ord("/"): None, ord("\\"): None})),
            st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"),
        ),
        min_size=1,
        max_size=8,
    )
    .filter(lambda part: part not in (".", ".."))
    .filter(lambda part: not (len(part) == 2 and part[1] == ":"))
)

paths: Final = st.lists(_PARTS, min_size=1, max_size=3).map("/".join)
"""Paths that a manifest may name."""


def _fitting(candidates: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for path in candidates:
        if not any(f"{path}/".startswith(f"{other}/") for other in kept) and not any(
            other.startswith(f"{path}/") for other in kept
        ):
            kept.append(path)
    return kept


path_sets: Final = st.lists(paths, max_size=4).map(_fitting)
"""Paths that can stand beside each other in one tree, in any order."""

_DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def manifests(draw: st.DrawFn) -> ModelManifest:
    """Manifests of any content that a manifest may have."""
    files = [
        FileEntry(path=path, size_bytes=draw(st.integers(0, 2**60)), sha256_hash=draw(_DIGESTS))
        for path in draw(path_sets)
    ]
    return ModelManifest(
        model_name=draw(texts),
        model_version=draw(texts),
        framework=draw(texts),
        files=files,
        total_size_bytes=sum(entry.size_bytes for entry in files),
        created_at=draw(times),
        author=draw(texts),
        description=draw(texts),
    )


signed_manifests: Final = st.builds(
    SignedManifest,
    manifest=manifests(),
    signature=st.builds(
        Signature,
        algorithm=st.sampled_from(SignatureAlgorithm),
        public_key=texts,
        signature_hex=texts,
        signed_at=times,
        signer_id=texts,
    ),
)


def moment(time: datetime) -> str:
    """A time as the documents write it."""
    text = time.isoformat()
    return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text


def plain(manifest: ModelManifest) -> dict[str, object]:
    """A manifest as dicts, lists, strings and numbers, told field by field."""
    return {
        "model_name": manifest.model_name,
        "model_version": manifest.model_version,
        "framework": manifest.framework,
        "files": [
            {
                "path": entry.path,
                "size_bytes": entry.size_bytes,
                "sha256_hash": entry.sha256_hash,
            }
            for entry in manifest.files
        ],
        "total_size_bytes": manifest.total_size_bytes,
        "created_at": moment(manifest.created_at),
        "author": manifest.author,
        "description": manifest.description,
    }


def rewrite(value: object, source: random.Random) -> str:
    """JSON of the same content: other white space, order of keys and escapes."""
    blank = source.choice(["", "", " ", "\n", "\t \r\n"])
    if isinstance(value, dict):
        pairs = [f"{rewrite(key, source)}:{rewrite(each, source)}" for key, each in value.items()]
        source.shuffle(pairs)
        return f"{blank}{{{','.join(pairs) or blank}}}{blank}"
    if isinstance(value, list):
        return f"{blank}[{','.join(rewrite(each, source) for each in value) or blank}]{blank}"
    if isinstance(value, str):
        return f'{blank}"{"".join(_spell(character, source) for character in value)}"{blank}'
    return f"{blank}{json.dumps(value)}{blank}"


def _spell(character: str, source: random.Random) -> str:
    """One character as JSON may write it in a string."""
    ways = [json.dumps(character)[1:-1], json.dumps(character, ensure_ascii=False)[1:-1]]
    units = character.encode("utf-16-be").hex()
    escaped = "".join(rf"\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    ways += [escaped, escaped.replace("a", "A").replace("f", "F")]
    if character == "/":
        ways.append(r"\/")
    return source.choice(ways)
