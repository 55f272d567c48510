"""The Python functions for people's own scripts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import coordinator
import workers
from coordinator import api as coordinator_api
from coordinator import get_active_workers, submit_task
from pool import settings as settings_module
from pool import view
from pool.claim import Caller
from pool.errors import RedisAway, StaleClaim, TaskExists, UsageError
from pool.scripts import Pool
from pool.settings import Settings
from tests.server import Server, free_port
from workers import api as workers_api
from workers import claim_task, complete_task, fail_task, heartbeat, should_worker_continue

Submit = Callable[..., str]


@pytest.fixture(autouse=True)
def fresh(settings: Settings, conn: Any) -> Iterator[None]:
    """The functions keep a connection for as long as the process lives; a test has settings of its own."""
    for module in (coordinator_api, workers_api):
        module._context.cache_clear()
    yield
    lines: list[Any] = [coordinator_api._context()[1], workers_api._context()[1].connection]
    for line in lines:
        line.close()
    for module in (coordinator_api, workers_api):
        module._context.cache_clear()


def test_the_guides_own_story(conn: Any) -> None:
    first = submit_task("Build", title="Build it", priority="high")
    second = submit_task("Test", after=[first], retries=1)
    assert should_worker_continue("w") == (True, "waiting for tasks (10 min idle remaining)")
    task = claim_task("w")
    assert task is not None
    assert (task["id"], task["prompt"], task["attempt"]) == (first, "Build", 1)
    assert claim_task("w") == task, "who holds a task is given that one"
    assert should_worker_continue("w") == (True, f"working on {first}")
    assert heartbeat("w", task["claim"]) is True
    assert complete_task(first, "w", {"made": ["a.o"]}) is True
    assert complete_task(first, "w", "something else") is False, "it was committed already"
    task = claim_task("w")
    assert task is not None and task["id"] == second
    assert fail_task(task["claim"], "w", "flaky") == "queued"
    task = claim_task("w")
    assert task is not None and task["attempt"] == 2
    assert fail_task(second, "w", "broken") == "failed"
    assert claim_task("w") is None
    assert view.task(conn, first).result == {"made": ["a.o"]}
    assert view.task(conn, second).error == "broken"


def test_submit_takes_the_fields_of_a_task_and_refuses_others(conn: Any) -> None:
    assert submit_task("x", id="named", run_in="10m") == "named"
    assert submit_task("x", unique="key") == submit_task("y", unique="key")
    with pytest.raises(TaskExists, match="'named' exists already"):
        submit_task("x", id="named")
    with pytest.raises(UsageError, match="'promt' is not a field"):
        submit_task("x", promt="y")
    with pytest.raises(UsageError, match="timeout: 'soon' is not a duration"):
        submit_task("x", timeout="soon")
    assert conn.zcard("pool:tasks") == 2


def test_a_lost_task_is_told_once_and_every_commit_on_it_is_refused(submit: Submit, pool: Pool) -> None:
    submit(id="t")
    task = claim_task("w")
    assert task is not None
    pool.requeue("t", "requeue", "needed elsewhere")
    with pytest.raises(StaleClaim, match="needed elsewhere"):
        heartbeat("w")
    assert heartbeat("w") is True
    for commit in (lambda: complete_task(task["claim"], "w"), lambda: fail_task("t", "w", "x")):
        with pytest.raises(StaleClaim):
            commit()
    assert should_worker_continue("w")[0] is True
    claim_task("w")
    pool.requeue("t", "requeue", "again")
    assert should_worker_continue("w") == (True, "waiting for tasks (10 min idle remaining)")


def test_the_idle_clock(pool: Pool, conn: Any) -> None:
    assert should_worker_continue("w", 10)[0] is True
    conn.hincrbyfloat("pool:worker:w", "active_at", -301)
    assert should_worker_continue("w", 10) == (True, "waiting for tasks (5 min idle remaining)")
    assert should_worker_continue("w", max_idle_minutes=5) == (False, "idle for 5 min")
    assert should_worker_continue("w", 5)[0] is False, "asking does not reset it"
    submit_task("x")
    task = claim_task("w")
    assert task is not None
    complete_task(task["id"], "w")
    assert should_worker_continue("w", 5)[0] is True, "work does"
    pool.tune("w", "draining", "1")
    assert should_worker_continue("w") == (False, "draining")


def test_active_workers(pool: Pool, conn: Any) -> None:
    for name in ("a", "b", "silent"):
        heartbeat(name)
    conn.hincrbyfloat("pool:worker:silent", "beat_at", -121)
    found = get_active_workers()
    assert [each["id"] for each in found] == ["a", "b"], "heard of within 120 s"
    assert {"id", "state", "task", "last_heartbeat", "idle_left"} <= set(found[0])
    assert len(get_active_workers(within=200)) == 3
    assert get_active_workers(within=0) == []


@pytest.mark.parametrize("result", [{1, 2}, object(), "x" * (2**20)])
def test_a_result_that_cannot_be_kept(submit: Submit, conn: Any, result: object) -> None:
    submit(id="t")
    claim_task("w")
    with pytest.raises(UsageError, match="the result"):
        complete_task("t", "w", result)
    assert view.task(conn, "t").status == "started"


def test_redis_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", f"redis://:SECRET@127.0.0.1:{free_port()}/0")
    for call in (
        lambda: submit_task("x"),
        get_active_workers,
        lambda: heartbeat("w"),
        lambda: claim_task("w"),
    ):
        with pytest.raises(RedisAway, match="cannot be reached") as error:
            call()
        assert "SECRET" not in str(error.value)


def test_they_survive_a_restart_of_redis(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    settings_module.load()
    submit_task("x", id="before")
    task = claim_task("w")
    own_server.kill()
    with pytest.raises(RedisAway):
        heartbeat("w")
    own_server.start()
    assert task is not None and complete_task(task["claim"], "w") is True
    assert submit_task("x", id="after") == "after"


def test_a_name_without_a_process_registers_anew(pool: Pool) -> None:
    heartbeat("w")
    pool.deregister(Caller("w", ""), died=True, why="gone")
    assert heartbeat("w") is True


def test_the_packages_are_light_until_a_function_is_called(tmp_path: Path) -> None:
    code = (
        "import sys, workers, coordinator\n"
        "assert not {'redis', 'rq', 'pydantic'} & set(sys.modules)\n"
        "from workers import claim_task\n"
        "assert not {'redis', 'rq', 'pydantic'} & set(sys.modules)\n"
        "try: workers.nothing\nexcept AttributeError: pass\nelse: sys.exit(1)\n"
        "try: coordinator.nothing\nexcept AttributeError: pass\nelse: sys.exit(1)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=True)
    assert set(workers.__all__) == {
        "claim_task",
        "complete_task",
        "fail_task",
        "heartbeat",
        "should_worker_continue",
    }
    assert set(coordinator.__all__) == {"submit_task", "get_active_workers"}
