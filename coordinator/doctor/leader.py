"""The coordinator: does one lead?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis

from coordinator.doctor.finding import Finding, note, ok, unknown, wrong
from coordinator.doctor.patient import Patient
from pool import clock


def leads(patient: Patient) -> Iterator[Finding]:
    """One holds the leader's lock, and renews it. (A gap while another takes over is waited for.)"""
    connection, longest = patient.redis, patient.settings.leader_ttl
    end = clock.mono() + longest + 1.0
    while not connection.exists("pool:leader"):
        if clock.mono() > end:
            yield wrong(
                "no coordinator leads: nothing is reaped, scheduled or triggered",
                "coord up -d" if patient.embedded else "coord serve",
            )
            return
        time.sleep(0.1)
    raw: Any = connection.get("pool:leader")
    who = (raw or b"?").decode("utf-8", "replace")
    try:
        left: Any = connection.pttl("pool:leader")
    except redis.exceptions.NoPermissionError:
        yield note(f"{who} leads; user {patient.user} may not see how long its lock lasts")
        return
    if left == -1:
        yield wrong(
            f"the leader's lock never ends ({who}): when that coordinator dies, no other takes over",
            f"{patient.cli} del pool:leader",
        )
    elif left == -2:
        yield unknown("the leader's lock ran out just now: look again")
    else:
        yield ok(f"{who} leads (its lock is renewed; {left / 1000:.1f} s left)")
