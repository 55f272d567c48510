"""Tokens, roles and logins, without a service."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from monitor import tokens
from monitor.limits import Rates
from monitor.tokens import Role, Tokens
from pool.errors import SettingsError
from pool.settings import Settings

OPERATOR, VIEWER, HOOK = "operator-0123456789", "viewer-0123456789ab", "hook-0123456789abcd"


def settings(home: Path, **given: Any) -> Settings:
    return Settings(home=str(home), **given)


def made(home: Path, **given: Any) -> tuple[Tokens, list[str]]:
    said: list[str] = []
    return Tokens(settings(home, **given), said.append), said


def test_each_token_gives_its_role_and_no_other(tmp_path: Path) -> None:
    known, _ = made(
        tmp_path, monitor_operator_token=OPERATOR, monitor_viewer_token=VIEWER, monitor_hook_token=HOOK
    )
    assert [known.role(each) for each in (OPERATOR, VIEWER, HOOK)] == [
        Role.OPERATOR,
        Role.VIEWER,
        Role.REPORTER,
    ]
    for wrong in ("", "x", OPERATOR[:-1], OPERATOR + " ", "\ud800", "ü" * 40):
        assert known.role(wrong) is Role.NOBODY
    assert Role.OPERATOR > Role.VIEWER > Role.REPORTER > Role.NOBODY


def test_a_token_in_a_file_is_changed_in_place(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(OPERATOR + "\n")
    known, said = made(tmp_path, monitor_operator_token_file=str(file))
    assert known.role(OPERATOR) is Role.OPERATOR
    login = known.cookie(OPERATOR)
    assert known.of_cookie(login) is Role.VIEWER  # to look, whoever logged in
    file.write_text("another-0123456789\n")
    os.utime(file, (1, 1))
    assert known.role(OPERATOR) is Role.NOBODY and known.role("another-0123456789") is Role.OPERATOR
    assert known.of_cookie(login) is Role.NOBODY  # a login ends with its token
    file.unlink()
    assert known.role("another-0123456789") is Role.NOBODY and known.role("") is Role.NOBODY
    file.write_text("short\n")
    assert known.role("short") is Role.NOBODY
    file.write_text(OPERATOR)
    assert known.role(OPERATOR) is Role.OPERATOR
    assert [line.rpartition(": ")[2] for line in said] == [
        "No such file or directory", "a token has 16 to 512 characters", "is there again",
    ]  # fmt: skip
    assert not any(OPERATOR in line or "another" in line for line in said)


def test_a_login_ends_and_cannot_be_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, _ = made(
        tmp_path, monitor_viewer_token=VIEWER, monitor_hook_token=HOOK, monitor_operator_token=OPERATOR
    )
    login = known.cookie(VIEWER)
    assert VIEWER not in login and known.of_cookie(login) is Role.VIEWER
    version, expires, proof = login.split(".")
    for wrong in (
        "", ".", "..", f"{version}.{int(expires) + 1}.{proof}", f"{version}.{expires}.{proof[:-1]}g",
        f"2.{expires}.{proof}", f"{version}.{'9' * 400}.{proof}", f"{version}.²².{proof}", known.cookie(""),
        known.cookie(HOOK), "\ud800",
    ):  # fmt: skip
        assert known.of_cookie(wrong) is Role.NOBODY, wrong
    later = time.time() + tokens.LOGIN + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert known.of_cookie(login) is Role.NOBODY


def test_the_operators_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = tokens.prepare(settings(home))
    assert path is not None and path.stat().st_mode & 0o777 == 0o600
    token = path.read_text().strip()
    assert len(token) > 40 and tokens.prepare(settings(home)) == path and path.read_text().strip() == token
    assert Tokens(settings(home), print).role(token) is Role.OPERATOR
    assert [each.name for each in home.iterdir() if "monitor" in each.name] == [tokens.NAME]
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others"):
        tokens.prepare(settings(home))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"monitor_host": "0.0.0.0"}, "beyond this machine (0.0.0.0) only with tokens"),
        ({"monitor_host": "::"}, "beyond this machine (::) only with tokens"),
        ({"monitor_host": "example.org", "monitor_viewer_token": VIEWER}, "only with tokens"),
        ({"monitor_operator_token": "secret-short"}, "monitor_operator_token: a token has 16 to 512"),
        (
            {"monitor_viewer_token": "secret two words here"},
            "monitor_viewer_token: a token consists of ASCII",
        ),
        (
            {"monitor_hook_token": "secret-ünïcödé-long-enough"},
            "monitor_hook_token: a token consists of ASCII",
        ),
        (
            {"monitor_operator_token_file": "/nowhere/token"},
            "monitor_operator_token_file: /nowhere/token: No such",
        ),
        ({"monitor_viewer_token": VIEWER, "monitor_viewer_token_file": "/x"}, "exclude each other"),
    ],
)
def test_a_service_that_would_be_open_does_not_start(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        tokens.prepare(settings(tmp_path, **given))
    text = str(caught.value)
    assert message in text and "\n" not in text and "secret" not in text


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST.", "a.localhost", "::ffff:127.0.0.1"],
)
def test_this_machine_alone(host: str) -> None:
    assert tokens.is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "127.0.0.1.org", "2130706433", "0x7f.1"],
)
def test_not_this_machine_alone(host: str) -> None:
    assert not tokens.is_loopback(host)


def test_a_rate_lets_bursts_through_and_forgets_who_was_quiet() -> None:
    rates = Rates(10, 20)
    assert [rates.take("a", 0.0) for _ in range(20)] == [0.0] * 20
    assert rates.take("a", 0.0) == pytest.approx(0.1) and rates.take("b", 0.0) == 0.0
    assert rates.take("a", 0.1) == 0.0 and rates.take("a", 0.1) > 0
    assert rates.take("a", -50.0) > 0  # a clock that goes back gives nothing
    for number in range(10_000):
        rates.take(str(number), 1.0)
    assert len(rates._buckets) <= 4096
