"""The words in which a session is given a task. Standard library only: hooks and helpers use it."""

from __future__ import annotations

from pool import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pool.claim import HandOver

#: The client cuts additionalContext at 10,000 characters (of UTF-16: an emoji is two); room is left for
#: its own frame.
LIMIT = 9_800

#: What a supervisor says to begin a turn: for the hooks, which put a task in its place.
BEGIN = "Work for the pool."

WELCOME = (
    "You are worker {worker} of a coord pool: a queue hands you tasks. When you end your turn you are "
    "given the next task, or wait for one at no cost. For each task: read it whole; do it in the "
    "directory it names; send `coord-worker heartbeat` now and then during long work; then report with "
    "the exact `coord-worker complete TASK.TOKEN ...` (or `fail`) command that came with the task, and "
    "end your turn. If a command says that a task is not yours any more, drop it and end your turn. Do "
    "not look for tasks yourself and do not wait in a loop: ending the turn is how you get the next one."
)


def one_line(handed: HandOver) -> str:
    """The short reason of a block: id and title (the client sends it to the model twice)."""
    return f"Task {handed.claim.task_id}: {_line(handed.title)}"


def taken_away(task_id: str, why: str) -> str:
    """What a session is told at its next tool call when its task is not its any more."""
    return (
        f"Task {task_id} is not yours any more ({why}). Drop it, do not commit its work, and end your turn: "
        "you will be given another."
    )


def dropped(task_id: str, why: str) -> str:
    """What a session whose turn was ended for that is told with its next task."""
    return f"(Task {task_id} is not yours any more: {why}. Do not commit its work.)"


def reminder(reply: list[str], most: int, by_message: bool) -> str:
    """What a session is told that wants to stop and holds a task: count, task, token and title of it."""
    count, task_id, token, title = reply
    claim = f"{task_id}.{token}"
    return (
        f"You still hold task {task_id} ({_line(title)}). {report(claim, by_message)} (reminder {count} of "
        f"{most}; `coord-worker context {claim}` shows it again)."
    )


def whole(handed: HandOver, fields: dict[str, Any], now: float = 0.0) -> str:
    """The task in full: what to do, where, with which context, and how to report."""
    parts = [f"# Task {handed.claim.task_id}: {_line(handed.title)}", "", *task(fields)]
    if parents(fields):
        listed = ", ".join(parents(fields))
        parts += [f"It builds on: {listed} (`coord-worker context` shows their results)", ""]
    parts.append(closing(handed, fields))
    return "\n".join(parts)


def parents(fields: dict[str, Any]) -> list[str]:
    """The tasks it comes after."""
    found = fields.get("parents")
    return [_line(each) for each in found] if isinstance(found, list) else []


def task(fields: dict[str, Any]) -> list[str]:
    """What to do, where and with which context, line by line."""
    parts = [str(fields["prompt"]).strip(), ""]
    cwd = fields.get("cwd")
    if cwd:
        parts += [f"Work in the directory {_line(cwd, 4096)}", *in_worktree(fields.get("place")), ""]
    context = fields.get("context") or []
    for item in context if isinstance(context, list) else []:
        if not isinstance(item, dict):
            continue
        if "text" in item:
            text, fence = str(item["text"]).rstrip("\n"), "```"
            while fence in text:
                fence += "`"
            parts += [f"## Context: {_line(item.get('path', ''))}", fence, text, fence, ""]
        else:
            parts += [f"Read {_line(item.get('path', ''))} first.", ""]
    return parts


def in_worktree(note: object) -> list[str]:
    """What there is to know of the git worktree that it is worked on in."""
    if not isinstance(note, dict):
        return []
    branch, earlier = _line(note.get("branch")), note.get("earlier")
    lines = [
        f"It is a git worktree of this task's own, on the branch {branch}: commit your work there. It is "
        "kept, and merged by a person; push nothing."
    ]
    if isinstance(earlier, dict):
        commit = _line(earlier.get("commit") or "")[:12]
        where = f"branch {_line(earlier.get('branch'))}" + (f", commit {commit}" if commit else "")
        if commit and earlier.get("host") == note.get("host"):
            lines.append(f"It begins with what an earlier attempt has left ({where}): look at that first.")
        else:
            place = f"{_line(earlier.get('host'))} in {_line(earlier.get('path'), 4096)}"
            lines.append(f"An earlier attempt's work is on {place} ({where}).")
    elif note.get("commit"):
        lines.append(f"What an earlier attempt has left is in it (commit {_line(note['commit'])[:12]}).")
    return lines


def closing(handed: HandOver, fields: dict[str, Any]) -> str:
    """How to report: the exact commands, with the claim in them."""
    claim = handed.claim
    lines = ["## When it is done"]
    if fields.get("finish") == "message":
        lines.append(
            "End your turn. Your last message is the result: say in it what you did. (No command is needed.)"
        )
        lines.append(f'If it cannot be done, run `coord-worker fail {claim} --reason "why"` before.')
    else:
        lines.append(f'Run `coord-worker complete {claim} --result "what you did, in a sentence or two"`')
        lines.append(
            f"(`--result-file FILE` for a longer result, `--artifact FILE` for files to keep), or "
            f'`coord-worker fail {claim} --reason "why"` if it cannot be done. Then end your turn.'
        )
    timeout = fields.get("timeout")
    if isinstance(timeout, (int, float)) and 0 < timeout <= units.LONGEST:
        lines.append(f"You have {units.span(timeout)}; this is attempt {handed.attempts}.")
    if fields.get("check"):
        lines.append(
            f"It is done when this passes, which is run then: {_line(fields['check'])} (if it does not, you "
            "are told what it said, and go on)"
        )
    return "\n".join(lines)


def report(claim: str, by_message: bool) -> str:
    """How to report, in a reminder."""
    finish = (
        "Finish it and end your turn with a message that says what you did, which is its result, or run "
        if by_message
        else f'Finish it, then run `coord-worker complete {claim} --result "..."`, or '
    )
    fail = f'`coord-worker fail {claim} --reason "..."`'
    return f'{finish}{fail}, or `coord-worker release {claim} --reason "..."`'


def fitted(handed: HandOver, fields: dict[str, Any], words: str = "") -> str:
    """The task within the client's limit; when cut, with the command that prints the rest.

    ``words`` (an operator's, to be read with it) come last, and whole.
    """
    text = whole(handed, fields)
    words = f"\n\n{words}" if words else ""
    if _units(text) + _units(words) <= LIMIT:
        return text + words
    tail = closing(handed, fields)
    more = (
        f"\n\n[... cut here: the task has {len(text)} characters. Run `coord-worker context {handed.claim}` "
        "and read the whole of it before you begin.]\n\n"
    )
    room = LIMIT - _units(tail) - _units(more) - _units(words)
    text = text[: max(0, room)]
    while _units(text) > max(0, room):
        text = text[: -((_units(text) - room + 1) // 2)]
    return text + more + tail + words


def _units(text: str) -> int:
    """Its length as the client counts."""
    return len(text) + sum(c > "\uffff" for c in text)


def _line(text: object, longest: int = 300) -> str:
    """A text on one line, without what would steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:longest]
