"""What a session's turns have used, booked by its frames."""

from __future__ import annotations

from typing import Any

from pool import local, scripts, usage
from workers.supervise.session import Frame


class Books:
    """One session's. A report whose answer was lost is sent again under the same number, and booked once."""

    def __init__(self, pool: scripts.Pool, values: dict[str, Any]) -> None:
        self._pool, self._values = pool, values
        self._meter = usage.Meter()
        self._rows: list[list[Any]] = []
        self._sent: list[list[Any]] = []
        self._number = 0

    def see(self, frame: Frame, task: str) -> None:
        """Take a frame in, of a turn for that task ('' none)."""
        self._rows += [used.row() for used in self._meter.feed(frame, task)]

    def book(self, member: local.Session) -> None:
        """Book what is not booked yet.

        Raises:
            RedisAway: Redis did not answer; it is booked the next time.
        """
        if not self._sent and self._rows:
            self._sent, self._rows = self._rows, []
            self._number += 1
        if self._sent:
            self._pool.charge(member.caller, f"{member.key}-frames", self._number, self._sent, self._values)
            self._sent = []
