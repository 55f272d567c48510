"""Queues: how much waits now, and what was done over time."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from monitor.pages import charts, shell, text
from monitor.pages.templating import render
from pool import keys, stats, units

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
    raw: Any = connection.smembers("pool:paused")
    paused = {each.decode("utf-8", "replace") for each in raw}
    known = {each.queue for each in found.queues}
    # (One may be paused before its first task.)
    coming = [stats.QueueStats(each, 0, None, 0, 0, 0) for each in sorted(paused - known)]
    return render(request, "queues.html", {
        "rows": [*found.queues, *coming], "paused": paused, "window": name, "windows": list(WINDOWS),
        "queue": queue,
        "suspended": bool(connection.exists(keys.templates()["suspended"])),
        "charts": [throughput(columns, name), waiting(columns, name)],
    })  # fmt: skip


def throughput(columns: list[stats.Column], window: str) -> charts.Chart:
    """Tasks that were finished, and that failed for good."""
    made = charts.Chart("Throughput", "", [], [])
    finished, failed = sum(each.finished for each in columns), sum(each.failed for each in columns)
    if not finished and not failed:
        made.summary = f"Nothing was finished in the last {window}."
        return made
    length = columns[1].at - columns[0].at if len(columns) > 1 else 60.0
    labels = [
        f"{text.clock(each.at, columns[-1].at)} UTC, {units.span(length)}: "
        f"{each.finished:,} finished, {each.failed:,} failed"
        for each in columns
    ]
    made.boxes, full = charts.stacked(
        [(each.finished, each.failed) for each in columns], ("bar", "bar wrong"), labels
    )
    best = max(columns, key=lambda each: each.finished)
    made.summary = (
        f"{finished:,} finished, {failed:,} failed in the last {window}; at most {best.finished:,} within "
        f"{units.span(length)}."
    )
    made.ys, made.xs = charts.scale(full), charts.moments(columns[0].at, columns[-1].at + length)
    made.legend = [("bar", "finished"), ("bar wrong", "failed")]
    made.head = ["From", "Submitted", "Finished", "Failed"]
    made.rows = [
        [each.at, f"{each.submitted:,}", f"{each.finished:,}", f"{each.failed:,}"]
        for each in reversed(columns)
    ]
    return made


def waiting(columns: list[stats.Column], window: str) -> charts.Chart:
    """How long tasks waited from when they could be claimed until they were."""
    made = charts.Chart("Waiting time", "", [], [])
    parts = (("median", "one"), ("p90", "two"), ("p99", "three"))
    series = [(name, kind, [getattr(each.waiting, name) for each in columns]) for name, kind in parts]
    made.lines, made.ys = charts.times(series)
    if not made.lines:
        made.summary = f"Nothing was claimed in the last {window}."
        return made
    length = columns[1].at - columns[0].at if len(columns) > 1 else 60.0
    worst = max((each for each in columns if each.waiting.count), key=lambda each: each.waiting.p90 or 0.0)
    last = next(each for each in reversed(columns) if each.waiting.count)
    made.summary = (
        f"Half of those claimed last waited no longer than {units.short(last.waiting.median)}; the worst "
        f"{units.span(length)} began at {text.clock(worst.at, columns[-1].at)} UTC: a tenth waited longer "
        f"than {units.short(worst.waiting.p90)}. The scale is logarithmic."
    )
    made.xs = charts.moments(columns[0].at, columns[-1].at + length)
    made.legend = [("one", "median"), ("two", "90%"), ("three", "99%")]
    made.head = ["From", "Claimed", "Median", "90%", "99%"]
    made.rows = [
        [each.at, f"{each.waiting.count:,}",
         *(units.short(getattr(each.waiting, name)) for name, _ in parts)]
        for each in reversed(columns) if each.waiting.count
    ]  # fmt: skip
    return made
