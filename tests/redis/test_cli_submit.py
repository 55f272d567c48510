"""coord submit: every field, from everywhere, all or none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import keys, view
from pool.claim import Caller
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord

Register = Callable[..., Caller]


def job(conn: redis.Redis, task_id: str, name: str) -> str:
    raw: Any = conn.hget(keys.key("job", task_id), name)
    return "" if raw is None else str(raw.decode())


def lines(folder: Path, *tasks: object) -> Path:
    path = folder / "tasks.jsonl"
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in tasks))
    return path


# -- one task ------------------------------------------------------------------------------------------


def test_a_prompt_is_all_it_takes(coord: Coord, conn: redis.Redis, tmp_path: Path) -> None:
    done = coord.process("submit", "Say hello\nto everyone")
    assert done.code == 0
    task_id = done.out.strip()
    found = view.task(conn, task_id)
    assert (found.title, found.status, found.queue, found.priority) == (
        "Say hello",
        "queued",
        "tasks",
        "normal",
    )
    assert view.fields(conn, task_id)["cwd"] == str(tmp_path), "it is done where it was submitted"
    assert found.timeout == 7200
    assert done.err == "coord: no worker serves the queue 'tasks' now; what waits there waits for one\n"


def test_no_warning_when_a_worker_serves_the_queue(coord: Coord, register: Register) -> None:
    register(queues=("tasks",))
    assert coord("submit", "x").err == ""
    assert "'gpu'" in coord("submit", "x", "--queue", "gpu").err


def test_it_says_when_the_queue_is_paused_or_nobody_will_promote(coord: Coord, register: Register) -> None:
    register()
    coord("pause", "tasks")
    assert "is paused: `coord resume tasks`" in coord("submit", "x").err
    coord("resume", "tasks")
    assert "`coord serve`" in coord("submit", "x", "--run-in", "1h").err


def test_it_says_when_what_it_comes_after_will_not_finish(
    coord: Coord, pool: Pool, register: Register, conn: redis.Redis
) -> None:
    coord("submit", "x", "--id", "broken")
    me = register()
    handed = pool.claim(me).handed
    assert handed is not None
    pool.fail(me, handed.claim, "broken", retry=False)
    done = coord("submit", "x", "--after", "broken", "--id", "child")
    assert done.err == "coord: what comes after broken waits: that is failed (`coord retry broken`)\n"
    assert view.task(conn, "child").status == "deferred"
    assert coord("submit", "x", "--after", "broken", "--allow-failure").err == ""
    coord("retry", "broken")
    assert coord("submit", "x", "--after", "broken").err == ""


def test_from_standard_input_and_from_a_file(coord: Coord, conn: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "prompt.md").write_text("\ufeffüber alles 🎉\n", encoding="utf-8")
    by_file = coord("submit", "--file", "prompt.md").out.strip()
    by_pipe = coord.process("submit", "-", stdin="über alles 🎉\n".encode()).out.strip()
    for task_id in (by_file, by_pipe):
        assert view.fields(conn, task_id)["prompt"] == "über alles 🎉\n"
        assert view.task(conn, task_id).title == "über alles 🎉"


def test_every_field(coord: Coord, conn: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the notes\n")
    (tmp_path / "sub").mkdir()
    first = coord("submit", "first", "--id", "first").out.strip()
    soon = datetime.now(UTC) + timedelta(hours=1)
    coord(
        "submit", "do it", "--id", "all", "--title", " A  title\twith blanks ", "--context", "notes.txt",
        "--read", "docs/a.md", "--read", "docs/b.md", "--cwd", "sub", "--queue", "gpu", "--priority", "high",
        "--retries", 3, "--backoff", "10s,1m", "--timeout", "90m", "--run-at", soon.isoformat(),
        "--after", first, "--allow-failure", "--unique", "nightly", "--check", "make test",
    )  # fmt: skip
    found = view.task(conn, "all")
    assert (found.title, found.queue, found.priority) == ("A title with blanks", "gpu", "high")
    assert (found.status, found.after, found.unique) == ("deferred", ["first"], "nightly")
    assert (found.retries_left, found.timeout) == (3, 5400)
    assert job(conn, "all", "retry_intervals") == "[10, 60]"
    assert found.run_at == soon.strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = view.fields(conn, "all")
    assert fields["context"] == [
        {"path": "notes.txt", "text": "the notes\n"}, {"path": "docs/a.md"}, {"path": "docs/b.md"}
    ]  # fmt: skip
    assert (fields["cwd"], fields["check"]) == (str(tmp_path / "sub"), "make test")


def test_no_directory_when_it_is_told_so(coord: Coord, conn: redis.Redis) -> None:
    assert "cwd" not in view.fields(conn, coord("submit", "x", "--cwd", "").out.strip())


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400)]
)
def test_durations(coord: Coord, conn: redis.Redis, text: str, seconds: int) -> None:
    task_id = coord(
        "submit", "x", "--timeout", text, "--run-in", text, "--retries", 1, "--backoff", text
    ).out.strip()
    found = view.task(conn, task_id)
    assert (found.timeout, found.status) == (seconds, "scheduled")
    assert job(conn, task_id, "retry_intervals") == f"[{seconds}]"
    due = float(job(conn, task_id, "pool_not_before"))
    assert abs(due - time.time() - seconds) < 5


def test_a_time_is_local_unless_it_says_otherwise(
    coord: Coord, conn: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        local = coord("submit", "x", "--run-at", "2036-01-31T12:00").out.strip()
        utc = coord("submit", "x", "--run-at", "2036-01-31T12:00Z").out.strip()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert view.task(conn, local).run_at == "2036-01-31T03:00:00Z"
    assert view.task(conn, utc).run_at == "2036-01-31T12:00:00Z"


def test_a_time_that_has_passed_is_now(coord: Coord, conn: redis.Redis) -> None:
    assert view.task(conn, coord("submit", "x", "--run-at", "2020-01-01").out.strip()).status == "queued"
    assert view.task(conn, coord("submit", "x", "--run-in", "0").out.strip()).status == "queued"


def test_a_unique_task_is_there_once(coord: Coord, conn: redis.Redis, pool: Pool, register: Register) -> None:
    first = coord.json("submit", "x", "--unique", "key")
    again = coord("submit", "y", "--unique", "key")
    assert again.out.strip() == first["id"]
    assert "nothing was submitted" in again.err
    assert coord.json("submit", "z", "--unique", "key") == {"id": first["id"], "status": "duplicate"}
    me = register()
    handed = pool.claim(me).handed
    assert handed is not None
    assert coord.json("submit", "z", "--unique", "key")["status"] == "duplicate", "it lives while it runs"
    pool.complete(me, handed.claim, "null")
    assert coord.json("submit", "z", "--unique", "key")["status"] == "queued"


def test_the_bounds_are_settings_and_are_told(
    coord: Coord, conn: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big.txt").write_text("x" * 2000)
    assert (
        "1,048,577 bytes, the limit is 1,048,576 (setting prompt_limit)"
        in coord.process("submit", "-", stdin=b"x" * (2**20 + 1)).line()
    )
    monkeypatch.setenv("COORD_CONTEXT_LIMIT", "1KiB")
    monkeypatch.setenv("COORD_TITLE_LIMIT", "10")
    assert "(setting context_limit)" in coord.refused("submit", "x", "--context", "big.txt")
    assert "(setting context_limit)" in coord.refused("submit", "x", "--read", "p" * 1025)
    assert "(setting title_limit)" in coord.refused("submit", "x", "--title", "01234567890")
    assert conn.zcard("pool:tasks") == 0
    assert view.task(conn, coord("submit", "a long first line").out.strip()).title == "a long fi…"


# -- a file of tasks -----------------------------------------------------------------------------------


def test_a_file_of_tasks(coord: Coord, conn: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "p.md").write_text("from a file")
    path = lines(
        tmp_path,
        "\ufeff" + json.dumps({"id": "build", "prompt": "Build", "priority": "high"}),
        "",
        {"id": "test", "prompt": "Test", "after": ["build"], "retries": 1, "backoff": ["1m"], "cwd": "sub"},
        {"id": "late", "file": "p.md", "run_in": "2h", "queue": "gpu"},
    )
    done = coord("submit", "--from", path)
    assert done.out == "submitted 3 tasks\n"
    assert {each.id: each.status for each in view.tasks(conn, ["build", "test", "late"])} == {
        "build": "queued", "test": "deferred", "late": "scheduled"
    }  # fmt: skip
    assert view.fields(conn, "late")["prompt"] == "from a file"
    assert view.fields(conn, "test")["cwd"] == str(tmp_path / "sub")
    assert view.fields(conn, "build")["cwd"] == str(tmp_path)


def test_from_standard_input_with_json(coord: Coord) -> None:
    tasks = [
        {"prompt": "a", "id": "a"},
        {"prompt": "b", "id": "b", "unique": "k"},
        {"prompt": "c", "unique": "k"},
    ]
    text = "".join(json.dumps(each) + "\n" for each in tasks)
    done = coord.process("submit", "--from", "-", "--json", stdin=text.encode())
    assert done.json == [
        {"id": "a", "status": "queued"}, {"id": "b", "status": "queued"}, {"id": "b", "status": "duplicate"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{oops", "not JSON"),
        ("[1]", "a task is a JSON object"),
        ('{"title": "no prompt"}', "prompt: field required"),
        ('{"prompt": "  "}', "prompt: it is empty"),
        ('{"prompt": "x", "promt": 1}', "'promt' is not a field of a task"),
        ('{"prompt": "x", "queue": "a:b"}', "is not a queue name"),
        ('{"prompt": "x", "priority": "urgent"}', "'high', 'normal' or 'low'"),
        ('{"prompt": "x", "after": ["nobody"]}', "which is no task, nor an earlier line"),
        ('{"prompt": "x", "id": "one"}', "line 1 has the id 'one' already"),
        ('{"prompt": "x", "timeout": NaN}', "between 0 and 100 years"),
        ('{"prompt": "x", "run_at": Infinity}', "not between 1970 and 9998"),
        ('{"prompt": "x", "retries": %s}' % ("9" * 5000), "a number of too many digits"),
        ('{"prompt": "x", "context": %s}' % ("[" * 100_000), "nested too deeply"),
        ('{"prompt": "\\ud800"}', "it is not valid text"),
        ('{"file": "nowhere.md"}', "nowhere.md: No such file or directory"),
        ('{"prompt": "x", "context": ["nowhere.md"]}', "context file nowhere.md"),
        ('{"prompt": "%s"}' % ("x" * 1_048_577), "(setting prompt_limit)"),
    ],
    ids=lambda value: value[:30] if len(value) < 60 else "long",
)  # fmt: skip
def test_a_bad_line_means_that_nothing_is_submitted(
    coord: Coord, conn: redis.Redis, tmp_path: Path, bad: str, why: str
) -> None:
    path = lines(tmp_path, {"prompt": "fine", "id": "one"}, bad, {"prompt": "fine, too"})
    line = coord.refused("submit", "--from", path)
    assert f"{path} line 2: " in line and why in line and line.endswith("; nothing was submitted")
    assert conn.dbsize() == 0


def test_too_many_lines(
    coord: Coord, conn: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_BATCH_LIMIT", "3")
    path = lines(tmp_path, *({"prompt": "x"} for _ in range(4)))
    assert "line 4: more than 3 tasks (setting batch_limit)" in coord.refused("submit", "--from", path)
    assert conn.dbsize() == 0


def test_an_empty_file_and_options_beside_a_file(coord: Coord, tmp_path: Path) -> None:
    assert "there is no task in it" in coord.refused("submit", "--from", lines(tmp_path, "", "  "))
    assert "line 3: line 1 has the id 'a' already" in coord.refused(
        "submit", "--from", lines(tmp_path, '{"id": "a", "prompt": "x"}', "", '{"id": "a", "prompt": "y"}')
    )
    both = lines(tmp_path, '{"prompt": "x", "file": "y"}')
    assert "line 1: give one of 'prompt' and 'file'" in coord.refused("submit", "--from", both)
    assert "not --title, --after" in coord.refused("submit", "--from", "x", "--title", "t", "--after", "a")


def test_a_large_file_shows_its_progress_on_a_terminal_and_waits_in_order(
    coord: Coord, conn: redis.Redis, settings: Settings, tmp_path: Path
) -> None:
    path = lines(tmp_path, *({"prompt": f"number {n}", "id": f"t{n}"} for n in range(1200)))
    with coord.terminal("submit", "--from", path) as shown:
        assert shown.end() == 0
    assert "submitting" in shown.text and "/1200" in shown.text
    assert "submitted 1200 tasks" in shown.text
    assert [each.id for each in view.queued(conn, "tasks", 2000)] == [f"t{n}" for n in range(1200)]
    assert not list(conn.scan_iter("pool:staged:*", count=10_000))
    again = coord.process("submit", "--from", path)
    assert "line 1: a task with the id 't0' exists already; nothing was submitted" in again.line()
    assert conn.zcard("pool:tasks") == 1200
