"""What `coord top` shows, as it stands in Redis: sessions and workers as one list, queues, warnings.

Of a worker two things are known: what the pool's transitions have written, and what the monitor has heard.
The newer evidence counts. Where no monitor runs, other sessions are shown as they were known last: stale.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import redis

from pool import accounts, events, keys, model, monitors, sessions, stats, view
from pool.sessions import Confidence, Session
from pool.view import WorkerView

#: Ended ones are shown for so long (seconds), unless all are asked for.
RECENT = 600.0
#: Throughput is shown for the last so many seconds.
WINDOW = 1800.0
#: Queues and warnings are read this often at most (seconds).
_APART = 1.0
#: Everything is read anew every so many seconds, or this many times as long as that takes.
_WHOLE, _SHARE = 3.0, 20.0
#: More changes at once than this: everything is read anew.
_MANY = 200
#: States that are over.
ENDED = frozenset(("stopped", "dead"))


@dataclass(frozen=True)
class Row:
    """A session or worker. Moments are seconds since 1970 on Redis' clock; '' and 0 mean not known."""

    id: str
    state: str
    since: float
    evidence: str
    evidence_at: float
    confidence: str
    worker: str
    needs: str
    until: float
    task: str
    title: str
    tool: str
    #: US dollars; None where that is not known.
    usd: float | None
    cwd: str
    host: str
    pid: int
    session: str
    model: str


@dataclass(frozen=True)
class Queue:
    """A queue: how many tasks wait (the first since ``oldest`` seconds) and run; what was finished lately."""

    name: str
    queued: int
    oldest: float | None
    running: int
    scheduled: int
    deferred: int
    per_minute: float
    #: Finished tasks by the minute, oldest first.
    finished: tuple[int, ...]
    paused: bool


@dataclass(frozen=True)
class Board:
    """All of it, at one moment on Redis' clock (``at``) and on this machine's (``mono``)."""

    at: float
    mono: float
    rows: tuple[Row, ...]
    queues: tuple[Queue, ...]
    #: Whether a monitor runs, and whether a coordinator acts.
    monitored: bool
    led: bool
    #: A line each on accounts that are parked or stopped.
    warnings: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON has it, with ages in seconds."""
        shown: list[dict[str, Any]] = []
        for row in self.rows:
            each = asdict(row)
            for name in ("since", "evidence_at", "until"):
                each[name] = model.utc(each[name]) if each[name] else None
            each["age"] = max(0.0, self.at - row.since) if row.since else None
            each["evidence_age"] = max(0.0, self.at - row.evidence_at) if row.evidence_at else None
            shown.append({name: None if value == "" else value for name, value in each.items()})
        return {
            "at": model.utc(self.at), "monitor": self.monitored, "coordinator": self.led,
            "sessions": shown, "queues": [asdict(each) for each in self.queues],
            "warnings": list(self.warnings),
        }  # fmt: skip


def merged(session: Session | None, worker: WorkerView | None, now: float, monitored: bool) -> Row:
    """One row of what is known of a session, of a worker, or of both in one."""
    if worker is None:
        assert session is not None
        return _of_session(session, monitored)
    own = _of_worker(worker, now)
    if session is None:
        return own
    seen = _of_session(session, monitored)
    # The pool's own word on what the pool decides; the monitor's on the rest, while it is the newer one.
    newer = monitored and seen.evidence_at >= own.since and own.state not in (*ENDED, "broken")
    said = seen if newer else own
    return Row(**{
        **asdict(said), "id": own.id, "worker": own.id, "task": own.task, "title": own.title, "usd": own.usd,
        "cwd": own.cwd or seen.cwd, "host": own.host or seen.host, "pid": own.pid or seen.pid,
        "session": seen.session or own.session, "model": seen.model,
    })  # fmt: skip


def _of_session(each: Session, monitored: bool) -> Row:
    current = monitored or each.state in ENDED
    return Row(
        id=each.id, state=str(each.state), since=each.since, evidence=each.evidence,
        evidence_at=each.evidence_at, confidence=str(each.confidence if current else Confidence.STALE),
        worker=each.worker, needs=each.needs, until=each.until, task=each.task, title=each.title,
        tool=each.tool, usd=None, cwd=each.cwd, host=each.host, pid=each.pid, session=each.session,
        model=each.model,
    )  # fmt: skip


def _of_worker(each: WorkerView, now: float) -> Row:
    since = now - each.state_age
    return Row(
        id=each.id, state=each.state, since=since, evidence=each.evidence,
        evidence_at=since if each.state in ENDED else now - each.last_heartbeat,
        confidence=str(Confidence.CERTAIN), worker=each.id, needs="", until=_moment(each.parked_until),
        task=each.task or "", title=each.title or "", tool="", usd=each.usd if each.requests else None,
        cwd=each.cwd, host=each.host, pid=each.pid, session=each.session, model="",
    )  # fmt: skip


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


class Reader:
    """Reads the board over one connection: whole at first, then what has changed."""

    def __init__(self, connection: redis.Redis, everyone: bool = False) -> None:
        self.connection = connection
        self.everyone = everyone
        self._last = "0-0"
        self._sessions: dict[str, Session] = {}
        self._workers: dict[str, WorkerView] = {}
        #: Redis' clock when each worker was read: its ages are counted from there.
        self._read_at: dict[str, float] = {}
        self._queues: tuple[Queue, ...] = ()
        self._warnings: tuple[str, ...] = ()
        self._monitored = self._led = False
        self._next_whole = self._next_queues = 0.0
        #: Whether something has happened since the queues were read.
        self._behind = False

    def whole(self) -> Board:
        """Read everything."""
        began = time.monotonic()
        self._last = events.newest(self.connection)
        self._sessions = {each.id: each for each in sessions.every(self.connection)}
        self._workers, self._read_at = {}, {}
        self._take(view.workers(self.connection))
        self._take(view.barred_workers(self.connection))
        self._around()
        self._warnings = tuple(accounts.line(each) for each in accounts.barred(self.connection))
        took = time.monotonic() - began
        self._next_whole = time.monotonic() + max(_WHOLE, _SHARE * took)
        return self.board()

    def wait(self, seconds: float) -> bool:
        """Wait for events so long, and read what they are about; whether there is something new."""
        due = min(self._next_whole, self._next_queues if self._behind else float("inf"))
        left = min(seconds, max(0.01, due - time.monotonic()))
        happened = events.after(self.connection, self._last, left)
        if time.monotonic() >= self._next_whole or len(happened) >= 1000:
            self.whole()
            return True
        if happened:
            self._last = happened[-1]["id"]
            self._changed(happened)
        if self._behind and time.monotonic() >= self._next_queues:
            self._around()
            return True
        return bool(happened)

    def board(self) -> Board:
        """What was read."""
        now = view.server_time(self.connection)
        rows = [*self._rows(now)]
        if not self.everyone:
            rows = [row for row in rows if row.state not in ENDED or now - row.since < RECENT]
        return Board(
            now, time.monotonic(), tuple(rows), self._queues, self._monitored, self._led, self._warnings
        )

    def _rows(self, now: float) -> Iterable[Row]:
        known = {each.worker or each.id: each for each in self._sessions.values()}
        for name, worker in self._workers.items():
            yield merged(known.pop(name, None), worker, self._read_at[name], self._monitored)
        for session in known.values():
            yield merged(session, None, now, self._monitored)

    def _changed(self, happened: list[dict[str, Any]]) -> None:
        ids = {each.get("session", "") for each in happened if each.get("type") == "session"} - {""}
        names = {each.get("worker", "") for each in happened} - {""}
        if len(ids) + len(names) > _MANY:
            self.whole()
            return
        for each in ids:
            self._sessions.pop(each, None)
        self._sessions |= {each.id: each for each in sessions.read(self.connection, sorted(ids))}
        for name in names:
            self._workers.pop(name, None)
        self._take(view.workers_of(self.connection, sorted(names)))
        self._behind = True

    def _take(self, found: list[WorkerView]) -> None:
        now = view.server_time(self.connection)
        for each in found:
            self._workers[each.id] = each
            self._read_at[each.id] = now

    def _around(self) -> None:
        """Queues, warnings, and who is there."""
        connection = self.connection
        pipe = connection.pipeline(transaction=False)
        pipe.exists("pool:leader")
        pipe.zcount(monitors.KEY, view.server_time(connection), "+inf")
        pipe.smembers("pool:paused")
        pipe.exists(keys.templates()["suspended"])
        led, watching, names, suspended = pipe.execute()
        paused = {name.decode() for name in names}
        found = stats.read(connection, WINDOW)
        self._queues = tuple(
            Queue(
                each.queue, each.queued, each.oldest, each.running, each.scheduled, each.deferred,
                each.per_minute, tuple(each.finished_by_slot), bool(suspended) or each.queue in paused,
            )
            for each in found.queues
        )  # fmt: skip
        self._led, self._monitored = bool(led), bool(watching)
        self._next_queues, self._behind = time.monotonic() + _APART, False
