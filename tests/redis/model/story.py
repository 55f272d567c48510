"""What must hold, in plain Python: the tasks, the workers and their claims, and what each transition does.

The machine asks the story first and the scripts afterwards; both must say the same. After each step
the story is compared with the keyspace (``differences``). What only RQ's own code does to a task is in
``foreign.py``; here it shows as ``fenced``: RQ took the task from its worker and left our fields behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Small budgets, so that short runs reach their ends.
LOSS_LIMIT, RELEASE_LIMIT, REMINDERS = 2, 2, 2
#: How many shunned entries at a list's head claim.lua looks behind.
SHUNNED = 16
PRIORITIES = (":high", "", ":low")
OVER = ("finished", "failed", "canceled")


@dataclass
class Task:
    """A task as it should be.

    ``born`` orders tasks by age; ``kind`` is '' for a job that nobody has judged yet.
    """

    id: str
    queue: str
    born: int
    status: str = "queued"
    allow: bool = False
    unique: str = ""
    retries: int = 0
    intervals: tuple[int, ...] = (0,)
    kind: str = "task"
    adoptable: bool = True
    result_ttl: int | None = None
    failure_ttl: int | None = None
    left: int = 0
    known_left: int | None = None
    attempts: int = 0
    losses: int = 0
    releases: int = 0
    #: The claim that the job's hash names; it is worth something while ``started`` and not ``fenced``.
    token: str = ""
    worker: str = ""
    epoch: str = ""
    fenced: bool = False
    provisional: bool = False
    parked: bool = False
    overdue: bool = False
    #: The last ended claim: token, who ended it, how.
    done: tuple[str, str, str] = ("", "", "")
    #: It may not start yet (run-at); it is scheduled, and the moment has come.
    later: bool = False
    due: bool = False
    shuns: str = ""
    #: It has a unique key that it does not own: RQ's own requeue asks nobody.
    keyless: bool = False

    @property
    def held(self) -> bool:
        """Whether a worker of ours holds it."""
        return self.status == "started" and bool(self.token) and not self.fenced


@dataclass
class Worker:
    """A worker as it should be."""

    name: str
    epoch: str
    process: str
    queues: tuple[str, ...]
    max_tasks: int = 0
    live: bool = True
    expired: bool = False
    claim: tuple[str, str] | None = None
    ticket: int = 0
    done: int = 0
    parked: bool = False
    park_due: bool = False
    park_reason: str = ""
    draining: bool = False
    idle_out: bool = False
    prompted: bool = False
    reminders: int = 0
    reminded: str = ""
    lost: str = ""


@dataclass
class Story:
    """Everything that should be in Redis."""

    tasks: dict[str, Task] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    dependents: dict[str, set[str]] = field(default_factory=dict)
    dependencies: dict[str, set[str]] = field(default_factory=dict)
    uniques: dict[str, str] = field(default_factory=dict)
    processes: dict[str, tuple[str, str]] = field(default_factory=dict)
    leases: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)
    runs: set[tuple[str, str]] = field(default_factory=set)
    executions: set[tuple[str, str]] = field(default_factory=set)
    #: Committed results; more than one only where RQ's own code took a finished task back.
    results: dict[str, list[str]] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    #: Children of a parent that is gone: it will not wake them any more.
    orphans: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    suspended: bool = False
    epochs: int = 0
    births: int = 0

    # -- looking -------------------------------------------------------------------------------------

    def fence(self, task_id: str, token: str, worker: str, epoch: str) -> tuple[str, str]:
        """``mine``, ``already`` (with the outcome) or ``stale`` for a claim; '' as token: a bare task id."""
        task = self.tasks.get(task_id)
        if task is None:
            return "stale", ""
        if not token:
            if task.token and (task.worker, task.epoch) == (worker, epoch):
                token = task.token
            elif task.done[0] and task.done[1] == f"{worker}:{epoch}":
                token = task.done[0]
        if token and task.held and (task.token, task.worker, task.epoch) == (token, worker, epoch):
            return "mine", token
        if token and task.done[0] == token:
            return "already", task.done[2]
        return "stale", ""

    def epoch_of(self, worker: str) -> str:
        """The epoch that '' stands for."""
        return self.workers[worker].epoch if worker in self.workers else ""

    def caller(self, worker: str, epoch: str) -> Worker | None:
        """The live registration that this caller is."""
        found = self.workers.get(worker)
        return found if found and found.live and epoch in ("", found.epoch) else None

    def met(self, child: str, parent: str = "", status: str = "") -> bool:
        """Whether nothing keeps the child waiting. A parent that was deleted counts as done, as for RQ."""
        allowed = ("finished", "failed") if self.tasks[child].allow else ("finished",)
        for other in self.dependencies.get(child, set()):
            found = status if other == parent else self.tasks[other].status if other in self.tasks else ""
            if found and found not in allowed:
                return False
        return True

    def holder(self, key: str, but: str = "") -> str:
        """The live task that owns a unique key."""
        other = self.tasks.get(self.uniques.get(key, ""))
        live = other and other.id != but and other.unique == key and other.status not in OVER
        return other.id if other and live else ""

    def list(self, queue: str) -> list[str]:
        """An RQ list."""
        return self.lists.setdefault(queue, [])

    def next_for(self, worker: Worker) -> Task | None:
        """What claim.lua finds for a worker; it drops stale entries on the way."""
        if worker.draining or self.suspended:
            return None
        for suffix in PRIORITIES:
            oldest: Task | None = None
            for base in worker.queues:
                found = None if base in self.paused else self._peek(base + suffix, worker.name)
                if found and (oldest is None or found.born < oldest.born):
                    oldest = found
            if oldest:
                return oldest
        return None

    def _peek(self, queue: str, worker: str) -> Task | None:
        entries, index = self.list(queue), 0
        while index < min(SHUNNED, len(entries)):
            task = self.tasks.get(entries[index])
            if task is None or task.status != "queued" or task.queue != queue:
                entries.pop(index)
            elif task.shuns == worker:
                index += 1
            else:
                return task
        return None

    # -- what transitions are made of ----------------------------------------------------------------

    def push(self, task: Task, front: bool = False) -> None:
        """Into its list."""
        task.status = "queued"
        self.list(task.queue).insert(0 if front else len(self.list(task.queue)), task.id)

    def schedule(self, task: Task) -> None:
        """For later."""
        task.status, task.due = "scheduled", False

    def start(self, task: Task) -> None:
        """Into its list, or for later if it may not start yet."""
        if task.later:
            self.schedule(task)
        else:
            self.push(task)

    def wait_for_parents(self, task: Task) -> None:
        """Deferred, and in each parent's set."""
        task.status = "deferred"
        for parent in self.dependencies.get(task.id, set()):
            self.dependents.setdefault(parent, set()).add(task.id)

    def leave_parents(self, child: str) -> None:
        """Out of every parent's set."""
        for parent in self.dependencies.get(child, set()):
            self.dependents.get(parent, set()).discard(child)

    def put_back(self, task: Task, front: bool) -> str:
        """Into its list, or back to waiting."""
        if self.met(task.id):
            self.leave_parents(task.id)
            self.push(task, front)
        else:
            self.wait_for_parents(task)
        return task.status

    def wake(self, parent: str, status: str) -> int:
        """The parent has ended: its children that wait for nothing else go on."""
        woken = 0
        for child in sorted(self.dependents.get(parent, set())):
            task = self.tasks.get(child)
            if task and task.status == "deferred" and self.met(child, parent, status):
                self.leave_parents(child)
                self.start(task)
                woken += 1
        return woken

    def free_unique(self, task: Task) -> None:
        """The task has ended: its key is free."""
        if task.unique and self.uniques.get(task.unique) == task.id:
            del self.uniques[task.unique]

    def own_unique(self, task: Task) -> str:
        """Take the key again; who has it instead."""
        if task.unique:
            if other := self.holder(task.unique, but=task.id):
                return other
            self.uniques[task.unique] = task.id
            task.keyless = False
        return ""

    def detach(self, task: Task, token: str) -> None:
        """It runs no more."""
        self.runs.discard((task.id, token))
        self.executions.discard((task.id, token))
        self.leases.discard(task.id)
        self.expired.discard(task.id)
        task.token, task.provisional, task.parked, task.overdue, task.fenced = "", False, False, False, False

    def settle(self, worker: str, task_id: str) -> None:
        """The worker holds nothing."""
        found = self.workers.get(worker)
        if found and found.claim and found.claim[0] == task_id:
            found.claim, found.reminders = None, 0
            found.parked = found.park_due = found.prompted = False

    def forget(self, task_id: str) -> None:
        """The job is gone, as if deleted."""
        del self.tasks[task_id]
        self.orphans |= self.dependents.pop(task_id, set())
        self.dependencies.pop(task_id, None)
        self.results.pop(task_id, None)

    def bury(self, task: Task) -> str:
        """It failed for good."""
        task.status = "failed"
        self.free_unique(task)
        self.wake(task.id, "failed")
        if task.failure_ttl == 0:  # RQ's way of saying that nobody wants to know
            self.forget(task.id)
        return "failed"

    def fail_task(self, task: Task, retry: bool) -> str:
        """A failure, on the task's own budget."""
        if task.left <= 0 or not retry:
            return self.bury(task)
        delay = task.intervals[max(len(task.intervals) - task.left, 0)]
        task.left -= 1
        task.known_left = task.left
        if delay:
            self.schedule(task)
        else:
            self.push(task)
        return task.status

    def lose_task(self, task: Task) -> str:
        """Its worker is lost."""
        task.losses += 1
        if task.losses >= LOSS_LIMIT:
            return self.bury(task)
        self.push(task, front=True)
        return "queued"

    def release_task(self, task: Task, worker: str, delay: float | None, counted: bool) -> str:
        """It is handed back."""
        task.attempts -= 1
        if counted:
            task.releases += 1
            if task.releases > RELEASE_LIMIT:
                return self.bury(task)
            delay = 100 if delay is None else delay
            task.shuns = worker if delay else ""
        if delay:
            self.schedule(task)
        else:
            self.push(task, front=True)
        return task.status

    def tell_lost(self, worker: str, task_id: str) -> None:
        """A live worker's task was taken away."""
        found = self.workers.get(worker)
        if found and found.live:
            found.lost = task_id

    def held(self, worker: Worker) -> Task | None:
        """What the worker truly holds."""
        if worker.claim is None:
            return None
        task_id, token = worker.claim
        if self.fence(task_id, token, worker.name, worker.epoch)[0] == "mine":
            return self.tasks[task_id]
        worker.claim = None
        self.tell_lost(worker.name, task_id)
        return None

    def renew(self, task: Task) -> None:
        """Its lease runs from now; never past the task's own timeout, unless it is parked."""
        if task.overdue and not task.parked:
            self.expired.add(task.id)
        else:
            self.expired.discard(task.id)

    def confirm_claim(self, task: Task) -> None:
        """The session has it."""
        task.provisional = False
        self.renew(task)

    def end_park(self, worker: Worker) -> bool:
        """A parked worker goes on."""
        if not worker.parked:
            return False
        worker.parked = worker.park_due = False
        if worker.claim:
            task_id, token = worker.claim
            if task_id in self.tasks and self.tasks[task_id].token == token:
                self.tasks[task_id].parked = False
        return True

    def drop_claim(self, worker: Worker, died: bool) -> tuple[str, str]:
        """The registration ends while it holds a task."""
        task = self.held(worker)
        if task is None:
            return "", ""
        provisional = task.provisional
        self.detach(task, task.token)
        self.settle(worker.name, task.id)
        if provisional:
            return task.id, self.release_task(task, worker.name, None, False)
        if died:
            return task.id, self.lose_task(task)
        return task.id, self.release_task(task, worker.name, 0, True)

    def depart(self, worker: Worker, dead: bool) -> None:
        """The end of a registration."""
        if worker.process and dead:
            self.processes.pop(worker.process, None)
        worker.live, worker.expired, worker.claim = False, False, None
        worker.draining = worker.parked = worker.park_due = False
