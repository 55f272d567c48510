"""What the pool has used and what that cost, by day and by whatever else it is summed up by."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from fastapi import Request
from fastapi.responses import HTMLResponse

from monitor.pages import charts, shell, text
from monitor.pages.templating import render
from pool import costs as spent

_DAYS = (1, 7, 30, 90)
#: Tasks that are listed.
_TASKS = 100


@shell.page("/costs")
def costs(request: Request, days: str = "30", by: str = "account") -> HTMLResponse:
    """Costs of the last days."""
    connection = request.app.state.monitor.redis
    count = int(days) if days in {str(each) for each in _DAYS} else 30
    by = by if by in spent.BY else "account"
    found = shell.shared.get(("cost", by, count), lambda: spent.read(connection, by, count, _TASKS))
    daily = shell.shared.get(("cost", "day", count), lambda: spent.read(connection, "day", max(count, 7)))
    rows = found.rows[::-1] if by == "day" else found.rows
    return render(request, "costs.html", {
        "days": count, "windows": _DAYS, "by": by, "ways": [*spent.BY], "rows": rows, "total": found.total,
        "idle": found.idle, "today": every_day(daily)[-1],
        "picture": picture(daily),
    })  # fmt: skip


def picture(found: spent.Report) -> charts.Chart:
    """A bar a day."""
    made = charts.Chart("Cost by day", "", [], [], daily=True)
    if not any(each.usd for each in found.rows):
        made.summary = "Nothing with a known price was used."
        return made
    days = every_day(found)
    labels = [f"{each.name}: {text.usd(each.usd)}, {each.requests:,} requests" for each in days]
    made.boxes, full = charts.stacked([(each.usd,) for each in days], ("bar",), labels)
    dearest = max(found.rows, key=lambda each: each.usd)
    made.summary = (
        f"{text.usd(found.total.usd)} since {found.since}; the dearest day was {dearest.name} with "
        f"{text.usd(dearest.usd)}."
    )
    made.ys = charts.scale(full, "usd")
    made.xs = charts.moments(_midnight(found.since), _midnight(found.until), min(5, len(days)))
    made.head = ["Day", "USD", "Requests", "Tokens"]
    made.rows = [
        [each.name, text.usd(each.usd), f"{each.requests:,}", f"{each.tokens:,}"] for each in reversed(days)
    ]
    return made


def every_day(found: spent.Report) -> list[spent.Cost]:
    """The days of a report by day, with those in which nothing was used, which it leaves out."""
    known = {each.name: each for each in found.rows}
    first, last = date.fromisoformat(found.since), date.fromisoformat(found.until)
    names = [(first + timedelta(days=place)).isoformat() for place in range((last - first).days + 1)]
    return [known.get(name) or spent.Cost(name) for name in names]


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
