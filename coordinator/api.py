"""coord as Python functions, for people's own scripts."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

import redis

from pool import connect, model, view
from pool import settings as settings_module
from pool.operate import submission
from pool.settings import Settings


@cache
def _context() -> tuple[Settings, redis.Redis]:
    settings = settings_module.load()
    return settings, connect.client(settings)


def submit_task(prompt: str, **fields: Any) -> str:
    """Enqueue a task; its id. ``fields`` are those of pool.model.TaskSpec (title, queue, after ...).

    A task whose ``unique`` key is taken by a live task is not enqueued: that task's id is returned.

    Raises:
        UsageError: A field is wrong; nothing was enqueued.
        RedisAway: Redis cannot be reached.
    """
    settings, connection = _context()
    spec = model.parse_spec({"prompt": prompt, **fields})
    with connect.reachable(settings):
        return submission.submit(connect.pool(settings, connection), settings, [spec])[0].id


def get_active_workers(within: float | None = None) -> list[dict[str, Any]]:
    """The workers heard of within so many seconds (default: the setting active_window, 120 s).

    Raises:
        RedisAway: Redis cannot be reached.
    """
    settings, connection = _context()
    window = settings.active_window if within is None else within
    with connect.reachable(settings):
        found = view.workers(connection, departed=False)
    return [asdict(each) for each in found if each.last_heartbeat <= window]
