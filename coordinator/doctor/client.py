"""Claude Code itself: is it there, new enough, started before here, and able to log in?

Nothing is asked of the vendor: `claude --version` runs with an empty configuration, and what is said of
logins is whether there is one, never what it is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coordinator.doctor.finding import Finding, note, ok, unknown, warning, wrong
from coordinator.doctor.patient import Patient
from pool import bundled

#: The first version whose Stop hook can hand a text to the model (`additionalContext`).
OLDEST = (2, 1, 163)
#: The first version that tells hooks its process (CLAUDE_PID).
PROCESS = (2, 1, 214)
_INSTALL = "npm install -g @anthropic-ai/claude-code (or: pip install claude-agent-sdk, which carries it)"
_KEYS = (
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY",
)  # fmt: skip
_CAP = "CLAUDE_CODE_STOP_HOOK_BLOCK_CAP"


def find(patient: Patient) -> tuple[str, str]:
    """The program and how it was found: ``setting``, ``PATH`` or ``wheel``; '' when there is none."""
    given = patient.settings.claude
    if given:
        words = [given] if os.path.isfile(given) else shlex.split(given)
        return (shutil.which(words[0]) or "" if words else ""), "setting"
    found = shutil.which("claude")
    if found:
        return found, "PATH"
    found = bundled.claude()
    return found, "wheel" if found else ""


def version(patient: Patient) -> Iterator[Finding]:
    """There is one, and it knows the hooks that are used."""
    path, how = find(patient)
    if not path:
        named = f"the setting claude names {patient.settings.claude!r}, which is no program" if how else ""
        yield wrong(named or "there is no `claude` on PATH", "correct the setting" if how else _INSTALL)
        return
    said = _ask_version(path)
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", said)
    if not found:
        yield wrong(
            f"{path} --version did not answer as Claude Code does ({said[:80] or 'nothing'})", _INSTALL
        )
        return
    at = tuple(int(part) for part in found.groups())
    seen = f"Claude Code {found[0]} ({path})"
    if at < OLDEST:
        yield wrong(f"{seen}: its Stop hook cannot hand over a task, that came with 2.1.163", "claude update")
    elif at < PROCESS:
        yield warning(
            f"{seen} does not tell hooks its process (2.1.214 does): they guess it, wrongly under a wrapper",
            "claude update",
        )
    elif how == "wheel":
        yield note(
            f"{seen}, the one in claude-agent-sdk's wheel; none is on PATH",
            f"export COORD_CLAUDE={shlex.quote(path)}",
        )
    else:
        yield ok(seen)


def _ask_version(path: str) -> str:
    """What `claude --version` prints; its configuration and HOME are empty ones of its own."""
    with tempfile.TemporaryDirectory(prefix="coord-doctor-") as folder:
        quiet = {
            "HOME": folder, "CLAUDE_CONFIG_DIR": folder, "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "PATH": os.environ.get("PATH", ""),
        }  # fmt: skip
        try:
            done = subprocess.run(
                [path, "--version"], capture_output=True, text=True, errors="replace", timeout=40,
                check=False, stdin=subprocess.DEVNULL, env=quiet, cwd=folder,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return ""
    return done.stdout.strip()


def start(patient: Patient) -> Iterator[Finding]:
    """Whether an interactive session here starts without questions: until trusted it runs no hook."""
    if not find(patient)[0]:
        return
    state = _state()
    if state is None:
        yield unknown(f"{_state_file()} could not be read")
        return
    projects = state.get("projects")
    here = projects.get(os.getcwd(), {}) if isinstance(projects, dict) else {}
    missing = []
    if not state.get("hasCompletedOnboarding"):
        missing.append("was never set up for this user")
    if not (isinstance(here, dict) and here.get("hasTrustDialogAccepted")):
        missing.append("was never told to trust this folder")
    if missing:
        yield note(
            f"Claude Code {' and '.join(missing)}: an interactive session asks first, and runs no "
            "project hook until it is answered (`claude -p` does not ask)",
            "claude (once in this folder, and answer what it asks)",
        )
    else:
        yield ok("interactive sessions start here without questions")


def _config_dir() -> Path:
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")


def _state_file() -> Path:
    given = os.environ.get("CLAUDE_CONFIG_DIR")
    return Path(given) / ".claude.json" if given else Path.home() / ".claude.json"


def _state() -> dict[str, Any] | None:
    try:
        value = json.loads(_state_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def login(patient: Patient) -> Iterator[Finding]:
    """By which way a session would log in. (That there is a key says not that it is valid.)"""
    if not find(patient)[0]:
        return
    ways = [name for name in _KEYS if os.environ.get(name)]
    for scope in patient.scopes:
        env = scope.value.get("env")
        ways += [f"{name} in {scope.path}" for name in _KEYS if isinstance(env, dict) and env.get(name)]
        ways += [f"apiKeyHelper in {scope.path}"] if scope.value.get("apiKeyHelper") else []
    if (_config_dir() / ".credentials.json").is_file():
        ways.append(f"a login kept in {_config_dir()}")
    if ways:
        yield ok(f"a session would log in with {ways[0]}")
    elif sys.platform == "darwin":
        yield unknown("a login kept in the keychain cannot be seen from here")
    else:
        yield warning(
            "no way to log in was found: a session could not reach a model",
            "claude (and type /login), or: export ANTHROPIC_API_KEY=...",
        )


def blocks(patient: Patient) -> Iterator[Finding]:
    """The client ends a turn after 8 blocks in a row without a tool call: no waiting costs one, tasks do."""
    given = [os.environ.get(_CAP)]
    for scope in patient.scopes:
        env = scope.value.get("env")
        given.append(str(env[_CAP]) if isinstance(env, dict) and _CAP in env else None)
    if "0" in given:
        yield ok(f"{_CAP}=0: the client lets the hook hand over, or check, as often as it will")
    elif patient.settings.stop_mode == "wait":
        yield ok("waiting costs no block; after 8 tasks in a row that need no tool a worker stops")
    else:
        yield warning(
            'with stop_mode = "poll" each check is a block, and the client stops a worker after 8 of them',
            f'in .claude/settings.json: "env": {{"{_CAP}": "0"}}; or leave stop_mode at wait',
        )
