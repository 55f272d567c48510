"""Schedules: one task for each tick whoever asks, what becomes of missed ticks, and what cannot be read."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from coordinator.schedules import Schedules
from pool import connect, cron, keys, schedule, view
from pool.claim import Caller
from pool.schedule import CatchUp, Entry
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.redis.ticking import Ticking

LEADER = "leader-of-this-test"
MINUTELY = "* * * * *"


@pytest.fixture
def due(pool: Pool, conn: Any, settings: Settings) -> Iterator[Due]:
    conn.set("pool:leader", LEADER)
    yield Due(pool, conn, settings)


class Due:
    """Schedules whose due tick is set back, and rounds of a leader."""

    def __init__(self, pool: Pool, conn: Any, settings: Settings) -> None:
        self.pool, self.conn, self.settings = pool, conn, settings
        self.leader = Schedules(conn, pool, settings, LEADER)
        self._revisions = itertools.count()

    @property
    def now(self) -> float:
        seconds, micro = self.conn.time()
        return float(seconds) + float(micro) / 1e6

    def add(self, name: str = "s", at: float | None = None, cron: str = MINUTELY, **fields: Any) -> str:
        """A schedule that stands at a tick; its revision."""
        entry = Entry(cron=cron, **{"task": {"prompt": "do it"}, **fields})
        revision = f"r{next(self._revisions)}"
        text = entry.model_dump_json(exclude_defaults=True)
        due = self.now // 1 if at is None else at
        verdict, _ = self.pool.schedule(name, revision, text, entry.times, due, True)
        assert verdict in ("new", "replaced")
        self.conn.zadd(schedule.INDEX, {name: due})
        return revision

    def round(self, now: float | None = None) -> list[str]:
        return list(self.leader.round(self.now if now is None else now))

    def tasks(self) -> list[str]:
        return sorted(view.latest_ids(self.conn, 0, -1))

    def at(self, name: str = "s") -> float:
        """Where a schedule stands."""
        score = self.conn.zscore(schedule.INDEX, name)
        assert score is not None
        return float(score)

    def events(self) -> list[str]:
        rows = self.conn.xrange("pool:events")
        return [fields[b"type"].decode() for _, fields in rows if fields[b"type"].startswith(b"cron-")]


def minute(now: float, back: int = 0) -> float:
    """The start of a minute: so many before this one."""
    return now // 60 * 60 - 60 * back


def ids(name: str, *ticks: float) -> list[str]:
    return [schedule.task_id(name, tick) for tick in ticks]


# -- one tick, one task ----------------------------------------------------------------------------------


def test_a_tick_becomes_one_task_with_its_name(due: Due) -> None:
    at = due.now // 1 - 2
    due.add("nightly", at, "* * * * * *", task={"prompt": "Run it", "priority": "high", "retries": 2})
    due.round(at)
    name = "nightly-" + datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert due.tasks() == [name]
    task = view.task(due.conn, name)
    assert (task.title, task.priority, task.retries_left, task.status) == ("Run it", "high", 2, "queued")
    (row,) = schedule.all_of(due.conn)
    assert (row.last_task, row.last_outcome, row.made) == (name, "made", 1)
    assert row.last_tick == schedule.moment(at) and due.at("nightly") == at + 1
    assert due.events() == ["cron-added", "cron-fired"]


def test_nothing_due_is_one_round_trip(due: Due, settings: Settings) -> None:
    due.add(at=due.now + 60)
    before = due.conn.info("stats")["total_commands_processed"]
    assert list(due.leader.round(time.time())) == []
    assert due.conn.info("stats")["total_commands_processed"] - before <= 2, (
        "this question, and ZRANGEBYSCORE"
    )


def test_many_coordinators_at_once_make_each_tick_once(due: Due, settings: Settings) -> None:
    """All of them believe that they lead: the schedule's own tick and revision decide."""
    start = due.now // 1 - 50
    due.add("s", start, "* * * * * *")
    barrier = threading.Barrier(4)

    def run() -> None:
        with connect.client(settings) as connection:
            one = Schedules(connection, connect.pool(settings, connection), settings, LEADER)
            barrier.wait(10)
            while due.at() <= start + 40:
                list(one.round(start + 40))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert due.tasks() == ids("s", *(start + n for n in range(41)))
    assert due.events().count("cron-fired") == 41 and due.events().count("cron-skipped") == 0


def test_who_does_not_lead_makes_nothing(due: Due) -> None:
    due.add(at=due.now - 5)
    due.conn.set("pool:leader", "another")
    assert due.round() == [] and due.tasks() == []


def test_a_leader_that_is_frozen_in_the_middle_of_a_round_makes_nothing_twice(
    due: Due, settings: Settings
) -> None:
    now = due.now // 1
    due.add("s", now - 9, "* * * * * *")
    frozen = due.leader.round(now)
    assert [next(frozen), next(frozen)]
    due.conn.set("pool:leader", "another")
    successor = Schedules(due.conn, due.pool, settings, "another")
    assert len(list(successor.round(now))) == 8
    assert list(frozen) == [], "it wakes"
    due.conn.set("pool:leader", LEADER)
    assert list(due.leader.round(now)) == []
    assert due.tasks() == ids("s", *(now - 9 + n for n in range(10)))
    assert due.events() == ["cron-added", *["cron-fired"] * 10]


def test_after_its_last_tick_it_has_ended(due: Due) -> None:
    at = minute(due.now)
    due.add("s", at, cron="0 0 LW * */7")
    due.round()
    assert due.tasks() == ids("s", at) and due.round() == []
    (row,) = schedule.all_of(due.conn)
    assert (row.state, row.next, row.last_task) == ("ended", None, due.tasks()[0])


def test_a_tick_that_is_to_come_is_not_made(due: Due) -> None:
    revision = due.add(at=due.now + 60)
    reply = due.pool.fire(LEADER, "s", revision, due.at(), None, "", "t", b"")
    assert reply == ["early"] and due.tasks() == []


def test_a_reply_that_was_lost_is_asked_for_in_vain(due: Due, settings: Settings) -> None:
    at = minute(due.now)
    revision = due.add(at=at)
    entry, _ = schedule.load(due.conn, "s")
    record = schedule.record("s", entry, "s-x", settings, at)
    replies = [due.pool.fire(LEADER, "s", revision, at, at + 60, "", "t", record)[0] for _ in range(2)]
    assert replies == ["made", "moved"] and due.tasks() == ["s-x"]


def test_a_tick_that_has_its_task_already_goes_on(due: Due) -> None:
    """As after a clock that was put back, or a schedule removed and added again."""
    at = minute(due.now)
    due.add(at=at)
    due.round()
    due.add(at=at)
    assert "already" in due.round()[0]
    assert due.tasks() == ids("s", at) and due.at() == at + 60


@pytest.mark.parametrize("how", ["changed", "removed", "paused", "removed and added"])
def test_what_changed_meanwhile_is_not_made_by_an_old_text(due: Due, settings: Settings, how: str) -> None:
    at = minute(due.now)
    revision = due.add(at=at)
    entry, _ = schedule.load(due.conn, "s")
    record = schedule.record("s", entry, "old", settings, at)
    if how.startswith("removed"):
        assert due.pool.unschedule(["s"]) == ""
    if how in ("changed", "removed and added"):
        due.add(at=at, task={"prompt": "another"})
    if how == "paused":
        assert due.pool.hold("s") == "paused"
    assert due.pool.fire(LEADER, "s", revision, at, at + 60, "", "t", record) == ["moved"]
    assert due.tasks() == []


# -- what was missed -------------------------------------------------------------------------------------


def test_what_is_late_by_less_than_the_grace_is_made_each(due: Due) -> None:
    for policy in CatchUp:
        due.conn.delete("pool:tasks", *(keys.key("job", each) for each in due.tasks()))
        now = due.now // 1
        due.add("s", now - 50, "* * * * * *", catch_up=policy)
        due.round(now)
        assert due.tasks() == ids("s", *(now - 50 + n for n in range(51))), policy
    assert "cron-missed" not in due.events()


def now_in_a_minute(due: Due, second: float) -> float:
    """A moment of the last whole minute: so far that every tick before is in the past, too."""
    return minute(due.now, 1) + second


@pytest.mark.settings(schedule_grace="10s")
@pytest.mark.parametrize(
    ("policy", "made"), [("none", []), ("last", [0]), ("all", [5, 4, 3, 2, 1, 0])], ids=str
)
def test_policies(due: Due, policy: str, made: list[int]) -> None:
    """Six ticks of a minute, the newest 30 s late."""
    now = now_in_a_minute(due, 30)
    due.add("s", minute(now, 5), catch_up=policy)
    said = due.round(now)
    assert due.tasks() == sorted(ids("s", *(minute(now, back) for back in made)))
    assert due.at() == minute(now) + 60
    left_out = 6 - len(made)
    assert due.events().count("cron-missed") == (left_out > 0)
    assert any(f"{left_out} missed ticks left out" in line for line in said) == (left_out > 0)
    assert (schedule.all_of(due.conn)[0].missed is not None) == (left_out > 0)


@pytest.mark.settings(schedule_grace="10s")
@pytest.mark.parametrize(("policy", "made"), [("none", [0]), ("last", [0]), ("all", [2, 1, 0])])
def test_one_within_the_grace_is_the_last(due: Due, policy: str, made: list[int]) -> None:
    """It stands for the whole gap: `last` is one task, not two."""
    now = now_in_a_minute(due, 3)
    due.add("s", minute(now, 2), catch_up=policy)
    due.round(now)
    assert due.tasks() == sorted(ids("s", *(minute(now, back) for back in made)))


@pytest.mark.settings(schedule_limit="3")
def test_all_is_bounded_and_says_what_it_leaves_out(due: Due) -> None:
    now = minute(due.now)
    due.add("s", minute(now, 10), catch_up="all")
    said = due.round(now)
    assert due.tasks() == sorted(ids("s", *(minute(now, back) for back in (4, 3, 2, 1, 0))))
    assert "6 missed ticks left out" in said[0], "of nine missed, the newest three; two are within the grace"


def test_years_of_seconds_are_left_out_at_once(due: Due) -> None:
    now = due.now
    due.add("s", 1.0, "* * * * * *", catch_up="none")
    began = time.monotonic()
    said = due.round(now)
    assert f"{cron.COUNTED:,} or more missed ticks left out" in said[0]
    assert time.monotonic() - began < 5
    assert len(due.tasks()) in (60, 61)


def test_the_work_of_a_round_is_bounded(due: Due, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.schedules._MOVES", 10)
    now = due.now // 1
    for name in ("a", "b"):
        due.add(name, now - 30, "* * * * * *")
    due.round(now)
    assert len(due.tasks()) == 10, "five moves each: none waits for the other"
    for _ in range(6):
        due.round(now)
    assert len(due.tasks()) == 62


def test_a_round_that_takes_long_leaves_the_rest_to_the_next(
    due: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.schedules._SHARE", -1.0)
    now = minute(due.now)
    for name in "abc":
        due.add(name, now)
    for made in ("a", "ab", "abc"):
        due.round(now)
        assert due.tasks() == [schedule.task_id(name, now) for name in made]


# -- overlap, pause, remove ------------------------------------------------------------------------------


def test_without_overlap_a_tick_is_skipped_until_the_task_before_has_ended(
    due: Due, register: Callable[..., Caller]
) -> None:
    now = minute(due.now)
    due.add("s", minute(now, 3), overlap=False, catch_up="all")
    said = due.round(minute(now, 2))
    first, *_ = due.tasks()
    assert len(due.tasks()) == 1 and f"{first} has not ended" in said[1]
    assert schedule.all_of(due.conn)[0].last_outcome == "skipped"
    me = register()
    handed = due.pool.claim(me).handed
    assert handed is not None
    due.round(minute(now, 1))
    assert due.tasks() == [first], "it runs"
    due.pool.complete(me, handed.claim, "1")
    due.round(now)
    assert due.tasks() == [first, *ids("s", now)]
    assert due.events() == ["cron-added", "cron-fired", "cron-skipped", "cron-skipped", "cron-fired"]


def test_paused_it_makes_nothing_and_goes_on_with_what_is_to_come(due: Due, coord: Coord) -> None:
    due.add(at=minute(due.now, 1))
    assert coord.json("schedule", "pause", "s") == {"name": "s", "paused": True, "changed": True}
    assert coord("schedule", "pause", "s").out == "s: paused (as before)\n"
    assert due.round() == [] and due.tasks() == []
    assert coord.json("schedule", "list")[0]["state"] == "paused"
    said = coord.json("schedule", "resume", "s")
    assert said == {"name": "s", "paused": False, "changed": True}
    assert due.round() == [] and due.at() > due.now - 1, "the ticks of the pause are not made up for"
    assert "as before" in coord("schedule", "resume", "s").out
    assert due.events() == ["cron-added", "cron-paused", "cron-resumed"]


def test_resumed_for_another_revision_it_stays_paused(due: Due) -> None:
    due.add()
    due.pool.hold("s")
    assert due.pool.let_go("s", due.now, "of another time") == "changed"
    assert due.at() == float("inf")


# -- what cannot be read ---------------------------------------------------------------------------------


BROKEN = {
    "not JSON": b"\xff{",
    "no entry": b"[]",
    "no task": b'{"cron": "* * * * *"}',
    "a bad expression": json.dumps({"cron": "99 * * * *", "task": {"prompt": "x"}}).encode(),
    "a bad zone": json.dumps({"cron": MINUTELY, "tz": "Mars", "task": {"prompt": "x"}}).encode(),
    "a task with an id": json.dumps({"cron": MINUTELY, "task": {"prompt": "x", "id": "t"}}).encode(),
    "a task with parents": json.dumps({"cron": MINUTELY, "task": {"prompt": "x", "after": ["t"]}}).encode(),
    "a bad field": json.dumps({"cron": MINUTELY, "task": {"prompt": "x", "rm": 1}}).encode(),
    "an interval of nothing": json.dumps({"every": 0.1, "task": {"prompt": "x"}}).encode(),
    "an interval without end": b'{"every": Infinity, "task": {"prompt": "x"}}',
    "an interval that is no number": b'{"every": NaN, "task": {"prompt": "x"}}',
    "nested deeply": b"[" * 100_000,
    "too large a prompt": json.dumps({"cron": MINUTELY, "task": {"prompt": "x" * 3_000_000}}).encode(),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_read_is_told_once_and_stops_no_other(due: Due, coord: Coord, text: bytes) -> None:
    now = minute(due.now)
    due.conn.hset("pool:schedule:bad", mapping={"entry": text, "revision": "r"})
    due.conn.zadd(schedule.INDEX, {"bad": now})
    due.add("good", now)
    said = due.round()
    assert due.tasks() == ids("good", now)
    assert sum("'bad' cannot be read" in line for line in said) == 1
    assert due.round() == []
    row = next(each for each in coord.json("schedule", "list") if each["name"] == "bad")
    assert row["state"] == "broken" and row["problem"]
    assert due.events().count("cron-broken") == 1
    coord("schedule", "list")
    coord("schedule", "show", "bad")
    coord("schedule", "add", "bad", "--cron", MINUTELY, "better", "--replace")
    assert (
        next(each for each in coord.json("schedule", "list") if each["name"] == "bad")["state"] == "waiting"
    )
    coord("schedule", "remove", "bad")


@pytest.mark.parametrize("score", ["-inf", "0.5", "-1e300"])
def test_a_due_tick_that_is_none_is_left_behind(due: Due, score: str) -> None:
    due.add("s", catch_up="none")
    due.conn.execute_command("ZADD", schedule.INDEX, score, "s")
    due.round()
    assert due.at() > due.now - 61


def test_a_revision_that_is_no_text_is_told(due: Due) -> None:
    due.add("s", minute(due.now))
    due.conn.hset("pool:schedule:s", "revision", b"\xff")
    assert "cannot be read" in due.round()[0] and due.tasks() == []


def test_what_is_no_schedule_at_all_is_taken_away(due: Due, coord: Coord) -> None:
    due.conn.zadd(schedule.INDEX, {"nothing": 1, b"\xff\x1b[31m": 1, "text": 1})
    due.conn.set("pool:schedule:text", "garbage")
    assert {each["state"] for each in coord.json("schedule", "list")} == {"broken"}
    coord("schedule", "list")
    assert len(due.round()) == 3
    assert due.conn.zcard(schedule.INDEX) == 0


def test_a_redis_that_refuses_one_is_told_and_the_others_go_on(due: Due, settings: Settings) -> None:
    at = minute(due.now)
    due.add("a", at, task={"prompt": "x", "queue": "odd"})
    due.add("b", at)
    due.conn.set(keys.key("queue", "odd"), "not a list")
    due.conn.delete("pool:leader")
    with Ticking(settings) as coordinator:
        coordinator.service.tick()
        said = [line for line in coordinator.lines if line.startswith("could not run schedules: ")]
        assert len(said) == 1 and "WRONGTYPE" in said[0]
        assert set(ids("b", at)) <= set(due.tasks())
        coordinator.until(lambda: due.at("a") > at)


# -- the command line ------------------------------------------------------------------------------------


def added(coord: Coord, *words: str) -> dict[str, Any]:
    coord("schedule", "add", *words)
    (row,) = coord.json("schedule", "list")
    found: dict[str, Any] = row
    return found


def test_add_takes_what_submit_takes(coord: Coord, conn: Any, settings: Settings, tmp_path: Any) -> None:
    (tmp_path / "notes.md").write_text("as it was")
    when = ("--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--catch-up", "all")
    what = ("--title", "Nightly", "-q", "ops", "-p", "high", "--retries", "2", "--backoff", "10s,1m")
    how = ("--timeout", "5m", "--check", "true", "--context", "notes.md", "--read", "README.md")
    coord("schedule", "add", "n", *when, "Run it", *what, *how)
    (tmp_path / "notes.md").write_text("changed")
    task_id = coord("schedule", "run", "n").out.strip()
    task, fields = view.task(conn, task_id), view.fields(conn, task_id)
    assert (task.title, task.queue, task.priority, task.retries_left) == ("Nightly", "ops", "high", 2)
    assert fields["context"] == [{"path": "notes.md", "text": "as it was"}, {"path": "README.md"}]
    assert (fields["cwd"], fields["check"], fields["timeout"]) == (str(tmp_path), "true", 300)
    row = coord.json("schedule", "show", "n")
    assert (row["cron"], row["tz"], row["catch_up"], row["overlap"]) == (
        "30 2 * * *", "Europe/Berlin", "all", True,
    )  # fmt: skip


def test_run_now_respects_no_overlap(coord: Coord, conn: Any) -> None:
    added(coord, "n", "--every", "1h", "x", "--no-overlap")
    first = coord.json("schedule", "run", "n")
    assert first["status"] == "queued" and first["id"].startswith("n-manual-")
    assert coord.json("schedule", "run", "n") == {"id": first["id"], "status": "duplicate"}
    assert "has not ended" in coord("schedule", "run", "n").err


@pytest.mark.settings(schedule_tz="Asia/Kolkata")
def test_the_zone_is_the_settings_unless_named(coord: Coord) -> None:
    assert added(coord, "n", "--cron", "0 9 * * *", "x")["tz"] == "Asia/Kolkata"
    assert coord.json("schedule", "list")[0]["next"].endswith("T03:30:00Z")
    assert " 09:00:00 " in coord("schedule", "list").out
    assert added(coord, "n", "--cron", "0 9 * * *", "x", "--replace", "--tz", "UTC")["tz"] == "UTC"


def test_an_interval_begins_now(coord: Coord, due: Due) -> None:
    coord("schedule", "add", "n", "--every", "10m", "x")
    assert 599 <= due.at("n") - due.now <= 600
    assert coord.json("schedule", "list")[0]["when"] == "every 10m"


def test_a_replacement_with_the_same_times_loses_no_tick(coord: Coord, due: Due) -> None:
    """As by a script that is run at every deployment, also in the second of a tick."""
    at = minute(due.now)
    due.add("s", at)
    coord("schedule", "add", "s", "--cron", MINUTELY, "new text", "--replace")
    assert due.at() == at
    due.round()
    assert view.task(due.conn, ids("s", at)[0]).title == "new text"
    coord("schedule", "add", "i", "--every", "1h", "x")
    due.conn.zincrby(schedule.INDEX, -1000, "i")
    stands = due.at("i")
    said = coord.json("schedule", "add", "i", "--every", "60m", "y", "--replace")
    assert due.at("i") == stands and said["next"] == schedule.moment(stands), "it does not begin anew"


def test_a_replacement_with_other_times_says_which_tick_is_left_out(coord: Coord, due: Due) -> None:
    at = minute(due.now)
    due.add("s", at)
    coord("schedule", "add", "s", "--cron", "@yearly", "y", "--replace")
    assert due.at() > due.now and due.round() == []
    assert due.events() == ["cron-added", "cron-missed", "cron-changed"]
    coord("schedule", "add", "s", "--cron", "@yearly", "--tz", "Asia/Tokyo", "y", "--replace")
    assert due.events()[2:] == ["cron-changed", "cron-changed"], "that was to come"


def test_replace_keeps_what_was_made_and_a_pause(coord: Coord, due: Due) -> None:
    due.add(at=minute(due.now))
    due.round()
    coord("schedule", "pause", "s")
    said = coord("schedule", "add", "s", "--cron", MINUTELY, "y", "--replace")
    assert said.out == "s changed: * * * * *, paused\n"
    (row,) = coord.json("schedule", "list")
    assert (row["state"], row["made"], row["task"]["prompt"]) == ("paused", 1, "y")


TAKEN = ("schedule", "add", "s", "--cron", MINUTELY, "x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "n", "x"), "--cron EXPR, --every DURATION"),
        (("add", "n", "--cron", MINUTELY), "give one of: a prompt"),
        (("add", "n", "--cron", MINUTELY, "x", "-f", "y"), "give one of: a prompt"),
        (("add", "n", "--cron", MINUTELY, "--every", "1m", "x"), "give one of"),
        (("add", "n", "--cron", "61 * * * *", "x"), "its minute is wrong"),
        (("add", "n", "--cron", "0 0 LW * */7", "x"), "never ticks"),
        (("add", "n", "--cron", MINUTELY, "--tz", "Europe/Berln", "x"), "did you mean Europe/Berlin"),
        (("add", "n", "--every", "1m", "--tz", "UTC", "x"), "--tz goes with --cron"),
        (("add", "n", "--every", "100ms", "x"), "whole seconds"),
        (("add", "n", "--every", "soon", "x"), "'soon' is not a duration"),
        (("add", "a b", "--every", "1m", "x"), "'a b' is not a name"),
        (("add", "x" * 101, "--every", "1m", "x"), "is not a name"),
        (("add", "n", "--every", "1m", " "), "prompt: it is empty"),
        (("add", "n", "--every", "1m", "x", "-q", "a b"), "is not a queue name"),
        (("add", "n", "--every", "1m", "x", "--unique", "k", "--no-overlap"), "drop --unique"),
        (("add", "n", "--every", "1m", "x", "--context", "missing.md"), "missing.md"),
        (("add", "n", "--every", "1m", "x", "--title", "t" * 300), "title_limit"),
        (("add", "n", "--every", "1m", "x", "--catch-up", "some"), "some"),
        (TAKEN[1:], "exists already: --replace"),
        (("remove", "s", "nope"), "'nope' is no schedule"),
        (("show", "nope"), "'nope' is no schedule"),
        (("pause", "nope"), "'nope' is no schedule"),
        (("resume", "nope"), "'nope' is no schedule"),
        (("run", "nope"), "'nope' is no schedule"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_changes_nothing(
    coord: Coord, conn: Any, words: tuple[str, ...], said: str
) -> None:
    coord(*TAKEN)
    before = coord.json("schedule", "list")
    assert said in coord.refused("schedule", *words)
    assert coord.json("schedule", "list") == before


@pytest.mark.settings(schedule_tz="Mars")
def test_a_bad_zone_of_the_settings_is_named(coord: Coord) -> None:
    assert "setting schedule_tz" in coord.refused("schedule", "add", "n", "--cron", MINUTELY, "x")


def test_add_warns_of_what_keeps_it_from_being_done(coord: Coord, conn: Any) -> None:
    said = coord(*TAKEN).err
    assert "no worker serves the queue 'tasks'" in said and "no coordinator runs" in said
    assert "no coordinator runs" in coord("schedule", "list").err
