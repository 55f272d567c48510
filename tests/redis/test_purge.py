"""coord purge: what ended long ago goes, with all its keys; nothing else does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from pool import keys, view
from pool.claim import Caller, Claim
from pool.scripts import Pool
from tests.redis.coord import Coord
from tests.redis.model.keyspace import Keyspace

Register = Callable[..., Caller]
Submit = Callable[..., str]
DAY = 86400.0


def claimed(pool: Pool, me: Caller) -> Claim:
    handed = pool.claim(me).handed
    assert handed is not None
    return handed.claim


def aged(conn: redis.Redis, days: float, *ids: str) -> None:
    """These were made, and have ended if they have, so many days earlier."""
    for name in ids:
        job = keys.key("job", name)
        for field in ("created_at", "ended_at"):
            if conn.hget(job, field):
                at = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - days * DAY))
                conn.hset(job, field, at)
        conn.zincrby("pool:tasks", -days * DAY, name)


@pytest.fixture
def one_of_each(pool: Pool, conn: redis.Redis, submit: Submit, register: Register) -> Caller:
    """A task in each state, all of them 40 days old; a child waits for the failed one."""
    me = register()
    submit(id="finished", unique="key")
    pool.complete(me, claimed(pool, me), '"well"', [("a.txt", b"a")])
    submit(id="failed")
    submit(id="child", after=["failed"])
    pool.fail(me, claimed(pool, me), "no", retry=False)
    submit(id="canceled")
    pool.cancel("canceled", "no")
    submit(id="late", queue="other", run_in="1h")
    submit(id="started")
    claimed(pool, me)
    submit(id="queued")
    aged(conn, 40, "finished", "failed", "child", "canceled", "late", "started", "queued")
    return me


LIVE = {"failed", "child", "late", "started", "queued"}


def there(conn: redis.Redis) -> set[str]:
    return {each.id for each in view.tasks(conn, view.latest_ids(conn, 0, -1))}


def traces(conn: redis.Redis, name: str) -> list[str]:
    """Every key that has its name, or holds it; but for the events."""
    now = Keyspace(conn)
    found = []
    for family, values in now.families.items():
        for parts, value in values.items():
            held = [value] if isinstance(value, str) else value
            if name in parts or (family not in ("job", "stats") and name in held):
                found.append(" ".join((family, *parts)))
    return found


def test_what_ended_long_ago_goes_with_all_its_keys(
    coord: Coord, conn: redis.Redis, one_of_each: Caller
) -> None:
    assert len(traces(conn, "finished")) >= 4
    done = coord("purge", "--older-than", "30d", "--yes")
    assert done.out == "deleted 2 tasks (1 canceled, 1 finished)\nkept 1 that other tasks still wait for\n"
    assert there(conn) == LIVE
    assert traces(conn, "finished") == traces(conn, "canceled") == []
    event = coord.json("events", "-n", "1")[-1]
    assert (event["type"], event["detail"]) == ("purged", "2 tasks")


def test_only_what_is_old_enough(coord: Coord, conn: redis.Redis, one_of_each: Caller) -> None:
    assert coord.json("purge", "--older-than", "41d", "--yes")["deleted"] == 0
    aged(conn, -20, "canceled")
    assert coord.json("purge", "--older-than", "30d", "--yes") == {
        "dry_run": False, "deleted": 1, "canceled": 0, "failed": 0, "finished": 1, "awaited": 1, "expired": 0,
    }  # fmt: skip
    assert there(conn) == LIVE | {"canceled"}


def test_it_is_the_end_that_counts(coord: Coord, pool: Pool, conn: redis.Redis, one_of_each: Caller) -> None:
    pool.requeue("failed", "retry", "once more")
    pool.complete(one_of_each, Claim("started"), "1")
    assert coord.json("purge", "--older-than", "30d", "--yes")["finished"] == 1
    assert "started" in there(conn), "it was made long ago, but ended now"


def test_states_and_queues(coord: Coord, conn: redis.Redis, one_of_each: Caller) -> None:
    assert coord.json("purge", "--older-than", "30d", "-s", "failed", "--yes")["deleted"] == 0
    assert coord.json("purge", "--older-than", "30d", "-q", "other", "--yes")["deleted"] == 0
    assert coord.json("purge", "--older-than", "30d", "-s", "canceled,failed", "--yes")["deleted"] == 1
    assert there(conn) == LIVE | {"finished"}


def test_a_parent_goes_when_nobody_waits_any_more(
    coord: Coord, pool: Pool, conn: redis.Redis, one_of_each: Caller
) -> None:
    pool.cancel("child", "no")
    assert coord.json("purge", "--older-than", "30d", "--yes")["failed"] == 1
    assert "child" in there(conn) and "failed" not in there(conn)
    assert traces(conn, "failed") == ["dependencies child"]


def test_a_dry_run_changes_nothing(coord: Coord, conn: redis.Redis, one_of_each: Caller) -> None:
    before = Keyspace(conn)
    done = coord("purge", "--older-than", "30d", "--dry-run")
    assert done.out.splitlines()[0] == "would delete 2 tasks (1 canceled, 1 finished)"
    after = Keyspace(conn)
    assert (after.families, after.events) == (before.families, before.events)


def test_entries_of_expired_tasks(coord: Coord, conn: redis.Redis, one_of_each: Caller) -> None:
    conn.delete(keys.key("job", "finished"))
    assert coord.json("purge", "--older-than", "30d", "--dry-run")["expired"] == 1
    assert coord("purge", "--older-than", "30d", "--yes").out.splitlines()[1] == (
        "dropped 1 entries of expired tasks"
    )
    assert conn.zscore("pool:tasks", "finished") is None


def test_one_that_rq_cancelled(coord: Coord, conn: redis.Redis, submit: Submit) -> None:
    submit(id="t")
    queue = Queue("tasks", connection=conn, serializer=JSONSerializer)
    Job.fetch("t", connection=conn, serializer=JSONSerializer).cancel()
    aged(conn, 40, "t")
    assert queue.canceled_job_registry.get_job_ids(cleanup=False) == ["t"]
    assert coord.json("purge", "--older-than", "30d", "--yes")["deleted"] == 0, "it was cancelled just now"
    conn.zadd(keys.key("canceled", "tasks"), {"t": time.time() - 31 * DAY})
    assert coord.json("purge", "--older-than", "30d", "--yes")["canceled"] == 1
    assert traces(conn, "t") == []


def test_many_in_batches(
    coord: Coord, pool: Pool, conn: redis.Redis, submit: Submit, register: Register
) -> None:
    ids = [submit(id=f"t{n}") for n in range(1234)]
    for name in ids:
        pool.cancel(name, "no")
    aged(conn, 40, *ids[:1200])
    same = dict.fromkeys(ids[:1100], 1e9)  # all of them made in one moment: more than a page
    conn.zadd("pool:tasks", same)
    assert coord.json("purge", "--older-than", "30d", "--yes")["deleted"] == 1200
    assert there(conn) == set(ids[1200:])


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(moves=st.lists(st.tuples(st.integers(0, 5), st.sampled_from("cfkxp")), max_size=30))
def test_whatever_happened_only_ended_tasks_go(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, moves: list[tuple[int, str]]
) -> None:
    conn.flushall()
    me = register()
    for n in range(6):
        submit(id=f"t{n}", after=[f"t{n - 2}"] if n > 1 else [])
    for n, move in moves:
        if move == "k":
            pool.cancel(f"t{n}", "no")
        elif move == "x":
            pool.requeue(f"t{n}", "retry", "again")
        elif move == "p":
            pool.purge(0, ["finished", "failed", "canceled"], "", False, [f"t{n}"])
        elif (handed := pool.claim(me).handed) is not None:
            if move == "c":
                pool.complete(me, handed.claim, "1")
            else:
                pool.fail(me, handed.claim, "no")
    before = {each.id: each for each in view.tasks(conn, view.latest_ids(conn, 0, -1))}
    waited_for = {parent for each in before.values() if each.status == "deferred" for parent in each.after}
    pool.purge(0, ["finished", "failed", "canceled"], "", False, list(before))
    gone = before.keys() - there(conn)
    assert all(before[name].status in ("finished", "failed", "canceled") for name in gone)
    assert not gone & waited_for


# -- asking, and bad input -----------------------------------------------------------------------------


def test_it_asks_before_it_deletes(coord: Coord, conn: redis.Redis, one_of_each: Caller) -> None:
    for answer, code, left in (("n", 1, LIVE | {"finished", "canceled"}), ("y", 0, LIVE)):
        with coord.terminal("purge", "--older-than", "30d") as shown:
            shown.until("Delete 2 tasks (1 canceled, 1 finished) for good? [y/N]")
            shown.type(f"{answer}\n")
            assert shown.end() == code
        assert there(conn) == left


def test_nobody_is_there_to_be_asked(coord: Coord, conn: redis.Redis, one_of_each: Caller) -> None:
    done = coord.process("purge", "--older-than", "30d")
    assert done.code == 2 and "give --yes" in done.line()
    assert there(conn) == LIVE | {"finished", "canceled"}


def test_bad_input(coord: Coord, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--older-than" in coord.refused("purge")
    assert "is not a duration" in coord.refused("purge", "--older-than", "old", "--yes")
    assert "'queued' is not one of canceled, failed, finished" in coord.refused(
        "purge", "--older-than", "1d", "-s", "finished,queued", "--yes"
    )
    assert "is not a queue name" in coord.refused("purge", "--older-than", "1d", "-q", "a b", "--yes")
    monkeypatch.setenv("COORD_REDIS_URL", "redis://127.0.0.1:1/0")
    assert "cannot be reached" in coord.refused("purge", "--older-than", "1d", "--yes", code=5)
