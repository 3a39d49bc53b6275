"""Selections of pages: their order, their errors, and that they take no more work than they have pages."""

from __future__ import annotations

import random
import time

import pytest

from ziprerank_integrations import PageError
from ziprerank_integrations.pages.page_selection import TooManyPagesError, select


@pytest.mark.parametrize(
    ("pages", "numbers"),
    [("2", [2]), ("2-4,9", [2, 3, 4, 9]), ("8-, 1,8", [8, 9, 1]), ("7 - 8", [7, 8]), ("3-3", [3])],
)
def test_a_selection_keeps_its_order(pages: str, numbers: list[int]) -> None:
    assert select(pages, 9, "report.pdf") == numbers


def test_a_selection_equals_a_plain_expansion() -> None:
    rng = random.Random(1)
    for _ in range(300):
        ranges = [sorted((rng.randint(1, 30), rng.randint(1, 30))) for _ in range(rng.randint(1, 12))]
        expected = dict.fromkeys(number for first, last in ranges for number in range(first, last + 1))
        text = ",".join(f"{first}-{last}" for first, last in ranges)
        assert select(text, 30, "a") == list(expected)
        with pytest.raises(TooManyPagesError, match=f"more than {len(expected) - 1} pages"):
            select(text, 30, "a", len(expected) - 1)
        assert select(text, 30, "a", len(expected)) == list(expected)


@pytest.mark.parametrize("pages", ["", "a", "1,,2", "0x1", "-3", "3--5", "5-2", "٣", "1" * 5000, "x" * 5000])
def test_a_malformed_selection_raises(pages: str) -> None:
    with pytest.raises(ValueError, match="pages=") as caught:
        select(pages, 9, "a")
    assert len(str(caught.value)) < 200


def test_a_selection_beyond_the_last_page_raises() -> None:
    with pytest.raises(PageError, match=r"report\.pdf, page 10: there is no such page; the file has 9"):
        select("10", 9, "report.pdf")


def test_many_ranges_take_no_more_work_than_few() -> None:
    begin = time.process_time()
    with pytest.raises(TooManyPagesError):
        select("1-20000," * 100_000 + "1", 20_000, "a", 1000)
    assert len(select("1-20000," * 100_000 + "1", 20_000, "a")) == 20_000
    singles = ",".join(str(number) for number in range(1, 100_000, 2))
    assert len(select(f"{singles},1-", 100_000, "a")) == 100_000
    assert time.process_time() - begin < 5
