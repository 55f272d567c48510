"""Time passes: the clocks are the server's, so the rules move deadlines into the past, never the clock."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pool import keys
from tests.redis.model.bench import pick
from tests.redis.model.calls import Calls

#: A moment long ago (seconds since 1970).
PAST = 1
ANY = st.integers(0, 7)
YES = st.booleans()


class ClockRules(Calls):
    """Leases, timeouts, due times, parking and shunning run out."""

    @precondition(lambda self: self.story.leases)
    @rule(which=ANY, reaped=YES)
    def lease_runs_out(self, which: int, reaped: bool) -> None:
        """Of a task that somebody holds, or one that RQ's own code has left behind."""
        task = pick(sorted(self.story.leases), which)
        self.conn.zadd("pool:leases", {task: PAST}, xx=True)
        self.story.expired.add(task)
        if reaped:
            self.reap(True)

    @precondition(lambda self: self.held())
    @rule(which=ANY, reaped=YES, believe=YES)
    def task_runs_past_its_timeout(self, which: int, reaped: bool, believe: bool) -> None:
        """A lease never outlives the task's timeout, so both are over (a parked task's timeout rests)."""
        task = pick(self.held(), which)
        if task.parked:
            return
        self.conn.hset(keys.key("job", task.id), "pool_timeout_at", PAST)
        self.conn.zadd("pool:leases", {task.id: PAST}, xx=True)
        task.overdue = True
        self.story.expired.add(task.id)
        if reaped:
            self.reap(believe)

    @precondition(lambda self: self.live())
    @rule(which=ANY, reaped=YES)
    def worker_falls_silent(self, which: int, reaped: bool) -> None:
        worker = pick(self.live(), which)
        self.conn.zadd("pool:workers", {worker.name: PAST}, xx=True)
        worker.expired = True
        if reaped:
            self.reap(True)

    @precondition(lambda self: any(worker.parked for worker in self.live()))
    @rule(which=ANY)
    def parking_ends(self, which: int) -> None:
        worker = pick([worker for worker in self.live() if worker.parked], which)
        self.conn.hset(f"pool:worker:{worker.name}", "park_until", PAST)
        worker.park_due = True

    @precondition(lambda self: self.of("scheduled") or any(task.later for task in self.of("deferred")))
    @rule(which=ANY, promoted=YES)
    def task_may_start(self, which: int, promoted: bool) -> None:
        """A delay is over, or the moment has come before which a task may not start."""
        task = pick([*self.of("scheduled"), *(task for task in self.of("deferred") if task.later)], which)
        if task.later:
            self.conn.hset(keys.key("job", task.id), "pool_not_before", PAST)
            task.later = False
        if task.status == "scheduled":
            self.conn.zadd(keys.key("scheduled", task.queue), {task.id: PAST}, xx=True)
            task.due = True
        if promoted:
            self.promote()

    @precondition(lambda self: any(task.shuns for task in self.story.tasks.values()))
    @rule(which=ANY)
    def shunning_ends(self, which: int) -> None:
        task = pick([task for task in self.story.tasks.values() if task.shuns], which)
        self.conn.hset(keys.key("job", task.id), "pool_shun_until", PAST)
        task.shuns = ""

    @precondition(lambda self: self.before.by("waiters"))
    @rule(which=ANY)
    def waiter_lapses(self, which: int) -> None:
        """Its hook was killed and said nothing."""
        names = sorted({name for waiters in self.before.by("waiters").values() for name in waiters})
        self.conn.hset(f"pool:worker:{pick(names, which)}", "waiting_until", PAST)

    @precondition(lambda self: any(not worker.live for worker in self.story.workers.values()))
    @rule(which=ANY)
    def worker_is_forgotten(self, which: int) -> None:
        """What the hash's TTL does some time after the worker has gone."""
        name = pick([worker.name for worker in self.story.workers.values() if not worker.live], which)
        self.conn.delete(f"pool:worker:{name}")
        del self.story.workers[name]
