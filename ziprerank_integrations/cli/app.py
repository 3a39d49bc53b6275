"""The commands of ``ziprerank`` and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import ziprerank_integrations
from ziprerank_integrations.cli import evaluate as evaluating
from ziprerank_integrations.cli import info as information
from ziprerank_integrations.cli import ranking
from ziprerank_integrations.cli import serve as serving
from ziprerank_integrations.cli import train as training

app = typer.Typer(
    help="Rank page images for a question, in one forward pass.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(training.app, name="train")
app.add_typer(evaluating.app, name="eval")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ziprerank {ziprerank_integrations.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


@app.command()
def rank(
    files: Annotated[list[Path], typer.Argument(help="PDFs and images, mixed as you like.")],
    query: Annotated[str, typer.Option("--query", "-q", help="The question to rank the pages for.")],
    top: Annotated[
        int | None, typer.Option("--top", "-n", help="How many of the best to give (default: all).")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Hub id, folder or 'tiny' (default: the published model on a CUDA machine, else 'tiny').",
        ),
    ] = None,
    pages: Annotated[
        str | None, typer.Option("--pages", help="Which pages of each PDF, such as 1-20 or 2-5,9 or 7-.")
    ] = None,
    keep_ratio: Annotated[
        float | None, typer.Option("--keep-ratio", help="Share of visual tokens that stay, in (0, 1].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ranking as JSON.")] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Save a picture of the best pages (.png, .jpg, .webp, .pdf)."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cuda, cuda:1, mps or cpu (default: the best there is).")
    ] = None,
    interaction: Annotated[
        str | None,
        typer.Option("--interaction", help="What pruning compares with: prompt, query or contextual."),
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", help="Pages in one forward pass, 2 to 20.")
    ] = None,
    stride: Annotated[int | None, typer.Option("--stride", help="How far the window moves.")] = None,
    max_side: Annotated[
        int | None, typer.Option("--max-side", help="Longest edge of a page in pixels, a multiple of 32.")
    ] = None,
    on_error: Annotated[
        str | None,
        typer.Option("--on-error", help="raise: an unreadable page ends the run; last: it is ranked last."),
    ] = None,
) -> None:
    """Rank the pages of PDFs and images for a question, best first."""
    options: dict[str, Any] = {
        "keep_ratio": keep_ratio,
        "interaction": interaction,
        "window": window,
        "stride": stride,
        "max_side": max_side,
        "on_error": on_error,
        "device": device,
    }
    given = {name: value for name, value in options.items() if value is not None}
    ranking.run(files, query, pages=pages, top=top, model=model, save=save, as_json=as_json, options=given)


@app.command()
def info(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Which model to describe (default: the one rank takes)."),
    ] = None,
) -> None:
    """Show versions, the device, the model and what is installed."""
    information.show(model)


@app.command()
def serve(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Hub id, folder or 'tiny' (default: the one rank takes)."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port to listen on.")] = 8000,
    api_key_env: Annotated[
        str | None,
        typer.Option("--api-key-env", help="The environment variable that holds the key clients must send."),
    ] = None,
    keep_ratio: Annotated[
        float | None, typer.Option("--keep-ratio", help="Share of visual tokens that stays, in (0, 1].")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cuda, cuda:1, mps or cpu (default: the best there is).")
    ] = None,
    max_side: Annotated[
        int | None, typer.Option("--max-side", help="Longest edge of a page in pixels, a multiple of 32.")
    ] = None,
    cache_bytes: Annotated[
        int | None, typer.Option("--cache-bytes", help="Memory for pages seen before; 0 turns it off.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds a request may take (default: 60).")
    ] = None,
    max_waiting: Annotated[
        int | None, typer.Option("--max-waiting", help="Requests that may wait (default: 64).")
    ] = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch images that clients name by URL.")
    ] = False,
) -> None:
    """Put the reranker behind HTTP."""
    options = {"keep_ratio": keep_ratio, "device": device, "max_side": max_side, "cache_bytes": cache_bytes}
    settings = {"timeout": timeout, "max_waiting": max_waiting, "allow_urls": allow_urls}
    serving.run(
        model=model,
        host=host,
        port=port,
        api_key_env=api_key_env,
        options={name: value for name, value in options.items() if value is not None},
        settings={name: value for name, value in settings.items() if value is not None},
    )
