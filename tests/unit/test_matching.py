"""Whose is a signal: session id, process, directory, else a new one."""

from __future__ import annotations

from monitor import matching, states
from monitor.matching import Index
from monitor.signals import Signal
from pool.sessions import Session, State


class Known:
    """Sessions as a monitor keeps them."""

    def __init__(self) -> None:
        self.index = Index()
        self.now = 1000.0

    def hear(self, kind: str, **fields: object) -> Session:
        self.now += 1.0
        signal = matching.related(Signal(kind, self.now, **fields), self.index)  # type: ignore[arg-type]
        found = matching.find(signal, self.index)
        before = self.index.sessions[found] if found else matching.new(signal, self.index)
        other = matching.absorbed(signal, self.index)
        if other is not None:
            before = matching.merge(signal.worker, other, self.index.sessions.get(signal.worker))
        after = states.step(before, signal)
        if other is not None:
            self.index.drop(other.id)
        self.index.put(after)
        return after


def test_by_session_id_whatever_else_it_says() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", cwd="/a", process="p1")
    assert known.hear("Stop", session="one", cwd="/b").id == first.id
    assert first.id.startswith("s-") and len(known.index.sessions) == 1


def test_two_monitors_name_a_session_alike() -> None:
    assert Known().hear("Stop", session="one").id == Known().hear("PreToolUse", session="one").id


def test_two_sessions_in_one_directory_stay_two() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", cwd="/a", process="p1")
    second = known.hear("UserPromptSubmit", session="two", cwd="/a")
    assert first.id != second.id
    assert known.hear("Stop", session="one", cwd="/a").id == first.id
    assert known.hear("Stop", session="two", cwd="/a").id == second.id


def test_clear_keeps_the_session_by_its_process() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", cwd="/a", process="p1", source="startup")
    known.hear("SessionEnd", session="one", cwd="/a", reason="clear")
    after = known.hear("SessionStart", session="two", cwd="/a", process="p1", source="clear")
    assert (after.id, after.session, after.state) == (first.id, "two", State.STARTING)
    assert known.hear("PostToolUse", session="one").id == first.id  # late, of before


def test_clear_keeps_the_session_by_its_directory_where_no_process_is_known() -> None:
    known = Known()
    first = known.hear("UserPromptSubmit", session="one", cwd="/a")
    other = known.hear("UserPromptSubmit", session="three", cwd="/a")
    known.hear("SessionEnd", session="one", cwd="/a", reason="clear")
    assert known.hear("UserPromptSubmit", session="two", cwd="/a").id == first.id
    assert known.hear("UserPromptSubmit", session="four", cwd="/a").id not in (first.id, other.id)


def test_two_that_are_cleared_at_once_are_not_mixed_up() -> None:
    known = Known()
    for name in ("one", "two"):
        known.hear("UserPromptSubmit", session=name, cwd="/a")
    for name in ("one", "two"):
        known.hear("SessionEnd", session=name, cwd="/a", reason="clear")
    ids = set(known.index.sessions)
    assert len(ids) == 2
    assert known.hear("UserPromptSubmit", session="three", cwd="/a").id not in ids


def test_one_that_starts_beside_is_not_taken_for_the_one_that_is_cleared() -> None:
    known = Known()
    first = known.hear("UserPromptSubmit", session="one", cwd="/a")
    known.hear("SessionEnd", session="one", cwd="/a", reason="clear")
    beside = known.hear("SessionStart", session="two", cwd="/a", process="p2", source="startup")
    assert beside.id != first.id
    assert known.hear("UserPromptSubmit", session="three", cwd="/a").id == first.id


def test_clear_of_long_ago_awaits_nobody() -> None:
    known = Known()
    first = known.hear("UserPromptSubmit", session="one", cwd="/a")
    known.hear("SessionEnd", session="one", cwd="/a", reason="clear")
    known.now += matching.SWITCH
    assert known.hear("UserPromptSubmit", session="two", cwd="/a").id != first.id


def test_a_resumed_session_is_the_same_in_another_process() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", cwd="/a", process="p1")
    known.hear("SessionEnd", session="one", reason="other")
    again = known.hear("SessionStart", session="one", cwd="/a", process="p2", source="resume")
    assert (again.id, again.process, again.state) == (first.id, "p2", State.STARTING)
    assert not again.ended_at


def test_a_resume_within_the_process_is_that_session_from_now_on() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", cwd="/a", process="p1")
    known.hear("SessionEnd", session="one", reason="resume")
    after = known.hear("SessionStart", session="earlier", cwd="/a", process="p1", source="resume")
    assert (after.id, after.session) == (first.id, "earlier")


def test_a_fork_is_a_session_of_its_own() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", process="p1")
    fork = known.hear("SessionStart", session="two", process="p1", source="fork")
    assert fork.id != first.id and fork.parent == first.id
    assert known.hear("Stop", session="two").id == fork.id
    assert known.hear("seen:busy", session="", process="p1").id == fork.id


def test_a_nested_session_has_a_parent() -> None:
    known = Known()
    outer = known.hear("SessionStart", session="one", cwd="/a", process="p1")
    inner = known.hear(
        "SessionStart", session="two", cwd="/a", process="p2", ancestors=("shell", "p1", "init")
    )
    assert inner.id != outer.id and inner.parent == outer.id
    known.hear("UserPromptSubmit", session="three", cwd="/a")  # overtook its SessionStart
    late = known.hear("seen:alive", session="three", process="p3", ancestors=("p3", "p1"))
    assert late.parent == outer.id and outer.parent == ""


def test_a_sub_agent_is_its_session() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", process="p1")
    assert known.hear("SubagentStart", session="one", agent="a1").id == first.id
    assert known.hear("SubagentStop", session="one", agent="a1").state is State.STARTING


def test_a_worker_goes_by_its_name() -> None:
    known = Known()
    first = known.hear("pool:registered", worker="w1", session="one", process="p1", entry="1-0")
    assert first.id == "w1"
    assert known.hear("Stop", session="one").id == "w1"
    assert known.hear("SessionStart", session="two", process="p1", source="clear").id == "w1"
    assert known.hear("SessionStart", session="three", process="p1", source="fork").id == "w1"
    next_one = known.hear("pool:registered", worker="w1", session="four", process="p9", entry="2-0")
    assert (next_one.id, next_one.session) == ("w1", "four")
    assert known.hear("Stop", session="four").id == "w1"


def test_a_session_that_was_heard_before_the_pool_named_it() -> None:
    known = Known()
    before = known.hear("SessionStart", session="one", process="p1", source="startup", model="opus")
    worker = known.hear("pool:registered", worker="w1", session="one", process="p1", entry="1-0")
    assert before.id.startswith("s-") and worker.id == "w1"
    assert (worker.model, worker.state, worker.serves) == ("opus", State.STARTING, 1)
    assert set(known.index.sessions) == {"w1"} and known.hear("Stop", session="one").state is State.WAITING


def test_a_session_known_by_its_process_alone_gets_its_id_from_the_first_hook() -> None:
    known = Known()
    seen = known.hear("seen:alive", process="p1", cwd="/a")
    assert known.hear("UserPromptSubmit", session="one", cwd="/a").id == seen.id
    assert known.hear("UserPromptSubmit", session="two", cwd="/a").id != seen.id


def test_what_is_forgotten_is_new_again() -> None:
    known = Known()
    first = known.hear("SessionStart", session="one", process="p1", cwd="/a")
    known.index.drop(first.id)
    assert known.index.of_session("one") is None and known.index.of_process("p1") is None
    assert known.index.in_directory("/a") == []


def test_nothing_is_kept_of_the_processes_that_a_session_had() -> None:
    known = Known()
    for number in range(5):
        known.hear("SessionStart", session="one", cwd="/a", process=f"p{number}", source="resume")
    assert known.index.of_process("p0") is None and known.index.of_process("p4") is not None
