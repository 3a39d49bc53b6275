"""The evaluation: small files in exactly MMDocIR's schema, end to end, its measures against ir-measures'."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ir_measures
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ir_measures import RR, R, nDCG

from tests.conftest import picture
from ziprerank_integrations import Page, RankedPage, Ranking
from ziprerank_integrations.cli import main
from ziprerank_integrations.evaluation import mmdocir, pairs
from ziprerank_integrations.evaluation.firststage import Bm25, read_run
from ziprerank_integrations.evaluation.metrics import measure
from ziprerank_integrations.evaluation.questions import DatasetError
from ziprerank_integrations.evaluation.run import Evaluation
from ziprerank_integrations.evaluation.table import averages, markdown

DOCUMENTS = {"report one.pdf": ("Financial report", 7), "guide.pdf": ("Guidebook", 5), "law.pdf": ("Laws", 3)}
WORDS = ["harbour", "energy", "tax", "library", "glass", "bridge", "school"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("mmdocir")
    rows: list[dict[str, Any]] = []
    lines = []
    for name, (domain, count) in DOCUMENTS.items():
        first = len(rows)
        for page in range(count):
            buffer = io.BytesIO()
            picture(len(rows), (80, 100)).save(buffer, "JPEG")
            text = f"{WORDS[page]} " * 3 + "and some more words"
            rows.append(
                {
                    "doc_name": name,
                    "domain": domain,
                    "passage_id": str(page),
                    "image_path": f"page_images/{name}_{page}.jpg",
                    "image_binary": buffer.getvalue(),
                    "ocr_text": text,
                    "vlm_text": text,
                }
            )
        asked = [
            {
                "Q": f"What about the {WORDS[1]}?",
                "A": "a",
                "type": "Text",
                "page_id": [1],
                "layout_mapping": [],
            },
            {
                "Q": f"{WORDS[0]} or {WORDS[2]}",
                "A": "b",
                "type": "Table",
                "page_id": [0, 2],
                "layout_mapping": [],
            },
        ]
        indices = [first, len(rows) - 1]
        lines.append(
            {
                "doc_name": name,
                "domain": domain,
                "page_indices": indices,
                "layout_indinces": [0, 0],
                "questions": asked,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), folder / "pages.parquet", row_group_size=4)
    (folder / "annotations.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder / "pages.parquet", folder / "annotations.jsonl"


class Backwards:
    """Ranks whatever it is given from the last to the first."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        self.calls.append([page.source for page in pages])
        order = list(reversed(range(len(pages))))
        items = [RankedPage(rank, i, 0.5**rank, 0.0, pages[i]) for rank, i in enumerate(order, 1)]
        return Ranking(tuple(items), query, "backwards")


def evaluation(folder: Path, reranker: Any, **options: Any) -> Evaluation:
    return Evaluation(reranker=reranker, name="test", output=folder, settings={"model": "m"}, **options)


def test_the_dataset_is_read_page_by_page(dataset: tuple[Path, Path]) -> None:
    asked = list(mmdocir.questions(*dataset))
    assert [question.id for question in asked[:3]] == ["report one.pdf#0", "report one.pdf#1", "guide.pdf#0"]
    assert asked[2].pages == ("0", "1", "2", "3", "4") and asked[3].relevant == {"0", "2"}
    # Pages 5 and 6 of the first document and 0 of the second lie in one row group.
    for question, page, seed in ((asked[0], "6", 6), (asked[2], "0", 7), (asked[5], "2", 14)):
        buffer = io.BytesIO()
        picture(seed, (80, 100)).save(buffer, "JPEG")
        assert question.page(page).fingerprint() == Page.from_image(buffer.getvalue()).fingerprint()
    assert asked[0].texts()["1"].startswith("energy")


def test_indices_that_leave_the_last_row_out_read_the_same(
    dataset: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in dataset[1].read_text().splitlines()]
    for row in rows:
        row["page_indices"][1] += 1
    path = tmp_path / "annotations.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    pages = [question.pages for question in mmdocir.questions(dataset[0], path)]
    assert pages == [question.pages for question in mmdocir.questions(*dataset)]


def test_bm25_finds_the_words(dataset: tuple[Path, Path]) -> None:
    bm25 = Bm25()
    for question in mmdocir.questions(*dataset):
        order = bm25.rank(question)
        assert sorted(order) == sorted(question.pages)
        assert set(order[: len(question.relevant)]) == question.relevant


def test_measures_equal_ir_measures() -> None:
    rng = random.Random(4)
    for _ in range(200):
        pages = [str(number) for number in range(rng.randrange(1, 30))]
        relevant = set(rng.sample(pages, rng.randrange(1, min(6, len(pages)) + 1)))
        if rng.random() < 0.3:
            relevant.add("a page that the first stage missed")
        ranked = rng.sample(pages, len(pages))
        qrels = {"q": dict.fromkeys(relevant, 1)}
        run = {"q": {page: float(len(ranked) - place) for place, page in enumerate(ranked)}}
        theirs = ir_measures.calc_aggregate([R @ 1, R @ 3, R @ 5, nDCG @ 5, RR], qrels, run)
        ours = measure(ranked, relevant)
        for name, metric in (
            ("R@1", R @ 1),
            ("R@3", R @ 3),
            ("R@5", R @ 5),
            ("nDCG@5", nDCG @ 5),
            ("MRR", RR),
        ):
            assert ours[name] == pytest.approx(theirs[metric], abs=1e-9)


def test_a_run_end_to_end_and_its_files(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    reranker = Backwards()
    results = evaluation(tmp_path, reranker, top_k=3).run(mmdocir.questions(*dataset))
    assert len(results) == 6 and all(len(call) == 3 for call in reranker.calls)
    first = results[0]
    assert first["before"]["R@1"] == 1 and first["after"]["R@1"] == 0 and first["after"]["R@3"] == 1
    # The run file holds all pages, the unseen ones behind, and gives the same measures.
    run = read_run(tmp_path / "run.trec")
    assert len(run["report one.pdf#0"]) == 7
    for line in results:
        assert measure(run[line["id"]], set(line["relevant"])) == line["after"]
    means = averages(results, "after")
    assert set(means) == {"Financial report", "Guidebook", "Laws", "macro", "micro"}
    by_domain = [means[name]["MRR"] for name in ("Financial report", "Guidebook", "Laws")]
    assert means["macro"]["MRR"] == pytest.approx(sum(by_domain) / 3)
    text = markdown(results, paper=True)
    assert "| macro | 6 |" in text and "| ZipRerank | 66.1 | 84.9 | 89.3 |" in text


def test_a_stopped_run_goes_on(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    whole = evaluation(tmp_path / "whole", Backwards()).run(mmdocir.questions(*dataset))
    stopped = tmp_path / "stopped"
    evaluation(stopped, Backwards()).run(mmdocir.questions(*dataset))
    lines = (stopped / "results.jsonl").read_text().splitlines(keepends=True)
    (stopped / "results.jsonl").write_text("".join(lines[:2]) + lines[2][:30])
    reranker = Backwards()
    again = evaluation(stopped, reranker).run(mmdocir.questions(*dataset))
    assert len(reranker.calls) == 4
    assert again == whole
    assert (stopped / "run.trec").read_text() == (tmp_path / "whole" / "run.trec").read_text()
    with pytest.raises(DatasetError, match="another top_k"):
        evaluation(stopped, Backwards(), top_k=5).run(mmdocir.questions(*dataset))


def test_a_sample_is_drawn_from_its_seed(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    drawn = [
        [
            line["id"]
            for line in evaluation(tmp_path / name, Backwards()).run(mmdocir.questions(*dataset), 3, seed)
        ]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert len(drawn[0]) == 3 and drawn[0] == drawn[1] != drawn[2]


def test_a_first_stage_of_ones_own(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    run = {question.id: list(reversed(question.pages)) for question in mmdocir.questions(*dataset)}
    reranker = Backwards()
    evaluation(tmp_path, reranker, first_stage=run).run(mmdocir.questions(*dataset))
    assert reranker.calls[-1] == [f"law.pdf, page {page}" for page in (2, 1, 0)]
    del run["law.pdf#1"]
    with pytest.raises(DatasetError, match=r"law\.pdf#1"):
        evaluation(tmp_path / "b", Backwards(), first_stage=run).run(mmdocir.questions(*dataset))


def test_the_command_on_mmdocir(
    dataset: tuple[Path, Path], tmp_path: Path, untied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "mmdocir", "--pages", str(dataset[0]), "--annotations", str(dataset[1])]
    command += ["--output", str(tmp_path / "out"), "--model", str(untied), "--keep-ratio", "0.5"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert (
        "| Financial report | 2 |" in out and "| MM-R5 | 68.5 |" in out and "Milliseconds a question" in out
    )
    assert (tmp_path / "out" / "table.md").read_text() == out
    assert (
        main(
            [
                "eval",
                "mmdocir",
                "--pages",
                str(dataset[1]),
                "--annotations",
                str(dataset[1]),
                "-o",
                str(tmp_path / "none"),
            ]
        )
        == 1
    )
    assert "no parquet file" in capsys.readouterr().err


def test_the_command_on_ones_own_questions(
    tmp_path: Path, untied: Path, make_pdf: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pdf = make_pdf(6)
    rows = [
        {"query": f"topic {7 * page}", "pdf": str(pdf), "pages": [page], "domain": "x"} for page in (2, 5)
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    command = ["eval", "pairs", str(path), "--output", str(tmp_path / "out"), "--model", str(untied)]
    assert main([*command, "--max-side", "128", "--top-k", "4"]) == 0
    out = capsys.readouterr().out
    assert "| x | 2 | 100.0 → " in out and "MM-R5" not in out
    path.write_text(json.dumps({"query": "q", "pdf": str(pdf), "pages": [9]}))
    with pytest.raises(DatasetError, match=r"line 1: .*a PDF of 6 pages"):
        list(pairs.questions(path))
    rows[0]["pages"] = [3]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert main([*command, "--max-side", "128", "--top-k", "4"]) == 1
    assert "another questions" in capsys.readouterr().err
