"""RQ's own code on our tasks, and what it may do to them: it is not fenced and knows none of our fields."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from rq import Queue
from rq.exceptions import InvalidJobOperation
from rq.job import Dependency, Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import DefaultSerializer, JSONSerializer

from pool import keys, payload
from pool.claim import Caller
from tests.redis.model.bench import CLAIMS, QUEUES, TASKS, WORKERS, Grips, nothing, pick
from tests.redis.model.calls import Calls
from tests.redis.model.story import Task

ANY = st.integers(0, 7)
#: What a job may ask for that RQ's own API sends: only the first is a task of ours.
FORMS = ("ours", "ours", "pickle", "another function")
logging.getLogger("rq").setLevel(logging.CRITICAL)


class ForeignRules(Calls):
    """What RQ's API, a dashboard's buttons, `rq info` and a stray `rq worker` do."""

    # -- jobs that RQ's own API sends ----------------------------------------------------------------

    @rule(
        target=TASKS, queue=st.sampled_from(QUEUES), form=st.sampled_from(FORMS),
        after=st.lists(TASKS, max_size=2, unique=True), allow=st.booleans(),
        result_ttl=st.sampled_from((None, 500, -1, 0)), failure_ttl=st.sampled_from((None, -1, 0)),
    )  # fmt: skip
    def rq_enqueue(
        self,
        queue: str,
        form: str,
        after: list[str],
        allow: bool,
        result_ttl: int | None,
        failure_ttl: int | None,
    ) -> str:
        story, task = self.story, self.new_id("f")
        parents = [parent for parent in after if parent in story.tasks]
        serializer = DefaultSerializer if form == "pickle" else JSONSerializer
        Queue(queue, connection=self.conn, serializer=serializer).enqueue_call(
            payload.FUNCTION if form == "ours" else "os.getcwd", kwargs={"prompt": "do it"}, job_id=task,
            result_ttl=result_ttl, failure_ttl=failure_ttl,
            depends_on=Dependency(parents, allow_failure=allow) if parents else None,
        )  # fmt: skip
        story.births += 1
        made = Task(
            task, queue, story.births, kind="", adoptable=form == "ours", result_ttl=result_ttl,
            failure_ttl=failure_ttl, allow=allow and bool(parents),
        )  # fmt: skip
        story.tasks[task] = made
        self.excuses.moved.add(task)
        if any(story.tasks[parent].status != "finished" for parent in parents):
            story.dependencies[task] = set(parents)
            story.wait_for_parents(made)
            if story.met(task):  # its parent has failed before: RQ asks for success only, now and ever
                self.excuses.stuck.add(task)
        else:
            story.push(made)
        return task

    # -- buttons -------------------------------------------------------------------------------------

    @rule(task=TASKS, delete=st.booleans())
    def rq_takes_away(self, task: str, delete: bool) -> None:
        """Job.cancel leaves our token, lease and executions; Job.delete leaves the lease and our index."""
        story, known = self.story, self.story.tasks.get(task)
        if known is None:
            return
        if not delete and known.status == "canceled":
            self._refused(lambda: self._job(task).cancel())
            return
        if delete:
            self._job(task).delete()
        else:
            self._job(task).cancel()
        self._moves(known)
        executions = {run for run in story.executions if run[0] == task}
        if known.status == "started":
            self._fence(known)
        if known.status == "started" or delete:
            story.runs -= executions
        if task in story.list(known.queue):
            story.list(known.queue).remove(task)
        if not delete:
            known.status = "canceled"
            return
        story.executions -= executions
        del story.tasks[task]
        story.dependencies.pop(task, None)
        story.orphans |= story.dependents.pop(task, set())
        self.excuses.dangling.add(task)
        self.excuses.deleted.add(task)

    @precondition(lambda self: self.of("failed"))
    @rule(which=ANY)
    def rq_requeue(self, which: int) -> None:
        """The dashboards' button: FailedJobRegistry.requeue."""
        failed = self.of("failed")
        task = pick(failed, which)
        registry = FailedJobRegistry(task.queue, connection=self.conn, serializer=JSONSerializer)
        registry.requeue(task.id)
        self.excuses.moved.add(task.id)
        self.excuses.aged.add(task.id)
        if task.unique and self.story.uniques.get(task.unique) != task.id:
            self.excuses.keyless.add(task.id)
        self.story.push(task)

    # -- lists ---------------------------------------------------------------------------------------

    @rule(task=TASKS, front=st.booleans(), elsewhere=st.sampled_from((False, False, False, True)))
    def rq_doubles_an_entry(self, task: str, front: bool, elsewhere: bool) -> None:
        """Two clean-ups at once push a job twice; a careless producer pushes it to another list."""
        known = self.story.tasks.get(task)
        home = known.queue if known else "a"
        queue = ("b" if home == "a" else "a") if elsewhere else home
        Queue(queue, connection=self.conn).push_job_id(task, at_front=front)
        entries = self.story.list(queue)
        entries.insert(0 if front else len(entries), task)
        self.excuses.doubled[task] += 1

    @precondition(lambda self: any(self.story.lists.values()))
    @rule(which=ANY)
    def rq_pops_and_dies(self, which: int) -> None:
        """A worker of several queues takes by LPOP: if it dies then, the id is in no structure."""
        filled = sorted(queue for queue, entries in self.story.lists.items() if entries)
        queue = pick(filled, which)
        self.conn.lpop(keys.key("queue", queue))
        self.excuses.popped.add(self.story.lists[queue].pop(0))

    # -- the clean-up that `rq info` and every rq worker run -------------------------------------------

    @precondition(lambda self: self.held())
    @rule(which=ANY)
    def rq_cleans_up(self, which: int) -> None:
        """A day without a beat (and without a coordinator): RQ takes the job for abandoned."""
        task = pick(self.held(), which)
        if self._rq_breaks(task):
            return
        self._abandon(task)
        self._registry(task).cleanup()
        self.story.runs.discard((task.id, task.token))
        self._cleaned(task, task.left)

    @precondition(lambda self: self.held())
    @rule(target=CLAIMS, which=ANY, worker=st.sampled_from(WORKERS), reaped=st.booleans())
    def rq_cleans_up_late(self, which: int, worker: str, reaped: bool) -> Grips:
        """It has read the job; before it writes, another one (or our reaper) gives it to somebody."""
        task = pick(self.held(), which)
        if self._rq_breaks(task) or (task.left and task.intervals != (0,)):
            return nothing()  # (RQ writes a delayed retry outside its transaction)
        left = task.left
        self._abandon(task)
        token = task.token

        def meanwhile() -> None:
            if left <= 0:  # RQ wakes the children before it has written that their parent failed
                self._rq_wakes(task)
            if reaped:
                self.conn.zadd("pool:leases", {task.id: 1}, xx=True)
                self.story.expired.add(task.id)
                self.reap(True)
            else:
                self._registry(task).cleanup()
                self.story.runs.discard((task.id, token))
                self._cleaned(task, left)
            given.append(self.take(Caller(worker, self.story.epoch_of(worker)), ""))

        given: list[Grips] = []
        self._registry(task, Late(self.conn, meanwhile)).cleanup()
        self.story.runs.discard((task.id, token))
        self._cleaned(task, left)
        return given[0]

    def _rq_breaks(self, task: Task) -> bool:
        """Whether RQ's clean-up has a defect of its own here: it queues children anew that run or have
        ended, and leaves an entry for a job that it deletes (failure_ttl 0)."""
        tasks = self.story.tasks
        children = [tasks[child] for child in self.story.dependents.get(task.id, ()) if child in tasks]
        return task.failure_ttl == 0 or any(one.status not in ("deferred", "canceled") for one in children)

    def _abandon(self, task: Task) -> None:
        """Its run's deadline is over; what was swept in that day is swept."""
        self.sweep("unleased")
        run = f"{task.id}:{task.token}"
        self.conn.zadd(keys.key("started", task.queue), {run: 1}, xx=True)

    def _cleaned(self, task: Task, left: int) -> None:
        """What StartedJobRegistry.cleanup does to a job of which it read that ``left`` retries are left."""
        story, excuses = self.story, self.excuses
        excuses.moved.add(task.id)
        if task.id not in story.tasks:
            return
        if task.status == "started":
            self._fence(task)
            if (task.id, task.token) in story.runs:
                excuses.strays.add((task.id, task.token))
        excuses.doubled[task.id] += story.list(task.queue).count(task.id)
        if left <= 0:
            task.status = "failed"
            self._rq_wakes(task)
            return
        delay = task.intervals[max(len(task.intervals) - left, 0)]
        task.left = left - 1
        if delay:
            story.schedule(task)
        else:
            story.push(task)

    def _rq_wakes(self, parent: Task) -> None:
        """Queue.enqueue_dependents: it knows nothing of run-at, and takes out of this parent's set only."""
        story = self.story
        for child in sorted(story.dependents.get(parent.id, set())):
            task = story.tasks.get(child)
            if task is None or task.status == "canceled" or not story.met(child, parent.id, "failed"):
                continue
            story.dependents[parent.id].discard(child)
            self.excuses.moved.add(child)
            self.excuses.dangling.add(child)
            story.push(task)

    # -- small words ---------------------------------------------------------------------------------

    def _job(self, task: str) -> Job:
        return Job.fetch(task, connection=self.conn, serializer=JSONSerializer)

    def _registry(self, task: Task, conn: redis.Redis | None = None) -> StartedJobRegistry:
        return StartedJobRegistry(task.queue, connection=conn or self.conn, serializer=JSONSerializer)

    def _moves(self, task: Task) -> None:
        """RQ changes its status, whatever it is."""
        self.excuses.moved.add(task.id)
        if task.status == "finished":
            self.excuses.taken_back[task.id] += 1

    def _fence(self, task: Task) -> None:
        """RQ took it from its worker; the worker does not know yet."""
        task.fenced = True
        self.excuses.fenced.add((task.id, task.token))

    def _refused(self, call: Callable[[], object]) -> None:
        try:
            call()
        except InvalidJobOperation:
            return
        raise AssertionError("RQ allowed what it refuses")


class Late(redis.Redis):
    """A client whose first pipeline is held up: something happens between RQ's reading and its writing."""

    def __init__(self, conn: redis.Redis, meanwhile: Callable[[], None]) -> None:
        super().__init__(connection_pool=conn.connection_pool)
        self._meanwhile: Callable[[], None] | None = meanwhile

    def pipeline(self, *args: Any, **options: Any) -> Any:
        pipe = super().pipeline(*args, **options)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            execute = pipe.execute

            def late(*given: Any, **more: Any) -> Any:
                meanwhile()
                return execute(*given, **more)

            setattr(pipe, "execute", late)  # noqa: B010  (mypy allows no assignment to a method)
        return pipe
