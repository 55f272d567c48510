"""How numbers and moments are written for people. No I/O; the script of the page writes ages the same way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pool import plain, units


def shown(value: Any) -> Any:
    """What an expression of a template puts out: nothing for None, and never a control character.

    Markup (what other templates put out) is text that has been through here already.
    """
    if value is None:
        return ""
    return plain.clean(value) if type(value) is str else value


def moment(value: Any) -> float:
    """Seconds since 1970 of a number or of ISO text; 0 for what is neither."""
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0


def iso(at: float) -> str:
    """A moment as machines read it, to the second, in UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def clock(at: float, now: float) -> str:
    """A moment in UTC, as short as it is clear: with its date unless it was within the last day."""
    try:
        when = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return when.strftime("%H:%M:%S" if abs(now - at) < 86400 else "%Y-%m-%d %H:%M")


def tick(at: float, span: float) -> str:
    """A moment on the scale of a picture that spans so long (seconds): a time, or a day."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M" if span <= 2 * 86400 else "%d %b")


def day(at: float) -> str:
    """A whole day."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b")


def ago(at: float, now: float) -> str:
    """How long ago it was: ``45s``, ``10m``; in the future: ``in 10m``."""
    return units.span(now - at) if at <= now + 1 else f"in {units.span(at - now)}"


def count(value: int) -> str:
    """A number with its thousands apart."""
    return f"{value:,}"


def big(value: int) -> str:
    """A number of which only the size matters: 318.0M."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if value >= limit:
            return f"{value / limit:.1f}{unit}"
    return count(value)


def usd(value: float) -> str:
    """US dollars: to the cent, or to what is not 0 of very little."""
    if not value:
        return "$0"
    return f"${value:.4f}" if abs(value) < 0.01 else f"${value:,.2f}"


def pretty(value: Any) -> str:
    """A result: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
