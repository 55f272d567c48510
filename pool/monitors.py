"""The monitors that run, and where the one of this project is: for those who report to it or look for it.

HOME/monitor.json holds the URL, the port and the process of the monitor that was started last with that HOME.
It stays when the monitor ends, so that the next one takes the same port, and hooks find it again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from pool import local, process, view
from pool.settings import Settings

KEY = "pool:monitors"
NOTE = "monitor.json"


@dataclass(frozen=True)
class Noted:
    """The monitor that was started last with a HOME: where it listens, and the key of its process."""

    url: str
    port: int
    key: str

    @property
    def runs(self) -> bool:
        """Whether that process lives."""
        return process.same(self.key)


@dataclass(frozen=True)
class MonitorView:
    """A monitor that was heard of lately."""

    id: str
    coord: str
    url: str


def running(connection: redis.Redis) -> list[MonitorView]:
    """The monitors that run on this Redis, by URL."""
    raw: Any = connection.zrangebyscore(KEY, view.server_time(connection), "+inf")
    found = (each.decode("utf-8", "replace").split(" ", 2) for each in raw)
    return sorted((MonitorView(*parts) for parts in found if len(parts) == 3), key=lambda each: each.url)


def noted(home: str) -> Noted | None:
    """What HOME/monitor.json says; None when there is none, or it cannot be read."""
    try:
        data = json.loads((Path(home) / NOTE).read_text(encoding="utf-8"))
        return Noted(str(data["url"]), int(data["port"]), str(data["key"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def note(home: str, url: str, port: int) -> None:
    """Write HOME/monitor.json for this process.

    Raises:
        OSError: HOME cannot be written.
    """
    folder = Path(home)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    local.ignore(home)
    temporary = folder / f".{NOTE}-{os.getpid()}"
    text = json.dumps(asdict(Noted(url, port, process.key(os.getpid()))))
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, folder / NOTE)


def port(settings: Settings) -> int:
    """Where the monitor listens: the setting, if it is set; else where it was last; else the usual port."""
    before = noted(settings.home)
    if before is not None and "monitor_port" not in settings.model_fields_set:
        return before.port
    return settings.monitor_port


def url(settings: Settings) -> str:
    """Where hooks on this machine report to."""
    return settings.monitor_url.rstrip("/") or f"http://127.0.0.1:{port(settings)}"


def expected(settings: Settings) -> bool:
    """Whether there is a monitor to report to: the settings name one, or one was started with this HOME."""
    return settings.monitor_enabled and bool(settings.monitor_url or noted(settings.home))
