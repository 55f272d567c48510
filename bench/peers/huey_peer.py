"""Huey on Redis, results kept until they are read."""

from __future__ import annotations

from huey import RedisHuey

from bench.peers.common import URL, mark, produce

huey = RedisHuey("bench", url=URL, results=True)


def _noop() -> str:
    mark()
    return "ok"


noop = huey.task(name="noop")(_noop)

if __name__ == "__main__":
    # A task is known by its module's name, which must not be __main__.
    from bench.peers import huey_peer

    def send(count: int) -> None:
        """One by one."""
        for _ in range(count):
            huey_peer.noop()

    produce(send)
