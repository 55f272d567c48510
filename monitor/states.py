"""What a session does, as far as is known: one pure function, `step`. docs/monitor.md ("States") shows it.

No clock and no I/O: what time it is, and what was seen, is in the signal. Three rules hold it together. A
signal of hooks that is older than what was heard says nothing any more, and an entry of the pool's events
counts once (`Session.entry`), so that late and doubled ones move nothing back. What a hook or the pool says
is certain; what a look around concludes is likely, and yields to them. Nothing leaves `dead` but a session
that starts (another process, or a new registration), and one that was only given up for its silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from monitor.signals import QUESTIONS, Signal
from pool.sessions import Confidence, Session, State

#: A hook's signal older than the last one by no more than this came late (seconds); by more: the clock was
#: set back.
LATE = 60.0
#: What a look around sees may be older than it seems (seconds): what was heard since then counts more.
GRACE = 2.0
#: So many tools, sub-agents and questions are told apart.
MOST = 32

#: States in which nothing runs, and which a tool's end does not change.
_REST = frozenset((State.WAITING, State.STOPPED, State.INTERRUPTED, State.PARKED, State.DEAD))
#: States that follow from what runs: `_at_work` finds out.
_ACTIVITY = frozenset((
    State.STARTING, State.WAITING, State.WORKING, State.TOOL, State.NEEDS_YOU, State.DRAINING, State.STUCK,
))  # fmt: skip
#: The pool's own word for a session that no hook reports of: what a worker's hash may say.
_WORDS = frozenset(str(each) for each in State)


def step(session: Session, signal: Signal) -> Session:
    """The session after that signal; the very same object where the signal changes nothing.

    Raises nothing, whatever the signal: what it does not understand only tells that the session was heard of.
    """
    if signal.kind.startswith("pool:"):
        after = _pool(session, signal)
    elif signal.kind.startswith("seen:"):
        after = _seen(session, signal)
    else:
        after = _hook(session, signal)
    if after is session:
        return session
    tools, asks = _lines(after.calls), _lines(after.asks)
    if not after.evidence:  # heard of for the first time, by something that says nothing about its state
        sure = Confidence.STALE if after.confidence is Confidence.STALE else Confidence.LIKELY
        after = _to(after, signal, after.state, _says(signal), sure)
    changed = after.state is not session.state or not session.since
    made = replace(
        after,
        since=max(session.since, signal.at) if changed else session.since,
        started_at=after.started_at or signal.at,
        tools=len(tools),
        tool=tools[-1].partition(" ")[2] if tools else "",
        agents=len(_lines(after.helpers)),
        needs=(asks[-1].partition(" ")[2] or "a person") if asks and after.state is State.NEEDS_YOU else "",
        until=after.until if after.state is State.PARKED else 0.0,
        # (A late event, which may not move the state, must not make a dead one seem to go on.)
        ended_at=after.ended_at or (session.ended_at or signal.at if after.state is State.DEAD else 0.0),
    )
    return session if made == session else replace(made, revision=session.revision + 1)


# -- facts that are sets of lines: "<id> <text>" --------------------------------------------------------


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _with(text: str, key: str, value: str = "") -> str:
    kept = [each for each in _lines(text) if each.partition(" ")[0] != key]
    return "\n".join([*kept, f"{key} {value}".rstrip()][-MOST:])


def _without(text: str, *keys: str) -> str:
    return "\n".join(each for each in _lines(text) if each.partition(" ")[0] not in keys)


def _hard(asks: str) -> str:
    """What is asked by a tool: what was only concluded ends with the next thing the session does."""
    return "\n".join(each for each in _lines(asks) if not each.startswith(("!", "~")))


#: What a person is asked for at the prompt itself.
_AT_ITS_PROMPT = ("~pool", "!idle_prompt", "!quota")


def _of_agents(asks: str) -> str:
    """What sub-agents ask."""
    return "\n".join(each for each in _lines(asks) if "/" in each.partition(" ")[0])


def _call(signal: Signal) -> str:
    """A tool call's key: its id, or its tool where the sender gives none."""
    return (signal.tool_use_id or f"?{signal.tool}").replace("/", "_")


def _running(session: Session, tool: str) -> str:
    """The key of the newest call of that tool which runs; '' where there is none."""
    calls = [each.partition(" ") for each in _lines(session.calls)]
    return next((key for key, _, name in reversed(calls) if name == tool), "")


# -- states ---------------------------------------------------------------------------------------------


def _at_work(session: Session) -> State:
    """What it does, by what runs and what is asked."""
    if session.asks:
        return State.NEEDS_YOU
    if session.drains and session.serves:
        return State.DRAINING
    if session.calls:
        return State.TOOL
    if session.turn or (session.serves and session.task):
        return State.WORKING
    return State.WAITING if session.serves else State.STOPPED


def _to(
    session: Session, signal: Signal, state: State, evidence: str,
    confidence: Confidence = Confidence.CERTAIN,
) -> Session:  # fmt: skip
    at = max(session.evidence_at, signal.at)
    return replace(session, state=state, evidence=evidence, evidence_at=at, confidence=confidence)


def _active(session: Session, signal: Signal, evidence: str, **facts: str | float) -> Session:
    after = replace(session, **facts)  # type: ignore[arg-type]
    return _to(after, signal, _at_work(after), evidence)


def _fresh(session: Session) -> Session:
    """It starts anew: nothing runs, nothing is asked."""
    return replace(
        session,
        turn=0,
        calls="",
        helpers="",
        asks="",
        until=0.0,
        ended_at=0.0,
        switches_at=0.0,
        started_at=0.0,
    )


def _over(session: Session, at: float) -> Session:
    """It has ended: nothing runs any more."""
    ended = session.ended_at or at
    return replace(session, turn=0, calls="", helpers="", asks="", serves=0, drains=0, task="", title="",
                   switches_at=0.0, ended_at=ended)  # fmt: skip


def _same_client(session: Session, signal: Signal) -> dict[str, str | int]:
    """What a signal says of who the session is, where it says it."""
    said = {
        "session": signal.session, "transcript": signal.transcript, "process": signal.process,
        "host": signal.host, "cwd": signal.cwd, "model": signal.model,
        "permission_mode": signal.permission_mode,
    }  # fmt: skip
    known: dict[str, str | int] = {name: value for name, value in said.items() if value}
    return {**known, "pid": signal.pid} if signal.pid else known


def _filled(session: Session, signal: Signal) -> Session:
    """Who the session is, as far as that was not known."""
    said = {**_same_client(session, signal), "parent": signal.parent}
    missing = {name: value for name, value in said.items() if value and not getattr(session, name)}
    return replace(session, **missing) if missing else session  # type: ignore[arg-type]


def _given_up(session: Session) -> bool:
    """Whether it counts as dead for its silence alone. (A worker's lease is the pool's to judge.)"""
    silent = session.state is State.DEAD and session.confidence is not Confidence.CERTAIN
    return silent and not session.worker


def _another_process(session: Session, signal: Signal) -> bool:
    return bool(signal.process) and bool(session.process) and signal.process != session.process


# -- hooks ----------------------------------------------------------------------------------------------


def _hook(session: Session, signal: Signal) -> Session:
    if 0 < session.hooks_at - signal.at <= LATE:
        return _late(session, signal)
    if session.state is State.DEAD:
        known = session.process and signal.process == session.process
        starts = _another_process(session, signal) or (signal.kind == "SessionStart" and not known)
        tells = signal.kind in _HOOKS and signal.kind not in ("Notification", "SessionEnd")
        lives = _given_up(session) and tells and signal.at > session.evidence_at
        if not (starts or lives):
            return session  # what a dead process has said comes late
        session = _fresh(replace(session, serves=0, drains=0, task="", title=""))
        session = replace(session, state=State.STARTING if starts else State.STOPPED, evidence="")
    heard = replace(session, hooks_at=signal.at)
    if session.confidence is Confidence.STALE:
        heard = replace(heard, confidence=Confidence.LIKELY)
    if signal.agent:
        return _of_agent(heard, signal)
    if signal.kind != "SessionEnd":
        heard = replace(_filled(heard, signal), **_same_client(session, signal))  # type: ignore[arg-type]
    if session.ended_at and signal.kind not in ("SessionStart", "UserPromptSubmit", "PreToolUse"):
        return heard
    act = _HOOKS.get(signal.kind)
    after = act(heard, signal) if act else heard
    if after.state is State.STUCK and session.state is State.STUCK:
        return _to(after, signal, _at_work(after), _says(signal))
    return after


def _says(signal: Signal) -> str:
    if ":" in signal.kind:  # of the pool, or seen
        return signal.kind.replace(":", " ")
    what = signal.tool or signal.notification_type or signal.source or signal.reason
    return f"hook {signal.kind} {what}".rstrip()[:120]


def _late(session: Session, signal: Signal) -> Session:
    """What came late says who it is, where that was not known; and a tool's end is its end all the same."""
    if session.state is State.DEAD or session.ended_at:
        return session
    if not signal.agent:
        session = _filled(session, signal)
        if (
            signal.kind == "PermissionRequest"
            and session.state is State.TOOL
            and _running(session, signal.tool)
        ):
            return _asks_permission(session, signal)  # overtaken by another tool's: it is asked all the same
    if signal.kind not in _ENDS:
        return session
    if signal.agent:
        return replace(session, helpers=_without(session.helpers, signal.agent)) \
            if signal.kind == "SubagentStop" else session  # fmt: skip
    key = _call(signal)
    after = replace(session, calls=_without(session.calls, key), asks=_without(session.asks, key))
    if after == session or session.state not in (State.TOOL, State.NEEDS_YOU):
        return after
    return replace(after, state=_at_work(after))


def _of_agent(session: Session, signal: Signal) -> Session:
    """A sub-agent's signal never ends or begins the turn of the session; but it may ask a person."""
    agent = signal.agent.replace("/", "_")
    question = f"{agent}/{signal.tool}"
    if session.ended_at:
        return session
    if signal.kind == "SubagentStop":
        asks = "\n".join(each for each in _lines(session.asks) if not each.startswith(agent + "/"))
        after = replace(session, helpers=_without(session.helpers, agent), asks=asks)
    elif signal.kind == "PermissionRequest" or (signal.kind == "PreToolUse" and signal.tool in QUESTIONS):
        asks = _with(session.asks, question, signal.message or signal.tool)
        after = replace(session, asks=asks, helpers=_with(session.helpers, agent))
    else:
        asks = _without(session.asks, question) if signal.kind in _ENDS else session.asks
        after = replace(session, asks=asks, helpers=_with(session.helpers, agent))
    if session.state is State.STUCK or session.asks != after.asks:
        return _to(after, signal, _at_work(after), _says(signal))
    return after


def _start(session: Session, signal: Signal) -> Session:
    if signal.source == "compact" and session.evidence:  # in the midst of a turn, or at the prompt
        return _compacted(session, signal)
    fresh = _fresh(session)
    if signal.source in ("clear", "resume") and not _another_process(session, signal) and session.serves:
        fresh = replace(fresh, started_at=session.started_at)  # the same worker goes on
    return _to(fresh, signal, State.STARTING, _says(signal))


def _prompt(session: Session, signal: Signal) -> Session:
    return _active(session, signal, _says(signal), turn=1, calls="", asks="", ended_at=0.0, switches_at=0.0)


def _tool_begins(session: Session, signal: Signal) -> Session:
    key = _call(signal)
    asks = _hard(session.asks)
    if signal.tool in QUESTIONS:
        asks = _with(asks, key, signal.message or signal.tool)
    after = replace(session, turn=1, calls=_with(session.calls, key, signal.tool), asks=asks, ended_at=0.0)
    if session.state is State.PARKED and session.serves:
        return after  # it is the pool that parks it
    return _to(after, signal, _at_work(after), _says(signal))


def _asks_permission(session: Session, signal: Signal) -> Session:
    key = _running(session, signal.tool) or _call(signal)
    asks = _with(_hard(session.asks), key, signal.message or signal.tool)
    return _active(session, signal, _says(signal), asks=asks)


def _tool_ends(session: Session, signal: Signal) -> Session:
    key = _call(signal)
    calls = _without(session.calls, key)
    asks = _without(_hard(session.asks), key, _call(replace(signal, tool_use_id="")))
    after = replace(session, calls=calls, asks=asks)
    if signal.kind == "PostToolUseFailure" and signal.interrupt:
        after = replace(after, calls="", asks=_of_agents(asks), turn=0)
        return _to(after, signal, State.INTERRUPTED, f"hook {signal.kind}: a person cut {signal.tool} short")
    if session.state in _REST:
        return after  # it comes after the turn's end, or is what the parking was asked with
    after = replace(after, turn=1)
    return _to(after, signal, _at_work(after), _says(signal))


def _batch_ends(session: Session, signal: Signal) -> Session:
    if session.state in _REST:
        return session
    return _active(session, signal, _says(signal), turn=1, calls="", asks=_of_agents(session.asks))


def _notified(session: Session, signal: Signal) -> Session:
    kind = signal.notification_type
    if kind in ("permission_prompt", "elicitation_dialog", "elicitation_url_dialog"):
        asked = session.asks or _with("", "!" + kind, signal.message or kind)
        return _active(session, signal, _says(signal), asks=asked)
    if kind == "idle_prompt":
        if session.asks or session.serves != bool(session.task) or (session.worker and not session.serves):
            return session  # a worker that waits for tasks, or was let go, waits for nobody
        asked = _with("", "!" + kind, signal.message or "it waits for your input")
        return _active(session, signal, _says(signal), asks=asked, turn=0, calls="")
    if kind in ("elicitation_complete", "elicitation_response"):
        return _answered(session, signal)
    if kind == "quota_auto_resume_fired" and session.state is State.PARKED:
        return _active(session, signal, _says(signal), turn=1)
    if kind in ("quota_auto_resume_stale", "quota_auto_resume_disabled") and session.state is State.PARKED:
        return _active(session, signal, _says(signal), asks=_with("", "!" + kind, signal.message or kind))
    return session


def _elicits(session: Session, signal: Signal) -> Session:
    asks = _with(session.asks, "!elicitation", signal.message or "an MCP server asks")
    return _active(session, signal, _says(signal), asks=asks)


def _answered(session: Session, signal: Signal) -> Session:
    asks = "\n".join(each for each in _lines(session.asks) if not each.startswith("!elicitation"))
    if asks == session.asks:
        return session
    return _active(session, signal, _says(signal), asks=asks)


def _stop(session: Session, signal: Signal) -> Session:
    helpers = session.helpers if signal.background else ""
    after = replace(
        session, turn=0, calls="", asks=_of_agents(session.asks) if helpers else "", helpers=helpers
    )
    if session.serves and session.state is State.PARKED:
        return after
    evidence = _says(signal)
    if signal.background:
        evidence += f", {signal.background} in the background"
    return _to(after, signal, _at_work(after), evidence)


def _stop_failed(session: Session, signal: Signal) -> Session:
    after = replace(session, turn=0, calls="", asks="")
    if session.serves and session.state is State.PARKED:
        return after  # the pool was faster, and knows until when
    evidence = f"hook StopFailure: {signal.reason or 'unknown'}"
    if signal.reason == "rate_limit":
        return _to(after, signal, State.PARKED, evidence)
    return _to(after, signal, State.INTERRUPTED if session.serves else State.STOPPED, evidence)


def _compacts(session: Session, signal: Signal) -> Session:
    return _to(session, signal, State.COMPACTING, _says(signal))


def _compacted(session: Session, signal: Signal) -> Session:
    return _active(session, signal, _says(signal)) if session.state is State.COMPACTING else session


def _end(session: Session, signal: Signal) -> Session:
    if signal.reason in ("clear", "resume"):  # the process goes on with another conversation
        return replace(session, turn=0, calls="", helpers="", asks="", switches_at=signal.at)
    if signal.session and session.session and signal.session != session.session:
        return session  # of a conversation that it has left
    ended = _over(replace(session, ended_at=0.0), signal.at)
    return _to(ended, signal, State.STOPPED, _says(signal))


_HOOKS: dict[str, Callable[[Session, Signal], Session]] = {
    "SessionStart": _start,
    "UserPromptSubmit": _prompt,
    "PreToolUse": _tool_begins,
    "PermissionRequest": _asks_permission,
    "PermissionDenied": _tool_ends,
    "PostToolUse": _tool_ends,
    "PostToolUseFailure": _tool_ends,
    "PostToolBatch": _batch_ends,
    "Notification": _notified,
    "Elicitation": _elicits,
    "ElicitationResult": _answered,
    "Stop": _stop,
    "StopFailure": _stop_failed,
    "PreCompact": _compacts,
    "PostCompact": _compacted,
    "SessionEnd": _end,
}
_ENDS = frozenset(("PostToolUse", "PostToolUseFailure", "PermissionDenied", "SubagentStop"))


# -- the pool's events ----------------------------------------------------------------------------------


def _number(entry: str) -> tuple[int, int]:
    first, _, second = entry.partition("-")
    return (int(first) if first.isdigit() else 0, int(second) if second.isdigit() else 0)


def _pool(session: Session, signal: Signal) -> Session:
    if signal.entry and _number(signal.entry) <= _number(session.entry):
        return session
    kind = signal.kind.removeprefix("pool:")
    known = replace(session, entry=signal.entry or session.entry, worker=signal.worker or session.worker)
    if kind == "registered":
        return _registered(known, signal)
    if session.state is State.DEAD or (session.ended_at and kind not in ("stopped", "dead")):
        return known
    evidence = f"pool {kind}: {signal.detail}" if signal.detail else f"pool {kind}"
    if kind in ("stopped", "dead"):
        return _departed(known, signal, kind, evidence)
    known = replace(known, serves=1, **_same_client(session, signal))  # type: ignore[arg-type]
    if kind in _HANDED:
        return _handed(known, signal, f"pool {kind} {signal.task}".rstrip())
    if kind in _TASK_ENDS:
        return _task_ends(known, signal, f"pool {kind} {signal.task}".rstrip())
    if kind == "parked":
        return _to(replace(known, until=signal.until), signal, State.PARKED, evidence)
    if kind == "unparked" and session.state is State.PARKED:
        asks = _with("", "~pool", signal.message) if signal.reason == State.NEEDS_YOU else ""
        return _active(known, signal, evidence, asks=asks)
    if kind in ("draining", "undrained"):
        after = replace(known, drains=int(kind == "draining"))
        if after.drains == session.drains or session.state not in _ACTIVITY or session.state is State.STUCK:
            return after
        return _to(after, signal, _at_work(after), evidence)
    if kind == "left":
        return _to(replace(known, turn=0, calls=""), signal, State.INTERRUPTED, evidence)
    if kind in ("prompted", "reminded"):
        return _active(known, signal, evidence, turn=1)
    if kind == "state":
        word, _, why = signal.detail.partition(": ")
        return _told(known, signal, word, f"pool: {why}")
    return known


_HANDED = frozenset(("claimed", "confirmed"))
_TASK_ENDS = frozenset((
    "finished", "failed", "retrying", "released", "returned", "lost", "timeout", "canceled", "requeued",
))  # fmt: skip


def _registered(session: Session, signal: Signal) -> Session:
    again = session.state in (State.DEAD, State.STOPPED) or bool(session.ended_at)
    starts = again or _another_process(session, signal) or not session.evidence
    after = _fresh(session) if starts else session
    after = replace(after, serves=1, drains=0, task="", title="", **_same_client(session, signal))  # type: ignore[arg-type]
    if not starts:
        return replace(after, state=_at_work(after)) if session.state is State.DRAINING else after
    return _to(after, signal, State.STARTING, f"pool registered: {signal.detail}")


def _departed(session: Session, signal: Signal, kind: str, evidence: str) -> Session:
    gone = _over(session, signal.at)
    if kind == "dead":
        sure = Confidence.LIKELY if "lease" in signal.detail else Confidence.CERTAIN
        return _to(gone, signal, State.DEAD, evidence, sure)
    if session.ended_at:
        return gone
    return _to(replace(gone, ended_at=0.0), signal, State.STOPPED, evidence)


def _handed(session: Session, signal: Signal, evidence: str) -> Session:
    title = signal.title or (session.title if session.task == signal.task else "")
    after = replace(session, task=signal.task, title=title, turn=1, asks=_hard(session.asks))
    return _to(after, signal, _at_work(after), evidence)


def _task_ends(session: Session, signal: Signal, evidence: str) -> Session:
    if signal.task != session.task and (session.task or session.hooks_at):
        return session
    after = replace(session, task="", title="")
    if session.state not in _ACTIVITY:
        return after
    if not session.hooks_at:  # no hook will say when its turn ends, and that follows at once
        after = replace(after, turn=0)
        return _to(after, signal, _at_work(after), evidence, Confidence.LIKELY)
    return _to(after, signal, _at_work(after), evidence)


def _told(session: Session, signal: Signal, word: str, evidence: str) -> Session:
    """The pool has put a state's word to it (by a hook of coord's, or a supervisor)."""
    if word == State.NEEDS_YOU:
        text = evidence.partition(": ")[2] or evidence
        return _active(session, signal, evidence, asks=_with("", "~pool", text), turn=0)
    if word == State.WAITING:
        return _active(session, signal, evidence, turn=0, calls="", asks="")
    if word == State.WORKING:
        return _active(session, signal, evidence, turn=1)
    if word == State.INTERRUPTED:
        return _to(replace(session, turn=0, calls="", asks=""), signal, State.INTERRUPTED, evidence)
    return session


# -- a look around --------------------------------------------------------------------------------------


def _seen(session: Session, signal: Signal) -> Session:
    kind = signal.kind.removeprefix("seen:")
    if kind == "gone":
        return _gone(session, signal)
    if session.state is State.DEAD or session.ended_at:
        lives = kind in ("busy", "idle", "waiting", "alive") or (
            kind == "worker" and signal.reason not in (State.STOPPED, State.DEAD)
        )
        another = _another_process(session, signal)
        if not (lives and (another or (_given_up(session) and signal.at > session.evidence_at))):
            return session
        fresh = _fresh(replace(session, serves=0, drains=0))
        fresh = replace(fresh, **_same_client(session, signal))  # type: ignore[arg-type]
        if another:
            return _to(fresh, signal, State.STARTING, "another process has taken it up", Confidence.LIKELY)
        state = State.WORKING if kind == "busy" else State.STOPPED
        fresh = replace(fresh, turn=int(kind == "busy"))
        return _to(fresh, signal, state, "its process lives", Confidence.LIKELY)
    if kind == "silent":
        return replace(session, confidence=Confidence.STALE)
    if kind == "lost":
        return _to(_over(session, signal.at), signal, State.DEAD, signal.detail or "not heard of for long",
                   Confidence.LIKELY)  # fmt: skip
    if kind == "replaced":
        return _to(_over(session, signal.at), signal, State.STOPPED, "its process went on as another session",
                   Confidence.LIKELY)  # fmt: skip
    if kind not in ("busy", "idle", "waiting", "alive", "stuck", "worker"):
        return session
    said = _filled(session, signal)
    if said.confidence is Confidence.STALE:
        said = replace(said, confidence=Confidence.LIKELY)
        if kind == "alive":  # (its moment counts: a monitor elsewhere, which cannot see it, believes it)
            return _to(said, signal, said.state, "its process lives", Confidence.LIKELY)
    if kind == "worker":
        return _hash(said, signal)
    if signal.session and signal.since > session.hooks_at:
        said = replace(said, session=signal.session)  # /clear, of which no hook told
    quiet = signal.at - max(session.evidence_at, session.hooks_at, signal.since)
    if kind == "alive" or (quiet <= GRACE and session.hooks_at):
        return said  # a hook may be on its way
    if kind == "stuck":
        return _stuck(said, signal)
    if signal.since and signal.since <= session.evidence_at and session.confidence is Confidence.CERTAIN:
        return said  # it has been so since before the last that was heard
    return _file(said, signal, kind)


def _gone(session: Session, signal: Signal) -> Session:
    if signal.process and session.process and signal.process != session.process:
        return session  # an earlier process of its
    if session.state is State.DEAD or (session.ended_at and session.state is State.STOPPED):
        return session
    evidence = signal.detail or "its process is gone"
    return _to(_over(session, signal.at), signal, State.DEAD, evidence, Confidence.CERTAIN)


def _stuck(session: Session, signal: Signal) -> Session:
    if not session.task or session.calls or session.helpers or session.asks:
        return session
    if session.state not in (State.WORKING, State.INTERRUPTED, State.DRAINING, State.STARTING):
        return session
    return _to(session, signal, State.STUCK, signal.detail or "it holds a task and does nothing",
               Confidence.LIKELY)  # fmt: skip


def _file(session: Session, signal: Signal, kind: str) -> Session:
    """The client's own file of the session says busy, idle or waiting. The pool knows its workers better."""
    state, evidence = session.state, f"session file: {kind}"
    in_hook = session.serves and state in (State.WAITING, State.PARKED, State.DRAINING)
    if kind == "waiting":
        if session.asks or in_hook:
            return session
        asks = _with("", "~file", signal.message or "it waits for a person")
        return _to(replace(session, asks=asks), signal, State.NEEDS_YOU, evidence, Confidence.LIKELY)
    if kind == "busy":
        if in_hook or state not in (State.STARTING, State.STOPPED, State.INTERRUPTED, State.NEEDS_YOU,
                                    State.STUCK):  # fmt: skip
            return session
        after = replace(session, turn=1, asks="")
        return _to(after, signal, _at_work(after), evidence, Confidence.LIKELY)
    if in_hook or state in (State.STOPPED, State.INTERRUPTED, State.PARKED, State.STUCK, State.WAITING):
        return session
    if state is State.STARTING and session.serves:
        return session
    if session.asks.startswith(_AT_ITS_PROMPT):
        return session  # idle, as is known: it waits at its prompt for a person
    after = replace(session, turn=0, calls="", asks="")
    if session.hooks_at and state is not State.STARTING:
        return _to(after, signal, State.INTERRUPTED, f"{evidence}, and no Stop hook was heard",
                   Confidence.LIKELY)  # fmt: skip
    return _to(after, signal, State.STOPPED, evidence, Confidence.LIKELY)


def _hash(session: Session, signal: Signal) -> Session:
    """A worker's hash, as it was read. It is behind what was heard since."""
    word = signal.reason
    if signal.at - max(session.evidence_at, session.hooks_at) <= GRACE and session.evidence:
        return session
    if word in (State.STOPPED, State.DEAD):
        if session.state is State(word):
            return session
        gone = _over(session, signal.at)
        gone = gone if word == State.DEAD else replace(gone, ended_at=0.0)
        return _to(gone, signal, State(word), f"pool: {signal.message}", Confidence.LIKELY)
    title = session.title if session.task == signal.task else signal.title
    drains = int(signal.source == "draining")
    known = replace(session, worker=signal.worker, serves=1, drains=drains, task=signal.task, title=title)
    if not session.evidence and word in _WORDS:  # it is heard of for the first time
        after = replace(known, turn=int(word == State.WORKING), until=signal.until)
        if word == State.NEEDS_YOU:
            after = replace(after, asks=_with("", "~pool", signal.message))
        return _to(after, signal, State(word), f"pool: {signal.message}", Confidence.LIKELY)
    if known.state is State.PARKED and word != State.PARKED:
        return _to(known, signal, _at_work(known), f"pool: {signal.message}", Confidence.LIKELY)
    if word == State.PARKED and known.state is not State.PARKED and not known.turn:
        after = replace(known, until=signal.until)
        return _to(after, signal, State.PARKED, f"pool: {signal.message}", Confidence.LIKELY)
    if word == State.WAITING and known.state in (
        State.WORKING,
        State.STARTING,
        State.STOPPED,
        State.INTERRUPTED,
    ):
        after = replace(known, turn=0)
        return _to(after, signal, _at_work(after), f"pool: {signal.message}", Confidence.LIKELY)
    if word == State.NEEDS_YOU and not known.turn and not known.asks:
        after = replace(known, asks=_with("", "~pool", signal.message))
        return _to(after, signal, State.NEEDS_YOU, f"pool: {signal.message}", Confidence.LIKELY)
    if word == State.WORKING and known.state in (State.WAITING, State.STARTING, State.STOPPED):
        after = replace(known, turn=1)
        return _to(after, signal, _at_work(after), f"pool: {signal.message}", Confidence.LIKELY)
    if known.state in _ACTIVITY and (known.drains != session.drains or known.state is State.STOPPED):
        return replace(known, state=_at_work(known))
    return replace(known, until=signal.until) if known.state is State.PARKED else known
