"""Plain `rq worker`s: real processes, ended by their process ids."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.conftest import ROOT

#: RQ's own command line. (`python -m rq.cli` would put the current folder on the path.)
RQ = str(Path(sysconfig.get_path("scripts")) / "rq")

#: How a plain worker must be started to do our tasks.
FIT = ("-S", "rq.serializers.JSONSerializer")


class PlainWorkers:
    """The plain workers of one test."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.rq = RQ

    def start(
        self, name: str, *options: str, cwd: Path | None = None, pythonpath: Path | str = ROOT
    ) -> subprocess.Popen[bytes]:
        """Start a worker on the queue `tasks`; ``pythonpath`` stands for what is installed."""
        with self.log(name).open("wb") as log:
            self.running[name] = subprocess.Popen(
                [self.rq, "worker", "-u", self.url, "-n", name, *options, "tasks"],
                cwd=cwd or self.folder, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(pythonpath)},
            )  # fmt: skip
        return self.running[name]

    def burst(self, name: str, *options: str, cwd: Path | None = None, pythonpath: Path | str = ROOT) -> str:
        """Run a worker until the queue is empty; its log."""
        code = self.start(name, "--burst", *options, cwd=cwd, pythonpath=pythonpath).wait(60)
        said = self.log(name).read_text(encoding="utf-8")
        assert code == 0, said
        return said

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def stop(self) -> None:
        """A warm shutdown, as an operator's; what does not end by then is killed."""
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()


def info(url: str) -> str:
    """What `rq info` prints. It cleans up RQ's registries as it goes."""
    done = subprocess.run(
        [RQ, "info", "-u", url, "--raw"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def client(folder: Path, code: str) -> Path:
    """A program that runs this Python code and stands for Claude Code."""
    program = folder / "the client"
    program.write_text(f"#!{sys.executable} -IS\n{code}\n", encoding="utf-8")
    program.chmod(0o755)
    return program
