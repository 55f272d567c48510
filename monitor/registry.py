"""Claude Code's own files of its sessions: `sessions/PID.json` in its configuration folder.

Undocumented, so nothing depends on them alone; as 2.1.329 writes them (tests/client/test_registry.py): `pid`,
`sessionId`, `cwd`, `procStart` (when the process began, on Linux as /proc has it), `pidDomain` (with the pid
namespace), `status` busy, idle or waiting since `statusUpdatedAt` (ms), and then `waitingFor`. One is removed
at a clean end and left behind by a crash. It says busy while a Stop hook waits, and idle after an interrupt,
of which no hook tells.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from monitor import signals
from monitor.signals import Signal
from pool import process
from pool.settings import Settings

STATUSES = frozenset(("busy", "idle", "waiting"))
#: No such file is larger (bytes), and no folder has more of them.
_SIZE, _MOST = 64 * 1024, 10_000


@dataclass(frozen=True)
class Entry:
    """A session that runs on this machine, as its client's file says. Moments are seconds since 1970."""

    pid: int
    process: str
    session: str
    cwd: str = ""
    status: str = ""
    #: Since when it has been so (0: the file does not say).
    since: float = 0.0
    #: What it waits for a person to do.
    wants: str = ""

    def signal(self, at: float, ancestors: tuple[str, ...] = ()) -> Signal:
        """What was seen, at that moment."""
        return Signal(
            f"seen:{self.status or 'alive'}", at, session=self.session, process=self.process, pid=self.pid,
            host=signals.here(), cwd=self.cwd, since=self.since, message=self.wants, ancestors=ancestors,
        )  # fmt: skip


def folders(settings: Settings) -> list[Path]:
    """Where such files are: the user's own configuration, and those of supervised workers."""
    own = os.environ.get("CLAUDE_CONFIG_DIR")
    found = [Path(own) if own else Path.home() / ".claude"]
    found += sorted(Path(settings.home, "supervisors").glob("*/claude"))
    return [each / "sessions" for each in found]


def read(places: Iterable[Path]) -> list[Entry]:
    """The sessions in those folders whose processes live. What cannot be read is as if it were not there."""
    found: dict[str, Entry] = {}
    for place in places:
        try:
            names = sorted(os.listdir(place))[:_MOST]
        except OSError:
            continue  # no session has run there yet
        for name in names:
            entry = _entry(place / name) if name.endswith(".json") and name[:-5].isdigit() else None
            if entry is not None:
                found[entry.process] = entry
    return list(found.values())


def _entry(path: Path) -> Entry | None:
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(_SIZE))
    except (OSError, ValueError, RecursionError):
        return None  # it has just been removed, or is being written
    if not isinstance(raw, dict) or raw.get("pid") != int(path.stem):
        return None
    try:
        session = signals.session_id(raw.get("sessionId"))
    except ValueError:
        return None
    domain = str(raw.get("pidDomain", ""))
    if domain and sys.platform.startswith("linux") and not domain.endswith(f":pid:[{process.namespace()}]"):
        return None  # of a container with processes of its own
    pid = int(path.stem)
    key = process.key(pid)
    if not key or (sys.platform.startswith("linux") and key.rpartition("-")[2] != str(raw.get("procStart"))):
        return None  # left behind by a crash
    status, stamp = raw.get("status"), raw.get("statusUpdatedAt")
    return Entry(
        pid=pid,
        process=key,
        session=session,
        cwd=signals.path(raw.get("cwd")),
        status=status if isinstance(status, str) and status in STATUSES else "",
        since=stamp / 1000 if isinstance(stamp, int) and 0 < stamp < 10**14 else 0.0,
        wants=signals.line(raw.get("waitingFor")),
    )
