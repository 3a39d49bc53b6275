"""Last step: a temperature that calibrates the scores. No ranking changes."""

from __future__ import annotations

import logging
import random

import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.tiny import forward
from scripts.tiny.language_model import Contents, ListwiseModel, sample_keep_ratio
from scripts.tiny.lists import PagePool

LOG = logging.getLogger(__name__)


@torch.no_grad()
def calibrate(
    ranker: ListwiseModel, pool: PagePool, contents: Contents, lists: int = 120, seed: int = 5
) -> float:
    """Scale the last norm's weight so that the logits have the likeliest temperature (arXiv 1706.04599).

    Args:
        ranker: The trained model; changed in place.
        pool: Pages of the lists.
        contents: Returns a page's visual tokens.
        lists: Number of lists.
        seed: Seed of the lists.

    Returns:
        The temperature.
    """
    rng = random.Random(seed)
    samples: list[tuple[Tensor, int]] = []
    while len(samples) < lists:
        example = pool.sample(rng.choice((20, 8, 14)), rng)
        if example is None:
            continue
        keep = sample_keep_ratio([page.rows * page.columns for page in example.pages], rng)
        last, _ = forward.forward(ranker.model, ranker.sequence(example, keep, contents))
        samples.append((ranker.logits(last, len(example.pages)), example.answer))
    temperature = best_temperature(samples)
    ranker.model.norm.weight.div_(temperature)
    return temperature


def best_temperature(samples: list[tuple[Tensor, int]]) -> float:
    """Return the temperature from 0.5 to 30 with the highest likelihood of the right pages.

    Args:
        samples: Logits and the right page's index, of each list.
    """

    def loss(temperature: float) -> float:
        return sum(float(-F.log_softmax(logits / temperature, 0)[answer]) for logits, answer in samples)

    return min((0.5 * 60.0 ** (step / 200) for step in range(201)), key=loss)
