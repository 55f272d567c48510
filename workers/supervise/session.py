"""What a supervisor knows of a session, whichever way it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pool.errors import UsageError
from pool.settings import Settings

Frame = dict[str, Any]


@dataclass(frozen=True)
class Launch:
    """What a session is started with."""

    settings: Settings
    #: The worker's name.
    name: str
    #: The program with its options, but those that belong to the way it is run.
    argv: Sequence[str]
    environ: Mapping[str, str]
    #: Where it works.
    cwd: str
    #: Takes a line for people.
    log: Callable[[str], None]
    #: Takes each line of its output; may be called in another thread.
    record: Callable[[bytes], None]
    #: Wakes the supervisor; may be called in another thread.
    wake: Callable[[], None]


class Session(Protocol):
    """A session: a process that leads a process group of its own."""

    #: Its process.
    pid: int
    #: Whether its turns are begun by the supervisor's messages, and its tasks handed over by its hooks; else
    #: it sees to both itself.
    hooked: bool

    @property
    def problem(self) -> str:
        """Why it could not go on, where another would fare no better (its login, its model); '' else."""

    def send(self, text: str) -> None:
        """Say something to it: a turn begins. What has ended hears nothing."""

    def frames(self) -> list[Frame]:
        """The frames that have come since the last call, oldest first; [] where there are none."""

    def poll(self) -> int | None:
        """Its exit code once it has ended."""

    def stands(self, state: str) -> None:
        """How its worker stands in the pool, by the last heartbeat ('' as long as it is not known there)."""

    def in_use(self) -> bool:
        """Whether a person works with it, so that it is not to be ended though its hooks have let it go."""

    def finish(self, why: str) -> None:
        """Let it end by itself: nothing will be said any more."""

    def kill(self) -> None:
        """End it and its process group now: SIGTERM, then SIGKILL. Returns when it is gone."""

    def close(self) -> None:
        """It has ended: let go of what it took."""


def require(mode: str, settings: Settings, workers: int) -> None:
    """Make sure that sessions can be run so here.

    Raises:
        UsageError: They cannot; the message says what is missing.
    """
    if mode == "hook":
        return
    if settings.played:
        raise UsageError(f"--mode {mode}: a played session (COORD_PLAYED) runs in hook mode only")
    if mode == "stream":
        from workers.supervise import sdk

        sdk.require()
    else:
        from workers.supervise import terminal

        terminal.require(settings, workers)


def start(mode: str, launch: Launch) -> Session:
    """Start a session.

    Raises:
        UsageError: It could not be started.
    """
    if mode == "hook":
        from workers.supervise.hook import HookSession

        return HookSession(launch)
    if mode == "stream":
        from workers.supervise.stream import StreamSession

        return StreamSession(launch)
    if mode == "terminal":
        from workers.supervise.terminal import TerminalSession

        return TerminalSession(launch)
    raise UsageError(f"--mode {mode}: there is no such mode")
