"""Every difference that there may be between RQ's keyspace and ours after the same story, and why.

A difference that is not listed is an error, and so is an entry that nothing matches any more.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from tests.contract.keyspace import Difference


class Listed(NamedTuple):
    """``where`` is a pattern of KEY or KEY FIELD; ``before`` the first RQ version without the difference."""

    where: str
    kind: str
    reason: str
    before: tuple[int, int] = (99, 0)


_FENCE = "the claim and its fence"
_PARKED = "RQ's own deadlines are parked a day ahead; the lease is in pool:leases"

LISTED = (
    # Keys of our own. RQ never looks at them.
    Listed("pool:departed", "only ours", "workers that left, for a while"),
    Listed("pool:epoch", "only ours", "counter of registrations"),
    Listed("pool:events", "only ours", "every transition writes an event"),
    Listed("pool:failures", "only ours", "tasks that failed for good, for notifications"),
    Listed("pool:fence", "only ours", "counter of claims"),
    Listed("pool:leases", "only ours", "deadlines of claims on the server's clock"),
    Listed("pool:stats:*", "only ours", "counters, and what they were by the minute and the hour"),
    Listed("pool:tasks", "only ours", "every task by the time it was made"),
    Listed("pool:totals", "only ours", "counters that belong to no queue"),
    Listed("pool:worker:w", "only ours", "a worker's registration"),
    Listed("pool:workers", "only ours", "live workers"),
    # Fields of our own on a job's hash. RQ leaves unknown fields alone.
    Listed("rq:job:* pool_attempts", "only ours", "claims so far"),
    Listed("rq:job:* pool_done", "only ours", _FENCE),
    Listed("rq:job:* pool_done_by", "only ours", _FENCE),
    Listed("rq:job:* pool_epoch", "only ours", _FENCE),
    Listed("rq:job:* pool_error", "only ours", "why the last attempt failed, or why it was cancelled"),
    Listed("rq:job:* pool_kind", "only ours", "tells a task from a foreign job"),
    Listed("rq:job:* pool_left", "only ours", "retries left by what the pool knows of (undo.lua)"),
    Listed("rq:job:* pool_not_before", "only ours", "run-at, also while it waits for parents"),
    Listed("rq:job:* pool_outcome", "only ours", _FENCE),
    Listed("rq:job:* pool_ran", "only ours", "where its log is"),
    Listed("rq:job:* pool_retries", "only ours", "the whole budget, for `coord retry`"),
    Listed("rq:job:* pool_timeout_at", "only ours", "when the running attempt ends"),
    Listed("rq:job:* pool_token", "only ours", _FENCE),
    Listed("rq:job:* pool_worker", "only ours", _FENCE),
    # Fields of RQ's in which we differ.
    Listed("rq:job:* enqueue_at_front", "only RQ", "RQ writes 0 for every Dependency, and reads none as 0"),
    Listed("rq:job:gone ended_at", "differs", "we note when a task was cancelled, RQ does not"),
    Listed("rq:job:good:dependents", "only RQ", "RQ leaves a child that another parent woke in the set; "
           "we take it out, for RQ would queue it again if this parent ended once more"),
    Listed("rq:results:* 0.exc_string", "differs", "RQ keeps a traceback, a session gives a reason"),
    # While it runs.
    Listed("rq:execution:* TTL", "differs", _PARKED),
    Listed("rq:execution:* worker_name", "only ours", "new in RQ 2.11; we write it always", before=(2, 11)),
    Listed("rq:executions:* EXECUTION", "differs", _PARKED),
    Listed("rq:executions:* TTL", "differs", _PARKED),
    Listed("rq:wip:* urgent:EXECUTION", "differs", _PARKED),
    # The worker.
    Listed("rq:worker:w TTL", "differs", "RQ's covers the job it runs; ours is renewed by every beat"),
    Listed("rq:worker:w current_job_working_time", "only RQ", "not kept; RQ reads none as 0"),
    Listed("rq:worker:w ip_address", "differs", "a session's address is not known; RQ's own word for that"),
    Listed("rq:worker:w python_version", "differs", "short: 3.12.1"),
)  # fmt: skip


def unlisted(found: list[Difference], rq_version: str) -> list[str]:
    """What the list does not foresee for this version of RQ: other differences, and entries without one."""
    numbers = rq_version.split(".")
    version = (int(numbers[0]), int(numbers[1]))
    listed = [entry for entry in LISTED if version < entry.before]
    problems = []
    met: set[Listed] = set()
    for difference in found:
        entry = next((each for each in listed if _matches(each, difference)), None)
        if entry is None:
            problems.append(f"{difference.where} ({difference.kind}): {difference.text}")
        else:
            met.add(entry)
    return problems + [f"{entry.where} ({entry.kind}) is listed, but there is no such difference"
                       for entry in listed if entry not in met]  # fmt: skip


def _matches(entry: Listed, difference: Difference) -> bool:
    return entry.kind == difference.kind and fnmatchcase(difference.where, entry.where)
