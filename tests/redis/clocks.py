"""Time passes: the clocks are the server's, so the rules move deadlines into the past, never the clock."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pool import keys
from tests.redis.bench import LEADER, Bench, pick

#: A moment long ago (seconds since 1970).
PAST = 1
ANY = st.integers(0, 7)


class ClockRules(Bench):
    """Leases, timeouts, due times, parking and shunning run out; the coordinator's sweep comes round."""

    @precondition(lambda self: self.story.leases)
    @rule(which=ANY)
    def lease_runs_out(self, which: int) -> None:
        """Of a task that somebody holds, or one that RQ's own code has left behind."""
        task = pick(sorted(self.story.leases), which)
        self.conn.zadd("pool:leases", {task: PAST}, xx=True)
        self.story.expired.add(task)

    @precondition(lambda self: self.held())
    @rule(which=ANY)
    def task_runs_past_its_timeout(self, which: int) -> None:
        """A lease never outlives the task's timeout, so both are over (a parked task's timeout rests)."""
        task = pick(self.held(), which)
        if task.parked:
            return
        self.conn.hset(keys.key("job", task.id), "pool_timeout_at", PAST)
        self.conn.zadd("pool:leases", {task.id: PAST}, xx=True)
        task.overdue = True
        self.story.expired.add(task.id)

    @precondition(lambda self: self.live())
    @rule(which=ANY)
    def worker_falls_silent(self, which: int) -> None:
        worker = pick(self.live(), which)
        self.conn.zadd("pool:workers", {worker.name: PAST}, xx=True)
        worker.expired = True

    @precondition(lambda self: any(worker.parked for worker in self.live()))
    @rule(which=ANY)
    def parking_ends(self, which: int) -> None:
        parked = [worker for worker in self.live() if worker.parked]
        worker = pick(parked, which)
        self.conn.hset(f"pool:worker:{worker.name}", "park_until", PAST)
        worker.park_due = True

    @precondition(lambda self: self.of("scheduled"))
    @rule(which=ANY)
    def task_falls_due(self, which: int) -> None:
        task = pick(self.of("scheduled"), which)
        self.conn.zadd(keys.key("scheduled", task.queue), {task.id: PAST}, xx=True)
        if task.later:
            self.conn.hset(keys.key("job", task.id), "pool_not_before", PAST)
            task.later = False

    @precondition(lambda self: any(task.later for task in self.of("deferred")))
    @rule(which=ANY)
    def waiting_task_may_start_now(self, which: int) -> None:
        waiting = [task for task in self.of("deferred") if task.later]
        task = pick(waiting, which)
        self.conn.hset(keys.key("job", task.id), "pool_not_before", PAST)
        task.later = False

    @precondition(lambda self: any(task.shuns for task in self.story.tasks.values()))
    @rule(which=ANY)
    def shunning_ends(self, which: int) -> None:
        shunning = [task for task in self.story.tasks.values() if task.shuns]
        task = pick(shunning, which)
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
        gone = [worker.name for worker in self.story.workers.values() if not worker.live]
        name = pick(gone, which)
        self.conn.delete(f"pool:worker:{name}")
        del self.story.workers[name]

    def _sweep(self, kind: str) -> None:
        """Offer everything to the sweep; what it mends."""
        story = self.story
        if kind == "unleased":
            runs = sorted(self.before.started())
            pairs = [part for queue, task, token in runs for part in (queue, f"{task}:{token}")]
            strays = story.runs - {(task.id, task.token) for task in self.held()}
            expected = sorted(task for task, _ in strays)
            story.runs -= strays
            story.executions -= strays
            self.agree("sweep", sorted(self.pool.sweep(LEADER, kind, pairs)), expected)
            return
        if kind == "forgotten":
            candidates = sorted(self.before.one("tasks", {}))
            expected = sorted(story.listed - story.tasks.keys())
            story.listed -= set(expected)
        else:
            candidates = sorted(story.tasks)
            expected = []
        if kind == "unlisted":
            for task in sorted(story.unlisted()):
                self._drop_runs(task)
                story.push(story.tasks[task], front=True)
                expected.append(task)
        elif kind == "deferred":
            for task in sorted(one.id for one in self.of("deferred")):
                if not story.met(task):
                    continue
                story.leave_parents(task)
                if story.tasks[task].later:
                    story.tasks[task].status = "scheduled"
                else:
                    story.push(story.tasks[task])
                expected.append(task)
        self.agree("sweep", self.pool.sweep(LEADER, kind, candidates), expected)

    def _drop_runs(self, task: str) -> None:
        """What earlier runs of an unlisted task left behind goes with the sweep."""
        self.story.runs = {run for run in self.story.runs if run[0] != task}
