"""A failover to a replica that lags behind: what is lost, and what goes on all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import connect, model, view
from pool import settings as settings_module
from tests.proxy import Proxy
from tests.redis.ticking import Ticking
from tests.server import Server
from tests.session import Session, eventually


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server, Proxy]]:
    """A primary, its replica, and the name that leads to whichever is the primary."""
    with Server(tmp_path / "one", appendonly=True) as primary:
        follow = ("--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0")
        with Server(tmp_path / "two", appendonly=True, extra=follow) as replica:
            name = Proxy(primary.port)
            yield primary, replica, name
            name.close()


def test_failover(
    pair: tuple[Server, Server, Proxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, replica, name = pair
    monkeypatch.chdir(tmp_path)
    settings = settings_module.load(
        redis_url=name.url,
        home=str(tmp_path / "home"),
        lease=3,
        beat=0.3,
        tick=0.2,
        leader_ttl=1,
        recheck=0.5,
    )
    one, two = (redis.Redis.from_url(each.url) for each in (primary, replica))
    pool = connect.pool(settings, one)

    def submit(task_id: str) -> None:
        spec = model.parse_spec({"prompt": "do it", "id": task_id})
        assert pool.submit([model.record(spec, settings, 0.0)[1]])[0] == "ok"

    def followed() -> bool:
        facts: Any = one.info("replication")
        return bool(facts["connected_slaves"] and facts["slave0"]["offset"] == facts["master_repl_offset"])

    eventually(followed, 20)
    session = Session(settings, tmp_path, "w1")
    try:
        with Ticking(settings) as coordinator:
            session.start()
            for task_id in ("kept", "held", "waits"):
                submit(task_id)
            assert session.bash("coord-worker claim").returncode == 0
            assert session.bash('coord-worker complete kept --result "the first"').returncode == 0
            assert session.bash("coord-worker claim").returncode == 0
            eventually(followed, 20)

            # The replica becomes the primary, and clients have not noticed: what they are told now is lost.
            two.replicaof("NO", "ONE")
            assert (
                session.bash('coord-worker complete held --result "acknowledged, and lost"').returncode == 0
            )
            submit("lost")
            one.replicaof("127.0.0.1", replica.port)
            name.target = replica.port

            # The coordinator and the keeper find the new primary; no lease is believed expired meanwhile.
            coordinator.until(lambda: two.get("pool:leader"), 10)
            assert any("it is a replica" in line or "cannot be reached" in line for line in coordinator.lines)
            beat = two.hget("pool:worker:w1", "beat_at")
            coordinator.until(lambda: two.hget("pool:worker:w1", "beat_at") != beat, 10)
            coordinator.during(settings.lease + 0.5)
        assert two.hget("rq:job:held", "status") == b"started", "its worker lives: it is not taken away"
        assert two.hget("rq:job:held", "pool_losses") is None
        assert not two.exists("rq:job:lost"), "what the replica never heard of is lost"
        assert [task.status for task in _tasks(two, "kept", "waits")] == ["finished", "queued"]

        # The worker is handed what it still holds there, does it again, and one result is committed.
        handed = session.bash("coord-worker claim")
        assert "coord-worker complete held." in handed.stdout
        done = session.bash('coord-worker complete held --result "the second time"')
        assert done.returncode == 0, done
        entries: Any = two.xrange("rq:results:held")
        assert len(entries) == 1
        assert _tasks(two, "held")[0].result == "the second time"
    finally:
        session.close()


def _tasks(conn: redis.Redis, *ids: str) -> list[Any]:
    return [view.task(conn, each) for each in ids]


def test_the_settings_of_a_replica_are_told(pair: tuple[Server, Server, Proxy], tmp_path: Path) -> None:
    """A URL that names the replica: one clear line."""
    _, replica, _ = pair
    settings = settings_module.load(redis_url=replica.url, home=str(tmp_path / "home"))
    pool = connect.pool(settings)
    with pytest.raises(redis.RedisError) as caught:
        pool.lead("me", 1.0)
    assert "COORD_REDIS_URL must name the primary" in str(connect.trouble(settings, caught.value))
