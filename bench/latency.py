"""Part c: from submit to the hand-over, and from a session's death to its task being claimable again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import servers, stats
from bench.run import Run
from pool import keys, model
from pool.claim import Caller, Claim
from pool.operate import submission
from tests.session import Session

#: Nothing here takes longer (seconds) unless it is broken.
_PATIENCE = 30.0


def until(check: Callable[[], Any], what: str) -> float:
    """Look as fast as possible until it is so; the moment (time.monotonic) when it was.

    Raises:
        RuntimeError: It did not come to be.
    """
    end = time.monotonic() + _PATIENCE
    while not check():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {_PATIENCE:.0f} s: {what}")
        time.sleep(0.0005)
    return time.monotonic()


def measure(run: Run) -> dict[str, Any]:
    """Both latencies."""
    return {"handover_ms": handover(run), "death_s": death(run)}


def _submit(coord: servers.Ready, number: int) -> str:
    spec = model.parse_spec({"prompt": "Fix the flaky test, and say what it was.", "title": f"task {number}"})
    return submission.submit(coord.pool, coord.settings, [spec])[0].id


def handover(run: Run) -> dict[str, float]:
    """Milliseconds from submit's return to the exit of the Stop hook that waited, with the task."""
    found = []
    with servers.ready() as coord, tempfile.TemporaryDirectory(prefix="coord-bench-") as folder:
        session = Session(coord.settings, Path(folder), "w1")
        try:
            session.start()
            caller = Caller("w1", session.data["epoch"])
            for number in run.steps("hand-over", list(range(run.sizes.handovers))):
                hook = session.start_hook("Stop")
                until(lambda: coord.conn.zscore("pool:waiters:tasks", "w1") is not None, "the hook waits")
                time.sleep(0.02)  # it is in its select() by then, as a hook that has waited for long is
                task = _submit(coord, number)
                submitted = time.monotonic()
                hook.process.wait()
                found.append((time.monotonic() - submitted) * 1000)
                answer = hook.end()
                if task not in answer.get("reason", ""):
                    raise RuntimeError(f"the hook did not hand over task {task}: {answer}")
                session.hooks.clear()
                coord.pool.complete(caller, Claim(task), '"ok"')
        finally:
            session.close()
    return stats.summary(found)


def death(run: Run) -> dict[str, float]:
    """Seconds from SIGKILL of a session that holds a task to its being claimable; no coordinator runs."""
    found = []
    with servers.ready() as coord, tempfile.TemporaryDirectory(prefix="coord-bench-") as folder:
        queue = keys.key("queue", "tasks")
        for number in run.steps("death", list(range(run.sizes.deaths))):
            session = Session(coord.settings, Path(folder), f"w{number}")
            try:
                session.start()
                task = _submit(coord, number)
                if task not in session.hook("Stop").get("reason", ""):
                    raise RuntimeError(f"the hook did not hand over task {task}")
                until(lambda: session.keeper(), "the keeper lives")  # noqa: B023
                began = time.monotonic()
                os.kill(session.pid, signal.SIGKILL)
                found.append(until(lambda: coord.conn.llen(queue) == 1, "the task is back") - began)
                if coord.conn.lindex(queue, 0) != task.encode():
                    raise RuntimeError("another task is back")
                coord.pool.cancel(task, "measured")
            finally:
                session.close()
    return stats.summary(found)
