"""Git repositories for tests, and what git says to a pre-push hook."""

import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from modelseal import ModelSigner, PublisherRegistry, TrustedPublisher
from modelseal.git import Objects, Repository
from modelseal.pushed import Push, Touched, Update
from tests.conftest import Keys, need

ZERO = "0" * 40
SIGNER = "alice@example.com"
WHO = ["-c", "user.name=Alice", "-c", "user.email=alice@example.com"]


class Repo:
    """A repository with a branch `main`, worked on by git itself."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *options)

    def git(self, *args: str | Path, stdin: bytes = b"", code: int = 0) -> str:
        """Run git; return what it printed, without the last newline."""
        done = subprocess.run(
            [need("git"), *WHO, *map(str, args)], cwd=self.path, input=stdin, capture_output=True
        )
        assert done.returncode == code, done.stderr.decode()
        return done.stdout.decode(errors="surrogateescape").removesuffix("\n")

    def write(self, files: dict[str, bytes]) -> None:
        """Write files of the work tree."""
        for name, data in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def commit(self, files: dict[str, bytes] | None = None) -> str:
        """Commit the work tree as it is, after writing `files`; return the commit."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a step")
        return self.git("rev-parse", "HEAD")

    def seal(self, keys: Keys, directory: str = "model", signer: str = SIGNER) -> None:
        """Sign a directory of the work tree."""
        model = self.path / directory
        signing = ModelSigner()
        signing.sign_model(model, keys.private.read_bytes(), signer, model / "signed_manifest.json")

    def survey(
        self, *updates: Update, remote: str = "origin", every: bool = False
    ) -> list[Touched]:
        """What a push of these would change."""
        repository = Repository.find(str(self.path))
        with Objects(repository) as objects:
            return Push(repository, objects, remote).survey(updates, every=every)


def update(new: str, old: str = ZERO, ref: str = "refs/heads/main") -> Update:
    """A ref that moves, by the same name on both sides."""
    return Update(ref, new, ref, old)


def lines(*updates: Update) -> bytes:
    """What git says of refs that move."""
    return "".join(" ".join(each) + "\n" for each in updates).encode(errors="surrogateescape")


def trust(path: Path, keys: Keys, signer: str = SIGNER) -> Path:
    """A registry that trusts one key for a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PublisherRegistry(path).add_publisher(
        TrustedPublisher(
            publisher_id=signer,
            name=signer,
            public_key=base64.b64encode(keys.public.read_bytes()).decode(),
            trusted_since=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )
    return path


def pointer(sha256: str, size: int) -> bytes:
    """A git-lfs pointer."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    )
