"""Durations, sizes and names as people type them. Standard library only: hooks import it."""

from __future__ import annotations

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
#: A duration is at most so long (seconds): 100 years. Redis refuses what lies much further ahead.
LONGEST = 100 * 365 * 86400.0
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("", "0", "false", "no", "off"))


def duration(text: str | float | int) -> float:
    """Seconds in ``90``, ``90s``, ``10m``, ``2h``, ``1d`` or ``1h30m``.

    Raises:
        ValueError: The text is not a duration, is negative, or longer than 100 years.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if not 0 <= text <= LONGEST:  # a NaN neither
            raise ValueError("a number of seconds must be between 0 and 100 years")
        return float(text)
    total, number, rest = 0.0, "", str(text).strip().lower()
    problem = ValueError(f"{str(text)[:40]!r} is not a duration: write 90, 90s, 10m or 2h")
    if not rest:
        raise problem
    while rest:
        number = ""
        while rest and (rest[0] in "0123456789."):
            number, rest = number + rest[0], rest[1:]
        unit = ""
        while rest and rest[0].isalpha():
            unit, rest = unit + rest[0], rest[1:]
        if not number or number.count(".") > 1 or number == "." or (unit or "s") not in _UNITS:
            raise problem
        total += float(number) * _UNITS[unit or "s"]
    if total > LONGEST:
        raise ValueError(f"{str(text)[:40]!r} is longer than 100 years")
    return total


def span(seconds: float) -> str:
    """A duration for people: ``45s``, ``10m``, ``1h 30m``, ``2d 3h``."""
    whole = round(seconds) if 0 <= seconds <= LONGEST else 0
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        minutes, left = divmod(whole, 60)
        return f"{minutes}m {left}s" if left and minutes < 10 else f"{minutes}m"
    if whole < 86400:
        hours, left = divmod(whole, 3600)
        return f"{hours}h {left // 60}m" if left >= 60 else f"{hours}h"
    days, left = divmod(whole, 86400)
    return f"{days}d {left // 3600}h" if left >= 3600 else f"{days}d"


def short(seconds: float | None) -> str:
    """A time for people, with the parts of a second that matter: 40ms, 1.2s, 3m 20s."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 10 else span(seconds)


def truth(text: str) -> bool:
    """The boolean in ``1/true/yes/on`` or ``0/false/no/off`` (any case, empty is false).

    Raises:
        ValueError: The text is neither.
    """
    low = text.strip().lower()
    if low in _TRUE:
        return True
    if low in _FALSE:
        return False
    raise ValueError(f"{text!r} is not yes or no")


def whole(text: str) -> int:
    """The number in ``8`` or ``-1``.

    Raises:
        ValueError: The text is not a whole number.
    """
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


def number(text: str) -> float:
    """The number in ``8`` or ``2.50``, not negative.

    Raises:
        ValueError: The text is not such a number.
    """
    digits = text.strip().replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise ValueError(f"{text[:40]!r} is not a number: write 8 or 2.50")
    return float(text)


def is_name(text: str, longest: int = 200) -> bool:
    """Whether the text may be a task id (RQ allows letters, digits, ``_`` and ``-`` only)."""
    return 0 < len(text) <= longest and _NAME.issuperset(text)


def is_worker_id(text: str) -> bool:
    """Whether the text may name a worker: as a task id, with dots besides."""
    return 0 < len(text) <= 200 and _NAME.issuperset(text.replace(".", "-"))


def is_queue(text: str) -> bool:
    """Whether the text may name a queue (no ``:``, which separates the priority)."""
    return is_worker_id(text)
