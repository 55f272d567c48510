"""A session's timeline as a picture: which state it was in, when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitor.pages import text
from monitor.pages.charts import WIDTH, Box
from pool import units
from pool.sessions import State

#: A state so short (units of WIDTH) is drawn a bit wider, so that it is seen.
_THIN = 2.0


@dataclass(frozen=True)
class Entry:
    """What was seen, the state it led to, and how long (seconds) until something else was."""

    id: str
    at: float
    kind: str
    state: str
    task: str
    detail: str
    lasted: float


@dataclass(frozen=True)
class Band:
    """The picture: boxes of states, from one moment to another; how long each state lasted in all."""

    boxes: list[Box]
    first: float
    last: float
    sums: list[tuple[str, float]]


def entries(rows: Sequence[dict[str, Any]], now: float) -> list[Entry]:
    """The entries of a session's stream (newest first, as they are read), newest first."""
    found: list[Entry] = []
    until = now
    for row in rows:
        at = text.moment(row.get("at")) or text.moment(_number(row.get("at")))
        state = row.get("state", "")
        found.append(
            Entry(row["id"], at, row.get("kind", ""), state if state in _KNOWN else "", row.get("task", ""),
                  _seen(row), max(0.0, until - at))
        )  # fmt: skip
        until = at
    return found


_KNOWN = frozenset(State)


def _seen(row: dict[str, Any]) -> str:
    """What was seen, without the session and the state, which stand beside it."""
    detail = str(row.get("detail", ""))
    head, _, rest = detail.partition(": ")
    seen = rest if rest and head.endswith(f" {row.get('state')}") else detail
    return f"a look around: {seen.removeprefix('seen:')}" if seen.startswith("seen:") else seen


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def band(found: Sequence[Entry], now: float, ended: float = 0.0) -> Band | None:
    """The states of these entries side by side; None when there is nothing to draw."""
    known = [each for each in reversed(found) if each.state and each.at]
    if not known:
        return None
    first, last = known[0].at, max(ended or now, known[-1].at + 1.0)
    runs: list[list[Any]] = []
    for each in known:
        if runs and runs[-1][0] == each.state:
            continue
        runs.append([each.state, each.at])
    boxes, sums = [], dict[str, float]()
    for (state, at), after in zip(runs, [*(run[1] for run in runs[1:]), last], strict=True):
        x = (at - first) / (last - first) * WIDTH
        width = max(_THIN, (after - at) / (last - first) * WIDTH)
        label = f"{state} for {units.span(max(0.0, after - at))}, from {text.clock(at, now)} UTC"
        boxes.append(Box(round(x, 2), 0, round(width, 2), 100, state, label))
        sums[state] = sums.get(state, 0.0) + max(0.0, after - at)
    return Band(boxes, first, last, sorted(sums.items(), key=lambda pair: -pair[1]))
