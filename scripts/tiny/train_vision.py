"""The first training step: the vision tower learns which tokens each cell of a page shows."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.tiny import render
from scripts.tiny.crops import Batch, Crops, batches
from scripts.tiny.fonts import COMMON, available
from scripts.tiny.layout import Style, lay_out
from scripts.tiny.master_weights import MasterWeights
from scripts.tiny.vision_tower import CONTENT, VisionEncoder
from scripts.tiny.word_statistics import WordStatistics
from ziprerank_integrations.atomic import replacing

LOG = logging.getLogger(__name__)
BLANK = 6000  # <|endoftext|>: the target of cells without informative tokens
OTHERS = 512


def losses(encoder: VisionEncoder, batch: Batch, weight: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Compute the losses cell → tokens, token → cells, patch → characters.

    Args:
        encoder: The vision tower.
        batch: Crops and targets.
        weight: How informative each token is, shape (tokens,).

    Returns:
        The loss, and its parts for the log.
    """
    hidden, merged = encoder.encode(batch.pixels)
    vectors = F.normalize(merged[..., :CONTENT].reshape(-1, CONTENT).float(), dim=-1)
    cells = vectors.shape[0]
    present, column = torch.unique(batch.pairs[:, 1], return_inverse=True)
    others = torch.randint(0, BLANK, (OTHERS,))
    others = others[~torch.isin(others, present)]
    candidates = torch.cat([torch.tensor([BLANK]), present, others])
    scale = encoder.sharpness.float().exp().clamp(max=40)
    table = F.normalize(encoder.table[candidates].float(), dim=-1)
    logits = scale * (vectors.to(torch.bfloat16) @ table.to(torch.bfloat16).T).float()

    wanted = torch.zeros(cells, len(present) + 1)
    wanted.index_put_((batch.pairs[:, 0], column + 1), batch.shares, accumulate=True)
    wanted = wanted.clamp(max=1)
    empty = wanted.sum(1) == 0
    wanted[empty, 0] = 1
    importance = torch.where(empty, 0.15, wanted.sum(1).clamp(0.1, 2))
    target = wanted / wanted.sum(1, keepdim=True)
    log_share = logits.log_softmax(1)[:, : len(present) + 1]
    naming = -((target * log_share).sum(1) * importance).sum() / importance.sum()

    # A token's cells against all other cells, as in MaxSim and pruning.
    strong = wanted[:, 1:] > 0.15 * weight[present]
    over_cells = logits[:, 1 : len(present) + 1]
    finding = over_cells.logsumexp(0) - over_cells.masked_fill(~strong, -1e4).logsumexp(0)
    has = strong.any(0)
    pull = weight[present] * has
    finding_loss = (finding * pull).sum() / pull.sum().clamp(min=1e-3)

    rows, columns = batch.characters.shape[1:3]
    letters = batch.characters.view(-1, rows // 2, 2, columns // 2, 2, batch.characters.shape[-1])
    letters = letters.transpose(2, 3).reshape(hidden.shape[0], hidden.shape[1], -1)
    letters = torch.cat([letters, (0.15 - letters.sum(-1, keepdim=True)).clamp(min=0)], -1)
    letters = letters / letters.sum(-1, keepdim=True).clamp(min=1e-6)
    mass = 1 - 0.8 * letters[..., -1]
    named = encoder.characters(hidden).float().log_softmax(-1)
    spelling = -((letters * named).sum(-1) * mass).sum() / mass.sum()
    loss = naming + 0.5 * finding_loss + 0.5 * spelling
    return loss, {
        "naming": float(naming.detach()),
        "finding": float(finding_loss.detach()),
        "spelling": float(spelling.detach()),
    }


def rate(done: float) -> float:
    """Return the learning rate by share of the time: a short warm-up, constant, then a cosine from 0.35."""
    if done < 0.01:
        return 0.1 + 90 * done
    return 1.0 if done < 0.35 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (done - 0.35) / 0.65))


class MaxSimProbe:
    """Recall of plain MaxSim on held-out pages, with the vision tower alone."""

    def __init__(
        self,
        documents: Sequence[str],
        stats: WordStatistics,
        size: tuple[int, int],
        glyphs: tuple[int, int],
        seed: int,
        pages: int = 40,
    ) -> None:
        """Args:
        documents: Held-out text.
        stats: Tokens and weights.
        size: Width and height of the pages.
        glyphs: Smallest and largest font size.
        seed: Seed of the pages.
        pages: Number of pages, all in one list.
        """
        rng = random.Random(seed)
        faces = available(COMMON)[:6]
        self.queries, shown = [], []
        for _ in range(pages):
            split = stats.with_replacements(rng.choice(documents).split(), 0.03, rng)
            words = split[rng.randrange(max(len(split) - 300, 1)) :][:600]
            style = Style(rng.choice(faces), rng.randint(*glyphs), 1.25, (24, 20, 20, 4))
            runs = lay_out(words, *size, style, rng)
            informative = {t for run in runs for t, _, _ in stats.pieces(run.word) if stats.weight[t] > 0.4}
            self.queries.append(torch.tensor(rng.sample(sorted(informative), min(4, len(informative)))))
            shown.append(torch.from_numpy(render.by_pdf(runs, *size).copy()))
        self.pixels = torch.stack(shown)

    @torch.no_grad()
    def recall(self, encoder: VisionEncoder) -> float:
        """Return Recall@1 over all the pages."""
        vectors = torch.cat(
            [encoder.encode(part)[1][..., :CONTENT].float() for part in torch.split(self.pixels, 4)]
        )
        vectors = F.normalize(vectors, dim=-1)
        right = 0
        for page, query in enumerate(self.queries):
            words = F.normalize(encoder.table[query].float(), dim=-1)
            right += int((vectors @ words.T).amax(1).sum(1).argmax() == page)
        return right / len(self.queries)


def train(
    encoder: VisionEncoder,
    documents: Sequence[str],
    unseen: Sequence[str],
    stats: WordStatistics,
    state: Path,
    minutes: float,
    seed: int = 0,
) -> None:
    """Train for a time, or continue an earlier run; saves to ``state`` every three minutes.

    Args:
        encoder: Changed in place; bfloat16 afterwards.
        documents: Text to train on.
        unseen: Held-out text, for the probes.
        stats: Tokens and weights.
        state: The file to save to and to continue from.
        minutes: Training time over all calls.
        seed: Seed of the crops and the initialisation.
    """
    torch.manual_seed(seed)
    saved = torch.load(state, weights_only=True) if state.exists() else None
    stream = batches(
        Crops(documents, stats, seed + (saved["steps"] + 1 if saved else 0), 0.0 if saved else 0.9)
    )
    if saved is None:
        encoder.whiten(torch.cat([b.pixels.reshape(-1, 32, 32) for b in (next(stream) for _ in range(6))]))
    encoder.to(torch.bfloat16)
    own = {id(encoder.table), id(encoder.sharpness)}
    moving = [p for p in encoder.parameters() if p.requires_grad and id(p) not in own]
    masters = MasterWeights(
        [
            ([p for p in moving if p.ndim > 1], 2e-3, 0.01),
            ([p for p in moving if p.ndim < 2], 2e-3, 0.0),
            ([encoder.table], 3e-4, 0.0),
            ([encoder.sharpness], 1e-3, 0.0),
        ]
    )
    steps, spent = 0, 0.0
    if saved is not None:
        masters.restore(saved["masters"])
        steps, spent = saved["steps"], saved["spent"]
    probes = {
        "12 px": MaxSimProbe(unseen, stats, (448, 320), (11, 13), 1),
        "15 px": MaxSimProbe(unseen, stats, (448, 320), (14, 16), 2),
        "30 px": MaxSimProbe(unseen, stats, (640, 416), (25, 38), 3),
    }
    weight = torch.from_numpy(stats.weight)
    started, last_save, last_probe = time.monotonic() - spent, time.monotonic(), time.monotonic()
    average: dict[str, float] = {}
    while spent < 60 * minutes:
        loss, parts = losses(encoder, next(stream), weight)
        torch.autograd.backward(loss)
        norm = masters.step(rate(spent / (60 * minutes)))
        steps += 1
        for name, value in {**parts, "norm": norm}.items():
            average[name] = 0.98 * average.get(name, value) + 0.02 * value
        spent = time.monotonic() - started
        if steps % 50 == 0:
            LOG.info(
                "step %d, %.1f min, %s, sharpness %.1f",
                steps,
                spent / 60,
                " ".join(f"{k} {v:.3f}" for k, v in average.items()),
                float(encoder.sharpness.detach().float().exp()),
            )
        if time.monotonic() - last_probe > 240 or spent >= 60 * minutes:
            LOG.info(
                "MaxSim Recall@1 of 40: %s", {name: probe.recall(encoder) for name, probe in probes.items()}
            )
            last_probe = time.monotonic()
        if time.monotonic() - last_save > 180 or spent >= 60 * minutes:
            with replacing(state) as temporary:
                torch.save(
                    {
                        "masters": masters.state(),
                        "steps": steps,
                        "spent": spent,
                        "reader": encoder.state_dict(),
                    },
                    temporary,
                )
            last_save = time.monotonic()
