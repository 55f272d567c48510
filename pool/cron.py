"""When a schedule ticks: cron expressions and intervals, in time zones by name.

A tick is a moment: whole seconds since 1970. Where the clocks of a zone are put forward or back, this is
Debian cron's rule, also for expressions with seconds: an expression whose minute and hour are fixed ticks
once a day, right after the gap where its time is left out, and the first time where it comes twice; with a
``*`` (or ``*/n``) in the minute or hour it goes by the clock, and ticks whenever that shows such a time.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from pool import units

#: What cron's own implementations call these.
ALIASES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
#: Left-out ticks are counted up to this; then they are many.
COUNTED = 1_000
_LONGEST = 200
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_MINUTE = timedelta(minutes=1)


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        ValueError: There is none of that name; the message says so in one line.
    """
    try:
        if _ZONE.fullmatch(name) and len(name) < 64:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass  # a folder of zones is an OSError
    close = get_close_matches(name, available_timezones(), n=1)
    hint = f"did you mean {close[0]}?" if close else "write Europe/Berlin, or UTC"
    raise ValueError(f"{name[:60]!r} is not a time zone: {hint}")


class Every:
    """An interval: it ticks at ``anchor``, ``seconds`` after that, and so on."""

    def __init__(self, seconds: float, anchor: float) -> None:
        if not 1 <= seconds <= units.LONGEST or seconds != int(seconds):  # a NaN neither
            raise ValueError("an interval is of whole seconds, at least one, and 100 years at most")
        self.seconds, self.anchor = int(seconds), int(anchor)

    def ticks(self, after: float) -> Iterator[float]:
        """The ticks after a moment, in order."""
        first = max(0, math.floor((after - self.anchor) / self.seconds) + 1)
        return (float(self.anchor + n * self.seconds) for n in itertools.count(first))


class Cron:
    """A cron expression of five fields, of six (seconds first), or one of the ALIASES, in a zone."""

    def __init__(self, text: str, zone_name: str) -> None:
        """Read it.

        Raises:
            ValueError: It is no cron expression, or there is no such zone.
        """
        self.given = " ".join(text.split())
        self.text = ALIASES.get(self.given.lower(), text)
        self.zone = zone(zone_name)
        fields = self.text.split()
        shown = repr(self.given[:60])
        if self.text.startswith("@"):
            raise ValueError(f"{shown} is not one of {', '.join(ALIASES)}")
        if len(fields) not in (5, 6):
            want = "write five fields (minute hour day month weekday), or six with the second first"
            raise ValueError(f"{shown} is not a cron expression: {want}")
        if len(self.text) > _LONGEST:
            raise ValueError(f"{shown}... is not a cron expression: it has more than {_LONGEST} characters")
        try:
            CronSim(self.text, datetime(2000, 1, 1))
        except CronSimError as error:
            what = str(error).removeprefix("Bad ")
            raise ValueError(f"{shown} is not a cron expression: its {what} is wrong") from None
        minute, hour = fields[-5:-3]
        self._fixed = not minute.startswith("*") and not hour.startswith("*")

    def ticks(self, after: float) -> Iterator[float]:
        """The ticks after a moment, in order; it ends where none comes within 50 years."""
        start, last = datetime.fromtimestamp(math.floor(after), self.zone), after
        for found in CronSim(self.text, start.replace(tzinfo=None) if self._fixed else start):
            at = _moment(found, self.zone) if self._fixed else found.timestamp()
            if at > last:  # in an hour that comes twice, what has been need not come again
                last = at
                yield at


Timing = Cron | Every


def _moment(local: datetime, zone: ZoneInfo) -> float:
    """When a zone's clocks show this for the first time; the end of the gap where they never do."""

    def real() -> datetime | None:
        there = local.replace(tzinfo=zone, fold=0)
        back = there.astimezone(UTC).astimezone(zone)
        return there if back.replace(tzinfo=None) == local else None

    while (found := real()) is None:
        local = local.replace(second=0) + _MINUTE
    return found.timestamp()


def following(timing: Timing, after: float) -> float | None:
    """The next tick after a moment; None when there will be none."""
    return next(timing.ticks(after), None)


def count(timing: Timing, first: float, until: float) -> int:
    """How many ticks from ``first`` (a tick) to before ``until``; at most COUNTED."""
    found = itertools.takewhile(lambda at: at < until, timing.ticks(first - 1))
    return sum(1 for _ in itertools.islice(found, COUNTED))


def newest(timing: Timing, most: int, first: float, until: float) -> list[float]:
    """The newest ticks, so many at most, from ``first`` (a tick) to before ``until``, oldest first."""
    window = 60.0
    while True:
        start = max(first - 1, until - window)
        found = deque(itertools.takewhile(lambda at: at < until, timing.ticks(start)), maxlen=most)
        if len(found) == most or start <= first - 1:
            return list(found)
        window *= 8
