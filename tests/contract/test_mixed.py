"""Plain `rq worker`s beside workers of the pool, on one queue."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

from pool import connect, keys, payload, scripts, view
from pool.claim import Caller
from pool.settings import Settings
from tests.conftest import ROOT
from tests.contract import venvs
from tests.contract.plain import FIT, PlainWorkers, info
from workers import headless

Submit = Callable[..., str]
Register = Callable[..., Caller]
Client = Callable[[str], Path]

#: Writes down what it was asked; what begins with "once" fails the first time.
CLIENT = """
import json, os, sys
asked = sys.stdin.read().split("\\n")[0]
log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
os.write(log, asked.encode() + b"\\n")
failed = False
if asked.startswith("once"):
    try:
        os.close(os.open({log!r} + "." + asked, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        failed = True
    except FileExistsError:
        pass
print(json.dumps({{"type": "result", "is_error": failed, "result": "did " + asked}}))
"""


class Repeated(threading.Thread):
    """Does something again and again until it is told to stop; an error ends it, and the test."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name=name or None, daemon=True)
        self.over = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(0.01):
                self.once()
        except BaseException as error:
            self.error = error

    def once(self) -> None:
        """One round."""
        raise NotImplementedError

    def stop(self) -> None:
        self.over.set()
        self.join()
        if self.error is not None:
            raise self.error


class Session(Repeated):
    """A worker of the pool: claims, does the task with the client, completes or fails it, goes on."""

    def __init__(self, name: str, settings: Settings, enough: Callable[[int], bool]) -> None:
        super().__init__(name)
        self.enough = enough
        self.done = 0
        self.connection = connect.client(settings)
        self.pool = connect.pool(settings, self.connection)
        versions = ("2.12", "3.11", "0.1")
        _, self.me = self.pool.register(name, "", "", "host", 1, ["tasks"], 600.0, 0, "/", versions)

    def once(self) -> None:
        handed = self.pool.claim(self.me).handed if self.enough(self.done) else None
        if handed is None:
            return
        try:
            result = headless.run(**handed.fields)
        except RuntimeError as error:
            self.pool.fail(self.me, handed.claim, str(error))
        else:
            self.pool.complete(self.me, handed.claim, json.dumps(result))
            self.done += 1

    def stop(self) -> None:
        super().stop()
        self.connection.close()


class Info(Repeated):
    """`rq info` in a loop: it cleans up RQ's registries without a lock."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.shown: list[str] = []

    def once(self) -> None:
        self.shown.append(info(self.url))


def wait_until(
    true: Callable[[], bool], what: str, threads: Sequence[Repeated], seconds: float = 60.0
) -> None:
    end = time.monotonic() + seconds
    while not true():
        for each in threads:
            if each.error is not None:
                raise each.error
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


def _finished(conn: redis.Redis, tasks: Sequence[str]) -> bool:
    return all(each.status == "finished" for each in view.tasks(conn, tasks))


def test_two_plain_workers_and_two_of_the_pool_finish_every_task_once(
    settings: Settings, conn: redis.Redis, submit: Submit, plain: PlainWorkers, client: Client, tmp_path: Path
) -> None:
    log = tmp_path / "asked"
    client(CLIENT.format(log=str(log)))

    def plain_done() -> int:
        tallies = [
            conn.hget(keys.key("worker", name), "successful_job_count") for name in ("plain-1", "plain-2")
        ]
        return sum(int(tally or 0) for tally in tallies)

    def enough(done: int) -> bool:
        """A plain worker forks and imports for each task: without waiting a session would do them all."""
        return 2 * done <= plain_done() or not conn.llen(keys.key("queue", "tasks"))

    sessions = [Session(name, settings, enough) for name in ("pool-1", "pool-2")]
    shower = Info(plain.url)
    threads: list[Repeated] = [*sessions, shower]
    for session in sessions:
        session.start()
    try:
        # A job that is none of ours, a pickle at that, comes before all others.
        foreign = Queue("tasks", connection=conn).enqueue("os.getcwd")
        wait_until(lambda: conn.xlen("pool:dead-letters") == 1, "the pickle among the dead letters", threads)

        for name in ("plain-1", "plain-2"):
            plain.start(name, *FIT)
        wait_until(lambda: len(Worker.all(connection=conn)) == 4, "four workers by RQ's count", threads)
        shower.start()
        tasks = [submit(f"task {number}", id=f"task-{number}") for number in range(24)]
        tasks += [submit(f"once {number}", id=f"once-{number}", retries=3) for number in range(4)]
        tasks += [
            submit(f"later {number}", id=f"later-{number}", after=[f"once-{number}"]) for number in range(4)
        ]
        queue = Queue("tasks", connection=conn, serializer=JSONSerializer)
        for number in range(4):  # as another program would, with RQ's own API
            job = queue.enqueue(payload.FUNCTION, job_id=f"rq-{number}", kwargs={"prompt": f"rq {number}"})
            tasks.append(job.id)
        wait_until(lambda: _finished(conn, tasks), "all tasks finished", threads, 90)
    finally:
        for each in threads:
            each.over.set()
    for each in threads:
        each.stop()
    plain.stop()

    asked = sorted(log.read_text(encoding="utf-8").splitlines())
    prompts = [task_id.replace("-", " ") for task_id in tasks]
    assert asked == sorted(prompts + [prompt for prompt in prompts if prompt.startswith("once")])
    for task_id in tasks:
        results = Job.fetch(task_id, connection=conn, serializer=JSONSerializer).results()
        assert [each.type for each in results] == [Result.Type.SUCCESSFUL], task_id
        assert results[0].return_value == f"did {task_id.replace('-', ' ')}"
    by_pool = sum(each.done for each in sessions)
    assert by_pool + plain_done() == len(tasks)
    assert min(by_pool, plain_done()) >= 10, "one kind did nearly all: nothing was shared"
    finished = FinishedJobRegistry("tasks", connection=conn, serializer=JSONSerializer)
    assert sorted(finished.get_job_ids()) == sorted(tasks)
    for key in ("queue", "intermediate", "started", "deferred", "scheduled"):
        assert not conn.exists(keys.key(key, "tasks")), key
    assert not conn.exists("pool:leases")
    assert any(all(f"worker {each} " in shown for each in ("plain-1", "plain-2", "pool-1", "pool-2"))
               for shown in shower.shown)  # fmt: skip

    failed = FailedJobRegistry("tasks", connection=conn)
    assert failed.get_job_ids() == [foreign.id]
    result = foreign.latest_result()
    assert result is not None
    assert result.exc_string == "its payload is a pickle; coord reads JSON only"
    letters: Any = conn.xrange("pool:dead-letters")
    ((_, letter),) = letters
    assert (letter[b"task"], letter[b"queue"]) == (foreign.id.encode(), b"tasks")


def test_a_plain_worker_ends_a_session_that_runs_past_the_timeout(
    conn: redis.Redis, submit: Submit, plain: PlainWorkers, client: Client
) -> None:
    client("import time; time.sleep(600)")
    submit(id="endless", timeout=1)

    plain.burst("plain", *FIT)

    found = view.task(conn, "endless")
    assert found.status == "failed"
    # RQ's own alarm and ours ring in the same second.
    assert "exceeded maximum timeout value (1 seconds)" in (
        found.error or ""
    ) or "past its timeout of 1s" in (found.error or "")


def test_parents_results_reach_a_plain_workers_session(
    pool: scripts.Pool,
    submit: Submit,
    register: Register,
    plain: PlainWorkers,
    client: Client,
    conn: redis.Redis,
) -> None:
    client('import json, sys; print(json.dumps({"type": "result", "result": sys.stdin.read()}))')
    submit(id="parent")
    submit("build on it", id="child", after=["parent"])
    me = register()
    handed = pool.claim(me).handed
    assert handed is not None
    pool.complete(me, handed.claim, json.dumps("forty-two"))

    plain.burst("plain", *FIT)

    assert view.task(conn, "child").result == "build on it\n\n## Result of task parent\nforty-two\n"


def test_a_projects_own_workers_folder_does_not_shadow_ours(
    conn: redis.Redis, submit: Submit, plain: PlainWorkers, client: Client, tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    client('import json; print(json.dumps({"type": "result", "result": "done"}))')
    project = tmp_path / "project"
    (project / "workers").mkdir(parents=True)
    (project / "workers" / "__init__.py").touch()
    # Not this environment: coord may be installed here, and in which way should not matter.
    python = venvs.interpreter(request.config.cache.mkdir("rq"), venvs.supported())
    plain.rq = str(python.with_name("rq"))

    submit(id="installed")
    plain.burst("plain-1", *FIT, cwd=project)
    submit(id="named")
    plain.burst("plain-2", *FIT, "--path", str(ROOT), cwd=project, pythonpath="")
    submit(id="shadowed")  # RQ puts the current folder last, but PYTHONPATH comes first
    plain.burst("plain-3", *FIT, "--path", str(ROOT), cwd=project, pythonpath=project)

    assert view.task(conn, "installed").result == "done"
    assert view.task(conn, "named").result == "done"
    shadowed = view.task(conn, "shadowed")
    assert shadowed.status == "failed"
    assert "Invalid attribute name: run" in (shadowed.error or "")
