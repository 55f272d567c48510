"""A virtualenv for each peer under .bench/, made at its first use: their requirements exclude each other."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from bench.peers import catalogue

#: An installation that takes longer (seconds) is given up.
PATIENCE = 300.0

FOLDER = Path(__file__).resolve().parent.parent.parent / ".bench"


class InstallError(Exception):
    """A peer could not be installed; the message is one line."""


def python(environment: str) -> Path:
    """The interpreter of a peer's virtualenv (coord's own for '')."""
    return FOLDER / environment / "bin" / "python" if environment else Path(sys.executable)


def ensure(environment: str, requirements: tuple[str, ...]) -> None:
    """Make the virtualenv unless it is there.

    Raises:
        InstallError: pip (or venv) failed, or took too long.
    """
    stamp = FOLDER / environment / "bench.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(requirements):
        return
    FOLDER.mkdir(exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(FOLDER / environment)])
    _run([str(python(environment)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
          "--no-input", *requirements])  # fmt: skip
    stamp.write_text(json.dumps(list(requirements)))


def versions(peer: catalogue.Peer) -> str:
    """The installed version of a peer."""
    if not peer.environment:
        return metadata.version(peer.distribution)
    code = f"from importlib.metadata import version; print(version({peer.distribution!r}))"
    return _run([str(python(peer.environment)), "-c", code]).strip()


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise InstallError(f"{' '.join(argv[:4])} took longer than {PATIENCE:.0f} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise InstallError(f"{' '.join(argv[1:4])}: {said[:200]}")
    return done.stdout
