"""The peers: how each is installed, started and asked, and what it guarantees in that configuration.

The guarantees are what the peer's own documentation and source say of the version range named here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """One contestant. ``worker`` is its command; {python}, {bin}, {processes}, {index} and {url} are filled in."""

    name: str
    title: str
    #: Its virtualenv (.bench/<environment>); '' is coord's own interpreter.
    environment: str
    requirements: tuple[str, ...]
    #: The distribution whose version is recorded.
    distribution: str
    producer: tuple[str, ...]
    worker: tuple[str, ...]
    #: Whether one command starts all the processes (else it is started once for each).
    fleet: bool
    #: How the configuration differs from the default, and why.
    setup: str
    #: What becomes of a task whose worker is killed.
    killed: str
    #: What becomes of results.
    results: str
    #: Whether a worker that was given up on is kept from committing late.
    fenced: bool
    #: Whether it keeps results and a killed worker's task comes back by itself: such a peer is the measure.
    survives: bool
    #: Tasks of a first measurement; later ones follow the speed seen.
    first: int
    #: Whether it takes part in the claim-and-complete measurement.
    drains: bool = True


_COORD = ("{python}", "-m", "bench.peers.coord_peer")
_COORD_KILLED = (
    "back in the queue within 2 s when its keeper sees the process die; after the lease (60 s) "
    "when the whole machine is lost"
)

COORD = "coord"
RQ_SIMPLE = "rq-simple"

PEERS: tuple[Peer, ...] = (
    Peer(
        COORD, "coord", "", (), "coord", (*_COORD, "produce"), (*_COORD, "work", "w{index}"), False,
        "what a worker says to Redis (pool.scripts over pool.wire): claim, complete",
        _COORD_KILLED, "kept 30 days", True, True, 3000,
    ),
    Peer(
        "coord-hook", "coord, as its Stop hook", "", (), "coord", (*_COORD, "produce", "--batch"),
        (*_COORD, "work", "w{index}", "--hook"), False,
        "the same with a provisional claim and its confirmation (three round trips); enqueued as one batch",
        _COORD_KILLED, "kept 30 days", True, True, 2500,
    ),
    Peer(
        "coord-eight", "coord, 8 workers a process", "", (), "coord", (*_COORD, "produce"),
        (*_COORD, "work", "w{index}", "--eight"), False,
        "the same as coord with eight workers in each process, a thread each: as many tasks in flight as "
        "Dramatiq's 8 threads, SAQ's 10 or streaQ's 16 coroutines have",
        _COORD_KILLED, "kept 30 days", True, True, 3000,
    ),
    Peer(
        RQ_SIMPLE, "RQ SimpleWorker", "rq", ("rq>=2.8",), "rq", ("{python}", "-m", "bench.peers.rq_peer"),
        ("{bin}/rq", "worker", "-u", "{url}", "-w", "rq.SimpleWorker", "--quiet", "bench"), False,
        "runs jobs in the worker's own process",
        "moved to the failed registry by a clean-up when its heartbeat is overdue (240 s with the default "
        "timeout); queued again if it was enqueued with Retry",
        "kept 500 s", False, True, 500,
    ),
    Peer(
        "rq-fork", "RQ Worker (forks)", "rq", ("rq>=2.8",), "rq", ("{python}", "-m", "bench.peers.rq_peer"),
        ("{bin}/rq", "worker", "-u", "{url}", "--quiet", "bench"), False,
        "the default worker: a forked process for every job",
        "as above, overdue after about 90 s",
        "kept 500 s", False, True, 60,
    ),
    Peer(
        "celery", "Celery", "celery", ("celery[redis]>=5.4",), "celery",
        ("{python}", "-m", "bench.peers.celery_peer"),
        ("{bin}/celery", "-A", "bench.peers.celery_peer", "worker", "-c", "{processes}", "-l", "ERROR",
         "--without-gossip", "--without-mingle", "--without-heartbeat"), True,
        "task_acks_late, task_reject_on_worker_lost and prefetch 1, as its docs advise for tasks that must "
        "not be lost; gossip, mingle and heartbeats off",
        "redelivered at once when only the pool process dies, after the visibility timeout (1 h) otherwise",
        "kept 1 day", False, True, 600,
    ),
    Peer(
        "dramatiq", "Dramatiq", "dramatiq", ("dramatiq[redis]>=1.17",), "dramatiq",
        ("{python}", "-m", "bench.peers.dramatiq_peer"),
        ("{bin}/dramatiq", "bench.peers.dramatiq_peer", "-p", "{processes}"), True,
        "its results middleware added; 8 threads a process (default)",
        "redelivered after 60 s without a heartbeat, at another worker's next maintenance",
        "kept 10 min", False, True, 800,
    ),
    Peer(
        "saq", "SAQ", "saq", ("saq[redis,hiredis]>=0.22", "typing_extensions"), "saq", ("{python}", "-m", "bench.peers.saq_peer"),
        ("{bin}/saq", "bench.peers.saq_peer.settings", "--quiet"), False,
        "3 tries a job, so that a sweep queues it again; concurrency 10 (default)",
        "queued again by a sweep (each 60 s) once the job's timeout (10 s) has passed",
        "kept 10 min", False, True, 600,
    ),
    Peer(
        "arq", "arq", "arq", ("arq>=0.26",), "arq", ("{python}", "-m", "bench.peers.arq_peer"),
        ("{bin}/arq", "bench.peers.arq_peer.WorkerSettings"), False,
        "as by default: it looks for work each 0.5 s, which bounds what it does",
        "run again when its in-progress mark has expired (310 s with the default timeout)",
        "kept 1 h", False, True, 150,
    ),
    Peer(
        "huey", "huey", "huey", ("huey>=2.5", "redis>=5"), "huey", ("{python}", "-m", "bench.peers.huey_peer"),
        ("{bin}/huey_consumer", "bench.peers.huey_peer.huey", "-k", "process", "-w", "{processes}", "-q"), True,
        "a process for each worker, blocking reads (default)",
        "lost: a task leaves Redis when it is taken",
        "kept until they are read", False, False, 1500,
    ),
    Peer(
        "taskiq", "taskiq (streams)", "taskiq", ("taskiq>=0.11", "taskiq-redis>=1.0"), "taskiq",
        ("{python}", "-m", "bench.peers.taskiq_peer"),
        ("{bin}/taskiq", "worker", "bench.peers.taskiq_peer:broker", "--workers", "{processes}",
         "--log-level", "ERROR"), True,
        "its stream broker, which acknowledges when the result is saved; reads 100 at once (default)",
        "redelivered to a worker that looks, after 10 min",
        "kept 1 day", False, True, 1000,
    ),
    Peer(
        "streaq", "streaQ", "streaq", ("streaq>=5",), "streaq", ("{python}", "-m", "bench.peers.streaq_peer"),
        ("{bin}/streaq", "run", "bench.peers.streaq_peer:worker"), False,
        "as by default: 16 tasks at a time, reads ahead 16",
        "redelivered after 60 s without a sign of its worker",
        "kept 5 min", False, True, 1500,
    ),
)  # fmt: skip

BY_NAME = {peer.name: peer for peer in PEERS}
#: Ours are always measured.
OURS = frozenset((COORD, "coord-hook", "coord-eight"))


def environments(names: set[str]) -> dict[str, tuple[str, ...]]:
    """Virtualenv -> requirements, for these peers."""
    return {each.environment: each.requirements for each in PEERS if each.name in names and each.environment}
