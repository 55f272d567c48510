"""The numbers as rows of text: the terminal and docs/benchmarks.md show the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench import goals, servers
from bench.peers.catalogue import RQ_SIMPLE

Part = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A title, columns (those after the first ``left`` are numbers), rows."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    left: int = 1


def number(value: float) -> str:
    """Three digits that count: 0.52, 14.5, 6,110."""
    size = abs(value)
    if size >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"


def spread(each: dict[str, float]) -> str:
    """The quartiles."""
    return f"{number(each['q1'])}–{number(each['q3'])}"  # noqa: RUF001 - a dash between numbers


def processes(part: Part) -> Table:
    """Part a."""
    bare = part["programs"][0]["median"]
    rows = [
        [each["title"], number(each["median"]), spread(each), f"{each['median'] / bare:.1f}"]
        for each in part["programs"]
    ]
    return Table(
        "From a process' start to its end", ["program", "median ms", "quartiles", "times bare"], rows
    )


def throughput(part: Part, aof: str) -> Table:
    """Part b in one AOF mode: tasks per second."""
    baseline = goals.drained(part, RQ_SIMPLE, aof)
    speeds = {each["name"]: goals.drained(part, each["name"], aof) or 0.0 for each in part["peers"]}
    rows = []
    for peer in sorted(part["peers"], key=lambda each: -speeds[each["name"]]):
        found = {
            each["processes"]: each
            for each in part["rates"]
            if each["peer"] == peer["name"] and each["aof"] == aof
        }
        two = found.get(2)
        if two is None:
            continue
        others = [number(found[n]["drain"]["median"]) if n in found else "" for n in (1, 4)]
        times = f"{two['drain']['median'] / baseline:.1f}" if baseline else ""
        rows.append(
            [f"{peer['title']} {peer['version']}", number(two["drain"]["median"]), spread(two["drain"]),
             times, *others, number(two["server_us"]["median"]),
             number(two["enqueue"]["median"]) + (" (batch)" if peer["batch"] else "")]
        )  # fmt: skip
    columns = [
        "contestant",
        "two processes",
        "quartiles",
        "times RQ",
        "one",
        "four",
        "server µs a task",
        "enqueued",
    ]
    return Table(f"Tasks per second, {mode(aof)}", columns, rows)


def mode(aof: str) -> str:
    """An AOF mode in words."""
    return "no AOF" if aof == "no" else f"AOF {aof}"


def guarantees(part: Part) -> Table:
    """What each contestant was set up to do."""
    rows = [
        [
            each["title"],
            each["setup"],
            each["killed"],
            each["results"],
            "refused" if each["fenced"] else "no fence documented",
        ]
        for each in part["peers"]
    ]
    columns = ["contestant", "set up", "a killed worker's task", "results", "late commits"]
    return Table("What the contestants guarantee", columns, rows, left=5)


def server(part: Part) -> Table:
    """Part b: server time."""
    rows = [
        [name, number(each["median"]), spread(each), str(part["server"]["commands"][name])]
        for name, each in part["server"]["usec"].items()
    ]
    return Table("Server time of a transition", ["transition", "median µs", "quartiles", "round trips"], rows)


def latency(part: Part) -> Table:
    """Part c."""
    rows = [
        [
            title,
            number(each["median"]),
            number(each["p99"]),
            number(each["high"]),
            unit,
            f"{each['count']:.0f}",
        ]
        for title, each, unit in (
            ("submit's return to the waiting hook's exit with the task", part["handover_ms"], "ms"),
            ("SIGKILL of a session to its task being claimable", _scaled(part["death_s"], 1000), "ms"),
        )
    ]
    return Table("Latency", ["from, to", "median", "99 %", "slowest", "unit", "samples"], rows)


def _scaled(each: dict[str, float], factor: float) -> dict[str, float]:
    return {name: value if name == "count" else value * factor for name, value in each.items()}


def backlog(part: Part) -> Table:
    """Part d: by the backlog."""
    names = ("pair_server", "pair_wall", "submit_server", "submit_wall")
    rows = [
        [f"{each['tasks']:,}", *(number(each[name]["median"]) for name in names), number(each["fill_s"])]
        for each in part["backlog"]
    ]
    columns = [
        "queued tasks",
        "claim + complete, server µs",
        "wall µs",
        "submit, server µs",
        "wall µs",
        "filled in s",
    ]
    return Table("By the length of the backlog", columns, rows, left=0)


def workers(part: Part) -> Table:
    """Part d: by the number of workers."""
    names = ("workers_table", "workers_lines", "workers_json", "tasks_table", "pair_us", "tick_ms")
    rows = [
        [f"{each['workers']:,}", *(number(each[name]["median"]) for name in names)]
        for each in part["workers"]
    ]
    columns = [
        "workers",
        "coord workers: table s",
        "lines s",
        "JSON s",
        "coord tasks s",
        "claim + complete µs",
        "tick ms",
    ]
    return Table("By the number of workers", columns, rows, left=0)


def memory(part: Part) -> Table:
    """Part d: memory."""
    found, crowd = part["memory"], part["workers"][-1]
    rows = [
        ["a queued task", number(found["queued"])],
        ["a finished task, with its result", number(found["finished"])],
        ["an event (the stream is capped)", number(found["event"])],
        [f"a registered worker (of {crowd['workers']:,})", number(crowd["bytes_per_worker"])],
    ]
    return Table("Redis' memory", ["for", "bytes"], rows)


def sizing(part: Part) -> Table:
    """Part d: what to give Redis, from the memory of one of each."""
    found, crowd = part["memory"], part["workers"][-1]
    rows = [
        ["100,000 queued tasks", f"{found['queued'] * 1e5 / 1e6:,.0f}"],
        ["1,000 finished tasks a day, kept 30 days (result_ttl)", f"{found['finished'] * 3e4 / 1e6:,.0f}"],
        ["the audit log, full (event_limit: 100,000 events)", f"{found['event'] * 1e5 / 1e6:,.0f}"],
        ["1,000 workers", f"{crowd['bytes_per_worker'] * 1e3 / 1e6:,.0f}"],
    ]
    return Table("What that makes, in MB of Redis' memory", ["for", "MB"], rows)


def idle(part: Part) -> Table:
    """Part e."""
    rows = [
        [title, number(each["commands_per_s"]), number(each["cpu_percent"]), number(each["bytes_per_worker"]),
         f"{each['connections']:.0f}", number(each["seconds"])]
        for title, each in (
            ("waiting on doorbells, as the Stop hook does", part["waiting"]),
            ("looking each second (for comparison)", part["polling"]),
        )
    ]  # fmt: skip
    columns = [
        f"{part['workers']:,} workers",
        "commands/s",
        "% of a core",
        "bytes a worker",
        "connections",
        "watched s",
    ]
    return Table("Idle workers", columns, rows)


def judged(found: list[dict[str, Any]]) -> Table:
    """The goals."""
    rows = []
    for goal in found:
        sign = "≥" if goal["at_least"] else "≤"
        unit = f" {goal['unit']}" if goal["unit"] else ""
        verdict = "met" if goal["met"] else "MISSED"
        rows.append(
            [goal["text"], f"{sign} {goal['limit']:g}{unit}", f"{number(goal['value'])}{unit}", verdict]
        )
    return Table("", ["goal", "limit", "measured", ""], rows, left=1)


def of_part(name: str, part: Part) -> Iterator[Table]:
    """The tables of one part."""
    if name == "a":
        yield processes(part)
    elif name == "b":
        for aof in servers.AOF:
            yield throughput(part, aof)
        yield server(part)
    elif name == "c":
        yield latency(part)
    elif name == "d":
        yield from (backlog(part), workers(part), memory(part), sizing(part))
    else:
        yield idle(part)
