"""The monitor beside `coord up`: a process of its own. No crash of it ends the coordinator, or vice versa."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pool import clock, monitors, process
from pool.settings import Settings

#: It answers within so long (seconds), on a loaded machine too; and ends within so long.
PATIENCE, ENDING = 30.0, 10.0
_AGAIN = 0.02


class Monitor:
    """The monitor of a HOME, as `coord up` starts it. What it prints is in HOME/monitor.log."""

    def __init__(self, settings: Settings) -> None:
        self.home = Path(settings.home)
        self.log = self.home / "monitor.log"
        self._wanted = monitors.port(settings)
        self._named = bool(settings.monitor_operator_token or settings.monitor_operator_token_file)
        argv = [sys.executable, "-P", "-m", "coordinator.cli", "monitor"]
        if "monitor_port" not in settings.model_fields_set:
            argv.append("--elsewhere")  # what usually has the port is another project's monitor
        with self.log.open("ab") as out:
            self._begin = out.tell()
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._ending = False

    def ready(self) -> str:
        """Wait until it serves or has failed: one line on that."""
        key = process.key(self._child.pid)
        end = clock.mono() + PATIENCE
        while self._child.poll() is None and clock.mono() < end:
            noted = monitors.noted(str(self.home))
            if noted is not None and noted.key == key:
                moved = f" (port {self._wanted} is in use)" if noted.port != self._wanted else ""
                return f"monitor at {noted.url}{moved}"
            time.sleep(_AGAIN)
        if self._child.poll() is None:
            return f"the monitor does not answer yet: see {self.log}"
        return f"going on without the monitor: {self._last()}"

    def token(self) -> str:
        """A line on where the operator's token is, if it was made here; else ''."""
        file = self.home / "monitor.token"
        made = self._child.poll() is None and not self._named and file.is_file()
        return f"actions there take the operator's token, which is in {file}" if made else ""

    def watch(self, log: Callable[[str], None]) -> None:
        """Say in the log where it is, and when it ends by itself, from a thread."""

        def run() -> None:
            log(self.ready())
            if token := self.token():
                log(token)
            code = self._child.wait()
            if not self._ending and code:
                log(f"the monitor has ended ({code}; log: {self.log}); `coord monitor` starts it again")

        threading.Thread(target=run, name="monitor", daemon=True).start()

    def note(self) -> None:
        """Note it in HOME/monitor.pid, for `coord down`."""
        (self.home / "monitor.pid").write_text(process.key(self._child.pid), encoding="utf-8")

    def leave(self) -> None:
        """Let it outlive this process."""
        if self._child.poll() is None:
            self._child.returncode = 0  # nobody waits for it here

    def stop(self) -> None:
        """End it."""
        self._ending = True
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(ENDING)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    def _last(self) -> str:
        """The last line that it has printed."""
        with self.log.open("rb") as file:
            file.seek(self._begin)
            lines = file.read().decode("utf-8", "replace").split("\n")
        said = [line for line in lines if line.strip()]
        return said[-1].removeprefix("coord: ") if said else f"see {self.log}"


def runs(settings: Settings) -> str:
    """The URL of this HOME's monitor, if it runs already; else ''."""
    noted = monitors.noted(settings.home)
    return noted.url if noted is not None and noted.runs else ""


def end(home: Path) -> bool:
    """End the monitor that `coord up -d` has started; whether there was one."""
    note = home / "monitor.pid"
    key = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    found = process.same(key)
    if found:
        pid = int(key.split("-")[2])
        os.kill(pid, signal.SIGTERM)
        until = clock.mono() + ENDING
        while process.same(key) and clock.mono() < until:
            time.sleep(_AGAIN)
        if process.same(key):
            os.kill(pid, signal.SIGKILL)
    note.unlink(missing_ok=True)
    return found
