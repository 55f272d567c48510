"""Tasks that come after one that failed or was cancelled: they are said not to run, and not waited for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from pool import view
from pool.claim import Caller
from pool.scripts import Pool
from tests.redis.coord import Coord

Submit = Callable[..., str]
Register = Callable[..., Caller]


@pytest.fixture
def chain(pool: Pool, submit: Submit, register: Register) -> None:
    """bad has failed; child, and its child, come after it; patient does so, too, and may."""
    submit(id="bad")
    submit(id="child", after=["bad"])
    submit(id="grandchild", after=["child"], allow_failure=True)
    submit(id="open")
    submit(id="waits", after=["open"])
    me = register()
    handed = pool.claim(me).handed
    assert handed is not None and handed.claim.task_id == "bad"
    pool.fail(me, handed.claim, "no", retry=False)


def blocked(conn: redis.Redis, task_id: str) -> list[str]:
    return view.task(conn, task_id).blocked_by


def test_who_is_blocked_and_by_what(chain: None, conn: redis.Redis, pool: Pool, submit: Submit) -> None:
    assert blocked(conn, "child") == blocked(conn, "grandchild") == ["bad"]
    assert blocked(conn, "waits") == blocked(conn, "open") == blocked(conn, "bad") == []
    pool.cancel("open", "not needed")
    assert blocked(conn, "waits") == ["open"]
    pool.requeue("bad", "retry", "again")
    assert blocked(conn, "child") == blocked(conn, "grandchild") == []


def test_screens_say_so(chain: None, coord: Coord) -> None:
    said = "will not run: it comes after bad, not finished; `coord retry bad`"
    assert said in coord("task", "child").out
    assert coord("tasks").out.count(said) == 2
    assert coord.json("task", "grandchild")["blocked_by"] == ["bad"]


def test_it_is_not_waited_for(chain: None, coord: Coord) -> None:
    assert coord("wait", "child", "grandchild", code=1).out.count("deferred: will not run") == 2
    assert "the time ran out" in coord("wait", "child", "waits", "--timeout", "0.2s", code=1).err


def test_a_circle_ends(conn: redis.Redis, submit: Submit) -> None:
    """(Only another program can make one.)"""
    submit(id="root")
    for name, other in (("a", "b"), ("b", "a")):
        submit(id=name, after=["root"])
        conn.hset(f"rq:job:{name}", "dependency_ids", f'["{other}"]')
    assert blocked(conn, "a") == []
