"""The git hook that judges what is pushed: set it up, look at it, run it."""

DESCRIPTION = """\
A pre-push hook for git: nothing leaves that is unsigned, altered, or signed by somebody who is
not trusted. It judges the commits that are pushed, never the work tree."""

EXAMPLES = """\
modelseal hook install
modelseal hook status
git config modelseal.hook.check every"""

COMMANDS = {
    "install": "have git run it before a push",
    "uninstall": "remove it, and put back what it replaced",
    "status": "show whether it is set up, and what it asks for",
    "run": "judge a push; git calls this",
}
