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
from collections.abc import Iterator
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

    def __init__(self, project: Path, piped: bool = False) -> None:
        """``piped``: it takes messages and prints frames, as with stream-json pipes."""
        self.project = project
        self.piped = piped
        self._turns = 0
        #: Why hooks kept the last prompt from the model; '' if they did not.
        self._refused = ""
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
        """Start, take turns until a stop is allowed (or there is no further message), end."""
        try:
            self._hook("SessionStart", source="startup")
            for prompt in self._messages():
                self._frame("system", subtype="init", cwd=str(self.project), model="played")
                said = self._hook("UserPromptSubmit", prompt=prompt)
                while not self._refused:
                    for text in said:
                        self._turn(text)
                    blocks = self._hook("Stop", stop_hook_active=bool(said), background_tasks=[])
                    if not blocks:
                        break
                    said = blocks
                self._frame(
                    "result", subtype="success", is_error=False, result="", num_turns=self._turns,
                    total_cost_usd=0.0, usage={"input_tokens": 0, "output_tokens": 0},
                )  # fmt: skip
            self._hook("SessionEnd", reason="other")
        finally:
            self.folder.cleanup()

    def _messages(self) -> Iterator[str]:
        """What is said to it: one prompt, or every message on standard input until that ends."""
        if not self.piped:
            yield "Work as a member of the pool."
            return
        for line in sys.stdin:
            yield str(json.loads(line)["message"]["content"])

    def _frame(self, kind: str, **fields: Any) -> None:
        """Print a frame, if anybody wants frames."""
        if self.piped:
            print(json.dumps({"type": kind, "session_id": self.session_id, **fields}), flush=True)

    def _say(self, text: str, **tool: Any) -> None:
        """What the model says, or the tool that it calls."""
        if not self.piped:
            print(text, flush=True)
            return
        self._turns += 1
        block = (
            {"type": "tool_use", "id": f"t{self._turns}", **tool} if tool else {"type": "text", "text": text}
        )
        usage = {"input_tokens": 10 * self._turns, "output_tokens": 1}
        message = {"id": f"m{self._turns}", "role": "assistant", "content": [block], "usage": usage}
        self._frame("assistant", message=message, parent_tool_use_id=None)

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
        self._refused = ""
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
                self._informed(answer["systemMessage"])
            text = answer.get("hookSpecificOutput", {}).get("additionalContext", "")
            if event == "UserPromptSubmit" and answer.get("decision") == "block":
                self._refused = answer.get("reason", "") or "a hook"
                self._informed(
                    f"UserPromptSubmit operation blocked by hook:\n{self._refused}",
                    prompt_submit_outcome={"kind": "blocked_by_hook", "reason": self._refused},
                )
            elif event != "Stop" or answer.get("decision") == "block":
                handed.append(text or answer.get("reason", ""))
        return handed

    def _informed(self, text: str, **fields: Any) -> None:
        if self.piped:
            self._frame("system", subtype="informational", content=text, **fields)
        else:
            print(text, flush=True)

    def _bash(self, command: str) -> subprocess.CompletedProcess[str]:
        """The Bash tool: a shell with the session's environment, then PostToolUse."""
        if self.piped:
            self._say("", name="Bash", input={"command": command})
        script = f'. "{self.env_file}"\n{command}'
        done = subprocess.run(
            ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", cwd=self.project, env=self.environ, check=False,
        )  # fmt: skip
        content = [{"type": "tool_result", "tool_use_id": f"t{self._turns}", "content": done.stdout[-_TAIL:]}]
        self._frame("user", message={"role": "user", "content": content}, parent_tool_use_id=None)
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
        self._say(f"task {claim[1].partition('.')[0]}: {command[1] if command else 'nothing to run'}")
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
        self._say(said.stdout.strip())


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
        PlayedSession(project.resolve(), "--input-format" in argv).run()
    except CoordError as error:
        print(f"coord: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
