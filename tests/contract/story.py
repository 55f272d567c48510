"""One story, told twice: once by RQ's own classes, once by our scripts; the keyspaces must be the same.

Run as a module in the environment of any supported RQ; it prints what is wrong and exits 1:

    python -m tests.contract.story --redis-url redis://127.0.0.1:6379/9     (the database is emptied)
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

import redis
from rq import Queue, Retry, SimpleWorker, Worker
from rq.job import Dependency, Job
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.results import Result
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.version import VERSION

from pool import __version__, connect, keys, model, payload
from pool import settings as settings_module
from pool.settings import Settings
from tests.contract import keyspace
from tests.contract.differences import unlisted
from workers import headless

#: The tasks, as `coord submit --from` would read them. What they say beside is made in `_spec`.
TASKS: list[dict[str, Any]] = [
    {"id": "good"},
    {"id": "bad"},
    {"id": "again", "retries": 1},
    {"id": "later", "retries": 2, "backoff": [60, 90]},
    {"id": "child", "after": ["good"]},
    {"id": "any", "after": ["good", "bad"], "allow_failure": True},
    {"id": "orphan", "after": ["bad"]},
    {"id": "soon", "run_in": 1},
    {"id": "due", "run_in": 3600},
    {"id": "gone"},
    {"id": "urgent", "priority": "high"},
    {"id": "aside", "queue": "other"},
]

#: These fail whenever they run.
FAILING = ("again", "bad", "later")
REASON = "it broke"

#: What a worker of the queue `tasks` serves, as RQ has it.
QUEUES = ["tasks:high", "tasks", "tasks:low"]


class Run:
    """One telling: the keyspace as it stood at each point of the story."""

    def __init__(self, connection: redis.Redis) -> None:
        connection.flushdb()
        self.connection = connection
        self.reader = keyspace.Reader(connection)
        self.points: dict[str, keyspace.Keyspace] = {}

    def mark(self, point: str) -> None:
        self.points[point] = self.reader.read()

    def wait_for_soon(self) -> None:
        """Until the task `soon` is due."""
        due = self.connection.zscore(keys.key("scheduled", "tasks"), "soon")
        assert due is not None
        while self.connection.time()[0] < due:
            time.sleep(0.01)


def _spec(task: dict[str, Any], settings: Settings) -> model.TaskSpec:
    return model.parse_spec({"prompt": f"do {task['id']}", "title": task["id"], "timeout": 600, **task})


def _result(task_id: str) -> dict[str, str]:
    return {"did": task_id}


# -- as RQ tells it ----------------------------------------------------------------------------------


def told_by_rq(connection: redis.Redis, settings: Settings) -> Run:
    """RQ's Queue, Retry, Dependency, RQScheduler and SimpleWorker."""
    run = Run(connection)
    names = [*QUEUES, "other"]
    queues = {name: Queue(name, connection=connection, serializer=JSONSerializer) for name in names}
    for task in TASKS:
        _enqueue(queues, _spec(task, settings), settings)
    Job.fetch("gone", connection=connection, serializer=JSONSerializer).cancel()
    run.mark("submitted")

    run.wait_for_soon()
    scheduler: Any = RQScheduler(
        ["tasks"], connection=connection, serializer=JSONSerializer, logging_level="CRITICAL"
    )
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()

    def act(title: str, **_: Any) -> dict[str, str]:
        if title == "urgent":
            run.mark("running")
        if title in FAILING:
            raise RuntimeError(REASON)
        return _result(title)

    real, headless.run = headless.run, act  # type: ignore[assignment]  # RQ imports it by its name
    try:
        worker = SimpleWorker(
            [queues[name] for name in QUEUES], name="w", connection=connection, serializer=JSONSerializer
        )
        worker.work(burst=True, logging_level="CRITICAL")
    finally:
        headless.run = real
    run.mark("ended")
    return run


def _enqueue(queues: dict[str, Queue], spec: model.TaskSpec, settings: Settings) -> None:
    fields: dict[str, Any] = {"prompt": spec.prompt, "title": spec.title, "timeout": 600}
    options: dict[str, Any] = {}
    if spec.after:
        fields["parents"] = spec.after
        options["depends_on"] = Dependency(list(spec.after), allow_failure=spec.allow_failure)
    if spec.retries:
        options["retry"] = Retry(max=spec.retries, interval=[int(each) for each in spec.backoff] or 0)
    queue = queues[model.rq_queue(spec.queue or "tasks", spec.priority)]
    enqueue: Callable[..., Any] = queue.enqueue
    if spec.run_in is not None:
        enqueue = partial(queue.enqueue_in, timedelta(seconds=spec.run_in))
    enqueue(
        payload.FUNCTION, kwargs=fields, job_id=spec.id, description=spec.title, job_timeout=600,
        result_ttl=int(settings.result_ttl), failure_ttl=int(settings.failure_ttl), **options,
    )  # fmt: skip


# -- as we tell it -----------------------------------------------------------------------------------


def told_by_us(connection: redis.Redis, settings: Settings, look: Callable[[str], None]) -> Run:
    """Our scripts. ``look`` is called at each point of the story."""
    run = Run(connection)
    pool = connect.pool(settings, connection)
    for task in TASKS:
        _, record = model.record(_spec(task, settings), settings, time.time())
        assert pool.submit([record])[0] == "ok"
    pool.cancel("gone", "by the operator")
    run.mark("submitted")
    look("submitted")

    run.wait_for_soon()
    assert pool.lead("story", 10.0)[0]
    assert pool.promote("story") == ["soon"]
    pool.lead("story", 10.0, step_down=True)

    _, caller = pool.register(
        "w", "", "session", socket.gethostname(), os.getpid(), ["tasks"], 600.0, 0, "/", _versions()
    )
    while (handed := pool.claim(caller).handed) is not None:
        task_id = handed.claim.task_id
        if task_id == "urgent":
            run.mark("running")
            look("running")
        if task_id in FAILING:
            pool.fail(caller, handed.claim, REASON)
        else:
            pool.complete(caller, handed.claim, json.dumps(_result(task_id)))
    pool.deregister(caller, False, "the story is over")
    run.mark("ended")
    look("ended")
    return run


def _versions() -> tuple[str, str, str]:
    return VERSION, sys.version.split()[0], __version__


# -- what RQ's own classes and its command line show of ours -----------------------------------------


class Looker:
    """Collects what RQ shows otherwise than it should."""

    def __init__(self, connection: redis.Redis, url: str) -> None:
        self.connection = connection
        self.url = url
        self.problems: list[str] = []

    def __call__(self, point: str) -> None:
        getattr(self, f"_{point}")()

    def check(self, what: str, got: object, expected: object) -> None:
        if got != expected:
            self.problems.append(f"{what}: RQ shows {got!r}, not {expected!r}")

    def job(self, task_id: str) -> Job:
        return Job.fetch(task_id, connection=self.connection, serializer=JSONSerializer)

    def ids(self, registry: Callable[..., Any], queue: str = "tasks") -> list[str]:
        """A registry's jobs; asking makes RQ clean it up, as `rq info` does."""
        asked = registry(queue, connection=self.connection, serializer=JSONSerializer)
        return sorted(asked.get_job_ids())

    def queued(self, queue: str) -> list[str]:
        return Queue(queue, connection=self.connection, serializer=JSONSerializer).get_job_ids()

    def info(self, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rq.cli", "info", "-u", self.url, "--raw", *options],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        self.check(f"rq info {' '.join(options)} (exit code, {done.stderr[-300:]})", done.returncode, 0)
        return done.stdout

    def has(self, shown: str, line: str) -> None:
        self.check("rq info", shown if line not in shown else line, line)

    def unchanged(self, before: keyspace.Keyspace) -> None:
        """Looking must change nothing: `rq info` and the registries clean up what has run out."""
        after = keyspace.Reader(self.connection).read()
        self.check("what looking changed", keyspace.differences(before, after), [])

    def _submitted(self) -> None:
        self.check("the queue", self.queued("tasks"), ["good", "bad", "again", "later"])
        self.check("the urgent queue", self.queued("tasks:high"), ["urgent"])
        self.check("deferred", self.ids(DeferredJobRegistry), ["any", "child", "orphan"])
        self.check("scheduled", self.ids(ScheduledJobRegistry), ["due", "soon"])
        self.check("canceled", self.ids(CanceledJobRegistry), ["gone"])
        job = self.job("any")
        self.check("func_name", job.func_name, payload.FUNCTION)
        self.check("args", list(job.args or []), [])
        fields = {"prompt": "do any", "title": "any", "timeout": 600, "parents": ["good", "bad"]}
        self.check("kwargs", job.kwargs, fields)
        self.check("dependency_ids", sorted(job.dependency_ids), ["bad", "good"])
        self.check("allow_dependency_failures", job.allow_dependency_failures, True)
        self.check("dependents", sorted(self.job("good").dependent_ids), ["any", "child"])
        self.check("timeout", job.timeout, 600)
        again = self.job("later")
        self.check("retries", (again.retries_left, again.retry_intervals), (2, [60, 90]))

    def _running(self) -> None:
        before = keyspace.Reader(self.connection).read()
        self.check("started", self.ids(StartedJobRegistry, "tasks:high"), ["urgent"])
        job = self.job("urgent")
        self.check("status", job.get_status(), "started")
        self.check("worker_name", job.worker_name, "w")
        self.check("executions", [each.job_id for each in job.get_executions()], ["urgent"])
        workers = Worker.all(connection=self.connection)
        self.check("workers", [worker.name for worker in workers], ["w"])
        self.check("workers of a queue", Worker.count(queue=Queue("tasks", connection=self.connection)), 1)
        for worker in workers:
            self.check("state", worker.get_state(), "busy")
            self.check("what it works on", worker.get_current_job_id(), "urgent")
            self.check("its queues", worker.queue_names(), QUEUES)
        shown = self.info()
        self.has(shown, "queue tasks:high 0, 1 executing, 0 finished, 0 failed")
        self.has(shown, "queue tasks 5, 0 executing, 0 finished, 0 failed")
        worker_line = f"worker w ({socket.gethostname()} unknown {os.getpid()}) busy {', '.join(QUEUES)}. "
        self.has(shown, worker_line + "jobs: 0 finished, 0 failed")
        self.unchanged(before)

    def _ended(self) -> None:
        before = keyspace.Reader(self.connection).read()
        self.check("finished", self.ids(FinishedJobRegistry), ["any", "child", "good", "soon"])
        self.check("failed", self.ids(FailedJobRegistry), ["again", "bad"])
        self.check("deferred", self.ids(DeferredJobRegistry), ["orphan"])
        self.check("scheduled", self.ids(ScheduledJobRegistry), ["due", "later"])
        self.check("canceled", self.ids(CanceledJobRegistry), ["gone"])
        self.check("started", self.ids(StartedJobRegistry), [])
        self.check("the queue", self.queued("tasks"), [])
        self.check("the other queue", self.queued("other"), ["aside"])
        statuses = {
            "good": "finished", "bad": "failed", "later": "scheduled", "orphan": "deferred",
            "gone": "canceled", "aside": "queued",
        }  # fmt: skip
        shown_as = {task_id: self.job(task_id).get_status().value for task_id in statuses}
        self.check("statuses", shown_as, statuses)
        self.check("return_value", self.job("good").return_value(), _result("good"))
        self.check("results", [each.type for each in self.job("good").results()], [Result.Type.SUCCESSFUL])
        failure = self.job("bad").latest_result()
        self.check("failure", failure and (failure.type, failure.exc_string), (Result.Type.FAILED, REASON))
        self.check("results of a retried task", len(self.job("again").results()), 1)
        self.check("retries left", self.job("later").retries_left, 1)
        self.check("workers", Worker.all(connection=self.connection), [])
        shown = self.info("tasks", "tasks:high")
        self.has(shown, "queue tasks 0, 0 executing, 4 finished, 2 failed")
        self.unchanged(before)


def tell(url: str) -> list[str]:
    """Both tellings; what is wrong, a line each."""
    settings = settings_module.load()
    with redis.Redis.from_url(url) as connection:
        theirs = told_by_rq(connection, settings)
        look = Looker(connection, url)
        ours = told_by_us(connection, settings, look)
    found = []
    for point, keys_then in theirs.points.items():
        found += keyspace.differences(keys_then, ours.points[point])
    return unlisted(found, VERSION) + look.problems


def main() -> NoReturn:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis-url", required=True)
    problems = tell(parser.parse_args().redis_url)
    print(f"RQ {VERSION}: {len(problems)} problems", *problems, sep="\n")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
