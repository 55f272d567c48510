"""When a session may be started after others have failed: later each time, and after some, hardly at all."""

from __future__ import annotations

import random
from collections.abc import Callable

from pool import clock

#: The pause after a failure (seconds): it doubles, with jitter.
FIRST, LONGEST = 1.0, 60.0

#: So many failures in a row are no accident: the breaker opens.
TOLERATED = 3

#: An open breaker lets one session try again after so long (seconds): it doubles, too.
OPEN_FIRST, OPEN_LONGEST = 30.0, 900.0


class Breaker:
    """Counts failures in a row; open after TOLERATED of them."""

    def __init__(self, now: Callable[[], float] = clock.mono) -> None:
        self._now = now
        #: Failures since the last session that went well, and why the last one failed.
        self.failures = 0
        self.reason = ""
        self._until = 0.0
        self._hopeless = False
        #: One session tries again while it is open, and what became of it is not known yet.
        self.trying = False

    def failed(self, reason: str, at_once: bool = False) -> float:
        """A session failed; the pause before the next. ``at_once``: trying again is no use, it opens now."""
        self.failures += 1
        self.reason, self.trying = reason, False
        self._hopeless = self._hopeless or at_once
        if self.open:
            beyond = max(0, self.failures - (1 if self._hopeless else TOLERATED))
            pause = min(OPEN_LONGEST, OPEN_FIRST * 2**beyond)
        else:
            pause = min(LONGEST, FIRST * 2 ** (self.failures - 1))
        pause = float(pause * random.uniform(0.7, 1.3))
        self._until = self._now() + pause
        return pause

    def went_well(self) -> None:
        """A session went well: closed."""
        self.failures, self.reason, self._until, self._hopeless = 0, "", 0.0, False
        self.trying = False

    def tried(self) -> None:
        """A session is started. Of an open breaker no other is, before it is known what became of it."""
        if self.open:
            self._until, self.trying = self._now() + OPEN_LONGEST, True

    def untried(self) -> None:
        """A session ended before its first turn: it has shown nothing."""
        if self.trying:
            self._until, self.trying = self._now(), False

    @property
    def open(self) -> bool:
        """Whether it is open (half-open, when `left` is 0)."""
        return self._hopeless or self.failures >= TOLERATED

    @property
    def left(self) -> float:
        """Seconds until a session may be started."""
        return max(0.0, self._until - self._now())

    def say(self) -> str:
        """For people: '' when all is well."""
        if not self.failures:
            return ""
        times = f", {self.failures} times in a row" if self.failures > 1 else ""
        return f"{self.reason}{times}"
