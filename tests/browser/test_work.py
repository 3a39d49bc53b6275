"""Work of the page that lasts, and what interrupts it: cancel, reload, two tabs, a server that stops."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.page import PageUser
from tests.browser.test_page import long_pdf
from tests.demo.helpers import page_app
from tests.helpers.serving import running
from ziprerank_integrations.server import ServerSettings

pytestmark = pytest.mark.browser


def encoding(user: PageUser) -> Callable[[], bool]:
    return lambda: user.shows("#work") and "Encoding pages: " in user.text("#work-label")


def test_a_long_pdf_shows_progress_and_can_be_cancelled(user: PageUser, url: str) -> None:
    user.open(url)
    user.drop("long.pdf", long_pdf(400))
    user.until(encoding(user))
    first = user.one("#progress").get_property("value")
    user.until(lambda: user.one("#progress").get_property("value") > first)
    user.click("#cancel")
    user.until(lambda: user.text("#status") == "Cancelled." and not user.shows("#work"))
    done = user.text("#work-label")
    # The page is usable at once: the device is free again.
    user.click("#files button")
    user.use_examples()
    assert "of 400" in done and "annual_report.pdf" in user.text("#reranked")
    assert user.console() == []


def test_a_reload_during_the_work_starts_again(user: PageUser, url: str) -> None:
    user.open(url)
    user.drop("long.pdf", long_pdf(401))
    user.until(encoding(user))
    user.driver.refresh()
    user.until(lambda: user.all("#scorers input"))
    assert user.all("#files li") == []
    user.use_examples()
    assert user.console() == []


def test_files_that_are_added_while_pages_are_ranked(user: PageUser, url: str) -> None:
    user.open(url)
    user.one("#query").send_keys("Which page is it?")
    user.drop("long.pdf", long_pdf(200))
    user.until(encoding(user))
    user.click("#files button")  # a file can be removed during the work
    user.drop("a.pdf", long_pdf(31))
    user.drop("b.pdf", long_pdf(2))
    user.until(lambda: "33 pages ranked" in user.text("#status") and not user.shows("#work"))
    assert len(user.all("#files li")) == 2 and "all 33 pages" in user.text("#more")
    assert user.text("#problems") == "" and user.console() == []


def test_back_forward_and_a_slow_network(user: PageUser, url: str) -> None:
    user.open(url)
    user.use_examples()
    user.driver.get("about:blank")
    user.driver.back()
    user.until(lambda: user.all("#scorers input"))
    user.driver.execute_cdp_cmd("Network.enable", {})
    slow = {"offline": False, "latency": 300, "downloadThroughput": 60_000, "uploadThroughput": 60_000}
    user.driver.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    try:
        user.click("#examples")
        user.click("#submit")  # again, before the files are there
        user.ask("What does the roof cost?")
        assert len(user.all("#files li")) == 3 and "library_slides.pdf" in user.text("#first .card")
        user.until(lambda: user.all("#reranked .card img"))
        assert user.text("#problems") == "" and user.console() == []
    finally:
        fast = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        user.driver.execute_cdp_cmd("Network.emulateNetworkConditions", fast)
    user.driver.get("about:blank")
    user.driver.back()
    user.driver.forward()
    user.driver.back()
    user.until(lambda: user.all("#scorers input"))
    user.use_examples()


def test_two_tabs_at_once(user: PageUser, url: str) -> None:
    user.open(url)
    first = user.driver.current_window_handle
    user.driver.switch_to.new_window("tab")
    second = user.driver.current_window_handle
    user.open(url)
    user.drop("long.pdf", long_pdf(90))
    user.until(encoding(user))
    user.driver.switch_to.window(first)
    user.use_examples()  # while the other tab encodes
    user.driver.switch_to.window(second)
    user.until(lambda: "90 pages ready" in user.text("#status"))
    assert "annual_report.pdf" not in user.text("#files")
    user.driver.close()
    user.driver.switch_to.window(first)
    user.ask("What does the roof cost?")
    assert "long.pdf" not in user.text("#reranked")


def test_a_server_that_stops_and_starts_again(user: PageUser) -> None:
    settings = ServerSettings()
    with running(page_app(settings)) as address:
        user.open(address)
        user.use_examples()
        port = int(address.rpartition(":")[2])
    user.one("#query").send_keys("\ue007")
    user.until(lambda: "The server is not reachable" in user.text("#problems"))
    assert user.shows("#results") and not user.shows("#work")
    with running(page_app(settings), port=port):
        user.ask("What does the roof cost?")  # the files are added again
        assert "library_slides.pdf" in user.text("#first .card")
        user.driver.get("about:blank")
