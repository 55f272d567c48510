"""An environment per RQ version, made once and kept in pytest's cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import ROOT

#: What `pool` and `workers` import beside RQ.
_NEEDED = ("pydantic", "redis")


def requirements(rq: str) -> list[str]:
    """RQ as asked for, and the product's own requirements for the rest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [rq, *(each for each in project["dependencies"] if each.startswith(_NEEDED))]


def supported() -> str:
    """The product's own requirement for RQ: pip takes the newest version of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(next(each for each in project["dependencies"] if each.startswith("rq")))


def interpreter(cache: Path, rq: str, *more: str) -> Path:
    """The interpreter of an environment with that RQ (and other packages).

    Raises:
        RuntimeError: pip could not install it (what it said). The tests fail then; they never skip.
    """
    wanted = [*requirements(rq), *more]
    # An open end means the newest, which is another one on another day.
    day = "" if "==" in rq else datetime.now(UTC).date().isoformat()
    stamp = "\n".join([sys.version, sys.executable, *wanted, day])
    folder = cache / "".join(letter if letter.isalnum() else "-" for letter in "-".join([rq, *more]))
    python, mark = folder / "bin" / "python", folder / "made"
    if mark.is_file() and mark.read_text(encoding="utf-8") == stamp:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    for argv in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}:\n{done.stdout}{done.stderr}")
    mark.write_text(stamp, encoding="utf-8")
    return python
