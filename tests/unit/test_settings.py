"""Settings: the same by `COORD_*`, by coord.toml and as hooks and helpers read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pool import compiled, settings
from pool.errors import SettingsError
from pool.settings import Settings

#: Texts that each kind of setting takes, or refuses, whoever reads them.
TEXTS = {
    "duration": ["90", "90s", "10m", "2h", "1h30m", " 5M ", "0.5", "-1", "abc", "1e3", "9" * 400, "4" * 10],
    "size": ["1048576", "512KiB", "1.5MB", "1 GiB", "0", "-5", "big", "inf", "1e3"],
    "int": ["8", " 7 ", "1", "5.0", "1_000", "one", "0x1", "9" * 30],
    "bool": ["1", "true", "Yes", "on", "0", "off", "NO", "maybe", "2", "t", "y"],
    "list": ["a", "a,b", " a , b ", '["a", "b"]', "[a", "a,,b"],
    "file": ["/etc/x", "~/x", "x", "./x", "~nobody-at-all/x", " /x"],
    "number": ["8", "2.50", " 1 ", "-1", "1e3", "nan", "", "x", "1.2.3"],
    "str": ["text", " blanks ", "ü", "[1]"],
}  # fmt: skip
NAMES = {kind: [name for name in Settings.model_fields if settings.kind(name) == kind] for kind in TEXTS}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("COORD_HOME", str(tmp_path / "home"))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def outcome(read: Any) -> object:
    try:
        return read()
    except SettingsError:
        return "refused"


def overlay(environ: dict[str, str]) -> compiled.Compiled:
    """What a hook makes of the compiled defaults and its environment."""
    data = json.loads(json.dumps(settings.compile_values(Settings())))
    return compiled.Compiled("", data, environ)


def test_every_setting_has_a_kind_a_meaning_and_a_default_of_that_kind() -> None:
    types = {
        "duration": float,
        "number": float,
        "size": int,
        "int": int,
        "bool": bool,
        "list": list,
        "file": str,
        "str": str,
    }
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert isinstance(field.default, types[settings.kind(name)]), name
    assert sum(map(len, NAMES.values())) == len(Settings.model_fields)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in TEXTS.items() for text in texts])
def test_a_variable_means_the_same_to_commands_and_to_hooks(
    monkeypatch: pytest.MonkeyPatch, kind: str, text: str
) -> None:
    # (One that has no bound of its own, and takes any text.)
    name = {"duration": "idle_limit", "size": "prompt_limit", "int": "max_tasks", "bool": "played",
            "list": "trigger_allow", "file": "redis_url_file", "number": "budget",
            "str": "claude"}[kind]  # fmt: skip
    variable = f"COORD_{name.upper()}"
    by_hook = outcome(lambda: overlay({variable: text})[name])
    monkeypatch.setenv(variable, text)
    by_command = outcome(lambda: getattr(settings.load(), name))
    assert by_command == by_hook
    assert type(by_command) is type(by_hook)


@given(
    st.sampled_from(sorted(TEXTS)), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
)
@hypothesis_settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_text_means_the_same_to_both(kind: str, text: str) -> None:
    name = {"duration": "idle_limit", "size": "prompt_limit", "int": "max_tasks", "bool": "played",
            "list": "trigger_allow", "file": "redis_url_file", "number": "budget",
            "str": "claude"}[kind]  # fmt: skip
    by_hook = outcome(lambda: overlay({f"COORD_{name.upper()}": text})[name])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"COORD_{name.upper()}", text)
        by_command = outcome(lambda: getattr(settings.load(), name))
    if by_hook != by_command:
        assert by_command == "refused" and isinstance(by_hook, int) and by_hook < 0, "but for a bound"


def test_what_is_written_in_coord_toml(folder: Path) -> None:
    (folder / "coord.toml").write_text(
        'idle_limit = "20m"\nlease = 90\nbeat = 2.5\nprompt_limit = "2MiB"\nresult_limit = 1000\n'
        'played = true\nqueues = ["a", "b"]\ntrigger_allow = "cwd, check"\nmax_tasks = 5\nreminders = "4"\n'
        'redis_url = "redis://x"\n'
    )
    found = settings.load()
    assert (found.idle_limit, found.lease, found.beat) == (1200.0, 90.0, 2.5)
    assert (found.prompt_limit, found.result_limit) == (2 * 1024 * 1024, 1000)
    assert (found.queues, found.trigger_allow) == (["a", "b"], ["cwd", "check"])
    assert (found.played, found.max_tasks, found.reminders, found.redis_url) == (True, 5, 4, "redis://x")


def test_the_environment_is_over_the_file_and_an_empty_variable_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "coord.toml").write_text('idle_limit = "20m"\nlease = "90s"\n')
    monkeypatch.setenv("COORD_IDLE_LIMIT", "30m")
    monkeypatch.setenv("COORD_LEASE", "")
    found = settings.load()
    assert (found.idle_limit, found.lease) == (1800.0, 90.0)


def test_which_coord_toml(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.config_path() is None
    user = tmp_path / "user" / ".config"
    user.mkdir(parents=True)
    (user / "coord.toml").write_text('queue = "users"\n')
    assert settings.load().queue == "users"
    (folder / "coord.toml").write_text('queue = "projects"\n')
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert settings.load().queue == "projects"
    (folder / "a" / "coord.toml").write_text('queue = "nearest"\n')
    assert settings.load().queue == "nearest"
    (tmp_path / "named.toml").write_text('queue = "named"\n')
    monkeypatch.setenv("COORD_CONFIG", str(tmp_path / "named.toml"))
    assert settings.load().queue == "named"


def test_where_coord_keeps_its_files(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().home == str(tmp_path / "home")
    monkeypatch.delenv("COORD_HOME")
    assert settings.load().home == str(tmp_path / "user" / ".local" / "state" / "coord")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert settings.load().home == str(tmp_path / "state" / "coord")
    (folder / "coord.toml").write_text("")
    below = folder / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert settings.load().home == str(folder / ".coord")
    (folder / "coord.toml").write_text('home = "own"\n')
    assert settings.load().home == str(folder / "own")
    (below / ".coord").mkdir()
    (folder / "coord.toml").write_text("")
    assert settings.load().home == str(below / ".coord")


@pytest.mark.parametrize(
    ("name", "value"),
    [("lease", "0.4"), ("tick", "2s"), ("tick", "0"), ("task_timeout", "0"), ("max_tasks", "-1"),
     ("reminders", "0"), ("event_limit", "0"), ("title_limit", "0"), ("result_ttl", "0"),
     ("queues", ""), ("queues", "a b"), ("queue", "a:high"), ("stop_mode", "never"),
     ("monitor_url", "ftp://x"), ("monitor_url", "127.0.0.1:5050"), ("monitor_url", "http://u:p@x"),
     ("monitor_hosts", "http://x/")],
)  # fmt: skip
def test_bounds(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    variable = f"COORD_{name.upper()}"
    monkeypatch.setenv(variable, value)
    if value:
        with pytest.raises(SettingsError, match=f"^{variable}: "):
            settings.load()
    else:
        assert settings.load().queues == ["tasks"]


def test_what_is_compiled_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    made = settings.load()
    path = settings.compile_settings(made)
    assert path == tmp_path / "home" / "compiled.json"
    assert path.stat().st_mode & 0o777 == 0o600, "it may hold a password"
    assert not list(path.parent.glob(".compiled-*"))
    found = compiled.load(str(path))
    assert found.values == made.model_dump()
    assert found.home == made.home


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 0}', '{"format": 1}', "\x00\xff"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "home" / "compiled.json"
    path.parent.mkdir()
    path.write_text(text)
    assert compiled.load(str(path)).values["idle_limit"] == 600.0
    assert json.loads(path.read_text())["format"] == compiled.FORMAT


def test_where_nothing_can_be_written_they_are_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert compiled.load(str(tmp_path / "file" / "compiled.json")).values["idle_limit"] == 600.0
