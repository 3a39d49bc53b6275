"""Where the time of one window of 20 pages goes, stage by stage."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import flops, material
from benchmarks.presets import Preset
from benchmarks.scenarios import KEEP, Bench
from ziprerank_integrations import Page
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.preprocess import patches, pixels
from ziprerank_integrations.engine.pruning import select_tokens
from ziprerank_integrations.engine.runtime import batch_size
from ziprerank_integrations.engine.sequence import build
from ziprerank_integrations.options import CallOptions
from ziprerank_integrations.prompts import listwise


@torch.inference_mode()
def stages(bench: Bench, preset: Preset, rate: float, repeats: int = 5) -> dict[str, dict[str, float]]:
    """Time each stage alone.

    Returns:
        By stage, ``ms`` (median) and, where it is matrix arithmetic, ``tflop`` and ``share`` (of the
        machine's measured matrix-product rate).
    """
    runtime = bench.ours.runtime
    checkpoint, sizes = runtime.checkpoint, runtime.sizes(CallOptions())
    device = checkpoint.device
    found: dict[str, dict[str, float]] = {}

    def measure(name: str, run: Callable[[], Any], work: float | None = None) -> Any:
        taken, result = [], run()
        for _ in range(repeats):
            _settle(device)
            begin = time.perf_counter()
            result = run()
            _settle(device)
            taken.append(time.perf_counter() - begin)
        seconds = statistics.median(taken)
        found[name] = {"ms": seconds * 1e3}
        if work is not None:
            found[name] |= {"tflop": work / 1e12, "share": work / seconds / rate}
        return result

    pages = Page.from_pdf(material.pdf(20))
    drawn = measure("render", lambda: [pixels(page, sizes, 10**9) for page in pages])
    batch = torch.stack(drawn).to(device)
    high, wide = batch.shape[1] // 16, batch.shape[2] // 16
    cut = measure("preprocess", lambda: patches(torch.stack(drawn).to(device), checkpoint.geometry))
    tokens = high * wide // 4
    parts = cut.split(batch_size(device.type, high * wide))
    encoded = measure(
        "vision",
        lambda: [checkpoint.vision(part, high, wide) for part in parts],
        20 * flops.vision(preset, tokens),
    )
    features = [
        PageFeatures(merged[i], tuple(level[i] for level in levels), high // 2, wide // 2)
        for merged, levels in encoded
        for i in range(len(merged))
    ]
    prompt = measure("prompt", lambda: checkpoint.text.encode(listwise(material.questions(1)[0], 20), 20))
    ids = torch.tensor(prompt.ids, device=device)
    text = checkpoint.language.embed(ids)
    for keep in KEEP:
        kept = None
        if keep < 1:
            vectors, visual = text[: prompt.images[0]], [page.embeddings for page in features]
            kept = measure(f"prune, keep {keep}", lambda: select_tokens(vectors, visual, keep))  # noqa: B023
        sequence = measure(f"sequence, keep {keep}", lambda: build(text, prompt, features, kept))  # noqa: B023
        length = len(sequence.embeddings)

        def forward(sequence: Any = sequence) -> Any:
            return checkpoint.language.last(
                sequence.embeddings, sequence.positions, sequence.visual, sequence.deepstack
            )

        work = flops.language(preset, length, last_only=True, logits=0)
        hidden = measure(f"language model, keep {keep} ({length:,} tokens)", forward, work)
    measure("letters", lambda: (checkpoint.letters @ hidden.float()).tolist())
    return found


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
