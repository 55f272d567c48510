"""What a supervisor does while its session runs: it watches it, and drains it when asked to end."""

from __future__ import annotations

import os
import select
import subprocess

from pool import clock, process, wire
from pool.errors import NotRegistered, RedisAway
from workers import child, health

TYPE_CHECKING = False
if TYPE_CHECKING:
    from workers.launcher import Supervisor


class Watch:
    """A supervisor beside its running session."""

    def __init__(self, supervisor: Supervisor, session: subprocess.Popen[bytes], coming: float) -> None:
        self.supervisor = supervisor
        self.coming = coming
        self.session = session
        self.watch = process.Watch(session.pid)
        #: Its worker id, once it has one; whether it has claimed or waited.
        self.worker, self.member = "", False
        self.drained = False
        self.deadline = 0.0

    def run(self) -> bool:
        """Watch it to its end; whether it came into the pool."""
        own = self.supervisor
        own.say("running", f"session {self.session.pid}", healthy=True)
        seen = 0
        while self.session.poll() is None:
            if own.asked > seen:
                seen = own.asked
                self._asked_to_end(seen)
            self._look()
            if self.deadline and clock.mono() >= self.deadline:
                own.log("ending the session")
                child.end(self.session)
                break
            self._pause(health.BEAT if self.member else 0.5)
        self._look()
        self.watch.close()
        return bool(self.worker)

    def _asked_to_end(self, times: int) -> None:
        limit = self.supervisor.settings.drain_limit
        if times == 1:
            self.supervisor.log(f"ending: the session may finish its task, for {limit:g} s at most")
            self.deadline = clock.mono() + limit
            self.supervisor.say("draining", f"session {self.session.pid}", healthy=True)
        else:
            self.deadline = clock.mono()

    def _look(self) -> None:
        """How far the session has come; a heartbeat for our own health; the drain, once there is a worker."""
        own = self.supervisor
        if not self.watch.key:
            return  # it ended before it could be looked at
        try:
            said = own.pool.summon(own.name, own.settings.queues, self.coming, self.watch.key)
            self.worker = said[1] or self.worker
            self.member = self.member or said[0] == "member"
            if own.asked and self.worker and not self.drained:
                own.pool.tune(self.worker, "draining", "1")
                self.drained = True
            own.back()
        except NotRegistered:
            own.back()  # it has gone already
        except (RedisAway, wire.ReplyError) as error:
            own.lost(error)

    def _pause(self, seconds: float) -> None:
        fds = [fd for fd in (self.watch.fd, self.supervisor.wake) if fd >= 0]
        if self.supervisor.wake in select.select(fds, [], [], seconds)[0]:
            os.read(self.supervisor.wake, 64)
