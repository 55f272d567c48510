"""The compiled settings, as hooks and helpers read them. Standard library only.

The file is written by ``coord hooks install`` and ``coord up``; where there is none (or it is from
another version), it is made at once by the full interpreter, which costs 0.4 s a single time. A
``COORD_*`` variable of the process still has the last word.
"""

from __future__ import annotations

import os
import sys

from pool import jsonlite, units
from pool.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

#: Raise it when the file's layout changes: an older file is then compiled anew.
FORMAT = 1
NAME = "compiled.json"
DEFAULT_URL = "redis://127.0.0.1:6379/0"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: The settings themselves, in the single-file copy of the hooks; HOME is then the path's folder.
EMBEDDED: dict[str, Any] = {}


class Compiled:
    """The settings as attributes (``values``), RQ's key templates, and the Redis URL."""

    __slots__ = ("path", "rq_version", "templates", "values")

    def __init__(self, path: str, data: dict[str, Any], environ: dict[str, str] | None = None) -> None:
        self.path = path
        self.templates: dict[str, str] = data["templates"]
        self.rq_version = str(data["rq_version"])
        self.values: dict[str, Any] = dict(data["values"])
        env = os.environ if environ is None else environ
        for name, kind in data["kinds"].items():
            text = env.get("COORD_" + name.upper(), "")
            if text:
                self.values[name] = read(name, kind, text)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def home(self) -> str:
        """The folder of coord's own files. A relative COORD_HOME would be another one after each `cd`."""
        home = str(self.values["home"])
        return home if home.startswith("/") else os.path.dirname(self.path) or os.path.abspath(home)

    @property
    def url(self) -> str:
        """The Redis in force."""
        return redis_url(self.values["redis_url"], self.home)


def read(name: str, kind: str, text: str) -> Any:
    """A setting's value from the text of its variable.

    Raises:
        SettingsError: The text does not fit the kind.
    """
    try:
        return parse(kind, text)
    except ValueError as error:
        raise SettingsError(f"COORD_{name.upper()}: {error}") from None


def parse(kind: str, text: str) -> Any:
    """The value in a text.

    Raises:
        ValueError: The text does not fit the kind.
    """
    if kind == "duration":
        return units.duration(text)
    if kind == "bool":
        return units.truth(text)
    if kind == "int":
        return units.whole(text)
    if kind == "size":
        return size(text)
    return split(text) if kind == "list" else text


def size(text: str) -> int:
    """Bytes in ``1048576``, ``512KiB``, ``1MiB`` or ``2MB``.

    Raises:
        ValueError: The text is not a size.
    """
    low = text.strip().lower().removesuffix("b")
    scale = 1
    for suffix, factor in (("ki", 1024), ("mi", 1024**2), ("gi", 1024**3),
                           ("k", 1000), ("m", 1000**2), ("g", 1000**3)):  # fmt: skip
        if low.endswith(suffix):
            low, scale = low.removesuffix(suffix).rstrip(), factor
            break
    digits = low.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise ValueError(f"{text[:40]!r} is not a size: write 1048576, 512KiB or 1MiB")
    return int(float(low) * scale)


def split(text: str) -> list[str]:
    """The names in a comma-separated list, or in a JSON one.

    Raises:
        ValueError: It begins as a JSON list and is none.
    """
    if text.lstrip().startswith("["):
        try:
            return [str(part) for part in jsonlite.loads(text)]
        except ValueError:
            raise ValueError(f"{text[:40]!r} is not a list: write a,b,c") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def redis_url(given: str, home: str) -> str:
    """The given URL, else that of the embedded server noted in HOME/redis.json, else the usual port."""
    if given:
        return given
    try:
        with open(os.path.join(home, "redis.json"), encoding="utf-8") as file:
            return str(jsonlite.loads(file.read())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_URL  # no embedded server was started here


def user_dir(variable: str, fallback: str) -> Path:
    """A folder of the user's by its XDG variable."""
    from pathlib import Path

    return Path(os.environ.get(variable) or os.path.join(os.path.expanduser("~"), fallback))


def load(path: str = "") -> Compiled:
    """The compiled settings at ``path`` (default: COORD_COMPILED), made anew if they cannot be read.

    Raises:
        SettingsError: They could not be compiled: a setting is wrong.
    """
    if EMBEDDED:
        home = os.path.dirname(path) or EMBEDDED["values"]["home"]
        made = Compiled(os.path.join(home, NAME), EMBEDDED)
        made.values["home"] = home
        return made
    path = path or os.environ.get("COORD_COMPILED", "")
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                data = jsonlite.loads(file.read())
            if data["format"] == FORMAT:
                return Compiled(path, data)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing, damaged or of another version: made anew below
    return _compile(path)


def _compile(path: str) -> Compiled:
    import subprocess

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from pool import settings; sys.exit(settings.compile_for_hooks(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, ROOT, path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the settings could not be compiled"]
        raise SettingsError(lines[-1])
    data = jsonlite.loads(done.stdout)
    return Compiled(str(data["path"]), data)
