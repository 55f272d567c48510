"""Celery on Redis: late acknowledgement, one task at a time, results in Redis."""

from __future__ import annotations

from celery import Celery

from bench.peers.common import URL, mark, produce

app = Celery("bench.peers.celery_peer", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)


def _noop() -> str:
    mark()
    return "ok"


noop = app.task(_noop, name="noop")

if __name__ == "__main__":

    def send(count: int) -> None:
        """One by one."""
        for _ in range(count):
            noop.delay()

    produce(send)
