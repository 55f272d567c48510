"""Who is who (design section 5): a hook knows its worker by process, whatever the environment says."""

from __future__ import annotations

from collections.abc import Callable

import redis

from pool import view
from pool.scripts import Pool
from tests.redis.test_hooks import claim_in
from tests.session import Session, eventually

Start = Callable[..., Session]
Submit = Callable[..., str]


def environment(session: Session) -> dict[str, str]:
    """What a process started in the session's Bash inherits."""
    shown = session.bash("env").stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("COORD_"))


def test_a_nested_session_is_nobody_by_its_environment(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    outer = session("w1")
    outer.start()
    submit(id="t")
    claim = claim_in(outer.hook("Stop"))
    nested = session(**environment(outer))
    assert nested.hook("SessionStart", source="startup") == {}
    assert nested.hook("UserPromptSubmit", prompt="hello") == {}
    assert nested.hook("Stop") == {}
    assert [each.id for each in view.workers(conn)] == ["w1"]
    refused = nested.bash(f"PATH={outer.settings.home}/bin:$PATH coord-worker complete t --result mine")
    assert refused.returncode == 4 and "no worker itself" in refused.stderr
    assert outer.bash(f"coord-worker complete {claim}").returncode == 0


def test_a_nested_session_is_nobody_by_its_ancestors(session: Start, conn: redis.Redis) -> None:
    outer = session("w1")
    outer.start()
    nested = session("w2", inside=outer)
    assert nested.hook("SessionStart", source="startup") == {}
    assert nested.hook("Stop") == {}
    assert [each.id for each in view.workers(conn)] == ["w1"]


def test_another_process_is_another_session_whatever_its_environment_says(
    session: Start, conn: redis.Redis
) -> None:
    first, second = session("w1"), session("w1")
    first.start()
    second.start()
    names = [each.id for each in view.workers(conn)]
    assert len(names) == 2 and names[0] == "w1" and names[1].startswith("w1-")
    assert second.data["worker"] == names[1]


def test_clear_keeps_worker_and_task(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    claim = claim_in(one.hook("Stop"))
    epoch = one.data["epoch"]
    assert one.hook("SessionEnd", reason="clear") == {}
    one.session_id = "another-one"
    answer = one.start(source="clear")
    assert one.data["epoch"] == epoch and one.data["session_id"] == "another-one"
    assert "You hold task t" in answer["hookSpecificOutput"]["additionalContext"]
    assert view.worker(conn, "w1").task == "t"
    assert one.bash(f"coord-worker complete {claim}").returncode == 0


def test_a_fork_in_the_same_process_is_the_same_worker_and_a_stale_end_a_no_op(
    session: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    one.hook("Stop")
    before = one.session_id
    one.session_id = "forked"
    one.start(source="fork")
    one.hook("SessionEnd", reason="other", session_id=before)
    assert view.worker(conn, "w1").task == "t"
    assert view.task(conn, "t").status == "started"


def test_resume_in_the_process_ends_nothing(session: Start, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    one.hook("SessionEnd", reason="resume")
    assert view.worker(conn, "w1").state != "stopped"


def test_a_sub_agents_stop_is_not_the_workers(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    assert one.hook("Stop", agent_id="sub-1") == {}
    assert one.hook("SessionEnd", agent_id="sub-1", reason="other") == {}
    assert view.task(conn, "t").status == "queued"
    assert view.worker(conn, "w1").state != "stopped"


def test_the_end_of_a_session_hands_its_task_back(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    one.hook("Stop")
    one.hook("SessionEnd", reason="prompt_input_exit")
    found = view.task(conn, "t")
    assert (found.status, found.losses, found.attempts, found.releases) == ("queued", 0, 0, 1)
    assert view.worker(conn, "w1").state == "stopped"


def test_a_prompt_after_an_allowed_stop_registers_anew(session: Start, conn: redis.Redis) -> None:
    one = session("w1", COORD_IDLE_LIMIT="0s")
    one.start()
    assert "idle" in one.hook("Stop")["systemMessage"]
    epoch = int(one.data["epoch"])
    assert view.worker(conn, "w1").state == "stopped"
    assert one.hook("Stop") == {}, "a stopped worker's stop is an ordinary one"
    one.hook("UserPromptSubmit", prompt="go on")
    assert int(one.data["epoch"]) == epoch + 1
    assert view.worker(conn, "w1").state in ("starting", "working")
    eventually(one.keeper)


def test_a_leftover_shell_of_an_earlier_registration_cannot_finish_a_later_claim(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool
) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    one.hook("Stop")
    from pool.claim import Caller, Claim
    from pool.errors import StaleClaim

    old = Caller("w1", one.data["epoch"])
    one.kill()
    eventually(lambda: view.task(conn, "t").status == "queued", 5)
    two = session("w1")
    two.start()
    two.hook("Stop")
    assert view.task(conn, "t").worker == "w1" and two.data["epoch"] != old.epoch
    try:
        pool.complete(old, Claim("t"), '"too late"')
    except StaleClaim:
        pass
    else:
        raise AssertionError("a bare task id of an earlier epoch was accepted")
    assert view.task(conn, "t").status == "started"


def test_a_person_at_a_prompt_without_a_name_is_asked_for_one(session: Start) -> None:
    one = session("w1")
    one.start()
    shell = {"PATH": one.env["PATH"], "HOME": one.env["HOME"]}
    import subprocess

    done = subprocess.run(
        [f"{one.settings.home}/bin/coord-worker", "status"],
        env=shell,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "give --worker ID or set COORD_WORKER_ID" in done.stderr
