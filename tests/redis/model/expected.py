"""What each script must answer, and do to the story. One method per transition, by the script's name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.redis.model.story import REMINDERS, Story, Task, Worker


@dataclass
class Submitted:
    """One task of a submit. ``when`` is now, past or future."""

    id: str
    queue: str
    after: tuple[str, ...] = ()
    allow: bool = False
    unique: str = ""
    when: str = "now"
    retries: int = 0
    intervals: tuple[int, ...] = (0,)


class Expected(Story):
    """The story, told by transitions."""

    # -- tasks ---------------------------------------------------------------------------------------

    def submit(self, batch: list[Submitted]) -> list[str]:
        known: set[str] = set()
        keys: dict[str, str] = {}
        duplicates: dict[int, str] = {}
        for index, one in enumerate(batch, 1):
            if one.unique:
                other = keys.get(one.unique) or self.holder(one.unique)
                keys[one.unique] = other or one.id
                if other:
                    duplicates[index] = other
                    continue
            if one.id in known or one.id in self.tasks:
                return ["exists", str(index), one.id]
            for parent in one.after:
                if parent not in known and parent not in self.tasks:
                    return ["nodep", str(index), parent]
            known.add(one.id)
        out = ["ok"]
        self.births += 1
        for index, one in enumerate(batch, 1):
            if index in duplicates:
                out += [duplicates[index], "duplicate"]
                continue
            task = Task(
                one.id, one.queue, self.births, allow=one.allow, unique=one.unique, retries=one.retries,
                intervals=one.intervals, left=one.retries, later=one.when == "future",
            )  # fmt: skip
            self.tasks[one.id] = task
            self.listed.add(one.id)
            if one.unique:
                self.uniques[one.unique] = one.id
            allowed = ("finished", "failed") if one.allow else ("finished",)
            if any(self.tasks[parent].status not in allowed for parent in one.after):
                self.dependencies[one.id] = set(one.after)
                self.wait_for_parents(task)
            else:
                self.start(task)
            out += [one.id, task.status]
        return out

    def cancel(self, task_id: str) -> list[str]:
        task = self.tasks.get(task_id)
        if task is None:
            return ["no", ""]
        before, holder = task.status, ""
        if before == "queued":
            self.lists[task.queue] = [entry for entry in self.list(task.queue) if entry != task_id]
        elif before == "started" and task.token:
            holder = task.worker
            self._take_away(task)
        elif before not in ("scheduled", "deferred"):
            return ["no", before]
        task.status = "canceled"
        self.free_unique(task)
        return ["canceled", before, holder]

    def requeue(self, task_id: str, mode: str) -> list[str]:
        task = self.tasks.get(task_id)
        if task is None:
            return ["no", ""]
        before = task.status
        if mode == "retry":
            if before not in ("failed", "canceled"):
                return ["no", before]
            if other := self.own_unique(task):
                return ["no", f"unique:{other}"]
            task.left, task.known_left = task.retries, None
            task.losses, task.releases, task.shuns, task.done = 0, 0, "", ("", "", "")
            self.put_back(task, front=False)
        elif before == "started" and task.token:
            self._take_away(task)
            task.attempts -= 1
            self.push(task, front=True)
        elif before == "scheduled":
            task.later = False
            self.push(task)
        else:
            return ["no", before]
        return [task.status, before, task.worker]

    def _take_away(self, task: Task) -> None:
        self.detach(task, task.token)
        self.settle(task.worker, task.id)
        self.tell_lost(task.worker, task.id)

    def undo(self, task_id: str) -> bool:
        """Of what the machine's RQ does, only a clean-up's retry looks like an unfit worker's."""
        task = self.tasks.get(task_id)
        if task is None or task.kind != "task" or task.status not in ("queued", "scheduled"):
            return False
        known = task.retries if task.known_left is None else task.known_left
        if task.left >= known:
            return False
        self.lists[task.queue] = [entry for entry in self.list(task.queue) if entry != task_id]
        task.left = known
        self.put_back(task, front=True)
        return True

    def judge(self, task_id: str, queue: str, adopt: bool) -> bool:
        task = self.tasks.get(task_id)
        if task is None or task.status != "queued" or task.kind == "task":
            return False
        if adopt:
            task.kind = "task"
            task.retries = task.left
            self.listed.add(task_id)
            return True
        self.lists[queue] = [entry for entry in self.list(queue) if entry != task_id]
        task.kind = "foreign"
        self.bury(task)
        return True

    # -- registrations -------------------------------------------------------------------------------

    def register(
        self, name: str, process: str, queues: tuple[str, ...], max_tasks: int
    ) -> tuple[str, str, str]:
        if process and process in self.processes:
            prior, epoch = self.processes[process]
            if self.caller(prior, epoch):
                self.workers[prior].expired = False
                return "rebound", prior, epoch
            other = self.workers.get(prior)
            if not (other and other.live and other.process != process):
                name = prior
        worker = self.workers.get(name)
        if worker and worker.live and (not process or worker.process != process):
            if not process:
                worker.expired = False
                return "attached", name, worker.epoch
            if not worker.expired:
                return "taken", name, worker.epoch
        if worker:
            self.drop_claim(worker, died=True)
            if worker.process != process and self.processes.get(worker.process) == (name, worker.epoch):
                del self.processes[worker.process]
        self.epochs += 1
        ticket = worker.ticket if worker else 0
        self.workers[name] = Worker(name, str(self.epochs), process, queues, max_tasks, ticket=ticket)
        if process:
            self.processes[process] = (name, str(self.epochs))
        return "new", name, str(self.epochs)

    def deregister(self, name: str, epoch: str, died: bool) -> list[str]:
        worker = self.caller(name, epoch)
        if worker is None or not epoch:
            return ["gone"]
        task_id, outcome = self.drop_claim(worker, died)
        self.depart(worker, died)
        self.processes.pop(worker.process, None)
        return ["ok", task_id, outcome]

    def prompt(self, name: str, epoch: str, person: bool) -> tuple[str, str]:
        worker = self.caller(name, epoch)
        if worker is None:
            return "gone", ""
        worker.expired = False
        worker.ticket += 1
        task = self.held(worker)
        if task and task.provisional:
            return "held", task.id
        if task and person:
            worker.prompted = True
        return "ok", ""

    def note(self, name: str, epoch: str) -> bool:
        worker = self.caller(name, epoch)
        if worker:
            worker.expired = False
        return worker is not None

    def leave(self, name: str, epoch: str, ticket: str) -> bool:
        worker = self.caller(name, epoch)
        return worker is not None and ticket == str(worker.ticket)

    # -- the claim -----------------------------------------------------------------------------------

    def claim(self, name: str, epoch: str, ticket: str, token: str) -> tuple[str, str]:
        """Verdict and task. ``token`` is what the scripts gave: nobody can know it before."""
        worker = self.caller(name, epoch)
        if worker is None:
            return "gone", ""
        if ticket == "new":
            worker.ticket += 1
        elif ticket and ticket != str(worker.ticket):
            return "superseded", ""
        worker.expired = False
        if worker.park_due:
            self.end_park(worker)
        if task := self.held(worker):
            return "held", task.id
        if worker.parked:
            return "parked", ""
        if ticket and (worker.draining or 0 < worker.max_tasks <= worker.done):
            self.depart(worker, dead=False)
            return "stop", ""
        found = self.next_for(worker)
        while found and found.kind != "task":
            self.judge(found.id, found.queue, found.adoptable)
            found = self.next_for(worker)
        if found:
            self._give(found, worker, token, bool(ticket))
            return "task", found.id
        if ticket and worker.idle_out:
            self.depart(worker, dead=False)
            return "stop", ""
        return "wait", ""

    def _give(self, task: Task, worker: Worker, token: str, provisional: bool) -> None:
        self.list(task.queue).remove(task.id)
        task.status, task.shuns, task.fenced = "started", "", False
        task.token, task.worker, task.epoch = token, worker.name, worker.epoch
        task.attempts += 1
        task.provisional, task.parked, task.overdue = provisional, False, False
        self.leases.add(task.id)
        self.expired.discard(task.id)
        self.runs.add((task.id, token))
        self.executions.add((task.id, token))
        worker.claim = (task.id, token)
        worker.reminders, worker.prompted, worker.lost = 0, False, ""

    def confirm(self, name: str, epoch: str, task_id: str, token: str) -> bool:
        if self.fence(task_id, token, name, epoch)[0] != "mine":
            return False
        self.confirm_claim(self.tasks[task_id])
        return True

    def beat(self, name: str, epoch: str, task_id: str, token: str) -> tuple[str, str]:
        worker = self.caller(name, epoch)
        if worker is None:
            known = self.workers.get(name)
            return "gone", known.lost if known and known.epoch == epoch else ""
        worker.expired = False
        if worker.park_due:
            self.end_park(worker)
        if task_id:
            if self.fence(task_id, token, name, worker.epoch)[0] != "mine":
                return "lost", task_id
            self.confirm_claim(self.tasks[task_id])
            return "ok", task_id
        task = self.held(worker)
        if worker.lost:
            lost, worker.lost = worker.lost, ""
            return "lost", lost
        if task and not task.provisional:
            self.renew(task)
        return "ok", task.id if task else ""

    def complete(self, name: str, epoch: str, task_id: str, token: str, result: str) -> str:
        epoch = epoch or self.epoch_of(name)
        verdict, token = self.fence(task_id, token, name, epoch)
        if verdict != "mine":
            return verdict if token == "finished" else "stale"
        task = self.tasks[task_id]
        self.detach(task, token)
        task.status, task.done = "finished", (token, f"{name}:{epoch}", "finished")
        self.free_unique(task)
        self.wake(task_id, "finished")
        self.settle(name, task_id)
        self.workers[name].done += 1
        if task.result_ttl == 0:  # RQ's way of saying that nobody wants to know
            self.forget(task_id)
        else:
            self.results.setdefault(task_id, []).append(result)
        return "done"

    def fail(self, name: str, epoch: str, task_id: str, token: str, retry: bool) -> str:
        epoch = epoch or self.epoch_of(name)
        verdict, token = self.fence(task_id, token, name, epoch)
        if verdict != "mine":
            return "stale" if token == "finished" else verdict
        self.workers[name].done += 1
        return self._fail(self.tasks[task_id], name, epoch, retry)

    def _fail(self, task: Task, name: str, epoch: str, retry: bool) -> str:
        token = task.token
        self.detach(task, token)
        self.settle(name, task.id)
        outcome = self.fail_task(task, retry)
        task.done = (token, f"{name}:{epoch}", outcome)
        return outcome

    def release(
        self, name: str, epoch: str, task_id: str, token: str, delay: float | None, counted: bool
    ) -> str:
        epoch = epoch or self.epoch_of(name)
        verdict, token = self.fence(task_id, token, name, epoch)
        if verdict != "mine":
            return "stale" if token == "finished" else verdict
        task = self.tasks[task_id]
        self.detach(task, token)
        self.settle(name, task_id)
        outcome = self.release_task(task, name, delay, counted)
        task.done = (token, f"{name}:{epoch}", outcome)
        return outcome

    def park(self, name: str, epoch: str, due: bool) -> str | None:
        worker = self.caller(name, epoch)
        if worker is None:
            return None
        worker.expired = False
        task = self.held(worker)
        worker.parked, worker.park_due = True, due
        if task:
            task.parked = True
            self.confirm_claim(task)
        return task.id if task else ""

    def unpark(self, name: str, epoch: str) -> bool | None:
        worker = self.caller(name, epoch)
        if worker is None:
            return None
        worker.expired = False
        return self.end_park(worker)

    def remind(self, name: str, epoch: str, tools: str, background: bool) -> list[str]:
        worker = self.caller(name, epoch)
        task = self.held(worker) if worker else None
        if worker is None or task is None:
            return ["none"]
        worker.expired = False
        self.confirm_claim(task)
        if background:
            return ["let", "background tasks run"]
        if worker.parked:
            return ["let", "parked"]
        if worker.prompted:
            return ["let", "a person is asked"]
        again = worker.reminders and (not tools or worker.reminded == tools)
        count = worker.reminders + 1 if again else 1
        if count > REMINDERS:
            return ["failed", task.id, self._fail(task, name, worker.epoch, True)]
        worker.reminders, worker.reminded = count, tools
        return ["remind", str(count), task.id, task.token]

    # -- the coordinator -----------------------------------------------------------------------------

    def reap(self, believe: bool) -> list[tuple[str, str, str]]:
        out: list[tuple[str, str, str]] = []
        for task_id in sorted(self.expired):
            task = self.tasks.get(task_id)
            if task is None or not task.held:
                self.leases.discard(task_id)
                self.expired.discard(task_id)
                continue
            timeout = task.overdue and not task.parked
            if not (task.provisional or timeout or believe):
                continue
            token, name, provisional = task.token, task.worker, task.provisional
            self.detach(task, token)
            self.settle(name, task_id)
            if provisional:
                out.append((task_id, self.release_task(task, name, None, False), "unconfirmed"))
                continue
            if timeout:
                out.append((task_id, self.fail_task(task, True), "timeout"))
            else:
                out.append((task_id, self.lose_task(task), "lost"))
            self.tell_lost(name, task_id)
        if believe:
            silent = [worker for _, worker in sorted(self.workers.items()) if worker.live and worker.expired]
            for worker in silent:
                task_id, outcome = self.drop_claim(worker, died=True)
                if task_id:
                    self.tell_lost(worker.name, task_id)
                self.depart(worker, dead=True)
                out.append((task_id or worker.name, outcome or "dead", "worker"))
        return out

    def promote(self, due: Iterable[str]) -> list[str]:
        for task_id in sorted(due):
            self.tasks[task_id].later = False
            self.push(self.tasks[task_id])
        return sorted(due)

    def sweep(self, kind: str) -> list[str]:
        mended: list[str] = []
        if kind == "unleased":
            current = {(task.id, task.token) for task in self.tasks.values() if task.held}
            mended = sorted(task_id for task_id, _ in self.runs - current)
            self.executions -= self.runs - current
            self.runs &= current
        elif kind == "forgotten":
            mended = sorted(self.listed - self.tasks.keys())
            self.listed &= self.tasks.keys()
        for task_id in sorted(self.tasks):
            task = self.tasks[task_id]
            if kind == "unlisted" and task.status == "queued" and task_id not in self.list(task.queue):
                self.runs = {run for run in self.runs if run[0] != task_id}
                self.push(task, front=True)
                mended.append(task_id)
            elif kind == "deferred" and task.status == "deferred" and self.met(task_id):
                self.leave_parents(task_id)
                self.start(task)
                mended.append(task_id)
        return mended
