"""Notifications of the browser: what the monitor decides, once, and only where a person has allowed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.browser import Browser
from tests.monitor.running import Running

ASKS: dict[str, Any] = {"notification_type": "permission_prompt", "message": "Claude needs Bash"}
#: Stands for the desktop behind the browser (which has none here): it writes down what it is to show.
DESKTOP = """
window.told = [];
window.Notification = class {
  static permission = "granted";
  constructor(title, options) { window.told.push([title, options.body, options.tag]); }
  addEventListener() {}
};
"""


def test_the_page_shows_what_the_monitor_tells_once(browser: Browser, start: Callable[..., Running]) -> None:
    monitor = start(COORD_MONITOR_NOTIFY="browser", COORD_MONITOR_NOTIFY_AFTER="0")
    browser.open(monitor.url)
    browser.js(DESKTOP)
    monitor.hook("UserPromptSubmit", prompt="the prompt")
    name = monitor.hook("Notification", **ASKS)["agent_id"]
    browser.sees("Claude needs Bash", "#needs")
    browser.until(lambda: monitor_told(monitor))
    assert browser.js("return window.told") == [], "nobody has turned it on here"
    browser.js("localStorage.setItem('coord.notify', 'on')")
    monitor.hook("UserPromptSubmit", prompt="the prompt")
    browser.until(lambda: browser.text("#needs").strip() == "Nobody needs you")
    monitor.hook("Notification", **ASKS)
    browser.until(lambda: len(browser.js("return window.told")) == 1)
    ((title, body, tag),) = browser.js("return window.told")
    assert (
        title == f"{name} waits for you" and "Claude needs Bash" in body and tag.startswith(f"asks-{name}-")
    )
    assert "the prompt" not in title + body


def monitor_told(monitor: Running) -> bool:
    """Whether it has told the pages of one occasion."""
    _, text, _ = monitor.request("GET", "/metrics")
    return b'coord_notifications_total{channel="browser",outcome="sent"} 1.0' in text
