"""A browser for all tests, and the real service on the test's Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browser import Browser
from tests.monitor.conftest import monitor as monitor
from tests.monitor.conftest import start as start


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests. A missing one fails; it never skips."""
    made = Browser(tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser, without what the last test left. The page of a test gives it nothing to complain of."""
    chromium.fresh()
    yield chromium
    complaints = chromium.messages()
    chromium.driver.get("about:blank")
    # (The monitor of a test may have ended before the page that follows it.)
    assert not [each for each in complaints if "/events - Failed to load" not in each]
