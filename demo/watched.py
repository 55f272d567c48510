"""What the demo's monitor shows, asked as a browser asks: which states sessions were seen in, and when."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request

from pool import monitors

_AGAIN = 0.1


class Watched(threading.Thread):
    """Asks the monitor of a HOME until it is ended. A monitor that does not answer is asked again."""

    def __init__(self, home: str) -> None:
        super().__init__(name="watched", daemon=True)
        #: State -> when a session was first seen in it (time.monotonic).
        self.seen: dict[str, float] = {}
        self.url = ""
        self._home = home
        self._over = threading.Event()

    def run(self) -> None:
        """Ask again and again."""
        while not self._over.wait(_AGAIN):
            noted = monitors.noted(self._home)
            self.url = noted.url if noted is not None and noted.runs else self.url
            for state in json.loads(self.get("/hook/status") or "{}").get("sessions", {}):
                self.seen.setdefault(state, time.monotonic())

    def get(self, path: str) -> str:
        """What is there; '' if the monitor does not answer."""
        if not self.url:
            return ""
        try:
            with urllib.request.urlopen(self.url + path, timeout=2) as answer:
                text: str = answer.read().decode("utf-8", "replace")
                return text
        except (OSError, urllib.error.URLError):
            return ""

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
        self.join(timeout=5)
