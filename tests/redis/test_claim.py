"""claim.lua: the highest priority present, then the oldest, among the worker's queues."""

from __future__ import annotations

from collections.abc import Callable

from pool.claim import Caller
from pool.scripts import Pool

Submit = Callable[..., str]
Register = Callable[..., Caller]


def test_priorities_come_before_age_and_age_before_nothing(
    pool: Pool, submit: Submit, register: Register
) -> None:
    submit(id="low", priority="low")
    submit(id="old")
    submit(id="new", queue="other")
    submit(id="high", priority="high", queue="other")
    me = register(queues=("other", "tasks"))

    order = []
    for _ in range(4):
        handed = pool.claim(me).handed
        assert handed is not None
        order.append(handed.claim.task_id)
        pool.complete(me, handed.claim, "null")

    assert order == ["high", "old", "new", "low"]
