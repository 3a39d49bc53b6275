"""Which page of a PDF is meant: numbers from 1, from 0, and labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ziprerank_integrations import PageError
from ziprerank_integrations.pagenumbers import Counting, PageNumber, PageNumbers, whole_number
from ziprerank_integrations.pdf import PdfFile

ROMAN = [
    {"startpage": 0, "prefix": "", "style": "r", "firstpagenum": 1},
    {"startpage": 3, "prefix": "", "style": "D", "firstpagenum": 1},
    {"startpage": 6, "prefix": "A-", "style": "D", "firstpagenum": 1},
]


def find(path: Path, value: Any, counting: Counting) -> int | None:
    return PageNumbers().find(PdfFile("f", path=str(path)), [PageNumber("here", value, counting)])


@pytest.mark.parametrize(
    ("value", "counting", "page"),
    [
        (1, "from 1", 1),
        ("7", "from 1", 7),
        (7.0, "from 1", 7),
        ("7.0", "from 1", 7),
        (0, "from 0", 1),
        (6, "from 0", 7),
        ("ii", "label", 2),
        ("1", "label", 4),
        (3, "label", 6),
        (3.0, "label", 6),
        ("A-2", "label", 8),
        (None, "from 1", None),
        ("", "label", None),
    ],
)
def test_numbers(value: Any, counting: Counting, page: int | None, make_pdf: Callable[..., Path]) -> None:
    assert find(make_pdf(8, labels=ROMAN), value, counting) == page


@pytest.mark.parametrize(
    ("value", "counting", "part"),
    [
        (0, "from 1", "no such page"),
        (-1, "from 0", "no such page"),
        ("vii", "from 1", "no page number"),
        (2.5, "from 1", "no page number"),
        (True, "from 1", "no page number"),
        (float("inf"), "from 0", "no page number"),
        ("9", "label", "'i', 'ii', 'iii', '1'"),
    ],
)
def test_what_names_no_page(value: Any, counting: Counting, part: str, make_pdf: Callable[..., Path]) -> None:
    with pytest.raises(PageError, match=part) as caught:
        find(make_pdf(8, labels=ROMAN), value, counting)
    assert f"here={value!r}" in str(caught.value)


def test_a_label_of_several_pages_is_refused(make_pdf: Callable[..., Path]) -> None:
    twice = [
        {"startpage": 0, "prefix": "", "style": "D", "firstpagenum": 1},
        {"startpage": 3, "prefix": "", "style": "D", "firstpagenum": 1},
    ]
    with pytest.raises(PageError, match="label of several pages: 2, 5"):
        find(make_pdf(6, labels=twice), "2", "label")


def test_the_first_that_says_anything_decides(make_pdf: Callable[..., Path]) -> None:
    file = PdfFile("f", path=str(make_pdf(8, labels=ROMAN)))
    said = [PageNumber("a", None, "label"), PageNumber("b", 2), PageNumber("c", 0, "from 0")]
    assert PageNumbers().find(file, said) == 2


def test_each_pdf_is_asked_once(make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(make_pdf(8, labels=ROMAN))
    asked: list[str] = []
    labels, length = PdfFile.labels, PdfFile.__len__
    monkeypatch.setattr(PdfFile, "labels", lambda self: asked.append("labels") or labels(self))
    monkeypatch.setattr(PdfFile, "__len__", lambda self: asked.append("length") or length(self))
    numbers = PageNumbers()
    for _ in range(5):
        numbers.find(PdfFile("f", path=path), [PageNumber("here", "i", "label")])
        numbers.find(PdfFile("f", path=path), [])
    assert asked == ["labels", "length"]


def test_whole_number() -> None:
    given = [3, "3", " 3 ", 3.0, "3.00", 3.5, "3.5", "-3", "x", "", None, [], True, float("nan")]
    assert [whole_number(value) for value in given] == [3, 3, 3, 3, 3] + [None] * 9
