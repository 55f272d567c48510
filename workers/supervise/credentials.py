"""What Claude Code logs in with, and whether it is there. No value goes anywhere but to a session."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: What the client takes from its environment; each may be given as NAME_FILE, a file that holds it.
SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")

#: A cloud provider's own login is used instead.
_PROVIDERS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")

#: Where an administrator sets what holds for every session of the machine.
_MANAGED = "/etc/claude-code/managed-settings.json"


class Found(NamedTuple):
    """The variables to set for a session, and why there is nothing to log in with ('' if there is)."""

    environ: dict[str, str]
    missing: str


def look(environ: Mapping[str, str], config: Path, project: Path) -> Found:
    """What a session in ``project``, with the configuration folder ``config``, would log in with."""
    given: dict[str, str] = {}
    problems = []
    for name in SECRETS:
        path = environ.get(f"{name}_FILE", "")
        if environ.get(name) or not path:
            continue
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue  # it may come yet
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            problems.append(f"{name}_FILE: {path} cannot be read by user {os.geteuid()}: {why}")
            continue
        if text.isprintable() and text:
            given[name] = text
        else:
            problems.append(f"{name}_FILE: {path} is {'not one line' if text else 'empty'}")
    there = given or any(environ.get(name) for name in (*SECRETS, *_PROVIDERS))
    if there or (config / ".credentials.json").is_file() or _helper(config, project):
        return Found(given, "")
    if problems:
        return Found(given, "; ".join(problems))
    names = ", ".join(name for name in SECRETS if name != "ANTHROPIC_AUTH_TOKEN")
    return Found(given, f"no credentials for Claude Code: set one of {names}, or NAME_FILE to a file with it")


def _helper(config: Path, project: Path) -> bool:
    """Whether some settings file names a command that prints the key."""
    files = (config / "settings.json", project / ".claude" / "settings.json",
             project / ".claude" / "settings.local.json", Path(_MANAGED))  # fmt: skip
    for path in files:
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # the client says what is wrong with it, if anything is
        if isinstance(settings, dict) and settings.get("apiKeyHelper"):
            return True
    return False
