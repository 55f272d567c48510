"""Stories of sessions: what is heard, and what is made of it."""

from __future__ import annotations

from dataclasses import replace

from monitor import states
from monitor.signals import Signal
from pool.sessions import Confidence, Session, State
from tools.session_states import (
    ASKS,
    BEGINS,
    ENROLLED,
    HELD,
    PROMPT,
    STOP,
    TOOL,
    Step,
    hook,
    play,
    pool,
    seen,
)  # fmt: skip

BUSY = (BEGINS, PROMPT)


def after(*steps: Step) -> Session:
    return play(steps)


def says(session: Session) -> tuple[str, str]:
    return session.state, session.evidence


# -- turns and tools -----------------------------------------------------------------------------------


def test_a_turn_of_an_ordinary_session() -> None:
    session = after(BEGINS)
    assert says(session) == ("starting", "hook SessionStart startup")
    assert (session.session, session.process, session.confidence) == ("one", "p1", Confidence.CERTAIN)
    session = play((PROMPT, TOOL), session)
    assert says(session) == ("tool", "hook PreToolUse Bash") and session.tool == "Bash" and session.tools == 1
    assert session.since == session.evidence_at == session.hooks_at == 1030
    session = play((hook("PostToolUse", tool="Bash", tool_use_id="t1"), STOP), session)
    assert says(session) == ("stopped", "hook Stop") and not session.tool and not session.ended_at
    session = play((hook("SessionEnd", reason="prompt_input_exit"),), session)
    assert says(session) == ("stopped", "hook SessionEnd prompt_input_exit") and session.ended_at


def test_tools_at_once_are_told_apart() -> None:
    session = after(*BUSY, TOOL, hook("PreToolUse", tool="Read", tool_use_id="t2"))
    assert (session.state, session.tool, session.tools) == (State.TOOL, "Read", 2)
    session = play((hook("PostToolUse", tool="Read", tool_use_id="t2"),), session)
    assert (session.state, session.tool, session.tools) == (State.TOOL, "Bash", 1)
    assert play((hook("PostToolBatch"),), session).state is State.WORKING


def test_without_ids_a_tool_goes_by_its_name() -> None:
    session = after(*BUSY, hook("PreToolUse", tool="Bash"), hook("PreToolUse", tool="Read"))
    assert session.tools == 2
    assert play((hook("PostToolUse", tool="Bash"),), session).tool == "Read"


def test_sub_agents_are_counted_and_end_no_turn() -> None:
    session = after(*BUSY, TOOL, hook("SubagentStart", agent="a1"), hook("SubagentStart", agent="a2"))
    assert (session.state, session.agents) == (State.TOOL, 2)
    session = play((hook("SubagentStop", agent="a1"), hook("Stop", agent="a2")), session)
    assert (session.state, session.agents) == (State.TOOL, 1)
    assert play((STOP,), session).agents == 0  # a killed one sends no end
    assert play((hook("Stop", background=1),), session).agents == 1


# -- a person ------------------------------------------------------------------------------------------


def test_a_permission_is_asked_and_given() -> None:
    session = after(*BUSY, TOOL, ASKS)
    assert (session.state, session.needs) == (State.NEEDS_YOU, "Bash: make")
    session = play(
        (hook("Notification", notification_type="permission_prompt", message="Claude asks"),), session
    )
    assert session.needs == "Bash: make"
    session = play((hook("PostToolUse", tool="Bash", tool_use_id="t1"),), session)
    assert (session.state, session.needs) == (State.WORKING, "")


def test_the_end_of_another_tool_answers_nothing() -> None:
    read = hook("PreToolUse", tool="Read", tool_use_id="t2")
    session = after(*BUSY, read, TOOL, ASKS, hook("PostToolUse", tool="Read", tool_use_id="t2"))
    assert (session.state, session.needs) == (State.NEEDS_YOU, "Bash: make")


def test_two_questions_are_two() -> None:
    other = hook("PreToolUse", tool="AskUserQuestion", tool_use_id="t2", message="AskUserQuestion: Which?")
    session = after(*BUSY, TOOL, ASKS, other)
    assert session.needs == "AskUserQuestion: Which?"
    session = play((hook("PostToolUse", tool="AskUserQuestion", tool_use_id="t2"),), session)
    assert (session.state, session.needs) == (State.NEEDS_YOU, "Bash: make")


def test_a_sub_agent_asks_and_its_end_takes_the_question_back() -> None:
    ask = hook("PermissionRequest", agent="a1", tool="Write", message="Write: x")
    session = after(*BUSY, hook("PreToolUse", tool="Agent", tool_use_id="t1"), ask)
    assert (session.state, session.needs, session.agents) == (State.NEEDS_YOU, "Write: x", 1)
    assert play((hook("PostToolUse", agent="a1", tool="Write"),), session).state is State.TOOL
    assert play((hook("SubagentStop", agent="a1"),), session).state is State.TOOL


def test_an_elicitation_is_answered() -> None:
    session = after(*BUSY, TOOL, hook("Elicitation", message="Which account?"))
    assert session.needs == "Which account?"
    assert play((hook("ElicitationResult"),), session).state is State.TOOL


def test_a_session_at_its_prompt_waits_for_input_but_a_worker_that_was_let_go_does_not() -> None:
    idle = hook("Notification", notification_type="idle_prompt", message="Claude is waiting for your input")
    assert play((idle,), after(*BUSY, STOP)).needs == "Claude is waiting for your input"
    let_go = after(*ENROLLED, STOP, pool("stopped", detail="idle"))
    assert play((idle,), let_go).state is State.STOPPED


# -- order ---------------------------------------------------------------------------------------------


def test_a_late_tool_end_does_not_bring_the_turn_back() -> None:
    stopped = after(*BUSY, TOOL, STOP)
    late = Signal("PostToolUse", stopped.hooks_at - 0.01, tool="Bash", tool_use_id="t1")
    assert states.step(stopped, late) is stopped
    later = states.step(stopped, Signal("PostToolUse", stopped.hooks_at + 5, tool="Bash", tool_use_id="t1"))
    assert later.state is State.STOPPED


def test_a_question_that_was_overtaken_is_asked_all_the_same() -> None:
    session = after(*BUSY, TOOL, hook("PreToolUse", tool="Read", tool_use_id="t2"))
    asked = Signal("PermissionRequest", session.hooks_at - 0.01, tool="Bash", message="Bash: make")
    assert states.step(session, asked).needs == "Bash: make"
    session = play((hook("PostToolUse", tool="Bash", tool_use_id="t1"),), session)
    assert states.step(session, replace(asked, at=session.hooks_at - 0.01)) is session


def test_an_older_hook_says_who_it_is_and_no_more() -> None:
    session = states.step(Session("s-1"), Signal("UserPromptSubmit", 1000.02, session="one"))
    late = Signal("SessionStart", 1000.0, session="one", process="p1", pid=7, source="startup")
    session = states.step(session, late)
    assert (session.state, session.process, session.pid) == (State.WORKING, "p1", 7)


def test_a_tool_that_ended_before_it_was_heard_of_does_not_run_for_ever() -> None:
    session = after(*BUSY, TOOL)
    session = states.step(session, Signal("PreToolUse", session.hooks_at + 2, tool="Read", tool_use_id="t2"))
    session = states.step(session, Signal("PostToolUse", session.hooks_at - 1, tool="Bash", tool_use_id="t1"))
    assert (session.tool, session.tools) == ("Read", 1)


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    session = after(*BUSY)
    session = states.step(session, Signal("Stop", session.hooks_at - 3600))
    assert session.state is State.STOPPED


def test_an_entry_of_the_pool_counts_once() -> None:
    session = after(*HELD, TOOL)
    again = Signal("pool:claimed", 2000, worker="w1", task="T", entry="4-0")
    assert session.entry == "5-0" and states.step(session, again) is session


# -- workers -------------------------------------------------------------------------------------------


def test_a_worker_waits_is_handed_a_task_and_waits_again() -> None:
    assert says(after(*ENROLLED)) == ("starting", "hook SessionStart startup")
    session = after(*HELD)
    assert says(session) == ("working", "pool confirmed T") and (session.task, session.worker) == ("T", "w1")
    session = play((TOOL, pool("finished", task="T")), session)
    assert (session.state, session.task) == (State.TOOL, "")
    session = play((hook("PostToolUse", tool="Bash", tool_use_id="t1"), STOP), session)
    assert says(session) == ("waiting", "hook Stop")


def test_the_pool_may_be_faster_than_the_hook() -> None:
    claimed = after(*ENROLLED, pool("claimed", task="T"), STOP)  # Stop came in after what it led to
    assert claimed.state is State.WORKING
    let_go = after(*ENROLLED, pool("stopped", detail="idle"), STOP)
    assert let_go.state is State.STOPPED


def test_a_task_that_ends_within_the_stop_hook() -> None:
    session = after(*HELD, STOP)
    assert session.state is State.WORKING
    assert play((pool("finished", task="T"),), session).state is State.WAITING


def test_a_worker_without_hooks_goes_by_the_pool() -> None:
    session = after(pool("registered", process="p1"), pool("claimed", task="T"))
    assert session.state is State.WORKING
    session = play((pool("finished", task="T"),), session)
    assert (session.state, session.confidence) == (State.WAITING, Confidence.LIKELY)


def test_parked_stays_parked_until_the_pool_says_otherwise() -> None:
    session = after(*HELD, TOOL, pool("parked", detail="waits for a person", until=5000.0))
    session = play((hook("PostToolUse", tool="Bash", tool_use_id="t1"), STOP), session)
    assert (session.state, session.until) == (State.PARKED, 5000.0)
    session = play((pool("unparked"),), session)
    assert (session.state, session.until) == (State.WORKING, 0.0)


def test_a_quota_that_is_back_needs_a_person_at_the_prompt() -> None:
    session = after(*HELD, hook("StopFailure", reason="rate_limit"), pool("parked"))
    back = pool("unparked", reason="needs-you", message="its quota is back: type anything there")
    session = play((back,), session)
    assert (session.state, session.needs) == (State.NEEDS_YOU, "its quota is back: type anything there")
    assert play((seen("idle", since=2000.0),), session).state is State.NEEDS_YOU
    assert play((PROMPT,), session).state is State.WORKING


def test_a_draining_worker_shows_it_until_it_is_let_go() -> None:
    session = after(*HELD, pool("draining"), TOOL)
    assert (session.state, session.tool) == (State.DRAINING, "Bash")
    assert play((pool("undrained"),), session).state is State.TOOL
    assert play((pool("stopped"),), session).state is State.STOPPED


def test_a_worker_that_was_let_go_works_again_with_the_next_prompt() -> None:
    let_go = after(*ENROLLED, STOP, pool("stopped", detail="idle"))
    session = play((PROMPT, pool("registered", process="p1"), STOP), let_go)
    assert session.state is State.WAITING
    session = play((pool("registered", process="p1"), PROMPT, STOP), let_go)
    assert session.state is State.WAITING
    assert play((PROMPT, STOP), let_go).state is State.STOPPED  # it is nobody's worker now


def test_the_same_worker_in_its_next_session() -> None:
    session = after(*HELD, pool("dead", detail="its process is gone"))
    assert session.state is State.DEAD and session.ended_at and not session.task
    late = play((hook("Stop", process="p1"), hook("SessionEnd", reason="other")), session)
    assert late.state is State.DEAD
    session = play((pool("registered", process="p2", session="two"),), session)
    assert (session.state, session.process, session.session) == (State.STARTING, "p2", "two")
    assert not session.ended_at and session.started_at == session.since


# -- a look around -------------------------------------------------------------------------------------


def test_an_interrupt_is_found_by_the_file() -> None:
    session = after(*BUSY, TOOL)
    before = Signal("seen:idle", session.hooks_at + 30, since=session.hooks_at - 1)
    assert states.step(session, before).state is State.TOOL  # the hook is newer
    just_now = Signal("seen:idle", session.hooks_at + 30, since=session.hooks_at + 29)
    assert states.step(session, just_now).state is State.TOOL  # its Stop hook may be on its way
    session = states.step(session, Signal("seen:idle", session.hooks_at + 30, since=session.hooks_at + 1))
    assert (session.state, session.confidence, session.tools) == (State.INTERRUPTED, Confidence.LIKELY, 0)


def test_a_session_that_has_no_hooks_goes_by_its_file() -> None:
    session = states.step(Session("s-1"), Signal("seen:idle", 1000, session="one", process="p1", since=900))
    assert says(session) == ("stopped", "session file: idle") and session.confidence is Confidence.LIKELY
    session = states.step(session, Signal("seen:busy", 1060, session="one", process="p1", since=1050))
    assert session.state is State.WORKING
    session = states.step(session, Signal("seen:idle", 1120, session="two", process="p1", since=1110))
    assert (session.state, session.session) == (State.STOPPED, "two")
    session = states.step(session, Signal("seen:waiting", 1180, since=1170, message="permission prompt"))
    assert session.needs == "permission prompt"
    assert states.step(session, Signal("seen:gone", 1200, process="p1")).state is State.DEAD


def test_the_file_says_busy_while_a_stop_hook_waits() -> None:
    waiting = after(*ENROLLED, STOP)
    assert states.step(waiting, Signal("seen:busy", 2000, since=1900)).state is State.WAITING


def test_silence_makes_a_state_doubtful_and_a_word_makes_it_likely() -> None:
    session = states.step(after(*BUSY), Signal("seen:silent", 2000))
    assert (session.state, session.confidence) == (State.WORKING, Confidence.STALE)
    session = play((hook("Notification", notification_type="auth_success"),), session)
    assert (session.state, session.confidence) == (State.WORKING, Confidence.LIKELY)


def test_the_death_of_an_earlier_process_is_not_its_own() -> None:
    session = after(BEGINS, hook("SessionStart", source="resume", process="p2"))
    assert play((seen("gone", process="p1"),), session) is session


def test_a_worker_that_is_found_in_the_pool() -> None:
    found = Signal(
        "seen:worker", 1000, worker="w1", session="one", process="p1", reason="waiting", message="so"
    )
    session = states.step(Session("w1", worker="w1"), found)
    assert says(session) == ("waiting", "pool: so") and session.confidence is Confidence.LIKELY
    held = Signal("seen:worker", 1060, worker="w1", process="p1", reason="working", task="T")
    session = states.step(session, held)
    assert (session.state, session.task) == (State.WORKING, "T")
    gone = Signal("seen:worker", 1120, worker="w1", process="p1", reason="stopped", message="idle for 600 s")
    assert states.step(session, gone).state is State.STOPPED


def test_what_the_pool_said_a_moment_ago_yields_to_what_is_heard_now() -> None:
    session = after(*HELD, TOOL)
    old = Signal("seen:worker", session.hooks_at + 1, worker="w1", process="p1", reason="waiting")
    assert states.step(session, old).state is State.TOOL


def test_one_that_was_given_up_for_its_silence_lives_when_it_is_heard_of() -> None:
    start = Signal("SessionStart", 1000, session="one", process="p1")
    lost = states.step(states.step(Session("s-1"), start), Signal("seen:lost", 90_000, process="p1"))
    assert (lost.state, lost.confidence) == (State.DEAD, Confidence.LIKELY)
    said = Signal("UserPromptSubmit", 90_100, session="one", process="p1")
    for heard in (said, replace(said, process="")):  # (a client's own http handler does not know it)
        lives = states.step(lost, heard)
        assert (lives.state, lives.confidence, lives.ended_at) == (State.WORKING, Confidence.CERTAIN, 0.0)
    assert states.step(lost, replace(said, kind="Stop")).state is State.STOPPED
    for kind in ("Notification", "SessionEnd"):
        assert states.step(lost, replace(said, kind=kind)).state is State.DEAD
    for kind, state in (("seen:busy", State.WORKING), ("seen:idle", State.STOPPED)):
        seen = states.step(lost, Signal(kind, 90_200, session="one", process="p1"))
        assert (seen.state, seen.confidence, seen.ended_at) == (state, Confidence.LIKELY, 0.0)
