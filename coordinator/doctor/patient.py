"""The installation that is looked at: its settings, its Redis, what Redis says of itself, its hooks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pool import connect, wire
from pool import settings as settings_module
from pool.errors import RedisAway
from pool.settings import Settings

#: A Redis that is silent for so long (seconds) does not answer.
PATIENCE = 2.0

#: Who may ask the doctor: the parts of the pool, by what they must be allowed to do.
PARTS = ("coordinator", "worker", "monitor", "viewer")


@dataclass(frozen=True)
class Scope:
    """One settings file of Claude Code, with what of coord's is in it."""

    name: str
    path: str
    #: The whole file's value; {} when there is none.
    value: dict[str, Any] = field(default_factory=dict)
    installed: bool = False
    worker: bool = False
    copy: bool = False
    interpreter: str = ""
    #: Interpreter, hook files and compiled settings are there: the hooks can be fired.
    whole: bool = False
    #: What is wrong with the installation, a sentence each.
    problems: tuple[str, ...] = ()
    #: Event -> commands of ours.
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: Where the monitor's hooks report to ('' there are none), and what is wrong with them.
    monitor: str = ""
    monitor_problems: tuple[str, ...] = ()

    @property
    def install(self) -> str:
        """The command that installs it (again)."""
        options = f" --scope {self.name}" if self.name != "project" else ""
        options += " --worker" if self.worker else ""
        return f"coord hooks install{options}{' --copy' if self.copy else ''}"

    @property
    def install_monitor(self) -> str:
        """The command that installs the monitor's hooks (again)."""
        return "coord hooks install --monitor" + (f" --scope {self.name}" if self.name != "project" else "")


@dataclass
class Patient:
    """What the checks look at; ``reach`` fills in what Redis says of itself."""

    settings: Settings
    scopes: list[Scope]
    #: Which part of the pool the user in the URL is meant to serve.
    part: str = "coordinator"
    #: A hook that takes longer (seconds) is slow.
    slow: float = 0.5
    #: Why there is no Redis to look at; '' when it answers.
    away: str = "it was not asked"
    address: wire.Address = field(default_factory=lambda: wire.Address("redis://127.0.0.1"))
    url: str = ""
    hello: dict[str, str] = field(default_factory=dict)
    #: None: the user may not ask.
    info: dict[str, Any] | None = None
    #: Best round trip, in seconds.
    round_trip: float = 0.0
    #: It is fakeredis: what is asked of a real server does not matter.
    imitation: bool = False
    _client: redis.Redis | None = None

    @property
    def home(self) -> Path:
        """The folder of coord's own files."""
        return Path(self.settings.home)

    @property
    def embedded(self) -> bool:
        """Whether Redis is this project's own."""
        return not (self.settings.redis_url or self.settings.redis_url_file)

    @property
    def user(self) -> str:
        """The Redis user in the URL."""
        return self.address.username or "default"

    @property
    def cli(self) -> str:
        """How `redis-cli` is called to administer this Redis (it asks for the password itself)."""
        at = self.address
        words = ["redis-cli"]
        if at.path:
            words += ["-s", at.path]
        else:
            words += [] if at.host in ("127.0.0.1", "localhost") else ["-h", at.host]
            words += [] if at.port == 6379 else ["-p", str(at.port)]
        words += ["--tls"] if at.tls else []
        words += ["-n", str(at.db)] if at.db else []
        words += ["--user", "ADMIN"] if at.username else []
        words += ["--askpass"] if at.password or at.username else []
        return " ".join(words)

    @property
    def elsewhere(self) -> str:
        """What to do where this user may not look. (CONFIG GET shows passwords: it is given to few.)"""
        return f"look as a user who may (not {self.user}): COORD_REDIS_URL=URL coord doctor --only redis"

    def connect(self) -> redis.Redis:
        """The client; nothing is sent yet.

        Raises:
            RedisAway: The project's embedded Redis does not run.
            SettingsError: The URL is not one of Redis.
        """
        if self._client is None:
            self.url = settings_module.redis_url(self.settings)
            self.address = wire.Address(self.url)
            self._client = self.client()
        return self._client

    def client(self, **options: Any) -> redis.Redis:
        """A client of its own."""
        return connect.client(
            self.settings, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0), **options,
        )  # fmt: skip

    @property
    def redis(self) -> redis.Redis:
        """The client of a Redis that has answered.

        Raises:
            RedisAway: It has not.
        """
        if self.away:
            raise RedisAway(self.away)
        return self.connect()

    def config(self, name: str) -> str | None:
        """A setting of the server; None when the user may not ask, or it has none of that name."""
        try:
            found: Any = self.redis.config_get(name)
        except redis.ResponseError:
            return None
        return str(found[name]) if name in found else None

    def without_secret(self, text: str) -> str:
        """A text in which the password, wherever it came from, is not to be read."""
        secret = self.address.password
        text = text.replace(secret, "***") if len(secret) > 3 else text
        return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()
