"""The settings of the Claude Code plugin: COORD_* over coord.toml over its options over the defaults.

The plugin runs where nothing but its folder and python3 is there, so that it reads coord.toml by itself.
Hooks know the plugin's options from their environment; they leave what is in force in HOME/plugin.json,
where the keeper and the helpers, which do not know them, find it. Standard library only.
"""

from __future__ import annotations

import os

from pool import compiled, jsonlite, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: In HOME: what coord.toml and the options say. Only its owner may read it: a URL may hold a password.
NAME = "plugin.json"
#: How the client tells a hook of an option.
OPTION = "CLAUDE_PLUGIN_OPTION_"
#: The options that are settings, and the one that is not.
OPTIONS = ("redis_url", "queues", "idle_limit")
WORKER = "worker"


def home() -> str:
    """The folder of coord's own files: as `coord` finds it from the session's project."""
    project = os.environ.get("CLAUDE_PROJECT_DIR", "")
    given = os.environ.get("COORD_HOME", "")
    if given:
        return os.path.join(project or os.getcwd(), given)
    return compiled.home_folder(compiled.config_file(project), project)


def chosen() -> bool:
    """Whether the option makes every session a worker (COORD_WORKER has the last word: hooks.runtime)."""
    try:
        return units.truth(os.environ.get(OPTION + WORKER.upper(), "") or "0")
    except ValueError:
        return False


def apply(embedded: dict[str, Any], folder: str, hook: bool) -> None:
    """Put what coord.toml and the plugin's options say into the settings of the copy.

    Raises:
        SettingsError: One of them does not fit.
    """
    config = compiled.config_file(os.environ.get("CLAUDE_PROJECT_DIR", ""))
    known, kinds = _saved(folder), embedded["kinds"]
    options: dict[str, str] = {name: os.environ.get(OPTION + name.upper(), "") for name in OPTIONS}
    if not hook:
        options = known.get("options", options)
    source = [config, os.stat(config).st_mtime_ns if config else 0]
    given = known.get("given") if known.get("source") == source else None
    if given is None or known.get("options") != options:
        given = _toml(config, kinds) if config else {}
        _save(folder, {"source": source, "options": options, "given": given})
    values = {name: compiled.read(name, kinds[name], text) for name, text in options.items() if text}
    if not {"redis_url", "redis_url_file"}.isdisjoint(given) or _has_server(folder):
        values.pop("redis_url", None)  # the project names a Redis, or has one of its own: it is that one
    embedded["values"].update({**values, **given})


def _has_server(folder: str) -> bool:
    """Whether the project's embedded Redis was ever started (`coord up`)."""
    return os.path.isfile(os.path.join(folder, "redis.json"))


def _toml(path: str, kinds: dict[str, str]) -> dict[str, Any]:
    """What a coord.toml says.

    Raises:
        SettingsError: It cannot be read, or has a key that is no setting.
    """
    import tomllib

    from pool.errors import SettingsError

    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    found = {}
    for name, value in given.items():
        if name not in kinds:
            raise SettingsError(f"{name} is not a setting ({path})")
        try:
            found[name] = compiled.parse(kinds[name], value) if isinstance(value, str) else value
        except ValueError as error:
            raise SettingsError(f"setting {name} ({path}): {error}") from None
    found.pop("home", None)
    return found


def _saved(folder: str) -> dict[str, Any]:
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8") as file:
            found = jsonlite.loads(file.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _save(folder: str, what: dict[str, Any]) -> None:
    """Keep it for the next call; a disk that cannot be written costs that one a few milliseconds."""
    temporary = os.path.join(folder, f".{NAME}.{os.getpid()}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(jsonlite.dumps(what))
        os.replace(temporary, os.path.join(folder, NAME))
    except OSError:
        return
