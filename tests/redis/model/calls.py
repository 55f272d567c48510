"""Every transition, asked of the scripts and of the story: both must say the same."""

from __future__ import annotations

import json

from hypothesis.stateful import multiple

from pool import model
from pool.claim import Caller, Claim
from pool.errors import NotRegistered, StaleClaim
from tests.redis.model.bench import LEADER, LONG, Bench, Grip, Grips, Ids, nothing
from tests.redis.model.expected import Submitted

#: When a task may start: seconds since 1970, far from any clock.
MOMENTS = {"now": None, "past": 1e9, "future": 4e9}


class Calls(Bench):
    """One method per transition."""

    # -- tasks ---------------------------------------------------------------------------------------

    def submit(self, batch: list[Submitted]) -> Ids:
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

    def cancel(self, task: str) -> None:
        self.agree("cancel", self.pool.cancel(task, "not wanted"), self.story.cancel(task))

    def requeue(self, task: str, mode: str) -> None:
        self.agree(mode, self.pool.requeue(task, mode, "again"), self.story.requeue(task, mode))

    def undo(self, task: str) -> None:
        self.agree("undo", self.pool.undo(task, "it cannot read"), self.story.undo(task))

    def judge_late(self, task: str) -> None:
        """A verdict on what is no foreign job in a list, or not any more."""
        known = self.story.tasks.get(task)
        if known is None or known.kind == "task" or known.status != "queued":
            said = self.pool.judge(task, known.queue if known else "a", True, "a late verdict")
            self.agree("judge", said, False)

    # -- registrations -------------------------------------------------------------------------------

    def enroll(self, name: str, process: str, queues: tuple[str, ...], limit: int) -> None:
        verdict, caller = self.pool.register(
            name, process, "session", "host", 1, queues, LONG, limit, "/", ("2.12", "3.11", "0.1")
        )
        expected = self.story.register(name, process, queues, limit)
        self.agree("register", (verdict, caller.worker, caller.epoch), expected)

    def deregister(self, caller: Caller, died: bool) -> None:
        said = self.pool.deregister(caller, died, "it is over")
        self.agree("deregister", said, self.story.deregister(caller.worker, caller.epoch, died))

    def prompt(self, caller: Caller, person: bool) -> None:
        verdict, handed, _ = self.pool.prompt(caller, person)
        said = verdict, handed.claim.task_id if handed else ""
        self.agree("prompt", said, self.story.prompt(caller.worker, caller.epoch, person))

    def note(self, caller: Caller) -> None:
        said = self.pool.note(caller, "tool", "it ran a tool")
        self.agree("note", said, self.story.note(caller.worker, caller.epoch))

    def leave(self, caller: Caller, ticket: str) -> None:
        said = self.pool.leave(caller, ticket)
        self.agree("leave", said, self.story.leave(caller.worker, caller.epoch, ticket))

    def park(self, caller: Caller, until: str) -> None:
        moment = {"for now": 0.0, "for long": 4e9, "shortly": 1.0}[until]
        said: str | None
        try:
            said = self.pool.park(caller, moment, "quota")
        except NotRegistered:
            said = None
        self.agree("park", said, self.story.park(caller.worker, caller.epoch, until == "shortly"))

    def unpark(self, caller: Caller) -> None:
        said: bool | None
        try:
            said = self.pool.unpark(caller)
        except NotRegistered:
            said = None
        self.agree("unpark", said, self.story.unpark(caller.worker, caller.epoch))

    def remind(self, caller: Caller, tools: str, background: bool) -> None:
        said = self.pool.remind(caller, tools, background)
        self.agree("remind", said[:4], self.story.remind(caller.worker, caller.epoch, tools, background))

    # -- claims --------------------------------------------------------------------------------------

    def take(self, caller: Caller, ticket: str, wait: float = 20.0) -> Grips:
        """Claim: by a helper ('') or by a Stop hook with its ticket."""
        look = self.pool.claim(caller, ticket, wait)
        handed = look.handed
        token = handed.claim.token if handed else ""
        expected = self.story.claim(caller.worker, caller.epoch, ticket, token)
        self.agree("claim", (look.verdict, handed.claim.task_id if handed else ""), expected)
        if handed is None:
            return nothing()
        task = self.story.tasks[handed.claim.task_id]
        said = handed.claim.queue, handed.attempts, handed.provisional, handed.parked
        self.agree("hand-over", said, (task.queue, task.attempts, task.provisional, task.parked))
        self.grips.append(Grip(caller.worker, self.story.epoch_of(caller.worker), task.id, token))
        return multiple(self.grips[-1])

    def confirm(self, caller: Caller, claim: Claim) -> None:
        mine = caller.worker, caller.epoch, claim.task_id, claim.token
        self.agree("confirm", self.pool.confirm(caller, claim), self.story.confirm(*mine))

    def beat(self, caller: Caller, claim: Claim | None) -> None:
        beat = self.pool.beat(caller, claim)
        task, token = (claim.task_id, claim.token) if claim else ("", "")
        said = beat.verdict, beat.claim.task_id if beat.claim else ""
        self.agree("beat", said, self.story.beat(caller.worker, caller.epoch, task, token))

    def complete(self, caller: Caller, claim: Claim, result: int) -> None:
        try:
            said = self.pool.complete(caller, claim, json.dumps(result))
        except StaleClaim:
            said = "stale"
        mine = caller.worker, caller.epoch, claim.task_id, claim.token
        self.agree("complete", said, self.story.complete(*mine, json.dumps(result)))

    def fail(self, caller: Caller, claim: Claim, retry: bool) -> None:
        try:
            said = self.pool.fail(caller, claim, "it broke", retry)[0]
        except StaleClaim:
            said = "stale"
        mine = caller.worker, caller.epoch, claim.task_id, claim.token
        self.agree("fail", said, self.story.fail(*mine, retry))

    def release(self, caller: Caller, claim: Claim, delay: float | None, counted: bool) -> None:
        try:
            said = self.pool.release(caller, claim, "not mine", delay, counted)[0]
        except StaleClaim:
            said = "stale"
        mine = caller.worker, caller.epoch, claim.task_id, claim.token
        self.agree("release", said, self.story.release(*mine, delay, counted))

    def commit(self, caller: Caller, claim: Claim, how: str) -> None:
        """One of the ways to end a claim, by its name in ``ENDS``."""
        if how == "complete":
            self.complete(caller, claim, len(self.seen))
        elif how.startswith("fail"):
            self.fail(caller, claim, how == "fail")
        else:
            delay = {"release": None, "release at once": 0.0, "release for later": 100.0}.get(how)
            self.release(caller, claim, delay, how != "release uncounted")

    # -- the coordinator -----------------------------------------------------------------------------

    def reap(self, believe: bool, leader: str = LEADER) -> None:
        expected = self.story.reap(believe) if leader in ("", LEADER) else []
        self.agree("reap", self.pool.reap(leader, believe), expected)

    def promote(self, leader: str = LEADER) -> None:
        due = [task.id for task in self.of("scheduled") if task.due and leader == LEADER]
        self.agree("promote", sorted(self.pool.promote(leader)), self.story.promote(due))

    def sweep(self, kind: str) -> None:
        """Every task and every run is a candidate: the script judges, not the search."""
        runs = [part for queue, task, token in self.started() for part in (queue, f"{task}:{token}")]
        listed, tasks = sorted(self.story.listed), sorted(self.story.tasks)
        candidates = {"unleased": runs, "forgotten": listed}.get(kind, tasks)
        self.agree("sweep", sorted(self.pool.sweep(LEADER, kind, candidates)), self.story.sweep(kind))

    def started(self) -> list[tuple[str, str, str]]:
        """The runs in RQ's registries, as the story has them: queue, task, token."""
        queues = {task.id: task.queue for task in self.story.tasks.values()}
        return [(queues[task], task, token) for task, token in sorted(self.story.runs) if task in queues]


#: The ways to end a claim.
ENDS = (
    "complete", "complete", "fail", "fail for good", "release", "release at once", "release for later",
    "release uncounted",
)  # fmt: skip
