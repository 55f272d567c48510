"""Between two steps of RQ's own code: what the pool does there must neither double nor lose a task.

RQ takes and ends a job in several steps; each test stops it at one of them with RQ's own methods.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import redis
from rq import Queue
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from pool import keys, view
from pool.claim import Caller
from pool.scripts import Pool

Submit = Callable[..., str]
Register = Callable[..., Caller]


def _queue(conn: redis.Redis) -> Queue:
    return Queue("tasks", connection=conn, serializer=JSONSerializer)


def _queued(conn: redis.Redis) -> list[str]:
    return _queue(conn).get_job_ids()


def _sweep(pool: Pool, *tasks: str) -> list[str]:
    return pool.sweep("", "unlisted", tasks)


def test_a_task_that_a_plain_worker_has_set_aside_is_no_stray_for_a_minute(
    conn: redis.Redis, pool: Pool, submit: Submit
) -> None:
    submit(id="task")
    queue = _queue(conn)
    Queue.lmove(conn, queue.key, None)
    assert queue.intermediate_queue.get_job_ids() == ["task"]

    assert _sweep(pool, "task") == []
    assert _sweep(pool, "task") == [], "it is in good hands still"
    assert _queued(conn) == []

    conn.set(keys.key("first_seen", "tasks", "task"), time.time() - 61)  # its worker died there
    assert _sweep(pool, "task") == ["task"]
    assert _queued(conn) == ["task"]
    assert queue.intermediate_queue.get_job_ids() == []
    assert not conn.exists(keys.key("first_seen", "tasks", "task"))


def test_a_task_that_a_plain_worker_is_about_to_start_is_no_stray(
    conn: redis.Redis, pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="task")
    conn.lpop(keys.key("queue", "tasks"))
    job = Job.fetch("task", connection=conn, serializer=JSONSerializer)
    with conn.pipeline() as pipeline:
        execution = Execution.create(job, ttl=90, pipeline=pipeline)
        pipeline.execute()

    assert _sweep(pool, "task") == []

    # Its worker died there: RQ's keys of the execution run out, its entry among the running does not.
    conn.delete(execution.key, keys.key("executions", "task"))
    assert _sweep(pool, "task") == ["task"]
    me = register()
    handed = pool.claim(me).handed
    assert handed is not None
    started = StartedJobRegistry("tasks", connection=conn, serializer=JSONSerializer)
    started.cleanup(time.time() + 3600)  # as `rq info` will do when the old entry's time has come
    assert pool.complete(me, handed.claim, "null") == "done"


def test_a_task_that_rq_has_lost_comes_back(conn: redis.Redis, pool: Pool, submit: Submit) -> None:
    submit(id="task")
    conn.lpop(keys.key("queue", "tasks"))  # as an RQ worker of several queues that dies at once

    assert _sweep(pool, "task") == ["task"]
    assert _queued(conn) == ["task"]


def test_a_child_woken_between_rqs_failure_and_its_look_at_the_children_is_queued_once(
    conn: redis.Redis, pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="failing")
    submit(id="good")
    submit(id="child", after=["failing", "good"], allow_failure=True)
    # RQ's handle_job_failure: first the job ...
    queue = _queue(conn)
    failing = queue.fetch_job("failing")
    assert failing is not None
    conn.lpop(queue.key)
    failing.set_status(JobStatus.FAILED)
    # ... then we ...
    me = register()
    handed = pool.claim(me).handed
    assert handed is not None and handed.claim.task_id == "good"
    pool.complete(me, handed.claim, "null")
    assert _queued(conn) == ["child"]

    # ... then, in a transaction of its own, the children.
    queue.enqueue_dependents(failing)

    assert _queued(conn) == ["child"]


def test_a_child_swept_before_rq_looks_at_the_children_is_queued_once(
    conn: redis.Redis, pool: Pool, submit: Submit
) -> None:
    submit(id="failing")
    submit(id="child", after=["failing"], allow_failure=True)
    queue = _queue(conn)
    failing = queue.fetch_job("failing")
    assert failing is not None
    conn.lpop(queue.key)
    failing.set_status(JobStatus.FAILED)
    assert pool.sweep("", "deferred", ["child"]) == ["child"]

    queue.enqueue_dependents(failing)

    assert _queued(conn) == ["child"]
    assert view.task(conn, "child").status == "queued"
