"""What a schedule is: when it ticks, what task it makes, and what becomes of ticks that were missed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import redis
from pydantic import BaseModel, ConfigDict, ValidationError

from pool import cron, model, units
from pool.cron import Timing
from pool.errors import UsageError
from pool.settings import Settings

#: Every schedule by its next tick; see pool/lua/schedule.lua.
INDEX = "pool:schedules"
#: So that a task's id, name and tick, is not too long.
LONGEST_NAME = 100
#: Fields of a task that a schedule sets itself, or that make no sense more than once.
NOT_OURS = ("id", "run_at", "run_in", "after", "allow_failure")


class UnknownSchedule(UsageError):
    """There is no such schedule: `coord schedule list` lists them."""


class CatchUp(StrEnum):
    """Which ticks are made that were missed (late by more than the setting schedule_grace)."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class Entry(BaseModel):
    """A schedule as it lies in Redis: when it ticks (``cron``, ``tz`` or ``every``), and what it makes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: str = ""
    tz: str = "UTC"
    #: Seconds between two ticks.
    every: float = 0.0
    catch_up: CatchUp = CatchUp.LAST
    #: Whether a tick makes its task though the last one has not ended.
    overlap: bool = True
    #: The fields of a TaskSpec that are set.
    task: dict[str, Any]
    #: Its context as it was when the schedule was added, as pool.model.read_context gives it.
    context: list[dict[str, str]] = []

    def timing(self, tick: float) -> Timing:
        """When it ticks; an interval counts from a ``tick`` of its.

        Raises:
            UsageError: What says so is wrong.
        """
        try:
            return cron.Every(self.every, tick) if self.every else cron.Cron(self.cron, self.tz)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def spec(self, name: str, task_id: str = "") -> model.TaskSpec:
        """The task to be made.

        Raises:
            UsageError: Its fields are wrong.
        """
        wrong = [field for field in NOT_OURS if field in self.task]
        if wrong:
            raise UsageError(f"a schedule's task cannot have {wrong[0]!r}")
        unique = {} if self.overlap else {"unique": f"schedule/{name}"}
        return model.parse_spec({**self.task, "id": task_id, **unique})

    @property
    def times(self) -> str:
        """What schedule.lua knows a change of its times by."""
        return f"every {self.every:.0f}" if self.every else f"cron {self.tz} {self.cron}"

    @property
    def when(self) -> str:
        """When it ticks, in few words."""
        return f"every {units.span(self.every)}" if self.every else self.cron


def check_name(name: str) -> str:
    """The name, if it may be one.

    Raises:
        UsageError: It may not.
    """
    if not units.is_name(name, LONGEST_NAME):
        allowed = f"letters, digits, '_' and '-', {LONGEST_NAME} at most"
        raise UsageError(f"{name[:60]!r} is not a name for a schedule: {allowed}")
    return name


def parse(name: str, text: str) -> Entry:
    """A schedule's entry as Redis has it, with all that hangs on it checked.

    Raises:
        UsageError: It is none; the message says what is wrong.
    """
    check_name(name)
    try:
        entry = Entry.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where + ': ' if where else ''}{first['msg']}") from None
    except (ValueError, RecursionError):
        raise UsageError("it is not JSON") from None
    entry.timing(0.0)
    entry.spec(name)
    return entry


def task_id(name: str, tick: float) -> str:
    """The id of a tick's task: ``nightly-20261121T103000Z``."""
    return f"{name}-{datetime.fromtimestamp(tick, UTC).strftime('%Y%m%dT%H%M%SZ')}"


def moment(tick: float) -> str:
    """A tick as people and programs read it: ``2026-11-21T10:30:00Z``."""
    return model.utc(max(tick, 0.0)) or "never"


def record(name: str, entry: Entry, task_id: str, settings: Settings, now: float) -> bytes:
    """The record (for fire.lua, submit.lua) of a task of a schedule.

    Raises:
        UsageError: A bound is hit; the message names the setting.
    """
    return model.record(entry.spec(name, task_id), settings, now, context=entry.context)[1]


# -- which ticks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One move of a schedule: a task for ``tick`` (None: for none), then ``next`` (None: there is none)."""

    tick: float | None
    next: float | None
    #: How many ticks are left out by it.
    left_out: int = 0


def steps(entry: Entry, due: float, now: float, grace: float, limit: int) -> Iterator[Step]:
    """The moves from the tick that is due to the first that is to come.

    Ticks late by no more than ``grace`` seconds are made, each. Of those that are later (they were
    missed) ``catch_up`` makes none, the last (unless one within the grace stands for them all), or all:
    the newest ``limit`` of them.
    """
    timing, at = entry.timing(due), due
    missed = now - grace  # before this
    if due < missed:
        if entry.catch_up is CatchUp.ALL:
            kept = cron.newest(timing, limit, due, missed)
            if kept and kept[0] > due:
                yield Step(None, kept[0], cron.count(timing, due, kept[0]))
                at = kept[0]
        else:
            fresh = cron.following(timing, math.ceil(missed) - 1)
            last = cron.newest(timing, 1, due, missed) if entry.catch_up is CatchUp.LAST else []
            many = cron.count(timing, due, missed)
            if last and (fresh is None or fresh > now):
                yield Step(last[0], fresh, many - 1)
            else:
                yield Step(None, fresh, many)
            if fresh is None:
                return
            at = fresh
    while at <= now:
        after = cron.following(timing, at)
        yield Step(at, after)
        if after is None:
            return
        at = after


# -- looking ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scheduled:
    """A schedule as people and programs look at it. Moments are ISO 8601 in UTC."""

    name: str
    #: ``waiting``, ``paused``, ``ended`` (it has no next tick) or ``broken`` (``problem`` says why).
    state: str
    when: str
    cron: str
    every: float
    tz: str
    next: str | None
    last_tick: str | None
    #: ``made``, ``skipped`` (the task before had not ended) or ``exists`` (it had its task already).
    last_outcome: str | None
    last_task: str | None
    made: int
    missed: str | None
    catch_up: str
    overlap: bool
    task: dict[str, Any]
    problem: str | None
    revision: str


def load(connection: redis.Redis, name: str) -> tuple[Entry, str]:
    """A schedule's entry and its revision.

    Raises:
        UnknownSchedule: There is none of that name.
        UsageError: It cannot be read.
    """
    found: Any = connection.hmget(f"pool:schedule:{name}", ["entry", "revision"])
    if found[0] is None or connection.zscore(INDEX, name) is None:
        raise UnknownSchedule(f"{name[:60]!r} is no schedule: `coord schedule list` lists them")
    try:
        return parse(name, _text(found[0])), _text(found[1])
    except UsageError as error:
        raise UsageError(f"{name} cannot be read: {error}; add it anew with --replace") from None


def all_of(connection: redis.Redis) -> list[Scheduled]:
    """Every schedule, by name."""
    found: Any = connection.zrange(INDEX, 0, -1, withscores=True)
    pipe = connection.pipeline(transaction=False)
    for raw, _ in found:
        pipe.hgetall(b"pool:schedule:" + raw)
    replies = pipe.execute(raise_on_error=False)
    rows = [_look(_text(raw), due, reply) for (raw, due), reply in zip(found, replies, strict=True)]
    return sorted(rows, key=lambda row: row.name)


def _look(name: str, due: float, raw: Any) -> Scheduled:
    fields = {_text(k): _text(v) for k, v in raw.items()} if isinstance(raw, dict) else {}
    problem = fields.get("problem")
    try:
        entry = parse(name, fields.get("entry", ""))
    except UsageError as error:
        entry, problem = Entry(task={}), problem or str(error)
    waits = "waiting" if math.isfinite(due) else "ended"
    state = "broken" if problem else "paused" if "paused" in fields else waits
    made = fields.get("made", "0")
    return Scheduled(
        name, state, entry.when, entry.cron, entry.every, entry.tz,
        model.utc(due) if math.isfinite(due) else None,
        fields.get("last_tick"), fields.get("last_outcome"), fields.get("last_task"),
        int(made) if made.isdigit() and len(made) < 16 else 0, fields.get("missed"),
        entry.catch_up.value, entry.overlap, entry.task, problem, fields.get("revision", ""),
    )  # fmt: skip


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
