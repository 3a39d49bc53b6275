"""``ziprerank eval``: how well a model ranks, on MMDocIR or on your own questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ziprerank_integrations import atomic
from ziprerank_integrations.cli.options import EVAL, Model, with_options
from ziprerank_integrations.cli.rank import choose, report
from ziprerank_integrations.evaluation import first_stage as first_stages
from ziprerank_integrations.evaluation import fit, mmdocir, pairs, table
from ziprerank_integrations.evaluation.questions import Question
from ziprerank_integrations.evaluation.run import Evaluation
from ziprerank_integrations.pages.files import digest
from ziprerank_integrations.pictures.line_chart import Panel, line_chart

app = typer.Typer(help="Measure how well a model ranks (extra 'eval').", no_args_is_help=True)

_Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the results; a stopped run continues.")
]
_FirstStage = Annotated[
    Path | None, typer.Option("--first-stage", help="TREC run file. Default: BM25 over the pages' text.")
]
_TopK = Annotated[int, typer.Option("--top-k", min=1, help="Pages of the first stage that are reranked.")]
_Sample = Annotated[
    int | None, typer.Option("--sample", min=1, help="Number of random questions. Default: all questions.")
]
_Fit = Annotated[
    bool, typer.Option("--fit", help="Find the --retriever-weight that the questions support, if they do.")
]
_Seed = Annotated[int, typer.Option("--seed", help="Seed of the sample.")]


@app.command("mmdocir")
@with_options(EVAL)
def on_mmdocir(
    pages: Annotated[Path, typer.Option("--pages", help="MMDocIR_pages.parquet.")],
    annotations: Annotated[Path, typer.Option("--annotations", help="MMDocIR_annotations.jsonl.")],
    output: _Output,
    model: Model = None,
    first_stage: _FirstStage = None,
    top_k: _TopK = Evaluation.top_k,
    sample: _Sample = None,
    seed: _Seed = 0,
    with_fit: _Fit = False,
    **options: Any,
) -> None:
    """Rank the pages of MMDocIR's documents, with the published figures for comparison."""
    data = _Data(mmdocir.questions(pages, annotations), [pages, annotations], published=True)
    _evaluate(data, model, output, first_stage, top_k, sample, seed, with_fit, options)


@app.command("pairs")
@with_options(EVAL)
def on_pairs(
    source: Annotated[Path, typer.Argument(help="JSONL of {query, pdf, pages}; pages count from 1.")],
    output: _Output,
    model: Model = None,
    first_stage: _FirstStage = None,
    top_k: _TopK = Evaluation.top_k,
    sample: _Sample = None,
    seed: _Seed = 0,
    with_fit: _Fit = False,
    **options: Any,
) -> None:
    """Rank the pages of your own PDFs for your own questions."""
    data = _Data(pairs.questions(source), [source], published=False)
    _evaluate(data, model, output, first_stage, top_k, sample, seed, with_fit, options)


@dataclass(frozen=True)
class _Data:
    """Questions, the files that they are from, and whether there are published figures for them."""

    questions: Iterable[Question]
    files: list[Path]
    published: bool


def _evaluate(
    data: _Data,
    model: str | None,
    output: Path,
    first_stage: Path | None,
    top_k: int,
    sample: int | None,
    seed: int,
    with_fit: bool,
    options: Mapping[str, Any],
) -> None:
    if with_fit and options["retriever_weight"]:
        raise ValueError("--fit finds the weight: it cannot be combined with --retriever-weight")
    from ziprerank_integrations.connect import local

    chosen, why = choose(model, options["device"])
    if why is not None:
        report(f"model: {chosen} ({why})")
    with local(chosen, **options) as reranker:
        evaluation = Evaluation(
            reranker=reranker,
            name="-".join(
                [
                    "ziprerank" if options["first_model"] is None else "cascade",
                    *([] if options["keep_ratio"] is None else [f"{options['keep_ratio']:g}"]),
                ]
            ),
            output=output,
            settings={
                "model": chosen,
                **options,
                "questions": [_fingerprint(file) for file in data.files],
                "first_stage": None if first_stage is None else _fingerprint(first_stage),
            },
            first_stage=None if first_stage is None else first_stages.read_scores(first_stage),
            top_k=top_k,
        )
        results = evaluation.run(data.questions, sample, seed)
    if not results:
        raise ValueError("there are no questions")
    text = table.markdown(results, paper=data.published)
    atomic.write_text(output / "table.md", text)
    typer.echo(text, nl=False)
    if with_fit:
        fitted = fit.fit(results, seed)
        atomic.write_text(output / "fit.md", fit.markdown(fitted))
        save_chart(fitted, output / "fit.png")
        typer.echo("\n" + fit.markdown(fitted), nl=False)
        report(f"saved {output / 'fit.png'}")


def save_chart(fitted: fit.Fit, path: Path) -> None:
    """Save the quality over the weight as an image; dashed lines are the first stage alone."""
    weights = list(fitted.by_weight)
    chart = line_chart(
        "Quality over the retriever's weight",
        [f"{fitted.questions} questions; dashed: the first stage alone", fitted.sentence],
        [
            Panel(name, [fitted.by_weight[weight][name] for weight in weights], fitted.before[name])
            for name in ("R@1", "nDCG@5", "MRR")
        ],
        mark=weights.index(fitted.weight) + 1,
        axis="retriever_weight",
        labels=[f"{weight:g}" for weight in weights],
    )
    with atomic.replacing(path) as temporary:
        chart.save(temporary, "PNG")


def _fingerprint(file: Path) -> list[object]:
    # Size instead of contents for large files: hashing 10 GB of pages takes longer than most evaluations.
    size = file.stat().st_size
    return [str(file), digest(str(file)) if size < 2**28 else size]
