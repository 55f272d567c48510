"""How sessions are to be run: what `coord worker run` was told, over the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pool import needs
from pool.errors import UsageError
from pool.profile import Profile
from pool.settings import Settings


@dataclass(frozen=True)
class Limits:
    """When a session is followed by a fresh one (after its task): tasks, seconds, tokens, bytes; 0: never."""

    tasks: int = 0
    seconds: float = 0.0
    tokens: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Options:
    """One supervisor's."""

    settings: Settings
    #: The supervisor's name; its workers are NAME, or NAME-1, NAME-2 ...
    name: str
    #: Where the sessions work.
    project: Path
    mode: str = "hook"
    workers: int = 1
    #: So many sessions are kept ready, and so many run at most.
    least: int = 0
    most: int = 1
    queues: tuple[str, ...] = ("tasks",)
    #: The session with which the first worker begins ('': a new one), and whether as a copy of it.
    resume: str = ""
    fork: bool = False
    limits: Limits = Limits()
    #: Whether sessions use the user's own configuration folder, instead of one for each worker.
    shared: bool = False
    #: What every session is started with, unless a task asks for something else.
    profile: Profile = field(default_factory=Profile)
    #: The hooks, as a settings file's text: given to sessions whose configuration folder is not their own.
    hooks: str = ""

    def names(self) -> list[str]:
        """The workers' names."""
        if self.workers == 1:
            return [self.name]
        return [f"{self.name}-{number}" for number in range(1, self.workers + 1)]

    def offers(self) -> str:
        """What the sessions offer to tasks (pool/needs.py)."""
        return " ".join([needs.offered(self.settings.model_dump(), {}), needs.PROFILE.rstrip(":")]).strip()


def check(options: Options) -> None:
    """Make sure that they fit together.

    Raises:
        UsageError: They do not; the message names the option.
    """
    wrong = {
        "--workers: 1 to 100 workers": not 1 <= options.workers <= 100,
        "--max: between 1 and the number of --workers": not 1 <= options.most <= options.workers,
        "--min: at most as many as --max": not 0 <= options.least <= options.most,
        "--fork: it makes a copy of the session that --resume names": options.fork and not options.resume,
        "--resume: one session is resumed by one worker, not by several": bool(
            options.resume and options.workers > 1
        ),
        f"--name: {options.name[:40]}... is too long": len(options.name) > 190,
    }
    for text, so in wrong.items():
        if so:
            raise UsageError(text)


def profile(settings: Settings, given: dict[str, Any]) -> Profile:
    """The workers' own profile: options over settings.

    Raises:
        UsageError: A value is wrong.
    """
    from pool import profile as profiles

    asked = {name: given.get(name) or getattr(settings, name) for name in profiles.FIELDS}
    asked = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asked.items() if value
    }
    return profiles.parse(asked, "the workers' own profile")
