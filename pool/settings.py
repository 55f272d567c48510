"""Every setting of coord: `COORD_*` variables over coord.toml over the defaults here.

Unknown keys are refused. Hooks and helpers read the same settings from a compiled file
(``compile_settings``), because importing pydantic would cost them 200 ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pool import __version__, compiled, keys, local, prices, units, usage
from pool.errors import SettingsError


def _read(kind: str) -> BeforeValidator:
    """A text is read as hooks and helpers read it; another value (of coord.toml) is left to pydantic."""
    return BeforeValidator(lambda value: compiled.parse(kind, value) if isinstance(value, str) else value)


Duration = Annotated[float, BeforeValidator(units.duration)]
Names = Annotated[list[str], NoDecode, _read("list")]
Size = Annotated[int, Field(ge=0), _read("size")]
Whole = Annotated[int, _read("int")]
Number = Annotated[float, _read("number")]
Flag = Annotated[bool, _read("bool")]
File = Annotated[str, _read("file")]

#: How a variable is read, by its setting's type as it is written here; any other is text.
_KINDS = {
    "Duration": "duration",
    "Names": "list",
    "Size": "size",
    "Whole": "int",
    "Number": "number",
    "Flag": "bool",
    "File": "file",
}


class Settings(BaseSettings):
    """The settings in force. Durations are written 90, 90s, 10m or 2h; sizes 1MiB or 512KiB."""

    model_config = SettingsConfigDict(env_prefix="COORD_", extra="forbid", env_ignore_empty=True, frozen=True)

    redis_url: str = Field("", description="redis://, rediss:// or unix:// URL; empty: the embedded Redis")
    redis_url_file: File = Field("", description="file that holds that URL, where it has a password")
    home: str = Field("", description="folder of coord's own files; empty: .coord of the project")

    queue: str = Field("tasks", description="queue of a task submitted without one")
    queues: Names = Field(["tasks"], description="queues that a worker serves")

    idle_limit: Duration = Field(600.0, description="a worker without work for so long may stop")
    max_tasks: Whole = Field(0, ge=0, description="tasks per session, after which it may stop; 0: no limit")
    lease: Duration = Field(60.0, ge=0.5, description="a worker silent for so long is given up on")
    provisional: Duration = Field(10.0, gt=0, description="a hand-over not confirmed by then goes back")
    beat: Duration = Field(5.0, gt=0, description="time between two heartbeats of a keeper")
    recheck: Duration = Field(5.0, gt=0, description="a waiting hook looks again after about so long")
    stop_mode: Literal["wait", "poll"] = Field("wait", description="wait in the Stop hook, or block to check")
    poll_wait: Duration = Field(20.0, gt=0, description="in poll mode: wait before each block")
    hook_timeout: Duration = Field(86400.0, gt=0, description="timeout of the Stop hook as installed")
    quota_wait: Duration = Field(900.0, description="wait after a quota error whose reset is not known")
    quota_jitter: Duration = Field(
        30.0, description="an account's workers go on within so long of each other"
    )
    quota_grace: Duration = Field(
        900.0, description="a session at its prompt keeps its task for so long after its quota's reset"
    )
    error_wait: Duration = Field(
        60.0, gt=0, description="first wait after an API error that passes; it doubles, up to quota_wait"
    )
    reminders: Whole = Field(3, ge=1, description="reminders to finish a task before it fails")

    prices: Names = Field(
        [],
        description="prices beside the list, in USD for a million tokens: MODEL=INPUT/OUTPUT/READ/WRITE",
    )
    day_budget: Names = Field(
        [], description="what a day may cost: USD for all accounts together, ACCOUNT=USD for one"
    )
    cost_ttl: Duration = Field(400 * 86400.0, ge=86400, description="costs by day are kept for so long")

    task_timeout: Duration = Field(7200.0, gt=0, description="a task may run for so long")
    loss_limit: Whole = Field(3, ge=1, description="so many dead workers make a task fail as poison")
    release_limit: Whole = Field(5, ge=1, description="a task handed back more often fails")
    release_delay: Duration = Field(5.0, description="first delay of a released task; it doubles each time")
    release_delay_max: Duration = Field(300.0, description="the longest such delay")
    result_ttl: Duration = Field(30 * 86400.0, gt=0, description="finished tasks are kept for so long")
    failure_ttl: Duration = Field(365 * 86400.0, gt=0, description="failed tasks are kept for so long")

    title_limit: Whole = Field(200, ge=1, description="characters of a title")
    prompt_limit: Size = Field(2**20, description="bytes of a prompt")
    context_limit: Size = Field(256 * 1024, description="bytes of files inlined in a task")
    result_limit: Size = Field(2**20, description="bytes of a result")
    artifact_limit: Size = Field(2**20, description="bytes of one artifact")
    artifact_count: Whole = Field(8, ge=0, description="artifacts of a task")
    batch_limit: Whole = Field(100_000, ge=1, description="tasks in one `coord submit --from`")
    message_limit: Size = Field(4096, le=4096, description="bytes of a message of `coord tell`")
    event_limit: Whole = Field(100_000, ge=1, description="events kept in the stream pool:events")

    tick: Duration = Field(1.0, gt=0, le=1.0, description="time between two rounds of the coordinator")
    leader_ttl: Duration = Field(2.0, gt=0, description="a coordinator silent for so long is replaced")
    sweep: Duration = Field(30.0, gt=0, description="time between two searches for strays")
    active_window: Duration = Field(120.0, gt=0, description="a worker heard of since then is active")
    worker_memory: Duration = Field(3600.0, gt=0, description="stopped and dead workers are remembered")
    stats_ttl: Duration = Field(
        30 * 86400.0, ge=86400, description="what `coord stats` shows by the hour is kept for so long"
    )
    backstop: Duration = Field(86400.0, gt=0, description="RQ's own deadlines are parked so far ahead")

    schedule_tz: str = Field("UTC", description="time zone of a schedule that names none")
    schedule_grace: Duration = Field(60.0, ge=1, description="ticks no later than this are made, each")
    schedule_limit: Whole = Field(100, ge=1, description="missed ticks that `--catch-up all` makes, at most")

    check_timeout: Duration = Field(600.0, gt=0, description="a task's check may run for so long")
    check_limit: Whole = Field(3, ge=1, description="so many failed checks end an attempt at a task")
    check_wait: Duration = Field(90.0, ge=0, description="`coord-worker complete` waits for a check so long")
    check_output: Size = Field(64 * 1024, description="bytes of a check's output that are kept: the last")
    worktrees: File = Field("", description="folder of the tasks' git worktrees; empty: HOME/worktrees")

    trigger_channel: str = Field("claude-trigger", description="pub/sub channel of triggers")
    trigger_stream: str = Field("claude-triggers", description="stream of durable triggers")
    trigger_allow: Names = Field([], description="task fields that a trigger may set beside the safe ones")
    trigger_limit: Size = Field(64 * 1024, description="bytes of a trigger")

    account: str = Field("default", description="whose quota a worker uses: parking and cost go by it")
    checks: Flag = Field(False, description="run the commands that tasks are checked with")
    allow_bypass: Flag = Field(False, description="tasks may ask for the mode bypassPermissions here")

    claude: str = Field("", description="command that starts Claude Code; empty: PATH, else the wheel's")
    project: File = Field("", description="folder in which a supervised session works; empty: this one")
    worker_mode: Literal["hook", "stream", "terminal"] = Field(
        "hook", description="how a supervisor runs its sessions"
    )
    tmux: str = Field("", description="tmux session for sessions in terminal mode; empty: this terminal")
    tmux_socket: str = Field("coord", description="which tmux server (`tmux -L`); default: the usual one")
    workers: Whole = Field(1, ge=1, le=100, description="workers of one supervisor")
    workers_min: Whole = Field(0, ge=0, description="sessions that a supervisor keeps ready, tasks or not")
    workers_max: Whole = Field(0, ge=0, description="sessions that run at most; 0: one for each worker")
    worker_config: Literal["own", "shared"] = Field(
        "own", description="a configuration folder for each supervised worker, or the user's own"
    )
    drain_limit: Duration = Field(600.0, ge=0, description="a supervised session may finish for so long")
    session_time: Duration = Field(
        0.0, description="after so long a session is followed by a new one; 0: never"
    )
    session_tokens: Whole = Field(0, ge=0, description="the same, by the tokens in its context")
    session_memory: Size = Field(0, description="the same, by the memory of all its processes")
    model: str = Field("", description="model of supervised sessions; empty: the client's own choice")
    effort: str = Field("", description="how hard it thinks: low, medium, high, xhigh or max")
    permission_mode: str = Field("", description="how they ask for permission; empty: as the client does")
    allowed_tools: Names = Field([], description="tools that they may use unasked: Edit,Bash(git *)")
    disallowed_tools: Names = Field([], description="tools that they may not use")
    max_turns: Whole = Field(0, ge=0, description="turns of one message to a session; 0: no limit")
    budget: Number = Field(0.0, ge=0, description="US dollars that one session may cost; 0: no limit")
    log_size: Size = Field(50 * 2**20, description="bytes of log that are kept of each supervised worker")
    log_files: Whole = Field(5, ge=2, le=100, description="files among which that log is divided")

    monitor_enabled: Flag = Field(True, description="run the monitor with `coord up`")
    monitor_host: str = Field("127.0.0.1", description="address at which the monitor listens")
    monitor_port: Whole = Field(5050, ge=1, le=65535, description="port of the monitor")
    monitor_url: str = Field("", description="where hooks report to; empty: the monitor on this machine")
    monitor_fallback_polling: Flag = Field(True, description="look around more often while no hook is heard")
    monitor_polling_interval: Duration = Field(
        2.0, gt=0, description="time between two looks around while no hook is heard"
    )
    monitor_polling_interval_with_hooks: Duration = Field(
        60.0, gt=0, description="time between two looks at processes and the client's files, else"
    )
    monitor_session_timeout: Duration = Field(
        300.0, gt=0, description="hooks that are silent for so long are not relied on"
    )
    monitor_event_limit: Whole = Field(
        20_000, ge=1, description="events of sessions kept in pool:events, beside the pool's own"
    )
    monitor_operator_token: str = Field(
        "", description="token that lets act through the monitor; empty: one is made in HOME/monitor.token"
    )
    monitor_operator_token_file: File = Field("", description="file that holds it; it may be changed")
    monitor_viewer_token: str = Field("", description="token that lets look from other machines")
    monitor_viewer_token_file: File = Field("", description="file that holds it; it may be changed")
    monitor_hook_token: str = Field("", description="token with which hooks of other machines report")
    monitor_hook_token_file: File = Field("", description="file that holds it; it may be changed")
    monitor_hosts: Names = Field([], description="names under which the monitor is asked, beside localhost")
    monitor_body_limit: Size = Field(4 * 2**20, description="bytes of a request to the monitor")
    monitor_rate: Whole = Field(1000, ge=1, description="requests of one client to the monitor, per second")
    monitor_connections: Whole = Field(2000, ge=10, description="connections to the monitor at one time")
    monitor_streams: Whole = Field(256, ge=1, description="clients that follow its events at one time")

    played: Flag = Field(False, description="(demo) the worker's model is played by a script")

    monitor_label_limit: Whole = Field(
        50, ge=1, description="queues, accounts and models with a label of their own in GET /metrics"
    )

    monitor_notify: Names = Field(
        ["desktop", "browser"],
        description="how people are told that a session waits for them, or a task has failed: "
        "desktop, browser, webhook; or none",
    )
    monitor_notify_after: Duration = Field(
        5.0, ge=0, description="a session that waits for a person for so long is told of"
    )
    monitor_notify_rate: Whole = Field(
        6, ge=1, description="notifications a minute, by each of these ways; more are made one"
    )
    monitor_notify_webhook: str = Field("", description="URL to which notifications are POSTed as JSON")
    monitor_notify_webhook_file: File = Field("", description="file that holds it: it may be a secret")
    monitor_notify_secret: str = Field("", description="what such a POST is signed with (HMAC-SHA256)")
    monitor_notify_secret_file: File = Field("", description="file that holds it")

    @field_validator("queue", "queues")
    @classmethod
    def _check_queues(cls, value: str | list[str]) -> str | list[str]:
        for name in [value] if isinstance(value, str) else value:
            if not units.is_queue(name):
                raise ValueError(f"{name!r} is not a queue name: letters, digits, '.', '_' and '-'")
        if not value:
            raise ValueError("a worker serves at least one queue")
        return value

    @field_validator("monitor_url")
    @classmethod
    def _check_monitor_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError(f"{value[:60]!r} is not where a monitor is: http://HOST:PORT or https://HOST")
        return value

    @field_validator("monitor_hosts")
    @classmethod
    def _check_monitor_hosts(cls, value: list[str]) -> list[str]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
                raise ValueError(f"{name[:60]!r} is not the name of a host (without http:// and port)")
        return value

    @field_validator("monitor_notify")
    @classmethod
    def _check_channels(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in ("desktop", "browser", "webhook", "none"):
                raise ValueError(f"{name[:60]!r} is not one of desktop, browser, webhook and none")
        return list(dict.fromkeys(value))

    @field_validator("prices")
    @classmethod
    def _check_prices(cls, value: list[str]) -> list[str]:
        for each in value:
            prices.parse(each)
        return value

    @field_validator("day_budget")
    @classmethod
    def _check_budgets(cls, value: list[str]) -> list[str]:
        usage.day_budgets(value, "")
        return value

    @field_validator("account")
    @classmethod
    def _check_account(cls, value: str) -> str:
        if not units.is_worker_id(value):
            raise ValueError(f"{value[:60]!r} is not an account: letters, digits, '.', '_' and '-'")
        return value

    @classmethod
    def settings_customise_sources(  # noqa: D102 - pydantic's own
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        config = config_path()
        toml = (TomlConfigSettingsSource(settings_cls, config),) if config else ()
        return (init_settings, env_settings, *toml)


def config_path() -> Path | None:
    """The coord.toml in force: COORD_CONFIG, the nearest one above here, or the user's own."""
    found = compiled.config_file()
    return Path(found) if found else None


def user_home() -> Path:
    """The folder of coord's own files outside of any project."""
    return Path(compiled.user_home())


def load(**given: Any) -> Settings:
    """The settings in force, with ``given`` over all.

    Raises:
        SettingsError: A key is unknown or a value is wrong; the message is one line.
    """
    for variable in sorted(os.environ):
        name = variable.removeprefix("COORD_").lower()
        if variable.startswith("COORD_") and variable not in compiled.PROCESS_VARIABLES:
            if name not in Settings.model_fields:
                raise SettingsError(f"{variable} is not a setting: `coord settings` lists them")
        elif variable.upper().startswith("COORD_") and not variable.isupper():
            raise SettingsError(f"{variable} is not read: write {variable.upper()}")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_problem(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{config_path()} is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{config_path()} is not TOML: it is not UTF-8 text") from None
    except OSError as error:
        raise SettingsError(f"{error.filename or 'the settings'}: {error.strerror}") from None
    if os.environ.get("COORD_REDIS_URL_FILE") and not os.environ.get("COORD_REDIS_URL"):
        settings = settings.model_copy(update={"redis_url": ""})  # over a redis_url in coord.toml
    # Absolute, because hooks run in other folders than the command that compiles them; a relative one in
    # coord.toml is meant from there.
    config = None if os.environ.get("COORD_HOME") or "home" in given else config_path()
    start = config.parent if config else Path()
    usual = compiled.home_folder(compiled.config_file())
    home = start / Path(settings.home).expanduser() if settings.home else usual
    return settings.model_copy(update={"home": os.path.abspath(home)})


def _problem(error: ValidationError) -> str:
    """What is wrong with the first wrong setting, and where it was set."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    if first["type"] == "extra_forbidden":
        return f"{name} is not a setting ({config_path()}): `coord settings` lists them"
    message = first["msg"].removeprefix("Value error, ")
    variable = f"COORD_{name.upper()}"
    where = variable if os.environ.get(variable) else f"setting {name} ({config_path() or 'given'})"
    return f"{where}: {message[:1].lower()}{message[1:]}"


def kind(name: str) -> str:
    """How the compiled settings read a variable: duration, size, int, number, bool, list, file or str."""
    return _KINDS.get(Settings.__annotations__[name], "str")


def compile_values(settings: Settings) -> dict[str, Any]:
    """What hooks and helpers need to know: the values, how to read overrides, and RQ's key names."""
    return {
        "format": compiled.FORMAT,
        "coord": __version__,
        # (Sessions read this file, and hooks only report.)
        "values": {**settings.model_dump(), "monitor_operator_token": "", "monitor_viewer_token": ""},
        "kinds": {name: kind(name) for name in Settings.model_fields},
        "templates": keys.templates(),
        "rq_version": metadata.version("rq"),
    }


def compile_settings(settings: Settings, path: Path | None = None) -> Path:
    """Write the compiled settings (by default to HOME/compiled.json) and return where they are."""
    target = path or Path(settings.home) / compiled.NAME
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    local.ignore(str(target.parent))
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".compiled-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:  # mkstemp makes it 0600: it may hold a password
        json.dump(compile_values(settings), file, indent=1)
    os.replace(temporary, target)
    return target


def redis_url(settings: Settings) -> str:
    """The Redis in force: the setting, the file, this project's embedded server, else the usual port.

    Raises:
        RedisAway: The embedded server does not run, or the file cannot be read.
    """
    return compiled.redis_url(settings.redis_url, settings.redis_url_file, settings.home)


def compile_for_hooks(path: str) -> str | None:
    """Print the compiled settings for a hook or helper that found none, and keep them where that is possible.

    Returns an error line (the process's exit message) or None.
    """
    target = Path(path)
    try:
        if target.name == compiled.BY_HAND:
            # It serves other calls, too: what holds for this one alone is read from the environment anyway.
            for variable in [name for name in os.environ if name.startswith("COORD_")]:
                if variable not in ("COORD_CONFIG", "COORD_HOME"):
                    del os.environ[variable]
            settings = load()
        else:
            settings = load(home=str(target.parent))
        data = compile_values(settings)
    except SettingsError as error:
        return str(error)
    with contextlib.suppress(OSError):  # a read-only disk: it goes on with what it reads from us
        compile_settings(settings, target)
    print(json.dumps(data))
    return None
