"""The Claude Code plugin as it is made: from the sources of the hooks, nothing of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hooks import no_tools, template
from pool import jsonlite, plugged
from pool.compiled import ROOT
from tools import plugin


def test_the_same_sources_make_the_same_bytes_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = plugin.files()
    monkeypatch.setenv("COORD_IDLE_LIMIT", "5m")
    monkeypatch.setenv("COORD_REDIS_URL", "redis://:hunter2@db.internal/0")
    after = plugin.files()
    assert after == before
    for path, text in after.items():
        for word in ("hunter2", ROOT, sys.prefix, os.path.expanduser("~")):
            assert word not in text, (path, word)


def test_what_is_out_of_date_is_named(tmp_path: Path) -> None:
    plugin.write(tmp_path)
    assert plugin.outdated(tmp_path) == []
    (tmp_path / "plugin" / "hooks" / "coord.py").write_text("# older\n")
    (tmp_path / "plugin" / "strange").touch()
    (tmp_path / ".claude-plugin" / "marketplace.json").unlink()
    assert plugin.outdated(tmp_path) == [
        ".claude-plugin/marketplace.json", "plugin/hooks/coord.py", "plugin/strange",
    ]  # fmt: skip
    plugin.write(tmp_path)
    assert plugin.outdated(tmp_path) == []
    assert os.access(tmp_path / "plugin" / "bin" / "coord-worker", os.X_OK)


def test_its_hooks_are_those_of_coord_hooks_install() -> None:
    made = plugin.hooks()
    installed = template.Wanted("/compiled.json", python="/python3").groups
    assert made.keys() == installed.keys()
    for event, (group,) in made.items():
        (other,) = installed[event]
        (mine,), (theirs,) = group["hooks"], other["hooks"]
        assert {**group, "hooks": [{**mine, "command": ""}]} == {
            **other,
            "hooks": [{**theirs, "command": ""}],
        }
        assert "${CLAUDE_PLUGIN_ROOT}" in mine["command"]
    assert made["Stop"][0]["hooks"][0]["timeout"] == 86400


def test_its_options_are_settings() -> None:
    options = plugin.manifest()["userConfig"]
    assert set(options) == {*plugged.OPTIONS, plugged.WORKER, "operator"}
    assert options["redis_url"]["sensitive"], "a URL may hold a password"
    env = plugin.mcp()["mcpServers"]["pool"]["env"]
    assert env == {plugged.OPTION + name.upper(): f"${{user_config.{name}}}" for name in options}


def test_the_skill_is_what_every_worker_is_told() -> None:
    text = plugin.skill()
    assert text.startswith("---\nname: coord-worker\ndescription: ")
    assert text.endswith((Path(ROOT) / "workers" / "CLAUDE.md").read_text())


def test_a_server_without_tools_answers_as_the_protocol_has_it() -> None:
    def say(method: str, **more: object) -> object:
        return no_tools.reply(json.dumps({"jsonrpc": "2.0", "method": method, **more}).encode())

    params = {"protocolVersion": "2025-11-25", "capabilities": {}}
    answer = say("initialize", id=0, params=params)
    assert isinstance(answer, dict) and answer["result"]["protocolVersion"] == "2025-11-25"
    assert answer["result"]["capabilities"] == {} and answer["id"] == 0
    assert say("ping", id="a") == {"jsonrpc": "2.0", "id": "a", "result": {}}
    unknown = say("tools/list", id=2)
    assert isinstance(unknown, dict) and unknown["error"]["code"] == -32601
    assert say("notifications/initialized") is None
    for junk in (b"", b"\xff\n", b"[1]\n", b"{}\n", b'{"id": 1}\n', b'{"id": 1, "method": 3}\n'):
        answer = no_tools.reply(junk)
        assert answer is None or (isinstance(answer, dict) and "error" in answer)


def test_the_server_s_process_ends_with_its_client(tmp_path: Path) -> None:
    plugin.write(tmp_path)
    ping = jsonlite.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}) + "\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", tmp_path / "plugin" / template.PLUGIN, "--mcp"],
        input=ping, capture_output=True, text=True, check=True, timeout=30, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CLAUDE_PROJECT_DIR": str(tmp_path)},
    )  # fmt: skip
    assert json.loads(done.stdout) == {"jsonrpc": "2.0", "id": 1, "result": {}} and done.stderr == ""
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"plugin", ".claude-plugin"}, "an ordinary session leaves nothing behind"
