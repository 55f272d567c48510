"""What the pages share: where they are found, and what hides secrets in what they show."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import redis
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from monitor.pages import numbers
from monitor.pages.templating import render
from monitor.redact import Redactor
from pool import connect

router = APIRouter(include_in_schema=False)
#: What was read of Redis a moment ago serves all readers.
shared = numbers.Shared()

#: Lines of a log that are shown.
LOG_LINES = 200


Page = Callable[..., HTMLResponse]


def page(path: str) -> Callable[[Page], Page]:
    """A page at its path and, without what surrounds it, below ``/fragment``."""

    def add(function: Page) -> Page:
        @wraps(function)
        def shown(request: Request, **given: Any) -> HTMLResponse:
            try:
                return function(request, **given)
            except redis.RedisError as error:
                trouble = str(connect.trouble(request.app.state.monitor.settings, error))
                return _sorry(request, "Redis does not answer", trouble, (request.url.path, "Try again"), 503)

        for where in (path, f"/fragment{path}"):
            router.add_api_route(where, shown, methods=["GET"], response_class=HTMLResponse)
        return shown

    return add


def redactor(request: Request) -> Redactor:
    """What hides secrets in what is shown."""
    found: Redactor = request.app.state.monitor.redactor
    return found


def missing(request: Request, title: str, detail: str, back: tuple[str, str]) -> HTMLResponse:
    """A page that says that there is no such thing; ``back``: where to go instead, and its name."""
    return _sorry(request, title, detail, back, 404)


def _sorry(request: Request, title: str, detail: str, back: tuple[str, str], status: int) -> HTMLResponse:
    values: dict[str, Any] = {"title": title, "detail": detail, "back": back[0], "back_label": back[1]}
    return render(request, "missing.html", values, status)
