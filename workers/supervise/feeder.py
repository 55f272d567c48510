"""Stream mode: the supervisor claims for a session and feeds each task in as a message.

The session needs no hooks: what the Stop hook does in hook mode is done here, with the same scripts and so
by the same rules. It is one worker, registered by the process of Claude Code, so that `coord-worker` in its
Bash finds it, and kept by a keeper as every session is.
"""

from __future__ import annotations

import collections
import os
import random
import select
import subprocess
import threading
from contextlib import suppress

from pool import (
    apierror,
    brief,
    clock,
    compiled,
    enroll,
    local,
    payload,
    process,
    scripts,
    wire,
    words,
    worktree,
)
from pool.claim import Caller, HandOver
from pool.errors import NotRegistered, Outdated, RedisAway, StaleClaim
from workers.supervise import frames, sdk, turns
from workers.supervise.bell import Bell
from workers.supervise.books import Books
from workers.supervise.session import Frame, Launch
from workers.supervise.settling import Settling

#: A session answers for the first time within this time (seconds): its MCP servers start meanwhile.
OPENING = 90.0

#: A turn that was interrupted ends within this time (seconds), or the session is given up.
YIELDS = 30.0

#: Frames that the supervisor has not taken yet.
_KEPT = 10_000

#: The longest pause between two tries to reach Redis (seconds); it doubles from the first.
_FIRST, _LONGEST = 0.1, 5.0


class Over(Exception):
    """The session is to end; the message says why."""


class Feeder:
    """One session's work: from its first answer to its end, in one thread."""

    def __init__(
        self, settings: compiled.Compiled, session: subprocess.Popen[bytes], launch: Launch, session_id: str
    ) -> None:
        """``settings`` are those that hold in the session, which was started with ``launch``."""
        self.settings, self.launch, self.session_id = settings, launch, session_id
        self.log = launch.log
        self.process = session
        self.watch = process.Watch(session.pid)
        self.client = sdk.Client(session, launch.record)
        #: What its frames say, for the supervisor to take.
        self.frames: collections.deque[Frame] = collections.deque(maxlen=_KEPT)
        self.redis = wire.Connection(settings.url)
        self.pool = scripts.Pool(self.redis, settings.values, settings.templates)
        self.bell = Bell(wire.Connection(settings.url))
        self.settling = Settling(settings, self.pool, launch.cwd, self._pause)
        self.turn = frames.Turn()
        self.member: local.Session | None = None
        self.ticket = "new"
        self.handed: HandOver | None = None
        #: A turn has ended and has not been looked at; it was ended by us, and must be over by then.
        self.ended, self.yields = False, 0.0
        #: It was begun by an operator's message, while no task was held.
        self.invited = False
        self.parked = False
        #: What the session must be told with the next task.
        self.word = ""
        self.idle_end = clock.mono() + settings["idle_limit"]
        self._away, self._backoff = "", _FIRST
        #: What its turns have used; the task that the last one was begun for.
        self.books, self._about = Books(self.pool, settings.values), ""
        #: Why another session would fare no better; '' if one may.
        self.problem = ""
        #: Why the supervisor ends it, and the pipe that tells it at once.
        self._asked = ""
        self._wake, self._ring = os.pipe()
        self._lock, self._left = threading.Lock(), False

    # -- the loop --------------------------------------------------------------------------------------

    def run(self) -> str:
        """Work until the session is over; why it is. Its process may live on: the caller ends it."""
        try:
            self.client.open(OPENING)
            while True:
                self._read()
                if self.client.over or not self.watch.alive():
                    return "its process has ended"
                if self._asked:
                    return self._asked
                self._sleep(self._step())
        except (Over, sdk.NotListening, Outdated) as error:
            return str(error)
        finally:
            if self._asked:
                self._hand_back()
            self._leave()

    def _read(self) -> None:
        for frame in self.client.frames():
            self.frames.append(frame)
            self.books.see(frame, self._about)
            if self.turn.see(frame):
                self.ended, self.yields, self.invited = True, 0.0, False
            elif self.yields and frames.begins(frame):
                self._interrupt()  # words that the client had queued: the next turn, with no pause between
            self.launch.wake()
        if self.yields and clock.mono() > self.yields:
            raise Over("it went on with a turn that was interrupted")

    def _step(self) -> float:
        """Do what is to be done now; the seconds until the next look, if nothing happens before."""
        try:
            pause = self._look()
            if self._away:
                self.log("Redis is back")
            self._away, self._backoff = "", _FIRST
            return pause
        except (StaleClaim, NotRegistered):
            return 0.1  # taken away just now: the next look says what is there instead
        except (RedisAway, wire.ReplyError) as error:
            if not self._away:
                self.log(str(error))
            self._away = str(error)
            if self.handed is None and clock.mono() >= self.idle_end:
                raise Over(f"its idle time passed and {error}") from None
            self._backoff = min(self._backoff * 2, _LONGEST)
            return self._backoff * random.uniform(0.7, 1.3)

    def _look(self) -> float:
        member = self.member or self._enroll()
        self.books.book(member)
        if self.yields:
            return max(0.05, self.yields - clock.mono())
        if self.handed is None:
            if self.turn.running:
                return self._without_task()
            self.ended = False
            return self._claim()
        if self.ended and not self.parked and not self.turn.running:
            return self._after_turn(member, self.handed)
        pause = self._beat(self.handed)
        if not self.parked and not self.turn.running and not self.turn.background:
            self.ended = True  # what it waited for is over, and no turn has come of it: looked at next time
        return pause

    def _without_task(self) -> float:
        """A turn runs that belongs to no task: only an operator's message is worth one."""
        if self.invited and not self._draining():
            self._listen()
            return self._recheck()
        self._interrupt()  # queued words of a task that was taken away, a background task's report
        return 0.0

    def _draining(self) -> bool:
        return bool(self.redis.execute_command("HGET", f"pool:worker:{self.caller.worker}", "draining"))

    def _interrupt(self) -> None:
        self.yields = clock.mono() + YIELDS
        self.client.interrupt()

    def _recheck(self) -> float:
        return float(self.settings["recheck"]) * random.uniform(0.7, 1.3)

    # -- who it is ---------------------------------------------------------------------------------------

    @property
    def caller(self) -> Caller:
        """Its registration."""
        return self.member.caller if self.member is not None else Caller("")

    def _enroll(self) -> local.Session:
        member = enroll.enroll(
            self.settings, self.pool, self.process.pid, self.session_id, self.launch.cwd, self.launch.environ
        )
        if member is None:
            raise Over("its process has ended")
        self.member, self.ticket = member, "new"
        return member

    def _gone(self, state: str) -> None:
        """Its registration has ended: given up on while it lived, or let go by somebody."""
        if state == "stopped":
            raise Over("it was let go")
        self.log(f"{self.caller.worker} was given up on; it registers anew")
        if self.handed is not None:
            self._drop(self.handed, "its worker was given up on")
        self.member = None

    # -- without a task ----------------------------------------------------------------------------------

    def _claim(self) -> float:
        window = self._recheck()
        look = self.pool.claim(self.caller, self.ticket, window)
        self.ticket = look.ticket or self.ticket
        if look.verdict == "gone":
            self._gone(look.reason)
        elif look.verdict == "superseded":
            self.ticket = "new"
        elif look.verdict == "stop":
            raise Over(look.reason)
        elif look.handed is not None:
            self._deliver(look.handed)
        elif look.verdict == "parked":
            self._listen()
            return window if look.idle_left < 0 else min(window, max(look.idle_left, 0.05))
        else:
            self.idle_end = clock.mono() + look.idle_left
            if look.wake and self._pass_on():
                return 0.0
            self._listen()
            return min(window, max(look.idle_left, 0.05))
        return 0.0

    def _deliver(self, handed: HandOver) -> None:
        """Feed a task in; the claim is provisional until the session's pipe has taken it."""
        if handed.parked:  # it was handed over before
            self.handed, self.parked = handed, True
            return
        try:
            fields = worktree.fields(
                self.pool, self.pool.values, self.caller, handed,
                self.member.key if self.member is not None else "", self.settling.cwd,
            )  # fmt: skip
            if fields is None:
                return  # its git worktree cannot be made: it has failed, or is handed back
            text = brief.whole(handed, fields)
        except payload.NotATask as error:
            self.pool.fail(self.caller, handed.claim, f"it is no task: {error}", retry=False)
            return
        said = words.take(self.pool, self.caller)
        parts = (self.word, text, said.text if said is not None else "")
        self.handed, self.parked = handed, False
        try:
            self._tell("\n\n".join(part for part in parts if part))
        except sdk.NotListening as error:
            self.pool.release(self.caller, handed.claim, str(error), 0.0, counted=False)
            raise
        self.word = ""
        self.log(f"handed over task {handed.claim.task_id}")
        if not self.pool.confirm(self.caller, handed.claim):
            self._drop(handed, "its hand-over came too late")
        if said is not None:
            said.done()

    def _pass_on(self) -> bool:
        """Hand over an operator's messages, if any wait; the client takes them into the turn that runs."""
        said = words.take(self.pool, self.caller)
        if said is None:
            return False
        if self.turn.running:
            self.client.query(said.text)
        else:
            self._tell(said.text)
        said.done()
        return True

    def _tell(self, text: str) -> None:
        self._about = self.handed.claim.task_id if self.handed is not None else ""
        self.client.query(text)
        self.ended, self.invited = False, self.handed is None
        self.turn.begin()

    # -- with a task -------------------------------------------------------------------------------------

    def _beat(self, handed: HandOver) -> float:
        """Whether the task is still its own; a parked one goes on when its time has come."""
        answer = self.pool.beat(self.caller, handed.claim)
        if answer.verdict == "gone":
            self._gone(answer.state)
            return 0.0
        if answer.verdict == "lost":
            if answer.why != "it is ended":
                self._drop(handed, answer.why)
            elif not self.turn.running:
                self.handed, self.parked = None, False
                return 0.0
        elif answer.words and not self.parked and answer.state != "parked":
            self._pass_on()
        elif self.parked and answer.state != "parked":
            self.parked = False
            self._tell(turns.GO_ON)
        self._listen()
        return self._recheck()

    def _drop(self, handed: HandOver, why: str) -> None:
        """The task is another's now, or nobody's: the turn that works at it ends."""
        self.log(f"task {handed.claim.task_id} was taken away: {why}")
        self.handed, self.parked = None, False
        self.word = brief.dropped(handed.claim.task_id, why)
        if self.turn.running:
            self._interrupt()

    def _after_turn(self, member: local.Session, handed: HandOver) -> float:
        """The turn is over and the task may still be held."""
        error = self.turn.error
        if error is not None and error.action != "go-on":
            return self._broken_off(handed, error)
        if self.turn.limit and self.pool.beat(member.caller, handed.claim).verdict == "ok":
            self.pool.fail(member.caller, handed.claim, f"its session could not go on: {self.turn.limit}")
        then = self.settling.after(member, handed, self.turn)
        if then.kind == "tell":
            self._tell(then.text)
        elif then.kind == "wait":
            self.ended = False
        else:
            self.handed = None  # a claim says what it holds
        return 0.0

    def _broken_off(self, handed: HandOver, error: apierror.Verdict) -> float:
        """An API error has ended the turn: what the StopFailure hook would do."""
        caller, wait = self.caller, f"+{self.settings['quota_wait']:g}"
        self.log(error.reason)
        self.ended = False
        if error.action in ("park", "pause"):
            until = error.resets_at or wait
            said = self.pool.account(error.action, "", until, error.reason, caller.worker, caller)
            self.parked = True
            if error.error != "unknown" or int(said[4]) <= self.settings["reminders"]:
                return 0.0  # (an error without a name, again and again, does not seem to pass)
        elif error.action == "stop":
            self.pool.account("stop", "", "", error.reason, caller.worker, caller)
            self.problem = error.reason
            raise Over(error.reason)
        if error.error == "model_not_found" and handed.fields.get("profile"):
            self.pool.fail(caller, handed.claim, f"{error.reason}: the task asks for it", retry=False)
        else:
            self.problem = error.reason if error.error == "model_not_found" else ""
            self.pool.release(caller, handed.claim, error.reason)
        raise Over(error.reason)  # a fresh session is better

    # -- waiting, and the end ----------------------------------------------------------------------------

    def _listen(self) -> None:
        worker = self.caller.worker
        self.bell.listen(f"pool:bell:{worker}:{self.ticket}", f"pool:call:{worker}")

    def _sleep(self, seconds: float) -> None:
        """Until a frame comes, the bell rings, the process ends, or the time has passed."""
        if self.bell.pending():
            seconds = 0.0
        fds = [fd for fd in (self.client.fd, self.watch.fd, self.bell.fileno(), self._wake) if fd >= 0]
        if self.watch.fd < 0:
            seconds = min(seconds, 1.0)
        ready = select.select(fds, [], [], max(0.0, seconds))[0]
        if self.bell.fileno() in ready or self.bell.pending():
            with suppress(RedisAway, wire.ReplyError):  # the next look meets the same, and says so
                self.bell.rang()

    def _pause(self, fd: int, seconds: float) -> None:
        """Wait for a check; a session that ends needs it no more."""
        fds = [each for each in (fd, self.watch.fd, self._wake) if each >= 0]
        select.select(fds, [], [], max(0.0, seconds))
        if self._asked or not self.watch.alive():
            raise Over(self._asked or "its process has ended")

    def _leave(self) -> None:
        self.bell.close()
        self.client.close()
        self.watch.close()
        with self._lock:
            self._left = True
            os.close(self._wake)
            os.close(self._ring)

    def stop(self, why: str) -> None:
        """End it now, from another thread: its task goes back at once."""
        with self._lock:
            if not self._left:
                self._asked = why
                os.write(self._ring, b".")

    def _hand_back(self) -> None:
        if self.member is None:
            return
        try:
            self.pool.deregister(self.caller, died=False, why=self._asked)
            self.member.save(stopped=True)
        except (RedisAway, wire.ReplyError) as error:
            self.log(str(error))  # its keeper reports the end when Redis is back
