"""coord tasks, task, result, wait, cancel, retry and requeue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from pool import view
from pool.claim import Caller, Claim
from pool.scripts import Pool
from tests.redis.coord import COORD, Coord
from tests.session import eventually

Register = Callable[..., Caller]
Submit = Callable[..., str]

#: What other programs may rely on.
FIELDS = {"id", "title", "status", "queue", "priority", "worker", "attempts", "losses", "result"}
LONG = "Refactor the authentication middleware so that session tokens are rotated on each change of rights"


def claimed(pool: Pool, me: Caller) -> Claim:
    handed = pool.claim(me).handed
    assert handed is not None
    return handed.claim


@pytest.fixture
def one_of_each(pool: Pool, submit: Submit, register: Register) -> dict[str, Caller]:
    """A task in each state."""
    one, two, three = register("one"), register("two"), register("three")
    submit("ends well", id="finished")
    pool.complete(one, claimed(pool, one), '{"files": ["a", "b"]}')
    submit("ends badly", id="failed")
    pool.fail(two, claimed(pool, two), "ImportError: no module\n  line 3", retry=False)
    submit(LONG, id="started", priority="high")
    claimed(pool, three)
    submit("waits", id="queued")
    submit("waits", id="low", priority="low", queue="other")
    submit("waits for another", id="deferred", after=["queued"])
    submit("waits for its time", id="scheduled", run_in="1h")
    submit("not wanted", id="canceled")
    pool.cancel("canceled", "why not")
    return {"one": one, "two": two, "three": three}


def ids(found: list[dict[str, object]]) -> list[object]:
    return [each["id"] for each in found]


# -- lists ---------------------------------------------------------------------------------------------


def test_tasks_as_json(coord: Coord, one_of_each: dict[str, Caller]) -> None:
    found = coord.json("tasks")
    assert all(set(each) >= FIELDS for each in found)
    assert ids(found) == [
        "canceled",
        "scheduled",
        "deferred",
        "low",
        "queued",
        "started",
        "failed",
        "finished",
    ]
    by_id = {each["id"]: each for each in found}
    assert all(by_id[name]["status"] == name for name in by_id if name != "low")
    assert by_id["finished"]["result"] == {"files": ["a", "b"]}
    assert (by_id["started"]["worker"], by_id["started"]["attempts"]) == ("three", 1)
    assert (by_id["low"]["queue"], by_id["low"]["priority"]) == ("other", "low")
    assert by_id["failed"]["error"].startswith("ImportError")


def test_tasks_filtered(coord: Coord, one_of_each: dict[str, Caller], submit: Submit) -> None:
    for status in ("finished", "failed", "started", "deferred", "scheduled", "canceled"):
        assert ids(coord.json("tasks", "--status", status)) == [status]
    assert ids(coord.json("tasks", "-s", "queued")) == ["queued", "low"]
    assert ids(coord.json("tasks", "-q", "other")) == ["low"]
    assert ids(coord.json("tasks", "-w", "three")) == ["started"]
    assert ids(coord.json("tasks", "-w", "two", "-s", "failed")) == ["failed"]
    assert ids(coord.json("tasks", "-w", "two", "-s", "started")) == []
    assert ids(coord.json("tasks", "-n", "2")) == ["canceled", "scheduled"]
    assert coord("tasks", "-q", "nowhere").out == "no tasks\n"


def test_queued_tasks_are_listed_as_they_will_be_claimed(
    coord: Coord, submit: Submit, pool: Pool, register: Register
) -> None:
    for name, queue, priority in [
        ("low", "a", "low"), ("old", "b", "normal"), ("new", "a", "normal"), ("first", "b", "high")
    ]:  # fmt: skip
        submit(id=name, queue=queue, priority=priority)
    listed = ids(coord.json("tasks", "-s", "queued"))
    me = register(queues=("a", "b"))
    order = []
    for _ in range(4):
        claim = claimed(pool, me)
        order.append(claim.task_id)
        pool.complete(me, claim, "null")
    assert listed == order == ["first", "old", "new", "low"]
    assert ids(coord.json("tasks", "-s", "finished"))[0] in ("low", "new"), (
        "the latest first, over all queues"
    )


def test_scheduled_tasks_are_listed_by_when_they_are_due(coord: Coord, submit: Submit) -> None:
    submit(id="later", run_in="2h", queue="a")
    submit(id="soon", run_in="1h", queue="b")
    assert ids(coord.json("tasks", "-s", "scheduled")) == ["soon", "later"]


def test_jobs_of_rqs_own_api_are_listed_before_anyone_has_looked_at_them(
    coord: Coord, conn: redis.Redis
) -> None:
    queue = Queue("tasks", connection=conn, serializer=JSONSerializer)
    queue.enqueue("workers.headless.run", kwargs={"prompt": "hello"}, job_id="foreign")
    assert ids(coord.json("tasks")) == ["foreign"]


def test_the_table_at_80_columns(coord: Coord, one_of_each: dict[str, Caller]) -> None:
    with coord.terminal("tasks", columns=80) as shown:
        assert shown.end() == 0
    rows = [line.rstrip() for line in shown.plain.splitlines()]
    assert all(len(row) <= 80 for row in rows)
    starts = [row.split()[0] for row in rows if row[:1] not in ("", " ")]
    assert starts == [
        "id",
        "canceled",
        "scheduled",
        "deferred",
        "low",
        "queued",
        "started",
        "failed",
        "finished",
    ]
    text = " ".join(" ".join(rows).split())
    assert LONG in text, "titles have room"
    assert "on three" in text and "ImportError: no module" in text and "after queued" in text


def test_the_table_at_120_columns_and_in_a_pipe(coord: Coord, one_of_each: dict[str, Caller]) -> None:
    with coord.terminal("tasks", columns=120) as shown:
        assert shown.end() == 0
    head = shown.plain.splitlines()[0]
    assert all(name in head for name in ("id", "status", "title", "queue", "worker", "tries"))
    piped = coord.process("tasks").out.splitlines()
    assert len(piped) == 9, "a task is a line"
    assert any(line.startswith("started") and LONG in line for line in piped), "and nothing is cut"


def test_a_reader_that_goes_early_is_no_error(coord: Coord, submit: Submit) -> None:
    for _ in range(300):
        submit(LONG * 3)
    for lines in (1, 0):  # gone in the middle of the output, and before it begins
        child = coord.start("tasks", "-n", "300", "--json")
        assert child.stdout is not None and child.stderr is not None
        for _ in range(lines):
            assert child.stdout.readline() == "[\n"
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(timeout=20) == 0
        child.stdout = None


# -- one task ------------------------------------------------------------------------------------------


def test_an_answer_that_cannot_be_written(coord: Coord, conn: redis.Redis) -> None:
    """What was done stands, and says so: one who took it for a failure would do it again."""
    script = 'exec "$@" > /dev/full'
    for argv in (
        ("submit", "do it", "--id", "once"),
        ("tasks",),
        ("tasks", "--json"),
        ("completion", "bash"),
    ):
        done = coord.process(*argv, program=["sh", "-c", script, "sh", *COORD])
        assert done.code == 6, done
        assert (
            done.line()
            == "coord: standard output cannot be written: No space left on device; what was done stands"
        )
    assert conn.exists("rq:job:once")


def test_a_closed_standard_output_is_wished_for(coord: Coord) -> None:
    for closed in (">&-", ">&- 2>&-"):
        done = coord.process("tasks", program=["sh", "-c", f'exec "$@" {closed}', "sh", *COORD])
        assert done == (0, "", "")


def test_task_tells_everything(coord: Coord, one_of_each: dict[str, Caller]) -> None:
    found = coord.json("task", "failed")
    assert set(found) >= FIELDS
    assert found["fields"]["prompt"] == "ends badly"
    assert [event["type"] for event in found["history"]] == ["submitted", "claimed", "failed"]
    text = coord("task", "failed").out
    assert all(
        words in text for words in ("ends badly", "ImportError: no module", "line 3", "claimed", "two")
    )
    assert '"files": [' in coord("task", "finished").out
    assert "no task 'nobody'" in coord.refused("task", "nobody")


def test_task_shows_a_job_that_is_none_of_ours(coord: Coord, conn: redis.Redis) -> None:
    Queue("tasks", connection=conn).enqueue("os.system", "true", job_id="pickle")
    assert "none of coord's: its payload is a pickle" in coord("task", "pickle").out
    assert coord.json("task", "pickle")["status"] == "queued"


def test_what_steers_a_terminal_is_shown_harmlessly(
    coord: Coord, pool: Pool, register: Register, tmp_path: Path
) -> None:
    evil = (
        "red \x1b[31m bell \a title \x1b]0;x\x07 back \x08 bidi \u202e nul \x00 emoji 🎉 [bold]markup[/bold]"
    )
    (tmp_path / "evil").write_text(evil)
    task_id = coord("submit", "--file", "evil").out.strip()
    me = register("w")
    claim = claimed(pool, me)
    pool.beat(me, claim, evil)
    shown = coord("tasks").out + coord("task", task_id).out + coord("workers").out + coord("events").out
    pool.fail(me, claim, evil, retry=False)
    shown += coord("tasks").out + coord("task", task_id).out
    result = coord("result", task_id, code=1)
    shown += result.err
    with coord.terminal("tasks") as terminal:
        terminal.end()
    assert not [c for c in shown if not c.isprintable() and c not in "\n\t"]
    assert (
        "\x1b[31m bell" not in terminal.text and "\a" not in terminal.text and "\u202e" not in terminal.text
    )
    assert "🎉" in shown and "[bold]markup[/bold]" in shown
    assert result.err.count("\n") == 1


# -- results -------------------------------------------------------------------------------------------


def test_result(coord: Coord, one_of_each: dict[str, Caller]) -> None:
    assert '"files": [' in coord("result", "finished").out
    found = coord.json("result", "finished")
    assert (found["status"], found["result"], found["artifacts"]) == ("finished", {"files": ["a", "b"]}, [])
    failed = coord("result", "failed", code=1)
    assert failed.out == "" and failed.err == "coord: task failed is failed: ImportError: no module line 3\n"
    assert coord("result", "queued", code=1).err == "coord: task queued is queued\n"
    assert coord.json("result", "failed", code=1)["status"] == "failed"


def test_a_text_goes_into_a_pipe_as_it_is_and_onto_a_terminal_without_its_escapes(
    coord: Coord, submit: Submit, pool: Pool, register: Register
) -> None:
    submit(id="t")
    me = register()
    pool.complete(me, claimed(pool, me), '"plain \\u001b[31mred\\ud83c\\udf89\\udc80"')
    assert coord.process("result", "t").out == "plain \x1b[31mred🎉\\udc80\n"
    with coord.terminal("result", "t") as shown:
        shown.end()
    assert shown.text == "plain ·[31mred🎉·\r\n"
    assert coord.process("result", "t", "--json").json["result"] == "plain \x1b[31mred🎉\udc80"


def test_artifacts_are_written_where_they_are_wanted_and_nowhere_else(
    coord: Coord, conn: redis.Redis, submit: Submit, pool: Pool, register: Register, tmp_path: Path
) -> None:
    submit(id="t")
    me = register()
    pool.complete(
        me,
        claimed(pool, me),
        "null",
        [("a.txt", b"text"), ("../../up.bin", bytes(range(256))), ("..", b"dots")],
    )
    done = coord("result", "t", "--artifacts", "kept/here")
    written = {path.name: path.read_bytes() for path in (tmp_path / "kept" / "here").iterdir()}
    assert written == {"a.txt": b"text", "up.bin": bytes(range(256)), "artifact": b"dots"}
    assert done.err.count("wrote ") == 3
    assert coord.json("result", "t")["artifacts"] == ["..", "../../up.bin", "a.txt"]
    (tmp_path / "file").write_text("")
    assert "Not a directory" in coord("result", "t", "--artifacts", "file/below", code=2).err


# -- waiting -------------------------------------------------------------------------------------------


def test_wait_ends_with_the_last_task(coord: Coord, submit: Submit, pool: Pool, register: Register) -> None:
    submit(id="a")
    submit(id="b", after=["a"])
    me = register()

    def work() -> None:
        for _ in range(2):
            time.sleep(0.15)
            pool.complete(me, claimed(pool, me), '"done"')

    thread = threading.Thread(target=work)
    thread.start()
    try:
        found = coord.json("wait", "b", "a", "--timeout", "10s")
    finally:
        thread.join()
    assert [(each["id"], each["status"], each["result"]) for each in found] == [
        ("b", "finished", "done"), ("a", "finished", "done")
    ]  # fmt: skip
    assert coord("wait", "a").out == "a finished\n"


def test_wait_says_no_when_one_failed_or_the_time_ran_out(
    coord: Coord, one_of_each: dict[str, Caller]
) -> None:
    done = coord("wait", "finished", "failed", code=1)
    assert done.out.startswith("finished finished\nfailed failed: ImportError")
    began = time.monotonic()
    late = coord("wait", "finished", "queued", "--timeout", "200ms", code=1)
    assert time.monotonic() - began < 3
    assert late.err == "coord: the time ran out (0s): 1 of 2 have not ended\n"
    assert coord.json("wait", "canceled", code=1)[0]["status"] == "canceled"
    assert "no task 'nobody'" in coord.refused("wait", "queued", "nobody")


# -- moving --------------------------------------------------------------------------------------------


def test_cancel(coord: Coord, one_of_each: dict[str, Caller], pool: Pool, conn: redis.Redis) -> None:
    done = coord("cancel", "scheduled", "started", "queued", "--reason", "not needed")
    assert done.out.splitlines() == [
        "scheduled canceled (was scheduled)",
        "started canceled (was started, taken from three)",
        "queued canceled (was queued)",
    ]
    assert done.err == "coord: deferred will not run: it comes after what was cancelled\n"
    assert view.task(conn, "started").error == "not needed"
    beat = pool.beat(one_of_each["three"])
    assert (beat.verdict, beat.why) == ("lost", "not needed"), "its worker is told"


def test_a_move_is_all_or_none(coord: Coord, one_of_each: dict[str, Caller]) -> None:
    before = coord.json("tasks")
    assert "task finished is finished and cannot be cancelled" in coord.refused(
        "cancel", "queued", "finished"
    )
    assert "there is no task 'nobody'" in coord.refused("retry", "failed", "nobody")
    assert "`coord retry` runs it again; nothing was changed" in coord.refused("requeue", "started", "failed")
    assert coord.json("tasks") == before


def test_retry(coord: Coord, one_of_each: dict[str, Caller]) -> None:
    assert coord.json("retry", "failed", "canceled", "failed") == [
        {"id": "failed", "status": "queued", "was": "failed", "worker": None},
        {"id": "canceled", "status": "queued", "was": "canceled", "worker": None},
    ]
    found = coord.json("task", "failed")
    assert (found["error"], found["losses"]) == (None, 0)


def test_requeue(coord: Coord, one_of_each: dict[str, Caller], pool: Pool) -> None:
    done = coord("requeue", "started", "scheduled")
    assert done.out == "started queued (was started, taken from three)\nscheduled queued (was scheduled)\n"
    assert pool.beat(one_of_each["three"]).verdict == "lost"
    found = coord.json("task", "started")
    assert (found["attempts"], found["losses"], found["retries_left"]) == (0, 0, 0), "nothing was counted"


def test_a_unique_key_that_went_to_another_task(coord: Coord, submit: Submit) -> None:
    submit(id="first", unique="key")
    coord("cancel", "first")
    submit(id="second", unique="key")
    assert "second has its unique key now; nothing was changed" in coord.refused("retry", "first")


def test_many_are_moved_at_once(coord: Coord, submit: Submit, conn: redis.Redis) -> None:
    names = [submit() for _ in range(50)]
    assert len(coord.json("cancel", *names)) == 50
    eventually(lambda: conn.llen("rq:queue:tasks") == 0)
