"""The frames that a session prints (stream-json), read as they come."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import IO, Any

Frame = dict[str, Any]


class Frames:
    """Frames so far, and those to come. What is no JSON is kept as a frame of type 'text'."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.all: list[Frame] = []
        self.ended = False
        self._stream = stream
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            try:
                frame = json.loads(line)
            except ValueError:
                frame = {"type": "text", "text": line.decode(errors="replace").rstrip()}
            with self._changed:
                self.all.append({"at": time.monotonic(), **frame})
                self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def of(self, kind: str, subtype: str = "") -> list[Frame]:
        """The frames of a type (and subtype) so far."""
        with self._changed:
            return _of(self.all, kind, subtype)

    def wait(self, test: Callable[[Frame], object], seconds: float = 60.0) -> Frame:
        """The first frame for which that is true; waits for it."""
        return self._wait(lambda: [frame for frame in self.all if test(frame)], 1, seconds)

    def result(self, number: int = 1, seconds: float = 60.0) -> Frame:
        """The result of the n-th turn that was asked for; waits for it."""
        return self._wait(lambda: _of(self.all, "result"), number, seconds)

    def _wait(self, look: Callable[[], list[Frame]], number: int, seconds: float) -> Frame:
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                found = look()
                if len(found) >= number:
                    return found[number - 1]
                left = end - time.monotonic()
                assert left > 0 and not self.ended, f"no such frame: {json.dumps(self.all)[-2000:]}"
                self._changed.wait(left)

    def close(self) -> None:
        """After the process's end."""
        self._thread.join(5)
        self._stream.close()


def _of(frames: list[Frame], kind: str, subtype: str = "") -> list[Frame]:
    return [each for each in frames if each["type"] == kind and subtype in ("", each.get("subtype"))]
