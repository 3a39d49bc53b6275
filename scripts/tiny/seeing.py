"""First stage: the vision tower learns which tokens each cell of a page shows."""

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

from scripts.tiny import draw as drawing
from scripts.tiny.fonts import COMMON, available
from scripts.tiny.layout import Style, lay_out
from scripts.tiny.lexis import Lexis
from scripts.tiny.masters import Masters
from scripts.tiny.reader import CONTENT, Reader
from scripts.tiny.stream import Batch, Crops, batches

LOG = logging.getLogger(__name__)
BLANK = 6000  # <|endoftext|>: what a cell shows that shows nothing telling
OTHERS = 512


def losses(reader: Reader, batch: Batch, weight: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cell → tokens, token → cells, patch → characters.

    Args:
        reader: The vision tower.
        batch: Crops and answers.
        weight: How telling each token is, shape (tokens,).

    Returns:
        The loss, and its parts for the log.
    """
    hidden, merged = reader.encode(batch.pixels)
    vectors = F.normalize(merged[..., :CONTENT].reshape(-1, CONTENT).float(), dim=-1)
    cells = vectors.shape[0]
    present, place = torch.unique(batch.pairs[:, 1], return_inverse=True)
    others = torch.randint(0, BLANK, (OTHERS,))
    others = others[~torch.isin(others, present)]
    candidates = torch.cat([torch.tensor([BLANK]), present, others])
    scale = reader.sharpness.float().exp().clamp(max=40)
    table = F.normalize(reader.table[candidates].float(), dim=-1)
    logits = scale * (vectors.to(torch.bfloat16) @ table.to(torch.bfloat16).T).float()

    wanted = torch.zeros(cells, len(present) + 1)
    wanted.index_put_((batch.pairs[:, 0], place + 1), batch.shares, accumulate=True)
    wanted = wanted.clamp(max=1)
    empty = wanted.sum(1) == 0
    wanted[empty, 0] = 1
    importance = torch.where(empty, 0.15, wanted.sum(1).clamp(0.1, 2))
    target = wanted / wanted.sum(1, keepdim=True)
    log_share = logits.log_softmax(1)[:, : len(present) + 1]
    naming = -((target * log_share).sum(1) * importance).sum() / importance.sum()

    # A token's cells against every other cell: this is what MaxSim and pruning rely on.
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
    named = reader.characters(hidden).float().log_softmax(-1)
    spelling = -((letters * named).sum(-1) * mass).sum() / mass.sum()
    loss = naming + 0.5 * finding_loss + 0.5 * spelling
    return loss, {
        "naming": float(naming.detach()),
        "finding": float(finding_loss.detach()),
        "spelling": float(spelling.detach()),
    }


def rate(done: float) -> float:
    """Learning rate by the share of the time spent: a short warm-up, then a cosine from 0.35 of the way
    on."""
    if done < 0.01:
        return 0.1 + 90 * done
    return 1.0 if done < 0.35 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (done - 0.35) / 0.65))


class Quiz:
    """How well plain MaxSim finds held-out pages: no language model, the vision tower alone."""

    def __init__(
        self,
        documents: Sequence[str],
        lexis: Lexis,
        size: tuple[int, int],
        glyphs: tuple[int, int],
        seed: int,
        pages: int = 40,
    ) -> None:
        """Args:
        documents: Held-out text.
        lexis: Tokens and weights.
        size: Width and height of the pages.
        glyphs: Smallest and largest font size.
        seed: Fixes the pages.
        pages: How many, all in one list.
        """
        draw = random.Random(seed)
        faces = available(COMMON)[:6]
        self.queries, shown = [], []
        for _ in range(pages):
            split = lexis.sprinkled(draw.choice(documents).split(), 0.03, draw)
            words = split[draw.randrange(max(len(split) - 300, 1)) :][:600]
            style = Style(draw.choice(faces), draw.randint(*glyphs), 1.25, (24, 20, 20, 4))
            runs = lay_out(words, *size, style, draw)
            telling = {t for run in runs for t, _, _ in lexis.pieces(run.word) if lexis.weight[t] > 0.4}
            self.queries.append(torch.tensor(draw.sample(sorted(telling), min(4, len(telling)))))
            shown.append(torch.from_numpy(drawing.by_pdf(runs, *size).copy()))
        self.pixels = torch.stack(shown)

    @torch.no_grad()
    def recall(self, reader: Reader) -> float:
        """Recall@1 over all the pages."""
        vectors = torch.cat(
            [reader.encode(part)[1][..., :CONTENT].float() for part in torch.split(self.pixels, 4)]
        )
        vectors = F.normalize(vectors, dim=-1)
        right = 0
        for page, query in enumerate(self.queries):
            words = F.normalize(reader.table[query].float(), dim=-1)
            right += int((vectors @ words.T).amax(1).sum(1).argmax() == page)
        return right / len(self.queries)


def train(
    reader: Reader,
    documents: Sequence[str],
    unseen: Sequence[str],
    lexis: Lexis,
    state: Path,
    minutes: float,
    seed: int = 0,
) -> None:
    """Trains for a time, or continues an earlier run; saves to ``state`` every three minutes.

    Args:
        reader: Changed in place; bfloat16 afterwards.
        documents: Text to train on.
        unseen: Text for the quiz.
        lexis: Tokens and weights.
        state: The file to save to and to continue from.
        minutes: Training time in all, over every call.
        seed: Seeds drawing and initialisation.
    """
    torch.manual_seed(seed)
    saved = torch.load(state, weights_only=True) if state.exists() else None
    stream = batches(
        Crops(documents, lexis, seed + (saved["steps"] + 1 if saved else 0), 0.0 if saved else 0.9)
    )
    if saved is None:
        reader.whiten(torch.cat([b.pixels.reshape(-1, 32, 32) for b in (next(stream) for _ in range(6))]))
    reader.to(torch.bfloat16)
    own = {id(reader.table), id(reader.sharpness)}
    moving = [p for p in reader.parameters() if p.requires_grad and id(p) not in own]
    masters = Masters(
        [
            ([p for p in moving if p.ndim > 1], 2e-3, 0.01),
            ([p for p in moving if p.ndim < 2], 2e-3, 0.0),
            ([reader.table], 3e-4, 0.0),
            ([reader.sharpness], 1e-3, 0.0),
        ]
    )
    steps, spent = 0, 0.0
    if saved is not None:
        masters.restore(saved["masters"])
        steps, spent = saved["steps"], saved["spent"]
    quizzes = {
        "12 px": Quiz(unseen, lexis, (448, 320), (11, 13), 1),
        "15 px": Quiz(unseen, lexis, (448, 320), (14, 16), 2),
        "30 px": Quiz(unseen, lexis, (640, 416), (25, 38), 3),
    }
    weight = torch.from_numpy(lexis.weight)
    began, last_save, last_quiz = time.monotonic() - spent, time.monotonic(), time.monotonic()
    average: dict[str, float] = {}
    while spent < 60 * minutes:
        loss, parts = losses(reader, next(stream), weight)
        torch.autograd.backward(loss)
        norm = masters.step(rate(spent / (60 * minutes)))
        steps += 1
        for name, value in {**parts, "norm": norm}.items():
            average[name] = 0.98 * average.get(name, value) + 0.02 * value
        spent = time.monotonic() - began
        if steps % 50 == 0:
            LOG.info(
                "step %d, %.1f min, %s, sharpness %.1f",
                steps,
                spent / 60,
                " ".join(f"{k} {v:.3f}" for k, v in average.items()),
                float(reader.sharpness.detach().float().exp()),
            )
        if time.monotonic() - last_quiz > 240 or spent >= 60 * minutes:
            LOG.info(
                "MaxSim Recall@1 of 40: %s", {name: quiz.recall(reader) for name, quiz in quizzes.items()}
            )
            last_quiz = time.monotonic()
        if time.monotonic() - last_save > 180 or spent >= 60 * minutes:
            partial = state.with_suffix(".part")
            torch.save(
                {"masters": masters.state(), "steps": steps, "spent": spent, "reader": reader.state_dict()},
                partial,
            )
            partial.replace(state)
            last_save = time.monotonic()
