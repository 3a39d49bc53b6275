"""``ziprerank eval``: how well a model ranks, on MMDocIR or on one's own questions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ziprerank_integrations.cli.ranking import choose, say
from ziprerank_integrations.evaluation import firststage, mmdocir, pairs, table
from ziprerank_integrations.evaluation.questions import Question
from ziprerank_integrations.evaluation.run import Evaluation
from ziprerank_integrations.files import digest

app = typer.Typer(help="Measure how well a model ranks (extra 'eval').", no_args_is_help=True)

_Model = Annotated[str | None, typer.Option("--model", "-m", help="Hub id, folder or 'tiny'.")]
_Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the results; a stopped run goes on.")
]
_First = Annotated[
    Path | None, typer.Option("--first-stage", help="TREC run file; BM25 over the pages' text by default.")
]
_TopK = Annotated[int, typer.Option("--top-k", min=1, help="Pages of the first stage that are reranked.")]
_Sample = Annotated[int | None, typer.Option("--sample", min=1, help="So many questions, drawn from --seed.")]
_Seed = Annotated[int, typer.Option("--seed", help="Of the sample.")]
_Keep = Annotated[float, typer.Option("--keep-ratio", help="Share of visual tokens that stay, in (0, 1].")]
_Side = Annotated[int | None, typer.Option("--max-side", help="Longest edge of a page in pixels.")]
_Device = Annotated[str | None, typer.Option("--device", help="cuda, mps or cpu.")]


@app.command("mmdocir")
def on_mmdocir(
    pages: Annotated[Path, typer.Option("--pages", help="MMDocIR_pages.parquet.")],
    annotations: Annotated[Path, typer.Option("--annotations", help="MMDocIR_annotations.jsonl.")],
    output: _Output,
    model: _Model = None,
    first_stage: _First = None,
    top_k: _TopK = 20,
    sample: _Sample = None,
    seed: _Seed = 0,
    keep_ratio: _Keep = 1.0,
    max_side: _Side = None,
    device: _Device = None,
) -> None:
    """Rank the pages of MMDocIR's documents; the papers' figures stand below."""
    asked = mmdocir.questions(pages, annotations)
    options = {"keep_ratio": keep_ratio, "max_side": max_side, "device": device}
    _evaluate(
        asked, [pages, annotations], model, output, first_stage, top_k, sample, seed, options, paper=True
    )


@app.command("pairs")
def on_pairs(
    source: Annotated[Path, typer.Argument(help="JSONL of {query, pdf, pages}; pages count from 1.")],
    output: _Output,
    model: _Model = None,
    first_stage: _First = None,
    top_k: _TopK = 20,
    sample: _Sample = None,
    seed: _Seed = 0,
    keep_ratio: _Keep = 1.0,
    max_side: _Side = None,
    device: _Device = None,
) -> None:
    """Rank the pages of your own PDFs for your own questions."""
    asked = pairs.questions(source)
    options = {"keep_ratio": keep_ratio, "max_side": max_side, "device": device}
    _evaluate(asked, [source], model, output, first_stage, top_k, sample, seed, options, paper=False)


def _evaluate(
    asked: Iterable[Question],
    files: list[Path],
    model: str | None,
    output: Path,
    first_stage: Path | None,
    top_k: int,
    sample: int | None,
    seed: int,
    options: dict[str, Any],
    *,
    paper: bool,
) -> None:
    from ziprerank_integrations.local import ZipReranker

    chosen, why = choose(model, options["device"])
    if why is not None:
        say(f"model: {chosen} ({why})")
    with ZipReranker(chosen, **options) as reranker:
        evaluation = Evaluation(
            reranker=reranker,
            name=f"ziprerank-{options['keep_ratio']:g}",
            output=output,
            settings={
                "model": chosen,
                **options,
                "questions": [_named(file) for file in files],
                "first_stage": None if first_stage is None else _named(first_stage),
            },
            first_stage=None if first_stage is None else firststage.read_run(first_stage),
            top_k=top_k,
        )
        results = evaluation.run(asked, sample, seed)
    if not results:
        raise ValueError("there are no questions")
    report = table.markdown(results, paper=paper)
    (output / "table.md").write_text(report, encoding="utf-8")
    typer.echo(report, nl=False)


def _named(file: Path) -> list[object]:
    # Names, not contents, of large files: hashing 10 GB of pages would take longer than most evaluations.
    size = file.stat().st_size
    return [str(file), digest(str(file)) if size < 2**28 else size]
