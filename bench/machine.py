"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

_SYNCS = 200


def facts() -> dict[str, Any]:
    """Machine, operating system, Python, Redis and libraries; no names of hosts or users."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis": _redis(),
        "redis_py": metadata.version("redis"),
        "rq": metadata.version("rq"),
        "coord": metadata.version("coord"),
        "sync_ms": _sync(),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _redis() -> str:
    text = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return next((word[2:] for word in text.split() if word.startswith("v=")), text.strip())


def _sync() -> float:
    """Milliseconds of a small fdatasync where the servers keep their files: the price of AOF `always`."""
    times = []
    with tempfile.TemporaryFile(prefix="coord-bench-") as file:
        for _ in range(_SYNCS):
            file.write(b"x" * 200)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 3)
