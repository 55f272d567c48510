"""redis-py's client for the settings in force, its errors in our words, and the pool on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from pool import keys, scripts
from pool import settings as settings_module
from pool.errors import RedisAway, SettingsError
from pool.settings import Settings
from pool.wire import Address


def client(settings: Settings, **options: Any) -> redis.Redis:
    """A client of the Redis in force; nothing is sent yet.

    Raises:
        SettingsError: The URL is not one of Redis.
    """
    url = settings_module.redis_url(settings)
    Address(url)  # the same words for a wrong URL as hooks and helpers have
    given: dict[str, Any] = {
        "socket_timeout": 10.0,
        "socket_connect_timeout": 3.0,
        "health_check_interval": 30,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 1),
        **options,
    }
    try:
        return redis.Redis.from_url(url, **given)
    except ValueError as error:
        raise SettingsError(f"redis_url: {error}") from None


def pool(settings: Settings, connection: redis.Redis | None = None) -> scripts.Pool:
    """The transitions over a connection (a new one unless given)."""
    return scripts.Pool(connection or client(settings), settings.model_dump(), keys.templates())


@contextmanager
def reachable(settings: Settings) -> Iterator[None]:
    """Turn redis-py's connection errors into RedisAway, one line without the password."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.AuthenticationError) as error:
        raise RedisAway(away(settings, error)) from None
    except redis.NoPermissionError as error:
        raise RedisAway(f"Redis refuses this user: {error}") from None
    except redis.ResponseError as error:
        if str(error).startswith(("NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN", "READONLY", "MISCONF", "OOM")):
            raise RedisAway(f"Redis cannot do it now: {error}") from None
        raise


def away(settings: Settings, error: Exception) -> str:
    """Why Redis cannot be reached, and what to do about it."""
    at = Address(settings_module.redis_url(settings))
    where = at.path or f"{at.host}:{at.port}"
    text = " ".join(str(error).split())
    if isinstance(error, redis.AuthenticationError) or "WRONGPASS" in text or "NOAUTH" in text:
        return f"Redis at {where} refuses the login ({text}): check the user and password in COORD_REDIS_URL"
    return f"Redis at {where} cannot be reached ({text}); `coord up` starts one, COORD_REDIS_URL names another"
