"""An upgrade under load: workers and coordinators of two versions side by side, and nothing lost.

    python -m tests.crash.upgrade --tasks 1000 --workers 8 [--seed N]

The next version is a copy of this one in which every script has the next version number (so that each is
another script to Redis) and the release another name. It is chaos (chaos.py: kills, frozen machines, a Redis
restart) with an upgrade in the middle: a new coordinator comes and leads, workers are replaced until half of
them are new, the two halves work together, the old ones go. In the end the old version is shut out.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from pool import script_text, view
from tests.crash import chaos_check
from tests.crash.chaos import Chaos, Installation, command_line
from tests.crash.ledger import Ledger
from tests.session import ROOT

NEXT = script_text.VERSION + 1
#: The shares of finished tasks at which the new coordinator comes and at which the last old process goes.
COMES, GOES = 0.1, 0.7
STEPPED_BACK = "old coordinators that stepped back for the new one"
RETIRED = "old workers that were asked to end, and did"
SHUT_OUT = "commands of the old version refused when the new one was required"


def make_next(folder: Path) -> Path:
    """A copy of coord with the next version of every script; where it lies."""
    for part in ("coordinator", "hooks", "pool", "tests", "workers"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, pattern, text in (
        ("script_text.py", r"^VERSION = \d+$", f"VERSION = {NEXT}"),
        ("__init__.py", r'^__version__ = ".*"$', '__version__ = "next"'),
    ):
        path = folder / "pool" / name
        changed, count = re.subn(pattern, text, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert count == 1, f"{path} has no line {pattern}"
        path.write_text(changed, encoding="utf-8")
    return folder


class Upgrade(Chaos):
    """Chaos with an upgrade in the middle."""

    def start(self) -> None:
        self.old = self.current
        self.new = self.installation(make_next(self.folder / "next"), "home-next")
        self.new.compiled = self.folder / "home-next" / "compiled.json"  # its first process makes it
        self.new.compiled.parent.mkdir()
        self.installations.append(self.new)
        self.phase = "old"
        self.version_of: dict[str, str] = {}
        super().start()
        self.old_coordinators = list(self.coordinators)

    # -- the upgrade ---------------------------------------------------------------------------------------

    def step(self, finished: int) -> None:
        share = finished / self.tasks
        if self.phase == "old" and share >= COMES:
            self.phase = "mixed"
            self.current = self.new
            self.start_coordinator()
            self.until(lambda: self.newest_leads(NEXT), "the newer coordinator leads")
            self.done[STEPPED_BACK] += sum(each.poll() is None for each in self.old_coordinators)
        elif self.phase == "mixed" and share >= GOES:
            self.phase = "new"
            for each in self.old_coordinators:
                if each in self.coordinators:
                    self.coordinators.remove(each)
                    each.send_signal(signal.SIGTERM)
                    assert each.wait(15) == 0, "an old coordinator did not end well"
        if self.phase != "old":
            self.replace_one(0 if self.phase == "new" else self.size // 2)

    def newest_leads(self, version: int) -> bool:
        return any(each.leads and each.scripts == version for each in view.coordinators(self.conn))

    def replace_one(self, wanted: int) -> None:
        """Retire one old worker, if there are more than wanted: it ends what it holds, a new one comes."""
        whom = [worker for worker in self.workers if worker.of is self.old and not worker.thaw]
        if len([worker for worker in self.workers if worker.of is self.old]) <= wanted or not whom:
            return
        worker = whom[0]
        self.workers.remove(worker)
        worker.process.send_signal(signal.SIGTERM)
        code = worker.process.wait(30)
        assert code == 0, f"{worker.name}, retired, ended with {code}"
        self.done[RETIRED] += 1
        self.start_worker()

    def start_worker(self) -> None:
        """Of the version that is short: while both work, one that was killed is replaced by its like."""
        old = len([worker for worker in self.workers if worker.of is self.old])
        self.current = self.old if self.phase == "old" or old < self.size // 2 else self.new
        if self.phase == "new":
            self.current = self.new
        super().start_worker()
        self.current = self.old if self.phase == "old" else self.new
        worker = self.workers[-1]
        self.version_of[worker.name] = "old" if worker.of is self.old else "new"

    # -- the end -------------------------------------------------------------------------------------------

    def wind_up(self) -> None:
        """As in chaos; then the new version is required, and the old one can do nothing more."""
        super().wind_up()
        said = self.run_cli(self.new, "versions", "--require", str(NEXT))
        assert said.returncode == 0, said.stderr
        before = self.keyspace()
        for words in (("submit", "too late"), ("reap",), ("pause", "tasks")):
            shut_out = self.run_cli(self.old, *words)
            assert shut_out.returncode == 5, (words, shut_out)
            assert re.fullmatch(r"coord: This coord is too old for its pool: .*\n", shut_out.stderr), shut_out
            self.done[SHUT_OUT] += 1
        assert self.keyspace() == before, "a version that was shut out changed something"

    def report(self) -> chaos_check.Report:
        """Chaos' own, and what each version did."""
        report = super().report()
        finished = Counter(
            self.version_of[task.results[0]["worker_name"]] for task in Ledger(self.conn).tasks.values()
        )
        report.counts |= {
            "version of every script": f"{script_text.VERSION}, then {NEXT}",
            "workers of the old version, of the new": self.each(Counter(self.version_of.values())),
            "tasks finished by the old version, by the new": self.each(finished),
            **{name: self.done[name] for name in (STEPPED_BACK, RETIRED, SHUT_OUT)},
        }
        if not all(finished[version] > self.tasks * COMES / 2 for version in ("old", "new")):
            report.problems.append(f"the versions did not share the work: {finished}")
        return report

    def each(self, counts: Counter[str]) -> str:
        return f"{counts['old']}, {counts['new']}"

    def run_cli(self, of: Installation, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "coordinator.cli", *words], env=of.env, cwd=self.folder, text=True,
            capture_output=True, check=False, timeout=30,
        )  # fmt: skip

    def keyspace(self) -> dict[bytes, bytes | None]:
        return {key: self.conn.dump(key) for key in self.conn.scan_iter("*", count=1000)}


if __name__ == "__main__":
    sys.exit(command_line(Upgrade, "python -m tests.crash.upgrade", tasks=1000))
