"""The command lines: called here where a process adds nothing, as processes, on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from coordinator import cli

ROOT = Path(__file__).resolve().parent.parent.parent
COORD = [sys.executable, "-P", "-m", "coordinator.cli"]
WORKER = [sys.executable, "-I", "-S", str(ROOT / "workers" / "helper.py")]


class Done(NamedTuple):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def line(self) -> str:
        """The one line on standard error of a command that failed; nothing on standard output."""
        assert self.out == "", self
        assert self.err.endswith("\n") and self.err.count("\n") == 1, self
        assert "Traceback" not in self.err, self
        return self.err.rstrip("\n")


class Coord:
    """Runs `coord` and `coord-worker` with the settings of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *argv: object, code: int = 0) -> Done:
        """`coord ARGV`, in this process; it must end with that exit code."""
        out, err = io.StringIO(), io.StringIO()
        ended = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main([str(each) for each in argv])
            except SystemExit as done:
                ended = int(done.code or 0)
        found = Done(ended, out.getvalue(), err.getvalue())
        assert found.code == code, found
        return found

    def json(self, *argv: object, code: int = 0) -> Any:
        """What `coord ARGV --json` prints."""
        return self(*argv, "--json", code=code).json

    def refused(self, *argv: object, code: int = 2) -> str:
        """The one line with which `coord ARGV` refuses."""
        return self(*argv, code=code).line()

    def process(
        self, *argv: object, stdin: bytes = b"", program: list[str] | None = None, **env: str
    ) -> Done:
        """`coord ARGV` as a process of its own."""
        done = subprocess.run(
            [*(program or COORD), *map(os.fsencode, map(str, argv))], input=stdin, env={**os.environ, **env},
            cwd=self.folder, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def worker(self, name: str, *argv: object, code: int = 0, stdin: bytes = b"", **env: str) -> Done:
        """`coord-worker ARGV --worker NAME` as a process of its own, as sessions start it."""
        who = ["--worker", name] if name else []
        found = self.process(*argv[:1], *who, *argv[1:], stdin=stdin, program=WORKER, **env)
        assert found.code == code, found
        return found

    def start(self, *argv: object, **env: str) -> subprocess.Popen[str]:
        """Start a `coord` that runs on; it is ended with the test."""
        child = subprocess.Popen(
            [*COORD, *map(str, argv)], env={**os.environ, **env}, cwd=self.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(child)
        return child

    @contextlib.contextmanager
    def terminal(self, *argv: object, columns: int = 80, **env: str) -> Iterator[Terminal]:
        """`coord ARGV` on a terminal of so many columns."""
        made = Terminal(
            [*COORD, *map(str, argv)], self.folder, columns, {**os.environ, "TERM": "xterm", **env}
        )
        try:
            yield made
        finally:
            made.close()

    def close(self) -> None:
        """End what was started."""
        for child in self.started:
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.kill()
            child.communicate()


class Terminal:
    """A process whose standard streams are a terminal."""

    def __init__(self, argv: list[str], folder: Path, columns: int, env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        env.pop("COLUMNS", None)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=folder)
        os.close(slave)
        self.text = ""

    @property
    def plain(self) -> str:
        """What was shown, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text).replace("\r", "")

    def until(self, words: str, seconds: float = 20.0) -> str:
        """Read until these words were shown; all that was shown so far."""
        end = time.monotonic() + seconds
        while words not in self.text:
            assert self._read(end), f"{words!r} was not shown: {self.text!r}"
        return self.text

    def more(self, characters: int, seconds: float = 20.0) -> None:
        """Read so many more."""
        wanted, end = len(self.text) + characters, time.monotonic() + seconds
        while len(self.text) < wanted:
            assert self._read(end), f"no more was shown after {self.text!r}"

    def type(self, text: str) -> None:
        """Type it."""
        os.write(self.master, text.encode())

    def end(self, number: int = 0, seconds: float = 20.0) -> int:
        """Send a signal (if any) and wait for the end; the exit code."""
        if number:
            self.process.send_signal(number)
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        return self.process.wait(timeout=5)

    def _read(self, end: float) -> bool:
        if not select.select([self.master], [], [], max(0.0, end - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the last one has closed its side
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
