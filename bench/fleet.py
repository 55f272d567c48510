"""One contestant's producers and workers on one server: started, warmed up, frozen, let go, ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench import proc
from bench.peers.catalogue import Peer
from bench.peers.common import MARK
from bench.peers.install import python

ROOT = Path(__file__).resolve().parent.parent

#: What a contestant may take (seconds) to start, to warm up, or to be done with a measurement.
PATIENCE = 30.0
#: Tasks of a warm-up, for each process; it is repeated until every process has done one.
_WARM = 25


class Cut(Exception):
    """A contestant was cut off; the message says at what."""


class Fleet:
    """``processes`` workers and as many producers of one peer."""

    def __init__(self, peer: Peer, url: str, processes: int) -> None:
        self.peer = peer
        self.processes = processes
        self._folder = tempfile.TemporaryDirectory(prefix="coord-bench-fleet-")
        self.marks = Path(self._folder.name) / "marks"
        self.marks.touch()
        self.log = Path(self._folder.name) / "log"
        kept = ("PATH", "HOME", "LANG", "LC_ALL")
        self.env = {name: os.environ[name] for name in kept if name in os.environ} | {
            "PYTHONPATH": str(ROOT), "BENCH_REDIS_URL": url, "BENCH_MARKS": str(self.marks),
            "COORD_REDIS_URL": url, "COORD_HOME": str(Path(self._folder.name) / "home"),
        }  # fmt: skip
        self.url = url
        self.workers: list[subprocess.Popen[bytes]] = []
        self.producers: list[subprocess.Popen[bytes]] = []
        self._before = 0

    # -- start and end -----------------------------------------------------------------------------

    def __enter__(self) -> Fleet:
        try:
            self.producers = [self._spawn(self.peer.producer, 0, talk=True) for _ in range(self.processes)]
            for each in self.producers:
                self._line(each)
            count = 1 if self.peer.fleet else self.processes
            self.workers = [self._spawn(self.peer.worker, index) for index in range(count)]
            self._warm_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        proc.end(self.workers + self.producers)
        self._folder.cleanup()

    def _spawn(self, command: tuple[str, ...], index: int, talk: bool = False) -> subprocess.Popen[bytes]:
        interpreter = python(self.peer.environment)
        words = {"python": str(interpreter), "bin": str(interpreter.parent), "url": self.url,
                 "processes": str(self.processes), "index": str(index)}  # fmt: skip
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [word.format(**words) for word in command], env=self.env, cwd=self._folder.name,
                stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talk else log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _line(self, producer: subprocess.Popen[bytes]) -> bytes:
        assert producer.stdout is not None
        line = producer.stdout.readline() if select.select([producer.stdout], [], [], PATIENCE)[0] else b""
        if not line:
            raise Cut(f"its producer did not answer within {PATIENCE:.0f} s{self._last_words()}")
        return line

    def _last_words(self) -> str:
        """The last line of its log that names an error, or the last one."""
        lines = [line.strip(" |+-") for line in self.log.read_text(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        named = [line for line in lines if "Error" in line or "Exception" in line] or lines
        return f": {named[-1][:160]}" if named else ""

    # -- measuring ---------------------------------------------------------------------------------

    def enqueue(self, counts: list[int]) -> float:
        """Each producer enqueues its count, all at once; seconds from the first's begin to the last's end."""
        for producer, count in zip(self.producers, counts, strict=False):
            assert producer.stdin is not None
            producer.stdin.write(b"%d\n" % count)
            producer.stdin.flush()
        times = [self._line(each).split() for each in self.producers[: len(counts)]]
        return max(float(end) for _, end in times) - min(float(began) for began, _ in times)

    def done(self) -> int:
        """How many tasks are done."""
        return self.marks.stat().st_size // MARK.size

    def wait_done(self, count: int, what: str) -> None:
        """Wait until so many tasks are done.

        Raises:
            Cut: They were not in time.
        """
        end = time.monotonic() + PATIENCE
        while self.done() < count:
            if time.monotonic() > end:
                raise Cut(
                    f"{what}: {self.done()} of {count} tasks within {PATIENCE:.0f} s{self._last_words()}"
                )
            time.sleep(0.005)

    def _warm_up(self) -> None:
        """Until every process has done a task: all imported, connected, and idle again."""
        for _ in range(20):
            before = self.done()
            self.enqueue([_WARM * self.processes])
            self.wait_done(before + _WARM * self.processes, "warming up")
            seen = {pid for _, pid in MARK.iter_unpack(self.marks.read_bytes())}
            if len(seen) >= self.processes:
                return
        raise Cut(f"only {len(seen)} of {self.processes} processes ever took a task")

    def _pids(self) -> list[int]:
        return [pid for each in self.workers for pid in proc.tree(each.pid)]

    def freeze(self) -> None:
        """Stop all workers where they wait.

        Raises:
            Cut: One cannot be stopped.
        """
        proc.send(self._pids(), signal.SIGSTOP)
        end = time.monotonic() + PATIENCE
        while not all(proc.stopped(pid) for pid in self._pids()):
            if time.monotonic() > end:
                raise Cut("its workers could not be stopped")
            time.sleep(0.001)
        self._before = self.done()

    def drain(self, count: int) -> float:
        """Let the frozen workers go on, over ``count`` tasks that wait: seconds until the last is done."""
        before, pids = self._before, self._pids()
        began = time.monotonic()
        proc.send(pids, signal.SIGCONT)
        self.wait_done(before + count, "draining")
        marks = list(MARK.iter_unpack(self.marks.read_bytes()))[before : before + count]
        return float(max(at for at, _ in marks)) - began
