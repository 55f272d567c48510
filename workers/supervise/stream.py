"""A session in stream mode, as the supervisor keeps it: its process, and the thread that works with it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from pool import brief, compiled
from pool import settings as settings_module
from pool.errors import UsageError
from workers import child
from workers.supervise import sdk
from workers.supervise.feeder import Feeder
from workers.supervise.hook import ARGUMENTS
from workers.supervise.session import Frame, Launch

_BEGIN = [sys.executable, "-I", "-S", str(Path(__file__).with_name("begin.py"))]

#: A session whose input has ended may end by itself for so long (seconds).
_PATIENCE = 10.0


class StreamSession:
    """One session."""

    hooked = False

    def __init__(self, launch: Launch) -> None:
        sdk.require()
        path = str(settings_module.compile_settings(launch.settings))
        environ = {**launch.environ, **sdk.ENVIRON, "COORD_WORKER": "0", "COORD_COMPILED": path}
        bin_folder = os.path.join(launch.settings.home, "bin")  # its `coord-worker`
        environ["PATH"] = f"{bin_folder}{os.pathsep}{environ.get('PATH', os.defpath)}"
        resumed = _option(launch, "--resume") if "--fork-session" not in launch.argv else ""
        session_id = resumed or str(uuid.uuid4())
        welcome = brief.WELCOME.format(worker=launch.name)
        argv = [
            *_BEGIN, *launch.argv, *ARGUMENTS, f"--append-system-prompt={welcome}",
            *([] if _option(launch, "--resume") else [f"--session-id={session_id}"]),
        ]  # fmt: skip
        try:
            self._process = subprocess.Popen(
                argv, cwd=launch.cwd, env=environ, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"Claude Code did not start: {error}") from None
        self.pid = self._process.pid
        values = settings_module.compile_values(launch.settings)
        self._feeder = Feeder(
            compiled.Compiled(path, values, environ), self._process,
            dataclasses.replace(launch, environ=environ), session_id,
        )  # fmt: skip
        self._launch = launch
        self._thread = threading.Thread(target=self._work, name=f"stream-{self.pid}", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why another session would fare no better; '' if one may."""
        return self._feeder.problem

    def send(self, text: str) -> None:
        """Its tasks and all that it is told come from its own thread."""

    def frames(self) -> list[Frame]:
        """The frames that have come since the last call, oldest first."""
        waiting = self._feeder.frames
        return [waiting.popleft() for _ in range(len(waiting))]

    def stands(self, state: str) -> None:
        """Its supervisor sees to that itself."""

    def in_use(self) -> bool:
        """No person can type there."""
        return False

    def poll(self) -> int | None:
        """Its exit code once it has ended."""
        return self._process.poll()

    def finish(self, why: str) -> None:
        """Let it end: what it holds goes back."""
        self._feeder.stop(why)

    def kill(self) -> None:
        """End it and its process group now."""
        self._feeder.stop("its supervisor ended it")
        self._thread.join(child.GRACE)
        child.end(self._process)

    def close(self) -> None:
        """It has ended, and its thread with it."""
        self._thread.join(_PATIENCE)

    def _work(self) -> None:
        try:
            why = self._feeder.run()
        except Exception as error:  # a fault of coord's own ends this session, and no other
            why = f"{type(error).__name__}: {error}"
        self._launch.log(f"its session is over: {why}")
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.end(self._process)
        self._launch.wake()


def _option(launch: Launch, name: str) -> str:
    return next((word.partition("=")[2] for word in launch.argv if word.startswith(f"{name}=")), "")
