"""The page of one session: what is known of it, its timeline, its log."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from monitor.pages import listing, shell, timeline
from monitor.pages.templating import render
from pool import clock, costs, sessionlog, units, view
from pool.enroll import host_name
from pool.errors import UnknownWorker
from pool.sessions import Session


@shell.page("/sessions/{name}")
def session(request: Request, name: str) -> HTMLResponse:
    """All that there is to say of it."""
    monitor = request.app.state.monitor
    found: Session | None = monitor.hub.sessions.get(name)
    if found is None:
        detail = f"{name[:200]!r} is not on record: ended ones are forgotten after a while."
        return shell.missing(request, "There is no such session", detail, ("/", "All sessions"))
    now = clock.wall()
    hide = shell.redactor(request)
    seen = timeline.entries(monitor.store.timeline(name), now)
    log = []
    if found.worker and units.is_worker_id(found.worker):
        folder = sessionlog.folder(monitor.settings.home, found.worker)
        lines = sessionlog.last_lines(sessionlog.Wanted(folder), shell.LOG_LINES)
        log = [(at, hide.line(line, 500)) for at, line in lines]
    return render(request, "session.html", {
        "it": found, "meaning": listing.MEANING, "facts": _facts(monitor.redis, found), "entries": seen,
        "band": timeline.band(seen, now, found.ended_at), "ended": bool(found.ended_at), "log": log,
        "log_note": _no_log(found),
    })  # fmt: skip


def _facts(connection: Any, found: Session) -> list[tuple[str, str]]:
    """What is said of it in a line each."""
    facts = [
        ("Where", found.cwd), ("Machine", found.host), ("Process", str(found.pid or "")),
        ("Model", found.model), ("Permissions", found.permission_mode), ("Client's session", found.session),
        ("Transcript", found.transcript),
    ]  # fmt: skip
    if not found.worker:
        return facts
    try:
        worker = view.worker(connection, found.worker)
    except UnknownWorker:
        return facts
    cost, idle = costs.of_workers(connection, [found.worker])[found.worker]
    spent = f"${cost.usd:.4f} for {cost.requests:,} requests" if cost.requests else ""
    return [
        *facts, ("Cost", spent + (f", {idle.requests:,} of them idle" if idle.requests else "")),
        ("Queues", ", ".join(worker.queues)), ("Tasks so far", str(worker.tasks or "")),
        ("Account", worker.account), ("Mode", worker.mode), ("Supervisor", worker.supervisor),
        ("Idle time left", "" if worker.idle_left is None else units.span(worker.idle_left)),
        ("Messages not read yet", str(worker.messages or "")), ("coord", worker.coord),
    ]  # fmt: skip


def _no_log(found: Session) -> str:
    """Why no log is shown."""
    if not found.worker:
        return "A log is kept of supervised workers only."
    if found.host and found.host != host_name():
        return f"Its log, if a supervisor keeps one, is on {found.host}: coord logs {found.worker}"
    return "There is no log of it here: it has no supervisor, or one with another COORD_HOME."
