"""The page of sessions in a real browser: it follows what happens, and shows what was typed as what it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import redis

from pool import events
from pool.claim import Caller
from pool.scripts import Pool
from tests.browser.browser import Browser
from tests.monitor.running import Running

SCRIPT = "<script>window.pwned = 1; alert(1)</script><img src=x onerror='window.pwned = 1'>"

Submit = Callable[..., str]
Register = Callable[..., Caller]


def rows(browser: Browser) -> dict[str, str]:
    """The state of each session, as the page has it."""
    found: dict[str, str] = browser.js(
        "return Object.fromEntries([...document.querySelectorAll('tr[data-key]')]"
        ".map(row => [row.dataset.key, row.querySelector('.state').textContent.trim()]))"
    )
    return found


def is_so(browser: Browser, wanted: dict[str, str]) -> bool:
    return rows(browser) == wanted


def test_it_shows_what_happens_without_a_reload(browser: Browser, monitor: Running) -> None:
    browser.open(monitor.url)
    browser.sees("No session has been heard of yet")
    browser.js("window.marked = 1")
    name = monitor.hook("SessionStart", source="startup")["agent_id"]
    browser.until(lambda: rows(browser) == {name: "starting"})
    for event, fields, state in (
        ("UserPromptSubmit", {"prompt": "go"}, "working"),
        ("PreToolUse", {"tool_name": "Bash", "tool_input": {}, "tool_use_id": "t1"}, "tool"),
        ("Stop", {}, "stopped"),
    ):
        monitor.hook(event, **fields)
        wanted = {name: state}
        browser.until(partial(is_so, browser, wanted))
    monitor.hook("UserPromptSubmit", prompt="go on")
    monitor.hook("Notification", notification_type="permission_prompt", message="Claude needs Bash")
    browser.sees("Claude needs Bash", "#needs")
    assert browser.driver.title == "(1) Sessions · coord"
    assert browser.text("#said") == f"One session needs you: {name}"
    monitor.hook("SessionEnd", reason="prompt_input_exit")
    browser.until(lambda: browser.text("#needs").strip() == "Nobody needs you")
    assert browser.driver.title == "Sessions · coord"
    assert browser.js("return window.marked") == 1


def test_a_monitor_that_is_killed_and_started_again_has_lost_nothing(
    browser: Browser, start: Callable[..., Running], conn: redis.Redis
) -> None:
    monitor = start()
    monitor.hook("SessionStart", session="first", source="startup")
    browser.open(monitor.url)
    # The page's own connection, and one beside it that keeps what it hears.
    browser.js(
        "window.marked = 1; window.heard = []; const source = new EventSource('/events');"
        "for (const kind of ['session', 'pool', 'reset'])"
        "  source.addEventListener(kind, (event) => window.heard.push(event.lastEventId));"
        "window.source = source"
    )
    browser.until(lambda: browser.js("return window.source.readyState") == 1)
    begun = events.newest(conn)
    monitor.hook("UserPromptSubmit", session="first", prompt="go")
    browser.until(lambda: browser.js("return window.heard.length") == 1)
    monitor.kill()
    browser.until(lambda: browser.all("#lost:not([hidden])"))
    again = start(port=monitor.port)
    for number in range(5):
        again.hook("SessionStart", session=f"later-{number}", source="startup")
    browser.until(lambda: len(rows(browser)) == 6)
    browser.until(lambda: not browser.all("#lost:not([hidden])"))
    every = [row["id"] for row in events.latest(conn, 1000)[::-1] if row["id"] > begun]
    browser.until(lambda: browser.js("return window.heard.length") >= len(every))
    assert browser.js("return window.heard") == every
    assert browser.js("return window.marked") == 1
    browser.messages()  # (of the connection that was refused)


def test_what_was_typed_is_shown_as_what_it_is(
    browser: Browser, monitor: Running, pool: Pool, submit: Submit, register: Register
) -> None:
    caller = register("w1")
    task_id = submit(SCRIPT + "\u202eabc", title=SCRIPT + " \u202edna \u043f\u0440\u0438\u0432\u0435\u0442")
    handed = pool.claim(caller).handed
    assert handed is not None
    pool.confirm(caller, handed.claim)
    pool.beat(caller, handed.claim, SCRIPT)
    monitor.hook("SessionStart", source="startup", model=SCRIPT, cwd=f"/{SCRIPT}")
    monitor.hook("UserPromptSubmit", prompt="go")
    monitor.hook("Notification", notification_type="permission_prompt", message=SCRIPT, title=SCRIPT)
    paths = ("/", f"/?q={SCRIPT}", "/tasks", f"/tasks/{task_id}", "/sessions/w1", "/queues", "/tasks/none")
    for path in paths:
        browser.open(monitor.url + path)
        assert not browser.js("return window.pwned || document.querySelector('main script, main img')")
        if path in ("/", f"/tasks/{task_id}"):
            browser.sees(SCRIPT)
            browser.sees("dna привет" if path == "/" else "·abc")
            assert "\u202e" not in browser.text()
    browser.messages()  # (of the answer 404)
