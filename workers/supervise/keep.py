"""The supervisor as keeper of its sessions: it renews their leases and reports their deaths itself."""

from __future__ import annotations

import os
from contextlib import suppress

from pool import clock, compiled, local, process, scripts
from pool.claim import Caller, Claim
from workers import keeper


class Keep:
    """The keeper of one session. As long as it holds the lock, no hook starts another.

    Raises:
        OSError: The disk cannot be written: the session's hooks then start a keeper of their own.
    """

    def __init__(self, settings: compiled.Compiled, pool: scripts.Pool, pid: int) -> None:
        self.session = local.Session(settings.home, process.key(pid))
        self._settings, self._pool = settings, pool
        self._lock = self.session.lock_keeper() if self.session.key else -1
        self._keeper: keeper.Keeper | None = None
        self._due = self._listen = 0.0
        #: The worker's registration has ended: its hooks have let it stop.
        self.let_go = False
        #: Its state in the pool ('' before it is registered), and the task that it holds.
        self.state, self.claim = "", Claim("")
        #: Seconds for which it may still wait for a task.
        self.idle_left = float("inf")
        #: Until when its death may be reported; then the lease has run out anyway.
        self._grave = 0.0

    @property
    def worker(self) -> str:
        """Its name in the pool; '' as long as it has none."""
        return self._keeper.caller.worker if self._keeper is not None else ""

    @property
    def caller(self) -> Caller:
        """Its registration."""
        return self._keeper.caller if self._keeper is not None else Caller("")

    def tend(self, now: bool = False) -> None:
        """Renew the lease, if it is time (or ``now``); learn how the session stands in the pool.

        Raises:
            RedisAway: Redis does not answer. The lease runs on.
        """
        if self.let_go and self._revived():
            self.let_go, self._keeper = False, None
        if self.let_go or self._lock < 0:
            return
        if clock.mono() < self._due and not now and not self._called():
            return
        if self._keeper is None:
            if not self.session.load():
                return
            self._keeper = keeper.Keeper(self._settings, self.session, self.session.caller, self._pool)
        self._due = clock.mono() + min(1.0, self._keeper.beat)
        self.let_go = not self._keeper.tend()
        self._due = clock.mono() + self._keeper.beat
        said = self._keeper.said
        if said is not None:
            self.idle_left = (
                float("inf") if said.verdict != "ok" or self.state == "parked" else said.idle_left
            )
            self.state = "stopped" if self.let_go else said.state or "working"
            self.claim = said.claim if said.verdict == "ok" and said.claim is not None else Claim("")

    def _called(self) -> bool:
        """Whether somebody calls its keeper (an operator has something to say): looked at each second."""
        if clock.mono() < self._listen or self._keeper is None:
            return False
        self._listen = clock.mono() + 1.0
        return self._pool.connection.execute_command("LPOP", f"pool:call:{self.worker}") is not None

    def _revived(self) -> bool:
        """Whether a prompt has made a worker of it again (a person typed it)."""
        return self.session.load() and not self.session.data.get("stopped")

    def bury(self) -> bool:
        """Its process is gone: report that; whether that is done (or too late).

        Raises:
            RedisAway: Redis does not take it now.
        """
        if not self._grave:
            self._grave = clock.mono() + float(self._settings["lease"])
        if self._lock >= 0 and clock.mono() < self._grave:
            with suppress(OSError):  # its folder is left for the next keeper to tidy up
                keeper.bury(self.session, self._pool, self.caller)
        self.close()
        return True

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1
