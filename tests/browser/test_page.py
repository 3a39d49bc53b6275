"""The page in a browser: the example end to end, files of all kinds, keyboard, narrow screen, axe."""

from __future__ import annotations

import io
from pathlib import Path

import pymupdf
import pytest
from PIL import Image, ImageDraw

from tests.browser.page import PageUser

pytestmark = pytest.mark.browser
TAB, ENTER, ESCAPE, RIGHT, LEFT, HOME = "\ue004", "\ue007", "\ue00c", "\ue014", "\ue012", "\ue011"


@pytest.fixture(scope="session")
def scan() -> bytes:
    image = Image.new("RGB", (300, 400), "white")
    ImageDraw.Draw(image).text((20, 20), "Revenue in 2023: 12 crowns", fill="black")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def long_pdf(pages: int) -> bytes:
    with pymupdf.open() as document:
        for number in range(pages):
            page = document.new_page(width=200, height=280)
            page.insert_text((20, 40), f"Page {number} of a long report", fontsize=9)
        return bytes(document.tobytes())


def test_the_example_question_end_to_end(user: PageUser, url: str) -> None:
    user.open(url)
    user.use_examples()
    assert user.one("#query").get_property("value") == "What was the revenue in 2023?"
    assert [chip.text.split("\n")[0] for chip in user.all("#files .name")] == [
        "annual_report.pdf",
        "house_file.pdf",
        "library_slides.pdf",
    ]
    assert len(user.all("#first .card")) == len(user.all("#reranked .card")) == 10
    assert "page 7" in user.text("#first .card")
    assert len(user.all("#lines path")) >= 10
    user.until(lambda: user.all("#reranked .card:first-child img"))
    assert user.script("return document.querySelector('#reranked img').naturalWidth") > 100
    cost = user.text("#cost")
    assert "Tokens" in cost and "Pages from the cache" in cost and "Language" in cost and "Total" in cost
    user.click("#more")
    assert len(user.all("#reranked .card")) == 29
    user.ask("What does the roof cost?")
    assert "Pages from the cache\n29 of 29" in user.text("#cost")
    assert "library_slides.pdf\npage 4" in user.text("#first .card")
    user.click("#languages label:nth-child(2)")
    assert "llama_index" in user.text("#snippet") and "What does the roof cost?" in user.text("#snippet")
    assert user.console() == []


def test_controls_rank_again_from_the_cache(user: PageUser, url: str) -> None:
    user.open(url)
    user.use_examples()
    assert user.text("#keep-value") == "25 %"
    tokens = user.text("#cost").split("\n")[1]
    user.script(
        "const keep = document.getElementById('keep'); keep.value = 0.5; "
        "keep.dispatchEvent(new Event('input')); keep.dispatchEvent(new Event('change'))"
    )
    user.until(lambda: user.text("#cost").split("\n")[1] != tokens)
    assert user.text("#keep-value") == "50 %" and "29 of 29" in user.text("#cost")
    for name in ("pointwise", "cascade"):
        user.click(f"#scorers input[value={name}]")
        expected = {"pointwise": "scores are absolute", "cascade": "tiny-pointwise → tiny"}[name]
        user.until(lambda expected=expected: expected in user.text("#model"))
    assert user.console() == []


def test_evidence_of_a_page(user: PageUser, url: str) -> None:
    user.open(url)
    user.use_examples()
    user.click("#reranked .card .thumb")
    user.until(lambda: user.shows("#layer"))
    assert "visual tokens kept" in user.text("#viewer-note")
    assert user.one("#layer").get_attribute("class") == "kept"
    user.click("input[name=layer][value=similarity]")
    user.until(lambda: user.one("#layer").get_attribute("class") == "similarity" and user.shows("#layer"))
    user.one("#opacity").send_keys(HOME)
    assert user.one("#layer").value_of_css_property("opacity") == "0"
    title = user.text("#viewer-title")
    user.click("#next")
    user.until(lambda: user.text("#viewer-title") != title)
    user.click("#close")
    assert not user.shows("#viewer")
    assert user.console() == []


def test_a_dropped_scan(user: PageUser, url: str, scan: bytes) -> None:
    user.open(url)
    user.drop("scan.png", scan)
    user.until(lambda: "1 page ready" in user.text("#status"))
    user.ask("What was the revenue in 2023?")
    assert "the first stage cannot see this page" in user.text("#first .card")
    assert "scan.png" in user.text("#reranked .card") and "image" in user.text("#reranked .card")
    assert user.console() == []


def test_broken_files_are_explained_and_the_page_stays_usable(
    user: PageUser, url: str, scan: bytes, tmp_path: Path
) -> None:
    with pymupdf.open() as document:
        document.new_page()
        locked = bytes(document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="x", owner_pw="y"))
    user.open(url)
    files = {
        "broken.pdf": (b"%PDF-1.7\nbroken", "is not a readable PDF"),
        "locked.pdf": (locked, "the PDF is encrypted and needs a password"),
        "empty.pdf": (b"", "the file is empty"),
        "notes.txt": (b"plain text", "is neither a PDF nor an image"),
        "text.pdf": (b"plain text", "is neither a PDF nor an image"),
        "long.pdf": (long_pdf(1001), "1,001 pages are more than 1,000"),
    }
    for name, (data, message) in files.items():
        user.drop(name, data)
        user.until(lambda name=name, message=message: f"{name}: {message}" in user.text("#problems"))
    assert len(user.all("#problems .problem")) == 5  # the last five
    user.click("#problems button")
    assert len(user.all("#problems .problem")) == 4
    path = tmp_path / "scan.png"
    path.write_bytes(scan)
    user.choose(path)
    user.until(lambda: "1 page ready" in user.text("#status"))
    user.ask("What was the revenue?")
    assert len(user.all("#reranked .card")) == 1


def test_a_name_with_html_is_text(user: PageUser, url: str, scan: bytes) -> None:
    name = "<img src=x onerror=document.title='owned'>.pdf"
    user.open(url)
    user.drop(name, scan)
    user.drop(name, b"text")
    user.until(lambda: "neither" in user.text("#problems") and "1 page" in user.text("#status"))
    user.ask("What was the revenue?")
    assert name in user.text("#files") and name in user.text("#problems") and name in user.text("#reranked")
    user.click("#reranked .thumb")
    user.until(lambda: name in user.text("#viewer-title"))
    assert user.driver.title.startswith("ZipRerank") and not user.all("img[src=x]")


def test_sixty_files_at_once_and_names_of_all_kinds(user: PageUser, url: str) -> None:
    names = ['it\'s "quoted" & <b>bold.pdf', "דוח שנתי.pdf", "تقرير.pdf", "a\u202efdp.exe", "年報 📄.pdf"]
    names += [f"file {number}.pdf" for number in range(len(names), 60)]
    user.open(url)
    user.drop_all([(name, long_pdf(1)) for name in names])
    user.until(lambda: "60 pages ready" in user.text("#status"))
    shown = [name.get_property("innerText") for name in user.all("#files .name")]
    # The override would turn the rest of the line around.
    assert "\u202e" not in "".join(shown) and shown[:3] == names[:3] and shown[4:] == names[4:]
    user.ask("Which page is long?")
    assert len(user.all("#reranked .card")) == 10 and "all 60 pages" in user.text("#more")
    user.drop("b\u202efdp.exe", b"text")
    user.until(lambda: "neither" in user.text("#problems"))
    assert "\u202e" not in user.text("body")
    assert user.script("return document.documentElement.scrollWidth") <= 1600


def test_without_javascript_the_page_says_so(user: PageUser, url: str) -> None:
    user.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        user.driver.get(url)
        assert "needs JavaScript" in user.one("main").text
        assert not user.shows("#choose") and not user.shows("#ask")
    finally:
        user.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_blank_and_a_very_long_question(user: PageUser, url: str, scan: bytes) -> None:
    user.open(url)
    user.click("#submit")
    assert user.text("#query-problem") == "Type a question first."
    user.one("#query").send_keys("Why?")
    user.click("#submit")
    assert user.text("#query-problem") == "Add a PDF or an image first."
    user.drop("scan.png", scan)
    user.until(lambda: "1 page" in user.text("#status"))
    user.script("document.getElementById('query').value = 'w0rd '.repeat(4000)")
    user.click("#submit")
    user.until(lambda: "tokens" in user.text("#query-problem"))
    user.script("document.getElementById('query').value = 'word '.repeat(2000)")
    user.click("#submit")
    user.until(lambda: " ranked in " in user.text("#status"))


def test_the_keyboard_alone(user: PageUser, url: str) -> None:
    user.open(url)

    def tab_to(selector: str, most: int = 40) -> None:
        for _ in range(most):
            if user.script("return document.activeElement.matches(arguments[0])", selector):
                return
            user.keys(TAB)
        focus = user.script("return document.activeElement.outerHTML")
        raise AssertionError(f"{selector} is not reached; the focus is on {focus}")

    tab_to("#examples")
    user.keys(ENTER)
    user.until(lambda: user.shows("#code"))
    tab_to("#query")
    user.keys("roof costs", ENTER)
    user.until(lambda: " ranked in " in user.text("#status"))
    tab_to("input[name=scorer]")
    user.keys(RIGHT)
    user.until(lambda: "absolute" in user.text("#model"))
    user.keys(LEFT)
    user.until(lambda: "relative" in user.text("#model"))
    tab_to("#first .thumb")
    user.keys(ENTER)
    user.until(lambda: user.shows("#viewer"))
    title = user.text("#viewer-title")
    tab_to("#close")
    user.keys(RIGHT)
    user.until(lambda: user.text("#viewer-title") != title)
    user.keys(ESCAPE)
    user.until(lambda: not user.shows("#viewer"))
    assert user.script("return document.activeElement.matches('#first .thumb')")  # the focus returns
    tab_to("#copy", 80)


@pytest.mark.parametrize("width", [390, 860, 1600])
def test_nothing_is_wider_than_the_screen(user: PageUser, url: str, width: int) -> None:
    user.open(url, width=width)
    user.drop("a_very_long_name_" * 9 + ".pdf", b"text")
    user.use_examples()
    assert user.script("return document.documentElement.scrollWidth") <= width
    assert user.shows("#first .card") is (width > 860)
    if width <= 860:
        user.click("#views input[value=first]")
        assert user.shows("#first .card") and not user.shows("#reranked .card")
        user.click("#views input[value=reranked]")
    user.click("#reranked .thumb")
    user.until(lambda: user.shows("#layer"))
    assert user.script("return document.documentElement.scrollWidth") <= width
    box = user.one("#viewer").rect
    assert 0 <= box["x"] and box["x"] + box["width"] <= width


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(user: PageUser, url: str, axe: str, dark: bool) -> None:
    def check() -> None:
        user.script(axe)
        result = user.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then((result) => done(result.violations))"
        )
        serious = [violation for violation in result if violation["impact"] in ("serious", "critical")]
        assert not [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in serious]

    user.open(url, dark=dark)
    check()
    user.drop("notes.txt", b"text")
    user.until(lambda: user.all("#problems .problem"))
    user.use_examples()
    check()
    user.click("#reranked .thumb")
    user.until(lambda: user.shows("#layer"))
    check()
