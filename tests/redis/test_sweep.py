"""What should not exist is found and put right: by the sweep, judged again in its script."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pool import keys, view
from pool import settings as settings_module
from pool.claim import Caller, Claim
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.redis.ticking import Ticking

Submit = Callable[..., str]
Register = Callable[..., Caller]

pytestmark = pytest.mark.settings(sweep="50ms")


@pytest.fixture
def coordinator(settings: Settings, conn: Any) -> Iterator[Ticking]:
    with Ticking(settings) as made:
        yield made


def claimed(pool: Pool, me: Caller) -> Claim:
    handed = pool.claim(me).handed
    assert handed is not None
    return handed.claim


def swept(coord: Coord) -> list[tuple[str, str]]:
    return [(row["task"], row["detail"]) for row in coord.json("events") if row["type"] == "swept"]


def test_a_queued_task_in_no_list(coord: Coord, coordinator: Ticking, conn: Any, submit: Submit) -> None:
    submit(id="lost")
    submit(id="next")
    queue = keys.key("queue", "tasks")
    assert conn.lpop(queue) == b"lost"  # as RQ's own dequeue of several queues does, dying just then
    coordinator.until(lambda: conn.lrange(queue, 0, -1) == [b"lost", b"next"])
    assert conn.delete(queue) == 1
    coordinator.until(lambda: sorted(conn.lrange(queue, 0, -1)) == [b"lost", b"next"])
    assert swept(coord)[0] == ("lost", "was in no queue")


def test_one_that_a_plain_worker_has_just_taken_is_left_to_it(
    coord: Coord, coordinator: Ticking, conn: Any, submit: Submit
) -> None:
    submit(id="t")
    aside = keys.key("intermediate", "tasks")
    conn.lmove(keys.key("queue", "tasks"), aside, "LEFT", "RIGHT")
    coordinator.during(0.3)
    assert conn.lrange(aside, 0, -1) == [b"t"] and swept(coord) == []
    conn.set(keys.key("first_seen", "tasks", "t"), f"{time.time() - 61:.6f}")  # for a minute
    coordinator.until(lambda: conn.lrange(keys.key("queue", "tasks"), 0, -1) == [b"t"])
    assert conn.lrange(aside, 0, -1) == []


def test_a_deferred_child_of_finished_parents(
    coord: Coord, coordinator: Ticking, conn: Any, submit: Submit
) -> None:
    submit(id="parent")
    submit(id="child", after=["parent"])
    submit(id="other")
    submit(id="patient", after=["other", "parent"])
    conn.hset(keys.key("job", "parent"), "status", "finished")  # as by one that died before it woke them
    conn.lrem(keys.key("queue", "tasks"), 0, "parent")
    coordinator.until(lambda: view.task(conn, "child").status == "queued")
    assert view.task(conn, "patient").status == "deferred", "it has another parent"
    assert ("child", "its parents were done") in swept(coord)


def test_a_run_without_a_lease_gets_one_and_is_judged_by_it(
    coord: Coord, coordinator: Ticking, conn: Any, pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="t")
    me = register()
    claim = claimed(pool, me)
    conn.zrem("pool:leases", "t")
    coordinator.until(lambda: conn.zscore("pool:leases", "t"))
    assert ("t", "had no lease") in swept(coord)
    assert pool.complete(me, claim, "null") == "done", "its holder loses nothing"


def test_a_leftover_of_the_started_registry(
    coord: Coord, coordinator: Ticking, conn: Any, pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="t")
    me = register()
    pool.complete(me, claimed(pool, me), "null")
    started = keys.key("started", "tasks")
    conn.zadd(
        started, {"t:7-0123456789abcdef": time.time() + 1000, "foreign:0123456789abcdef": time.time() + 1000}
    )
    coordinator.until(lambda: conn.zrange(started, 0, -1) == [b"foreign:0123456789abcdef"])
    assert ("t", "left over in the started registry") in swept(coord)


def test_a_task_whose_hash_has_expired_is_forgotten(coordinator: Ticking, conn: Any, submit: Submit) -> None:
    submit(id="gone")
    submit(id="there")
    conn.delete(keys.key("job", "gone"))
    coordinator.until(lambda: conn.zrange("pool:tasks", 0, -1) == [b"there"])


def test_a_lease_of_a_deleted_task_is_dropped(
    coordinator: Ticking, conn: Any, pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="t")
    claimed(pool, register())
    conn.delete(keys.key("job", "t"))
    conn.zadd("pool:leases", {"t": 1})
    coordinator.until(lambda: conn.zcard("pool:leases") == 0)


@pytest.mark.parametrize("retries", [0, 2])
def test_what_a_plain_worker_without_json_has_failed_unread_is_undone(
    coord: Coord, settings: Settings, conn: Any, submit: Submit, retries: int
) -> None:
    submit(id="t", retries=retries)
    submit(id="u", retries=retries, after=["t"], allow_failure=True)
    url = settings_module.redis_url(settings)
    plain = [sys.executable, "-P", "-m", "rq.cli", "worker", "--burst", "--name", "plain", "-u", url, "tasks"]
    done = subprocess.run(plain, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with Ticking(settings) as coordinator:
        coordinator.until(lambda: "mended t" in coordinator.lines)
    found = view.task(conn, "t")
    assert (found.status, found.attempts, found.losses, found.retries_left) == ("queued", 0, 0, retries)
    assert found.error == "plain cannot read tasks: start it with -S rq.serializers.JSONSerializer"
    assert view.task(conn, "u").status in ("queued", "deferred")
    assert [row["type"] for row in coord.json("events", "-t", "t")][-1] == "undone"


def test_ten_thousand_healthy_tasks_are_looked_at_without_touching_one(
    coord: Coord, coordinator: Ticking, conn: Any, pool: Pool, submit: Submit
) -> None:
    for _ in range(2500):
        submit()
    before = conn.lrange(keys.key("queue", "tasks"), 0, -1)
    calls = conn.info("commandstats").get("cmdstat_lpos", {"calls": 0})["calls"]
    began = time.monotonic()
    for _ in range(4):
        coordinator.service._sweep()
    assert time.monotonic() - began < 4
    assert conn.lrange(keys.key("queue", "tasks"), 0, -1) == before and swept(coord) == []
    assert conn.info("commandstats").get("cmdstat_lpos", {"calls": 0})["calls"] - calls <= 4 * 20
