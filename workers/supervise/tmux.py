"""Sessions in windows of tmux: opened, looked at and closed by whoever has opened them, and only those."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pool import units
from pool.errors import CoordError, UsageError

#: tmux answers within this time (seconds), or is taken for hung.
_PATIENCE = 10.0

#: A window's mark: the supervisor that has opened it.
_MARK = "@coord-supervisor"

#: Columns and lines of a window that nobody looks at.
_SIZE = ("200", "50")

_BEGIN = str(Path(__file__).with_name("begin.py"))


class Window(NamedTuple):
    """A window with a session in it: tmux' id of its pane, and the session's process."""

    pane: str
    pid: int


class Tmux:
    """One tmux session on a server of coord's own (or another, by its label)."""

    def __init__(self, label: str, session: str, owner: str) -> None:
        """``label`` names the server (`tmux -L`), ``session`` the tmux session, ``owner`` the supervisor.

        Raises:
            UsageError: There is no tmux here, or one of the names is none.
        """
        binary = shutil.which("tmux")
        if binary is None:
            raise UsageError("--tmux needs tmux, which is not on PATH: install it, or leave --tmux out")
        for name in (label, session):
            if not units.is_worker_id(name) or "." in name:  # (a dot would name a pane)
                raise UsageError(f"{name[:60]!r} is not a name for tmux: letters, digits, '_' and '-'")
        self.label, self.session, self.owner = label, session, owner
        # A configuration of the user's is for the user's own server.
        self._argv = [binary, "-L", label, *(() if label == "default" else ("-f", os.devnull))]

    @property
    def attach(self) -> str:
        """The command with which a person looks at it."""
        return f"tmux -L {self.label} attach -t {self.session}"

    def open(self, name: str, argv: Sequence[str], cwd: str, environ: Mapping[str, str]) -> Window:
        """Start a program in a new window.

        Raises:
            CoordError: tmux refused.
        """
        handle, path = tempfile.mkstemp(prefix="coord-environ-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:  # mkstemp makes it 0600: it may hold a key
            json.dump(dict(environ), file)
        begin = [sys.executable, "-I", "-S", _BEGIN, "--environ", path]
        line = f"exec {shlex.join([*begin, *argv])}"
        form = "#{pane_id} #{pane_pid}"
        try:
            if self._there():
                words: tuple[str, ...] = ("new-window", "-d", "-t", f"={self.session}:")
            else:
                words = ("new-session", "-d", "-s", self.session, "-x", _SIZE[0], "-y", _SIZE[1])
            said = self._run(*words, "-n", name, "-c", cwd, "-P", "-F", form, line)
        except CoordError:
            Path(path).unlink(missing_ok=True)
            raise
        pane, pid = said.split()
        # It stays after its program's end, so that it can be asked what that was.
        self._run("set-option", "-w", "-t", pane, _MARK, self.owner, ";",
                  "set-option", "-w", "-t", pane, "remain-on-exit", "on")  # fmt: skip
        return Window(pane, int(pid))

    def screen(self, window: Window) -> str:
        """What stands on it.

        Raises:
            CoordError: There is no such window.
        """
        return self._run("capture-pane", "-p", "-t", window.pane)

    def terminal(self, window: Window) -> str:
        """The terminal's device.

        Raises:
            CoordError: There is no such window.
        """
        return self._run("display-message", "-p", "-t", window.pane, "#{pane_tty}").strip()

    def code(self, window: Window) -> int:
        """The exit code of a program that has ended (1: it was killed, or nobody knows)."""
        try:
            said = self._run("display-message", "-p", "-t", window.pane, "#{pane_dead_status}").strip()
        except CoordError:
            return 1
        return int(said) if said.isdigit() else 1

    def type(self, window: Window, text: str) -> None:
        """Type a line into it.

        Raises:
            CoordError: There is no such window.
        """
        self._run("send-keys", "-t", window.pane, "-l", "--", text)
        time.sleep(0.2)  # text and Enter at once are a paste, in which Enter is a line break
        self._run("send-keys", "-t", window.pane, "Enter")

    def close(self, window: Window) -> None:
        """Close a window of ours, if it is there still. (Its program gets SIGHUP.)"""
        try:
            owner = self._run("show-options", "-w", "-v", "-t", window.pane, _MARK).strip()
            if owner == self.owner:
                self._run("kill-pane", "-t", window.pane)
        except CoordError:
            return  # it closed when its program ended

    def _there(self) -> bool:
        try:
            self._run("has-session", "-t", f"={self.session}")
        except CoordError:
            return False
        return True

    def _run(self, *words: str) -> str:
        try:
            done = subprocess.run(
                [*self._argv, *words], capture_output=True, text=True, timeout=_PATIENCE, check=False,
                stdin=subprocess.DEVNULL, env={k: v for k, v in os.environ.items() if k in _ENVIRON},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CoordError(f"tmux: {error}") from None
        if done.returncode:
            raise CoordError(f"tmux {words[0]}: {done.stderr.strip() or done.returncode}")
        return done.stdout


#: A tmux server keeps the environment of whoever starts it, for every window: only what it needs is given.
_ENVIRON = frozenset(("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "SHELL", "TERM", "TMUX_TMPDIR", "USER"))


def typed(device: str) -> float:
    """When a key was last pressed there (seconds since 1970; to about 8 s); 0 when that cannot be known."""
    try:
        return os.stat(device).st_atime
    except OSError:
        return 0.0
