"""Hook mode: `claude -p` on held-open stream-json pipes, kept and given its tasks by its Stop hook."""

from __future__ import annotations

import collections
import json
import subprocess
import threading
import uuid
from contextlib import suppress

from pool.errors import UsageError
from workers import child
from workers.supervise.session import Frame, Launch

#: How the client is started so that it takes messages until its input ends, and says all that happens.
ARGUMENTS = ("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose")

#: Bytes of one line of its output; the rest of a longer one is lost.
LINE_LIMIT = 16 * 1024 * 1024

#: Frames that nobody has taken yet.
_KEPT = 10_000


class HookSession:
    """One session."""

    problem = ""
    hooked = True

    def __init__(self, launch: Launch) -> None:
        try:
            self._process = subprocess.Popen(
                [*launch.argv, *ARGUMENTS], cwd=launch.cwd, env=dict(launch.environ), start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"Claude Code did not start: {error}") from None
        self.pid = self._process.pid
        self._launch = launch
        self._frames: collections.deque[Frame] = collections.deque(maxlen=_KEPT)
        self._reader = threading.Thread(target=self._read, name=f"session-{self.pid}", daemon=True)
        self._reader.start()

    def send(self, text: str) -> None:
        """Say something to it: a turn begins. What has ended hears nothing."""
        message = {"role": "user", "content": text}
        frame = {"type": "user", "message": message, "parent_tool_use_id": None, "uuid": str(uuid.uuid4())}
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            with suppress(OSError):
                stdin.write(json.dumps(frame).encode() + b"\n")
                stdin.flush()

    def frames(self) -> list[Frame]:
        """The frames that have come since the last call, oldest first."""
        found = []
        while self._frames:
            found.append(self._frames.popleft())
        return found

    def stands(self, state: str) -> None:
        """Its supervisor sees to that itself."""

    def in_use(self) -> bool:
        """No person can type there."""
        return False

    def poll(self) -> int | None:
        """Its exit code once it has ended."""
        return self._process.poll()

    def finish(self, why: str) -> None:
        """Close its input, on which it ends when its turn is over."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def kill(self) -> None:
        """End it and its process group now."""
        self.finish("")
        child.end(self._process)

    def close(self) -> None:
        """It has ended; what it has left running may hold its output open."""
        self.finish("")
        self._reader.join(1.0)

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in iter(lambda: stdout.readline(LINE_LIMIT), b""):
                self._launch.record(line)
                with suppress(ValueError):
                    frame = json.loads(line)
                    if isinstance(frame, dict):
                        self._frames.append(frame)
                        self._launch.wake()
        self._launch.wake()
