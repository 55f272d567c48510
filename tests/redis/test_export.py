"""coord export and import: a pool moved to another server is the same pool."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import stat
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from pool import archive, connect, keys, payload, usage, view
from pool import settings as settings_module
from pool.claim import Caller, Claim
from pool.scripts import Pool
from pool.settings import Settings
from tests.contract.plain import RQ
from tests.redis.coord import Coord
from tests.redis.model.keyspace import Keyspace
from tests.redis.ticking import Ticking
from tests.server import Server

Register = Callable[..., Caller]
Submit = Callable[..., str]


def claimed(pool: Pool, me: Caller, task: str = "") -> Claim:
    handed = pool.claim(me).handed
    assert handed is not None and task in ("", handed.claim.task_id)
    return handed.claim


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("second")) as running:
        yield running


@pytest.fixture
def other(second: Server) -> Iterator[redis.Redis]:
    """A client of the other server, which is empty."""
    with redis.Redis.from_url(second.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def there(second: Server, other: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Pool]:
    """From now on `coord` speaks with the other server; the transitions over there."""

    def move() -> Pool:
        monkeypatch.setenv("COORD_REDIS_URL", second.url)
        return connect.pool(settings_module.load(), other)

    return move


@pytest.fixture
def everything(pool: Pool, conn: redis.Redis, submit: Submit, register: Register) -> Caller:
    """A task in every state, with everything that a task may have."""
    me, dies = register("w1", ("tasks", "docs"), offers="check"), register("dies", ("docs",))
    submit("ends «well» ✓", id="finished", unique="gone", cwd="/srv", check="make", timeout="1h")
    pool.complete(
        me, claimed(pool, me), '{"files": ["a", "ü"]}', [("a.bin", bytes(range(256))), ("b.txt", b"b")],
        {"check": '{"passed": true, "output": "ü"}', "patch": "+ü"}, passed=True,
    )  # fmt: skip
    submit(id="failed", retries=2, backoff=["0s"])
    for _ in range(3):
        pool.fail(me, claimed(pool, me, "failed"), "ImportError: no module\n  line 3")
    submit(id="forever")
    pool.complete(me, claimed(pool, me), "null")
    conn.persist(keys.key("job", "forever"))
    conn.zadd(keys.key("finished", "tasks"), {"forever": float("inf")})
    submit(id="canceled", unique="free")
    pool.cancel("canceled", "not wanted")
    submit(id="lost", queue="docs")
    claimed(pool, dies)
    pool.deregister(dies, died=True, why="killed")
    submit(id="late", run_in="1h", unique="mine")
    submit(id="again", retries=1, backoff=["1h"], priority="high")
    pool.fail(me, claimed(pool, me, "again"), "later")
    for name, priority in (
        ("q1", "normal"),
        ("q2", "low"),
        ("q3", "high"),
        ("q4", "normal"),
        ("q5", "normal"),
    ):
        submit(id=name, priority=priority, unique=f"u{name}")
    submit(id="q6", queue="docs")
    for name in ("q5", "q4"):  # to the front
        conn.lrem(keys.key("queue", "tasks"), 0, name)
        conn.lpush(keys.key("queue", "tasks"), name)
    submit(id="child", after=["q1", "q2"], queue="docs", priority="low")
    submit(id="grandchild", after=["child", "failed"], allow_failure=True, run_in="2h")
    submit(id="off", after=["q1"])
    pool.cancel("off", "not wanted either")
    submit(id="dear", budget=0.5)
    row = usage.Used("dear", "some-model", 2, 10, 5, 3, 2, 7).row()
    pool.charge(me, "s", 1, [row], settings_module.load().model_dump())
    return me


def order(conn: redis.Redis) -> dict[str, list[str]]:
    return {name: ids for name, ids in Keyspace(conn).lists.items() if ids}


def views(conn: redis.Redis) -> dict[str, view.TaskView]:
    return {each: view.task(conn, each) for each in reversed(view.latest_ids(conn, 0, -1))}


def rq_info(url: str) -> list[str]:
    done = subprocess.run(
        [RQ, "info", "-u", url, "-Q", "-r"], capture_output=True, text=True, timeout=60, check=True
    )
    return sorted(line for line in done.stdout.splitlines() if "Updated" not in line)


#: What is another's over there, or of another moment.
NOT_TASKS = {
    "fence", "epoch", "live", "departed", "ours", "process", "worker", "workers", "workers_of", "stats",
    "stats_minute", "stats_hour", "waiters", "bell", "accounts", "charged", "cost_day", "cost_tasks",
    "cost_total", "totals",
}  # fmt: skip


def families(conn: redis.Redis) -> dict[str, Any]:
    """The keyspace of tasks. Moments that begin anew over there are rounded away."""
    now = Keyspace(conn)
    assert now.unknown == []
    found = {name: value for name, value in now.families.items() if name not in NOT_TASKS}
    for fields in found["job"].values():
        for name in ("pool_worker", "pool_epoch", "pool_timeout_at", "pool_upload"):
            fields.pop(name, None)
        fields["data"] = ""  # packed: compared by what it says
        for name in [name for name, value in fields.items() if value == ""]:
            del fields[name]
    for children in found["dependents"].values():
        # One that was cancelled while it waited is passed over; it comes in again when it is retried.
        children -= {child for child in children if now.jobs[child]["status"] == "canceled"}
    for name in ("finished", "failed", "deferred"):
        for scores in found.get(name, {}).values():
            for member, score in scores.items():
                scores[member] = score if score in (-1, float("inf")) else round(score / 20)
    return found


def near(left: Any, right: Any) -> bool:
    """Equal, but for numbers that were rounded to either side."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(near(left[key], right[key]) for key in left)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)) and left != right:
        return abs(left - right) <= 1
    return bool(left == right)


def test_a_pool_that_was_moved_is_the_same_pool(
    coord: Coord, server: Server, second: Server, conn: redis.Redis, other: redis.Redis, everything: Caller,
    there: Callable[[], Pool], tmp_path: Path,
) -> None:  # fmt: skip
    done = coord("export", "-o", "pool.jsonl")
    assert (done.out, done.err) == ("", "exported 17 tasks\n")
    before, fields = views(conn), {name: view.fields(conn, name) for name in views(conn)}
    here, info, orders = families(conn), rq_info(server.url), order(conn)
    listed = coord.json("tasks", "-n", "100")
    ttl = {name: conn.pttl(keys.key("job", name)) for name in before}
    there()
    assert coord("import", "pool.jsonl").out == "imported 17 tasks\n"
    assert views(other) == before and len(before) == 17
    assert {name: view.fields(other, name) for name in before} == fields
    assert coord.json("tasks", "-n", "100") == listed, "in the same order, too"
    assert order(other) == orders and orders["tasks"] == ["q4", "q5", "q1", "dear"]
    now = families(other)
    assert now.keys() == here.keys()
    for name, value in here.items():
        assert near(now[name], value), name
    assert rq_info(second.url) == info
    for name, left in ttl.items():
        assert other.pttl(keys.key("job", name)) == pytest.approx(left, abs=60_000), name
        if left > 0:
            assert other.ttl(keys.key("results", name)) > 0
    assert coord("result", "finished", "--artifacts", "got").out.startswith("{")
    assert (tmp_path / "got" / "a.bin").read_bytes() == bytes(range(256))


def test_what_was_moved_goes_on(
    coord: Coord, conn: redis.Redis, other: redis.Redis, everything: Caller, there: Callable[[], Pool],
) -> None:  # fmt: skip
    coord("export", "-o", "pool.jsonl.gz")
    assert Path("pool.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"
    pool = there()
    coord("import", "pool.jsonl.gz")
    _, me = pool.register("w", "", "", "h", 1, ["tasks", "docs"], 600.0, 0, "/", ("2", "3", "1"))
    handed = []
    while (look := pool.claim(me)).handed is not None:
        handed.append(look.handed.claim.task_id)
        pool.complete(me, look.handed.claim, "null")
    # The highest priority, then the oldest head of the queues; the lost one is docs' first and the oldest.
    assert handed == ["q3", "lost", "q4", "q5", "q1", "q6", "q2", "child"]
    assert view.task(other, "grandchild").status == "scheduled", (
        "its time has not come, but its parents are done"
    )
    assert view.task(other, "late").status == "scheduled"
    other.zadd(keys.key("scheduled", "tasks"), {"late": 0})
    pool.lead("me", 60)
    assert pool.promote("me") == ["late"]
    reply = pool.requeue("failed", "retry", "again")
    assert reply[0] == "queued" and view.task(other, "failed").retries_left == 2
    assert other.get("pool:unique:mine") == b"late"
    assert (
        pool.requeue("canceled", "retry", "again")[0] == "queued"
        and other.get("pool:unique:free") == b"canceled"
    )


def test_import_is_repeatable_and_leaves_alone_what_is_there(
    coord: Coord, other: redis.Redis, everything: Caller, there: Callable[[], Pool]
) -> None:
    coord("export", "-o", "pool.jsonl")
    pool = there()
    coord("import", "pool.jsonl")
    pool.cancel("q1", "meanwhile")
    before = Keyspace(other)
    assert coord("import", "pool.jsonl").out == "imported 0 tasks, 17 were there already\n"
    after = Keyspace(other)
    assert (after.families, after.last_event) == (before.families, before.last_event)


def test_a_dry_run_and_standard_streams(
    coord: Coord, second: Server, other: redis.Redis, everything: Caller, there: Callable[[], Pool]
) -> None:
    written = coord.process("export")
    assert written.code == 0 and written.err == "exported 17 tasks\n"
    there()
    packed = gzip.compress(written.out.encode())
    dry = coord.process("import", "-", "--dry-run", stdin=packed)
    assert (dry.code, dry.out) == (0, "would import 17 tasks\n")
    assert other.dbsize() == 0
    assert coord.process("import", "-", stdin=packed).out == "imported 17 tasks\n"
    assert coord.process("import", "-", "--json", stdin=packed).json == {
        "dry_run": False, "imported": 0, "existing": 17, "refused": []
    }  # fmt: skip


def test_states_and_queues(coord: Coord, everything: Caller) -> None:
    def exported(*options: str) -> set[str]:
        coord("export", "-o", "part.jsonl", *options)
        lines = [json.loads(line) for line in Path("part.jsonl").read_text(encoding="utf-8").splitlines()]
        assert lines[-1] == {"version": 1, "end": len(lines) - 1}
        return {each["id"] for each in lines[:-1]}

    assert exported("--queue", "docs") == {"lost", "q6", "child"}
    assert exported("-s", "finished,canceled") == {"finished", "forever", "canceled", "off"}
    assert exported("-s", "queued", "-q", "docs") == {"lost", "q6"}
    assert exported("-s", "scheduled") == {"late", "again"}
    assert coord.json("export", "-o", "x", "-s", "failed") == {
        "file": "x", "exported": 1, "by_status": {"failed": 1}, "ran": [], "left_out": []
    }  # fmt: skip


def test_the_file_is_private(coord: Coord, everything: Caller, tmp_path: Path) -> None:
    coord("export", "-o", "pool.jsonl")
    assert os.stat("pool.jsonl").st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".pool")] == []


# -- what runs -------------------------------------------------------------------------------------------


def test_a_run_is_not_moved_by_accident(
    coord: Coord,
    pool: Pool,
    other: redis.Redis,
    submit: Submit,
    register: Register,
    there: Callable[[], Pool],
) -> None:
    me = register()
    submit(id="next")
    submit(id="runs", priority="high")
    claim = claimed(pool, me)
    assert "runs: running, and a run cannot be moved" in coord.refused("export", "-o", "pool.jsonl")
    assert not Path("pool.jsonl").exists()
    coord("export", "-o", "pool.jsonl", "-s", "queued")
    assert "1 were running (runs), left out" in coord("export", "-o", "skip.jsonl", "--running", "skip").err
    done = coord("export", "-o", "pool.jsonl", "--running", "queue")
    assert "1 were running (runs), exported as queued" in done.err
    assert pool.complete(me, claim, "1") == "done", "it goes on here"
    over = there()
    coord("import", "skip.jsonl")
    coord("import", "pool.jsonl")
    found = view.task(other, "runs")
    assert (found.status, found.attempts, found.error) == ("queued", 1, "it ran on w1 when it was exported")
    assert order(other) == {"tasks": ["next"], "tasks:high": ["runs"]}
    _, me = over.register("w", "", "", "h", 1, ["tasks"], 600.0, 0, "/", ("2", "3", "1"))
    handed = over.claim(me).handed
    assert handed is not None and (handed.claim.task_id, handed.attempts) == ("runs", 2)


def test_every_task_is_exported_once_while_the_pool_works(
    coord: Coord, pool: Pool, submit: Submit, register: Register, conn: redis.Redis
) -> None:
    """A worker takes tasks, fails and requeues them all the time; each is in the file once, and is whole."""
    ids = {submit(id=f"t{n}") for n in range(1200)}
    me = register()
    child = coord.start("export", "-o", "live.jsonl", "--running", "queue", "--json")
    while child.poll() is None:
        claim = claimed(pool, me)
        if int(claim.task_id[1:]) % 3:
            pool.complete(me, claim, "1")
        else:
            pool.release(me, claim, "not now", delay=0.0, counted=False)
    assert child.returncode == 0, child.stderr and child.stderr.read()
    lines = [json.loads(line) for line in Path("live.jsonl").read_text().splitlines()][:-1]
    found = [each["id"] for each in lines]
    assert len(found) == len(set(found)) and set(found) == ids
    assert all(("results" in each) == (each["status"] == "finished") for each in lines)


def test_jobs_that_are_no_tasks_are_left_out(
    coord: Coord, conn: redis.Redis, other: redis.Redis, submit: Submit, there: Callable[[], Pool]
) -> None:
    queue = Queue("tasks", connection=conn, serializer=JSONSerializer)
    queue.enqueue("workers.headless.run", prompt="from RQ's own API", job_id="rq-made", result_ttl=100)
    queue.enqueue("os.system", "true", job_id="evil")
    Queue("tasks", connection=conn).enqueue("os.system", "true", job_id="pickle")
    submit(id="ours")
    done = coord("export", "-o", "pool.jsonl")
    assert (
        "exported 2 tasks" in done.err and "2 jobs were left out: evil: it asks for the function" in done.err
    )
    there()
    coord("import", "pool.jsonl")
    assert order(other) == {"tasks": ["rq-made", "ours"]}
    assert view.fields(other, "rq-made") == {"prompt": "from RQ's own API"}


def test_a_task_that_could_not_be_imported_is_left_out_of_the_file(
    coord: Coord, conn: redis.Redis, other: redis.Redis, submit: Submit, there: Callable[[], Pool]
) -> None:
    submit(id="good")
    submit(id="odd")
    conn.hset(keys.key("job", "odd"), "timeout", "soon")
    submit(id="binary")
    conn.hset(keys.key("job", "binary"), "description", b"\xff\xfe")
    done = coord.json("export", "-o", "pool.jsonl")
    assert done["exported"] == 1
    assert [each.partition(":")[0] for each in done["left_out"]] == ["odd", "binary"]
    there()
    assert coord("import", "pool.jsonl").out == "imported 1 tasks\n"


def test_a_child_whose_parents_are_gone(
    coord: Coord, conn: redis.Redis, other: redis.Redis, submit: Submit, there: Callable[[], Pool]
) -> None:
    submit(id="gone")
    submit(id="stays")
    submit(id="now", after=["gone"])
    submit(id="later", after=["gone"], run_in="1h")
    submit(id="waits", after=["gone", "stays"])
    conn.lrem(keys.key("queue", "tasks"), 0, "gone")
    conn.delete(keys.key("job", "gone"), keys.key("dependents", "gone"))
    coord("export", "-o", "pool.jsonl")
    there()
    coord("import", "pool.jsonl")
    assert {each.id: each.status for each in view.tasks(other, ["stays", "now", "later", "waits"])} == {
        "stays": "queued", "now": "queued", "later": "scheduled", "waits": "deferred"
    }  # fmt: skip


def test_every_field_of_a_job_is_either_moved_or_left_out(conn: redis.Redis, everything: Caller) -> None:
    """A field that the scripts learn to write must be put into one of the two lists."""
    names = {name for job in Keyspace(conn).jobs.values() for name in job}
    assert names - archive.FIELDS.keys() - archive.LEFT_OUT == set()
    assert archive.FIELDS.keys() & archive.LEFT_OUT == set()
    written = set(
        re.findall(
            r"'(pool_\w+)'",
            "".join(p.read_text() for p in Path(archive.__file__).parent.glob("lua/**/*.lua")),
        )
    )
    written.remove("pool_cost_")  # what one of the measures follows
    assert written - archive.FIELDS.keys() - archive.LEFT_OUT == set()


# -- a broken-off import -----------------------------------------------------------------------------------


def many(count: int) -> Iterator[dict[str, Any]]:
    """Lines: each second task waits for the one before it."""
    for n in range(count):
        line: dict[str, Any] = {
            "version": 1, "id": f"t{n}", "status": "queued", "queue": "tasks", "task": {"prompt": "do it"},
            "made": 1e9 + n, "fields": {"created_at": "2026-01-01T00:00:00.000000Z"},
        }  # fmt: skip
        if n % 2:
            line |= {"status": "deferred", "parents": [f"t{n - 1}"]}
            line["fields"] |= {"dependency_ids": json.dumps([f"t{n - 1}"]), "dependency_id": f"t{n - 1}"}
        yield line
    yield {"version": 1, "end": count}


def write(path: str, lines: Any) -> str:
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_an_import_that_was_killed_is_repeated(coord: Coord, conn: redis.Redis, settings: Settings) -> None:
    write("many.jsonl", many(20_000))
    child = coord.start("import", "many.jsonl")
    end = time.monotonic() + 60
    while conn.zcard("pool:tasks") < 2000 and time.monotonic() < end:
        assert child.poll() is None
    child.kill()
    child.wait()
    made: Any = conn.zcard("pool:tasks")
    assert 2000 <= made < 20_000
    # What is there is whole, and may be worked on: nothing that waits has been let go.
    with Ticking(settings) as coordinator:
        coordinator.during(0.3)
    assert {each.status for each in view.tasks(conn, [f"t{n}" for n in range(1, made, 2)])} <= {"deferred"}
    done = coord.json("import", "many.jsonl")
    assert done == {"dry_run": False, "imported": 20_000 - made, "existing": made, "refused": []}
    assert order(conn)["tasks"] == [f"t{n}" for n in range(0, 20_000, 2)]


def test_redis_goes_away_in_the_midst_of_it(
    coord: Coord, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    write("many.jsonl", many(20_000))
    child = coord.start("import", "many.jsonl")
    with redis.Redis.from_url(own_server.url) as client:
        while client.zcard("pool:tasks") < 1000:
            assert child.poll() is None
    own_server.kill()
    out, err = child.communicate(timeout=60)
    assert child.returncode == 5 and out == "" and "Traceback" not in err
    assert "broken off: run it again" in err and "cannot be reached" in err
    own_server.start()
    assert coord.json("import", "many.jsonl")["refused"] == []
    with redis.Redis.from_url(own_server.url) as client:
        assert order(client)["tasks"] == [f"t{n}" for n in range(0, 20_000, 2)]


def test_memory_does_not_grow_with_the_file(coord: Coord, conn: redis.Redis) -> None:
    def most(*argv: str) -> int:
        child = coord.start(*argv)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        return usage.ru_maxrss

    task, *_ = many(1)
    usual = most("import", write("small.jsonl", many(2)))
    conn.flushall()
    with gzip.open("large.jsonl.gz", "wt", compresslevel=1) as file:
        for n in range(4000):
            line = {**task, "id": f"t{n}", "task": {"prompt": os.urandom(15_000).hex()}}
            file.write(json.dumps(line) + "\n")
        file.write(json.dumps({"version": 1, "end": 4000}) + "\n")
    imported = most("import", "large.jsonl.gz")
    exported = most("export", "-o", "out.jsonl")
    assert os.path.getsize("out.jsonl") > 110e6
    assert max(imported, exported) - usual < 50_000, (
        f"{imported} and {exported} KB for 120 MB, usually {usual}"
    )
    conn.flushall()


# -- bad input -------------------------------------------------------------------------------------------


GOOD = next(many(1))
BOMB = base64.b64encode(zlib.compress(b"x" * 50_000_000)).decode()


@pytest.mark.parametrize(("change", "words"), [
    ({"version": 2}, "its version is 2, not 1"),
    ({"id": "a b"}, "id: letters"),
    ({"id": 7}, "id: letters"),
    ({"id": "../x"}, "id: letters"),
    ({"status": "started"}, "status: one of"),
    ({"status": []}, "status: one of"),
    ({"queue": "a:b"}, "queue: NAME"),
    ({"queue": "a b"}, "queue: NAME"),
    ({"more": 1}, "'more' is not known in this version"),
    ({"task": {"prompt": "  "}}, "task: an object with a prompt"),
    ({"task": "rm -rf"}, "task: an object with a prompt"),
    ({"task": {"prompt": "x" * 3_000_000}}, "prompt_limit"),
    ({"made": "now"}, "made: a number"),
    ({"made": -1}, "made: a number"),
    ({"made": None}, "made: when it was made"),
    ({"ttl": 1e300}, "ttl: a number"),
    ({"ttl": True}, "ttl: a number"),
    ({"status": "scheduled"}, "at: a scheduled task is due some time"),
    ({"status": "deferred"}, "parents: a deferred task waits for some"),
    ({"status": "deferred", "parents": ["bad"]}, "parents: a task cannot wait for itself"),
    ({"parents": ["a b"]}, "parents: ids"),
    ({"status": "deferred", "parents": ["nobody"]}, "'nobody', which is on no earlier line, nor here"),
    ({"fields": {"success_callback_name": "os.system"}}, "'success_callback_name' is not known"),
    ({"fields": {"pool_token": "1-1"}}, "'pool_token' is not known"),
    ({"fields": {"timeout": "soon"}}, "the value of timeout"),
    ({"fields": {"timeout": 5}}, "the value of timeout"),
    ({"fields": {"result_ttl": "1e9"}}, "the value of result_ttl"),
    ({"fields": {"created_at": "yesterday"}}, "the value of created_at"),
    ({"fields": {"retry_intervals": "[\"x\"]"}}, "the value of retry_intervals"),
    ({"fields": {"description": "x" * 2_000_000}}, "the value of description"),
    ({"fields": []}, "fields: an object"),
    ({"results": [["1-1", {"type": "1", "return_value": "no!"}]]}, "results: what it holds cannot be read"),
    ({"results": [["1-1", {"type": "2", "exc_string": BOMB}]]}, "results: what it holds cannot be read"),
    ({"results": [["2-1", {"type": "2"}], ["1-1", {"type": "2"}]]}, "results: the ids must grow"),
    ({"results": [["x", {"type": "2"}]]}, "results: an id is"),
    ({"results": [["1-1", {"type": "9"}]]}, "results: a type is"),
    ({"results": {"a": 1}}, "results: a list"),
    ({"artifacts": {"a": "not base64!"}}, "artifacts: 'a' is not base64"),
    ({"artifacts": {str(n): "" for n in range(9)}}, "artifact_count"),
    ({"artifacts": {"a": base64.b64encode(bytes(2**20 + 1)).decode()}}, "artifact_limit"),
    ({"task": {"prompt": "\ud800"}}, "it is not valid text"),
    ({"fields": {"description": "\ud800"}}, "it is not valid text"),
])  # fmt: skip
def test_a_bad_line_is_named_and_nothing_is_written(
    coord: Coord, conn: redis.Redis, change: dict[str, Any], words: str
) -> None:
    good = [{**GOOD, "id": f"g{n}"} for n in range(3)]
    bad = {**GOOD, "id": "bad", **change}
    write("bad.jsonl", [*good, bad, {"version": 1, "end": 4}])
    said = coord.refused("import", "bad.jsonl")
    assert "bad.jsonl line 4: " in said and words in said and "nothing was imported" in said, said
    assert len(said) < 400
    assert conn.dbsize() == 0


@pytest.mark.parametrize(("text", "words"), [
    ("", "there is no task in it"),
    ("{", "line 1: not JSON"),
    ("[]", "line 1: a task is a JSON object"),
    ("[" * 100_000, "line 1: nested too deeply"),
    ('{"version": NaN}', "line 1: nested too deeply, or a number that is none"),
    (json.dumps(GOOD) + "\n" + json.dumps(GOOD), "line 2: the id 't0' is on line 1 already"),
    (json.dumps(GOOD), "its last line is missing: it was cut off, 1 are there (--partial imports those)"),
    (json.dumps(GOOD) + '\n{"version": 1, "end": 2}', "2 tasks were written into it, 1 are there"),
    ('{"version": 1, "end": 0}\n' + json.dumps(GOOD), "line 2: something stands behind the last line"),
    (b"\xff\xfe", "line 1: not"),
    (gzip.compress(b"{}\n" * 1000, mtime=0)[:-20], "nothing was imported"),
    (b"\x1f\x8bnonsense", "nothing was imported"),
])  # fmt: skip
def test_a_bad_file(coord: Coord, conn: redis.Redis, text: str | bytes, words: str) -> None:
    Path("bad.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in coord.refused("import", "bad.jsonl")
    assert conn.dbsize() == 0


def test_lines_that_do_not_go_together(coord: Coord, conn: redis.Redis, submit: Submit) -> None:
    one = {**GOOD, "fields": {"pool_unique": "k"}}
    write("twice.jsonl", [one, {**one, "id": "u"}, {"version": 1, "end": 2}])
    assert "line 2: the task on line 1 has the same unique key" in coord.refused("import", "twice.jsonl")
    submit(id="here", unique="k")
    write("taken.jsonl", [one, {"version": 1, "end": 1}])
    assert "line 1: the live task here here has its unique key 'k'" in coord.refused("import", "taken.jsonl")
    write("ended.jsonl", [{**one, "status": "canceled"}, {"version": 1, "end": 1}])
    assert coord("import", "ended.jsonl").out == "imported 1 tasks\n"


def test_what_is_taken_between_the_check_and_the_import_is_named(
    pool: Pool, conn: redis.Redis, settings: Settings, submit: Submit
) -> None:
    unique = archive.record({**GOOD, "fields": {"pool_unique": "k"}}, settings)
    child = archive.record({**GOOD, "id": "c", "status": "deferred", "parents": ["gone"]}, settings)
    submit(id="here", unique="k")
    before = Keyspace(conn)
    assert pool.restore([unique.data, child.data]) == ["unique", "nodep"]
    assert Keyspace(conn).families == before.families


def test_a_parent_that_ended_before_its_child_came(pool: Pool, conn: redis.Redis, settings: Settings) -> None:
    parent = {**GOOD, "id": "p", "status": "finished", "ttl": 100.0}
    now = {**GOOD, "id": "now", "status": "deferred", "parents": ["p"]}
    later = {**now, "id": "later", "at": time.time() + 1000}
    records = [archive.record(each, settings).data for each in (parent, now, later)]
    assert pool.restore(records) == ["restored"] * 3
    assert {each.id: each.status for each in view.tasks(conn, ["p", "now", "later"])} == {
        "p": "finished", "now": "queued", "later": "scheduled"
    }  # fmt: skip


def test_what_an_expired_task_has_left_behind_is_in_nobodys_way(
    pool: Pool, conn: redis.Redis, settings: Settings
) -> None:
    conn.xadd(keys.key("results", "t0"), {"type": "2"}, id="99999999999999-1")
    conn.hset("pool:artifacts:t0", "old", b"x")
    conn.sadd(keys.key("dependencies", "t0"), "nobody")
    parents = [f"p{n}" for n in range(10_000)]
    line = {**GOOD, "parents": parents, "results": [["1-1", {"type": "2"}]]}
    assert pool.restore([archive.record(line, settings).data]) == ["restored"]
    left: Any = conn.xrange(keys.key("results", "t0"))
    assert [name for name, _ in left] == [b"1-1"]
    assert conn.exists("pool:artifacts:t0") == 0
    assert conn.scard(keys.key("dependencies", "t0")) == 10_000


def test_a_file_that_was_cut_off(coord: Coord, conn: redis.Redis) -> None:
    text = "".join(json.dumps(line) + "\n" for line in many(10))
    Path("cut.jsonl").write_text(text[: len(text) * 2 // 3])
    coord.refused("import", "cut.jsonl")
    assert coord("import", "cut.jsonl", "--partial").out == "imported 6 tasks\n"
    conn.flushall()
    Path("cut.jsonl.gz").write_bytes(gzip.compress(text.encode())[:-6])
    coord.refused("import", "cut.jsonl.gz")
    assert coord("import", "cut.jsonl.gz", "--partial").out == "imported 10 tasks\n"


def test_files_that_are_none(coord: Coord, tmp_path: Path, everything: Caller) -> None:
    assert "nowhere.jsonl: No such file or directory; nothing was imported" in coord.refused(
        "import", "nowhere.jsonl"
    )
    assert "Is a directory" in coord.refused("import", str(tmp_path))
    assert "nothing was exported" in coord.refused("export", "-o", "no/such/folder.jsonl")
    assert "--json needs a file" in coord.refused("export", "--json")
    assert "'done' is not one of" in coord.refused("export", "-s", "done")
    full = coord.process("export", "-o", "/dev/full/x")
    assert full.code == 2 and "Traceback" not in full.err


def test_redis_is_away(coord: Coord, monkeypatch: pytest.MonkeyPatch) -> None:
    write("many.jsonl", many(3))
    monkeypatch.setenv("COORD_REDIS_URL", "redis://127.0.0.1:1/0")
    assert "cannot be reached" in coord.refused("import", "many.jsonl", code=5)
    assert "cannot be reached" in coord.refused("export", "-o", "x.jsonl", code=5)
    assert not Path("x.jsonl").exists()


def test_a_line_is_what_it_was(settings: Settings) -> None:
    """The record that restore.lua takes says what the line says."""
    found = archive.record(GOOD, settings)
    stream, parts = io.BytesIO(found.data), []
    while size := stream.read(4):
        parts.append(stream.read(int.from_bytes(size, "big")))
    assert parts[:3] == [b"t0", b"queued", b"tasks"]
    fields = dict(zip(parts[11::2], parts[12::2], strict=True))
    assert payload.decode(fields[b"data"]) == {"prompt": "do it"}


def test_what_is_no_file_is_written_to_and_not_replaced(coord: Coord, submit: Submit, tmp_path: Path) -> None:
    submit(id="t")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    coord("export", "-o", pipe)
    assert b'"t"' in reader.communicate(timeout=20)[0]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link, behind = tmp_path / "link", tmp_path / "behind.jsonl"
    link.symlink_to(behind)
    coord("export", "-o", link)
    assert link.is_symlink() and behind.is_file()


def test_an_import_of_descriptions_says_what_they_are_for(coord: Coord, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"prompt": "do it"}\n', encoding="utf-8")
    assert "`coord submit --from` takes" in coord.refused("import", tasks)
