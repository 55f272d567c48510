"""What workers did over time: how many were busy, waited for a person, were held or idle, by the minute.

A monitor counts them once a minute (`pool:activity:DAY`, a hash: the minute of the day -> four numbers).
While none runs nothing is counted, and such minutes are told apart from those in which there was no worker.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from pool import view
from pool.sessions import Session, State

KEY = "pool:activity:"
#: What is told apart, and which states of a session's that is; one that has ended is none of them.
KINDS: dict[str, tuple[State, ...]] = {
    "busy": (State.WORKING, State.TOOL, State.COMPACTING, State.STARTING, State.DRAINING),
    "waits for a person": (State.NEEDS_YOU, State.INTERRUPTED, State.STUCK),
    "held": (State.PARKED,),
    "idle": (State.WAITING,),
}
_KIND = {state: place for place, states in enumerate(KINDS.values()) for state in states}
_DAY = 1440


def counts(sessions: Iterable[Session]) -> list[int]:
    """How many of the pool's workers do what, in the order of KINDS."""
    found = [0] * len(KINDS)
    for each in sessions:
        place = _KIND.get(each.state)
        if each.worker and place is not None and not each.ended_at:
            found[place] += 1
    return found


def keep(connection: redis.Redis, numbers: Sequence[int], seconds: float) -> bool:
    """Keep the counts of this minute, for so long (seconds); False if another has kept it already.

    No transition of the pool's: what is kept of a minute does not change, and nothing depends on it.
    """
    day, minute = divmod(math.floor(view.server_time(connection) / 60), _DAY)
    pipe = connection.pipeline(transaction=True)
    pipe.hsetnx(f"{KEY}{day}", str(minute), " ".join(map(str, numbers)))
    pipe.expire(f"{KEY}{day}", math.ceil(seconds) + 86400)
    return bool(pipe.execute()[0])


@dataclass
class Share:
    """Workers from ``at`` on (seconds since 1970): their mean numbers in the order of KINDS.

    ``minutes``: in so many somebody counted; without any, nothing is known.
    """

    at: float
    minutes: int
    means: list[float]


def read(connection: redis.Redis, seconds: float, most: int = 60) -> list[Share]:
    """The last ``seconds`` in at most ``most`` columns of whole minutes, oldest first."""
    now = math.floor(view.server_time(connection) / 60)
    first = now - max(1, math.ceil(seconds / 60)) + 1
    pipe = connection.pipeline(transaction=False)
    days = range(first // _DAY, now // _DAY + 1)
    for day in days:
        pipe.hgetall(f"{KEY}{day}")
    kept: dict[int, list[int]] = {}
    for day, raw in zip(days, pipe.execute(), strict=True):
        kept |= _minutes(day, raw)
    each = -(-(now - first + 1) // most)
    return [
        _mean(start * 60.0, [kept[minute] for minute in range(start, start + each) if minute in kept])
        for start in range(first, now + 1, each)
    ]


def _minutes(day: int, raw: dict[bytes, bytes]) -> dict[int, list[int]]:
    found = {}
    for minute, text in raw.items():
        numbers: list[Any] = text.split()
        if minute.isdigit() and len(numbers) == len(KINDS) and all(each.isdigit() for each in numbers):
            found[day * _DAY + int(minute)] = [int(each) for each in numbers]
    return found


def _mean(at: float, samples: Sequence[list[int]]) -> Share:
    total = [sum(column) for column in zip(*samples, strict=True)] if samples else [0] * len(KINDS)
    return Share(at, len(samples), [each / max(1, len(samples)) for each in total])
