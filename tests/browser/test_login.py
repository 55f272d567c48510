"""A browser beyond the monitor's machine logs in, looks, and logs out."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser.browser import Browser
from tests.monitor.running import Running

VIEWER, OPERATOR = "viewer-0123456789ab", "operator-0123456789"


def test_a_browser_logs_in_looks_and_logs_out(browser: Browser, start: Callable[..., Running]) -> None:
    monitor = start(
        "--host", "0.0.0.0", COORD_MONITOR_OPERATOR_TOKEN=OPERATOR, COORD_MONITOR_VIEWER_TOKEN=VIEWER
    )  # fmt: skip
    browser.driver.get(f"{monitor.url}/queues")
    assert browser.driver.current_url == f"{monitor.url}/login?next=/queues"
    browser.find("#token").send_keys("nonsense-0123456789\n")
    assert browser.find("[role=alert]").text == "This token is none of the monitor's."
    assert [each for each in browser.messages() if "401" not in each] == []
    browser.find("#token").send_keys(f"{VIEWER}\n")
    browser.until(lambda: browser.driver.current_url == f"{monitor.url}/queues")
    browser.until(lambda: browser.find("#link").text == "live")
    browser.driver.get(f"{monitor.url}/docs")
    browser.find("form[action='/logout'] button").click()
    browser.until(lambda: browser.driver.current_url == f"{monitor.url}/login")
    browser.driver.get(monitor.url)
    assert browser.driver.current_url == f"{monitor.url}/login?next=/"
