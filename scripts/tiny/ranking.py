"""Second stage: the language model learns to rank, on visual tokens that are already made."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny import circuits, ranker
from scripts.tiny.circuits import CODE, MATCH, QUERY, SCORE
from scripts.tiny.lexis import Lexis
from scripts.tiny.lists import PageList, PageText, Shelf, question_tokens
from scripts.tiny.masters import Masters
from scripts.tiny.prompt import encode
from scripts.tiny.reader import CONTENT

LOG = logging.getLogger(__name__)
GATHER = 4  # lists a step
LONGEST = 1200  # tokens of a training sequence
Imagined = Callable[[PageText], Tensor]


class Hints(nn.Module):
    """Small heads that ask layers inside for what they should know; thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, 1)
        self.match = nn.Linear(width, 1)
        self.score = nn.Linear(width, 1)
        with torch.no_grad():
            for head, flag, bias in (
                (self.query, QUERY, -4.0),
                (self.match, MATCH, -1.0),
                (self.score, SCORE, 0.0),
            ):
                head.weight.zero_()
                head.weight[0, flag] = 1.0
                head.bias.fill_(bias)


@dataclass
class Trainee:
    """Everything that is trained, and what training needs at hand.

    Attributes:
        model: The stock language model.
        rows: Input embeddings, shape (vocabulary, D); also the output's.
        flags: What every visual token carries besides its content, shape (D,).
        deep: The deepstack mergers.
        hints: Auxiliary heads.
        tokenizer: The checkpoint's.
        lexis: Tokens and weights.
    """

    model: Qwen3VLTextModel
    rows: nn.Parameter
    flags: Tensor
    deep: nn.ModuleList
    hints: Hints
    tokenizer: PreTrainedTokenizerBase
    lexis: Lexis

    def sequence(
        self,
        example: PageList,
        keep: float,
        content: Imagined,
        interaction: str = "prompt",
        chance: torch.Generator | None = None,
    ) -> ranker.Assembled:
        """A list as the language model reads it."""
        prompt = encode(self.tokenizer, example.query, len(example.pages))
        pages = []
        for page in example.pages:
            vectors = content(page).to(self.flags.dtype)
            if vectors.shape[1] == CONTENT:
                pages.append(torch.cat([vectors, self.flags[CONTENT:].expand(len(vectors), -1)], 1))
            else:
                pages.append(vectors)
        levels = [page.levels for page in example.pages if page.levels is not None]
        sequence = ranker.assemble(
            self.rows,
            prompt,
            pages,
            [(page.rows, page.columns) for page in example.pages],
            keep,
            ranker.special_ids(self.tokenizer),
            interaction,
            levels if len(levels) == len(pages) else None,
            chance,
        )
        if sequence.levels is not None:
            sequence.levels = torch.stack(
                [merge(level) for merge, level in zip(self.deep, sequence.levels, strict=True)]
            )
        return sequence

    def logits(self, last: Tensor, count: int) -> Tensor:
        """The letters' logits."""
        return self.rows[torch.tensor(circuits.letters(self.tokenizer)[:count])].float() @ last.float()


def loss_of(
    trainee: Trainee, example: PageList, sequence: ranker.Assembled
) -> tuple[Tensor, dict[str, float]]:
    """Listwise loss and the hints' losses.

    Args:
        trainee: The model.
        example: The list.
        sequence: The list as assembled.

    Returns:
        The loss, and its parts for the log.
    """
    count = len(example.pages)
    last, states = ranker.forward(trainee.model, sequence, CODE)
    logits = trainee.logits(last, count)
    held = example.held / example.held.max()
    wanted = (held / 0.12).softmax(0)
    listwise = -(wanted * logits.log_softmax(0)).sum()

    text = len(sequence.prompt.head)
    asked = torch.zeros(text)
    asked[sequence.prompt.query] = 1
    query = F.binary_cross_entropy_with_logits(trainee.hints.query(states[0][:text]).float()[:, 0], asked)

    owners = torch.repeat_interleave(torch.arange(count), torch.tensor([len(kept) for kept in sequence.kept]))
    some = torch.randint(0, len(owners), (64,))
    places = torch.cat([sequence.ends, sequence.visual[some]])
    coded = (
        (states[0][places, CODE:].argmax(1) == torch.cat([torch.arange(count), owners[some]])).float().mean()
    )

    tokens = torch.tensor([t for t, w in question_tokens(example.query, trainee.lexis).items() if w > 0.2])
    truth = []
    for shown, kept in zip(example.pages, sequence.kept, strict=True):
        cells = torch.zeros(shown.rows * shown.columns)
        if len(shown.pairs):
            found = torch.isin(shown.pairs[:, 1], tokens) & (shown.shares > 0.1)
            cells[shown.pairs[found, 0]] = 1
        truth.append(cells[kept])
    matched = trainee.hints.match(states[1][sequence.visual]).float()[:, 0]
    match = F.binary_cross_entropy_with_logits(matched, torch.cat(truth), pos_weight=torch.tensor(8.0))

    summary = trainee.hints.score(states[-1][sequence.ends]).float()[:, 0]
    score = -(wanted * summary.log_softmax(0)).sum()
    total = listwise + 0.5 * score + 0.5 * match + 0.1 * query
    return total, {
        "listwise": float(listwise.detach()),
        "score": float(score.detach()),
        "match": float(match.detach()),
        "query": float(query.detach()),
        "coded": float(coded),
        "right": float(logits.argmax() == example.answer),
    }


def choose(cells: Sequence[int], draw: random.Random, longest: int = LONGEST) -> float:
    """A keep ratio that keeps a list's sequence within ``longest`` tokens."""
    for keep in draw.sample((1.0, 0.5, 0.25), 3):
        if sum(max(1, round(keep * n)) for n in cells) + 350 <= longest:
            return keep
    return 0.25 if 0.25 * sum(cells) + 350 <= longest else 0.1


@torch.no_grad()
def validate(
    trainee: Trainee,
    shelf: Shelf,
    content: Imagined,
    lists: int,
    seed: int = 1,
    cells: Sequence[tuple[int, float]] = ((8, 1.0), (20, 1.0), (8, 0.25), (20, 0.25)),
) -> dict[str, float]:
    """Recall@1 by number of pages and keep ratio."""
    result = {}
    for count, keep in cells:
        draw = random.Random(seed)
        right = total = 0
        while total < lists:
            example = shelf.draw(count, draw)
            if example is None:
                continue
            last, _ = ranker.forward(trainee.model, trainee.sequence(example, keep, content))
            right += int(trainee.logits(last, count).argmax() == example.answer)
            total += 1
        result[f"{count}@{keep}"] = round(right / total, 3)
    return result


def train(
    trainee: Trainee,
    shelf: Callable[[int], Shelf],
    unseen: Shelf,
    content: Imagined,
    state: Path,
    minutes: float,
    peak: float = 4e-4,
    seed: int = 0,
    every: float = 300,
    final: Callable[[], None] | None = None,
) -> None:
    """Trains for a time, or continues an earlier run; saves to ``state`` every three minutes.

    Args:
        trainee: Changed in place; bfloat16 afterwards.
        shelf: The pages to draw lists from, by step; they may change.
        unseen: Pages of held-out documents.
        content: A page's visual tokens.
        state: The file to save to and to continue from.
        minutes: Training time in all, over every call.
        peak: Peak learning rate.
        seed: Seeds the lists.
        every: Seconds between validations.
        final: Called after every save.
    """
    torch.manual_seed(seed)
    draw = random.Random(seed)
    cast(nn.Module, trainee.model).to(torch.bfloat16)
    circuits.hold(trainee.model)
    weights = [
        p for p in (*trainee.model.layers.parameters(), *trainee.model.norm.parameters()) if p.requires_grad
    ]
    masters = Masters(
        [
            (weights, peak, 0.0),
            ([trainee.rows], peak, 0.0),
            (list(trainee.deep.parameters()), peak, 0.0),
            (list(trainee.hints.parameters()), 3 * peak, 0.0),
        ]
    )
    taught = torch.zeros(trainee.rows.shape[1], dtype=torch.bool)
    taught[[circuits.TELLING, circuits.SPARE, circuits.VALUE]] = True
    steps, spent = 0, 0.0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        masters.restore(saved["masters"])
        steps, spent = saved["steps"], saved["spent"]
        draw.seed(seed + steps)
    began, last_save, last_check = time.monotonic() - spent, time.monotonic(), time.monotonic()
    average: dict[str, float] = {}
    while spent < 60 * minutes:
        count = draw.choice((20, 20, draw.randint(9, 20), draw.randint(2, 12)))
        example = shelf(steps).draw(count, draw)
        if example is None:
            continue
        keep = choose(
            [page.rows * page.columns for page in example.pages],
            draw,
            2 * LONGEST if draw.random() < 0.1 else LONGEST,
        )
        interaction = "query" if draw.random() < 0.25 else "prompt"
        loss, parts = loss_of(trainee, example, trainee.sequence(example, keep, content, interaction))
        torch.autograd.backward(loss / GATHER)
        if trainee.rows.grad is not None:
            trainee.rows.grad[:, ~taught] = (
                0  # contents belong to the vision stage, other flags to the circuit
            )
        done = spent / (60 * minutes)
        if steps % GATHER == GATHER - 1:
            parts["norm"] = masters.step(
                min(1.0, 0.02 + steps / 100) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done))),
                clip=10,
            )
        steps += 1
        for name, value in {**parts, f"right{'20' if count > 14 else '_'}": parts["right"]}.items():
            average[name] = 0.99 * average.get(name, value) + 0.01 * value
        spent = time.monotonic() - began
        if steps % 100 == 0:
            LOG.info(
                "step %d, %.1f min, %s",
                steps,
                spent / 60,
                " ".join(f"{k} {v:.3f}" for k, v in average.items()),
            )
        if time.monotonic() - last_check > every or spent >= 60 * minutes:
            LOG.info("Recall@1 on unseen documents: %s", validate(trainee, unseen, content, 60))
            last_check = time.monotonic()
        if time.monotonic() - last_save > 180 or spent >= 60 * minutes:
            partial = state.with_suffix(".part")
            torch.save(
                {
                    "masters": masters.state(),
                    "steps": steps,
                    "spent": spent,
                    "model": trainee.model.state_dict(),
                    "rows": trainee.rows.data,
                    "deep": trainee.deep.state_dict(),
                    "hints": trainee.hints.state_dict(),
                },
                partial,
            )
            partial.replace(state)
            last_save = time.monotonic()
            if final is not None:
                final()
