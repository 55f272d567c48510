"""Pictures of every page, to be looked at: ``python -m tests.browser.screenshots DIR [SESSIONS]``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import redis

from pool import settings as settings_module
from tests.browser import story
from tests.browser.browser import DESKTOP, PHONE, Browser
from tests.monitor.running import Running
from tests.server import Server

LOOKS = (
    ("light", DESKTOP, "light"), ("dark", DESKTOP, "dark"),
    ("phone", PHONE, "light"), ("phone-dark", PHONE, "dark"),
)  # fmt: skip


def main(folder: str, sessions: str = "20") -> None:
    """Start a pool of its own, fill it, and take the pictures."""
    target = Path(folder).resolve()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Server(Path(scratch) / "redis") as server:
        os.environ |= {"COORD_REDIS_URL": server.url, "COORD_HOME": f"{scratch}/home"}
        settings = settings_module.load()
        monitor, browser = Running(Path(scratch)), Browser(Path(scratch) / "chromium")
        try:
            monitor.start()
            with redis.Redis.from_url(server.url) as connection:
                finished, failed, session = story.tell(settings, connection, monitor, int(sessions))
            pages = {
                "sessions": "/", "session": f"/sessions/{session}", "worker": "/sessions/worker-1",
                "tasks": "/tasks", "task": f"/tasks/{finished}", "failed": f"/tasks/{failed}",
                "queues": "/queues?window=7d", "queues-24h": "/queues", "costs": "/costs", "docs": "/docs",
            }  # fmt: skip
            for name, size, scheme in LOOKS:
                browser.size(*size)
                browser.media(scheme)
                for page, path in pages.items():
                    shoot(browser, monitor.url + path, target / f"{page}-{name}.png", size)
        finally:
            browser.close()
            monitor.close()


def shoot(browser: Browser, url: str, target: Path, size: tuple[int, int]) -> None:
    """Take one picture, as long as the page is (within bounds)."""
    browser.driver.get(url)
    browser.until(lambda: browser.js("return document.readyState") == "complete")
    high = min(2400, browser.js("return document.documentElement.scrollHeight"))
    browser.size(size[0], max(size[1], high))
    browser.driver.save_screenshot(str(target))
    browser.size(*size)
    wide = browser.js("return document.documentElement.scrollWidth")
    note = "" if wide <= size[0] else f": {wide} px wide, which is too much"
    print(f"{target.name}{note}")
    for message in browser.messages():
        print(f"  {message}")


if __name__ == "__main__":
    main(*sys.argv[1:])
