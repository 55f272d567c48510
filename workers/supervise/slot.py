"""One worker of a supervisor: a place for a session, and how the one that is there fares."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pool import brief, clock, needs, process, sessionlog
from pool.errors import NotRegistered, StaleClaim
from pool.profile import Profile
from workers import child
from workers.supervise import logs, recycle, session, turns
from workers.supervise.keep import Keep

if TYPE_CHECKING:
    from workers.supervise.options import Options
    from workers.supervise.supervisor import Supervisor

#: A session may take so long (seconds) to become a member of the pool.
COMING = 60.0

#: A session whose input is closed may take so long (seconds) to end.
_ENDS = 60.0

#: A task whose session could not begin is left for so long (seconds), so that others come first; it doubles.
_AGAIN, _AGAIN_MOST = 5.0, 300.0

#: How often it is looked at how far a new session has come (seconds).
_LOOK = 0.5

#: A session that was told to begin, and found no task, is told again after so long (seconds); it doubles.
_VAIN, _VAIN_MOST = 0.5, 30.0


class Slot:
    """A worker by its name; at most one session at a time."""

    def __init__(self, owner: Supervisor, options: Options, name: str) -> None:
        self.owner, self.options, self.name = owner, options, name
        self.folder = sessionlog.folder(options.settings.home, name)
        self.log = logs.Log(self.folder, options.settings.log_size, options.settings.log_files)
        #: The session, and its keeper; keepers of ended ones whose death is yet to be reported.
        self.session: session.Session | None = None
        self.keep: Keep | None = None
        self._graves: list[Keep] = []
        self.watch: process.Watch | None = None
        #: What it was started for: the token of a task's profile, or ''.
        self.kind = ""
        self.drained = self._drain_told = False
        #: Its session sits at its input, and was told nothing yet: it has cost no request.
        self.ready = False
        #: Its last turn was ended before the model was asked, as there was no task; how often in a row.
        self._unasked, self._vain = False, 0
        self._wake_at = 0.0

    # -- its session begins ------------------------------------------------------------------------------

    @property
    def free(self) -> bool:
        """Whether a session may be started here."""
        return self.session is None and not self._graves

    @property
    def idle(self) -> bool:
        """Whether its session waits for a task, as a worker that has had its first."""
        keep = self.keep
        return bool(
            keep is not None and self.member and keep.state == "waiting" and not keep.claim.task_id
            and not self.drained
        )  # fmt: skip

    @property
    def idle_at_input(self) -> bool:
        """Whether its session is kept ready, and may be told to begin."""
        waits = self.keep is not None and self.keep.state == "waiting"
        return self.ready and self.member and waits and not self.drained and clock.mono() >= self._wake_at

    def begin(
        self, argv: list[str], environ: dict[str, str], secrets: list[str], asked: Profile,
        ready: bool = False,
    ) -> None:  # fmt: skip
        """Start a session; ``ready``: it is kept for the next task, and told nothing before.

        Raises:
            UsageError: It could not be started.
        """
        own = self.owner
        self.kind = needs.PROFILE + asked.name if asked.name else ""
        self._resumed = next((each.partition("=")[2] for each in argv if each.startswith("--resume=")), "")
        self.log.hide(secrets)
        launch = session.Launch(
            self.options.settings, self.name, argv, environ, str(self.options.project), self.say,
            self.log.record, own.ring,
        )  # fmt: skip
        self.session = session.start(self.options.mode, launch)
        self.log.pid, self.log.task = self.session.pid, ""
        self.watch = process.Watch(self.session.pid)
        own.watcher.add(self.watch.key)
        self.wear = recycle.Wear(self.session.pid, self.options.limits)
        self.turns = turns.Turns(bool(asked.name))
        self._model = asked.over(self.options.profile).model
        self.member, self.problem, self._hopeless = False, "", False
        self.drained = self._drain_told = self._finished = False
        self._deadline = self._looked = self._over_at = 0.0
        self._state, self._unasked, self._vain, self._wake_at = "", False, 0, 0.0
        try:
            self.keep = Keep(own.compiled, own.pool, self.session.pid)
        except OSError as error:
            self.say(f"{error.filename}: {error.strerror}: its hooks start a keeper")
            self.keep = None
        self.log.event(f"session {self.session.pid} was started")
        self.ready = ready and self.session.hooked and self.keep is not None
        if self.session.hooked and not self.ready:
            self.session.send(brief.BEGIN)

    def wake(self) -> None:
        """A task waits for its session, which was kept ready: its first turn begins."""
        keep = self.keep
        if self.session is None or keep is None:
            return
        note = "its first turn begins"
        # It comes now, as a new one does: until its prompt is heard of, none is started for that task.
        self.owner.ask(lambda: self._of_claim(lambda: self.owner.pool.note(keep.caller, "starting", note)))
        self.owner.ask(lambda: keep.tend(True))
        self.ready = self.member = False
        self.turns.said()
        self.session.send(brief.BEGIN)

    def _rest(self, keep: Keep) -> None:
        """Its session sits at its input: known as one that waits, ended when it has waited long enough."""
        if keep.state == "starting":
            note = "at its input, for the first task"
            self.owner.ask(lambda: self._of_claim(lambda: self.owner.pool.note(keep.caller, "waiting", note)))
            self.owner.ask(lambda: keep.tend(True))
        self.member = self.member or keep.state == "waiting"
        why = "draining" if self.owner.asked or self.drained else ""
        if self.worker and keep.idle_left <= 0:
            why = why or "nothing came for it"
        if why and not self._finished:
            self._finish(why)

    def say(self, line: str) -> None:
        """A line for people."""
        self.owner.say(self.name, line)

    # -- while it runs -----------------------------------------------------------------------------------

    def step(self) -> None:
        """Look after the session."""
        self._graves = [grave for grave in self._graves if not self.owner.ask(grave.bury)]
        if self.session is None:
            return
        self._hear(self.session)
        code = self.session.poll()
        if code is not None:
            self._ended(self.session, code)
            return
        self._tend()
        self._wear()
        if self.session.hooked:
            self._turn(self.session)
        if self._deadline and clock.mono() >= self._deadline:
            self.say("ending the session")
            self.session.kill()
            self.owner.ring()

    def _hear(self, running: session.Session) -> None:
        heard = running.frames()
        for frame in heard:
            self.wear.see(frame)
            self._unasked = self._unasked or turns.unasked(frame)
            self._vain = 0 if frame.get("type") == "assistant" else self._vain
            if self.turns.see(frame):
                self._over_at = clock.mono()
                # What the session's own hook makes of it, it does itself; why it will end is known here.
                self.problem, self._hopeless = self._blamed(self.turns.blame())
        if heard and self.keep is not None and not self.keep.claim.task_id:
            keep = self.keep
            self.owner.ask(lambda: keep.tend(self._unasked))
        if self._unasked and self.turns.over:
            self._back_at_input()

    def _back_at_input(self) -> None:
        """It was told to begin and there was no task: it costs nothing, and is ready for the next."""
        self._unasked = False
        if self.keep is None or self.keep.state != "waiting":
            return  # parked, or let go
        if self.kind:
            self._finish("nothing came for it")
            return
        self.ready = True
        self._wake_at = clock.mono() + min(_VAIN_MOST, _VAIN * 2**self._vain)
        self._vain += 1

    def _blamed(self, blame: tuple[str, bool] | None) -> tuple[str, bool]:
        """Why the session will have failed, and whether any other would; of an unknown model, which."""
        if blame is None:
            return self.problem, self._hopeless
        named = f" ({self._model})" if self._model and self.turns.unknown_model else ""
        return blame[0] + named, blame[1]

    def _tend(self) -> None:
        """Keep its lease, and see how far it has come."""
        keep = self.keep
        if keep is not None:
            self.owner.ask(lambda: keep.tend(self.turns.over))
            if keep.claim.task_id and keep.claim.task_id != self.log.task:
                self.log.event(f"task {keep.claim.task_id}")
            self.log.task = keep.claim.task_id
            self._state = keep.state
            if self.session is not None:
                self.session.stands(keep.state)
                used = self.session.in_use() and not self.owner.asked
                if self.ready and not keep.let_go:
                    self._rest(keep)
                if keep.let_go and not self._finished and not used:
                    self._finish("it was let go")
        if self.watch is not None and not self.member and clock.mono() - self._looked >= _LOOK:
            self._looked = clock.mono()
            key = self.watch.key
            said = self.owner.ask(lambda: self.owner.summon(self, key)) if key else None
            self.member = said is not None and said[0] == "member"
        if (self.owner.asked or self.drained) and self.worker and self._state not in ("stopped", ""):
            self._drain()

    def _drain(self) -> None:
        """Let it finish its task and stop."""
        if self._drain_told:
            return

        def tell() -> bool:
            with suppress(NotRegistered):  # it has gone already
                self.owner.pool.tune(self.worker, "draining", "1")
            return True

        self._drain_told = bool(self.owner.ask(tell))

    def _wear(self) -> None:
        why = "" if self.drained else self.wear.reached()
        if why:
            self.say(f"after its task a fresh session takes over: {why}")
            self.drained, self._drain_told = True, False

    def _turn(self, running: session.Session) -> None:
        """A turn has ended, and the session waits for a word."""
        keep = self.keep
        if keep is None or not self.turns.over or keep.let_go or self._finished or self.ready:
            return
        if clock.mono() - self._over_at < turns.SETTLES and keep.state != "parked":
            return
        then = self.turns.next(keep.state, bool(keep.claim.task_id))
        if then.what == "wait":
            return
        if then.what == "go-on":
            self.turns.said()
            running.send(turns.GO_ON if keep.claim.task_id else brief.BEGIN)
        elif then.what in ("park", "pause"):
            self._account(keep, then)
        else:
            self.problem, self._hopeless = then.why, then.hopeless
            if then.what == "stop":
                self._account(keep, then)
            elif then.what == "fail":
                self.owner.ask(lambda: self._of_claim(
                    lambda: self.owner.pool.fail(keep.caller, keep.claim, then.why, retry=False)
                ))  # fmt: skip
            elif then.what == "give-back":
                self._give_back(then.why, counted=not then.hopeless)
            self._finish(then.why)
            if self.turns.retrying:  # in vain, and for minutes
                self.end_within(child.GRACE)

    def _account(self, keep: Keep, then: turns.Next) -> None:
        """What the error means for its account, where its StopFailure hook has not said so."""
        until = then.until or f"+{self.options.settings.quota_wait:g}" if then.what == "park" else ""

        def tell() -> bool:
            said = self._of_claim(lambda: self.owner.pool.account(
                then.what, "", until, then.why, self.worker, keep.caller, "stays"
            ))  # fmt: skip
            keep.tend(True)  # (it may have been let go on by now)
            return said

        if self.owner.ask(tell):
            self.turns.parked()

    def _give_back(self, why: str, counted: bool, delay: float | None = None) -> None:
        keep = self.keep
        if keep is None or not keep.claim.task_id:
            return
        self.owner.ask(lambda: self._of_claim(
            lambda: self.owner.pool.release(keep.caller, keep.claim, why, delay, counted)
        ))  # fmt: skip

    def _of_claim(self, change: Callable[[], object]) -> bool:
        """Change what the session holds; it may have lost it just now."""
        with suppress(StaleClaim, NotRegistered):
            change()
        return True

    def _finish(self, why: str) -> None:
        """Let the session end; when it does not, end it."""
        if self.session is not None:
            self.log.event(f"the session may end: {why}")
            self.session.finish(why)
            self._finished = True
            self._deadline = min(self._deadline or clock.mono() + _ENDS, clock.mono() + _ENDS)

    def end_within(self, seconds: float) -> None:
        """It must have ended by then."""
        self._deadline = clock.mono() + seconds

    # -- its session is over -----------------------------------------------------------------------------

    @property
    def worker(self) -> str:
        """The name under which the session is known to the pool; '' as long as it is not."""
        return self.keep.worker if self.keep is not None else ""

    def _ended(self, over: session.Session, code: int) -> None:
        own = self.owner
        self._hear(over)
        known, let_go = bool(self.worker), self.keep is not None and self.keep.let_go
        why = self.problem or over.problem
        self._hopeless = self._hopeless or bool(over.problem)
        if not why and not let_go and (code or not known):
            if code:
                why = f"the session ended with {code}"
            else:
                why = "it never came into the pool (are its hooks allowed to run?)"
        if why and self._resumed and not known:
            where = f"(is it one of {own.config(self)}?)"
            why = f"session {self._resumed} could not be resumed {where}: {why}; the next is new"
        if self.keep is not None:
            if why and known and not self.turns.answered:
                # It failed before it had begun: nothing that the task could help.
                self._learn(self.keep)
                delay = min(_AGAIN_MOST, _AGAIN * 2 ** own.breaker(self.kind).failures)
                self._give_back(f"a session could not begin: {why}", False, delay)
            if not own.ask(self.keep.bury):
                self._graves.append(self.keep)
        own.watcher.remove(self.watch.key if self.watch else "")
        if self.watch is not None:
            self.watch.close()
        left = child.end_orphans(over.pid, self.name if self.options.workers > 1 else "", own.spared(self))
        over.close()
        note = f"; ended {left} processes that it left" if left else ""
        self.say(f"the session ended with {code} after {clock.mono() - self.wear.began:.0f} s{note}")
        self.log.event(f"session {over.pid} ended with {code}")
        self.session = self.keep = self.watch = None
        untried, self.ready = self.ready, False
        self._drain_told = False
        own.ask(lambda: own.summon(self, "off"))
        if own.asked:
            return
        if why:
            own.failed(self.kind, why, self._hopeless)
        elif untried:
            own.untried(self.kind)
        else:
            own.went_well(self.kind)

    def _learn(self, keep: Keep) -> None:
        """What it held, as Redis knows it now."""
        self.owner.ask(lambda: keep.tend(True))

    # -- for people --------------------------------------------------------------------------------------

    def state(self) -> tuple[str, str]:
        """How it stands, and why, in words."""
        if self.session is None:
            return "waiting", "no task wants a session"
        what = f"session {self.session.pid}"
        if self.owner.asked or self.drained:
            return "draining", what
        retrying = f", retrying ({self.turns.retrying})" if self.turns.retrying else ""
        return "running", what + retrying
