"""`coord cost`, and where else costs and the idle meter are shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pool import usage
from pool.claim import Caller
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.unit.test_usage import MODEL

Submit = Callable[..., str]
Register = Callable[..., Caller]


@pytest.fixture
def spent(pool: Pool, submit: Submit, register: Register, settings: Settings) -> Caller:
    """Two tasks of a worker, one request without a task, and one of a model without a price."""
    me, values = register("w1"), settings.model_dump()
    submit(id="a"), submit(id="b", queue="tasks")
    assert pool.claim(me).handed
    rows = [usage.Used("a", MODEL, 2, 20, 10, 6000, 400, 3_480_000), usage.Used("b", "new", 1, 1, 2)]
    pool.charge(me, "s", 1, [each.row() for each in rows], values)
    pool.cancel("b", "no")
    pool.charge(me, "s", 2, [usage.Used("", MODEL, 1, 10, 5, 0, 0, 140_000).row()], values)
    return me


def test_cost_by_all_there_is(coord: Coord, spent: Caller) -> None:
    for by, names in (
        ("task", ["a", "b"]), ("worker", ["w1"]), ("account", ["default"]), ("queue", ["tasks"]),
        ("model", [MODEL, "new"]), ("kind", ["idle", "task"]),
    ):  # fmt: skip
        found = coord.json("cost", "--by", by)
        assert sorted(each["name"] for each in found["rows"]) == names, by
    (day,) = coord.json("cost")["rows"]
    assert (day["requests"], day["input"], day["unpriced"]) == (4, 31, 1)
    assert day["usd"] == pytest.approx(0.00362)
    found = coord.json("cost")
    assert (found["idle"]["requests"], found["idle"]["input"]) == (1, 10)


def test_cost_for_people(coord: Coord, spent: Caller) -> None:
    text = coord("cost", "--by", "task").out
    assert "0.0035" in text and "unknown" in text
    assert text.endswith(f"idle: 1 requests, 15 tokens since {coord.json('cost')['since']}\n")
    assert "cost" in coord("task", "a").out and "0.0035 USD: 2 requests" in coord("task", "a").out
    assert coord.json("task", "a")["cost"]["cache_read"] == 6000
    assert coord.json("stats")["idle"]["requests"] == 1
    (worker,) = coord.json("workers")
    assert (worker["requests"], worker["idle_requests"]) == (4, 1)
    assert worker["usd"] == pytest.approx(0.00362)


def test_nothing_was_used(coord: Coord) -> None:
    assert coord("cost").out.startswith("nothing was used since 20")
    assert coord.json("cost", "--by", "task")["rows"] == []


def test_wrong_days_are_told(coord: Coord) -> None:
    assert "--since must be between 1d and 400d" in coord("cost", "--since", "900d", code=2).line()


def test_a_purged_task_costs_nothing_any_more_but_its_day_knows(
    coord: Coord, spent: Caller, pool: Pool
) -> None:
    pool.purge(0, ["canceled"], "", False, ["b"])
    assert [each["name"] for each in coord.json("cost", "--by", "task")["rows"]] == ["a"]
    assert coord.json("cost")["total"]["requests"] == 4
