"""All sessions in memory, as Redis has them, and where in the stream of events each record stands."""

from __future__ import annotations

import threading

from monitor.matching import Index
from pool.sessions import Session

#: Where in the stream of events a record stands: (milliseconds, number).
Entry = tuple[int, int]
START: Entry = (0, 0)


def entry(text: str) -> Entry | None:
    """The id of a stream's entry, so that it compares; None for what is none."""
    first, mark, second = text.partition("-")
    for part in (first, second) if mark else (first,):
        if not (part.isascii() and part.isdigit() and len(part) < 20):
            return None
    return int(first), int(second or 0)


class Mirror:
    """The records by id, and the index by which signals find theirs. Any thread may look and change."""

    def __init__(self) -> None:
        self.index = Index()
        self.lock = threading.RLock()
        self._at: dict[str, Entry] = {}

    @property
    def sessions(self) -> dict[str, Session]:
        """The records by id; threads that walk over them take `all()`."""
        return self.index.sessions

    def all(self) -> list[Session]:
        """Every record, as of now."""
        return list(self.index.sessions.values())

    def put(self, session: Session, at: Entry) -> bool:
        """Take a record in which that entry of the stream has resulted; whether it was news."""
        with self.lock:
            if self._at.get(session.id, START) >= at:
                return False
            self._at[session.id] = at
            self.index.put(session)
            return True

    def drop(self, session_id: str, at: Entry) -> None:
        """Forget a session, unless it was heard of after that entry."""
        with self.lock:
            if self._at.get(session_id, START) < at:
                self.index.drop(session_id)
                self._at.pop(session_id, None)

    def fill(self, sessions: list[Session], clients: dict[str, str], at: Entry) -> None:
        """Begin anew with these records, as they were at that entry or later."""
        made = Index()
        for session in sessions:
            made.put(session)
        for client, session_id in clients.items():
            made.alias(client, session_id)
        with self.lock:
            self.index = made
            self._at = dict.fromkeys(made.sessions, at)
