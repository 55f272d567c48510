"""The Claude Code that comes with the wheel of the Agent SDK, for those who have installed no other."""

from __future__ import annotations

import os
from importlib import util


def claude() -> str:
    """Its path; '' when that wheel is not here, or carries none for this platform."""
    spec = util.find_spec("claude_agent_sdk")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = os.path.join(folder, "_bundled", "claude")
        if os.access(path, os.X_OK):
            return path
    return ""
