"""Take the pictures of the page for the README and the guide: python scripts/make_screenshots.py."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = sorted((DOCS.parent / "examples" / "data").glob("*.pdf"))
QUESTION = "What was the revenue in 2023?"
SIZE = (1400, 1240)
WAIT = 600.0


def main() -> None:
    """Start the command, ask the question, and save both pictures."""
    command = [
        sys.executable,
        "-c",
        "from ziprerank_integrations.cli import main; main()",
        "show",
        "--no-open",
    ]
    server = subprocess.Popen(
        [*command, "--timeout", "600", *map(str, EXAMPLES)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        url = next(match[0] for line in server.stderr if (match := re.search(r"http://\S+/", line)))
        take(url)
    finally:
        server.terminate()
        server.wait()


def take(url: str) -> None:
    """Save the pictures of the page at a URL."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        size = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(url)

        def wait(condition: str) -> None:
            end = time.monotonic() + WAIT
            while not driver.execute_script(f"return {condition}"):
                assert time.monotonic() < end, condition
                time.sleep(0.2)

        wait("document.getElementById('status').textContent.includes('ready after')")
        driver.find_element("id", "query").send_keys(QUESTION, "\ue007")
        wait("!document.getElementById('code').hidden")
        for _ in range(10):  # again, from the cache, until other work of the machine does not slow it down
            driver.execute_script("document.getElementById('status').textContent = ''")
            driver.find_element("id", "query").send_keys("\ue007")
            wait("document.getElementById('status').textContent.includes(' ranked in ')")
            if re.search(r" ranked in [01]\.", driver.find_element("id", "status").text):
                break
        else:
            raise RuntimeError("ranking takes 2 s or more: the machine is not idle")
        wait(
            "[...document.querySelectorAll('.card:nth-child(-n+3) .thumb')].every((item) => item.firstChild)"
        )
        save(driver, "show.png")
        driver.find_element("css selector", "#reranked .thumb").click()
        wait("document.getElementById('layer').complete && !document.getElementById('layer').hidden")
        time.sleep(1)
        save(driver, "show_evidence.png")
    finally:
        driver.quit()


def save(driver: webdriver.Chrome, name: str) -> None:
    """Save what the browser shows, in 128 colours."""
    image = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


if __name__ == "__main__":
    main()
