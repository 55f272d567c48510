"""Part a: what a hook or helper process costs, from start to end, beside other ways to do the same."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import servers, stats, variants
from bench.peers import install
from bench.run import Run
from bench.work import Records
from pool import process
from pool.claim import Caller, Claim
from tests.session import Session

#: A program that takes longer (seconds) is an error.
_PATIENCE = 30.0


class Stage:
    """A worker's session with its keeper, and an ordinary session beside it."""

    def __init__(self, coord: servers.Ready, folder: Path) -> None:
        self.coord = coord
        self.records = Records(
            coord.settings, "Fix the flaky test in tests/test_cache.py, and say what it was."
        )
        self.number = 0
        self.worker = Session(coord.settings, folder, "w1")
        self.nobody = Session(coord.settings, folder, worker=False)
        self.worker.start()
        self.caller = Caller("w1", self.worker.data["epoch"])
        texts = coord.pool.texts
        self.extra = {
            "COORD_HOME": coord.settings.home, "COORD_COMPILED": str(self.worker.compiled),
            "BENCH_PORT": str(coord.server.port), "BENCH_NAMESPACE": process.namespace(),
            "BENCH_CLAIM_SHA": texts.sha("claim"), "BENCH_CONFIRM_SHA": texts.sha("confirm"),
        }  # fmt: skip

    def close(self) -> None:
        """End both sessions."""
        self.worker.close()
        self.nobody.close()

    def once(self, variant: variants.Variant) -> float:
        """Milliseconds of one run, with a task waiting where it takes one; that is completed afterwards."""
        session = self.worker if variant.worker else self.nobody
        if variant.task:
            self.number += 1
            self.coord.pool.submit([self.records.make(self.number)])
        stdin = variants.payload(session.session_id, session.folder).encode()
        began = time.perf_counter()
        done = subprocess.run(
            variant.argv, input=stdin, capture_output=True, env=session.env | self.extra, cwd=session.folder,
            timeout=_PATIENCE, check=False,
        )  # fmt: skip
        took = (time.perf_counter() - began) * 1000
        if done.returncode or done.stderr or variant.says.encode() not in done.stdout:
            raise RuntimeError(f"{variant.title} failed: {done.returncode} {done.stdout!r} {done.stderr!r}")
        if variant.task:
            self.coord.pool.complete(self.caller, Claim(f"{self.number:012x}"), '"ok"')
        return took


def measure(run: Run, with_rq: bool) -> dict[str, Any]:
    """Wall time of each program, the programs taking turns."""
    times: dict[str, list[float]] = {}
    rq_python = None
    if with_rq:
        try:
            rq_python = variants.rq_python()
        except install.InstallError as error:
            run.note(f"RQ could not be installed: {error}")
    with servers.ready() as coord, tempfile.TemporaryDirectory(prefix="coord-bench-") as folder:
        stage = Stage(coord, Path(folder))
        try:
            found, notes = variants.variants(stage.worker.compiled, rq_python)
            for note in notes:
                run.note(note)
            for number in run.steps("processes", list(range(run.sizes.process_rounds + 2))):
                turn = number % len(found)
                for variant in found[turn:] + found[:turn]:
                    took = stage.once(variant)
                    if number >= 2:  # the first rounds warm the caches of disk and compiler
                        times.setdefault(variant.name, []).append(took)
        finally:
            stage.close()
    return {
        "unit": "ms",
        "load": os.getloadavg()[0],
        "programs": [
            {"name": each.name, "title": each.title, **stats.summary(times[each.name])} for each in found
        ],
    }
