"""SAQ on Redis; three tries, so that a task survives its worker."""

from __future__ import annotations

import asyncio
from typing import Any

from saq import Queue

from bench.peers.common import URL, mark, produce

queue = Queue.from_url(URL)


async def noop(context: dict[str, Any]) -> str:
    """The task."""
    mark()
    return "ok"


settings = {"queue": queue, "functions": [noop]}

if __name__ == "__main__":
    loop = asyncio.new_event_loop()

    async def some(count: int) -> None:
        """One by one."""
        for _ in range(count):
            await queue.enqueue("noop", retries=3)

    loop.run_until_complete(queue.connect())
    produce(lambda count: loop.run_until_complete(some(count)))
