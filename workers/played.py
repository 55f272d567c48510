"""A session whose model is played by a script: for the demo, for trying compose, for tests.

It does what a Claude Code session does, in the same discrete cycles: it runs the hooks that the
project's settings.json names (as the client does: `sh -c`, JSON on standard input), and in each turn
its "model" reads what the hooks handed over, runs commands in a shell that has the session's
environment, and ends the turn. The played model runs the shell command that a task gives in a line
``run: COMMAND``; a real one never does. It is started only where the setting `played` says so.

    python -P -m workers.played [--project DIR]
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from pool import settings as settings_module
from pool.errors import CoordError, SettingsError, UsageError

_CLAIM = re.compile(r"coord-worker complete ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
_COMMAND = re.compile(r"^\s*run:\s*(.+)$", re.MULTILINE)
#: Characters of a command's output that make up a task's result.
_TAIL = 2000


class PlayedSession:
    """One session, from SessionStart to SessionEnd."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.session_id = str(uuid.uuid4())
        self.folder = tempfile.TemporaryDirectory(prefix="coord-played-")
        self.env_file = Path(self.folder.name) / "env.sh"
        self.env_file.touch()
        self.hooks = self._read_hooks()
        self.environ = {
            **os.environ, "CLAUDE_PID": str(os.getpid()), "CLAUDE_CODE_SESSION_ID": self.session_id,
            "CLAUDE_PROJECT_DIR": str(project), "CLAUDECODE": "1",
        }  # fmt: skip

    def run(self) -> None:
        """Start, take turns until a stop is allowed, end."""
        try:
            self._hook("SessionStart", source="startup")
            said = self._hook("UserPromptSubmit", prompt="Work as a member of the pool.")
            while True:
                for text in said:
                    self._turn(text)
                blocks = self._hook("Stop", stop_hook_active=bool(said), background_tasks=[])
                if not blocks:
                    break
                said = blocks
            self._hook("SessionEnd", reason="other")
        finally:
            self.folder.cleanup()

    # -- the client's part -----------------------------------------------------------------------------

    def _read_hooks(self) -> dict[str, list[str]]:
        """The command hooks by event, from the settings files of the project and of CLAUDE_CONFIG_DIR."""
        found: dict[str, list[str]] = {}
        paths = [self.project / ".claude" / name for name in ("settings.json", "settings.local.json")]
        own = os.environ.get("CLAUDE_CONFIG_DIR")  # without it, the user's own: a play leaves them alone
        for path in [Path(own) / "settings.json", *paths] if own else paths:
            if not path.is_file():
                continue
            for event, groups in json.loads(path.read_text(encoding="utf-8")).get("hooks", {}).items():
                commands = [hook["command"] for group in groups for hook in group["hooks"]]
                # The client runs identical handlers of several files once.
                found[event] = list(dict.fromkeys([*found.get(event, []), *commands]))
        return found

    def _hook(self, event: str, **fields: Any) -> list[str]:
        """Run an event's hooks; what they hand to the model (of a Stop: only if it is blocked)."""
        payload = {
            "session_id": self.session_id,
            "hook_event_name": event,
            "cwd": str(self.project),
            **fields,
        }
        handed = []
        environ = dict(self.environ)
        if event == "SessionStart":
            environ["CLAUDE_ENV_FILE"] = str(self.env_file)
        for command in self.hooks.get(event, []):
            done = subprocess.run(
                ["sh", "-c", command], input=json.dumps(payload).encode(), stdout=subprocess.PIPE,
                cwd=self.project, env=environ, check=False,
            )  # fmt: skip
            if not done.stdout.strip():
                continue
            answer = json.loads(done.stdout)
            if answer.get("systemMessage"):
                print(answer["systemMessage"], flush=True)
            text = answer.get("hookSpecificOutput", {}).get("additionalContext", "")
            if event != "Stop" or answer.get("decision") == "block":
                handed.append(text or answer.get("reason", ""))
        return handed

    def _bash(self, command: str) -> subprocess.CompletedProcess[str]:
        """The Bash tool: a shell with the session's environment, then PostToolUse."""
        script = f'. "{self.env_file}"\n{command}'
        done = subprocess.run(
            ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", cwd=self.project, env=self.environ, check=False,
        )  # fmt: skip
        self._hook(
            "PostToolUse",
            tool_name="Bash",
            tool_input={"command": command},
            tool_response=done.stdout[-_TAIL:],
        )
        return done

    # -- the played model --------------------------------------------------------------------------------

    def _turn(self, text: str) -> None:
        """Read a text; do the task in it, if there is one."""
        claim, command = _CLAIM.search(text), _COMMAND.search(text)
        if claim is None:
            return
        print(f"task {claim[1].partition('.')[0]}: {command[1] if command else 'nothing to run'}", flush=True)
        self._bash("coord-worker heartbeat")
        if command is None:
            said = self._bash(
                f"coord-worker complete {claim[1]} --result 'read it; there was nothing to run'"
            )
        else:
            done = self._bash(command[1])
            report = Path(self.folder.name) / "report.txt"
            report.write_text(
                done.stdout[-_TAIL:].strip() or f"exit code {done.returncode}", encoding="utf-8"
            )
            if done.returncode == 0:
                said = self._bash(f'coord-worker complete {claim[1]} --result-file "{report}"')
            else:
                said = self._bash(f'coord-worker fail {claim[1]} --reason "exit code {done.returncode}"')
        print(said.stdout.strip(), flush=True)


def main(argv: list[str]) -> int:
    """Play one session in a project's directory; exit code 2 unless the setting `played` allows it."""
    project = Path(argv[argv.index("--project") + 1]) if "--project" in argv[:-1] else Path.cwd()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        if not settings_module.load().played:
            raise SettingsError(
                "a played worker runs commands from tasks: set COORD_PLAYED=1 to allow that here"
            )
        if not project.is_dir():
            raise UsageError(f"--project {project} is not a folder")
        PlayedSession(project.resolve()).run()
    except CoordError as error:
        print(f"coord: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
