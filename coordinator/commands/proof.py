"""What a task's end is believed by, in one place: its check, its change, its cost, and where its log is."""

from __future__ import annotations

from typing import Any

import redis

from coordinator.commands import cost
from pool import costs, evidence
from pool.view import TaskView


def whole(connection: redis.Redis, found: TaskView) -> dict[str, Any]:
    """All of it by name: pool/evidence.py's, ``cost`` (a costs.Cost) and ``log``; None for what there is not.

    ``log``: worker, host (None where that is not known), supervisor ('' none: it kept no log) and the command
    that shows it, to be run on that host (None without a supervisor).
    """
    nothing = {"check": None, "patch": None}
    spent = costs.of_tasks(connection, [found.id])[0]
    return {**nothing, **found.evidence, "cost": spent, "log": _log(found)}


def _log(found: TaskView) -> dict[str, Any] | None:
    if found.worker is None:
        return None
    kept = (
        found.supervisor or found.host is None
    )  # (of a worker that an older version handed it to: ask there)
    return {
        "worker": found.worker, "host": found.host, "supervisor": found.supervisor,
        "command": f"coord logs {found.id}" if kept else None,
    }  # fmt: skip


def facts(known: dict[str, Any]) -> dict[str, str]:
    """What is said of it in a list: a line each."""
    return {**evidence.facts(known), **_also(known)}


def text(known: dict[str, Any]) -> str:
    """All of it, as a person reads it; '' when there is nothing."""
    return evidence.text(known, _also(known))


def _also(known: dict[str, Any]) -> dict[str, str]:
    said, spent, log = {}, known["cost"], known["log"]
    if spent is not None:
        said["cost"] = cost.described(spent)
    if log is None:
        return said
    if log["command"] is None:
        said["log"] = f"none was kept: worker {log['worker']} on {log['host']} has no supervisor"
    else:
        said["log"] = f"`{log['command']}` on {log['host'] or 'its machine'}, worker {log['worker']}"
    return said
