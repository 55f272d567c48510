"""Triggers: published as typed, or kept in a stream; what they may ask for; what becomes of bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from coordinator import triggers
from coordinator.service import Service
from pool import view
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.redis.ticking import Ticking
from tests.session import eventually

Submit = Callable[..., str]
STREAM, CHANNEL = "claude-triggers", "claude-trigger"


@pytest.fixture
def coordinator(settings: Settings, conn: Any) -> Iterator[Ticking]:
    with Ticking(settings) as made:
        yield made


def tasks(conn: Any) -> list[view.TaskView]:
    return view.tasks(conn, view.latest_ids(conn, 0, -1))


def letters(coord: Coord) -> list[dict[str, str]]:
    found: list[dict[str, str]] = coord.json("dead-letters")
    return found


# -- both ways in --------------------------------------------------------------------------------------


def test_published_as_typed(coord: Coord, conn: Any) -> None:
    child = coord.start("serve")
    eventually(lambda: conn.publish(CHANNEL, "Build and test suite"))
    (task,) = eventually(lambda: tasks(conn))
    assert (task.title, task.queue, task.priority, task.status) == (
        "Build and test suite",
        "tasks",
        "normal",
        "queued",
    )
    assert "cwd" not in view.fields(conn, task.id), "it is done where the worker is"
    conn.publish(CHANNEL, '{"prompt": "Deploy", "title": "Now", "queue": "ops", "priority": "high"}')
    eventually(lambda: len(tasks(conn)) == 2)
    latest = tasks(conn)[0]
    assert (latest.title, latest.queue, latest.priority) == ("Now", "ops", "high")
    child.terminate()
    _, said = child.communicate(timeout=10)
    assert child.returncode == 0 and f"published: task {task.id} queued" in said


def test_sent_while_no_coordinator_ran(coord: Coord, conn: Any) -> None:
    conn.xadd(STREAM, {"task": "first"})
    second = coord("trigger", "second").out.strip()
    conn.xadd(STREAM, {"task": '{"text": "third", "priority": "high"}'})
    conn.xadd(STREAM, {"task": "fourth", "title": "Fields", "queue": "gpu"})
    child = coord.start("serve")
    eventually(lambda: len(tasks(conn)) == 4)
    found = tasks(conn)[::-1]
    assert [each.title for each in found] == ["first", "second", "third", "Fields"]
    assert found[1].id == second, "its id was told when it was sent"
    assert (found[2].priority, found[3].queue) == ("high", "gpu")
    eventually(lambda: conn.xlen(STREAM) == 0, what="what is done is not kept for ever")
    assert conn.xpending(STREAM, "coord")["pending"] == 0
    child.kill()


def test_read_twice_is_one_task(
    coord: Coord, settings: Settings, conn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that dies between the submit and the acknowledgement."""
    monkeypatch.setattr(triggers, "_STALE_MS", 0)
    key = conn.xadd(STREAM, {"task": "Build"})
    with Ticking(settings) as first:
        pass  # (it has made the group, and stepped down)
    conn.xadd(STREAM, {"task": "Test"})
    dying = Service(settings, lambda line: None)
    ((_, entries),) = conn.xreadgroup("coord", "the dying one", {STREAM: ">"})
    dying.triggers.take(entries[0][1][b"task"], "stream", triggers.task_id(entries[0][0]))
    assert len(tasks(conn)) == 2 and conn.xpending(STREAM, "coord")["pending"] == 1
    with Ticking(settings) as second:
        assert f"stream: task {triggers.task_id(entries[0][0])} is there already" in second.lines
    assert len(tasks(conn)) == 2 and conn.xpending(STREAM, "coord")["pending"] == 0
    assert f"stream: task trigger-{key.decode()} queued" in first.lines and letters(coord) == []


def test_the_stream_may_be_deleted(coordinator: Ticking, conn: Any) -> None:
    conn.delete(STREAM)
    conn.xadd(STREAM, {"task": "after"})
    coordinator.until(lambda: len(tasks(conn)) == 1)


@pytest.mark.settings(trigger_channel="elsewhere", trigger_stream="own-stream")
def test_both_have_names_that_are_settings(coord: Coord, conn: Any) -> None:
    coord.start("serve")
    eventually(lambda: conn.publish("elsewhere", "published"))
    conn.xadd("own-stream", {"task": "kept"})
    eventually(lambda: {each.title for each in tasks(conn)} == {"published", "kept"})


# -- what it may ask for -------------------------------------------------------------------------------

POWERFUL: dict[str, object] = {
    "check": "rm -rf /", "cwd": "/", "context": ["/etc/passwd"], "read": ["/etc/passwd"], "retries": 5,
    "timeout": "1s", "after": ["x"], "unique": "k", "id": "mine", "run_in": "1h", "permissions": "all",
    "env": {"PATH": "/tmp"},
}  # fmt: skip


@pytest.mark.parametrize("field", POWERFUL)
def test_what_makes_it_powerful_is_refused(coord: Coord, coordinator: Ticking, conn: Any, field: str) -> None:
    message = json.dumps({"prompt": "x", field: POWERFUL[field]})
    conn.xadd(STREAM, {"task": message})
    coordinator.service.tick()
    assert tasks(conn) == []
    (letter,) = letters(coord)
    assert (
        letter["reason"]
        == f"it may not set {field!r} (the setting trigger_allow names what a trigger may set)"
    )
    assert (letter["kind"], letter["payload"]) == ("trigger", message)


@pytest.mark.settings(trigger_allow="cwd,check,retries,id")
def test_what_the_operator_allows(coord: Coord, coordinator: Ticking, conn: Any, submit: Submit) -> None:
    allowed = {"prompt": "x", "cwd": "/srv", "check": "make test", "retries": 2, "id": "mine"}
    conn.xadd(STREAM, {"task": json.dumps(allowed)})
    conn.xadd(STREAM, {"task": json.dumps(allowed | {"after": ["mine"]})})
    coordinator.service.tick()
    (task,) = tasks(conn)
    assert (task.id, task.retries_left) == ("mine", 2)
    assert view.fields(conn, "mine")["check"] == "make test"
    assert "it may not set 'after'" in letters(coord)[0]["reason"]
    conn.xadd(STREAM, {"task": '{"prompt": "another", "id": "mine"}'})
    coordinator.service.tick()
    assert "'mine' exists already" in letters(coord)[0]["reason"], "that is no message read twice"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b'{"prompt": "x"', "it starts with { but is not valid JSON"),
        (b"{}", "prompt: field required"),
        (b"  ", "prompt: it is empty"),
        (b"", "prompt: it is empty"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b'{"prompt": "\\ud800"}', "prompt: it is not valid text"),
        (b'{"prompt": 5}', "prompt: input should be a valid string"),
        (b'{"prompt": "x", "queue": "a:b"}', "is not a queue name"),
        (b'{"prompt": "x", "priority": "urgent"}', "'high', 'normal' or 'low'"),
        (b'{"prompt": "x", "title": "' + b"t" * 201 + b'"}', "(setting title_limit)"),
        (b'{"prompt": ' + b"9" * 5000 + b"}", "it starts with { but is not valid JSON"),
        (b'{"a":' * 10_000, "it starts with { but is n"),
        (b"x" * 65_537, "(setting trigger_limit)"),
    ],
    ids=range(13),
)
def test_a_bad_message_becomes_a_dead_letter_and_the_next_one_a_task(
    coord: Coord, coordinator: Ticking, conn: Any, message: bytes, reason: str
) -> None:
    conn.xadd(STREAM, {"task": message})
    conn.xadd(STREAM, {"task": "good"})
    coordinator.service.tick()
    assert [each.title for each in tasks(conn)] == ["good"]
    (letter,) = letters(coord)
    assert reason in letter["reason"] and letter["payload"] == message[:4096].decode("utf-8", "replace")
    assert conn.xlen(STREAM) == 0


def test_a_bad_publication_ends_nothing(coord: Coord, conn: Any) -> None:
    child = coord.start("serve")
    eventually(lambda: conn.publish(CHANNEL, b"\xff"))
    for message in (b"{", b'{"prompt": ' + b"9" * 5000 + b"}", b'{"prompt": "x", "check": "y"}', b"good"):
        conn.publish(CHANNEL, message)
    eventually(lambda: [each.title for each in tasks(conn)] == ["good"])
    assert len(letters(coord)) == 4
    assert child.poll() is None


def test_text_that_only_looks_like_json_is_text(coordinator: Ticking, conn: Any) -> None:
    for message in ("[1, 2]", '"quoted"', "$(rm -rf /) `x` ; echo", "a {b} c"):
        conn.xadd(STREAM, {"task": message})
    coordinator.service.tick()
    assert [view.fields(conn, each.id)["prompt"] for each in tasks(conn)[::-1]] == [
        "[1, 2]", '"quoted"', "$(rm -rf /) `x` ; echo", "a {b} c"
    ]  # fmt: skip
