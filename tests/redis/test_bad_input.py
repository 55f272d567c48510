"""Bad input, one line each: what was wrong and what to do, a documented exit code, nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pool import view
from pool.claim import Caller
from pool.scripts import Pool
from tests.redis.coord import Coord

Submit = Callable[..., str]
Register = Callable[..., Caller]

SECRET = "hunter2-SECRET"


def keyspace(conn: Any) -> dict[bytes, object]:
    """Every key with its value."""
    read: dict[bytes, Callable[[bytes], object]] = {
        b"hash": conn.hgetall, b"string": conn.get, b"set": conn.smembers, b"stream": conn.xrange,
        b"list": lambda key: conn.lrange(key, 0, -1),
        b"zset": lambda key: conn.zrange(key, 0, -1, withscores=True),
    }  # fmt: skip
    return {key: read[conn.type(key)](key) for key in conn.scan_iter(count=1000)}


@pytest.fixture
def unchanged(conn: Any, submit: Submit, register: Register, pool: Pool) -> Iterator[None]:
    """There are a task and a worker that holds another; whatever the test does, they are as before."""
    submit(id="held")
    me = register("holder")
    pool.claim(me)
    submit(id="there")
    before = keyspace(conn)
    yield
    assert keyspace(conn) == before


# -- arguments -----------------------------------------------------------------------------------------

CASES: list[tuple[list[str], str]] = [
    (["submit"], "give one of: a prompt, '-', --file FILE, --from FILE"),
    (["submit", ""], "prompt: it is empty"),
    (["submit", " \n\t"], "prompt: it is empty"),
    (["submit", "x", "y"], "unexpected extra argument (y)"),
    (["submit", "bad \udcff\udcfe"], "prompt: it is not valid text (UTF-8)"),
    (["submit", "x", "--title", "\udcff"], "title: it is not valid text (UTF-8)"),
    (["submit", "x", "--id", "a b"], "id: 'a b' is not a task id: letters, digits, '_' and '-', 200 at most"),
    (["submit", "x", "--id", "there"], "a task with the id 'there' exists already; nothing was submitted"),
    (["submit", "x", "--queue", "a:high"], "queue: 'a:high' is not a queue name: letters, digits"),
    (["submit", "x", "--priority", "urgent"], "'urgent' is not one of 'high', 'normal', 'low'"),
    (["submit", "x", "--retries", "many"], "'many' is not a valid integer"),
    (["submit", "x", "--retries", "-1"], "retries: it must be between 0 and 1000"),
    (["submit", "x", "--check", ""], "--check is empty: give it a value, or leave it out"),
    (["submit", "x", "--model", ""], "--model is empty: give it a value, or leave it out"),
    (["submit", "x", "--unique", ""], "--unique is empty: give it a value, or leave it out"),
    (["submit", "x", "--worktree", "--worktree-base", ""], "--worktree-base is empty: give it a value"),
    (["submit", "x", "--backoff", "1m"], "a backoff needs retries"),
    (["submit", "x", "--retries", "1", "--backoff", "soon"], "'soon' is not a duration: write 90, 90s"),
    (["submit", "x", "--timeout", "0"], "timeout: it must be more than 0"),
    (["submit", "x", "--timeout", "1 fortnight"], "timeout: '1 fortnight' is not a duration: write 90, 90s"),
    (["submit", "x", "--run-in", "-5m"], "run_in: '-5m' is not a duration"),
    (["submit", "x", "--run-in", "9" * 30 + "h"], "is longer than 100 years"),
    (["submit", "x", "--run-at", "tomorrow"], "run_at: 'tomorrow' is not a time: write 2026-01-31T12:00"),
    (["submit", "x", "--run-at", "0001-01-01"], "run_at: '0001-01-01' is not"),
    (["submit", "x", "--run-at", "9" * 25], "is not between 1970 and 9998"),
    (["submit", "x", "--run-at", "2036-01-01", "--run-in", "1h"], "run_at and run_in exclude each other"),
    (["submit", "x", "--after", "nobody"], "it comes after 'nobody', which is no task; nothing was"),
    (["submit", "x", "--after", "a b"], "after: 'a b' is not a task id"),
    (["submit", "x", "--id", "me", "--after", "me"], "a task cannot come after itself"),
    (["submit", "x", "--unique", "k" * 5000], "unique: it has more than 4096 characters"),
    (["submit", "--file", "nowhere"], "nowhere: No such file or directory"),
    (["submit", "--file", "folder"], "folder: Is a directory"),
    (["submit", "--file", "binary"], "binary is not text (UTF-8)"),
    (["submit", "--from", "nowhere"], "nowhere: No such file or directory; nothing was submitted"),
    (["submit", "--from", "folder"], "folder: Is a directory; nothing was submitted"),
    (["submit", "--from", "binary"], "binary is not text (UTF-8); nothing was submitted"),
    (["submit", "--from", "binary", "--queue", "q"], "--from takes all from the file, not --queue"),
    (["submit", "x", "--context", "binary"], "context file binary is not text: pass it with --read instead"),
    (["submit", "x", "--context", "folder"], "context file folder: Is a directory"),
    (["tasks", "--status", "done"], "'done' is not one of 'queued', 'deferred'"),
    (["tasks", "--limit", "0"], "0 is not in the range"),
    (["tasks", "--jso"], "No such option '--jso'. Did you mean '--json'? `coord tasks --help` shows how"),
    (["task"], "Missing argument 'ID': `coord task --help` shows how"),
    (["task", "nobody"], "there is no task 'nobody' (it may have expired): `coord tasks` lists them"),
    (["task", "evil\x1b[31m\nname"], "there is no task"),
    (["result", "nobody"], "there is no task 'nobody'"),
    (["wait", "there", "nobody"], "there is no task 'nobody'"),
    (["wait", "there", "--timeout", "long"], "'long' is not a duration"),
    (["cancel", "there", "nobody"], "`coord tasks` lists them; nothing was changed"),
    (["retry", "there"], "is queued and cannot be retried: it waits for a worker; nothing was changed"),
    (["requeue", "there"], "task there is queued and cannot be requeued"),
    (["drain", "nobody"], "'nobody' is no live worker: `coord workers` lists them; nothing was changed"),
    (["drain"], "name workers, or give --all"),
    (["idle", "soon", "--all"], "'soon' is not a duration: write 90, 90s, 10m or 2h"),
    (["pause"], "name a queue, or give --all"),
    (["pause", "a b"], "'a b' is not a queue name"),
    (["events", "--limit", "-1"], "-1 is not in the range"),
    (["trigger", ""], "prompt: it is empty"),
    (["trigger", "{oops"], "it starts with { but is not valid JSON"),
    (["trigger", '{"prompt": "x", "n": ' + "9" * 5000 + "}"], "it starts with { but is not valid JSON"),
    (["trigger", '{"a":' * 5000], "it starts with { but is n"),
    (["trigger", '{"prompt": "x", "cwd": "/"}'], "it may not set 'cwd' (the setting trigger_allow"),
    (["trigger", '{"prompt": "x", "queue": "a b"}'], "queue: 'a b' is not a queue name"),
    (["trigger", "x" * 65_537], "it has 65,537 bytes, the limit is 65,536 (setting trigger_limit)"),
    (["trigger", "\udcff"], "it is not UTF-8 text"),
    (["taks"], "No such command 'taks': `coord --help` shows how"),
]  # fmt: skip


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("case", CASES, ids=[f"{argv[0]}{number}" for number, (argv, _) in enumerate(CASES)])
def test_arguments(coord: Coord, tmp_path: Path, case: tuple[list[str], str]) -> None:
    argv, words = case
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    line = coord.refused(*argv)
    assert line.startswith("coord: ") and words in line and line.isprintable()


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_may_not_be_read(coord: Coord, tmp_path: Path) -> None:
    # (Root may read everything; a link to itself nobody can.)
    (tmp_path / "loop").symlink_to("loop")
    for argv in (
        ("submit", "--file", "loop"),
        ("submit", "--from", "loop"),
        ("submit", "x", "--context", "loop"),
    ):
        assert "loop: Too many levels of symbolic links" in coord.refused(*argv)


@pytest.mark.usefixtures("unchanged")
def test_in_a_folder_that_is_gone(coord: Coord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert coord("tasks").code == 0
    assert "the current directory is gone: name another with --cwd" in coord.refused("submit", "x")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("stdin", "argv"),
    [(b"\xff\xfe\x00", ["submit", "-"]), (b"\xff\xfe\x00", ["submit", "--from", "-"]), (b"", ["submit", "-"]),
     (b"\xff", ["trigger", "-"]), (b"x" * (2**20 + 1), ["submit", "-"])],
    ids=["binary", "binary lines", "nothing", "binary trigger", "too large"],
)  # fmt: skip
def test_standard_input(coord: Coord, stdin: bytes, argv: list[str]) -> None:
    done = coord.process(*argv, stdin=stdin)
    assert (done.code, done.line()[:7]) == (2, "coord: ")


def test_what_is_only_strange_is_taken(coord: Coord, conn: Any, tmp_path: Path) -> None:
    strange = "nul \x00 escape \x1b[31m emoji 🎉 bidi \u202e quote ' \" \\ percent %s {0} $(x) [b]"
    (tmp_path / "p").write_text(strange)
    task_id = coord("submit", "--file", "p").out.strip()
    assert view.fields(conn, task_id)["prompt"] == strange
    assert view.task(conn, task_id).title.isprintable()


# -- a foreign claim -----------------------------------------------------------------------------------


def test_a_foreign_claim_is_4(
    coord: Coord, submit: Submit, register: Register, pool: Pool, conn: Any
) -> None:
    submit(id="held")
    handed = pool.claim(register("holder")).handed
    assert handed is not None
    before = {key: value for key, value in keyspace(conn).items() if b"held" in key or b"holder" in key}
    for argv in (("complete",), ("fail", "--reason", "x"), ("release",), ("heartbeat",)):
        line = coord.worker("thief", argv[0], handed.claim, *argv[1:], code=4).line()
        assert line.endswith("(it was given to holder): drop it, do not commit its work, and go on")
    after = keyspace(conn)
    assert {key: after[key] for key in before} == before
    assert [row["type"] for row in coord.json("events", "-w", "thief")] == ["refused"] * 3 + ["registered"]


# -- settings ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("COORD_REDIS", "x", "COORD_REDIS is not a setting: `coord settings` lists them"),
        ("coord_lease", "5", "coord_lease is not read: write COORD_LEASE"),
        ("COORD_IDLE_LIMIT", "long", "COORD_IDLE_LIMIT: 'long' is not a duration: write 90, 90s, 10m or 2h"),
        ("COORD_LEASE", "0", "COORD_LEASE: input should be greater than or equal to 0.5"),
        ("COORD_EVENT_LIMIT", "-5", "COORD_EVENT_LIMIT: input should be greater than or equal to 1"),
        ("COORD_MAX_TASKS", "2.5", "COORD_MAX_TASKS: '2.5' is not a whole number"),
        (
            "COORD_PROMPT_LIMIT",
            "big",
            "COORD_PROMPT_LIMIT: 'big' is not a size: write 1048576, 512KiB or 1MiB",
        ),
        ("COORD_PLAYED", "maybe", "COORD_PLAYED: 'maybe' is not yes or no"),
        ("COORD_QUEUES", "a:b", "COORD_QUEUES: 'a:b' is not a queue name"),
        ("COORD_STOP_MODE", "never", "COORD_STOP_MODE: input should be 'wait' or 'poll'"),
        ("COORD_CONFIG", "nowhere.toml", "COORD_CONFIG names nowhere.toml, which is not a file"),
    ],
)
def test_variables(coord: Coord, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    assert words in coord.refused("submit", "x")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"idle_limt = 5", "idle_limt is not a setting ("),
        (b"[redis]\nurl = 'x'", "redis is not a setting ("),
        (b"idle_limit = 'long'", "coord.toml): 'long' is not a duration: write 90, 90s, 10m or 2h"),
        (b"lease = [1]", "is not a duration"),
        (b"queues = 5", "coord.toml): input should be a valid list"),
        (b"idle_limit = ", "coord.toml is not TOML: "),
        (b"\xff\xfe", "coord.toml is not TOML: it is not UTF-8 text"),
        (b"redis_url = 'redis://:hunter2-SECRET@host:port'\nidle_limit = 'x'", "idle_limit"),
    ],
)  # fmt: skip
def test_coord_toml(coord: Coord, tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "coord.toml").write_bytes(text)
    for line in (coord.refused("submit", "x"), coord.worker("w", "claim", code=2).line()):
        assert words in line and SECRET not in line


@pytest.mark.usefixtures("unchanged")
def test_a_home_that_is_a_file(coord: Coord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COORD_HOME", str(tmp_path / "file"))
    assert coord("tasks").code == 0, "whoever needs no HOME goes on without it"
    assert coord.worker("w", "context", "nobody", code=2).line().endswith("(it may have expired)")
    monkeypatch.delenv("COORD_REDIS_URL")
    assert f"coord's own files cannot be kept in {tmp_path}/file: File exists" in coord.refused("up")
