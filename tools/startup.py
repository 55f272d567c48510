"""What a process costs to start, side by side in one run: interpreters, imports, hooks, helpers.

    python -m tools.startup [--runs 30] [--json]

Alternating, median with spread. Hooks and helpers run as they do for an ordinary session (no worker),
against no Redis at all.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pool import settings as settings_module

ROOT = Path(__file__).resolve().parent.parent


def programs(compiled: Path) -> dict[str, list[str]]:
    """Name -> command."""
    isolated = [sys.executable, "-I", "-S"]
    full = [sys.executable, "-c"]
    return {
        "bare interpreter (-I -S)": [*isolated, "-c", ""],
        "import json": [*isolated, "-c", "import json"],
        "import socket": [*isolated, "-c", "import socket"],
        "import redis": [*full, "import redis"],
        "import rq": [*full, "import rq"],
        "PostToolUse hook": [*isolated, str(ROOT / "hooks/post_tool_use.py"), "--compiled", str(compiled)],
        "Stop hook": [*isolated, str(ROOT / "hooks/stop.py"), "--compiled", str(compiled)],
        "coord-worker --help": [*isolated, str(ROOT / "workers/helper.py"), "--help"],
        "coord --help": [sys.executable, "-m", "coordinator.cli", "--help"],
    }


def measure(runs: int) -> dict[str, list[float]]:
    """Milliseconds of each run, by name; the programs take turns."""
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        compiled = settings_module.compile_settings(settings_module.load(home=folder))
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("COORD_", "CLAUDE"))
        }
        for turn in range(runs + 1):
            for name, command in programs(compiled).items():
                began = time.perf_counter()
                subprocess.run(
                    command, input=b"{}", stdout=subprocess.DEVNULL, env=environ, cwd=ROOT, check=False
                )
                if turn:  # the first turn warms the caches
                    times.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return times


def main() -> None:
    """Print the table, or JSON."""
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 30
    times = measure(runs)
    bare = statistics.median(times["bare interpreter (-I -S)"])
    rows = [
        {
            "program": name, "median_ms": round(statistics.median(all_times), 1),
            "times_bare": round(statistics.median(all_times) / bare, 1),
            "low_ms": round(min(all_times), 1), "high_ms": round(max(all_times), 1),
        }
        for name, all_times in times.items()
    ]  # fmt: skip
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=2))
        return
    table = Table("program", "median ms", "times bare", "lowest", "highest", box=None)
    for row in rows:
        table.add_row(
            *(
                str(value)
                for value in (
                    row["program"],
                    row["median_ms"],
                    row["times_bare"],
                    row["low_ms"],
                    row["high_ms"],
                )
            )
        )
    Console().print(table)


if __name__ == "__main__":
    main()
