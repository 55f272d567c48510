"""Terminal mode: an interactive session with the hooks, in a window of tmux or in the supervisor's terminal.

It is handed its tasks by its Stop hook, as in hook mode. Once that has let it go, its process stays at its
prompt, where a person may be typing: it is ended when nobody does.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Protocol

from pool import brief, clock, process
from pool.errors import CoordError, UsageError
from pool.settings import Settings
from workers import child
from workers.supervise import relay, turns
from workers.supervise.session import Frame, Launch
from workers.supervise.tmux import Tmux, typed

#: A person whose last key is younger (seconds) is at work there.
HANDS_OFF = 60.0

#: A session asks its terminal some questions when it starts (seconds): the answers are no keys.
_STARTS = 20.0


def require(settings: Settings, workers: int) -> None:
    """Make sure that there is a place for them.

    Raises:
        UsageError: There is no tmux, or no terminal.
    """
    if settings.tmux:
        Tmux(settings.tmux_socket, settings.tmux, "")
    elif workers > 1:
        raise UsageError("--mode terminal: one terminal shows one session; use --tmux for several workers")
    else:
        relay.require()


class _Place(Protocol):
    """Where a session is shown."""

    pid: int

    def type(self, text: str) -> None:
        """Type a line."""

    def typed(self) -> float:
        """When a person pressed a key last (seconds since 1970); 0: never, or nobody knows."""

    def poll(self) -> int | None:
        """The exit code once the program has ended."""

    def close(self) -> None:
        """The program has ended."""


class TerminalSession:
    """One session."""

    problem = ""
    hooked = False

    def __init__(self, launch: Launch) -> None:
        argv = [*launch.argv, brief.BEGIN]
        self._place: _Place = _Window(launch, argv) if launch.settings.tmux else _Here(launch, argv)
        self.pid = self._place.pid
        self._began = clock.wall()
        self._parked = False

    def send(self, text: str) -> None:
        """Type it, as a person would."""
        with suppress(CoordError):  # it has ended
            self._place.type(text)

    def frames(self) -> list[Frame]:
        """An interactive session says nothing but on its screen."""
        return []

    def stands(self, state: str) -> None:
        """How it stands in the pool: one that was parked (an error ended its turn) is told to go on.

        (A park shorter than the time between two heartbeats is not seen; quotas and errors last longer.)
        """
        if self._parked and state not in ("parked", "stopped", "dead", ""):
            self.send(turns.GO_ON)
        self._parked = state == "parked"

    def in_use(self) -> bool:
        """Whether a person types there."""
        last = self._place.typed()
        return last > self._began + _STARTS and clock.wall() - last < HANDS_OFF

    def poll(self) -> int | None:
        """Its exit code once it has ended."""
        return self._place.poll()

    def finish(self, why: str) -> None:
        """It sits at its prompt: end it."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and its process group now."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            end = clock.mono() + child.GRACE
            while self.poll() is None and clock.mono() < end:
                time.sleep(0.05)

    def close(self) -> None:
        """It has ended: its window is closed, or the terminal is given back."""
        self._place.close()


class _Window:
    """A window of tmux."""

    def __init__(self, launch: Launch, argv: list[str]) -> None:
        settings = launch.settings
        self._tmux = Tmux(settings.tmux_socket, settings.tmux, launch.name)
        self._window = self._tmux.open(launch.name, argv, launch.cwd, launch.environ)
        self.pid = self._window.pid
        self._key = process.key(self.pid)
        self._device = self._tmux.terminal(self._window)
        launch.log(f"it can be seen with `{self._tmux.attach}`")

    def type(self, text: str) -> None:
        self._tmux.type(self._window, text)

    def typed(self) -> float:
        return typed(self._device)

    def poll(self) -> int | None:
        return None if process.same(self._key) else self._tmux.code(self._window)

    def close(self) -> None:
        self._tmux.close(self._window)


class _Here:
    """The terminal that the supervisor was started in. Who leaves its session by hand leaves that, too."""

    def __init__(self, launch: Launch, argv: list[str]) -> None:
        self._launch = launch
        self._relay = relay.Relay(argv, launch.cwd, launch.environ)
        self.pid = self._relay.process.pid

    def type(self, text: str) -> None:
        self._relay.type(text)

    def typed(self) -> float:
        return self._relay.typed

    def poll(self) -> int | None:
        return self._relay.process.poll()

    def close(self) -> None:
        self._relay.close()
        if self.poll() == 0:  # (a session that the supervisor ends ends by a signal)
            self._launch.log("you have left the session: the supervisor ends, too")
            os.kill(os.getpid(), signal.SIGTERM)
