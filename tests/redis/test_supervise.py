"""Several workers of one supervisor: who keeps them, when fresh ones follow, what breaks them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue

from pool import needs, process, profile
from pool.scripts import Pool
from tests.redis.coord import Coord
from tests.redis.test_supervisor import Supervisor as One
from tests.redis.test_supervisor import ended, kinds, status, until
from workers.supervise.breaker import OPEN_FIRST, TOLERATED, Breaker
from workers.supervise.options import Limits
from workers.supervise.recycle import Wear, resident
from workers.supervise.turns import GO_ON, NUDGES, Next, Turns

Submit = Callable[..., str]
Supervise = Callable[..., One]


@pytest.fixture
def supervise(conn: redis.Redis, tmp_path: Path) -> Iterator[Supervise]:
    made: list[One] = []

    def run(name: str = "s", *options: str, **env: str) -> One:
        made.append(One(tmp_path, name, *options, **{"COORD_PLAYED": "1", **env}))
        return made[-1]

    yield run
    for each in made:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
            each.process.send_signal(signal.SIGTERM)
            each.process.wait(60)


def keepers() -> list[int]:
    """Keepers of this test's sessions."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"keeper.py" in line and os.environ["COORD_HOME"].encode() in line:
            found.append(pid)
    return found


def gated(folder: Path, name: str) -> str:
    return (
        f"run: touch '{folder / name}.on'; until [ -e '{folder / name}' ]; do sleep 0.05; done; echo {name}"
    )


@pytest.mark.settings(idle_limit="1s", recheck="1s", lease="3s", beat="1s")
def test_several_workers_of_one_supervisor_and_no_keeper(
    supervise: Supervise, submit: Submit, conn: redis.Redis, coord: Coord, tmp_path: Path
) -> None:
    one = supervise("s", "-n", "3", "--max", "2")
    tasks = [submit(gated(tmp_path, name), id=name) for name in ("a", "b", "c")]
    until(lambda: (tmp_path / "a.on").exists() and (tmp_path / "b.on").exists())
    seen = coord.json("workers")
    assert sorted(each["id"] for each in seen) == ["s-1", "s-2"]
    assert {(each["mode"], each["supervisor"]) for each in seen} == {("hook", "s")}
    assert "hook mode, up" in coord("workers").out
    assert keepers() == [], "the supervisor keeps them"
    before: Any = conn.hget("pool:worker:s-1", "beat_at")
    until(lambda: conn.hget("pool:worker:s-1", "beat_at") != before)
    until(lambda: sorted(each["task"] for each in one.health()[1]["workers"].values()) == ["", "a", "b"])
    assert status(conn, "c") == "queued", "--max"
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    for task in tasks:
        until(partial(ended, conn, task))
    until(lambda: conn.zcard("pool:workers") == 0)
    assert one.end() == 0
    assert not list((tmp_path / "home" / "sessions").iterdir()), "nothing is left of the sessions"
    assert conn.zcard("pool:supervisors") == 0


@pytest.mark.settings(recheck="1s")
def test_all_sessions_of_a_killed_supervisor_end_and_their_tasks_are_back(
    supervise: Supervise, submit: Submit, conn: redis.Redis
) -> None:
    one = supervise("s", "-n", "2")
    tasks = [submit("run: sleep 1000") for _ in range(2)]
    until(lambda: all(status(conn, task) == "started" for task in tasks))
    until(lambda: all(each["pid"] for each in one.health()[1]["workers"].values()))
    sessions = [process.key(each["pid"]) for each in one.health()[1]["workers"].values()]
    one.process.kill()
    one.process.wait()
    until(lambda: not any(map(process.same, sessions)))
    until(lambda: all(status(conn, task) == "queued" for task in tasks))
    until(lambda: not keepers())


@pytest.mark.settings(recheck="1s")
def test_a_session_is_kept_ready_and_costs_no_turn(
    supervise: Supervise, submit: Submit, conn: redis.Redis
) -> None:
    one = supervise("s", "-n", "2", "--min", "1")
    until(lambda: conn.hget("pool:worker:s-1", "state") == b"waiting")
    assert kinds(conn).count("registered") == 1 and "summoned" not in kinds(conn)
    assert b"at its input" in (conn.hget("pool:worker:s-1", "evidence") or b"")
    assert "prompted" not in kinds(conn), "it has cost no turn"
    task = submit("run: echo done")
    until(lambda: status(conn, task) == "finished")
    assert kinds(conn).count("registered") == 1 and conn.hget(f"rq:job:{task}", "worker_name") == b"s-1"
    until(lambda: conn.hget("pool:worker:s-1", "state") == b"waiting")
    assert one.end() == 0
    assert conn.hget("pool:worker:s-1", "state") == b"stopped"


@pytest.mark.settings(recheck="1s")
def test_a_session_that_is_told_to_begin_for_nothing_asks_nothing_of_the_model(
    supervise: Supervise, submit: Submit, conn: redis.Redis
) -> None:
    """A foreign job waits: a session is started, and finds that it is none of its kind."""
    one = supervise("s")
    Queue("tasks", connection=conn).enqueue("os.system", "true", job_id="pickle")
    until(lambda: status(conn, "pickle") == "failed")
    until(lambda: conn.hget("pool:worker:s", "evidence") == b"at its input, for the next task")
    task = submit("run: echo done")
    until(lambda: status(conn, task) == "finished")
    assert kinds(conn).count("registered") == 1 and kinds(conn).count("prompted") == 2
    assert "reminded" not in kinds(conn)
    assert one.end() == 0


@pytest.mark.settings(recheck="1s", idle_limit="2s", beat="0.5s")
def test_the_idle_clock_and_a_drain_end_a_session_that_is_kept_ready(
    supervise: Supervise, pool: Pool, conn: redis.Redis
) -> None:
    one = supervise("s", "--min", "1")
    until(lambda: kinds(conn).count("registered") == 2)
    until(lambda: conn.hget("pool:worker:s", "state") == b"waiting")
    pool.tune("s", "idle_limit", "600")
    pool.tune("s", "draining", "1")
    until(lambda: kinds(conn).count("registered") == 3)
    assert "prompted" not in kinds(conn) and "tripped" not in kinds(conn)
    assert one.end() == 0


@pytest.mark.settings(recheck="1s", idle_limit="10m")
def test_a_session_that_is_kept_ready_makes_room_for_one_that_is_asked_for(
    supervise: Supervise, submit: Submit, conn: redis.Redis
) -> None:
    one = supervise("s", "--min", "1")
    until(lambda: conn.hget("pool:worker:s", "state") == b"waiting")
    opus = submit("run: echo $COORD_PROFILE", model="opus")
    until(lambda: status(conn, opus) == "finished")
    assert one.end() == 0


@pytest.mark.settings(recheck="1s", idle_limit="10m")
def test_a_session_that_only_waits_makes_room_for_one_that_is_asked_for(
    supervise: Supervise, submit: Submit, conn: redis.Redis
) -> None:
    supervise("s")
    first, opus = submit("run: echo plain"), submit("run: echo $COORD_PROFILE", model="opus")
    until(partial(ended, conn, first))
    until(partial(ended, conn, opus))
    name = profile.Profile(model="opus").name
    assert conn.hget("pool:worker:s", "offers") == (needs.PROFILE + name).encode()
    again = submit("run: echo plain")
    until(partial(ended, conn, again))
    assert conn.hget("pool:worker:s", "offers") == b""
    assert kinds(conn).count("registered") == 3


@pytest.mark.settings(recheck="1s", idle_limit="10m")
def test_a_fresh_session_after_so_many_tasks(supervise: Supervise, submit: Submit, conn: redis.Redis) -> None:
    supervise("s", "--session-tasks", "2")
    tasks = [submit(f"run: echo {number}") for number in range(4)]
    for task in tasks:
        until(partial(ended, conn, task))
    assert kinds(conn).count("registered") == 2


@pytest.mark.settings(recheck="1s", idle_limit="10m")
def test_a_fresh_session_when_the_context_or_the_memory_is_full(
    supervise: Supervise, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one = supervise("s", "--session-tokens", "20", "--session-memory", "100GiB")
    task = submit(gated(tmp_path, "a"))
    until(lambda: "tokens are in its context" in one.said)
    assert status(conn, task) == "started", "its task is finished first"
    (tmp_path / "a").touch()
    until(partial(ended, conn, task))
    until(lambda: conn.zcard("pool:workers") == 0)
    assert one.end() == 0
    assert status(conn, task) == "finished" and not conn.hget(f"rq:job:{task}", "pool_losses")


def test_what_a_session_has_used_up() -> None:
    wear = Wear(os.getpid(), Limits(tokens=1000))
    usage = {"input_tokens": 10, "cache_read_input_tokens": 900, "output_tokens": 89}
    wear.see({"type": "assistant", "message": {"usage": usage}})
    wear.see({"type": "assistant", "parent_tool_use_id": "t", "message": {"usage": {"input_tokens": 5000}}})
    wear.see({"type": "result", "usage": {"input_tokens": 5000}})
    assert (wear.tokens, wear.reached()) == (999, "")
    wear.see({"type": "assistant", "message": {"usage": {**usage, "input_tokens": 11}}})
    assert wear.reached() == "1,000 tokens are in its context"
    assert "its processes take" in Wear(os.getpid(), Limits(memory=1024)).reached()
    assert "it has run for" in Wear(os.getpid(), Limits(seconds=1e-9)).reached()
    assert resident(os.getpid()) > 2**20 and resident(2**22 + 1) == 0


def test_a_breaker_opens_and_tries_again_after_a_growing_pause() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    pauses = [breaker.failed("it broke") for _ in range(TOLERATED + 2)]
    assert breaker.open and breaker.say() == f"it broke, {TOLERATED + 2} times in a row"
    assert pauses[0] < pauses[1] and pauses[TOLERATED - 1] >= OPEN_FIRST * 0.7
    assert pauses[-1] > 2 * OPEN_FIRST
    assert breaker.left == pytest.approx(pauses[-1])
    now = pauses[-1]
    assert breaker.left == 0 and breaker.open, "half-open: one may try"
    breaker.tried()
    assert breaker.left > pauses[-1], "and no other, meanwhile"
    breaker.went_well()
    assert not breaker.open and breaker.left == 0 and breaker.say() == ""
    pause = breaker.failed("no login", at_once=True)
    assert breaker.open and breaker.say() == "no login" and pause >= OPEN_FIRST * 0.7


@pytest.mark.settings(recheck="1s")
def test_an_open_breaker_is_shown_and_costs_tasks_nothing(
    supervise: Supervise, submit: Submit, conn: redis.Redis, coord: Coord, tmp_path: Path
) -> None:
    program = tmp_path / "client"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    task = submit()
    one = supervise("s", COORD_PLAYED="0", COORD_CLAUDE=str(program), ANTHROPIC_API_KEY="sk-made-up-key")
    one.state("broken", healthy=False)
    assert "the session ended with 3, 3 times in a row" in one.health()[1]["breaker"]
    seen = until(lambda: coord.json("workers"))[0]
    assert (seen["id"], seen["state"], seen["supervisor"], seen["pid"]) == (
        "s",
        "broken",
        "s",
        one.process.pid,
    )
    assert "the session ended with 3" in seen["evidence"] and "broken" in coord("workers").out
    assert "tripped" in kinds(conn)
    assert status(conn, task) == "queued" and not conn.hget(f"rq:job:{task}", "pool_losses")
    assert one.end() == 0
    assert coord.json("workers") == [] and "recovered" in kinds(conn)


def test_what_follows_a_turn() -> None:
    def result(**fields: Any) -> dict[str, Any]:
        return {"type": "result", "subtype": "success", **fields}

    def error(name: str, status: int) -> Turns:
        turns = Turns(False)
        turns.see({"type": "assistant", "error": name, "message": {"content": []}})
        assert turns.see(result(is_error=True, api_error_status=status)) and turns.over
        return turns

    quota = error("rate_limit", 429)
    assert quota.next("working", True).what == "go-on", "it was parked, and let go on before that was seen"
    assert [quota.next(state, True).what for state in ("parked", "parked", "working")] == [
        "wait",
        "wait",
        "go-on",
    ]
    unheard = error("rate_limit", 429)  # its hook fails: it is told once to go on, then its account is parked
    assert [unheard.next("working", True).what for _ in range(2)] == ["go-on", "park"]
    alone = error("overloaded", 529)
    assert [alone.next("working", True).what for _ in range(2)] == ["go-on", "pause"]
    login = error("authentication_failed", 401)
    assert login.blame() == ("API error: authentication_failed; renew its login", True)
    assert login.next("working", False) == Next("stop", login.blame()[0], None, True)  # type: ignore[index]
    assert error("model_not_found", 404).next("working", True).what == "give-back"
    limited = Turns(True)
    limited.see(result(subtype="error_max_turns", is_error=True))
    assert limited.next("working", True)[:2] == ("fail", "its limit of turns is reached")
    aimless = Turns(False)
    for _ in range(NUDGES):
        aimless.see(result())
        assert aimless.next("working", True).what == "go-on"
        aimless.said()
    aimless.see(result())
    assert aimless.next("working", True).what == "give-back"
    assert "coord-worker context" in GO_ON


def test_options_that_do_not_fit_are_one_line(coord: Coord, tmp_path: Path) -> None:
    for options, word in (
        (["-n", "0"], "--workers"), (["--max", "2"], "--max"), (["--min", "2"], "--min"),
        (["--fork"], "--fork"), (["-n", "2", "--resume", "x"], "--resume"), (["--budget", "-1"], "budget"),
        (["--session-memory", "lots"], "--session-memory"), (["--queue", "a b"], "--queue"),
        (["--session-tasks", "-1"], "--session-tasks"), (["--model", "a b"], "model"),
        (["--project", str(tmp_path / "none")], "is not a folder"),
    ):  # fmt: skip
        assert word in coord.refused("worker", "run", *options)


def test_the_prompt_of_a_person_claims_nothing_and_the_supervisors_does(
    session: Callable[..., Any], submit: Submit, conn: redis.Redis
) -> None:
    submit(id="t")
    person = session("w1")
    person.start()
    assert person.hook("UserPromptSubmit", prompt="Work for the pool.") == {}
    assert status(conn, "t") == "queued"
    held = session("w2", COORD_SUPERVISED="w2", COORD_MODE="hook")
    held.start()
    assert held.hook("UserPromptSubmit", prompt="<task-notification>over</task-notification>") == {}
    said = held.hook("UserPromptSubmit", prompt="Work for the pool.")
    assert "coord-worker complete t." in said["hookSpecificOutput"]["additionalContext"]
    assert status(conn, "t") == "started" and not conn.hget("rq:job:t", "pool_provisional")
    assert conn.hget("pool:worker:w2", "state") == b"working"
    assert held.hook("UserPromptSubmit", prompt="Go on.") == {}, "it has it"


def test_no_session_is_started_for_an_account_that_is_barred(pool: Pool, submit: Submit) -> None:
    submit()
    pool.account("stop", "team", reason="no login")
    verdict, why = pool.summon("s", ("tasks",), 60.0, account="team")
    assert verdict == "wait" and why.startswith("its account is stopped")
    assert pool.summon("s", ("tasks",), 60.0, account="other")[0] == "start"
