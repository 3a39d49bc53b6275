"""Second stage: how strong each part of the ranking circuit is, learned listwise on real pages.

Some forty numbers, each the factor on one block of weights. Gradients of the weights themselves are so
uneven here
(a wrong list's are a thousand times a right one's) that descending on all of them destroys the circuit.
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
from scripts.tiny.lists import Shelf
from scripts.tiny.ranking import Contents, Trainee, choose, loss_of
from scripts.tiny.reader import CONTENT

LOG = logging.getLogger(__name__)
GATHER = 8  # lists a step
RATE = 0.03


@dataclass(frozen=True)
class Gauge:
    """One factor.

    Attributes:
        name: For the log.
        weight: The parameter it scales a part of.
        rows: Which rows, as an index.
        columns: Which columns, or None for a vector.
        drawn: That part as the circuit was drawn.
    """

    name: str
    weight: nn.Parameter
    rows: Tensor
    columns: Tensor | None
    drawn: Tensor

    def part(self, values: Tensor) -> Tensor:
        """The part of a tensor of the weight's shape that the factor scales."""
        return values[self.rows] if self.columns is None else values[self.rows[:, None], self.columns]

    def turn(self, factor: Tensor) -> None:
        """Sets the part to ``factor`` times what was drawn."""
        value = (self.drawn * factor).to(self.weight.dtype)
        if self.columns is None:
            self.weight.data[self.rows] = value
        else:
            self.weight.data[self.rows[:, None], self.columns] = value

    def slope(self) -> Tensor:
        """The loss's derivative by the factor's logarithm."""
        assert self.weight.grad is not None
        return (self.part(self.weight.grad).float() * self.part(self.weight.data).float()).sum()


def gauges(trainee: Trainee) -> list[Gauge]:
    """The circuit's parts that are gauged.

    Args:
        trainee: With the circuit as drawn.

    Returns:
        One gauge a part.
    """
    layers = cast(Any, trainee.model.layers)
    circuit = circuits.Circuit(trainee.model, cast(Any, trainee.model.config))
    head = circuit.head
    found: list[Gauge] = []

    def add(name: str, weight: nn.Parameter, rows: list[int], columns: list[int] | None) -> None:
        first = torch.tensor(rows)
        second = None if columns is None else torch.tensor(columns)
        part = weight.data[first] if second is None else weight.data[first[:, None], second]
        found.append(Gauge(name, weight, first, second, part.float().clone()))

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
        for name, weight, looked in (
            ("asks", attention.q_proj.weight, ALWAYS),
            ("shows", attention.k_proj.weight, MATCH),
        ):
            add(f"{layer} {name} page", weight, circuit.slots(0, PAGES), codes)
            add(f"{layer} {name} match", weight, match, [looked])
            add(f"{layer} {name} word", weight, words, content)
        add(f"{layer} score", attention.o_proj.weight, [SCORE], [0])
        add(f"{layer} taken", attention.o_proj.weight, content, list(range(1, 1 + circuits.NOTED)))
    add("sum", layers[2].self_attn.o_proj.weight, [SCORE], [head])
    reading = circuit.slots(1, 1)
    add("read asks", layers[last].self_attn.q_proj.weight, reading, [ALWAYS])
    add("read shows", layers[last].self_attn.k_proj.weight, reading, [SCORE])
    for layer in range(1, last + 1):
        add(f"gain {layer}", layers[layer].self_attn.q_norm.weight, list(range(head)), None)
    add("final", trainee.model.norm.weight, list(range(CODE + PAGES)), None)
    return found


def train(
    trainee: Trainee, shelf: Shelf, contents: Contents, state: Path, minutes: float, seed: int = 0
) -> None:
    """Turns the gauges for a time, or continues an earlier run; saves to ``state`` every hundred lists.

    Args:
        trainee: With the circuit as drawn; changed in place.
        shelf: Where lists come from.
        contents: A page's visual tokens.
        state: The file to save to and to continue from.
        minutes: Time in all, over every call.
        seed: Seeds the lists.
    """
    trainee.freeze()
    every = gauges(trainee)
    for gauge in every:
        gauge.weight.requires_grad_(True)
    size = len(every)
    kept: dict[str, Any] = {
        "factors": torch.zeros(size),
        "mean": torch.zeros(size),
        "square": torch.zeros(size),
        "steps": 0,
        "spent": 0.0,
    }
    if state.exists():
        kept = torch.load(state, weights_only=True)
    factors, mean, square = kept["factors"], kept["mean"], kept["square"]
    steps, spent = int(kept["steps"]), float(kept["spent"])
    for gauge, factor in zip(every, factors, strict=True):
        gauge.turn(factor.exp())
    draw = random.Random(seed + steps)
    began, lists, gathered = time.monotonic() - spent, 0, torch.zeros(size)
    losses: list[float] = []
    right: list[bool] = []
    while spent < 60 * minutes:
        example = shelf.draw(draw.choice((20, 20, 8, 14)), draw)
        if example is None:
            continue
        keep = choose([page.rows * page.columns for page in example.pages], draw)
        loss, first = loss_of(trainee, example, trainee.sequence(example, keep, contents))
        torch.autograd.backward(loss)
        slope = torch.stack([gauge.slope() for gauge in every]).nan_to_num()
        for gauge in every:
            gauge.weight.grad = None
        gathered += slope / max(1.0, float(slope.norm()) / 3) / GATHER
        lists += 1
        losses.append(float(loss.detach()))
        right.append(first)
        spent = time.monotonic() - began
        if lists % GATHER == 0:
            steps += 1
            mean = 0.9 * mean + 0.1 * gathered
            square = 0.98 * square + 0.02 * gathered**2
            speed = RATE * (1 - 0.8 * min(spent / (60 * minutes), 1.0))
            scale = (square / (1 - 0.98**steps)).sqrt() + 1e-4
            factors = factors - speed * mean / (1 - 0.9**steps) / scale
            gathered = torch.zeros(size)
            for gauge, factor in zip(every, factors, strict=True):
                gauge.turn(factor.exp())
        if lists % 100 == 0 or spent >= 60 * minutes:
            LOG.info(
                "%d lists, %.1f min, loss %.3f, right %.3f",
                lists,
                spent / 60,
                sum(losses) / len(losses),
                sum(right) / len(right),
            )
            losses, right = [], []
            torch.save(
                {"factors": factors, "mean": mean, "square": square, "steps": steps, "spent": spent}, state
            )
    LOG.info("factors: %s", {g.name: round(float(f.exp()), 2) for g, f in zip(every, factors, strict=True)})
    for gauge in every:
        gauge.weight.requires_grad_(False)
