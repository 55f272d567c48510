"""When the plugin's hooks leave a session to others: to hooks that `coord hooks install` has put into a
settings file, or to a supervisor's. Those may know another Redis, and one session works for one pool.
Standard library only.
"""

from __future__ import annotations

import os

from pool import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def others_act(project: str) -> bool:
    """Whether hooks of coord's that stand in a settings file make this session a worker."""
    if os.environ.get("COORD_SUPERVISED"):
        return True
    user = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.join(os.path.expanduser("~"), ".claude")
    local = os.path.join(project, ".claude")
    for folder, name in ((user, "settings.json"), (local, "settings.json"), (local, "settings.local.json")):
        for command in _stop_commands(os.path.join(folder, name)):
            if _runs(command, project) and ("--worker" in command or os.environ.get("COORD_WORKER")):
                return True
    return False


def _runs(command: str, project: str) -> bool:
    """Whether a command is coord's Stop hook, and what it runs is there."""
    if "hooks/worker-stop-check.py" in command:
        return os.path.isfile(os.path.join(project, ".claude", "hooks", "worker-stop-check.py"))
    if "/hooks/stop.py" not in command or " --compiled " not in command:
        return False
    file = command.partition("[ -f ")[2].partition(" ]")[0]
    return os.path.isfile(file.strip("'"))


def _stop_commands(path: str) -> list[str]:
    """The commands of a settings file's Stop hooks; none where it is no settings file."""
    try:
        with open(path, encoding="utf-8") as file:
            value = jsonlite.loads(file.read())
        groups = value["hooks"]["Stop"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    found: list[Any] = []
    for group in groups if isinstance(groups, list) else []:
        handlers = group.get("hooks") if isinstance(group, dict) else None
        found += [h.get("command") for h in handlers or [] if isinstance(h, dict)]
    return [command for command in found if isinstance(command, str)]
