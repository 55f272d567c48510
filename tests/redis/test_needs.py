"""What tasks need and workers offer: who is handed what, who is woken, and what is told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import redis

from coordinator import triggers
from pool import compiled, enroll, model, needs, profile
from pool import settings as settings_module
from pool.claim import Caller
from pool.errors import UsageError
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord

Submit = Callable[..., str]
OPUS = profile.Profile(model="opus")


def take(pool: Pool, me: Caller) -> str:
    handed = pool.claim(me).handed
    if handed is None:
        return ""
    pool.complete(me, handed.claim, "null", passed=True)
    return handed.claim.task_id


def test_a_task_goes_only_to_who_offers_all_it_needs(
    pool: Pool, submit: Submit, register: Callable[..., Caller]
) -> None:
    submit(id="checked", check="make test")
    submit(id="opus", model="opus")
    submit(id="both", model="opus", check="make test")
    submit(id="plain")
    plain, checks = register("plain"), register("checks", offers=needs.CHECK)
    one = register("opus", offers=needs.PROFILE + OPUS.name)
    two = register("two", offers=f"{needs.CHECK} {needs.PROFILE}{OPUS.name}")
    assert [take(pool, plain), take(pool, plain)] == ["plain", ""]
    submit(id="plain-2")
    assert take(pool, one) == "opus", "the oldest that it may have"
    assert take(pool, one) == "", "a session of a profile takes no others"
    assert [take(pool, two), take(pool, two)] == ["both", ""]
    assert [take(pool, checks) for _ in range(3)] == ["checked", "plain-2", ""]


def test_what_lies_behind_tasks_that_it_may_not_have_is_found_by_and_by(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Callable[..., Caller]
) -> None:
    for _ in range(200):
        submit(check="make")
    submit(id="deep")
    me, program = register(process="boot-ns-1-1"), register("program")
    first = pool.claim(me, "new")
    looks = [first, *(pool.claim(me, first.ticket) for _ in range(3))]
    assert [each.verdict for each in looks] == ["wait", "wait", "task", "held"]
    assert looks[0].more and looks[0].idle_left < 1, "its hook comes back at once"
    handed = looks[2].handed
    assert handed is not None and handed.claim.task_id == "deep"
    pool.complete(me, handed.claim, "null", passed=True)
    submit(id="deep-2")
    assert take(pool, program) == "deep-2", "a program asks once, and is not told that there is nothing"
    found = [pool.claim(me, "new").more for _ in range(8)]
    assert False in found, "an end is come to"
    assert conn.llen("rq:queue:tasks") == 200


def test_a_look_costs_the_same_whatever_waits(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Callable[..., Caller]
) -> None:
    me = register(process="boot-ns-1-1")

    def commands(run: Callable[[], Any]) -> int:
        conn.config_resetstat()
        run()
        found: Any = conn.info("commandstats")
        return sum(each["calls"] for each in found.values())

    pool.claim(me, "new")
    costs = []
    for backlog in (150, 300, 600):
        for _ in range(backlog - conn.llen("rq:queue:tasks")):
            submit(check="make")
        conn.hdel("pool:worker:w1", "seek:tasks")
        costs.append(
            (commands(lambda: pool.claim(me, "new")), commands(lambda: pool.summon("s", ("tasks",), 60.0)))
        )
    assert costs[0] == costs[1] == costs[2] and max(costs[0]) < 200


def test_who_may_have_the_task_is_woken(
    pool: Pool, conn: redis.Redis, submit: Submit, register: Callable[..., Caller]
) -> None:
    for name, offers in (("plain", ""), ("checks", needs.CHECK), ("opus", needs.PROFILE + OPUS.name)):
        pool.claim(register(name, offers=offers), "new", 5.0)
    submit(check="make")
    assert conn.hget("pool:worker:checks", "rung") and not conn.hget("pool:worker:plain", "rung")
    submit(model="opus")
    assert conn.hget("pool:worker:opus", "rung") and not conn.hget("pool:worker:plain", "rung")
    submit()
    assert conn.hget("pool:worker:plain", "rung")


def test_a_session_is_started_for_what_nobody_who_waits_may_have(
    pool: Pool, submit: Submit, register: Callable[..., Caller]
) -> None:
    pool.claim(register("plain"), "new", 5.0)
    submit(id="t", model="opus", check="make")

    def ask(name: str, offers: str) -> list[str]:
        return pool.summon(name, ("tasks",), 60.0, offers=offers)

    assert ask("a", "") == ask("a", needs.CHECK) == ask("a", "profile") == ["wait", ""]
    start = ["start", f"check {needs.PROFILE}{OPUS.name}", "t"]
    assert ask("a", "check profile") == start
    assert ask("b", "check profile") == ["wait", ""]
    submit(id="u")
    assert ask("b", "check profile") == ["wait", ""], "that one is left to the worker that waits"
    submit(id="v")
    assert ask("b", "check profile") == ["start", "", "u"]
    assert pool.summon("a", ("tasks",), 60.0, "off") == ["off"]
    assert ask("c", "check profile") == start


def test_a_backlog_of_what_nobody_may_have_hides_no_other(pool: Pool, submit: Submit) -> None:
    for _ in range(100):
        submit(check="make")
    for _ in range(100):
        submit()
    said = set()
    for _ in range(100):
        said.add(tuple(pool.summon("a", ("tasks",), 60.0)[:2]))
        pool.summon("a", ("tasks",), 60.0, "off")
    assert ("start", "") in said


def test_what_a_task_may_ask_for(settings: Settings, submit: Submit) -> None:
    asked = {
        "model": "opus", "effort": "high", "permission_mode": "acceptEdits", "max_turns": 5, "budget": 2.5,
        "allowed_tools": ["Bash(git *)"], "disallowed_tools": ["WebFetch"],
    }  # fmt: skip
    spec = model.parse_spec({"prompt": "x", **asked})
    assert spec.asks().asked() == asked and spec.asks().once
    assert spec.needs() == [needs.PROFILE + spec.asks().name]
    assert profile.parse(dict(reversed(asked.items())), "here").name == spec.asks().name
    assert spec.asks().argv() == [
        "--model=opus", "--effort=high", "--permission-mode=acceptEdits", "--max-turns=5",
        "--max-budget-usd=2.5", "--allowed-tools=Bash(git *)", "--disallowed-tools=WebFetch",
    ]  # fmt: skip
    for name, value in (
        ("model", "--evil"), ("model", "a b"), ("effort", "huge"), ("permission_mode", "root"),
        ("max_turns", 0), ("max_turns", -1), ("budget", 0), ("budget", 1e9), ("budget", "nan"),
        ("allowed_tools", ["-x"]), ("allowed_tools", [""]), ("disallowed_tools", ["x"] * 101),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=rf"^{name}"):
            model.parse_spec({"prompt": "x", name: value})
    with pytest.raises(UsageError, match="allow_bypass"):
        submit(permission_mode="bypassPermissions")


def test_a_tasks_profile_over_the_workers_own() -> None:
    own = profile.Profile(model="sonnet", budget=1.0, disallowed_tools=["WebFetch"])
    task = profile.Profile(model="opus", budget=5.0, max_turns=3, disallowed_tools=["Edit"])
    assert task.over(own).asked() == {
        "model": "opus", "budget": 1.0, "max_turns": 3, "disallowed_tools": ["WebFetch", "Edit"],
    }  # fmt: skip


@pytest.mark.settings(allow_bypass="1", checks="1")
def test_bypass_is_for_those_whose_operator_allows_it(
    pool: Pool, settings: Settings, submit: Submit, register: Callable[..., Caller]
) -> None:
    submit(id="t", permission_mode="bypassPermissions")
    name = profile.Profile(permission_mode="bypassPermissions").name
    assert take(pool, register("no", offers=needs.PROFILE + name)) == ""
    values = settings.model_dump()
    assert take(pool, register("yes", offers=needs.offered(values, {"COORD_PROFILE": name}))) == "t"
    assert needs.offered(values, {"COORD_PROFILE": "no hex"}) == "check bypass"
    assert needs.lacking("check bypass", "bypass") == ["check"]


@pytest.mark.settings(trigger_allow="model")
def test_a_trigger_sets_only_what_the_list_allows(settings: Settings) -> None:
    assert triggers.parse(b'{"prompt": "x", "model": "opus"}', settings).model == "opus"
    for field in ("permission_mode", "allowed_tools", "budget"):
        with pytest.raises(UsageError, match=field):
            triggers.parse(b'{"prompt": "x", "%s": "y"}' % field.encode(), settings)


def test_commands_say_what_is_asked_for_and_missing(
    coord: Coord, pool: Pool, register: Callable[..., Caller]
) -> None:
    register()
    said = coord("submit", "x", "--id", "t", "--check", "make", "--model", "opus", "--max-turns", "3",
                 "--allowed-tools", "Bash(git *)")  # fmt: skip
    assert "runs checks now (setting checks)" in said.err and "coord worker run" in said.err
    assert coord.json("task", "t")["needs"][0] == "check"
    shown = coord("task", "t").out
    assert "model opus" in shown and "Bash(git *)" in shown
    pool.summon("s", ("tasks",), 60.0, offers="check profile")
    assert coord("submit", "y", "--check", "make", "--effort", "low").err == ""
    wrong = coord.refused("submit", "z", "--permission-mode", "bypassPermissions")
    assert "allow_bypass" in wrong
    seen = coord.json("workers")[0]
    assert (seen["offers"], seen["account"], seen["mode"], seen["supervisor"]) == ([], "default", "", "")


def test_how_a_session_is_run_is_told_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_MODE", "hook")
    monkeypatch.setenv("COORD_SUPERVISED", "w1")
    assert (enroll.mode(), enroll.supervisor()) == ("hook", "w1")
    monkeypatch.setenv("COORD_MODE", "other")
    monkeypatch.setenv("COORD_SUPERVISED", "not a name")
    assert (enroll.mode(), enroll.supervisor()) == ("", "")


def test_whoever_keeps_a_session_registers_it_again_as_it_was(
    settings: Settings, pool: Pool, conn: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(settings_module.compile_settings(settings))
    environ = {"COORD_WORKER_ID": "w1", "COORD_MODE": "stream", "COORD_SUPERVISED": "s",
               "COORD_PROFILE": OPUS.name, "COORD_QUEUES": "rare"}  # fmt: skip
    own = compiled.Compiled(path, settings_module.compile_values(settings), environ)
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            for again in (False, True):
                given = compiled.load(path) if again else own
                made = enroll.enroll(given, pool, process.pid, "id", "/", None if again else environ, again)
                assert made is not None and made.caller.worker == "w1"
                found: Any = conn.hmget("pool:worker:w1", "mode", "supervisor", "offers", "queues", "cwd")
                assert found == [b"stream", b"s", f"profile:{OPUS.name}".encode(), b"rare", b"/"]
                pool.deregister(made.caller, died=True, why="given up on")
        finally:
            process.kill()
