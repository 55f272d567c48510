"""What hooks without coord report, and those of coord, taken by the real monitor."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from hooks import monitor_template, template
from pool import process
from tests.conftest import ROOT
from tests.monitor.running import Running


def run(*argv: str, url: str, text: str = "", cwd: Path | None = None) -> None:
    env = {"PATH": os.environ["PATH"], "CLAUDE_MONITOR_URL": url, "CLAUDE_CODE_SESSION_ID": "of-a-script",
           "CLAUDE_PID": str(os.getpid())}  # fmt: skip
    done = subprocess.run(argv, input=text, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_script_tells_of_a_session_with_and_without_the_clients_json(
    monitor: Running, tmp_path: Path
) -> None:
    stream = monitor.stream()
    script = str(ROOT / "hooks" / "notify-monitor.sh")
    folder = tmp_path / 'quo"te\\d\nline'
    folder.mkdir()
    run("sh", script, "UserPromptSubmit", url=monitor.url, cwd=folder)
    told = stream.state("working")["record"]
    assert (told["session"], told["cwd"]) == ("of-a-script", str(folder).replace("\n", "?"))
    start = {"session_id": "other", "hook_event_name": "SessionStart", "cwd": "/elsewhere"}
    run("sh", script, "session-start", url=monitor.url, text=json.dumps(start))
    told = stream.state("starting")["record"]
    assert (told["session"], told["pid"]) == ("other", os.getpid())
    assert told["process"] == process.key(os.getpid())


def test_every_event_that_is_reported_has_its_route(monitor: Running) -> None:
    stream = monitor.stream()
    wanted = monitor_template.Wanted(monitor.url, python=template.interpreter())
    for number, report in enumerate(monitor_template.REPORTS):
        payload = {"session_id": f"s{number}", "hook_event_name": report.event, "cwd": f"/work/{number}"}
        line = wanted.command(report)
        run("sh", "-c", line, url="", text=json.dumps(payload))
        data = stream.until(lambda event: event["event"] == "session")["data"]
        assert data["kind"] == report.event
