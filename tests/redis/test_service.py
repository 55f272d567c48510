"""coord serve: leading, outages, promotion, timeouts, RQ's scheduler, foreign producers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from rq import Queue
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from pool import keys, view
from pool import settings as settings_module
from pool.claim import Caller, Claim
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.redis.ticking import Ticking
from tests.server import Server
from tests.session import Session, eventually

Register = Callable[..., Caller]
Submit = Callable[..., str]
Process = subprocess.Popen[str]


def claimed(pool: Pool, me: Caller) -> Claim:
    handed = pool.claim(me).handed
    assert handed is not None
    return handed.claim


def leader(conn: Any) -> str:
    found = conn.get("pool:leader")
    return found.decode() if found else ""


def serving(coord: Coord, conn: Any) -> Process:
    """A coordinator that leads."""
    child = coord.start("serve")
    eventually(lambda: f"-{child.pid}-" in leader(conn))
    return child


def until_said(child: Process, words: str) -> None:
    """Read its log up to a line with these words."""
    assert child.stderr is not None
    for line in child.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never said")


def ended(child: Process, number: int = signal.SIGTERM) -> str:
    """End it; what it has logged. It must end by itself, with exit code 0."""
    child.send_signal(number)
    out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (0, ""), err
    assert "Traceback" not in err
    return err


# -- beginning and ending ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(coord: Coord, conn: Any, submit: Submit, number: int) -> None:
    submit()
    child = serving(coord, conn)
    lock = keys.key("scheduler_lock", "tasks")
    eventually(lambda: conn.get(lock))
    began = time.monotonic()
    said = ended(child, number)
    assert time.monotonic() - began < 2
    assert leader(conn) == "" and conn.get(lock) is None, "it steps down, so that another takes over at once"
    assert "starts" in said and "leads" in said and said.endswith("coordinator ends\n")


def test_another_takes_over_within_three_seconds_of_the_leaders_death(coord: Coord, conn: Any) -> None:
    first = serving(coord, conn)
    second = coord.start("serve")
    until_said(second, "follows")
    first.kill()
    began = time.monotonic()
    eventually(lambda: f"-{second.pid}-" in leader(conn), 5)
    assert time.monotonic() - began < 3
    assert ended(second).count("leads") == 1


def test_a_frozen_leader_that_thaws_acts_on_nothing_that_its_successor_has_done(
    coord: Coord, conn: Any, register: Register
) -> None:
    first = serving(coord, conn)
    eventually(lambda: conn.pubsub_numsub("claude-trigger")[0][1] == 1)
    first.send_signal(signal.SIGSTOP)
    second = serving(coord, conn)
    eventually(lambda: conn.pubsub_numsub("claude-trigger")[0][1] == 2)
    assert conn.publish("claude-trigger", "Build and test suite") == 2
    eventually(lambda: conn.zcard("pool:tasks") == 1)
    first.send_signal(signal.SIGCONT)
    until_said(first, "follows")
    ended(first)
    ended(second)
    assert conn.zcard("pool:tasks") == 1


def test_it_refuses_to_begin_without_redis(
    coord: Coord, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    own_server.kill()
    assert "cannot be reached" in coord.refused("serve", code=5)


# -- outages -------------------------------------------------------------------------------------------


@pytest.mark.settings(lease="1.5s")
def test_a_restart_of_redis_is_survived_and_kills_no_worker(
    coord: Coord, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    with redis.Redis.from_url(own_server.url) as conn:
        child = serving(coord, conn)
        coord("submit", "x", "--id", "t")
        coord.worker("w", "claim")
        coord.worker("silent", "status")
        own_server.kill()
        time.sleep(1.6)  # the lease runs out meanwhile
        own_server.start()
        back = time.monotonic()
        eventually(lambda: f"-{child.pid}-" in leader(conn))
        while time.monotonic() - back < 1.2:
            assert view.task(conn, "t").status == "started", "not before a full lease of undisturbed service"
            time.sleep(0.02)
        assert coord.worker("w", "status", "--id").out == "t\n", "its holder renews first"
        eventually(
            lambda: not [each for each in view.workers(conn, departed=False) if each.id == "silent"], 4
        )
        eventually(lambda: view.task(conn, "t").status == "queued", 4, "who stays silent is given up on")
        said = ended(child)
    assert "cannot be reached" in said and "Redis is back" in said and "took back t (lost)" in said


@pytest.mark.settings(lease="0.5s")
def test_expired_leases_are_believed_after_one_lease(
    settings: Settings, conn: Any, pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="t")
    claimed(pool, register("w"))
    with Ticking(settings) as coordinator:
        assert view.task(conn, "t").status == "started"
        began = time.monotonic()
        coordinator.until(lambda: view.task(conn, "t").status == "queued")
        assert time.monotonic() - began > 0.4
        assert "took back t (lost): queued" in coordinator.lines


def test_one_failing_step_stops_neither_the_others_nor_the_next_tick(
    settings: Settings, conn: Any, submit: Submit
) -> None:
    conn.set("claude-triggers", "not a stream")
    submit(id="t", run_in=0.2)
    with Ticking(settings) as coordinator:
        coordinator.until(lambda: view.task(conn, "t").status == "queued")
        complaints = [line for line in coordinator.lines if line.startswith("could not read triggers: ")]
        assert len(complaints) == 1 and "WRONGTYPE" in complaints[0], "it is said once"
        conn.delete("claude-triggers")
        coordinator.service.tick()
        assert coordinator.lines[-1] == "can read triggers again"


# -- promotion -----------------------------------------------------------------------------------------


def test_what_is_due_is_queued_and_wakes_who_waits(
    coord: Coord, conn: Any, pool: Pool, submit: Submit, register: Register
) -> None:
    child = serving(coord, conn)
    submit(id="later", run_in="1s")
    submit(id="flaky", retries=1, backoff=["1s"])
    me = register()
    pool.fail(me, claimed(pool, me), "once")
    look = pool.claim(me, "new", 30.0)
    assert look.verdict == "wait"
    assert {view.task(conn, each).status for each in ("later", "flaky")} == {"scheduled"}
    began = time.monotonic()
    assert conn.blpop(f"pool:bell:w1:{look.ticket}", timeout=5) is not None
    assert 0.5 < time.monotonic() - began < 2.5
    eventually(lambda: {view.task(conn, each).status for each in ("later", "flaky")} == {"queued"}, 3)
    assert "task flaky is due" in ended(child)


def test_a_task_that_was_cancelled_meanwhile_stays_so(
    settings: Settings, conn: Any, submit: Submit, pool: Pool
) -> None:
    submit(id="t", run_in=0.1)
    pool.cancel("t", "not needed")
    with Ticking(settings) as coordinator:
        coordinator.during(0.3)
    assert view.task(conn, "t").status == "canceled"


# -- timeouts ------------------------------------------------------------------------------------------


def test_a_timeout_is_a_failure_though_the_worker_lives(
    settings: Settings, conn: Any, pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="t", timeout="1s", retries=1)
    me = register("w")
    claimed(pool, me)
    told = ""

    def is_told() -> bool:
        nonlocal told
        answer = pool.beat(me)
        told = answer.why if answer.verdict == "lost" else ""
        return bool(told)

    with Ticking(settings) as coordinator:
        assert view.task(conn, "t").status == "started"
        coordinator.until(is_told)
        assert told == "the task ran past its timeout"
        found = view.task(conn, "t")
        assert (found.status, found.retries_left, found.losses, found.error) == ("queued", 0, 0, told)
        assert view.worker(conn, "w").state != "dead"
        claimed(pool, me)
        coordinator.until(is_told)
        assert (view.task(conn, "t").status, view.task(conn, "t").error) == ("failed", told)


# -- others on the same Redis --------------------------------------------------------------------------


@pytest.mark.settings(recheck="60s")
def test_a_job_of_rqs_own_api_wakes_a_waiting_session_at_once(
    coord: Coord, conn: Any, session: Callable[..., Session]
) -> None:
    child = serving(coord, conn)
    one = session("w1")
    one.start()
    call = one.start_hook("Stop")
    eventually(lambda: view.worker(conn, "w1").state == "waiting")
    queue = Queue("tasks", connection=conn, serializer=JSONSerializer)
    queue.enqueue(
        "workers.headless.run", kwargs={"prompt": "Say hello", "title": "From RQ"}, job_id="foreign"
    )
    began = time.monotonic()
    answer = call.end()
    assert answer["reason"] == "Task foreign: From RQ"
    assert time.monotonic() - began < 2
    ended(child)


def test_jobs_that_rqs_own_api_schedules_are_promoted(settings: Settings, conn: Any) -> None:
    queue = Queue("tasks", connection=conn, serializer=JSONSerializer)
    job = queue.enqueue_in(timedelta(seconds=1), "workers.headless.run", kwargs={"prompt": "x"})
    with Ticking(settings) as coordinator:
        assert job.get_status() == "scheduled"
        coordinator.until(lambda: job.get_status(refresh=True) == "queued")


def scheduler_of(conn: Any) -> Any:
    """RQ's own scheduler of the queue."""
    return RQScheduler(["tasks"], conn, interval=1)


def test_rqs_scheduler_does_nothing_beside_a_coordinator(
    coord: Coord, conn: Any, settings: Settings, submit: Submit
) -> None:
    submit(id="t", run_in="1h")
    child = serving(coord, conn)
    lock = keys.key("scheduler_lock", "tasks")
    eventually(lambda: (conn.get(lock) or b"").startswith(b"coord-"))
    child.send_signal(signal.SIGSTOP)  # it holds the locks, and promotes nothing
    conn.zadd(keys.key("scheduled", "tasks"), {"t": 1})
    assert scheduler_of(conn).acquire_locks() == set()
    json_only = ("-S", "rq.serializers.JSONSerializer", "-u", settings_module.redis_url(settings))
    stray = [
        sys.executable,
        "-P",
        "-m",
        "rq.cli",
        "worker",
        "--with-scheduler",
        "--burst",
        *json_only,
        "tasks",
    ]
    done = subprocess.run(stray, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert view.task(conn, "t").status == "scheduled"
    child.send_signal(signal.SIGCONT)
    eventually(lambda: view.task(conn, "t").status == "queued")
    ended(child)


def test_a_scheduler_that_was_there_first_is_named(settings: Settings, conn: Any, submit: Submit) -> None:
    submit(id="t", run_in="1h")
    assert scheduler_of(conn).acquire_locks() == {"tasks"}
    with Ticking(settings) as coordinator:
        coordinator.service.tick()
        found = [line for line in coordinator.lines if "lock of tasks" in line]
    assert found == ["an RQ scheduler beside this one holds the lock of tasks: end it"]
    assert not conn.get(keys.key("scheduler_lock", "tasks")).startswith(b"coord-"), "its lock is left to it"
