"""Every transition of the pool: one Lua script, one typed function, one round trip.

The functions take a connection that has ``execute_command`` (redis-py's client, or pool.wire's) and
hold no state but the scripts' texts. EVALSHA first; EVAL once when the server does not know it.
Standard library only: hooks and helpers import it. The scripts' headers document the replies.
"""

from __future__ import annotations

import os

from pool import __version__
from pool.claim import Caller, Claim, HandOver
from pool.errors import NotRegistered, Outdated, StaleClaim, Unchecked
from pool.script_text import ScriptTexts, exc_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    class Executes(Protocol):
        """A connection to Redis: redis-py's client or pool.wire's."""

        def execute_command(self, *args: Any) -> Any:
            """Send one command and return its raw reply."""


#: A program's claim looks so many pages deep, behind tasks that it may not have.
_LOOKS = 50


class Look:
    """What a claim found: ``verdict`` is one of claim.lua's, the other fields belong to it."""

    __slots__ = ("draining", "foreign", "handed", "idle_left", "more", "reason", "ticket", "verdict", "wake")

    def __init__(self, reply: list[Any]) -> None:
        self.verdict = reply[0].decode()
        self.ticket = reply[1].decode()
        self.handed: HandOver | None = None
        self.foreign: tuple[str, bytes, str] | None = None
        self.reason = ""
        self.idle_left = 0.0
        self.draining = False
        self.more = False
        #: An operator's message wants to be told now.
        self.wake = False
        if self.verdict in ("held", "task"):
            self.handed = HandOver(reply)
        elif self.verdict == "inspect":
            self.foreign = (reply[2].decode(), reply[3], reply[4].decode())
        elif self.verdict in ("stop", "gone"):
            self.reason = reply[2].decode()
        elif self.verdict == "parked":
            self.idle_left, self.reason = float(reply[2]), reply[3].decode("utf-8", "replace")
        elif self.verdict == "wait":
            self.idle_left, self.draining = float(reply[2]), reply[3] == b"draining"
            self.more = reply[3] == b"more"
            self.wake = reply[4] == b"1"


class Beat:
    """A heartbeat's answer: ``ok``, ``gone`` (the registration ended) or ``lost`` (the task was taken).

    ``claim`` is what the worker holds or, with the other two, what it held.
    """

    __slots__ = ("claim", "idle_left", "state", "verdict", "why", "words")

    def __init__(self, reply: list[bytes]) -> None:
        self.verdict = reply[0].decode()
        self.claim: Claim | None = None
        self.idle_left = 0.0
        self.state = ""
        self.why = ""
        #: Messages of an operator's that wait for the session.
        self.words = 0
        if self.verdict == "ok":
            self.idle_left, self.state = float(reply[1]), reply[2].decode()
            self.claim = Claim(reply[3].decode(), reply[4].decode()) if reply[3] else None
            self.words = int(reply[5] or 0)
        elif self.verdict == "gone":
            self.state, self.why = reply[1].decode(), reply[3].decode("utf-8", "replace")
            self.claim = Claim(reply[2].decode()) if reply[2] else None
        else:
            self.claim = Claim(reply[1].decode(), reply[2].decode())
            self.why = reply[3].decode("utf-8", "replace")


class Pool:
    """The transitions, over one connection."""

    def __init__(self, connection: Executes, values: dict[str, Any], templates: dict[str, str]) -> None:
        self.connection = connection
        self.values = values
        self.texts = ScriptTexts(values, templates)

    def run(self, name: str, *args: Any) -> list[Any]:
        """Run a script by name. Its reply is a list whose first item is the verdict."""
        execute = self.connection.execute_command
        try:
            reply = execute("EVALSHA", self.texts.sha(name), 0, *args)
        except Exception as error:
            if type(error).__name__ != "NoScriptError" and not str(error).startswith("NOSCRIPT"):
                raise _translated(error) from None
            try:
                reply = execute("EVAL", self.texts.text(name), 0, *args)
            except Exception as again:
                raise _translated(again) from None
        return list(reply)

    def preload(self, *names: str) -> None:
        """Read scripts now: a process that lives long outlives an upgrade of the files."""
        for name in names:
            self.texts.sha(name)

    def verdict(self, name: str, *args: Any) -> list[str]:
        """Run a script whose whole reply is text."""
        return [_text(part) for part in self.run(name, *args)]

    # -- tasks: made, moved, ended by an operator --------------------------------------------------

    def stage(self, staged: str, seconds: int, before: int, records: Sequence[bytes]) -> bool:
        """Upload records after ``before`` others for a later submit; False if those are gone: stage.lua."""
        return self.verdict("stage", staged, seconds, before, *records)[0] == "ok"

    def submit(self, records: Sequence[bytes], staged: str = "") -> list[str]:
        """Enqueue tasks (records of pool.records), all or none: submit.lua."""
        return self.verdict("submit", staged, *records)

    def cancel(self, task_id: str, reason: str) -> list[str]:
        """Cancel a task that has not ended: cancel.lua."""
        return self.verdict("cancel", task_id, reason)

    def requeue(self, task_id: str, mode: str, reason: str) -> list[str]:
        """Put a task back, by ``retry`` or ``requeue``: requeue.lua."""
        return self.verdict("requeue", task_id, mode, reason)

    def restore(self, records: Sequence[bytes]) -> list[str]:
        """Make tasks as they were exported (records of pool.archive); a verdict each: restore.lua."""
        return self.verdict("restore", *records)[1:]

    def purge(
        self, seconds: float, statuses: Sequence[str], queue: str, look: bool, ids: Sequence[str]
    ) -> list[str]:
        """Delete tasks that ended so long ago (``look``: only say which); a verdict each: purge.lua."""
        args = (seconds, ",".join(statuses), queue, "1" if look else "", *ids)
        return self.verdict("purge", *args)[1:] if ids else []

    def judge(self, task_id: str, queue: str, adopt: bool, text: str) -> bool:
        """Adopt a foreign job, or put it among the dead letters with the reason: judge.lua."""
        reply = self.verdict("judge", task_id, queue, "adopt" if adopt else "bury", text, exc_string(text))
        return reply[0] == "ok"

    def undo(self, task_id: str, reason: str) -> bool:
        """Undo the failure of a worker that could not read the task: undo.lua."""
        return self.verdict("undo", task_id, reason)[0] == "ok"

    def pause(self, queue: str, pause: bool) -> bool:
        """Pause or resume a queue ('*' all); whether anything changed: pause.lua."""
        return self.verdict("pause", queue, "pause" if pause else "resume")[1] == "1"

    def audit(
        self, what: str, target: str, outcome: str, who: str, address: str,
        task: str = "", worker: str = "", queue: str = "",
    ) -> str:  # fmt: skip
        """Note what an operator did, and what came of it; the event's id: audit.lua."""
        return self.verdict("audit", what, target, outcome, who, address, task, worker, queue)[1]

    def floor(self, version: int, force: bool = False) -> list[str]:
        """Ask for scripts of at least this version; what is older, if that forbids it: floor.lua."""
        reply = self.verdict("floor", version, "1" if force else "")
        return reply[1:] if reply[0] == "older" else []

    # -- schedules ---------------------------------------------------------------------------------

    def schedule(
        self, name: str, revision: str, entry: str, times: str, due: float, replace: bool
    ) -> tuple[str, float | None]:
        """Keep a schedule: ``new``, ``replaced`` or ``exists``; its next tick (None: paused): schedule.lua.

        ``times`` is text that changes with when it ticks: where that is as before, it stands where it stood.
        """
        given = _moment(due), "1" if replace else ""
        reply = self.verdict("schedule", name, revision, entry, times, *given)
        return reply[0], None if reply[1] == "inf" else float(reply[1])

    def unschedule(self, names: Sequence[str]) -> str:
        """Forget schedules, all or none; the name of which there is none, or '': unschedule.lua."""
        return "".join(self.verdict("unschedule", *names)[1:])

    def hold(self, name: str) -> str:
        """Pause a schedule: ``paused``, ``as before`` or ``no`` (there is none): hold.lua."""
        return _held(self.verdict("hold", name, "pause"), "paused")

    def let_go(self, name: str, due: float | None, revision: str) -> str:
        """Let a schedule go on: ``resumed``, ``as before``, ``no`` or ``changed`` meanwhile: hold.lua."""
        return _held(self.verdict("hold", name, "resume", _moment(due), revision), "resumed")

    def hold_broken(self, leader: str, name: str | bytes, due: float, why: str) -> bool:
        """Hold a schedule that cannot be read, saying why; False if it was changed: hold.lua."""
        return self.verdict("hold", name, "broken", _moment(due), why, leader)[0] == "ok"

    # -- a worker's registration -------------------------------------------------------------------

    def register(
        self, worker: str, process: str, session: str, host: str, pid: int, queues: Sequence[str],
        idle_limit: float, max_tasks: int, cwd: str, versions: tuple[str, str, str], offers: str = "",
        account: str = "default", mode: str = "", supervisor: str = "",
    ) -> tuple[str, Caller]:  # fmt: skip
        """Make a process a worker; ``new``, ``rebound``, ``attached`` or ``taken``: register.lua.

        ``offers`` are tokens, separated by spaces (pool/needs.py).
        """
        reply = self.verdict(
            "register", worker, process, session, host, pid, ",".join(queues), idle_limit, max_tasks, cwd,
            *versions, offers, account, mode, supervisor,
        )  # fmt: skip
        return reply[0], Caller(reply[1], reply[2])

    def deregister(self, caller: Caller, died: bool, why: str) -> list[str]:
        """End a registration; its task is lost (died) or handed back: deregister.lua."""
        return self.verdict("deregister", caller.worker, caller.epoch, "died" if died else "ended", why)

    def tune(self, worker: str, field: str, value: str) -> str:
        """Change ``draining`` or ``idle_limit`` of a live worker; the task it holds: tune.lua.

        Raises:
            NotRegistered: There is no such live worker.
        """
        reply = self.verdict("tune", worker, field, value)
        if reply[0] == "gone":
            raise NotRegistered(f"{worker} is not a live worker: `coord workers` lists them")
        return reply[1]

    def note(self, caller: Caller, state: str, evidence: str) -> bool:
        """Record what a hook saw of the session: note.lua."""
        return self.verdict("note", caller.worker, caller.epoch, state, evidence)[0] == "ok"

    def prompt(self, caller: Caller, person: bool) -> tuple[str, HandOver | None, str]:
        """A prompt begins a turn: verdict, the cut-off hand-over if any, the state: prompt.lua."""
        reply = self.run("prompt", caller.worker, caller.epoch, "1" if person else "")
        verdict = _text(reply[0])
        if verdict == "held":
            return verdict, HandOver(reply), ""
        return verdict, None, _text(reply[1]) if len(reply) > 1 else ""

    def leave(self, caller: Caller, ticket: str) -> bool:
        """A waiting hook ends without a task: leave.lua."""
        return self.verdict("leave", caller.worker, caller.epoch, ticket)[0] == "ok"

    # -- an operator's messages ------------------------------------------------------------------------

    def tell(self, target: str, text: str, wake: bool, most: int) -> list[str]:
        """Send a message to a worker, or to the one that holds a task: tell.lua."""
        return self.verdict("tell", target, text, "1" if wake else "", most)

    def told(self, caller: Caller, what: str, taken: str, room: int = 0) -> list[str]:
        """Take the messages that wait for a session, or say that it has them (pool.words): told.lua."""
        return self.verdict("told", caller.worker, caller.epoch, what, taken, room)

    # -- what the monitor sees ---------------------------------------------------------------------------

    def observe(
        self, session: str, revision: int, client: str, absorbed: tuple[str, int], fields: Sequence[str],
        limits: tuple[int, int], changed: Sequence[str],
    ) -> list[Any]:  # fmt: skip
        """Change a session's record, if it is still what was stepped from; the raw reply: observe.lua.

        ``absorbed``: the session that turned out to be this one, and its revision. ``fields``, for the event:
        kind, state, worker, task, detail and the record as JSON.
        """
        return self.run("observe", session, revision, client, *absorbed, *fields, *limits, *changed)

    def forget(self, session: str, revision: int, limit: int) -> bool:
        """Forget a session, if nothing was seen of it since: forget.lua."""
        return self.verdict("forget", session, revision, limit)[0] == "ok"

    def attend(self, token: str, seconds: float, release: str, url: str) -> None:
        """Say that a monitor runs, and where (for 0 seconds: that it has ended): attend.lua."""
        self.verdict("attend", token, seconds, release, url)

    # -- the claim -----------------------------------------------------------------------------------

    def claim(self, caller: Caller, ticket: str = "", wait: float = 0.0) -> Look:
        """Look for the worker's next task, waiting or not; foreign jobs are judged on the way: claim.lua."""
        from pool import payload

        looks = 0
        while True:
            looks += 1
            look = Look(self.run("claim", caller.worker, caller.epoch, ticket, os.urandom(8).hex(), wait))
            if look.more and not ticket and looks < _LOOKS:
                continue  # a program asks once, and would be told that there is nothing
            if look.foreign is None:
                return look
            task_id, data, queue = look.foreign
            try:
                title = str(payload.decode(data).get("title") or task_id)
                self.judge(task_id, queue, True, title)
            except payload.NotATask as error:
                self.judge(task_id, queue, False, str(error))
            ticket = look.ticket if ticket else ""

    def confirm(self, caller: Caller, claim: Claim) -> bool:
        """The hand-over reached the session: confirm.lua."""
        reply = self.verdict("confirm", caller.worker, caller.epoch, claim.task_id, claim.token)
        return reply[0] == "ok"

    def beat(self, caller: Caller, claim: Claim | None = None, progress: str = "") -> Beat:
        """The worker lives: beat.lua."""
        task, token = (claim.task_id, claim.token) if claim else ("", "")
        return Beat(self.run("beat", caller.worker, caller.epoch, task, token, progress))

    def complete(
        self, caller: Caller, claim: Claim, result: str, artifacts: Sequence[tuple[str, bytes]] = (),
        evidence: dict[str, str] | None = None, passed: bool = False,
    ) -> str:  # fmt: skip
        """Commit a result (JSON text) and what it is believed by; ``done`` or ``already``: complete.lua.

        ``passed``: the task's check has.

        Raises:
            StaleClaim: The claim is not the caller's any more.
            Unchecked: The task has a check, which comes first; nothing was changed.
        """
        import binascii

        blob = binascii.b2a_base64(result.encode(), newline=False)
        flat = [part for pair in artifacts for part in pair]
        reply = self.run(
            "complete", caller.worker, caller.epoch, claim.task_id, claim.token, blob, "1" if passed else "",
            *_flat(evidence), *flat,
        )  # fmt: skip
        if reply[0] == b"check":
            raise Unchecked(_text(reply[1]), reply[2], int(reply[3]))
        return self._fenced(claim, [_text(part) for part in reply])[0]

    def checked(
        self, caller: Caller, claim: Claim, run: str, error: str, evidence: dict[str, str]
    ) -> tuple[str, int]:
        """A run of the task's check did not pass: what becomes of it, and how many have not: checked.lua.

        The first is ``again`` (the session goes on), ``queued``, ``scheduled``, ``failed`` or ``already``.

        Raises:
            StaleClaim: The claim is not the caller's any more.
        """
        reply = self._commit("checked", caller, claim, run, error, exc_string(error), *_flat(evidence))
        return reply[0], int(reply[1]) if reply[1].isdigit() else 0

    def place(self, caller: Caller, claim: Claim, place: str = "") -> str:
        """Note where a claimed task is worked on (JSON), renewing the claim; what was noted: place.lua.

        Raises:
            StaleClaim: The claim is not the caller's any more.
        """
        return self._commit("place", caller, claim, place)[1]

    def fail(self, caller: Caller, claim: Claim, error: str, retry: bool = True) -> list[str]:
        """The attempt failed; ``queued``, ``scheduled``, ``failed`` or ``already``: fail.lua.

        Raises:
            StaleClaim: The claim is not the caller's any more.
        """
        return self._commit("fail", caller, claim, error, exc_string(error), "1" if retry else "")

    def release(
        self, caller: Caller, claim: Claim, reason: str, delay: float | None = None, counted: bool = True
    ) -> list[str]:
        """Hand the task back: release.lua.

        Raises:
            StaleClaim: The claim is not the caller's any more.
        """
        return self._commit(
            "release", caller, claim, reason, "" if delay is None else delay, "1" if counted else ""
        )

    def park(self, caller: Caller, until: float, reason: str) -> str:
        """Wait for a reset or a person, keeping the claim; the task held: park.lua.

        Raises:
            NotRegistered: The registration ended.
        """
        reply = self.verdict("park", caller.worker, caller.epoch, until, reason)
        if reply[0] == "gone":
            raise NotRegistered
        return reply[1]

    def unpark(self, caller: Caller, of_error: bool = False) -> bool:
        """Go on (``of_error``: only if an error had it wait); whether it was parked: unpark.lua.

        Raises:
            NotRegistered: The registration ended.
        """
        reply = self.verdict("unpark", caller.worker, caller.epoch, "1" if of_error else "")
        if reply[0] == "gone":
            raise NotRegistered
        return reply[0] == "unparked"

    def remind(self, caller: Caller, tools: str, background: bool, message: bool = False) -> list[str]:
        """A session wants to stop and holds a task (``message``: what it said is the result): remind.lua."""
        given = "1" if background else "", "1" if message else ""
        return self.verdict("remind", caller.worker, caller.epoch, tools, *given)

    def account(
        self, what: str, account: str = "", until: float | str = "", reason: str = "", source: str = "",
        caller: Caller | None = None, how: str = "stays",
    ) -> list[str]:  # fmt: skip
        """Park, stop or resume an account ('': the caller's), or pause the caller alone: account.lua.

        ``until`` is seconds since 1970, ``+N`` for so many from now, or 0 for no known end. ``caller`` is the
        worker whose session had the error, and ``how`` says what becomes of that session.

        Raises:
            NotRegistered: The caller's registration ended; nothing was changed.
        """
        worker, epoch = (caller.worker, caller.epoch) if caller else ("", "")
        reply = self.verdict("account", worker, epoch, account, what, until, reason, source, how)
        if reply[0] == "gone":
            raise NotRegistered
        return reply[1:]

    def _commit(self, name: str, caller: Caller, claim: Claim, *args: Any) -> list[str]:
        return self._fenced(
            claim, self.verdict(name, caller.worker, caller.epoch, claim.task_id, claim.token, *args)
        )

    @staticmethod
    def _fenced(claim: Claim, reply: list[str]) -> list[str]:
        if reply[0] == "stale":
            raise StaleClaim(
                f"task {claim.task_id} is not yours any more ({reply[1]}): drop it, do not commit its "
                "work, and go on"
            )
        return reply

    # -- a supervisor ---------------------------------------------------------------------------------

    def summon(
        self, supervisor: str, queues: Sequence[str], seconds: float, session: str = "", offers: str = "",
        refused: str = "", account: str = "",
    ) -> list[str]:  # fmt: skip
        """Whether to start a session, or how far that of process key ``session`` has come: summon.lua.

        ``session`` 'off' takes back an earlier ``start`` of which no session came; ``offers`` is what the
        supervisor's sessions offer (pool/needs.py), with `profile` where it starts them for any
        but those in ``refused``.
        """
        return self.verdict(
            "summon", supervisor, ",".join(queues), seconds, session, offers, refused, account
        )

    def supervise(self, supervisor: str, seconds: float, fields: dict[str, str]) -> None:
        """Say how a supervisor fares, for so long at most (0: it has ended): supervise.lua."""
        flat = [part for pair in fields.items() for part in pair]
        self.verdict("supervise", supervisor, seconds, *flat)

    # -- notifications ---------------------------------------------------------------------------------

    def notice(
        self, channel: str, seconds: float, most: int, occasions: Sequence[tuple[str, str]] = ()
    ) -> int:
        """Note what people are to be told by a channel; how much of it is new: notice.lua.

        ``occasions`` are those that the caller has seen: a name, and what it is (JSON). Failures of tasks
        that are older than so many ``seconds`` are left out; ``most`` wait at most.
        """
        flat = [part for pair in occasions for part in pair]
        return int(self.verdict("notice", channel, seconds, most, *flat)[1])

    def deliver(self, channel: str, rate: int, seconds: float, together: int) -> tuple[str, int, str] | None:
        """Take a notification that is due: its id, the number of this try, its items (JSON): deliver.lua.

        It is another's after so many ``seconds``. No more than ``rate`` begin in a minute: else up to
        ``together`` of them become one.
        """
        reply = self.verdict("deliver", channel, rate, seconds, together)
        return (reply[1], int(reply[2]), reply[3]) if reply[0] == "take" else None

    def delivered(
        self, channel: str, notice: str, tries: int, outcome: str, delay: float = 0.0, how: str = "",
        shown: str = "",
    ) -> bool:  # fmt: skip
        """Settle one that was taken: delivered.lua. False: another has taken it meanwhile.

        ``outcome`` is ``sent``, ``again`` (after ``delay`` seconds), ``failed`` or ``over``; ``shown`` is
        what pages are to show (JSON).
        """
        args = (channel, notice, tries, outcome, delay, how, shown)
        return self.verdict("delivered", *args)[0] == "ok"

    # -- the coordinator -----------------------------------------------------------------------------

    def lead(self, token: str, seconds: float, step_down: bool = False) -> tuple[bool, float, list[str]]:
        """Become or stay leader: whether, the server's time, queues another schedules: lead.lua."""
        reply = self.verdict("lead", token, seconds, "1" if step_down else "", __version__)
        return reply[0] == "leader", float(reply[1]), reply[2:]

    def reap(self, leader: str, expired: bool, batch: int = 100) -> list[tuple[str, str, str]]:
        """Take back what dead workers held: (task, outcome, reason) each: reap.lua."""
        reply = self.verdict("reap", leader, "1" if expired else "", batch)[1:]
        return list(zip(reply[::3], reply[1::3], reply[2::3], strict=True))

    def promote(self, leader: str, batch: int = 500) -> list[str]:
        """Move what is due into its queue: promote.lua."""
        return self.verdict("promote", leader, batch)[1:]

    def charge(
        self, caller: Caller, source: str, number: int, rows: Sequence[Sequence[Any]], values: dict[str, Any]
    ) -> bool:
        """Book what requests have used (rows of usage.Used), once; whether a task failed for its budget.

        ``source`` says who counts (a session, a supervisor's), ``number`` grows with each of its reports; one
        that is sent again has the same number: charge.lua.
        """
        from pool import usage

        budgets = usage.day_budgets(values["day_budget"], str(values["account"]))
        flat = [part for row in rows for part in row]
        reply = self.verdict("charge", caller.worker, caller.epoch, source, number, *budgets, *flat)
        return reply[0] == "ok" and reply[1] == "1"

    def today(self, leader: str, date: str, ends: float) -> bool:
        """Say which day it is where the operators are: today.lua."""
        return self.verdict("today", leader, date, f"{ends:.0f}")[0] == "ok"

    def thaw(self, leader: str, batch: int = 100) -> list[tuple[str, str, str]]:
        """Let go on what was parked until now: (kind, name, task given back) each: thaw.lua."""
        reply = self.verdict("thaw", leader, batch)[1:]
        return list(zip(reply[::3], reply[1::3], reply[2::3], strict=True))

    def fire(
        self, leader: str, name: str, revision: str, due: float, following: float | None,
        left_out: str = "", tick: str = "", record: bytes = b"",
    ) -> list[str]:  # fmt: skip
        """Make the task of a schedule's tick, or none, and set the next tick: fire.lua."""
        at = _moment(following)
        return self.verdict("fire", leader, name, revision, _moment(due), at, left_out, tick, record)

    def sweep(self, leader: str, kind: str, candidates: Sequence[str]) -> list[str]:
        """Put right what should not exist: sweep.lua."""
        return self.verdict("sweep", leader, kind, *candidates)[1:] if candidates else []


def _translated(error: Exception) -> Exception:
    """The error itself, or what it means: redis-py's and pool.wire's replies alike."""
    return Outdated(f"{Outdated.__doc__} ({error})") if str(error).startswith("OUTDATED") else error


def _moment(at: float | None) -> str:
    """A tick (whole seconds since 1970) for a script; None is never."""
    return "inf" if at is None else f"{at:.17g}"


def _flat(pairs: dict[str, str] | None) -> list[str | int]:
    """Names and texts as a script takes them: how many there are, then each."""
    found: list[str | int] = [2 * len(pairs or {})]
    for pair in (pairs or {}).items():
        found += pair
    return found


def _held(reply: list[str], done: str) -> str:
    return reply[0] if reply[0] != "ok" else done if reply[1] == "1" else "as before"


def _text(part: Any) -> str:
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)
