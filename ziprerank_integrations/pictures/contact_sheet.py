"""The contact sheet of a ranking: the best pages side by side, and what pruning kept of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ziprerank_integrations.atomic import replacing
from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.pages import fonts
from ziprerank_integrations.pages.sizes import within
from ziprerank_integrations.pictures.overlays import dim
from ziprerank_integrations.pictures.style import BLUE, GREY, INK, LINE, PAPER, wrap, write
from ziprerank_integrations.types import RankedPage, Ranking

MAX_WIDTH = 2400
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".pdf")

_MARGIN, _GAP, _PAD = 48, 32, 8
_WIDEST_CARD, _NARROWEST_SHEET = 620, 1000
_TALLEST = 1.45  # an A4 page is 1.41 times as high as wide
_TITLE, _RANK, _SMALL = 46, 40, 25

_MAX_SIDE = 1024  # where the ranking has none
_ERROR = (250, 238, 236)
_ERROR_INK = (140, 40, 30)


def save(ranking: Ranking, path: str | os.PathLike[str], *, top: int = 5) -> None:
    """Save a contact sheet of the first pages of a ranking, at most 2,400 pixels wide.

    Each page is shown below its rank, score, file and page number. Of pruned pages the dropped visual tokens
    are dimmed. A page that could not be ranked is a box with the reason. One page at a time is in memory at
    the size at which the model saw it.

    Args:
        ranking: The ranking; the picture of an empty one says so.
        path: The file; its suffix selects the format: ``.png``, ``.jpg``, ``.jpeg``, ``.webp`` or ``.pdf``.
        top: How many pages to show, at least 1. More than five are shown in rows.

    Raises:
        ValueError: If ``top`` or the suffix is not allowed.
        OSError: If the file cannot be written.
    """
    check(path, top=top)
    picture = sheet(ranking, top=top)
    with replacing(path) as temporary:
        picture.save(temporary, optimize=True, quality=90)


def check(path: str | os.PathLike[str], *, top: int = 5) -> None:
    """Check the arguments of `save`, before the ranking is computed.

    Args:
        path: The file of the picture.
        top: How many pages it shows.

    Raises:
        ValueError: If ``top`` or the suffix of ``path`` is not allowed.
        OSError: If the folder does not exist.
    """
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ValueError(f"top must be an integer of at least 1, not {top!r}")
    file = Path(path)
    if file.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"a picture ends in {', '.join(_SUFFIXES)}, not {file.name!r}")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"the folder {str(file.parent)!r} of {file.name!r} does not exist")


def score_text(score: float) -> str:
    """Return a score with three decimals, a very small one as a power of ten."""
    return f"{score:.3f}" if score >= 0.0005 else f"{score:.0e}"


def sheet(ranking: Ranking, *, top: int = 5) -> Image.Image:
    """Return the contact sheet that `save` writes.

    Args:
        ranking: The ranking.
        top: How many pages to show, at least 1.

    Returns:
        An RGB image, at most 2,400 pixels wide.
    """
    shown = ranking.items[:top]
    columns = _columns(len(shown))
    card = min(_WIDEST_CARD, (MAX_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns)
    width = max(_NARROWEST_SHEET, 2 * _MARGIN + columns * card + (columns - 1) * _GAP)

    title = wrap(ranking.query, _TITLE, width - 2 * _MARGIN, 4)
    note = wrap(_note(ranking, shown), _SMALL, width - 2 * _MARGIN, 3)
    head = _lines(title, _TITLE, width, INK), _lines(note, _SMALL, width, GREY)

    rows: list[Image.Image] = []
    best = shown[0].score if shown else 1.0
    for start in range(0, len(shown), columns):
        side = _MAX_SIDE if ranking.max_side is None else ranking.max_side
        cards = [_card(item, card, best, side) for item in shown[start : start + columns]]
        row = Image.new("RGB", (width, max(image.height for image in cards) + _GAP), PAPER)
        for column, image in enumerate(cards):
            row.paste(image, (_MARGIN + column * (card + _GAP), 0))
        rows.append(row)

    parts = [*head, *rows]
    whole = Image.new("RGB", (width, sum(part.height for part in parts) + 2 * _MARGIN), PAPER)
    y = _MARGIN
    for part in parts:
        whole.paste(part, (0, y))
        y += part.height
    return whole


def _columns(count: int) -> int:
    """Return how many pages are in a row: five, and more where a sheet of five would be very long."""
    return max(1, min(count, 5 if count <= 20 else 8 if count <= 64 else 12))


def _note(ranking: Ranking, shown: Sequence[RankedPage]) -> str:
    if not shown:
        return "The ranking is empty: there were no pages to rank."
    total = ranking.usage.pages if ranking.usage is not None else len(ranking)
    parts = [f"{len(shown)} of {total} page{'' if total == 1 else 's'}", f"ranked by {ranking.model}"]
    if any(item.evidence is not None for item in shown):
        parts.append("dimmed: the visual tokens that pruning dropped")
    return " · ".join(parts)


def _card(item: RankedPage, width: int, best: float, max_side: int) -> Image.Image:
    """Return the card of one page: rank and score, a bar, the names, the page."""
    # Narrow cards of a long sheet have smaller type.
    small, large = (_SMALL, _RANK) if width >= 280 else (max(13, width // 12), max(20, width // 8))
    page = _page(item, width, max_side)
    names = [*wrap(_name(item), small, width, 2), _detail(item)]
    step = round(small * 1.4)
    top = large + 2 * _PAD + 6 + step * len(names) + _PAD
    card = Image.new("RGB", (width, top + page.height), PAPER)
    draw = ImageDraw.Draw(card)
    score = "no score" if item.error is not None else f"score {score_text(item.score)}"
    write(draw, (0, large), str(item.rank), large, BLUE)
    write(draw, (width - fonts.width(score, small), large), score, small, INK)
    y = large + _PAD
    draw.rectangle((0, y, width - 1, y + 5), fill=LINE)
    if item.error is None:
        draw.rectangle((0, y, max(1, round((width - 1) * min(1.0, item.score / best))), y + 5), fill=BLUE)
    y += 6 + _PAD
    for number, name in enumerate(names):
        y += step
        write(draw, (0, y - small * 0.3), name, small, GREY if number == len(names) - 1 else INK)
    card.paste(page, ((width - page.width) // 2, top))
    return card


def _name(item: RankedPage) -> str:
    return item.page.source if item.page.path is None else os.path.basename(item.page.path)


def _detail(item: RankedPage) -> str:
    parts = [] if item.page.path is None or item.page.number is None else [f"page {item.page.number}"]
    if item.evidence is not None:
        whole = item.evidence.rows * item.evidence.columns
        parts.append(f"{len(item.evidence.kept)} of {whole} tokens kept")
    return " · ".join(parts) if parts else " "


def _page(item: RankedPage, width: int, max_side: int) -> Image.Image:
    """Return the page at the card's size, in a thin frame, or a box that says why there is none."""
    if item.error is not None:
        return _placeholder("not ranked", item.error, width)

    try:
        # As the model saw it, then shrunk: a text page rendered for the card would have other lines.
        image = item.page.image(within(max_side))
        scale = min((width - 2) / image.width, (width * _TALLEST - 2) / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    except (ZipRerankError, OSError, ValueError) as error:
        # The page was ranked: the picture is worth saving even if its file has been moved since.
        return _placeholder("cannot be rendered", str(error), width)
    if item.evidence is not None:
        image = dim(image, item.evidence)
    framed = Image.new("RGB", (image.width + 2, image.height + 2), LINE)
    framed.paste(image, (1, 1))
    return framed


def _placeholder(title: str, reason: str, width: int) -> Image.Image:
    box = Image.new("RGB", (width, round(width * 1.2)), _ERROR)
    draw = ImageDraw.Draw(box)
    draw.rectangle((0, 0, box.width - 1, box.height - 1), outline=LINE)
    size = max(13, min(_SMALL, width // 14))
    inset = width // 14
    room = max(1, int((box.height - 2 * inset) / (size * 1.4)) - 1)
    for number, line in enumerate([title, *wrap(reason, size, width - 2 * inset, room)]):
        ink = _ERROR_INK if number == 0 else INK
        write(draw, (inset, inset + size + number * size * 1.4), line, size, ink)
    return box


def _lines(lines: Sequence[str], size: int, width: int, ink: tuple[int, int, int]) -> Image.Image:
    step = round(size * 1.35)
    part = Image.new("RGB", (width, step * len(lines) + size // 2), PAPER)
    draw = ImageDraw.Draw(part)
    for number, line in enumerate(lines):
        write(draw, (_MARGIN, number * step + size), line, size, ink)
    return part
