"""rq-dashboard, as it is, shows our tasks and workers and what each works on."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pool.claim import Caller
from pool.scripts import Pool
from tests.contract import venvs
from tests.server import Server, free_port
from tests.session import eventually


def test_rq_dashboard_shows_tasks_and_workers(
    pool: Pool, submit: Callable[..., str], register: Callable[..., Caller], server: Server,
    tmp_path: Path, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    submit(id="one", title="The first")
    submit(id="two")
    me = register("ada")
    handed = pool.claim(me).handed
    assert handed is not None and handed.claim.task_id == "one"
    # six: rq-dashboard 0.9 imports it without saying so.
    python = venvs.interpreter(request.config.cache.mkdir("rq"), "rq-dashboard==0.9.*", "six")
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        dashboard = subprocess.Popen(
            [str(python.parent / "rq-dashboard"), "-b", "127.0.0.1", "-p", str(port), "-j",
             "-c", "rq_dashboard_settings", "--redis-url", server.url],
            env={"PYTHONPATH": str(Path(__file__).parent), "PATH": "/usr/bin:/bin"}, stdout=log, stderr=log,
        )  # fmt: skip

    def page(path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/0/data/{path}", timeout=5) as reply:
                return json.load(reply)
        except urllib.error.URLError:
            return None

    try:
        queues = eventually(lambda: page("queues.json"), 20, "rq-dashboard answers")["queues"]
        mine = next(queue for queue in queues if queue["name"] == "tasks")
        assert (mine["count"], mine["started_job_registry_count"]) == (1, 1)
        worker = page("workers.json")["workers"][0]
        assert (worker["name"], worker["state"]) == ("ada", "busy")
        assert "one" in json.dumps(worker["current_job"])
        assert page("job/one.json")["description"] == "The first"
        pool.complete(me, handed.claim, '{"answer": 42}')
        assert "42" in json.dumps(page("job/one.json")["result"])
    finally:
        dashboard.terminate()
        dashboard.wait(10)
