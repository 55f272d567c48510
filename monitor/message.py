"""What a notification says: who waits for a person, which task has failed for good. No prompts.

A notification has items (``dict`` as pool/lua/notice.lua keeps them): ``kind`` is `needs-you`, `failed` or
`test`; ``session``, ``worker``, ``task``, ``queue``, ``title``, ``asks`` (what is asked, or why it failed),
``at``, ``since``.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from monitor.redact import Redactor
from pool import model

#: Characters of a title, of what is asked, of an id; items that a message names.
TITLE, ASKS, NAME, SHOWN = 120, 200, 80, 20
_KINDS = {"needs-you": "waits for you", "failed": "failed for good", "test": "test"}


@dataclass(frozen=True)
class Message:
    """A notification as it goes out. ``key`` is the same whenever it is sent again."""

    key: str
    kind: str
    title: str
    text: str
    url: str
    items: list[dict[str, Any]]


class Writer:
    """Makes messages of items: cleaned, clipped, without secrets."""

    def __init__(self, redactor: Redactor, url: str) -> None:
        self._redactor = redactor
        self._url = url.rstrip("/")

    def message(self, key: str, items: list[dict[str, Any]]) -> Message:
        """One message about all of them."""
        clean = [self._item(each) for each in items]
        if len(clean) == 1:
            one = clean[0]
            who = one["title"] or one["task"] or one["session"]
            title = f"{who} {_KINDS[one['kind']]}" if one["kind"] != "test" else "coord: a test"
            names = " · ".join(each for each in (one["task"], one["session"]) if each and each != who)
            text = "\n".join(line for line in (one["asks"], names) if line)
            return Message(key, one["kind"], title, text, one["url"], clean)
        asked = sum(each["kind"] == "needs-you" for each in clean)
        failed = sum(each["kind"] == "failed" for each in clean)
        parts = [f"{asked} session{'s' * (asked != 1)} wait{'s' * (asked == 1)} for you"] if asked else []
        parts += [f"{failed} task{'s' * (failed != 1)} failed for good"] if failed else []
        lines = [
            f"{each['title'] or each['task'] or each['session']}: {each['asks'] or _KINDS[each['kind']]}"
            for each in clean[:SHOWN]
        ]
        lines += [f"and {len(clean) - SHOWN} more"] if len(clean) > SHOWN else []
        kind = "needs-you" if asked else "failed"
        return Message(key, kind, ", ".join(parts) or "coord", "\n".join(lines), f"{self._url}/", clean)

    def _item(self, raw: dict[str, Any]) -> dict[str, Any]:
        """An item, as it may be shown; what is no text is nothing."""
        line = self._redactor.line
        kind = raw.get("kind")
        found: dict[str, Any] = {"kind": kind if kind in _KINDS else "failed"}
        for name, limit in (
            ("title", TITLE), ("asks", ASKS), ("task", NAME), ("session", NAME), ("worker", NAME),
            ("queue", NAME),
        ):  # fmt: skip
            value = raw.get(name)
            found[name] = line(value, limit) if isinstance(value, str) else ""
        at = raw.get("at")
        try:
            found["at"] = model.utc(float(at)) if isinstance(at, (int, float, str)) else None
        except (ValueError, OverflowError):
            found["at"] = None
        found["url"] = f"{self._url}{_page(raw)}"
        return found


def _page(raw: dict[str, Any]) -> str:
    """Where the page tells of it."""
    for name, folder in (("session", "sessions"), ("task", "tasks")):
        value = raw.get(name)
        if isinstance(value, str) and value:
            return f"/{folder}/{quote(value, safe='')}"
    return "/"


def slack(text: str) -> str:
    """A text in which nothing is a command of Slack's (`<!channel>`), as Slack wants it."""
    return html.escape(text, quote=False)
