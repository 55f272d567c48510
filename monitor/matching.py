"""Whose is a signal? By the client's session id, then by process, then by directory; else it is new.

Pure: `Index` is a mirror that whoever keeps the sessions keeps beside them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace

from monitor.signals import Signal
from pool.sessions import Session, State

#: A client that goes on under another id does so within this time (seconds).
SWITCH = 60.0
_GONE = (State.DEAD, State.STOPPED)


class Index:
    """The sessions by what they may be known by."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self._by_session: dict[str, str] = {}
        self._by_process: dict[str, str] = {}
        self._by_cwd: dict[str, set[str]] = defaultdict(set)
        self._ids: dict[str, set[str]] = defaultdict(set)

    def put(self, session: Session) -> None:
        """Take a session's record. The client's ids that it has had before still lead to it."""
        before = self.sessions.get(session.id)
        if before is not None and before.cwd != session.cwd:
            self._by_cwd[before.cwd].discard(session.id)
        if before is not None and before.process != session.process:
            self._leave(before.process, session.id)
        self.sessions[session.id] = session
        self.alias(session.session, session.id)
        if session.process and not (session.ended_at and session.process in self._by_process):
            self._by_process[session.process] = session.id
        if session.cwd:
            self._by_cwd[session.cwd].add(session.id)

    def alias(self, client_id: str, session_id: str) -> None:
        """A client's id of the session, present or past."""
        if client_id:
            self._by_session[client_id] = session_id
            self._ids[session_id].add(client_id)

    def drop(self, session_id: str) -> None:
        """Forget a session."""
        session = self.sessions.pop(session_id, None)
        for client_id in self._ids.pop(session_id, ()):
            if self._by_session.get(client_id) == session_id:
                del self._by_session[client_id]
        if session is None:
            return
        self._leave(session.process, session_id)
        self._by_cwd[session.cwd].discard(session_id)
        if not self._by_cwd[session.cwd]:
            del self._by_cwd[session.cwd]

    def _leave(self, process: str, session_id: str) -> None:
        if self._by_process.get(process) == session_id:
            del self._by_process[process]

    def of_session(self, client_id: str) -> Session | None:
        """The session that the client calls, or has called, so."""
        return self.sessions.get(self._by_session.get(client_id, "")) if client_id else None

    def of_process(self, process: str) -> Session | None:
        """The session that runs in that process."""
        return self.sessions.get(self._by_process.get(process, "")) if process else None

    def in_directory(self, cwd: str) -> list[Session]:
        """The sessions that work there."""
        return [self.sessions[each] for each in sorted(self._by_cwd.get(cwd, ()))] if cwd else []


def find(signal: Signal, index: Index) -> str | None:
    """The id (ours) of the session that a signal is about; None where it is a new one (`new`)."""
    if signal.id in index.sessions:
        return signal.id
    if signal.worker:
        return signal.worker if signal.worker in index.sessions else None
    by_session = index.of_session(signal.session)
    if by_session is not None:
        return by_session.id
    by_process = index.of_process(signal.process)
    if by_process is not None:
        return None if _forked(signal, by_process) else by_process.id
    fitting = [each for each in index.in_directory(signal.cwd) if _may_be(signal, each)]
    return fitting[0].id if len(fitting) == 1 else None


def new(signal: Signal, index: Index) -> Session:
    """The record of a session that is heard of for the first time: its name, and whose child it is.

    The name follows from the client's id, so that two monitors that hear of it at once name it the same.
    """
    if signal.worker:
        return Session(signal.worker, worker=signal.worker)
    digest = hashlib.sha256((signal.session or signal.process).encode()).hexdigest()
    forked = index.of_process(signal.process)
    return Session(f"s-{digest[:10]}", parent=forked.id if forked else related(signal, index).parent)


def related(signal: Signal, index: Index) -> Signal:
    """The signal with the name of the session in whose shell its process was started, where it tells."""
    above = (index.of_process(each) for each in signal.ancestors if each != signal.process)
    nearest = next((each for each in above if each is not None), None)
    return replace(signal, parent=nearest.id) if nearest is not None else signal


def absorbed(signal: Signal, index: Index) -> Session | None:
    """The session that was known under a name of its own until now, and is the signal's worker's.

    (Its hook was heard before the pool said that it is a worker.) Its record becomes the worker's: `merge`.
    """
    if not signal.worker:
        return None
    for known in (index.of_process(signal.process), index.of_session(signal.session)):
        if known is not None and known.id != signal.worker and not known.worker:
            return known
    return None


def merge(worker: str, known: Session, record: Session | None) -> Session:
    """The worker's record (it may be of an earlier session) with what is known of its session by now."""
    values = {**known.__dict__, "id": worker, "worker": worker}
    values["revision"] = max(known.revision, record.revision) if record else known.revision
    values["since"] = max(known.since, record.since) if record else known.since
    values["entry"] = record.entry if record else ""
    return Session(**values)


def _forked(signal: Signal, known: Session) -> bool:
    """A fork goes on as another session, in the same process; a worker stays that worker all the same."""
    return (
        signal.kind == "SessionStart"
        and signal.source == "fork"
        and not known.worker
        and bool(known.session)
        and signal.session != known.session
    )


def _may_be(signal: Signal, known: Session) -> bool:
    """Whether a session whose client's id is not known may be this one of the same directory.

    Two sessions in one directory must stay two: only one that awaits an id can take another's signal.
    """
    if not signal.session or (known.ended_at and known.state in _GONE):
        return False
    if signal.process and known.process and signal.process != known.process:
        return False
    if signal.host and known.host and signal.host != known.host:
        return False
    if not known.session:
        return True
    follows = signal.kind != "SessionStart" or signal.source in ("clear", "resume")
    return follows and bool(known.switches_at) and 0 <= signal.at - known.switches_at <= SWITCH
