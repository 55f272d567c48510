"""Every metric of GET /metrics: its name, type, labels and meaning (docs/monitor.md, "Metrics").

Names and units are those of Prometheus' conventions: base units, `_total` for what only grows, `_seconds`.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One metric. ``kind`` is gauge, counter, histogram or info."""

    kind: str
    labels: tuple[str, ...]
    help: str


_QUEUE = ("queue",)
_MODEL = ("account", "model", "kind")

METRICS: dict[str, Entry] = {
    # -- health --------------------------------------------------------------------------------------------
    "coord_build_info": Entry("gauge", ("version", "scripts"), "Always 1: coord's release and its scripts'."),
    "coord_redis_up": Entry("gauge", (), "Whether Redis answered; 0: all that it knows is left out."),
    "coord_scrape_duration_seconds": Entry("gauge", (), "What it took to collect all this."),
    "coord_coordinator_leader": Entry("gauge", (), "Whether a coordinator acts."),
    "coord_coordinators": Entry("gauge", (), "Coordinators that run, the acting one included."),
    # -- queues --------------------------------------------------------------------------------------------
    "coord_queues": Entry("gauge", (), "Queues that there are."),
    "coord_queue_tasks": Entry(
        "gauge",
        ("queue", "priority", "state"),
        "Tasks by state: queued, started, scheduled, deferred, failed (as long as they are kept).",
    ),
    "coord_queue_oldest_age_seconds": Entry(
        "gauge", ("queue", "priority"), "How long the first of those that wait has waited; 0: none waits."
    ),
    "coord_queue_paused": Entry("gauge", _QUEUE, "Whether the queue, or every queue, is paused."),
    "coord_tasks_submitted_total": Entry("counter", _QUEUE, "Tasks made, or adopted from RQ's own API."),
    "coord_claims_total": Entry("counter", _QUEUE, "Tasks handed to a worker."),
    "coord_tasks_completed_total": Entry("counter", _QUEUE, "Tasks whose result was committed."),
    "coord_tasks_failed_total": Entry("counter", _QUEUE, "Tasks failed for good, dead letters included."),
    "coord_tasks_poisoned_total": Entry("counter", _QUEUE, "Of these, tasks whose workers died too often."),
    "coord_tasks_canceled_total": Entry("counter", _QUEUE, "Tasks cancelled."),
    "coord_tasks_retried_total": Entry("counter", _QUEUE, "Failed attempts that are tried again."),
    "coord_tasks_requeued_total": Entry("counter", _QUEUE, "Tasks put back by an operator."),
    "coord_claims_lost_total": Entry("counter", _QUEUE, "Claims whose worker died."),
    "coord_claims_released_total": Entry("counter", _QUEUE, "Claims handed back."),
    "coord_claims_returned_total": Entry(
        "counter", _QUEUE, "Claims that came back uncounted: a hand-over that was cut off, a quota."
    ),
    "coord_commits_refused_total": Entry(
        "counter", _QUEUE, "Late commits refused: the claim was no longer the caller's."
    ),
    "coord_task_wait_seconds": Entry("histogram", _QUEUE, "From when a task became claimable to its claim."),
    "coord_task_run_seconds": Entry("histogram", _QUEUE, "From a task's claim to the commit of its result."),
    "coord_dead_letters": Entry("gauge", (), "What could not become a task, and is kept with its reason."),
    # -- workers and sessions ------------------------------------------------------------------------------
    "coord_workers": Entry("gauge", ("state",), "Workers by state; stopped and dead ones for an hour or so."),
    "coord_worker_registrations_total": Entry("counter", (), "Registrations of workers."),
    "coord_worker_stops_total": Entry("counter", (), "Workers that stopped."),
    "coord_worker_deaths_total": Entry("counter", (), "Workers that died, or were not heard of any more."),
    "coord_supervisors": Entry(
        "gauge", ("state",), "Supervisors: ok, or broken (its sessions cannot begin, so it starts none)."
    ),
    "coord_sessions": Entry(
        "gauge", ("state", "kind"), "Sessions that the monitor knows, by state: workers, and others."
    ),
    "coord_sessions_by_confidence": Entry(
        "gauge", ("confidence",), "The same by how sure the state is: certain, likely, stale."
    ),
    "coord_sessions_needs_you_oldest_seconds": Entry(
        "gauge", (), "For how long the first of the sessions that wait for a person waits; 0: none does."
    ),
    # -- cost ----------------------------------------------------------------------------------------------
    "coord_model_requests_total": Entry(
        "counter", _MODEL, "Requests of a model: for a task, overhead (starting up), or idle."
    ),
    "coord_model_tokens_total": Entry(
        "counter", (*_MODEL, "type"), "Their tokens: input, output, cache_read, cache_write."
    ),
    "coord_model_cost_usd_total": Entry("counter", _MODEL, "What they cost, as far as prices are known."),
    "coord_model_requests_unpriced_total": Entry(
        "counter", _MODEL, "Of these requests, those of no known price."
    ),
    "coord_idle_requests_total": Entry(
        "counter", (), "Requests made while no task was held and none waited. The goal is zero."
    ),
    "coord_idle_tokens_total": Entry("counter", (), "Their tokens."),
    "coord_cost_today_usd": Entry("gauge", ("account",), "What today has cost, in the operators' time zone."),
    "coord_account_state": Entry(
        "gauge", ("account", "state"), "1 for the state the account is in: ok, parked or stopped."
    ),
    "coord_account_parked_until_timestamp_seconds": Entry(
        "gauge", ("account",), "When a parked account goes on; missing where no end is known."
    ),
    # -- the monitor itself --------------------------------------------------------------------------------
    "coord_monitor_hook_events_total": Entry(
        "counter", (), "Reports of hooks that changed a session's record."
    ),
    "coord_monitor_last_hook_timestamp_seconds": Entry(
        "gauge", (), "When a session's hook was heard last; missing: never."
    ),
    "coord_monitor_stream_clients": Entry(
        "gauge", (), "Who follows the stream of events: pages, `coord top`."
    ),
    "coord_notifications_total": Entry(
        "counter",
        ("channel", "outcome"),
        "Notifications: sent, failed (given up), dropped (too many waited).",
    ),
    "coord_notifications_waiting": Entry("gauge", ("channel",), "Notifications that are to be sent yet."),
}

#: Counters of a queue, by their name in pool:stats:QUEUE (pool/stats.py).
OF_QUEUES = {
    "submitted": "coord_tasks_submitted_total",
    "failed": "coord_tasks_failed_total",
    "poisoned": "coord_tasks_poisoned_total",
    "canceled": "coord_tasks_canceled_total",
    "retried": "coord_tasks_retried_total",
    "requeued": "coord_tasks_requeued_total",
    "lost": "coord_claims_lost_total",
    "released": "coord_claims_released_total",
    "returned": "coord_claims_returned_total",
    "refused": "coord_commits_refused_total",
}
#: Counters of pool:totals.
OF_TOTALS = {
    "workers stopped": "coord_worker_stops_total",
    "workers dead": "coord_worker_deaths_total",
    "hooks": "coord_monitor_hook_events_total",
}
