"""The second training step: listwise training of one factor per block of the circuit's weights.

There are some 60 factors. Gradients of the weights themselves are so uneven (a thousand times larger for a
wrong list than for a right one) that training all weights destroys the circuit.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from scripts.tiny import circuits
from scripts.tiny.circuits import ALWAYS, CODE, MATCH, PAGES, SCORE, VALUE, VISUAL
from scripts.tiny.language_model import LONGEST, Contents, ListwiseModel, listwise_loss, sample_keep_ratio
from scripts.tiny.lists import PagePool
from scripts.tiny.vision_tower import CONTENT
from ziprerank_integrations.atomic import replacing

LOG = logging.getLogger(__name__)
GATHER = 8  # lists per step
RATE = 0.03
NATURAL = 0.4  # share of the lists whose question is one as people ask it


@dataclass(frozen=True)
class ScaledBlock:
    """A block of weights and its factor.

    Attributes:
        name: For the log.
        weight: The parameter that contains the block.
        rows: Indices of the block's rows.
        columns: Indices of its columns, or None for a vector.
        initial: The block's values before training.
    """

    name: str
    weight: nn.Parameter
    rows: Tensor
    columns: Tensor | None
    initial: Tensor

    @classmethod
    def of(cls, name: str, weight: nn.Parameter, rows: list[int], columns: list[int] | None) -> ScaledBlock:
        """Return a block with the values that its weight has now; ``columns`` is None for a vector."""
        first = torch.tensor(rows)
        second = None if columns is None else torch.tensor(columns)
        part = weight.data[first] if second is None else weight.data[first[:, None], second]
        return cls(name, weight, first, second, part.float().clone())

    def part(self, values: Tensor) -> Tensor:
        """Return the block of a tensor of the weight's shape."""
        return values[self.rows] if self.columns is None else values[self.rows[:, None], self.columns]

    def apply(self, factor: Tensor) -> None:
        """Set the block to ``factor`` times its initial value."""
        value = (self.initial * factor).to(self.weight.dtype)
        if self.columns is None:
            self.weight.data[self.rows] = value
        else:
            self.weight.data[self.rows[:, None], self.columns] = value

    def gradient(self) -> Tensor:
        """Return the loss's derivative by the factor's logarithm."""
        assert self.weight.grad is not None
        return (self.part(self.weight.grad).float() * self.part(self.weight.data).float()).sum()


def scaled_blocks(ranker: ListwiseModel) -> list[ScaledBlock]:
    """Return the blocks of the circuit that have a factor.

    Args:
        ranker: With the untrained circuit.
    """
    layers = cast(Any, ranker.model.layers)
    circuit = circuits.Circuit(ranker.model, cast(Any, ranker.model.config))
    head = circuit.head
    blocks: list[ScaledBlock] = []

    def add(name: str, weight: nn.Parameter, rows: list[int], columns: list[int] | None) -> None:
        blocks.append(ScaledBlock.of(name, weight, rows, columns))

    content, codes = list(range(CONTENT)), list(range(CODE, CODE + PAGES))
    add("value", layers[0].mlp.down_proj.weight, [VALUE], [PAGES + 1])
    for number in range(circuit.heads):
        attention, start = layers[1].self_attn, number * head
        sink = start + circuit.slots(1, 1)[0]
        add(f"sink {number}", attention.q_proj.weight, [sink], [ALWAYS, VISUAL])
        add(f"match {number}", attention.o_proj.weight, [MATCH], [start])
        add(
            f"word {number}",
            attention.o_proj.weight,
            content,
            list(range(start + 1, start + 1 + circuits.WIDE)),
        )
    last = len(layers) - 1
    for layer in range(2, last):
        attention = layers[layer].self_attn
        words, match = circuit.slots(PAGES + 3, circuits.NOTED), circuit.slots(PAGES, 1)
        for name, weight, column in (
            ("query", attention.q_proj.weight, ALWAYS),
            ("key", attention.k_proj.weight, MATCH),
        ):
            add(f"{layer} {name} page", weight, circuit.slots(0, PAGES), codes)
            add(f"{layer} {name} match", weight, match, [column])
            add(f"{layer} {name} word", weight, words, content)
        add(f"{layer} score", attention.o_proj.weight, [SCORE], [0])
        add(f"{layer} used", attention.o_proj.weight, content, list(range(1, 1 + circuits.NOTED)))
    add("sum", layers[2].self_attn.o_proj.weight, [SCORE], [head])
    reading = circuit.slots(1, 1)
    add("read query", layers[last].self_attn.q_proj.weight, reading, [ALWAYS])
    add("read key", layers[last].self_attn.k_proj.weight, reading, [SCORE])
    for layer in range(1, last + 1):
        add(f"gain {layer}", layers[layer].self_attn.q_norm.weight, list(range(head)), None)
    add("final", ranker.model.norm.weight, list(range(CODE + PAGES)), None)
    return blocks


def train(
    ranker: ListwiseModel,
    pool: PagePool,
    contents: Contents,
    state: Path,
    minutes: float,
    seed: int = 0,
    longest: int = LONGEST,
) -> None:
    """Train the factors for a time, or continue an earlier run; saves to ``state`` every hundred lists.

    Args:
        ranker: With the untrained circuit; changed in place.
        pool: Pages of the lists.
        contents: Returns a page's visual tokens.
        state: The file to save to and to continue from.
        minutes: Training time over all calls.
        seed: Seed of the lists.
        longest: The most tokens of a list. Longer ones are closer to real lists, and slow on a CPU.
    """
    ranker.freeze()
    blocks = scaled_blocks(ranker)
    for block in blocks:
        block.weight.requires_grad_(True)
    size = len(blocks)
    saved: dict[str, Any] = {
        "factors": torch.zeros(size),
        "mean": torch.zeros(size),
        "square": torch.zeros(size),
        "steps": 0,
        "spent": 0.0,
    }
    if state.exists():
        saved = torch.load(state, weights_only=True)
    factors, mean, square = saved["factors"], saved["mean"], saved["square"]
    steps, spent = int(saved["steps"]), float(saved["spent"])
    for block, factor in zip(blocks, factors, strict=True):
        block.apply(factor.exp())
    rng = random.Random(seed + steps)
    started, lists, gathered = time.monotonic() - spent, 0, torch.zeros(size)
    losses: list[float] = []
    right: list[bool] = []
    while spent < 60 * minutes:
        example = pool.sample(rng.choice((20, 20, 8, 14)), rng, natural=NATURAL)
        if example is None:
            continue
        keep = sample_keep_ratio([page.rows * page.columns for page in example.pages], rng, longest)
        loss, first = listwise_loss(ranker, example, ranker.sequence(example, keep, contents))
        torch.autograd.backward(loss)
        slope = torch.stack([block.gradient() for block in blocks]).nan_to_num()
        for block in blocks:
            block.weight.grad = None
        gathered += slope / max(1.0, float(slope.norm()) / 3) / GATHER
        lists += 1
        losses.append(float(loss.detach()))
        right.append(first)
        spent = time.monotonic() - started
        if lists % GATHER == 0:
            steps += 1
            mean = 0.9 * mean + 0.1 * gathered
            square = 0.98 * square + 0.02 * gathered**2
            speed = RATE * (1 - 0.8 * min(spent / (60 * minutes), 1.0))
            scale = (square / (1 - 0.98**steps)).sqrt() + 1e-4
            factors = factors - speed * mean / (1 - 0.9**steps) / scale
            gathered = torch.zeros(size)
            for block, factor in zip(blocks, factors, strict=True):
                block.apply(factor.exp())
        if lists % 100 == 0 or spent >= 60 * minutes:
            LOG.info(
                "%d lists, %.1f min, loss %.3f, right %.3f",
                lists,
                spent / 60,
                sum(losses) / len(losses),
                sum(right) / len(right),
            )
            losses, right = [], []
            values = {"factors": factors, "mean": mean, "square": square, "steps": steps, "spent": spent}
            with replacing(state) as temporary:
                torch.save(values, temporary)
    LOG.info("factors: %s", {g.name: round(float(f.exp()), 2) for g, f in zip(blocks, factors, strict=True)})
    for block in blocks:
        block.weight.requires_grad_(False)
