"""What must be true of the whole keyspace after every step, whatever was done.

The invariants look at Redis alone; they know nothing of the story. The only excuses are what RQ's own,
unfenced code was seen to do (``Excuses``): each names the tasks, the claims and the moment it is for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.redis.model.keyspace import Keyspace

Problems = Iterator[str]

#: Where RQ keeps a job of each status, beside the lists of the queued and the runs of the started.
REGISTRIES = ("scheduled", "deferred", "finished", "failed", "canceled")
OVER = ("finished", "failed", "canceled")
#: Fields of a job's hash that only a run may have.
OF_A_RUN = ("pool_token", "pool_provisional", "pool_parked", "pool_timeout_at", "pool_progress")


@dataclass
class Excuses:
    """What RQ's own code did. ``moved`` and ``doubled`` are of the last step only."""

    #: Tasks whose status RQ changed, and entries that it added to lists beside the one that is due.
    moved: set[str] = field(default_factory=set)
    doubled: Counter[str] = field(default_factory=Counter)
    #: Ids that RQ took out of their list (LPOP) and lost. The sweep finds them.
    popped: set[str] = field(default_factory=set)
    #: Claims (task, token) that RQ's cancel, delete or clean-up ended: it does not know our fields, our
    #: lease and our execution, which therefore stay until the next claim, the reaper or the sweep.
    fenced: set[tuple[str, str]] = field(default_factory=set)
    #: Of these, the ones whose run RQ overlooked because it had read its registry before.
    strays: set[tuple[str, str]] = field(default_factory=set)
    #: Live tasks that RQ's own requeue brought back without their unique key, and with the failed one's TTL.
    keyless: set[str] = field(default_factory=set)
    aged: set[str] = field(default_factory=set)
    #: Children that wait for a parent which RQ deleted, or which had ended before RQ let them wait.
    stuck: set[str] = field(default_factory=set)
    #: Children that RQ woke or deleted; it leaves them in their other parents' sets.
    dangling: set[str] = field(default_factory=set)
    #: Ids that RQ deleted, unique key and all; an id may come back.
    deleted: set[str] = field(default_factory=set)
    #: How often RQ took a task back that was finished.
    taken_back: Counter[str] = field(default_factory=Counter)

    def expire(self, now: Keyspace) -> None:
        """Excuses end with what they were for."""
        status = {task: job.get("status") for task, job in now.jobs.items()}
        self.moved.clear()
        self.doubled.clear()
        self.popped = {
            task for task in self.popped
            if status.get(task) == "queued" and task not in now.lists.get(now.jobs[task]["origin"], [])
        }  # fmt: skip
        self.stuck = {task for task in self.stuck if status.get(task) == "deferred"}
        self.strays &= {(task, token) for _, task, token in now.started()}
        self.keyless = {task for task in self.keyless if status.get(task) not in (None, *OVER)}
        self.aged = {task for task in self.aged if status.get(task) in ("queued", "scheduled", "deferred")}


def excess(now: Keyspace) -> Counter[str]:
    """Entries of lists beyond the one that a queued task has in its own queue's list."""
    entries = Counter(task for listed in now.lists.values() for task in listed)
    for task, job in now.jobs.items():
        if job.get("status") == "queued" and task in now.lists.get(job["origin"], []):
            entries[task] -= 1
    return +entries


def _whole(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    for key in now.unknown:
        yield f"nobody knows a key like {key}"
    for task, job in now.jobs.items():
        missing = {"status", "origin", "data", "created_at"} - job.keys()
        if missing:
            yield f"{task} is no whole job: no {', '.join(sorted(missing))}"
        if job.get("pool_kind") == "task" and task not in now.one("tasks", {}):
            yield f"{task} is missing from pool:tasks"


def _one_home(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    for task, job in now.jobs.items():
        status, queue = job.get("status"), job.get("origin", "")
        if status in REGISTRIES and task not in now.by(status).get(queue, {}):
            yield f"{task} is {status}, but not in the registry of that"
        if status == "queued" and task not in now.lists.get(queue, []) and task not in excuses.popped:
            yield f"{task} is queued, but in no list"
    for registry in REGISTRIES:
        for queue, members in now.by(registry).items():
            for task in members:
                job = now.jobs.get(task, {})
                if (job.get("status"), job.get("origin")) != (registry, queue):
                    yield f"{task} is in {registry} of {queue}, but is {job.get('status')}"
    had, has = excess(before), excess(now)
    for task in has:
        if has[task] > had[task] + excuses.doubled[task]:
            yield f"{task} has {has[task]} entries too many in the lists"


def _runs(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    running: set[tuple[str, str]] = set()
    runs, executions = now.started(), now.pairs("execution")
    for task, job in now.jobs.items():
        token = job.get("pool_token", "")
        if job.get("status") != "started":
            left = [name for name in OF_A_RUN if name in job]
            if left and (task, token) not in excuses.fenced:
                yield f"{task} is {job.get('status')} and still has {left[0]}"
            continue
        running.add((task, token))
        if not token:
            yield f"{task} is started without a token"
        if task not in now.leases:
            yield f"{task} is started without a lease"
        if (job["origin"], task, token) not in runs:
            yield f"{task} is started, but its run is not in RQ's started registry"
        if (task, token) not in executions or token not in now.by("executions").get(task, {}):
            yield f"{task} is started without its execution"
        if "pool_timeout_at" not in job:
            yield f"{task} is started without a timeout"
    fenced = {task for task, _ in excuses.fenced}
    for task in now.leases:
        if now.jobs.get(task, {}).get("status") != "started" and task not in fenced:
            yield f"{task} has a lease, but does not run"
    for queue, task, token in runs:
        if (task, token) not in running | excuses.strays:
            yield f"{queue} has a run of {task} that is over"
    listed = {(task, token) for task, tokens in now.by("executions").items() for token in tokens}
    for task, _ in (executions | listed) - running - excuses.fenced:
        yield f"an execution of {task} is left over"


def _holders(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    holders: dict[str, str] = {}
    for task, job in now.jobs.items():
        if job.get("status") != "started":
            continue
        name, token = job.get("pool_worker", ""), job.get("pool_token", "")
        worker = now.workers.get(name, {})
        if name in holders:
            yield f"{name} holds {holders[name]} and {task}: a double lease"
        holders[name] = task
        if name not in now.live:
            yield f"{task} is held by {name}, which is not live"
        elif worker.get("epoch") != job.get("pool_epoch"):
            yield f"{task} is held by an earlier registration of {name}"
        elif (worker.get("claim"), worker.get("token")) != (task, token):
            yield f"{name} holds {task}, but knows of {worker.get('claim')!r}"
        if ("parked_at" in worker) != ("pool_parked" in job):
            yield f"{task} and its worker {name} do not agree whether they are parked"
    for name, worker in now.workers.items():
        if "claim" not in worker:
            continue
        if holders.get(worker["claim"]) is None and (worker["claim"], worker["token"]) in excuses.fenced:
            continue
        if holders.get(name) != worker["claim"]:
            yield f"{name} believes to hold {worker['claim']}"


def _workers(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    listed = {key.rpartition(":")[2] for key in now.one("workers", set())}
    for name in now.live:
        worker = now.workers.get(name, {})
        if not worker.get("epoch") or worker.get("state") in ("stopped", "dead", None):
            yield f"{name} is among the live, but it is {worker.get('state')}"
        process = worker.get("process")
        if process and now.by("process").get(process) != f"{name} {worker['epoch']}":
            yield f"{name}'s process {process} leads to {now.by('process').get(process)!r}"
        if name in now.one("departed", {}):
            yield f"{name} is among the live and the departed"
    if listed != now.live.keys():
        yield f"RQ lists the workers {sorted(listed)}, live are {sorted(now.live)}"
    for name, worker in now.workers.items():
        if name not in now.live and "claim" in worker:
            yield f"{name} is {worker.get('state')} and has a claim"
    for queue, waiters in now.by("waiters").items():
        for name in waiters:
            worker = now.workers.get(name, {})
            if name not in now.live or queue not in worker.get("queues", "").split(","):
                yield f"{name} waits for {queue}, but does not serve it"
            if "waiting_until" not in worker:
                yield f"{name} waits for {queue} without an end"
            if "claim" in worker or "parked_at" in worker:
                yield f"{name} waits for {queue}, but is not free"


def _uniques(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    owners = now.by("unique")
    for key, task in owners.items():
        job = now.jobs.get(task, {})
        over = job.get("status", "gone") in (*OVER, "gone")
        if job.get("pool_unique", key) != key:
            yield f"the unique key {key} belongs to {task}, which has another"
        elif "pool_unique" not in job and task not in excuses.deleted:
            yield f"the unique key {key} belongs to {task}, which does not ask for it"
        elif over and task not in excuses.deleted | excuses.moved and not _ended_by_rq(task, now, before):
            yield f"the unique key {key} is kept by {task}, which is over"
    for task, job in now.jobs.items():
        key = job.get("pool_unique", "")
        if key and job.get("status") not in OVER and owners.get(key) != task and task not in excuses.keyless:
            yield f"{task} is live, but its unique key {key} is {owners.get(key)!r}'s"


def _ended_by_rq(task: str, now: Keyspace, before: Keyspace) -> bool:
    """It had ended before this step, and kept its key then: RQ ended it, and was excused for it."""
    return before.jobs.get(task, {}).get("status", "gone") == now.jobs.get(task, {}).get("status", "gone")


def _families(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    waits_on, waited_for = now.by("dependencies"), now.by("dependents")
    for task, job in now.jobs.items():
        if job.get("status") != "deferred":
            continue
        parents = set(json.loads(job.get("dependency_ids", "[]")))
        if waits_on.get(task, set()) != parents:
            yield f"{task} waits for {sorted(parents)}, its set says {sorted(waits_on.get(task, set()))}"
        unmet = [parent for parent in parents if not met(now, job, parent)]
        if not unmet and task not in excuses.stuck:
            yield f"{task} waits for nothing"
        for parent in unmet:
            if task not in waited_for.get(parent, set()) and task not in excuses.stuck:
                yield f"{task} waits for {parent}, which will not wake it"
    for parent, children in waited_for.items():
        for child in children - excuses.dangling:
            # A cancelled one may stay, as RQ leaves it: nothing wakes it.
            if now.jobs.get(child, {}).get("status") not in ("deferred", "canceled"):
                yield f"{child} is in {parent}'s set, but does not wait any more"


def met(now: Keyspace, job: dict[str, str], parent: str) -> bool:
    """Whether this parent keeps the job waiting no more. One that is gone counts as done, as for RQ."""
    status = now.jobs.get(parent, {}).get("status")
    may_fail = job.get("allow_dependency_failures") == "1"
    return status in (None, "finished") or (status == "failed" and may_fail)


def _step(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    told = {event["task"] for event in now.events}
    for task, job in now.jobs.items():
        had, status = before.jobs.get(task, {}).get("status"), job.get("status")
        if status == had or task in excuses.moved:
            continue
        if had == "finished":
            yield f"{task} was finished and is {status} now"
        if had in (None, "deferred") and status not in ("deferred", "canceled"):
            for parent in json.loads(job.get("dependency_ids", "[]")):
                if not met(now, job, parent):
                    yield f"{task} is {status} before its parent {parent} is done"
        if had in ("failed", "canceled") and status == "queued":
            for parent in now.by("dependencies").get(task, set()):
                if not met(now, job, parent):
                    yield f"{task} is {status} again before its parent {parent}"
        if task not in told and had != "deferred":
            yield f"{task} went from {had} to {status} without an event"
    for task in before.jobs.keys() - now.jobs.keys() - excuses.moved:
        was = before.jobs[task]
        if "0" not in (was.get("result_ttl"), was.get("failure_ttl")):
            yield f"{task} is gone"


def _results(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    for task, job in now.jobs.items():
        committed = len(now.committed(task))
        if committed > 1 + excuses.taken_back[task]:
            yield f"{task} has {committed} results"
        if job.get("status") == "finished" and not committed:
            yield f"{task} is finished without a result"


def _kept(now: Keyspace, before: Keyspace, excuses: Excuses) -> Problems:
    for task, job in now.jobs.items():
        status, ttl = job.get("status"), now.ttl[task]
        forever = job.get({"finished": "result_ttl"}.get(status or "", "failure_ttl")) == "-1"
        if status in ("finished", "failed") and (ttl < 0) != forever and task not in excuses.moved:
            yield f"{task} is {status} and is kept for {ttl} s"
        if status not in OVER and ttl >= 0 and (status == "started" or task not in excuses.aged):
            yield f"{task} is {status} and will vanish in {ttl} s"


INVARIANTS: tuple[Callable[[Keyspace, Keyspace, Excuses], Problems], ...] = (
    _whole, _one_home, _runs, _holders, _workers, _uniques, _families, _step, _results, _kept,
)  # fmt: skip


def problems(now: Keyspace, before: Keyspace, excuses: Excuses) -> list[str]:
    """What is wrong, in words."""
    return [problem for invariant in INVARIANTS for problem in invariant(now, before, excuses)]
