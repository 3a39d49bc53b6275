"""The contact sheet: what it shows, how large it gets, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ziprerank_integrations import report
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.overlays import veil
from ziprerank_integrations.types import Evidence, Page, RankedPage, Ranking

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (30, 60, 200)


class Sized:
    """A page source of one colour that remembers at which sizes it was asked for."""

    path: str | None = "folder/scan.png"
    number: int | None = None

    def __init__(self, color: tuple[int, int, int], size: tuple[int, int] = (3000, 4000)) -> None:
        self.label = "scan.png"
        self.color, self.size = color, size
        self.asked: list[tuple[int, int]] = []

    def fingerprint(self) -> str:
        return str(self.color)

    def image(self, size: object = None, max_pixels: int | None = None) -> Image.Image:
        assert callable(size), "the report must not ask for pages at their full size"
        height, width = size(float(self.size[1]), float(self.size[0]), False)
        self.asked.append((height, width))
        return Image.new("RGB", (width, height), self.color)


class Gone(Sized):
    def image(self, size: object = None, max_pixels: int | None = None) -> Image.Image:
        raise PageError("scan.png", "cannot be read: no such file")


def ranking(*sources: Sized, query: str = "which page?", **fields: object) -> Ranking:
    items = tuple(
        RankedPage(place + 1, place, 0.5**place, 1.0, Page(source), **fields)  # type: ignore[arg-type]
        for place, source in enumerate(sources)
    )
    return Ranking(items, query, "tiny")


def share(image: Image.Image, color: tuple[int, int, int]) -> float:
    """Say which share of the picture has exactly this colour."""
    return float((np.asarray(image) == color).all(axis=2).mean())


def left_edge(image: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == color).all(axis=2).any(axis=0).argmax())


def test_pages_stand_side_by_side_in_order_of_rank() -> None:
    image = report.sheet(ranking(Sized(RED), Sized(GREEN), Sized(BLUE)))
    edges = [left_edge(image, color) for color in (RED, GREEN, BLUE)]
    assert edges == sorted(edges) and len(set(edges)) == 3
    assert min(share(image, color) for color in (RED, GREEN, BLUE)) > 0.1


@pytest.mark.parametrize("count", [1, 2, 5, 6, 21, 70])
def test_no_sheet_is_wider_than_2400_pixels(count: int) -> None:
    image = report.sheet(ranking(*[Sized(RED, (300, 400)) for _ in range(count)]), top=count)
    assert image.width <= 2400
    assert share(image, RED) > 0.25


def test_more_than_five_go_into_rows_and_top_cuts() -> None:
    sources = [Sized(RED) for _ in range(7)]
    one_row = report.sheet(ranking(*sources), top=5)
    two_rows = report.sheet(ranking(*sources), top=7)
    assert two_rows.width == one_row.width
    assert two_rows.height > 1.6 * one_row.height
    assert [len(source.asked) for source in sources] == [2, 2, 2, 2, 2, 1, 1]


def test_pages_are_asked_for_as_the_model_saw_them_in_their_own_proportions() -> None:
    upright, wide, strip = Sized(RED, (3000, 4000)), Sized(GREEN, (4000, 1000)), Sized(BLUE, (20, 4000))
    report.sheet(ranking(upright, wide, strip))
    for source in (upright, wide, strip):
        ((height, width),) = source.asked
        assert max(height, width) == 1024
        assert width / height == pytest.approx(source.size[0] / source.size[1], rel=0.15)


def test_a_page_of_a_real_pdf_is_drawn() -> None:
    pdf = Path(__file__).resolve().parent.parent / "examples" / "data" / "annual_report.pdf"
    (cover,) = Page.from_pdf(pdf, pages="1")
    image = report.sheet(Ranking((RankedPage(1, 0, 0.9, 2.0, cover),), "the cover?", "tiny"))
    background = cover.image().getpixel((10, 10))
    assert isinstance(background, tuple)
    assert share(image, (background[0], background[1], background[2])) > 0.1


def test_dropped_tokens_are_veiled_and_kept_ones_are_not() -> None:
    page = Image.new("RGB", (300, 200), RED)
    seen = np.asarray(veil(page, Evidence(rows=2, columns=3, kept=(0, 5))))
    kept = (seen == RED).all(axis=2)
    assert kept[:100, :100].all() and kept[100:, 200:].all()
    assert kept.sum() == 2 * 100 * 100
    assert seen[150, 50].min() > 150  # light, so that black type stays visible


def test_evidence_reaches_the_sheet() -> None:
    plain = report.sheet(ranking(Sized(RED)))
    half = report.sheet(ranking(Sized(RED), evidence=Evidence(2, 2, (0, 3))))
    assert share(half, RED) == pytest.approx(share(plain, RED) / 2, rel=0.05)


def test_a_page_that_was_not_ranked_is_a_box_with_the_reason() -> None:
    source = Sized(RED)
    item = RankedPage(1, 0, 0.1, None, Page(source), error="the PDF is encrypted")
    image = report.sheet(Ranking((item,), "q", "tiny"))
    other = report.sheet(
        Ranking((RankedPage(1, 0, 0.1, None, Page(source), error="empty file"),), "q", "tiny")
    )
    assert source.asked == []
    assert share(image, RED) == 0
    assert image.tobytes() != other.tobytes()


def test_a_page_that_has_gone_since_does_not_cost_the_picture() -> None:
    image = report.sheet(ranking(Gone(RED), Sized(GREEN)))
    assert share(image, RED) == 0 < share(image, GREEN)


def test_an_empty_ranking_says_so(tmp_path: Path) -> None:
    empty = Ranking((), "which page?", "tiny")
    empty.save(tmp_path / "empty.png")
    saved = Image.open(tmp_path / "empty.png")
    assert share(saved, (255, 255, 255)) < 1
    assert saved.tobytes() != report.sheet(Ranking((), "another question", "tiny")).tobytes()


@pytest.mark.parametrize(
    "query",
    ["营业额是多少?", "😀 ﷽ \u202e \u0000 \x1b[31m", "\udc80 lone", "wörd" * 400, "a question " * 300, "  "],
)
def test_any_query_and_any_name_can_be_drawn(query: str) -> None:
    source = Sized(RED)
    source.path = f"folder/{query}.png"
    image = report.sheet(ranking(source, query=query))
    assert image.width <= 2400 and image.height < 2000
    assert share(image, RED) > 0.1


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "webp", "pdf"])
def test_the_ending_chooses_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sheet.{suffix}"
    ranking(Sized(RED)).save(path)
    magic = {"png": b"\x89PNG", "jpg": b"\xff\xd8", "webp": b"RIFF", "pdf": b"%PDF"}[suffix.lower()]
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["sheet", "sheet.txt", "sheet.png.exe", ".png"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"ends in \.png"):
        ranking(Sized(RED)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("top", [0, -1, True, 2.0, "5", None])
def test_a_bad_top_is_refused(tmp_path: Path, top: object) -> None:
    with pytest.raises(ValueError, match="top must be an integer"):
        ranking(Sized(RED)).save(tmp_path / "sheet.png", top=top)  # type: ignore[arg-type]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ranking(Sized(RED)).save(tmp_path / "nowhere" / "sheet.png")


def test_small_scores_are_told_apart() -> None:
    assert [report.score_text(score) for score in (1.0, 0.8126, 0.0006, 0.0004, 1e-12)] == [
        "1.000",
        "0.813",
        "0.001",
        "4e-04",
        "1e-12",
    ]
