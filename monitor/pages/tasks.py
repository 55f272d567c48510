"""The list of tasks, and the page of one."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from monitor.pages import shell, text
from monitor.pages.templating import render
from pool import costs, events, evidence, model, payload, search, sessionlog, units, view
from pool.errors import UnknownTask

#: Tasks of a page; events that are searched for a task's history.
_PAGE, _HISTORY = 50, 20_000
_ORDERS = {
    "": "the newest first", "queued": "in the order in which they will be claimed",
    "scheduled": "by when they are due",
}  # fmt: skip


@shell.page("/tasks")
def tasks(
    request: Request, q: str = "", status: str = "", queue: str = "", worker: str = "", first: str = ""
) -> HTMLResponse:
    """Tasks that match, from a place on."""
    connection = request.app.state.monitor.redis
    status = status if status in set(model.Status) else ""
    given = {"q": q[:200], "status": status, "queue": queue[:200], "worker": worker[:200]}
    begin = int(first) if first.isascii() and first.isdigit() and len(first) < 10 else 0
    found = search.search(connection, given["q"], status, given["queue"], given["worker"], begin, _PAGE)
    spent = costs.of_tasks(connection, [each.id for each in found.tasks])
    hide = shell.redactor(request)
    for each in found.tasks:
        each.title = hide.text(each.title)
    names = sorted({model.split_queue(name)[0] for name in view.queue_names(connection)})
    return render(request, "tasks.html", {
        "found": found, "given": given, "first": begin, "statuses": [each.value for each in model.Status],
        "queues": names, "order": _ORDERS.get(status, "the latest first"),
        "costs": {each.name: each.usd for each in spent if each is not None and each.requests},
        "notes": {each.id: hide.line(_note(each)) for each in found.tasks},
    })  # fmt: skip


def _note(each: view.TaskView) -> str:
    """What is worth a line below the title."""
    if each.blocked_by:
        return f"will not run: {', '.join(each.blocked_by)} has not finished"
    if each.status == model.Status.DEFERRED:
        return f"after {', '.join(each.after)}"
    said = each.progress if each.status == model.Status.STARTED else each.error
    lines = [line for line in (said or "").splitlines() if line.strip()]
    # (Of a Python error, the last line says what it was.)
    return lines[-1 if lines and lines[0].startswith("Traceback") else 0] if lines else ""


@shell.page("/tasks/{name}")
def task(request: Request, name: str) -> HTMLResponse:
    """One task with its history, log, result and what that is believed by."""
    monitor = request.app.state.monitor
    connection = monitor.redis
    try:
        found = view.task(connection, name)
        fields = view.fields(connection, name)
    except UnknownTask:
        detail = f"{name[:200]!r} is not here (any more): results are kept for {_kept(monitor.settings)}."
        return shell.missing(request, "There is no such task", detail, ("/tasks", "All tasks"))
    except payload.NotATask as error:
        fields = {"prompt": f"(this job is none of coord's: {error})"}
    hide = shell.redactor(request)
    (cost,) = costs.of_tasks(connection, [name])
    history, whole = events.of_task(connection, name, text.moment(found.created_at), _HISTORY)
    for row in history:
        row["detail"] = hide.line(row.get("detail", ""))
    for field in ("title", "error", "progress"):
        value = getattr(found, field)
        setattr(found, field, hide.text(value) if value else value)
    log = []
    if found.worker and units.is_worker_id(found.worker):
        folder = sessionlog.folder(monitor.settings.home, found.worker)
        part = sessionlog.of_task(folder, name, found.started_at, found.ended_at)
        log = [(at, hide.line(line, 500)) for at, line in sessionlog.last_lines(part, shell.LOG_LINES)]
    sizes = [(each, int(connection.hstrlen(_artifacts(name), each))) for each in found.artifacts]
    return render(request, "task.html", {
        "it": found, "facts": _facts(found, fields, cost), "moments": _moments(found), "history": history,
        "whole": whole, "looked": _HISTORY, "result": hide.text(text.pretty(found.result)),
        "evidence": hide.text(evidence.text(found.evidence, {})), "prompt": hide.text(str(fields["prompt"])),
        "artifacts": sizes, "log": log, "log_note": _no_log(found),
    })  # fmt: skip


@shell.router.get("/tasks/{name}/artifacts/{place}")
def artifact(request: Request, name: str, place: int) -> Response:
    """A file that was kept with the result: to be saved, never to be shown as a page of ours."""
    connection = request.app.state.monitor.redis
    names: Any = sorted(connection.hkeys(_artifacts(name)))
    data: Any = connection.hget(_artifacts(name), names[place]) if 0 <= place < len(names) else None
    if data is None:
        return Response("there is no such file", 404, media_type="text/plain")
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _artifacts(task_id: str) -> str:
    return f"pool:artifacts:{task_id}"


def _facts(found: view.TaskView, fields: dict[str, Any], cost: costs.Cost | None) -> list[tuple[str, Any]]:
    profile = fields.get("profile")
    context = fields.get("context")
    files = [str(each.get("path", "")) for each in context if isinstance(each, dict)] if isinstance(
        context, list) else []  # fmt: skip
    spent = ""
    if cost is not None:
        spent = f"${cost.usd:.4f} for {cost.requests:,} requests, {cost.tokens:,} tokens"
        spent += f", of a budget of ${cost.budget:g}" if cost.budget else ""
    return [
        ("Queue", model.rq_queue(found.queue, found.priority)), ("Tries", found.attempts),
        ("Lost with a worker", found.losses), ("Handed back", found.releases),
        ("Retries left", found.retries_left), ("Cost", spent),
        ("Timeout", units.span(found.timeout) if found.timeout else ""), ("Directory", fields.get("cwd")),
        ("Context", ", ".join(files)), ("Unique key", found.unique), ("Check", fields.get("check")),
        ("Asks for", ", ".join(f"{key} {value}" for key, value in profile.items())
         if isinstance(profile, dict) else ""),
        ("Needs", " ".join(found.needs)), ("Machine", found.host),
    ]  # fmt: skip


def _moments(found: view.TaskView) -> list[tuple[str, str | None]]:
    return [
        ("Made", found.created_at), ("Not before", found.run_at), ("Begun", found.started_at),
        ("Ended", found.ended_at),
    ]  # fmt: skip


def _no_log(found: view.TaskView) -> str:
    if found.worker is None:
        return "No worker has begun it."
    return f"Nothing was logged for it here; on the machine of its worker: coord logs {found.id}"


def _kept(settings: Any) -> str:
    return units.span(settings.result_ttl)
