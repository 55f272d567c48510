"""taskiq on Redis streams (acknowledged when the result is saved), results in Redis for a day."""

from __future__ import annotations

import asyncio

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.peers.common import URL, mark, produce

# The group begins at the stream's start, so that no task from before the first worker is passed over.
broker = RedisStreamBroker(URL, consumer_id="0").with_result_backend(
    RedisAsyncResultBackend(URL, result_ex_time=86400)
)


async def _noop() -> str:
    mark()
    return "ok"


noop = broker.register_task(_noop, task_name="noop")

if __name__ == "__main__":
    loop = asyncio.new_event_loop()

    async def some(count: int) -> None:
        """One by one."""
        for _ in range(count):
            await noop.kiq()

    loop.run_until_complete(broker.startup())
    produce(lambda count: loop.run_until_complete(some(count)))
