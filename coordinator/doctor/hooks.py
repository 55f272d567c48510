"""The Claude Code hooks: are they wired, allowed to run, and do they work when they are fired?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coordinator.doctor import trial
from coordinator.doctor.finding import Finding, note, ok, unknown, warning, wrong
from coordinator.doctor.patient import Patient, Scope
from pool import process
from pool.errors import CoordError

#: Settings of an organisation, which no other file overrides.
MANAGED = Path("/Library/Application Support/ClaudeCode" if sys.platform == "darwin" else "/etc/claude-code")
#: The oldest Python that runs the hooks.
_PYTHON = (3, 11)
#: So many problems of one installation are named.
_NAMED = 3
#: Which file has the last word.
_ORDER = ("local", "project", "user")


def installed(patient: Patient) -> Iterator[Finding]:
    """Where they are installed, and what is wrong with it."""
    there = [scope for scope in patient.scopes if scope.installed]
    for scope in patient.scopes:
        unread = [problem for problem in scope.problems if problem.startswith(str(scope.path))]
        for problem in unread:  # nothing can be installed there before it is mended
            yield wrong(problem, f"correct {scope.path}, then: {scope.install}")
        found = [problem for problem in scope.problems if problem not in unread]
        if found:  # one installation is mended by one command
            more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            yield wrong(f"{scope.path}: {'; '.join(found[:_NAMED])}{more}", scope.install)
        if scope.installed and not scope.problems:
            who = (
                "every session there is a worker"
                if scope.worker
                else "sessions with COORD_WORKER=1 are workers"
            )
            yield ok(f"{scope.path}: {who}")
        if scope.monitor_problems:
            yield warning(f"{scope.path}: {'; '.join(scope.monitor_problems)}", scope.install_monitor)
        elif scope.monitor:
            yield ok(f"{scope.path}: sessions report to the monitor at {scope.monitor}")
    plugin = _plugin(patient)
    if plugin:
        yield ok(
            f"{plugin} enables the plugin: sessions with COORD_WORKER=1 (or its option worker) are workers"
        )
        return
    supervisors = _supervisors(patient.home)
    project = patient.home.parent
    elsewhere = project != Path.cwd() and list(project.glob(".claude/settings*.json"))
    if not there and elsewhere:
        yield note(f"no hooks are installed here; {project} has its own", f"cd {project} && coord doctor")
    elif not there and supervisors:
        yield note(
            "no hooks are installed here: only the sessions of `coord worker run` "
            f"({', '.join(supervisors)}) are workers",
            "coord hooks install --worker (for sessions that you start yourself)",
        )
    elif not there and not any(scope.problems for scope in patient.scopes):
        yield warning(
            "no hooks are installed, for this folder or for you: no session is a worker here",
            "coord hooks install --worker (where no sessions are to run: coord doctor --skip hooks,client)",
        )


def _supervisors(home: Path) -> list[str]:
    """The supervisors that run on this machine: their sessions have hooks of their own."""
    found = []
    for path in sorted(home.glob("supervisors/*/health.json")):
        said = _read(path) or {}  # (a damaged one: `coord worker health` says so)
        if said.get("state") != "ended" and process.same(str(said.get("process"))):
            found.append(path.parent.name)
    return found


def _plugin(patient: Patient) -> str:
    """The settings file that switches the Claude Code plugin on; '' where none does."""
    by_name = {scope.name: scope for scope in patient.scopes}
    for name in _ORDER:
        enabled = by_name[name].value.get("enabledPlugins")
        for plugin, on in enabled.items() if isinstance(enabled, dict) else ():
            if str(plugin).partition("@")[0] == "coord":
                return str(by_name[name].path) if on else ""
    return ""


def allowed(patient: Patient) -> Iterator[Finding]:
    """Whether the client may run them: disableAllHooks, and what an organisation decrees."""
    fine = True
    files = [MANAGED / "managed-settings.json", *sorted(MANAGED.glob("managed-settings.d/*.json"))]
    for path in files:
        value = _read(path)
        if value is None:
            fine = False
            yield unknown(f"{path} could not be read: it may forbid hooks")
            continue
        for name in ("disableAllHooks", "allowManagedHooksOnly"):
            if value.get(name):
                fine = False
                yield wrong(
                    f"{path} sets {name}: no hook of yours runs", "ask who manages that file to allow them"
                )
    by_name = {scope.name: scope for scope in patient.scopes}
    said = [by_name[name] for name in _ORDER if "disableAllHooks" in by_name[name].value]
    if said and said[0].value["disableAllHooks"]:
        fine = False
        yield wrong(
            f"{said[0].path} sets disableAllHooks: the client runs no hook at all",
            f"take disableAllHooks out of {said[0].path}",
        )
    if fine:
        yield ok("no settings switch hooks off")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def once(patient: Patient) -> Iterator[Finding]:
    """One installation for a session: the client runs different commands of two files both."""
    there = [scope for scope in patient.scopes if scope.installed]
    if len(there) > 1 and len({tuple(sorted(scope.commands.items())) for scope in there}) > 1:
        names = " and ".join(scope.path for scope in there)
        spare = there[0]
        yield warning(
            f"they are installed twice: {names}; the client runs both, and each costs its time",
            f"coord hooks uninstall --scope {spare.name}",
        )
    elif there:
        yield ok("installed once")


def interpreters(patient: Patient) -> Iterator[Finding]:
    """The interpreter that is wired runs, and is new enough."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in dict.fromkeys(scope.interpreter for scope in patient.scopes if scope.installed):
        if not shutil.which(path):
            continue  # hooks.installed says so
        try:
            done = subprocess.run(
                [path, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=10, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            said = done.stdout.strip()
            version = tuple(int(part) for part in said.split("."))
        except (OSError, ValueError, subprocess.TimeoutExpired):
            said, version = "", ()
        remedy = "; ".join(scope.install for scope in patient.scopes if scope.interpreter == path)
        if not version:
            yield wrong(f"{path} does not run as Python: the hooks fail", remedy)
        elif version < _PYTHON:
            yield wrong(
                f"{path} is Python {said}: the hooks need 3.11", f"with Python 3.11 or newer: {remedy}"
            )
        else:
            yield ok(f"{path} is Python {said}")


def fire(patient: Patient) -> Iterator[Finding]:
    """Fire each wired hook as the client does, in a session of the doctor's own, far from the pool."""
    for scope in patient.scopes:
        if not scope.installed:
            continue
        if not scope.whole:
            yield note(
                f"{scope.name}: not fired: a part of the installation is gone or too old (hooks.installed)"
            )
            continue
        yield _tour(patient, scope)


def _tour(patient: Patient, scope: Scope) -> Finding:
    try:
        with trial.Trial(patient, scope) as tried:
            shots = tried.tour()
    except trial.NoRoom as error:
        return unknown(f"{scope.name}: not fired: {error}", error.remedy)
    except CoordError as error:
        return unknown(f"{scope.name}: not fired to the end: {error}")
    failed = [f"{shot.event}: {shot.problem}" for shot in shots if shot.problem]
    times = ", ".join(f"{shot.event} {shot.seconds * 1000:.0f} ms" for shot in shots if not shot.problem)
    slow = [shot.event for shot in shots if not shot.problem and shot.seconds > patient.slow]
    if failed:
        log = f" (its log says: {tried.log})" if tried.log else ""
        return wrong(
            f"{scope.name}: {'; '.join(failed)}{log}" + (f"; well: {times}" if times else ""), scope.install
        )
    if slow:
        return warning(
            f"{scope.name}: they work, but {', '.join(slow)} took longer than {patient.slow * 1000:.0f} ms "
            f"({times})",
            "see whether the machine is busy, the disk slow or Redis far (redis.reach), then look again",
        )
    return ok(f"{scope.name}: each does its work: {times}")
