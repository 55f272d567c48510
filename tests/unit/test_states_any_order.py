"""Properties of the transition function: any signals, in any order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import states
from monitor.signals import EVENTS, POOL_EVENTS, Signal
from pool import sessions
from pool.sessions import Confidence, Session, State

KINDS = [*EVENTS, "SomethingNew", *(f"pool:{each}" for each in sorted(POOL_EVENTS))] + [
    f"seen:{each}"
    for each in ("gone", "busy", "idle", "waiting", "stuck", "silent", "lost", "alive", "replaced", "worker")
]
NOTIFICATIONS = ("permission_prompt", "idle_prompt", "auth_success", "elicitation_dialog",
                 "elicitation_complete", "agent_completed", "quota_auto_resume_fired", "")  # fmt: skip
NEUTRAL = ("auth_success", "agent_completed", "agent_needs_input", "of_next_year", "")

signals = st.builds(
    Signal,
    kind=st.sampled_from(KINDS),
    at=st.floats(1000, 1100),
    session=st.sampled_from(["", "one", "two"]),
    agent=st.sampled_from(["", "", "helper"]),
    process=st.sampled_from(["", "p1", "p2"]),
    tool=st.sampled_from(["", "Bash", "Read", "AskUserQuestion"]),
    tool_use_id=st.sampled_from(["", "t1", "t2"]),
    notification_type=st.sampled_from(NOTIFICATIONS),
    message=st.sampled_from(["", "may I?"]),
    source=st.sampled_from(["", "startup", "clear", "resume", "compact", "fork", "draining"]),
    reason=st.sampled_from(["", "clear", "rate_limit", "other", *map(str, State)]),
    detail=st.sampled_from(["", "waiting: so", "needs-you: a person", "interrupted: why", "lease ran out"]),
    interrupt=st.booleans(),
    background=st.integers(0, 2),
    worker=st.sampled_from(["", "w1"]),
    task=st.sampled_from(["", "T1", "T2"]),
    entry=st.one_of(st.just(""), st.integers(1, 99).map(lambda n: f"{n}-0")),
    until=st.sampled_from([0.0, 2000.0]),
)
stories = st.lists(signals, max_size=25)


def told(story: list[Signal], session: Session | None = None) -> Session:
    session = session or Session("s-1")
    for signal in story:
        session = states.step(session, signal)
    return session


@settings(max_examples=300, deadline=None)
@given(stories)
def test_every_story_leaves_a_valid_record(story: list[Signal]) -> None:
    session = Session("s-1")
    for signal in story:
        after = states.step(session, signal)
        assert isinstance(after.state, State) and isinstance(after.confidence, Confidence)
        assert after.since >= session.since and after.evidence_at >= session.evidence_at
        assert (after is session) == (after.revision == session.revision)
        assert after.revision - session.revision in (0, 1)
        assert (after.state is State.NEEDS_YOU) == bool(after.needs)
        assert after.id == "s-1"
        raw = {name.encode(): value.encode() for name, value in sessions.to_hash(after).items()}
        assert sessions.from_hash("s-1", raw) == after
        session = after


@settings(max_examples=300, deadline=None)
@given(stories, signals)
def test_a_doubled_signal_changes_nothing(story: list[Signal], signal: Signal) -> None:
    once = states.step(told(story), signal)
    assert states.step(once, signal) is once


@settings(deadline=None)
@given(stories)
def test_a_process_that_is_gone_leaves_no_ghost(story: list[Signal]) -> None:
    session = told(story)
    gone = states.step(session, Signal("seen:gone", 2000, process=session.process))
    assert gone.state in (State.DEAD, State.STOPPED) and gone.ended_at


@settings(deadline=None)
@given(stories, signals)
def test_nothing_leaves_dead_but_a_start(story: list[Signal], signal: Signal) -> None:
    session = told(story)
    dead = states.step(session, Signal("seen:gone", 2000, process=session.process))
    if dead.state is not State.DEAD or signal.kind in ("SessionStart", "pool:registered"):
        return
    if signal.process != session.process:
        signal = replace(signal, process="")
    assert states.step(dead, signal).state is State.DEAD


@settings(deadline=None)
@given(stories, st.sampled_from(NEUTRAL))
def test_a_notification_that_says_nothing_changes_no_state(story: list[Signal], kind: str) -> None:
    session = told([Signal("SessionStart", 999), *story])
    after = states.step(session, Signal("Notification", 2000, notification_type=kind))
    assert after.state is session.state or session.state is State.STUCK
    assert after.since == session.since or session.state is State.STUCK


@settings(deadline=None)
@given(stories, st.sampled_from(EVENTS))
def test_a_sub_agent_never_ends_the_sessions_turn(story: list[Signal], kind: str) -> None:
    session = told([*story, Signal("SessionStart", 2000, source="startup", process="p9")])
    session = told([Signal("UserPromptSubmit", 2001), Signal("PreToolUse", 2002, tool="Agent")], session)
    after = states.step(session, Signal(kind, 2003, agent="helper", tool="Bash"))
    assert after.state in (session.state, State.NEEDS_YOU) and after.turn == 1
