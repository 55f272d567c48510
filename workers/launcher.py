"""`coord worker run`: a supervisor that starts Claude Code sessions, one at a time, when there is work.

A new session costs a turn, so none is started while its queues are empty: the supervisor waits on the
stream of events, and pool/lua/summon.lua chooses one supervisor per waiting task. A session that ends is
followed by the next one when a task waits; one that fails, after a growing pause.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pool import clock, keys, scripts, wire
from pool import settings as settings_module
from pool.errors import RedisAway, UsageError
from pool.settings import Settings
from workers import beside, child, credentials, health

Log = Callable[[str], None]

#: The one thing a session is asked; its tasks come from its hooks.
PROMPT = "Work for the pool."

#: A session may take so long (seconds) to become a member of the pool.
COMING = 60.0

#: The pause after a session that failed: the first, and the longest (seconds). It doubles.
_PAUSE, _LONGEST = 1.0, 300.0

#: So many failures in a row are no accident: the supervisor says that it is not well.
_TOLERATED = 3


class Ended(Exception):
    """SIGTERM or SIGINT came while there was no session."""


class Supervisor:
    """One supervisor: at most one session at a time."""

    def __init__(self, settings: Settings, name: str, project: Path, log: Log) -> None:
        self.settings = settings
        self.name = name
        self.project = project
        self.log = log
        self.folder = health.folder(settings.home, name)
        #: Its own, whatever CLAUDE_CONFIG_DIR says: whoever uses this folder is a worker.
        self.config = self.folder / "claude"
        self.connection = wire.Connection(lambda: settings_module.redis_url(settings))
        self.pool = scripts.Pool(self.connection, settings.model_dump(), keys.templates())
        #: How many signals asked it to end, and the pipe that tells it at once.
        self.asked = 0
        self.wake, self._ring = os.pipe()
        self._state, self._reason, self._healthy = "", "", True
        self._away = ""
        self._reached = clock.mono()
        self._failures = 0

    # -- the loop --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Supervise until asked to end.

        Raises:
            UsageError: There is no Claude Code here, or another supervisor of that name.
        """
        argv = self._command()
        child.adopt_orphans()
        with self._alone(), self._signals():
            try:
                while True:
                    secrets = self._credentials()
                    self._work()
                    self._session(argv, secrets)
            except Ended:
                self.say("ended", "", healthy=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"a supervisor {self.name} runs already: give this one a --name") from None
            yield

    def _command(self) -> list[str]:
        if self.settings.played:
            return [sys.executable, "-P", "-m", "workers.played", "--project", str(self.project)]
        return [*child.program(self.settings.claude), "-p", PROMPT]

    def _credentials(self) -> dict[str, str]:
        """What the session needs to log in; waits until there is something."""
        while not self.settings.played:
            found = credentials.look(os.environ, self.config, self.project)
            if not found.missing:
                return found.environ
            if found.missing != self._reason:
                self.log(found.missing)
            self.say("no-credentials", found.missing, healthy=False)
            self._sleep(health.BEAT)
        return {}

    def _work(self) -> None:
        """Wait until a task wants a session of ours; nobody else will start one for it."""
        failing = self._failures >= _TOLERATED
        reason = f"the last {self._failures} sessions failed" if failing else "no task wants a session"
        self.say("waiting", reason, healthy=not failing)
        while True:
            try:
                last = self._newest()
                if self.pool.summon(self.name, self.settings.queues, COMING)[0] == "start":
                    self.back()
                    return
                self.back()
                self._await_event(last)
            except (RedisAway, wire.ReplyError) as error:
                self.lost(error)
                self._sleep(min(health.BEAT, 1.0))

    def _session(self, argv: list[str], secrets: dict[str, str]) -> None:
        """Run one session to its end."""
        environ = {name: value for name, value in os.environ.items() if name not in child.IDENTITY}
        environ |= {
            **secrets, "COORD_WORKER": "1", "COORD_WORKER_ID": self.name, "COORD_HOME": self.settings.home,
            "CLAUDE_CONFIG_DIR": str(self.config), "COORD_PLAYED": str(int(self.settings.played)),
            "DISABLE_AUTOUPDATER": "1",
        }  # fmt: skip
        self.log("a task waits: starting a session")
        began, member = clock.mono(), False
        with child.started(argv, environ, str(self.project), stdin=subprocess.DEVNULL) as session:
            member = beside.Watch(self, session, COMING).run()
            code = session.returncode
        left = child.end_orphans(session.pid)
        note = f"; ended {left} processes that it left" if left else ""
        self.log(f"the session ended with {code} after {clock.mono() - began:.0f} s{note}")
        self._stand_down()
        if self.asked:
            raise Ended
        why = "" if member else "it never came into the pool (are its hooks allowed to run?)"
        if code == 0 and member:
            self._failures = 0
        else:
            self._fail(f"the session ended with {code}" if code else why)

    def _fail(self, why: str) -> None:
        """Pause after a session that did not go well."""
        pause = min(_LONGEST, _PAUSE * 2**self._failures) * random.uniform(0.7, 1.3)
        self._failures += 1
        self.log(f"{why}: the next one not before {pause:.0f} s")
        end = clock.mono() + pause
        while clock.mono() < end:
            reason = f"{why}, {self._failures} times in a row"
            self.say("pausing", reason, healthy=self._failures < _TOLERATED)
            self._sleep(min(health.BEAT, max(0.0, end - clock.mono())))

    # -- Redis -----------------------------------------------------------------------------------------

    def _newest(self) -> str:
        found = self.connection.execute_command("XREVRANGE", "pool:events", "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else "0-0"

    def _await_event(self, last: str) -> None:
        """Sleep until something happens in the pool, for a while at most."""
        seconds = min(self.settings.recheck, health.STALE / 3) * random.uniform(0.7, 1.3)
        end = clock.mono() + seconds

        def readable(left: float) -> bool:
            if self.connection.pending():
                return True
            fd = self.connection.fileno()
            ready = select.select([fd, self.wake], [], [], left)[0]
            if self.wake in ready:
                raise wire.Cancelled("signal")
            return bool(ready)

        try:
            self.connection.wait_command(
                seconds + 1, readable, "XREAD", "COUNT", 1, "BLOCK", int(seconds * 1000), "STREAMS",
                "pool:events", last,
            )  # fmt: skip
        except wire.Cancelled:
            raise Ended from None
        # A busy pool has many events: a look at each would only be in the others' way.
        self._sleep(min(0.1, max(0.0, end - clock.mono())))

    def _stand_down(self) -> None:
        try:
            self.pool.summon(self.name, self.settings.queues, COMING, "off")
        except (RedisAway, wire.ReplyError) as error:
            self.lost(error)  # the place that it holds runs out by itself

    def lost(self, error: Exception) -> None:
        """Redis does not answer: said once, and unhealthy after a while."""
        if not self._away:
            self.log(str(error))
        self._away = str(error)
        self.say(self._state, self._reason, self._healthy)

    def back(self) -> None:
        """Redis answered."""
        if self._away:
            self.log("Redis is back")
        self._away, self._reached = "", clock.mono()
        self.say(self._state, self._reason, self._healthy)

    # -- signals and health ----------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.asked += 1
        os.write(self._ring, b".")

    def _sleep(self, seconds: float) -> None:
        """Sleep; a signal ends it, and with it the supervisor."""
        if self.asked or select.select([self.wake], [], [], seconds)[0]:
            raise Ended

    def say(self, state: str, reason: str, healthy: bool) -> None:
        """Write the health file."""
        self._state, self._reason, self._healthy = state, reason, healthy
        if self._away and clock.mono() - self._reached > health.STALE:
            healthy, reason = False, self._away
        try:
            health.write(self.folder / "health.json", healthy, state, reason)
        except OSError as error:
            self.log(f"{self.folder}: {error.strerror}")
