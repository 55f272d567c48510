"""A worker's log: bounded, without secrets, and readable: `coord logs`."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from pool import sessionlog, shown
from pool.claim import Caller
from pool.scripts import Pool
from pool.sessionlog import files, read
from pool.settings import Settings
from tests.redis.coord import Coord
from workers.supervise.logs import Log

Submit = Callable[..., str]
Register = Callable[..., Caller]


def line(kind: str, *blocks: dict[str, Any], **fields: Any) -> bytes:
    content = {"message": {"content": list(blocks)}} if blocks else {}
    return json.dumps({"type": kind, **content, **fields}).encode() + b"\n"


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def every(folder: Path) -> list[dict[str, Any]]:
    return [entry for path in files(folder) for entry in read(path)[0]]


def test_it_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    log = Log(tmp_path, 20_000, 4)
    for number in range(2000):
        log.record(line("assistant", text(f"word {number}")))
    kept = files(tmp_path)
    assert 2 <= len(kept) <= 4 and sum(path.stat().st_size for path in kept) <= 20_000
    said = [entry["frame"]["message"]["content"][0]["text"] for entry in every(tmp_path)]
    assert said == [f"word {number}" for number in range(2000 - len(said), 2000)]
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)


def test_no_secret_is_written(tmp_path: Path) -> None:
    log = Log(tmp_path, 100_000, 2)
    log.hide(['sk-"quoted"-secret', "sk-ant-0123456789"])
    log.record(line("assistant", text('echo sk-"quoted"-secret')))
    log.record(b"plain text with sk-ant-0123456789 in it\n")
    log.event("started with sk-ant-0123456789")
    data = b"".join(path.read_bytes() for path in files(tmp_path))
    assert b"secret" not in data and b"0123456789" not in data and data.count(b"[redacted]") == 3
    assert len(every(tmp_path)) == 3


def test_a_disk_that_cannot_be_written_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file\n")
    log = Log(tmp_path, 1000, 2)
    log.event("lost")
    assert "exists" in log.problem


def test_a_line_that_is_not_whole_is_read_when_it_is(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_bytes(b'{"at": 1, "event": "a"}\nnonsense\n{"at": 2, "ev')
    found, inode, at = read(path)
    assert [entry["event"] for entry in found] == ["a"]
    with path.open("ab") as file:
        file.write(b'ent": "b"}\n')
    assert [entry["event"] for entry in read(path, inode, at)[0]] == ["b"]
    assert read(tmp_path / "gone") == ([], 0, 0)


def test_what_people_see_of_a_frame() -> None:
    def of(**frame: Any) -> list[str]:
        return shown.lines({"at": 1, "frame": frame})

    tool = {"type": "tool_use", "name": "Bash", "input": {"command": "make test\nmake lint", "timeout": 5}}
    assert of(type="assistant", message={"content": [text("I look."), tool]}) == [
        "I look.", "> Bash: make test", ">   make lint",
    ]  # fmt: skip
    long = "\n".join(map(str, range(100)))
    result = {"type": "tool_result", "content": [{"type": "text", "text": long}], "is_error": True}
    assert of(type="user", message={"content": [result]})[-2:] == ["! 11", "! ... and 88 more lines"]
    assert of(type="user", message={"content": "Stop hook feedback:\nTask t: x"})[1] == "» Task t: x"
    retry = of(
        type="system", subtype="api_retry", attempt=2, max_retries=10, error_status=429, error="rate_limit"
    )
    assert retry == ["-- the API answers 429 (rate_limit): attempt 2 of 10"]
    usage = {"input_tokens": 1000, "output_tokens": 234}
    ended = of(type="result", subtype="success", is_error=False, num_turns=3, total_cost_usd=0.5, usage=usage)
    assert ended == ["-- the turn ended (3 steps, 1,234 tokens, 0.5000 USD so far)"]
    assert of(type="assistant", parent_tool_use_id="t", message={"content": [text("sub")]}) == ["   sub"]
    for odd in (
        {"type": "assistant", "message": 5},
        {"type": "result", "usage": None},
        {"type": "other"},
        {},
    ):
        shown.lines({"at": 1, "frame": odd})


def test_the_log_of_a_worker_and_of_a_task(
    coord: Coord, settings: Settings, pool: Pool, submit: Submit, register: Register, conn: redis.Redis
) -> None:
    me = register("w1")
    log = Log(sessionlog.folder(settings.home, "w1"), 100_000, 2)
    log.record(line("assistant", text("before")))
    conn.hset("pool:worker:w1", "tasks", "0")
    for task in ("one", "two"):
        submit(id=task)
        handed = pool.claim(me).handed
        assert handed is not None
        log.task = task
        log.record(line("assistant", text(f"doing \x1b[31m{task}")))
        pool.complete(me, handed.claim, "null")
        log.task = ""
    seen = coord("logs", "w1").out.splitlines()
    assert [each[9:] for each in seen] == ["before", "doing ·[31mone", "doing ·[31mtwo"]
    assert (
        len(coord("logs", "w1", "-n", "1").out.splitlines()) == 1 and coord("logs", "w1", "-n", "0").out == ""
    )
    of_task = coord("logs", "two").out
    assert "two" in of_task and "doing ·[31mone" not in of_task
    found = [json.loads(each) for each in coord("logs", "one", "--json").out.splitlines()]
    assert [entry["task"] for entry in found][-1] == "one"


def test_a_task_of_which_nothing_was_logged_is_told(
    coord: Coord, settings: Settings, pool: Pool, submit: Submit, register: Register
) -> None:
    me = register("w1")
    submit(id="quiet")
    handed = pool.claim(me).handed
    assert handed is not None
    pool.complete(me, handed.claim, "null")
    Log(sessionlog.folder(settings.home, "w1"), 100_000, 2).event("first")
    (path,) = files(sessionlog.folder(settings.home, "w1"))
    path.write_text('{"at": 1, "event": "long ago"}\n')
    assert "nothing was logged for task quiet" in coord("logs", "quiet", code=1).line()
    assert coord("logs", "quiet", "--json", code=1).out == ""


def test_where_there_is_no_log_one_line_says_where_it_is(
    coord: Coord, pool: Pool, submit: Submit, register: Register, conn: redis.Redis
) -> None:
    assert "neither a worker with a log here nor a task" in coord.refused("logs", "nobody")
    submit(id="waits")
    assert "no worker has begun it" in coord.refused("logs", "waits")
    me = register("far")
    assert "has no supervisor" in coord.refused("logs", "far")
    conn.hset("pool:worker:far", "supervisor", "far")
    assert "is on host: run `coord logs` there" in coord.refused("logs", "far")
    assert pool.claim(me).handed
    assert "task waits: the log of far is on host" in coord.refused("logs", "waits")
    conn.hset("pool:worker:far", "host", socket.gethostname().split(".")[0])
    assert "COORD_HOME" in coord.refused("logs", "far")


def test_a_log_is_followed_over_its_rotation(coord: Coord, settings: Settings, conn: redis.Redis) -> None:
    log = Log(sessionlog.folder(settings.home, "w1"), 4_000, 2)
    log.event("first")
    child = coord.start("logs", "w1", "-f")
    assert child.stdout is not None
    assert "first" in child.stdout.readline()
    for number in range(40):
        log.event(f"number {number:02} " + "x" * 60)
        time.sleep(0.02)  # as a session writes: not all at once
    got = [child.stdout.readline().split()[3] for _ in range(40)]
    assert got == [f"{number:02}" for number in range(40)]
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 130
