"""Where the keyspace is not as the story has it, and what stands there, for a failure's message."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tests.redis.model import invariants
from tests.redis.model.expected import Expected
from tests.redis.model.keyspace import Keyspace
from tests.redis.model.story import Task, Worker

#: The fields of jobs and workers that explain a failure.
SHOWN = frozenset(
    (
        "status", "origin", "retries_left", "dependency_ids", "allow_dependency_failures", "pool_token",
        "pool_worker", "pool_epoch", "pool_provisional", "pool_parked", "pool_attempts", "pool_losses",
        "pool_releases", "pool_done", "pool_done_by", "pool_outcome", "pool_unique", "pool_kind", "pool_shun",
        "pool_error", "epoch", "claim", "token", "state", "process", "ticket", "lost", "parked_at",
        "waiting_until", "draining", "rung",
    )
)  # fmt: skip


def differences(story: Expected, now: Keyspace) -> list[str]:
    """What Redis and the story do not agree on."""
    pairs: list[tuple[str, object, object]] = [
        ("the tasks", sorted(now.jobs), sorted(story.tasks)),
        ("the lists", now.lists, _filled(story.lists)),
        ("the leases", now.leases.keys(), story.leases),
        ("the runs", {(task, token) for _, task, token in now.started()}, story.runs),
        ("the executions", now.pairs("execution"), story.executions),
        ("the unique keys", now.by("unique"), story.uniques),
        ("the processes", now.by("process"), {key: " ".join(who) for key, who in story.processes.items()}),
        ("the live", now.live.keys(), {worker.name for worker in story.workers.values() if worker.live}),
        ("who waits for whom", now.by("dependents"), _filled(story.dependents)),
        ("who waits on whom", now.by("dependencies"), story.dependencies),
        ("the paused", now.one("paused", set()), story.paused),
        ("suspended", bool(now.one("suspended", "")), story.suspended),
    ]
    for task in story.tasks.values():
        pairs += _of_task(task, now.jobs.get(task.id, {}))
        pairs.append((f"{task.id}'s results", now.committed(task.id), story.results.get(task.id, [])))
    for worker in story.workers.values():
        pairs += _of_worker(worker, now.workers.get(worker.name, {}))
    return [f"{what}: Redis has {has}, the story {said}" for what, has, said in pairs if has != said]


def _filled(found: Mapping[str, Collection[str]]) -> dict[str, Collection[str]]:
    """Redis keeps no empty lists and sets."""
    return {key: value for key, value in found.items() if value}


def _of_task(task: Task, job: dict[str, str]) -> list[tuple[str, object, object]]:
    has = {
        "status": job.get("status"), "queue": job.get("origin"), "kind": job.get("pool_kind", ""),
        "retries left": int(job.get("retries_left", 0)), "attempts": int(job.get("pool_attempts", 0)),
        "losses": int(job.get("pool_losses", 0)), "releases": int(job.get("pool_releases", 0)),
        "token": job.get("pool_token", ""), "provisional": "pool_provisional" in job,
        "parked": "pool_parked" in job,
        "last claim": (job.get("pool_done", ""), job.get("pool_done_by", ""), job.get("pool_outcome", "")),
    }  # fmt: skip
    said = {
        "status": task.status, "queue": task.queue, "kind": task.kind, "retries left": task.left,
        "attempts": task.attempts, "losses": task.losses, "releases": task.releases, "token": task.token,
        "provisional": task.provisional, "parked": task.parked, "last claim": task.done,
    }  # fmt: skip
    return [(f"{task.id}'s {what}", has[what], said[what]) for what in has]


def _of_worker(worker: Worker, found: dict[str, str]) -> list[tuple[str, object, object]]:
    has = {
        "epoch": found.get("epoch"), "claim": (found["claim"], found["token"]) if "claim" in found else None,
        "ticket": int(found.get("ticket", 0)), "tasks": int(found.get("tasks", 0)),
        "parked": "parked_at" in found, "draining": "draining" in found, "lost": found.get("lost", ""),
    }  # fmt: skip
    said = {
        "epoch": worker.epoch, "claim": worker.claim, "ticket": worker.ticket, "tasks": worker.done,
        "parked": worker.parked, "draining": worker.draining, "lost": worker.lost,
    }  # fmt: skip
    return [(f"{worker.name}'s {what}", has[what], said[what]) for what in has]


def account(now: Keyspace) -> str:
    """What Redis holds."""
    lines = ["Redis holds:"]
    for name, fields in sorted((now.jobs | now.workers).items()):
        shown = {field: value for field, value in sorted(fields.items()) if value and field in SHOWN}
        lines.append(f"  {name}: {shown}")
    for family in ("queue", "started", *invariants.REGISTRIES, "dependents", "dependencies", "waiters"):
        found = {key: list(value) for key, value in now.by(family).items()}
        if found:
            lines.append(f"  {family}: {found}")
    lines.append(f"  leases: {now.leases}; unique keys: {now.by('unique')}")
    lines += [f"  event: {event}" for event in now.events[-8:]]
    return "\n".join(lines)
