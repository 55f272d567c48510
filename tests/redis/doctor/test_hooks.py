"""Faults of the hooks and of Claude Code."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator.doctor import trial
from pool import sessionlog
from tests.redis.doctor.well import Well
from workers.supervise import health

HOOKS = ("--only", "hooks")


def change(well: Well, how: Callable[[dict[str, Any]], None]) -> None:
    """Edit the project's settings.json."""
    value = json.loads(well.settings_file.read_text())
    how(value)
    well.settings_file.write_text(json.dumps(value, indent=2))


def handler(value: dict[str, Any], event: str) -> dict[str, Any]:
    found: dict[str, Any] = value["hooks"][event][0]["hooks"][0]
    return found


def test_none_are_installed(well: Well) -> None:
    well.coord("hooks", "uninstall")
    well.finds("hooks.installed", seen="no hooks are installed", remedy="coord hooks install --worker")


def test_a_supervisor_brings_its_own(well: Well) -> None:
    well.coord("hooks", "uninstall")
    folder = sessionlog.folder(str(well.home), "team")
    folder.mkdir(parents=True)
    health.write(folder / "health.json", True, "waiting", "", "", {})
    said = well.finds_nothing(*HOOKS)
    assert any("only the sessions of `coord worker run` (team) are workers" in each["seen"] for each in said)
    health.write(folder / "health.json", False, "ended", "", "", {})
    well.finds("hooks.installed", seen="no hooks are installed", remedy="coord hooks install --worker")


def test_the_plugin_will_do(well: Well) -> None:
    well.coord("hooks", "uninstall")
    well.settings_file.parent.mkdir(exist_ok=True)
    well.settings_file.write_text('{"enabledPlugins": {"coord@anywhere": true, "other@x": 1}}')
    said = well.finds_nothing(*HOOKS)
    assert any("enables the plugin" in each["seen"] for each in said)
    well.settings_file.write_text('{"enabledPlugins": {"coord@anywhere": false}}')
    well.finds("hooks.installed", seen="no hooks are installed", remedy="coord hooks install --worker")


def test_one_is_missing(well: Well) -> None:
    change(well, lambda value: value["hooks"].pop("Stop"))
    well.finds("hooks.installed", seen="the Stop hook is missing", remedy="coord hooks install --worker")


def test_one_was_changed(well: Well) -> None:
    change(well, lambda value: handler(value, "Stop").update(timeout=60))
    well.finds("hooks.installed", seen="the Stop hook was changed by hand", remedy="coord hooks install")


def test_no_settings_file(well: Well) -> None:
    well.settings_file.write_text("{")
    well.finds("hooks.installed", seen="is not valid JSON", remedy="correct ")


@pytest.mark.parametrize("where", ["project", "local", "user"])
def test_hooks_are_switched_off(well: Well, where: str) -> None:
    files = {"project": well.settings_file, "local": well.settings_file.with_name("settings.local.json"),
             "user": well.user / ".claude" / "settings.json"}  # fmt: skip
    if where == "project":
        change(well, lambda value: value.update(disableAllHooks=True))
    else:
        files[where].parent.mkdir(exist_ok=True)
        files[where].write_text('{"disableAllHooks": true}')
    well.finds(
        "hooks.allowed", seen=f"{files[where]} sets disableAllHooks", remedy="take disableAllHooks out"
    )


def test_the_nearer_file_decides(well: Well) -> None:
    (well.user / ".claude").mkdir()
    (well.user / ".claude" / "settings.json").write_text('{"disableAllHooks": true}')
    change(well, lambda value: value.update(disableAllHooks=False))
    well.finds_nothing("--only", "hooks")


@pytest.mark.parametrize("name", ["disableAllHooks", "allowManagedHooksOnly"])
def test_an_organisation_forbids_them(well: Well, name: str) -> None:
    folder = well.folder.parent / "managed"
    folder.mkdir()
    (folder / "managed-settings.json").write_text(json.dumps({name: True}))
    well.finds("hooks.allowed", seen=f"sets {name}", remedy="who manages that file")


def test_installed_twice(well: Well) -> None:
    well.coord("hooks", "install", "--scope", "user")
    well.finds("hooks.once", seen="installed twice", remedy="coord hooks uninstall --scope user")


def test_stale_compiled_settings(well: Well) -> None:
    well.env(COORD_IDLE_LIMIT="20m")
    well.finds("hooks.installed", seen="are stale (other than in force: idle_limit)",
               remedy="coord hooks install")  # fmt: skip
    well.coord("hooks", "install", "--worker")
    well.finds_nothing("--only", "hooks")


def test_the_interpreter_is_gone(well: Well) -> None:
    well.settings_file.write_text(well.settings_file.read_text().replace("/bin/python3", "/bin/gone3"))
    found = well.findings(*HOOKS, code=1)
    gone = [each for each in found if "the hooks do nothing" in each["seen"]]
    assert gone and gone[0]["remedy"] == "coord hooks install --worker"
    assert [each["level"] for each in found if each["check"] == "hooks.fire"] == ["note"], "nothing to fire"


def test_a_hook_file_is_gone(well: Well) -> None:
    wired = well.settings_file.read_text()
    well.settings_file.write_text(wired.replace("/hooks/stop.py", "/gone/hooks/stop.py"))
    assert "is gone: its hook does nothing" in well.finds("hooks.installed", argv=HOOKS)


def wrapper(well: Well, text: str) -> None:
    """Wire another interpreter for all hooks: a script."""
    path = well.folder.parent / "wrapper"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    wired = json.loads(well.settings_file.read_text())
    python = handler(wired, "Stop")["command"].split()[2]
    well.settings_file.write_text(well.settings_file.read_text().replace(python, str(path)))


def test_an_interpreter_that_is_none(well: Well) -> None:
    wrapper(well, "echo 'no such library' >&2; exit 3")
    said = well.finds("hooks.installed", "hooks.interpreter", "hooks.fire", argv=HOOKS)
    assert "does not run as Python" in said
    assert "SessionStart: ended with exit code 3, and said: no such library" in said


def test_an_interpreter_that_is_too_old(well: Well) -> None:
    wrapper(well, "echo 3.9")
    said = well.finds("hooks.installed", "hooks.interpreter", "hooks.fire", argv=HOOKS)
    assert "is Python 3.9: the hooks need 3.11" in said
    assert "SessionStart: its answer is not JSON: 3.9" in said


@pytest.mark.parametrize(
    ("event", "does", "words"),
    [
        ("SessionStart", "exit 0", "SessionStart: registered no worker"),
        ("SessionStart", "exec 2>&1; echo no; exit 0", "SessionStart: its answer is not JSON: no"),
        ("Stop", "exit 0", "Stop: handed over no task, though one waited"),
        ("Stop", "echo Traceback >&2; exit 1", "Stop: ended with exit code 1, and said: Traceback"),
        ("UserPromptSubmit", "exit 0", "UserPromptSubmit: the worker is starting, not working"),
        ("StopFailure", "exit 0", "StopFailure: did not park the worker"),
        ("SessionEnd", "exit 0", "SessionEnd: did not end the registration"),
    ],
)
def test_a_hook_that_does_not_work(well: Well, event: str, does: str, words: str) -> None:
    change(
        well,
        lambda value: handler(value, event).update(command=f"{does}; {handler(value, event)['command']}"),
    )
    said = well.finds("hooks.installed", "hooks.fire", argv=HOOKS, seen=words, remedy="coord hooks install")
    assert f"the {event} hook is not what this coord installs" in said


def test_a_hook_that_hangs(well: Well, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "PATIENCE", 8.0)
    change(well, lambda value: handler(value, "PostToolUse").update(
        command=f"sleep 600; {handler(value, 'PostToolUse')['command']}"))  # fmt: skip
    well.finds("hooks.installed", "hooks.fire", argv=HOOKS, seen="PostToolUse: did not end within 8 s")


def test_slow_hooks(well: Well) -> None:
    found = {each["check"]: each for each in well.findings(*HOOKS, "--slow", "0.001", code=1)}
    assert (
        found["hooks.fire"]["level"] == "warning" and "took longer than 1 ms" in found["hooks.fire"]["seen"]
    )


def test_a_single_file_copy_is_fired_too(well: Well) -> None:
    well.coord("hooks", "uninstall")
    (well.folder / ".coord").mkdir()
    well.monkeypatch.delenv("COORD_HOME")
    well.coord("hooks", "install", "--copy", "--worker")
    found = {each["check"]: each for each in well.finds_nothing("--only", "hooks")}
    assert "Stop " in found["hooks.fire"]["seen"]
    copy = well.folder / ".claude" / "hooks" / "worker-stop-check.py"
    copy.write_text(copy.read_text() + "\n")
    well.finds("hooks.installed", argv=HOOKS, seen="is from another version", remedy="--worker --copy")


def test_hooks_whose_settings_would_be_written_are_not_fired(well: Well) -> None:
    """A hook that finds no settings compiles them: the doctor changes nothing."""
    compiled = Path(os.environ["COORD_HOME"]) / "compiled.json"
    compiled.unlink()
    well.finds("hooks.installed", argv=HOOKS, seen="are missing", remedy="coord hooks install")
    assert not compiled.exists()


# -- the client ----------------------------------------------------------------------------------------------


def test_no_client(well: Well) -> None:
    well.client.unlink()
    find = importlib.util.find_spec  # the wheel that brings one may be installed here
    well.monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "claude_agent_sdk" else find(name)
    )
    well.env(PATH=os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep)
                                  if not os.path.exists(os.path.join(each, "claude"))))  # fmt: skip
    well.finds("client.version", seen="there is no `claude` on PATH", remedy="npm install -g")


def test_a_setting_that_names_none(well: Well) -> None:
    well.env(COORD_CLAUDE="/nowhere/claude --verbose")
    well.coord("hooks", "install", "--worker")
    well.finds("client.version", seen="'/nowhere/claude --verbose', which is no program", remedy="correct")


def test_the_one_in_a_wheel(well: Well) -> None:
    package = well.folder.parent / "site" / "claude_agent_sdk"
    (package / "_bundled").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('nobody imports this')\n")
    (package / "_bundled" / "claude").write_text("#!/bin/sh\necho '2.1.329 (Claude Code)'\n")
    (package / "_bundled" / "claude").chmod(0o755)
    well.client.unlink()
    well.monkeypatch.syspath_prepend(package.parent)
    found = {each["check"]: each for each in well.finds_nothing("--only", "client")}
    assert found["client.version"]["remedy"] == f"export COORD_CLAUDE={package}/_bundled/claude"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("2.0.76 (Claude Code)", "cannot hand over a task"),
        ("2.1.162 (Claude Code)", "cannot hand over a task"),
        ("2.1.200 (Claude Code)", "does not tell hooks its process"),
        ("another program", "did not answer as Claude Code does (another program)"),
    ],
)
def test_a_client_that_is_too_old(well: Well, version: str, words: str) -> None:
    well.answers_version(version)
    well.finds("client.version", seen=words)


def test_no_login(well: Well) -> None:
    well.monkeypatch.delenv("ANTHROPIC_API_KEY")
    well.finds("client.login", seen="no way to log in", remedy="/login")
    change(well, lambda value: value.update(env={"ANTHROPIC_API_KEY": "secret-key"}))
    said = well.coord("doctor", "--only", "client").out
    assert "ANTHROPIC_API_KEY in" in said and "secret-key" not in said


def test_a_folder_that_is_not_trusted_yet(well: Well) -> None:
    (well.user / ".claude.json").write_text('{"hasCompletedOnboarding": true}')
    found = {each["check"]: each for each in well.finds_nothing("--only", "client")}
    assert found["client.start"]["level"] == "note" and "trust this folder" in found["client.start"]["seen"]


def test_the_cap_of_blocks(well: Well) -> None:
    well.env(COORD_STOP_MODE="poll")
    well.coord("hooks", "install")
    well.finds("client.blocks", seen="after 8 of them", remedy="CLAUDE_CODE_STOP_HOOK_BLOCK_CAP")
    change(well, lambda value: value.update(env={"CLAUDE_CODE_STOP_HOOK_BLOCK_CAP": "0"}))
    well.finds_nothing("--only", "client")
