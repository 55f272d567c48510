"""What the doctor says of the monitor."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.running import Running
from tests.redis.doctor.well import Well
from tests.server import free_port

ONLY = ("--only", "monitor")


@pytest.fixture
def other() -> Iterator[str]:
    """A service that is no monitor."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def level(well: Well, check: str, code: int = 0) -> str:
    (found,) = [each["level"] for each in well.findings(*ONLY, code=code) if each["check"] == check]
    return str(found)


def test_without_a_monitor_and_hooks_for_it_all_is_well(well: Well) -> None:
    well.finds_nothing(*ONLY)
    assert (level(well, "monitor.runs"), level(well, "monitor.answers")) == ("note", "note")
    well.env(COORD_MONITOR_ENABLED="0")
    assert level(well, "monitor.runs") == "note"


def test_hooks_that_report_to_nobody_and_to_a_monitor(well: Well, tmp_path: Path) -> None:
    well.env(COORD_MONITOR_PORT=str(free_port()))
    well.coord("hooks", "install", "--monitor")
    said = well.finds("monitor.answers", argv=ONLY, seen="where nobody answers (Connection refused)")
    assert "coord monitor (or: coord hooks uninstall --monitor)" in said

    running = Running(tmp_path, port=int(os.environ["COORD_MONITOR_PORT"])).start()
    try:
        well.finds_nothing(*ONLY)
        assert (level(well, "monitor.runs"), level(well, "monitor.answers")) == ("ok", "ok")
    finally:
        running.close()


def test_hooks_that_report_to_something_else(well: Well, other: str) -> None:
    well.env(COORD_MONITOR_URL=other)
    well.coord("hooks", "install", "--monitor")
    well.finds("monitor.answers", argv=ONLY, seen="something else answers")


def test_files_of_tokens(well: Well) -> None:
    token = well.home / "monitor.token"
    token.write_text("a-token-of-sixteen-characters\n")
    token.chmod(0o644)
    well.finds("monitor.tokens", argv=ONLY, seen="can be read by others", remedy=f"chmod 600 {token}")
    token.chmod(0o600)
    assert level(well, "monitor.tokens") == "ok"
    hook = well.folder / "hook.token"
    well.env(COORD_MONITOR_HOOK_TOKEN_FILE=str(hook))
    well.finds("monitor.tokens", argv=ONLY, seen="No such file")
    hook.write_text("")
    hook.chmod(0o640)
    well.finds("monitor.tokens", argv=ONLY, seen="is empty")
    hook.write_text("another-token-of-many-characters")
    assert [each["level"] for each in well.findings(*ONLY, code=0) if each["check"] == "monitor.tokens"] == [
        "ok",
        "ok",
    ]
