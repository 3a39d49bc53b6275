"""Measure BM25 and a reranker on real PDFs and on scans of them: ``python -m benchmarks.real.measure``.

Missing PDFs are downloaded by `benchmarks.real.fetch`. `benchmarks.real.settings` states the candidates of
each setting. A run that was stopped continues where it stopped; features of pages are kept in ``pages`` of
the folder. ``--retriever-weight`` fuses the reranker with the ranks of the first stage.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import table
from benchmarks.environment import environment, write
from benchmarks.real import settings as real_settings
from benchmarks.real.dataset import FOLDER, QUESTIONS, Dataset, load
from benchmarks.real.fetch import fetch
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.evaluation import fit
from ziprerank_integrations.evaluation.metrics import METRICS
from ziprerank_integrations.evaluation.run import Evaluation
from ziprerank_integrations.evaluation.table import averages


def digest(model: str, questions: Path) -> str:
    """Return a digest of the weights and of the questions, which a folder of results belongs to."""
    folder = Path(__file__).resolve().parents[2] / "ziprerank_integrations" / "checkpoints" / model
    weights = folder if folder.is_dir() else Path(model)
    sums = hashlib.sha256(questions.read_bytes())
    for file in sorted(weights.glob("*.safetensors")):
        sums.update(file.read_bytes())
    return sums.hexdigest()[:12]


def measure(
    dataset: Dataset, setting: str, reranker: ZipReranker, folder: Path, output: Path, seed: int
) -> list[dict[str, Any]]:
    """Rank the candidates of all questions in one setting.

    Args:
        dataset: Documents and questions.
        setting: A key of `settings.SETTINGS`.
        reranker: The reranker to measure.
        folder: The folder with the PDFs.
        output: A folder for results; see `Evaluation`.
        seed: Of the windows of scans.

    Returns:
        One line per question, as in ``results.jsonl``.
    """
    evaluation = Evaluation(
        reranker=reranker,
        name=setting,
        output=output,
        settings={"setting": setting},
        top_k=real_settings.CANDIDATES,
    )
    return evaluation.run(real_settings.SETTINGS[setting](dataset, folder, seed), seed=seed)


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of all questions before and after reranking, and by what contains the answer."""
    return {stage: averages(lines, stage) for stage in ("before", "after")}


def render(results: dict[str, Any]) -> str:
    """Return the machine and the tables, in percent."""
    lines = [*table.environment(results), "", f"{results['questions']} questions, in percent:", ""]
    lines += ["| pages | ranking | " + " | ".join(METRICS) + " |", "|---|---|" + "--:|" * len(METRICS)]
    for setting, ways in results["settings"].items():
        first = "file order" if setting == "scans" else "BM25"
        rows = [(first, next(iter(ways.values()))["before"])]
        rows += [(f"{results['model']}, {way}", result["after"]) for way, result in ways.items()]
        for name, means in rows:
            cells = " | ".join(f"{100 * means['micro'][column]:.1f}" for column in METRICS)
            lines.append(f"| {setting} | {name} | {cells} |")
    for setting, ways in results["settings"].items():
        for way, result in ways.items():
            if result["lines"][0]["logits"] is not None:
                fitted = fit.markdown(fit.fit(result["lines"]))
                lines += ["", f"The retriever's weight on {setting}, {way}:", "", fitted.rstrip()]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the results as a table and write them to files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real.measure", description=__doc__)
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="with the PDFs; results are written there too"
    )
    parser.add_argument(
        "--setting", choices=real_settings.SETTINGS, action="append", help="repeatable; text and scans"
    )
    parser.add_argument("--keep-ratio", type=float, action="append", help="repeatable; 0.25")
    parser.add_argument("--retriever-weight", type=float, action="append", help="repeatable; 0, no fusion")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--seed", type=int, default=0, help="of the windows of scans")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for torch")
    parser.add_argument("--json", type=Path, help="output file; the tables are written beside it as .md")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    dataset = load(args.questions)
    for document in dataset.documents.values():
        fetch(document, args.folder)
    name = digest(args.model, args.questions)
    settings: dict[str, dict[str, Any]] = {}
    for setting in args.setting or ["text", "scans"]:
        settings[setting] = {}
        for ratio, weight in itertools.product(args.keep_ratio or [0.25], args.retriever_weight or [0.0]):
            way = f"keep {ratio:g}" + (f", retriever weight {weight:g}" if weight else "")
            output = args.folder / "runs" / f"{name}-{setting}-{ratio:g}-{weight:g}-{args.seed}"
            with ZipReranker(
                args.model,
                keep_ratio=ratio,
                retriever_weight=weight,
                device="cpu",
                page_store=args.folder / "pages",
            ) as reranker:
                lines = measure(dataset, setting, reranker, args.folder, output, args.seed)
            settings[setting][way] = {**summary(lines), "lines": lines}
    results: dict[str, Any] = {
        **environment("benchmarks.real.measure", arguments, torch.device("cpu")),
        "model": args.model,
        "digest": name,
        "questions": len(dataset.questions),
        "candidates": real_settings.CANDIDATES,
        "settings": settings,
    }
    write(results, render(results), args.json)


if __name__ == "__main__":
    main()
