"""notify-monitor.sh and install-hooks.sh: for those without coord, in every shell that calls itself one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hooks import monitor_template
from pool import process
from tests.conftest import ROOT
from tests.receiver import Receiver

HOOKS = ROOT / "hooks"
SHELLS = [[each] for each in ("sh", "dash", "bash") if shutil.which(each)]
THEIRS = {"model": "opus", "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say 'done' é"}]}]}}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def notify(
    shell: list[str], *words: str, text: str = "", cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env}
    return subprocess.run(
        [*shell, str(HOOKS / "notify-monitor.sh"), *words], input=text, cwd=cwd, env=environ,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def silent(done: subprocess.CompletedProcess[str]) -> bool:
    return (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("shell", SHELLS, ids=str)
def test_the_clients_json_goes_as_it_came_and_a_start_says_whose_it_is(
    shell: list[str], receiver: Receiver
) -> None:
    said = {"session_id": "a-b", "hook_event_name": "Stop", "text": 'ü \\ " \n', "list": [1, {}]}
    assert silent(notify(shell, "Stop", text=json.dumps(said), CLAUDE_MONITOR_URL=receiver.url + "/"))
    path, headers, body, _ = receiver.wait()
    assert (path, body) == ("/hook/stop", said) and headers["content-type"] == "application/json"
    pid = os.getpid()
    assert silent(notify(shell, "--detach", "SessionStart", text=json.dumps(said) + "\n",
                         CLAUDE_MONITOR_URL=receiver.url, CLAUDE_PID=str(pid)))  # fmt: skip
    path, _, body, _ = receiver.wait(2)
    host = os.uname().nodename.split(".")[0]
    assert path == "/hook/session-start"
    assert body == {**said, "coord": {"pid": pid, "process": process.key(pid), "host": host}}


@pytest.mark.parametrize("shell", SHELLS, ids=str)
@pytest.mark.parametrize(
    "name", ["we\"ird \\ $(touch x) `id` '", "tab\tline\n\x01end\n", "grün-日本"], ids=repr
)
def test_without_json_the_short_form_whatever_the_folder_is_called(
    shell: list[str], name: str, receiver: Receiver, tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    done = notify(shell, "user-prompt-submit", cwd=folder, CLAUDE_MONITOR_URL=receiver.url,
                  CLAUDE_CODE_SESSION_ID='id"1')  # fmt: skip
    assert silent(done)
    path, _, body, _ = receiver.wait()
    assert path == "/hook/user-prompt-submit" and set(body) == {"session_id", "event", "cwd", "timestamp"}
    assert (body["cwd"], body["event"], body["session_id"]) == (str(folder), "user-prompt-submit", 'id"1')
    assert body["timestamp"].endswith("Z") and list(folder.iterdir()) == []


def test_a_folder_whose_name_is_no_text_is_told_as_far_as_it_is(receiver: Receiver, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/a\xff\xfeb"
    os.mkdir(folder)
    done = subprocess.run(
        ["sh", str(HOOKS / "notify-monitor.sh"), "Stop"], cwd=folder, stdin=subprocess.DEVNULL, check=False,
        env={"PATH": os.environ["PATH"], "CLAUDE_MONITOR_URL": receiver.url, "PWD": os.fsdecode(folder)},
    )  # fmt: skip
    assert done.returncode == 0 and receiver.wait()[2]["cwd"] == f"{tmp_path}/ab"


@pytest.mark.parametrize("shell", SHELLS, ids=str)
def test_nobody_there_no_curl_or_no_sense_is_silence(shell: list[str], tmp_path: Path) -> None:
    with socket.socket() as bound:  # bound, and nobody listens
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert silent(notify(shell, "Stop", text="{}", CLAUDE_MONITOR_URL=url))
    assert silent(notify(shell, "Stop", text="{}", CLAUDE_MONITOR_URL="nonsense://\n"))
    assert silent(notify(shell)) and silent(notify(shell, "../../x")) and silent(notify(shell, "--detach"))
    (tmp_path / "empty").mkdir()
    argv = [shutil.which(shell[0]) or "", str(HOOKS / "notify-monitor.sh"), "Stop"]
    done = subprocess.run(argv, env={"PATH": str(tmp_path / "empty")}, input="{}", capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert silent(done)


def test_a_monitor_that_does_not_answer_takes_two_seconds_and_none_when_detached() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        began = time.monotonic()
        assert silent(notify(["sh"], "Stop", text="{}", CLAUDE_MONITOR_URL=url))
        took = time.monotonic() - began
        assert 1.5 < took < 10
        began = time.monotonic()
        assert silent(notify(["sh"], "--detach", "Stop", text="{}", CLAUDE_MONITOR_URL=url))
        assert time.monotonic() - began < took


def test_the_token_is_read_from_its_file(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "token").write_text('se"cret-token\n')
    notify(["sh"], "Stop", text="{}", CLAUDE_MONITOR_URL=receiver.url,
           CLAUDE_MONITOR_TOKEN_FILE=str(tmp_path / "token"))  # fmt: skip
    assert receiver.wait()[1]["authorization"] == 'Bearer se"cret-token'


# -- install-hooks.sh ----------------------------------------------------------------------------------


@pytest.fixture(params=["python3", "jq"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH on which only one of the two programs is that can change JSON."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*NEEDED, request.param):
        found = shutil.which(name)
        assert found, f"{name} is missing: the tests need it"
        (folder / name).symlink_to(os.path.realpath(sys.executable) if name == "python3" else found)
    return str(folder)


NEEDED = ("sh", "dash", "bash", "cat", "cp", "mv", "rm", "mkdir", "rmdir", "chmod", "cmp", "date", "dirname",
          "basename", "sed", "grep", "readlink")  # fmt: skip


def setup(
    tools: str, home: Path, *words: str, shell: str = "sh", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [shell, str(HOOKS / "install-hooks.sh"), *words], cwd=cwd or home, check=False, timeout=60,
        env={"PATH": tools, "HOME": str(home)}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def handlers(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The handlers in a settings file that call notify-monitor.sh, by event."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event, groups in json.loads(path.read_text())["hooks"].items():
        each = [one for group in groups for one in group["hooks"] if "notify-monitor.sh" in one["command"]]
        if each:
            found[event] = each
    return found


@pytest.mark.parametrize("shell", [each[0] for each in SHELLS])
def test_hooks_go_in_once_beside_others_and_come_out_again(shell: str, tools: str, tmp_path: Path) -> None:
    home = tmp_path / "o'ne é"
    path = home / ".claude" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(THEIRS))
    path.chmod(0o600)
    done = setup(tools, home, "--url", "http://10.0.0.1:5051", shell=shell)
    assert (done.returncode, done.stderr) == (0, "") and "http://10.0.0.1:5051" in done.stdout
    mine = handlers(path)
    assert set(mine) == {each.event for each in monitor_template.REPORTS}
    for report in monitor_template.REPORTS:
        (handler,) = mine[report.event]
        assert handler.get("async", False) is not report.waits
    value = json.loads(path.read_text())
    assert value["model"] == "opus" and value["hooks"]["Stop"][0] == THEIRS["hooks"]["Stop"][0]  # type: ignore[index]
    assert path.stat().st_mode & 0o777 == 0o600
    (backup,) = path.parent.glob("settings.json.before-*")
    assert json.loads(backup.read_text()) == THEIRS
    before = path.read_bytes()
    again = setup(tools, home, "--url", "http://10.0.0.1:5051", shell=shell)
    assert again.returncode == 0 and "already" in again.stdout and path.read_bytes() == before
    assert len(list(path.parent.glob("settings.json.before-*"))) == 1
    done = setup(tools, home, "--uninstall", shell=shell)
    assert (done.returncode, done.stderr) == (0, "") and json.loads(path.read_text()) == THEIRS
    assert not (home / ".claude" / "hooks").exists()
    assert "not in it" in setup(tools, home, "--uninstall", shell=shell).stdout


def test_what_it_writes_reports(tools: str, tmp_path: Path, receiver: Receiver) -> None:
    """Each command, run as the client runs it."""
    home, project = tmp_path / "home", tmp_path / "proj ect"
    project.mkdir()
    for words, path in (
        (("--url", receiver.url), home / ".claude" / "settings.json"),
        (("--project", "--url", receiver.url), project / ".claude" / "settings.json"),
    ):
        assert setup(tools, home, *words, cwd=project).returncode == 0
        before = len(receiver.got)
        command = handlers(path)["PreToolUse"][0]["command"]
        env = {"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(project)}
        payload = json.dumps({"session_id": "x", "hook_event_name": "PreToolUse"})
        done = subprocess.run(["sh", "-c", command], input=payload, env=env, capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert silent(done) and receiver.wait(before + 1)[0] == "/hook/pre-tool-use"
        assert str(tmp_path) not in command or "--project" not in words
        shutil.rmtree(path.parent / "hooks")
        assert silent(subprocess.run(["sh", "-c", command], input=payload, env=env, capture_output=True,
                                     text=True, check=False))  # fmt: skip


def test_a_file_that_cannot_be_understood_is_left_alone(tools: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    for text in ("{broken", "[]", '{"hooks": []}', '{"hooks": {"Stop": 3}}'):
        path.write_text(text)
        done = setup(tools, tmp_path, "--file", str(path))
        assert done.returncode == 1 and "correct it first" in done.stderr, (text, done)
        assert path.read_text() == text and not list(tmp_path.glob("other.json.before-*"))
    assert setup(tools, tmp_path, "--nonsense").returncode == 2
    assert setup(tools, tmp_path, "--url", "http://x;id").returncode == 2
    assert setup(tools, tmp_path, "--project", "--file", "x").returncode == 2


def test_a_link_stays_a_link(tools: str, tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.json", tmp_path / "settings.json"
    real.write_text("{}")
    link.symlink_to(real)
    assert setup(tools, tmp_path, "--file", str(link)).returncode == 0
    assert link.is_symlink() and handlers(real)


def test_without_either_program_it_prints_what_to_add(tools: str, tmp_path: Path) -> None:
    for name in ("python3", "jq"):
        (Path(tools) / name).unlink(missing_ok=True)
    done = setup(tools, tmp_path)
    assert done.returncode == 1 and "Neither jq nor python3" in done.stderr
    assert set(json.loads(done.stdout)) == {each.event for each in monitor_template.REPORTS}
    assert not (tmp_path / ".claude").exists()


def test_shellcheck_finds_nothing() -> None:
    assert shutil.which("shellcheck"), "shellcheck is missing: the tests need it"
    scripts = [str(path) for path in sorted(HOOKS.glob("*.sh"))]
    done = subprocess.run(["shellcheck", "-s", "sh", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
