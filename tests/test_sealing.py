"""The signing flow: what a manifest says of a directory, and what is refused."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelseal import ModelManifest, ModelSigner, ModelVerifier, SignedManifest
from modelseal.errors import FormatError, ModelError, ModelSealError, OverwriteError, Reason
from tests.conftest import Keys, Result

Run = Callable[..., Result]

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345\n"


def manifest_of(root: Path, **options: Any) -> ModelManifest:
    """Describe a directory."""
    return ModelSigner().create_manifest(root, **options)


def named(manifest: ModelManifest) -> list[str]:
    """The paths that a manifest names."""
    return [entry.path for entry in manifest.files]


def put(root: Path, *paths: str, content: str = "x") -> None:
    """Make files, with their directories."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def test_a_manifest_says_what_is_there(model: Path) -> None:
    before = datetime.now(UTC)
    manifest = manifest_of(
        model,
        model_name="n",
        model_version="1.2",
        framework="onnx",
        author="A",
        description="é\n",
    )
    assert manifest.model_dump() == {
        "model_name": "n",
        "model_version": "1.2",
        "framework": "onnx",
        "files": [
            {
                "path": path,
                "size_bytes": (model / path).stat().st_size,
                "sha256_hash": hashlib.sha256((model / path).read_bytes()).hexdigest(),
            }
            for path in ["config.json", "empty.txt", "weights/model.bin"]
        ],
        "total_size_bytes": 21 + 2048,
        "created_at": manifest.created_at,
        "author": "A",
        "description": "é\n",
    }
    assert before <= manifest.created_at <= datetime.now(UTC)
    assert manifest.created_at.utcoffset() == timedelta(0)


def test_the_defaults_are_the_predecessors(model: Path) -> None:
    manifest = ModelSigner().create_manifest(str(model))
    said = manifest.model_dump()
    assert {name: said[name] for name in said if name not in ("files", "created_at")} == {
        "model_name": "model",
        "model_version": "0.0.0",
        "framework": "unknown",
        "total_size_bytes": 2069,
        "author": "",
        "description": "",
    }


@pytest.mark.parametrize("given", [".", "../model", "../model/", "../link", "./weights/.."])
def test_the_name_is_the_directorys(
    model: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (model.parent / "link").symlink_to("model")
    monkeypatch.chdir(model)
    expected = "link" if given == "../link" else "model"
    assert manifest_of(Path(given)).model_name == expected
    assert ModelSigner().create_manifest(given).model_name == expected


def test_entries_stand_in_the_order_of_their_paths(tmp_path: Path) -> None:
    paths = ["B", "a-b/c", "a.txt", "a/b/c", "a/z", "\U0001f600", "\uffff", "é"]
    put(tmp_path, *reversed(paths))
    assert named(manifest_of(tmp_path)) == sorted(paths)


def test_every_way_of_working_gives_the_same_entries(model: Path) -> None:
    plain = manifest_of(model)
    told: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as pool:
        for options in (
            {"jobs": 1},
            {"jobs": 3},
            {"executor": pool},
            {"progress": lambda *count: told.append(count)},
        ):
            assert manifest_of(model, **options).files == plain.files
    assert told[-1][0] == 2069
    assert {total for _, total in told} <= {0, 2069}


def test_what_is_left_out_is_left_out_at_the_root_alone(model: Path) -> None:
    left_out = [".git/config", ".modelseal/log", "signed_manifest.json", "model.sig"]
    kept = [*(f"weights/{path}" for path in left_out), ".gitattributes", ".cache/x"]
    before = named(manifest_of(model))
    put(model, *left_out, *kept)
    assert named(manifest_of(model)) == sorted([*before, *kept])


OUTPUTS = {
    # where the manifest will be: whether that is a file of the model
    "m.json": True,
    "weights/m.json": True,
    "../m.json": False,
    "../link/m.json": True,
    "weights/../m.json": True,
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_manifest_itself_is_left_out_where_it_is(
    model: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(model)
    (model.parent / "link").symlink_to("model")
    before = named(manifest_of(model))
    put(model, "m.json", "weights/m.json", "signed_manifest.json")
    left_out = os.path.relpath(os.path.realpath(output), model)
    everything = {*before, "m.json", "weights/m.json"}
    assert (left_out in everything) == OUTPUTS[output]
    for root in (model, Path(), Path("../link")):
        manifest = manifest_of(root, output=output)
        assert named(manifest) == sorted(everything - {left_out})
        assert named(manifest_of(root, output=model / output)) == named(manifest)


def test_a_link_in_the_manifests_place_is_left_out_not_its_target(model: Path) -> None:
    (model / "m.json").symlink_to("config.json")
    assert "config.json" in named(manifest_of(model, output=model / "m.json"))


def test_a_manifest_is_left_out_where_the_system_finds_it(model: Path) -> None:
    (model.parent / "else" / "where").mkdir(parents=True)
    (model.parent / "link").symlink_to("else/where")
    # That is else/model/config.json, and not the model's.
    output = model.parent / "link" / ".." / "model" / "config.json"
    assert "config.json" in named(manifest_of(model, output=output))


def test_what_another_signing_is_writing_is_no_file_of_the_model(
    model: Path, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelseal import manifestfiles

    def meanwhile(source: str, target: Path) -> None:
        assert Path(source).parent == model
        seen.append(named(manifest_of(model)))
        replace(source, target)

    seen: list[list[str]] = []
    replace = os.replace
    before = named(manifest_of(model))
    document = SignedManifest.model_validate_json(signed.read_bytes())
    monkeypatch.setattr(os, "replace", meanwhile)
    manifestfiles.save(document, signed)
    assert seen == [before]


def test_what_a_killed_signing_leaves_is_no_file_of_the_model(model: Path) -> None:
    before = named(manifest_of(model))
    left = ".signed_manifest.json.0123456789abcdef.tmp"
    put(model, left)
    assert named(manifest_of(model)) == before
    assert named(manifest_of(model, output=model / "signed_manifest.json")) == before
    others = [f"sub/{left}", left.replace("abcdef", "abcdeg"), left.replace("0", ""), f"{left}x"]
    put(model, *others)
    assert named(manifest_of(model)) == sorted([*before, *others])
    assert named(manifest_of(model, output="m.json")) == sorted([*before, *others, left])
    assert f"sub/{left}" not in named(manifest_of(model, output=model / "sub/signed_manifest.json"))


@pytest.mark.parametrize("given", ["weights", "./weights/", "weights//"])
def test_an_ignored_path_is_left_out_with_its_subtree(model: Path, given: str) -> None:
    put(model, "weights/a/b/c", "weights2/x", "sub/weights/x")
    expected = ["config.json", "empty.txt", "sub/weights/x", "weights2/x"]
    assert named(manifest_of(model, ignore_paths=[given])) == expected


def test_several_paths_are_ignored_and_none_need_exist(model: Path) -> None:
    os.mkfifo(model / "weights" / "fifo")
    ignored = ["empty.txt", "weights/fifo", "nothing"]
    expected = ["config.json", "weights/model.bin"]
    assert named(manifest_of(model, ignore_paths=ignored)) == expected


@pytest.mark.parametrize("given", ["/etc", "..", "a/../../b", "", ".", "a\\b"])
def test_an_ignored_path_lies_in_the_model(model: Path, given: str) -> None:
    with pytest.raises(FormatError):
        manifest_of(model, ignore_paths=[given])


# What is refused


def _no_such(root: Path) -> tuple[Path, str]:
    return root / "no", f"model directory '{root / 'no'}' does not exist"


def _a_file(root: Path) -> tuple[Path, str]:
    path = root / "config.json"
    return path, f"model directory '{path}' is not a directory"


def _empty(root: Path) -> tuple[Path, str]:
    (root / "void" / "in").mkdir(parents=True)
    return root / "void", f"model directory '{root / 'void'}' holds no file to sign"


def _fifo(root: Path) -> tuple[Path, str]:
    os.mkfifo(root / "weights" / "pipe")
    return root, "cannot sign 'weights/pipe': FIFO"


def _link(root: Path) -> tuple[Path, str]:
    (root / "link").symlink_to("config.json")
    return root, "cannot sign 'link': symbolic link"


def _pointer(root: Path) -> tuple[Path, str]:
    (root / "weights" / "model.bin").write_text(POINTER)
    return root, "'weights/model.bin' is a git-lfs pointer"


@pytest.mark.parametrize(
    "make", [_no_such, _a_file, _empty, _fifo, _link, _pointer], ids=lambda make: make.__name__
)
def test_what_cannot_be_signed_is_a_value_error(
    model: Path, make: Callable[[Path], tuple[Path, str]]
) -> None:
    root, said = make(model)
    with pytest.raises(ValueError) as caught:
        manifest_of(root)
    assert isinstance(caught.value, ModelError)
    assert caught.value.reason is Reason.MODEL
    assert str(caught.value) == said


def test_a_file_that_cannot_be_read_is_an_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> int:
        if os.fsdecode(path).endswith("model.bin"):
            raise PermissionError(13, "Permission denied")
        return make(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ModelSealError) as caught:
        manifest_of(model)
    assert caught.value.reason is Reason.FILE_UNREADABLE
    assert str(caught.value) == "cannot read 'weights/model.bin': permission denied"


# Links


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A model as the Hugging Face cache keeps it."""
    top = tmp_path / "models--org--name"
    root = top / "snapshots" / "1f2e3d"
    (root / "onnx").mkdir(parents=True)
    (top / "blobs").mkdir()
    for name, target in {"config.json": "../../blobs", "onnx/model.onnx": "../../../blobs"}.items():
        blob = hashlib.sha256(name.encode()).hexdigest()
        (top / "blobs" / blob).write_text(f"content of {name}")
        (root / name).symlink_to(f"{target}/{blob}")
    return root


def test_a_snapshot_is_recognised_in_the_hint(snapshot: Path) -> None:
    with pytest.raises(ModelError, match="symbolic link") as caught:
        manifest_of(snapshot)
    assert caught.value.hint == (
        "this looks like a Hugging Face snapshot: '--follow-symlinks' takes its links as the files"
    )


def test_a_snapshot_is_signed_as_the_files_it_shows(snapshot: Path, tmp_path: Path) -> None:
    warnings: list[str] = []
    manifest = manifest_of(snapshot, follow_symlinks=True, warn=warnings.append)
    assert {entry.path: (entry.size_bytes, entry.sha256_hash) for entry in manifest.files} == {
        name: (len(text), hashlib.sha256(text.encode()).hexdigest())
        for name in ["config.json", "onnx/model.onnx"]
        for text in [f"content of {name}"]
    }
    assert warnings == [
        f"'{name}' leads out of the model, to '{(snapshot / name).readlink()}'"
        for name in ["config.json", "onnx/model.onnx"]
    ]
    # What has no links any more is the same model.
    copy = tmp_path / "copy"
    for name in named(manifest):
        put(copy, name, content=(snapshot / name).read_text())
    assert ModelVerifier().verify_files(copy, manifest) == [
        ("config.json", True),
        ("onnx/model.onnx", True),
    ]


def test_a_snapshot_from_the_command_line(snapshot: Path, keys: Keys, run: Run) -> None:
    sign = ["sign", "--model-dir", snapshot, "--key", keys.private, "--signer-id", "a"]
    done = run(*sign)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: cannot sign 'config.json': symbolic link\n"
        "hint: this looks like a Hugging Face snapshot: '--follow-symlinks' takes its links as "
        "the files\n"
    )
    done = run(*sign, "--follow-symlinks")
    assert done.code == 0
    assert done.err.count("warning: ") == 2
    verify = ["verify", "--manifest", snapshot / "signed_manifest.json", "--key", keys.public]
    assert run(*verify, "--model-dir", snapshot).code == 2
    assert run(*verify, "--model-dir", snapshot, "--follow-symlinks").code == 0
    blob = (snapshot / "config.json").resolve()
    blob.write_text("content of Config.json")
    done = run(*verify, "--model-dir", snapshot, "--follow-symlinks")
    assert done.code == 2
    assert "  [FAIL] config.json" in done.out.splitlines()


def test_a_link_within_the_model_is_followed_without_a_warning(model: Path) -> None:
    (model / "link").symlink_to("weights/model.bin")
    warnings: list[str] = []
    manifest = manifest_of(model, follow_symlinks=True, warn=warnings.append)
    digests = {entry.path: entry.sha256_hash for entry in manifest.files}
    assert digests["link"] == digests["weights/model.bin"]
    assert warnings == []


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("weights", "symbolic link to a directory"),
        ("nowhere", "symbolic link that leads nowhere"),
        ("link", "symbolic link that leads nowhere"),
        ("/dev/zero", "symbolic link to a character device"),
    ],
)
def test_other_links_are_never_followed(model: Path, target: str, kind: str) -> None:
    (model / "link").symlink_to(target)
    for follow in (False, True):
        with pytest.raises(ModelError) as caught:
            manifest_of(model, follow_symlinks=follow)
        assert (str(caught.value), caught.value.hint) == (f"cannot sign 'link': {kind}", "")


# The command


def test_signing_again_names_the_same_files(model: Path, keys: Keys, run: Run) -> None:
    sign = ["sign", "--model-dir", model, "--key", keys.private, "--signer-id", "a"]
    manifests = []
    for options in ([], [], ["--output", str(model / "weights" / "m.json")]):
        done = run(*sign, *options)
        assert (done.code, done.err) == (0, "")
        path = Path(options[-1]) if options else model / "signed_manifest.json"
        manifests.append(SignedManifest.model_validate_json(path.read_bytes()).manifest)
    assert manifests[0].files == manifests[1].files == manifests[2].files
    assert sorted(os.listdir(model)) == [
        ".modelseal",
        "config.json",
        "empty.txt",
        "signed_manifest.json",
        "weights",
    ]
    assert sorted(os.listdir(model / "weights")) == ["m.json", "model.bin"]


def test_what_is_written_is_one_readable_document(model: Path, keys: Keys, run: Run) -> None:
    before = os.umask(0o022)
    try:
        done = run(
            "sign",
            "--model-dir",
            model,
            "--key",
            keys.private,
            "--signer-id",
            "a@b.c",
            "--description",
            "d",
            "--author",
            "x",
            "--no-store",
        )
    finally:
        os.umask(before)
    path = model / "signed_manifest.json"
    assert done.out == (
        f"Signed manifest written to: {path}\n"
        "  Files    : 3\n"
        "  Total    : 2,069 bytes\n"
        "  Signer   : a@b.c\n"
        "  Algorithm: ed25519\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    text = path.read_text()
    assert text.endswith("}\n")
    document = json.loads(text)
    assert list(document) == ["manifest", "signature"]
    assert document["manifest"]["description"] == "d"
    assert document["signature"]["signer_id"] == "a@b.c"


@pytest.mark.parametrize("output", ["config.json", "weights", "weights/model.bin", "fifo"])
def test_the_output_never_replaces_anything_else(
    model: Path, keys: Keys, run: Run, output: str
) -> None:
    os.mkfifo(model.parent / "fifo")
    path = model.parent / "fifo" if output == "fifo" else model / output
    before = path.stat()
    done = run(
        "sign", "--model-dir", model, "--key", keys.private, "--signer-id", "a", "--output", path
    )
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: '{path}' exists and is not a signed manifest\n"
        "hint: name another file with '--output'\n"
    )
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_output_never_replaces_a_link(model: Path, signed: Path, keys: Keys, run: Run) -> None:
    link = model.parent / "current.json"
    link.symlink_to(signed)
    before = signed.read_bytes()
    args = ["--model-dir", model, "--key", keys.private, "--signer-id", "a", "--output", link]
    done = run("sign", *args)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: '{link}' is a symbolic link, and would be replaced\nhint: ")
    assert link.is_symlink()
    assert signed.read_bytes() == before


def test_an_output_without_a_directory_is_refused_before_the_work(
    model: Path, keys: Keys, run: Run
) -> None:
    path = model.parent / "no" / "m.json"
    done = run(
        "sign", "--model-dir", model, "--key", keys.private, "--signer-id", "a", "--output", path
    )
    assert done == (1, "", f"error: cannot write '{path}': no such file or directory\n")


def test_saving_is_refused_where_something_came_up_meanwhile(model: Path, signed: Path) -> None:
    from modelseal import manifestfiles

    document = SignedManifest.model_validate_json(signed.read_bytes())
    with pytest.raises(OverwriteError):
        manifestfiles.save(document, model / "config.json")
    assert (model / "config.json").read_text() == '{"vocab_size": 32000}'
