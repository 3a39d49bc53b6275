"""Examples → what the model is trained on: patches, token ids, where the answer begins."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ziprerank_integrations.engine.folder import Geometry
from ziprerank_integrations.engine.preprocess import pixels
from ziprerank_integrations.engine.tokens import TextEncoder
from ziprerank_integrations.prompts import listwise
from ziprerank_integrations.training.losses import soft_targets
from ziprerank_integrations.training.records import Example

Sample = dict[str, Any]


class Samples(torch.utils.data.Dataset[Sample]):
    """The examples of a stage, drawn when they are asked for.

    Which letter a page gets and how much of it is kept are drawn anew in each epoch, from the seed, the epoch
    and the example's number alone: a run that was stopped and continued sees what an unbroken one sees.

    Args:
        examples: What to learn from.
        encoder: The checkpoint's tokenizer.
        geometry: What the checkpoint's files say.
        keep_ratios: One is drawn for each sample.
        shuffle: Draw the order of the candidates. Upstream trained in the retriever's order, which teaches
            that what comes first is better.
        gamma: See `losses.soft_targets`.
        seed: Of all draws.
        max_side: Longest edge of a page in pixels; None is the checkpoint's own.
        max_image_pixels: Larger images are refused.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: TextEncoder,
        geometry: Geometry,
        *,
        keep_ratios: Sequence[float] = (1.0,),
        shuffle: bool = True,
        gamma: float = 0.5,
        seed: int = 0,
        max_side: int | None = None,
        max_image_pixels: int = 64_000_000,
    ) -> None:
        self._examples = examples
        self._encoder = encoder
        self._sizes = geometry.sizes(max_side)
        self._keep_ratios = tuple(keep_ratios)
        self._shuffle = shuffle
        self._gamma = gamma
        self._seed = seed
        self._max_image_pixels = max_image_pixels

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: int) -> Sample:
        """Give a sample by its key, which `EpochSampler` makes of epoch and number."""
        epoch, number = divmod(key, len(self))
        example = self._examples[number]
        rng = random.Random(f"{self._seed}/{epoch}/{number}")
        count = len(example.pages)
        places = list(range(count))
        if self._shuffle:
            rng.shuffle(places)
        # places[slot] is the page shown in that slot; slot_of is its inverse.
        slot_of = {page: slot for slot, page in enumerate(places)}
        order = [slot_of[page] for page in example.order]
        answers = [slot_of[page] for page in example.answers]
        ranks = torch.empty(count, dtype=torch.int64)
        ranks[torch.tensor(order)] = torch.arange(1, count + 1)
        encoded = self._encoder.encode(listwise(example.query, count), count)
        answer = self.answer(order)
        return {
            "pixels": [pixels(example.pages[page], self._sizes, self._max_image_pixels) for page in places],
            "ids": torch.tensor(encoded.ids[:-1] + answer),
            "answer": len(answer),
            "images": encoded.images,
            "query": encoded.query,
            "ranks": ranks,
            "targets": soft_targets(order, answers, self._gamma),
            "keep_ratio": rng.choice(self._keep_ratios),
        }

    def answer(self, order: Sequence[int]) -> list[int]:
        """Write a ranking of slots as token ids, ``[A] > [C]`` and the turn's end.

        Brackets and letters are tokens of their own, as they are when the ranking is read: the prompt ends
        with ``[`` and the next token is a letter.
        """
        encoder = self._encoder
        ids = [encoder.start]
        for place, slot in enumerate(order):
            ids += encoder.plain("] > [") if place else []
            ids.append(encoder.letters[slot])
        return [*ids, *encoder.plain("]"), encoder.end]


class EpochSampler(torch.utils.data.Sampler[int]):
    """Gives each epoch's samples in an order of its own, drawn from seed and epoch alone.

    The epoch travels in the key, ``epoch * size + number``, so that a data set needs no state that a resumed
    run, or a worker process, might not have been told of.

    Args:
        size: How many examples there are.
        seed: Of the draws.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes next; the data loader does."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        numbers = list(range(self._size))
        random.Random(f"{self._seed}/order/{self._epoch}").shuffle(numbers)
        return iter([self._epoch * self._size + number for number in numbers])


def collate(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Hand samples on as they are: lists differ in length, and nothing is padded."""
    return {"samples": list(samples)}
