"""Where a checkpoint could leave early, and in which layers a query needs the page.

Source: miniReranker (arXiv 2606.10759), figures 7 to 10: a logit lens over the layers, and how much the page
changes the query's hidden states. Both are measured with the page first, all layers and no pruning.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.checkpoint import pick_device
from ziprerank_integrations.engine.scorers.pointwise import PointwiseScorer
from ziprerank_integrations.training import records
from ziprerank_integrations.training.decoder import states
from ziprerank_integrations.training.pairs import PairSamples
from ziprerank_integrations.training.pointwise_model import Qwen3VLForPointwise
from ziprerank_integrations.training.samples import Sample
from ziprerank_integrations.training.tasks import encoder, folder, load

MARGIN = 0.01
"""How much pairwise accuracy below the best an exit may have."""

SHARE = 0.1
"""The share of the page's largest effect on the query that has come about where the band starts."""

RULE = (
    f"exit: the first layer whose pairwise accuracy is at most {MARGIN:g} below the best. "
    f"band: from the first layer with {SHARE:.0%} of the cosine's largest fall up to the exit, to the exit."
)


@dataclass(frozen=True)
class Probe:
    """The curves of a checkpoint. Index 0 of each is layer 1.

    Attributes:
        questions: Relevant pages that were compared, each with its query.
        pages: All pages.
        accuracy: Share of the pairs of a relevant and another page of one query that the logits after the
            layer order correctly; a tie counts half.
        auc: Area under the ROC curve of that logit over all pages: whether one threshold could separate them.
        cosine: Mean cosine between the hidden states of the query segment with the relevant page and with
            another one; 1 where the page has no effect.
        exit: The suggested last layer, counted from 1.
        band: The suggested first and last layer in which query and page interact, counted from 1.
    """

    questions: int
    pages: int
    accuracy: tuple[float, ...]
    auc: tuple[float, ...]
    cosine: tuple[float, ...]
    exit: int
    band: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the curves by layer, for JSON."""
        rows = zip(self.accuracy, self.auc, self.cosine, strict=True)
        return {
            "questions": self.questions,
            "pages": self.pages,
            "layers": [
                {"layer": layer, "accuracy": accuracy, "auc": auc, "cosine": cosine}
                for layer, (accuracy, auc, cosine) in enumerate(rows, 1)
            ],
            "exit": self.exit,
            "band": list(self.band),
            "rule": RULE,
        }


@torch.inference_mode()
def probe(
    model: str,
    data: str | Path,
    *,
    device: str | None = None,
    instruction: str | None = None,
    max_side: int | None = None,
    seed: int = 0,
) -> Probe:
    """Measure a checkpoint on questions with known answers.

    Args:
        model: The checkpoint: hub id, folder or ``tiny``.
        data: Questions with ``pages`` and ``answers``; see `records.read`.
        device: The compute device; None is the best available. Weights are bfloat16 on a GPU.
        instruction: What relevance means; None is the checkpoint's own.
        max_side: Longest edge of a page in pixels; None is the checkpoint's own.
        seed: Seed of the pages that each answer is compared with, sampled as in training.

    Raises:
        CheckpointError: If the model cannot be loaded.
        RecordError: If the data are not valid.
        ValueError: If an option is out of its range.
    """
    source = folder(model)
    start = checkpoint_config.read(source)
    own = start.raw.get("ziprerank", {}) if start.scorer == "pointwise" else {}
    keys = {name: own[name] for name in ("instruction", "max_side") if name in own}
    for name, value in (("instruction", instruction), ("max_side", max_side)):
        if value is not None:
            keys[name] = value
    dense = json.dumps({"scorer": "pointwise", "order": "vision-first", **keys})
    config = checkpoint_config.read(source, dense)
    text = encoder(config)
    samples = PairSamples(records.read(data, "pointwise"), text, config, seed=seed)
    target = pick_device(device)
    dtype = torch.float32 if target.type == "cpu" else torch.bfloat16
    loaded = load(Qwen3VLForPointwise, config, dtype).eval().to(target)
    loaded.prepare(config, PointwiseScorer.answer_tokens(text, config))

    logits: list[Tensor] = []
    labels: list[Tensor] = []
    orders: list[Tensor] = []
    cosines: list[Tensor] = []
    for key in tqdm(range(len(samples)), desc="probing", disable=not sys.stderr.isatty()):
        sample = samples[key]
        by_page, hidden = _layers(loaded, sample)
        orders.append(wins(by_page[0], by_page[1:]))
        cosines.append(
            torch.stack([F.cosine_similarity(hidden[0], other, dim=-1).mean(-1) for other in hidden[1:]])
        )
        logits.append(by_page)
        labels.append(sample["labels"])
    accuracy = torch.cat(orders).mean(0).tolist()
    cosine = torch.cat(cosines).mean(0).tolist()
    relevant = torch.cat(labels) == 1
    auc = [roc_auc(values[relevant], values[~relevant]) for values in torch.cat(logits).T]
    chosen, band = suggest(accuracy, cosine)
    return Probe(len(samples), len(relevant), tuple(accuracy), tuple(auc), tuple(cosine), chosen, band)


def _layers(model: Qwen3VLForPointwise, sample: Sample) -> tuple[Tensor, list[Tensor]]:
    """Return by page the logit after each layer, (pages, layers), and the query segment, (layers, m, D)."""
    count = len(sample["pixels"])
    logits: list[Tensor] = [torch.empty(0)] * count
    hidden: list[Tensor] = [torch.empty(0)] * count
    decoder = model.model.language_model
    layers = len(decoder.layers)
    for indices, batch in model.batches(sample):
        segments = torch.stack(list(states(decoder, batch, layers, (0, layers))), 1)
        lens = model.logits(segments[:, :, -1]).cpu()
        for row, index in enumerate(indices):
            logits[index], hidden[index] = lens[row], segments[row].float().cpu()
    return torch.stack(logits), hidden


def wins(positive: Tensor, negatives: Tensor) -> Tensor:
    """Return (n, layers): 1 where the positive, (layers,), is larger than a negative, ½ where equal."""
    return (positive > negatives).float() + (positive == negatives).float() / 2


def roc_auc(positives: Tensor, negatives: Tensor) -> float:
    """Return the share of all pairs in which the positive's value is larger; a tie counts half."""
    ordered = negatives.sort().values
    below = torch.searchsorted(ordered, positives) + torch.searchsorted(ordered, positives, right=True)
    return float(below.double().mean()) / (2 * len(negatives))


def suggest(accuracy: Sequence[float], cosine: Sequence[float]) -> tuple[int, tuple[int, int]]:
    """Return an exit and a band by `RULE`; layers are counted from 1.

    Args:
        accuracy: By layer, the pairwise accuracy.
        cosine: By layer, the mean cosine of the query's states with different pages.
    """
    best = max(accuracy)
    exit_ = next(layer for layer, value in enumerate(accuracy, 1) if value >= best - MARGIN)
    lowest = min(cosine[:exit_])
    first = next(layer for layer, value in enumerate(cosine, 1) if 1 - value >= SHARE * (1 - lowest))
    return exit_, (first, exit_)
