"""One headless Chromium per module, and the demo's two servers for all of them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from pages import Page
from processes import running, wait_for


def program(variable: str, name: str) -> str:
    found = shutil.which(os.environ.get(variable, name))
    if found is None:
        pytest.fail(f"{name} is not installed: run scripts/system-deps.sh, or set {variable}")
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("CHROMIUM", "chromium")
    for argument in (
        "--headless=new",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-gpu",
        "--disable-sync",
        "--no-first-run",
        "--no-proxy-server",
        "--window-size=1400,1900",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Chromium's sandbox does not work for root.
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(program("CHROMEDRIVER", "chromedriver")))
    try:
        driver.set_page_load_timeout(15)
        driver.set_script_timeout(10)
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(browser: Chrome) -> Iterator[Page]:
    """The browser's tab. Its console must be empty after the test."""
    page = Page(browser)
    page.console()
    yield page
    complaints = page.console()
    # Closes its streams.
    page.open("about:blank")
    assert complaints == []


@pytest.fixture(scope="session")
def demo() -> Iterator[dict[str, str]]:
    """The addresses of the demo's servers, by name."""
    command = [sys.executable, "examples/demo/run.py", "--fastapi-port=0", "--express-port=0"]
    with running(command) as child:

        def addresses() -> dict[str, str]:
            assert child.process.poll() is None, child.output()
            found = dict(
                re.findall(r"^ +(FastAPI|Express) +(http://\S+)$", child.output(), re.MULTILINE)
            )
            return found if len(found) == 2 else {}

        yield wait_for(addresses, "the demo's addresses", timeout=30)
