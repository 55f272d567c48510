"""When the reaper may believe that an expired lease means a dead worker."""

from __future__ import annotations

from coordinator.reaper import JUMP, Guard

LEASE = 60.0
#: The server's clock and ours are never the same.
SERVER = 1_800_000_000.0


def looked(guard: Guard, mono: float, run: str = "run", jump: float = 0.0) -> bool:
    return guard.look(run, SERVER + mono + jump, mono)


def test_one_full_lease_must_pass_after_connecting() -> None:
    guard = Guard(LEASE)
    assert [looked(guard, at) for at in (100, 130, 159.9, 160, 200)] == [False, False, False, True, True]


def test_another_run_of_redis_begins_anew() -> None:
    guard = Guard(LEASE)
    looked(guard, 0)
    assert looked(guard, 100)
    assert not looked(guard, 101, run="restarted")
    assert guard.reason == "another Redis answers"
    assert not looked(guard, 160, run="restarted")
    assert looked(guard, 161, run="restarted")


def test_a_jump_of_the_servers_clock_begins_anew() -> None:
    for jump in (JUMP + 1, -JUMP - 1, 86400.0):
        guard = Guard(LEASE)
        looked(guard, 0)
        assert looked(guard, 100)
        assert not looked(guard, 101, jump=jump), "all leases seem to have run out, or none ever will"
        assert guard.reason == "the server's clock jumped"
        assert not looked(guard, 160, jump=jump)
        assert looked(guard, 161, jump=jump)


def test_a_drift_is_no_jump() -> None:
    guard = Guard(LEASE)
    looked(guard, 0)
    assert all(looked(guard, at, jump=at / 100) for at in range(60, 4000, 10))


def test_an_outage_begins_anew_and_a_second_one_again() -> None:
    guard = Guard(LEASE)
    looked(guard, 0)
    assert looked(guard, 60)
    guard.disturb("Redis was away")
    assert not looked(guard, 70)
    assert not looked(guard, 129)
    guard.disturb("Redis was away")
    assert not looked(guard, 131)
    assert looked(guard, 191)


def test_a_redis_that_does_not_say_its_run_is_watched_by_its_clock() -> None:
    guard = Guard(LEASE)
    looked(guard, 0, run="")
    assert looked(guard, 60, run="")
    assert not looked(guard, 61, run="", jump=3600)
