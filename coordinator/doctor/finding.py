"""What a check says: how it is, what was seen, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a thing is, from well to wrong."""

    OK = "ok"
    #: As it should be, or at least allowed; worth knowing.
    NOTE = "note"
    #: It could not be looked at, so nothing is said about it.
    UNKNOWN = "unknown"
    #: It works, but something is not as it should be.
    WARNING = "warning"
    #: Something does not work, or a promise does not hold.
    WRONG = "wrong"

    @property
    def weight(self) -> int:
        """For comparing: 0 is well."""
        return list(Level).index(self)


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``remedy`` is a command to type where there is one, else words."""

    level: Level
    seen: str
    remedy: str = ""
    #: ``GROUP.NAME``; filled in by the runner.
    check: str = ""


def ok(seen: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, seen)


def note(seen: str, remedy: str = "") -> Finding:
    """Worth knowing, nothing to do."""
    return Finding(Level.NOTE, seen, remedy)


def unknown(seen: str, remedy: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(Level.UNKNOWN, seen, remedy)


def warning(seen: str, remedy: str) -> Finding:
    """It works, but not as it should."""
    return Finding(Level.WARNING, seen, remedy)


def wrong(seen: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(Level.WRONG, seen, remedy)
