"""The names of RQ's keys, asked of RQ itself and never retyped (design section 4, rq-layout rule 1).

``templates()`` gives each as text with ``{}`` where an id, a queue or a token goes. Hooks, which
must not import RQ, read the same templates from the compiled settings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from rq import Queue, results
from rq.executions import Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.scheduler import RQScheduler
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import Worker
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

#: Stands for the id while a template is made; no key of RQ's contains it.
_HOLE = "HOLE"
_HOLE2 = "HOLE2"

_results_key: Callable[[str], str] = results.get_key


@cache
def templates() -> dict[str, str]:
    """RQ's key templates by the name that the Lua scripts use (``K.job(id)`` and so on)."""
    job = Job.__new__(Job)
    job._id = _HOLE
    execution = Execution.__new__(Execution)
    execution.id, execution.job_id = _HOLE2, _HOLE
    aside = IntermediateQueue.__new__(IntermediateQueue)
    aside.key = IntermediateQueue.get_intermediate_queue_key(Queue.redis_queue_namespace_prefix + _HOLE)
    found = {
        "job": _text(Job.key_for(_HOLE)),
        "dependents": Job.dependents_key_for(_HOLE),
        "dependencies": job.dependencies_key,
        "queue": Queue.redis_queue_namespace_prefix + _HOLE,
        "queues": Queue.redis_queues_keys,
        "started": StartedJobRegistry.key_template.format(_HOLE),
        "finished": FinishedJobRegistry.key_template.format(_HOLE),
        "failed": FailedJobRegistry.key_template.format(_HOLE),
        "scheduled": ScheduledJobRegistry.key_template.format(_HOLE),
        "deferred": DeferredJobRegistry.key_template.format(_HOLE),
        "canceled": CanceledJobRegistry.key_template.format(_HOLE),
        "execution": execution.key,
        "executions": ExecutionRegistry.key_template.format(_HOLE),
        "intermediate": aside.key,
        "first_seen": aside.get_first_seen_key(_HOLE2),
        "results": _results_key(_HOLE),
        "worker": Worker.redis_worker_namespace_prefix + _HOLE,
        "workers": REDIS_WORKER_KEYS,
        "workers_of": WORKERS_BY_QUEUE_KEY % _HOLE,
        "suspended": WORKERS_SUSPENDED,
        "scheduler_lock": RQScheduler.get_locking_key(_HOLE),
    }
    return {name: key.replace(_HOLE2, "{}").replace(_HOLE, "{}") for name, key in sorted(found.items())}


def key(template: str, *parts: str) -> str:
    """One of RQ's keys, as Python needs it: ``key("job", task_id)``."""
    return templates()[template].format(*parts)


def _text(key: str | bytes) -> str:
    return key.decode() if isinstance(key, bytes) else key
