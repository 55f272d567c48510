"""The model machine: every transition of ours, with callers current and stale, in any order."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.stateful import initialize, multiple, precondition, rule

from pool import model
from pool.claim import Caller, Claim
from pool.errors import NotRegistered, StaleClaim
from tests.redis.bench import (
    CLAIMS,
    LEADER,
    LONG,
    PROCESSES,
    QUEUES,
    TASKS,
    WORKERS,
    Grip,
    Grips,
    Ids,
    nothing,
    pick,
)  # fmt: skip
from tests.redis.clocks import ClockRules
from tests.redis.expected import Submitted
from tests.redis.foreign import ForeignRules
from tests.redis.story import PRIORITIES

Budget = tuple[int, tuple[int, ...]]

#: Who calls with a claim: its owner; its owner with the bare task id, or without an epoch; the owner's
#: later registration, with the token or bare; another worker; the owner under an epoch that never was.
CALLERS = ("owner", "owner", "bare", "no epoch", "successor", "bare successor", "another", "wrong epoch")

RQ_QUEUES = st.sampled_from([base + suffix for base in QUEUES for suffix in PRIORITIES])
#: When a task may start: seconds since 1970, far from any clock.
MOMENTS = {"now": None, "past": 1e9, "future": 4e9}
WHEN = st.sampled_from(("now", "now", "now", "past", "future"))
RETRIES = st.sampled_from(((0, (0,)), (1, (0,)), (1, (100,)), (2, (0, 100)), (2, (100,))))
KEYS = st.sampled_from(("", "", "", "u1", "u2"))
NAMES = st.sampled_from(WORKERS)
YES = st.booleans()
SELDOM = st.sampled_from((False, False, True))
#: What a session's hooks do beside claiming, and what a registration that has ended may still try.
MOVES = ("a prompt", "a person's prompt", "note", "leave", "leave too late")
CALLS = ("deregister", "prompt", "note", "claim", "hook", "park", "remind")
#: An index into whatever there is of a kind when the rule runs.
ANY = st.integers(0, 7)


class PoolMachine(ClockRules, ForeignRules):
    """The transitions of pool/lua."""

    @initialize(target=TASKS, budget=RETRIES)
    def begin(self, budget: Budget) -> Ids:
        """A session, a program without one, and something to do, the last after the first two."""
        self.register("w1", "p1", QUEUES, 0)
        self.register("w2", "", QUEUES, 0)
        retries, delays = budget
        some = [Submitted(self.new_id(), queue) for queue in ("a", "b", "a:high")]
        some.append(Submitted(self.new_id(), "b", (some[0].id, some[1].id)))
        for one in some:
            one.retries, one.intervals = retries, delays
        return self._submit(some)

    # -- tasks ---------------------------------------------------------------------------------------

    @rule(
        target=TASKS, queue=RQ_QUEUES, after=st.lists(TASKS, max_size=2, unique=True), allow=YES, unique=KEYS,
        when=WHEN, budget=RETRIES,
    )  # fmt: skip
    def submit(
        self, queue: str, after: list[str], allow: bool, unique: str, when: str, budget: Budget
    ) -> Ids:
        return self._submit([Submitted(self.new_id(), queue, tuple(after), allow, unique, when, *budget)])

    @rule(target=TASKS, queue=RQ_QUEUES, after=st.lists(TASKS, max_size=1), unique=KEYS, allow=YES, link=YES)
    def submit_family(self, queue: str, after: list[str], unique: str, allow: bool, link: bool) -> Ids:
        """A parent, its child, and one that shares the parent's unique key."""
        parent, child, other = self.new_id(), self.new_id(), self.new_id()
        return self._submit(
            [
                Submitted(parent, queue, tuple(after), allow, unique),
                Submitted(child, queue, (parent, *after), allow, retries=1),
                Submitted(other, "a", (parent,) if link else (), unique=unique),
            ]
        )

    @rule(target=TASKS, task=TASKS, queue=RQ_QUEUES)
    def submit_again(self, task: str, queue: str) -> Ids:
        """An id that exists is refused; a deleted one may come back (no parent may still name it)."""
        if any(task in children for children in self.story.dependents.values()):
            return nothing()
        return self._submit([Submitted(task, queue)])

    def _submit(self, batch: list[Submitted]) -> Ids:
        records = []
        for one in batch:
            base, priority = model.split_queue(one.queue)
            spec = model.parse_spec(
                {"prompt": "do it", "id": one.id, "queue": base, "priority": priority,
                 "after": list(one.after), "allow_failure": one.allow, "unique": one.unique,
                 "run_at": MOMENTS[one.when], "retries": one.retries,
                 "backoff": list(one.intervals) if one.retries else []}
            )  # fmt: skip
            records.append(model.record(spec, self.given, 0.0)[1])
        expected = self.story.submit(batch)
        self.agree("submit", self.pool.submit(records), expected)
        if expected[0] != "ok":
            return nothing()
        made = zip(expected[1::2], expected[2::2], strict=True)
        return multiple(*(task for task, status in made if status != "duplicate"))

    @precondition(lambda self: self.of("queued", "scheduled", "deferred", "started"))
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        self._cancel(pick(self.of("queued", "scheduled", "deferred", "started"), which).id)

    @precondition(lambda self: self.of("started", "scheduled"))
    @rule(which=ANY)
    def requeue(self, which: int) -> None:
        self._requeue(pick(self.of("started", "scheduled"), which).id, "requeue")

    @precondition(lambda self: self.of("failed", "canceled"))
    @rule(which=ANY)
    def retry(self, which: int) -> None:
        self._requeue(pick(self.of("failed", "canceled"), which).id, "retry")

    @precondition(lambda self: self.of("queued", "scheduled"))
    @rule(which=ANY)
    def undo(self, which: int) -> None:
        self._undo(pick(self.of("queued", "scheduled"), which).id)

    @rule(task=TASKS, what=st.sampled_from(("cancel", "retry", "requeue", "undo", "judge")))
    def operate(self, task: str, what: str) -> None:
        """On any task, gone ones included."""
        if what == "cancel":
            self._cancel(task)
        elif what == "undo":
            self._undo(task)
        elif what != "judge":
            self._requeue(task, what)
        else:
            known = self.story.tasks.get(task)
            if known is None or known.kind == "task" or known.status != "queued":
                said = self.pool.judge(task, known.queue if known else "a", True, "a late verdict")
                self.agree("judge", said, False)

    def _cancel(self, task: str) -> None:
        self.agree("cancel", self.pool.cancel(task, "not wanted"), self.story.cancel(task))

    def _requeue(self, task: str, mode: str) -> None:
        self.agree(mode, self.pool.requeue(task, mode, "again"), self.story.requeue(task, mode))

    def _undo(self, task: str) -> None:
        self.agree("undo", self.pool.undo(task, "it cannot read"), self.story.undo(task))

    # -- registrations -------------------------------------------------------------------------------

    @rule(
        name=NAMES, process=st.sampled_from(PROCESSES), limit=st.sampled_from((0, 0, 2)),
        queues=st.sampled_from((QUEUES, QUEUES[::-1], ("a",))),
    )  # fmt: skip
    def register(self, name: str, process: str, queues: tuple[str, ...], limit: int) -> None:
        verdict, caller = self.pool.register(
            name, process, "session", "host", 1, queues, LONG, limit, "/", ("2.12", "3.11")
        )
        expected = self.story.register(name, process, queues, limit)
        self.agree("register", (verdict, caller.worker, caller.epoch), expected)

    @precondition(lambda self: self.live())
    @rule(which=ANY, died=YES)
    def deregister(self, which: int, died: bool) -> None:
        worker = pick(self.live(), which)
        self._deregister(worker.name, worker.epoch, died)

    def _deregister(self, name: str, epoch: str, died: bool) -> None:
        said = self.pool.deregister(Caller(name, epoch), died, "it is over")
        self.agree("deregister", said, self.story.deregister(name, epoch, died))

    @precondition(lambda self: self.live())
    @rule(which=ANY, what=st.sampled_from(MOVES))
    def session_moves(self, which: int, what: str) -> None:
        worker = pick(self.live(), which)
        caller = Caller(worker.name, worker.epoch)
        if what.endswith("prompt"):
            self._prompt(worker.name, worker.epoch, what != "a prompt")
        elif what == "note":
            worker.expired = False
            self.agree("note", self.pool.note(caller, "tool", "it ran a tool"), True)
        else:
            late = what != "leave"
            self.agree("leave", self.pool.leave(caller, "77" if late else str(worker.ticket)), not late)

    def _prompt(self, name: str, epoch: str, person: bool) -> None:
        verdict, handed, _ = self.pool.prompt(Caller(name, epoch), person)
        said = verdict, handed.claim.task_id if handed else ""
        self.agree("prompt", said, self.story.prompt(name, epoch, person))

    @precondition(lambda self: self.live())
    @rule(which=ANY, what=st.sampled_from(("draining", "idle_limit", "a", "b", "*")), on=SELDOM)
    def tune(self, which: int, what: str, on: bool) -> None:
        """Drain a worker, or give it no time to be idle; pause a queue, or all of them; or the reverse."""
        worker, story = pick(self.live(), which), self.story
        if what == "draining":
            worker.draining = on
            self.pool.tune(worker.name, what, "1" if on else "")
        elif what == "idle_limit":
            worker.idle_out = on
            self.pool.tune(worker.name, what, "0" if on else str(LONG))
        elif what == "*":
            changed, story.suspended = story.suspended != on, on
            self.agree("pause", self.pool.pause(what, on), changed)
        else:
            changed = (what in story.paused) != on
            story.paused = story.paused | {what} if on else story.paused - {what}
            self.agree("pause", self.pool.pause(what, on), changed)

    @rule(name=NAMES, what=st.sampled_from(CALLS))
    def call_from_an_ended_registration(self, name: str, what: str) -> None:
        """It is told so, and nothing changes: neither for its successor nor for anybody."""
        worker = self.story.workers.get(name)
        epoch = "9999" if worker is None or worker.live else worker.epoch
        if what == "deregister":
            self._deregister(name, epoch, True)
        elif what == "prompt":
            self._prompt(name, epoch, False)
        elif what == "note":
            self.agree("note", self.pool.note(Caller(name, epoch), "tool", "it ran a tool"), False)
        elif what in ("claim", "hook"):
            self._claim(name, epoch, "new" if what == "hook" else "", 20.0)
        elif what == "park":
            self._park(name, epoch, "open")
        elif what == "remind":
            self._remind(name, epoch, "", False)

    # -- claims --------------------------------------------------------------------------------------

    @precondition(lambda self: self.free())
    @rule(target=CLAIMS, which=ANY)
    def claim(self, which: int) -> Grips:
        worker = pick(self.free(), which)
        return self._claim(worker.name, worker.epoch, "", 0.0)

    @precondition(lambda self: self.free())
    @rule(target=CLAIMS, which=ANY)
    def claim_in_stop_hook(self, which: int) -> Grips:
        worker = pick(self.free(), which)
        return self._claim(worker.name, worker.epoch, "new", 20.0)

    @precondition(lambda self: self.live())
    @rule(target=CLAIMS, which=ANY, look=st.sampled_from(("helper", "new", "again", "old")))
    def claim_again(self, which: int, look: str) -> Grips:
        """By a worker that holds something, perhaps, or by a hook that another has replaced."""
        worker = pick(self.live(), which)
        given = {"helper": "", "new": "new", "again": str(worker.ticket), "old": str(worker.ticket - 1)}[look]
        return self._claim(worker.name, worker.epoch, given, 0.0 if look == "helper" else 20.0)

    def _claim(self, name: str, epoch: str, ticket: str, wait: float) -> Grips:
        look = self.pool.claim(Caller(name, epoch), ticket, wait)
        handed = look.handed
        token = handed.claim.token if handed else ""
        expected = self.story.claim(name, epoch, ticket, token)
        self.agree("claim", (look.verdict, handed.claim.task_id if handed else ""), expected)
        if handed is None:
            return nothing()
        grip = Grip(name, self.story.epoch_of(name), handed.claim.task_id, token)
        task = self.story.tasks[grip.task_id]
        said = handed.claim.queue, handed.attempts, handed.provisional, handed.parked
        self.agree("hand-over", said, (task.queue, task.attempts, task.provisional, task.parked))
        return multiple(grip)

    def _as(self, grip: Grip, who: str) -> tuple[Caller, Claim]:
        others = [worker for worker in self.live() if worker.name != grip.worker]
        other = others[0] if others else None
        now = self.story.epoch_of(grip.worker)
        return {
            "owner": (grip.caller, grip.claim),
            "bare": (grip.caller, Claim(grip.task_id)),
            "no epoch": (Caller(grip.worker), grip.claim),
            "successor": (Caller(grip.worker, now), grip.claim),
            "bare successor": (Caller(grip.worker, now), Claim(grip.task_id)),
            "another": (Caller(other.name, other.epoch) if other else Caller("w9", "1"), grip.claim),
            "wrong epoch": (Caller(grip.worker, "9999"), grip.claim),
        }[who]

    @rule(grip=CLAIMS, who=st.sampled_from(CALLERS))
    def confirm(self, grip: Grip, who: str) -> None:
        caller, claim = self._as(grip, who)
        expected = self.story.confirm(caller.worker, caller.epoch, claim.task_id, claim.token)
        self.agree("confirm", self.pool.confirm(caller, claim), expected)

    @rule(grip=CLAIMS, who=st.sampled_from(CALLERS), named=YES)
    def beat(self, grip: Grip, who: str, named: bool) -> None:
        caller, claim = self._as(grip, who)
        beat = self.pool.beat(caller, claim if named else None)
        expected = self.story.beat(
            caller.worker, caller.epoch, claim.task_id if named else "", claim.token if named else ""
        )
        self.agree("beat", (beat.verdict, beat.claim.task_id if beat.claim else ""), expected)

    @rule(grip=CLAIMS, who=st.sampled_from(CALLERS), result=st.integers(0, 9))
    def complete(self, grip: Grip, who: str, result: int) -> None:
        self._complete(*self._as(grip, who), result)

    @rule(grip=CLAIMS, who=st.sampled_from(CALLERS), retry=YES)
    def fail(self, grip: Grip, who: str, retry: bool) -> None:
        self._fail(*self._as(grip, who), retry)

    @rule(grip=CLAIMS, who=st.sampled_from(CALLERS), delay=st.sampled_from((None, 0.0, 100.0)), counted=YES)
    def release(self, grip: Grip, who: str, delay: float | None, counted: bool) -> None:
        self._release(*self._as(grip, who), delay, counted)

    @precondition(lambda self: self.held())
    @rule(
        target=CLAIMS, which=ANY, hook=YES,
        how=st.sampled_from(("complete", "complete", "fail", "fail for good", "release", "hand back")),
    )  # fmt: skip
    def end_a_task(self, which: int, how: str, hook: bool) -> Grips:
        """What a well-behaved worker does: it ends its task and takes the next."""
        task = pick(self.held(), which)
        caller, claim = Caller(task.worker, task.epoch), Claim(task.id, task.token)
        if how == "complete":
            self._complete(caller, claim, which)
        elif how.startswith("fail"):
            self._fail(caller, claim, how == "fail")
        else:
            self._release(caller, claim, 0.0 if how == "hand back" else None, how == "release")
        return self._claim(caller.worker, caller.epoch, "new" if hook else "", 20.0)

    def _complete(self, caller: Caller, claim: Claim, result: int) -> None:
        try:
            said = self.pool.complete(caller, claim, json.dumps(result))
        except StaleClaim:
            said = "stale"
        expected = self.story.complete(caller.worker, caller.epoch, claim.task_id, claim.token, str(result))
        self.agree("complete", said, expected)

    def _fail(self, caller: Caller, claim: Claim, retry: bool) -> None:
        try:
            said = self.pool.fail(caller, claim, "it broke", retry)[0]
        except StaleClaim:
            said = "stale"
        expected = self.story.fail(caller.worker, caller.epoch, claim.task_id, claim.token, retry)
        self.agree("fail", said, expected)

    def _release(self, caller: Caller, claim: Claim, delay: float | None, counted: bool) -> None:
        try:
            said = self.pool.release(caller, claim, "not mine", delay, counted)[0]
        except StaleClaim:
            said = "stale"
        expected = self.story.release(caller.worker, caller.epoch, claim.task_id, claim.token, delay, counted)
        self.agree("release", said, expected)

    # -- waiting -------------------------------------------------------------------------------------

    @precondition(lambda self: self.live())
    @rule(which=ANY, until=st.sampled_from(("open", "future", "past")))
    def park(self, which: int, until: str) -> None:
        worker = pick(self.live(), which)
        self._park(worker.name, worker.epoch, until)

    def _park(self, name: str, epoch: str, until: str) -> None:
        moment = {"open": 0.0, "future": 4e9, "past": 1.0}[until]
        said: str | None
        try:
            said = self.pool.park(Caller(name, epoch), moment, "quota")
        except NotRegistered:
            said = None
        self.agree("park", said, self.story.park(name, epoch, until == "past"))

    @precondition(lambda self: any(worker.parked for worker in self.live()))
    @rule(name=NAMES)
    def unpark(self, name: str) -> None:
        epoch = self.story.epoch_of(name)
        said: bool | None
        try:
            said = self.pool.unpark(Caller(name, epoch))
        except NotRegistered:
            said = None
        self.agree("unpark", said, self.story.unpark(name, epoch))

    @precondition(lambda self: self.held())
    @rule(which=ANY, tools=st.sampled_from(("", "3", "3", "4")), background=SELDOM)
    def remind(self, which: int, tools: str, background: bool) -> None:
        task = pick(self.held(), which)
        self._remind(task.worker, task.epoch, tools, background)

    def _remind(self, name: str, epoch: str, tools: str, background: bool) -> None:
        said = self.pool.remind(Caller(name, epoch), tools, background)
        self.agree("remind", said[:4], self.story.remind(name, epoch, tools, background))

    # -- the coordinator -----------------------------------------------------------------------------

    @precondition(lambda self: self.story.expired or any(worker.expired for worker in self.live()))
    @rule(after_outage=SELDOM, leader=st.sampled_from((LEADER, LEADER, "", "follower")))
    def reap(self, after_outage: bool, leader: str) -> None:
        expected = [] if leader == "follower" else self.story.reap(not after_outage)
        self.agree("reap", self.pool.reap(leader, not after_outage), expected)

    @precondition(lambda self: self.of("scheduled"))
    @rule(leader=st.sampled_from((LEADER, LEADER, LEADER, "follower")))
    def promote(self, leader: str) -> None:
        due = [
            task
            for scheduled in self.before.by("scheduled").values()
            for task, at in scheduled.items()
            if at < 10 and leader == LEADER
        ]
        self.agree("promote", sorted(self.pool.promote(leader)), self.story.promote(due))

    @rule(kind=st.sampled_from(("unleased", "unlisted", "deferred", "forgotten")))
    def sweep(self, kind: str) -> None:
        """Every task and run is a candidate: the script judges, not the search."""
        self._sweep(kind)
