"""The hooks that tell the monitor what a session does: events, handlers, and how they are known again.

Each is a command that the session does not wait for, or waits for no longer than it takes to read its JSON
(docs/adr/0013-commands-report-to-the-monitor.md). With ``http`` they are the client's own http handlers,
which cost less while the monitor answers, and more when it does not.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import Any, NamedTuple

from hooks import template
from pool import monitors
from pool.compiled import ROOT
from pool.settings import Settings

FILE = "monitor_hook"
#: What marks an http handler as ours.
MARK = ("X-Coord", "monitor")
#: The variable that holds the token where the client itself sends the hooks.
TOKEN = "COORD_MONITOR_HOOK_TOKEN"
#: The file in HOME for a token that the settings hold themselves.
TOKEN_FILE = "monitor-hook.token"
#: Seconds that the client waits for an http handler at most, and for a command that it waits for.
HTTP_TIMEOUT, TIMEOUT = 1, 5

_OURS = re.compile(rf"""/hooks/{FILE}\.py['"]*\s+[a-z-]+\s+--monitor\s""")


class Report(NamedTuple):
    """An event that is told.

    ``waits``: the client waits for the command. `claude -p` that ends kills hooks that it does not wait for,
    and takes 1.5 s longer when there is one; so those of a turn's end are waited for. (Older clients do not
    even start a SessionEnd hook in the background.)
    """

    event: str
    waits: bool = False

    @property
    def route(self) -> str:
        """Its name in the monitor's paths."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", self.event).lower()


#: Those that say something about a session's state. (MessageDisplay, for one, would be told many times a
#: second.)
REPORTS = (
    Report("SessionStart"),
    Report("UserPromptSubmit"),
    Report("PreToolUse"),
    Report("PermissionRequest"),
    Report("PermissionDenied"),
    Report("PostToolUse"),
    Report("PostToolUseFailure"),
    Report("Notification"),
    Report("SubagentStart"),
    Report("SubagentStop"),
    Report("Stop", waits=True),
    Report("StopFailure", waits=True),
    Report("PreCompact"),
    Report("PostCompact"),
    Report("PostModelSwitch"),
    Report("CwdChanged"),
    Report("Elicitation"),
    Report("ElicitationResult"),
    Report("SessionEnd", waits=True),
)
#: The client sends these to no http handler.
NO_HTTP = frozenset(("SessionStart", "Setup"))


@dataclass(frozen=True)
class Wanted:
    """What the monitor's hooks are to look like."""

    #: Where they report to: http://127.0.0.1:5050.
    url: str
    #: The file that holds the token; '' none is needed.
    token_file: str = ""
    http: bool = False
    python: str = ""
    root: str = ROOT

    def handler(self, report: Report) -> dict[str, Any]:
        """The handler of one event, as the client's settings hold it."""
        if self.http and report.event not in NO_HTTP:
            name, value = MARK
            headers = {name: value}
            secret: dict[str, Any] = {}
            if self.token_file:
                headers["Authorization"] = f"Bearer ${TOKEN}"
                secret["allowedEnvVars"] = [TOKEN]
            url = f"{self.url}/hook/{report.route}"
            return {"type": "http", "url": url, "timeout": HTTP_TIMEOUT, "headers": headers, **secret}
        made: dict[str, Any] = {"type": "command", "command": self.command(report), "timeout": TIMEOUT}
        # With http, it is the one that says whose the session is: it goes before the others.
        return made if report.waits or self.http else {**made, "async": True}

    def command(self, report: Report) -> str:
        """The line that the client gives to ``sh``."""
        python = shlex.quote(self.python)
        file = shlex.quote(os.path.join(self.root, "hooks", f"{FILE}.py"))
        token = f" --token {shlex.quote(self.token_file)}" if self.token_file else ""
        return (
            f"[ -x {python} ] && [ -f {file} ] || exit 0; "
            f"exec {python} -I -S {file} {report.route} --monitor {shlex.quote(self.url)}{token}"
        )

    @property
    def groups(self) -> dict[str, list[dict[str, Any]]]:
        """Every event's groups, of which there is one."""
        return {each.event: [{"hooks": [self.handler(each)]}] for each in REPORTS}


def wanted(settings: Settings, http: bool = False) -> Wanted:
    """The monitor's hooks for these settings, on this machine.

    Raises:
        CoordError: The interpreter's path is not known.
    """
    return Wanted(url(settings), token_file(settings), http, template.interpreter())


def url(settings: Settings) -> str:
    """Where hooks report to."""
    return monitors.url(settings)


def token_file(settings: Settings) -> str:
    """The file with the token by which hooks report: named by the settings, or in HOME; '' none is needed."""
    named: str = settings.monitor_hook_token_file
    return named or (os.path.join(settings.home, TOKEN_FILE) if settings.monitor_hook_token else "")


def is_ours(handler: object) -> bool:
    """Whether a handler in a settings file is one of these."""
    if not isinstance(handler, dict):
        return False
    if handler.get("type") == "http":
        headers = handler.get("headers")
        return isinstance(headers, dict) and headers.get(MARK[0]) == MARK[1]
    command = handler.get("command")
    return isinstance(command, str) and bool(_OURS.search(command))


class Parts(NamedTuple):
    """What a handler of ours runs; empty where it does not say."""

    python: str = ""
    file: str = ""
    url: str = ""
    token_file: str = ""
    http: bool = False


def parts(handler: dict[str, Any]) -> Parts:
    """The interpreter, the hook's file and the monitor's address in a handler of ours."""
    if handler.get("type") == "http":
        return Parts(url=str(handler.get("url", "")).partition("/hook/")[0], http=True)
    try:
        words = shlex.split(str(handler.get("command", "")).partition("; exec ")[2])
    except ValueError:
        words = []
    if len(words) < 5:
        return Parts()

    def after(name: str) -> str:
        return words[words.index(name) + 1] if name in words[:-1] else ""

    return Parts(words[0], words[3], after("--monitor"), after("--token"))
