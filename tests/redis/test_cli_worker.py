"""coord-worker: what a session, a person or any program says to the pool; its exit codes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pool import view
from pool.claim import Caller
from tests.redis.coord import COORD, WORKER, Coord
from tests.session import eventually

Register = Callable[..., Caller]
Submit = Callable[..., str]

MIB = 1024 * 1024


def claim(coord: Coord, name: str = "w") -> str:
    """Claim the next task; TASK.TOKEN."""
    found: str = coord.worker(name, "claim", "--json").json["claim"]
    return found


# -- claim ---------------------------------------------------------------------------------------------


def test_claim_prints_the_whole_task_and_how_to_report(coord: Coord, submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a fence: ```\n")
    submit(
        "Do this\nand that",
        id="t",
        title="Title",
        context=["notes"],
        read=["docs/x"],
        cwd="/srv",
        timeout="10m",
    )
    done = coord.worker("w", "claim")
    for words in (
        "# Task t: Title", "Do this\nand that", "Work in the directory /srv",
        "## Context: notes\n````\na fence: ```\n````",
        "Read docs/x first.", "You have 10m; this is attempt 1.",
    ):  # fmt: skip
        assert words in done.out, words
    assert re.search(r"`coord-worker complete t\.\S+ --result ", done.out)
    again = coord.worker("w", "claim", "--json").json
    assert again["id"] == "t" and again["claim"] in done.out, "who holds a task is given that one"
    assert (again["prompt"], again["attempt"]) == ("Do this\nand that", 1)


def test_claim_without_a_task_is_3(coord: Coord, submit: Submit) -> None:
    assert coord.worker("w", "claim", code=3).out == "No task: no task is waiting.\n"
    assert coord.worker("w", "claim", "--json", code=3).json == {"task": None, "reason": "no task is waiting"}
    coord.worker("w", "park", "--for", "1h", "--reason", "quota")
    submit(id="t")
    assert "this worker is parked: quota" in coord.worker("w", "claim", code=3).out
    coord.worker("w", "unpark")
    coord("drain", "w")
    assert "draining" in coord.worker("w", "claim", code=3).out


def test_who_calls(coord: Coord, submit: Submit, conn: Any) -> None:
    assert "give --worker ID or set COORD_WORKER_ID" in coord.worker("", "status", code=2).line()
    assert coord.worker("", "status", COORD_WORKER_ID="by-env").out.startswith("Worker by-env is")
    assert coord.worker("", "status", WORKER_ID="by-env").out.startswith("Worker by-env is")
    assert coord.worker("named", "status", COORD_WORKER_ID="by-env").out.startswith("Worker named is")
    assert "is not a worker id" in coord.worker("", "status", "--worker", "a b", code=2).line()
    assert view.workers(conn) == [], "asking makes nobody a worker"
    coord.worker("named", "heartbeat")
    assert view.worker(conn, "named").pid > 0


# -- complete ------------------------------------------------------------------------------------------


def test_complete_and_complete_again(coord: Coord, submit: Submit, conn: Any) -> None:
    submit(id="t")
    mine = claim(coord)
    assert (
        coord.worker("w", "complete", mine, "--result", "done 🎉").out
        == "Task t is completed. End your turn now.\n"
    )
    assert view.task(conn, "t").result == "done 🎉"
    again = coord.worker("w", "complete", mine, "--result", "something else", "--json")
    assert again.json == {"id": "t", "status": "finished", "already": True}
    assert view.task(conn, "t").result == "done 🎉", "the first one counts"


@pytest.mark.parametrize(
    ("options", "stdin", "result"),
    [
        ((), b"", None),
        (("--result", "text"), b"", "text"),
        (("--result", ""), b"", ""),
        (("--result", "-"), b"from a pipe \xff", "from a pipe \ufffd"),
        (("--result-json", '{"a": [1, 2.5, null, "ü"]}'), b"", {"a": [1, 2.5, None, "ü"]}),
        (("--result-json", "-"), b"[1]", [1]),
        (("--result-file", "report.txt"), b"", "long\n"),
        (("--result-file", "report.json"), b"", {"n": 1}),
        (("--result=--not-an-option",), b"", "--not-an-option"),
        (("--result", "bytes \udcff"), b"", "bytes \ufffd"),
    ],
    ids=str,
)
def test_results(
    coord: Coord,
    submit: Submit,
    conn: Any,
    tmp_path: Path,
    options: tuple[str, ...],
    stdin: bytes,
    result: object,
) -> None:
    (tmp_path / "report.txt").write_text("long\n")
    (tmp_path / "report.json").write_text('{"n": 1}')
    submit(id="t")
    claim(coord)
    coord.worker("w", "complete", *options, stdin=stdin)
    found = view.task(conn, "t")
    assert (found.status, found.result) == ("finished", result)


def test_the_bounds_of_a_result(coord: Coord, submit: Submit, conn: Any, tmp_path: Path) -> None:
    submit(id="t")
    mine = claim(coord)
    large, right, small = tmp_path / "large", tmp_path / "right", tmp_path / "small"
    large.write_bytes(b"x" * (MIB + 1))
    right.write_bytes(b"x" * (MIB - 2))  # as JSON it has quotes
    small.write_bytes(b"x" * MIB)
    for options, words in [
        (("--result-file", large), "the limit is 1,048,576 (setting result_limit)"),
        (("--result-json", "{oops"), "the result is not JSON"),
        (("--result-file", "nowhere"), "nowhere: No such file"),
        (("--result", "a", "--result-json", "1"), "give one of --result, --result-json"),
        (("--artifact", large), f"artifact {large} has 1,048,577 bytes, the limit is 1,048,576"),
        (("--artifact", tmp_path), "Is a directory"),
        ([each for n in range(9) for each in ("--artifact", small)], "9 artifacts, the limit is 8"),
        (("--artifact", small, "--artifact", small), "two artifacts are called small"),
        (("--bogus",), "has no option --bogus"),
        (("--result",), "--result needs a value"),
        (("one", "two"), "one claim at a time"),
        (("a b",), "is not a task: write TASK.TOKEN"),
    ]:
        assert words in coord.worker("w", "complete", *options, code=2).line()
    assert view.task(conn, "t").status == "started"
    files = []
    for n in range(8):
        (tmp_path / f"{n}.bin").write_bytes(bytes([n]) * MIB)
        files += ["--artifact", f"{n}.bin"]
    coord.worker("w", "complete", mine, "--result-file", right, *files)
    assert len(view.task(conn, "t").result) == MIB - 2
    coord("result", "t", "--artifacts", "kept")
    assert (tmp_path / "kept" / "7.bin").read_bytes() == bytes([7]) * MIB


# -- fail, release -------------------------------------------------------------------------------------


def test_fail(coord: Coord, submit: Submit, conn: Any) -> None:
    submit(id="t", retries=1)
    mine = claim(coord)
    assert "say why it failed" in coord.worker("w", "fail", mine, code=2).line()
    assert "will be tried again" in coord.worker("w", "fail", mine, "--reason", "flaky").out
    assert "was reported already" in coord.worker("w", "fail", mine, "--reason", "flaky").out
    claim(coord)
    assert coord.worker("w", "fail", "--error", "for good", "--json").json == {"id": "t", "status": "failed"}
    assert view.task(conn, "t").error == "for good"


def test_fail_without_a_retry(coord: Coord, submit: Submit, conn: Any) -> None:
    submit(id="t", retries=5)
    claim(coord)
    assert "failed for good" in coord.worker("w", "fail", "--reason", "impossible", "--no-retry").out
    assert view.task(conn, "t").status == "failed"


def test_release(coord: Coord, submit: Submit, conn: Any) -> None:
    submit(id="t")
    mine = claim(coord)
    assert "is not a duration" in coord.worker("w", "release", mine, "--delay", "soon", code=2).line()
    assert (
        "is handed back"
        in coord.worker("w", "release", mine, "--reason", "no GPU here", "--delay", "10m").out
    )
    found = view.task(conn, "t")
    assert (found.status, found.attempts, found.releases, found.error) == ("scheduled", 0, 1, "no GPU here")
    coord("requeue", "t")
    assert claim(coord, "other").startswith("t.")
    coord.worker("other", "release", "--delay", "0", "--no-count")
    found = view.task(conn, "t")
    assert (found.status, found.releases) == ("queued", 1)


# -- park, heartbeat, progress, context, status --------------------------------------------------------


def test_park_and_unpark(coord: Coord, submit: Submit, conn: Any) -> None:
    submit(id="t")
    claim(coord)
    parked = coord.worker(
        "w", "park", "--until", "2036-01-31T12:00Z", "--reason", "waiting for a person", "--json"
    )
    assert parked.json["task"] == "t" and parked.json["until"] == 2085393600.0
    assert view.worker(conn, "w").state == "parked"
    assert coord.worker("w", "unpark").out == "Unparked.\n"
    assert coord.worker("w", "unpark").out == "It was not parked.\n"
    assert coord.worker("w", "status", "--id").out == "t\n", "it kept its task"
    for wrong in ("yesterday", "9" * 400, "0001-01-01"):
        assert "is not a time" in coord.worker("w", "park", "--until", wrong, code=2).line()
    coord.worker("w", "park", "--for", "1s")
    eventually(lambda: coord.worker("w", "status", "--json").json["state"] != "parked", 5)


def test_heartbeat_and_progress(coord: Coord, submit: Submit, conn: Any) -> None:
    submit(id="t")
    mine = claim(coord)
    before = view.worker(conn, "w").last_heartbeat_at
    assert before is not None
    assert coord.worker("w", "heartbeat", mine).out.startswith("OK: w is working, holds t")
    assert coord.worker("w", "heartbeat", "--json").json["task"] == "t"
    assert "say what is being done" in coord.worker("w", "progress", code=2).line()
    coord.worker("w", "progress", "half of it")
    assert view.task(conn, "t").progress == "half of it"
    assert coord.worker("free", "heartbeat").out.startswith("OK: free is starting, 10m idle time left")


def test_context_shows_the_results_it_builds_on(coord: Coord, submit: Submit) -> None:
    submit(id="one")
    submit(id="two")
    submit("Build on it", id="t", after=["one", "two"])
    for result in ('{"made": "a.o"}', '"just text"'):
        mine = claim(coord)
        coord.worker("w", "complete", mine, "--result-json", result)
    mine = claim(coord)
    text = coord.worker("w", "context").out
    assert "It builds on: one, two" in text
    assert '## Result of one\n{"made":"a.o"}' in text and "## Result of two\njust text" in text
    found = coord.worker("w", "context", mine, "--json").json
    assert (found["id"], found["results"]) == ("t", {"one": {"made": "a.o"}, "two": "just text"})
    assert "there is no task 'nobody'" in coord.worker("w", "context", "nobody", code=2).line()


def test_status(coord: Coord, submit: Submit) -> None:
    assert coord.worker("w", "status", "--id", code=3).out == ""
    assert coord.worker("w", "status", "--json").json["state"] is None
    coord.worker("w", "heartbeat")
    free = coord.worker("w", "status", "--json").json
    assert (free["worker"], free["state"], free["task"], free["lost"]) == ("w", "starting", None, None)
    assert 590 < free["idle_left"] <= 600
    submit(id="t")
    mine = claim(coord)
    assert coord.worker("w", "status", "--id").out == "t\n"
    assert coord.worker("w", "status").out == f"Worker w is working, holds task {mine}.\n"
    assert coord.worker("w", "status", "--json").json["claim"] == mine


# -- the claim is not yours any more -------------------------------------------------------------------


def test_every_command_on_a_lost_claim_is_4_and_says_what_to_do(
    coord: Coord, submit: Submit, conn: Any
) -> None:
    submit(id="t")
    mine = claim(coord)
    coord("requeue", "t", "--reason", "needed elsewhere")
    remedy = "drop it, do not commit its work, and go on"
    beat = coord.worker("w", "heartbeat", code=4).line()
    assert beat == f"coord-worker: task t is not yours any more (needed elsewhere): {remedy}"
    claim(coord, "other")
    for argv in (
        ("complete", mine), ("fail", mine, "--reason", "x"), ("release", mine), ("heartbeat", mine),
        ("complete", "t"), ("complete", "t.7-0123456789abcdef"),
    ):  # fmt: skip
        line = coord.worker("w", *argv, code=4).line()
        assert "task t is not yours any more (it was given to other): drop it" in line
    assert "holds no task: name it" in coord.worker("w", "complete", code=4).line()
    assert view.task(conn, "t").worker == "other", "and nothing was changed"
    assert "there is no such task" in coord.worker("w", "complete", "nobody", code=4).line()


# -- usage ---------------------------------------------------------------------------------------------


def test_usage(coord: Coord) -> None:
    help_text = coord.process("--help", program=WORKER)
    assert help_text.code == 0 and "Exit codes: 0 done" in help_text.out
    bare = coord.process(program=WORKER)
    assert bare.code == 2 and bare.out == help_text.out
    assert "there is no command 'clam'" in coord.worker("w", "clam", code=2).line()
    assert "takes no 'now'" in coord.worker("w", "claim", "now", code=2).line()
    assert "--json takes no value" in coord.worker("w", "claim", "--json=yes", code=2).line()
    assert "is not a duration" in coord.worker("w", "park", "--for", "ever", code=2).line()


def test_it_starts_quickly(coord: Coord) -> None:
    """A session calls it often. (`coord` imports redis-py, RQ and pydantic, and takes ten times as long.)"""
    coord.worker("w", "status")

    def quickest(run: Callable[[], object]) -> float:
        took = []
        for _ in range(3):
            began = time.monotonic()
            run()
            took.append(time.monotonic() - began)
        return min(took)

    helper = quickest(lambda: coord.worker("w", "status"))
    full = quickest(lambda: coord.process("tasks", program=COORD))
    assert helper < full / 2, (helper, full)


def test_by_hand_it_follows_coord_toml_and_what_one_call_is_told_is_for_that_call(
    coord: Coord, tmp_path: Path
) -> None:
    (tmp_path / "coord.toml").write_text('idle_limit = "20m"\n')
    assert coord.worker("one", "heartbeat", "--json", COORD_IDLE_LIMIT="5m").json["idle_left"] <= 300
    assert 1100 < coord.worker("two", "heartbeat", "--json").json["idle_left"] <= 1200
    (tmp_path / "coord.toml").write_text('idle_limit = "1h"\n')
    assert coord.worker("three", "heartbeat", "--json").json["idle_left"] > 3500
    assert "is not a setting" in coord.worker("four", "heartbeat", code=2, COORD_IDLE_LIMITS="5m").line()
    (tmp_path / "coord.toml").write_text("idle_limit = \n")
    assert "coord.toml is not TOML" in coord.worker("four", "heartbeat", code=2).line()


def test_json_is_one_object(coord: Coord, submit: Submit) -> None:
    submit(id="t")
    for line in (
        "claim",
        "heartbeat",
        "progress x",
        "context",
        "status",
        "park",
        "unpark",
        "release --delay 0",
    ):
        assert isinstance(coord.worker("w", *line.split(), "--json").json, dict)
