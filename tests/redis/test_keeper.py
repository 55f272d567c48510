"""What can happen to a keeper (design section 7), each as a test of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import connect, local, model, view
from pool import settings as settings_module
from pool.claim import Caller, Claim
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.test_hooks import claim_in
from tests.server import Server
from tests.session import ROOT, Session, eventually

Start = Callable[..., Session]
Submit = Callable[..., str]
Serve = Callable[[], None]


@pytest.fixture
def serve(settings: Settings, tmp_path: Path) -> Iterator[Serve]:
    """Start a real coordinator and wait until it leads; it is ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        path = tmp_path / "serve.log"
        with path.open("ab") as log:
            argv = [sys.executable, "-m", "coordinator.cli", "serve"]
            env = {**os.environ, "PYTHONPATH": str(ROOT), "COORD_TICK": "200ms"}
            running.append(subprocess.Popen(argv, env=env, stdout=log, stderr=log))
        eventually(lambda: "leads" in path.read_text(), what="the coordinator leads")

    yield start
    for each in running:
        each.send_signal(signal.SIGTERM)
        assert each.wait(10) == 0, (tmp_path / "serve.log").read_text()


@pytest.fixture
def own(own_server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """The pool on a Redis that the test may kill; sessions and the coordinator use it too."""
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    return connect.pool(settings_module.load())


def submitted(pool: Pool, task_id: str) -> None:
    spec = model.parse_spec({"prompt": "do it", "id": task_id})
    assert pool.submit([model.record(spec, settings_module.load(), time.time())[1]])[0] == "ok"


def handed(one: Session) -> str:
    """The claim that the session's next Stop hands over."""
    return claim_in(one.hook("Stop"))


def the_keeper(one: Session) -> int:
    """The one that has the lock; another that was started at the same time has ended."""

    def look() -> int:
        fd = local.Session(one.settings.home, one.key).lock_keeper()
        if fd >= 0:
            os.close(fd)
        found = one.keepers()
        return found[0] if len(found) == 1 and fd < 0 else 0

    return int(eventually(look, what="a keeper runs"))


def kill_keeper(one: Session) -> int:
    """SIGKILL the keeper; its pid."""
    pid = the_keeper(one)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pid not in one.keepers())
    return pid


def freeze(one: Session, number: int = signal.SIGSTOP) -> None:
    """SIGSTOP (or SIGCONT) the session and its keeper, as a suspended machine would."""
    if number == signal.SIGSTOP:
        eventually(lambda: one.keepers(), what="its keeper is up: one that is not yet cannot be frozen")
    for pid in (one.pid, *one.keepers()):
        os.kill(pid, number)


def holder(conn: redis.Redis, task: str) -> str:
    found = view.task(conn, task)
    return f"{found.status} {found.worker}"


@pytest.mark.parametrize("who", ["Stop", "UserPromptSubmit", "PostToolUse", "SessionStart", "helper"])
def test_a_killed_keeper_is_started_again_by(who: str, session: Start, submit: Submit) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    handed(one)
    first = kill_keeper(one)
    if who == "helper":
        assert one.bash("coord-worker heartbeat").returncode == 0
    else:
        one.hook(who)
    assert the_keeper(one) != first


def test_of_two_started_at_once_one_lives(session: Start, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    kill_keeper(one)
    words = [str(one.compiled), one.key, "w1", one.data["epoch"]]
    argv = [sys.executable, "-I", "-S", str(ROOT / "workers" / "keeper.py"), *words]
    both = [subprocess.Popen(argv, env=one.env) for _ in range(2)]
    ended = eventually(lambda: [each for each in both if each.poll() is not None])
    assert [each.returncode for each in ended] == [0], "the other one lives"
    assert one.keepers() == [each.pid for each in both if each not in ended]
    one.kill()
    for each in both:
        assert each.wait(5) == 0


def test_many_hooks_that_find_its_lock_free_start_one(session: Start) -> None:
    one = session("w1")
    one.start()
    kill_keeper(one)
    calls = [one.start_hook("PostToolUse", tool_name="Bash") for _ in range(8)]
    for call in calls:
        assert call.end() == {}
    only = the_keeper(one)
    one.hook("PostToolUse", tool_name="Bash")
    assert the_keeper(one) == only


@pytest.mark.settings(lease="1.5s", beat="300ms")
def test_frozen_longer_than_the_lease_it_is_given_up_on_and_comes_back_as_a_new_owner(
    session: Start, submit: Submit, conn: redis.Redis, register: Callable[..., Caller], pool: Pool,
    serve: Serve,
) -> None:  # fmt: skip
    one = session("w1")
    one.start()
    submit(id="t")
    late = handed(one)
    epoch = one.data["epoch"]
    serve()
    freeze(one)
    eventually(lambda: holder(conn, "t") == "queued None", 15)
    assert view.worker(conn, "w1").state == "dead"
    refused = one.bash(f"coord-worker complete {late} --result late")
    assert refused.returncode == 4 and "not yours any more" in refused.stderr
    other = pool.claim(register("w2")).handed
    assert other is not None and other.claim.task_id == "t"
    freeze(one, signal.SIGCONT)
    eventually(lambda: one.data["epoch"] != epoch, what="it registers anew")
    assert view.worker(conn, "w1").state == "starting"
    word = eventually(lambda: one.hook("PostToolUse", tool_name="Bash"))
    text = word["hookSpecificOutput"]["additionalContext"]
    assert text.startswith("Task t is not yours any more (its lease ran out).")
    assert one.hook("PostToolUse", tool_name="Bash") == {}, "it is told once"
    again = one.bash(f"coord-worker complete {late} --result late")
    assert again.returncode == 4, "nor may it commit as the new owner"
    assert pool.complete(Caller("w2"), other.claim, '"done"') == "done"
    assert view.task(conn, "t").result == "done"


@pytest.mark.settings(lease="1.5s", beat="300ms")
def test_a_silent_session_is_not_given_up_on_while_it_lives(
    session: Start, submit: Submit, conn: redis.Redis, serve: Serve
) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    claim = handed(one)
    serve()
    time.sleep(4.0)  # thinking, for more than two leases; the reaper believes after one
    assert holder(conn, "t") == "started w1"
    assert one.bash(f"coord-worker complete {claim}").returncode == 0


@pytest.mark.settings(lease="1.5s", beat="300ms")
def test_one_that_held_nothing_is_told_nothing_when_it_comes_back(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool
) -> None:
    one = session("w1", COORD_RECHECK="60s")
    one.start()
    epoch = one.data["epoch"]
    freeze(one)
    eventually(lambda: pool.reap("", True) == [("w1", "dead", "worker")], 15)
    freeze(one, signal.SIGCONT)
    eventually(lambda: one.data["epoch"] != epoch)
    submit(id="t")
    handed(one)
    assert one.hook("PostToolUse", tool_name="Bash") == {}


def test_a_word_about_an_earlier_task_is_forgotten_when_the_next_is_handed_over(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool
) -> None:
    one = session("w1", COORD_BEAT="100ms")
    one.start()
    submit(id="t")
    handed(one)
    pool.cancel("t", "not needed")
    eventually(lambda: (one.home / "lost").exists(), what="the keeper leaves a word")
    submit(id="u")
    handed(one)
    assert one.hook("PostToolUse", tool_name="Bash") == {}


@pytest.mark.settings(lease="1.5s", beat="300ms")
def test_killed_together_with_its_session_the_task_is_back_after_the_lease(
    session: Start, submit: Submit, conn: redis.Redis, serve: Serve
) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    handed(one)
    serve()
    kill_keeper(one)
    one.kill()
    assert holder(conn, "t") == "started w1", "nobody reports it"
    eventually(lambda: holder(conn, "t") == "queued None", 15)
    assert view.task(conn, "t").losses == 1
    eventually(lambda: view.worker(conn, "w1").state == "dead")


def test_a_session_killed_while_it_only_waits(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1", COORD_RECHECK="60s")
    one.start()
    call = one.start_hook("Stop")
    eventually(lambda: view.worker(conn, "w1").state == "waiting")
    one.kill()
    assert call.end(5.0) == {}
    eventually(lambda: view.worker(conn, "w1").state == "dead", 2.0)
    assert conn.zcard("pool:waiters:tasks") == 0
    eventually(lambda: not one.home.exists(), what="its folder is removed")
    eventually(lambda: not one.keepers())


def test_it_ends_and_removes_its_folder_when_its_session_has_died(session: Start, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    the_keeper(one)
    one.kill()
    eventually(lambda: not one.keepers() and not one.home.exists())
    assert view.worker(conn, "w1").evidence == "its process is gone"


def test_let_go_it_ends_and_a_later_prompt_starts_another(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1", COORD_IDLE_LIMIT="0s", COORD_BEAT="100ms")
    one.start()
    assert "stops" in one.hook("Stop")["systemMessage"]
    eventually(lambda: not one.keepers(), what="there is nothing left to keep")
    epoch = one.data["epoch"]
    one.hook("UserPromptSubmit", prompt="go on")
    assert the_keeper(one) and one.data["epoch"] != epoch
    assert view.worker(conn, "w1").state == "working"
    submit(id="t")
    assert handed(one)


def test_what_a_session_without_a_keeper_has_left_is_sent_and_removed_by_the_next_one(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one, two = session("w1"), session("w2")
    one.start()
    submit(id="t")
    claim = handed(one)
    commit = {"worker": "w1", "epoch": one.data["epoch"], "claim": claim, "result": '"kept"', "artifacts": []}
    kill_keeper(one)
    local.save_commit(str(one.home / "outbox"), claim, commit)
    one.kill()
    two.start()
    eventually(lambda: not one.home.exists())
    assert view.task(conn, "t").result == "kept"


def test_an_error_of_redis_does_not_end_it(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1", COORD_BEAT="100ms")
    one.start()
    pid = the_keeper(one)
    log = Path(one.settings.home) / "hooks.log"
    conn.rename("pool:workers", "aside")
    conn.set("pool:workers", "not a sorted set")
    eventually(lambda: log.exists() and "WRONGTYPE" in log.read_text(), what="it says so")
    conn.rename("aside", "pool:workers")
    before = conn.hget("pool:worker:w1", "beat_at")
    eventually(lambda: conn.hget("pool:worker:w1", "beat_at") != before, what="it beats again")
    assert the_keeper(one) == pid


# -- Redis goes away -------------------------------------------------------------------------------------


@pytest.mark.settings(lease="2s", beat="200ms")
@pytest.mark.parametrize("outage", [0.5, 3.0], ids=["shorter than the lease", "longer than the lease"])
def test_redis_away_and_back_the_claim_is_kept(
    outage: float, session: Start, own: Pool, own_server: Server, serve: Serve
) -> None:
    one = session("w1")
    one.start()
    submitted(own, "t")
    claim = handed(one)
    serve()
    with redis.Redis.from_url(own_server.url) as conn:
        eventually(lambda: conn.get("pool:leader"))
        before = conn.zscore("pool:leases", "t")
        own_server.kill()
        time.sleep(outage)
        own_server.start()
        eventually(lambda: conn.zscore("pool:leases", "t") > before, what="the keeper beats again")
        time.sleep(2.5)  # a lease long, in which the reaper might
        assert holder(conn, "t") == "started w1"
        assert view.task(conn, "t").losses == 0
        assert one.bash(f"coord-worker complete {claim} --result done").returncode == 0
        assert view.task(conn, "t").result == "done"


@pytest.mark.parametrize("alive", [True, False], ids=["the session lives", "the session has died meanwhile"])
def test_a_commit_while_redis_is_away_is_kept_and_sent_when_it_is_back(
    alive: bool, session: Start, own: Pool, own_server: Server, tmp_path: Path
) -> None:
    one = session("w1", COORD_BEAT="200ms")
    one.start()
    submitted(own, "t")
    claim = handed(one)
    own_server.kill()
    (tmp_path / "report.md").write_text("# all of it")
    kept = one.bash(f"coord-worker complete {claim} --result done --artifact report.md")
    assert kept.returncode == 5 and "the keeper sends it" in kept.stderr
    if not alive:
        one.kill()
    own_server.start()
    with redis.Redis.from_url(own_server.url) as conn:
        eventually(lambda: view.task(conn, "t").status == "finished", 15)
        found = view.task(conn, "t")
        assert (found.result, found.artifacts, found.losses) == ("done", ["report.md"], 0)
        if alive:
            eventually(lambda: not list((one.home / "outbox").iterdir()))
            assert view.worker(conn, "w1").task is None
        else:
            eventually(lambda: not one.home.exists())


def test_a_kept_commit_that_comes_too_late_is_refused_and_set_aside(
    session: Start, own: Pool, own_server: Server
) -> None:
    one = session("w1", COORD_BEAT="200ms")
    one.start()
    submitted(own, "t")
    claim = handed(one)
    own_server.kill()
    pid = the_keeper(one)
    assert one.bash(f"coord-worker complete {claim} --result late").returncode == 5
    os.kill(pid, signal.SIGSTOP)
    own_server.start()
    assert own.requeue("t", "requeue", "it took too long")[0] == "queued"
    _, other = own.register("w2", "", "", "host", 1, ["tasks"], 600.0, 0, "/", ("2", "3", "0.1"))
    theirs = own.claim(other).handed
    assert theirs is not None
    os.kill(pid, signal.SIGCONT)
    refused = one.home / "outbox" / f"{claim}.json.refused"
    eventually(refused.exists, what="it is set aside")
    assert own.complete(other, theirs.claim, '"in time"') == "done"
    one.kill()
    eventually(lambda: not one.keepers())
    assert refused.exists(), "kept for people to look at"
    with redis.Redis.from_url(own_server.url) as conn:
        assert view.task(conn, "t").result == "in time"
        assert [f[b"type"] for _, f in conn.xrange("rq:results:t")] == [b"1"]
    assert Claim.parse(claim).task_id == "t"


@pytest.mark.settings(beat="200ms")
def test_a_list_that_is_none_costs_it_its_calls_and_nothing_else(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    """It goes on to beat, and does not ask again and again."""
    conn.set("pool:call:w1", "not a list")
    one = session("w1")
    one.start()
    submit(id="t")
    handed(one)
    log = Path(one.settings.home) / "hooks.log"
    eventually(lambda: log.exists() and "WRONGTYPE" in log.read_text(), what="it says so")

    def beats() -> float:
        return float(conn.hget("pool:worker:w1", "beat_at") or 0)

    first = beats()
    eventually(lambda: beats() > first, what="it beats")
    before: Any = conn.info("commandstats")
    time.sleep(1.0)
    after: Any = conn.info("commandstats")
    asked = after["cmdstat_blpop"]["calls"] - before["cmdstat_blpop"]["calls"]
    assert asked <= 20, f"{asked} times in a second"
    assert log.read_text().count("WRONGTYPE") == 1, "a problem is told once"
    assert holder(conn, "t") == "started w1"
