"""The report of a ranking: one HTML file with pictures and evidence, without scripts or links."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from ziprerank_integrations.atomic import replacing
from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.pages.sizes import within
from ziprerank_integrations.pictures import overlays
from ziprerank_integrations.pictures.contact_sheet import score_text
from ziprerank_integrations.types import RankedPage, Ranking

SHOWN = 20
"""How many of the best pages have a picture if the caller does not choose a number."""

Similarity = np.ndarray[tuple[int, int], np.dtype[np.float32]]

_SIDE = 1024
_SHARE = 0.1  # of a page that the similarity highlights
_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2128; --grey: #5b636e; --line: #d4d9df; --paper: #fff; --accent: #1a5285;
  font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --grey: #a3acb7; --line: #3a424c; --paper: #14171b; --accent: #84b9ea; }
}
body { max-width: 1000px; margin: 0 auto; padding: 24px 16px; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0; }
p { margin: 0 0 16px; color: var(--grey); }
article { margin: 0 0 40px; border-top: 1px solid var(--line); padding-top: 16px; }
article > p { margin: 0 0 8px; }
h2 b { color: var(--accent); margin-right: 8px; }
input { accent-color: var(--accent); margin: 0 4px 0 0; } label { margin-right: 16px; }
figure { margin: 10px 0 0; position: relative; width: fit-content; max-width: 100%; line-height: 0;
  border: 1px solid var(--line); }
figure img { max-width: 100%; }
figure img + img { position: absolute; inset: 0; width: 100%; height: 100%; opacity: .75; display: none; }
img.kept { image-rendering: pixelated; }
input.kept:checked ~ figure img.kept, input.similarity:checked ~ figure img.similarity { display: block; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 4px 12px 4px 0; }
td:first-child, th:first-child, td:nth-child(2) { font-variant-numeric: tabular-nums; }
"""


def check(path: str | os.PathLike[str]) -> None:
    """Check the file of `save`, before the ranking is computed.

    Raises:
        ValueError: If it does not end in ``.html`` or ``.htm``.
        OSError: If the folder does not exist.
    """
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report ends in .html, not {file.name!r}")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"the folder {str(file.parent)!r} of {file.name!r} does not exist")


def save(
    ranking: Ranking,
    path: str | os.PathLike[str],
    *,
    top: int = SHOWN,
    similarity: Mapping[int, Similarity] | None = None,
) -> None:
    """Save a report of a ranking as one HTML file.

    Args:
        ranking: The ranking.
        path: The file; it ends in ``.html``.
        top: How many of the best pages have a picture. All others are in a table.
        similarity: The similarity maps of pages, (rows, columns), by `RankedPage.index`.

    Raises:
        ValueError: If the suffix is not allowed.
        OSError: If the file cannot be written.
    """
    check(path)
    text = document(ranking, top=top, similarity={} if similarity is None else similarity)
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def document(ranking: Ranking, *, top: int, similarity: Mapping[int, Similarity]) -> str:
    """Return the HTML of the report that `save` writes."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    side = _SIDE if ranking.max_side is None else ranking.max_side
    articles = [_article(ranking, item, side, similarity.get(item.index)) for item in ranking.items[:top]]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(ranking.query)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_text(ranking.query)}</h1>\n<p>{_text(_note(ranking, len(articles)))}</p>\n"
        + "".join(articles)
        + _table(ranking, top)
        + "</body>\n</html>\n"
    )


def _note(ranking: Ranking, shown: int) -> str:
    usage = ranking.usage
    total = len(ranking) if usage is None else usage.pages
    parts = [f"{shown} of {total} page{'' if total == 1 else 's'}", f"ranked by {ranking.model}"]
    if ranking.compared is not None:
        parts.append(f"the best {ranking.compared} by both models, the others by the first one only")
    parts.append(f"scores are {ranking.scale}")
    if usage is not None:
        parts.append(f"{usage.tokens_after:,} of {usage.tokens_before:,} visual tokens")
        parts.append(f"{usage.ms.get('total', 0.0) / 1000:.1f} s")
    return " · ".join(parts)


def _by_first_only(ranking: Ranking, item: RankedPage) -> bool:
    """Return whether only the first model of a cascade ranked a page."""
    return ranking.compared is not None and item.rank > ranking.compared and item.error is None


def _article(ranking: Ranking, item: RankedPage, side: int, similarity: Similarity | None) -> str:
    evidence = item.evidence
    details = ["not ranked: " + item.error if item.error is not None else f"score {score_text(item.score)}"]
    if _by_first_only(ranking, item):
        details.append("ranked by the first model only: no similarity map")
    if evidence is not None:
        details.append(f"{len(evidence.kept)} of {evidence.rows * evidence.columns} visual tokens kept")
    title = f"<h2><b>{item.rank}</b>{_text(item.page.source)}</h2>"
    head = f"<article>\n{title}\n<p>{_text(' · '.join(details))}</p>\n"
    if item.error is not None:
        return head + "</article>\n"
    try:
        page = item.page.image(within(side))
    except (ZipRerankError, OSError, ValueError) as error:
        # The page was ranked: the report is worth saving even if its file has been moved since.
        return f"{head}<p>{_text(f'cannot be rendered: {error}')}</p>\n</article>\n"
    layers = {}
    if evidence is not None:
        layers["kept"] = ("Kept tokens", overlays.dim_layer(evidence))
    if similarity is not None:
        layers["similarity"] = ("Similarity", overlays.heat_layer(similarity, _SHARE))
    choices = [("page", "Page")] + [(name, title) for name, (title, _) in layers.items()]
    inputs = "".join(
        f'<input type="radio" name="layer-{item.rank}" id="{name}-{item.rank}" class="{name}"'
        f'{" checked" if name == "page" else ""}><label for="{name}-{item.rank}">{title}</label>\n'
        for name, title in choices
        if layers
    )
    images = "".join(
        f'<img class="{name}" alt="{title}" src="{_data_uri(layer, "PNG")}">'
        for name, (title, layer) in layers.items()
    )
    picture = f'<img alt="{_text(item.page.source)}" src="{_data_uri(page, "JPEG")}">'
    return f"{head}{inputs}<figure>{picture}{images}</figure>\n</article>\n"


def _table(ranking: Ranking, top: int) -> str:
    items = ranking.items[top:]
    if not items:
        return ""
    rows = "".join(
        f"<tr><td>{item.rank}</td><td>{score_text(item.score) if item.error is None else '-'}</td>"
        f"<td>{_text(item.page.source + _remark(ranking, item))}</td></tr>\n"
        for item in items
    )
    return (
        f"<article>\n<table>\n<tr><th>Rank</th><th>Score</th><th>Page</th></tr>\n{rows}</table>\n</article>\n"
    )


def _remark(ranking: Ranking, item: RankedPage) -> str:
    if item.error is not None:
        return f" ({item.error})"
    return " (by the first model only)" if _by_first_only(ranking, item) else ""


def _data_uri(image: Image.Image, image_format: str) -> str:
    file = io.BytesIO()
    image.save(file, image_format, quality=82)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _text(text: str) -> str:
    """Escape a text: names and questions may contain anything."""
    line = " ".join(text.split())
    return html.escape("".join(letter if letter.isprintable() else "\ufffd" for letter in line))
