"""``ziprerank train probe``: choose the exit and the band of a pointwise checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ziprerank_integrations.cli.rank import report
from ziprerank_integrations.errors import require


def probe(
    model: Annotated[str, typer.Argument(help="Hub id, folder or 'tiny'.")],
    data: Annotated[Path, typer.Argument(help="JSONL of {query, pages, answers}.")],
    save: Annotated[
        Path | None, typer.Option("--save", help="Save the curves as a picture, such as probe.png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the curves as JSON.")] = False,
    device: Annotated[
        str | None, typer.Option("--device", help="cuda, cuda:1, mps or cpu. Default: the best available.")
    ] = None,
    instruction: Annotated[
        str | None, typer.Option("--instruction", help="What relevance means. Default: the checkpoint's.")
    ] = None,
    max_side: Annotated[
        int | None, typer.Option("--max-side", help="Longest edge of a page in pixels, a multiple of 32.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the pages that answers are compared with.")
    ] = 0,
) -> None:
    """Measure, layer by layer, how well a checkpoint orders pages and how much the page changes the query."""
    from ziprerank_integrations.pictures import contact_sheet
    from ziprerank_integrations.pictures.line_chart import Panel, line_chart

    for module in ("torch", "transformers"):
        require(module, "local", purpose="probing")
    if save is not None:
        contact_sheet.check(save)
    from ziprerank_integrations.training import probe as probing

    options = {"device": device, "instruction": instruction, "max_side": max_side}
    result = probing.probe(model, data, **options, seed=seed)  # type: ignore[arg-type]
    if save is not None:
        summary = f"{result.questions} relevant pages, {result.pages} pages in all"
        choice = f"suggested: exit {result.exit} (line), band {result.band[0]} to {result.band[1]} (shaded)"
        line_chart(
            f"Layers of {model}",
            [f"{summary}; {choice}"],
            [
                Panel(
                    "pairwise accuracy if the model exits after the layer (dashed: chance)",
                    result.accuracy,
                    0.5,
                ),
                Panel("cosine of the query's states with the relevant and with another page", result.cosine),
            ],
            band=result.band,
            mark=result.exit,
        ).save(save)
        report(f"saved {save}")
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("layer", "accuracy", "AUC", "cosine"):
        table.add_column(name, justify="right")
    for layer, row in enumerate(zip(result.accuracy, result.auc, result.cosine, strict=True), 1):
        table.add_row(str(layer), *(f"{value:.4f}" for value in row))
    Console(highlight=False).print(table)
    typer.echo(f"{result.questions} relevant pages, {result.pages} pages in all")
    typer.echo(probing.RULE)
    typer.echo(f"suggested: exit: {result.exit}, band: [{result.band[0]}, {result.band[1]}]")
