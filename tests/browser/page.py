"""A user of the page: finds elements, waits, drops files."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WAIT = 90.0
_DROP = """
const transfer = new DataTransfer();
for (const [name, data] of arguments[0]) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  transfer.items.add(new File([bytes], name));
}
document.getElementById("drop").dispatchEvent(
  new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
"""


class PageUser:
    """A user of the page.

    Args:
        driver: Selenium's driver.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 1600, height: int = 1000, dark: bool = False) -> None:
        """Open the page at a size of the window, and wait for its first session."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get_log("browser")
        self.driver.get(url)
        self.until(lambda: self.all("#scorers input"))

    def until(self, condition: Callable[[], Any], seconds: float = WAIT) -> Any:
        """Wait until a condition is true; return its value."""
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, f"not within {seconds} s; {self.state()}"
            time.sleep(0.05)

    def state(self) -> dict[str, Any]:
        """Return what the page shows, for the message of a failed test."""
        names = ("status", "problems", "query-problem", "work-label")
        return {name: self.text(f"#{name}") for name in names}

    def all(self, selector: str) -> list[Any]:
        """Return the elements of a CSS selector."""
        elements: list[Any] = self.driver.find_elements("css selector", selector)
        return elements

    def one(self, selector: str) -> Any:
        """Return the one element of a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """Return the text of an element, also of one that is not visible."""
        return str(self.one(selector).get_property("innerText"))

    def shows(self, selector: str) -> bool:
        """Return whether an element is visible."""
        return bool(self.one(selector).is_displayed())

    def click(self, selector: str) -> None:
        """Click an element."""
        self.one(selector).click()

    def script(self, code: str, *arguments: Any) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(code, *arguments)

    def choose(self, path: Path) -> None:
        """Choose a file in the dialog of the button."""
        self.one("#input").send_keys(str(path))

    def drop(self, name: str, data: bytes) -> None:
        """Drop a file on the page."""
        self.drop_all([(name, data)])

    def drop_all(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Drop several files on the page at once."""
        self.script(_DROP, [[name, base64.b64encode(data).decode()] for name, data in files])

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def ask(self, question: str) -> None:
        """Type a question, press Enter and wait for the ranking of it."""
        field = self.one("#query")
        field.clear()
        self.script("document.getElementById('status').textContent = ''")
        field.send_keys(question, "\ue007")
        self.until(lambda: " ranked in " in self.text("#status"))

    def use_examples(self) -> None:
        """Add the example files, and wait for the ranking of the example question."""
        self.click("#examples")
        self.until(lambda: " ranked in " in self.text("#status"))
        self.until(lambda: self.shows("#code"))

    def names(self, order: str = "reranked") -> list[str]:
        """Return file and page of the cards of an order."""
        cards = self.all(f"#{order} .card")
        return [", ".join(card.get_property("innerText").split("\n")[1:4]) for card in cards]

    def console(self) -> list[str]:
        """Return the errors on the browser's console."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
