"""What supervised workers' sessions said, as it is kept beside them: JSON lines in files of bounded size.

HOME/supervisors/NAME/logs/session.jsonl is the newest, session.jsonl.1 the one before ... A line is
``{"at": seconds since 1970, "pid": the session's, "task": id or "", ...}`` with ``frame`` (of the client's
stream-json), ``text`` (a line of its output that is no frame) or ``event`` (what the supervisor did).
workers/supervise/logs.py writes them.
"""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pool import shown

#: The file that is written to, in a supervisor's folder.
NEWEST = Path("logs", "session.jsonl")
#: What was printed just before a task's claim was noted, and just after its end, belongs to it (seconds).
_BEFORE, _AFTER = 0.5, 3.0


@dataclass
class Wanted:
    """Which entries: of a worker's log, all or those of a task's last run."""

    folder: Path
    task: str = ""
    first: float = 0.0
    last: float = float("inf")

    def has(self, entry: dict[str, Any]) -> bool:
        """Whether the entry is one of them."""
        if not self.task or entry.get("task") == self.task:
            return True
        return not entry.get("task") and self.first <= entry["at"] <= self.last


def of_task(folder: Path, task_id: str, started_at: str | None, ended_at: str | None) -> Wanted:
    """The entries of a task's last run, which began and ended then (ISO text; None: it goes on)."""
    return Wanted(folder, task_id, _moment(started_at) - _BEFORE, _moment(ended_at) + _AFTER)


def folder(home: str, name: str) -> Path:
    """A supervisor's own folder."""
    return Path(home) / "supervisors" / name


def last_lines(wanted: Wanted, count: int) -> list[tuple[float, str]]:
    """The last lines of the log, as people read them, each with its moment; [] when there is no log here."""
    kept: deque[tuple[float, str]] = deque(maxlen=count)
    for path in files(wanted.folder):
        for entry in filter(wanted.has, read(path)[0]):
            kept.extend((entry["at"], line) for line in shown.lines(entry))
    return list(kept)


def _moment(text: str | None) -> float:
    """Seconds since 1970; a run without an end goes on."""
    return datetime.fromisoformat(text).timestamp() if text else float("inf")


def files(folder: Path) -> list[Path]:
    """A worker's log files, oldest first."""
    found = sorted(
        (folder / NEWEST).parent.glob("session.jsonl.*"), key=lambda path: -int(path.suffix[1:] or 0)
    )
    newest = folder / NEWEST
    return [*found, newest] if newest.exists() else found


def read(path: Path, inode: int = 0, at: int = 0) -> tuple[list[dict[str, Any]], int, int]:
    """The entries of a file (from where it was left, if it is that one still), its inode, and where they end.

    A line that is not whole yet is left for the next time; one that is no entry is passed over.
    """
    try:
        with path.open("rb") as file:
            now = os.fstat(file.fileno()).st_ino
            start = at if now == inode else 0
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return [], inode, at  # it was the oldest, and is gone
    whole = data.rpartition(b"\n")[0]
    found = [entry for line in whole.splitlines() if (entry := parse(line)) is not None]
    return found, now, start + (len(whole) + 1 if whole else 0)


def parse(line: bytes) -> dict[str, Any] | None:
    """The entry in a line; None if it is none."""
    try:
        entry = json.loads(line)
        good = isinstance(entry, dict) and isinstance(entry["at"], (int, float))
    except (ValueError, KeyError, RecursionError):
        return None
    return entry if good else None
