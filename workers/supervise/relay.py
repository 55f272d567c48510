"""A session in the terminal that the supervisor was started in.

The supervisor stands between, so that it can type (a session that waits for a quota must be told to go on),
knows when a person types, and gives the terminal back as it was, however the session ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pool.errors import UsageError

_BEGIN = [sys.executable, "-I", "-S", str(Path(__file__).with_name("begin.py")), "--terminal"]

#: What a program may have left switched on: the other screen, mouse and focus reports, bracketed paste, a
#: keyboard protocol, colours, a hidden cursor.
_RESET = b"\x1b[?1049l\x1b[?1000;1002;1003;1004;1006;2004l\x1b[<u\x1b[0m\x1b[?25h\r\n"


#: The relay that has the terminal.
_shown: list[Relay] = []


def require() -> None:
    """Make sure that there is a terminal.

    Raises:
        UsageError: There is none.
    """
    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError("--mode terminal needs a terminal: start it in one, or use --tmux")


def aside(log: Callable[[str], None], path: Path) -> Callable[[str], None]:
    """A log for people that does not write over a session: while one is shown, its lines go to a file."""

    def write(line: str) -> None:
        if not _shown:
            log(line)
            return
        with suppress(OSError), path.open("a", encoding="utf-8") as file:  # (lost on a full disk)
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n")

    return write


class Relay:
    """A program in a terminal of its own, shown in ours until it ends."""

    def __init__(self, argv: Sequence[str], cwd: str, environ: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            UsageError: This is no terminal, or the program did not start.
        """
        require()
        self._before = termios.tcgetattr(0)
        self._master, slave = os.openpty()
        self._resize()
        try:
            self.process = subprocess.Popen(
                [*_BEGIN, *argv], cwd=cwd, env=dict(environ), start_new_session=True,
                stdin=slave, stdout=slave, stderr=slave,
            )  # fmt: skip
        except OSError as error:
            os.close(self._master)
            raise UsageError(f"Claude Code did not start: {error}") from None
        finally:
            os.close(slave)
        #: When a person pressed a key last (seconds since 1970); 0: never.
        self.typed = 0.0
        self._wake, self._ring = os.pipe()
        self._winch = _on_resize(self._ring)
        tty.setraw(0)
        _shown.append(self)
        self._thread = threading.Thread(target=self._pass_on, name="terminal", daemon=True)
        self._thread.start()

    def type(self, text: str) -> None:
        """Type a line."""
        with suppress(OSError):  # it has ended
            os.write(self._master, text.encode())
            time.sleep(0.2)  # text and Enter at once are a paste, in which Enter is a line break
            os.write(self._master, b"\r")

    def close(self) -> None:
        """It has ended: the terminal is ours again, as it was."""
        os.write(self._ring, b"x")
        self._thread.join(5.0)
        _restore_resize(self._winch)
        termios.tcsetattr(0, termios.TCSADRAIN, self._before)
        os.write(1, _RESET)
        _shown.remove(self)
        for fd in (self._master, self._wake, self._ring):
            os.close(fd)

    def _pass_on(self) -> None:
        fds = [0, self._master, self._wake]
        while True:
            ready = select.select(fds, [], [])[0]
            try:
                if self._master in ready and not _copy(self._master, 1):
                    return
                if self._wake in ready:
                    if b"x" in os.read(self._wake, 64):
                        return
                    self._resize()
                if 0 in ready:
                    self.typed = time.time()
                    if not _copy(0, self._master):
                        fds.remove(0)
            except OSError:
                return  # the program has closed its terminal

    def _resize(self) -> None:
        """Give its terminal the size of ours."""
        with suppress(OSError):
            size = fcntl.ioctl(1, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)


def _copy(source: int, target: int) -> int:
    data = os.read(source, 65536)
    left = data
    while left:
        left = left[os.write(target, left) :]
    return len(data)


def _on_resize(ring: int) -> Any:
    """Write to ``ring`` whenever the terminal's size changes; what was done before (None: unknown)."""
    handler: Callable[..., object] = lambda number, frame: os.write(ring, b".")  # noqa: E731
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGWINCH, handler)


def _restore_resize(before: Any) -> None:
    if before is not None:
        signal.signal(signal.SIGWINCH, before)
