"""Where one observation is made: a home, a scripted model, hooks that take notes."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tests.client import replies
from tests.client.api import Api, Request
from tests.client.client import Headless, Home
from tests.client.frames import Frame
from tests.client.replies import Reply

HOOK = Path(__file__).with_name("hook.py")
#: So long may one step of an observation take on a busy machine (seconds).
PATIENCE = 60.0

T = TypeVar("T")
#: Given how many requests of the conversation came before, and the request.
Script = Callable[[int, Request], Reply]


class Unobserved(Exception):
    """Something that an observation waited for did not come."""


def wait(look: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """The first truthy value of ``look``.

    Raises:
        Unobserved: There was none within ``seconds``.
    """
    end = time.monotonic() + seconds
    while not (value := look()):
        if time.monotonic() > end:
            raise Unobserved(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return value


def comes(look: Callable[[], object], seconds: float) -> bool:
    """Whether that becomes true. (That something does not come can be seen by waiting only.)"""
    try:
        wait(look, "", seconds)
    except Unobserved:
        return False
    return True


def alive(pid: int) -> bool:
    """Whether that process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


class Lab:
    """One observation's surroundings. Everything in it is ended, and its folder removed, at the end."""

    def __init__(self, claude: str, patience: float = 4.0) -> None:
        #: Seconds that the long wait is to take.
        self.patience = patience
        self.folder = Path(tempfile.mkdtemp(prefix="facts-")).resolve()
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        self.api = Api()
        self.home = Home(self.folder, self.api)
        self.home.program = claude
        subprocess.run(["git", "init", "-q", str(self.project)], check=True)
        self.answers(replies.text("Done."))

    def __enter__(self) -> Lab:
        self.api.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.home.close()
        finally:
            self.api.__exit__(kind, error, trace)
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def project(self) -> Path:
        """The folder in which sessions work."""
        return self.home.project

    @property
    def config(self) -> Path:
        """The user's own configuration folder."""
        return self.home.folder / ".claude"

    # -- before a session ------------------------------------------------------------------------------

    def script(self, script: Script) -> None:
        """Who answers the conversation (and its sub-agents)."""
        begin = self.api.count()
        self.api.script(lambda request: script(self._before(request) - begin, request))

    def _before(self, request: Request) -> int:
        return sum(each.number < request.number for each in self.api.seen())

    def answers(self, *given: Reply) -> None:
        """These one after the other; the last one for ever."""
        self.script(lambda number, request: given[min(number, len(given) - 1)])

    def hook(self, name: str, *actions: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """A handler that notes its calls as ``name`` and does those actions, one per call."""
        (self.notes / f"{name}.json").write_text(json.dumps(actions or [{}]), encoding="utf-8")
        command = shlex.join([sys.executable, "-I", "-S", str(HOOK), str(self.notes), name])
        return {"type": "command", "command": command, **more}

    def install(self, hooks: Mapping[str, Mapping[str, Any]], to: Path | None = None, **more: Any) -> Path:
        """Write the user's settings (or a file): a handler for each event, and other keys; the file."""
        path = to or self.config / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        groups = {event: [{"hooks": [handler]}] for event, handler in hooks.items()}
        path.write_text(json.dumps({"hooks": groups, **more}), encoding="utf-8")
        return path

    # -- sessions --------------------------------------------------------------------------------------

    def run(self, *options: str, prompt: str = "Go.", **env: str) -> Headless:
        """``claude -p`` to its end."""
        session = self.home.headless(prompt, *options, **env)
        self.ended(session)
        return session

    def ended(self, session: Headless) -> int:
        """The exit code, waited for, and its output read.

        Raises:
            Unobserved: It does not end.
        """
        try:
            code = session.end(PATIENCE + self.patience)
        except subprocess.TimeoutExpired as error:
            raise Unobserved("the end of the session") from error
        wait(lambda: session.frames.ended, "the end of the session's output")
        return code

    # -- what was noted --------------------------------------------------------------------------------

    def noted(self, name: str = "", key: str = "") -> list[dict[str, Any]]:
        """The notes of a hook, in order; those that have ``key``."""
        lines: list[str] = []
        with suppress(FileNotFoundError):
            lines = (self.notes / "calls.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        notes = [json.loads(line) for line in lines]
        return [each for each in notes if name in ("", each["name"]) and (not key or key in each)]

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """The calls of one hook (or of all), in order."""
        return self.noted(name, "payload")

    def called(self, name: str, number: int = 1) -> dict[str, Any]:
        """The call of that number, waited for."""
        return wait(lambda: self.calls(name)[number - 1 :], f"call {number} of the hook {name}")[0]

    def signalled(self, name: str) -> str:
        """The signal that the hook gets, waited for."""
        noted = wait(lambda: self.noted(name, "signal"), f"a signal to the hook {name}", 20)
        return str(noted[0]["signal"])


def whole(request: Request) -> str:
    """All that was sent to the model, as text."""
    return "\n".join(_strings([request.body.get("system", ""), request.messages]))


def newest(request: Request) -> str:
    """The same of what came since the model spoke last (system messages with it)."""
    begin = max((n + 1 for n, each in enumerate(request.messages) if each["role"] == "assistant"), default=0)
    return "\n".join(_strings(request.messages[begin:]))


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        left_out = ("type", "role", "id", "tool_use_id", "cache_control")
        value = [each for name, each in value.items() if name not in left_out]
    return [text for each in value for text in _strings(each)] if isinstance(value, list) else []


def kind(frame: Frame) -> str:
    """A frame's type and subtype."""
    return ":".join(str(frame[name]) for name in ("type", "subtype") if frame.get(name))
