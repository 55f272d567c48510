"""summon.lua: as many sessions are started as there are tasks which nobody is about to take."""

from __future__ import annotations

from collections.abc import Callable

import redis

from pool import process
from pool.claim import Caller
from pool.operate import submission
from pool.scripts import Pool

Submit = Callable[..., str]
Register = Callable[..., Caller]


def ask(pool: Pool, name: str, *queues: str, session: str = "") -> str:
    return pool.summon(name, queues or ("tasks",), 60.0, session)[0]


def test_one_session_for_each_task_and_none_without(pool: Pool, submit: Submit) -> None:
    assert ask(pool, "a") == "wait"
    submit()
    assert [ask(pool, name) for name in "abc"] == ["start", "wait", "wait"]
    submit(priority="low")
    assert [ask(pool, name) for name in "bc"] == ["start", "wait"]
    assert ask(pool, "b", session="off") == "off"
    assert ask(pool, "c") == "start", "where one stood down, another comes"


def test_who_asks_again_has_no_session(pool: Pool, submit: Submit) -> None:
    submit()
    assert ask(pool, "a") == "start"
    assert ask(pool, "a") == "start", "its own earlier place is not counted against it"


def test_workers_that_wait_are_left_the_task(pool: Pool, submit: Submit, register: Register) -> None:
    me = register("w1", process="boot-ns-1-1")
    pool.claim(me, "new", 5.0)
    submit()  # its doorbell rings: it is not waiting any more, and has not claimed yet
    assert ask(pool, "a") == "wait"
    submit()
    assert ask(pool, "a") == "start"


def test_workers_that_will_not_take_it_do_not_count(pool: Pool, submit: Submit, register: Register) -> None:
    submit()
    busy = register("busy")
    assert pool.claim(busy).handed
    register("elsewhere", queues=("other",))
    drains = register("drains")
    pool.claim(drains, "new", 5.0)
    pool.tune("drains", "draining", "1")
    parked = register("parked")
    pool.park(parked, 0, "quota")
    submit()
    assert ask(pool, "a") == "start"


def test_paused_queues_summon_nobody(pool: Pool, submit: Submit) -> None:
    submit()
    pool.pause("tasks", True)
    assert ask(pool, "a") == "wait"
    submit(queue="other")
    assert ask(pool, "a", "tasks", "other") == "start"
    pool.summon("a", ("tasks", "other"), 60.0, "off")
    pool.pause("*", True)
    assert ask(pool, "a", "tasks", "other") == "wait"


def test_how_far_a_session_has_come(pool: Pool, submit: Submit, register: Register) -> None:
    key = process.key(1)
    submit()
    assert ask(pool, "a") == "start"
    assert pool.summon("a", ("tasks",), 60.0, key) == ["coming", ""]
    me = register("w1", process=key)
    assert pool.summon("a", ("tasks",), 60.0, key) == ["coming", "w1"]
    assert ask(pool, "b") == "wait"
    pool.claim(me, "new", 5.0)
    assert pool.summon("a", ("tasks",), 60.0, key) == ["member", "w1"]
    submit()
    assert ask(pool, "b") == "start", "the first one's place is free again"
    pool.deregister(me, died=False, why="over")
    assert pool.summon("a", ("tasks",), 60.0, key) == ["coming", ""]


def test_a_session_that_never_came_is_believed_in_for_a_while_only(
    pool: Pool, submit: Submit, conn: redis.Redis
) -> None:
    submit()
    assert ask(pool, "a") == "start"
    conn.zadd("pool:coming:tasks", {"a": 1.0})
    assert ask(pool, "b") == "start"
    assert conn.zrange("pool:coming:tasks", 0, -1) == [b"b"]


def test_a_supervisor_that_is_ready_serves_its_queues(pool: Pool, conn: redis.Redis) -> None:
    assert submission.unserved(conn, ["tasks"]) == ["tasks"]
    ask(pool, "a")
    assert submission.unserved(conn, ["tasks", "other"]) == ["other"]
