"""The JSON API and the actions of the real service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import redis
from pydantic import BaseModel

from monitor import actions, api, models
from pool import accounts, costs, events, listing, operate, scripts, stats, view
from pool.claim import Caller
from pool.sessions import Session
from tests.monitor.running import Running
from tests.redis.coord import Coord

Submit = Callable[..., str]
Register = Callable[..., Caller]


def act(monitor: Running, what: str, code: int = 200, **given: Any) -> Any:
    token = (monitor.folder / "home" / "monitor.token").read_text().strip()
    status, data, _ = monitor.request("POST", f"/action/{what}", given, {"Authorization": f"Bearer {token}"})
    assert status == code, (status, data)
    return json.loads(data)


def audited(conn: redis.Redis) -> list[dict[str, Any]]:
    return [row for row in events.latest(conn, 1000) if row["type"] == "operator"][::-1]


@pytest.mark.parametrize(
    ("shown", "known"),
    [
        (models.Task, view.TaskView), (models.Worker, view.WorkerView), (models.Times, stats.Times),
        (models.Cost, costs.Cost), (models.Costs, costs.Report), (models.Account, accounts.AccountView),
        (models.QueueStats, stats.QueueStats), (models.Stats, stats.Stats),
    ],
)  # fmt: skip
def test_fields_are_those_of_the_commands(shown: type[BaseModel], known: type[Any]) -> None:
    assert is_dataclass(known)
    assert set(shown.model_fields) == {each.name for each in fields(known)}


def test_fields_of_sessions_and_queues_are_those_of_their_records(conn: redis.Redis) -> None:
    # (What only the state machine goes by is not shown.)
    inner = {"calls", "helpers", "asks", "turn", "serves", "drains", "switches_at", "entry"}
    assert {each.name for each in fields(Session)} - set(models.Session.model_fields) <= inner
    assert set(models.Session.model_fields) <= {each.name for each in fields(Session)}
    assert set(models.Queue.model_fields) == {"queue", "priority", "paused", *listing.COUNTED}


def test_what_it_shows_is_what_the_commands_show(
    monitor: Running, coord: Coord, submit: Submit, register: Register, pool: scripts.Pool
) -> None:
    first, second = submit("one", title="First", queue="other"), submit("two", after=[], unique="u")
    register("w1", queues=("tasks", "other"))
    register("w2")
    pool.claim(Caller("w1", "1"))
    data = "/api/v1"
    listed = monitor.get(f"{data}/tasks")
    assert (
        listed["tasks"] == coord("tasks", "--json").json and listed["total"] == 2 and listed["next"] is None
    )
    for name in (first, second):
        assert monitor.get(f"{data}/tasks/{name}") | {"evidence": {}} == coord(
            "task", name, "--json"
        ).json | {"evidence": {}}
    assert monitor.get(f"{data}/queues")["queues"] == coord("queues", "--json").json
    moving = {"state_age": 0, "last_heartbeat": 0, "idle_left": 0, "age": 0}
    shown, said = monitor.get(f"{data}/workers")["workers"], coord("workers", "--json").json
    assert [each | moving for each in shown] == [each | moving for each in said]
    assert monitor.get(f"{data}/accounts")["accounts"] == coord("accounts", "--json").json
    assert (
        monitor.get(f"{data}/costs?by=worker")["rows"]
        == coord("cost", "--by", "worker", "--json").json["rows"]
    )
    found = monitor.get(f"{data}/stats?seconds=600")
    assert {each["queue"]: each["submitted"] for each in found["queues"]} == {"other": 1, "tasks": 1}
    assert monitor.get(f"{data}/status")["queued"] == 1


def test_pages_of_tasks_leave_nothing_out(monitor: Running, submit: Submit) -> None:
    made = [submit(f"number {number}", title=f"Title no{number}.") for number in range(25)]
    seen: list[str] = []
    cursor = "0"
    while cursor:
        page = monitor.get(f"/api/v1/tasks?limit=10&cursor={cursor}")
        seen += [each["id"] for each in page["tasks"]]
        cursor = page["next"]
    assert seen == made[::-1]
    found = monitor.get("/api/v1/tasks?q=title+no7.&status=queued")
    assert [each["title"] for each in found["tasks"]] == ["Title no7."]


def test_sessions_and_their_timelines(monitor: Running) -> None:
    for name in ("one", "two", "three"):
        monitor.hook("SessionStart", name, cwd=f"/work/{name}", source="startup")
    monitor.hook("PreToolUse", "two", cwd="/work/two", tool_name="Bash", tool_use_id="t1")
    found = monitor.get("/api/v1/sessions?limit=2")
    assert found["total"] == 3 and len(found["sessions"]) == 2
    rest = monitor.get(f"/api/v1/sessions?limit=2&cursor={found['next']}")
    assert rest["next"] is None and len(rest["sessions"]) == 1
    (two,) = monitor.get("/api/v1/sessions?state=tool&q=work/two")["sessions"]
    assert two["session"] == "two" and two["tool"] == "Bash"
    detail = monitor.get(f"/api/v1/sessions/{two['id']}")
    assert detail["session"] == two and len(detail["timeline"]) == 2
    assert monitor.request("GET", "/api/v1/sessions/nobody")[0] == 404
    assert monitor.get("/api/v1/status")["sessions"]["tool"] == 1


def test_events_in_pages(monitor: Running, submit: Submit) -> None:
    made = [submit("x") for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = monitor.get(f"/api/v1/events?type=submitted&limit=3&cursor={cursor}")
        seen += [row["task"] for row in page["events"]]
        cursor = page["next"]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/tasks/none", 404), ("/api/v1/tasks?limit=0", 422), ("/api/v1/tasks?status=odd", 422),
        ("/api/v1/tasks?cursor=-1", 422), ("/api/v1/events?cursor=x", 422), ("/api/v1/tasks/", 404),
        ("/api/v1/stats?seconds=nan", 422),
        ("/api/v1/stats?seconds=31000000", 422), ("/api/v1/costs?days=999", 422), ("/api/v1/nothing", 404),
        ("/api/v1/tasks/none/log", 404), ("/api/v1/sessions?state=odd", 422),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_is_one_line(monitor: Running, path: str, code: int) -> None:
    status, data, _ = monitor.request("GET", path)
    found = json.loads(data)
    assert status == code and set(found) == {"status", "message"}, (status, data)
    assert found["status"] == "error" and found["message"] and "\n" not in found["message"]


def test_an_operator_acts_and_is_written_down(
    monitor: Running, conn: redis.Redis, register: Register, pool: scripts.Pool
) -> None:
    made = act(
        monitor, "submit", prompt="do it", title="From the page", queue="other", check="true", cwd="/work"
    )
    assert made["status"] == "queued" and view.task(conn, made["id"]).needs == ["check"]
    assert act(monitor, "cancel", ids=[made["id"]])["tasks"] == [
        {"id": made["id"], "status": "canceled", "was": "queued", "worker": None}
    ]
    assert act(monitor, "retry", ids=[made["id"]])["tasks"][0]["status"] == "queued"
    register("w1")
    later = act(monitor, "submit", prompt="later", run_in="10m")["id"]
    assert act(monitor, "requeue", ids=[later])["tasks"][0]["was"] == "scheduled"
    pool.claim(Caller("w1", "1"))
    sent = act(monitor, "tell", target="w1", text="my password=hunter2 is in the file")
    assert (sent["worker"], sent["holds"]) == ("w1", later)
    drained = {"workers": [{"id": "w1", "draining": True, "task": later}]}
    assert act(monitor, "drain", workers=["w1"]) == drained
    assert act(monitor, "drain", all=True, undo=True)["workers"][0]["draining"] is False
    assert act(monitor, "pause", queue="other") == {"queue": "other", "paused": True, "changed": True}
    assert act(monitor, "resume", all=True) == {"queue": None, "paused": False, "changed": False}
    rows = audited(conn)
    assert [row["what"] for row in rows] == [
        "submit", "cancel", "retry", "submit", "requeue", "tell", "drain", "drain, undone", "pause", "resume",
    ]  # fmt: skip
    assert {(row["who"], row["address"]) for row in rows} == {("operator", "127.0.0.1")}
    assert rows[1]["task"] == rows[1]["target"] == made["id"] and "canceled" in rows[1]["outcome"]
    assert (rows[5]["worker"], rows[8]["queue"]) == ("w1", "other")
    assert "hunter2" not in repr(events.latest(conn, 1000))
    token = (monitor.folder / "home" / "monitor.token").read_text().strip()
    assert token not in repr(events.latest(conn, 1000)) and token not in monitor.log.read_text()
    shown = monitor.get("/api/v1/events?type=operator")["events"]
    assert [row["what"] for row in shown] == [row["what"] for row in rows][::-1]


def test_the_audit_log_by_the_command_line(monitor: Running, coord: Coord) -> None:
    act(monitor, "pause", queue="other")
    act(monitor, "cancel", code=404, ids=["none"])
    rows = coord("events", "--audit", "--json").json
    assert [(row["type"], row["what"]) for row in rows] == [("operator", "pause"), ("operator", "cancel")]
    assert rows[1]["outcome"].startswith("refused: there is no task 'none'")
    assert [row["type"] for row in coord("events", "--type", "paused", "--json").json] == ["paused"]


@pytest.mark.parametrize(
    ("what", "given", "code", "message"),
    [
        ("submit", {}, 422, "prompt: "), ("submit", {"prompt": " "}, 422, "prompt: it is empty"),
        ("submit", {"prompt": "x", "odd": 1}, 422, "odd: "),
        ("submit", {"prompt": "x", "context": ["/etc/passwd"]}, 422, "context: "),
        ("submit", {"prompt": "x", "cwd": "here"}, 422, "cwd: the directory is to be absolute"),
        ("submit", {"prompt": "x", "after": ["none"]}, 422, "it comes after 'none', which is no task"),
        ("submit", {"prompt": "\ud800"}, 422, "prompt: "), ("cancel", {"ids": []}, 422, "ids: "),
        ("cancel", {"ids": ["none"]}, 404, "there is no task 'none'"),
        ("retry", {"ids": ["t"]}, 409, "task t is queued and cannot be retried"),
        ("drain", {}, 422, "name workers, or give"), ("drain", {"workers": ["x"]}, 404, "no live worker"),
        ("pause", {}, 422, "name a queue"), ("pause", {"queue": "a:high"}, 422, "is not a queue name"),
        ("tell", {"target": "x", "text": "y"}, 404, "neither a live worker nor a task"),
        ("tell", {"target": "t", "text": " "}, 422, "the message is empty"), ("odd", {}, 404, "nothing here"),
    ],
)  # fmt: skip
def test_an_action_that_cannot_be_done_changes_nothing(
    monitor: Running, submit: Submit, conn: redis.Redis, what: str, given: Any, code: int, message: str
) -> None:
    submit("wait", id="t")
    found = act(monitor, what, code, **given)
    assert found["status"] == "error" and message in found["message"] and "\n" not in found["message"], found
    assert view.latest_ids(conn, 0, 10) == ["t"] and not conn.exists("pool:paused")


def test_bodies_that_are_no_json(monitor: Running) -> None:
    token = (monitor.folder / "home" / "monitor.token").read_text().strip()
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b'{"ids": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"NaN",
    ):
        headers = {"Authorization": f"Bearer {token}"}
        status, data, _ = monitor.request("POST", "/action/cancel", body, headers)
        assert status in (400, 422) and json.loads(data)["status"] == "error", (body[:20], status, data)
        status, data, _ = monitor.request("POST", "/hook/stop", body)
        assert status in (400, 422) and json.loads(data)["status"] == "error", (body[:20], status, data)


def test_secrets_are_hidden_in_what_is_shown(
    monitor: Running, submit: Submit, pool: scripts.Pool, register: Register
) -> None:
    key = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUv"
    task = submit(f"use {key}", title=f"Deploy with {key}")
    caller = register("w1")
    handed = pool.claim(caller).handed
    assert handed is not None
    pool.complete(
        caller, handed.claim, json.dumps({"said": f"password=hunter2 and {key}", "token": "abcdef"})
    )
    for path in ("/tasks", f"/tasks/{task}", f"/tasks/{task}/result", "/workers", "/events"):
        _, data, _ = monitor.request("GET", f"/api/v1{path}")
        assert b"sk-ant" not in data and b"hunter2" not in data and b"abcdef" not in data, path
    assert monitor.get(f"/api/v1/tasks/{task}")["title"] == "Deploy with [redacted]"
    monitor.hook("PermissionRequest", "one", tool_name="Bash", tool_input={"command": f"curl -H 'x: {key}'"})
    monitor.hook(
        "Notification", "two", message=f"Bearer {key}", notification_type="permission_prompt", cwd="/two"
    )
    for path in ("/sessions", "/events"):
        assert b"sk-ant" not in monitor.request("GET", f"/api/v1{path}")[1], path


def test_secrets_of_its_own_environment_are_hidden_before_anything_is_stored(
    start: Callable[..., Running], conn: redis.Redis, submit: Submit, register: Register, pool: scripts.Pool
) -> None:
    monitor = start(MY_API_TOKEN="it-looks-like-words", COORD_MONITOR_VIEWER_TOKEN="viewer-0123456789ab")
    monitor.hook(
        "Notification", "one", message="use it-looks-like-words", notification_type="permission_prompt"
    )
    submit("x", title="with viewer-0123456789ab")
    pool.claim(register("w1"))
    stream = monitor.stream(last="0-0")
    stream.until(lambda event: event["data"].get("worker") == "w1" and event["data"].get("record"))
    for key in conn.scan_iter("pool:session:*"):
        found = repr(conn.hgetall(key))
        assert "it-looks-like-words" not in found and "viewer-0123456789ab" not in found, found
    for path in ("/api/v1/sessions", "/api/v1/tasks", "/api/v1/events", "/", "/tasks"):
        data = monitor.request("GET", path)[1]
        assert b"it-looks-like-words" not in data and b"viewer-0123456789ab" not in data, path
    assert monitor.get("/api/v1/sessions?q=one")["sessions"][0]["needs"] == "use [redacted]"


def test_redis_away_is_said(
    start: Callable[..., Running], own_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    monitor = start()
    own_server.kill()
    for path in ("/api/v1/tasks", "/api/v1/status", "/api/v1/events"):
        status, data, headers = monitor.request("GET", path)
        assert status == 503 and json.loads(data)["status"] == "error" and headers["Retry-After"], path
    assert monitor.request("GET", "/openapi.json")[0] == 200


def test_everything_is_described(monitor: Running) -> None:
    found = monitor.get("/openapi.json")
    for path, methods in found["paths"].items():
        for each in methods.values():
            assert each.get("summary"), path
            assert each.get("description") or path.startswith("/hook/"), path
            for one in each.get("parameters", []):
                assert one["name"] in ("id", "limit", "cursor") or one.get("schema"), (path, one)
    ours = {
        name for each in (models, actions) for name in vars(each) if isinstance(getattr(each, name), type)
    }
    for name, each in found["components"]["schemas"].items():
        assert each.get("description") or "enum" in each, name
        for field, one in each.get("properties", {}).items():
            assert one.get("description") or name not in ours, (name, field)
    page = monitor.request("GET", "/docs")[1].decode()
    for path in found["paths"]:
        assert f"<code>GET {path}</code>" in page or f"<code>POST {path}</code>" in page, path
    assert "`" not in page and "<code>status=queued</code>" in page
    assert page.count("One of:") == sum("enum" in each for each in found["components"]["schemas"].values())
    assert '<nav aria-label="Pages">' in page  # it is a page of the product's, with its way back
    assert not re.search(r"<script(?! type=\"module\" src=\"/static/)|https?://|onclick|style=", page)
    assert {route.path for route in api.router.routes if hasattr(route, "path")} <= set(found["paths"])
    assert set(operate.__all__) >= {
        "cancel",
        "drain",
        "pause",
        "requeue",
        "resume",
        "retry",
        "submit",
        "tell",
    }
