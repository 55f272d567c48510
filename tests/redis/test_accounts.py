"""An account's quota: all of its workers wait, nothing is counted, all go on; a stopped one stays stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from pool import keys
from pool.claim import Caller
from pool.errors import NotRegistered
from pool.scripts import Pool

Submit = Callable[..., str]
Register = Callable[..., Caller]
LEADER = "leader"
WHY = "API error: rate_limit"


def worker(conn: redis.Redis, caller: Caller) -> dict[str, str]:
    raw: Any = conn.hgetall(f"pool:worker:{caller.worker}")
    return {name.decode(): value.decode() for name, value in raw.items()}


def account(conn: redis.Redis, name: str = "default") -> dict[str, str]:
    raw: Any = conn.hgetall(f"pool:account:{name}")
    return {field.decode(): value.decode() for field, value in raw.items()}


def job(conn: redis.Redis, task: str, *names: str) -> list[str]:
    found: Any = conn.hmget(keys.key("job", task), list(names))
    return [(value or b"").decode() for value in found]


@pytest.fixture
def two(conn: redis.Redis, pool: Pool, submit: Submit, register: Register) -> tuple[Caller, Caller]:
    """Two workers of one account, each with a task, and one of another account."""
    first, second = register("w1"), register("w2")
    submit(id="t1"), submit(id="t2")
    assert pool.claim(first).handed and pool.claim(second).handed
    conn.hset("pool:worker:" + register("other").worker, "account", "other")
    return first, second


def test_all_workers_of_the_account_wait_and_keep_their_tasks(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]
) -> None:
    idle = register_idle(pool, conn)
    reply = pool.account("park", until="+3600", reason=WHY, source="w1", caller=two[0])
    assert reply[0] == "default" and reply[2:] == ["3", "", "0"]
    for caller, task in zip(two, ("t1", "t2"), strict=True):
        assert worker(conn, caller)["state"] == "parked"
        assert job(conn, task, "status", "pool_attempts", "pool_parked") == ["started", "1", "1"]
        assert pool.beat(caller).claim is not None
    assert worker(conn, idle)["state"] == "parked"
    assert worker(conn, Caller("other"))["state"] == "starting"


def register_idle(pool: Pool, conn: redis.Redis) -> Caller:
    _, caller = pool.register("idle", "", "", "host", 1, ["tasks"], 600, 0, "/", ("2", "3", "0"))
    assert pool.claim(caller, "new", 20.0).verdict == "wait"
    return caller


@pytest.mark.settings(quota_jitter="30s")
def test_they_go_on_one_after_another(pool: Pool, conn: redis.Redis, register: Register) -> None:
    callers = [register(f"w{n}") for n in range(12)]
    before = time.time()
    pool.account("park", until="+3600", reason=WHY, caller=callers[0])
    ends = sorted(float(worker(conn, caller)["park_until"]) for caller in callers)
    assert before + 3599 < ends[0] and ends[-1] < before + 3600 + 40
    assert len({int(end) for end in ends}) > 6, "spread over the seconds"


def test_who_asks_or_registers_meanwhile_waits_too(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register
) -> None:
    pool.account("park", "default", "+3600", WHY, "operator")
    submit(id="t")
    late = register("late")
    look = pool.claim(late, "new", 20.0)
    assert look.verdict == "parked" and look.reason == WHY and 3500 < look.idle_left < 3700
    assert pool.claim(late, look.ticket, 20.0).verdict == "parked"
    assert job(conn, "t", "status") == ["queued"]
    assert conn.zcard("pool:waiters:tasks") == 0
    events: Any = conn.xrange("pool:events")
    assert [fields[b"type"] for _, fields in events].count(b"parked") == 1, "said once, not at each look"


def test_their_clocks_stand(pool: Pool, conn: redis.Redis, register: Register) -> None:
    caller = register("w1", idle=600.0)
    pool.account("park", until="+3600", reason=WHY, caller=caller)
    conn.hset("pool:worker:w1", mapping={"parked_at": time.time() - 500, "park_until": "1"})
    beat = pool.beat(caller)
    assert beat.state == "starting" and beat.idle_left > 590


def test_the_coordinator_ends_what_is_due(pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]) -> None:
    pool.lead(LEADER, 60)
    pool.account("park", until="+3600", reason=WHY, caller=two[0])
    assert pool.thaw(LEADER) == []
    make_due(conn, "default", two)
    assert sorted(pool.thaw(LEADER)) == [("account", "default", ""), ("park", "w1", ""), ("park", "w2", "")]
    assert account(conn) == {}
    assert [worker(conn, caller)["state"] for caller in two] == ["working", "working"]
    assert job(conn, "t1", "status", "pool_attempts", "pool_parked") == ["started", "1", ""]
    assert conn.zcard("pool:due") == 0


def make_due(conn: redis.Redis, name: str, callers: tuple[Caller, ...]) -> None:
    """The time of the account and of each of its workers has come."""
    conn.hset(f"pool:account:{name}", "until", "1")
    members: Any = conn.zrange("pool:due", 0, -1)
    conn.zadd("pool:due", dict.fromkeys(members, 1))
    for caller in callers:
        conn.hset(f"pool:worker:{caller.worker}", "park_until", "1")


def test_only_the_leader_ends_it(pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]) -> None:
    pool.account("park", until="+3600", reason=WHY, caller=two[0])
    make_due(conn, "default", two)
    assert pool.verdict("thaw", "somebody", 10) == ["not-leader"]
    assert account(conn)["state"] == "parked"


def test_a_plain_session_exits_so_its_task_waits_for_the_reset(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]
) -> None:
    reply = pool.account("park", until="+3600", reason=WHY, caller=two[0], how="ends")
    assert reply[3] == "t1"
    assert job(conn, "t1", "status", "pool_attempts", "pool_releases") == ["scheduled", "0", ""]
    due = conn.zscore(keys.key("scheduled", "tasks"), "t1")
    assert due is not None and abs(float(due) - time.time() - 3600) < 45
    assert "parked_at" not in worker(conn, two[0])


def test_a_later_report_of_the_same_reset_changes_nothing(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]
) -> None:
    at = time.time() + 3600
    pool.account("park", until=at, reason=WHY, caller=two[0])
    before = account(conn)
    pool.account("park", until=at, reason=WHY, caller=two[1])
    assert account(conn) == before
    pool.account("park", until=at + 600, reason=WHY, caller=two[1])
    assert float(account(conn)["until"]) == pytest.approx(at + 600)


def test_what_a_worker_has_asked_for_itself_stays(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]
) -> None:
    pool.park(two[1], 0, "a person")
    pool.account("park", until="+3600", reason=WHY, caller=two[0])
    assert worker(conn, two[1])["park_reason"] == "a person"
    pool.account("resume", "default", reason="operator")
    assert worker(conn, two[0])["state"] == "working"
    assert worker(conn, two[1])["state"] == "parked"


def test_a_stopped_account_claims_nothing_and_says_why(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller], register: Register
) -> None:
    why = "API error: billing_error; settle its bill"
    reply = pool.account("stop", reason=why, source="w1", caller=two[0])
    assert reply[3] == "t1"
    assert job(conn, "t1", "status", "pool_attempts", "pool_releases") == ["queued", "0", ""]
    assert job(conn, "t2", "status") == ["started"], "another's session may still be fine"
    assert worker(conn, two[0])["state"] == "stopped"
    assert worker(conn, two[0])["evidence"] == why
    later = register("later")
    look = pool.claim(later)
    assert (look.verdict, look.reason, look.idle_left) == ("parked", why, -1.0)
    look = pool.claim(later, "new", 20.0)
    assert (look.verdict, look.reason) == ("stop", f"its account is stopped: {why}")
    assert pool.claim(Caller("other")).handed is not None, "other accounts go on"


def test_a_stopped_account_stays_so_until_it_is_resumed(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller], register: Register
) -> None:
    pool.account("stop", reason="bill", caller=two[0])
    pool.account("park", until="+60", reason=WHY, caller=two[1])
    assert account(conn)["state"] == "stopped"
    assert job(conn, "t2", "status", "pool_attempts") == ["queued", "0"], "its turn was over"
    assert pool.account("resume", "default", reason="operator")[2] == "0"
    assert pool.claim(register("w3")).handed is not None
    assert pool.account("resume", "default", reason="operator")[2] == "-1", "there was nothing to resume"


def test_stopping_gives_back_what_waited_for_the_quota(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]
) -> None:
    pool.account("park", until="+3600", reason=WHY, caller=two[0])
    pool.account("stop", "default", reason="bill", source="operator")
    assert job(conn, "t1", "status", "pool_attempts") == ["queued", "0"]
    assert job(conn, "t2", "status", "pool_attempts") == ["queued", "0"]
    assert pool.claim(two[0], "new", 20.0).verdict == "stop"


def test_one_that_waits_for_its_account_may_be_drained(pool: Pool, register: Register) -> None:
    caller = register("w1")
    pool.account("park", until="+3600", reason=WHY, caller=caller)
    pool.tune("w1", "draining", "1")
    assert pool.claim(caller, "new", 20.0).verdict == "stop"


def test_all_accounts_at_once(pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]) -> None:
    pool.account("park", "*", "+3600", "the day's budget", "budget")
    assert pool.claim(Caller("other")).verdict == "parked"
    assert worker(conn, two[1])["state"] == "parked"
    pool.account("resume", "*", reason="operator")
    assert pool.claim(Caller("other")).verdict == "wait"


def test_an_error_that_passes_lets_this_worker_wait_alone_and_longer_each_time(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]
) -> None:
    waits = []
    for _ in range(3):
        pool.account("pause", reason="API error: overloaded", caller=two[0])
        waits.append(float(worker(conn, two[0])["park_until"]) - time.time())
    assert [round(wait, -1) for wait in waits] == [60, 120, 240]
    assert worker(conn, two[1])["state"] == "working" and account(conn) == {}
    pool.account("pause", reason="x", caller=two[0], how="ends")
    assert job(conn, "t1", "status", "pool_attempts") == ["scheduled", "0"]


def test_a_prompt_ends_what_an_error_began(pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]) -> None:
    pool.account("park", until="+3600", reason=WHY, caller=two[0], how="stalls")
    pool.prompt(two[0], person=True)
    assert worker(conn, two[0])["state"] == "working"
    assert "stalled" not in worker(conn, two[0])


def test_nobody_at_the_prompt_so_the_task_goes_back_after_the_grace(
    pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]
) -> None:
    pool.lead(LEADER, 60)
    pool.account("park", until="+3600", reason=WHY, caller=two[0], how="stalls")
    make_due(conn, "default", two)
    pool.thaw(LEADER)
    assert worker(conn, two[0])["state"] == "needs-you"
    assert worker(conn, two[1])["state"] == "working", "its turn had not ended with the error"
    assert conn.zrange("pool:due", 0, -1) == [b"grace w1"]
    conn.zadd("pool:due", {"grace w1": 1})
    assert pool.thaw(LEADER) == [("grace", "w1", "t1")]
    assert job(conn, "t1", "status", "pool_attempts", "pool_releases") == ["queued", "0", ""]
    assert pool.beat(two[0]).verdict == "lost"


def test_whoever_goes_on_in_time_keeps_it(pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]) -> None:
    pool.lead(LEADER, 60)
    pool.account("park", until="+3600", reason=WHY, caller=two[0], how="stalls")
    make_due(conn, "default", two)
    pool.thaw(LEADER)
    pool.prompt(two[0], person=False)
    conn.zadd("pool:due", {"grace w1": 1})  # had it been left
    assert pool.thaw(LEADER) == []
    assert job(conn, "t1", "status") == ["started"]


def test_a_stop_amid_the_parking_waits_instead_of_a_reminder(pool: Pool, two: tuple[Caller, Caller]) -> None:
    pool.account("park", until="+3600", reason=WHY, caller=two[0])
    assert pool.remind(two[1], "0", False) == ["parked"]


def test_a_stale_session_changes_nothing(pool: Pool, conn: redis.Redis, two: tuple[Caller, Caller]) -> None:
    with pytest.raises(NotRegistered):
        pool.account("stop", reason="x", caller=Caller("w1", "77"))
    assert account(conn) == {}
