"""The time of one window of 20 pages, stage by stage."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import flops, synthetic
from benchmarks.predictions import KEEP_RATIOS
from benchmarks.presets import Preset
from benchmarks.scenarios import Setup
from benchmarks.timing import cpu_clock, synchronize
from ziprerank_integrations import Page
from ziprerank_integrations.engine.encoder import batch_size
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.preprocess import patches, pixels
from ziprerank_integrations.engine.prompts import listwise
from ziprerank_integrations.engine.pruning import select_tokens
from ziprerank_integrations.engine.sequence import build


@torch.inference_mode()
def stages(setup: Setup, preset: Preset, rate: float, repeats: int) -> dict[str, dict[str, float]]:
    """Measure each stage alone.

    Returns:
        By stage, ``ms`` (median) and, where it is matrix arithmetic, ``tflop`` and ``share`` (of the
        machine's measured matrix-product rate).
    """
    checkpoint = setup.engine.runner.checkpoint
    sizes = checkpoint.config.sizes()
    device = checkpoint.device
    clock = cpu_clock(device)
    times: dict[str, dict[str, float]] = {}

    def measure(name: str, run: Callable[[], Any], work: float | None = None) -> Any:
        durations, result = [], run()
        for _ in range(repeats):
            synchronize(device)
            begin = clock()
            result = run()
            synchronize(device)
            durations.append(clock() - begin)
        seconds = statistics.median(durations)
        times[name] = {"ms": seconds * 1e3}
        if work is not None:
            times[name] |= {"tflop": work / 1e12, "share": work / seconds / rate}
        return result

    pages = Page.from_pdf(synthetic.pdf(20))
    images = measure("render", lambda: [pixels(page, sizes, 10**9) for page in pages])
    rows, columns = images[0].shape[0] // 16, images[0].shape[1] // 16
    patched = measure("preprocess", lambda: patches(torch.stack(images).to(device), checkpoint.config))
    tokens = rows * columns // 4
    batches = patched.split(batch_size(device.type, rows * columns))
    encoded = measure(
        "vision",
        lambda: [checkpoint.vision(batch, rows, columns) for batch in batches],
        20 * flops.vision(preset, tokens),
    )
    features = [
        PageFeatures(merged[i], tuple(level[i] for level in levels), rows // 2, columns // 2)
        for merged, levels in encoded
        for i in range(len(merged))
    ]
    prompt = measure("prompt", lambda: checkpoint.text.encode(listwise(synthetic.queries(1)[0], 20), 20))
    ids = torch.tensor(prompt.ids, device=device)
    text = checkpoint.language.embed(ids)
    for keep in KEEP_RATIOS:
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
    measure("letters", lambda: (checkpoint.answers @ hidden.float()).tolist())
    return times
