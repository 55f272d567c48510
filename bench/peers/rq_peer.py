"""RQ: `enqueue` of a function by its name; workers are `rq worker`."""

from __future__ import annotations

import redis
import rq

from bench.peers.common import URL, mark, produce


def noop() -> str:
    """The task."""
    mark()
    return "ok"


if __name__ == "__main__":
    queue = rq.Queue("bench", connection=redis.Redis.from_url(URL))

    def send(count: int) -> None:
        """One by one."""
        for _ in range(count):
            queue.enqueue("bench.peers.rq_peer.noop")

    produce(send)
