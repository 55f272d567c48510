"""streaQ as it is set up by default."""

from __future__ import annotations

import asyncio

from streaq import Worker

from bench.peers.common import URL, mark, produce

worker = Worker(redis_url=URL)


async def _noop() -> str:
    mark()
    return "ok"


noop = worker.task(name="noop")(_noop)

if __name__ == "__main__":

    async def serve() -> None:
        """One by one, over the worker's own client."""
        async with worker:
            loop = asyncio.get_running_loop()

            async def some(count: int) -> None:
                for _ in range(count):
                    await noop.enqueue()

            def send(count: int) -> None:
                asyncio.run_coroutine_threadsafe(some(count), loop).result()

            await asyncio.to_thread(produce, send)

    asyncio.run(serve())
