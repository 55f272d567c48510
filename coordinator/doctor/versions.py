"""Versions that must fit together, and settings that must."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from coordinator.doctor.finding import Finding, note, ok, warning, wrong
from coordinator.doctor.patient import Patient
from pool import keys, script_text, units, view

#: A keeper should have so many chances to renew a lease before it runs out.
_BEATS = 3


def here(patient: Patient) -> Iterator[Finding]:
    """What runs this command."""
    names = {"coord": "coord", "RQ": "rq", "redis-py": "redis"}
    said = ", ".join(f"{name} {metadata.version(package)}" for name, package in names.items())
    yield ok(f"{said}, Python {platform.python_version()}")


def workers(patient: Patient) -> Iterator[Finding]:
    """Live workers of another coord, RQ or Python than this one, by what they registered."""
    connection = patient.redis
    floor: Any = connection.get("pool:floor")
    if floor and int(floor) > script_text.VERSION:
        yield wrong(
            f"the pool asks for scripts of version {int(floor)}, this coord has {script_text.VERSION}: it "
            "may change nothing",
            "upgrade coord here: pip install --upgrade coord",
        )
    live = view.workers(connection, departed=False)
    pipe = connection.pipeline(transaction=False)
    for each in live:
        pipe.hmget(keys.key("worker", each.id), ["version", "python_version"])
    found: Counter[tuple[str, str, str]] = Counter()
    for each, (rq, python) in zip(live, pipe.execute(), strict=True):
        own = f"coord {each.coord or '?'} (scripts {each.scripts})"
        found[
            (own, (rq or b"?").decode("utf-8", "replace"), (python or b"?").decode("utf-8", "replace"))
        ] += 1
    if not found:
        yield ok("no live workers")
        return
    said = "; ".join(
        f"{count} with {own}, RQ {rq}, Python {python}" for (own, rq, python), count in found.most_common()
    )
    if {rq for _, rq, _ in found} - {metadata.version("rq"), "?"}:
        yield warning(
            f"live workers: {said}; here it is RQ {metadata.version('rq')}",
            "install the same RQ everywhere, then in each project: coord hooks install",
        )
    elif {each.scripts for each in live} - {script_text.VERSION}:
        yield note(
            f"live workers: {said}; here it is scripts {script_text.VERSION} (old and new work side by side)",
            "coord versions",
        )
    else:
        yield ok(f"live workers: {said}")


def settings(patient: Patient) -> Iterator[Finding]:
    """Settings that are each allowed, and do not fit together."""
    now = patient.settings
    fine = True
    if now.beat * _BEATS > now.lease:
        fine = False
        yield warning(
            f"a keeper beats every {now.beat:g} s and a lease lasts {now.lease:g} s: one lost beat can "
            "cost a living worker its task",
            f"set beat to {now.lease / (2 * _BEATS):g}, or lease to {now.beat * 2 * _BEATS:g}",
        )
    if now.stop_mode == "wait" and now.hook_timeout < now.idle_limit:
        fine = False
        yield warning(
            f"a Stop hook may wait for {units.span(now.hook_timeout)}, the idle limit is "
            f"{units.span(now.idle_limit)}: each time it is over, a turn is spent on coming back",
            "set hook_timeout higher than idle_limit, then: coord hooks install",
        )
    if now.backstop < 2 * now.lease:
        fine = False
        yield wrong(
            f"RQ's own deadlines are parked {now.backstop:g} s ahead, less than two leases: its clean-up "
            "takes tasks from living workers",
            "leave backstop at 1d",
        )
    if fine:
        yield ok("they fit together")
