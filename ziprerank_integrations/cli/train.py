"""``ziprerank train``: finetune a checkpoint on your own documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ziprerank_integrations.checks import key_from_env
from ziprerank_integrations.cli.probe import probe
from ziprerank_integrations.errors import require
from ziprerank_integrations.training import distill as distillation

app = typer.Typer(help="Finetune a checkpoint on your own documents (extra 'train').", no_args_is_help=True)
app.command()(probe)

_Config = Annotated[Path, typer.Option("--config", "-c", help="The recipe, a YAML file.")]


@app.command()
def stage1(config: _Config) -> None:
    """Train on passages that are rendered as images."""
    _train(config, 1)


@app.command()
def stage2(config: _Config) -> None:
    """Train on pages, with a teacher's rankings and known answers."""
    _train(config, 2)


@app.command()
def pointwise(config: _Config) -> None:
    """Train on single pages, relevant or not; the checkpoint scores each page alone."""
    _train(config, "pointwise")


def _train(config: Path, stage: int | str) -> None:
    for module in ("torch", "transformers"):
        require(module, "local", purpose="training")
    from ziprerank_integrations.training.recipe import load

    recipe = load(config, stage)
    from ziprerank_integrations.training.run import train

    typer.echo(f"saved {train(recipe)}", err=True)


@app.command()
def distill(
    source: Annotated[Path, typer.Argument(help="JSONL of {query, pages}.")],
    target: Annotated[Path, typer.Argument(help="JSONL with the rankings; a stopped run continues.")],
    url: Annotated[str, typer.Option("--url", help="Base URL of an OpenAI-compatible endpoint.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The teacher's name at the endpoint.")],
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Environment variable with the endpoint's API key.")
    ] = None,
    max_side: Annotated[
        int, typer.Option("--max-side", help="Longest edge in pixels of the images that are sent.")
    ] = distillation.Teacher.max_side,
    workers: Annotated[
        int, typer.Option("--workers", help="Requests in flight at once.")
    ] = distillation.WORKERS,
    shuffle: Annotated[
        bool, typer.Option(help="Send the candidates in a random order.")
    ] = distillation.Teacher.shuffle,
) -> None:
    """Get rankings from a teacher model."""
    key = None if api_key_env is None else key_from_env(api_key_env)
    teacher = distillation.Teacher(url=url, model=model, api_key=key, max_side=max_side, shuffle=shuffle)
    failed = distillation.distill(source, target, teacher, workers=workers)
    typer.echo(f"wrote {target}" + (f"; {failed} questions were left out" if failed else ""), err=True)
    if failed:
        raise typer.Exit(1)
