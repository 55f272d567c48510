"""What came of a chaos run: Redis' record, the workers' journals and the driver's misdeeds agree."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.ledger import Ledger

if TYPE_CHECKING:
    from tests.crash.chaos import Chaos

#: Events after which a task is in nobody's hands. (`dead`, `stopped` and `registered` name a task only if
#: the worker held one.)
OVER = frozenset(
    ("finished", "failed", "retrying", "released", "returned", "lost", "dead", "registered", "stopped")
)
#: Those by which a task is taken back. A hand-over that nobody has confirmed is no loss.
TAKEN_BACK = frozenset(("returned", "lost", "dead", "registered"))


@dataclass
class Report:
    """The counts, and what is wrong."""

    counts: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"  {name:62} {value}" for name, value in self.counts.items()]
        lines += [f"  WRONG: {what}" for what in self.problems[:40]]
        if len(self.problems) > 40:
            lines.append(f"  ... and {len(self.problems) - 40} more")
        return "\n".join(lines)


@dataclass
class Hold:
    """A claim as the events tell of it."""

    worker: str
    token: str
    confirmed: bool
    at: int


class History:
    """The events in their order, and what each did to the claims."""

    def __init__(self, chaos: Chaos, journals: dict[str, list[tuple[str, str]]]) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.refused: Counter[tuple[str, str]] = Counter()
        self.lost: list[tuple[str, str]] = []
        self.losers: set[str] = set()
        self.taken_back: set[str] = set()
        self.cut_off = 0
        self.finished: Counter[str] = Counter()
        self._held: dict[str, Hold] = {}
        self._journals = {name: Claims(lines) for name, lines in journals.items()}
        self.last: dict[str, str] = {}
        entries: Any = chaos.conn.xrange("pool:events")
        for key, raw in entries:
            fields = {name.decode(): value.decode("utf-8", "replace") for name, value in raw.items()}
            self._take(int(key.split(b"-")[0]), **fields)

    def _take(self, at: int, type: str, task: str, worker: str, queue: str, detail: str) -> None:
        self.counts[type] += 1
        if not task:
            return
        hold = self._held.get(task)
        if type == "claimed":
            if hold is not None:
                self.problems.append(f"{task} was given to {worker} while {hold.worker} held it")
            self._held[task] = Hold(worker, detail, self._journals[worker].firm(f"{task}.{detail}"), at)
        elif type == "confirmed" and hold is not None:
            hold.confirmed = True
        elif type == "refused":
            self.refused[task, worker] += 1
        elif type in OVER:
            if hold is None or hold.worker != worker:
                self.problems.append(f"{task}: {type} of {worker}, which did not hold it")
                return
            if type == "finished":
                self.finished[task] += 1
                if hold.token != detail:
                    self.problems.append(f"{task} was finished by another claim than the one that held it")
            if type in TAKEN_BACK:
                self.taken_back.add(f"{task}.{hold.token}")
                if hold.confirmed:
                    self.losers.add(worker)
                    self.lost.append((task, worker))
                else:
                    self.cut_off += 1
            self.last[f"{task}.{hold.token}"] = type
            del self._held[task]


class Claims:
    """How a worker came by its claims. A helper's is firm at once; of a hook's an event tells later."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.known = {claim: kind == "took" for kind, claim in lines if kind in ("took", "claimed")}
        self.asked = next((how for kind, how in reversed(lines) if kind == "asks"), "")

    def firm(self, claim: str) -> bool:
        """Whether it was a helper's; of one that it did not live to write down, by what it asked last."""
        return self.known.get(claim, self.asked == "helper")


def read_journals(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """What each worker wrote down: (kind, claim) in its order."""
    found = {}
    for path in folder.glob("journal-*"):
        lines = [line.partition(" ")[::2] for line in path.read_text(encoding="utf-8").splitlines()]
        found[path.name.removeprefix("journal-")] = [(kind, rest.strip()) for kind, rest in lines]
    return found


def examine(chaos: Chaos) -> Report:
    """Everything that must be so in the end."""
    report = Report()
    ledger = Ledger(chaos.conn)
    journals = read_journals(chaos.folder)
    history = History(chaos, journals)
    say = report.problems.extend
    say(ledger.problems())
    say(history.problems)
    say(_results(ledger, history, chaos))
    say(_refusals(report, history, journals, chaos))
    say(_losses(report, ledger, history, chaos))
    say(_outage(report, history, chaos))
    say(_leftovers(ledger, chaos))
    say(f"{name}: {what}" for name, lines in journals.items() for kind, what in lines if kind == "broken")
    done = chaos.done
    report.counts = {
        "tasks": chaos.tasks,
        "finished": sum(task.status == "finished" for task in ledger.tasks.values()),
        "results committed": sum(task.committed for task in ledger.tasks.values()),
        "attempts that failed and were retried": history.counts["retrying"],
        "handed back": history.counts["released"],
        "workers started": done["workers started"],
        "sessions killed": done["killed"],
        "sessions killed together with their keepers": done["killed with its keeper"],
        "sessions and keepers frozen longer than the lease": done["frozen"],
        "  of these with a task in their hands": done["frozen with a task"],
        "  of these thawed while another worked on it": done["thawed while another had its task"],
        "keepers killed (those together with a session included)": done["keepers killed"],
        "coordinators killed": done["coordinators killed"],
        "deaths noticed": history.counts["dead"],
        **report.counts,
        "took": f"{chaos.took:.1f} s, {chaos.tasks / chaos.took:.0f} tasks/s",
    }
    return report


def _results(ledger: Ledger, history: History, chaos: Chaos) -> list[str]:
    """Each task is finished, by one result that names the claim which was in force."""
    found = [] if len(ledger.tasks) == chaos.tasks else [f"there are {len(ledger.tasks)} tasks"]
    for task in ledger.tasks.values():
        if task.status != "finished":
            found.append(f"{task.id} is {task.status}")
            continue
        if len(task.results) != 1:
            found.append(f"{task.id} has {len(task.results)} results")
            continue
        result = json.loads(base64.b64decode(task.results[0]["return_value"]))
        claim = f"{task.id}.{task.fields.get('pool_done')}"
        if result["claim"] != claim or task.results[0]["execution_id"] != task.fields.get("pool_done"):
            found.append(f"{task.id} has the result of {result['claim']}, but {claim} committed it")
        if result["worker"] != task.results[0]["worker_name"]:
            found.append(f"{task.id}: {result['worker']} worked, {task.results[0]['worker_name']} committed")
        if history.finished[task.id] != 1:
            found.append(f"{task.id} was finished {history.finished[task.id]} times")
        if claim in history.taken_back:
            found.append(f"{claim} was taken back, and committed all the same")
    return found


def _refusals(
    report: Report, history: History, journals: dict[str, list[tuple[str, str]]], chaos: Chaos
) -> list[str]:
    """Every refusal that Redis noted was heard by its worker, unless that was killed before it could be."""
    heard: Counter[tuple[str, str]] = Counter()
    unheard: Counter[tuple[str, str]] = Counter()
    late = 0
    found = []
    for name, lines in journals.items():
        tried = ""
        for kind, claim in [*lines, ("end", "")]:
            task = claim.partition(".")[0]
            if tried and kind in ("try", "end", "kept", "away"):
                unheard[tried, name] += 1  # no answer came: Redis or the worker was killed
            tried = task if kind == "try" else "" if kind != "enrolled" else tried
            if kind == "refused":
                heard[task, name] += 1
                late += claim in history.taken_back
            elif kind == "done" and history.last.get(claim) != "finished":
                found.append(f"{name} was told that {claim} is done, but it was {history.last.get(claim)}")
    aside = 0
    for path in chaos.folder.glob("home*/sessions/*/outbox/*.refused"):
        aside += 1
        commit = json.loads(path.read_text(encoding="utf-8"))
        task = commit["claim"].partition(".")[0]
        unheard[task, commit["worker"]] -= 1
        heard[task, commit["worker"]] += 1
    for (task, name), count in history.refused.items():
        if not heard[task, name] <= count <= heard[task, name] + max(unheard[task, name], 0):
            found.append(f"{name} was refused {task} {count} times, and heard {heard[task, name]} of it")
    found += [f"{name} heard a refusal of {task} of which Redis knows nothing" for task, name in heard
              if heard[task, name] and not history.refused[task, name]]  # fmt: skip
    total = sum(history.refused.values())
    report.counts |= {
        "commits kept on disk while Redis was away": sum(
            kind == "kept" for lines in journals.values() for kind, _ in lines
        ),
        "late commits refused": total,
        "  heard by their worker": sum(heard.values()) - aside,
        "  sent by a keeper when Redis was back, and set aside": aside,
        "  not heard: the worker was killed first": total - sum(heard.values()),
        "  of a claim that had been taken back": late,
        "commits of claims that had been taken back": sum(
            history.last.get(claim) == "finished" for claim in history.taken_back
        ),
    }
    return found


def _losses(report: Report, ledger: Ledger, history: History, chaos: Chaos) -> list[str]:
    """Each loss is somebody's doing: the tasks' counters, the events and the strikes agree."""
    counted = Counter(task for task, _ in history.lost)
    found = []
    for task in ledger.tasks.values():
        losses = int(task.fields.get("pool_losses", 0))
        if losses != counted[task.id]:
            found.append(f"{task.id} counts {losses} losses, the events {counted[task.id]}")
    unstruck = sorted(history.losers - chaos.struck)
    found += [f"{name} lost a task, but nothing was done to it" for name in unstruck]
    strikes = sum(chaos.done[what] for what in ("killed", "killed with its keeper", "frozen"))
    if len(history.lost) > strikes:
        found.append(f"{len(history.lost)} losses by {strikes} strikes")
    report.counts |= {
        "tasks lost with their worker, and given to another": len(history.lost),
        "  as the tasks count them": sum(int(t.fields.get("pool_losses", 0)) for t in ledger.tasks.values()),
        "  by workers that were killed or frozen": len(history.losers & chaos.struck),
        "hand-overs that were not confirmed, and given back uncounted": history.cut_off,
    }
    return found


def _outage(report: Report, history: History, chaos: Chaos) -> list[str]:
    """Redis was away for longer than the lease, and took nobody's claim along."""
    if not chaos.done["Redis restarts"]:
        return ["Redis was not restarted"]
    lost = [claim for claim in chaos.held_over if claim in history.taken_back]
    report.counts |= {
        "Redis restarts (away for longer than the lease)": chaos.done["Redis restarts"],
        "  claims of healthy workers held over it": len(chaos.held_over),
        "  of these lost": len(lost),
    }
    found = [f"{claim} was held by {chaos.held_over[claim]}, and lost with the restart" for claim in lost]
    return found if chaos.held_over else [*found, "nobody held a claim while Redis was away"]


def _leftovers(ledger: Ledger, chaos: Chaos) -> list[str]:
    """Nothing is left of what was running."""
    conn = chaos.conn
    found = [f"a lease of {name} is left" for name in ledger.leases]
    found += [f"execution {name} is left" for name in ledger.executions]
    found += [f"{name} counts as live" for name in ledger.live]
    kinds = ("queue", "wip", "scheduled", "deferred", "executions")
    for pattern in (*(f"rq:{kind}:*" for kind in kinds), "pool:staged:*"):
        found += [f"{key.decode()} is left" for key in conn.scan_iter(pattern, count=1000)]
    return found + [f"process {pid} is left" for pid in chaos.left_running()]


def stand(chaos: Chaos) -> str:
    """How things stand, for a run that did not come to its end."""
    try:
        ledger = Ledger(chaos.conn)
    except Exception as error:  # whatever it is, it is not what the run failed of
        return f"Redis cannot be read: {error}"
    lines = [str(Counter(task.status for task in ledger.tasks.values()))]
    lines += [f"{t.id}: {t.fields} {t.homes}" for t in ledger.tasks.values() if t.status != "finished"][:10]
    lines += [f"live: {name} {ledger.holders[name]}" for name in sorted(ledger.live)]
    entries: Any = chaos.conn.xrevrange("pool:events", count=20)
    lines += [str({name.decode(): value.decode() for name, value in raw.items()}) for _, raw in entries]
    for name in ("coord.log", "workers.log", "home/hooks.log"):
        if (chaos.folder / name).exists():
            lines += [f"-- {name}", *(chaos.folder / name).read_text(errors="replace").splitlines()[-15:]]
    return "\n".join(lines)
