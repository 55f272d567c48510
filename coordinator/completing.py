"""What a shell completes live: ids of tasks and workers, names of queues.

Asked of Redis with a short deadline. When it is away, slow or refuses, there is simply nothing to complete.
Every module is imported late: a keystroke waits for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    import redis

#: So long (seconds) a keystroke may wait for Redis.
_DEADLINE = 0.5
#: So many of the newest tasks are offered.
_NEWEST = 200

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(ask: Callable[[redis.Redis], list[tuple[str, str]]]) -> Completer:
    """What begins with the word so far, and is not in the command line yet."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        from pool import connect, settings
        from pool.errors import CoordError

        given: Any = ctx.params.get(param.name or "") or ()
        found: list[tuple[str, str]] = []
        with contextlib.suppress(redis.RedisError, CoordError, OSError):
            options: dict[str, Any] = {"socket_timeout": _DEADLINE, "socket_connect_timeout": _DEADLINE}
            with connect.client(settings.load(), retry=Retry(NoBackoff(), 0), **options) as connection:
                found = ask(connection)
        return [
            CompletionItem(_plain(name), help=_plain(what)[:60])
            for name, what in found
            if name.startswith(incomplete) and name not in given
        ]

    return complete


def _plain(text: str) -> str:
    """Without what would steer a terminal, or end the line that the shell reads."""
    return "".join(c if c.isprintable() else " " for c in text)


def _tasks(*statuses: str) -> Completer:
    return _completer(lambda connection: _ask_tasks(connection, statuses))


def _ask_tasks(connection: redis.Redis, statuses: Sequence[str]) -> list[tuple[str, str]]:
    from pool import view

    found = view.tasks(connection, view.latest_ids(connection, 0, _NEWEST - 1))
    return [(each.id, f"{each.status}: {each.title}") for each in found
            if not statuses or each.status in statuses]  # fmt: skip


def _ask_workers(connection: redis.Redis) -> list[tuple[str, str]]:
    from pool import view

    return [(each.id, each.state) for each in view.workers(connection, departed=False)]


def _ask_queues(connection: redis.Redis) -> list[tuple[str, str]]:
    from pool import model, view

    return [
        (name, "") for name in sorted({model.split_queue(name)[0] for name in view.queue_names(connection)})
    ]


def _ask_schedules(connection: redis.Redis) -> list[tuple[str, str]]:
    found: Any = connection.zrange("pool:schedules", 0, _NEWEST - 1)
    return sorted((raw.decode("utf-8", "replace"), "") for raw in found)


tasks = _tasks()
#: Those of which a command can make something.
open_tasks = _tasks("queued", "deferred", "scheduled", "started")
ended_badly = _tasks("failed", "canceled")
running_or_scheduled = _tasks("started", "scheduled")
workers = _completer(_ask_workers)
#: Who can be told something: a worker, or the one that holds a task.
told = _completer(lambda connection: [*_ask_workers(connection), *_ask_tasks(connection, ("started",))])
queues = _completer(_ask_queues)
schedules = _completer(_ask_schedules)
