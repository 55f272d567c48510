"""docs/state_machine.md and the scripts agree: every arrow is taken, and none is taken that is not drawn."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import archive, keys, schedule, usage
from pool import settings as settings_module
from pool.claim import Caller, Claim
from pool.schedule import Entry
from pool.scripts import Pool
from pool.settings import Settings

Submit = Callable[..., str]
Register = Callable[..., Caller]
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "state_machine.md"
LEADER = "leader-of-this-test"


def drawn() -> tuple[set[tuple[str, str, str]], set[tuple[str, str]]]:
    """The arrows between task states, and (script, worker state) of the table."""
    tasks, workers = PAGE.read_text().split("## Workers")
    arrows = set(re.findall(r"^    (\S+) --> (\S+): (\w+)$", tasks, re.MULTILINE))
    table = re.findall(r"^\| ([\w-]+) \| ([\w, ]+) \|$", workers, re.MULTILINE)
    return arrows, {
        (script, state) for state, scripts in table if state != "state" for script in scripts.split(", ")
    }


class Recorder(Pool):
    """The pool, taking note of every change of state that a script makes."""

    arrows: set[tuple[str, str, str]]
    settings_of_workers: set[tuple[str, str]]

    def states(self) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
        run = self.connection.execute_command
        tasks: dict[str, str] = {}
        for key in run("KEYS", keys.key("job", "*")):
            name = key.decode().removeprefix(keys.key("job", ""))
            if ":" not in name:
                tasks[name] = (run("HGET", key, "status") or b"").decode()
        workers = {}
        for key in run("KEYS", "pool:worker:*"):
            state, at = run("HMGET", key, "state", "state_at")
            workers[key.decode()] = (state.decode(), at.decode())
        return tasks, workers

    def run(self, name: str, *args: Any) -> list[Any]:
        before, workers_before = self.states()
        reply = super().run(name, *args)
        after, workers_after = self.states()
        for task, status in after.items():
            if before.get(task, "[*]") != status:
                self.arrows.add((before.get(task, "[*]"), status, name))
        for worker, state in workers_after.items():
            if workers_before.get(worker) != state:
                self.settings_of_workers.add((name, state[0]))
        return reply


@pytest.fixture
def recorder(pool: Pool, settings: Settings) -> Iterator[Recorder]:
    made = Recorder(pool.connection, settings.model_dump(), keys.templates())
    made.arrows, made.settings_of_workers = set(), set()
    pool.run = made.run  # type: ignore[method-assign]  # the `submit` and `register` fixtures go through it too
    yield made


@pytest.mark.settings(loss_limit="2", release_limit="1", reminders="1", check_limit="2")
def test_the_page_and_the_scripts_agree(
    recorder: Recorder, submit: Submit, register: Register, conn: redis.Redis
) -> None:
    story = Story(recorder, submit, register, conn)
    for name in sorted(dir(story)):
        if name.startswith("tell_"):
            conn.flushall()
            getattr(story, name)()
    arrows, table = drawn()
    final = {("finished", "[*]")}
    assert {arrow for arrow in recorder.arrows if arrow[0] == "finished"} == set(), "finished is final"
    assert recorder.arrows == arrows, (recorder.arrows - arrows, arrows - recorder.arrows)
    assert recorder.settings_of_workers == table, (
        recorder.settings_of_workers - table,
        table - recorder.settings_of_workers,
    )
    assert ("finished --> [*]" in PAGE.read_text()) == bool(final)


class Story:
    """Each tale takes some arrows; the recorder sees which."""

    def __init__(self, pool: Recorder, submit: Submit, register: Register, conn: redis.Redis) -> None:
        self.pool, self.submit, self.register, self.conn = pool, submit, register, conn

    def held(self, worker: str = "w1", **fields: Any) -> tuple[Caller, Claim]:
        """A task in a worker's hands, and a child that waits for it whatever becomes of it."""
        task = self.submit(**fields)
        me = self.register(worker)
        handed = self.pool.claim(me).handed
        assert handed is not None and handed.claim.task_id == task
        return me, handed.claim

    def child(self, parent: str, **fields: Any) -> str:
        return self.submit(after=[parent], allow_failure=True, **fields)

    def expire(self, claim: Claim) -> None:
        self.conn.zadd("pool:leases", {claim.task_id: 0})

    def lead(self) -> None:
        self.conn.set("pool:leader", LEADER)

    def tell_schedule(self) -> None:
        self.lead()
        entry = Entry(cron="* * * * *", task={"prompt": "do it"})
        self.pool.schedule("s", "r", entry.model_dump_json(), entry.times, 1.0, False)
        record = schedule.record("s", entry, "s-1", settings_module.load(), 1.0)
        assert self.pool.fire(LEADER, "s", "r", 1.0, None, "", "1970", record)[0] == "made"

    def tell_complete(self) -> None:
        me, claim = self.held()
        self.child(claim.task_id)
        self.child(claim.task_id, run_in="1h")
        self.pool.complete(me, claim, "1")

    def tell_fail(self) -> None:
        for retries, backoff in ((0, []), (1, []), (1, [60])):
            self.conn.flushall()
            me, claim = self.held(retries=retries, backoff=backoff)
            self.child(claim.task_id)
            self.pool.fail(me, claim, "boo")

    def tell_release(self) -> None:
        me, claim = self.held()
        self.child(claim.task_id)
        self.pool.release(me, claim, "no", delay=0.0)
        self.conn.hdel(keys.key("job", claim.task_id), "pool_shun")
        handed = self.pool.claim(me).handed
        assert handed is not None
        self.pool.release(me, handed.claim, "never")
        self.conn.flushall()
        me, claim = self.held()
        self.pool.release(me, claim, "later")
        self.lead()
        self.conn.zadd(keys.key("scheduled", "tasks"), {claim.task_id: 0})
        self.pool.promote(LEADER)

    def tell_restore(self) -> None:
        settings = settings_module.load()
        line = {
            "version": 1,
            "queue": "tasks",
            "task": {"prompt": "do it"},
            "made": 1.0,
            "fields": {},
            "at": 9e9,
        }
        for status in ("queued", "deferred", "scheduled", "finished", "failed", "canceled"):
            given = {**line, "id": status, "status": status, "parents": ["queued"] * (status == "deferred")}
            assert self.pool.restore([archive.record(given, settings).data]) == ["restored"]
        assert self.pool.purge(0, ["failed"], "", False, ["failed", "queued"]) == ["failed", "kept"]

    def tell_remind(self) -> None:
        for retries, backoff in ((0, []), (1, []), (1, [60])):
            self.conn.flushall()
            me, claim = self.held(retries=retries, backoff=backoff)
            self.child(claim.task_id)
            assert self.pool.remind(me, "0", False)[0] == "remind"
            assert self.pool.remind(me, "0", False)[0] == "failed"
        me, claim = self.held()
        self.pool.prompt(me, person=True)
        assert self.pool.remind(me, "0", False)[0] == "let"

    def tell_checked(self) -> None:
        for retries, backoff in ((0, []), (1, []), (1, [60])):
            self.conn.flushall()
            me, claim = self.held(retries=retries, backoff=backoff)
            self.child(claim.task_id)
            self.pool.place(me, claim, "{}")
            assert self.pool.checked(me, claim, "run 1", "boo", {}) == ("again", 1)
            assert self.pool.checked(me, claim, "run 1", "boo", {}) == ("again", 1), (
                "told twice, counted once"
            )
            assert self.pool.checked(me, claim, "run 2", "boo", {})[1] == 2
            assert self.pool.checked(me, claim, "run 2", "boo", {})[0] == "already"

    def tell_reap(self) -> None:
        me, claim = self.held()
        self.child(claim.task_id)
        self.expire(claim)
        self.pool.reap("", True)
        again = self.pool.claim(me).handed
        assert again is not None
        self.expire(again.claim)
        self.pool.reap("", True)  # the second loss is the limit: poison
        self.conn.flushall()
        me, claim = self.held(retries=1, backoff=[60])
        self.expire(claim)
        self.conn.hset(keys.key("job", claim.task_id), "pool_timeout_at", "1")
        self.pool.reap("", False)
        self.conn.zadd("pool:workers", {"w1": 0})
        self.pool.reap("", True)

    def tell_deregister(self) -> None:
        me, claim = self.held()
        self.child(claim.task_id)
        self.pool.deregister(me, died=True, why="gone")
        other = self.register("w2")
        assert self.pool.claim(other).handed is not None
        self.pool.deregister(other, died=True, why="gone")
        self.conn.flushall()
        me, claim = self.held()
        self.pool.deregister(me, died=False, why="bye")

    def tell_register(self) -> None:
        self.submit(id="t")
        self.child("t")
        for _ in range(2):
            me = self.register("w1", process=f"p{time.monotonic_ns()}")
            assert self.pool.claim(me).handed is not None
            self.conn.zadd("pool:workers", {"w1": 0})  # long silent: another process may take the name
        self.register("w1", process="p-last")

    def tell_operator(self) -> None:
        for how in ({}, {"run_in": "1h"}, {"after": ["parent"]}):
            self.conn.flushall()
            self.submit(id="parent")
            task = self.submit(**how)
            self.pool.cancel(task, "no")
            self.pool.requeue(task, "retry", "yes")
        self.conn.flushall()
        me, claim = self.held()
        self.pool.requeue(claim.task_id, "requeue", "give it back")
        assert self.pool.claim(me).handed is not None
        self.pool.cancel(claim.task_id, "no")
        task = self.submit(run_in="1h")
        self.pool.requeue(task, "requeue", "now")
        self.conn.flushall()
        me, claim = self.held()
        self.pool.fail(me, claim, "boo")
        self.pool.requeue(claim.task_id, "retry", "again")
        self.conn.flushall()
        parent = self.submit(id="parent")
        task = self.submit(id="t", after=["parent"], allow_failure=True)
        me = self.register()
        handed = self.pool.claim(me).handed
        assert handed is not None and handed.claim.task_id == parent
        self.pool.fail(me, handed.claim, "boo")
        handed = self.pool.claim(me).handed
        assert handed is not None and handed.claim.task_id == task
        self.pool.fail(me, handed.claim, "boo")
        self.pool.requeue(parent, "retry", "again")
        self.pool.requeue(task, "retry", "its parent waits again")

    def tell_judge_undo_sweep(self) -> None:
        task = self.submit()
        self.child(task)
        self.conn.hdel(keys.key("job", task), "pool_kind")  # as if another had enqueued it
        self.pool.judge(task, "tasks", False, "not ours")
        self.conn.flushall()
        task = self.submit()  # what a plain `rq worker` that cannot read it leaves behind
        self.conn.lpop(keys.key("queue", "tasks"))
        self.conn.hset(keys.key("job", task), "status", "failed")
        self.conn.zadd(keys.key("failed", "tasks"), {task: time.time() + 1000})
        self.conn.xadd(keys.key("results", task), {"type": 2, "execution_id": "5a1c0000"})
        self.pool.undo(task, "unread")
        task = self.submit(retries=1, run_in="1h")
        self.conn.hset(keys.key("job", task), "retries_left", 0)  # RQ has spent the retry
        self.pool.undo(task, "unread")
        self.conn.flushall()
        parent = self.submit(id="parent")
        child = self.submit(after=["parent"])
        later = self.submit(after=["parent"], run_in="1h")
        self.conn.hset(keys.key("job", parent), "status", "finished")
        self.pool.sweep("", "deferred", [child, later])

    def tell_workers(self) -> None:
        me = self.register()
        look = self.pool.claim(me, "new", 1.0)
        self.pool.leave(me, look.ticket)
        self.pool.prompt(me, person=True)
        self.submit()
        look = self.pool.claim(me, "new", 1.0)
        assert look.handed is not None
        self.pool.confirm(me, look.handed.claim)
        self.pool.note(me, "interrupted", "an error")
        self.pool.park(me, 0, "quota")
        self.pool.unpark(me)
        self.pool.complete(me, look.handed.claim, "1")
        self.pool.park(me, 0, "quota")
        self.pool.unpark(me)
        self.pool.tune("w1", "draining", "1")
        assert self.pool.claim(me, "new", 1.0).verdict == "stop"

    def tell_a_hand_over_confirmed_by_a_heartbeat(self) -> None:
        self.submit()
        me = self.register()
        look = self.pool.claim(me, "new", 1.0)
        assert look.handed is not None
        self.pool.beat(me, look.handed.claim)

    def tell_a_hand_over_confirmed_by_a_reminder(self) -> None:
        self.submit()
        me = self.register()
        assert self.pool.claim(me, "new", 1.0).handed is not None
        self.pool.remind(me, "0", False)

    def tell_parking_that_ends_by_itself(self) -> None:
        me = self.register()
        self.pool.park(me, 1, "until 1970")
        self.pool.beat(me)
        self.pool.park(me, 1, "until 1970")
        self.pool.claim(me)

    def tell_a_budget(self) -> None:
        me, claim = self.held()
        self.child(claim.task_id)
        self.conn.hset(keys.key("job", claim.task_id), "pool_budget", "0.001")
        row = usage.Used(claim.task_id, "model", 1, 10, 5, nano=2_000_000).row()
        assert self.pool.charge(me, "s", 1, [row], settings_module.load().model_dump())

    def tell_an_account(self) -> None:
        self.lead()
        for how in ("stays", "stalls", "ends"):
            self.conn.flushall()
            self.lead()
            me, _ = self.held()
            self.pool.account("park", until="+60", reason="quota", caller=me, how=how)
            assert self.pool.claim(self.register("w2"), "new", 1.0).verdict == "parked"
            self.due()
            self.pool.thaw(LEADER)
            self.due()
            self.pool.thaw(LEADER)  # the task of one whom nobody has made go on
        self.conn.flushall()
        me, _ = self.held()
        idle = self.register("w2")
        self.pool.account("park", until="+60", reason="quota", caller=me)
        assert self.pool.claim(idle).verdict == "parked"
        self.pool.account("resume", "default", reason="an operator")
        self.pool.account("stop", reason="no money", caller=me)

    def due(self) -> None:
        for raw in self.pool.connection.execute_command("ZRANGE", "pool:due", 0, -1):
            kind, _, name = raw.decode().partition(" ")
            self.conn.zadd("pool:due", {raw: 1})
            if kind in ("account", "park"):
                key = {"account": "pool:account:", "park": "pool:worker:"}[kind] + name
                self.conn.hset(key, "until" if kind == "account" else "park_until", "1")
