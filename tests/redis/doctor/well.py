"""A healthy installation, for faults to be planted in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from coordinator.doctor import examine
from coordinator.doctor import hooks as doctor_hooks
from pool import connect
from pool import settings as settings_module
from tests.redis.coord import Coord
from tests.redis.test_bad_input import keyspace
from tests.server import Server

#: A busy machine makes hooks slow, which is no fault of theirs.
PATIENT = ("--slow", "60s")
BAD = ("warning", "wrong")


class Well:
    """The installation: its Redis, its folder, and what the doctor says of it."""

    def __init__(self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.folder = folder / "project"
        self.folder.mkdir()
        self.home = folder / "home"
        self.user = folder / "user"
        self.user.mkdir()
        self.monkeypatch = monkeypatch
        self.settings_file = self.folder / ".claude" / "settings.json"
        self.client = folder / "bin" / "claude"
        self.client.parent.mkdir()
        self.answers_version("2.1.329 (Claude Code)")
        trusted = {
            "hasCompletedOnboarding": True,
            "projects": {str(self.folder): {"hasTrustDialogAccepted": True}},
        }
        (self.user / ".claude.json").write_text(json.dumps(trusted))
        monkeypatch.setattr(doctor_hooks, "MANAGED", folder / "managed")
        self.env(COORD_REDIS_URL=server.url, COORD_HOME=str(self.home), HOME=str(self.user),
                 ANTHROPIC_API_KEY="made-up")  # fmt: skip
        monkeypatch.setenv("PATH", f"{self.client.parent}:{os.environ['PATH']}")
        monkeypatch.chdir(self.folder)
        self.coord = Coord(self.folder)
        self.conn = redis.Redis.from_url(server.url)
        self.ask: Any = self.conn.execute_command
        self.lead()
        self.coord("hooks", "install", "--worker")

    def env(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def answers_version(self, text: str) -> None:
        """A client that prints this version."""
        self.client.write_text(f"#!/bin/sh\necho '{text}'\n")
        self.client.chmod(0o755)

    def lead(self) -> None:
        """A coordinator's lock, for long."""
        settings = settings_module.load()
        assert connect.pool(settings, self.conn).lead("coordinator-of-the-test", 600)[0]

    # -- the doctor --------------------------------------------------------------------------------------

    def findings(self, *argv: str, code: int) -> list[dict[str, Any]]:
        """What `coord doctor --json` finds."""
        said = self.coord.json("doctor", *PATIENT, *argv, code=code)
        assert said["fine"] is (code == 0)
        found: list[dict[str, Any]] = said["findings"]
        return found

    def finds(self, *checks: str, argv: tuple[str, ...] = (), seen: str = "", remedy: str = "") -> str:
        """The doctor finds exactly this, in JSON and in text, each with its remedy; all of what it said."""
        found = [each for each in self.findings(*argv, code=1) if each["level"] in BAD]
        assert sorted({each["check"] for each in found}) == sorted(set(checks)), found
        assert all(each["remedy"] for each in found), found
        said = "\n".join(f"{each['seen']} -> {each['remedy']}" for each in found)
        assert seen in said and remedy in said, said
        only = ",".join(sorted({check.partition(".")[0] for check in checks}))
        text = self.coord("doctor", *PATIENT, *argv, "--quiet", "--only", only, code=1).out
        shown = [line.split()[:2] for line in text.splitlines()]
        for check in checks:
            assert [level for level in BAD if [level, check] in shown], text
        assert seen in text and remedy in text, text
        return said

    def finds_nothing(self, *argv: str) -> list[dict[str, Any]]:
        """All is well; everything that was said."""
        found = self.findings(*argv, code=0)
        assert [each for each in found if each["level"] not in ("ok", "note")] == []
        return found

    def everything(self) -> dict[tuple[int, bytes], Any]:
        """Everything in every database, and whether it stays."""
        found: dict[tuple[int, bytes], Any] = {}
        for number in range(16):
            self.ask("SELECT", number)
            for key, value in keyspace(self.conn).items():
                found[(number, key)] = value, self.conn.ttl(key) == -1
        self.ask("SELECT", 0)
        return found

    def close(self) -> None:
        self.coord.close()
        self.conn.close()


CHECKS = {check.name for check in examine.CHECKS}


def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...] = ()) -> Iterator[Well]:
    """A healthy installation on a server of its own; the server may get other options."""
    with Server(tmp_path / "redis", appendonly=True, extra=extra) as server:
        made = Well(server, tmp_path, monkeypatch)
        yield made
        made.close()
