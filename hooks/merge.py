"""What of coord's is in the text of a settings file: find it, add it, take it out. Texts only, no disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hooks import jsontext, monitor_template, template
from pool.errors import UsageError

Groups = dict[str, list[dict[str, Any]]]


class Found(NamedTuple):
    """What of ours a settings file holds: the hooks of workers, and those that report to the monitor."""

    #: The matcher groups with a worker's handler, by event.
    groups: Groups
    #: Where each handler of ours is, of either kind.
    places: list[jsontext.Path]
    #: What the workers' commands run.
    parts: list[template.Parts]
    #: The matcher groups with a handler that reports, by event, and what those handlers run.
    reports: Groups
    reporting: list[monitor_template.Parts]

    @property
    def worker(self) -> bool:
        """Whether sessions of this file become workers unasked."""
        return any(part.worker for part in self.parts)

    @property
    def copy(self) -> bool:
        """Whether a single-file copy is run."""
        return any(part.copy for part in self.parts)


#: The events whose lists must be lists: of a worker's hooks, and of those that report.
WORKERS = tuple(spec.event for spec in template.SPECS)
REPORTS = tuple(each.event for each in monitor_template.REPORTS)


def parse(text: str, path: Path, events: tuple[str, ...] = WORKERS) -> dict[str, Any]:
    """The settings in a file's text, into whose lists of these events hooks may go.

    Raises:
        UsageError: It is not JSON, or not what a settings file looks like.
    """
    try:
        value = jsontext.loads(text)
    except ValueError as error:
        raise UsageError(
            f"{path} is not valid JSON ({error}): correct it first; nothing was changed"
        ) from None
    wrong = _misshapen(value, events)
    if wrong:
        raise UsageError(f"{path}: {wrong}: correct it first; nothing was changed")
    assert isinstance(value, dict)
    return value


def found(value: dict[str, Any]) -> Found:
    """What of ours a settings file's value holds."""
    here = Found({}, [], [], {}, [])
    for event, groups in value.get("hooks", {}).items():
        for index, group in enumerate(groups if isinstance(groups, list) else []):
            handlers = group.get("hooks") if isinstance(group, dict) else None
            works = reports = False
            for number, handler in enumerate(handlers if isinstance(handlers, list) else []):
                if template.is_ours(handler):
                    works = True
                    here.parts.append(template.parts(handler["command"]))
                elif monitor_template.is_ours(handler):
                    reports = True
                    here.reporting.append(monitor_template.parts(handler))
                else:
                    continue
                here.places.append(("hooks", event, index, "hooks", number))
            if works:
                here.groups.setdefault(event, []).append(group)
            if reports:
                here.reports.setdefault(event, []).append(group)
    return here


def only(groups: Groups, ours: Callable[[object], bool]) -> Groups:
    """These groups without the handlers of others."""
    return {
        event: [{**group, "hooks": [each for each in group["hooks"] if ours(each)]} for group in each]
        for event, each in groups.items()
    }


def added(text: str, groups: Groups, worker: bool, reports: Groups | None = None) -> str:
    """The text with these groups (and what a worker needs besides) at the ends of their lists."""
    value = jsontext.loads(text)
    text = _with_hooks(text, value, groups)
    if worker:
        text = _with_env(_with_rules(text, value), value)
    return _with_hooks(text, jsontext.loads(text), reports) if reports else text


def _with_hooks(text: str, value: dict[str, Any], groups: Groups) -> str:
    if not groups:
        return text
    if "hooks" not in value:
        text = jsontext.insert(text, (), "hooks", groups)
    else:
        for event, each in groups.items():
            if event not in value["hooks"]:
                text = jsontext.insert(text, ("hooks",), event, each)
                continue
            for group in each:
                text = jsontext.insert(text, ("hooks", event), "", group)
    return text


def _with_rules(text: str, value: dict[str, Any]) -> str:
    permissions = value.get("permissions", {})
    missing = [rule for rule in template.RULES if rule not in permissions.get("allow", [])]
    if missing and "permissions" not in value:
        return jsontext.insert(text, (), "permissions", {"allow": missing})
    if missing and "allow" not in permissions:
        return jsontext.insert(text, ("permissions",), "allow", missing)
    for rule in missing:
        text = jsontext.insert(text, ("permissions", "allow"), "", rule)
    return text


def _with_env(text: str, value: dict[str, Any]) -> str:
    if "env" not in value:
        return jsontext.insert(text, (), "env", template.ENV)
    for name, wanted in template.ENV.items():
        if name not in value["env"]:  # a choice of theirs stays
            text = jsontext.insert(text, ("env",), name, wanted)
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
        for name, wanted in template.ENV.items():
            if _at(jsontext.loads(text), ("env", name)) == wanted and _at(before, ("env", name)) is None:
                text = _cut(text, ("env", name), (("env",),), before)
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
    workers, reports = only(here.groups, template.is_ours), only(here.reports, monitor_template.is_ours)
    if backup is not None and added(backup, workers, here.worker, reports) == text:
        return backup
    return without(text, before)


def _misshapen(value: Any, events: tuple[str, ...] = WORKERS) -> str:
    """What is wrong with a settings file's value, as far as it concerns us."""
    if not isinstance(value, dict):
        return "it does not hold a JSON object"
    hooks, permissions = value.get("hooks", {}), value.get("permissions", {})
    if not isinstance(hooks, dict):
        return "hooks is not an object"
    for event in events:
        if not isinstance(hooks.get(event, []), list):
            return f"hooks.{event} is not a list"
    if not isinstance(permissions, dict):
        return "permissions is not an object"
    if not isinstance(permissions.get("allow", []), list):
        return "permissions.allow is not a list"
    if not isinstance(value.get("env", {}), dict):
        return "env is not an object"
    return ""


def complete(value: dict[str, Any], here: Found, wanted: template.Wanted) -> bool:
    """Whether everything wanted is there already, and nothing else of ours."""
    if here.groups != wanted.groups:
        return False
    rules, env = _at(value, ("permissions", "allow")) or [], value.get("env", {})
    return all(rule in rules for rule in wanted.rules) and all(name in env for name in wanted.env)


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
