"""A session with the Claude Code plugin: its hooks are run as the client runs them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from pool.settings import Settings
from tests.session import ROOT, Hook, Session


def bare_path(folder: Path) -> str:
    """A PATH whose python3 is a bare one: no coord, nothing but the standard library."""
    folder.mkdir()
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))
    return f"{folder}:/usr/bin:/bin"


class Plugged(Session):
    """A session in a project whose user has the plugin, and nothing else of coord's."""

    def __init__(self, settings: Settings, folder: Path, name: str = "", **env: str) -> None:
        #: Where the client keeps it: nothing beside it is coord's.
        self.plugin = folder / "the plugin's cache"
        if not self.plugin.exists():
            shutil.copytree(ROOT / "plugin", self.plugin)
            bare_path(folder / "bare")
        given = {
            "PATH": f"{self.plugin / 'bin'}:{folder / 'bare'}:/usr/bin:/bin",
            "CLAUDE_PLUGIN_ROOT": str(self.plugin), "CLAUDE_PLUGIN_DATA": str(self.plugin), **env,
        }  # fmt: skip
        super().__init__(settings, folder, name, False, None, **given)

    def plugin_hook(self, event: str, **payload: Any) -> Hook:
        """Start the plugin's hook of an event."""
        value = json.loads((self.plugin / "hooks" / "hooks.json").read_text())
        (group,) = value["hooks"][event]
        body = {"session_id": self.session_id, "hook_event_name": event, "cwd": str(self.folder), **payload}
        env = dict(self.env)
        if event == "SessionStart":
            env["CLAUDE_ENV_FILE"] = str(self.env_file)
        hook = Hook(["sh", "-c", group["hooks"][0]["command"]], json.dumps(body), env, self.folder)
        self.hooks.append(hook)
        return hook

    def start_hook(self, event: str, raw: str | None = None, **payload: Any) -> Hook:
        return self.plugin_hook(event, **payload)

    def installed_hook(self, event: str, **payload: Any) -> Hook:
        """Start the hook that `coord hooks install` would have installed."""
        return super().start_hook(event, **payload)

    def both(self, event: str, **payload: Any) -> list[dict[str, Any]]:
        """Run the plugin's hook and the installed one at once; what was said."""
        running = [self.plugin_hook(event, **payload), self.installed_hook(event, **payload)]
        return [answer for answer in (hook.end() for hook in running) if answer]

    def keepers(self) -> list[int]:
        """Every keeper of the session, of whichever installation."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except (OSError, UnicodeDecodeError):
                continue
            if self.key in words and any(w == "--keeper" or w.endswith("keeper.py") for w in words):
                found.append(int(entry.name))
        return found
