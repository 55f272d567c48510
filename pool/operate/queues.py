"""Pausing queues, and letting them go on."""

from __future__ import annotations

from dataclasses import dataclass

from pool import units
from pool.errors import UsageError
from pool.operate.context import Context


@dataclass(frozen=True)
class Paused:
    """Whether a queue (None: all of them) is paused by this name now, and whether that is new."""

    queue: str | None
    paused: bool
    changed: bool


def pause(ctx: Context, queue: str | None, everything: bool = False) -> Paused:
    """Hand out no more tasks of a queue, or of any. Running ones go on.

    Raises:
        UsageError: Neither or both were given, or it is no queue's name; nothing was changed.
    """
    return _paused(ctx, queue, everything, True)


def resume(ctx: Context, queue: str | None, everything: bool = False) -> Paused:
    """Hand out tasks again. With ``everything`` a queue that was paused by its name stays so.

    Raises:
        UsageError: As of pause().
    """
    return _paused(ctx, queue, everything, False)


def _paused(ctx: Context, queue: str | None, everything: bool, paused: bool) -> Paused:
    if (queue is None) != everything:
        raise UsageError("name a queue, or give --all")
    if queue is not None and not units.is_queue(queue):
        raise UsageError(
            f"{queue[:60]!r} is not a queue name: letters, digits, '.', '_' and '-', without a priority"
        )
    return Paused(queue, paused, ctx.pool.pause("*" if queue is None else queue, paused))
