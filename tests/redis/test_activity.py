"""What workers did, counted by the minute: once each, and unknown where nobody counted."""

from __future__ import annotations

import itertools

import redis

from pool import activity, view
from pool.sessions import Session, State


def test_only_workers_that_live_are_counted() -> None:
    def one(state: State, worker: str = "w", ended: float = 0.0) -> Session:
        return Session("s", state, worker=worker, ended_at=ended)

    found = [one(State.TOOL), one(State.WORKING), one(State.WAITING), one(State.PARKED), one(State.NEEDS_YOU)]
    found += [one(State.WORKING, worker=""), one(State.DEAD, ended=5.0), one(State.STOPPED)]
    assert activity.counts(found) == [2, 1, 1, 1]


def test_a_minute_is_kept_once_and_read_in_columns(conn: redis.Redis) -> None:
    now = int(view.server_time(conn) // 60)
    assert activity.keep(conn, [3, 0, 0, 1], 3600)
    assert 3600 < int(str(conn.ttl(f"pool:activity:{now // 1440}"))) <= 3600 + 86400
    for minute, text in (
        (now - 1, "1 0 0 1"),
        (now - 2, "1 0 0 3"),
        (now - 90, "no numbers"),
        (now - 91, "1"),
    ):
        conn.hsetnx(f"pool:activity:{minute // 1440}", str(minute % 1440), text)
    found = activity.read(conn, 7200.0, most=40)
    assert len(found) == 40
    assert {round(b.at - a.at) for a, b in itertools.pairwise(found)} == {180}
    assert sum(each.minutes for each in found) == 3
    total = [sum(each.means[place] * each.minutes for each in found) for place in range(4)]
    assert [round(each, 6) for each in total] == [5.0, 0.0, 0.0, 5.0]
    assert not found[0].minutes and found[0].means == [0.0] * 4


def test_of_two_monitors_one_says_it(conn: redis.Redis) -> None:
    before = int(view.server_time(conn) // 60)
    first = [activity.keep(conn, [number, 0, 0, 0], 3600) for number in (1, 2, 3)]
    again = int(view.server_time(conn) // 60) - before  # (a minute may have begun meanwhile)
    assert sum(first) == 1 + again and first[0]
