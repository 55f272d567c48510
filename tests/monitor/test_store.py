"""Records are changed by compare-and-set, and what is kept of sessions is bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis

from monitor import states
from monitor.signals import Signal
from monitor.store import Moved, Store
from pool import connect, events, scripts, sessions
from pool.sessions import Session
from pool.settings import Settings


@pytest.fixture
def store(settings: Settings, pool: scripts.Pool) -> Store:
    return Store(settings)


def seen(kind: str, at: float = 1000.0, session: str = "client-1", **fields: Any) -> Signal:
    return Signal(kind=kind, at=at, session=session, cwd="/work", **fields)


def write(store: Store, before: Session, signal: Signal) -> Session:
    after = replace(states.step(before, signal), revision=before.revision + 1)
    store.observe(before, after, signal)
    return after


def test_a_record_is_read_as_it_was_written(store: Store, conn: redis.Redis) -> None:
    made = write(store, Session("s-1"), seen("UserPromptSubmit", 1000.123456))
    assert sessions.read(conn, ["s-1"]) == [made]
    later = write(store, made, seen("PreToolUse", 1001.5, tool="Bash", tool_use_id="t1"))
    assert sessions.read(conn, ["s-1"]) == [later]
    assert conn.hget("pool:session-ids", "client-1") == b"s-1"


def test_a_stale_step_changes_nothing_and_is_told_what_is(store: Store, conn: redis.Redis) -> None:
    first = write(store, Session("s-1"), seen("UserPromptSubmit"))
    second = write(store, first, seen("Stop", 1001.0))
    length = conn.xlen("pool:events")
    with pytest.raises(Moved) as moved:
        write(store, first, seen("PreToolUse", 1002.0))
    assert moved.value.session == second
    assert conn.xlen("pool:events") == length and sessions.read(conn, ["s-1"]) == [second]


def test_one_client_is_one_session_whoever_heard_of_it_first(store: Store, conn: redis.Redis) -> None:
    first = write(store, Session("s-1"), seen("UserPromptSubmit"))
    with pytest.raises(Moved) as moved:
        write(store, Session("s-2"), seen("Stop", 1001.0))
    assert moved.value.id == "s-1" and moved.value.session == first
    assert not conn.exists("pool:session:s-2")


def test_a_session_that_turns_out_to_be_a_workers_is_one_record_with_it(
    store: Store, conn: redis.Redis
) -> None:
    known = write(store, Session("s-1"), seen("UserPromptSubmit"))
    worker = Session("w1", worker="w1")
    signal = Signal(kind="pool:registered", at=1001.0, session="client-1", worker="w1", entry="5-0")
    after = replace(states.step(worker, signal), revision=1)
    store.observe(worker, after, signal, absorbed=known)
    assert [each.id for each in sessions.every(conn)] == ["w1"]
    assert conn.hgetall("pool:session-ids") == {b"client-1": b"w1"}
    assert not conn.exists("pool:timeline:s-1")
    stale = replace(after, revision=2)
    with pytest.raises(Moved):
        store.observe(after, stale, signal, absorbed=known)


def test_the_clients_ids_that_a_session_had_lead_to_it(store: Store, conn: redis.Redis) -> None:
    known = Session("s-1")
    for number in range(12):
        known = write(store, known, seen("SessionStart", 1000.0 + number, f"client-{number}"))
    kept = set(conn.hkeys("pool:session-ids"))
    assert kept == {f"client-{number}".encode() for number in range(4, 12)}


def test_what_is_forgotten_leaves_nothing(store: Store, conn: redis.Redis) -> None:
    first = write(store, Session("s-1"), seen("UserPromptSubmit"))
    second = write(store, first, seen("SessionEnd", 1001.0, "client-2"))
    assert not store.forget(first)
    assert store.forget(second)
    assert not conn.keys("pool:session*") and not conn.keys("pool:timeline*")
    with pytest.raises(Moved) as moved:
        write(store, second, seen("Stop", 1002.0))
    assert moved.value.session is None


def test_events_of_sessions_push_out_no_transition(
    settings: Settings, pool: scripts.Pool, conn: redis.Redis
) -> None:
    store = Store(settings.model_copy(update={"monitor_event_limit": 10}))
    pool.pause("tasks", True)
    known = Session("s-1")
    for number in range(40):
        known = write(store, known, seen("UserPromptSubmit" if number % 2 else "Stop", 1000.0 + number))
        if number == 20:
            pool.pause("tasks", False)
    types = [row["type"] for row in events.latest(conn, 100)[::-1]]
    assert types.count("session") == 10 == conn.llen("pool:observed")
    assert [each for each in types if each != "session"] == ["paused", "resumed"]


def test_the_timeline_is_bounded(store: Store, conn: redis.Redis) -> None:
    known = Session("s-1")
    for number in range(500):
        known = write(store, known, seen("UserPromptSubmit" if number % 2 else "Stop", 1000.0 + number))
    assert 200 <= conn.xlen("pool:timeline:s-1") <= 320
    found = store.timeline("s-1")
    assert found[0]["kind"] == "UserPromptSubmit" and found[0]["state"] == "working"


def test_what_operators_do_pushes_out_no_transition_either(settings: Settings, conn: redis.Redis) -> None:
    limits = settings.model_copy(update={"event_limit": 50, "monitor_event_limit": 400})
    store, pool = Store(limits), connect.pool(limits, conn)
    for number in range(40):
        pool.pause("tasks", number % 2 == 0)
    known = Session("s-1")
    for number in range(390):
        known = write(store, known, seen("UserPromptSubmit" if number % 2 else "Stop", 1000.0 + number))
    pool.audit("login", "", "refused", "nobody", "127.0.0.1")
    types = [row["type"] for row in events.latest(conn, 1000)]
    assert types.count("paused") == types.count("resumed") == 20 and types.count("operator") == 1
