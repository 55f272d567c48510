"""The first page: who needs a person, the pool's numbers, every session."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from monitor.pages import listing, numbers, shell
from monitor.pages.templating import render
from pool import clock, costs

#: Columns of the sessions' table; those that listing.SORTS knows can be sorted by.
_COLUMNS = (
    ("state", "State"), ("session", "Session"), ("task", "Task and tool"), ("seen", "Evidence"),
    ("cost", "Cost"), ("where", "Where"),
)  # fmt: skip
#: So many of those that need a person stand on top.
_MOST = 20


@shell.page("/")
def sessions(request: Request, q: str = "", state: str = "", sort: str = "", page: str = "") -> HTMLResponse:
    """Sessions that match, one page of them."""
    monitor = request.app.state.monitor
    everyone = monitor.hub.mirror.all()
    wanted = listing.Wanted(q[:200], state, sort, int(page) if page.isascii() and page.isdigit() else 1)
    now = clock.wall()
    found = listing.find(everyone, wanted, now)
    workers = [each.id for each in (*found.rows, *found.ended) if each.worker]
    spent = costs.of_workers(monitor.redis, workers) if workers else {}
    return render(request, "sessions.html", {
        "needs": listing.needy(everyone), "most": _MOST, "found": found, "wanted": wanted,
        "live": sum(not listing.is_ended(each, now) for each in everyone),
        "numbers": shell.shared.get("numbers", lambda: numbers.read(monitor.redis)),
        "hooks": hooks(monitor), "columns": _COLUMNS, "sorts": listing.SORTS, "all_states": listing.STATES,
        "meaning": listing.MEANING, "costs": {name: cost.usd for name, (cost, _) in spent.items()},
    })  # fmt: skip


def hooks(monitor: Any) -> dict[str, Any]:
    """Whether sessions report by themselves, or polling stands in: in words."""
    heard = max((each.hooks_at for each in monitor.hub.mirror.all()), default=0.0)
    return {"word": "none heard", "tone": "held", "heard": heard, "more": "polling stands in"}
