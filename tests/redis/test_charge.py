"""Booking what sessions use: once, on the right task, and budgets that stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import keys, local, usage
from pool.claim import Caller, Claim
from pool.errors import RedisAway
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.test_accounts import account, job, worker
from tests.unit.test_usage import MODEL, line

Submit = Callable[..., str]
Register = Callable[..., Caller]
ONE = usage.Used("t", MODEL, 1, 10, 5, 3000, 200, 1_740_000)


def held(pool: Pool, submit: Submit, caller: Caller, **fields: Any) -> Claim:
    submit(id="t", **fields)
    offers = pool.connection.execute_command("HGET", keys.key("job", "t"), "pool_needs") or ""
    pool.connection.execute_command("HSET", f"pool:worker:{caller.worker}", "offers", offers)
    handed = pool.claim(caller).handed
    assert handed is not None
    return handed.claim


def day(conn: redis.Redis) -> dict[str, int]:
    (key,) = conn.keys("pool:cost:day:*")
    raw: Any = conn.hgetall(key)
    return {name.decode(): int(value) for name, value in raw.items()}


def test_it_is_booked_on_task_worker_account_and_day(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me = register("w1")
    held(pool, submit, me)
    assert pool.charge(me, "s", 1, [ONE.row()], settings.model_dump()) is False
    assert job(conn, "t", "pool_cost_requests", "pool_cost_input", "pool_cost_read", "pool_cost_nano") == [
        "1", "10", "3000", "1740000"
    ]  # fmt: skip
    assert worker(conn, me)["cost_nano"] == "1740000"
    found = day(conn)
    for what in ("all=all", "account=default", "worker=w1", f"model={MODEL}", "kind=task", "queue=tasks"):
        assert found[f"{what}:nano"] == 1740000 and found[f"{what}:requests"] == 1


def test_a_report_that_is_sent_again_is_booked_once(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me = register("w1")
    held(pool, submit, me)
    for _ in range(3):
        pool.charge(me, "s", 1, [ONE.row()], settings.model_dump())
    assert job(conn, "t", "pool_cost_requests") == ["1"]
    pool.charge(me, "s", 2, [ONE.row()], settings.model_dump())
    pool.charge(me, "other", 1, [ONE.row()], settings.model_dump())
    assert job(conn, "t", "pool_cost_requests") == ["3"]


def test_an_unknown_price_is_said_to_be_unknown(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me = register("w1")
    held(pool, submit, me)
    pool.charge(me, "s", 1, [usage.Used("t", "new", 2, 10, 5).row()], settings.model_dump())
    assert job(conn, "t", "pool_cost_unpriced", "pool_cost_nano", "pool_cost_requests") == ["2", "", "2"]


def test_without_a_task_it_is_idle_or_overhead(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me = register("w1")
    free = usage.Used("", MODEL, 1, 10, 5, 0, 0, 1000)
    submit(id="t")
    pool.charge(me, "s", 1, [free.row()], settings.model_dump())
    assert day(conn)["kind=overhead:requests"] == 1 and "idle_requests" not in worker(conn, me)
    assert pool.claim(me).handed
    pool.charge(me, "s", 2, [free.row()], settings.model_dump())
    assert day(conn)["kind=idle:requests"] == 1
    assert (worker(conn, me)["idle_requests"], worker(conn, me)["idle_tokens"]) == ("1", "15")


def test_a_task_that_is_gone_leaves_no_ghost(
    pool: Pool, conn: redis.Redis, register: Register, settings: Settings
) -> None:
    pool.charge(register("w1"), "s", 1, [ONE.row()], settings.model_dump())
    assert not conn.exists(keys.key("job", "t"))
    assert day(conn)["all=all:requests"] == 1


def test_beyond_its_budget_a_task_fails_for_good(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me = register("w1")
    claim = held(pool, submit, me, budget=0.002, retries=3)
    values = settings.model_dump()
    assert pool.charge(me, "s", 1, [ONE.row()], values) is False
    assert pool.charge(me, "s", 2, [ONE.row()], values) is True
    assert job(conn, "t", "status", "pool_error")[0] == "failed"
    assert "more than its budget" in job(conn, "t", "pool_error")[0]
    assert pool.beat(me, claim).verdict in ("lost", "ok")
    assert pool.claim(me).handed is None


def test_a_finished_task_is_never_failed_for_its_budget(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me = register("w1")
    claim = held(pool, submit, me, budget=0.0001)
    pool.complete(me, claim, "1")
    assert pool.charge(me, "s", 1, [ONE.row()], settings.model_dump()) is False
    assert job(conn, "t", "status", "pool_cost_requests") == ["finished", "1"]


@pytest.mark.settings(day_budget="default=0.003")
def test_a_days_budget_parks_the_account_until_the_next_day(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me, other = register("w1"), register("w2")
    conn.hset("pool:worker:w2", "account", "other")
    values = settings.model_dump()
    pool.charge(me, "s", 1, [ONE.row()], values)
    assert account(conn) == {}
    pool.charge(me, "s", 2, [ONE.row()], values)
    found = account(conn)
    assert found["state"] == "parked" and found["reason"].startswith("the budget of 0.00 USD for 20")
    assert float(found["until"]) % 86400 == 0 and 0 < float(found["until"]) - time.time() <= 86400
    submit(id="u")
    assert pool.claim(me, "new", 1.0).verdict == "parked"
    assert pool.claim(other).handed is not None


@pytest.mark.settings(day_budget="0.003")
def test_a_budget_of_all_accounts_parks_all(
    pool: Pool, conn: redis.Redis, register: Register, settings: Settings
) -> None:
    me = register("w1")
    conn.hset("pool:worker:" + register("w2").worker, "account", "other")
    pool.charge(me, "s", 1, [ONE.row(), ONE.row()], settings.model_dump())
    assert pool.claim(Caller("w2")).verdict == "parked"


def test_the_operators_day_is_the_coordinators(
    pool: Pool, conn: redis.Redis, register: Register, settings: Settings
) -> None:
    pool.lead("me", 60)
    assert pool.today("me", "2031-01-02", time.time() + 3600)
    assert not pool.today("another", "2031-01-03", time.time() + 3600)
    pool.charge(register("w1"), "s", 1, [ONE.row()], settings.model_dump())
    assert conn.exists("pool:cost:day:2031-01-02")


# -- from a transcript -----------------------------------------------------------------------------------


@pytest.fixture
def session(settings: Settings, register: Register) -> local.Session:
    """A worker's folder, begun long ago."""
    made = local.Session(settings.home, "boot-1-1-1")
    made.save(worker="w1", epoch=register("w1").epoch)
    made.hand("", "2026-01-01T00:00:00.000Z")
    return made


def test_a_transcript_is_booked_by_task_and_once(
    session: local.Session, pool: Pool, conn: redis.Redis, submit: Submit, settings: Settings, tmp_path: Path
) -> None:
    submit(id="a"), submit(id="b")
    session.hand("a", "2026-01-01T00:01:00.000Z")
    session.hand("", "2026-01-01T00:02:00.000Z")
    session.hand("b", "2026-01-01T00:03:00.000Z")
    path, values = tmp_path / "s.jsonl", settings.model_dump()
    path.write_text(
        "\n".join(
            [
                line("2025-12-31T23:59:59.000Z", "old", "r0"),  # a resumed session's past
                line("2026-01-01T00:01:10.000Z", "m1", "r1", tokens=(10, 1)),
                line("2026-01-01T00:01:11.000Z", "m1", "r1", tokens=(10, 5)),  # its next block
                line("2026-01-01T00:03:10.000Z", "m1", "r2"),  # another request, though of the same id
                line("2026-01-01T00:03:20.000Z", "m3", "r3")[:-20],  # not whole yet
            ]
        )
    )
    for _ in range(2):
        usage.look(session, pool, values, str(path))
    cost = "pool_cost_requests", "pool_cost_output", "pool_cost_nano"
    assert job(conn, "a", *cost) == ["1", "5", "1740000"]
    assert job(conn, "b", *cost) == ["1", "5", "1740000"]
    with path.open("a") as file:
        file.write(line("2026-01-01T00:03:20.000Z", "m3", "r3")[-20:] + "\n")
        file.write(line("2026-01-01T00:03:30.000Z", "m3", "r3", tokens=(10, 7)) + "\n")
        file.write(line("2026-01-01T00:01:30.000Z", "late", "r4") + "\n")
    usage.look(session, pool, values)
    assert job(conn, "b", *cost) == ["2", "12", "3520000"]
    assert job(conn, "a", *cost) == ["2", "10", "3480000"], "it came late, and belongs to the first"
    assert day(conn)["all=all:requests"] == 4


def test_sub_agents_count(
    session: local.Session, pool: Pool, conn: redis.Redis, submit: Submit, settings: Settings, tmp_path: Path
) -> None:
    submit(id="a")
    session.hand("a", "2026-01-01T00:01:00.000Z")
    path = tmp_path / "s.jsonl"
    path.write_text(line("2026-01-01T00:01:10.000Z") + "\n")
    (tmp_path / "s" / "subagents").mkdir(parents=True)
    (tmp_path / "s" / "subagents" / "agent-1.jsonl").write_text(
        line("2026-01-01T00:01:10.000Z", "m", "r9") + "\n"
    )
    usage.look(session, pool, settings.model_dump(), str(path))
    assert job(conn, "a", "pool_cost_requests") == ["2"]


class Deaf(Pool):
    """Books, and never hears the answer."""

    def run(self, name: str, *args: Any) -> list[Any]:
        super().run(name, *args)
        raise RedisAway("the line broke")


def test_a_lost_answer_books_nothing_twice(
    session: local.Session, pool: Pool, conn: redis.Redis, submit: Submit, settings: Settings, tmp_path: Path
) -> None:
    submit(id="a")
    session.hand("a", "2026-01-01T00:01:00.000Z")
    path, values = tmp_path / "s.jsonl", settings.model_dump()
    path.write_text(line("2026-01-01T00:01:10.000Z") + "\n")
    deaf = Deaf(pool.connection, values, keys.templates())
    with pytest.raises(RedisAway):
        usage.look(session, deaf, values, str(path))
    with path.open("a") as file:
        file.write(line("2026-01-01T00:01:20.000Z", "m2", "r2") + "\n")
    usage.look(session, pool, values)
    usage.look(session, pool, values)
    assert job(conn, "a", "pool_cost_requests") == ["2"]


def test_a_large_transcript_is_read_from_where_it_was_left_off(
    session: local.Session, pool: Pool, submit: Submit, settings: Settings, tmp_path: Path, conn: redis.Redis
) -> None:
    submit(id="a")
    session.hand("a", "2026-01-01T00:01:00.000Z")
    path, values = tmp_path / "s.jsonl", settings.model_dump()
    filler = '{"type":"user","message":"' + "x" * 100_000 + '"}\n'
    path.write_text(filler * 500)
    usage.look(session, pool, values, str(path))
    with path.open("a") as file:
        file.write(line("2026-01-01T00:01:20.000Z") + "\n")
    began = time.perf_counter()
    usage.look(session, pool, values)
    assert time.perf_counter() - began < 1.0
    assert job(conn, "a", "pool_cost_requests") == ["1"]


def test_a_disk_that_cannot_be_written_books_nothing(
    session: local.Session, pool: Pool, conn: redis.Redis, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("2026-01-01T00:01:10.000Z") + "\n")
    gone = local.Session(settings.home, "boot-1-2-2")
    assert usage.look(gone, pool, settings.model_dump(), str(path)) is False
    assert conn.keys("pool:cost:*") == []


def total(conn: redis.Redis) -> dict[str, int]:
    raw: Any = conn.hgetall("pool:cost:total")
    return {name.decode(): int(value) for name, value in raw.items()}


def test_what_was_used_since_ever_is_counted_by_kind_account_and_model(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me, values = register("w1"), settings.model_dump()
    held(pool, submit, me)
    for number in range(3):
        pool.charge(me, "s", number, [ONE.row()], values)
    for key in conn.keys("pool:cost:day:*"):
        conn.delete(key)  # as after cost_ttl
    pool.charge(me, "s", 3, [ONE.row()], values)
    found = total(conn)
    assert found[f"task default {MODEL}:requests"] == 4
    assert found[f"task default {MODEL}:nano"] == 4 * 1740000
    assert found[f"task default {MODEL}:read"] == 12000


def test_names_of_models_without_end_are_counted_as_other(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Register, settings: Settings
) -> None:
    me, values = register("w1"), settings.model_dump()
    held(pool, submit, me)
    for page in range(6):
        rows = [usage.Used("t", f"model-{page}-{n}", 1, 1, 1, 0, 0, 5).row() for n in range(100)]
        pool.charge(me, "s", page, rows, values)
    found = total(conn)
    assert found["task default other:requests"] == 100
    assert sum(value for name, value in found.items() if name.endswith(":nano")) == 3000
    pool.charge(me, "s", 9, [usage.Used("t", "model-0-1", 1, 1, 1, 0, 0, 5).row()], values)
    assert total(conn)["task default model-0-1:requests"] == 2
