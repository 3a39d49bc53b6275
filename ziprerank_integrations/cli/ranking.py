"""``ziprerank rank``: rank, print, save."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ziprerank_integrations import report
from ziprerank_integrations.cli.inputs import open_pages
from ziprerank_integrations.engine.folder import TINY
from ziprerank_integrations.errors import one_line, require
from ziprerank_integrations.options import DEFAULT_MODEL, CallOptions, check_query, check_top_n
from ziprerank_integrations.types import RankedPage, Ranking

_PICTURED = 5


def run(
    files: Sequence[Path],
    query: str,
    *,
    pages: str | None,
    top: int | None,
    model: str | None,
    save: Path | None,
    as_json: bool,
    options: Mapping[str, Any],
) -> None:
    """Rank the pages of files and print the ranking to stdout; everything else goes to stderr.

    Args:
        files: PDFs and images.
        query: The question.
        pages: Which pages of each PDF.
        top: How many to give; None means all.
        model: Which model; None chooses.
        save: Where a picture goes, if one is wanted.
        as_json: Whether to print JSON instead of a table.
        options: Options of `ZipReranker` that were given.

    Raises:
        ValueError: If an option is out of its range.
        ZipRerankError: If a page, the model or the ranking fails.
        OSError: If a file cannot be read or written.
    """
    # Everything that can be refused is refused before a model is loaded or a page is rendered.
    check_query(query)
    check_top_n(top)
    CallOptions(**{name: value for name, value in options.items() if name != "device"})
    if save is not None:
        report.check(save)
    candidates = open_pages(files, pages, options.get("on_error", "raise"))
    chosen, why = choose(model, options.get("device"))
    if why is not None:
        say(f"model: {chosen} ({why}; --model takes another)")

    from ziprerank_integrations.local import ZipReranker  # takes seconds: it imports torch

    with ZipReranker(chosen, show_progress=sys.stderr.isatty(), **options) as reranker:
        ranking = reranker.rerank(query, candidates, top_n=top)
        meaningless = reranker.random_weights
    if meaningless:
        say(f"warning: {chosen} has random weights, it was never trained: this ranking means nothing")

    if as_json:
        typer.echo(json.dumps(ranking.to_dict(), indent=2))
    else:
        _print(ranking)
    failed = sum(item.error is not None for item in ranking)
    if failed:
        say(f"{failed} of these could not be read and stand last")
    if save is not None:
        ranking.save(save, top=top if top is not None else _PICTURED)
        say(f"saved {save}")


def choose(model: str | None, device: str | None) -> tuple[str, str | None]:
    """Choose the model: what was asked for, else what suits the machine.

    Returns:
        The model, and why it was chosen where nobody asked for it.

    Raises:
        MissingDependencyError: If torch is not installed.
    """
    if model is not None:
        return model, None
    torch = require("torch", "local", purpose="ranking")
    if not torch.cuda.is_available():
        return TINY, "the small bundled one, because there is no CUDA device"
    if device is not None and not device.startswith("cuda"):
        return TINY, f"the small bundled one, because of --device {device}"
    return DEFAULT_MODEL, "the published one, because there is a CUDA device"


def say(message: str) -> None:
    """Tell the person something that is not the result."""
    typer.echo(f"ziprerank: {one_line(message)}", err=True)


def _print(ranking: Ranking) -> None:
    # Outside a terminal nothing is folded, so that a line is a page.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100_000)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column("file", overflow="fold")
    table.add_column("page", justify="right")
    troubled = any(item.error is not None for item in ranking)
    if troubled:
        table.add_column("error", overflow="fold")
    for item in ranking:
        table.add_row(*_cells(item), *([_text(item.error)] if troubled else []))
    console.print(table)
    usage = ranking.usage
    if usage is not None:
        seconds = usage.ms.get("total", 0.0) / 1000
        counts = _count(usage.pages, "page", "s"), _count(usage.windows, "forward pass", "es")
        say(f"{counts[0]}, {counts[1]}, {seconds:.1f} s, {ranking.model}")


def _count(number: int, noun: str, plural: str) -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"


def _cells(item: RankedPage) -> list[Text]:
    page = item.page
    return [
        _text(str(item.rank)),
        _text(report.score_text(item.score) if item.error is None else "-"),
        _text(page.path if page.path is not None else page.source),
        _text("" if page.number is None else str(page.number)),
    ]


def _text(text: str | None) -> Text:
    # A file's name may hold anything, control sequences of the terminal included.
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text) if text is not None else "")
