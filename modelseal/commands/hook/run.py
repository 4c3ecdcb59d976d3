"""Judge a push."""

import os
import sys
from argparse import ArgumentParser, Namespace

from modelseal import arguments, hooks, output, rendering
from modelseal.errors import EXIT_OK
from modelseal.git import Objects, Repository

TYPE_CHECKING = False  # typing itself would cost every push its import
if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelseal.gating import Judgement
    from modelseal.pushed import Place, Touched
    from modelseal.report import Report

DESCRIPTION = """\
Judge what a push would send; git gives the refs on standard input. Each directory with a signed
manifest that the push changes is held to what was signed, file by file, and its signer must be
trusted. Exit code 0: the push may go on; 2: not verified; 1: could not tell."""

EXAMPLES = """\
modelseal hook run pre-push origin https://example.com/models.git
echo HEAD $(git rev-parse HEAD) main $(git rev-parse origin/main) |
    modelseal hook run pre-push origin"""


def add_arguments(parser: ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("hook", choices=[hooks.NAME], help="which of git's hooks this is")
    parser.add_argument("remote", metavar="REMOTE", nargs="?", default="", help="where to")
    parser.add_argument("url", metavar="URL", nargs="?", default="", help="its address")
    parser.add_argument(
        "--require",
        choices=hooks.REQUIRE,
        help="signed: weights lie in sealed directories; any: what is sealed holds "
        "(default: modelseal.hook.require of git, else hook.require of config.toml, else signed)",
    )
    parser.add_argument(
        "--check",
        choices=hooks.CHECK,
        help="tip: the commit that each ref will point to; every: each new commit too "
        "(default: modelseal.hook.check of git, else hook.check of config.toml, else tip)",
    )
    parser.add_argument(
        "--registry",
        metavar="FILE",
        help="trusted publishers (default: modelseal.hook.registry of git, else those of the user "
        "and of a store that is named)",
    )
    arguments.add_store(parser)
    parser.add_argument("--quiet", action="store_true", help="print only what is wrong")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Judge, print, and let the worst of it be the exit code."""
    # A push sends what a graft hides. Of a file that is there, git would say that it is outdated.
    os.environ["GIT_GRAFT_FILE"] = os.path.join(os.devnull, "none")
    repository = Repository.find()
    given = {"require": args.require, "check": args.check, "registry": args.registry}
    told = {name: value for name, value in given.items() if value is not None}
    policy = arguments.find_policy(args, repository, told)
    if args.registry is None and policy.registry:
        # What git's configuration says is meant from the top, as git takes its own paths.
        path = os.path.expanduser(policy.registry)
        args.registry = os.path.join(repository.directory, path)
    from modelseal import pushed

    updates = pushed.parse(_lines(repository))
    judgements: Sequence[Judgement] = []
    code = EXIT_OK
    with Objects(repository) as objects, output.progress("hashing") as progress:
        push = pushed.Push(repository, objects, args.remote)
        every = policy.check == "every"
        touched = push.survey(updates, every=every, watch=_in_work_tree(args, repository.directory))
        if any(item.kind != pushed.WATCHED for item in touched):
            from modelseal import gating  # loads cryptography

            judgements = gating.judge(
                push,
                touched,
                lambda: arguments.find_trust(args, start=repository.directory),
                require=policy.require,
                publishers=policy.publishers,
                progress=progress,
            )
            code = gating.exit_code(judgements)
    _warn(touched)
    if args.json:
        output.document(_as_json(judgements, code))
    else:
        _print(judgements, quiet=args.quiet)
    return code


def _lines(repository: Repository) -> bytes:
    """What git says of the push; pre-commit(1) keeps it to itself, and says it in its own way."""
    if "PRE_COMMIT" not in os.environ:
        return b"" if sys.stdin is None else sys.stdin.buffer.read()
    name = os.environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD"
    wanted = os.environ.get("PRE_COMMIT_TO_REF") or name
    new = repository.ask("rev-parse", "--verify", "--end-of-options", wanted).decode().strip()
    old = os.environ.get("PRE_COMMIT_FROM_REF") or "0" * len(new)
    there = os.environ.get("PRE_COMMIT_REMOTE_BRANCH") or name
    return os.fsencode(f"{name} {new} {there} {old}\n")


def _in_work_tree(args: Namespace, top: str) -> list[bytes]:
    """Which of the files that say what passes lie where a push may bring them along."""
    top = os.path.realpath(top)
    paths = [os.path.relpath(os.path.realpath(p), top) for p in arguments.own_files(args, top)]
    return [os.fsencode(path) for path in paths if not path.startswith("../")]


def _warn(touched: "Sequence[Touched]") -> None:
    from modelseal import pushed

    for item in touched:
        if item.kind == pushed.WATCHED:
            names = ", ".join(f"'{os.fsdecode(name)}'" for name in item.names)
            output.warning(
                f"this push changes {names}, which says who is trusted or what may pass, in "
                f"{_where(item.places)}: it was judged by what stands there now"
            )


def _print(judgements: "Sequence[Judgement]", *, quiet: bool) -> None:
    wrong = 0
    for item in judgements:
        where = _where(item.places)
        if item.exit_code == EXIT_OK and item.report:
            if not quiet:
                output.line(f"[OK] {item.path} ({where}): {_signed(item.report)}")
            continue
        wrong += 1
        output.line(f"[FAIL] {item.path} ({where}): {item.message}")
        if item.report:
            for warning in item.report.warnings:
                output.warning(warning)
            rendering.differences(item.report)
        if item.hint:
            output.hint(item.hint)
    if wrong:
        output.message(f"Push stopped: {wrong:,} of {len(judgements):,} directories do not pass.")


def _signed(report: "Report") -> str:
    manifest = report.manifest
    version = f" v{manifest.model_version}" if manifest.model_version else ""
    return f"{manifest.model_name}{version}, {report.checked:,} files, signed by {report.signer_id}"


def _where(places: "Sequence[Place]") -> str:
    ref, commit = places[0]
    more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
    return f"{ref} {commit[: output.ID_DIGITS]}{more}"


def _as_json(judgements: "Sequence[Judgement]", code: int) -> dict[str, object]:
    wrong = [item for item in judgements if item.exit_code]
    first = next((item for item in wrong if item.exit_code == code), None)
    return {
        "valid": not wrong,
        "reason": first and first.reason,
        "judged": [
            {
                "path": item.path,
                "valid": not item.exit_code,
                "reason": item.reason,
                "message": item.message,
                "hint": item.hint,
                "places": [place._asdict() for place in item.places],
                **(rendering.findings(item.report) if item.report else {}),
            }
            for item in judgements
        ],
    }
