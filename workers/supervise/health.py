"""How a supervisor fares, as a file says it: for a container's health check and for people."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from pool import process
from pool.errors import UsageError

#: A supervisor writes the file at least this often (seconds), and is believed for a few times as long.
BEAT = 2.0
STALE = 15.0


def write(
    path: Path, healthy: bool, state: str, reason: str, breaker: str, workers: dict[str, dict[str, Any]]
) -> None:
    """Say it: the file is replaced whole. ``breaker``: why no session is started for now ('' if any is).

    ``workers``: of each by its name ``state``, ``reason``, ``pid`` of its session (0: none) and ``task``.

    Raises:
        OSError: The disk cannot be written.
    """
    text = json.dumps(
        {
            "healthy": healthy, "state": state, "reason": reason, "process": process.key(os.getpid()),
            "breaker": breaker, "workers": workers,
        }
    )  # fmt: skip
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read(path: Path) -> dict[str, Any]:
    """What the file says, and whether it can be believed: ``healthy``, ``state``, ``reason``, ``age`` (s).

    Raises:
        UsageError: There is no such file, or it is damaged.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        age = max(0.0, time.time() - path.stat().st_mtime)
        found = {name: said[name] for name in ("healthy", "state", "reason")} | {
            "age": round(age, 1), "breaker": said.get("breaker", ""), "workers": said.get("workers", {}),
        }  # fmt: skip
        alive = process.same(str(said["process"]))
    except FileNotFoundError:
        raise UsageError(f"no supervisor has run here ({path.parent}): `coord worker run` is one") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not alive:
        return found | {"healthy": False, "state": "gone", "reason": "the supervisor does not run any more"}
    if age > STALE:
        return found | {"healthy": False, "reason": f"the supervisor has been silent for {age:.0f} s"}
    return found
