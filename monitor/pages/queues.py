"""Queues: how much waits now, and what was done over time."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from monitor.pages import pictures, shell
from monitor.pages.templating import render
from pool import activity, keys, stats, units

#: One look at the columns serves for so long (seconds).
_FRESH = 5.0
#: Windows of time by name, in seconds.
WINDOWS = {"1h": 3600.0, "6h": 21600.0, "24h": 86400.0, "7d": 7 * 86400.0, "30d": 30 * 86400.0}


@shell.page("/queues")
def queues(request: Request, window: str = "24h", queue: str = "") -> HTMLResponse:
    """All queues as they stand, and charts of all together or of one."""
    monitor = request.app.state.monitor
    connection = monitor.redis
    name = window if window in WINDOWS else "24h"
    seconds = min(WINDOWS[name], monitor.settings.stats_ttl)
    queue = queue if units.is_queue(queue) else ""
    found = shell.shared.get(("stats", name), lambda: stats.read(connection, seconds))
    look = partial(stats.columns, connection, seconds, queue)
    columns = shell.shared.get(("columns", name, queue), look, _FRESH)
    shares = shell.shared.get(("shares", name), partial(activity.read, connection, seconds), _FRESH)
    raw: Any = connection.smembers("pool:paused")
    paused = {each.decode("utf-8", "replace") for each in raw}
    known = {each.queue for each in found.queues}
    # (One may be paused before its first task.)
    coming = [stats.QueueStats(each, 0, None, 0, 0, 0) for each in sorted(paused - known)]
    return render(request, "queues.html", {
        "rows": [*found.queues, *coming], "paused": paused, "window": name, "windows": list(WINDOWS),
        "queue": queue,
        "suspended": bool(connection.exists(keys.templates()["suspended"])),
        "charts": [
            pictures.throughput(columns, name), pictures.waiting(columns, name),
            *([] if queue else [pictures.working(shares, name)]),
        ],
    })  # fmt: skip
