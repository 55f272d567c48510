"""Stop: where an idle worker waits, at no token cost, and is handed its next task (design section 6)."""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import cap, runtime, waiting
from pool import brief, local, outbox, payload, settle, units, usage, wire
from pool.claim import Claim, HandOver
from pool.errors import ChecksOff, Outdated, RedisAway, StaleClaim
from pool.scripts import Look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pool.local import Session

#: The hook ends itself so long before the client would (seconds).
MARGIN = 30.0
#: Bytes of an operator's messages that are handed over beside a task.
WITH_A_TASK = 2_000
#: The scripts that a hook may need after a wait, in which its installation may have been upgraded.
_LATER = (
    "claim", "confirm", "release", "remind", "leave", "register", "judge", "complete", "checked", "beat",
    "place", "fail", "told",
)  # fmt: skip


class Stop:
    """One Stop of a worker's session."""

    def __init__(self, hook: runtime.Hook, session: Session) -> None:
        self.hook = hook
        self.session = session
        self.values = hook.settings.values
        self.waiter = waiting.Waiter(hook.pid)
        self.ticket = "new"
        began = time.monotonic()
        margin = min(MARGIN, self.values["hook_timeout"] / 2)
        self.deadline = began + self.values["hook_timeout"] - margin
        if self.values["stop_mode"] == "poll":
            self.deadline = min(self.deadline, began + self.values["poll_wait"])
        #: When the idle clock runs out, as far as is known (it is Redis that decides).
        self.idle_end = began + self.values["idle_limit"]
        self.away: str = ""
        #: Whose requests the next ones are, as far as it has been noted by this hook.
        self.handed = "?"
        self.backoff = 0.1

    def run(self) -> None:
        """Wait until there is something to say, then say it once."""
        try:
            if cap.reached(self.session, self.hook.payload.get("stop_hook_active") is True):
                self._at_the_cap()
                return
            while not self._once():
                pass
        except wire.Cancelled:
            self._leave()

    # -- one look ------------------------------------------------------------------------------------

    def _once(self) -> bool:
        self.waiter.check()
        now = time.monotonic()
        window = max(0.0, min(waiting.jitter(self.values["recheck"]), self.deadline - now))
        try:
            look = self.hook.pool.claim(self.session.caller, self.ticket, window)
        except Outdated as error:
            self._let_go(f"coord: worker {self.session.caller.worker} stops: {error}")
            return True
        except RedisAway as error:
            return self._redis_away(str(error))
        self.away, self.backoff = "", 0.1
        self.ticket = look.ticket or self.ticket
        if look.verdict == "wait":
            self.idle_end = time.monotonic() + look.idle_left
        handle = {
            "gone": self._gone, "superseded": self._nothing, "held": self._held, "task": self._task,
            "stop": self._stopped, "parked": self._wait, "wait": self._wait,
        }[look.verdict]  # fmt: skip
        try:
            return handle(look, window)
        except RedisAway as error:  # nothing was said yet: what is held must not be left to a silent session
            return self._redis_away(str(error))

    def _nothing(self, look: Look, window: float) -> bool:
        return True

    def _gone(self, look: Look, window: float) -> bool:
        """Given up on while it lived (a frozen machine, a long outage): it comes back as a new owner.

        Not so where another hook of this session has let it stop, or its end: the next prompt does it then.
        """
        if look.reason == "stopped":
            self.session.save(stopped=True)
            return True
        self.hook.log(f"{self.session.caller.worker} was given up on; it registers anew")
        session = self.hook.enroll()
        if session is None:
            return True
        self.session, self.ticket = session, "new"
        return False

    def _held(self, look: Look, window: float) -> bool:
        if look.handed is not None and look.handed.provisional:
            return self._task(look, window)
        claim = look.handed.claim if look.handed is not None else Claim("")
        desk = self._desk()
        if desk.pending(claim):  # its check takes longer than the helper could wait
            return self._settle(desk, claim, None)
        kept = local.commits(desk.outbox)
        if kept:  # from an outage: before anything is said about it
            return self._kept(desk, kept)
        parked = look.handed is not None and look.handed.parked  # a turn would fail, or disturb a person
        if not parked and self._words():
            return True
        message = self._message(look)
        background = self.hook.payload.get("background_tasks")
        reply = self.hook.pool.remind(
            self.session.caller, self.session.tools(), bool(background), bool(message)
        )
        if reply[0] == "settle":
            return self._settle(desk, claim, message)
        if reply[0] == "parked":
            return self._wait(look, window)
        if reply[0] == "remind":
            runtime.say(self._reminder(look, reply))
        return reply[0] in ("remind", "let")  # else it holds nothing any more: look again

    def _reminder(self, look: Look, reply: list[str]) -> dict[str, object]:
        count, task, token, title = reply[1:5]
        return {
            "decision": "block",
            "reason": f"You still hold task {task} ({title}). "
            + brief.report(f"{task}.{token}", self._by_message(look))
            + f" (reminder {count} of {self.values['reminders']}; `coord-worker context {task}.{token}` "
            "shows it again).",
        }

    # -- settling what it holds --------------------------------------------------------------------------

    def _desk(self) -> settle.Desk:
        desk = settle.Desk(
            self.hook.pool,
            self.values,
            self.session.caller,
            os.path.join(self.session.folder, "check"),
            os.path.join(self.session.folder, "outbox"),
            session=self.session.key,
            cwd=str(self.session.data.get("cwd") or self.hook.text("cwd")),
            pause=self.waiter.until,
        )
        desk.transcript = self.hook.text("transcript_path") if os.environ.get("COORD_SUPERVISED") else ""
        return desk

    @staticmethod
    def _by_message(look: Look) -> bool:
        return look.handed is not None and look.handed.fields.get("finish") == "message"

    def _message(self, look: Look) -> str:
        """The session's last message, when that is its task's result; else ''."""
        return self.hook.text("last_assistant_message").strip() if self._by_message(look) else ""

    def _settle(self, desk: settle.Desk, claim: Claim, message: str | None) -> bool:
        """Settle what is held, by its last message or (None) by what it has handed in."""
        patience = max(0.0, self.deadline - time.monotonic())
        try:
            if message is None:
                settled = desk.go_on(patience)
            else:
                settled = desk.settle(claim, *settle.of_message(self.values, message), patience)
        except RedisAway as error:
            return self._redis_away(str(error))
        except StaleClaim:
            return False  # taken away: what is there now is another matter
        except (ChecksOff, OSError) as error:
            runtime.say(
                {"decision": "block", "reason": f"Task {claim.task_id} cannot be completed here: {error}"}
            )
            return True
        return self._said(settled)

    def _said(self, settled: settle.Settled) -> bool:
        task = settled.claim.task_id
        if settled.verdict == "again":
            runtime.say(
                {
                    "decision": "block", "reason": f"The check of task {task} failed.",
                    **runtime.context("Stop", settled.text),
                }
            )  # fmt: skip
        elif settled.verdict == "running":
            runtime.say(
                {"decision": "block", "reason": f"{settled.text}. End your turn again to wait for it."}
            )
        else:
            self.session.told()  # what was said of it has no meaning now
        return settled.verdict in ("again", "running")  # else: look for the next task

    def _kept(self, desk: settle.Desk, paths: list[str]) -> bool:
        """Commit what an outage has kept on disk."""
        patience = max(0.0, self.deadline - time.monotonic())
        for path in paths:
            commit = outbox.read(path)
            if commit is None:
                continue
            try:
                if commit.passed:
                    outbox.send(self.hook.pool, commit)
                else:
                    settled = desk.settle(commit.claim, commit.result, commit.artifacts, patience)
                    if settled.verdict in ("again", "running"):
                        local.forget(path)
                        return self._said(settled)
            except StaleClaim:
                os.replace(path, path + ".refused")
                continue
            except RedisAway as error:
                return self._redis_away(str(error))
            local.forget(path)
        return False

    def _task(self, look: Look, window: float) -> bool:
        handed = look.handed
        if handed is None:
            return True
        if self.waiter.signalled or not self.waiter.watch.alive():
            self._give_back(handed)
            return True
        fields = self.hook.fields(self.session, handed)
        if fields is None:
            return False
        if self.waiter.signalled or not self.waiter.watch.alive():  # git may take its time
            self._give_back(handed)
            return True
        self.session.told()  # a word about an earlier task would only confuse
        self._hand(handed.claim.task_id)
        found = self.hook.messages(self.session, WITH_A_TASK)
        said = runtime.say(block(handed, fields, found.text if found is not None else ""))
        # (A session that was killed may still have taken the words: while it dies, its pipe is open.)
        try:
            if said and self.waiter.watch.alive():
                self.hook.confirm(self.session.caller, handed.claim)
                if found is not None:
                    self.hook.told(self.session, found)
            else:
                self._give_back(handed)
        except RedisAway as error:  # it was said, and is not said twice: provisional until it is reported on
            self.hook.log(f"Stop: the hand-over of task {handed.claim.task_id} is not confirmed: {error}")
        return True

    def _words(self) -> bool:
        """Tell the session what an operator has to say, as feedback; whether there was anything."""
        found = self.hook.messages(self.session)
        if found is None:
            return False
        said = runtime.say(
            {
                "decision": "block",
                "reason": "A message from an operator.",
                **runtime.context("Stop", found.text),
            }
        )
        if said:
            self.hook.told(self.session, found)
        return True

    def _hand(self, task: str) -> None:
        """What the session uses from now on is that task's."""
        self.session.hand(task, usage.moment(time.time()))
        self.handed = task

    def _give_back(self, handed: HandOver) -> None:
        self.hook.pool.release(
            self.session.caller, handed.claim, "the session ended during the hand-over", 0.0, counted=False
        )

    def _stopped(self, look: Look, window: float) -> bool:
        self._let_go(f"coord: worker {self.session.caller.worker} stops ({look.reason})")
        return True

    def _wait(self, look: Look, window: float) -> bool:
        if look.verdict == "wait" and self.handed:
            self._hand("")
        self.hook.pool.preload(*_LATER)
        if look.wake:
            self.session.mark_words(True)
            if self._words():
                return True
        now = time.monotonic()
        if now >= self.deadline:
            return self._come_back()
        pause = min(window, self.deadline - now)
        if look.verdict == "wait":
            pause = min(pause, max(look.idle_left, 0.05))
        bell = f"pool:bell:{self.session.caller.worker}:{self.ticket}"
        try:
            self.waiter.bell(self.hook.connection, bell, pause)
        except RedisAway as error:
            return self._redis_away(str(error))
        return False

    # -- the ends --------------------------------------------------------------------------------------

    def _come_back(self) -> bool:
        left = max(0.0, self.idle_end - time.monotonic())
        if self.values["stop_mode"] == "poll":
            reason = f"Waiting for tasks ({max(1, round(left / 60))} min idle remaining)"
        else:
            reason = (
                f"No task yet ({units.span(left)} idle time remain). End your turn again to go on waiting."
            )
        runtime.say({"decision": "block", "reason": reason})
        return True

    def _redis_away(self, why: str) -> bool:
        if not self.away:
            self.hook.log(f"Stop: {why}; waiting goes on")
        self.away = why
        now = time.monotonic()
        if now >= self.idle_end:
            self._let_go(f"coord: worker {self.session.caller.worker} stops: its idle time passed and {why}")
            return True
        if now >= self.deadline:
            return self._come_back()
        self.waiter.sleep(
            max(0.05, min(waiting.jitter(self.backoff), self.idle_end - now, self.deadline - now))
        )
        self.backoff = min(self.backoff * 2, 5.0)
        return False

    def _at_the_cap(self) -> None:
        """The client would override a block: nothing is claimed, and what is held goes back."""
        caller = self.session.caller
        why = f"this client ends a turn after {cap.limit()} blocks without a tool call"
        background = bool(self.hook.payload.get("background_tasks"))
        try:
            reply = self.hook.pool.remind(caller, self.session.tools(), background)
            if reply[0] == "let":
                return  # it holds a task and would not be blocked
            if reply[0] == "remind":
                self._last_words(Claim(reply[2], reply[3]))
            self.hook.pool.deregister(caller, died=False, why=why)
        except RedisAway as error:
            self.hook.log(f"Stop: {why}, and {error}")  # the keeper goes on; a prompt or its end settles it
        self._let_go(f"coord: worker {caller.worker} stops: {why} ({cap.VARIABLE}=0 lifts that)")

    def _last_words(self, claim: Claim) -> None:
        """Settle what is held, where that takes no word to the session any more."""
        key = self.hook.settings.templates["job"].format(claim.task_id)
        data = self.hook.connection.execute_command("HGET", key, "data")
        desk, message = self._desk(), self.hook.text("last_assistant_message").strip()
        patience = max(0.0, self.deadline - time.monotonic())
        try:
            if desk.pending(claim):
                desk.go_on(patience)
            elif message and data and payload.decode(data).get("finish") == "message":
                desk.settle(claim, *settle.of_message(self.values, message), patience)
        except (StaleClaim, ChecksOff, OSError) as error:
            self.hook.log(f"Stop: task {claim.task_id} is not settled: {error}")

    def _let_go(self, message: str) -> None:
        self.session.save(stopped=True)
        runtime.say({"systemMessage": message})

    def _leave(self) -> None:
        """A signal, or the session is gone: wait no more; the keeper reports the death."""
        self.hook.connection.timeout = 1.0
        try:
            self.hook.pool.leave(self.session.caller, self.ticket)
        except RedisAway as error:
            self.hook.log(f"Stop: left without a word to Redis: {error}")


def block(handed: HandOver, fields: dict[str, Any], words: str = "") -> dict[str, object]:
    """The hand-over: the short reason (which the client sends twice) and the whole task (once).

    ``words`` are an operator's, to be read with it.
    """
    text = brief.fitted(handed, fields, words)
    return {
        "decision": "block",
        "reason": brief.one_line(handed),
        **runtime.context("Stop", text),
    }


def _find(hook: runtime.Hook) -> Session | None:
    """The worker's session; one that Redis could not register at its start is registered when it is back."""
    end = time.monotonic() + hook.settings["idle_limit"]
    waiter: waiting.Waiter | None = None
    while True:
        try:
            return hook.find()
        except Outdated as error:
            runtime.say({"systemMessage": f"coord: this session is no worker: {error}"})
            return None
        except RedisAway as error:
            waiter = waiter or waiting.Waiter(hook.pid)
            if time.monotonic() >= end:
                runtime.say({"systemMessage": f"coord: this session is no worker: {error}"})
                return None
            try:
                waiter.sleep(waiting.jitter(1.0))
            except wire.Cancelled:
                return None  # the session is gone, or asked the hook to end


def handle(hook: runtime.Hook) -> None:
    """Say nothing unless this is the stop of a worker that is still one."""
    session = _find(hook)
    if session is None or session.data.get("stopped"):
        return
    session.ensure_keeper(hook.settings.path)
    hook.book(session)
    Stop(hook, session).run()


if __name__ == "__main__":
    runtime.run(handle)
