"""`coord hooks install --monitor`: beside workers' hooks and one's own, and out again without a trace."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator import cli
from hooks import monitor_template, template
from pool import process
from tests.conftest import ROOT
from tests.receiver import Receiver

REPORTS = {each.event for each in monitor_template.REPORTS}
HOOK = ROOT / "hooks" / "monitor_hook.py"
THEIRS = """{
    "hooks": {
        "Stop": [{"hooks": [{"type": "command", "command": "say done"},
                            {"type": "http", "url": "http://127.0.0.1:5050/hook/stop"}]}],
        "Notification": []
    },
    "env": {"A": "1"}
}
"""
Coord = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / ".claude").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COORD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return folder


@pytest.fixture
def path(project: Path) -> Path:
    return project / ".claude" / "settings.json"


@pytest.fixture
def coord(capsys: pytest.CaptureFixture[str]) -> Coord:
    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["hooks", *args])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


def reports(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The monitor's handlers by event."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event, groups in json.loads(path.read_text())["hooks"].items():
        each = [one for group in groups for one in group["hooks"] if monitor_template.is_ours(one)]
        if each:
            found[event] = each
    return found


def workers(path: Path) -> set[str]:
    """The events with a worker's hook."""
    value = json.loads(path.read_text())["hooks"]
    return {
        event for event, groups in value.items()
        if any(template.is_ours(one) for group in groups for one in group["hooks"])
    }  # fmt: skip


def seen(coord: Coord) -> tuple[int, dict[str, Any]]:
    """Exit code of status, and what it says of the project."""
    code, out, _ = coord("status", "--scope", "project", "--json")
    return code, json.loads(out)[0]


# -- installing --------------------------------------------------------------------------------------


def test_every_report_is_a_command_that_no_session_waits_for(path: Path, coord: Coord) -> None:
    code, out, err = coord("install", "--monitor")
    assert (code, err) == (0, "") and "http://127.0.0.1:5050" in out
    mine = reports(path)
    assert set(mine) == REPORTS and workers(path) == set()
    for report in monitor_template.REPORTS:
        (handler,) = mine[report.event]
        assert handler["type"] == "command" and handler["timeout"] <= 5
        assert handler.get("async", False) is not report.waits
        parts = monitor_template.parts(handler)
        assert os.access(parts.python, os.X_OK) and os.path.samefile(parts.file, HOOK)
        assert parts.url == "http://127.0.0.1:5050" and f" {report.route} --monitor " in handler["command"]
    assert {each.event for each in monitor_template.REPORTS if each.waits} == {
        "Stop", "StopFailure", "SessionEnd"
    }  # fmt: skip


def test_http_where_the_client_has_it(
    path: Path, coord: Coord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("very-secret-token")
    monkeypatch.setenv("COORD_MONITOR_HOOK_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("COORD_MONITOR_URL", "https://monitor.example/coord/")
    assert coord("install", "--monitor", "--http")[0] == 0
    mine = reports(path)
    assert mine.pop("SessionStart")[0]["type"] == "command"
    for event, (handler,) in mine.items():
        assert handler["type"] == "http" and handler["timeout"] == 1, event
        assert handler["headers"]["Authorization"] == f"Bearer ${handler['allowedEnvVars'][0]}"
    assert mine["PreToolUse"][0]["url"] == "https://monitor.example/coord/hook/pre-tool-use"
    assert "very-secret" not in path.read_text()
    assert seen(coord)[0] == 0
    coord("install", "--monitor")
    assert all(handler["type"] == "command" for (handler,) in reports(path).values())


def test_a_token_of_the_settings_goes_into_a_file_of_its_own(
    path: Path, coord: Coord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_MONITOR_HOOK_TOKEN", "a-very-secret-token")
    coord("install", "--monitor")
    kept = tmp_path / "home" / "monitor-hook.token"
    assert kept.read_text() == "a-very-secret-token\n" and stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert str(kept) in path.read_text() and "a-very-secret" not in path.read_text()


def test_print_and_wrong_options_change_nothing(path: Path, coord: Coord) -> None:
    _, out, _ = coord("install", "--monitor", "--print")
    assert set(json.loads(out)["hooks"]) == REPORTS
    for words in (("--monitor", "--worker"), ("--monitor", "--copy"), ("--http",)):
        code, _, err = coord("install", *words)
        assert code == 2 and len(err.strip().splitlines()) == 1
    assert not path.exists()


def test_a_list_that_is_none_is_told(path: Path, coord: Coord) -> None:
    path.write_text('{"hooks": {"Notification": 7}}')
    code, _, err = coord("install", "--monitor")
    assert code == 2 and "hooks.Notification is not a list" in err
    assert coord("install")[0] == 0  # workers' hooks have nothing to do with it


# -- beside others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["monitor first", "workers first"])
@pytest.mark.parametrize("out", ["monitor first", "workers first", "at once"])
def test_beside_workers_hooks_and_ones_own(order: str, out: str, path: Path, coord: Coord) -> None:
    path.write_text(THEIRS)
    steps = [("install", "--monitor"), ("install", "--worker")]
    for step in steps if order == "monitor first" else reversed(steps):
        assert coord(*step)[0] == 0
    assert set(reports(path)) == REPORTS and len(workers(path)) == 6
    assert json.loads(path.read_text())["hooks"]["Stop"][0] == json.loads(THEIRS)["hooks"]["Stop"][0]
    assert seen(coord)[0] == 0
    before = path.read_bytes()
    for step in steps:
        assert "already" in coord(*step)[1] and path.read_bytes() == before
    if out == "monitor first":
        coord("uninstall", "--monitor")
        assert (
            reports(path) == {} and len(workers(path)) == 6 and "permissions" in json.loads(path.read_text())
        )
        assert seen(coord)[0] == 0
    elif out == "workers first":
        coord("install")  # no `uninstall --worker`: sessions there are workers by COORD_WORKER=1 only
        assert set(reports(path)) == REPORTS and "permissions" not in json.loads(path.read_text())
    coord("uninstall")
    assert path.read_text() == THEIRS and not path.with_name("settings.json.coord-backup").exists()


def test_a_file_changed_since_keeps_the_changes(path: Path, coord: Coord) -> None:
    path.write_text(THEIRS)
    coord("install")
    coord("install", "--monitor")
    value = json.loads(path.read_text())
    value["theirs"] = 1
    ours = value["hooks"]["PreToolUse"].pop()
    mixed = {"matcher": "Bash", "hooks": [{"type": "command", "command": "guard"}, *ours["hooks"]]}
    value["hooks"]["PreToolUse"].append(mixed)
    path.write_text(json.dumps(value))
    coord("install", "--worker")
    coord("uninstall", "--monitor")
    after = json.loads(path.read_text())
    assert after["theirs"] == 1 and reports(path) == {} and len(workers(path)) == 6
    assert after["hooks"]["PreToolUse"] == [
        {"matcher": "Bash", "hooks": [{"type": "command", "command": "guard"}]}
    ]


# -- status ------------------------------------------------------------------------------------------


def test_status_names_what_is_stale(path: Path, coord: Coord, monkeypatch: pytest.MonkeyPatch) -> None:
    coord("install", "--monitor")
    code, found = seen(coord)
    assert code == 0 and found["fine"] and not found["installed"]
    assert set(found["monitor"]["hooks"].values()) == {"ok"} and "19 events" in coord("status")[1]
    monkeypatch.setenv("COORD_MONITOR_PORT", "5051")
    code, found = seen(coord)
    assert code == 1 and set(found["monitor"]["hooks"].values()) == {"stale"}
    assert any("127.0.0.1:5050" in each and "127.0.0.1:5051" in each for each in found["monitor"]["problems"])
    coord("install", "--monitor")
    assert seen(coord)[0] == 0 and "5050" not in path.read_text()
    value = json.loads(path.read_text())
    del value["hooks"]["Stop"]
    value["hooks"]["PreToolUse"] *= 2
    value["hooks"]["Notification"][0]["hooks"][0]["timeout"] = 60
    path.write_text(json.dumps(value).replace(str(ROOT), "/gone"))
    code, found = seen(coord)
    states = found["monitor"]["hooks"]
    assert code == 1 and [states[each] for each in ("Stop", "PreToolUse")] == ["missing", "double"]
    assert any("/gone" in each for each in found["monitor"]["problems"])
    path.write_text(json.dumps(value))
    assert seen(coord)[1]["monitor"]["hooks"]["Notification"] == "modified"


def test_scripts_are_printed(coord: Coord) -> None:
    for name in ("notify-monitor", "install-hooks"):
        code, out, _ = coord("script", name)
        assert code == 0 and out == (ROOT / "hooks" / f"{name}.sh").read_text()


# -- the hook itself ---------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def report(command: str, payload: object, **env: str) -> float:
    """Run a command as the client does; how long it was waited for (seconds)."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    environ = {"PATH": os.environ["PATH"], "CLAUDE_PID": str(os.getpid()), **env}
    began = time.monotonic()
    done = subprocess.run(["sh", "-c", command], input=text, env=environ, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return time.monotonic() - began


def command(event: str, url: str, token_file: str = "") -> str:
    wanted = monitor_template.Wanted(url, token_file, python=template.interpreter())
    return wanted.command(next(each for each in monitor_template.REPORTS if each.event == event))


def test_it_tells_what_a_state_needs_and_whose_it_is(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the-token\n")
    payload = {
        "session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Bash", "cwd": "/ü",
        "tool_input": {"command": "x" * 5000, "list": list(range(99))}, "prompt": "private",
        "tool_response": {"stdout": "private"}, "coord": {"pid": 1},
    }  # fmt: skip
    began = time.time()
    report(command("PreToolUse", receiver.url + "/below", str(tmp_path / "token")), payload)
    post = receiver.wait()
    assert post.path == "/below/hook/pre-tool-use" and post.headers["authorization"] == "Bearer the-token"
    said = post.body
    coord = said.pop("coord")
    assert began <= coord.pop("at") <= post.at
    assert coord == {
        "pid": os.getpid(), "process": process.key(os.getpid()), "host": os.uname().nodename.split(".")[0]
    }  # fmt: skip
    assert len(said["tool_input"]["command"]) == 1024 and len(said["tool_input"]["list"]) == 50
    assert "private" not in json.dumps(said) and said["cwd"] == "/ü" and said["tool_name"] == "Bash"


def test_a_start_names_the_processes_above(receiver: Receiver) -> None:
    report(command("SessionStart", receiver.url), {"session_id": "s", "hook_event_name": "SessionStart"})
    above = receiver.wait().body["coord"]["ancestors"]
    assert above == [key for key in map(process.key, process.ancestors(os.getpid())) if key]


def test_a_variable_has_the_last_word(receiver: Receiver) -> None:
    line = command("Stop", "http://127.0.0.1:1")
    report(line, {"session_id": "off"}, COORD_MONITOR_URL=receiver.url, COORD_MONITOR_ENABLED="no")
    report(line, {"session_id": "on"}, COORD_MONITOR_URL=receiver.url, COORD_MONITOR_HOOK_TOKEN="t")
    assert receiver.wait().body["session_id"] == "on"
    assert receiver.got[0].headers["authorization"] == "Bearer t"


def test_nobody_waits_for_a_monitor_that_is_dead_or_slow() -> None:
    """The fastest of several runs: a loaded machine disturbs those least."""
    payload = {"session_id": "s", "hook_event_name": "Stop"}
    slow = Receiver(silent=True)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{bound.getsockname()[1]}"
        for url in (dead, slow.url, "http://no-such-host.invalid:1", "nonsense", "ftp://x"):
            assert min(report(command("Stop", url), payload) for _ in range(3)) < 1.0, url
    slow.close()


def test_what_is_no_sense_is_no_trouble(receiver: Receiver, tmp_path: Path) -> None:
    for text in ("", "[]", "{broken", "\ud800".encode("utf-8", "replace").decode(), "null"):
        report(command("Stop", receiver.url), text)
    report(command("Stop", receiver.url, str(tmp_path / "no-token")), {"session_id": "none"})
    report(command("Stop", receiver.url), {"session_id": "last"}, CLAUDE_PID="999999999")
    assert receiver.wait().body["session_id"] == "last" and receiver.got[0].body["coord"]["process"] == ""
    gone = command("Stop", receiver.url).replace(str(HOOK), "/gone/hooks/monitor_hook.py")
    report(gone, {"session_id": "never"})
    assert len(receiver.got) == 1
