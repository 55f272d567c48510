"""The real Claude Code in a home of its own, for tests: no account, no dialogs, nothing off loopback.

A Home holds a made-up key, a project and settings; it starts sessions (`claude -p`, over stream-json
pipes, or in a terminal under tmux) and ends everything that they have started, by process id: all of
it carries a mark in its environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from pool import process
from tests.client.api import Api
from tests.client.frames import Frame, Frames
from tests.client.terminal import Terminal

#: Names another Claude Code than the wheel's. (The tests remove what begins with COORD_ or CLAUDE.)
VARIABLE = "TEST_CLAUDE"
_MARK = "TEST_CLIENT_MARK"


def program() -> str:
    """Claude Code's path.

    Raises:
        RuntimeError: There is none; the tests fail then.
    """
    given = os.environ.get(VARIABLE, "")
    if given:
        if os.access(given, os.X_OK):
            return given
        raise RuntimeError(f"{VARIABLE}={given} is no program")
    with suppress(ImportError):
        import claude_agent_sdk

        found = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
        if os.access(found, os.X_OK):
            return str(found)
    raise RuntimeError(
        "Claude Code is missing: the tests need the real one (pip install -e '.[client]', or name it "
        f"in {VARIABLE})"
    )


class Home:
    """A person's home and project, with which sessions start without a question."""

    def __init__(self, folder: Path, api: Api) -> None:
        self.folder, self.project = folder / "person", folder / "project"
        self.project.mkdir(parents=True)
        self.folder.mkdir(exist_ok=True)
        self.program = program()
        self.api = api
        #: Tells this home's requests from others' (`api.script(..., key=home.key)`).
        self.key = f"sk-ant-made-up-{uuid.uuid4().hex}"
        self.mark = uuid.uuid4().hex
        self.sessions: list[Headless] = []
        self.terminals: list[Terminal] = []
        self.started: list[subprocess.Popen[bytes]] = []
        self.trust(self.folder)
        self.allow("Bash")

    def trust(self, folder: Path) -> None:
        """Answer the questions of a first start, in a folder that holds .claude.json."""
        folder.mkdir(parents=True, exist_ok=True)
        answers = {
            "hasCompletedOnboarding": True, "theme": "dark",
            "customApiKeyResponses": {"approved": [self.key[-20:]], "rejected": []},
            "bypassPermissionsModeAccepted": True,
            "projects": {str(self.project): {"hasTrustDialogAccepted": True}},
        }  # fmt: skip
        (folder / ".claude.json").write_text(json.dumps(answers), encoding="utf-8")

    def allow(self, *rules: str) -> None:
        """Let every session of the project use these tools without a question."""
        path = self.project / ".claude" / "settings.local.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"permissions": {"allow": list(rules)}}), encoding="utf-8")

    def environ(self, **extra: str) -> dict[str, str]:
        """What a session starts with; what the test's environment says about coord is in it."""
        found = {name: value for name, value in os.environ.items() if name.startswith("COORD_")}
        return {
            **found, "HOME": str(self.folder), "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "SHELL": "/bin/bash",
            "ANTHROPIC_BASE_URL": self.api.url, "ANTHROPIC_API_KEY": self.key,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", _MARK: self.mark,
            **extra,
        }  # fmt: skip

    def run(self, *argv: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """A command in the project, such as `coord`."""
        done = subprocess.run(
            argv, cwd=self.project, env=self.environ(**env), capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
        return done

    def start(self, *argv: str, **env: str) -> subprocess.Popen[bytes]:
        """A command that goes on (`coord worker run`); its output goes to a file beside the project."""
        log = self.folder / f"{Path(argv[0]).name}-{uuid.uuid4().hex[:6]}.log"
        with log.open("wb") as file:
            made = subprocess.Popen(
                argv, cwd=self.project, env=self.environ(**env), stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.started.append(made)
        return made

    # -- sessions --------------------------------------------------------------------------------------

    def headless(self, prompt: str, *options: str, **env: str) -> Headless:
        """`claude -p PROMPT`, which ends with its turn."""
        return self._headless(["-p", prompt, *options], subprocess.DEVNULL, env)

    def open(self, prompt: str = "", *options: str, **env: str) -> Headless:
        """`claude -p` that takes messages on its standard input until that is closed."""
        made = self._headless(["-p", "--input-format", "stream-json", *options], subprocess.PIPE, env)
        if prompt:
            made.send(prompt)
        return made

    def _headless(self, words: list[str], stdin: int, env: dict[str, str]) -> Headless:
        argv = [self.program, *words, "--output-format", "stream-json", "--verbose"]
        self.sessions.append(Headless(argv, self.project, self.environ(**env), stdin))
        return self.sessions[-1]

    def terminal(self, *options: str, **env: str) -> Terminal:
        """`claude` in a terminal."""
        self.terminals.append(Terminal([self.program, *options], self.project, self.environ(**env)))
        return self.terminals[-1]

    # -- the end ---------------------------------------------------------------------------------------

    def processes(self, containing: str = "") -> dict[int, str]:
        """What lives of all that was started here: pid -> command line (with those words in it)."""
        needle, found = f"{_MARK}={self.mark}".encode(), {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if needle not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has just ended, or is another user's
            if containing in line and process.start_time(int(entry.name)):
                found[int(entry.name)] = line.strip()
        return found

    def close(self) -> None:
        """End all of it."""
        for terminal in self.terminals:
            terminal.close()
        # More than once: one of them may just have started another.
        end = time.monotonic() + 10
        left = self.processes()
        while left and time.monotonic() < end:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
            left = self.processes()
        for session in self.sessions:
            session.close()
        for each in self.started:
            each.wait(10)
        assert not left, left


class Headless:
    """A session without a terminal, and the frames that it prints."""

    def __init__(self, argv: list[str], cwd: Path, env: dict[str, str], stdin: int) -> None:
        self.process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.pid = self.process.pid
        self.frames = Frames(self.process.stdout)

    def send(self, prompt: str) -> None:
        """A message on its standard input."""
        message = {"role": "user", "content": prompt}
        frame: dict[str, Any] = {"type": "user", "message": message, "parent_tool_use_id": None}
        self.write({**frame, "uuid": str(uuid.uuid4())})

    def write(self, frame: Frame) -> None:
        """A frame on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")
        self.process.stdin.flush()

    def end_input(self) -> None:
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()

    def end(self, seconds: float = 60.0) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(seconds)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with suppress(OSError):
            self.end_input()
        self.process.wait(10)
        self.frames.close()
