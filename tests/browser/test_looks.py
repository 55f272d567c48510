"""Every page: narrow enough for a phone, legible in light and dark, and usable by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from pool.settings import Settings
from tests.browser import story
from tests.browser.browser import DESKTOP, PHONE, Browser
from tests.monitor.running import Running

CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")


def wrong(browser: Browser, check: str, *given: int) -> list[str]:
    """What a check of checks.js finds on the page."""
    browser.js(CHECKS)
    found: list[str] = browser.js("return window.checks[arguments[0]](...arguments[1])", check, list(given))
    return found


@pytest.fixture
def pages(settings: Settings, conn: redis.Redis, monitor: Running) -> dict[str, str]:
    """A busy pool; its pages."""
    finished, failed, session = story.tell(settings, conn, monitor, 12)
    paths = ("/", "/tasks", "/queues?window=7d", "/costs", f"/tasks/{finished}", f"/tasks/{failed}",
             f"/sessions/{session}", "/sessions/worker-1", "/docs")  # fmt: skip
    return {path: monitor.url + path for path in paths}


def test_every_page_is_narrow_legible_and_named(browser: Browser, pages: dict[str, str]) -> None:
    for path, url in pages.items():
        browser.size(*PHONE)
        browser.driver.get(url)
        assert wrong(browser, "wide", PHONE[0]) == [], path
        browser.size(*DESKTOP)
        assert wrong(browser, "nameless") == [], path
        for scheme in ("light", "dark"):
            browser.media(scheme)
            assert wrong(browser, "faint") == [], (path, scheme)


def test_dialogs_are_legible(browser: Browser, monitor: Running) -> None:
    browser.open(monitor.url)
    for scheme in ("light", "dark"):
        browser.media(scheme)
        for name in ("help", "token", "sure", "tell", "submit"):
            with shown(browser, name):
                assert wrong(browser, "faint") == [], (name, scheme)


@contextmanager
def shown(browser: Browser, name: str) -> Iterator[None]:
    browser.js("document.getElementById(arguments[0]).showModal()", name)
    yield
    browser.js("document.getElementById(arguments[0]).close()", name)


def focused(browser: Browser) -> str:
    return str(browser.js("return document.activeElement.textContent || document.activeElement.id"))


def test_the_keyboard_is_enough(browser: Browser, start: Callable[..., Running]) -> None:
    monitor = start()
    for number in range(3):
        monitor.hook("SessionStart", f"c{number}", source="startup")
    browser.open(monitor.url)
    names = [each.text for each in browser.all("[data-row]")]
    browser.press("tab")
    assert focused(browser) == "Skip to the content"
    browser.press("j")
    assert focused(browser) == names[0]
    browser.press("j", "j", "k")
    assert focused(browser) == names[1]
    # The focus stays where it is when the page changes under it.
    monitor.hook("UserPromptSubmit", "c0", prompt="go")
    monitor.hook("SessionStart", "c9", source="startup")
    browser.until(lambda: len(browser.all("tr[data-key]")) == 4)
    assert focused(browser) == names[1]
    browser.press("enter")
    browser.until(lambda: browser.driver.current_url == f"{monitor.url}/sessions/{names[1]}")
    browser.press("g", "s")
    browser.until(lambda: browser.driver.current_url == f"{monitor.url}/")
    browser.until(lambda: browser.js("return document.documentElement.classList.contains('js')"))
    browser.press("?")
    browser.find("#help[open]")
    browser.press("escape")
    browser.until(lambda: not browser.all("#help[open]"))
    browser.press("/")
    assert focused(browser) == "q"
    browser.press("/work c9")
    browser.until(lambda: len(browser.all("tr[data-key]")) <= 1)
    assert browser.driver.current_url.endswith("?q=%2Fwork+c9")
    browser.press("escape")
    assert focused(browser) != "q"
    browser.find("[data-does=theme]").click()
    assert browser.js("return getComputedStyle(document.body).colorScheme") in ("dark", "light dark")
    browser.open(monitor.url)
    assert browser.js("return document.documentElement.dataset.theme") == "dark"
    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(15, 17, 19)"


def test_it_is_read_without_scripts(monitor: Running) -> None:
    name = monitor.hook("SessionStart", source="startup")["agent_id"]
    monitor.hook("UserPromptSubmit", prompt="go")
    for path in ("/", "/?q=work&state=working&sort=-since", f"/sessions/{name}"):
        status, page, _ = monitor.request("GET", path)
        assert status == 200 and name in page.decode() and "working" in page.decode()
    assert "No session is like that" in monitor.request("GET", "/?q=nothing")[1].decode()
    for path in ("/sessions/none", "/tasks/none", "/static/none.css", "/static/..%2Fshell.py"):
        assert monitor.request("GET", path)[0] == 404
    for path in (
        "/?page=-1&sort=none&state=none",
        "/tasks?first=x&status=x",
        "/queues?window=x",
        "/costs?days=x&by=x",
    ):
        assert monitor.request("GET", path)[0] == 200
