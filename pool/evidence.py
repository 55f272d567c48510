"""What a task's end is believed by: the hash ``pool:evidence:ID``, kept in one step with that end.

``check`` (JSON: command, passed, code, why, seconds, output, cut, attempt, worker), ``failed_checks`` (how
many of that attempt's came before), ``work`` (JSON: the git worktree, its branch, what was changed),
``patch`` (the change itself, as git prints it) and ``run`` (JSON: host, supervisor, transcript).
"""

from __future__ import annotations

import json
from typing import Any

import redis

NAMES = frozenset(("check", "failed_checks", "work", "patch", "run"))
_JSON = frozenset(("check", "failed_checks", "work", "run"))


def key(task_id: str) -> str:
    """The hash of a task's evidence."""
    return f"pool:evidence:{task_id}"


def of(connection: redis.Redis, task_id: str) -> dict[str, Any]:
    """A task's evidence by name; {} when there is none."""
    raw: Any = connection.hgetall(key(task_id))
    texts = {name.decode("utf-8", "replace"): text.decode("utf-8", "replace") for name, text in raw.items()}
    return {name: _value(name, text) for name, text in texts.items() if name in NAMES}


def _value(name: str, text: str) -> Any:
    if name not in _JSON:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def facts(found: dict[str, Any]) -> dict[str, str]:
    """What is said of it in a list: a line each."""
    said: dict[str, str] = {}
    check, work, run = (_dict(found.get(name)) for name in ("check", "work", "run"))
    if check:
        ended = "passed" if check.get("passed") else f"failed ({check.get('why') or 'exit code '}"
        if not check.get("passed"):
            ended += ")" if check.get("why") else f"{check.get('code')})"
        before = found.get("failed_checks")
        said["its check"] = f"{ended} after {check.get('seconds')} s" + (
            f", {before} failed {'in all' if not check.get('passed') else 'before'}" if before else ""
        )
    if work:
        said["worktree"] = f"{work.get('path')} on {work.get('host')}"
        said["branch"] = str(work.get("branch"))
        lines = str(work.get("stat") or "").strip().splitlines()
        said["changed"] = lines[-1].strip() if lines else "nothing"
    if run:
        said["session"] = ", ".join(f"{name} {value}" for name, value in run.items() if value)
    return said


def text(found: dict[str, Any], also: dict[str, str]) -> str:
    """All of it, as a person reads it; ``also``: more to be said in a line each."""
    parts = [f"{name}: {value}" for name, value in {**facts(found), **also}.items()]
    check, work = _dict(found.get("check")), _dict(found.get("work"))
    if check:
        cut = f" (the last {len(str(check.get('output')))} characters)" if check.get("cut") else ""
        parts += [
            "",
            f"check: {check.get('command')}",
            f"its output{cut}:",
            str(check.get("output") or "").rstrip(),
        ]
    if work.get("stat"):
        parts += ["", "changed:", str(work["stat"]).rstrip()]
    if found.get("patch"):
        parts += ["", str(found["patch"]).rstrip()]
    return "\n".join(parts)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
