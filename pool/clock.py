"""Two clocks with two names, so that nobody mixes them up."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def wall() -> float:
    """Seconds since 1970 on this machine: for people. Deadlines are kept on Redis' clock."""
    return time.time()


def mono() -> float:
    """Seconds on a clock that never jumps: for measuring how long something took."""
    return time.monotonic()


def iso(at: float) -> str:
    """A moment as RQ writes it: ``2026-01-31T12:00:00.000000Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_iso(text: str) -> float | None:
    """The moment in RQ's notation as seconds since 1970, or None for an empty field."""
    if not text:
        return None
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
