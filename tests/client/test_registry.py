"""The client's own file of a session: what it says, and what the monitor makes of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor import registry
from pool import process
from tests.client import replies
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.monitor.running import Running
from tests.session import eventually

SOON = {"COORD_MONITOR_POLLING_INTERVAL": "100ms", "COORD_MONITOR_POLLING_INTERVAL_WITH_HOOKS": "100ms"}
ASKS = replies.tool(
    "AskUserQuestion",
    questions=[{
        "question": "Which one?", "header": "one", "multiSelect": False,
        "options": [{"label": "a", "description": "a"}, {"label": "b", "description": "b"}],
    }],
)  # fmt: skip


def answer(request: Request) -> replies.Reply:
    """By what was said last."""
    words = request.conversation()
    last = max(("go-on", "think-long", "ask-me"), key=words.rfind)
    if last == "think-long":
        return replies.text("I have thought.").with_(delay=60.0)
    return ASKS if last == "ask-me" and not request.results() else replies.text("It is done.")


@pytest.fixture
def monitor(home: Home, tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path, port=0, CLAUDE_CONFIG_DIR=str(home.folder / ".claude"), **SOON).start()
    yield made
    made.close()


def test_a_session_without_hooks_is_followed_by_its_file(home: Home, api: Api, monitor: Running) -> None:
    api.script(answer)
    stream = monitor.stream()
    terminal = home.terminal()
    record = stream.state("stopped")["record"]
    assert record["evidence"] == "session file: idle" and record["confidence"] == "likely"
    assert (record["pid"], record["process"]) == (terminal.pid, process.key(terminal.pid))
    assert record["cwd"] == str(home.project)
    terminal.wait("shift.tab to cycle")
    terminal.type("think-long")
    assert stream.state("working")["record"]["session"] == record["session"]
    terminal.key("Escape")
    stream.state("stopped")  # (interrupted or at its end: without hooks nobody can tell)
    terminal.key("C-u")  # (the client puts a prompt that nothing has come of back into its input)
    terminal.type("/clear")
    cleared = stream.until(lambda event: event["data"]["record"]["session"] != record["session"])
    assert cleared["data"]["session"] == record["id"]
    terminal.type("ask-me")
    assert stream.state("needs-you")["record"]["needs"] == "input needed"
    os.kill(terminal.pid, signal.SIGKILL)
    stream.state("dead")


def test_what_the_file_says(home: Home, api: Api) -> None:
    """The part of it that the monitor goes by."""
    api.script(answer)
    session = home.open("go-on")
    folder = home.folder / ".claude" / "sessions"
    reader = registry.Reader()
    entry = eventually(lambda: next(iter(reader.read([folder])), None), 30, "a file of the session")
    assert (entry.pid, entry.process, entry.cwd) == (session.pid, process.key(session.pid), str(home.project))
    idle = eventually(
        lambda: [each for each in reader.read([folder]) if each.status == "idle" and each.since], 30, "idle"
    )
    assert idle[0].session == session.frames.result()["session_id"]
    raw: dict[str, Any] = json.loads((folder / f"{session.pid}.json").read_text())
    assert raw["procStart"] == process.start_time(session.pid)
    assert raw["pidDomain"].endswith(f":pid:[{process.namespace()}]")
    session.kill()
    session.end()
    assert (folder / f"{session.pid}.json").exists() and reader.read([folder]) == []


def test_an_interrupt_shows_though_no_hook_tells(home: Home, api: Api, monitor: Running) -> None:
    api.script(answer)
    hook = f"curl -s -m 2 -H content-type:application/json --data-binary @- {monitor.url}/hook/"
    routes = {"UserPromptSubmit": "user-prompt-submit", "Stop": "stop"}
    settings = {"hooks": {
        event: [{"hooks": [{"type": "command", "command": f"{hook}{route} >/dev/null; true"}]}]
        for event, route in routes.items()
    }}  # fmt: skip
    (home.folder / ".claude").mkdir(exist_ok=True)
    (home.folder / ".claude" / "settings.json").write_text(json.dumps(settings))
    stream = monitor.stream()
    terminal = home.terminal("think-long")
    stream.until(lambda event: event["data"]["kind"] == "UserPromptSubmit")
    terminal.wait("esc to interrupt|thinking|…")
    terminal.key("Escape")
    record = stream.state("interrupted")["record"]
    assert record["confidence"] == "likely" and record["evidence"].startswith("session file: idle")
    terminal.key("C-u")
    terminal.type("go-on")
    assert stream.state("working")["record"]["evidence"] == "hook UserPromptSubmit"
    assert stream.state("stopped")["record"]["evidence"] == "hook Stop"
