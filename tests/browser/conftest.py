"""One headless Chromium per module, and servers to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from pages import Page


def program(variable: str, name: str) -> str:
    found = shutil.which(os.environ.get(variable, name))
    if found is None:
        pytest.fail(f"{name} is not installed: run scripts/system-deps.sh, or set {variable}")
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = program("CHROMIUM", "chromium")
    for argument in (
        "--headless=new",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
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
    driver = webdriver.Chrome(options, Service(program("CHROMEDRIVER", "chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The browser's tab. After the test: nothing may be on its console, and its streams are closed."""
    yield Page(browser)
    expected = request.node.get_closest_marker("console")
    entries = browser.get_log("browser")
    browser.get("about:blank")
