"""redis-py's client for the settings in force, its errors in our words, and the pool on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from pool import keys, scripts, wire
from pool import settings as settings_module
from pool.errors import CoordError, RedisAway
from pool.settings import Settings

#: The words that redis-py takes off an error reply, for it has a class of its own for them.
_WORDS: dict[type[Exception], str] = {
    redis.AuthenticationError: "WRONGPASS",
    redis.BusyLoadingError: "LOADING",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.ReadOnlyError: "READONLY",
    redis.ResponseError: "ERR",
}


def client(settings: Settings, **options: Any) -> redis.Redis:
    """A client of the Redis in force; nothing is sent yet.

    Raises:
        SettingsError: The URL is not one of Redis.
    """
    at = wire.Address(settings_module.redis_url(settings))  # the one reader of URLs: hooks use the same
    given: dict[str, Any] = {
        "db": at.db, "username": at.username or None, "password": at.password or None, "protocol": 2,
        "socket_timeout": wire.TIMEOUT, "socket_connect_timeout": 3.0, "health_check_interval": 30,
        # A line that was cut is opened once more; a server that does not answer is not asked again.
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 1, supported_errors=(redis.ConnectionError,)),
    }  # fmt: skip
    if at.path:
        given["unix_socket_path"] = at.path
    else:
        given |= {"host": at.host, "port": at.port}
    if at.tls:
        given |= {
            "ssl": True, "ssl_ca_certs": at.tls_ca or None, "ssl_certfile": at.tls_cert or None,
            "ssl_keyfile": at.tls_key or None, "ssl_check_hostname": at.tls_verify,
            "ssl_cert_reqs": "required" if at.tls_verify else "none",
        }  # fmt: skip
    return redis.Redis(**(given | options))


def pool(settings: Settings, connection: redis.Redis | None = None) -> scripts.Pool:
    """The transitions over a connection (a new one unless given)."""
    return scripts.Pool(connection or client(settings), settings.model_dump(), keys.templates())


@contextmanager
def reachable(settings: Settings) -> Iterator[None]:
    """Turn redis-py's errors into ours: one line, with what to do, without the password."""
    try:
        yield
    except redis.RedisError as error:
        raise trouble(settings, error) from None


def trouble(settings: Settings, error: Exception) -> CoordError:
    """An error of redis-py's in our words: RedisAway when Redis cannot serve us now, or not us."""
    try:
        at = wire.Address(settings_module.redis_url(settings))
    except RedisAway as gone:
        return gone  # the embedded one has ended
    text = " ".join(str(error).split())
    word = _WORDS.get(type(error), "")
    refused = wire.refusal(at, text) or wire.refusal(at, f"{word} {text}")
    if refused:
        return RedisAway(refused)
    if isinstance(error, redis.exceptions.InvalidResponse):
        return RedisAway(wire.away(at, wire.NOT_REDIS))
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
        text = (at.unread_file() if at.tls else "") or text
        return RedisAway(wire.away(at, text.rstrip(".")))
    return CoordError(f"Redis at {at.where} refused: {text}")
