"""The model machine: every transition of ours, by callers current and stale, in any order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, multiple, precondition, rule

from pool.claim import Caller, Claim
from tests.redis.model.bench import (
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
)
from tests.redis.model.calls import ENDS
from tests.redis.model.clocks import ClockRules
from tests.redis.model.expected import Submitted
from tests.redis.model.foreign import ForeignRules
from tests.redis.model.story import PRIORITIES

Budget = tuple[int, tuple[int, ...]]

#: Who calls with a claim: its owner; its owner with the bare task id, or without an epoch; the owner's
#: later registration, with the token or bare; another worker; the owner under an epoch that never was.
CALLERS = ("owner", "owner", "bare", "no epoch", "successor", "bare successor", "another", "wrong epoch")
#: What a session's hooks and helpers do beside claiming.
MOVES = (
    "a prompt", "a person's prompt", "note", "leave", "leave too late", "park for now", "park for long",
    "park shortly", "unpark", "unpark", "end", "die",
)  # fmt: skip
#: What an operator does to tasks, and in which states it means anything.
ORDERS = {
    "cancel": ("queued", "scheduled", "deferred", "started"),
    "requeue": ("started", "scheduled"),
    "retry": ("failed", "canceled"),
    "undo": ("queued", "scheduled"),
}
TUNES = ("draining", "idle_limit", "a", "b", "*")

ORDERED = st.sampled_from((*sorted(ORDERS), "judge", "submit"))
RQ_QUEUES = st.sampled_from([base + suffix for base in QUEUES for suffix in PRIORITIES])
WHEN = st.sampled_from(("now", "now", "now", "past", "future"))
RETRIES = st.sampled_from(((0, (0,)), (1, (0,)), (1, (100,)), (2, (0, 100)), (2, (100,))))
KEYS = st.sampled_from(("", "", "", "u1", "u2"))
NAMES = st.sampled_from(WORKERS)
SERVED = st.sampled_from((QUEUES, QUEUES[::-1], ("a",)))
LIMITS = st.sampled_from((0, 0, 2))
LEADERS = st.sampled_from((LEADER, LEADER, LEADER, "", "follower"))
YES = st.booleans()
SELDOM = st.sampled_from((False, False, True))
#: An index into whatever there is of a kind when the rule runs.
ANY = st.integers(0, 7)


class PoolMachine(ClockRules, ForeignRules):
    """What operators, sessions and the coordinator do."""

    @initialize(target=TASKS, budget=RETRIES)
    def begin(self, budget: Budget) -> Ids:
        """A session, a program without one, and something to do, the last after the first two."""
        self.enroll("w1", "p1", QUEUES, 0)
        self.enroll("w2", "", QUEUES, 0)
        some = [Submitted(self.new_id(), queue) for queue in ("a", "b", "a:high")]
        some.append(Submitted(self.new_id(), "b", (some[0].id, some[1].id)))
        for one in some:
            one.retries, one.intervals = budget
        return self.submit(some)

    # -- operators -----------------------------------------------------------------------------------

    @rule(
        target=TASKS, queue=RQ_QUEUES, after=st.lists(TASKS, max_size=2, unique=True), allow=YES, unique=KEYS,
        when=WHEN, budget=RETRIES,
    )  # fmt: skip
    def submit_one(
        self, queue: str, after: list[str], allow: bool, unique: str, when: str, budget: Budget
    ) -> Ids:
        return self.submit([Submitted(self.new_id(), queue, tuple(after), allow, unique, when, *budget)])

    @rule(target=TASKS, queue=RQ_QUEUES, after=st.lists(TASKS, max_size=1), unique=KEYS, allow=YES, link=YES)
    def submit_family(self, queue: str, after: list[str], unique: str, allow: bool, link: bool) -> Ids:
        """A parent, its child, and one that shares the parent's unique key."""
        parent, child, other = self.new_id(), self.new_id(), self.new_id()
        return self.submit(
            [
                Submitted(parent, queue, tuple(after), allow, unique),
                Submitted(child, queue, (parent, *after), allow, retries=1),
                Submitted(other, "a", (parent,) if link else (), unique=unique),
            ]
        )

    @rule(which=ANY, order=st.sampled_from(sorted(ORDERS)))
    def operate(self, which: int, order: str) -> None:
        fit = self.of(*ORDERS[order])
        if fit:
            self._order(pick(fit, which).id, order)

    @rule(target=TASKS, task=TASKS, order=ORDERED, queue=RQ_QUEUES)
    def operate_on_anything(self, task: str, order: str, queue: str) -> Ids:
        """In whatever state it is; it may be gone, and only then may it be submitted again."""
        if order == "judge":
            self.judge_late(task)
        elif order != "submit":
            self._order(task, order)
        elif not any(task in children for children in self.story.dependents.values()):
            return self.submit([Submitted(task, queue)])
        return nothing()

    def _order(self, task: str, order: str) -> None:
        if order == "cancel":
            self.cancel(task)
        elif order == "undo":
            self.undo(task)
        else:
            self.requeue(task, order)

    @precondition(lambda self: self.live())
    @rule(which=ANY, what=st.sampled_from(TUNES), on=SELDOM)
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

    # -- sessions ------------------------------------------------------------------------------------

    @rule(name=NAMES, process=st.sampled_from(PROCESSES), queues=SERVED, limit=LIMITS)
    def register(self, name: str, process: str, queues: tuple[str, ...], limit: int) -> None:
        self.enroll(name, process, queues, limit)

    @precondition(lambda self: self.live())
    @rule(which=ANY, what=st.sampled_from(MOVES))
    def session_moves(self, which: int, what: str) -> None:
        worker = pick(self.live(), which)
        self._move(Caller(worker.name, worker.epoch), what, worker.ticket)

    @rule(target=CLAIMS, name=NAMES, what=st.sampled_from((*MOVES, "claim", "hook", "beat")))
    def move_after_the_end(self, name: str, what: str) -> Grips:
        """A registration that has ended is told so, and changes nothing: neither for its successor."""
        worker = self.story.workers.get(name)
        ended = Caller(name, "9999" if worker is None or worker.live else worker.epoch)
        if what in ("claim", "hook"):
            return self.take(ended, "new" if what == "hook" else "")
        if what == "beat":
            self.beat(ended, None)
        else:
            self._move(ended, what, 1)
        return nothing()

    def _move(self, caller: Caller, what: str, ticket: int) -> None:
        if what.endswith("prompt"):
            self.prompt(caller, person=what != "a prompt")
        elif what == "note":
            self.note(caller)
        elif what.startswith("leave"):
            self.leave(caller, str(ticket) if what == "leave" else "77")
        elif what == "unpark":
            self.unpark(caller)
        elif what.startswith("park"):
            self.park(caller, what.removeprefix("park "))
        else:
            self.deregister(caller, died=what == "die")

    @precondition(lambda self: self.free())
    @rule(target=CLAIMS, which=ANY, hook=YES)
    def claim(self, which: int, hook: bool) -> Grips:
        worker = pick(self.free(), which)
        return self.take(Caller(worker.name, worker.epoch), "new" if hook else "")

    @precondition(lambda self: self.live())
    @rule(target=CLAIMS, which=ANY, look=st.sampled_from(("helper", "new", "again", "old")))
    def claim_again(self, which: int, look: str) -> Grips:
        """By a worker that holds something, perhaps, or by a hook that another has replaced."""
        worker = pick(self.live(), which)
        tickets = {"helper": "", "new": "new", "again": str(worker.ticket), "old": str(worker.ticket - 1)}
        return self.take(Caller(worker.name, worker.epoch), tickets[look], 0.0 if look == "helper" else 20.0)

    @precondition(lambda self: self.live())
    @rule(target=CLAIMS, which=ANY, hook=YES, ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=4))
    def works_for_a_while(self, which: int, hook: bool, ends: list[str]) -> Grips:
        """What a well-behaved worker does: it takes a task and ends it, and so on, and takes the next."""
        worker = pick(self.live(), which)
        caller = Caller(worker.name, worker.epoch)
        held: list[Grip] = []
        for how in (*ends, ""):
            grips = self.take(caller, "new" if hook else "").values
            held += grips
            if not grips or not how:
                break
            self.everything_holds()
            self.commit(caller, grips[0].claim, how)
            self.everything_holds()
        return multiple(*held)

    @precondition(lambda self: self.held())
    @rule(which=ANY, how=st.sampled_from(ENDS))
    def ends_its_task(self, which: int, how: str) -> None:
        task = pick(self.held(), which)
        self.commit(Caller(task.worker, task.epoch), Claim(task.id, task.token), how)

    @precondition(lambda self: self.held())
    @rule(which=ANY, tools=st.sampled_from(("", "3", "3", "4")), background=SELDOM)
    def wants_to_stop(self, which: int, tools: str, background: bool) -> None:
        task = pick(self.held(), which)
        self.remind(Caller(task.worker, task.epoch), tools, background)

    # -- claims, current and stale -------------------------------------------------------------------

    @rule(grip=CLAIMS, who=st.sampled_from(CALLERS), how=st.sampled_from(ENDS))
    def end(self, grip: Grip, who: str, how: str) -> None:
        self.commit(*self._as(grip, who), how)

    @precondition(lambda self: self.overtaken())
    @rule(which=ANY, who=st.sampled_from(CALLERS), how=st.sampled_from(ENDS))
    def end_too_late(self, which: int, who: str, how: str) -> None:
        """The task was given out again since, perhaps to the same worker."""
        self.commit(*self._as(pick(self.overtaken()[::-1], which), who), how)

    @rule(grip=CLAIMS, who=st.sampled_from(CALLERS), how=st.sampled_from(("confirm", "beat", "bare beat")))
    def keep(self, grip: Grip, who: str, how: str) -> None:
        caller, claim = self._as(grip, who)
        if how == "confirm":
            self.confirm(caller, claim)
        else:
            self.beat(caller, claim if how == "beat" else None)

    def _as(self, grip: Grip, who: str) -> tuple[Caller, Claim]:
        others = [worker for worker in self.live() if worker.name != grip.worker]
        another = Caller(others[0].name, others[0].epoch) if others else Caller("w9", "1")
        successor = Caller(grip.worker, self.story.epoch_of(grip.worker))
        return {
            "owner": (grip.caller, grip.claim),
            "bare": (grip.caller, Claim(grip.task_id)),
            "no epoch": (Caller(grip.worker), grip.claim),
            "successor": (successor, grip.claim),
            "bare successor": (successor, Claim(grip.task_id)),
            "another": (another, grip.claim),
            "wrong epoch": (Caller(grip.worker, "9999"), grip.claim),
        }[who]

    # -- the coordinator -----------------------------------------------------------------------------

    @precondition(lambda self: self.story.expired or any(worker.expired for worker in self.live()))
    @rule(after_outage=SELDOM, leader=LEADERS)
    def coordinator_reaps(self, after_outage: bool, leader: str) -> None:
        self.reap(not after_outage, leader)

    @precondition(lambda self: self.of("scheduled"))
    @rule(leader=LEADERS)
    def coordinator_promotes(self, leader: str) -> None:
        self.promote(leader)

    @rule(kind=st.sampled_from(("unleased", "unlisted", "deferred", "forgotten")))
    def coordinator_sweeps(self, kind: str) -> None:
        self.sweep(kind)
