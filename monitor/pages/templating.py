"""The templates: everything they put out is escaped and without control characters, whatever they say."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import pass_context
from jinja2.runtime import Context

from monitor.pages import text
from monitor.security import COOKIE
from pool import __version__, units

FOLDER = Path(__file__).parent / "templates"
#: A cookie of the reader's choice, so that the page comes in the right colours at once.
THEMES = ("light", "dark")


@pass_context
def _ago(context: Context, at: float) -> str:
    return text.ago(at, context["now"])


@pass_context
def _clock(context: Context, at: float) -> str:
    return text.clock(at, context["now"])


@cache
def environment() -> jinja2.Environment:
    """The one environment: undefined names are errors, not holes in the page."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined,
        finalize=text.shown, trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters |= {
        "ago": _ago, "clock": _clock, "tick": text.tick, "day": text.day, "iso": text.iso,
        "moment": text.moment, "short": units.short, "count": text.count, "big": text.big, "usd": text.usd,
        "pretty": text.pretty, "segment": _segment,
    }  # fmt: skip
    made.globals["query"] = query
    return made


def prepare() -> None:
    """Compile every template now: the first reader does not wait for it."""
    for name in environment().list_templates():
        environment().get_template(name)


def _segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(str(name), safe="")


def query(given: Mapping[str, Any], **changed: Any) -> str:
    """A query string of what is given with some changed; what is empty is left out."""
    values = {name: value for name, value in {**given, **changed}.items() if value not in ("", None, 0)}
    return f"?{urlencode(values)}" if values else "?"


def render(request: Request, template: str, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A page, or only its pieces where the script asks for those (``/fragment/...``)."""
    theme = request.cookies.get("theme", "")
    pieces = request.url.path.startswith("/fragment/")
    known = {
        "now": time.time(), "release": __version__, "logged_in": COOKIE in request.cookies,
        "theme": theme if theme in THEMES else "", "pieces": pieces,
        "path": request.url.path.removeprefix("/fragment") if pieces else request.url.path,
    }  # fmt: skip
    made = environment().get_template(template).render({**known, **values})
    return HTMLResponse(made, status, {"Cache-Control": "no-store"})
