"""arq as it is set up by default (it looks for work every half second)."""

from __future__ import annotations

import asyncio
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from bench.peers.common import URL, mark, produce

redis_settings = RedisSettings.from_dsn(URL)


async def noop(context: dict[str, Any]) -> str:
    """The task."""
    mark()
    return "ok"


class WorkerSettings:
    """What `arq` reads."""

    functions = (noop,)
    redis_settings = redis_settings


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    pool = loop.run_until_complete(create_pool(redis_settings))

    async def some(count: int) -> None:
        """One by one."""
        for _ in range(count):
            await pool.enqueue_job("noop")

    produce(lambda count: loop.run_until_complete(some(count)))
