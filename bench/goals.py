"""The goals, judged by what was measured. A missed one is shown as missed, with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench import servers
from bench.peers.catalogue import COORD, EIGHT, RQ_SIMPLE

Part = dict[str, Any]

_MORE_IN_FLIGHT = (
    "the peer ahead has many tasks in flight in each process and does less for each: see what becomes of a "
    "killed worker's task, and of late commits."
)
_ALL_READ = "every field of every worker is read and shown by an interpreter that starts for it."
#: Why a goal may be missed, by its name: said beside it when it is, and only then.
REASONS = {
    "ahead-always": "with AOF `always` each commit waits for the disk. A coord worker is one session that "
    "does one task: it waits twice for each. The peers have 8 to 100 tasks in flight in every process, which "
    "share one sync; the next goal compares with as many in flight.",
    "ahead-no": _MORE_IN_FLIGHT,
    "ahead-everysec": _MORE_IN_FLIGHT,
    "ahead-eight-always": "where waiting for the disk is shared, the server's own time is what is left, and "
    "coord's claim and complete do more in it: the lease and the fence, RQ's registries, an event for the "
    "audit log, the counters of `coord stats`.",
    **dict.fromkeys(("workers_table", "workers_lines", "workers_json"), _ALL_READ),
}


@dataclass(frozen=True)
class Goal:
    """One goal: ``value`` is to be at most, or at least, ``limit``."""

    part: str
    name: str
    text: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def judge(parts: dict[str, Part]) -> list[dict[str, Any]]:
    """Every goal of the parts that were measured."""
    judges: dict[str, Callable[[Part], Iterator[Goal]]] = {
        "a": _processes, "b": _throughput, "c": _latency, "d": _growth,
    }  # fmt: skip
    found = [goal for name, each in judges.items() if name in parts for goal in each(parts[name])]
    return [
        {**asdict(goal), "met": goal.met, "reason": "" if goal.met else REASONS.get(goal.name, "")}
        for goal in found
    ]


def _processes(part: Part) -> Iterator[Goal]:
    medians = {each["name"]: each["median"] for each in part["programs"]}
    bare = medians["bare"]
    yield Goal("a", "hook", "Stop hook with a task, against bare Python", medians["hook"] / bare, 3, "times")
    yield Goal("a", "claim", "helper claim, against bare Python", medians["claim"] / bare, 3, "times")
    if "bash" in medians:
        text = "Stop hook with a task, against bash + jq + redis-cli"
        yield Goal("a", "bash", text, medians["hook"] / medians["bash"], 0.5, "times")


def drained(part: Part, peer: str, aof: str, processes: int = 2) -> float | None:
    """A contestant's median of tasks claimed and completed per second; None when it was not measured."""
    for each in part["rates"]:
        if (each["peer"], each["aof"], each["processes"]) == (peer, aof, processes):
            return float(each["drain"]["median"])
    return None


def _throughput(part: Part) -> Iterator[Goal]:
    rivals = {each["name"]: each["title"] for each in part["peers"] if each["survives"] and not each["ours"]}
    for aof in servers.AOF:
        mode = "without AOF" if aof == "no" else f"with AOF {aof}"
        ours, rq = drained(part, COORD, aof), drained(part, RQ_SIMPLE, aof)
        if ours and rq:
            text = f"claim and complete {mode}, two processes, against RQ's SimpleWorker"
            yield Goal("b", f"rq-{aof}", text, ours / rq, 6 if aof == "no" else 3, "times", at_least=True)
        speeds = {name: speed for name in rivals if (speed := drained(part, name, aof))}
        if not speeds:
            continue
        best = max(speeds, key=lambda name: speeds[name])
        against = (
            f"{mode}, two processes, against the best peer that keeps results and survives a killed worker"
        )
        if ours:
            text = f"claim and complete {against} ({rivals[best]})"
            yield Goal("b", f"ahead-{aof}", text, ours / speeds[best], 1, "times", at_least=True)
        many = drained(part, EIGHT, aof)
        if many and aof == "always":  # the mode in which tasks in flight share what is waited for
            text = f"the same with as many tasks in flight (8 workers a process) {against} ({rivals[best]})"
            yield Goal("b", f"ahead-eight-{aof}", text, many / speeds[best], 1, "times", at_least=True)
    server = part["server"]
    for name in ("claim", "complete"):
        yield Goal("b", f"server-{name}", f"server time per {name}", server["usec"][name]["median"], 80, "µs")
    most = max(server["commands"].values())
    yield Goal("b", "round-trips", "round trips per transition", float(most), 1, "")


def _latency(part: Part) -> Iterator[Goal]:
    handover, death = part["handover_ms"], part["death_s"]
    yield Goal("c", "handover", "submit to hand-over, median", handover["median"], 5, "ms")
    yield Goal("c", "handover-99", "submit to hand-over, 99th percentile", handover["p99"], 25, "ms")
    yield Goal("c", "death", "death to claimable again, the slowest", death["high"], 2, "s")


def _growth(part: Part) -> Iterator[Goal]:
    small, large = part["backlog"][0], part["backlog"][-1]
    for name, what in (
        ("pair_server", "claim and complete, server time"), ("pair_wall", "claim and complete, wall time"),
        ("submit_server", "submit, server time"), ("submit_wall", "submit, wall time"),
    ):  # fmt: skip
        text = f"{what}: a backlog of {large['tasks']:,} against {small['tasks']:,}"
        yield Goal("d", name, text, large[name]["median"] / small[name]["median"], 1.2, "times")
    crowd = part["workers"][-1]
    for name, what in (("workers_table", "a table"), ("workers_lines", "lines"), ("workers_json", "JSON")):
        text = f"`coord workers` with {crowd['workers']:,} workers, as {what}"
        yield Goal("d", name, text, crowd[name]["median"], 1, "s")
