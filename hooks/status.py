"""Look at installed hooks: are they there, do they run, are they what this coord would install?"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hooks import bundle, cap, files, install, merge, monitor_status, template
from pool import settings as settings_module
from pool.errors import CoordError, UsageError
from pool.settings import Settings


@dataclass
class ScopeStatus:
    """One settings file, as ``coord hooks status`` shows it."""

    scope: str
    path: str
    exists: bool = False
    installed: bool = False
    worker: bool = False
    #: A single-file copy runs instead of this installation.
    copy: bool = False
    #: Event -> ``ok``, ``missing``, ``stale`` (another command than would be installed now), ``modified``
    #: (a changed timeout, matcher or the like) or ``double``.
    hooks: dict[str, str] = field(default_factory=dict)
    interpreter: str = ""
    interpreter_there: bool = False
    files_there: bool = False
    #: The settings that the hooks read, and ``ok``, ``stale``, ``missing`` or ``unreadable``.
    compiled: str = ""
    compiled_state: str = ""
    #: What is wrong, a sentence each.
    problems: list[str] = field(default_factory=list)
    #: The hooks that report to the monitor.
    monitor: monitor_status.Reporting = field(default_factory=monitor_status.Reporting)

    @property
    def fine(self) -> bool:
        """Something is installed, and nothing is wrong."""
        there = self.installed or self.monitor.installed
        return there and not (self.problems or self.monitor.problems)


def look(scope: str, settings: Settings) -> ScopeStatus:
    """The state of one scope; what is wrong with it is told, never raised."""
    path = install.settings_path(scope)
    seen = ScopeStatus(scope, str(path))
    try:
        text = files.read(path)
        if text is None:
            return seen
        seen.exists = True
        value = merge.parse(text, path)
    except UsageError as error:
        seen.problems.append(str(error).removesuffix("; nothing was changed"))
        return seen
    here = merge.found(value)
    seen.monitor = monitor_status.look(here, settings)
    if here.places and value.get("disableAllHooks"):
        seen.problems.append("disableAllHooks is set: the client runs no hook at all")
    if not here.groups:
        return seen
    seen.installed, seen.worker, seen.copy = True, here.worker, here.copy
    if here.copy:
        _copy(seen, path, settings)
    else:
        _installation(seen, here)
    wanted = _wanted(seen, settings)
    if wanted is not None:
        _compare(seen, here, wanted)
        allowed = value.get("permissions", {}).get("allow", [])
        if any(rule not in allowed for rule in wanted.rules):
            seen.problems.append("the permission rules for coord-worker are missing: a worker will be asked")
        missing = [name for name in wanted.env if name not in value.get("env", {})]
        if missing:
            seen.problems.append(
                f"{missing[0]} is missing in env: a worker stops after {cap.DEFAULT} tasks in a row that "
                "need no tool: install again"
            )
    return seen


def fine(seen: list[ScopeStatus]) -> bool:
    """Whether hooks are installed somewhere, and nothing is wrong with any that are."""
    return any(each.fine for each in seen) and not any(
        each.problems or each.monitor.problems for each in seen
    )


def _copy(seen: ScopeStatus, path: Path, settings: Settings) -> None:
    copy = path.parent.parent / template.COPY
    seen.interpreter, seen.interpreter_there = "python3", shutil.which("python3") is not None
    seen.files_there = copy.is_file()
    seen.compiled, seen.compiled_state = str(copy), "ok"
    if not seen.files_there:
        seen.compiled_state = "missing"
        seen.problems.append(f"{copy} is gone: the hooks do nothing")
    elif files.read(copy) != bundle.build(settings):
        seen.compiled_state = "stale"
        seen.problems.append(f"{copy} is from another version or other settings: install it again")


def _installation(seen: ScopeStatus, here: merge.Found) -> None:
    pythons = sorted({part.python for part in here.parts})
    named = sorted({part.compiled for part in here.parts if part.compiled})
    seen.interpreter = pythons[0]
    gone = [path for path in pythons if not os.access(path, os.X_OK)]
    seen.interpreter_there = not gone
    lost = sorted({part.file for part in here.parts if not os.path.isfile(part.file)})
    seen.files_there = not lost
    seen.problems += [f"the interpreter {path or '?'} is gone: the hooks do nothing" for path in gone]
    seen.problems += [f"{path or 'a hook file'} is gone: its hook does nothing" for path in lost]
    for path in named:
        seen.compiled, seen.compiled_state = path, _compiled_state(path)
        if seen.compiled_state != "ok":
            seen.problems.append(f"the compiled settings {path} are {seen.compiled_state}")
            break


def _compiled_state(path: str) -> str:
    """``ok``, ``stale``, ``missing`` or ``unreadable``."""
    if not os.path.exists(path):
        return "missing"
    try:
        current = settings_module.load(home=os.path.dirname(path))
        return "ok" if install.up_to_date(current, path) else "stale"
    except (OSError, CoordError):
        return "unreadable"


def _wanted(seen: ScopeStatus, settings: Settings) -> template.Wanted | None:
    """What would be installed now with the options that are in force there."""
    try:
        wanted = template.wanted(settings, seen.worker, seen.copy)
    except CoordError as error:
        seen.problems.append(str(error))
        return None
    if seen.compiled and not seen.copy:  # the place of the settings is a choice of its own
        return template.Wanted(
            seen.compiled, wanted.hook_timeout, wanted.worker, python=wanted.python, root=wanted.root
        )
    return wanted


def _compare(seen: ScopeStatus, here: merge.Found, wanted: template.Wanted) -> None:
    for event, (group,) in wanted.groups.items():
        seen.hooks[event] = _state(here.groups.get(event, []), group)
    strange = [event for event in here.groups if event not in wanted.groups]
    for event, state in [*seen.hooks.items(), *((event, "stale") for event in strange)]:
        seen.hooks[event] = state
        if state == "missing":
            seen.problems.append(f"the {event} hook is missing")
        elif state != "ok":
            words = {
                "stale": "is not what this coord installs", "modified": "was changed by hand",
                "double": "is there more than once",
            }  # fmt: skip
            seen.problems.append(f"the {event} hook {words[state]}: install it again")


def _state(groups: list[dict[str, Any]], wanted: dict[str, Any]) -> str:
    handlers = [each for group in groups for each in group["hooks"] if template.is_ours(each)]
    if not handlers:
        return "missing"
    if len(handlers) > 1:
        return "double"
    if handlers[0]["command"] != wanted["hooks"][0]["command"]:
        return "stale"
    return "ok" if groups[0] == wanted else "modified"
