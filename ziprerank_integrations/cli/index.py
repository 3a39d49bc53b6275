"""``ziprerank index``: encode pages into a page store, before any question is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ziprerank_integrations.cli.inputs import open_pages
from ziprerank_integrations.cli.options import INDEX, Model, check_values, with_options
from ziprerank_integrations.cli.rank import choose_and_report, report


@with_options(INDEX)
def index(
    files: Annotated[list[Path], typer.Argument(help="PDFs and images.")],
    store: Annotated[Path, typer.Option("--store", help="Folder of the page store; it is created.")],
    model: Model = None,
    pages: Annotated[
        str | None, typer.Option("--pages", help="Pages of each PDF, such as 1-20 or 2-5,9 or 7-.")
    ] = None,
    **options: Any,
) -> None:
    """Encode the pages of PDFs and images into a folder; ranking with --page-store reads them from there."""
    check_values(options)
    candidates = open_pages(files, pages, options["on_error"])
    chosen = choose_and_report(model, options["device"])

    from ziprerank_integrations.local import ZipReranker  # takes seconds: it imports torch

    progress = sys.stderr.isatty()
    # Without a cache in memory: each page is encoded once, and the folder keeps it.
    with ZipReranker(chosen, page_store=store, cache_bytes=0, show_progress=progress, **options) as reranker:
        usage = reranker.prepare(candidates)
    failed = usage.pages - usage.encoded - usage.cached
    report(f"{usage.encoded} pages encoded, {usage.cached} were in {store}")
    if failed > 0:
        report(f"{failed} pages are equal to others or could not be read")
