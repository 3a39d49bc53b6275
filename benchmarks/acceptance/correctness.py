"""Equal to transformers' own forward, and to itself."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F

from benchmarks import synthetic
from benchmarks.acceptance.report import Row
from benchmarks.acceptance.setup import Setup
from benchmarks.baseline import Baseline
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.presets import PRESETS, stock_model, wrap
from ziprerank_integrations import Page, Ranking, ZipReranker
from ziprerank_integrations.engine.attention import attend
from ziprerank_integrations.engine.device import release_memory

CPU = torch.device("cpu")


def logits(ranking: Ranking) -> torch.Tensor:
    """Return the logits in the order of the candidates."""
    values = {item.index: item.logit for item in ranking}
    return torch.tensor([values[index] for index in sorted(values)], device="cpu", dtype=torch.float64)


def single_precision(setup: Setup) -> list[Row]:
    """Compare a model in float32 with transformers on the device, and with the engine on the CPU."""
    torch.backends.cudnn.allow_tf32 = False
    preset = PRESETS["toy" if setup.name == "toy" else "small"]
    stock = stock_model(preset, CPU, torch.float32)
    reference = LoadedEngine(wrap(stock, preset))
    model = wrap(copy.deepcopy(stock).to(setup.device), preset)
    engine, baseline = LoadedEngine(model), Baseline(model, preset.max_side)
    query = synthetic.queries(1)[0]
    images = synthetic.images(7, preset.max_side)
    images[2:4] = [image.rotate(90, expand=True) for image in images[2:4]]
    pages = [Page.from_image(image) for image in images]
    expected = torch.tensor(baseline.logits(query, images), device="cpu", dtype=torch.float64)
    spread = float(expected.std())
    rows = []
    for state in ("cold", "warm"):
        error = float((logits(engine.rank(query, pages, keep_ratio=1.0)) - expected).abs().max())
        rows.append(Row(f"float32, {state}, against transformers", error / spread, "of the spread", 1e-4))
    for interaction in ("prompt", "query", "contextual"):
        for keep in (0.5, 0.25):
            options = {"keep_ratio": keep, "interaction": interaction}
            ours, theirs = (
                logits(each.rank(query, pages, **options))  # type: ignore[arg-type]
                for each in (engine, reference)
            )
            error = float((ours - theirs).abs().max()) / spread
            rows.append(
                Row(f"float32, keep {keep}, {interaction}, against the CPU", error, "of the spread", 1e-4)
            )
    return rows


def half_precision(setup: Setup) -> list[Row]:
    """Compare engine and transformers in the model's dtype with transformers in float32."""
    queries, images, pages = synthetic.queries(8), setup.images[:5], setup.pages[:5]

    def stock(baseline: Baseline) -> torch.Tensor:
        values = [baseline.logits(query, images) for query in queries]
        return torch.tensor(values, device="cpu", dtype=torch.float64)

    ours = torch.stack([logits(setup.engine.rank(query, pages, keep_ratio=1.0)) for query in queries])
    theirs = stock(Baseline(setup.model, setup.preset.max_side))
    exact_model = wrap(copy.deepcopy(setup.model.stock).float(), setup.preset)
    reference = stock(Baseline(exact_model, setup.preset.max_side))
    del exact_model
    release_memory(setup.device)
    own, other = (float((values - reference).norm() / reference.norm()) for values in (ours, theirs))
    return [
        Row(f"{setup.dtype}: error of transformers", other, "relative"),
        Row(f"{setup.dtype}: error of the engine", own, "relative", max(1.5 * other, 1e-4)),
    ]


def attention(setup: Setup) -> list[Row]:
    """Compare each attention kernel with float32 arithmetic."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    _, _, heads, groups, head, _, _ = setup.preset.text
    query = torch.randn(1, 2_048, heads, head, device=setup.device, dtype=setup.dtype)
    key, value = torch.randn(2, 1, 2_048, groups, head, device=setup.device, dtype=setup.dtype)
    exact = attend(query.float(), key.float(), value.float(), causal=True, kernel="eager")

    def error(output: torch.Tensor, expected: torch.Tensor) -> float:
        return float((output.float() - expected).norm() / expected.norm())

    rows = [
        Row(
            "attention as chosen",
            error(attend(query, key, value, causal=True, kernel="sdpa"), exact),
            "",
            1e-2,
        )
    ]
    last = attend(query[:, -1:], key, value, causal=True, kernel="sdpa")
    rows.append(Row("attention of one query", error(last, exact[:, -1:]), "", 1e-2))
    if setup.device.type != "cuda":
        return rows
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    k, v = (x.repeat_interleave(heads // groups, 1) for x in (k, v))
    for name in ("CUDNN_ATTENTION", "FLASH_ATTENTION", "EFFICIENT_ATTENTION"):
        with sdpa_kernel(getattr(SDPBackend, name)):
            output = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        rows.append(Row(f"attention, {name.lower()}", error(output, exact), "", 1e-2))
    return rows


def repeatable(setup: Setup) -> list[Row]:
    """Compare runs with each other: repeated, in other batches, from the cache, in two threads."""
    query, engine, pages = synthetic.queries(1)[0], setup.engine, setup.pages
    engine.clear_cache()
    rankings = [engine.rank(query, pages, keep_ratio=0.25) for _ in range(5)]
    different = sum(not torch.equal(logits(each), logits(rankings[0])) for each in rankings)
    rows = [Row("runs that differ, of 5, the first one cold", different, "runs", 0)]
    kept = [
        set(item.evidence.kept) for item in sorted(rankings[0], key=lambda item: item.index) if item.evidence
    ]
    for batch in (1, 7):
        engine.clear_cache()
        for start in range(0, len(pages), batch):
            engine.prepare(pages[start : start + batch])
        ranking = engine.rank(query, pages, keep_ratio=0.25)
        again = [
            set(item.evidence.kept) for item in sorted(ranking, key=lambda item: item.index) if item.evidence
        ]
        overlap = min(len(a & b) / len(a | b) for a, b in zip(kept, again, strict=True))
        rows.append(
            Row(
                f"kept tokens, encoded {batch} at a time: overlap of the worst page",
                overlap,
                "Jaccard",
                0.99,
                at_least=True,
            )
        )
    engine.rank(query, pages, keep_ratio=0.25)
    texts = synthetic.queries(6)
    serial = [logits(engine.rank(text, pages, keep_ratio=0.25)) for text in texts]
    with ThreadPoolExecutor(2) as pool:
        parallel = list(pool.map(lambda text: logits(engine.rank(text, pages, keep_ratio=0.25)), texts))
    different = sum(not torch.equal(a, b) for a, b in zip(serial, parallel, strict=True))
    rows.append(Row("queries that differ in two threads, of 6", different, "queries", 0))
    return rows


def bundled(setup: Setup) -> list[Row]:
    """Load the bundled checkpoint as a user does, and compare its scores with those on the CPU."""
    pages = [
        Page.from_text(text) for text in ("Harbour fees 2023", "Ferry timetable", "Staff of the library")
    ]
    query = "When does the ferry leave?"
    with ZipReranker("tiny", device="cpu", dtype="float32") as reference:
        expected = reference.rerank(query, pages)
    rows = []
    for dtype in ("float32", None):
        with ZipReranker("tiny", device=str(setup.device), dtype=dtype) as reranker:
            ranking = reranker.rerank(query, pages)
        error = float((logits(ranking) - logits(expected)).abs().max())
        name = "the default dtype" if dtype is None else dtype
        rows.append(Row(f"tiny, {name}: logits", error, "difference", 1e-3 if dtype else None))
        same = next(iter(ranking)).index == next(iter(expected)).index
        rows.append(Row(f"tiny, {name}: the same page is first", float(same), "", 1, at_least=True))
    return rows
