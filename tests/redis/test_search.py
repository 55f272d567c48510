"""Looking for tasks and their history: by words, in pages, never at more than so many."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from pool import events, search, view
from pool.claim import Caller
from pool.scripts import Pool

Submit = Callable[..., str]
Register = Callable[..., Caller]


def ids(found: search.Found) -> list[str]:
    return [each.id for each in found.tasks]


def test_all_words_must_occur_in_what_is_said_of_a_task(conn: redis.Redis, submit: Submit) -> None:
    submit(id="a", title="Fix the flaky cache test")
    submit(id="b", title="Обновить документацию", queue="docs")
    submit(id="c", title="Fix the docs")
    assert ids(search.search(conn)) == ["c", "b", "a"]
    assert ids(search.search(conn, "FIX test")) == ["a"]
    assert ids(search.search(conn, "обновить")) == ["b"]
    assert ids(search.search(conn, queue="docs")) == ["b"]
    assert ids(search.search(conn, "fix", status="queued")) == ["a", "c"]  # in the order of claims
    assert ids(search.search(conn, status="failed")) == []
    assert ids(search.search(conn, "nothing like it")) == []


def test_a_task_is_found_by_its_id_however_old_it_is(
    conn: redis.Redis, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(id="the-old-one", title="old")
    for number in range(12):
        submit(title=f"new {number}")
    monkeypatch.setattr(search, "LOOK", 10)
    assert ids(search.search(conn, "old"))[:1] == []
    assert ids(search.search(conn, "the-old-one")) == ["the-old-one"]


def test_pages_go_on_where_the_last_one_ended_and_miss_none(conn: redis.Redis, submit: Submit) -> None:
    made = [submit(title=f"number {number}") for number in range(25)]
    conn.delete("rq:job:" + made[20])  # it has expired
    seen: list[str] = []
    first: int | None = 0
    while first is not None:
        found = search.search(conn, "number", first=first, limit=10)
        assert found.total == 25
        seen += ids(found)
        first = found.more
    assert seen == [task_id for task_id in reversed(made) if task_id != made[20]]


def test_no_more_is_looked_at_than_is_said(
    conn: redis.Redis, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(title="needle")
    for number in range(30):
        submit(title=f"straw {number}")
    monkeypatch.setattr(search, "LOOK", 20)
    found = search.search(conn, "needle")
    assert (ids(found), found.looked, found.total, found.more) == ([], 20, 31, 20)
    assert len(ids(search.search(conn, "needle", first=20))) == 1


def test_a_tasks_history_is_its_own_and_says_whether_it_is_whole(
    conn: redis.Redis, pool: Pool, submit: Submit, register: Register
) -> None:
    caller = register()
    task_id = submit(id="a", title="first")
    submit(id="b", title="second")
    handed = pool.claim(caller).handed
    assert handed is not None and handed.claim.task_id == "a"
    conn.xadd(events.EVENTS, {"type": "session", "task": "a", "worker": "w1", "detail": "seen"})
    made = view.task(conn, task_id).created_at
    assert made is not None
    found, whole = events.of_task(conn, "a", 0, 1000)
    assert whole and [row["type"] for row in found][:2] == ["submitted", "claimed"]
    assert all(row["task"] == "a" and row["type"] != "session" for row in found)
    assert not events.of_task(conn, "a", 0, 2)[1]
