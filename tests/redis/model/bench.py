"""The bench of the model machine: the scripts, the story beside them, and the look after each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

import redis
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple

from coordinator.sweeper import Sweeper
from pool import keys
from pool.claim import Caller, Claim
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.model import invariants
from tests.redis.model.comparison import account, differences
from tests.redis.model.expected import Expected
from tests.redis.model.invariants import Excuses
from tests.redis.model.keyspace import Keyspace
from tests.redis.model.story import LOSS_LIMIT, RELEASE_LIMIT, REMINDERS, Task, Worker

T = TypeVar("T")
#: What a rule gives to a bundle: ids of tasks, or a claim, or nothing.
Ids = MultipleResults[str]

#: The leader whose token the machine has.
LEADER = "leader"
WORKERS = ("w1", "w2", "w3")
PROCESSES = ("", "p1", "p2", "p3")
QUEUES = ("a", "b")
#: An hour: nothing runs out by itself while an example runs; the rules move the deadlines.
LONG = 3600.0
#: Calls of scripts in one step, after which something runs in circles.
PATIENCE = 1000


@dataclass(frozen=True)
class Grip:
    """A claim as its first owner remembers it."""

    worker: str
    epoch: str
    task_id: str
    token: str

    @property
    def caller(self) -> Caller:
        """Who was given it."""
        return Caller(self.worker, self.epoch)

    @property
    def claim(self) -> Claim:
        """What was given."""
        return Claim(self.task_id, self.token)


#: Task ids, and claims as they were handed over, most of them stale after a while.
TASKS: Bundle[str] = Bundle("tasks")
CLAIMS: Bundle[Grip] = Bundle("claims")
Grips = MultipleResults[Grip]


class Patient(Pool):
    """The transitions, with an end to patience."""

    calls = 0

    def run(self, name: str, *args: Any) -> list[Any]:
        self.calls += 1
        assert self.calls < PATIENCE, f"{name} is called again and again"
        return super().run(name, *args)


class Bench(RuleBasedStateMachine):
    """One example: an empty Redis, an empty story."""

    #: Where it runs, and with which settings and transitions: set by ``on``.
    conn: ClassVar[redis.Redis]
    given: ClassVar[Settings]
    transitions: ClassVar[type[Patient]]
    #: Verdicts of all examples, for reports.
    seen: ClassVar[Counter[str]] = Counter()

    @classmethod
    def on(
        cls, conn: redis.Redis, settings: Settings, transitions: type[Patient] = Patient
    ) -> type[RuleBasedStateMachine]:
        """The machine on this Redis, with deadlines that do not pass and budgets that are soon spent."""
        still = {"lease": LONG, "provisional": LONG, "release_delay": 100.0}
        small = {"loss_limit": LOSS_LIMIT, "release_limit": RELEASE_LIMIT, "reminders": REMINDERS}
        given = settings.model_copy(update={**still, **small})
        return type(cls.__name__, (cls,), {"conn": conn, "given": given, "transitions": transitions})

    def __init__(self) -> None:
        super().__init__()
        self.conn.flushall()
        self.pool = self.transitions(self.conn, self.given.model_dump(), keys.templates())
        self.pool.lead(LEADER, LONG)
        self.story = Expected()
        self.excuses = Excuses()
        self.before = Keyspace(self.conn)
        self.ids = 0
        self.grips: list[Grip] = []
        self.sound = True
        self.seen["examples"] += 1

    # -- small words ---------------------------------------------------------------------------------

    def agree(self, what: str, said: object, expected: object) -> None:
        """The scripts and the story say the same."""
        first = expected[0] if isinstance(expected, (list, tuple)) and expected else expected
        self.seen[f"{what}: {first}"] += 1
        if said != expected:
            self.fail_with([f"{what}: the scripts say {said!r}, the story says {expected!r}"])

    def fail_with(self, found: list[str], now: Keyspace | None = None) -> None:
        """What is wrong, and what Redis holds."""
        self.sound = False
        raise AssertionError("\n".join([*found, account(now or Keyspace(self.conn))]))

    def new_id(self, prefix: str = "t") -> str:
        """An id that was never used."""
        self.ids += 1
        return f"{prefix}{self.ids}"

    def live(self) -> list[Worker]:
        """The live workers."""
        return [worker for worker in self.story.workers.values() if worker.live]

    def free(self) -> list[Worker]:
        """The live workers that believe to hold nothing."""
        return [worker for worker in self.live() if worker.claim is None]

    def held(self) -> list[Task]:
        """The tasks that somebody holds."""
        return [task for task in self.story.tasks.values() if task.held]

    def overtaken(self) -> list[Grip]:
        """Claims on tasks that were given out again since."""
        tokens = {task.id: task.token for task in self.held()}
        return [grip for grip in self.grips if tokens.get(grip.task_id, grip.token) != grip.token]

    def of(self, *statuses: str) -> list[Task]:
        """The tasks in one of these states."""
        return [task for task in self.story.tasks.values() if task.status in statuses]

    # -- the look after each step --------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        self.pool.calls = 0
        now = Keyspace(self.conn, self.before.last_event)
        self.excuses.stuck |= self.story.orphans
        self.story.orphans.clear()
        found = invariants.problems(now, self.before, self.excuses) + differences(self.story, now)
        if found:
            self.fail_with(["after this step:", *found], now)
        self.excuses.expire(now)
        self.before = now

    # -- the end: nothing is lost --------------------------------------------------------------------

    def teardown(self) -> None:
        """Whatever was done: once everybody is dead, one worker and the coordinator bring all to an end."""
        if not self.sound:
            return
        self.pool.calls = 0
        for queue in ("*", *QUEUES):
            self.pool.pause(queue, False)
        for key in ("pool:leases", "pool:workers"):
            self._all_due(key)
        self.pool.reap(LEADER, True)
        _, last = self.pool.register("last", "", "", "host", 1, QUEUES, LONG, 0, "/", ("2.12", "3.11", "0.1"))
        sweeper = Sweeper(self.conn, self.pool)
        moved = True
        while moved:
            now = Keyspace(self.conn)
            for queue in now.by("scheduled"):
                self._all_due(keys.key("scheduled", queue))
            for task in now.jobs:
                self.conn.hdel(keys.key("job", task), "pool_not_before")
            moved = bool(self.pool.promote(LEADER) + sweeper.round(LEADER))
            while handed := self.pool.claim(last).handed:
                self.pool.complete(last, handed.claim, "null")
                moved = True
        now = Keyspace(self.conn)
        if found := [*self._unfinished(now), *self._left_over(now)]:
            self.fail_with(["when all was brought to an end:", *found], now)

    def _all_due(self, key: str) -> None:
        for member in cast("list[bytes]", self.conn.zrange(key, 0, -1)):
            self.conn.zadd(key, {member: 1}, xx=True)

    def _unfinished(self, now: Keyspace) -> Iterator[str]:
        for task, job in now.jobs.items():
            status = job["status"]
            if job.get("pool_kind") != "task" and (status == "deferred" or task in self.excuses.popped):
                continue  # RQ lost it, or its parent, before it was ever a task of ours
            if status in ("queued", "scheduled", "started"):
                yield f"{task} is {status}"
            parents = now.by("dependencies").get(task, ())
            if status == "deferred" and all(invariants.met(now, job, parent) for parent in parents):
                yield f"{task} is deferred and waits for nothing"

    def _left_over(self, now: Keyspace) -> Iterator[str]:
        yield from (f"the list {queue} still holds {entries}" for queue, entries in now.lists.items())
        yield from (f"{task} has a run still" for _, task, _ in now.started())
        yield from (f"{task} has a lease still" for task in now.leases)


def pick(found: Sequence[T], which: int) -> T:
    """One of them."""
    return found[which % len(found)]


def nothing() -> MultipleResults[Any]:
    """No value for a bundle."""
    return multiple()
