"""What can happen to a hook (design section 6), each as a test of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pool import profile, view
from pool.scripts import Pool
from tests.proxy import Proxy
from tests.redis.test_hooks import claim_in
from tests.server import Server, free_port
from tests.session import Session, eventually

Start = Callable[..., Session]
Submit = Callable[..., str]


def waiting(conn: redis.Redis, worker: str) -> bool:
    return view.worker(conn, worker).state == "waiting"


@pytest.mark.settings(provisional="1s")
def test_killed_between_claim_and_print_the_task_goes_back_uncounted(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool, server: Server
) -> None:
    proxy = Proxy(server.port)
    one = session("w1")
    one.start()
    submit(id="t")
    one.env["COORD_REDIS_URL"] = proxy.url
    call = None

    def pid() -> int:
        assert call is not None
        return call.process.pid

    proxy.kill_at(1, "after", pid)
    call = one.start_hook("Stop")
    call.process.communicate(timeout=10)
    assert call.process.returncode == -signal.SIGKILL
    assert view.task(conn, "t").status == "started", "Redis has run the claim"
    eventually(lambda: ("t", "queued", "unconfirmed") in pool.reap("", False), 3.0)
    found = view.task(conn, "t")
    assert (found.status, found.losses, found.attempts) == ("queued", 0, 0)
    proxy.close()


@pytest.mark.settings(provisional="60s")
def test_a_cut_off_hand_over_is_delivered_again_at_the_next_prompt(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool, server: Server
) -> None:
    one = session("w1")
    one.start()
    submit(id="t", prompt="the whole of it")
    from pool.claim import Caller

    look = pool.claim(Caller("w1", one.data["epoch"]), "new", 1.0)  # what the cut-off hook has done
    assert look.handed is not None and look.handed.provisional
    answer = one.hook("UserPromptSubmit", prompt="hello?")
    assert claim_in(answer) == str(look.handed.claim)
    assert "the whole of it" in json.dumps(answer)
    assert not pool.claim(Caller("w1", one.data["epoch"])).handed.provisional  # type: ignore[union-attr]


@pytest.mark.settings(provisional="60s")
def test_a_cut_off_hand_over_is_delivered_again_at_the_next_stop(
    session: Start, submit: Submit, pool: Pool
) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    from pool.claim import Caller

    look = pool.claim(Caller("w1", one.data["epoch"]), "new", 1.0)
    assert look.handed is not None
    assert claim_in(one.hook("Stop")) == str(look.handed.claim)


def test_orphaned_the_hook_claims_nothing_and_ends(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    call = one.start_hook("Stop")
    eventually(lambda: waiting(conn, "w1"))
    one.kill()
    assert call.end(5.0) == {}
    submit(id="t")
    assert view.task(conn, "t").status == "queued"


def test_of_two_stops_at_once_the_later_one_waits(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    first = one.start_hook("Stop")
    eventually(lambda: waiting(conn, "w1"))
    second = one.start_hook("Stop")
    assert first.end(5.0) == {}, "superseded: it says nothing"
    submit(id="t")
    assert second.end(5.0)["reason"].startswith("Task t")


def test_a_prompt_ends_the_wait(session: Start, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    call = one.start_hook("Stop")
    eventually(lambda: waiting(conn, "w1"))
    one.hook("UserPromptSubmit", prompt="what is going on?")
    assert call.end(5.0) == {}


def test_its_timeout_reached_it_blocks_once_to_come_back(session: Start, conn: redis.Redis) -> None:
    one = session("w1", COORD_HOOK_TIMEOUT="2s", COORD_RECHECK="500ms")
    one.start()
    answer = one.hook("Stop")
    assert answer["decision"] == "block" and "idle time remain" in answer["reason"]
    assert view.worker(conn, "w1").state == "waiting"


def test_poll_mode_blocks_per_check_with_the_older_wording(session: Start, submit: Submit) -> None:
    one = session("w1", COORD_STOP_MODE="poll", COORD_POLL_WAIT="200ms")
    one.start()
    began = time.monotonic()
    assert one.hook("Stop") == {"decision": "block", "reason": "Waiting for tasks (10 min idle remaining)"}
    assert time.monotonic() - began < 3
    submit(id="t")
    assert one.hook("Stop")["reason"].startswith("Task t")


def test_a_signal_ends_the_wait_and_the_bell_goes_to_another(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one, two = session("w1", COORD_RECHECK="60s"), session("w2", COORD_RECHECK="60s")
    one.start()
    two.start()
    first = one.start_hook("Stop")
    eventually(lambda: waiting(conn, "w1"))
    second = two.start_hook("Stop")
    eventually(lambda: waiting(conn, "w2"))
    first.process.send_signal(signal.SIGTERM)  # Esc in an interactive session
    assert first.end(5.0) == {}
    assert view.worker(conn, "w1").state == "interrupted"
    submit(id="t")
    assert second.end(5.0)["reason"].startswith("Task t")


def test_a_bell_rung_for_a_waiter_that_dies_is_passed_on(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one, two = session("w1", COORD_RECHECK="60s"), session("w2", COORD_RECHECK="60s")
    one.start()
    two.start()
    first = one.start_hook("Stop")
    eventually(lambda: waiting(conn, "w1"))
    second = two.start_hook("Stop")
    eventually(lambda: waiting(conn, "w2"))
    first.process.send_signal(signal.SIGSTOP)  # it cannot answer its bell
    submit(id="t")
    assert conn.hget("pool:worker:w1", "rung") == b"tasks"
    one.kill()  # its keeper reports the death
    assert second.end(5.0)["reason"].startswith("Task t")
    first.kill()


def test_redis_away_and_back_the_same_call_hands_the_task_over(
    session: Start, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    one = session("w1")
    one.start()
    call = one.start_hook("Stop")
    with redis.Redis.from_url(own_server.url) as client:
        eventually(lambda: waiting(client, "w1"))
    own_server.kill()
    time.sleep(0.5)
    assert call.running()
    own_server.start()
    done = subprocess.run(
        ["coord", "submit", "after the outage", "--id", "t"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert call.end(20.0)["reason"].startswith("Task t")


def test_redis_away_until_the_idle_time_has_passed_it_lets_go_and_says_why(
    session: Start, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    one = session("w1", COORD_IDLE_LIMIT="2s")
    one.start()
    call = one.start_hook("Stop")
    with redis.Redis.from_url(own_server.url) as client:
        eventually(lambda: waiting(client, "w1"))
    own_server.kill()
    answer = call.end(10.0)
    assert "decision" not in answer
    assert "cannot be reached" in answer["systemMessage"]


def test_redis_away_at_the_start_the_stop_hook_registers_when_it_is_back(
    session: Start, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    own_server.kill()
    one = session("w1")
    assert one.start() == {}
    call = one.start_hook("Stop")
    time.sleep(0.3)
    assert call.running()
    own_server.start()
    with redis.Redis.from_url(own_server.url) as client:
        eventually(lambda: client.exists("pool:worker:w1") and waiting(client, "w1"))
    call.process.send_signal(signal.SIGTERM)
    assert call.end() == {}


EVENTS = ("SessionStart", "UserPromptSubmit", "PostToolUse", "StopFailure", "SessionEnd", "Stop")


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    "raw",
    [
        "",
        "not json",
        "[1, 2]",
        "null",
        '{"session_id": 7, "cwd": [], "background_tasks": "x"}',
        "\x00\ufffd{",
        "{" * 5000,
    ],
)
def test_garbage_on_standard_input(session: Start, event: str, raw: str) -> None:
    one = session("w1", COORD_IDLE_LIMIT="0s")
    one.start_hook(event, raw=raw).end(10.0)  # exit 0, nothing on standard error


@pytest.mark.parametrize("event", EVENTS)
def test_redis_away(session: Start, event: str) -> None:
    one = session("w1", COORD_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", COORD_IDLE_LIMIT="300ms")
    answer = one.hook(event)
    assert "decision" not in answer


def test_a_disk_that_cannot_be_written(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    one = session("w1", COORD_HOME=str(blocked / "home"))
    one.start()
    submit(id="t")
    claim = claim_in(one.hook("Stop"))
    assert view.worker(conn, "w1").state == "working"
    one.hook("PostToolUse", tool_name="Bash")
    done = subprocess.run(
        ["coord-worker", "complete", claim, "--worker", "w1"],
        env=one.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    one.hook("SessionEnd", reason="other")


def test_reminders_then_failure_without_a_tool_call(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1", COORD_IDLE_LIMIT="0s")
    one.start()
    submit(id="t")
    claim = claim_in(one.hook("Stop"))
    for number in (1, 2, 3):
        answer = one.hook("Stop")
        assert answer["decision"] == "block"
        assert f"reminder {number} of 3" in answer["reason"] and claim in answer["reason"]
    answer = one.hook("Stop")
    assert "decision" not in answer, "the fourth stop is let go"
    found = view.task(conn, "t")
    assert found.status == "failed" and "without a tool call" in (found.error or "")


def test_a_tool_call_in_between_begins_the_reminders_anew(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    one.hook("Stop")
    for _ in range(5):
        one.hook("PostToolUse", tool_name="Bash")
        assert "reminder 1 of 3" in one.hook("Stop")["reason"]
    assert view.task(conn, "t").status == "started"


def test_background_tasks_and_people_are_waited_for(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    one.hook("Stop")
    for _ in range(5):
        assert one.hook("Stop", background_tasks=[{"id": "b1", "type": "shell", "status": "running"}]) == {}
    one.hook("UserPromptSubmit", prompt="how far are you?")
    for _ in range(5):
        assert one.hook("Stop") == {}
    assert view.task(conn, "t").status == "started"
    assert view.worker(conn, "w1").state == "needs-you"


def test_draining_and_the_task_limit_let_it_stop(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool
) -> None:
    one, two = session("w1"), session("w2", COORD_MAX_TASKS="1")
    one.start()
    two.start()
    submit(id="t")
    call = one.start_hook("Stop")
    claim_in(call.end())
    one.bash("coord-worker complete")
    call = one.start_hook("Stop")
    eventually(lambda: waiting(conn, "w1"))
    pool.tune("w1", "draining", "1")
    assert "draining" in call.end(5.0)["systemMessage"]
    submit(id="u")
    two.hook("Stop")
    two.bash("coord-worker complete")
    submit(id="v")
    assert "1 tasks done" in two.hook("Stop")["systemMessage"]
    assert view.task(conn, "v").status == "queued"


def test_a_worker_that_another_of_its_hooks_let_stop_is_not_registered_anew(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool
) -> None:
    from pool.claim import Caller

    one = session("w1")
    one.start()
    pool.tune("w1", "draining", "1")
    # The same hook installed twice: the first has asked, and has not noted the answer on disk yet.
    assert pool.claim(Caller("w1", one.data["epoch"]), "new", 1.0).verdict == "stop"
    submit(id="t")
    assert one.hook("Stop", timeout=5.0) == {}
    assert (view.worker(conn, "w1").state, view.task(conn, "t").status) == ("stopped", "queued")


def test_a_new_idle_limit_reaches_a_waiting_worker_at_once(
    session: Start, conn: redis.Redis, pool: Pool
) -> None:
    one = session("w1", COORD_RECHECK="60s")
    one.start()
    call = one.start_hook("Stop")
    eventually(lambda: waiting(conn, "w1"))
    pool.tune("w1", "idle_limit", "0")
    assert "idle" in call.end(5.0)["systemMessage"]


def test_parked_it_is_given_nothing_until_it_is_unparked(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1", COORD_RECHECK="60s", COORD_IDLE_LIMIT="2s")
    one.start()
    assert one.bash("coord-worker park --for 1h --reason quota").returncode == 0
    call = one.start_hook("Stop")
    submit(id="t")
    time.sleep(2.5)  # longer than its idle limit: a parked worker's clock stands still
    assert call.running() and view.task(conn, "t").status == "queued"
    assert view.worker(conn, "w1").state == "parked"
    assert one.bash("coord-worker unpark").returncode == 0
    assert call.end(5.0)["reason"].startswith("Task t")


def test_a_long_task_is_cut_and_the_helper_prints_the_rest(session: Start, submit: Submit) -> None:
    one = session("w1")
    one.start()
    submit(id="t", prompt="begin " + "x" * 30_000 + " the very end")
    answer = one.hook("Stop")
    text = answer["hookSpecificOutput"]["additionalContext"]
    assert len(text) <= 10_000 and "the very end" not in text
    claim = claim_in(answer)
    assert f"coord-worker context {claim}" in text
    assert "the very end" in one.bash(f"coord-worker context {claim}").stdout


def test_stop_failure_releases_without_an_attempt_or_parks(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one, two = session("w1"), session("w2", CLAUDE_CODE_ENTRYPOINT="cli", COORD_ACCOUNT="other")
    one.start()
    submit(id="t")
    one.hook("Stop")
    assert one.hook("StopFailure", error="rate_limit") == {}
    found = view.task(conn, "t")
    assert (found.status, found.attempts, found.releases) == ("scheduled", 0, 0)
    two.start()
    submit(id="u")
    two.hook("Stop")
    two.hook("StopFailure", error="rate_limit")
    assert view.worker(conn, "w2").state == "parked"
    assert view.task(conn, "u").status == "started"


@pytest.mark.parametrize(("asked", "status"), [({"model": "gone"}, "failed"), ({}, "scheduled")])
def test_of_an_unknown_model_the_task_that_asked_for_it_fails(
    session: Start, submit: Submit, conn: redis.Redis, asked: dict[str, str], status: str
) -> None:
    kind = {"COORD_PROFILE": profile.parse(asked, "it").name} if asked else {}
    one = session("w1", COORD_SUPERVISED="team", **kind)
    one.start()
    submit(id="t", retries=3, **asked)
    one.hook("Stop")
    one.hook("StopFailure", error="model_not_found")
    assert view.task(conn, "t").status == status


@pytest.mark.settings(recheck="60s")
def test_of_a_hundred_waiting_workers_one_is_woken(session: Start, submit: Submit, conn: redis.Redis) -> None:
    calls = []
    for number in range(100):
        one = session(f"w{number}")
        one.start()
        calls.append(one.start_hook("Stop"))
    eventually(lambda: sum(each.state == "waiting" for each in view.workers(conn)) == 100, 60)
    before = conn.info("commandstats")["cmdstat_evalsha"]["calls"]
    beats = conn.xlen("pool:events")
    submit(id="t")
    ended = eventually(lambda: [call for call in calls if not call.running()], 10)
    assert len(ended) == 1
    assert ended[0].end()["reason"].startswith("Task t")
    time.sleep(1.0)
    assert sum(not call.running() for call in calls) == 1
    # The submit, the one claim, its confirmation; keepers' beats are the rest and write no event.
    assert conn.xlen("pool:events") - beats == 3
    assert conn.info("commandstats")["cmdstat_evalsha"]["calls"] > before
