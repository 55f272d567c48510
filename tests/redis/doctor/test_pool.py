"""Faults of the pool: no coordinator, RQ's own programs, leftovers in Redis and on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from rq import Queue, Worker

from coordinator.doctor import rq as doctor_rq
from pool import __version__, connect, keys, local, model, process
from pool import settings as settings_module
from pool.claim import Caller
from tests.redis.coord import WORKER
from tests.redis.doctor.well import Well
from tests.session import eventually

RQ = Path(sys.executable).with_name("rq")
NO_FIRE = ("--no-fire",)


# -- the coordinator -----------------------------------------------------------------------------------------


def test_no_coordinator(well: Well) -> None:
    well.conn.delete("pool:leader")
    well.finds("coordinator.leads", seen="no coordinator leads", remedy="coord serve")


def test_a_leader_for_ever(well: Well) -> None:
    well.conn.set("pool:leader", "frozen")
    well.finds("coordinator.leads", seen="never ends (frozen)", remedy="del pool:leader")


def test_a_real_coordinator(well: Well) -> None:
    well.conn.delete("pool:leader")
    child = well.coord.start("serve")
    eventually(lambda: well.conn.exists("pool:leader"))
    well.finds_nothing("--only", "coordinator")
    child.terminate()
    child.wait(timeout=20)
    well.finds("coordinator.leads", argv=NO_FIRE)


# -- RQ ------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(well: Well) -> Iterator[Callable[..., str]]:
    """Start a plain `rq worker` on our queue; its name, once it is registered."""
    children: list[subprocess.Popen[bytes]] = []

    def run(*argv: str, queue: str = "tasks") -> str:
        name = f"plain{len(children)}"
        children.append(
            subprocess.Popen(
                [str(RQ), "worker", "--quiet", "-u", well.server.url, "--name", name, *argv, queue],
                cwd=well.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        eventually(lambda: well.conn.exists(keys.key("worker", name)), 30)
        return name

    yield run
    for child in children:
        child.kill()
        child.wait()


def test_a_plain_worker_with_pickle(well: Well, plain: Callable[..., str]) -> None:
    name = plain()
    plain(queue="somebody-elses")
    said = well.finds("rq.workers", argv=NO_FIRE, seen=f"a plain RQ worker, {name} (",
                      remedy="rq worker -S rq.serializers.JSONSerializer")  # fmt: skip
    assert "plain1" not in said


def test_a_plain_worker_with_json(well: Well, plain: Callable[..., str]) -> None:
    plain("-S", "rq.serializers.JSONSerializer")
    found = {each["check"]: each for each in well.finds_nothing("--no-fire")}
    assert found["rq.workers"]["level"] == "note" and "weaker guarantees" in found["rq.workers"]["seen"]


def test_a_plain_worker_that_cannot_be_seen(well: Well, plain: Callable[..., str]) -> None:
    well.conn.hset(keys.key("worker", plain()), "hostname", "elsewhere")
    found = {each["check"]: each for each in well.findings("--only", "rq", code=0)}
    assert found["rq.workers"]["level"] == "unknown" and "JSONSerializer" in found["rq.workers"]["remedy"]


def test_a_scheduler(well: Well, plain: Callable[..., str]) -> None:
    plain("--with-scheduler", "-S", "rq.serializers.JSONSerializer")
    eventually(lambda: well.conn.exists(keys.key("scheduler_lock", "tasks")), 30)
    well.finds("rq.schedulers", argv=NO_FIRE, seen="holds the lock of tasks", remedy="--with-scheduler")


def test_a_foreign_job(well: Well) -> None:
    job = Queue("tasks", connection=well.conn).enqueue("os.getcwd")
    Queue("somebody-elses", connection=well.conn).enqueue("os.getcwd")
    said = well.finds("rq.jobs", "leftovers.queues", argv=NO_FIRE, seen="a pickle", remedy="another queue")
    assert job.id in said and "1 job(s)" in said


def test_versions_of_workers(well: Well) -> None:
    caller = enroll(well)
    well.finds_nothing("--no-fire")
    well.conn.hset("pool:worker:w1", "scripts", 999)
    found = {each["check"]: each for each in well.finds_nothing("--only", "versions")}
    assert found["versions.workers"]["remedy"] == "coord versions"
    well.conn.hset(keys.key("worker", caller.worker), "version", "2.8.0")
    well.finds("versions.workers", argv=NO_FIRE, seen="RQ 2.8.0", remedy="coord hooks install")


def test_this_coord_is_too_old_for_the_pool(well: Well) -> None:
    well.conn.set("pool:floor", 999)
    said = well.findings("--only", "versions", code=1)
    assert [each["seen"] for each in said if "asks for scripts of version 999" in each["seen"]]


@pytest.mark.parametrize(
    ("version", "fits"),
    [("2.8", True), ("2.12.0", True), ("3.0.dev1", True), ("4.0", False), ("2.7.9", False)],
)
def test_the_range_of_rq(version: str, fits: bool) -> None:
    assert doctor_rq._within(version, "rq<4,>=2.8") is fits


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"COORD_LEASE": "10s"}, "beats every 5 s and a lease lasts 10 s"),
        ({"COORD_HOOK_TIMEOUT": "5m"}, "may wait for 5m, the idle limit is 10m"),
        ({"COORD_BACKSTOP": "100s"}, "parked 100 s ahead"),
    ],
)
def test_settings_that_do_not_fit(well: Well, variables: dict[str, str], words: str) -> None:
    well.env(**variables)
    well.coord("hooks", "install", "--worker")
    well.finds("versions.settings", argv=NO_FIRE, seen=words)


# -- leftovers in Redis --------------------------------------------------------------------------------------


def enroll(well: Well, name: str = "w1", idle: float = 600.0) -> Caller:
    """A worker without a process."""
    pool = connect.pool(settings_module.load(), well.conn)
    verdict, caller = pool.register(
        name,
        "",
        "session",
        "host",
        1,
        ["tasks"],
        idle,
        0,
        "/",
        (metadata.version("rq"), "3.11.7", __version__),
    )
    assert verdict == "new"
    return caller


def take(well: Well, ticket: str = "") -> Caller:
    """A worker that holds a task, ``t``."""
    caller = enroll(well)
    well.coord("submit", "do it", "--id", "t")
    assert connect.pool(settings_module.load(), well.conn).claim(caller, ticket).verdict == "task"
    return caller


@pytest.mark.parametrize(("ticket", "words"), [("", "whose lease ran out"), ("new", "never confirmed")])
def test_a_claim_that_is_over(well: Well, ticket: str, words: str) -> None:
    take(well, ticket)
    well.finds_nothing("--no-fire")
    well.conn.zadd("pool:leases", {"t": time.time() - 60})
    well.finds("leftovers.claims", argv=NO_FIRE, seen=f"{words}", remedy="coord reap")
    well.coord("reap", "--expired")
    well.finds_nothing("--only", "leftovers")


def test_a_lease_without_a_task(well: Well) -> None:
    well.conn.zadd("pool:leases", {"gone": time.time() - 60})
    well.finds("leftovers.claims", argv=NO_FIRE, seen="without a running task: gone", remedy="coord reap")
    well.coord("reap")
    well.finds_nothing("--only", "leftovers")


def test_a_silent_worker(well: Well) -> None:
    enroll(well)
    well.conn.zadd("pool:workers", {"w1": time.time() - 600})
    well.finds("leftovers.workers", argv=NO_FIRE, seen="count as live: w1", remedy="coord reap --expired")
    well.coord("reap", "--expired")
    well.finds_nothing("--only", "leftovers")


def test_a_key_of_no_worker(well: Well) -> None:
    well.conn.hset("pool:worker:gone", "epoch", 1)
    well.finds("leftovers.strays", argv=NO_FIRE, seen="pool:worker:gone", remedy="del pool:worker:gone")


def test_an_upload_that_was_cut_off(well: Well) -> None:
    pool = connect.pool(settings_module.load(), well.conn)
    spec = model.parse_spec({"prompt": "do it"})
    record = model.record(spec, settings_module.load(), time.time())[1]
    assert pool.stage("pool:staged:x", 600, 0, [record])
    found = {each["check"]: each for each in well.finds_nothing("--only", "leftovers")}
    assert found["leftovers.uploads"]["level"] == "note", "it may be under way"
    well.conn.expire("pool:staged:x", 300)
    well.finds("leftovers.uploads", argv=NO_FIRE, seen="cut off after 1 task(s): pool:staged:x",
               remedy="coord submit --from")  # fmt: skip
    well.conn.persist("pool:staged:x")
    well.finds("leftovers.uploads", argv=NO_FIRE, seen="never goes away", remedy="del pool:staged:x")


def test_triggers(well: Well) -> None:
    well.coord("trigger", "do it")
    found = {each["check"]: each for each in well.finds_nothing("--no-fire")}
    assert found["leftovers.triggers"]["level"] == "note"
    well.conn.xgroup_create("claude-triggers", "coord", id="0")
    read: Any = well.conn.xreadgroup("coord", "dead", {"claude-triggers": ">"})
    well.conn.xclaim("claude-triggers", "coord", "dead", 0, [read[0][1][0][0]], idle=60_000)
    well.finds("leftovers.triggers", argv=NO_FIRE, seen="1m ago and never acknowledged", remedy="coord serve")


def test_queues(well: Well) -> None:
    well.coord("submit", "do it")
    well.finds("leftovers.queues", argv=NO_FIRE, seen="1 task(s) wait in queue tasks", remedy="claude")
    enroll(well)
    well.finds_nothing("--no-fire")
    well.coord("pause", "tasks")
    well.coord("pause", "--all")
    seen = [each for each in well.finds_nothing("--only", "leftovers") if each["check"] == "leftovers.queues"]
    assert [each["remedy"] for each in seen] == ["coord resume --all", "coord resume tasks"]


def test_a_supervisor_serves_its_queues(well: Well) -> None:
    well.coord("submit", "do it")
    well.conn.set("pool:ready:tasks", "a supervisor")
    well.finds_nothing("--no-fire")


def test_schedules(well: Well) -> None:
    well.coord("schedule", "add", "nightly", "--cron", "0 3 * * *", "clean up")
    well.finds_nothing("--no-fire")
    well.coord("schedule", "pause", "nightly")
    found = {each["check"]: each for each in well.finds_nothing("--only", "leftovers")}
    assert found["leftovers.schedules"]["remedy"] == "coord schedule resume nightly"
    well.conn.hset("pool:schedule:nightly", "entry", "{}")
    well.finds(
        "leftovers.schedules", argv=NO_FIRE, seen="schedule nightly makes no tasks", remedy="--replace"
    )


def test_dead_letters(well: Well) -> None:
    well.conn.xadd("pool:dead-letters", {"kind": "trigger", "reason": "no"})
    found = {each["check"]: each for each in well.finds_nothing("--only", "leftovers")}
    assert found["leftovers.dead-letters"]["remedy"] == "coord dead-letters"


def test_what_is_shown_steers_no_terminal(well: Well) -> None:
    well.conn.hset("pool:worker:\x1b]0;x\x07", "epoch", 1)
    for argv in ((), ("--json",)):
        out = well.coord("doctor", "--only", "leftovers", *argv, code=1).out
        assert "\x1b" not in out and "\x07" not in out


# -- leftovers on disk ---------------------------------------------------------------------------------------


@pytest.fixture
def ended() -> str:
    """The key of a process that has ended."""
    child = subprocess.Popen(["sleep", "100"])
    key = process.key(child.pid)
    child.kill()
    child.wait()
    return key


def test_a_session_that_has_ended(well: Well, ended: str) -> None:
    folder = local.Session(str(well.home), ended)
    assert folder.save(worker="w1", epoch="1")
    alive = local.Session(str(well.home), process.key(os.getpid()))
    assert alive.save(worker="w2", epoch="2")
    said = well.finds("leftovers.sessions", argv=NO_FIRE, seen=ended, remedy=f"rm -r {folder.folder}")
    assert alive.key not in said
    subprocess.run(["sh", "-c", f"rm -r {folder.folder}"], check=True)
    well.finds_nothing("--only", "leftovers")


@pytest.mark.parametrize("where", ["session", "earlier boot", "program"])
def test_a_result_that_was_never_delivered(well: Well, ended: str, where: str) -> None:
    """The remedy is typed: the result arrives."""
    caller = take(well)
    held: Any = well.conn.hget("pool:worker:w1", "token")
    folder = well.home / "outbox" / "w1"
    if where != "program":
        key = ended if where == "session" else ended.replace(process.boot_id(), "0" * 12)
        folder = Path(local.Session(str(well.home), key).folder) / "outbox"
    claim = f"t.{held.decode()}"
    commit = {"worker": "w1", "epoch": caller.epoch, "claim": claim, "result": '"yes"'}
    local.save_commit(str(folder), "t", commit)
    said = well.finds(
        "leftovers.outbox", argv=NO_FIRE, seen=str(folder), remedy="coord-worker status --worker w1"
    )
    bin = well.folder / "bin"
    bin.mkdir()
    (bin / "coord-worker").write_text(f'#!/bin/sh\nexec {" ".join(WORKER)} "$@"\n')
    (bin / "coord-worker").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", said.partition(" -> ")[2]], env={**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert well.coord("result", "t").out == "yes\n"
    left = well.findings("--only", "leftovers", code=1 if where == "session" else 0)
    assert {each["check"] for each in left if each["level"] == "warning"} <= {"leftovers.sessions"}


def test_a_result_that_came_too_late(well: Well, ended: str) -> None:
    outbox = Path(local.Session(str(well.home), ended).folder) / "outbox"
    outbox.mkdir(parents=True)
    (outbox / "t.json.refused").write_text("{}")
    found = {each["check"]: each for each in well.finds_nothing("--only", "leftovers")}
    assert (
        found["leftovers.outbox"]["level"] == "note" and "t.json.refused" in found["leftovers.outbox"]["seen"]
    )


def test_a_keeper_without_a_session(well: Well, ended: str) -> None:
    """It cannot tell Redis (which is not there), so it lives on for a while."""
    compiled = json.loads((well.home / "compiled.json").read_text())
    compiled["values"]["redis_url"] = "redis://127.0.0.1:1/0"
    (well.home / "away.json").write_text(json.dumps(compiled))
    keeper = subprocess.Popen(
        [sys.executable, *local.keeper_argv(), str(well.home / "away.json"), ended, "w1", "1"],
        env={name: value for name, value in os.environ.items() if not name.startswith("COORD_")},
    )
    try:
        eventually((well.home / "sessions" / ended / "keeper.lock").exists)
        said = well.finds("leftovers.keepers", "leftovers.sessions", argv=NO_FIRE)
        assert f"process {keeper.pid} " in said and f"kill {keeper.pid}" in said
    finally:
        keeper.kill()
        keeper.wait()


def test_notes_of_what_is_gone(well: Well, ended: str) -> None:
    note = {"url": "redis://127.0.0.1:1/0", "port": 1, "pid": 1, "key": ended, "kind": "redis-server"}
    (well.home / "redis.json").write_text(json.dumps(note))
    well.finds("leftovers.notes", argv=NO_FIRE, seen="does not run", remedy=f"rm {well.home}/redis.json")
    (well.home / "redis.json").unlink()
    (well.home / "serve.pid").write_text(ended)
    well.finds("leftovers.notes", argv=NO_FIRE, seen="has ended", remedy="coord down")
    well.coord("down")
    well.finds_nothing("--only", "leftovers")


def test_live_workers_of_rq_are_known(well: Well) -> None:
    enroll(well)
    assert [each.name for each in Worker.all(connection=well.conn)] == ["w1"]
    found = {each["check"]: each for each in well.finds_nothing("--only", "rq")}
    assert found["rq.workers"]["level"] == "ok"
