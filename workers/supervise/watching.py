"""The supervisor's side of watcher.py, which ends its sessions when it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType


class Watcher:
    """One process beside the supervisor, whatever the number of its sessions."""

    def __init__(self, compiled: str) -> None:
        """``compiled``: the compiled settings' path."""
        self._compiled = compiled
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Watcher:
        script = str(Path(__file__).with_name("watcher.py"))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script, self._compiled], stdin=subprocess.PIPE, bufsize=0,
            start_new_session=True,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid if self._process is not None else 0

    def add(self, key: str) -> None:
        """A session was started."""
        self._tell("+", key)

    def remove(self, key: str) -> None:
        """A session has ended."""
        self._tell("-", key)

    def _tell(self, what: str, key: str) -> None:
        if key and self._process is not None and self._process.stdin is not None:
            try:
                os.write(self._process.stdin.fileno(), f"{what}{key}\n".encode())
            except BrokenPipeError:
                self.__enter__()  # somebody has killed it
