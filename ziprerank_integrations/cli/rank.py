"""``ziprerank rank``: rank, print, save."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ziprerank_integrations.cli import preview
from ziprerank_integrations.cli.inputs import open_pages
from ziprerank_integrations.cli.options import RANK, Model, check_values, with_options
from ziprerank_integrations.engine.checkpoint_config import TINY
from ziprerank_integrations.errors import one_line, require
from ziprerank_integrations.options import DEFAULT_MODEL, check_query, check_top_n
from ziprerank_integrations.pictures import contact_sheet
from ziprerank_integrations.pictures import report as report_file
from ziprerank_integrations.types import RankedPage, Ranking

if TYPE_CHECKING:
    from ziprerank_integrations.cascade import Cascade
    from ziprerank_integrations.local import ZipReranker

_SAVED = 5


@with_options(RANK)
def rank(
    files: Annotated[list[Path], typer.Argument(help="PDFs and images, in any order.")],
    query: Annotated[str, typer.Option("--query", "-q", help="The question to rank the pages for.")],
    top: Annotated[
        int | None, typer.Option("--top", "-n", help="How many of the best pages to print. Default: all.")
    ] = None,
    model: Model = None,
    pages: Annotated[
        str | None, typer.Option("--pages", help="Pages of each PDF, such as 1-20 or 2-5,9 or 7-.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ranking as JSON.")] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Save an image of the best pages (.png, .jpg, .webp, .pdf)."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Save a report in one file: ranking, pictures and evidence (.html)."),
    ] = None,
    with_preview: Annotated[
        bool, typer.Option("--preview", help="Show pictures of the best pages in the terminal.")
    ] = False,
    **options: Any,
) -> None:
    """Rank the pages of PDFs and images for a question, best first."""
    # Options are checked before a model is loaded or a page is rendered.
    check_query(query)
    check_top_n(top)
    check_values(options)
    if save is not None:
        contact_sheet.check(save)
    if html is not None:
        report_file.check(html)
    if with_preview and as_json:
        raise ValueError("--preview and --json both use the standard output; choose one of them")
    if with_preview:
        preview.check()
    candidates = open_pages(files, pages, options["on_error"])
    chosen = choose_and_report(model, options["device"])

    from ziprerank_integrations.connect import local  # takes seconds: it imports torch

    with local(chosen, show_progress=sys.stderr.isatty(), **options) as reranker:
        ranking = reranker.rerank(query, candidates, top_n=top)
        similarity = {} if html is None else _similarity(reranker, ranking, top)
        name, random_weights = reranker.model, reranker.random_weights
    if random_weights:
        report(f"warning: {name} has random weights, it was never trained: this ranking means nothing")

    # Only the ranking goes to stdout, everything else to stderr.
    if as_json:
        typer.echo(json.dumps(ranking.to_dict(), indent=2))
    else:
        _print(ranking)
    failed = sum(item.error is not None for item in ranking)
    if failed:
        report(f"{failed} of these could not be read and are ranked last")
    if save is not None:
        ranking.save(save, top=top if top is not None else _SAVED)
        report(f"saved {save}")
    if html is not None:
        report_file.save(ranking, html, top=_reported(top), similarity=similarity)
        report(f"saved {html}")
    if with_preview:
        preview.show(ranking, top=preview.SHOWN if top is None else top)


def _reported(top: int | None) -> int:
    return report_file.SHOWN if top is None else top


def _similarity(
    reranker: ZipReranker | Cascade, ranking: Ranking, top: int | None
) -> dict[int, report_file.Similarity]:
    """Return the similarity maps of the pages that the report shows; of a cascade, its second model's."""
    ranked = ranking.items[: ranking.compared]
    shown = [item for item in ranked[: _reported(top)] if item.error is None]
    return {item.index: reranker.explain(ranking.query, item.page).similarity for item in shown}


def choose(model: str | None, device: str | None) -> tuple[str, str | None]:
    """Choose the model: the requested one, else by the machine.

    Args:
        model: The requested model, or None.
        device: The requested device, or None.

    Returns:
        The model, and the reason; None if it was requested.

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


def choose_and_report(model: str | None, device: str | None) -> str:
    """Return the model that `choose` selects, and report the reason unless it was requested."""
    chosen, why = choose(model, device)
    if why is not None:
        report(f"model: {chosen} ({why}; --model selects another)")
    return chosen


def report(message: str) -> None:
    """Print a message that is not part of the result to stderr."""
    typer.echo(f"ziprerank: {one_line(message)}", err=True)


def _print(ranking: Ranking) -> None:
    # Outside a terminal nothing is wrapped, so that each page is on one line.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100_000)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column("file", overflow="fold")
    table.add_column("page", justify="right")
    has_errors = any(item.error is not None for item in ranking)
    if has_errors:
        table.add_column("error", overflow="fold")
    for item in ranking:
        table.add_row(*_cells(item), *([_text(item.error)] if has_errors else []))
    console.print(table)
    usage = ranking.usage
    if usage is not None:
        seconds = usage.ms.get("total", 0.0) / 1000
        counts = _count(usage.pages, "page", "s"), _count(usage.windows, "forward pass", "es")
        report(f"{counts[0]}, {counts[1]}, {seconds:.1f} s, {ranking.model}")


def _count(number: int, noun: str, plural: str) -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"


def _cells(item: RankedPage) -> list[Text]:
    page = item.page
    return [
        _text(str(item.rank)),
        _text(contact_sheet.score_text(item.score) if item.error is None else "-"),
        _text(page.path if page.path is not None else page.source),
        _text("" if page.number is None else str(page.number)),
    ]


def _text(text: str | None) -> Text:
    # A file's name may contain anything, including terminal control sequences.
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text) if text is not None else "")
