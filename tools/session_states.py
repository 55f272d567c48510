"""The table of docs/monitor.md ("States"), made from what `monitor.states.step` does: a row for each signal.

python -m tools.session_states           # is the page as it should be?
python -m tools.session_states --write   # write it
"""

from __future__ import annotations

import sys
from pathlib import Path

from monitor import states
from monitor.signals import Signal
from pool.sessions import Session, State

PAGE = Path(__file__).resolve().parent.parent / "docs" / "monitor.md"
BEGIN, END = "<!-- states: begin (python -m tools.session_states --write) -->", "<!-- states: end -->"

Step = dict[str, object]


def hook(kind: str, **fields: object) -> Step:
    """A hook's signal, without its moment."""
    return {"kind": kind, **fields}


def pool(kind: str, **fields: object) -> Step:
    """One of the pool's events."""
    return {"kind": f"pool:{kind}", "worker": "w1", **fields}


def seen(kind: str, **fields: object) -> Step:
    """Something seen by a look around."""
    return {"kind": f"seen:{kind}", **fields}


BEGINS = hook("SessionStart", source="startup", session="one", process="p1")
PROMPT = hook("UserPromptSubmit")
TOOL = hook("PreToolUse", tool="Bash", tool_use_id="t1")
ASKS = hook("PermissionRequest", tool="Bash", message="Bash: make")
STOP = hook("Stop")
CUT = hook("PostToolUseFailure", tool="Bash", tool_use_id="t1", interrupt=True)
ENROLLED = (BEGINS, pool("registered", process="p1"))
HELD = (*ENROLLED, STOP, pool("claimed", task="T"), pool("confirmed", task="T"))

#: How a session comes into each state: ordinary ones, and the pool's workers.
ORDINARY: dict[str, tuple[Step, ...]] = {
    "starting": (BEGINS,),
    "working": (BEGINS, PROMPT),
    "tool": (BEGINS, PROMPT, TOOL),
    "needs-you": (BEGINS, PROMPT, TOOL, ASKS),
    "parked": (BEGINS, PROMPT, hook("StopFailure", reason="rate_limit")),
    "compacting": (BEGINS, PROMPT, hook("PreCompact")),
    "interrupted": (BEGINS, PROMPT, TOOL, CUT),
    "stopped": (BEGINS, PROMPT, STOP),
    "dead": (BEGINS, PROMPT, seen("gone", process="p1")),
}
WORKER: dict[str, tuple[Step, ...]] = {
    "starting": ENROLLED,
    "waiting": (*ENROLLED, STOP),
    "working": HELD,
    "tool": (*HELD, TOOL),
    "needs-you": (*HELD, TOOL, ASKS),
    "parked": (*ENROLLED, STOP, pool("parked", detail="API error: rate_limit")),
    "compacting": (*HELD, hook("PreCompact")),
    "interrupted": (*ENROLLED, STOP, pool("left")),
    "stuck": (*HELD, seen("stuck", process="p1")),
    "draining": (*HELD, pool("draining")),
    "stopped": (*ENROLLED, STOP, pool("stopped", detail="idle")),
    "dead": (*HELD, pool("dead", detail="its process is gone")),
}

#: What is heard, as the table words it.
HEARD: dict[str, Step] = {
    "`SessionStart`": hook("SessionStart", source="startup", session="two", process="p2"),
    "`SessionStart` (compact)": hook("SessionStart", source="compact"),
    "`SessionEnd` (clear, resume)": hook("SessionEnd", reason="clear"),
    "`SessionEnd`": hook("SessionEnd", reason="other"),
    "`UserPromptSubmit`": PROMPT,
    "`PreToolUse`": hook("PreToolUse", tool="Read", tool_use_id="t2"),
    "`PreToolUse` (AskUserQuestion, ExitPlanMode)": hook(
        "PreToolUse", tool="AskUserQuestion", tool_use_id="t2", message="Which?"
    ),
    "`PermissionRequest`": ASKS,
    "`PermissionDenied`": hook("PermissionDenied", tool="Bash", tool_use_id="t1"),
    "`PostToolUse`": hook("PostToolUse", tool="Bash", tool_use_id="t1"),
    "`PostToolUseFailure`": hook("PostToolUseFailure", tool="Bash", tool_use_id="t1"),
    "`PostToolUseFailure` (is_interrupt)": CUT,
    "`PostToolBatch`": hook("PostToolBatch"),
    "`Stop`": STOP,
    "`StopFailure` (rate_limit)": hook("StopFailure", reason="rate_limit"),
    "`StopFailure` (other errors)": hook("StopFailure", reason="server_error"),
    "`PreCompact`": hook("PreCompact"),
    "`PostCompact`": hook("PostCompact"),
    "`Elicitation`": hook("Elicitation", message="Which?"),
    "`Notification` (permission_prompt, elicitation_dialog)": hook(
        "Notification", notification_type="permission_prompt", message="May I?"
    ),
    "`Notification` (idle_prompt)": hook("Notification", notification_type="idle_prompt"),
    "`Notification` (any other), any other hook": hook("Notification", notification_type="auth_success"),
    "hooks of a sub-agent": hook("PostToolUse", agent="a1", tool="Read"),
    "`PermissionRequest` of a sub-agent": hook("PermissionRequest", agent="a1", tool="Read"),
    "pool: registered": pool("registered", process="p1"),
    "pool: claimed, confirmed": pool("claimed", task="T2"),
    "pool: its task has ended": pool("finished", task="T"),
    "pool: parked": pool("parked"),
    "pool: unparked": pool("unparked"),
    "pool: prompted, reminded": pool("prompted"),
    "pool: draining": pool("draining"),
    "pool: undrained": pool("undrained"),
    "pool: left (its Stop hook was ended)": pool("left"),
    "pool: stopped": pool("stopped"),
    "pool: dead": pool("dead"),
    "seen: its process is gone": seen("gone", process="p1"),
    "seen: busy (by the session's file)": seen("busy"),
    "seen: idle": seen("idle"),
    "seen: waiting": seen("waiting"),
    "seen: holds a task, and nothing happens": seen("stuck"),
    "seen: not heard of for hours": seen("lost"),
}


def play(steps: tuple[Step, ...], session: Session | None = None, gap: float = 10.0) -> Session:
    """The session after these signals, each some seconds after the last."""
    session = session or Session("s-1")
    for number, each in enumerate(steps, session.revision + 1):
        fields = {"at": 1000 + gap * number, "entry": f"{number}-0" if "worker" in each else "", **each}
        session = states.step(session, Signal(**fields))  # type: ignore[arg-type]
    return session


def transitions(ways: dict[str, tuple[Step, ...]], heard: Step) -> dict[State, list[State]]:
    """From which states that signal leads to which: target -> sources; those that stay are left out."""
    found: dict[State, list[State]] = {}
    for name, steps in ways.items():
        before = play(steps)
        assert before.state == name, (name, before.state)
        after = play((heard,), before)
        if after.state is not before.state:
            found.setdefault(after.state, []).append(before.state)
    return found


def table() -> str:
    """The table, as the page has it."""
    lines = ["| heard | an ordinary session | a worker of the pool |", "|---|---|---|"]
    for label, heard in HEARD.items():
        cells = ["" if label.startswith("pool:") else _cell(ORDINARY, heard), _cell(WORKER, heard)]
        lines.append(f"| {label} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _cell(ways: dict[str, tuple[Step, ...]], heard: Step) -> str:
    return "; ".join(
        f"{_sources(sources, target, ways)} → **{target}**"
        for target, sources in transitions(ways, heard).items()
    )


def _sources(sources: list[State], target: State, ways: dict[str, tuple[Step, ...]]) -> str:
    rest = [each for each in ways if each != target and each not in sources]
    if len(rest) <= 3 and len(sources) > 3:
        return f"all but {', '.join(rest)}" if rest else "all"
    return ", ".join(sources)


def page(text: str) -> str:
    """The page with the table as it should be.

    Raises:
        ValueError: The page has no place for it.
    """
    before, mark, rest = text.partition(BEGIN)
    _, other, after = rest.partition(END)
    if not mark or not other:
        raise ValueError(f"{PAGE.name} has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Compare, or write."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    if old != new:
        print("docs/monitor.md is not as it should be: python -m tools.session_states --write")
    return int(old != new)


if __name__ == "__main__":
    raise SystemExit(main())
