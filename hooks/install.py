"""Put coord's hooks into a settings file of Claude Code, and take them out again.

What is there stays: other hooks, unknown keys, order and formatting. Before the first change the file is
kept beside itself (``settings.json.coord-backup``); as long as nobody else has changed it since, taking
the hooks out restores it byte for byte.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from hooks import bundle, files, jsontext, launcher, merge, monitor_template, template
from pool import local
from pool import settings as settings_module
from pool.errors import CoordError, UsageError
from pool.settings import Settings

SCOPES = ("user", "project", "local")

#: Added to the name of a settings file: what stood there before coord's hooks.
BACKUP = ".coord-backup"

#: Of a settings file that is not there yet.
NOTHING = "{}\n"


class Outcome(NamedTuple):
    """What an installation or a removal did."""

    path: str
    changed: bool
    #: The settings file itself was removed: only coord had written in it.
    removed: bool = False
    #: Where the file as it was before is kept ('': nowhere, there was none).
    backup: str = ""
    #: The single-file copy that was written or removed.
    copy: str = ""


def settings_path(scope: str) -> Path:
    """The settings file of a scope: the user's, this folder's, or this folder's that is not shared."""
    if scope == "user":
        folder = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.join(os.path.expanduser("~"), ".claude")
        return Path(os.path.abspath(folder)) / "settings.json"
    return Path.cwd() / ".claude" / ("settings.json" if scope == "project" else "settings.local.json")


def install(scope: str, settings: Settings, worker: bool = False, copy: bool = False) -> Outcome:
    """Install the hooks, or replace those that are installed: other options, another place, repaired.

    Raises:
        UsageError: The settings file is not one (nothing was changed), or the options do not fit.
        CoordError: The disk cannot be written.
    """
    if copy and scope == "user":
        raise UsageError("a copy belongs to a project: use --copy with --scope project or local")
    path = settings_path(scope)
    text = files.read(path)
    value = merge.parse(NOTHING if text is None else text, path)
    wanted = template.wanted(settings, worker, copy)
    copied = copy and bundle.write(_project(path), settings)
    prepared = not copy and prepare(settings, wanted)
    here = merge.found(value)
    if merge.complete(value, here, wanted):
        return Outcome(str(path), copied or prepared, copy=_copy(path, copied))
    done = _put(path, text, wanted.groups, worker, merge.only(here.reports, monitor_template.is_ours))
    if here.copy and not copy:
        _drop_copy(path)
    return done._replace(copy=_copy(path, copied))


def install_reports(scope: str, settings: Settings, http: bool = False) -> Outcome:
    """Install the hooks that report to the monitor, or replace them; those of workers stay as they are.

    Raises:
        UsageError: The settings file is not one; nothing was changed.
        CoordError: The disk cannot be written.
    """
    path = settings_path(scope)
    text = files.read(path)
    here = merge.found(merge.parse(NOTHING if text is None else text, path, merge.REPORTS))
    wanted = monitor_template.wanted(settings, http)
    kept = keep_token(settings)
    if here.reports == wanted.groups:
        return Outcome(str(path), kept)
    return _put(path, text, merge.only(here.groups, template.is_ours), here.worker, wanted.groups)


def uninstall(scope: str, workers: bool = True, reports: bool = True) -> Outcome:
    """Take out what is ours, and only that: the hooks of workers, those that report to the monitor, or both.

    Raises:
        UsageError: The settings file is not one; nothing was changed.
        CoordError: The disk cannot be written.
    """
    path = settings_path(scope)
    text = files.read(path)
    here = merge.found(merge.parse(text, path)) if text is not None else None
    if text is None or here is None or not ((workers and here.groups) or (reports and here.reports)):
        return Outcome(str(path), False)
    done = _put(
        path,
        text,
        {} if workers else merge.only(here.groups, template.is_ours),
        here.worker and not workers,
        {} if reports else merge.only(here.reports, monitor_template.is_ours),
    )
    dropped = workers and here.copy and _drop_copy(path)
    if scope != "user":
        files.prune(path.parent)
    return done._replace(copy=_copy(path, dropped))


def _put(path: Path, text: str | None, workers: merge.Groups, worker: bool, reports: merge.Groups) -> Outcome:
    """Write the file with these hooks of ours in it and no others; without any, as it was before them."""
    backup = _backup(path)
    kept = files.read(backup)
    base = NOTHING if text is None else merge.original(text, kept)
    if workers or reports:
        if text is None or not merge.found(jsontext.loads(text)).places:
            _keep(backup, text)
        files.write(path, merge.added(base, workers, worker, reports))
        return Outcome(str(path), True, backup=str(backup) if backup.exists() else "")
    gone = kept is None and jsontext.loads(base) == {}
    if gone:
        files.remove(path)
    else:
        files.write(path, base)
    if base == kept:
        files.remove(backup)
    return Outcome(str(path), True, gone, str(backup) if backup.exists() else "")


def keep_token(settings: Settings) -> bool:
    """Put the token where the hooks read it, if the settings hold it themselves; whether it was not there.

    Raises:
        CoordError: The disk cannot be written.
    """
    token, path = settings.monitor_hook_token, monitor_template.token_file(settings)
    if not token or files.read(Path(path)) == token + "\n":
        return False
    files.write(Path(path), token + "\n", mode=0o600)
    try:
        local.ignore(settings.home)
    except OSError as error:
        raise CoordError(
            f"{settings.home} cannot be written ({error.strerror}); no hook was installed"
        ) from None
    return True


def prepare(settings: Settings, wanted: template.Wanted) -> bool:
    """Compile the settings for the hooks, and put coord-worker where sessions find it; whether they were not.

    Raises:
        CoordError: The disk cannot be written.
    """
    home = settings.home
    try:
        fresh = up_to_date(settings, wanted.compiled)
        if not fresh:
            settings_module.compile_settings(settings, Path(wanted.compiled))
        launcher.write(home, wanted.compiled, wanted.python)
        return not fresh
    except OSError as error:
        raise CoordError(f"{home} cannot be written ({error.strerror}); no hook was installed") from None


def up_to_date(settings: Settings, path: str) -> bool:
    """Whether the compiled settings at a path are these.

    Raises:
        OSError: They cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            made: Any = json.load(file)
    except (FileNotFoundError, ValueError):
        return False
    return bool(made == json.loads(json.dumps(settings_module.compile_values(settings))))


# -- the backup and the copy -------------------------------------------------------------------------


def _backup(path: Path) -> Path:
    return path.with_name(path.name + BACKUP)


def _keep(backup: Path, text: str | None) -> None:
    """Keep a file that holds nothing of ours; an older backup is set aside, never overwritten."""
    older = files.read(backup)
    if older == text:
        return
    try:
        if older is not None:
            os.replace(backup, f"{backup}-{time.strftime('%Y%m%dT%H%M%S')}")
    except OSError as error:
        raise CoordError(f"{backup} cannot be set aside ({error.strerror}); nothing was changed") from None
    if text is not None:
        files.write(backup, text, mode=0o600)


def _project(path: Path) -> Path:
    return path.parent.parent


def _copy(path: Path, changed: bool) -> str:
    return str(_project(path) / template.COPY) if changed else ""


def _drop_copy(path: Path) -> bool:
    """Remove a project's copy unless its other settings file runs it still."""
    for name in ("settings.json", "settings.local.json"):
        text = files.read(path.with_name(name))
        try:
            if text is not None and merge.found(merge.parse(text, path)).copy:
                return False
        except UsageError:
            return False  # it cannot be known
    return bundle.remove(_project(path))
