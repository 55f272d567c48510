"""The compiled settings, as hooks and helpers read them. Standard library only.

The file is written by ``coord hooks install`` and ``coord up``; where there is none (or it is from
another version), it is made at once by the full interpreter, which costs 0.4 s a single time. A
``COORD_*`` variable of the process still has the last word. A helper that is called by hand, outside of a
session, keeps such a file of its own, and makes it anew when coord.toml has changed.
"""

from __future__ import annotations

import os
import sys

from pool import __version__, jsonlite, process, units
from pool.errors import RedisAway, SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Raise it when the file's layout or the settings change between two releases: a file of another format or
#: release is compiled anew.
FORMAT = 4
NAME = "compiled.json"
#: What a helper that is called by hand keeps in HOME: without any COORD_* variable of that call.
BY_HAND = "helper.json"
CONFIG_NAME = "coord.toml"
DEFAULT_URL = "redis://127.0.0.1:6379/0"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: COORD_* variables that tell a process who it is; they are not settings.
PROCESS_VARIABLES = frozenset(
    (
        "COORD_COMPILED",
        "COORD_CONFIG",
        "COORD_MODE",
        "COORD_PROFILE",
        "COORD_SESSION",
        "COORD_SUPERVISED",
        "COORD_WORKER",
        "COORD_WORKER_ID",
    )
)

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
        if env.get("COORD_REDIS_URL_FILE") and not env.get("COORD_REDIS_URL"):
            self.values["redis_url"] = ""  # a variable has the last word, whichever of the two it is

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def home(self) -> str:
        """The folder of coord's own files. A relative COORD_HOME would be another one after each `cd`."""
        home = str(self.values["home"])
        return home if home.startswith("/") else os.path.dirname(self.path) or os.path.abspath(home)

    def url(self) -> str:
        """The Redis in force now (an embedded one may have moved, a file may hold another password).

        Raises:
            RedisAway: The project's embedded Redis does not run, or redis_url_file cannot be read.
        """
        return redis_url(self.values["redis_url"], self.values["redis_url_file"], self.home)


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
    if kind == "number":
        return units.number(text)
    if kind == "size":
        return size(text)
    if kind == "file":
        return absolute(text)
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


def absolute(text: str) -> str:
    """The path of a file: hooks run in other folders than the command that was told of it.

    Raises:
        ValueError: The path is relative.
    """
    path = os.path.expanduser(text)
    if path and not path.startswith("/"):
        raise ValueError(f"{text[:200]!r} is not an absolute path")
    return path


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


def redis_url(given: str, file: str, home: str) -> str:
    """The given URL, else the one in the file, else that of the embedded server noted in HOME/redis.json.

    Outside of any project it is the usual port. Inside of one it is not: whatever listens there may be
    another project's pool, and its tasks are not ours to take.

    Raises:
        RedisAway: The project's embedded Redis does not run, or the file cannot be read.
    """
    if given:
        return given
    if file:
        return _url_in(file)
    try:
        with open(os.path.join(home, "redis.json"), encoding="utf-8") as note:
            noted = jsonlite.loads(note.read())
        url, key = str(noted["url"]), str(noted.get("key", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        if home == user_home():
            return DEFAULT_URL
        raise RedisAway(
            f"no Redis runs for this project ({home}): `coord up` starts one, COORD_REDIS_URL names another"
        ) from None
    if key.split("-")[:2] == [process.boot_id(), process.namespace()] and not process.same(key):
        raise RedisAway(f"the embedded Redis of {home} does not run any more: `coord up` starts it again")
    return url


def _url_in(path: str) -> str:
    """The URL in a file. One that is not there yet may come, so it is as if Redis were away."""
    try:
        with open(path, encoding="utf-8") as opened:
            url = opened.read(4096).strip()
    except OSError as error:
        raise RedisAway(f"redis_url_file: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        url = "?"  # bytes that are no text
    if not url:
        raise RedisAway(f"redis_url_file: {path} is empty: it must hold a redis:// URL")
    if not url.startswith(("redis://", "rediss://", "unix://")) or len(url.split()) > 1:
        raise RedisAway(f"redis_url_file: {path} holds something else than one redis:// URL")
    return url


def user_home() -> str:
    """The folder of coord's own files outside of any project."""
    return os.path.join(user_dir("XDG_STATE_HOME", ".local/state"), "coord")


def user_dir(variable: str, fallback: str) -> str:
    """A folder of the user's by its XDG variable."""
    return os.environ.get(variable) or os.path.join(os.path.expanduser("~"), fallback)


def config_file(start: str = "") -> str:
    """The coord.toml in force: COORD_CONFIG, the nearest one above here, or the user's own; '' without one.

    ``start`` is another folder than the current one to look upwards from.

    Raises:
        SettingsError: COORD_CONFIG names no file.
    """
    named = os.environ.get("COORD_CONFIG", "")
    if named and not os.path.isfile(named):
        raise SettingsError(f"COORD_CONFIG names {named}, which is not a file")
    candidates = [os.path.join(folder, CONFIG_NAME) for folder in _upwards(start)]
    candidates.append(os.path.join(user_dir("XDG_CONFIG_HOME", ".config"), CONFIG_NAME))
    return named or next((path for path in candidates if os.path.isfile(path)), "")


def home_folder(config: str, start: str = "") -> str:
    """The folder of coord's own files: .coord beside coord.toml or above here, else the user's state."""
    beside = os.path.dirname(os.path.abspath(config)) if config else ""
    for folder in _upwards(start):
        if folder == beside or os.path.isdir(os.path.join(folder, ".coord")):
            return os.path.join(folder, ".coord")
    return user_home()


def _upwards(start: str) -> list[str]:
    try:
        folders = [os.path.abspath(start) if start else os.getcwd()]
    except OSError:
        return []  # the current directory is gone
    while os.path.dirname(folders[-1]) != folders[-1]:
        folders.append(os.path.dirname(folders[-1]))
    return folders


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
    if not path:
        return _load_by_hand()
    return Compiled(path, _read_file(path) or _compile(path))


def _load_by_hand() -> Compiled:
    """The settings of a helper that is called by hand: they follow coord.toml."""
    config = config_file()
    path = os.path.join(os.environ.get("COORD_HOME", "") or home_folder(config), BY_HAND)
    fresh = os.path.isfile(path) and not (config and os.stat(config).st_mtime_ns >= os.stat(path).st_mtime_ns)
    made = Compiled(path, (_read_file(path) if fresh else None) or _compile(path))
    for variable in os.environ:
        known = variable in PROCESS_VARIABLES or variable[6:].lower() in made.values
        if variable.startswith("COORD_") and not known:
            raise SettingsError(f"{variable} is not a setting: `coord settings` lists them")
    return made


def _read_file(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            data = jsonlite.loads(file.read())
        ours = data["format"] == FORMAT and data["coord"] == __version__
        return data if ours and data["values"] and data["templates"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing, damaged or of another version


def _compile(path: str) -> dict[str, Any]:
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
    data: dict[str, Any] = jsonlite.loads(done.stdout)
    return data
