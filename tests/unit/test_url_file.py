"""The URL in a file (redis_url_file): the same for commands and for hooks, and one line where it is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pool import compiled, settings
from pool.errors import RedisAway, SettingsError

SECRET = "redis://worker:s3cret@redis:6379/0"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COORD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "login.url"
    monkeypatch.setenv("COORD_REDIS_URL_FILE", str(path))
    return path


def both() -> list[str]:
    """The URL as commands have it, and as hooks have it."""
    found = settings.load()
    hook = compiled.Compiled(str(settings.compile_settings(found)), settings.compile_values(found))
    return [settings.redis_url(found), hook.url()]


def test_it_is_read_anew_each_time_and_never_compiled(file: Path, tmp_path: Path) -> None:
    file.write_text(SECRET + "\n")
    assert both() == [SECRET, SECRET]
    assert "s3cret" not in (tmp_path / "home" / "compiled.json").read_text()
    found = settings.load()
    file.write_text("unix:///run/redis.sock")
    assert settings.redis_url(found) == "unix:///run/redis.sock"


def test_what_goes_before_what(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(SECRET)
    (tmp_path / "coord.toml").write_text('redis_url = "redis://toml"\n')
    assert both() == [SECRET, SECRET], "a variable goes before coord.toml"
    monkeypatch.setenv("COORD_REDIS_URL", "redis://named")
    assert both() == ["redis://named"] * 2, "the URL itself goes before a file"
    monkeypatch.delenv("COORD_REDIS_URL")
    monkeypatch.delenv("COORD_REDIS_URL_FILE")
    assert both() == ["redis://toml"] * 2
    (tmp_path / "coord.toml").write_text(f'redis_url_file = "{file}"\n')
    assert both() == [SECRET, SECRET]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), ("", "is empty"), (" \n", "is empty"),
     ("worker:s3cret", "something else than one redis:// URL"),
     (f"{SECRET}\n{SECRET}", "something else than one redis:// URL"), (b"\xff\xfe", "something else")],
)  # fmt: skip
def test_a_file_that_holds_none_is_one_line(file: Path, content: str | bytes | None, said: str) -> None:
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RedisAway) as caught:
        settings.redis_url(settings.load())
    assert said in str(caught.value) and str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_another_users(file: Path) -> None:
    file.write_text(SECRET)
    if os.geteuid() == 0:
        file.unlink()
        file.mkdir()  # root reads any file: a folder is what it cannot read
    else:
        file.chmod(0)
    with pytest.raises(RedisAway, match="cannot be read"):
        settings.redis_url(settings.load())


def test_a_relative_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL_FILE", "login.url")
    with pytest.raises(SettingsError, match=r"^COORD_REDIS_URL_FILE: 'login[.]url' is not an absolute path"):
        settings.load()
