"""The keeper: a tiny process beside a session that renews its lease while the session's process lives.

It is started by SessionStart and again by any hook or helper that finds it missing; a lock lets one
live. When the session's process dies it reports that at once, sends the commits that Redis has not
taken yet, and ends (design section 7). Standard library only: it costs about 9 MB.
"""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import select

from pool import brief, check, compiled, local, outbox, process, scripts, usage, wire, worktree
from pool.claim import Caller
from pool.enroll import enroll
from pool.errors import CoordError, RedisAway

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Commits of a dead session are tried for so long (seconds), then they stay on disk.
LAST_WORDS = 600.0
#: So often (seconds) what the session has used is booked while it works.
BOOK = 30.0


class Keeper:
    """Beats for one session until its process dies or its registration ends."""

    def __init__(
        self, settings: compiled.Compiled, session: local.Session, caller: Caller,
        pool: scripts.Pool | None = None,
    ) -> None:  # fmt: skip
        """``pool`` is a supervisor's own, which keeps many sessions over one connection."""
        self.settings = settings
        self.session = session
        self.caller = caller
        self.watch = process.Watch(session.pid, session.key)
        self.connection = wire.Connection(settings.url)
        self.pool = pool or scripts.Pool(self.connection, settings.values, settings.templates)
        #: What the last heartbeat was answered.
        self.said: scripts.Beat | None = None
        self.pool.preload("beat", "complete", "deregister", "register")
        self.beat = float(settings["beat"])
        self._problem = ""
        #: When what the session has used was looked at last, and its tool calls when it was parked first.
        self._booked = time.monotonic()
        self._tools: str | None = None

    def run(self) -> None:
        """Live as long as the session does."""
        pause = 0.0
        while True:
            if self._died_within(pause):
                self._report_death()
                return
            try:
                if not self.tend():
                    return
                self._listen(self.beat)
                pause, self._problem = 0.0, ""
            except (RedisAway, wire.ReplyError) as error:
                pause = min(self.beat, 1.0)  # the lease runs on: try again soon
                self._log(error)

    def _listen(self, seconds: float) -> None:
        """Pause between two beats, on a list: a call, or the session's death, ends it at once.

        Raises:
            RedisAway: The line broke.
            ReplyError: Redis will not have it.
        """
        end = time.monotonic() + seconds

        def ready(left: float) -> bool:
            until = time.monotonic() + left
            watched = [self.connection.fileno()] + [self.watch.fd] * (self.watch.fd >= 0)
            while not self.connection.pending():
                left = until - time.monotonic()
                if left <= 0:
                    return False
                # Without a pidfd the process is looked at once a second.
                found = select.select(watched, [], [], left if self.watch.fd >= 0 else min(left, 1.0))[0]
                if self.connection.fileno() in found:
                    return True
                if found or not self.watch.alive():
                    raise wire.Cancelled("the session is gone")
            return True

        call = ("BLPOP", f"pool:call:{self.caller.worker}", f"{max(0.05, end - time.monotonic()):.3f}")
        try:
            # Redis ends the block by itself; two seconds more, then the line is taken for dead.
            reply = self.connection.wait_command(seconds + 2, ready, *call)
        except wire.Cancelled:
            return
        if isinstance(reply, wire.ReplyError):
            raise reply

    def _died_within(self, seconds: float) -> bool:
        if self.watch.fd < 0:  # no pidfd, no kqueue: look once a second
            end = time.monotonic() + seconds
            while self.watch.alive():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(left, 1.0))
            return True
        if seconds > 0:
            select.select([self.watch.fd], [], [], seconds)
        return not self.watch.alive()

    def tend(self) -> bool:
        """Send what waits on disk, book what was used, renew the lease; whether there is anything to keep.

        Raises:
            RedisAway: Redis does not answer.
        """
        flush_outbox(self.session, self.pool)
        if time.monotonic() - self._booked >= BOOK:
            self._booked = time.monotonic()
            usage.look(self.session, self.pool, self.settings.values)
        return self._beat()

    def _beat(self) -> bool:
        """One heartbeat; whether there is anything left to keep."""
        answer = self.said = self.pool.beat(self.caller)
        if answer.verdict == "lost":
            self._tell(answer)
        if answer.verdict == "ok":
            self.heard(answer.words)
            self._wake(answer.state)
        if answer.verdict != "gone":
            return True
        self.session.load()
        if self.session.caller.epoch != self.caller.epoch:
            self.caller = self.session.caller  # registered anew by a hook: go on for that one
            return bool(self.caller.worker)
        if answer.state == "stopped" or self.session.data.get("stopped"):
            return False
        # Given up on while it lived (its machine was frozen or cut off): the session comes back as a new
        # owner, so that nobody takes a live one for dead.
        self._tell(answer)
        session_id = str(self.session.data.get("session_id", ""))
        session = enroll(self.settings, self.pool, self.session.pid, session_id, _here(), again=True)
        if session is None:
            return True  # it died just now: the watch will say so
        self.caller = session.caller
        return True

    def _wake(self, state: str) -> None:
        """One that calls tools is at work, though its account had no quota left: it went on by itself."""
        if state not in ("parked", "needs-you"):
            self._tools = None
        elif self._tools is None:
            self._tools = self.session.tools()
        elif self.session.tools() != self._tools:
            self._tools = None
            self.pool.unpark(self.caller, of_error=True)

    def heard(self, words: int) -> None:
        """So many messages of an operator's wait for the session: its next hook will ask for them."""
        self.session.mark_words(words > 0)

    def _tell(self, answer: scripts.Beat) -> None:
        """Leave a word about the task that was taken away, if there was one."""
        if answer.claim is not None:
            self.session.tell(brief.taken_away(answer.claim.task_id, answer.why))

    def _report_death(self) -> None:
        """The session's process is gone: its task is claimable as soon as Redis knows."""
        # Without a commit to send, the lease says the same a little later.
        pending = local.commits(os.path.join(self.session.folder, "outbox"))
        end = time.monotonic() + (LAST_WORDS if pending else min(LAST_WORDS, float(self.settings["lease"])))
        while time.monotonic() < end:
            try:
                bury(self.session, self.pool, self.caller)
                return
            except (RedisAway, wire.ReplyError) as error:
                self._log(error)
                time.sleep(0.2)

    def _log(self, error: Exception) -> None:
        """A line in hooks.log, once for each problem."""
        if self._problem != str(error):
            self._problem = str(error)
            local.log(self.settings.home, f"keeper of {self.caller.worker}: {error}")


def bury(session: local.Session, pool: scripts.Pool, caller: Caller) -> None:
    """The last duties to a dead session: send its commits, report its death, keep what it has made.

    Raises:
        RedisAway: Redis does not answer; nothing is removed.
    """
    flush_outbox(session, pool)
    session.load()
    for each in {caller.epoch: caller, session.caller.epoch: session.caller}.values():
        if each.worker and each.epoch:
            pool.deregister(each, died=True, why="its process is gone")
    usage.look(session, pool, pool.values)
    _rescue(pool.values, session.key)
    _remove(session.folder)


def _rescue(values: dict[str, Any], session: str) -> None:
    """Commit what a dead session has left in its worktrees."""
    if os.path.isdir(worktree.root(values)):
        for problem in worktree.rescue(values, session):
            local.log(str(values["home"]), f"keeper: {problem}")


def tidy(settings: compiled.Compiled, pool: scripts.Pool) -> None:
    """Send what dead sessions of this machine have left, and remove their folders.

    (They had no keeper at their end: it was killed with them, or they had been let go before.)

    Raises:
        RedisAway: Redis does not answer; nothing is removed.
    """
    top = os.path.join(settings.home, "sessions")
    here = f"{process.boot_id()}-{process.namespace()}-"
    for key in os.listdir(top):
        if not key.startswith(here) or process.same(key):
            continue
        session = local.Session(settings.home, key)
        fd = session.lock_keeper()
        if fd >= 0:
            try:
                flush_outbox(session, pool)
                if session.load():
                    usage.look(session, pool, pool.values)
                _rescue(pool.values, session.key)
                _remove(session.folder)
            finally:
                os.close(fd)


def flush_outbox(session: local.Session, pool: scripts.Pool) -> None:
    """Send the commits of a session that Redis has not taken yet.

    Raises:
        RedisAway: Redis does not take them now either.
    """
    outbox.flush(os.path.join(session.folder, "outbox"), pool)


def _here() -> str:
    """The directory that the keeper was started in; it may be gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _remove(folder: str) -> None:
    """The session's folder has served its purpose; a refused commit is kept for people to look at."""
    check.Run(os.path.join(folder, "check")).remove()  # what it had running
    refused = os.path.join(folder, "outbox")
    if os.path.isdir(refused) and os.listdir(refused):
        return
    for left in range(5, 0, -1):
        try:
            _remove_all(folder)
            return
        except OSError:  # a hook of the dead session was writing there
            if left == 1:
                raise
            time.sleep(0.05)


def _remove_all(folder: str) -> None:
    for top, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(top, name))
        for name in folders:
            os.rmdir(os.path.join(top, name))
    os.rmdir(folder)


def main(argv: list[str]) -> int:
    """``keeper COMPILED SESSION WORKER EPOCH``: keep a session until it dies."""
    compiled_path, key, worker, epoch = argv
    try:
        settings = compiled.load(compiled_path)
        session = local.Session(settings.home, key)
        session.load()
        try:
            if session.lock_keeper() < 0:
                return 0  # another keeper lives
        except OSError:
            pass  # no disk, no lock: SessionStart has started but this one
        keeper = Keeper(settings, session, Caller(worker, epoch))
        try:
            tidy(settings, keeper.pool)
        except (RedisAway, wire.ReplyError, OSError) as error:
            local.log(
                settings.home, f"keeper of {worker}: dead sessions are left to the next keeper: {error}"
            )
        keeper.run()
    except (CoordError, OSError) as error:
        local.log(os.path.dirname(compiled_path), f"keeper of {worker}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
