"""Look at the hooks that report to the monitor: are they there, and do they report to where it is?"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from hooks import merge, monitor_template
from pool.errors import CoordError
from pool.settings import Settings


@dataclass
class Reporting:
    """The monitor's hooks in one settings file, as ``coord hooks status`` shows them."""

    #: Event -> ``ok``, ``missing``, ``stale``, ``modified`` or ``double``, as of a worker's hooks.
    hooks: dict[str, str] = field(default_factory=dict)
    #: Where they report to.
    urls: list[str] = field(default_factory=list)
    #: The client itself sends them (http handlers).
    http: bool = False
    #: What is wrong, a sentence each.
    problems: list[str] = field(default_factory=list)

    @property
    def installed(self) -> bool:
        """Whether there are any."""
        return bool(self.hooks)


def look(here: merge.Found, settings: Settings) -> Reporting:
    """The state of them; what is wrong is told, never raised."""
    seen = Reporting()
    if not here.reports:
        return seen
    seen.http = any(each.http for each in here.reporting)
    seen.urls = sorted({each.url for each in here.reporting})
    for path in sorted({each.python for each in here.reporting if not each.http}):
        if not os.access(path, os.X_OK):
            seen.problems.append(f"the interpreter {path or '?'} is gone: the monitor hears nothing")
    for path in sorted({each.file for each in here.reporting if not each.http}):
        if not os.path.isfile(path):
            seen.problems.append(f"{path or 'a hook file'} is gone: the monitor hears nothing")
    try:
        wanted = monitor_template.wanted(settings, seen.http)
    except CoordError as error:
        seen.problems.append(str(error))
        return seen
    for event, (group,) in wanted.groups.items():
        seen.hooks[event] = _state(here.reports.get(event, []), group)
    seen.hooks.update({event: "stale" for event in here.reports if event not in wanted.groups})
    elsewhere = [url for url in seen.urls if url != wanted.url]
    if elsewhere:
        seen.problems.append(f"they report to {elsewhere[0]}, and the monitor is at {wanted.url}")
    by_state: dict[str, list[str]] = {}
    for event, state in seen.hooks.items():
        by_state.setdefault(state, []).append(event)
    words = {
        "missing": "missing", "stale": "not what this coord installs", "modified": "changed by hand",
        "double": "there more than once",
    }  # fmt: skip
    for state, events in by_state.items():
        if state != "ok" and not (state == "stale" and elsewhere):
            seen.problems.append(f"the monitor's hooks are {words[state]}: {', '.join(events)}")
    return seen


def _state(groups: list[dict[str, Any]], wanted: dict[str, Any]) -> str:
    handlers = [each for group in groups for each in group["hooks"] if monitor_template.is_ours(each)]
    if not handlers:
        return "missing"
    if len(handlers) > 1:
        return "double"
    ours, right = handlers[0], wanted["hooks"][0]
    if any(ours.get(name) != right.get(name) for name in ("type", "command", "url", "headers")):
        return "stale"
    return "ok" if groups[0] == wanted else "modified"
