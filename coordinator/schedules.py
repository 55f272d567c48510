"""The schedules' part of the tick: what is due becomes tasks, exactly one for each tick.

Nothing is kept in memory: what is due lies in Redis, on its clock, and fire.lua moves a schedule from one
tick to the next only if it stands there still. So it does not matter who asks, how often, or how late.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import redis

from pool import clock, cron, schedule, scripts
from pool.errors import UsageError
from pool.schedule import Entry, Step
from pool.settings import Settings

#: Schedules looked at in one round, the longest overdue first, and the moves made in it.
_DUE, _MOVES = 100, 400
#: A round begins no other schedule after this share of the time for which a leader may be silent. What is
#: left comes in the next round.
_SHARE = 0.25


class Schedules:
    """What is due, for the leader's tick."""

    def __init__(self, connection: redis.Redis, pool: scripts.Pool, settings: Settings, leader: str) -> None:
        self.connection = connection
        self.pool = pool
        self.settings = settings
        self.leader = leader

    def round(self, now: float) -> Iterator[str]:
        """Make what is due at ``now`` (on the server's clock); what was done, in lines for the log.

        Raises:
            redis.ResponseError: Redis refused one (the first is told); the others were made all the same.
        """
        found: Any = self.connection.zrangebyscore(
            schedule.INDEX, "-inf", f"{now:.6f}", start=0, num=_DUE, withscores=True
        )
        if not found:
            return
        pipe = self.connection.pipeline(transaction=False)
        for raw, _ in found:
            pipe.hmget(b"pool:schedule:" + raw, ["entry", "revision"])
        refused: list[redis.ResponseError] = []
        end = clock.mono() + self.settings.leader_ttl * _SHARE
        for (raw, due), reply in zip(found, pipe.execute(raise_on_error=False), strict=True):
            name = raw.decode("utf-8", "replace")
            try:
                entry, revision = _read(name, reply)
                yield from self._catch_up(name, entry, revision, due, now, max(1, _MOVES // len(found)))
            except UsageError as error:
                if self.pool.hold_broken(self.leader, raw, due, str(error)):
                    yield f"schedule {name!r} cannot be read and is held: {error}"
            except redis.ResponseError as error:
                refused.append(error)
            if clock.mono() > end:
                break
        if refused:
            raise refused[0]

    def _catch_up(
        self, name: str, entry: Entry, revision: str, due: float, now: float, moves: int
    ) -> Iterator[str]:
        """Move one schedule on, by so many moves at most, until its next tick is to come."""
        at: float | None = due
        grace, limit = self.settings.schedule_grace, self.settings.schedule_limit
        for step in itertools.islice(schedule.steps(entry, max(due, 0.0), now, grace, limit), moves):
            assert at is not None, "a step comes after one that has a next tick"
            lines = self._move(name, entry, revision, at, step, now)
            if lines is None:
                return
            yield from lines
            at = step.next

    def _move(
        self, name: str, entry: Entry, revision: str, due: float, step: Step, now: float
    ) -> list[str] | None:
        """One move; what came of it. None when the schedule does not stand at that tick any more."""
        task_id, record, tick = "", b"", ""
        if step.tick is not None:
            tick = schedule.moment(step.tick)
            task_id = schedule.task_id(name, step.tick)
            record = schedule.record(name, entry, task_id, self.settings, now)
        left_out = _left_out(step, due)
        reply = self.pool.fire(self.leader, name, revision, due, step.next, left_out, tick, record)
        if reply[0] in ("not-leader", "moved", "early"):
            return None
        lines = [f"schedule {name}: {left_out}"] if left_out else []
        if reply[0] == "made":
            lines.append(f"schedule {name}: task {reply[1]} {reply[2]}")
        elif reply[0] == "skipped":
            lines.append(f"schedule {name}: {tick} makes no task, {reply[1]} has not ended")
        elif reply[0] == "exists":
            lines.append(f"schedule {name}: {tick} has its task {reply[1]} already")
        return lines


def _read(name: str, reply: Any) -> tuple[Entry, str]:
    """A schedule's entry and revision.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    if not isinstance(reply, list) or reply[0] is None or reply[1] is None:
        raise UsageError("there is no such schedule")
    try:
        text, revision = (part.decode() for part in reply)
    except UnicodeDecodeError:
        raise UsageError("it is not text (UTF-8)") from None
    return schedule.parse(name, text), revision


def _left_out(step: Step, due: float) -> str:
    if not step.left_out:
        return ""
    many = f"{step.left_out:,}{' or more' if step.left_out >= cron.COUNTED else ''}"
    return f"{many} missed tick{'s' * (step.left_out > 1)} left out, from {schedule.moment(due)}"
