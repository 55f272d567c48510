"""A terminal taken over for a picture, and given back as it was, however that ends."""

from __future__ import annotations

import codecs
import errno
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

#: Another screen, without a cursor; and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[0m\x1b[?25h\x1b[?1049l"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTED = (signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
#: What terminals send for keys.
_KEYS = {
    "[A": "up", "OA": "up", "[B": "down", "OB": "down", "[5~": "page-up", "[6~": "page-down",
    "[H": "home", "OH": "home", "[1~": "home", "[7~": "home", "[F": "end", "OF": "end", "[4~": "end",
    "[8~": "end",
}  # fmt: skip
_CONTROL = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x1b": "escape"}


class Ended(BaseException):
    """Raised when a signal ends it, wherever it is; the terminal is given back first."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Decoder:
    """Keys out of the bytes that a terminal sends, in pieces of any size."""

    def __init__(self) -> None:
        self._letters = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""

    @property
    def pending(self) -> bool:
        """Whether a key has begun that may go on."""
        return bool(self._text)

    def feed(self, data: bytes, done: bool = False) -> list[str]:
        """The keys so far; ``done``: nothing more comes of the last one."""
        self._text += self._letters.decode(data)
        found = []
        while self._text:
            key, length = _first(self._text, done)
            if not length:
                break
            self._text = self._text[length:]
            if key:
                found.append(key)
        return found


def _first(text: str, done: bool) -> tuple[str, int]:
    """The first key ('': none that is known) and how many characters it takes (0: it may go on)."""
    if text[0] != "\x1b":
        return _CONTROL.get(text[0], text[0]), 1
    if len(text) == 1:
        return ("escape", 1) if done else ("", 0)
    if text[1] not in "[O":
        return "escape", 1
    for end in range(2, len(text)):
        if "@" <= text[end] <= "~":
            return _KEYS.get(text[1 : end + 1], ""), end + 1
    return ("", len(text)) if done or len(text) > 32 else ("", 0)


class Terminal:
    """The terminal of standard input and output. Only the main thread uses it, but for ``wake``."""

    def __init__(self) -> None:
        self._out = sys.stdout.fileno()
        #: Without a terminal to type into there are no keys.
        self._in = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
        self._encoding = sys.stdout.encoding or "utf-8"
        self._saved: list[Any] = termios.tcgetattr(self._in) if self._in >= 0 else []
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        self._decoder = Decoder()
        self._noted: set[int] = set()
        self._lines: list[str] = []
        self._taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the terminal, and give it back at the end: after errors and signals, too.

        Raises:
            Ended: A signal has ended it.
        """
        before: dict[signal.Signals, Any] = {}
        for number in (*_ENDING, *_NOTED):
            before[number] = signal.signal(number, self._end if number in _ENDING else self._note)
        wakes = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        try:
            self._enter()
            yield
        finally:
            for number in before:
                signal.signal(number, signal.SIG_IGN)  # nothing may come between
            self._leave()
            signal.set_wakeup_fd(wakes)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._reader)
            os.close(self._writer)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = os.get_terminal_size(self._out)
        except OSError:
            columns = rows = 0
        return columns or 80, rows or 24

    def wake(self) -> None:
        """Let ``keys`` return: from any thread."""
        with suppress(OSError):  # full: it wakes anyway; closed: it is over
            os.write(self._writer, b"\0")

    def keys(self, seconds: float) -> list[str]:
        """Wait for keys, a signal or ``wake`` so long; the keys that were pressed.

        Raises:
            EOFError: The terminal is gone.
        """
        patience = 0.05 if self._decoder.pending else seconds
        watched = [self._reader] + ([self._in] if self._in >= 0 else [])
        ready = select.select(watched, [], [], patience)[0]
        if self._reader in ready:
            with suppress(BlockingIOError):
                os.read(self._reader, 4096)
        self._handle_noted()
        if self._in not in ready:
            return self._decoder.feed(b"", done=self._decoder.pending)
        try:
            data = os.read(self._in, 4096)
        except OSError:
            raise EOFError from None
        if not data:
            raise EOFError
        return self._decoder.feed(data)

    def draw(self, lines: list[str]) -> None:
        """Show these lines, each no wider than the terminal: only what has changed is sent."""
        parts = []
        for number, line in enumerate(lines):
            if number >= len(self._lines) or self._lines[number] != line:
                parts.append(f"\x1b[{number + 1};1H\x1b[2K{line}\x1b[0m")
        if len(lines) < len(self._lines):
            parts.append(f"\x1b[{len(lines) + 1};1H\x1b[J")
        self._lines = list(lines)
        self._write("".join(parts))

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, "replace")
        while data:
            data = data[os.write(self._out, data) :]

    def _enter(self) -> None:
        self._set(cbreak=True)
        self._taken, self._lines = True, []
        self._write(_ENTER)

    def _leave(self) -> None:
        if not self._taken:
            return  # in the background, it is the shell's
        self._taken = False
        with suppress(OSError, termios.error):  # the terminal may be gone
            if self._in >= 0:
                termios.tcflow(self._in, termios.TCOON)  # (it may stand still: Ctrl-S)
            self._write(_LEAVE)
            self._set(cbreak=False)

    def _set(self, cbreak: bool) -> None:
        """Let keys come one by one, unseen; or all as it was. (In the background it stops there.)"""
        while self._in >= 0:
            try:
                if cbreak:
                    tty.setcbreak(self._in, termios.TCSADRAIN)
                else:
                    termios.tcsetattr(self._in, termios.TCSADRAIN, self._saved)
                return
            except termios.error as error:
                if error.args[0] != errno.EINTR:
                    raise

    # -- signals -------------------------------------------------------------------------------------

    def _end(self, number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted.add(number)

    def _handle_noted(self) -> None:
        if signal.SIGTSTP in self._noted:
            self._noted.discard(signal.SIGTSTP)
            self._leave()
            self._stop()
            self._noted.add(signal.SIGCONT)
        if signal.SIGCONT in self._noted:  # (also after a SIGSTOP, which nobody hears)
            self._noted.discard(signal.SIGCONT)
            self._enter()
        if signal.SIGWINCH in self._noted:
            self._noted.discard(signal.SIGWINCH)
            self._lines = []
            self._write("\x1b[2J")

    def _stop(self) -> None:
        """Stop as Ctrl-Z means it, until SIGCONT."""
        handler: Callable[[int, FrameType | None], Any] | int | None
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
