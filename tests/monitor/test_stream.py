"""`GET /events`: what happens is told once, in order, and after a break from where it was broken."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from pool import events
from tests.monitor.running import Running


def test_a_hook_is_heard_by_who_listens(monitor: Running) -> None:
    stream = monitor.stream()
    said = monitor.hook("SessionStart", source="startup")
    assert said["status"] == "ok" and said["agent_id"].startswith("s-")
    data = stream.state("starting")
    assert data["session"] == said["agent_id"]
    assert data["record"]["session"] == "a-session" and data["record"]["cwd"] == "/work"
    monitor.hook("UserPromptSubmit", prompt="secret words")
    data = stream.state("working")
    assert "secret" not in str(data)


def test_what_the_pool_does_is_heard(monitor: Running, submit: Callable[..., str]) -> None:
    stream = monitor.stream("/events?types=pool")
    monitor.hook("SessionStart")
    task = submit("do it")
    found = stream.next()
    assert found is not None and found["event"] == "pool"
    assert found["data"]["type"] == "submitted" and found["data"]["task"] == task


def test_after_a_break_nothing_is_missing_and_nothing_comes_twice(
    monitor: Running, start: Callable[..., Running]
) -> None:
    stream = monitor.stream()
    for number in range(5):
        monitor.hook("UserPromptSubmit", f"s{number}")
    stream.until(lambda event: event["data"]["record"]["session"] == "s4")
    stream.close()
    for number in range(5, 10):
        monitor.hook("UserPromptSubmit", f"s{number}")
    last = stream.seen[-1]["id"]
    monitor.kill()
    again = start(port=monitor.port)
    later = again.stream(last=last)
    for number in range(10, 15):
        again.hook("UserPromptSubmit", f"s{number}")
    later.until(lambda event: event["event"] == "session" and event["data"]["record"]["session"] == "s14")
    heard = [
        event["data"]["record"]["session"]
        for event in stream.seen + later.seen
        if event["event"] == "session"
    ]
    assert heard == [f"s{number}" for number in range(15)]
    ids = [event["id"] for event in stream.seen + later.seen]
    assert len(set(ids)) == len(ids)


def test_what_is_not_there_any_more_is_said(monitor: Running, conn: redis.Redis) -> None:
    first = monitor.hook("SessionStart")["agent_id"]
    begin = events.newest(conn)
    for _ in range(3):
        monitor.hook("Stop")
    conn.xtrim("pool:events", maxlen=1, approximate=False)
    stream = monitor.stream(last=begin)
    found = stream.next()
    assert found is not None and found["event"] == "reset"
    monitor.hook("UserPromptSubmit")
    assert stream.state("working")["session"] == first


@pytest.mark.parametrize("last", ["99999999999999-0", "never", "1-x"])
def test_an_id_of_no_event_means_anew(monitor: Running, last: str) -> None:
    found = monitor.stream(last=last).next()
    assert found is not None and found["event"] == "reset"


def test_it_ends_when_asked_to_while_somebody_listens(monitor: Running) -> None:
    stream = monitor.stream()
    monitor.hook("SessionStart")
    stream.state("starting")
    began = time.monotonic()
    assert monitor.stop() == 0
    took = time.monotonic() - began
    assert stream.next() is None
    assert took < 5, took  # (about half a second; a loaded machine takes longer)


def test_only_what_was_asked_for(monitor: Running) -> None:
    first = monitor.hook("SessionStart", "one")["agent_id"]
    stream = monitor.stream(f"/events?session={first}&types=session")
    monitor.hook("SessionStart", "two", cwd="/elsewhere")
    monitor.hook("Stop", "one")
    found = stream.next()
    assert found is not None and found["data"]["session"] == first and found["data"]["kind"] == "Stop"
