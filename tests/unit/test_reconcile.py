"""What a look around concludes, and when it is taken."""

from __future__ import annotations

from dataclasses import replace

from monitor import reconcile, states
from monitor.reconcile import View, conclude
from monitor.registry import Entry
from monitor.signals import Signal
from pool.sessions import Confidence, Session, State
from pool.settings import Settings

HERE = "boot-1"
MINE, OTHERS = "boot-1-7-100", "elsewhere-1-7-100"


def session(name: str = "s-1", process: str = MINE, **fields: object) -> Session:
    made = Session(
        name, State.WORKING, since=1000.0, evidence="hook UserPromptSubmit", evidence_at=1000.0,
        session="one", process=process, started_at=990.0, hooks_at=1000.0, turn=1, revision=3,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def kinds(sessions: list[Session], view: View, settings: Settings) -> list[str]:
    return [each.kind for each in conclude(sessions, view, settings)]


def test_a_process_of_this_machine_that_is_gone(settings: Settings) -> None:
    found = conclude([session()], View(1010.0, HERE), settings)
    assert [(each.kind, each.id, each.process) for each in found] == [("seen:gone", "s-1", MINE)]
    alive = View(1010.0, HERE, alive=frozenset([MINE]))
    assert kinds([session()], alive, settings) == []
    ended = [session(state=State.DEAD), session("s-2", state=State.STOPPED, ended_at=1001.0)]
    assert kinds(ended, View(1010.0, HERE), settings) == []


def test_another_machines_process_is_not_missed_at_once(settings: Settings) -> None:
    far = session(process=OTHERS)
    assert kinds([far], View(1010.0, HERE), settings) == []
    assert kinds([far], View(1301.0, HERE), settings) == ["seen:silent"]
    stale = replace(far, confidence=Confidence.STALE)
    assert kinds([stale], View(1302.0, HERE), settings) == []
    assert kinds([stale], View(1001.0 + reconcile.SILENCE, HERE), settings) == ["seen:lost"]
    at_its_prompt = replace(far, state=State.STOPPED)
    assert kinds([at_its_prompt], View(1001.0 + reconcile.SILENCE, HERE), settings) == []
    assert kinds([at_its_prompt], View(1001.0 + reconcile.AT_ITS_PROMPT, HERE), settings) == ["seen:lost"]


def test_a_monitor_elsewhere_believes_the_one_beside_the_session(settings: Settings) -> None:
    far, there = "elsewhere", View(1400.0, "elsewhere-1", alive=frozenset([OTHERS]))
    stale = states.step(session(process=OTHERS), Signal("seen:silent", 1301.0, id="s-1", host=far))
    found = conclude([stale], there, settings)
    assert [each.kind for each in found] == ["seen:alive"]
    lives = states.step(stale, found[0])
    assert (lives.state, lives.confidence, lives.evidence_at) == (State.WORKING, Confidence.LIKELY, 1400.0)
    assert kinds([lives], View(1402.0, HERE), settings) == [] == kinds([lives], there, settings)


def test_a_worker_elsewhere_lives_as_long_as_the_pool_holds_it(settings: Settings) -> None:
    worker = session("w1", process=OTHERS, worker="w1", serves=1)
    held = View(1e6, HERE, workers={"w1": {"state": "working", "process": OTHERS}})
    assert kinds([worker], held, settings) == ["seen:worker"]
    assert kinds([worker], View(1e6, HERE, workers={"w1": {}}), settings) == ["seen:lost"]
    assert kinds([worker], View(1010.0, HERE, workers=None), settings) == []  # the pool was not asked


def test_a_session_whose_process_went_on_as_another(settings: Settings) -> None:
    both = [session(), session("s-2", session="two", started_at=995.0)]
    found = conclude(both, View(1010.0, HERE, alive=frozenset([MINE])), settings)
    assert [(each.kind, each.id) for each in found] == [("seen:replaced", "s-1")]
    assert states.step(both[0], found[0]).state is State.STOPPED


def test_a_file_of_a_session_nobody_knows(settings: Settings) -> None:
    entry = Entry(7, MINE, "one", "/a", "busy", since=1000.0)
    view = View(1010.0, HERE, frozenset([MINE]), (entry,), above={MINE: ("p1",)})
    found = conclude([], view, settings)
    assert len(found) == 1 and found[0].ancestors == ("p1",)
    made = states.step(Session("s-9"), found[0])
    assert (made.state, made.cwd, made.pid, made.confidence) == (State.WORKING, "/a", 7, Confidence.LIKELY)


def test_one_that_holds_a_task_and_sits_at_its_prompt_is_stuck(settings: Settings) -> None:
    worker = session("w1", worker="w1", serves=1, task="T", state=State.INTERRUPTED, turn=0)
    entry = Entry(7, MINE, "one", "/a", "idle", since=1000.5)
    view = View(1301.0, HERE, frozenset([MINE]), (entry,))
    found = conclude([worker], view, settings)
    assert [each.kind for each in found] == ["seen:idle", "seen:stuck"]
    for each in found:
        worker = states.step(worker, each)
    assert (worker.state, worker.confidence) == (State.STUCK, Confidence.LIKELY)
    assert kinds([worker], view, settings) == ["seen:idle"]
    early = replace(view, at=1200.0)
    assert kinds([replace(worker, state=State.INTERRUPTED)], early, settings) == ["seen:idle"]


def test_polling_stands_in_while_no_hook_is_heard(settings: Settings) -> None:
    heard = [session(hooks_at=1000.0), session(hooks_at=500.0)]
    assert not reconcile.polling(heard, settings, 1299.0)
    assert reconcile.polling(heard, settings, 1301.0) and reconcile.polling([], settings, 1.0e9)
    off = settings.model_copy(update={"monitor_fallback_polling": False})
    assert not reconcile.polling(heard, off, 1301.0)


def test_a_session_whose_own_hooks_are_silent_is_looked_at_more_often(settings: Settings) -> None:
    talks, silent = session(hooks_at=1000.0), session("s-2", hooks_at=0.0)
    over = session("s-3", hooks_at=0.0, state=State.DEAD)
    assert reconcile.unheard([talks, silent, over], settings, 1100.0) == [silent]
    off = settings.model_copy(update={"monitor_fallback_polling": False})
    assert reconcile.unheard([silent], off, 1100.0) == []


def test_a_signal_about_a_known_session_names_it() -> None:
    found = reconcile.about(session(), "seen:gone", 5.0)
    assert found == Signal("seen:gone", 5.0, id="s-1", session="one", process=MINE)
