"""A real browser (Debian's chromium), driven by its own driver."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

#: What is waited for comes at once; a loaded machine takes longer (seconds).
PATIENCE = 20.0
DESKTOP, PHONE = (1360, 950), (360, 800)


class Browser:
    """One tab."""

    def __init__(self, folder: Path) -> None:
        """Start it.

        Raises:
            RuntimeError: There is no chromium or no driver of its. (The tests fail then; they never skip.)
        """
        programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
        if None in programs:
            raise RuntimeError("chromium is missing: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = str(programs[0])
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--lang=en-GB", f"--user-data-dir={folder}",
        ):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(programs[1])))
        self.driver.set_page_load_timeout(PATIENCE)
        self.driver.set_script_timeout(PATIENCE)

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def fresh(self) -> None:
        """Forget what the last test left: tabs, storage, messages."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.get("about:blank")
        self.size(*DESKTOP)
        self.media()
        self.messages()

    def size(self, width: int, height: int) -> None:
        """The window's inner size (CSS pixels)."""
        given = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", given)

    def media(self, scheme: str = "light", motion: str = "no-preference") -> None:
        """What the reader's system prefers."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str) -> None:
        """Go there, and wait until the page's script runs."""
        self.driver.get(url)
        self.until(lambda: self.js("return document.documentElement.classList.contains('js')"))

    def js(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, wanted: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait until it is so; what it is."""

        def look(_: object) -> Any:
            try:
                return wanted()
            except StaleElementReferenceException:
                return False

        try:
            return WebDriverWait(self.driver, seconds, 0.05).until(look)
        except TimeoutException:
            raise AssertionError(f"not so within {seconds:g} s; the page says:\n{self.text()}") from None

    def find(self, selector: str) -> WebElement:
        """The element, once it is there."""
        found: WebElement = self.until(lambda: next(iter(self.all(selector)), None))
        return found

    def all(self, selector: str) -> list[WebElement]:
        """Elements that are there now."""
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def text(self, selector: str = "body") -> str:
        """What stands there for a person to read."""
        found = self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        return str(found)

    def sees(self, text: str, selector: str = "main") -> None:
        """Wait until that text stands there."""
        self.until(lambda: text in self.text(selector))

    def press(self, *keys: str) -> None:
        """Type, wherever the focus is."""
        for key in keys:
            ActionChains(self.driver).send_keys(getattr(Keys, key.upper(), key)).perform()

    def messages(self) -> list[str]:
        """What the browser complained of since the last look: of scripts, of the policy, of loading."""
        found: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in found if each["level"] in ("SEVERE", "WARNING")]
