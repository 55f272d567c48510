"""What Claude Code would ask at its first start, answered before: nobody sits there to answer it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pool.errors import UsageError

#: The client knows an API key by so many of its last characters.
_TAIL = 20


def settle(config: Path, project: Path, key: str, bypass: bool) -> None:
    """Answer the questions in a configuration folder that is a worker's own.

    ``key`` is the API key that its sessions log in with ('' another login); ``bypass`` says that it may work
    without asking for permissions, which the operator has allowed.

    Raises:
        UsageError: The file that holds the answers is damaged.
        OSError: The disk cannot be written.
    """
    path = config / ".claude.json"
    try:
        known: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = {}
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}): mend it, or remove it") from None
    answers: dict[str, Any] = known if isinstance(known, dict) else {}
    before = json.dumps(answers)
    answers["hasCompletedOnboarding"] = True
    answers.setdefault("theme", "dark")
    trusted = _object(_object(answers, "projects"), str(project))
    trusted["hasTrustDialogAccepted"] = True
    if key:
        approved = _object(answers, "customApiKeyResponses").setdefault("approved", [])
        if isinstance(approved, list) and key[-_TAIL:] not in approved:
            approved.append(key[-_TAIL:])
    if bypass:
        answers["bypassPermissionsModeAccepted"] = True
    if json.dumps(answers) != before:
        _write(path, answers)


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of that name, made if it is not there."""
    value = parent.get(name)
    if not isinstance(value, dict):
        value = parent[name] = {}
    return value


def _write(path: Path, answers: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".claude.json-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(answers, file, indent=2)
    os.replace(temporary, path)
