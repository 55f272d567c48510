"""The monitor's part of Redis: records read and changed, by compare-and-set (docs/adr/0012)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

from monitor.mirror import START, entry
from monitor.signals import Signal
from pool import connect, events, sessions
from pool.sessions import Confidence, Session, State, from_hash, to_hash
from pool.settings import Settings

CLIENTS, TIMELINE, OBSERVED = "pool:session-ids", "pool:timeline:", "pool:observed"
#: Entries of a session's own timeline, about.
TIMELINE_LIMIT = 200
#: Events read in one round trip.
_PAGE = 500
#: Events that are looked at for what happened while no monitor ran.
_MISSED = 2000
#: A hook waits for Redis no longer (seconds): a session waits for its hook.
PATIENCE = 1.0

_UNKNOWN = asdict(Session(""))


def encode(session: Session) -> str:
    """A record as JSON, without what is not known."""
    known = {name: value for name, value in vars(session).items() if value != _UNKNOWN[name]}
    return json.dumps(known, separators=(",", ":"))


def decode(text: str) -> Session | None:
    """The record in such JSON; None where it is none (nobody but the monitor writes there)."""
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict) or not isinstance(raw.get("id"), str):
            return None
        values = {each.name: raw[each.name] for each in fields(Session) if each.name in raw}
        if "state" in values:
            values["state"] = State(values["state"])
        if "confidence" in values:
            values["confidence"] = Confidence(values["confidence"])
        return Session(**values)
    except (ValueError, TypeError, RecursionError):
        return None


class Moved(Exception):
    """The record is another by now: ``session`` is that (None: it is forgotten), under ``id``."""

    def __init__(self, session_id: str, session: Session | None) -> None:
        super().__init__(session_id)
        self.id = session_id
        self.session = session


class Store:
    """Reads and changes records, over a connection that does not wait for long."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connection = connect.client(
            settings, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE / 2
        )
        self.pool = connect.pool(settings, self.connection)
        self.pool.preload("observe", "forget")

    def observe(
        self, before: Session, after: Session, signal: Signal, absorbed: Session | None = None
    ) -> str:
        """Change a record from ``before`` to ``after`` because of a signal; the entry's id in pool:events.

        ``absorbed`` is the session that turned out to be this one.

        Raises:
            Moved: The record is not ``before`` any more; nothing was changed.
            redis.RedisError: Redis is away.
        """
        old, new = to_hash(before), to_hash(after)
        changed: list[str] = []
        for name, value in new.items():
            if before.revision == 0 or old[name] != value:
                changed += (name, value)
        said = (
            signal.kind, after.state, after.worker, after.task, _line(after, signal),
            encode(after),
        )  # fmt: skip
        limits = self.settings.monitor_event_limit, TIMELINE_LIMIT
        merged = (absorbed.id, absorbed.revision) if absorbed is not None else ("", 0)
        reply = self.pool.observe(after.id, before.revision, after.session, merged, said, limits, changed)
        if reply[0] == b"moved":
            raise _moved(reply)
        return str(reply[1].decode())

    def forget(self, session: Session) -> bool:
        """Forget a session, unless something was seen of it since."""
        return self.pool.forget(session.id, session.revision, self.settings.monitor_event_limit)

    def load(self) -> tuple[list[Session], dict[str, str]]:
        """Every record, and their ids by the client's."""
        found = sessions.every(self.connection)
        clients: Any = self.connection.hgetall(CLIENTS)
        return found, {client.decode(): name.decode() for client, name in clients.items()}

    def timeline(self, session_id: str, count: int = TIMELINE_LIMIT) -> list[dict[str, Any]]:
        """What was seen of a session, newest first."""
        return events.latest(self.connection, count, TIMELINE + session_id)

    def between(self, first: str, last: str) -> Iterator[list[dict[str, Any]]]:
        """Pages of the events after ``first`` up to ``last``, oldest first."""
        while True:
            found: Any = self.connection.xrange(events.EVENTS, f"({first}", last, count=_PAGE)
            if not found:
                return
            page = [events.row(*each) for each in found]
            yield page
            first = page[-1]["id"]

    def oldest(self) -> str:
        """From which entry on the events are complete: before it, some may have been removed."""
        first: Any = self.connection.xrange(events.EVENTS, count=1)
        begins = first[0][0].decode() if first else ""
        if int(self.connection.llen(OBSERVED)) >= self.settings.monitor_event_limit:
            observed: Any = self.connection.lindex(OBSERVED, 0)
            begins = max(begins, observed.decode() if observed else "", key=lambda text: entry(text) or START)
        return str(begins)

    def latest(self, after: str, until: str) -> list[dict[str, Any]]:
        """The newest events (`_MISSED` of them at most) after an entry, oldest first; none after ''."""
        if not after:
            return []
        found: Any = self.connection.xrevrange(events.EVENTS, until, f"({after}", count=_MISSED)
        return [events.row(*each) for each in reversed(found)]

    def worker(self, name: str) -> dict[str, str]:
        """What the pool knows of a worker."""
        raw: Any = self.connection.hgetall(f"pool:worker:{name}")
        return {_text(field): _text(value) for field, value in raw.items()}

    def title(self, task_id: str) -> str:
        """A task's title, or ''."""
        from pool import keys

        raw: Any = self.connection.hget(keys.key("job", task_id), "description")
        return _text(raw) if raw else ""


def attach(row: dict[str, Any]) -> dict[str, Any]:
    """A row of pool:events as subscribers get it: of type session, with the record itself."""
    if row.get("type") == "session":
        found = decode(row.get("record", ""))
        row["record"] = vars(found) if found is not None else None
    return row


def _moved(reply: list[Any]) -> Moved:
    name, pairs = _text(reply[1]), reply[2:]
    raw = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return Moved(name, from_hash(name, raw) if raw else None)


def _line(after: Session, signal: Signal) -> str:
    parts = (f"{after.id} {after.state}:", signal.kind, signal.tool, signal.detail, signal.message)
    return " ".join(part for part in parts if part)[:300]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
