"""Changing live workers: drain, idle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pool import view
from pool.errors import UnknownWorker, UsageError
from pool.operate.context import Context


@dataclass(frozen=True)
class Tuned:
    """A worker that was changed, and the task it holds."""

    id: str
    task: str | None


def drain(ctx: Context, names: Sequence[str], everyone: bool = False, undo: bool = False) -> list[Tuned]:
    """Let workers finish their task and stop (``undo``: go on after all).

    Raises:
        UsageError: Neither or both of ``names`` and ``everyone`` were given, or one is no live worker;
            nothing was changed.
    """
    return _tune(ctx, names, everyone, "draining", "" if undo else "1")


def idle(ctx: Context, limit: float, names: Sequence[str], everyone: bool = False) -> list[Tuned]:
    """Let workers idle for so long (seconds), from now on.

    Raises:
        UsageError: As of drain().
    """
    return _tune(ctx, names, everyone, "idle_limit", f"{limit:g}")


def _tune(ctx: Context, names: Sequence[str], everyone: bool, field: str, value: str) -> list[Tuned]:
    if bool(names) == everyone:
        raise UsageError("name workers, or give --all")
    live = {each.id for each in view.workers(ctx.connection, departed=False)}
    for name in names:
        if name not in live:
            raise UnknownWorker(
                f"{name!r} is no live worker: `coord workers` lists them; nothing was changed"
            )
    chosen = sorted(live) if everyone else list(dict.fromkeys(names))
    return [Tuned(name, ctx.pool.tune(name, field, value) or None) for name in chosen]
