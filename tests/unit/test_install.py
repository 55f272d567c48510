"""`coord hooks`: what is there stays, what is ours goes in once and comes out again, exactly."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator import cli
from hooks import files, install, launcher, status, template
from pool.compiled import ROOT
from pool.errors import CoordError
from tests.conftest import ROOT as REPOSITORY

EVENTS = {"SessionStart", "Stop", "UserPromptSubmit", "SessionEnd", "StopFailure", "PostToolUse"}

#: Settings files as people and programs write them.
SAMPLES = {
    "empty object": "{}",
    "empty object, spaced": "{\n\n}\n",
    "usual": """{
  "model": "opus",
  "permissions": {
    "allow": ["Bash(git *)", "Read(~/notes/**)"],
    "deny": []
  },
  "hooks": {
    "Stop": [
      {
        "hooks": [
          {
            "type": "command",
            "command": "say \\"done\\""
          }
        ]
      }
    ],
    "PreToolUse": [
      {"matcher": "Bash", "hooks": [{"type": "command", "command": "./guard.sh", "timeout": 5}]}
    ]
  },
  "env": {"A": "1"}
}
""",
    "four blanks, no newline": '{\n    "hooks": {\n        "Stop": []\n    },\n    "x": 1.50\n}',
    "tabs": '{\n\t"permissions": {\n\t\t"allow": [\n\t\t\t"WebFetch"\n\t\t]\n\t}\n}\n',
    "minified": '{"hooks":{"SessionEnd":[{"hooks":[{"type":"command","command":"bye"}]}]},"z":[1,2]}',
    "one line": '{"hooks": {}, "permissions": {}}\n',
    "windows": '{\r\n  "permissions": {\r\n    "allow": []\r\n  },\r\n  "note": "ü\\u00fc"\r\n}\r\n',
    "byte order mark": '\ufeff{\n  "a": [ ]\n}\n',
    "rules of one's own": '{\n  "permissions": {"allow": ["Bash(coord-worker *)"], "ask": ["Bash(rm)"]}\n}\n',
    "a name twice": '{"hooks": {"Stop": [1]}, "b": 2, "hooks": {"Stop": []}}',
    "strange groups": '{"hooks": {"Stop": [null, {"hooks": 3}, {"hooks": ["x", {}]}], "Other": 7}}',
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, where the test stands, with a user's folder beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COORD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return folder


@pytest.fixture
def coord(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `coord hooks ...`: exit code, output, error output."""

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["hooks", *args])
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, said.out, said.err

    return run


Coord = Callable[..., tuple[int, str, str]]


def written(project: Path, text: str, name: str = "settings.json") -> Path:
    path = project / ".claude" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes().decode("utf-8-sig"))
    return value


def ours(value: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """coord's handlers by event."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event, groups in value.get("hooks", {}).items():
        for group in groups if isinstance(groups, list) else []:
            handlers = group.get("hooks") if isinstance(group, dict) else None
            for handler in handlers if isinstance(handlers, list) else []:
                if isinstance(handler, dict) and "--compiled" in handler.get("command", ""):
                    found.setdefault(event, []).append({**handler, "matcher": group.get("matcher")})
    return found


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file below a folder: its bytes, its time and its mode."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


# -- what is installed -------------------------------------------------------------------------------


def test_a_project_without_settings_gets_all_six_hooks(project: Path, coord: Coord) -> None:
    code, out, err = coord("install")
    path = project / ".claude" / "settings.json"
    assert (code, err) == (0, "") and str(path) in out
    found = ours(read(path))
    assert set(found) == EVENTS and all(len(handlers) == 1 for handlers in found.values())
    assert "permissions" not in read(path)
    stop = found["Stop"][0]
    assert (stop["timeout"], stop["statusMessage"]) == (86400, "coord: waiting for tasks")
    assert found["PostToolUse"][0]["matcher"] == "*"
    for event, (handler,) in found.items():
        assert handler["type"] == "command" and 0 < handler["timeout"] <= 86400
        parts = template.parts(handler["command"])
        assert os.path.isabs(parts.python) and os.access(parts.python, os.X_OK)
        assert os.path.samefile(parts.python, sys.executable)
        assert os.path.isabs(parts.file) and os.path.isfile(parts.file)
        assert " -I -S " in handler["command"] and not parts.worker, event
        assert Path(parts.compiled).is_file()
    assert path.read_bytes().startswith(b'{\n  "hooks": {\n') and path.read_bytes().endswith(b"}\n")


def test_the_timeout_of_stop_is_the_setting(
    project: Path, coord: Coord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_HOOK_TIMEOUT", "2h")
    coord("install")
    path = project / ".claude" / "settings.json"
    assert ours(read(path))["Stop"][0]["timeout"] == 7200
    monkeypatch.setenv("COORD_HOOK_TIMEOUT", "90.5s")
    coord("install")
    assert ours(read(path))["Stop"][0]["timeout"] == 90.5


def test_worker_says_so_in_every_command_and_allows_the_helper(project: Path, coord: Coord) -> None:
    _, out, _ = coord("install", "--worker")
    value = read(project / ".claude" / "settings.json")
    assert all(handler["command"].endswith(" --worker") for (handler,) in ours(value).values())
    assert value["permissions"] == {"allow": ["Bash(coord-worker:*)", "Bash(coord-worker *)"]}
    assert "workers" in out


@pytest.mark.parametrize("scope", install.SCOPES)
def test_each_scope_has_its_file(
    scope: str, project: Path, tmp_path: Path, coord: Coord, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        "user": tmp_path / "user" / ".claude" / "settings.json",
        "project": project / ".claude" / "settings.json",
        "local": project / ".claude" / "settings.local.json",
    }[scope]
    coord("install", "--scope", scope)
    assert set(ours(read(expected))) == EVENTS
    assert len(list(tmp_path.rglob("settings*.json"))) == 1
    coord("uninstall", "--scope", scope)
    assert not expected.exists()
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
    coord("install", "--scope", scope)
    assert (tmp_path / "config" / "settings.json").exists() == (scope == "user")


def test_print_prints_what_would_be_installed_and_changes_nothing(
    project: Path, tmp_path: Path, coord: Coord
) -> None:
    _, out, err = coord("install", "--worker", "--print")
    assert err == "" and snapshot(tmp_path) == {}
    coord("install", "--worker")
    assert json.loads(out) == read(project / ".claude" / "settings.json")


def test_installing_compiles_the_settings_and_writes_the_helper(
    project: Path, tmp_path: Path, coord: Coord
) -> None:
    (project / "coord.toml").write_text('redis_url = "redis://:secret@db:1/0"\nidle_limit = "5m"\n')
    coord("install")
    compiled = tmp_path / "home" / "compiled.json"
    assert json.loads(compiled.read_text())["values"]["idle_limit"] == 300
    assert stat.S_IMODE(compiled.stat().st_mode) == 0o600
    helper = tmp_path / "home" / "bin" / "coord-worker"
    said = subprocess.run([helper, "--help"], capture_output=True, text=True, check=False, env={})
    assert (said.returncode, said.stderr) == (0, "") and "coord-worker claim" in said.stdout
    assert "secret" not in (project / ".claude" / "settings.json").read_text()
    assert (tmp_path / "home" / ".gitignore").read_text() == "*\n"  # for the secret is in the compiled ones


def test_settings_that_were_gone_are_a_change(project: Path, tmp_path: Path, coord: Coord) -> None:
    coord("install")
    assert json.loads(coord("install", "--json")[1])["changed"] is False
    (tmp_path / "home" / "compiled.json").unlink()
    assert json.loads(coord("install", "--json")[1])["changed"] is True


def test_data_on_request(project: Path, coord: Coord) -> None:
    _, out, _ = coord("install", "--json")
    assert json.loads(out) == {
        "scope": "project", "worker": False, "path": str(project / ".claude" / "settings.json"),
        "changed": True, "removed": False, "backup": "", "copy": "",
    }  # fmt: skip
    assert json.loads(coord("install", "--json")[1])["changed"] is False
    _, out, _ = coord("uninstall", "--json")
    assert (json.loads(out)["changed"], json.loads(out)["removed"]) == (True, True)


def test_a_relative_home_is_the_projects(
    project: Path, coord: Coord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COORD_HOME")
    (project / "coord.toml").write_text('home = "state"\n')
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    coord("install")
    stop = commands(below / ".claude" / "settings.json")["Stop"]
    compiled = project / "state" / "compiled.json"
    assert template.parts(stop).compiled == str(compiled)
    assert read(compiled)["values"]["home"] == str(project / "state")
    monkeypatch.setenv("COORD_HOME", "other")
    coord("install")
    assert (below / "other" / "compiled.json").is_file()


# -- what is there stays -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("options", [(), ("--worker",)], ids=["plain", "worker"])
def test_what_is_there_stays_and_comes_back_byte_for_byte(
    text: str, options: tuple[str, ...], project: Path, coord: Coord
) -> None:
    path = written(project, text)
    before, value = snapshot(project), read(path)
    coord("install", *options)
    after = read(path)
    assert set(ours(after)) == EVENTS
    assert [key for key in after if key in value] == list(value)
    for key, part in value.items():
        if key not in ("hooks", "permissions", "env"):
            assert after[key] == part
    assert after.get("env", {}) == value.get("env", {}) | (template.ENV if options else {})
    for event, groups in value.get("hooks", {}).items():
        assert after["hooks"][event] == groups if not isinstance(groups, list) else True
        if isinstance(groups, list):
            assert after["hooks"][event][: len(groups)] == groups
    for key, rules in value.get("permissions", {}).items():
        assert after["permissions"][key][: len(rules)] == rules
    assert not options or set(template.RULES) <= set(after["permissions"]["allow"])
    coord("uninstall")
    assert {name: found[::2] for name, found in snapshot(project).items()} == {
        name: found[::2] for name, found in before.items()
    }


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
def test_only_the_added_lines_differ(text: str, project: Path, coord: Coord) -> None:
    path = written(project, text)
    coord("install", "--worker")
    after = path.read_bytes().decode()
    rest = iter(after)
    squeezed = text if "[]" not in text and "{}" not in text and "[ ]" not in text else "".join(text.split())
    assert all(any(each == letter for letter in rest) for each in squeezed)  # every letter, in the same order


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
def test_a_file_changed_since_loses_only_what_is_ours(text: str, project: Path, coord: Coord) -> None:
    path = written(project, text)
    value = read(path)
    coord("install", "--worker")
    changed = read(path)
    changed["theirs"] = [1]
    changed["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": "later"}]})
    path.write_text(json.dumps(changed, indent=3))
    code, out, _ = coord("uninstall")
    after = read(path)
    assert code == 0 and ours(after) == {} and after["theirs"] == [1]
    assert after["hooks"]["Stop"].pop()["hooks"][0]["command"] == "later"
    for key in value:
        if key != "hooks":
            assert after[key] == value[key]
    for event, groups in value.get("hooks", {}).items():
        assert after["hooks"][event] == groups
    assert path.with_name("settings.json.coord-backup").read_bytes() == text.encode()
    assert "coord-backup" in out


def test_a_handler_moved_into_another_group_is_found_there(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    value = read(path)
    coord("install")
    moved = read(path)
    groups = moved["hooks"]["Stop"]
    groups[0]["hooks"].insert(0, groups.pop()["hooks"][0])
    path.write_text(json.dumps(moved, indent=2))
    assert coord("status")[0] == 1
    coord("uninstall")
    assert read(path) == value


def test_rules_of_ones_own_are_not_taken_out(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["rules of one's own"])
    coord("install", "--worker")
    assert read(path)["permissions"]["allow"] == ["Bash(coord-worker *)", "Bash(coord-worker:*)"]
    path.write_text(path.read_text().replace('"ask"', '"deny"'))
    coord("uninstall")
    assert read(path)["permissions"] == {"allow": ["Bash(coord-worker *)"], "deny": ["Bash(rm)"]}


def test_a_cap_of_ones_own_stays(project: Path, coord: Coord) -> None:
    text = '{\n  "env": {"CLAUDE_CODE_STOP_HOOK_BLOCK_CAP": "30"}\n}\n'
    path = written(project, text)
    coord("install", "--worker")
    assert read(path)["env"] == {"CLAUDE_CODE_STOP_HOOK_BLOCK_CAP": "30"} and seen(coord)[0] == 0
    coord("uninstall")
    assert path.read_text() == text


def test_a_user_who_only_looks_at_older_guides_keeps_what_looks_similar(project: Path, coord: Coord) -> None:
    similar = [
        "python3 hooks/stop.py", "/opt/hooks/stop.py --worker", "python3 ./worker-stop-check.sh",
        "cat hooks/stop.py # --compiled", "/x/hooks/other.py --compiled y",
    ]  # fmt: skip
    handlers = [{"type": "command", "command": each} for each in similar]
    text = json.dumps({"hooks": {"Stop": [{"hooks": handlers}]}})
    path = written(project, text)
    coord("install")
    coord("uninstall")
    assert path.read_text() == text


# -- twice, and otherwise ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--worker",), ("--copy",), ("--copy", "--worker")], ids=str)
def test_installing_twice_changes_nothing_and_says_so(
    options: tuple[str, ...], project: Path, tmp_path: Path, coord: Coord
) -> None:
    written(project, SAMPLES["usual"])
    coord("install", *options)
    before = snapshot(tmp_path)
    code, out, _ = coord("install", *options)
    assert code == 0 and "already" in out and snapshot(tmp_path) == before


def test_a_file_that_was_only_formatted_anew_is_left_alone(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    coord("install")
    path.write_text(json.dumps(read(path), indent=8))
    before = path.read_bytes()
    assert "already" in coord("install")[1] and path.read_bytes() == before


def test_other_options_replace_what_is_installed(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    copy = project / template.COPY
    texts = {}
    for options in [(), ("--worker",), ("--copy",), ("--copy", "--worker")]:
        (project / ".claude" / "settings.json.coord-backup").unlink(missing_ok=True)
        path.write_text(SAMPLES["usual"])
        coord("install", *options)
        texts[options] = path.read_bytes()
    for options in [(), ("--copy", "--worker"), ("--worker",), ("--copy",), ()]:
        coord("install", *options)
        assert path.read_bytes() == texts[options]
        assert copy.exists() == ("--copy" in options)
    coord("uninstall")
    assert path.read_text() == SAMPLES["usual"]


def test_hooks_of_another_installation_are_replaced(project: Path, coord: Coord) -> None:
    path = project / ".claude" / "settings.json"
    coord("install")
    right = path.read_bytes()
    path.write_text(path.read_text().replace(ROOT, "/gone/for/good"))
    assert coord("status")[0] == 1
    assert "already" not in coord("install")[1]
    assert path.read_bytes() == right


def test_half_an_installation_is_made_whole(project: Path, coord: Coord) -> None:
    path = project / ".claude" / "settings.json"
    coord("install")
    right = read(path)
    part = read(path)
    del part["hooks"]["Stop"]
    part["hooks"]["SessionEnd"] *= 2
    path.write_text(json.dumps(part))
    assert coord("status")[0] == 1
    coord("install")
    assert read(path) == right


# -- backups -----------------------------------------------------------------------------------------


def test_a_backup_is_kept_and_never_overwritten_with_our_hooks_in_it(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    backup = path.with_name("settings.json.coord-backup")
    _, out, _ = coord("install")
    assert backup.read_text() == SAMPLES["usual"] and str(backup) in out
    path.write_text(path.read_text().replace("opus", "sonnet"))
    coord("install", "--worker")
    assert backup.read_text() == SAMPLES["usual"]
    coord("uninstall")
    assert path.read_text() == SAMPLES["usual"].replace("opus", "sonnet")
    coord("install")
    assert backup.read_text() == SAMPLES["usual"].replace("opus", "sonnet")
    older = [each for each in path.parent.glob("settings.json.coord-backup-*") if each != backup]
    assert [each.read_text() for each in older] == [SAMPLES["usual"]]
    coord("uninstall")
    assert path.read_text() == SAMPLES["usual"].replace("opus", "sonnet") and not backup.exists()


def test_without_a_backup_there_is_none_made_of_a_file_with_our_hooks(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    coord("install")
    path.with_name("settings.json.coord-backup").unlink()
    coord("install", "--worker")
    assert list(path.parent.iterdir()) == [path]
    coord("uninstall")
    assert read(path) == json.loads(SAMPLES["usual"])


def test_a_damaged_backup_is_not_put_back(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    coord("install")
    path.with_name("settings.json.coord-backup").write_text("{oh")
    coord("uninstall")
    assert read(path) == json.loads(SAMPLES["usual"])


def test_a_backup_of_a_file_that_is_gone_does_not_come_back(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    coord("install")
    path.unlink()
    coord("install")
    coord("uninstall")
    assert not path.exists()


def test_a_file_and_folder_that_were_not_there_before_are_gone_again(project: Path, coord: Coord) -> None:
    coord("install", "--worker")
    _, out, _ = coord("uninstall")
    assert list(project.iterdir()) == [] and "removed" in out
    coord("install")
    path = project / ".claude" / "settings.json"
    path.write_text(json.dumps({**read(path), "model": "opus"}))
    coord("uninstall")
    assert read(path) == {"model": "opus"}


def test_uninstalling_what_is_not_there_says_so(project: Path, coord: Coord) -> None:
    code, out, _ = coord("uninstall")
    assert code == 0 and "no hooks" in out
    path = written(project, SAMPLES["usual"])
    assert "no hooks" in coord("uninstall")[1] and path.read_text() == SAMPLES["usual"]
    assert snapshot(project).keys() == {".claude/settings.json"}


# -- refusals ----------------------------------------------------------------------------------------

WRONG = {
    "empty": ("", "not valid JSON"),
    "half": ('{"hooks": {', "not valid JSON"),
    "a comment": ('{// mine\n"a": 1}', "not valid JSON"),
    "a list": ("[]", "JSON object"),
    "a text": ('"x"', "JSON object"),
    "null": ("null", "JSON object"),
    "two values": ("{} {}", "not valid JSON"),
    "not a number": ('{"a": NaN}', "not valid JSON"),
    "hooks are a list": ('{"hooks": []}', "hooks is not an object"),
    "Stop is an object": ('{"hooks": {"Stop": {}}}', "hooks.Stop is not a list"),
    "permissions are a list": ('{"permissions": []}', "permissions is not an object"),
    "env is a list": ('{"env": []}', "env is not an object"),
    "allow is a text": ('{"permissions": {"allow": "all"}}', "permissions.allow is not a list"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("args", [["install", "--worker"], ["install", "--copy"], ["uninstall"]], ids=str)
def test_a_file_that_is_no_settings_file_is_refused_with_one_line(
    text: str, words: str, args: list[str], project: Path, tmp_path: Path, coord: Coord
) -> None:
    path = written(project, text)
    before = snapshot(tmp_path)
    code, out, err = coord(*args)
    assert (code, out) == (2, "") and snapshot(tmp_path) == before
    assert err.startswith(f"coord: {path}") and words in err and err.count("\n") == 1


def test_bytes_that_are_no_text_are_refused(project: Path, coord: Coord) -> None:
    path = written(project, "")
    path.write_bytes(b'{"a": "\xff"}')
    code, _, err = coord("install")
    assert code == 2 and "UTF-8" in err and path.read_bytes() == b'{"a": "\xff"}'


def test_a_wrong_setting_is_told_before_anything_is_changed(project: Path, coord: Coord) -> None:
    (project / "coord.toml").write_text('idle_limit = "soon"\n')
    code, _, err = coord("install")
    assert code == 2 and "idle_limit" in err and err.count("\n") == 1
    assert not (project / ".claude").exists()


# -- how files are written ---------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    project: Path, coord: Coord, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(project, SAMPLES["usual"])
    replace = os.replace

    def full(source: str, target: str) -> None:
        if str(target) == str(path):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    code, out, err = coord("install")
    assert (code, out) == (1, "") and "No space left" in err and err.count("\n") == 1
    assert path.read_text() == SAMPLES["usual"]
    assert {each.name for each in path.parent.iterdir()} == {"settings.json", "settings.json.coord-backup"}


def test_a_reader_never_sees_half_a_file(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    wrong: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            try:
                json.loads(path.read_text())
            except (OSError, ValueError) as error:
                wrong.append(str(error))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        coord("install", "--worker")
        coord("uninstall")
    ended.set()
    reader.join()
    assert wrong == []


def test_a_files_mode_is_kept(project: Path, coord: Coord) -> None:
    path = written(project, SAMPLES["usual"])
    path.chmod(0o640)
    coord("install")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    coord("uninstall")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(project: Path, tmp_path: Path, coord: Coord) -> None:
    target = tmp_path / "dotfiles" / "claude.json"
    target.parent.mkdir()
    target.write_text(SAMPLES["usual"])
    path = project / ".claude" / "settings.json"
    path.parent.mkdir()
    path.symlink_to(target)
    coord("install")
    assert path.is_symlink() and set(ours(read(target))) == EVENTS
    coord("uninstall")
    assert path.is_symlink() and target.read_text() == SAMPLES["usual"]
    assert list(target.parent.iterdir()) == [target]


def test_a_link_to_nothing_yet_works_too(project: Path, tmp_path: Path, coord: Coord) -> None:
    target = tmp_path / "dotfiles" / "claude.json"
    path = project / ".claude" / "settings.json"
    path.parent.mkdir()
    path.symlink_to(target)
    coord("install")
    assert path.is_symlink() and set(ours(read(target))) == EVENTS
    coord("uninstall")
    assert path.is_symlink() and not target.exists()


# -- the commands ------------------------------------------------------------------------------------


PAYLOAD = '{"hook_event_name": "PostToolUse"}'


def run(command: str, payload: str = PAYLOAD, **env: str) -> tuple[int, str, str]:
    """Run a hook as the client does: exit code, output, error output."""
    done = subprocess.run(
        ["sh", "-c", command], input=payload, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "CLAUDE_PID": str(os.getpid()), **env},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def commands(path: Path) -> dict[str, str]:
    return {event: handler["command"] for event, (handler,) in ours(read(path)).items()}


def test_an_ordinary_session_never_notices(project: Path, tmp_path: Path, coord: Coord) -> None:
    coord("install")
    before = snapshot(tmp_path)
    for event, command in commands(project / ".claude" / "settings.json").items():
        assert run(command, json.dumps({"hook_event_name": event, "session_id": "s"})) == (0, "", ""), event
    assert snapshot(tmp_path) == before


def installation(folder: Path) -> template.Wanted:
    """An installation in a folder of any name, its interpreter by a link in another."""
    root, home = folder / "coord", folder / "home"
    for package in ("hooks", "pool", "workers"):
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    python.symlink_to(os.path.realpath(sys.executable))
    home.mkdir()
    return template.Wanted(str(home / "compiled.json"), worker=True, python=str(python), root=str(root))


ODD = ["with blanks", "it's", 'a "quote"', "$HOME `x`", "a;b&c|d", "*?[a]", "umläut", "back\\slash", "-n"]


@pytest.mark.parametrize("name", ODD)
def test_paths_with_any_letters_work(name: str, tmp_path: Path, project: Path, coord: Coord) -> None:
    wanted = installation(tmp_path / name)
    coord("install")
    shutil.copy(tmp_path / "home" / "compiled.json", wanted.compiled)
    for spec in template.SPECS:
        command = wanted.command(spec)
        assert template.is_ours({"type": "command", "command": command})
        parts = template.parts(command)
        assert (parts.python, parts.compiled, parts.worker) == (wanted.python, wanted.compiled, True)
        assert parts.file == os.path.join(wanted.root, "hooks", f"{spec.file}.py")
    # That it really ran is seen in the log of that home: a worker that finds no Redis says so.
    home = str(Path(wanted.compiled).parent)
    payload = json.dumps({"hook_event_name": "StopFailure", "session_id": "s", "error": "overloaded"})
    failure = wanted.command(next(spec for spec in template.SPECS if spec.event == "StopFailure"))
    assert run(failure, payload, COORD_HOME=home, COORD_REDIS_URL="redis://127.0.0.1:1/0") == (0, "", "")
    assert "StopFailure: Redis at 127.0.0.1:1 cannot be reached" in (Path(home) / "hooks.log").read_text()


@pytest.mark.parametrize("gone", ["bin/python3", "coord/hooks/stop.py", "coord/hooks", "coord", "."])
def test_a_hook_whose_installation_is_gone_leaves_without_a_word(gone: str, tmp_path: Path) -> None:
    wanted = installation(tmp_path / "it's gone")
    path = tmp_path / "it's gone" / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    stop = next(spec for spec in template.SPECS if spec.event == "Stop")
    assert run(wanted.command(stop), '{"hook_event_name": "Stop"}') == (0, "", "")


def test_lost_settings_are_compiled_anew_by_the_hooks_own_interpreter(
    project: Path, tmp_path: Path, coord: Coord
) -> None:
    """Why a virtual environment's interpreter is not resolved: the one behind it has no pydantic."""
    coord("install")
    compiled = tmp_path / "home" / "compiled.json"
    compiled.unlink()
    command = commands(project / ".claude" / "settings.json")["PostToolUse"]
    assert run(command, COORD_WORKER="1") == (0, "", "") and compiled.is_file()


@pytest.mark.parametrize("copy", [False, True])
def test_a_session_that_is_no_worker_starts_no_interpreter(copy: bool, tmp_path: Path) -> None:
    """Unless the scope makes every session a worker: then it is the hook that knows."""
    started, python = tmp_path / "started", tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\ntouch {started}\n")
    python.chmod(0o755)
    (tmp_path / template.COPY).parent.mkdir(parents=True)
    (tmp_path / template.COPY).touch()
    stop = next(spec for spec in template.SPECS if spec.event == "Stop")
    env = {"CLAUDE_PROJECT_DIR": str(tmp_path), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    for worker, given in ((False, {}), (False, {"COORD_WORKER": "0"}), (False, {"COORD_WORKER": "no"})):
        wanted = template.Wanted("/c.json", worker=worker, copy=copy, python=str(python))
        assert run(wanted.command(stop), **env, **given) == (0, "", "") and not started.exists()
    for worker, given in ((False, {"COORD_WORKER": "1"}), (True, {})):
        wanted = template.Wanted("/c.json", worker=worker, copy=copy, python=str(python))
        assert run(wanted.command(stop), **env, **given)[0] == 0 and started.exists()
        started.unlink()


def test_a_shim_is_passed_over_for_the_binary_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    shim.chmod(0o755)
    real = template.interpreter()
    assert os.path.samefile(real, sys.executable) and Path(real).parent == Path(sys.executable).parent
    monkeypatch.setattr(sys, "executable", str(shim))
    found = template.interpreter()
    assert os.path.isabs(found) and os.path.samefile(found, real)
    assert subprocess.run([found, "-I", "-S", "-c", "import zlib, select"], check=False).returncode == 0
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no such"))
    assert os.path.samefile(template.interpreter(), real)


def test_no_interpreter_at_all_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(template, "_is_script", lambda path: True)
    with pytest.raises(CoordError, match="interpreter"):
        template.interpreter()


@pytest.mark.parametrize("name", ODD)
def test_the_launcher_works_at_any_path(name: str, tmp_path: Path) -> None:
    wanted = installation(tmp_path / name)
    text = launcher.script(wanted.python, wanted.root, wanted.compiled)
    helper = tmp_path / "coord-worker"
    helper.write_text(text)
    helper.chmod(0o755)
    said = subprocess.run([helper, "--help"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "") and "coord-worker claim" in said.stdout


# -- status ------------------------------------------------------------------------------------------


def seen(coord: Coord, scope: str = "project") -> tuple[int, dict[str, Any]]:
    code, out, _ = coord("status", "--json", "--scope", scope)
    (found,) = json.loads(out)
    assert isinstance(found, dict)
    return code, found


def test_status_of_nothing(project: Path, tmp_path: Path, coord: Coord) -> None:
    code, out, _ = coord("status")
    assert code == 1 and out.count("not installed") == 3
    code, out, _ = coord("status", "--json")
    assert code == 1 and [each["scope"] for each in json.loads(out)] == ["user", "project", "local"]
    assert snapshot(tmp_path) == {}


def test_status_of_a_good_installation(project: Path, coord: Coord) -> None:
    coord("install", "--worker")
    code, out, _ = coord("status")
    assert code == 0 and "all are workers" in out and "problem" not in out
    code, found = seen(coord)
    assert code == 0 and found["fine"] and found["worker"] and found["installed"] and not found["copy"]
    assert found["hooks"] == dict.fromkeys(EVENTS, "ok")
    assert found["interpreter_there"] and found["files_there"] and found["compiled_state"] == "ok"
    assert seen(coord, "local")[0] == 1


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = read(path)
    change(value)
    path.write_text(json.dumps(value, indent=2))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "missing": (lambda v: v["hooks"].pop("Stop"), "missing", "the Stop hook is missing"),
    "stale": (
        lambda v: v["hooks"]["Stop"][0]["hooks"][0].update(command="/p -I -S /x/hooks/stop.py --compiled /c"),
        "stale", "is gone",
    ),
    "modified": (lambda v: v["hooks"]["Stop"][0]["hooks"][0].update(timeout=60), "modified", "by hand"),
    "modified matcher": (lambda v: v["hooks"]["Stop"][0].update(matcher="x"), "modified", "by hand"),
    "double": (lambda v: v["hooks"]["Stop"].append(v["hooks"]["Stop"][0]), "double", "more than once"),
    "off": (lambda v: v.update(disableAllHooks=True), "ok", "disableAllHooks"),
    "rules": (lambda v: v.pop("permissions"), "ok", "permission rules"),
    "env": (lambda v: v.pop("env"), "ok", "CLAUDE_CODE_STOP_HOOK_BLOCK_CAP is missing in env"),
    "worker": (
        lambda v: v["hooks"]["Stop"][0]["hooks"][0].update(
            command=v["hooks"]["Stop"][0]["hooks"][0]["command"].removesuffix(" --worker")
        ),
        "stale", "is not what this coord installs",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "state", "words"), CHANGES.values(), ids=CHANGES)
def test_status_sees_what_is_wrong(
    change: Callable[[dict[str, Any]], object], state: str, words: str, project: Path, coord: Coord
) -> None:
    coord("install", "--worker")
    changed(project / ".claude" / "settings.json", change)
    code, found = seen(coord)
    assert code == 1 and not found["fine"] and found["hooks"]["Stop"] == state
    assert any(words in problem for problem in found["problems"]), found["problems"]
    shown = coord("status")
    assert shown[0] == 1 and "problem" in shown[1]
    coord("install", "--worker")
    assert seen(coord)[0] == (1 if words == "disableAllHooks" else 0)


def test_status_sees_lost_files_and_old_settings(
    project: Path, tmp_path: Path, coord: Coord, monkeypatch: pytest.MonkeyPatch
) -> None:
    coord("install")
    compiled = tmp_path / "home" / "compiled.json"
    monkeypatch.setenv("COORD_IDLE_LIMIT", "1h")
    assert seen(coord)[1]["compiled_state"] == "stale"
    coord("install")
    assert seen(coord)[0] == 0
    compiled.write_text("{")
    assert seen(coord)[1]["compiled_state"] == "stale"
    compiled.unlink()
    assert seen(coord)[1]["compiled_state"] == "missing"
    compiled.mkdir()
    code, found = seen(coord)
    assert (code, found["compiled_state"]) == (1, "unreadable")
    compiled.rmdir()
    coord("install")
    path = project / ".claude" / "settings.json"
    path.write_text(path.read_text().replace(template.interpreter(), "/gone/python3"))
    code, found = seen(coord)
    assert code == 1 and not found["interpreter_there"] and found["files_there"]
    assert "/gone/python3 is gone" in " ".join(found["problems"])


def test_status_tells_of_a_file_that_cannot_be_read(project: Path, coord: Coord) -> None:
    written(project, "{")
    code, out, err = coord("status")
    assert (code, err) == (1, "") and "not valid JSON" in " ".join(out.split())
    coord("install", "--scope", "local")
    assert seen(coord, "local")[0] == 0 and coord("status")[0] == 1


def test_nothing_that_is_read_is_changed(project: Path, tmp_path: Path, coord: Coord) -> None:
    coord("install")
    before = snapshot(tmp_path)
    coord("status")
    assert snapshot(tmp_path) == before


def test_a_status_is_told_in_words_that_exist() -> None:
    assert status.ScopeStatus("user", "x").fine is False
    assert status.fine([]) is False


def test_files_keep_their_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    files.write(path, "x\r\ny\n")
    assert path.read_bytes() == b"x\r\ny\n" and files.read(path) == "x\r\ny\n"
    assert files.read(tmp_path / "no") is None
