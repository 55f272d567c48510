"""What a worker's sessions said, kept beside it in files of bounded size (pool/sessionlog.py reads them)."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pool import redact, sessionlog


class Log:
    """A worker's log. A disk that cannot be written loses it, and the session goes on."""

    def __init__(self, folder: Path, size: int, files: int) -> None:
        self.path = folder / sessionlog.NEWEST
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
