"""All transitions, with stale callers and RQ's own code in between: the keyspace stays whole."""

from __future__ import annotations

import os

import hypothesis
import redis
from hypothesis.stateful import run_state_machine_as_test

from pool.settings import Settings
from tests.redis.model.machine import PoolMachine

#: Examples, and the steps of each at most. The same ones on every run, unless MODEL_EXAMPLES asks for
#: another number: those are other ones each time, and a failure prints how to repeat it.
EXAMPLES, STEPS = 200, 50


def test_whatever_is_done_the_keyspace_stays_whole(conn: redis.Redis, settings: Settings) -> None:
    wanted = os.environ.get("MODEL_EXAMPLES", "")
    run_state_machine_as_test(
        PoolMachine.on(conn, settings),
        settings=hypothesis.settings(
            max_examples=int(wanted or EXAMPLES), stateful_step_count=STEPS, derandomize=not wanted,
            database=None, deadline=None, print_blob=bool(wanted),
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )  # fmt: skip
