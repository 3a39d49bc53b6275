"""``ziprerank train``: adapt a checkpoint to one's own documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ziprerank_integrations.errors import require

app = typer.Typer(help="Adapt a checkpoint to your own documents (extra 'train').", no_args_is_help=True)

_Config = Annotated[Path, typer.Option("--config", "-c", help="The recipe, a YAML file.")]


@app.command()
def stage1(config: _Config) -> None:
    """Learn to rank from passages drawn as images."""
    _train(config, 1)


@app.command()
def stage2(config: _Config) -> None:
    """Learn to rank pages, from a teacher's rankings and known answers."""
    _train(config, 2)


def _train(config: Path, stage: int) -> None:
    for module in ("torch", "transformers"):
        require(module, "local", purpose="training")
    from ziprerank_integrations.training.recipe import load

    recipe = load(config, stage)
    from ziprerank_integrations.training.run import train

    typer.echo(f"saved {train(recipe)}", err=True)


@app.command()
def distill(
    source: Annotated[Path, typer.Argument(help="JSONL of {query, pages}.")],
    target: Annotated[Path, typer.Argument(help="JSONL that gets the rankings; a stopped run goes on.")],
    url: Annotated[str, typer.Option("--url", help="Base of an OpenAI-compatible endpoint.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The teacher's name there.")],
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Environment variable that holds the key.")
    ] = None,
    max_side: Annotated[
        int, typer.Option("--max-side", help="Longest edge in pixels of what is sent.")
    ] = 1024,
    workers: Annotated[int, typer.Option("--workers", help="Questions asked at once.")] = 4,
    shuffle: Annotated[bool, typer.Option(help="Show the candidates in a drawn order.")] = True,
) -> None:
    """Ask a teacher for rankings."""
    from ziprerank_integrations.training.distill import Teacher, distill

    key = None
    if api_key_env is not None:
        key = os.environ.get(api_key_env)
        if key is None:
            raise ValueError(f"--api-key-env: the environment has no {api_key_env}")
    teacher = Teacher(url=url, model=model, api_key=key, max_side=max_side, shuffle=shuffle)
    failed = distill(source, target, teacher, workers=workers)
    typer.echo(f"wrote {target}" + (f"; {failed} questions were left out" if failed else ""), err=True)
    if failed:
        raise typer.Exit(1)
