"""`coord accounts`, and where else an account's state is told."""

from __future__ import annotations

from collections.abc import Callable

import redis

from pool.claim import Caller
from pool.scripts import Pool
from tests.redis.coord import Coord

Register = Callable[..., Caller]


def test_accounts_are_shown_parked_stopped_and_resumed(coord: Coord, register: Register, pool: Pool) -> None:
    assert coord("accounts").out == "no accounts\n"
    register("w1"), register("w2")
    assert [(each["name"], each["state"], each["workers"]) for each in coord.json("accounts")] == [
        ("default", "ok", 2)
    ]
    assert coord("accounts", "park", "default", "--for", "1h").out == "default is parked (2 workers wait)\n"
    (found,) = coord.json("accounts")
    assert (found["state"], found["parked"], found["source"]) == ("parked", 2, "operator")
    assert 3500 < found["left"] <= 3600 and found["until"].endswith("Z")
    assert "account default is parked for 59m" in coord("workers").err or "for 1h" in coord("workers").err
    assert coord("accounts", "resume", "default").out == "default is ok (2 workers go on)\n"
    assert coord("accounts", "resume", "default", code=1).out == "default: nothing to resume\n"


def test_a_stopped_account_is_told_everywhere_in_one_line(
    coord: Coord, register: Register, pool: Pool
) -> None:
    reason = "API error: billing_error; settle its bill"
    pool.account("stop", reason=reason, source="w1", caller=register("w1"))
    assert reason in coord("accounts").out
    line = f"coord: account default is stopped: {reason}; then `coord accounts resume default`\n"
    assert line in coord("workers").err
    assert coord("accounts", "park", "default", code=1).out == "default stays stopped: resume it first\n"
    found = coord("doctor", "--only", "accounts", "--json", code=1).json["findings"]
    (bad,) = [each for each in found if each["check"] == "accounts.barred"]
    assert reason in bad["seen"] and bad["remedy"] == "coord accounts resume default"


def test_an_operator_stops_an_account_by_name_and_all_at_once(coord: Coord, register: Register) -> None:
    register("w1")
    assert (
        coord("accounts", "stop", "default", "--reason", "enough").out
        == "default is stopped (1 workers stop)\n"
    )
    assert coord("accounts", "park", "*").out == "* is parked (1 workers wait)\n"
    assert "every account is parked until `coord accounts resume '*'`" in coord("workers").err


def test_an_account_that_nobody_uses_is_warned_of_and_forgotten(coord: Coord, register: Register) -> None:
    register("w1")
    for what in ("park", "stop"):
        done = coord("accounts", what, "slip")
        assert "no worker uses the account slip" in done.err
        assert [each["name"] for each in coord.json("accounts")] == ["default", "slip"]
        assert coord("accounts", what, "slip").err == ""
        coord("accounts", "resume", "slip")
        assert [each["name"] for each in coord.json("accounts")] == ["default"]
    assert coord("accounts", "park", "default").err == ""


def test_an_account_with_costs_stays_listed(coord: Coord, register: Register, conn: redis.Redis) -> None:
    conn.sadd("pool:accounts", "spent")
    assert coord("accounts", "park", "spent").err == ""
    coord("accounts", "resume", "spent")
    assert [each["name"] for each in coord.json("accounts")] == ["spent"]


def test_a_wrong_name_is_told(coord: Coord) -> None:
    assert "'no such!' is not an account" in coord("accounts", "stop", "no such!", code=2).line()
