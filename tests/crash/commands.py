"""Every command of a session's side: how it is prepared and run, and what it says to Redis."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pool import local, worktree
from tests.crash.bench import Bench, Process

Step = Callable[[Bench], object]


def nothing(bench: Bench) -> None:
    """Nothing to be done."""


@dataclass(frozen=True)
class Command:
    """One row of the crash matrix."""

    name: str
    #: Its round trips in the steady state, one per transition: the names of scripts, or of a bare command.
    trips: tuple[str, ...]
    prepare: Step
    start: Callable[[Bench], Process]
    #: The status of each task when it has run to its end (also after a kill, when it was repeated).
    then: dict[str, str] = field(default_factory=dict)
    #: The status in which tasks end when all that can be claimed has been done; the others are finished.
    end: dict[str, str] = field(default_factory=dict)
    #: Done again and again while it runs.
    meanwhile: Step = nothing
    #: The exit codes of a repeated call.
    codes: tuple[int, ...] = (0,)
    #: The same for a command that was killed before Redis knew of it, and never repeated.
    untouched: dict[str, str] = field(default_factory=dict)
    #: All of so many tasks, or none.
    batch: int = 0
    #: Its other round trips are redis-py's greeting and reads: ``trips`` are the transitions only.
    reads: bool = False
    #: How things go on after a kill.
    ways: tuple[str, ...] = ("repeated", "given up on")
    #: What must be true besides when it has run to its end.
    check: Callable[[Bench], bool] = lambda bench: True


# -- preparing -------------------------------------------------------------------------------------------


def enrolled(bench: Bench) -> None:
    bench.enroll()


def task_waits(bench: Bench) -> None:
    bench.enroll()
    bench.submit()


def holding(bench: Bench, **fields: Any) -> None:
    """It holds t, on which a child waits."""
    bench.enroll()
    bench.submit(**fields)
    bench.submit("kid", after=["t"])
    bench.take()


def addressed(bench: Bench) -> None:
    """It holds t, and an operator has something to say about it."""
    holding(bench)
    assert bench.pool.tell("t", "use the other branch", False, 1)[0] == "sent"
    bench.disk().mark_words(True)


def cut_off(bench: Bench) -> None:
    """Its Stop hook claimed t and died."""
    task_waits(bench)
    bench.take("new")


def let_go(bench: Bench) -> None:
    """An allowed stop: the worker is stopped."""
    bench.enroll(idle=0.0)
    assert bench.pool.claim(bench.caller, "new", 1.0).verdict == "stop"
    bench.disk().save(stopped=True)


def given_up(bench: Bench) -> None:
    bench.enroll()
    bench.give_up()


def given_up_and_task(bench: Bench) -> None:
    given_up(bench)
    bench.submit()


def reminded(bench: Bench) -> None:
    """It was reminded as often as it may be; nothing else to do."""
    bench.enroll(idle=0.0)
    bench.submit()
    bench.submit("kid", after=["t"])
    bench.take()
    for _ in range(3):
        assert bench.pool.remind(bench.caller, "0", False)[0] == "remind"


def by_message(bench: Bench) -> None:
    """It holds t, whose result is the session's last message."""
    holding(bench, finish="message")


def to_check(bench: Bench, command: str = "true", **fields: Any) -> None:
    """It holds t, which has a check."""
    bench.enroll(idle=0.0)
    bench.submit(check=command, **fields)
    bench.submit("kid", after=["t"])
    bench.take()


def message_and_drained(bench: Bench) -> None:
    """It holds t, whose result is its last message, and is to stop after it."""
    by_message(bench)
    bench.pool.tune("w1", "draining", "1")


def message_check_and_drained(bench: Bench) -> None:
    """The same, with a check."""
    to_check(bench, finish="message")
    bench.pool.tune("w1", "draining", "1")


def to_check_in_vain(bench: Bench, **fields: Any) -> None:
    """It holds t, whose check fails."""
    to_check(bench, "false", **fields)


def repository(bench: Bench) -> str:
    """A git repository with one commit; what an earlier kill has left of it is gone."""
    folder = bench.folder / "repository"
    for each in (folder, Path(bench.settings.home) / "worktrees"):
        shutil.rmtree(each, ignore_errors=True)
    folder.mkdir()
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        mine = ("-c", "user.name=me", "-c", "user.email=me@here")
        subprocess.run(["git", *mine, *words], cwd=folder, check=True, capture_output=True)
    return str(folder)


def worktree_wanted(bench: Bench) -> None:
    """A task waits that asks for a git worktree."""
    bench.enroll()
    bench.submit(worktree=True, cwd=repository(bench))


def worktree_held(bench: Bench) -> None:
    """It holds t, in a worktree of its own."""
    holding(bench, worktree=True, cwd=repository(bench))
    handed = bench.pool.claim(bench.caller).handed
    assert handed is not None
    values = bench.settings.model_dump()
    assert worktree.fields(bench.pool, values, bench.caller, handed, bench.one.key, "") is not None
    (Path(bench.settings.home) / "worktrees" / "t" / "half.txt").write_text("half")


def checked_twice(bench: Bench) -> None:
    """The check of t has failed as often as it may, but once."""
    to_check(bench, "false")
    for run in ("first", "second"):
        assert bench.pool.checked(bench.caller, bench.claim, run, "no", {})[0] == "again"


def draining(bench: Bench) -> None:
    task_waits(bench)
    bench.pool.tune("w1", "draining", "1")


def parked(bench: Bench) -> None:
    holding(bench)
    bench.pool.park(bench.caller, 0.0, "a person")


def artifact(bench: Bench) -> None:
    holding(bench)
    (bench.folder / "report.md").write_text("# it went well", encoding="utf-8")


def dead(bench: Bench) -> None:
    """The session died with t in its hands, and nobody has noticed yet."""
    bench.enroll(keeper=True)
    bench.submit()
    bench.submit("kid", after=["t"])
    bench.take()
    bench.one.kill()


def kept(bench: Bench) -> None:
    """A commit waits on disk for Redis."""
    bench.enroll(keeper=True)
    bench.submit()
    bench.submit("kid", after=["t"])
    bench.take()
    commit = {
        "worker": "w1", "epoch": bench.caller.epoch, "claim": str(bench.claim), "result": '"kept"',
        "artifacts": [["report.md", "aGk="]],
    }  # fmt: skip
    local.save_commit(str(bench.one.home / "outbox"), str(bench.claim), commit)


def kept_and_dead(bench: Bench) -> None:
    kept(bench)
    bench.one.kill()


def given_up_with_keeper(bench: Bench) -> None:
    bench.enroll(keeper=True)
    bench.submit()
    bench.submit("kid", after=["t"])
    bench.take()
    bench.give_up()


# -- meanwhile -------------------------------------------------------------------------------------------


def ring(bench: Bench) -> None:
    """A task is submitted as soon as the hook waits on its bell."""
    if not bench.done and bench.conn.hget("pool:worker:w1", "waiting_until"):
        bench.done = True
        bench.submit()


def interrupt(bench: Bench) -> None:
    """The hook is asked to end as soon as it waits on its bell."""
    if not bench.done and bench.trips()[-1:] == ["BLPOP"]:
        bench.done = True
        bench.process.send_signal(signal.SIGTERM)


def die_when_sent(bench: Bench) -> None:
    """The session dies when the outbox is empty and the keeper listens for calls."""
    if not local.commits(str(bench.one.home / "outbox")) and bench.trips()[-1:] == ["BLPOP"]:
        bench.one.kill()


def die_when_back(bench: Bench) -> None:
    """The session dies when its keeper has brought it back as a new owner."""
    listens = bench.trips()[-1:] == ["BLPOP"]
    if listens and bench.one.home.exists() and bench.disk().caller.epoch not in ("", bench.caller.epoch):
        bench.one.kill()


# -- checking --------------------------------------------------------------------------------------------


def known(bench: Bench) -> bool:
    """What the session has on disk is its live registration."""
    me = bench.disk().caller
    return bench.pool.beat(me).verdict in ("ok", "lost") and bool(me.epoch)


def tidied(bench: Bench) -> bool:
    """The dead session's folder is gone, and the registration with it."""
    return not bench.one.home.exists() and bench.conn.zcard("pool:workers") == 0


def stored(bench: Bench) -> bool:
    return bool(bench.conn.hlen("pool:artifacts:t")) and tidied(bench)


def with_artifact(bench: Bench) -> bool:
    return bench.conn.hget("pool:artifacts:t", "report.md") == b"# it went well"


def with_evidence(bench: Bench) -> bool:
    return bool(bench.conn.hexists("pool:evidence:t", "check"))


def with_worktree(bench: Bench) -> bool:
    return bool(bench.conn.hexists("rq:job:t", "pool_worktree")) and any(
        each.is_dir() for each in (Path(bench.settings.home) / "worktrees").iterdir()
    )


def work_kept(bench: Bench) -> bool:
    """What was changed is committed."""
    shown = subprocess.run(
        ["git", "show", "--stat", "coord/t"], cwd=bench.folder / "repository", capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return "half.txt" in shown.stdout


def stopped(bench: Bench) -> bool:
    return bench.conn.zcard("pool:workers") == 0


# -- the commands ----------------------------------------------------------------------------------------


def with_a_transcript(bench: Bench) -> None:
    """Its session has made a request that nobody has booked."""
    task_waits(bench)
    bench.disk().hand("", "1970-01-01T00:00:00.000Z")
    message = {"id": "m", "model": "claude-opus-5-5", "usage": {"input_tokens": 10, "output_tokens": 5}}
    line = {"type": "assistant", "timestamp": "2026-01-01T00:00:00.000Z", "message": message}
    (bench.folder / "s.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")


def booked_once(bench: Bench) -> bool:
    days: Any = bench.conn.keys("pool:cost:day:*")
    return [bench.conn.hget(day, "all=all:requests") for day in days] == [b"1"]


def hook(event: str, **payload: Any) -> Callable[[Bench], Process]:
    """A hook of the session."""
    return lambda bench: bench.hook(event, **payload)


def helper(*words: str) -> Callable[[Bench], Process]:
    """A helper; ``CLAIM`` among its words is the claim that the session holds."""
    return lambda bench: bench.helper(*(str(bench.claim) if word == "CLAIM" else word for word in words))


def interactive(error: str) -> Callable[[Bench], Process]:
    """An API error in a session with a person before it."""

    def start(bench: Bench) -> Process:
        bench.one.env["CLAUDE_CODE_ENTRYPOINT"] = "cli"
        return bench.hook("StopFailure", error=error)

    return start


def accounted(bench: Bench) -> bool:
    """The message was told once, or waits still."""
    events: Any = bench.conn.xrange("pool:events")
    told = sum(each[b"type"] == b"told" for _, each in events)
    return bool(told + bench.conn.llen("pool:words:w1") == 1)


STARTED = {"t": "started"}
HELD = {"t": "started", "kid": "deferred"}
BACK = {"t": "queued", "kid": "deferred"}
LATER = {"t": "scheduled", "kid": "deferred"}
DONE = {"t": "finished", "kid": "queued"}
FAILED = {"t": "failed", "kid": "deferred"}
TOLD = hook("Stop", last_assistant_message="done")
STOP, PROMPT, END = hook("Stop"), hook("UserPromptSubmit", prompt="hi"), hook("SessionEnd", reason="other")

HOOKS = [
    Command("SessionStart", ("register",), Bench.hold_keeper, hook("SessionStart", source="startup"),
            check=known),
    Command("SessionStart after /clear, holding a task", ("register", "beat"), holding,
            hook("SessionStart", source="clear"), HELD, check=known),
    Command("UserPromptSubmit", ("prompt",), enrolled, PROMPT, check=known),
    Command("UserPromptSubmit after a cut-off hand-over", ("prompt", "confirm"), cut_off, PROMPT, STARTED),
    Command("UserPromptSubmit of a worker that was let go", ("register", "prompt"), let_go, PROMPT,
            check=known),
    Command("UserPromptSubmit of a worker given up on", ("prompt", "register"), given_up, PROMPT,
            check=known),
    Command("Stop, a task waits", ("claim", "confirm"), task_waits, STOP, STARTED),
    Command("Stop, waits on its bell and is rung", ("claim", "BLPOP", "claim", "confirm"), enrolled, STOP,
            STARTED, meanwhile=ring),
    Command("Stop, with something to book", ("charge", "claim", "confirm"), with_a_transcript,
            lambda b: b.hook("Stop", transcript_path=str(b.folder / "s.jsonl")), STARTED, check=booked_once),
    Command("Stop after a cut-off hand-over", ("claim", "confirm"), cut_off, STOP, STARTED),
    Command("Stop, given up on meanwhile", ("claim", "register", "claim", "confirm"), given_up_and_task, STOP,
            STARTED, check=known),
    Command("Stop, holding a task", ("claim", "remind"), holding, STOP, HELD),
    Command("Stop, reminded in vain", ("claim", "remind", "claim"), reminded, STOP, FAILED, FAILED,
            check=stopped),
    Command("Stop, its last message is the result", ("claim", "remind", "complete", "claim"),
            message_and_drained, TOLD, DONE, check=stopped),
    Command("Stop, its last message, and a check that passes",
            ("claim", "remind", "complete", "beat", "complete", "claim"),
            message_check_and_drained, TOLD, DONE, check=stopped),
    Command("Stop, its last message, and a check that fails",
            ("claim", "remind", "complete", "beat", "checked"),
            lambda b: to_check_in_vain(b, finish="message"), TOLD, HELD),
    Command("Stop, a task in a git worktree", ("claim", "place", "place", "confirm"), worktree_wanted, STOP,
            STARTED, check=with_worktree),
    Command("Stop, idle", ("claim",), lambda b: b.enroll(idle=0.0), STOP, check=stopped),
    Command("Stop, idle after a wait", ("claim", "BLPOP", "claim"), lambda b: b.enroll(idle=0.5), STOP,
            check=stopped),
    Command("Stop, draining", ("claim",), draining, STOP, {"t": "queued"}, check=stopped),
    Command("Stop, ended by a signal while it waits", ("claim", "BLPOP", "leave"), enrolled, STOP,
            meanwhile=interrupt, check=known),
    Command("SessionEnd", ("deregister",), enrolled, END, check=stopped),
    Command("SessionEnd, holding a task", ("deregister",), holding, END, BACK, check=stopped),
    Command("StopFailure, a quota, plain `claude -p`", ("account", "beat"), holding,
            hook("StopFailure", error="rate_limit"), LATER),
    Command("StopFailure, a quota, interactive", ("account", "beat"), holding, interactive("rate_limit"),
            HELD),
    Command("StopFailure, no login, interactive", ("account", "beat"), holding,
            interactive("authentication_failed"), BACK, check=stopped),
    Command("StopFailure, a broken request, interactive", ("note", "beat"), holding,
            interactive("invalid_request"), HELD),
    Command("StopFailure, a broken request, plain `claude -p`", ("beat", "release", "beat"), holding,
            hook("StopFailure", error="invalid_request"), LATER),
    Command("PostToolUse", (), holding, hook("PostToolUse", tool_name="Bash"), HELD),
    Command("PostToolUse, a message waits", ("told", "told"), addressed,
            hook("PostToolUse", tool_name="Bash"), HELD, check=accounted),
    Command("Stop, a message waits", ("claim", "told", "told"), addressed, STOP, HELD, check=accounted),
]  # fmt: skip


HELPERS = [
    Command("claim", ("claim",), task_waits, helper("claim"), STARTED),
    Command("claim, nothing there", ("claim",), enrolled, helper("claim"), codes=(3,)),
    Command("claim, a program without a session", ("register", "claim"), lambda b: b.submit(),
            lambda b: b.helper("claim", "--worker", "program", CLAUDE_PID=""), STARTED),
    Command("complete CLAIM, with an artifact", ("complete",), artifact,
            helper("complete", "CLAIM", "--result", "ok", "--artifact", "report.md"), DONE,
            check=with_artifact),
    # The bare form asks what it holds; once it is done it holds nothing, and says so (4).
    Command("complete", ("beat", "complete"), holding, helper("complete", "--result", "ok"), DONE,
            codes=(0, 4)),
    Command("complete CLAIM, a check that passes", ("complete", "beat", "complete"), to_check,
            helper("complete", "CLAIM", "--result", "ok"), DONE, check=with_evidence),
    Command("complete CLAIM, a check that fails", ("complete", "beat", "checked"),
            to_check_in_vain, helper("complete", "CLAIM"), HELD, codes=(1,), check=with_evidence),
    Command("complete CLAIM, a check that fails once too often", ("complete", "beat", "checked"),
            checked_twice, helper("complete", "CLAIM"), FAILED, FAILED, codes=(1, 4), check=with_evidence),
    Command("fail CLAIM, no retries", ("fail",), holding, helper("fail", "CLAIM", "--reason", "no"), FAILED,
            FAILED),
    Command("fail CLAIM, retried at once", ("fail",), lambda b: holding(b, retries=2),
            helper("fail", "CLAIM", "--reason", "no"), BACK),
    Command("fail CLAIM, retried later", ("fail",), lambda b: holding(b, retries=2, backoff=["60s"]),
            helper("fail", "CLAIM", "--reason", "no"), LATER),
    Command("fail CLAIM --no-retry", ("fail",), lambda b: holding(b, retries=2),
            helper("fail", "CLAIM", "--reason", "no", "--no-retry"), FAILED, FAILED),
    Command("release CLAIM", ("release",), holding, helper("release", "CLAIM"), LATER),
    Command("release CLAIM, in a git worktree", ("place", "release"), worktree_held,
            helper("release", "CLAIM", "--delay", "0"), BACK, check=work_kept),
    Command("release CLAIM --delay 0", ("release",), holding, helper("release", "CLAIM", "--delay", "0"),
            BACK),
    Command("park", ("park",), holding, helper("park", "--for", "1h"), HELD),
    Command("unpark", ("unpark",), parked, helper("unpark"), HELD),
    Command("heartbeat", ("beat",), holding, helper("heartbeat"), HELD),
    Command("heartbeat CLAIM, not confirmed yet", ("beat",), cut_off, helper("heartbeat", "CLAIM"), STARTED),
    Command("progress", ("beat",), holding, helper("progress", "half of it"), HELD),
]  # fmt: skip

KEEPERS = [
    Command("keeper, its session is dead", ("deregister",), dead, Bench.keeper, BACK, check=tidied),
    Command("keeper, a kept commit, its session is dead", ("complete", "deregister"), kept_and_dead,
            Bench.keeper, DONE, check=stored),
    Command("keeper, a kept commit, then its session dies", ("complete", "beat", "BLPOP", "deregister"), kept,
            Bench.keeper, DONE, meanwhile=die_when_sent, check=stored),
    Command("keeper, given up on, then its session dies", ("beat", "register", "BLPOP", "deregister"),
            given_up_with_keeper, Bench.keeper, BACK, meanwhile=die_when_back, check=tidied),
]  # fmt: skip
