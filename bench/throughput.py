"""Part b: enqueue, and claim with complete, per second: coord beside other queues on the same Redis."""

from __future__ import annotations

from typing import Any

import redis

from bench import server_time, servers, stats
from bench.fleet import Cut, Fleet
from bench.peers import catalogue, install
from bench.run import Run

#: Numbers of processes. The goals are about two; the others are measured in fewer rounds.
PROCESSES = (2, 1, 4)
#: A measurement is to take about so long (seconds): the number of tasks follows the speed seen.
_AIM = 1.0
_MOST = 8000
#: A peer that was cut off so often in an AOF mode is not waited for there again.
_CHANCES = 2


def measure(run: Run, names: list[str]) -> dict[str, Any]:
    """All contestants in turn, in each mode and with each number of processes; see docs/benchmarks.md."""
    peers, refused = _installed(run, names)
    rates: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    cut: list[dict[str, str]] = []
    speeds: dict[tuple[str, str, int], float] = {}
    plan = [
        (number, aof, processes)
        for number in range(run.sizes.throughput_rounds)
        for processes in PROCESSES
        for aof in servers.AOF
        if processes == 2 or number < run.sizes.other_rounds
    ]
    for number, aof, processes in run.steps("claim and complete", plan):
        # Each round begins with another contestant, so that none always follows the same one.
        turn = number % len(peers)
        for peer in peers[turn:] + peers[:turn]:
            key = (peer.name, aof, processes)
            if sum(each["peer"] == peer.name and each["aof"] == aof for each in cut) >= _CHANCES:
                continue
            count = max(peer.first, int(min(speeds.get(key, 0.0) * _AIM, _MOST)))
            count = max(processes, int(count * run.sizes.share)) // processes * processes
            try:
                enqueued, drained, used = _once(peer, aof, processes, count)
            except Cut as error:
                cut.append({"peer": peer.name, "aof": aof, "processes": str(processes), "why": str(error)})
                run.note(
                    f"{peer.title} was cut off ({processes} processes, AOF {aof}), that measurement is left "
                    f"out: {error}"
                )
                continue
            speeds[key] = count / drained
            found = rates.setdefault(key, {"enqueue": [], "drain": [], "server_us": []})
            found["enqueue"].append(count / enqueued)
            found["drain"].append(count / drained)
            found["server_us"].append(used / count * 1e6)
    return {
        "peers": [_facts(peer) for peer in peers],
        "refused": refused,
        "cut": cut,
        "rates": [
            {
                "peer": name, "aof": aof, "processes": processes,
                **{what: stats.summary(values) for what, values in found.items()},
            }
            for (name, aof, processes), found in rates.items()
        ],
        "server": server_time.measure(run),
    }  # fmt: skip


def _installed(run: Run, names: list[str]) -> tuple[list[catalogue.Peer], list[dict[str, str]]]:
    wanted = set(names) | catalogue.OURS
    refused: dict[str, str] = {}
    environments = catalogue.environments(wanted)
    for environment, requirements in run.steps("peers' virtualenvs", list(environments.items())):
        try:
            install.ensure(environment, requirements)
        except install.InstallError as error:
            refused[environment] = str(error)
            run.note(f"{environment} could not be installed: {error}")
    peers = [each for each in catalogue.PEERS if each.name in wanted and each.environment not in refused]
    return peers, [{"environment": name, "why": why} for name, why in refused.items()]


def _facts(peer: catalogue.Peer) -> dict[str, Any]:
    return {
        "name": peer.name, "title": peer.title, "version": install.versions(peer), "setup": peer.setup,
        "killed": peer.killed, "results": peer.results, "fenced": peer.fenced,
        "survives": peer.survives, "batch": peer.batch,
        "ours": peer.name in catalogue.OURS,
    }  # fmt: skip


def _once(peer: catalogue.Peer, aof: str, processes: int, count: int) -> tuple[float, float, float]:
    """Seconds to enqueue ``count`` tasks, to work them off, and of the server's processor for the latter."""
    with (
        servers.server(aof) as running,
        redis.Redis.from_url(running.url) as conn,
        Fleet(peer, running.url, processes) as fleet,
    ):
        fleet.freeze()
        enqueued = fleet.enqueue([count // processes] * processes)
        before = servers.cpu_seconds(conn)
        drained = fleet.drain(count)
        return enqueued, drained, servers.cpu_seconds(conn) - before
