"""Last step: one temperature, so that scores say how often they are right. No ranking changes."""

from __future__ import annotations

import logging
import random

import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.tiny import ranker
from scripts.tiny.lists import Shelf
from scripts.tiny.ranking import Contents, Trainee, choose

LOG = logging.getLogger(__name__)


@torch.no_grad()
def temper(trainee: Trainee, shelf: Shelf, contents: Contents, lists: int = 120, seed: int = 5) -> float:
    """Divides the logits by the temperature at which the right pages are likeliest (temperature scaling,
    arXiv 1706.04599), by scaling the weight of the last norm.

    Args:
        trainee: The trained model; changed in place.
        shelf: Where lists come from.
        contents: A page's visual tokens.
        lists: How many to look at.
        seed: Seeds the lists.

    Returns:
        The temperature.
    """
    draw = random.Random(seed)
    seen: list[tuple[Tensor, int]] = []
    while len(seen) < lists:
        example = shelf.draw(draw.choice((20, 8, 14)), draw)
        if example is None:
            continue
        keep = choose([page.rows * page.columns for page in example.pages], draw)
        last, _ = ranker.forward(trainee.model, trainee.sequence(example, keep, contents))
        seen.append((trainee.logits(last, len(example.pages)), example.answer))
    found = best(seen)
    trainee.model.norm.weight.div_(found)
    return found


def best(seen: list[tuple[Tensor, int]]) -> float:
    """The temperature from 0.5 to 30 at which the answers are likeliest.

    Args:
        seen: Logits and the right place of each list.
    """

    def surprise(temperature: float) -> float:
        return sum(float(-F.log_softmax(logits / temperature, 0)[answer]) for logits, answer in seen)

    return min((0.5 * 60 ** (step / 200) for step in range(201)), key=surprise)
