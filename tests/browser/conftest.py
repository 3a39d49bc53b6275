"""Chromium without a window, and a server with the page. Selenium is imported in the fixture only."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.page import PageUser
from tests.demo.helpers import page_app
from tests.helpers.serving import running
from ziprerank_integrations.server import ServerSettings

_AXE = "axe-core@4.14.1"


@pytest.fixture(scope="package")
def url() -> Iterator[str]:
    """The address of a server with the page."""
    with running(page_app(ServerSettings(max_body_bytes=20_000_000))) as address:
        yield address


@pytest.fixture(scope="package")
def user() -> Iterator[PageUser]:
    """A browser; each test opens the page in it."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.fail("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield PageUser(chrome)
    chrome.quit()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which checks accessibility, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "pack", "--json", "--silent", _AXE]
    try:
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.fail(f"{_AXE} cannot be fetched with npm: {error}")
    archive: Path = folder / json.loads(packed.stdout)[0]["filename"]
    with tarfile.open(archive) as tar:
        source = tar.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()
