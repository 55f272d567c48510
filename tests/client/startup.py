"""What installed hooks cost a session that is no worker: measured side by side, in turns.

    python -m tests.client.startup [RUNS]

prints the medians of RUNS sessions of each kind (default 20), on whatever else this machine does. 'start' is
the time from the start of `claude -p` to its first request to the model; 'whole' is that to its end. It exits
with 1 where sessions with hooks of the user start more than 50 ms later than those without.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.client import isolation, replies
from tests.client.api import Api
from tests.client.client import Home
from tests.session import ROOT

#: How a kind of session is started: options of `claude`.
KINDS = {
    "no hooks": (),
    "hooks of the user": (),
    "the plugin": ("--plugin-dir", str(ROOT / "plugin")),
}


#: A session with hooks may start so much later (seconds).
SLOWER = 0.050


@dataclass
class Times:
    """Of one kind of session, in seconds, in the order of the runs."""

    start: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def homes(folder: Path, api: Api) -> dict[str, Home]:
    """A home for each kind of session."""
    made = {kind: Home(folder / str(number), api) for number, kind in enumerate(KINDS)}
    made["hooks of the user"].run("coord", "hooks", "install", "--scope", "user")
    return made


def measure(places: dict[str, Home], runs: int, times: dict[str, Times]) -> None:
    """Add so many runs of each kind, one after another in turns."""
    for _ in range(runs):
        for kind, home in places.items():
            began = time.monotonic()
            session = home.headless("Say a word.", *KINDS[kind])
            session.frames.result()
            assert session.end() == 0, session.frames.all
            (request,) = home.api.seen(key=home.key, since=began)
            times[kind].start.append(request.at - began)
            times[kind].whole.append(time.monotonic() - began)


def main(runs: int) -> int:
    network = isolation.isolate()
    times = {kind: Times() for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="coord-startup-") as folder, Api() as api:
        os.environ["COORD_HOME"] = f"{folder}/coord"
        api.script(lambda request: replies.text("Word."))
        places = homes(Path(folder), api)
        try:
            measure(places, 1, {kind: Times() for kind in KINDS})  # (the first run of each fills caches)
            measure(places, runs, times)
        finally:
            for home in places.values():
                home.close()
    table = Table(box=box.SIMPLE, title=f"medians of {runs} sessions of each kind, in ms")
    for name in ("session", "start", "slower", "whole", "slower"):
        table.add_column(name, justify="left" if name == "session" else "right")
    for kind, each in times.items():
        cells = []
        for name in ("start", "whole"):
            own = statistics.median(getattr(each, name)) * 1000
            without = statistics.median(getattr(times["no hooks"], name)) * 1000
            cells += [f"{own:.0f}", "" if kind == "no hooks" else f"{own - without:+.0f}"]
        table.add_row(kind, *cells)
    Console().print(table)
    if network:
        print(f"(the network was not cut off: {network})")
    slower = statistics.median(times["hooks of the user"].start) - statistics.median(times["no hooks"].start)
    if slower > SLOWER:
        print(f"hooks make sessions start {slower * 1000:.0f} ms later: the goal is {SLOWER * 1000:.0f} ms")
    return int(slower > SLOWER)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 20))
