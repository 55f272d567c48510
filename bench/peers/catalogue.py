"""The peers: how each is installed, started and asked, and what it guarantees in that configuration.

The guarantees are what the peer's own documentation and source say of the version range named here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """One contestant. Its commands name {python}, {bin}, {processes}, {index} and {url}."""

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
    #: Tasks of a first measurement, and the fewest of any; later ones follow the speed seen.
    first: int
    #: Whether its tasks are enqueued by one call.
    batch: bool = False


#: coord's own interpreter runs its module.
_COORD = ("{python}", "-m", "bench.peers.coord_peer")
_COORD_KILLED = (
    "back in the queue within 2 s when its keeper sees the process die; after the lease (60 s) when the "
    "whole machine is lost"
)

COORD = "coord"
EIGHT = "coord-eight"
RQ_SIMPLE = "rq-simple"


def _ours(name: str, title: str, setup: str, first: int, *words: str, batch: bool = False) -> Peer:
    return Peer(
        name=name, title=title, environment="", requirements=(), distribution="coord",
        producer=(*_COORD, "produce", *(["--batch"] if batch else [])),
        worker=(*_COORD, "work", "w{index}", *words), fleet=False, setup=setup, killed=_COORD_KILLED,
        results="kept 30 days", fenced=True, survives=True, first=first, batch=batch,
    )  # fmt: skip


def _rq(name: str, title: str, setup: str, killed: str, first: int, *words: str) -> Peer:
    return Peer(
        name=name, title=title, environment="rq", requirements=("rq>=2.8",), distribution="rq",
        producer=("{python}", "-m", "bench.peers.rq_peer"),
        worker=("{bin}/rq", "worker", "-u", "{url}", *words, "--quiet", "bench"), fleet=False, setup=setup,
        killed=killed, results="kept 500 s", fenced=False, survives=True, first=first,
    )  # fmt: skip


PEERS: tuple[Peer, ...] = (
    _ours(COORD, "coord", "what a worker says to Redis (pool.scripts over pool.wire): claim, complete", 1500),
    _ours(
        "coord-hook", "coord, as its Stop hook",
        "the same with a provisional claim and its confirmation (three round trips); enqueued as one batch",
        1500, "--hook", batch=True,
    ),
    _ours(
        EIGHT, "coord, 8 workers a process",
        "as coord, with eight workers in each process, a thread each: as many tasks in flight as Dramatiq's "
        "8 threads, SAQ's 10 or streaQ's 16 coroutines have",
        1500, "--eight",
    ),
    _rq(
        RQ_SIMPLE, "RQ SimpleWorker", "runs jobs in the worker's own process",
        "moved to the failed registry by a clean-up when its heartbeat is overdue (240 s with the default "
        "timeout); queued again if it was enqueued with Retry",
        400, "-w", "rq.SimpleWorker",
    ),
    _rq(
        "rq-fork", "RQ Worker (forks)", "the default worker: a forked process for every job",
        "as with SimpleWorker, overdue after about 90 s", 60,
    ),
    Peer(
        name="celery", title="Celery", environment="celery", requirements=("celery[redis]>=5.4",),
        distribution="celery", producer=("{python}", "-m", "bench.peers.celery_peer"),
        worker=(
            "{bin}/celery", "-A", "bench.peers.celery_peer", "worker", "-c", "{processes}", "-l", "ERROR",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ),
        fleet=True,
        setup="task_acks_late, task_reject_on_worker_lost and prefetch 1, as its docs advise for tasks that "
        "must not be lost; gossip, mingle and heartbeats off",
        killed="redelivered at once when only the pool process dies, after the visibility timeout (1 h) "
        "otherwise",
        results="kept 1 day", fenced=False, survives=True, first=600,
    ),
    Peer(
        name="dramatiq", title="Dramatiq", environment="dramatiq", requirements=("dramatiq[redis]>=1.17",),
        distribution="dramatiq", producer=("{python}", "-m", "bench.peers.dramatiq_peer"),
        worker=("{bin}/dramatiq", "bench.peers.dramatiq_peer", "-p", "{processes}"), fleet=True,
        setup="its results middleware added; 8 threads a process (default)",
        killed="redelivered after 60 s without a heartbeat, at another worker's next maintenance",
        results="kept 10 min", fenced=False, survives=True, first=3000,
    ),
    Peer(
        name="saq", title="SAQ", environment="saq",
        requirements=("saq[redis,hiredis]>=0.22", "typing_extensions"),
        distribution="saq", producer=("{python}", "-m", "bench.peers.saq_peer"),
        worker=("{bin}/saq", "bench.peers.saq_peer.settings", "--quiet"), fleet=False,
        setup="3 tries a job, so that a sweep queues it again; concurrency 10 (default)",
        killed="queued again by a sweep (each 60 s) once the job's timeout (10 s) has passed",
        results="kept 10 min", fenced=False, survives=True, first=3000,
    ),
    Peer(
        name="arq", title="arq", environment="arq", requirements=("arq>=0.26",), distribution="arq",
        producer=("{python}", "-m", "bench.peers.arq_peer"),
        worker=("{bin}/arq", "bench.peers.arq_peer.WorkerSettings"), fleet=False,
        setup="as by default: it looks for work each 0.5 s, which bounds what it does",
        killed="run again when its in-progress mark has expired (310 s with the default timeout)",
        results="kept 1 h", fenced=False, survives=True, first=300,
    ),
    Peer(
        name="huey", title="huey", environment="huey", requirements=("huey>=2.5", "redis>=5"),
        distribution="huey", producer=("{python}", "-m", "bench.peers.huey_peer"),
        worker=(
            "{bin}/huey_consumer", "bench.peers.huey_peer.huey", "-k", "process", "-w", "{processes}", "-q",
        ),
        fleet=True, setup="a process for each worker, blocking reads (default)",
        killed="lost: a task leaves Redis when it is taken",
        results="kept until they are read", fenced=False, survives=False, first=1500,
    ),
    Peer(
        name="taskiq", title="taskiq (streams)", environment="taskiq",
        requirements=("taskiq>=0.11", "taskiq-redis>=1.0"), distribution="taskiq",
        producer=("{python}", "-m", "bench.peers.taskiq_peer"),
        worker=(
            "{bin}/taskiq", "worker", "bench.peers.taskiq_peer:broker", "--workers", "{processes}",
            "--log-level", "ERROR",
        ),
        fleet=True,
        setup="its stream broker, which acknowledges when the result is saved; reads 100 at once (default)",
        killed="redelivered to a worker that looks, after 10 min",
        results="kept 1 day", fenced=False, survives=True, first=3000,
    ),
    Peer(
        name="streaq", title="streaQ", environment="streaq", requirements=("streaq>=5",),
        distribution="streaq", producer=("{python}", "-m", "bench.peers.streaq_peer"),
        worker=("{bin}/streaq", "run", "bench.peers.streaq_peer:worker"), fleet=False,
        setup="as by default: 16 tasks at a time, reads ahead 16",
        killed="redelivered after 60 s without a sign of its worker",
        results="kept 5 min", fenced=False, survives=True, first=3000,
    ),
)  # fmt: skip

#: Ours are always measured.
OURS = frozenset((COORD, "coord-hook", EIGHT))


def environments(names: set[str]) -> dict[str, tuple[str, ...]]:
    """Virtualenv -> requirements, for these peers."""
    return {each.environment: each.requirements for each in PEERS if each.name in names and each.environment}
