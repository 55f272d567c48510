"""coord workers, drain, idle, pause, resume, queues and reap."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from pool import view
from pool.claim import Caller
from pool.scripts import Pool
from tests.redis.coord import Coord
from tests.session import eventually

Register = Callable[..., Caller]
Submit = Callable[..., str]

FIELDS = {"id", "state", "task", "last_heartbeat", "idle_left"}


@pytest.fixture
def three(pool: Pool, submit: Submit, register: Register) -> dict[str, Caller]:
    """One that waits in its Stop hook, one that works, one that is parked."""
    made = {name: register(name) for name in ("waits", "works", "parked")}
    pool.claim(made["waits"], "new", 30.0)
    submit("Sort the letters of the archive by their sender", id="sort")
    handed = pool.claim(made["works"]).handed
    assert handed is not None
    pool.beat(made["works"], handed.claim)
    pool.park(made["parked"], time.time() + 3600, "quota until noon")
    return made


# -- workers -------------------------------------------------------------------------------------------


def test_workers_as_json(coord: Coord, three: dict[str, Caller]) -> None:
    found = {each["id"]: each for each in coord.json("workers")}
    assert all(set(each) >= FIELDS for each in found.values())
    assert {name: each["state"] for name, each in found.items()} == {
        "waits": "waiting", "works": "working", "parked": "parked"
    }  # fmt: skip
    assert (found["works"]["task"], found["works"]["idle_left"]) == ("sort", None)
    assert 590 < found["waits"]["idle_left"] <= 600
    assert 0 <= found["waits"]["last_heartbeat"] < 10
    assert found["parked"]["evidence"] == "quota until noon" and found["parked"]["parked_until"]
    assert found["waits"]["evidence"] == "in its Stop hook" and found["waits"]["state_age"] >= 0


def test_of_very_many_the_idle_come_last(coord: Coord, three: dict[str, Caller]) -> None:
    cut = coord("workers", "--limit", "2").out
    assert "works" in cut and "parked" in cut and "waits" not in cut
    assert "... and 1 more (1 waiting): --limit 0 shows all" in cut
    assert "waits" in coord("workers", "--limit", "0").out and "waits" in coord("workers").out
    assert len(coord.json("workers", "--limit", "1")) == 3


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table(coord: Coord, three: dict[str, Caller], columns: int) -> None:
    with coord.terminal("workers", columns=columns) as shown:
        assert shown.end() == 0
    text = " ".join(shown.plain.split())
    for words in ("works working", "sort Sort the letters", "10m", "quota until noon", "host:1", "s ago"):
        assert words in text, words
    assert all(len(line.rstrip()) <= columns for line in shown.plain.splitlines() if "coord:" not in line)
    assert "no coordinator runs" in text


def test_no_workers_and_those_that_left(coord: Coord, pool: Pool, register: Register) -> None:
    assert coord("workers").out == "no workers\n"
    assert coord.json("workers") == []
    pool.deregister(register("gone"), died=True, why="its process is gone")
    assert coord.json("workers") == []
    assert [(each["id"], each["state"], each["idle_left"]) for each in coord.json("workers", "--all")] == [
        ("gone", "dead", None)
    ]


def test_a_thousand_workers_are_listed_quickly(coord: Coord, register: Register) -> None:
    for n in range(1000):
        register(f"worker-{n:04}")
    began = time.monotonic()
    found = coord.json("workers")
    listed = time.monotonic()
    lines = coord("workers").out.splitlines()
    printed = time.monotonic()
    assert len(found) == 1000 and len(lines) == 1001
    assert listed - began < 2 and printed - listed < 3


def test_watch_shows_what_happens_and_outlives_an_outage(
    coord: Coord, three: dict[str, Caller], submit: Submit, conn: Any
) -> None:
    with coord.terminal("workers", "--watch", columns=100) as shown:
        shown.until("3 workers: ")
        shown.until("tasks")
        assert "no coordinator runs" in shown.plain
        submit(id="next", queue="somewhere")
        shown.until("somewhere")
        conn.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        shown.more(2000)
        assert shown.end(signal.SIGINT) == 130
    assert "Traceback" not in shown.text


def test_watch_as_json_is_a_list_a_line(coord: Coord, three: dict[str, Caller]) -> None:
    child = coord.start("workers", "--watch", "--json")
    assert child.stdout is not None
    for _ in range(2):
        assert len(json.loads(child.stdout.readline())) == 3
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=10) == 130


# -- drain, idle ---------------------------------------------------------------------------------------


def test_drain(coord: Coord, three: dict[str, Caller], pool: Pool, conn: Any) -> None:
    done = coord("drain", "works", "waits")
    assert done.out == "works drains (holds sort)\nwaits drains\n"
    assert view.worker(conn, "waits").state == "draining"
    assert pool.claim(three["waits"], "new", 1.0).reason == "draining", "its Stop hook lets it stop"
    assert view.worker(conn, "waits").state == "stopped"
    assert coord("drain", "works", "--undo").out == "works goes on\n"
    assert view.worker(conn, "works").draining is False
    assert {each["id"] for each in coord.json("drain", "--all")} == {"works", "parked"}


def test_idle(coord: Coord, three: dict[str, Caller], conn: Any) -> None:
    assert coord("idle", "30m", "waits").out == "waits may idle for 30m\n"
    assert 1790 < (view.worker(conn, "waits").idle_left or 0) <= 1800
    coord("idle", "90", "--all")
    assert {view.worker(conn, name).idle_limit for name in three} == {90.0}


def test_who_is_meant_must_be_said_and_must_live(coord: Coord, three: dict[str, Caller]) -> None:
    assert "name workers, or give --all" in coord.refused("drain")
    assert "name workers, or give --all" in coord.refused("idle", "10m", "works", "--all")
    assert "'nobody' is no live worker" in coord.refused("drain", "works", "nobody")
    assert not any(each["draining"] for each in coord.json("workers")), "nothing was changed"


# -- queues --------------------------------------------------------------------------------------------


def test_pause_and_resume(coord: Coord, pool: Pool, submit: Submit, register: Register) -> None:
    submit(id="t")
    me = register()
    assert coord("pause", "tasks").out == "tasks: paused\n"
    assert coord("pause", "tasks").out == "tasks: paused (as before)\n"
    assert pool.claim(me).handed is None
    still = coord("resume", "--all")
    assert still.out == "all queues: running (as before)\n" and "tasks stay paused" in still.err
    assert coord("resume", "tasks").out == "tasks: running\n"
    coord("pause", "--all")
    assert pool.claim(me).handed is None
    assert "stay paused: `coord resume --all`" in coord("resume", "tasks").err
    assert coord.json("resume", "--all") == {"queue": None, "paused": False, "changed": True}
    assert pool.claim(me).handed is not None


def test_queues(coord: Coord, submit: Submit, register: Register) -> None:
    assert coord("queues").out == "no queues\n"
    submit(id="a", priority="high")
    submit(id="b", queue="gpu", run_in="1h")
    register(queues=("gpu",))
    assert "there is no queue 'later' yet" in coord("pause", "later").err
    found = {(each["queue"], each["priority"]): each for each in coord.json("queues")}
    assert found["tasks", "high"]["queued"] == 1 and found["tasks", "high"]["workers"] == 0
    assert found["gpu", "normal"]["scheduled"] == 1 and found["gpu", "normal"]["workers"] == 1
    assert found["later", "normal"]["paused"] is True and found["gpu", "normal"]["paused"] is False
    lines = coord("queues").out.splitlines()
    assert lines[0].split() == [
        "queue",
        "queued",
        "running",
        "scheduled",
        "deferred",
        "failed",
        "workers",
        "state",
    ]
    assert lines[2].split() == ["later", "0", "0", "0", "0", "0", "0", "paused"]


def test_a_wrong_queue(coord: Coord) -> None:
    assert "name a queue, or give --all" in coord.refused("pause")
    assert "is not a queue name" in coord.refused("resume", "tasks:high")


# -- reap ----------------------------------------------------------------------------------------------


@pytest.mark.settings(lease="0.5s")
def test_reap(coord: Coord, pool: Pool, submit: Submit, register: Register, conn: Any) -> None:
    submit(id="lost", timeout="1h")
    submit(id="slow", timeout="1s")
    dead, late = register("dead"), register("late")
    pool.claim(dead)
    pool.claim(late)
    assert coord("reap").out == "nothing to take back\n"
    eventually(lambda: not [each for each in view.workers(conn) if each.last_heartbeat < 1.1])
    assert coord.json("reap") == [{"task": "slow", "outcome": "failed", "reason": "timeout"}]
    assert coord("reap", "--expired").out.splitlines()[0] == "lost: queued (lost)"
    assert {each.id: each.state for each in view.workers(conn)} == {"dead": "dead", "late": "dead"}
