"""A coordinator in the test's own process, tick by tick."""

from __future__ import annotations

import time
from collections.abc import Callable

from coordinator.service import Service
from pool.settings import Settings
from tests.session import eventually


class Ticking:
    """``with Ticking(settings) as coordinator``: it leads, and has ticked once."""

    def __init__(self, settings: Settings) -> None:
        self.lines: list[str] = []
        self.service = Service(settings, self.lines.append)

    def __enter__(self) -> Ticking:
        self.service.tick()
        return self

    def __exit__(self, *error: object) -> None:
        self.service._step_down()

    def until(self, check: Callable[[], object], seconds: float = 4.0) -> None:
        """Tick until it is so."""

        def look() -> object:
            self.service.tick()
            return check()

        eventually(look, seconds)

    def during(self, seconds: float) -> None:
        """Tick for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.service.tick()
            time.sleep(0.01)
