"""`POST /hook/...`: what is taken, what is refused, and what a session is told."""

from __future__ import annotations

import json
import os
import signal as signal_module
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from monitor import signals
from pool import sessions
from tests.monitor.running import Running
from tests.server import Server


def post(monitor: Running, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    status, data, _ = monitor.request("POST", path, body)
    said = json.loads(data)
    if status != 200:
        assert said["status"] == "error" and said["message"] and "\n" not in said["message"], said
    return status, said


def test_each_event_of_the_client_has_its_route_and_is_described(monitor: Running) -> None:
    paths = monitor.get("/openapi.json")["paths"]
    assert len(signals.EVENTS) == 33
    for event in signals.EVENTS:
        said = monitor.hook(event, "s-all")
        assert set(said) == {"status", "agent_id", "state"} and said["status"] == "ok", event
        described = paths[f"/hook/{signals.route(event)}"]["post"]
        assert described["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    found = monitor.get("/openapi.json")["components"]["schemas"]
    assert {"HookJson", "Short", "Sender", "Taken"} <= set(found)


def test_the_short_form(monitor: Running) -> None:
    for body in (
        {"session_id": "a", "event": "stop", "cwd": "/work", "timestamp": time.time()},
        {"session_id": "a", "event": "Stop", "cwd": "/work", "timestamp": "2026-01-31T12:00:00Z"},
        {"session_id": "a"},
    ):
        assert post(monitor, "/hook/stop", body)[0] == 200, body


@pytest.mark.parametrize(
    ("code", "body", "word"),
    [
        (400, b"", "not JSON"),
        (400, b"{", "not JSON"),
        (400, b"\xff\xfe{}", "UTF-8"),
        (400, b"[" * 100_000, "deep"),
        (400, b'{"session_id": "a", "pid": NaN}', "NaN"),
        (400, b'{"session_id": "a", "n": ' + b"9" * 5000 + b"}", "digits"),
        (422, b"[]", "object"),
        (422, b'"text"', "object"),
        (422, b"{}", "session_id"),
        (422, {"session_id": 5}, "session_id"),
        (422, {"session_id": "a b"}, "session_id"),
        (422, {"session_id": "a\x00"}, "session_id"),
        (422, b'{"session_id": "\\ud800"}', "session_id"),
        (422, {"session_id": "a" * 201}, "session_id"),
        (422, {"session_id": "a", "cwd": 5}, "cwd"),
        (422, {"session_id": "a", "event": 5}, "event"),
        (422, {"session_id": "a", "event": "SessionEnd"}, "SessionEnd"),
        (422, {"session_id": "a", "timestamp": "yesterday"}, "timestamp"),
        (422, {"session_id": "a", "hook_event_name": "SessionEnd"}, "SessionEnd"),
        (422, {"session_id": "a", "hook_event_name": 7}, "hook_event_name"),
        (422, {"session_id": "a", "hook_event_name": "Stop", "stop_hook_active": "yes"}, "stop_hook_active"),
        (422, {"session_id": "a", "hook_event_name": "Stop", "background_tasks": {}}, "background_tasks"),
        (422, {"session_id": "a", "hook_event_name": "Stop", "coord": {"pid": "x"}}, "coord.pid"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line_and_changes_nothing(
    shared: Running, conn: redis.Redis, code: int, body: Any, word: str
) -> None:
    before = conn.dbsize()
    status, said = post(shared, "/hook/stop", body)
    assert status == code and word in said["message"], said
    assert conn.dbsize() == before


def test_what_the_client_adds_is_ignored_and_odd_texts_are_cleaned(
    monitor: Running, conn: redis.Redis
) -> None:
    body = (
        b'{"session_id": "a", "hook_event_name": "Notification", "cwd": "/w\\ud800\\u0000\\u001b[2J",'
        b' "message": "\\u001b[31mred\\n\\u202eleft\\ud83d", "brand_new": {"deep": [1e400, -0.0, null]},'
        b' "notification_type": "permission_prompt", "title": 12345678901234567890123}'
    )
    status, said = post(monitor, "/hook/notification", body)
    assert status == 200
    session = sessions.read(conn, [said["agent_id"]])[0]
    for text in (session.cwd, session.needs, session.evidence):
        assert text.isprintable(), text
    found: Any = conn.xrevrange("pool:events", count=1)
    json.loads(found[0][1][b"record"])


def test_what_is_stored_is_bounded(monitor: Running, conn: redis.Redis) -> None:
    long = "x" * 500_000
    said = monitor.hook("PermissionRequest", "a", cwd="/" + long, message=long, tool_name=long,
                        tool_input={"command": long}, transcript_path=long, session_title=long)  # fmt: skip
    found: Any = conn.hgetall(f"pool:session:{said['agent_id']}")
    assert sum(map(len, found.values())) < 8000
    events: Any = conn.xrevrange("pool:events", count=1)
    assert len(str(events)) < 16_000


def test_the_same_hook_of_two_installations_counts_once(monitor: Running, conn: redis.Redis) -> None:
    monitor.hook("UserPromptSubmit", prompt_id="p1")
    both: dict[str, Any] = {"tool_name": "Bash", "tool_use_id": "t1", "prompt_id": "p1"}
    first = monitor.hook("PreToolUse", **both)
    second = monitor.hook("PreToolUse", **both)
    assert first == second and first["state"] == "tool"
    assert conn.xlen(f"pool:timeline:{first['agent_id']}") == 2
    monitor.hook("PostToolUse", **both)
    assert monitor.hook("PostToolUse", **both)["state"] == "working"
    assert conn.xlen(f"pool:timeline:{first['agent_id']}") == 3
    # The second knows the process: that is news.
    monitor.hook("PostToolUse", coord={"process": "b-1-2-3", "pid": 2}, **both)
    assert sessions.read(conn, [first["agent_id"]])[0].pid == 2


def test_status_says_whether_hooks_are_heard(start: Callable[..., Running]) -> None:
    monitor = start(COORD_MONITOR_SESSION_TIMEOUT="3s")
    said = monitor.get("/hook/status")
    assert said["status"] == "ok" and not said["hooks"] and said["polling"] and said["last_hook"] is None
    stream = monitor.stream()
    monitor.hook("UserPromptSubmit")
    stream.state("working")
    said = monitor.get("/hook/status")
    assert said["hooks"] and not said["polling"]
    assert said["sessions"] == {"working": 1} and said["last_hook"]["event"] == "UserPromptSubmit"
    assert said["last_event"] == stream.last and said["mode_since"] == said["last_hook_at"]
    end = time.monotonic() + 20
    while monitor.get("/hook/status")["hooks"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert monitor.get("/hook/status")["polling"]


def test_a_session_is_not_kept_while_redis_is_away(own_server: Server, start: Callable[..., Running]) -> None:
    monitor = start(COORD_REDIS_URL=own_server.url)
    monitor.hook("UserPromptSubmit")
    assert own_server.process is not None
    own_server.process.send_signal(signal_module.SIGSTOP)  # it does not even refuse
    took = []
    for _ in range(3):
        began = time.monotonic()
        status, said = post(monitor, "/hook/stop", {"session_id": "a-session"})
        took.append(time.monotonic() - began)
        assert status == 503 and "Redis" in said["message"]
    assert max(took) < 10 and min(took) < 2, took
    os.kill(own_server.process.pid, signal_module.SIGCONT)
    own_server.kill()
    assert post(monitor, "/hook/stop", {"session_id": "a-session"})[0] == 503
    own_server.start()
    end = time.monotonic() + 20
    while post(monitor, "/hook/stop", {"session_id": "a-session"})[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    stream = monitor.stream()
    monitor.hook("UserPromptSubmit")
    stream.state("working")
    assert monitor.process is not None and monitor.process.poll() is None
