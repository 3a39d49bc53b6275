"""The report of a ranking: one file, everything escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from ziprerank_integrations.pictures import report
from ziprerank_integrations.types import Evidence, Page, RankedPage, Ranking, Usage

NASTY = "</title><script>alert('1')</script> \"<img src=x onerror=alert(2)>\" & \x1b"


def ranking(names: list[str], errors: int = 0) -> Ranking:
    items = []
    for index, name in enumerate(names):
        failed = index >= len(names) - errors
        items.append(
            RankedPage(
                index + 1,
                index,
                0.5**index,
                None,
                Page.from_image(picture(index), name=name),
                error="is broken <b>" if failed else None,
                evidence=None if failed else Evidence(2, 2, (1, 2)),
            )
        )
    usage = Usage(pages=len(names), tokens_before=1200, tokens_after=600, ms={"total": 1500.0})
    return Ranking(tuple(items), NASTY, "tiny", usage)


def test_names_and_questions_are_escaped(tmp_path: Path) -> None:
    report.save(ranking([NASTY, "b", NASTY], errors=1), tmp_path / "r.html", top=2)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<img src=x|</title><|\x1b|<b>\"", text)
    assert text.count("&lt;script&gt;") == 5  # title, heading, page name, alt, and the row below the pictures
    assert "is broken &lt;b&gt;" in text


def test_nothing_is_loaded_and_the_style_has_the_hash_of_the_policy(tmp_path: Path) -> None:
    report.save(ranking(["a", "b"]), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="([^"]{5})', text) == ["data:"] * 4
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'" in text
    assert " style=" not in text and " on" not in re.sub(r">[^<]*<", "><", text)


def test_pictures_and_layers_are_in_the_file() -> None:
    similarity = {0: np.arange(6, dtype=np.float32).reshape(2, 3)}
    text = report.document(ranking(["a", "b", "c"]), top=2, similarity=similarity)
    assert text.count("<figure>") == 2 and text.count("<tr>") == 2  # the head, and the third page
    sources = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', text)
    assert [name for name, _ in sources] == ["jpeg", "png", "png", "jpeg", "png"]
    images = [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in sources]
    assert images[0].size == picture(0).size
    assert np.asarray(images[1].getchannel("A")).tolist() == [[255, 0], [0, 255]]
    assert images[2].size == (3, 2)
    assert "2 of 4 visual tokens kept" in text and "600 of 1,200 visual tokens" in text


def test_a_page_whose_file_was_moved_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture(1).save(path)
    item = RankedPage(1, 0, 1.0, None, Page.from_image(path))
    path.unlink()
    text = report.document(Ranking((item,), "q", "m"), top=1, similarity={})
    assert "cannot be rendered" in text and "<figure>" not in text


def test_the_file_is_checked_before_the_ranking(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.html, not 'r\.pdf'"):
        report.check(tmp_path / "r.pdf")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        report.check(tmp_path / "no" / "r.html")


def test_pages_that_only_the_first_model_of_a_cascade_ranked_are_named() -> None:
    cascade = replace(ranking(["a", "b", "c", "d"], errors=1), compared=1)
    text = report.document(cascade, top=2, similarity={})
    assert "the best 1 by both models" in text
    assert [article.count("ranked by the first model only") for article in text.split("<article>")] == [
        0,
        0,
        1,
        0,
    ]
    assert "c (by the first model only)" in text and "d (by the first" not in text
    assert "first model" not in report.document(ranking(["a", "b"]), top=1, similarity={})
