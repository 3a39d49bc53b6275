"""The commands of ``ziprerank``."""

from __future__ import annotations

from typing import Annotated

import typer

import ziprerank_integrations
from ziprerank_integrations.cli import evaluate, index, info, rank, serve, show, train

app = typer.Typer(
    help="Rank page images for a question, in one forward pass.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("rank")(rank.rank)
app.command("index")(index.index)
app.command("info")(info.info)
app.command("serve")(serve.serve)
app.command("show")(show.show)
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="eval")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"ziprerank {ziprerank_integrations.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
