"""What the page shows of sessions and numbers, worked out without a browser."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from monitor.pages import charts, listing, text, timeline
from monitor.pages.listing import Wanted
from monitor.pages.numbers import Shared
from pool.sessions import Session, State

NOW = 1_800_000_000.0


def one(name: str, state: State = State.WAITING, age: float = 5.0) -> Session:
    return Session(name, state, since=NOW - age)


def names(found: listing.Found) -> list[str]:
    return [each.id for each in found.rows]


def test_who_needs_somebody_comes_first_and_who_ended_is_folded_away() -> None:
    gone = replace(one("gone", State.STOPPED), ended_at=NOW - 5)
    dead, long_dead = one("dead", State.DEAD), one("long-dead", State.DEAD, listing.FRESH + 1)
    dead, long_dead = replace(dead, ended_at=NOW - 5), replace(long_dead, ended_at=NOW - 700)
    asks, asked = one("asks", State.NEEDS_YOU, 1), one("asked", State.NEEDS_YOU, 99)
    everyone = [one("w10"), gone, one("w2"), dead, long_dead, asks, one("prompt", State.STOPPED), asked]
    found = listing.find(everyone, Wanted(), NOW)
    assert names(found) == ["asked", "asks", "dead", "w2", "w10", "prompt"]
    assert [each.id for each in found.ended] == ["gone", "long-dead"] and found.ended_count == 2
    assert [each.id for each in listing.needy(everyone)] == ["asked", "asks"]
    assert names(listing.find(everyone, Wanted(state="dead"), NOW)) == ["dead", "long-dead"]
    assert found.states[State.DEAD] == 2


def test_pages_are_cut_of_what_matches_and_odd_wishes_do_no_harm() -> None:
    everyone = [replace(one(f"w{number}"), cwd=f"/work/{number % 2}") for number in range(250)]
    assert len(names(listing.find(everyone, Wanted("W1 /work/1"), NOW))) == 56
    third = listing.find(everyone, Wanted(page=3), NOW)
    assert (third.first, len(third.rows), third.pages, third.total) == (201, 50, 3, 250)
    for page, expected in ((-5, 1), (10**9, 3)):
        assert listing.find(everyone, Wanted(sort="-none", state="none", page=page), NOW).page == expected


def test_a_timeline_adds_up_to_the_time_it_spans() -> None:
    rows = [
        {"id": "4-0", "at": str(NOW - 10), "state": "odd", "kind": "x", "detail": "odd"},
        {
            "id": "3-0",
            "at": str(NOW - 20),
            "state": "tool",
            "kind": "x",
            "detail": "w1 tool: hook Stop",
        },
        {"id": "2-0", "at": str(NOW - 60), "state": "working", "kind": "x", "detail": "y"},
        {"id": "1-0", "at": str(NOW - 100), "state": "working", "kind": "x", "detail": "y"},
    ]
    seen = timeline.entries(rows, NOW)
    assert [each.lasted for each in seen] == [10.0, 10.0, 40.0, 40.0]
    assert seen[1].detail == "hook Stop" and seen[0].state == ""
    band = timeline.band(seen, NOW)
    assert band is not None and band.sums == [("working", 80.0), ("tool", 20.0)]
    assert [round(box.width) for box in band.boxes] == [800, 200]
    assert timeline.band([], NOW) is None


def test_bars_fill_their_scale_and_lines_break_where_nothing_is_known() -> None:
    assert [charts.top_of(value) for value in (0, 0.3, 1, 3, 51, 1000)] == [1, 0.5, 1, 5, 100, 1000]
    boxes, full = charts.stacked([(4, 1), (0, 0)], ("a", "b"), ("first", "second"))
    assert full == 5 and sum(box.height for box in boxes) == charts.HEIGHT
    lines, labels = charts.times([("m", "one", [1.0, 10.0, None, 2.0])])
    assert len(lines[0].pieces) == 1 and len(lines[0].dots) == 1
    assert [label for _, label in labels] == ["1.0s", "10s"] and [y for y, _ in labels] == [100.0, 0.0]


def test_moments_and_amounts_as_people_read_them() -> None:
    assert (text.ago(NOW - 75, NOW), text.ago(NOW + 600, NOW)) == ("1m 15s", "in 10m")
    assert [text.usd(value) for value in (0, 0.0012, 12.5, 1234.5)] == [
        "$0",
        "$0.0012",
        "$12.50",
        "$1,234.50",
    ]
    assert (text.iso(1e30), text.clock(float("inf"), NOW), text.moment("nonsense")) == ("", "", 0.0)
    assert (text.big(999_999), text.big(318_000_000)) == ("999,999", "318.0M")


def test_while_redis_hangs_nobody_waits_for_the_one_before() -> None:
    shared = Shared()
    asked: list[int] = []

    def hang() -> int:
        asked.append(1)
        raise redis.TimeoutError("Timeout reading from socket")

    for name in ("numbers", "queues", "costs"):
        with pytest.raises(redis.TimeoutError):
            shared.get(name, hang)
    assert len(asked) == 1
