"""The contact sheet: what it shows, how large it is, and its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.full_disk import full_disk
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pictures import contact_sheet
from ziprerank_integrations.types import Evidence, Page, RankedPage, Ranking

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (30, 60, 200)


class Sized:
    """An origin of one colour that records the sizes at which it is rendered."""

    path: str | None = "folder/scan.png"
    number: int | None = None

    def __init__(self, color: tuple[int, int, int], size: tuple[int, int] = (3000, 4000)) -> None:
        self.label = "scan.png"
        self.color, self.size = color, size
        self.rendered: list[tuple[int, int]] = []

    def fingerprint(self) -> str:
        return str(self.color)

    def image(self, size: object = None, max_pixels: int | None = None) -> Image.Image:
        assert callable(size), "the contact sheet must not render pages at their full size"
        height, width = size(float(self.size[1]), float(self.size[0]), False)
        self.rendered.append((height, width))
        return Image.new("RGB", (width, height), self.color)


class Gone(Sized):
    """An origin whose file was deleted after the ranking."""

    def image(self, size: object = None, max_pixels: int | None = None) -> Image.Image:
        raise PageError("scan.png", "cannot be read: no such file")


def ranking(*sources: Sized, query: str = "which page?", **fields: object) -> Ranking:
    items = tuple(
        RankedPage(index + 1, index, 0.5**index, 1.0, Page(source), **fields)  # type: ignore[arg-type]
        for index, source in enumerate(sources)
    )
    return Ranking(items, query, "tiny")


def share(image: Image.Image, color: tuple[int, int, int]) -> float:
    """Return the share of the picture that has exactly this colour."""
    return float((np.asarray(image) == color).all(axis=2).mean())


def left_edge(image: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == color).all(axis=2).any(axis=0).argmax())


def test_pages_are_side_by_side_in_order_of_rank() -> None:
    image = contact_sheet.sheet(ranking(Sized(RED), Sized(GREEN), Sized(BLUE)))
    edges = [left_edge(image, color) for color in (RED, GREEN, BLUE)]
    assert edges == sorted(edges) and len(set(edges)) == 3
    assert min(share(image, color) for color in (RED, GREEN, BLUE)) > 0.1


@pytest.mark.parametrize("count", [1, 2, 5, 6, 21, 70])
def test_no_sheet_is_wider_than_2400_pixels(count: int) -> None:
    image = contact_sheet.sheet(ranking(*[Sized(RED, (300, 400)) for _ in range(count)]), top=count)
    assert image.width <= 2400
    assert share(image, RED) > 0.25


def test_more_than_five_pages_are_in_rows() -> None:
    sources = [Sized(RED) for _ in range(7)]
    one_row = contact_sheet.sheet(ranking(*sources), top=5)
    two_rows = contact_sheet.sheet(ranking(*sources), top=7)
    assert two_rows.width == one_row.width
    assert two_rows.height > 1.6 * one_row.height
    assert [len(source.rendered) for source in sources] == [2, 2, 2, 2, 2, 1, 1]


def test_pages_are_rendered_as_the_model_saw_them_in_their_proportions() -> None:
    upright, wide, strip = Sized(RED, (3000, 4000)), Sized(GREEN, (4000, 1000)), Sized(BLUE, (20, 4000))
    contact_sheet.sheet(ranking(upright, wide, strip))
    for source in (upright, wide, strip):
        ((height, width),) = source.rendered
        assert max(height, width) == 1024
        assert width / height == pytest.approx(source.size[0] / source.size[1], rel=0.15)


def test_a_page_of_a_pdf_is_rendered() -> None:
    pdf = Path(__file__).resolve().parents[2] / "examples" / "data" / "annual_report.pdf"
    (cover,) = Page.from_pdf(pdf, pages="1")
    image = contact_sheet.sheet(Ranking((RankedPage(1, 0, 0.9, 2.0, cover),), "the cover?", "tiny"))
    background = cover.image().getpixel((10, 10))
    assert isinstance(background, tuple)
    assert share(image, (background[0], background[1], background[2])) > 0.1


def test_dropped_tokens_are_dimmed_on_the_sheet() -> None:
    plain = contact_sheet.sheet(ranking(Sized(RED)))
    half = contact_sheet.sheet(ranking(Sized(RED), evidence=Evidence(2, 2, (0, 3))))
    assert share(half, RED) == pytest.approx(share(plain, RED) / 2, rel=0.05)


def test_a_page_that_was_not_ranked_is_a_box_with_the_reason() -> None:
    source = Sized(RED)
    item = RankedPage(1, 0, 0.1, None, Page(source), error="the PDF is encrypted")
    image = contact_sheet.sheet(Ranking((item,), "q", "tiny"))
    other = contact_sheet.sheet(
        Ranking((RankedPage(1, 0, 0.1, None, Page(source), error="empty file"),), "q", "tiny")
    )
    assert source.rendered == []
    assert share(image, RED) == 0
    assert image.tobytes() != other.tobytes()


def test_a_page_that_cannot_be_read_any_more_is_a_box() -> None:
    image = contact_sheet.sheet(ranking(Gone(RED), Sized(GREEN)))
    assert share(image, RED) == 0 < share(image, GREEN)


def test_the_sheet_of_an_empty_ranking_has_a_note(tmp_path: Path) -> None:
    empty = Ranking((), "which page?", "tiny")
    empty.save(tmp_path / "empty.png")
    saved = Image.open(tmp_path / "empty.png")
    assert share(saved, (255, 255, 255)) < 1
    assert saved.tobytes() != contact_sheet.sheet(Ranking((), "another question", "tiny")).tobytes()


@pytest.mark.parametrize(
    "query",
    ["营业额是多少?", "😀 ﷽ \u202e \u0000 \x1b[31m", "\udc80 lone", "wörd" * 400, "a question " * 300, "  "],
)
def test_any_query_and_any_name_can_be_shown(query: str) -> None:
    source = Sized(RED)
    source.path = f"folder/{query}.png"
    image = contact_sheet.sheet(ranking(source, query=query))
    assert image.width <= 2400 and image.height < 2000
    assert share(image, RED) > 0.1


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "webp", "pdf"])
def test_the_suffix_selects_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sheet.{suffix}"
    ranking(Sized(RED)).save(path)
    magic = {"png": b"\x89PNG", "jpg": b"\xff\xd8", "webp": b"RIFF", "pdf": b"%PDF"}[suffix.lower()]
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["sheet", "sheet.txt", "sheet.png.exe", ".png"])
def test_an_unknown_suffix_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"ends in \.png"):
        ranking(Sized(RED)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("top", [0, -1, True, 2.0, "5", None])
def test_an_invalid_top_raises(tmp_path: Path, top: object) -> None:
    with pytest.raises(ValueError, match="top must be an integer"):
        ranking(Sized(RED)).save(tmp_path / "sheet.png", top=top)  # type: ignore[arg-type]


def test_the_error_of_a_missing_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ranking(Sized(RED)).save(tmp_path / "nowhere" / "sheet.png")


def test_small_scores_are_powers_of_ten() -> None:
    assert [contact_sheet.score_text(score) for score in (1.0, 0.8126, 0.0006, 0.0004, 1e-12)] == [
        "1.000",
        "0.813",
        "0.001",
        "4e-04",
        "1e-12",
    ]


def test_a_text_page_is_shown_as_the_model_saw_it(small: ZipReranker) -> None:
    pages = [Page.from_text(f"number {i} " + "and many words " * 150) for i in range(5)]
    ranking = small.with_options(keep_ratio=0.5).rerank("words", pages)
    # Five narrow cards: laid out for the card, the text would be cut, and warnings are errors here.
    assert contact_sheet.sheet(ranking, top=5).width <= 2400
    assert ranking.max_side == 512


def test_a_full_disk_leaves_the_old_picture(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    ranking(Sized(RED)).save(path)
    before = path.read_bytes()
    with full_disk(1000), pytest.raises(OSError, match=r"too large|encoder error"):
        ranking(Sized(RED), Sized(RED)).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
