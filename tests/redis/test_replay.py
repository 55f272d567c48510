"""A commit said again is no second one, and a claim that has ended one way does not end another way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from pool import view
from pool.claim import Caller, Claim
from pool.errors import StaleClaim
from pool.scripts import Pool

Submit = Callable[..., str]
Register = Callable[..., Caller]
WAYS = ("complete", "fail", "release")


def end(pool: Pool, me: Caller, claim: Claim, way: str) -> str:
    """End a claim one way; the verdict."""
    if way == "complete":
        return pool.complete(me, claim, '"done"')
    return (pool.fail(me, claim, "no") if way == "fail" else pool.release(me, claim, "not now", 0.0))[0]


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_said_again_it_is_done_already_and_said_otherwise_it_is_too_late(
    first: str, second: str, pool: Pool, submit: Submit, register: Register, conn: redis.Redis
) -> None:
    submit(id="t", retries=1)
    me = register()
    handed = pool.claim(me).handed
    assert handed is not None
    end(pool, me, handed.claim, first)
    before = view.task(conn, "t")
    if (first == "complete") == (second == "complete"):
        assert end(pool, me, handed.claim, second) == "already"
    else:
        with pytest.raises(StaleClaim, match="is not yours any more"):
            end(pool, me, handed.claim, second)
    assert view.task(conn, "t") == before
