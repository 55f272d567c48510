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

from hooks import bundle, files, jsontext, launcher, template
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


class Found(NamedTuple):
    """What of ours a settings file holds."""

    #: The matcher groups with a handler of ours, by event.
    groups: dict[str, list[dict[str, Any]]]
    #: Where each handler is.
    places: list[jsontext.Path]
    #: What the commands run, in the order of ``places``.
    parts: list[template.Parts]

    @property
    def worker(self) -> bool:
        """Whether sessions of this file become workers unasked."""
        return any(part.worker for part in self.parts)

    @property
    def copy(self) -> bool:
        """Whether a single-file copy is run."""
        return any(part.copy for part in self.parts)


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
    value = parse(NOTHING if text is None else text, path)
    wanted = template.wanted(settings, worker, copy)
    copied = copy and bundle.write(_project(path), settings)
    if not copy:
        prepare(settings, wanted)
    here = found(value)
    if _complete(value, here, wanted):
        return Outcome(str(path), copied, copy=_copy(path, copied))
    backup = _backup(path)
    base = NOTHING if text is None else original(text, files.read(backup))
    if not here.places:
        _keep(backup, text)
    files.write(path, added(base, {event: [group] for event, group in wanted.groups.items()}, wanted.rules))
    if here.copy and not copy:
        _drop_copy(path)
    return Outcome(str(path), True, backup=str(backup) if backup.exists() else "", copy=_copy(path, copied))


def uninstall(scope: str) -> Outcome:
    """Take out what is ours, and only that.

    Raises:
        UsageError: The settings file is not one; nothing was changed.
        CoordError: The disk cannot be written.
    """
    path = settings_path(scope)
    text = files.read(path)
    here = found(parse(text, path)) if text is not None else None
    if text is None or here is None or not here.places:
        return Outcome(str(path), False)
    backup = _backup(path)
    kept = files.read(backup)
    base = original(text, kept)
    gone = kept is None and jsontext.loads(base) == {}
    if gone:
        files.remove(path)
    else:
        files.write(path, base)
    if base == kept:
        files.remove(backup)
    dropped = here.copy and _drop_copy(path)
    if scope != "user":
        files.prune(path.parent)
    return Outcome(str(path), True, gone, str(backup) if backup.exists() else "", _copy(path, dropped))


def prepare(settings: Settings, wanted: template.Wanted) -> None:
    """Compile the settings for the hooks, and put coord-worker where sessions find it.

    Raises:
        CoordError: The disk cannot be written.
    """
    home = settings.home
    try:
        if not up_to_date(settings, wanted.compiled):
            settings_module.compile_settings(settings, Path(wanted.compiled))
        launcher.write(home, wanted.compiled, wanted.python)
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


# -- texts: nothing below here touches a disk, but for the backup and the copy -----------------------


def parse(text: str, path: Path) -> dict[str, Any]:
    """The settings in a file's text.

    Raises:
        UsageError: It is not JSON, or not what a settings file looks like.
    """
    try:
        value = jsontext.loads(text)
    except ValueError as error:
        raise UsageError(
            f"{path} is not valid JSON ({error}): correct it first; nothing was changed"
        ) from None
    wrong = _misshapen(value)
    if wrong:
        raise UsageError(f"{path}: {wrong}: correct it first; nothing was changed")
    assert isinstance(value, dict)
    return value


def found(value: dict[str, Any]) -> Found:
    """What of ours a settings file's value holds."""
    here = Found({}, [], [])
    for event, groups in value.get("hooks", {}).items():
        for index, group in enumerate(groups if isinstance(groups, list) else []):
            handlers = group.get("hooks") if isinstance(group, dict) else None
            ours = False
            for number, handler in enumerate(handlers if isinstance(handlers, list) else []):
                if template.is_ours(handler):
                    ours = True
                    here.places.append(("hooks", event, index, "hooks", number))
                    here.parts.append(template.parts(handler["command"]))
            if ours:
                here.groups.setdefault(event, []).append(group)
    return here


def added(text: str, groups: dict[str, list[dict[str, Any]]], rules: tuple[str, ...]) -> str:
    """The text with these groups and permission rules at the ends of their lists."""
    value = jsontext.loads(text)
    if "hooks" not in value:
        text = jsontext.insert(text, (), "hooks", groups)
    else:
        for event, each in groups.items():
            if event not in value["hooks"]:
                text = jsontext.insert(text, ("hooks",), event, each)
                continue
            for group in each:
                text = jsontext.insert(text, ("hooks", event), "", group)
    permissions = value.get("permissions", {})
    missing = [rule for rule in rules if rule not in permissions.get("allow", [])]
    if missing and "permissions" not in value:
        return jsontext.insert(text, (), "permissions", {"allow": missing})
    if missing and "allow" not in permissions:
        return jsontext.insert(text, ("permissions",), "allow", missing)
    for rule in missing:
        text = jsontext.insert(text, ("permissions", "allow"), "", rule)
    return text


def without(text: str, before: dict[str, Any]) -> str:
    """The text without what is ours.

    ``before`` is what stood there before coord came: its rules, and lists that were empty then, stay.
    """
    here = found(jsontext.loads(text))
    for place in reversed(here.places):
        text = _cut(text, place, (place[:3], place[:2], place[:1]), before)
    if here.worker:
        path: jsontext.Path = ("permissions", "allow")
        for index, rule in reversed(list(enumerate(_at(jsontext.loads(text), path) or []))):
            if rule in template.RULES and rule not in (_at(before, path) or []):
                text = _cut(text, (*path, index), (path, path[:1]), before)
    return text


def original(text: str, backup: str | None) -> str:
    """What stood there before coord's part: the backup, if nothing else has changed since."""
    here = found(jsontext.loads(text))
    try:
        before = jsontext.loads(backup or "")
        if _misshapen(before):
            raise ValueError
    except ValueError:
        return without(text, {})  # there was no file, or the backup is damaged
    if backup is not None and added(backup, here.groups, template.RULES if here.worker else ()) == text:
        return backup
    return without(text, before)


def _misshapen(value: Any) -> str:
    """What is wrong with a settings file's value, as far as it concerns us."""
    if not isinstance(value, dict):
        return "it does not hold a JSON object"
    hooks, permissions = value.get("hooks", {}), value.get("permissions", {})
    if not isinstance(hooks, dict):
        return "hooks is not an object"
    for spec in template.SPECS:
        if not isinstance(hooks.get(spec.event, []), list):
            return f"hooks.{spec.event} is not a list"
    if not isinstance(permissions, dict):
        return "permissions is not an object"
    if not isinstance(permissions.get("allow", []), list):
        return "permissions.allow is not a list"
    return ""


def _complete(value: dict[str, Any], here: Found, wanted: template.Wanted) -> bool:
    """Whether everything wanted is there already, and nothing else of ours."""
    if here.groups != {event: [group] for event, group in wanted.groups.items()}:
        return False
    return all(rule in (_at(value, ("permissions", "allow")) or []) for rule in wanted.rules)


def _cut(text: str, place: jsontext.Path, around: tuple[jsontext.Path, ...], before: dict[str, Any]) -> str:
    """Take an entry out, and then what is around it as far as it is empty and was not so before."""
    text = jsontext.remove(text, place)
    for path in around:
        value = _at(jsontext.loads(text), path)
        empty = not (value.get("hooks") if len(path) == 3 else value)
        if not empty or _at(before, path) in ([], {}):
            break
        text = jsontext.remove(text, path)
    return text


def _at(value: Any, path: jsontext.Path) -> Any:
    """The value at a path; None when there is none."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


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
            if text is not None and found(parse(text, path)).copy:
                return False
        except UsageError:
            return False  # it cannot be known
    return bundle.remove(_project(path))
