"""Backup and restore as docs/operations.md has it: the pool comes back as it was, and goes on."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import connect, model, view
from pool import settings as settings_module
from pool.claim import Caller, Claim
from pool.errors import StaleClaim
from pool.scripts import Pool
from tests.crash.ledger import Ledger
from tests.server import Server


def client(server: Server) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def pool_on(server: Server, conn: redis.Redis) -> Pool:
    return connect.pool(settings_module.load(redis_url=server.url), conn)


def submit(pool: Pool, task_id: str) -> None:
    spec = model.parse_spec({"prompt": "do it", "id": task_id})
    assert pool.submit([model.record(spec, settings_module.load(), time.time())[1]])[0] == "ok"


def claimed(pool: Pool, me: Caller) -> Claim:
    handed = pool.claim(me).handed
    assert handed is not None
    return handed.claim


def story(pool: Pool) -> tuple[Caller, Claim]:
    """Some tasks done, one running, some waiting."""
    me = pool.register("w", "", "", "host", 1, ["tasks"], 600.0, 0, "/", ("2", "3", "1"))[1]
    for n in range(20):
        submit(pool, f"t{n}")
    for _ in range(5):
        pool.complete(me, claimed(pool, me), '"done"', [("a", b"a")])
    return me, claimed(pool, me)


def shown(conn: redis.Redis) -> list[view.TaskView]:
    return [view.task(conn, each) for each in view.latest_ids(conn, 0, -1)]


def went_on(server: Server, me: Caller, claim: Claim, later: Claim) -> None:
    """What ran when the backup was made is committed once; what came after it is refused."""
    with client(server) as conn:
        assert Ledger(conn).problems() == []
        pool = pool_on(server, conn)
        with pytest.raises(StaleClaim):
            pool.complete(me, later, "1")
        assert pool.complete(me, claim, '"late"') == "done"
        again = claimed(pool, me)
        assert again.task_id == later.task_id and again.token != later.token
        assert Ledger(conn).problems() == []


@pytest.mark.usefixtures("settings")
def test_a_copy_of_the_append_only_files(own_server: Server, tmp_path: Path) -> None:
    with client(own_server) as conn:
        pool = pool_on(own_server, conn)
        me, claim = story(pool)
        before = shown(conn)
        conn.config_set("auto-aof-rewrite-percentage", 0)
        found: Any = conn.info("persistence")
        assert found["aof_rewrite_in_progress"] == 0
        shutil.copytree(own_server.folder / "appendonlydir", tmp_path / "copy" / "appendonlydir")
        pool.complete(me, claim, '"after the backup"')
        later = claimed(pool, me)
    own_server.kill()
    with Server(tmp_path / "copy", appendonly=True) as restored:
        with client(restored) as conn:
            assert shown(conn) == before
        went_on(restored, me, claim, later)


@pytest.mark.usefixtures("settings")
def test_a_snapshot_for_a_server_with_append_only_files(own_server: Server, tmp_path: Path) -> None:
    with client(own_server) as conn:
        pool = pool_on(own_server, conn)
        me, claim = story(pool)
        before = shown(conn)
        folder = tmp_path / "restored"
        folder.mkdir()
        argv = ["redis-cli", "-u", own_server.url, "--rdb", str(folder / "dump.rdb")]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        pool.complete(me, claim, '"after the backup"')
        later = claimed(pool, me)
    own_server.kill()
    restored = Server(folder)  # without append-only files: those would be empty, and win over the snapshot
    with restored, client(restored) as conn:
        assert shown(conn) == before
        conn.config_set("appendonly", "yes")
        end = time.monotonic() + 30
        found: Any = {"aof_rewrite_in_progress": 1}
        while found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"]:
            assert time.monotonic() < end
            found = conn.info("persistence")
        assert found["aof_last_bgrewrite_status"] == "ok"
    with Server(folder, appendonly=True) as again:
        with client(again) as conn:
            assert shown(conn) == before
        went_on(again, me, claim, later)
