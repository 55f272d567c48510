"""A task's evidence is shown whole: check, patch, cost, and where its log is, though its worker has gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pool import usage
from pool.claim import Caller
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.session import eventually
from tests.unit.test_usage import MODEL

Submit = Callable[..., str]
Register = Callable[..., Caller]

pytestmark = pytest.mark.settings(worker_memory="1")


def test_all_of_it_is_shown_after_the_worker_has_been_forgotten(
    coord: Coord, pool: Pool, submit: Submit, register: Register, conn: redis.Redis, settings: Settings
) -> None:
    me = register("team-1")
    conn.hset("pool:worker:team-1", mapping={"supervisor": "team", "host": "build-7"})
    submit(id="t")
    handed = pool.claim(me).handed
    assert handed is not None
    rows = [usage.Used("t", MODEL, 2, 20, 10, 6000, 400, 3_480_000).row()]
    pool.charge(me, "s", 1, rows, settings.model_dump())
    report = {
        "command": "make test",
        "passed": True,
        "code": 0,
        "why": "",
        "seconds": 2.0,
        "output": "3 passed",
    }
    kept = {"check": json.dumps(report), "patch": "+one more line\n"}
    assert pool.complete(me, handed.claim, '"done"', evidence=kept, passed=True) == "done"
    pool.deregister(me, died=False, why="it has done enough")
    eventually(lambda: not conn.exists("pool:worker:team-1"), what="the worker to be forgotten")

    for command in (("result", "t", "--evidence"), ("task", "t")):
        found = coord.json(*command)["evidence"]
        assert (found["check"]["output"], found["patch"]) == ("3 passed", "+one more line\n")
        assert (found["cost"]["input"], found["cost"]["output"], found["cost"]["cache_read"]) == (
            20,
            10,
            6000,
        )
        assert found["cost"]["usd"] == pytest.approx(0.00348)
        assert found["log"] == {
            "worker": "team-1", "host": "build-7", "supervisor": "team", "command": "coord logs t",
        }  # fmt: skip
        text = coord(*command).out
        for words in ("passed after 2.0 s", "0.0035 USD: 2 requests", "coord logs t", "build-7", "team-1"):
            assert words in text, (command, words, text)
    shown = coord("result", "t", "--evidence").out
    assert "3 passed" in shown and "+one more line" in shown
    assert "task t: the log of team-1 is on build-7: run `coord logs` there" in coord.refused("logs", "t")


def test_a_failed_task_says_where_its_log_is_and_a_worker_without_a_supervisor_kept_none(
    coord: Coord, pool: Pool, submit: Submit, register: Register, conn: redis.Redis
) -> None:
    me = register("alone")
    submit(id="t", retries=0)
    assert coord.json("task", "t")["evidence"] == {"check": None, "patch": None, "cost": None, "log": None}
    handed = pool.claim(me).handed
    assert handed is not None
    pool.fail(me, handed.claim, "it cannot be done", retry=False)
    log = coord.json("result", "t", "--evidence", code=1)["evidence"]["log"]
    assert log == {"worker": "alone", "host": "host", "supervisor": "", "command": None}
    assert "none was kept: worker alone on host has no supervisor" in coord("task", "t").out
    # A plain rq worker leaves the field as it was: it is not taken for that worker's.
    conn.hset("rq:job:t", "worker_name", "rq-1")
    assert coord.json("task", "t")["evidence"]["log"]["host"] is None


def test_it_moves_with_an_export(
    coord: Coord, pool: Pool, submit: Submit, register: Register, conn: redis.Redis, tmp_path: Path
) -> None:
    me = register("w1")
    conn.hset("pool:worker:w1", "supervisor", "w1")
    submit(id="t")
    handed = pool.claim(me).handed
    assert handed is not None
    pool.complete(me, handed.claim, "1")
    before = coord.json("task", "t")["evidence"]
    path = tmp_path / "pool.jsonl"
    coord("export", "-o", path)
    conn.flushdb()
    coord("import", path)
    assert coord.json("task", "t")["evidence"] == before and before["log"]["supervisor"] == "w1"
