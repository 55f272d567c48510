"""The one source of the hooks that coord installs: events, timeouts and commands.

A command is one line for ``sh``. It leaves with 0 and without a word when the interpreter or the hook's
file is gone, because an uninstalled coord must not trouble a session.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from hooks import cap
from pool import plugged
from pool.compiled import NAME, ROOT
from pool.errors import CoordError
from pool.settings import Settings

#: The single file of `--copy`, below the project's folder.
COPY = ".claude/hooks/worker-stop-check.py"
#: The same in the Claude Code plugin, below the plugin's folder.
PLUGIN = "hooks/coord.py"

#: What lets a worker call its helpers without a question. Both spellings mean the same; which of them the
#: client writes and reads has changed over its versions.
RULES = ("Bash(coord-worker:*)", "Bash(coord-worker *)")

#: What lets a worker do any number of tasks that need no tool, one after another.
ENV = {cap.VARIABLE: "0"}


class Spec(NamedTuple):
    """One hook: its event, its file in hooks/, and the client's timeout in seconds (None: hook_timeout)."""

    event: str
    file: str
    timeout: float | None
    matcher: str = ""
    status: str = ""


#: Redis may take 5 s to be found silent, three times in a row at worst, and settings 0.5 s to be compiled.
SPECS = (
    Spec("SessionStart", "session_start", 30),
    Spec("UserPromptSubmit", "user_prompt_submit", 30),
    Spec("PostToolUse", "post_tool_use", 10, matcher="*"),  # it asks Redis nothing
    Spec("Stop", "stop", None, status="coord: waiting for tasks"),
    Spec("StopFailure", "stop_failure", 30),
    Spec("SessionEnd", "session_end", 5),  # it has 1.5 s unless a hook's timeout asks for more (at most 60)
)

_NAMES = "|".join(spec.file for spec in SPECS)
_COPY = re.compile(r"hooks/worker-stop-check\.py")
_OURS = re.compile(rf"""/hooks/(?:{_NAMES})\.py['"]*\s+--compiled\s|{_COPY.pattern}""")
_FILE = re.compile(rf"/hooks/(?:{_NAMES})\.py$")


@dataclass(frozen=True)
class Wanted:
    """What an installation is to look like: the compiled settings' path, and the options."""

    compiled: str
    hook_timeout: float = 86400.0
    worker: bool = False
    copy: bool = False
    python: str = ""
    root: str = ROOT
    plugin: bool = False

    def command(self, spec: Spec) -> str:
        """The line that the client gives to ``sh``."""
        # An ordinary session pays for a shell, and not for an interpreter.
        option = f"${{{plugged.OPTION}WORKER:-}}" if self.plugin else ""
        ordinary = f"case \"${{COORD_WORKER:-{option}}}\" in ''|0|false|no|off) exit 0;; esac"
        if self.plugin:
            there = "command -v python3 >/dev/null || exit 0"
            return f'{ordinary}; {there}; exec python3 -I -S "${{CLAUDE_PLUGIN_ROOT}}"/{PLUGIN}'
        first, option = ("", " --worker") if self.worker else (f"{ordinary}; ", "")
        if self.copy:
            # It goes to version control, where no absolute path of an interpreter belongs.
            file = f'"$CLAUDE_PROJECT_DIR"/{COPY}'
            there = f"[ -f {file} ] && command -v python3 >/dev/null"
            return f"{first}{there} || exit 0; exec python3 -I -S {file}{option}"
        python = shlex.quote(self.python)
        file = shlex.quote(os.path.join(self.root, "hooks", f"{spec.file}.py"))
        return (
            f"{first}[ -x {python} ] && [ -f {file} ] || exit 0; "
            f"exec {python} -I -S {file} --compiled {shlex.quote(self.compiled)}{option}"
        )

    def group(self, spec: Spec) -> dict[str, Any]:
        """The matcher group of one event, as the client's settings hold it."""
        seconds = self.hook_timeout if spec.timeout is None else spec.timeout
        handler: dict[str, Any] = {
            "type": "command", "command": self.command(spec),
            "timeout": int(seconds) if seconds == int(seconds) else seconds,
        }  # fmt: skip
        if spec.status:
            handler["statusMessage"] = spec.status
        return {**({"matcher": spec.matcher} if spec.matcher else {}), "hooks": [handler]}

    @property
    def groups(self) -> dict[str, list[dict[str, Any]]]:
        """Every event's groups, of which there is one."""
        return {spec.event: [self.group(spec)] for spec in SPECS}

    @property
    def rules(self) -> tuple[str, ...]:
        """The permission rules that go with it."""
        return RULES if self.worker else ()

    @property
    def env(self) -> dict[str, str]:
        """The variables that go with it; a session that is no worker keeps the client's own."""
        return ENV if self.worker else {}

    def settings(self) -> dict[str, Any]:
        """All of it as a settings file of its own (for `claude --settings`)."""
        rules = {"permissions": {"allow": list(self.rules)}} if self.rules else {}
        return {"hooks": self.groups, **rules, **({"env": self.env} if self.env else {})}


def wanted(settings: Settings, worker: bool = False, copy: bool = False) -> Wanted:
    """The installation for these settings, on this machine.

    Raises:
        CoordError: The interpreter's path is not known.
    """
    compiled = os.path.join(settings.home, NAME)
    return Wanted(compiled, settings.hook_timeout, worker, copy, "" if copy else interpreter())


def interpreter() -> str:
    """The interpreter that runs hooks, as an absolute path.

    It is the one that runs coord, by its own name: a virtual environment's link is kept, because the
    environment holds what compiles changed settings (pydantic), and because a package manager's link
    outlives the version behind it. It starts as fast as what it points to (6 ms). Only a version
    manager's shim, which is a script (50 ms and more), is passed over for the binary behind it.

    Raises:
        CoordError: There is none.
    """
    for path in (sys.executable, getattr(sys, "_base_executable", ""), os.path.realpath("/proc/self/exe")):
        if path and os.access(path, os.X_OK) and not _is_script(path):
            # python, python3 and python3.12 of one folder are one: two installations must not differ by that.
            usual = os.path.join(os.path.dirname(os.path.abspath(path)), "python3")
            return usual if os.path.exists(usual) and os.path.samefile(usual, path) else os.path.abspath(path)
    raise CoordError("the path of the Python interpreter is not known: run coord by an absolute path")


def is_ours(handler: object) -> bool:
    """Whether a handler in a settings file is coord's: its command says so, wherever it stands."""
    command = handler.get("command") if isinstance(handler, dict) else None
    return isinstance(command, str) and bool(_OURS.search(command))


class Parts(NamedTuple):
    """What a command of ours runs; empty strings where it does not say."""

    python: str
    file: str
    compiled: str
    worker: bool
    copy: bool


def parts(command: str) -> Parts:
    """The interpreter, hook file and compiled settings in a command of ours."""
    copy = bool(_COPY.search(command))
    try:
        words = shlex.split(command.partition("; exec ")[2] or command)
    except ValueError:
        words = []
    file = next((word for word in words if _FILE.search(word)), "")
    after = words[words.index(file) + 1 :] if file else []
    named = after[after.index("--compiled") + 1] if "--compiled" in after[:-1] else ""
    return Parts(words[0] if words and not copy else "", file, named, "--worker" in words, copy)


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True
