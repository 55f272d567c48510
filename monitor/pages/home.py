"""The first page: who needs a person, the pool's numbers, every session."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from monitor import intake
from monitor.pages import listing, numbers, shell
from monitor.pages.templating import render
from pool import clock, costs, units

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
        "hooks": hooks(request), "columns": _COLUMNS, "sorts": listing.SORTS, "all_states": listing.STATES,
        "meaning": listing.MEANING,
        "costs": {name: cost.usd for name, (cost, _) in spent.items() if cost.requests},
    })  # fmt: skip


def hooks(request: Request) -> dict[str, Any]:
    """Whether sessions report by themselves, or polling stands in: in words."""
    settings = request.app.state.monitor.settings
    status = intake.status(request)
    heard = status["last_hook_at"] or 0.0
    if status["hooks"]:
        every = units.span(settings.monitor_polling_interval_with_hooks)
        return {
            "word": "alive",
            "tone": "good",
            "heard": heard,
            "more": f"what they miss is found every {every}",
        }
    word = "silent" if heard else "none heard yet"
    if not status["polling"]:
        return {"word": word, "tone": "bad", "heard": heard, "more": "polling is switched off"}
    every = units.span(settings.monitor_polling_interval)
    return {"word": word, "tone": "held", "heard": heard, "more": f"polling stands in, every {every}"}
