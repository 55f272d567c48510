"""Done means checked: a task with a check is complete only when that passes; last messages as results."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import view
from pool.claim import Caller
from pool.errors import Unchecked
from pool.scripts import Pool
from tests.redis.test_hooks import claim_in
from tests.server import Server
from tests.session import Session, eventually

Start = Callable[..., Session]
Submit = Callable[..., str]

pytestmark = pytest.mark.settings(checks="1")


def holding(session: Start, submit: Submit, **fields: Any) -> tuple[Session, str]:
    """A session that was handed t by its Stop hook; the session and its claim."""
    one = session("w1")
    one.start()
    submit(id="t", **fields)
    return one, claim_in(one.hook("Stop"))


def evidence(conn: redis.Redis, task: str = "t") -> dict[str, str]:
    found: Any = conn.hgetall(f"pool:evidence:{task}")
    return {name.decode(): value.decode() for name, value in found.items()}


def checked(conn: redis.Redis, task: str = "t") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(evidence(conn, task)["check"])
    return found


def test_the_scripts_alone_refuse_a_result_before_the_check(
    pool: Pool, submit: Submit, register: Callable[..., Caller], conn: redis.Redis
) -> None:
    me = register()
    conn.hset("pool:worker:w1", "offers", "check")
    submit(id="t", check="true")
    handed = pool.claim(me).handed
    assert handed is not None
    with pytest.raises(Unchecked):
        pool.complete(me, handed.claim, "1")
    assert view.task(conn, "t").status == "started"
    assert pool.complete(me, handed.claim, "1", passed=True) == "done"
    assert pool.complete(me, handed.claim, "1") == "already"


def test_a_check_that_fails_goes_back_to_the_session_and_then_passes(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one, claim = holding(
        session, submit, check="cat good || { echo nothing good here; exit 3; }", cwd=str(tmp_path)
    )
    said = one.bash(f"coord-worker complete {claim} --result done")
    assert said.returncode == 1 and said.stdout == ""
    assert "exit code 3" in said.stderr and "nothing good here" in said.stderr and "1 of 3" in said.stderr
    found = view.task(conn, "t")
    assert found.status == "started", "it is still the session's"
    assert view.worker(conn, "w1").evidence == "its check failed"
    (tmp_path / "good").write_text("now it is good")
    said = one.bash(f"coord-worker complete {claim} --result done")
    assert said.returncode == 0, said.stderr
    found = view.task(conn, "t")
    assert (found.status, found.result) == ("finished", "done")
    report = checked(conn)
    assert (report["passed"], report["code"], report["output"]) == (True, 0, "now it is good")
    assert evidence(conn)["failed_checks"] == "1"
    assert conn.ttl("pool:evidence:t") > 0, "the evidence goes with the task"
    assert not (one.home / "check" / "offer.json").exists()


def test_the_limit_of_failed_checks_fails_the_task_with_the_output(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one, claim = holding(session, submit, check="echo it is broken; false")
    for number in (1, 2):
        assert f"{number} of 3" in one.bash(f"coord-worker complete {claim} --result {number}").stderr
    last = one.bash(f"coord-worker complete {claim} --result 3")
    assert last.returncode == 1 and "has failed" in last.stderr
    found = view.task(conn, "t")
    assert found.status == "failed" and "it is broken" in (found.error or "")
    assert checked(conn)["passed"] is False and evidence(conn)["failed_checks"] == "3"
    assert one.bash(f"coord-worker complete {claim} --result 4").returncode == 4


def test_it_spends_a_retry_and_a_new_attempt_counts_anew(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one, claim = holding(session, submit, check="false", retries=1)
    for _ in range(3):
        said = one.bash(f"coord-worker complete {claim} --result no")
    assert "will be tried again" in said.stderr
    again = claim_in(one.hook("Stop"))
    assert again != claim
    assert "1 of 3" in one.bash(f"coord-worker complete {again} --result no").stderr


def test_the_last_message_is_the_result(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    submit(id="t", finish="message")
    submit(id="next")
    brief = one.hook("Stop")["hookSpecificOutput"]["additionalContext"]
    assert "last message is the result" in brief and "coord-worker complete" not in brief
    one.hook("Stop", agent_id="a1", last_assistant_message="a sub-agent's")
    assert view.task(conn, "t").status == "started", "a sub-agent's stop settles nothing"
    handed = one.hook("Stop", last_assistant_message="I did it.\n")
    found = view.task(conn, "t")
    assert (found.status, found.result, found.worker) == ("finished", "I did it.", "w1")
    assert handed["reason"].startswith("Task next"), "the same call hands over the next task"
    assert view.task(conn, "next").status == "started"


def test_an_empty_message_is_reminded_of(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    submit(id="t", finish="message")
    one.hook("Stop")
    answer = one.hook("Stop", last_assistant_message=" \n")
    assert answer["decision"] == "block" and "You still hold task t" in answer["reason"]
    assert "end your turn with a message" in answer["reason"]
    assert view.task(conn, "t").status == "started"


def test_a_message_is_no_result_while_background_tasks_run_or_a_person_talks(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1")
    one.start()
    submit(id="t", finish="message")
    one.hook("Stop")
    busy = [{"id": "b1", "type": "shell", "status": "running"}]
    assert one.hook("Stop", last_assistant_message="wait", background_tasks=busy) == {}
    assert view.task(conn, "t").status == "started"
    one.hook("UserPromptSubmit", prompt="what are you doing?")
    assert one.hook("Stop", last_assistant_message="I am at it") == {}
    assert (view.task(conn, "t").status, view.worker(conn, "w1").state) == ("started", "needs-you")


@pytest.mark.settings(checks="1", result_limit="600")
def test_a_message_that_is_too_long_is_kept_whole_as_an_artifact(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1", COORD_IDLE_LIMIT="0s")
    one.start()
    submit(id="t", finish="message")
    one.hook("Stop")
    text = "é" * 2000
    one.hook("Stop", last_assistant_message=text)
    found = view.task(conn, "t")
    assert found.status == "finished" and found.artifacts == ["message.md"]
    assert "see message.md" in found.result and len(json.dumps(found.result)) <= 600
    assert conn.hget("pool:artifacts:t", "message.md") == text.encode()


def test_a_message_then_its_check_then_done(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one = session("w1", COORD_IDLE_LIMIT="1s")
    one.start()
    submit(id="t", finish="message", check="test -e good || { echo missing; false; }", cwd=str(tmp_path))
    one.hook("Stop")
    answer = one.hook("Stop", last_assistant_message="done")
    assert answer["decision"] == "block" and answer["reason"] == "The check of task t failed."
    context = answer["hookSpecificOutput"]["additionalContext"]
    assert "missing" in context and "your last message is the result" in context
    (tmp_path / "good").touch()
    assert "decision" not in one.hook("Stop", last_assistant_message="done now")
    found = view.task(conn, "t")
    assert (found.status, found.result) == ("finished", "done now")


@pytest.mark.settings(checks="1", check_wait="300ms", idle_limit="1s")
def test_a_long_check_is_begun_by_complete_and_waited_for_by_the_stop_hook(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one, claim = holding(
        session, submit, check="echo run >> runs; while ! test -e go; do sleep 0.05; done", cwd=str(tmp_path)
    )
    said = one.bash(f"coord-worker complete {claim} --result slow")
    assert said.returncode == 0 and "End your turn" in said.stdout and "still running" in said.stdout
    assert view.task(conn, "t").status == "started"
    stop = one.start_hook("Stop")
    (tmp_path / "go").touch()
    assert "decision" not in stop.end()
    assert (view.task(conn, "t").status, view.task(conn, "t").result) == ("finished", "slow")
    assert (tmp_path / "runs").read_text() == "run\n", "it was run once"


@pytest.mark.settings(checks="1", check_wait="100ms", idle_limit="1s")
def test_a_check_that_was_killed_is_run_anew(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one, claim = holding(
        session, submit, check="echo run >> runs; while ! test -e go; do sleep 0.05; done", cwd=str(tmp_path)
    )
    assert one.bash(f"coord-worker complete {claim} --result ok").returncode == 0
    eventually(lambda: (tmp_path / "runs").exists())
    runner = int((one.home / "check" / "runner").read_text().split("-")[2])
    os.kill(runner, signal.SIGKILL)
    stop = one.start_hook("Stop")
    eventually(lambda: (tmp_path / "runs").read_text() == "run\nrun\n")
    (tmp_path / "go").touch()
    stop.end()
    assert view.task(conn, "t").status == "finished"


@pytest.mark.settings(checks="1", check_timeout="300ms")
def test_a_check_past_its_time_is_ended_with_all_it_has_started(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one, claim = holding(
        session, submit, check="echo began; sleep 1000 & echo $! > pid; wait", cwd=str(tmp_path)
    )
    said = one.bash(f"coord-worker complete {claim} --result ok")
    assert said.returncode == 1 and "longer than 0.3 s" in said.stderr and "began" in said.stderr
    eventually(lambda: not running(int((tmp_path / "pid").read_text())))


@pytest.mark.settings(checks="1", check_output="1000")
def test_a_check_gets_no_secret_and_no_input_and_its_output_is_bounded(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1", ANTHROPIC_API_KEY="sk-1", GITHUB_TOKEN="t", DB_PASSWORD="p", HARMLESS="yes")
    one.start()
    submit(id="t", check="cat; yes | head -c 100000; env; echo $HARMLESS; echo the end")
    one_claim = claim_in(one.hook("Stop"))
    assert one.bash(f"coord-worker complete {one_claim} --result ok").returncode == 0
    report = checked(conn)
    assert report["output"].endswith("yes\nthe end\n")
    assert len(report["output"]) == 1000 and report["cut"] > 99_000
    for name in ("COORD_REDIS_URL", "ANTHROPIC_API_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "CLAUDE_PID"):
        assert name not in report["output"]


def test_a_claim_lost_during_the_check_ends_the_check(
    session: Start, submit: Submit, pool: Pool, conn: redis.Redis, tmp_path: Path
) -> None:
    one = session("w1", COORD_BEAT="200ms", COORD_IDLE_LIMIT="1s")
    one.start()
    submit(id="t", finish="message", check="echo $$ > pid; sleep 1000", cwd=str(tmp_path))
    one.hook("Stop")
    stop = one.start_hook("Stop", last_assistant_message="done")
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pool.cancel("t", "not wanted any more")
    stop.end()
    assert view.task(conn, "t").status == "canceled"
    eventually(lambda: not running(int((tmp_path / "pid").read_text())))


def test_a_check_ends_with_its_session(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one = session("w1")
    one.start()
    submit(id="t", finish="message", check="echo $$ > pid; sleep 1000", cwd=str(tmp_path))
    one.hook("Stop")
    stop = one.start_hook("Stop", last_assistant_message="done")
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    one.kill()
    stop.end()
    eventually(lambda: view.task(conn, "t").status == "queued")
    eventually(lambda: not running(int((tmp_path / "pid").read_text())))
    eventually(lambda: not one.home.exists())


def test_a_worker_that_may_run_no_checks_says_so_and_completes_nothing(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one, claim = holding(session, submit, check="true")
    said = one.bash(f"coord-worker complete {claim} --result ok", COORD_CHECKS="0")
    assert said.returncode == 1 and said.stderr.count("\n") == 1
    assert "setting checks" in said.stderr
    assert view.task(conn, "t").status == "started"


@pytest.mark.parametrize("check", ["", "true"])
def test_a_last_message_counts_where_the_client_takes_no_more_blocks(
    session: Start, submit: Submit, conn: redis.Redis, check: str
) -> None:
    one = session("w1", CLAUDE_CODE_STOP_HOOK_BLOCK_CAP="1")
    one.start()
    submit(id="t", finish="message", check=check)
    one.hook("Stop")
    answer = one.hook("Stop", last_assistant_message="the eighth", stop_hook_active=True)
    assert "decision" not in answer
    assert (view.task(conn, "t").status, view.task(conn, "t").result) == ("finished", "the eighth")
    assert view.worker(conn, "w1").state == "stopped"


def test_redis_away_when_the_check_has_passed(
    settings: Any, own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pool import connect, model
    from pool import settings as settings_module

    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    mine = settings_module.load()
    one = Session(mine, tmp_path, "w1", COORD_CHECKS="1", COORD_REDIS_URL=own_server.url, COORD_BEAT="200ms")
    try:
        with redis.Redis.from_url(own_server.url) as conn:
            pool = connect.pool(mine, conn)
            one.start()
            spec = model.parse_spec(
                {"prompt": "x", "id": "t", "cwd": str(tmp_path),
                 "check": "touch began; while ! test -e go; do sleep 0.05; done"}
            )  # fmt: skip
            pool.submit([model.record(spec, mine, time.time())[1]])
            claim = claim_in(one.hook("Stop"))
        import threading

        done: list[Any] = []
        helper = threading.Thread(
            target=lambda: done.append(one.bash(f"coord-worker complete {claim} --result ok"))
        )
        helper.start()
        eventually(lambda: (tmp_path / "began").exists())
        own_server.kill()
        (tmp_path / "go").touch()
        helper.join()
        assert done[0].returncode == 5 and "kept in" in done[0].stderr
        own_server.start()
        with redis.Redis.from_url(own_server.url) as conn:
            eventually(lambda: view.task(conn, "t").status == "finished")
            assert checked(conn)["passed"] is True
    finally:
        one.close()


def running(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
