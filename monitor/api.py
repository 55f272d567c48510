"""`GET /api/v1/...`: all that the page shows, as JSON. Reading only; docs/monitor.md, "JSON API"."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request

from monitor import intake, models
from monitor.errors import Problem
from pool import (
    __version__,
    accounts,
    costs,
    events,
    listing,
    model,
    payload,
    search,
    sessionlog,
    stats,
    units,
    view,
)
from pool.errors import UnknownWorker, UsageError
from pool.sessions import State

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none."}}
router = APIRouter(prefix="/api/v1", tags=["data"], responses=_MISSING)

Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
Text = Annotated[str, Query(max_length=200)]
Name = Annotated[str, Path(min_length=1, max_length=200)]
Place = Annotated[int, Query(ge=0, le=10_000_000, description="`next` of the page before.")]
Entry = Annotated[
    str, Query(pattern=r"^(\d{1,15}-\d{1,15})?$", description="`next` of the page before; empty: the newest.")
]

#: Events that are looked at for one page, and for a task's history.
_LOOKED, _HISTORY = 5000, 20_000
#: Seconds in a day.
_DAY = 86400.0


@router.get("/status", summary="How the monitor and the pool fare")
def status(request: Request) -> models.Status:
    """Whether hooks are heard, a coordinator acts and Redis answers; how many sessions do what."""
    monitor, known = request.app.state.monitor, intake.status(request)
    queues = listing.queues(monitor.redis)
    return models.Status(
        version=__version__, since=known["since"], redis=known["redis"],
        coordinator=bool(monitor.redis.exists("pool:leader")), hooks=known["hooks"], polling=known["polling"],
        last_hook_at=known["last_hook_at"], last_event=known["last_event"], sessions=known["sessions"],
        queued=sum(row["queued"] for row in queues), running=sum(row["running"] for row in queues),
    )  # fmt: skip


@router.get("/sessions", summary="List sessions")
def sessions(
    request: Request, state: State | None = None, host: Text = "", worker: Text = "", q: Text = "",
    cursor: Annotated[str, Query(max_length=200, description="`next` of the page before.")] = "",
    limit: Limit = 100,
) -> models.Sessions:  # fmt: skip
    """Sessions by id: those in a state, on a machine, of a worker, or in which `q` occurs."""
    words = q.casefold().split()
    found = []
    for each in request.app.state.monitor.hub.mirror.all():
        if (state and each.state != state) or host not in ("", each.host) or worker not in ("", each.worker):
            continue
        said = (
            each.id,
            each.session,
            each.cwd,
            each.host,
            each.task,
            each.title,
            each.tool,
            each.needs,
            each.worker,
        )
        if all(word in "\n".join(said).casefold() for word in words):
            found.append(each)
    found.sort(key=lambda each: each.id)
    total = len(found)
    page = [each for each in found if each.id > cursor][: limit + 1]
    more = page[limit - 1].id if len(page) > limit else None
    shown = [models.Session(**vars(each)) for each in page[:limit]]
    return models.Sessions(sessions=shown, total=total, next=more)


@router.get("/sessions/{id}", summary="Show a session and its timeline")
def session(request: Request, id: Name, limit: Limit = 200) -> models.SessionDetail:
    """One session as it stands, and what was seen of it."""
    monitor = request.app.state.monitor
    found = monitor.hub.sessions.get(id)
    if found is None:
        raise UnknownWorker(f"there is no session {id!r}")
    rows = events.latest(monitor.redis, limit, f"pool:timeline:{id}")
    return models.SessionDetail(session=models.Session(**vars(found)), timeline=_events(request, rows))


@router.get("/tasks", summary="List and search tasks")
def tasks(
    request: Request, status: model.Status | None = None, queue: Text = "", worker: Text = "",
    q: Annotated[str, Query(max_length=200, description="Words of its id, title, error, worker.")] = "",
    cursor: Place = 0, limit: Limit = 50,
) -> models.Tasks:  # fmt: skip
    """The newest first; with `status=queued` as they will be claimed, with `scheduled` as they are due.

    A page may be short, even empty, and not the last: no more than 2,000 are looked at for one.
    """
    monitor = request.app.state.monitor
    found = search.search(monitor.redis, q, status or "", queue, worker, cursor, limit)
    shown = [models.Task(**_clean(request, each)) for each in found.tasks]
    more = None if found.more is None else str(found.more)
    return models.Tasks(tasks=shown, searched=found.looked, total=found.total, next=more)


@router.get("/tasks/{id}", summary="Show a task")
def task(request: Request, id: Name) -> models.TaskDetail:
    """One task: its state, what it says, its history, result, evidence and cost."""
    connection = request.app.state.monitor.redis
    found = view.task(connection, id)
    try:
        fields = view.fields(connection, id)
    except payload.NotATask as error:
        fields = {"prompt": f"(this job is none of coord's: {error})"}
    history, _ = events.of_task(connection, id, _since(found.created_at), _HISTORY)
    spent = costs.of_tasks(connection, [id])[0]
    return models.TaskDetail(
        **_clean(request, found), fields=_clean(request, fields), history=_events(request, history),
        messages=listing.messages(connection, found), cost=models.Cost(**vars(spent)) if spent else None,
    )  # fmt: skip


@router.get("/tasks/{id}/result", summary="Read a task's result")
def result(request: Request, id: Name) -> models.Result:
    """A finished task's result; of another its status and error."""
    found = _clean(request, view.task(request.app.state.monitor.redis, id))
    return models.Result(**{name: found[name] for name in models.Result.model_fields})


@router.get("/tasks/{id}/log", summary="Read a task's log")
def log(request: Request, id: Name, limit: Annotated[int, Query(ge=1, le=2000)] = 200) -> models.Log:
    """What a supervised worker's sessions said and did for a task, if it is kept here: the last lines."""
    monitor = request.app.state.monitor
    found = view.task(monitor.redis, id)
    lines: list[tuple[float, str]] = []
    folder = None
    if found.worker and units.is_worker_id(found.worker):
        folder = sessionlog.folder(monitor.settings.home, found.worker)
        if sessionlog.files(folder):
            wanted = sessionlog.of_task(folder, id, found.started_at, found.ended_at)
            lines = sessionlog.last_lines(wanted, limit)
        else:
            folder = None
    clean = monitor.redactor.text
    return models.Log(
        here=folder is not None, worker=found.worker, host=found.host,
        lines=[models.LogLine(at=at, line=clean(line)) for at, line in lines],
    )  # fmt: skip


@router.get("/queues", summary="List queues")
def queues(request: Request) -> models.Queues:
    """How many tasks wait, run, are scheduled; who serves them; whether they are paused."""
    rows = listing.queues(request.app.state.monitor.redis)
    return models.Queues(queues=[models.Queue(**row) for row in rows])


@router.get("/stats", summary="Throughput and times")
def numbers(
    request: Request,
    seconds: Annotated[
        float, Query(ge=60, le=3.2e7, allow_inf_nan=False, description="The window.")
    ] = 3600.0,
    queue: Text = "",
) -> models.Stats:
    """What was done in the last so many seconds, by queue: in minutes up to six hours, else in hours."""
    monitor = request.app.state.monitor
    if seconds > monitor.settings.stats_ttl:
        raise UsageError(f"at most {monitor.settings.stats_ttl:.0f} seconds are kept (setting stats_ttl)")
    return models.Stats(**_plain(stats.read(monitor.redis, seconds, queue)))


@router.get("/costs", summary="What was used")
def cost(
    request: Request,
    by: Literal["task", "worker", "account", "day", "queue", "model", "kind"] = "day",
    days: Annotated[int, Query(ge=1, le=1000, description="Today and so many less one before.")] = 7,
    limit: Limit = 100,
) -> models.Costs:
    """Requests, tokens and USD of the last days. By task it is what each has cost since ever."""
    monitor = request.app.state.monitor
    if days > monitor.settings.cost_ttl / _DAY:
        raise UsageError(f"at most {monitor.settings.cost_ttl / _DAY:.0f} days are kept (setting cost_ttl)")
    found = costs.read(monitor.redis, by, days, limit)
    if by != "day":
        found.rows = found.rows[:limit]
    return models.Costs(**_plain(found))


@router.get("/workers", summary="List workers")
def workers(
    request: Request, all: Annotated[bool, Query(description="Also those that stopped or died.")] = False
) -> models.Workers:
    """The pool's workers: state with its evidence and age, task, last heartbeat, idle time left, host."""
    found = view.workers(request.app.state.monitor.redis, departed=all)
    return models.Workers(workers=[models.Worker(**_clean(request, each)) for each in found])


@router.get("/accounts", summary="List accounts")
def accounts_(request: Request) -> models.Accounts:
    """Whose quota is used up and until when, who is stopped and why."""
    found = accounts.read(request.app.state.monitor.redis)
    return models.Accounts(accounts=[models.Account(**_clean(request, each)) for each in found])


@router.get("/events", summary="List events")
def events_(
    request: Request, type: Text = "", task: Text = "", worker: Text = "", session: Text = "",
    cursor: Entry = "", limit: Limit = 100,
) -> models.Events:  # fmt: skip
    """What happened in the pool, the newest first. `type=operator` is the audit log.

    A page may be short, even empty, and not the last: no more than 5,000 are looked at for one.
    """
    wanted = {"type": type, "task": task, "worker": worker, "session": session}
    wanted = {name: value for name, value in wanted.items() if value}
    found: list[dict[str, Any]] = []
    last, looked = f"({cursor}" if cursor else "+", 0
    while True:
        rows = events.latest(request.app.state.monitor.redis, min(1000, _LOOKED - looked), until=last)
        for row in rows:
            if all(row.get(name) == value for name, value in wanted.items()):
                found.append(row)
            if len(found) == limit:
                return models.Events(events=_events(request, found), next=row["id"])
        looked += len(rows)
        if len(rows) < 1000 or looked >= _LOOKED:
            more = rows[-1]["id"] if rows and looked >= _LOOKED else None
            return models.Events(events=_events(request, found), next=more)
        last = f"({rows[-1]['id']}"


def _events(request: Request, rows: list[dict[str, Any]]) -> list[models.Event]:
    # (The record as JSON that goes with an entry of a session is what /sessions shows.)
    clean = request.app.state.monitor.redactor.value
    return [
        models.Event(**clean({name: each for name, each in row.items() if name != "record"})) for row in rows
    ]


def _since(moment: str | None) -> float:
    """Seconds since 1970; 0 for what is no moment."""
    try:
        return datetime.fromisoformat(moment or "").timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _plain(found: Any) -> dict[str, Any]:
    assert is_dataclass(found) and not isinstance(found, type)
    return asdict(found)


def _clean(request: Request, found: Any) -> dict[str, Any]:
    """An object's or a dictionary's fields, without secrets."""
    fields = found if isinstance(found, dict) else vars(found)
    shown: dict[str, Any] = request.app.state.monitor.redactor.value(fields)
    return shown
