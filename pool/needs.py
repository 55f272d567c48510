"""What a task needs of its worker, and what a worker offers: tokens, separated by spaces.

`check` is the worker's leave to run the commands that tasks are checked with, `bypass` that to work without
asking for permissions, `profile:1a2b3c4d` a session started for tasks of one profile (pool/profile.py), which
takes no others. Standard library only: hooks and helpers register workers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CHECK = "check"
BYPASS = "bypass"
PROFILE = "profile:"

_HEX = frozenset("0123456789abcdef")


def is_profile(text: str) -> bool:
    """Whether the text may name a profile."""
    return len(text) == 8 and _HEX.issuperset(text)


def offered(values: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """What a worker with these settings and this environment offers."""
    tokens = [CHECK] if values["checks"] else []
    tokens += [BYPASS] if values["allow_bypass"] else []
    profile = environ.get("COORD_PROFILE", "")
    return " ".join([*tokens, PROFILE + profile] if is_profile(profile) else tokens)


def lacking(needs: str, offers: str) -> list[str]:
    """The needs that are not offered (lib/worker.lua, suits, asks the same)."""
    there = offers.split()
    return [token for token in needs.split() if token not in there]
