"""The rows of the evaluation's table: page set, pruning and target."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.tiny import fonts
from scripts.tiny.page_features import PageSet

SMALL = ((256, 320), (320, 256), (384, 288), (224, 320), (320, 224))
UNSEEN = ((352, 448), (448, 256), (544, 416), (256, 576))
POINT = 1024 / 842  # pixels of a point on an A4 page rendered at 1024 px
SLIDE = 1024 / 960


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: As the table shows it.
        page_set: Name of the set of pages.
        keep: Share of the visual tokens that are kept.
        random_pruning: Whether tokens are kept at random instead of by cosine similarity.
        natural: Whether questions are made from the templates of natural ones.
        target: Wanted Recall@1 over 8 and 20 pages; may be empty.
    """

    name: str
    page_set: str
    keep: float
    random_pruning: bool = False
    natural: bool = False
    target: str = ""


def page_sets() -> dict[str, tuple[PageSet, int]]:
    """Return the page sets by name, and how many pages each needs."""
    common = fonts.available(fonts.COMMON)
    body = [
        face
        for face in common
        if face.name.endswith(("Regular.ttf", "Regular.otf")) or face.name == "DejaVuSans.ttf"
    ]
    unknown = fonts.available(fonts.HELD_OUT)
    return {
        "small": (PageSet(SMALL, (14, 20), common), 400),
        "unseen": (PageSet(UNSEEN, (14, 20), common), 400),
        "fonts": (PageSet(SMALL, (14, 20), unknown), 400),
        "a4": (PageSet(((736, 1024),), (11 * POINT, 12 * POINT + 0.4), body, pdf=1.0, plain=True), 160),
        "slides": (PageSet(((1024, 576),), (24 * SLIDE, 36 * SLIDE), body, pdf=1.0, plain=True), 160),
    }


ROWS = (
    Row("keep 1.0", "small", 1.0, target="0.92 / 0.80"),
    Row("keep 0.5", "small", 0.5, target="0.90 / 0.77"),
    Row("keep 0.25", "small", 0.25),
    Row(
        "keep 0.25, tokens kept by chance",
        "small",
        0.25,
        random_pruning=True,
        target="0.15 / 0.10 below keep 0.25",
    ),
    Row("page sizes not in training, keep 1.0", "unseen", 1.0, target="within 0.05 of keep 1.0"),
    Row("fonts not in training, keep 1.0", "fonts", 1.0, target="0.80 / 0.60"),
    Row("natural questions, keep 1.0", "small", 1.0, natural=True),
    Row("A4 page, 11-12 pt, at 1024 px, keep 0.25, natural questions", "a4", 0.25, natural=True),
    Row("A4 page, 11-12 pt, at 1024 px, keep 0.25", "a4", 0.25, target="0.75 / 0.55"),
    Row("slides, 24-36 pt, at 1024 px, keep 0.25", "slides", 0.25, target="0.75 / 0.55"),
)
