"""Training of one factor per block of the circuit's weights, on lists of pages."""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.tiny.circuits import ALWAYS, CODE, PAGES, VALUE, Circuit
from scripts.tiny.lists import PageList, PagePool
from scripts.tiny.vision_tower import CONTENT
from scripts.tiny.weight_factors import ScaledBlock
from scripts.tiny_pointwise.circuit import BAND, FOUND, YES
from scripts.tiny_pointwise.model import PointwiseModel

LOG = logging.getLogger(__name__)
GATHER = 4  # lists per step
RATE = 0.04
UNANSWERABLE = 0.3  # share of lists without the right page


def scaled_blocks(ranker: PointwiseModel) -> list[ScaledBlock]:
    """Return the blocks of the circuit that have a factor.

    Args:
        ranker: With the untrained circuit.
    """
    layers = cast(Any, ranker.model.layers)
    written = Circuit(ranker.model, cast(Any, ranker.model.config))
    size = written.head
    blocks: list[ScaledBlock] = []

    def add(name: str, weight: nn.Parameter, rows: list[int], columns: list[int] | None) -> None:
        blocks.append(ScaledBlock.of(name, weight, rows, columns))

    band, last = layers[BAND].self_attn, layers[BAND + 1].self_attn
    for head in range(written.heads):
        text, sink = (head * size + slot for slot in written.slots(0, 2))
        add(f"slope {head}", band.q_proj.weight, [text], [ALWAYS])
        add(f"threshold {head}", band.q_proj.weight, [sink], [ALWAYS])
        add(f"found {head}", band.o_proj.weight, [FOUND[head]], [head * size])
        first, rest = (head * size + slot for slot in written.slots(0, 2))
        add(f"value {head}", last.k_proj.weight, [first], [VALUE])
        add(f"rest {head}", last.q_proj.weight, [rest], [ALWAYS])
        for flag in range(2):
            add(f"yes {head} {flag}", last.o_proj.weight, [YES], [head * size + flag])
    absent = size + written.slots(2, 1)[0]
    add("absent", last.k_proj.weight, [absent], list(FOUND))
    for number, attention in ((BAND, band), (BAND + 1, last)):
        add(f"gain {number}", attention.q_norm.weight, list(range(size)), None)
    newline = cast(int, ranker.tokenizer.convert_tokens_to_ids("Ċ"))
    add("bias", ranker.rows, [newline], [YES])
    add("final", ranker.model.norm.weight, list(range(CONTENT, CODE + PAGES)), None)
    return blocks


def loss(logits: Tensor, example: PageList, answerable: bool) -> Tensor:
    """Return the cross-entropy of the right page in its list plus that of yes and no.

    A page's target for yes is the square of its share of the question's weight, so that a page with three
    quarters of the words is undecided. The right page, the mean of the others and the worst of the others
    have equal weights.

    Args:
        logits: Of all pages of the list, shape (pages,).
        example: The list.
        answerable: Whether the list has its right page; if not, only the other pages count.
    """
    right = torch.arange(len(logits)) == example.answer
    single = F.binary_cross_entropy_with_logits(logits, example.overlap.square(), reduction="none")
    wrong = 0.5 * (single[~right].mean() + single[~right].max())
    if not answerable:
        return wrong
    return 0.5 * single[right].mean() + wrong - logits.log_softmax(0)[example.answer]


def train(ranker: PointwiseModel, pool: PagePool, state: Path, lists: int, seed: int = 0) -> None:
    """Train the factors, or continue an earlier run; saves to ``state`` every hundred lists and at the end.

    Args:
        ranker: With the untrained circuit; changed in place.
        pool: Pages of the lists.
        state: The file to save to and to continue from.
        lists: Number of lists over all calls.
        seed: Seed of the lists.
    """
    ranker.model.requires_grad_(False)
    ranker.rows.requires_grad_(False)
    blocks = scaled_blocks(ranker)
    for block in blocks:
        block.weight.requires_grad_(True)
    factors = torch.zeros(len(blocks), requires_grad=True)
    optimizer = torch.optim.Adam([factors], lr=RATE, betas=(0.9, 0.98))
    done, spent = 0, 0.0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        factors.data.copy_(saved["factors"])
        optimizer.load_state_dict(saved["optimizer"])
        done, spent = int(saved["lists"]), float(saved["spent"])
    _apply(blocks, factors)
    rng = random.Random(f"{seed} {done}")
    started, losses = time.process_time() - spent, list[float]()
    gathered = torch.zeros(len(blocks))
    while done < lists:
        example = pool.sample(rng.choice((20, 12, 8)), rng)
        if example is None:
            continue
        value = loss(ranker.logits(example.query, example.pages), example, rng.random() >= UNANSWERABLE)
        torch.autograd.backward(value)
        slope = torch.stack([block.gradient() for block in blocks]).nan_to_num()
        for block in blocks:
            block.weight.grad = None
        gathered += slope / max(1.0, float(slope.norm()) / 5) / GATHER
        losses.append(float(value.detach()))
        done, spent = done + 1, time.process_time() - started
        if done % GATHER == 0:
            factors.grad = gathered
            optimizer.param_groups[0]["lr"] = RATE * (1 - 0.9 * done / lists)
            optimizer.step()
            gathered = torch.zeros(len(blocks))
            _apply(blocks, factors)
        if done % 100 == 0:
            recent = losses[-100:]
            LOG.info("%d lists, %.1f min, loss %.3f", done, spent / 60, sum(recent) / len(recent))
            _save(state, factors, optimizer, done, spent)
    _save(state, factors, optimizer, done, spent)
    names = [block.name for block in blocks]
    LOG.info(
        "factors: %s",
        {name: round(float(f.exp()), 2) for name, f in zip(names, factors.detach(), strict=True)},
    )
    for block in blocks:
        block.weight.requires_grad_(False)


def _save(state: Path, factors: Tensor, optimizer: torch.optim.Adam, done: int, spent: float) -> None:
    torch.save(
        {"factors": factors.detach(), "optimizer": optimizer.state_dict(), "lists": done, "spent": spent},
        state,
    )


def _apply(blocks: list[ScaledBlock], factors: Tensor) -> None:
    for block, factor in zip(blocks, factors.detach(), strict=True):
        block.apply(factor.exp())
