"""What the browser tests do with a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selenium.webdriver import Chrome

from processes import wait_for


class Page:
    """The tab of a browser. Conditions are polled, with deadlines; nothing sleeps for a while and hopes."""

    def __init__(self, browser: Chrome) -> None:
        self._browser = browser
        # Lost connections are on the console, too: for tests that mean to lose them.
        self.loses_connections = False

    def open(self, url: str) -> None:
        self._browser.get(url)

    def js(self, expression: str) -> Any:
        """The value of an expression."""
        return self._browser.execute_script(f"return ({expression})")

    def until(self, condition: str | Callable[[], object], timeout: float = 10.0) -> None:
        """Waits until a JavaScript expression or a function has a true value."""
        if isinstance(condition, str):
            wait_for(lambda: self.js(condition), condition, timeout)
        else:
            wait_for(condition, "a condition of the page", timeout)

    def text(self, testid: str) -> str:
        return str(self.js(f"document.querySelector('[data-testid={testid}]').textContent"))

    def data(self, testid: str) -> dict[str, str]:
        """The data-* attributes of an element."""
        return dict(self.js(f"({{...document.querySelector('[data-testid={testid}]').dataset}})"))

    def click(self, testid: str) -> None:
        self._browser.find_element("css selector", f"[data-testid={testid}]").click()

    def type(self, form: str, name: str, text: str) -> None:
        field = self._browser.find_element("css selector", f"[data-testid={form}] [name={name}]")
        field.clear()
        field.send_keys(text)

    def submit(self, form: str) -> None:
        self._browser.find_element("css selector", f"[data-testid={form}]").submit()

    def console(self) -> list[str]:
        """What is on the console and should not be, since the last call."""
        return [
            f"{entry['level']} {entry['source']}: {entry['message']}"
            for entry in self._browser.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
            and not (self.loses_connections and entry["source"] == "network")
        ]
