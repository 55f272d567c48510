"""undo.lua: what a plain `rq worker` without our serializer does to tasks is as if it had not been.

Such a worker takes a task, cannot read it, and fails it, or spends its retries on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from pool import keys, view
from pool.claim import Caller
from pool.scripts import Pool
from tests.contract import keyspace
from tests.contract.plain import FIT, PlainWorkers

Submit = Callable[..., str]
Register = Callable[..., Caller]

WHY = "plain cannot read tasks"

#: What may tell afterwards that the task was taken: when, by whom, and our own notes.
TRACES = {
    *(f"rq:job:task {field}" for field in ("last_heartbeat", "pool_error", "started_at", "worker_name")),
    *(f"pool:events 3.{field}" for field in ("detail", "queue", "task", "type", "worker")), "rq:worker:plain",
}  # fmt: skip


def _claim(pool: Pool, me: Caller) -> Any:
    handed = pool.claim(me).handed
    assert handed is not None
    return handed.claim


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "failed"),
        ({"retries": 2}, "failed"),  # RQ spends them at once, all on the same worker
        ({"retries": 2, "backoff": [60, 90]}, "scheduled"),
    ],
)
def test_a_task_is_as_if_never_taken(
    fields: dict[str, Any], status: str, conn: redis.Redis, pool: Pool, submit: Submit, register: Register,
    plain: PlainWorkers,
) -> None:  # fmt: skip
    reader = keyspace.Reader(conn)
    submit(id="task", **fields)
    submit(id="parent", queue="other")
    submit(id="child", after=["task", "parent"])
    before = reader.read()

    said = plain.burst("plain")

    assert "DeserializationError" in said
    found = view.task(conn, "task")
    assert (found.status, found.worker) == (status, "plain" if status == "failed" else None)
    if status == "failed":
        assert "DeserializationError" in (found.error or ""), "the sweeper looks for this word"

    assert pool.undo("task", WHY)

    changed = {each.where for each in keyspace.differences(before, reader.read())}
    assert changed - TRACES == set()
    assert view.task(conn, "task").error == WHY
    assert not pool.undo("task", WHY), "once is enough"

    me = register()
    claim = _claim(pool, me)
    assert claim.task_id == "task"
    pool.complete(me, claim, '"done"')
    found = view.task(conn, "task")
    assert (found.status, found.attempts, found.result, found.error) == ("finished", 1, "done", None)
    assert len(Job.fetch("task", connection=conn, serializer=JSONSerializer).results()) == 1


def test_it_goes_to_the_front_and_stays_single_when_rq_has_queued_it_again(
    conn: redis.Redis, pool: Pool, submit: Submit, plain: PlainWorkers
) -> None:
    submit(id="task", retries=2)
    submit(id="next")
    plain.burst("plain", "--max-jobs", "1")
    assert view.task(conn, "task").retries_left == 1

    assert pool.undo("task", WHY)

    assert view.task(conn, "task").retries_left == 2
    assert conn.lrange(keys.key("queue", "tasks"), 0, -1) == [b"task", b"next"]


def test_a_retry_that_the_task_itself_has_spent_stays_spent(
    conn: redis.Redis, pool: Pool, submit: Submit, register: Register, plain: PlainWorkers
) -> None:
    submit(id="task", retries=3)
    me = register()
    pool.fail(me, _claim(pool, me), "it broke")
    plain.burst("plain")
    assert view.task(conn, "task").retries_left == 0

    assert pool.undo("task", WHY)

    found = view.task(conn, "task")
    assert (found.status, found.retries_left, found.attempts) == ("queued", 2, 1)


def test_a_child_that_the_failure_has_let_go_waits_again(
    conn: redis.Redis, pool: Pool, submit: Submit, register: Register, plain: PlainWorkers
) -> None:
    submit(id="parent")
    submit(id="child", after=["parent"], allow_failure=True)
    plain.burst("plain")
    assert [each.status for each in view.tasks(conn, ["parent", "child"])] == ["failed", "failed"]

    assert pool.undo("parent", WHY)
    assert pool.undo("child", WHY)

    assert [each.status for each in view.tasks(conn, ["parent", "child"])] == ["queued", "deferred"]
    me = register()
    for task_id in ("parent", "child"):
        claim = _claim(pool, me)
        assert claim.task_id == task_id
        pool.complete(me, claim, "null")
    assert pool.claim(me).handed is None


def test_what_no_plain_worker_did_is_not_undone(
    conn: redis.Redis, pool: Pool, submit: Submit, register: Register, plain: PlainWorkers
) -> None:
    me = register()
    submit(id="failed")
    pool.fail(me, _claim(pool, me), "it broke")
    submit(id="retried", retries=2, backoff=[60])
    pool.fail(me, _claim(pool, me), "it broke")
    submit(id="released")
    pool.release(me, _claim(pool, me), "not now", 60.0)
    submit(id="finished")
    pool.complete(me, _claim(pool, me), "null")
    submit(id="canceled")
    pool.cancel("canceled", "by the operator")
    submit(id="later", run_in=60)
    submit(id="child", after=["failed"])
    submit(id="started")
    _claim(pool, me)
    submit(id="queued")
    reader = keyspace.Reader(conn)
    before = reader.read()

    for task_id in ("failed", "retried", "released", "finished", "canceled", "later", "child", "started",
                    "queued", "unknown"):  # fmt: skip
        assert not pool.undo(task_id, WHY), task_id

    assert keyspace.differences(before, reader.read()) == []


def test_a_fit_workers_result_is_not_undone(
    conn: redis.Redis, pool: Pool, submit: Submit, plain: PlainWorkers, client: Callable[[str], Any]
) -> None:
    client('import json; print(json.dumps({"type": "result", "result": "done"}))')
    submit(id="task", retries=1)
    plain.burst("plain", *FIT)

    assert not pool.undo("task", WHY)

    assert view.task(conn, "task").result == "done"


def test_a_job_that_a_plain_worker_was_told_to_stop_has_failed_and_can_be_retried(
    pool: Pool, submit: Submit, conn: redis.Redis
) -> None:
    task = submit()
    conn.lpop(keys.key("queue", "tasks"))
    conn.hset(keys.key("job", task), "status", "stopped")  # as rq.command.send_stop_job_command leaves it
    conn.zadd(keys.key("failed", "tasks"), {task: 2_000_000_000})

    assert view.wait_for(conn, [task], 1.0)[0].status == "failed"
    assert pool.requeue(task, "retry", "again")[0] == "queued"
    assert view.tasks(conn, [task])[0].status == "queued"
