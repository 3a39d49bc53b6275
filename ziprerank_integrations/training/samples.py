"""Examples → training samples: pixels, token ids, and the length of the response."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.preprocess import pixels
from ziprerank_integrations.engine.prompts import ANSWER_START, listwise
from ziprerank_integrations.engine.scorers.listwise import ListwiseScorer
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.training.losses import soft_targets
from ziprerank_integrations.training.records import Example

Sample = dict[str, Any]


class Samples(torch.utils.data.Dataset[Sample]):
    """The examples of a stage as a dataset; images are rendered on access.

    The letter of each page and the keep ratio are sampled in each epoch, from the seed, the epoch and the
    example's number alone: a run that was stopped and resumed sees the same samples as an uninterrupted one.

    Args:
        examples: The training data.
        encoder: The checkpoint's tokenizer.
        config: The checkpoint's configuration.
        keep_ratios: One is sampled for each list.
        shuffle: Sample the order of the candidates. Upstream trained in the retriever's order, which teaches
            the model that earlier pages are better.
        gamma: See `losses.soft_targets`.
        seed: Seed of all sampling.
        max_side: Longest edge of a page in pixels; None is the checkpoint's own.
        max_image_pixels: Larger images raise an error.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: TextEncoder,
        config: CheckpointConfig,
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
        self._letters = ListwiseScorer.answer_tokens(encoder, config)
        self._sizes = config.sizes(max_side)
        self._keep_ratios = tuple(keep_ratios)
        self._shuffle = shuffle
        self._gamma = gamma
        self._seed = seed
        self._max_image_pixels = max_image_pixels

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: int) -> Sample:
        """Return a sample by its key, which `EpochSampler` makes of epoch and number."""
        epoch, number = divmod(key, len(self))
        example = self._examples[number]
        rng = random.Random(f"{self._seed}/{epoch}/{number}")
        count = len(example.pages)
        shown = list(range(count))
        if self._shuffle:
            rng.shuffle(shown)
        # shown[slot] is the page shown in that slot; slot_of is its inverse.
        slot_of = {page: slot for slot, page in enumerate(shown)}
        order = [slot_of[page] for page in example.order]
        answers = [slot_of[page] for page in example.answers]
        ranks = torch.empty(count, dtype=torch.int64)
        ranks[torch.tensor(order)] = torch.arange(1, count + 1)
        encoded = self._encoder.encode(listwise(example.query, count), count)
        response = self.response(order)
        return {
            "pixels": [pixels(example.pages[page], self._sizes, self._max_image_pixels) for page in shown],
            "ids": torch.tensor(encoded.ids[:-1] + response),
            "response": len(response),
            "images": encoded.images,
            "query": encoded.query,
            "ranks": ranks,
            "targets": soft_targets(order, answers, self._gamma),
            "keep_ratio": rng.choice(self._keep_ratios),
        }

    def response(self, order: Sequence[int]) -> list[int]:
        """Encode a ranking of slots as token ids: ``[A] > [C]`` and the end of the turn.

        Brackets and letters are separate tokens, as at inference, where the prompt ends with ``[`` and the
        next token is a letter.
        """
        encoder = self._encoder
        ids = encoder.single_tokens([ANSWER_START])
        for position, slot in enumerate(order):
            ids += encoder.plain("] > [") if position else []
            ids.append(self._letters[slot])
        return [*ids, *encoder.plain("]"), encoder.end]


class EpochSampler(torch.utils.data.Sampler[int]):
    """A random order of the samples for each epoch, from the seed and the epoch alone.

    The key contains the epoch, ``epoch * size + number``, so that the dataset has no state that a resumed run
    or a worker process would have to restore.

    Args:
        size: Number of examples.
        seed: Seed of the orders.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; called by the data loader."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        numbers = list(range(self._size))
        random.Random(f"{self._seed}/order/{self._epoch}").shuffle(numbers)
        return iter([self._epoch * self._size + number for number in numbers])


def collate(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Return samples unchanged: lists differ in length, and nothing is padded."""
    return {"samples": list(samples)}
