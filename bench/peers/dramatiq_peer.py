"""Dramatiq on Redis with its results middleware."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.peers.common import URL, mark, produce

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


def _noop() -> str:
    mark()
    return "ok"


noop = dramatiq.actor(_noop, actor_name="noop", store_results=True)

if __name__ == "__main__":

    def send(count: int) -> None:
        """One by one."""
        for _ in range(count):
            noop.send()

    produce(send)
