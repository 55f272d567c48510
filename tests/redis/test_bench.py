"""The benchmark measures what it says: every part of it once, with very little."""

from __future__ import annotations

import dataclasses

import pytest

from bench import fleet, growth, latency, processes, server_time, servers
from bench.peers import catalogue
from bench.run import QUICK, Run

LITTLE = dataclasses.replace(
    QUICK, process_rounds=1, server_rounds=1, server_batch=5, handovers=1, deaths=1, backlogs=(20, 40),
    backlog_rounds=1, backlog_batch=5, workers=(20,), command_rounds=1,
)  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(growth, "_TASKS", 20)
    return Run(LITTLE)


def test_each_transition_is_one_round_trip(run: Run) -> None:
    found = server_time.measure(run)
    assert found["commands"] == dict.fromkeys(server_time.TRANSITIONS, 1)
    assert all(each["median"] > 0 for each in found["usec"].values())


@pytest.mark.parametrize("name", sorted(catalogue.OURS))
def test_workers_are_frozen_and_work_off_what_is_enqueued(name: str) -> None:
    peer = next(each for each in catalogue.PEERS if each.name == name)
    with servers.server("always") as running, fleet.Fleet(peer, running.url, 1) as one:
        one.freeze()
        before = one.done()
        assert one.enqueue([20]) > 0
        assert one.done() == before
        assert one.drain(20) > 0
        assert one.done() == before + 20


def test_hooks_and_helpers_do_what_is_timed(run: Run) -> None:
    found = processes.measure(run, with_rq=False)["programs"]
    assert {"bare", "hook", "hook-nobody", "claim", "heartbeat", "redis-py"} <= {
        each["name"] for each in found
    }


def test_latencies(run: Run) -> None:
    found = latency.measure(run)
    assert found["handover_ms"]["count"] == found["death_s"]["count"] == 1


def test_growth(run: Run) -> None:
    found = growth.measure(run)
    assert [each["tasks"] for each in found["backlog"]] == [20, 40]
    assert found["workers"][0]["workers_table"]["median"] > 0
    assert found["memory"]["finished"] > found["memory"]["queued"] > 0
