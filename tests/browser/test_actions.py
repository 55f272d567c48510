"""What an operator does in the browser: by the token, asked for once, and with an outcome in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pool import view
from pool.claim import Caller
from pool.scripts import Pool
from pool.settings import Settings
from tests.browser.browser import Browser
from tests.monitor.running import Running

Submit = Callable[..., str]
Register = Callable[..., Caller]


@pytest.fixture
def token(monitor: Running, settings: Settings) -> str:
    """The operator's token: the monitor has made it, and says where."""
    return (Path(settings.home) / "monitor.token").read_text().strip()


def prove(browser: Browser, token: str) -> None:
    """Give the token that is asked for."""
    browser.find("#token[open] input").send_keys(token)
    browser.find("#token[open] button.main").click()


def toast(browser: Browser) -> str:
    """What was said last."""
    browser.until(lambda: browser.all(".toast"))
    return browser.text(".toast:last-child")


def test_a_task_is_submitted_and_its_worker_drained(
    browser: Browser, monitor: Running, token: str, pool: Pool, conn: redis.Redis, register: Register
) -> None:
    caller = register("w1")
    browser.open(monitor.url)
    browser.press("n")
    browser.find("#submit[open] textarea").send_keys("Say <b>hello</b>\nand nothing else")
    browser.find("#submit-name").send_keys("<script>window.pwned = 1</script>")
    browser.find("#submit[open] button.main").click()
    prove(browser, "wrong" + token)
    browser.until(lambda: "none of the monitor's" in browser.text("#token[open]"))
    prove(browser, token)
    browser.until(lambda: "is queued" in toast(browser))
    (task_id,) = view.latest_ids(conn, 0, 9)
    assert view.fields(conn, task_id)["prompt"] == "Say <b>hello</b>\nand nothing else"
    browser.find(".toast a").click()
    browser.sees("<script>window.pwned = 1</script>", "h1")
    # A worker takes it: the page says so by itself.
    handed = pool.claim(caller).handed
    assert handed is not None
    pool.confirm(caller, handed.claim)
    browser.sees("started")
    browser.open(f"{monitor.url}/sessions/w1")
    browser.find("[data-does=drain]").click()
    browser.find("#sure[open] button.main").click()
    assert toast(browser) == "w1 drains"  # (the token was asked for once)
    browser.until(lambda: view.worker(conn, "w1").draining)
    browser.until(lambda: browser.all("[data-undo]"))
    assert browser.js("return [window.pwned ?? 0, localStorage.length]") == [0, 0]
    browser.messages()  # (of the answer 401)


def test_what_cannot_be_done_is_said(
    browser: Browser, monitor: Running, token: str, conn: redis.Redis, submit: Submit, pool: Pool
) -> None:
    task_id = submit(title="one")
    browser.open(f"{monitor.url}/tasks/{task_id}")
    browser.find("[data-does=cancel]").click()
    browser.find("#sure[open] button:not(.main)").click()
    assert not browser.all("#token[open]")  # it was left
    browser.js("document.getElementById('main').addEventListener('click', () => 0)")
    button = browser.find("[data-does=cancel]")
    browser.js("sessionStorage.setItem('coord.token', arguments[0])", token)
    button.click()
    pool.cancel(task_id, "somebody was faster")
    browser.find("#sure[open] button.main").click()
    browser.until(lambda: "is canceled and cannot be cancelled" in toast(browser))
    browser.find("[data-does=retry]").click()
    browser.until(lambda: "queued again" in toast(browser))
    assert view.task(conn, task_id).status == "queued"
    browser.open(f"{monitor.url}/queues")
    browser.find("[data-does=pause]").click()
    browser.until(lambda: "paused" in toast(browser))
    browser.find("[data-does=resume]").click()
    browser.until(lambda: "goes on" in toast(browser))
    assert not conn.scard("pool:paused")
    browser.messages()  # (of the answer 409)
