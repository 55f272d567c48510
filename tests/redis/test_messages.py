"""`coord tell`: messages of an operator's to a working session, each told once, or said why not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from pool import events, view, words
from pool.claim import Caller
from pool.scripts import Pool
from tests.redis.coord import Coord
from tests.redis.test_hooks import claim_in
from tests.session import Session, eventually

Start = Callable[..., Session]
Submit = Callable[..., str]
Register = Callable[..., Caller]


def context(answer: dict[str, Any]) -> str:
    return str(answer.get("hookSpecificOutput", {}).get("additionalContext", ""))


def happened(conn: redis.Redis, *kinds: str) -> list[tuple[str, str, str]]:
    """(type, task, detail) of the events of these kinds, oldest first."""
    rows = events.latest(conn, 1000)[::-1]
    return [(row["type"], row["task"], row["detail"]) for row in rows if row["type"] in kinds]


def marked(one: Session) -> None:
    eventually(lambda: (one.home / "words").exists(), 30, "the keeper has heard of it")


@pytest.fixture
def working(session: Start, submit: Submit) -> Session:
    """A session that works on task t. Its keeper's beat is far longer than a test."""
    one = session("w1", COORD_BEAT="30s", COORD_RECHECK="20s")
    one.start()
    submit(id="t")
    one.claim = claim_in(one.hook("Stop"))  # type: ignore[attr-defined]
    return one


# -- delivery ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["w1", "t"])
def test_it_is_told_at_the_next_tool_call_once(
    target: str, working: Session, coord: Coord, conn: redis.Redis
) -> None:
    began = time.monotonic()
    said = coord.json("tell", target, "Use the branch \x1b[31mfix-1\nand nothing else")
    message = said["message"]
    assert said == {"message": message, "worker": "w1", "task": "t" if target == "t" else None,
                    "state": "working", "holds": "t"}  # fmt: skip
    marked(working)
    assert time.monotonic() - began < 10, "the keeper is called; it does not wait for its beat (30 s)"
    assert coord.json("workers")[0]["messages"] == coord.json("task", "t")["messages"] == 1
    assert "1 message not read yet" in coord("workers").out
    text = context(working.hook("PostToolUse", tool_name="Bash"))
    assert text.startswith("Message from an operator of the pool")
    assert "> Use the branch  [31mfix-1\n> and nothing else\n" in text
    assert ("about task t" in text) is (target == "t")
    assert working.hook("PostToolUse", tool_name="Bash") == {}
    assert happened(conn, "tell", "told", "untold") == [("tell", "t", message), ("told", "t", message)]
    assert coord.json("workers")[0]["messages"] == 0 and not (working.home / "words").exists()


def test_at_a_stop_it_is_feedback_and_no_reminder(working: Session, coord: Coord, conn: redis.Redis) -> None:
    coord("tell", "t", "The tests are in another folder")
    marked(working)
    answer = working.hook("Stop")
    assert answer["decision"] == "block" and "another folder" in context(answer)
    assert happened(conn, "reminded") == []
    assert "You still hold task t" in working.hook("Stop")["reason"]


def test_a_prompt_brings_it_too(working: Session, coord: Coord) -> None:
    coord("tell", "w1", "Be quick")
    marked(working)
    assert "> Be quick" in context(working.hook("UserPromptSubmit", prompt="hello"))


def test_without_a_message_a_tool_call_asks_redis_nothing(working: Session, conn: redis.Redis) -> None:
    eventually(working.keeper)

    def asked() -> int:
        stats: Any = conn.info("commandstats")
        return sum(v["calls"] for k, v in stats.items() if k in ("cmdstat_evalsha", "cmdstat_eval"))

    def silent() -> bool:
        before = asked()
        for _ in range(5):
            assert working.hook("PostToolUse", tool_name="Bash") == {}
        return asked() == before

    assert silent() or silent()  # (the keeper, which has only just begun, asks now and then)


def test_a_waiting_worker_has_it_with_its_next_task(
    session: Start, coord: Coord, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1", COORD_BEAT="30s", COORD_RECHECK="20s")
    one.start()
    waiting = one.start_hook("Stop")
    eventually(lambda: view.worker(conn, "w1").state == "waiting")
    assert "with its next one (--wake: now)" in coord("tell", "w1", "Mind the gap").out
    marked(one)
    assert waiting.running(), "a turn would cost tokens"
    submit(id="t", prompt="x" * 20_000)
    answer = waiting.end()
    text = context(answer)
    assert claim_in(answer).startswith("t.") and text.endswith("ends none.)") and "> Mind the gap" in text
    assert len(text) < 10_000
    assert one.hook("PostToolUse", tool_name="Bash") == {}


def test_a_waiting_worker_is_woken_if_that_is_wanted(session: Start, coord: Coord, conn: redis.Redis) -> None:
    one = session("w1", COORD_BEAT="30s", COORD_RECHECK="20s")
    one.start()
    waiting = one.start_hook("Stop")
    eventually(lambda: view.worker(conn, "w1").state == "waiting")
    said = coord.json("tell", "w1", "Look at the queue", "--wake")
    answer = waiting.end()
    assert answer["decision"] == "block" and "> Look at the queue" in context(answer)
    assert happened(conn, "told") == [("told", "", said["message"])]
    again = one.start_hook("Stop")  # and it is woken once
    eventually(lambda: view.worker(conn, "w1").state == "waiting")
    assert again.running()


def test_of_two_hooks_at_once_one_tells_it(
    working: Session, coord: Coord, pool: Pool, conn: redis.Redis
) -> None:
    for number in range(5):
        coord("tell", "t", f"number {number}")
    marked(working)
    caller = Caller("w1", working.data["epoch"])
    first, second = words.take(pool, caller), words.take(pool, caller)
    assert first is not None and second is None and len(first.ids) == 5
    assert first.done() == 0 and first.done() == 0
    assert len(happened(conn, "told")) == 5
    assert words.take(pool, caller) is None


@pytest.mark.settings(provisional="300ms")
def test_a_hook_that_died_before_it_told_it_leaves_it_to_the_next(
    working: Session, coord: Coord, pool: Pool
) -> None:
    coord("tell", "t", "once more")
    marked(working)
    lost = words.take(pool, Caller("w1", working.data["epoch"]))
    assert lost is not None
    text = eventually(lambda: context(working.hook("PostToolUse", tool_name="Bash")), what="it is told again")
    assert "> once more" in text
    lost.done()  # too late: it counts for nothing
    assert coord.json("workers")[0]["messages"] == 0


def test_many_are_told_in_parts_each_once(working: Session, coord: Coord, conn: redis.Redis) -> None:
    for number in range(32):
        coord("tell", "t", f"message {number:02} " + "x" * 400)
    refused = coord("tell", "t", "one too many", code=2)
    assert refused.line() == "coord: 32 messages wait for worker w1 already: nothing was sent"
    marked(working)
    seen: list[str] = []
    while len(seen) < 32:
        text = context(working.hook("PostToolUse", tool_name="Bash"))
        assert text and len(text) < 10_000
        seen += [line[10:12] for line in text.splitlines() if line.startswith("> message")]
    assert seen == [f"{number:02}" for number in range(32)]


@pytest.mark.parametrize("text", ["x" * 4096, "a\n" * 2048, "\U0001f600" * 1024])
def test_the_longest_one_fits(text: str, working: Session, coord: Coord, conn: redis.Redis) -> None:
    coord("tell", "t", text)
    marked(working)
    found = context(working.hook("PostToolUse", tool_name="Bash"))
    assert found.endswith("ends none.)") and len(found.encode("utf-16-le")) // 2 < 10_000


# -- what becomes of those that cannot be told -------------------------------------------------------


def test_a_task_that_is_over_has_no_use_for_it(working: Session, coord: Coord, conn: redis.Redis) -> None:
    message = coord.json("tell", "t", "too late")["message"]
    marked(working)
    assert working.bash("coord-worker complete --result done").returncode == 0
    assert working.hook("PostToolUse", tool_name="Bash") == {}
    assert happened(conn, "untold") == [("untold", "t", f"{message}: the worker holds that task no more")]
    assert not (working.home / "words").exists()


def test_it_ends_with_the_registration(working: Session, coord: Coord, conn: redis.Redis) -> None:
    waiting = coord.start("tell", "t", "hello", "--wait", "--json")
    marked(working)
    working.kill()
    out, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 1 and '"why": "the worker is dead"' in out
    assert [each[0] for each in happened(conn, "told", "untold")] == ["untold"]
    assert not conn.keys("pool:words:*")


def test_wait_ends_when_it_is_told(working: Session, coord: Coord) -> None:
    waiting = coord.start("tell", "t", "hello", "--wait")
    marked(working)
    assert waiting.poll() is None
    working.hook("PostToolUse", tool_name="Bash")
    out, err = waiting.communicate(timeout=20)
    assert (waiting.returncode, err) == (0, "") and out.endswith("w1 has it\n")


def test_wait_has_an_end_of_its_own(working: Session, coord: Coord) -> None:
    done = coord("tell", "t", "hello", "--wait", "--timeout", "200ms", code=1)
    assert "w1 has not got it yet: the time ran out (0s)" in done.out


# -- what cannot be sent -----------------------------------------------------------------------------


def test_who_cannot_be_told_is_said_in_one_line(
    coord: Coord, register: Register, pool: Pool, submit: Submit, conn: redis.Redis
) -> None:
    submit(id="queued")
    pool.deregister(register("gone"), died=True, why="its process is gone")
    conn.hset("pool:worker:" + register("older").worker, "scripts", 2)
    for argv, line in {
        ("nobody", "x"): "'nobody' is neither a live worker nor a task: `coord workers`, `coord tasks`",
        ("gone", "x"): "worker gone is dead: nothing was sent",
        ("queued", "x"): "task queued does not run, it is queued: nothing was sent",
        ("older", "x"): "worker older runs an older coord, which hears no messages: nothing was sent",
        ("gone", "  "): "the message is empty; nothing was sent",
        (
            "gone",
            "x" * 5000,
        ): "the message has more than 4,096 bytes (setting message_limit); nothing was sent: "
        "shorten it, or name a file in it",
        ("gone", "x", "--timeout", "1s"): "--timeout goes with --wait",
    }.items():
        assert coord("tell", *argv, code=2).line() == f"coord: {line}"
    assert happened(conn, "tell") == []


def test_a_program_without_hooks_reads_it_with_its_heartbeat(
    coord: Coord, submit: Submit, pool: Pool, register: Register
) -> None:
    submit(id="t")
    pool.claim(register("program"))
    coord("tell", "t", "Use the other branch")
    beat = coord.worker("program", "heartbeat")
    assert "> Use the other branch" in beat.out
    assert "other branch" not in coord.worker("program", "heartbeat").out


# -- a cancelled task --------------------------------------------------------------------------------


def test_a_cancelled_task_is_told_before_the_next_beat(working: Session, coord: Coord) -> None:
    coord("cancel", "t", "--reason", "not needed")
    eventually(lambda: (working.home / "lost").exists(), what="the keeper was called")
    text = context(working.hook("PostToolUse", tool_name="Bash"))
    assert text.startswith("Task t is not yours any more (not needed)")


def test_a_called_keeper_still_notices_death_at_once(
    working: Session, coord: Coord, conn: redis.Redis
) -> None:
    keeper = eventually(working.keeper)
    coord("tell", "w1", "hello")
    marked(working)
    working.kill()
    eventually(lambda: view.task(conn, "t").status == "queued", 5, "its death is reported")
    eventually(lambda: keeper not in working.keepers())


def test_a_keeper_started_again_hears_of_what_was_sent_meanwhile(working: Session, coord: Coord) -> None:
    keeper = eventually(working.keeper)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: keeper not in working.keepers())
    coord("tell", "w1", "hello")
    told = working.hook("PostToolUse", tool_name="Bash")  # starts one again, which may be as quick
    if not told:
        marked(working)
        told = working.hook("PostToolUse", tool_name="Bash")
    assert "> hello" in context(told)
