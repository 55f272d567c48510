"""Which rows are shown and in which order, and what each key does to that. No terminal, no Redis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from coordinator.top.board import Row

#: States by how much they want a person: the lowest number first.
_URGENCY = {
    "needs-you": 0, "broken": 1, "stuck": 1, "interrupted": 1, "dead": 2, "parked": 3, "working": 4,
    "tool": 4, "compacting": 4, "starting": 5, "draining": 5, "waiting": 6, "stopped": 7,
}  # fmt: skip
#: Up to this urgency somebody must look.
LOOK = 1

_Key = Callable[[Row], tuple[Any, ...]]
#: How rows may be sorted. (What has waited longest comes first.)
SORTS: dict[str, _Key] = {
    "need": lambda row: (urgency(row.state), row.since, row.id),
    "age": lambda row: (row.since, row.id),
    "cost": lambda row: (-(row.usd or 0.0), row.id),
    "task": lambda row: (not row.task, row.task, row.id),
    "name": lambda row: (row.id,),
}
_ORDER = list(SORTS)


def urgency(state: str) -> int:
    """How much a session in that state wants a person: 0 is now."""
    return _URGENCY.get(state, 4)


@dataclass(frozen=True)
class Choice:
    """What the person at the keys has chosen."""

    sort: str = "need"
    filter: str = ""
    #: Whether the filter is being typed; what it was before.
    typing: bool = False
    before: str = ""
    #: The first row shown; how many rows there are, and how many fit: set by the screen.
    top: int = 0
    count: int = 0
    page: int = 10
    paused: bool = False
    help: bool = False
    over: bool = False

    def rows(self, rows: tuple[Row, ...]) -> list[Row]:
        """The rows that pass the filter, in order."""
        words = self.filter.lower().split()
        found = [row for row in rows if all(word in _text(row) for word in words)] if words else list(rows)
        return sorted(found, key=SORTS[self.sort])

    def fitted(self, count: int, page: int) -> Choice:
        """The same for so many rows on a screen that shows so many of them."""
        last = max(0, count - page)
        return replace(self, count=count, page=max(1, page), top=min(max(0, self.top), last))

    def pressed(self, key: str) -> Choice:
        """What the key makes of it; a key that means nothing changes nothing."""
        if self.help:
            return replace(self, help=False, over=key == "q")
        if self.typing:
            return self._typed(key)
        if key in _MOVES:
            return replace(self, top=_MOVES[key](self)).fitted(self.count, self.page)
        if key == "s":
            return replace(self, sort=_ORDER[(_ORDER.index(self.sort) + 1) % len(_ORDER)], top=0)
        if key == "/":
            return replace(self, typing=True, before=self.filter)
        if key == "escape":
            return replace(self, filter="", top=0)
        if key in ("p", " "):
            return replace(self, paused=not self.paused)
        if key in ("h", "?"):
            return replace(self, help=True)
        return replace(self, over=True) if key == "q" else self

    def _typed(self, key: str) -> Choice:
        if key == "enter":
            return replace(self, typing=False)
        if key == "escape":
            return replace(self, typing=False, filter=self.before)
        if key == "backspace":
            return replace(self, filter=self.filter[:-1], top=0)
        if len(key) == 1 and key.isprintable():
            return replace(self, filter=(self.filter + key)[:60], top=0)
        return self


_MOVES: dict[str, Callable[[Choice], int]] = {
    "up": lambda choice: choice.top - 1, "k": lambda choice: choice.top - 1,
    "down": lambda choice: choice.top + 1, "j": lambda choice: choice.top + 1,
    "page-up": lambda choice: choice.top - choice.page, "page-down": lambda choice: choice.top + choice.page,
    "home": lambda choice: 0, "g": lambda choice: 0,
    "end": lambda choice: choice.count, "G": lambda choice: choice.count,
}  # fmt: skip


def _text(row: Row) -> str:
    parts = (row.id, row.state, row.task, row.title, row.tool, row.cwd, row.host, row.needs, row.session)
    return "\n".join(parts).lower()
