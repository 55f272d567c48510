"""The crash matrix: every command killed at each of its round trips, before and after Redis ran it.

    python -m tests.crash.matrix [PART OF A NAME]

Each kill is followed by two ways to go on: the command is repeated (as a person, the client or a keeper
would), or its worker is dead and the pool takes everything back. Then a fresh worker does all that can
be claimed: nothing is lost, nothing is done twice.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.bench import Bench, Process, ended
from tests.crash.commands import HELPERS, HOOKS, KEEPERS, Command
from tests.crash.operators import OPERATORS
from tests.server import Server

COMMANDS = [*HOOKS, *HELPERS, *KEEPERS, *OPERATORS]


@dataclass
class Kill:
    """One kill, one way to go on, and what became of it."""

    number: int
    when: str
    way: str
    #: What Redis held then, and when all that could be claimed was done.
    left: str = ""
    last: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass
class Row:
    """A command's kills, and the round trips of a call that nobody kills."""

    command: Command
    trips: list[str]
    kills: list[Kill] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        found = [f"killed {k.when} {k.number}, {k.way}: {what}" for k in self.kills for what in k.problems]
        said = [trip for trip in self.trips if not self.command.reads or trip.islower()]
        if self.command.reads:
            said = list(dict.fromkeys(said))
        if tuple(said) != self.command.trips:
            found.append(f"its round trips are {said}, not {list(self.command.trips)}")
        return found


def examine(bench: Bench, command: Command, everywhere: bool = True) -> Row:
    """Run a command to its end once, then kill it at each of its round trips.

    With ``everywhere`` also in redis-py's greeting and at mere reads, which change nothing.
    """
    killed, problems = _attempt(bench, command, 0, "")
    assert not killed
    row = Row(command, bench.trips()[: bench.reached or None])
    kill = Kill(0, "never", "runs to its end", bench.ledger().summary(), problems=problems)
    kill.problems += _is_done(bench, command)
    _finish(bench, command, kill, done=True)
    row.kills.append(kill)
    for number, when, way in _points(row, everywhere):
        killed, problems = _attempt(bench, command, number, when)
        if not killed:
            continue
        ledger = bench.ledger()
        kill = Kill(number, when, way, ledger.summary(), problems=problems + ledger.problems())
        kill.problems += _all_or_none(bench, command)
        if way == "repeated":
            kill.problems += _repeat(bench, command)
        _finish(bench, command, kill, done=way == "repeated")
        row.kills.append(kill)
    return row


def _points(row: Row, everywhere: bool) -> Iterator[tuple[int, str, str]]:
    for number, trip in enumerate(row.trips, 1):
        if everywhere or not row.command.reads or trip.islower():
            for when in ("before", "after"):
                for way in row.command.ways:
                    yield number, when, way


def _attempt(bench: Bench, command: Command, number: int, when: str) -> tuple[bool, list[str]]:
    """Run it in a world of its own; whether it was killed, and what was wrong with its end."""
    bench.reset()
    command.prepare(bench)
    started: list[Process] = []

    def pid() -> int:
        end = time.monotonic() + 10
        while not started and time.monotonic() < end:
            time.sleep(0.001)
        return started[0].pid

    if number:
        bench.proxy.kill_at(number, when, pid)
    else:
        bench.proxy.count()
    started.append(command.start(bench))
    code, out, err = _attend(bench, command, started[0])
    if number and code == -signal.SIGKILL:
        return True, []
    wrong = [] if code in command.codes else [f"exit code {code}: {out}{err}"]
    return False, wrong


def _attend(bench: Bench, command: Command, process: Process) -> tuple[int, str, str]:
    """Let the world go on until the process ends."""
    bench.process = process
    end = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end:
        command.meanwhile(bench)
        time.sleep(0.002)
    return ended(process, 1.0)


def _repeat(bench: Bench, command: Command) -> list[str]:
    bench.proxy.count()
    bench.done = False
    code, out, err = _attend(bench, command, command.start(bench))
    found = [] if code in command.codes else [f"repeated: exit code {code}: {out}{err}"]
    return found + _is_done(bench, command)


def _is_done(bench: Bench, command: Command) -> list[str]:
    ledger = bench.ledger()
    found = ledger.problems() + _all_or_none(bench, command)
    if command.batch:
        if len(ledger.tasks) != command.batch:
            found.append(f"there are {len(ledger.tasks)} tasks, not {command.batch}")
    elif ledger.statuses() != command.then:
        found.append(f"it has run, but the tasks are {ledger.statuses()}, not {command.then}")
    if not command.check(bench):
        found.append(f"it has run, but {command.check.__name__} is not so")
    return found


def _all_or_none(bench: Bench, command: Command) -> list[str]:
    count = bench.conn.zcard("pool:tasks")
    wrong = command.batch and count not in (0, command.batch)
    return [f"{count} of {command.batch} tasks: neither all nor none"] if wrong else []


def _finish(bench: Bench, command: Command, kill: Kill, done: bool) -> None:
    """The worker is dead, and a fresh one does what can be claimed."""
    if not done or command.then:
        bench.one.kill()
    bench.give_up()
    bench.pool.account("resume", "default", reason="its quota is back")
    kill.problems += bench.ledger().problems()
    before = bench.ledger()
    handed = bench.drain()
    ledger = bench.ledger()
    kill.last = ledger.summary()
    kill.problems += ledger.problems()
    kill.problems += [f"{name} was handed out {n} times" for name, n in Counter(handed).items() if n > 1]
    kill.problems += [f"{name} was over and is handed out again" for name in handed
                      if before.tasks[name].status in ("finished", "failed", "canceled")]  # fmt: skip
    as_told = {name: command.end.get(name, "finished") for name in ledger.tasks}
    untouched = dict.fromkeys(ledger.tasks, "finished") | command.untouched
    if ledger.statuses() not in ([as_told] if done else [as_told, untouched]):
        kill.problems.append(f"in the end the tasks are {ledger.statuses()}")
    strays = [key.decode() for key in bench.conn.scan_iter("pool:staged:*") if bench.conn.ttl(key) < 0]
    kill.problems += [f"{key} stays for ever" for key in strays]


def table(rows: list[Row], verbose: bool = True) -> str:
    """The rows as people look at them."""
    lines = []
    for row in rows:
        bad = sum(bool(kill.problems) for kill in row.kills)
        kills = len(row.kills) - 1
        said = " ".join(trip if trip.islower() else f"[{trip}]" for trip in row.trips) or "-"
        lines.append(f"{row.command.name:52} {len(row.trips):3} round trips  {kills:3} kills  "
                     f"{'ok' if not row.problems else f'{bad} WRONG'}  ({said})")  # fmt: skip
        seen: dict[tuple[str, str, str], list[str]] = {}
        for kill in row.kills:
            where = kill.when if not kill.number else f"{kill.when} {kill.number}"
            seen.setdefault((kill.way, kill.left, kill.last), []).append(where)
        for (way, left, last), points in seen.items() if verbose else ():
            shown = ", ".join(points[:6]) + (f" and {len(points) - 6} more" if len(points) > 6 else "")
            lines.append(f"    {shown:34} {left:34} {way:15} -> {last}")
        lines += [f"    WRONG: {what}" for what in row.problems]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Print the matrix; exit code 1 if anything is wrong."""
    part = argv[0].lower() if argv else ""
    rows = []
    with tempfile.TemporaryDirectory(prefix="coord-crash-") as name:
        folder = Path(name)
        with Server(folder / "redis") as server:
            bench = Bench(server, folder)
            try:
                for command in COMMANDS:
                    if part in command.name.lower():
                        rows.append(examine(bench, command))
                        print(table(rows[-1:]), flush=True)
            finally:
                bench.close()
    kills, bad = sum(len(row.kills) - 1 for row in rows), sum(bool(row.problems) for row in rows)
    print(f"\n{len(rows)} commands, {kills} kills, {bad} commands with something wrong")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
