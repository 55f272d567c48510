"""When a schedule ticks: expressions, zones, and the nights on which clocks are changed."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pool import cron

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


def ticks(expression: str, after: str, zone: str = BERLIN, count: int = 4) -> list[str]:
    found = itertools.islice(cron.Cron(expression, zone).ticks(at(after, zone)), count)
    return [datetime.fromtimestamp(each, ZoneInfo(zone)).strftime("%d %H:%M:%S%z") for each in found]


# -- expressions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 * * * *", ["21 10:15:00", "21 10:30:00", "21 10:45:00"]),
        ("30 10 * * *", ["21 10:30:00", "22 10:30:00", "23 10:30:00"]),
        ("*/20 * * * * *", ["21 10:00:20", "21 10:00:40", "21 10:01:00"]),
        ("@hourly", ["21 11:00:00", "21 12:00:00", "21 13:00:00"]),
        ("@daily", ["22 00:00:00", "23 00:00:00", "24 00:00:00"]),
        ("0 9 * * mon-wed", ["23 09:00:00", "24 09:00:00", "25 09:00:00"]),
        ("  0   9 1,2 * *  ", ["01 09:00:00", "02 09:00:00", "01 09:00:00"]),
        ("0 0 L * *", ["30 00:00:00", "31 00:00:00", "31 00:00:00"]),
    ],
)
def test_expressions(expression: str, expected: list[str]) -> None:
    found = ticks(expression, "2026-11-21T10:00", "UTC", 3)
    assert [each.removesuffix("+0000") for each in found] == expected


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("", "five fields"), ("* * * *", "five fields"), ("* * * * * * *", "five fields"),
        ("61 * * * *", "minute"), ("* 24 * * *", "hour"), ("* * 32 * *", "day-of-month"),
        ("* * * 13 *", "month"), ("* * * * 8", "day-of-week"), ("60 * * * * *", "second"),
        ("*/0 * * * *", "minute"), ("5-1 * * * *", "minute"), ("1,,2 * * * *", "minute"),
        ("0 0 30 2 *", "day-of-month"), ("@reboot", "@hourly"), ("@often", "@hourly"),
        ("x" * 300 + " * * * *", "more than 200"), ("9" * 190 + " * * * *", "minute"),
        ("\u0661 * * * *", "minute"), ("\x00 * * * *", "minute"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_named_in_one_line(expression: str, word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        cron.Cron(expression, "UTC")
    assert "\n" not in str(caught.value)


def test_a_rare_tick_is_found() -> None:
    assert cron.following(cron.Cron("0 0 * 2 mon#5", "UTC"), at("2026-01-01")) == at("2044-02-29")


def test_an_expression_may_never_tick() -> None:
    assert cron.following(cron.Cron("0 0 LW * */7", "UTC"), at("2026-01-01")) is None, (
        "a weekday, on a Sunday"
    )


# -- zones -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"), ("Mars/Olympus", "write Europe/Berlin"),
        ("", "UTC"), ("/etc/passwd", "not a time zone"), ("../etc/passwd", "not a time zone"),
        ("Europe", "not a time zone"), ("x" * 100, "not a time zone"), ("UTC\n", "not a time zone"),
    ],
)  # fmt: skip
def test_what_is_no_zone_is_named_in_one_line(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone") as caught:
        cron.zone(name)
    assert hint in str(caught.value) and "\n" not in str(caught.value)


def test_a_zone_shifts_the_ticks() -> None:
    assert ticks("0 9 * * *", "2026-11-21T10:00", "Asia/Kolkata", 1) == ["22 09:00:00+0530"]
    assert ticks("0 9 * * *", "2026-11-21T10:00", "America/New_York", 1) == ["22 09:00:00-0500"]


# -- when clocks are changed: in Berlin 02:00 -> 03:00 on 29 March, 03:00 -> 02:00 on 25 October 2026 ------


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_in_the_gap_ticks_right_after_it(expression: str) -> None:
    expected = ["28 02:30:00+0100", "29 03:00:00+0200", "30 02:30:00+0200"]
    assert ticks(expression, "2026-03-28T00:00", count=3) == expected


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_comes_twice_ticks_the_first_time(expression: str) -> None:
    expected = ["24 02:30:00+0200", "25 02:30:00+0200", "26 02:30:00+0100"]
    assert ticks(expression, "2026-10-24T00:00", count=3) == expected


def test_two_times_in_the_gap_are_one_tick() -> None:
    assert ticks("10,40 2 * * *", "2026-03-28T12:00", count=2) == ["29 03:00:00+0200", "30 02:10:00+0200"]


def test_what_goes_by_the_clock_ticks_in_both_hours_and_not_in_the_gap() -> None:
    expected = ["25 01:30:00+0200", "25 02:30:00+0200", "25 02:30:00+0100", "25 03:30:00+0100"]
    assert ticks("30 * * * *", "2026-10-25T01:00") == expected
    assert ticks("30 * * * *", "2026-03-29T01:00", count=2) == ["29 01:30:00+0100", "29 03:30:00+0200"]


def test_from_within_the_second_hour_nothing_comes_that_has_been() -> None:
    within = "2026-10-25T02:10:00+01:00"
    assert ticks("30 2 * * *", within, count=1) == ["26 02:30:00+0100"]
    assert cron.following(cron.Cron("30 2 * * *", BERLIN), at(within)) == at("2026-10-26T02:30", BERLIN)


@pytest.mark.parametrize("zone", [BERLIN, "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "UTC"])
@pytest.mark.parametrize("expression", ["* * * * *", "*/7 * * * *", "5 * * * *", "*/5 */3 * * *"])
def test_what_goes_by_the_clock_is_what_the_clock_shows(zone: str, expression: str) -> None:
    """Compared with every minute of the days around each change of the clocks in a year."""
    minutes, hours = (
        set(range(60 if index == 0 else 24)) if field == "*" else
        {int(field)} if field.isdigit() else set(range(0, 60 if index == 0 else 24, int(field[2:])))
        for index, field in enumerate(expression.split()[:2])
    )  # fmt: skip
    there = ZoneInfo(zone)
    for day in _changes(there) or [datetime(2026, 6, 1, tzinfo=UTC)]:
        start = day - timedelta(days=1)
        shown = [start + timedelta(minutes=n) for n in range(1, 2 * 24 * 60)]
        expected = [
            each.timestamp() for each in shown
            if each.astimezone(there).minute in minutes and each.astimezone(there).hour in hours
        ]  # fmt: skip
        found = cron.Cron(expression, zone).ticks(start.timestamp())
        assert list(itertools.takewhile(lambda at: at <= shown[-1].timestamp(), found)) == expected  # noqa: B023


def _changes(zone: ZoneInfo) -> list[datetime]:
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(365 * 24)]
    pairs = itertools.pairwise(hours)
    return [b for a, b in pairs if a.astimezone(zone).utcoffset() != b.astimezone(zone).utcoffset()]


@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "0 0 * * *", "* * * * * *", "*/10 1-3 * * *", "0 3 1 * *"]
)
@pytest.mark.parametrize("zone", [BERLIN, "Africa/Cairo", "Australia/Lord_Howe"])
def test_ticks_only_go_forward_wherever_they_are_asked_from(expression: str, zone: str) -> None:
    timing = cron.Cron(expression, zone)
    for hour in range(0, 24 * 365, 5):
        after = at("2026-01-01T00:00") + hour * 3600 + 7.5
        first, second = itertools.islice(timing.ticks(after), 2)
        assert after < first < second
        assert cron.following(timing, first) == second


# -- intervals -------------------------------------------------------------------------------------------


def test_an_interval_counts_from_where_it_began() -> None:
    timing = cron.Every(600, 1000.7)
    assert [cron.following(timing, after) for after in (999, 1000, 1599, 1600, 1601)] == [
        1000, 1600, 1600, 2200, 2200,
    ]  # fmt: skip


@pytest.mark.parametrize("seconds", [0, 0.5, 1.5, -1, float("inf"), float("nan")])
def test_an_interval_is_of_whole_seconds(seconds: float) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        cron.Every(seconds, 0)


# -- counting --------------------------------------------------------------------------------------------


def test_the_newest_and_how_many() -> None:
    hourly = cron.Cron("@hourly", "UTC")
    first, until = at("2026-11-21T01:00"), at("2026-11-21T09:00")
    assert cron.count(hourly, first, until) == 8, "the first counts, the end does not"
    assert cron.newest(hourly, 3, first, until) == [at(f"2026-11-21T0{hour}:00") for hour in (6, 7, 8)]
    assert len(cron.newest(hourly, 100, first, until)) == 8
    each_second = cron.Cron("* * * * * *", "UTC")
    assert cron.count(each_second, 0.0, 1e9) == cron.COUNTED
    assert cron.newest(each_second, 2, 0.0, 1e9) == [1e9 - 2, 1e9 - 1]
    yearly = cron.Cron("@yearly", "UTC")
    assert cron.newest(yearly, 1, 0.0, first) == [at("2026-01-01")]
