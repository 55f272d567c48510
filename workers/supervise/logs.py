"""What a worker's sessions said, kept beside it: JSON lines in files of bounded size.

HOME/supervisors/NAME/logs/session.jsonl is the newest, session.jsonl.1 the one before ... A line is
``{"at": seconds since 1970, "pid": the session's, "task": id or "", ...}`` with ``frame`` (of the client's
stream-json), ``text`` (a line of its output that is no frame) or ``event`` (what the supervisor did).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pool import redact


class Log:
    """A worker's log. A disk that cannot be written loses it, and the session goes on."""

    def __init__(self, folder: Path, size: int, files: int) -> None:
        self.path = folder / "logs" / "session.jsonl"
        self._size, self._files = size, files
        self._lock = threading.Lock()
        self._secrets = redact.Known()
        #: The session's process, and the task that it holds as far as is known.
        self.pid, self.task = 0, ""
        #: Why the last line could not be kept ('' if it could).
        self.problem = ""

    def hide(self, secrets: Iterable[str]) -> None:
        """Never write these."""
        self._secrets = redact.Known(secrets)

    def record(self, line: bytes) -> None:
        """A line of the session's output."""
        try:
            frame = json.loads(line)
        except (ValueError, RecursionError):
            frame = None
        if isinstance(frame, dict):
            self._write({"frame": frame})
        elif line.strip():
            self._write({"text": line.decode("utf-8", "replace").rstrip("\n")})

    def event(self, text: str) -> None:
        """What the supervisor did."""
        self._write({"event": text})

    def _write(self, entry: dict[str, Any]) -> None:
        head = {"at": round(time.time(), 3), "pid": self.pid, "task": self.task}
        data = json.dumps({**head, **entry}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        data = self._secrets.data(data)
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if self.path.exists() and self.path.stat().st_size + len(data) > self._size // self._files:
                    self._rotate()
                fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                self.problem = ""
            except OSError as error:
                self.problem = f"{error.filename or self.path}: {error.strerror}"

    def _rotate(self) -> None:
        for number in range(self._files - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if older.exists():
                os.replace(older, self.path.with_name(f"{self.path.name}.{number}"))
        self.path.unlink(missing_ok=True)


def files(folder: Path) -> list[Path]:
    """A worker's log files, oldest first."""
    found = sorted((folder / "logs").glob("session.jsonl.*"), key=lambda path: -int(path.suffix[1:] or 0))
    newest = folder / "logs" / "session.jsonl"
    return [*found, newest] if newest.exists() else found


def read(path: Path, inode: int = 0, at: int = 0) -> tuple[list[dict[str, Any]], int, int]:
    """The entries of a file (from where it was left, if it is that one still), its inode, and where they end.

    A line that is not whole yet is left for the next time; one that is no entry is passed over.
    """
    try:
        with path.open("rb") as file:
            now = os.fstat(file.fileno()).st_ino
            start = at if now == inode else 0
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return [], inode, at  # it was the oldest, and is gone
    whole = data.rpartition(b"\n")[0]
    found = [entry for line in whole.splitlines() if (entry := parse(line)) is not None]
    return found, now, start + (len(whole) + 1 if whole else 0)


def parse(line: bytes) -> dict[str, Any] | None:
    """The entry in a line; None if it is none."""
    try:
        entry = json.loads(line)
        good = isinstance(entry, dict) and isinstance(entry["at"], (int, float))
    except (ValueError, KeyError, RecursionError):
        return None
    return entry if good else None
