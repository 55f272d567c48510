"""Sessions of Claude Code as they are known to the pool, workers or not: what the monitor keeps of each.

The record is a hash, `pool:session:ID`. Who reads it, reads it here; `monitor/states.py` says how it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import redis

KEY = "pool:session:"
#: All of them by the moment they were heard of last.
INDEX = "pool:sessions"
#: How many records one pipeline asks for.
_PAGE = 500


class State(StrEnum):
    """What a session does: one table for the whole product (docs/monitor.md)."""

    STARTING = "starting"
    WAITING = "waiting"
    WORKING = "working"
    TOOL = "tool"
    NEEDS_YOU = "needs-you"
    PARKED = "parked"
    COMPACTING = "compacting"
    INTERRUPTED = "interrupted"
    STUCK = "stuck"
    DRAINING = "draining"
    STOPPED = "stopped"
    DEAD = "dead"


class Confidence(StrEnum):
    """How sure a state is."""

    #: An event said so, and nothing was missed since.
    CERTAIN = "certain"
    #: Concluded: from the process table, a lease, the client's own session file, or from silence.
    LIKELY = "likely"
    #: Nothing was heard for so long that it may be otherwise.
    STALE = "stale"


@dataclass(frozen=True)
class Session:
    """One session. Moments are seconds since 1970; '' and 0 mean not known."""

    #: Its name here (`agent_id` in answers): the worker's name for one of the pool, else `s-` and hex digits.
    #: It stays over /clear, /compact and resume.
    id: str
    state: State = State.STARTING
    #: Since when it is in that state; what says so (one line); when that was seen.
    since: float = 0.0
    evidence: str = ""
    evidence_at: float = 0.0
    confidence: Confidence = Confidence.CERTAIN
    #: The client's id of the session, as it is now, and the file of what was said.
    session: str = ""
    transcript: str = ""
    #: `pool.process.key` of the client's process, its id and machine, and where it works.
    process: str = ""
    pid: int = 0
    host: str = ""
    cwd: str = ""
    #: Of one that works for the pool: the worker's name, the task it holds and that task's title.
    worker: str = ""
    task: str = ""
    title: str = ""
    #: The tool that runs (the newest, of several), how many run, and how many sub-agents.
    tool: str = ""
    tools: int = 0
    agents: int = 0
    #: What it wants of a person, in a line ('' if nothing); until when it is parked.
    needs: str = ""
    until: float = 0.0
    #: Facts that `monitor/states.py` goes by: ids of the tools and of the sub-agents that run, and what is
    #: asked; 1 while a turn of it runs, while the pool holds it as a worker, while that one drains; when its
    #: client said that it goes on under another id; the last entry of pool:events that counted.
    calls: str = ""
    helpers: str = ""
    asks: str = ""
    turn: int = 0
    serves: int = 0
    drains: int = 0
    switches_at: float = 0.0
    entry: str = ""
    #: The session (its `id`) in whose shell it was started, or from which it was forked.
    parent: str = ""
    model: str = ""
    permission_mode: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    #: When a hook of its was heard last (0: none ever: it is known from elsewhere).
    hooks_at: float = 0.0
    #: Grows by one with every change.
    revision: int = 0


def to_hash(session: Session) -> dict[str, str]:
    """As Redis holds it, all fields but the id."""
    return {each.name: str(getattr(session, each.name)) for each in fields(Session) if each.name != "id"}


def from_hash(session_id: str, raw: dict[bytes, bytes]) -> Session:
    """The record that was read; what cannot be read of it is as if it were not known."""
    values: dict[str, Any] = {}
    for each in fields(Session):
        text = raw.get(each.name.encode())
        if text is None or each.name == "id":
            continue
        try:
            values[each.name] = _KINDS[str(each.type)](text.decode("utf-8", "replace"))
        except ValueError:
            continue
    return Session(session_id, **values)


def read(connection: redis.Redis, ids: Sequence[str]) -> list[Session]:
    """The records of these ids that exist, in that order, in pipelines of bounded size."""
    found: list[Session] = []
    for first in range(0, len(ids), _PAGE):
        page = ids[first : first + _PAGE]
        pipe = connection.pipeline(transaction=False)
        for session_id in page:
            pipe.hgetall(KEY + session_id)
        found += [from_hash(each, raw) for each, raw in zip(page, pipe.execute(), strict=True) if raw]
    return found


def every(connection: redis.Redis) -> list[Session]:
    """All records, those heard of last first."""
    raw: Any = connection.zrange(INDEX, 0, -1, desc=True)
    return read(connection, [each.decode() for each in raw])


_KINDS: dict[str, Any] = {"str": str, "int": int, "float": float, "State": State, "Confidence": Confidence}
