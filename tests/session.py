"""A Claude Code session as its hooks see it: a real process, real hook processes, a real shell for Bash.

The process stands for `claude` (hooks know a session by its process only); it is killed, frozen and
left alone by the tests. Hooks and helpers are the real ones, run as the client runs them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pool import process
from pool import settings as settings_module
from pool.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def eventually(check: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Look until it is so; fail when the time has passed."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what or check}"
        time.sleep(0.01)


class Hook:
    """A running hook process."""

    def __init__(self, argv: list[str], payload: str, env: dict[str, str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            text=True,
        )
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(payload)
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it ended without reading
        self.process.stdin = None

    def end(self, timeout: float = 20.0) -> dict[str, Any]:
        """Wait for its end; its answer ({} when it said nothing). Exit code 0, no word on stderr."""
        out, err = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, (self.process.returncode, out, err)
        assert err == ""
        answer: dict[str, Any] = json.loads(out) if out.strip() else {}
        return answer

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=10)


class Session:
    """One session in a project's folder."""

    def __init__(
        self, settings: Settings, folder: Path, name: str = "", worker: bool = True,
        inside: Session | None = None, **env: str,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.folder = folder
        #: The installation whose hooks it runs.
        self.root = ROOT
        self.compiled = settings_module.compile_settings(settings)
        self.process: subprocess.Popen[str] | None = None
        if inside is None:
            # A shell, so that a process can be started inside the session (`spawn`).
            self.process = subprocess.Popen(
                ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            self.pid = self.process.pid
        else:
            self.pid = inside.spawn("sleep 1000")
        self.key = process.key(self.pid)
        self.session_id = str(uuid.uuid4())
        self.env_file = folder / f"env-{self.pid}.sh"
        self.env_file.touch()
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "CLAUDE_PID": str(self.pid),
            "CLAUDE_CODE_SESSION_ID": self.session_id, "CLAUDE_PROJECT_DIR": str(folder), "CLAUDECODE": "1",
            **env,
        }  # fmt: skip
        if worker:
            self.env["COORD_WORKER"] = "1"
        if name:
            self.env["COORD_WORKER_ID"] = name
        self.hooks: list[Hook] = []

    @property
    def home(self) -> Path:
        return Path(self.settings.home) / "sessions" / self.key

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "session.json").read_text())
        return found

    def start_hook(self, event: str, raw: str | None = None, **payload: Any) -> Hook:
        """Start a hook; ``raw`` replaces the JSON payload."""
        name = {"SessionStart": "session_start", "Stop": "stop", "UserPromptSubmit": "user_prompt_submit",
                "SessionEnd": "session_end", "StopFailure": "stop_failure",
                "PostToolUse": "post_tool_use"}[event]  # fmt: skip
        body = {"session_id": self.session_id, "hook_event_name": event, "cwd": str(self.folder), **payload}
        env = dict(self.env)
        if event == "SessionStart":
            env["CLAUDE_ENV_FILE"] = str(self.env_file)
        argv = [
            sys.executable,
            "-I",
            "-S",
            str(self.root / "hooks" / f"{name}.py"),
            "--compiled",
            str(self.compiled),
        ]
        hook = Hook(argv, json.dumps(body) if raw is None else raw, env, self.folder)
        self.hooks.append(hook)
        return hook

    def hook(self, event: str, timeout: float = 20.0, **payload: Any) -> dict[str, Any]:
        """Run a hook to its end; its answer."""
        return self.start_hook(event, **payload).end(timeout)

    def start(self, source: str = "startup") -> dict[str, Any]:
        return self.hook("SessionStart", source=source)

    def bash(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The Bash tool: what SessionStart exported is there."""
        return subprocess.run(
            ["bash", "-c", f'. "{self.env_file}"\n{command}'], env={**self.env, **env}, cwd=self.folder,
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def keeper(self) -> int:
        """The keeper's pid; 0 when there is none."""
        return next(iter(self.keepers()), 0)

    def keepers(self) -> list[int]:
        """Every keeper of the session that runs."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                ours = self.key.encode() in words and any(word.endswith(b"keeper.py") for word in words)
                if ours and process.start_time(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def spawn(self, command: str) -> int:
        """Start a process whose parent is the session's; its pid."""
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{command} >/dev/null & echo $!\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, as the kernel's OOM killer would."""
        if process.same(self.key):
            os.kill(self.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def close(self) -> None:
        """End all that the session has started, by process id."""
        if process.same(self.key):
            self.signal(signal.SIGCONT)
        self.kill()
        if self.process is not None:
            self.process.communicate()
        for hook in self.hooks:
            if hook.running():
                hook.kill()
            for stream in (hook.process.stdout, hook.process.stderr):
                if stream is not None:
                    stream.close()
        # Last, and twice: a keeper that a hook had just forked shows its name only after its exec.
        for pause in (0.0, 0.05):
            time.sleep(pause)
            keeper = self.keeper()
            if keeper:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(keeper, signal.SIGKILL)
