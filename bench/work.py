"""Tasks and workers made in numbers, through the pool's own scripts."""

from __future__ import annotations

import time

from pool import model, scripts
from pool.claim import Caller
from pool.settings import Settings

#: Length of an id that coord makes itself.
_ID = 12
_PLACE = b"0" * _ID
#: Tasks that one call enqueues when a backlog is filled.
_BATCH = 500


class Records:
    """Records of equal tasks: one is made as `submit` makes it, the others differ in their id only."""

    def __init__(self, settings: Settings, prompt: str = "noop") -> None:
        spec = model.parse_spec({"prompt": prompt, "title": "noop", "id": _PLACE.decode()})
        _, record = model.record(spec, settings, time.time())
        self._head, _, self._tail = record.partition(_PLACE)
        if _PLACE in self._tail:
            raise RuntimeError("the id stands in a record more than once")

    def make(self, number: int) -> bytes:
        """The record of one task."""
        return self._head + b"%0*x" % (_ID, number) + self._tail


def fill(pool: scripts.Pool, records: Records, first: int, count: int) -> None:
    """Enqueue tasks, hundreds with each call."""
    for start in range(first, first + count, _BATCH):
        end = min(start + _BATCH, first + count)
        reply = pool.submit([records.make(number) for number in range(start, end)])
        if reply[0] != "ok":
            raise RuntimeError(f"a backlog could not be filled: {reply[:3]}")


def register(pool: scripts.Pool, worker: str, process: str = "") -> Caller:
    """A worker that has no process of its own (simulated)."""
    verdict, caller = pool.register(
        worker, process, "session", "bench", 1, ["tasks"], 1e6, 0, "/srv/project", ("2", "3", "0")
    )
    if verdict != "new":
        raise RuntimeError(f"{worker} is {verdict}")
    return caller


def work_off(pool: scripts.Pool, caller: Caller, count: int) -> None:
    """Claim and complete so many tasks."""
    for _ in range(count):
        handed = pool.claim(caller).handed
        if handed is None:
            raise RuntimeError("the backlog is empty")
        pool.complete(caller, handed.claim, '"ok"')
