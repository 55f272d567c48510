"""What the JSON API answers: the fields' names are those of the commands' `--json`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pool.sessions import Confidence, State

Moment = Annotated[str | None, Field(description="ISO 8601, in UTC.")]


class Session(BaseModel):
    """A session of Claude Code. Moments are seconds since 1970; '' and 0 mean not known."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(description="Its name here: the worker's, or `s-` and digits. It outlives /clear.")
    state: State = Field(description="What it does.")
    since: float = Field(description="Since when it is in that state.")
    evidence: str = Field(description="What says so.")
    evidence_at: float = Field(description="When that was seen.")
    confidence: Confidence = Field(description="How sure the state is.")
    session: str = Field(description="The client's id of it, as it is now.")
    transcript: str = Field(description="The file of what was said.")
    process: str = Field(description="What its process is known by.")
    pid: int = Field(description="Its process id.")
    host: str = Field(description="Its machine.")
    cwd: str = Field(description="Where it works.")
    worker: str = Field(description="The pool's worker that it is; '': none.")
    task: str = Field(description="The task that it holds.")
    title: str = Field(description="That task's title.")
    tool: str = Field(description="The tool that runs, the newest of several.")
    tools: int = Field(description="How many run.")
    agents: int = Field(description="How many sub-agents run.")
    needs: str = Field(description="What it wants of a person; '': nothing.")
    until: float = Field(description="Until when it is parked.")
    parent: str = Field(description="The session in whose shell it was started, or from which it was forked.")
    model: str = Field(description="Its model.")
    permission_mode: str = Field(description="How it asks for permission.")
    started_at: float = Field(description="When it began.")
    ended_at: float = Field(description="When it ended.")
    hooks_at: float = Field(description="When a hook of its was heard last; 0: never.")
    revision: int = Field(description="Grows by one with every change.")


class Event(BaseModel):
    """An entry of a stream: what happened, when, and more fields by its type."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(description="The entry's id; as a cursor it means what is older.")
    at: str = Field(description="ISO 8601, in UTC.")
    type: str = Field("", description="What happened.")


class Sessions(BaseModel):
    """A page of sessions, by id."""

    sessions: list[Session] = Field(description="Those asked for.")
    total: int = Field(description="How many there are of those in all.")
    next: str | None = Field(description="The cursor of the next page; null: this was the last.")


class SessionDetail(BaseModel):
    """A session, and what was seen of it."""

    session: Session = Field(description="As it stands.")
    timeline: list[Event] = Field(
        description="What was seen of it, newest first; older entries are forgotten."
    )


class Cost(BaseModel):
    """Requests of the model, their tokens, and USD."""

    name: str = Field(description="What it is the cost of.")
    requests: int = Field(description="Requests.")
    input: int = Field(description="Tokens.")
    output: int = Field(description="Tokens.")
    cache_read: int = Field(description="Tokens.")
    cache_write: int = Field(description="Tokens.")
    usd: float = Field(description="US dollars, as far as prices are known.")
    unpriced: int = Field(description="Requests without a known price.")
    budget: float | None = Field(description="What a task may cost.")


class Task(BaseModel):
    """A task as it stands: `coord tasks --json`."""

    id: str = Field(description="Its id.")
    title: str = Field(description="Its title.")
    status: str = Field(description="queued, deferred, scheduled, started, finished, failed or canceled.")
    queue: str = Field(description="Its queue.")
    priority: str = Field(description="high, normal or low.")
    worker: str | None = Field(description="Who does or did it.")
    attempts: int = Field(description="How often it was begun.")
    losses: int = Field(description="How many workers died over it.")
    releases: int = Field(description="How often it was handed back.")
    retries_left: int = Field(description="How often it may still be tried again.")
    created_at: Moment
    started_at: Moment
    ended_at: Moment
    run_at: Moment
    after: list[str] = Field(description="Tasks that come first.")
    error: str | None = Field(description="Why it failed, or was put back.")
    progress: str | None = Field(description="What its worker said last.")
    unique: str | None = Field(description="Its unique key.")
    timeout: int | None = Field(description="It may run for so many seconds.")
    host: str | None = Field(description="The machine of its last worker.")
    supervisor: str | None = Field(description="That worker's supervisor; '': none.")
    needs: list[str] = Field(description="What its worker must offer.")
    result: Any = Field(None, description="What was committed; null in lists, and without one.")
    artifacts: list[str] = Field(description="Names of files kept with the result; empty in lists.")
    evidence: dict[str, Any] = Field(description="What its end is believed by; empty in lists.")
    blocked_by: list[str] = Field(description="Failed or cancelled tasks because of which it will not run.")


class Tasks(BaseModel):
    """A page of tasks."""

    tasks: list[Task] = Field(description="The newest first; queued ones as they will be claimed.")
    searched: int = Field(description="How many were looked at for this page.")
    total: int = Field(description="How many there are to look at.")
    next: str | None = Field(description="The cursor of the next page, which may be empty; null: no more.")


class TaskDetail(Task):
    """A task with all that is known of it: `coord task ID --json`."""

    fields: dict[str, Any] = Field(description="What it says: prompt, cwd, check ...")
    history: list[Event] = Field(description="What happened to it, oldest first.")
    messages: int = Field(description="An operator's messages that its worker has not got yet.")
    cost: Cost | None = Field(description="What it has cost.")


class Result(BaseModel):
    """What came of a task: `coord result ID --json`."""

    id: str = Field(description="Its id.")
    status: str = Field(description="Its state.")
    result: Any = Field(None, description="What was committed.")
    error: str | None = Field(description="Why it failed.")
    artifacts: list[str] = Field(description="Names of files kept with it.")
    evidence: dict[str, Any] = Field(description="check, patch, work, run, as far as there are.")


class LogLine(BaseModel):
    """A line of a session's log."""

    at: float = Field(description="Seconds since 1970.")
    line: str = Field(description="What was said or done.")


class Log(BaseModel):
    """What a worker's sessions said and did for a task."""

    here: bool = Field(description="Whether the log is kept on the monitor's machine.")
    worker: str | None = Field(description="Whose log.")
    host: str | None = Field(description="Where it is kept, as far as is known.")
    lines: list[LogLine] = Field(description="The last lines.")


class Queue(BaseModel):
    """A queue at one priority: `coord queues --json`."""

    queue: str = Field(description="Its name.")
    priority: str = Field(description="high, normal or low.")
    queued: int = Field(description="Tasks that wait for a worker.")
    running: int = Field(description="Tasks that run.")
    scheduled: int = Field(description="Tasks that wait for their time.")
    deferred: int = Field(description="Tasks that wait for others.")
    failed: int = Field(description="Failed tasks that are kept.")
    workers: int = Field(description="Workers that serve it.")
    paused: bool = Field(description="Whether it is paused.")


class Queues(BaseModel):
    """Every queue."""

    queues: list[Queue] = Field(description="By name and priority.")


class Times(BaseModel):
    """Waiting or running times in seconds."""

    count: int = Field(description="How many.")
    mean: float | None = Field(description="Their mean.")
    median: float | None = Field(description="About half are shorter.")
    p90: float | None = Field(description="Nine in ten are shorter.")
    p99: float | None = Field(description="99 in a hundred are shorter.")
    max: float | None = Field(description="The longest.")


class QueueStats(BaseModel):
    """What was done on a queue in the window, and how it stands."""

    model_config = ConfigDict(extra="ignore")

    queue: str = Field(description="Its name.")
    queued: int = Field(description="Tasks that wait now.")
    oldest: float | None = Field(description="The first of them has waited for so many seconds.")
    running: int = Field(description="Tasks that run now.")
    scheduled: int = Field(description="Tasks that wait for their time now.")
    deferred: int = Field(description="Tasks that wait for others now.")
    submitted: int = Field(description="Tasks made.")
    claimed: int = Field(description="Claims.")
    finished: int = Field(description="Tasks finished.")
    failed: int = Field(description="Tasks failed for good.")
    poisoned: int = Field(description="Of those, because too many workers died over them.")
    canceled: int = Field(description="Tasks cancelled.")
    lost: int = Field(description="Claims whose worker died.")
    released: int = Field(description="Claims handed back.")
    returned: int = Field(description="Claims that came back uncounted.")
    refused: int = Field(description="Commits refused: the claim was no longer the caller's.")
    retried: int = Field(description="Failed attempts that are tried again.")
    requeued: int = Field(description="Tasks put back by an operator.")
    per_minute: float = Field(description="Tasks finished, per minute.")
    waiting: Times = Field(description="How long tasks waited.")
    running_time: Times = Field(description="How long they ran.")
    finished_by_slot: list[int] = Field(description="Finished tasks in each slot, oldest first.")


class Stats(BaseModel):
    """Every queue's numbers in one window: `coord stats --json`."""

    model_config = ConfigDict(extra="ignore")

    since: Moment
    until: Moment
    seconds: float = Field(description="The window.")
    slot: int = Field(description="Seconds of one slot.")
    queues: list[QueueStats] = Field(description="By name.")
    idle: Cost = Field(description="What was used today while nothing waited.")


class Costs(BaseModel):
    """What was used since a day: `coord cost --json`."""

    by: str = Field(description="What the rows are of.")
    since: str = Field(description="The first day.")
    until: str = Field(description="The last day.")
    rows: list[Cost] = Field(description="The dearest first; days in their order.")
    total: Cost = Field(description="All of it.")
    idle: Cost = Field(description="What was used while nothing waited.")


class Worker(BaseModel):
    """A worker as it stands: `coord workers --json`."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(description="Its name.")
    state: str = Field(description="What it does.")
    evidence: str = Field(description="What says so.")
    state_age: float = Field(description="For so many seconds.")
    task: str | None = Field(description="The task that it holds.")
    title: str | None = Field(description="That task's title.")
    last_heartbeat: float = Field(description="So many seconds ago.")
    last_heartbeat_at: Moment
    idle_left: float | None = Field(description="Seconds that it may still idle.")
    idle_limit: float = Field(description="Seconds that it may idle.")
    queues: list[str] = Field(description="Which it serves.")
    tasks: int = Field(description="How many it has done.")
    host: str = Field(description="Its machine.")
    pid: int = Field(description="Its process.")
    cwd: str = Field(description="Where it works.")
    session: str = Field(description="The client's id of its session.")
    epoch: int = Field(description="The number of its registration.")
    draining: bool = Field(description="Whether it will stop.")
    messages: int = Field(description="An operator's messages that it has not got yet.")
    parked_until: Moment
    registered_at: Moment
    requests: int = Field(description="Model requests of this registration.")
    usd: float = Field(description="What they cost.")
    idle_requests: int = Field(description="How many of them while nothing waited.")
    coord: str = Field(description="coord's release that it runs.")
    scripts: int = Field(description="The version of its scripts.")
    offers: list[str] = Field(description="What tasks may need of it.")
    account: str = Field(description="Whose quota it uses.")
    mode: str = Field(description="How its session is run; '': by a person.")
    supervisor: str = Field(description="By whom.")
    age: float = Field(description="Seconds since it was registered.")


class Workers(BaseModel):
    """Workers, by id."""

    workers: list[Worker] = Field(description="Those asked for.")


class Account(BaseModel):
    """An account: `coord accounts --json`."""

    name: str = Field(description="Its name; `*`: every account.")
    state: str = Field(description="ok, parked or stopped.")
    reason: str | None = Field(description="Why.")
    until: Moment
    left: float | None = Field(description="Seconds until then.")
    since: Moment
    source: str | None = Field(description="The worker whose session had the error, `budget` or `operator`.")
    workers: int = Field(description="Live workers.")
    parked: int = Field(description="How many of them wait.")


class Accounts(BaseModel):
    """Every account that is or was in use."""

    accounts: list[Account] = Field(description="By name.")


class Events(BaseModel):
    """A page of the pool's events."""

    events: list[Event] = Field(description="The newest first.")
    next: str | None = Field(description="The cursor of the next page, which may be empty; null: no more.")


class Status(BaseModel):
    """How the monitor and the pool fare."""

    version: str = Field(description="coord's release.")
    since: float = Field(description="When this monitor started, in seconds since 1970.")
    redis: str = Field(description="`ok`, or why it does not answer.")
    coordinator: bool = Field(description="Whether a coordinator acts.")
    hooks: bool = Field(description="Whether hooks are heard.")
    polling: bool = Field(description="Whether looking at processes stands in for them.")
    last_hook_at: float | None = Field(description="When a hook was heard last, in seconds since 1970.")
    last_event: str = Field(description="Where the events stand: GET /events?last= goes on from there.")
    sessions: dict[str, int] = Field(description="How many sessions there are, by state.")
    queued: int = Field(description="Tasks that wait for a worker.")
    running: int = Field(description="Tasks that run.")
