"""The monitor fed with what its OpenAPI description allows and forbids; longer by tests/monitor/fuzz.py."""

from __future__ import annotations

import pytest
import redis

from pool import events, scripts
from pool.settings import Settings
from tests.monitor import fuzz
from tests.monitor.running import Running

#: Routes of hooks that go the same way as those that are tried.
REST = "^/hook/(?!status|session-|stop$|pre-tool|permission-request|notification|user-prompt-submit)"


@pytest.mark.settings(monitor_rate=1_000_000)
def test_whatever_comes_is_answered_well_and_what_is_stored_can_be_read(
    monitor: Running, conn: redis.Redis, pool: scripts.Pool, settings: Settings
) -> None:
    known = fuzz.fill(pool, settings, monitor)
    done = fuzz.run(monitor, known, seed=1, examples=3, without=REST)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert not list(fuzz.stored(conn)) and not list(fuzz.shown(monitor, conn))
    # It went through: sessions and tasks were made, and an operator acted.
    assert conn.zcard("pool:sessions") > 3 and conn.zcard("pool:tasks") > 6
    assert len({row["what"] for row in events.latest(conn, 10_000) if row["type"] == "operator"}) >= 6
    log = monitor.log.read_text()
    assert "Traceback" not in log and "could not take" not in log, log[-4000:]
