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


class Reader:
    """Reads those files, each again only when it has changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, int], Entry | None]] = {}

    def read(self, places: Iterable[Path]) -> list[Entry]:
        """The sessions in those folders whose processes live; what cannot be read is as if not there."""
        found: dict[str, Entry] = {}
        seen: dict[str, tuple[tuple[int, int], Entry | None]] = {}
        for path in (each for place in places for each in _files(place)):
            try:
                status = path.stat()
            except OSError:
                continue  # it has just been removed
            stamp = (status.st_mtime_ns, status.st_size)
            before = self._known.get(str(path))
            entry = before[1] if before is not None and before[0] == stamp else _entry(path)
            seen[str(path)] = (stamp, entry)
            if entry is not None and process.start_time(entry.pid) == entry.process.rpartition("-")[2]:
                found[entry.process] = entry
        self._known = seen
        return list(found.values())


def _files(place: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(place))[:_MOST]
    except OSError:
        return []  # no session has run there yet
    return [place / name for name in names if name.endswith(".json") and name[:-5].isdigit()]


def _entry(path: Path) -> Entry | None:
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(_SIZE))
    except (OSError, ValueError, RecursionError):
        return None  # it has just been removed, or is being written (and will be newer then)
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
