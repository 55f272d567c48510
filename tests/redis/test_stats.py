"""coord stats: what the transitions count, compared with the truth of a known story."""

from __future__ import annotations

import itertools
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from coordinator.commands import stats as command
from pool import histogram, keys, stats
from pool.claim import Caller, Claim
from pool.errors import StaleClaim
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord

Register = Callable[..., Caller]
Submit = Callable[..., str]


def claimed(pool: Pool, me: Caller, ticket: str = "") -> Claim:
    handed = pool.claim(me, ticket).handed
    assert handed is not None
    return handed.claim


def numbers(conn: redis.Redis, queue: str, seconds: float = 3600.0) -> dict[str, Any]:
    (found,) = stats.read(conn, seconds, queue).queues
    return {name: value for name, value in vars(found).items() if value and isinstance(value, int)}


@pytest.mark.settings(loss_limit=2)
def test_every_number_of_a_known_story(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register
) -> None:
    me, other = register("w1", ("a",)), register("w2", ("b",))
    for n in range(5):
        submit(id=f"a{n}", queue="a", priority=("high", "normal", "low")[n % 3])
    first = claimed(pool, me)
    assert pool.complete(me, first, "1") == "done"
    assert pool.complete(me, first, "1") == "already"  # a replay is no second one
    pool.fail(me, claimed(pool, me), "no", retry=False)
    pool.release(me, claimed(pool, me), "later", delay=60.0)
    pool.deregister(me, died=True, why="killed")  # holds nothing: no loss
    pool.cancel("a4", "why not")
    submit(id="b0", queue="b", retries=1)
    late = claimed(pool, other)
    pool.fail(other, late, "once more")
    again = claimed(pool, other)
    pool.deregister(other, died=True, why="killed")
    with pytest.raises(StaleClaim):
        pool.complete(other, again, "1")
    with pytest.raises(StaleClaim):
        pool.fail(other, Claim("b0", "1-0000000000000000"), "no")
    last = register("w2", ("b",))
    pool.deregister(last, died=False, why="bye")
    last = register("w2", ("b",))
    claimed(pool, last)
    pool.deregister(last, died=True, why="killed")  # the second loss: poison
    pool.requeue("b0", "retry", "once more")

    assert numbers(conn, "a") == {
        "submitted": 5, "claimed": 3, "finished": 1, "failed": 1, "released": 1, "canceled": 1,
        "queued": 1, "scheduled": 1,
    }  # fmt: skip
    assert numbers(conn, "b") == {
        "submitted": 1, "claimed": 3, "retried": 1, "lost": 2, "poisoned": 1, "refused": 2, "failed": 1,
        "requeued": 1, "queued": 1,
    }  # fmt: skip


def test_what_comes_back_uncounted_and_what_is_refused_of_a_task_that_is_gone(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register
) -> None:
    me = register()
    submit(id="t")
    claimed(pool, me, "new")
    conn.zadd("pool:leases", {"t": 0})
    assert pool.reap("", False) == [("t", "queued", "unconfirmed")]
    with pytest.raises(StaleClaim):
        pool.complete(me, Claim("nobody", "1-1"), "1")
    assert numbers(conn, "tasks") == {"submitted": 1, "claimed": 1, "returned": 1, "queued": 1}
    assert conn.keys("pool:stats:") == [], "there is no queue without a name"


def test_waiting_and_running_times(pool: Pool, conn: redis.Redis, submit: Submit, register: Register) -> None:
    me = register()
    waits = (0.0, 3.0, 90.0, 86400.0 * 3, 86400.0 * 400)
    for n, wait in enumerate(waits):
        submit(id=f"t{n}")
        since = time.strftime("%Y-%m-%dT%H:%M:%S.250000Z", time.gmtime(time.time() - wait))
        conn.hset(keys.key("job", f"t{n}"), "enqueued_at", since)
        claim = claimed(pool, me)
        conn.hset(
            keys.key("execution", claim.task_id, claim.token), "created_at", str(time.time() - 10 * wait)
        )
        pool.complete(me, claim, "null")
    (found,) = stats.read(conn, 3600).queues
    assert found.claimed == found.finished == 5
    times = found.waiting
    assert times.median == pytest.approx(90, rel=0.11) and times.p90 == times.p99
    assert times.p90 == pytest.approx(histogram.bound(histogram.LAST), rel=0.11), "the last bucket has no end"
    assert times.mean == pytest.approx(sum(waits) / 5, rel=0.01)
    assert found.running_time.median == pytest.approx(900, rel=0.1)
    assert found.oldest is None
    submit(id="late")
    since = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 50))
    conn.hset(keys.key("job", "late"), "enqueued_at", since)
    assert stats.read(conn, 3600).queues[0].oldest == pytest.approx(50, abs=5)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.0101, 1.0, 59.99, 3600.0, 86399.0, 86400.0 * 30])
def test_the_script_and_python_agree_on_the_bucket(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, seconds: float
) -> None:
    me = register()
    submit(id="t")
    claim = claimed(pool, me)
    began = conn.time()
    created = began[0] + began[1] / 1e6 - seconds
    conn.hset(keys.key("execution", "t", claim.token), "created_at", f"{created:.6f}")
    pool.complete(me, claim, "null")
    took = stats.totals(conn, "tasks").get("r", 0) / 1000
    counts = histogram.parse("r", stats.totals(conn, "tasks")).counts
    assert sum(counts.values()) == 1
    (bucket,) = counts
    assert histogram.bucket_of(took - 0.001) <= bucket <= histogram.bucket_of(took + 0.001)


# -- windows -------------------------------------------------------------------------------------------


def age(conn: redis.Redis, minutes: int) -> None:
    """All that was counted so far was counted so long ago: every name and mark moves."""
    for raw in conn.scan_iter("pool:stats:*:minute:*"):
        _, _, queue, _, number = raw.decode().split(":")
        conn.rename(raw, f"pool:stats:{queue}:aged:{int(number) - minutes}")
    for raw in conn.scan_iter("pool:stats:*:aged:*"):
        conn.rename(raw, raw.decode().replace("aged", "minute"))
    for raw in list(conn.scan_iter("pool:stats:*:hour:*")):
        conn.delete(raw)
    for raw in list(conn.scan_iter("pool:stats:*:minute:*")):
        _, _, queue, _, number = raw.decode().split(":")
        name = f"pool:stats:{queue}:hour:{int(number) // 60}"
        before = conn.get(name)
        if before is None or len(before) > len(conn.get(raw) or b""):
            conn.set(name, conn.get(raw) or b"")
    for raw in conn.scan_iter("pool:stats:*"):
        if raw.count(b":") == 2:
            conn.hincrby(raw, "minute", -minutes)


def test_a_window_leaves_out_what_was_before(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register
) -> None:
    me = register()

    def work(count: int) -> None:
        for _ in range(count):
            submit()
            pool.complete(me, claimed(pool, me), "null")

    work(3)
    age(conn, 200)
    work(2)
    age(conn, 30)
    work(1)
    for seconds, finished in ((60, 1), (1200, 1), (1900, 3), (3 * 3600, 3), (4 * 3600, 6), (86400, 6)):
        found = stats.read(conn, seconds).queues[0]
        assert (found.finished, found.submitted, found.claimed) == (finished,) * 3, seconds
        assert sum(found.finished_by_slot) == finished
    by_minute = stats.read(conn, 4 * 3600).queues[0].finished_by_slot
    assert [sum(by_minute[:50]), sum(by_minute[150:225]), sum(by_minute[225:])] == [3, 2, 1]
    assert stats.totals(conn, "tasks")["submitted"] == 6


def test_snapshots_go_away_and_totals_stay(
    pool: Pool, conn: redis.Redis, submit: Submit, settings: Settings
) -> None:
    submit()
    ttl = {raw.decode().split(":")[3]: conn.ttl(raw) for raw in conn.scan_iter("pool:stats:tasks:*")}
    assert 6 * 3600 < ttl["minute"] <= 7 * 3600
    assert settings.stats_ttl < ttl["hour"] <= settings.stats_ttl + 7200
    assert conn.ttl("pool:stats:tasks") == -1


def test_the_cost_does_not_grow_with_the_backlog(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register
) -> None:
    def commands() -> int:
        conn.config_resetstat()
        stats.read(conn, 3600)
        found: Any = conn.info("commandstats")
        return sum(each["calls"] for each in found.values())

    submit()
    before = commands()
    for _ in range(300):
        submit()
    assert commands() == before
    assert len(list(conn.scan_iter("pool:stats:*"))) <= 5


# -- the command -----------------------------------------------------------------------------------------


def test_columns_add_up_to_the_window(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register
) -> None:
    me = register("w1", ("a", "b"))
    for n in range(4):
        submit(queue="ab"[n % 2])
    for _ in range(3):
        assert pool.complete(me, claimed(pool, me), "1") == "done"
    for seconds, slot in ((3600.0, 60), (86400.0, 3600), (7 * 86400.0, 3 * 3600)):
        found = stats.columns(conn, seconds)
        assert len(found) <= 60 and {b.at - a.at for a, b in itertools.pairwise(found)} == {slot}
        assert found[-1].at <= time.time() < found[-1].at + slot
        assert (sum(each.submitted for each in found), sum(each.finished for each in found)) == (4, 3)
        assert sum(each.waiting.count for each in found) == 3
        (one,) = stats.read(conn, seconds, "a").queues
        assert sum(each.finished for each in stats.columns(conn, seconds, "a")) == one.finished
    assert stats.columns(conn, 3600.0, "none")[-1].finished == 0


def test_stats_as_json(coord: Coord, pool: Pool, submit: Submit, register: Register) -> None:
    me = register()
    submit(id="t")
    submit(id="u", queue="other")
    pool.complete(me, claimed(pool, me), "null")
    found = coord.json("stats", "--since", "10m")
    assert found["slot"] == 60 and 600 <= found["seconds"] < 661
    assert [each["queue"] for each in found["queues"]] == ["other", "tasks"]
    tasks = found["queues"][1]
    assert (tasks["submitted"], tasks["claimed"], tasks["finished"], tasks["queued"]) == (1, 1, 1, 0)
    assert set(tasks["waiting"]) == {"count", "mean", "median", "p90", "p99", "max"}
    assert tasks["per_minute"] == pytest.approx(60 / found["seconds"])
    assert coord.json("stats", "-q", "other", "--since", "7d")["queues"][0]["submitted"] == 1


def test_stats_for_people(coord: Coord, pool: Pool, submit: Submit, register: Register) -> None:
    me = register()
    submit(id="t")
    submit(id="u")
    pool.complete(me, claimed(pool, me), "null")
    with coord.terminal("stats", columns=80) as shown:
        assert shown.end() == 0
    assert re.search(r"throughput +▕ *█ *▏ 1 finished, (1|0\.\d+)/h", shown.plain), shown.plain
    assert re.search(r"now +1 waiting \(the first for [\d.]+m?s\), 0 running", shown.plain)
    assert "2 submitted · 1 claimed · 1 finished" in shown.plain
    assert all(len(line) <= 80 for line in shown.plain.splitlines())
    lines = coord("stats").out.splitlines()
    assert len(lines) == 2 and dict(zip(lines[0].split(), lines[1].split(), strict=True))["finished"] == "1"


def test_stats_live(coord: Coord, submit: Submit) -> None:
    submit(id="t")
    with coord.terminal("stats", "--watch", columns=100) as shown:
        shown.until("1 submitted")
        submit(id="u")
        shown.until("2 submitted")
        assert shown.end(signal.SIGINT) == 130


def test_stats_of_nothing(coord: Coord) -> None:
    assert coord("stats").out == "no queues\n"
    assert coord.json("stats")["queues"] == []


def test_a_window_that_is_none(coord: Coord, submit: Submit) -> None:
    submit()
    for since in ("0", "10s", "31d"):
        assert "--since must be between 1m and 30d" in coord.refused("stats", "--since", since)
    assert "is not a duration" in coord.refused("stats", "--since", "soon")
    assert "there is no queue 'nope'" in coord.refused("stats", "-q", "nope")


def test_redis_is_away(coord: Coord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", "redis://127.0.0.1:1/0")
    assert "cannot be reached" in coord.refused("stats", code=5)


def test_pictures() -> None:
    assert command.bars([0, 1, 4, 8]) == " ▁▄█"
    assert command.bars([1, 1000]) == "▁█", "what is not nothing is seen"
    assert command.bars([0, 0]) == "  "
    assert command.grouped([1, 2, 3, 4, 5], 2) == [6, 9]
    assert [command.short(each) for each in (None, 0.04, 1.24, 200.0)] == ["-", "40ms", "1.2s", "3m 20s"]
