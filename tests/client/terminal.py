"""A session in a terminal: tmux holds it, keys are typed into it, its screen is read."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path


class Terminal:
    """A program in a tmux server of its own."""

    def __init__(
        self, argv: Sequence[str], cwd: Path, env: dict[str, str], size: tuple[int, int] = (180, 50)
    ) -> None:
        binary = shutil.which("tmux")
        if binary is None:
            raise RuntimeError("tmux is missing: sessions in a terminal need it (apt install tmux)")
        # (A socket's path is short.)
        self.folder = Path(tempfile.mkdtemp(prefix="coord-tmux-"))
        self._tmux = [binary, "-S", str(self.folder / "socket"), "-f", "/dev/null"]
        line = f"exec {shlex.join(argv)}"
        self._run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "-c", str(cwd), line, env=env)
        self._run("set-option", "-g", "remain-on-exit", "on")

    def _run(self, *words: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*self._tmux, *words], env=env, capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout

    @property
    def pid(self) -> int:
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    @property
    def dead(self) -> bool:
        """Whether the program has ended."""
        return self._run("display-message", "-p", "#{pane_dead}").strip() == "1"

    def visible(self, colours: bool = False) -> str:
        """What is on the screen."""
        return self._run("capture-pane", "-p", *(["-e"] if colours else []))

    def shown(self, pattern: str, seconds: float = 30.0) -> str:
        """The visible screen, as soon as it shows the pattern."""
        return self._await(self.visible, pattern, seconds)

    def flag(self, name: str) -> str:
        """What tmux knows of the pane: alternate_on, cursor_flag ..."""
        return self._run("display-message", "-p", f"#{{{name}}}").strip()

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """What is on the screen, and the lines that have left it."""
        return self._run("capture-pane", "-p", "-S", "-500")

    def wait(self, pattern: str, seconds: float = 30.0) -> str:
        """The screen, as soon as it shows the pattern, and the lines that have left it."""
        return self._await(self.screen, pattern, seconds)

    def _await(self, look: Callable[[], str], pattern: str, seconds: float) -> str:
        """What is there once it shows the pattern. (tmux gives no signal of a change.)"""
        end = time.monotonic() + seconds
        while True:
            seen = look()
            if re.search(pattern, seen):
                return seen
            assert time.monotonic() < end, f"not on the screen within {seconds} s: {pattern}\n{seen}"
            time.sleep(0.05)

    def type(self, words: str, enter: bool = True) -> None:
        """Type a line."""
        self._run("send-keys", "-l", "--", words)
        if enter:
            time.sleep(0.2)  # text and Enter at once are a paste, in which Enter is a line break
            self.key("Enter")

    def key(self, name: str) -> None:
        """Press a key, by tmux' name of it: Escape, Enter, C-c."""
        self._run("send-keys", name)

    def close(self) -> None:
        """End the server, and the program with it."""
        with suppress(subprocess.CalledProcessError):  # it has ended already
            self._run("kill-server")
        shutil.rmtree(self.folder, ignore_errors=True)
