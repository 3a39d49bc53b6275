"""Examples → samples of pointwise training: a relevant page and the pages that are not, for one query."""

from __future__ import annotations

import bisect
import itertools
import logging
import random
from collections.abc import Sequence

import torch

from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.preprocess import pixels
from ziprerank_integrations.engine.prompts import pointwise
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.training.records import Example, RecordError
from ziprerank_integrations.training.samples import Sample
from ziprerank_integrations.types import Page

logger = logging.getLogger(__name__)

_CANDIDATES = 64


class PairSamples(torch.utils.data.Dataset[Sample]):
    """The relevant pages of all examples as a dataset, each with negatives (miniReranker, arXiv 2606.10759).

    Negatives are sampled in each epoch, from the seed, the epoch and the sample's number alone, as in
    `samples.Samples`. Hard ones are other pages of the record, random ones pages of other records; where one
    kind runs out, the other fills up. A page equal to a relevant one, or from a record of the same query, is
    never a random negative.

    Args:
        examples: The training data; ``answers`` are the relevant pages.
        encoder: The checkpoint's tokenizer.
        config: The configuration of a pointwise checkpoint.
        hard: Hard negatives of each relevant page.
        random_: Random negatives of each relevant page.
        seed: Seed of all sampling.
        max_image_pixels: Larger images raise an error.

    Raises:
        RecordError: If no example has a relevant page.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: TextEncoder,
        config: CheckpointConfig,
        *,
        hard: int = 2,
        random_: int = 2,
        seed: int = 0,
        max_image_pixels: int = 64_000_000,
    ) -> None:
        assert config.pointwise is not None
        self._examples = examples
        self._encoder = encoder
        self._prompt = config.pointwise
        self._sizes = config.sizes()
        self._hard = hard
        self._random = random_
        self._seed = seed
        self._max_image_pixels = max_image_pixels
        self._positives = [
            (number, answer)
            for number, example in enumerate(examples)
            for answer in dict.fromkeys(example.answers)
        ]
        # ends[i] is the number of pages in the records up to the i-th.
        self._ends = list(itertools.accumulate(len(example.pages) for example in examples))
        without = sum(not example.answers for example in examples)
        if not self._positives:
            raise RecordError("no record has answers; training needs relevant pages")
        if without:
            logger.warning(
                "%d of %d records have no answers: their pages are negatives only", without, len(examples)
            )

    def __len__(self) -> int:
        return len(self._positives)

    def __getitem__(self, key: int) -> Sample:
        """Return a sample by its key, which `samples.EpochSampler` makes of epoch and number."""
        query, pages = self.pages(key)
        page_first = self._prompt.order == "vision-first"
        prompt = pointwise(query, self._prompt.instruction, page_first=page_first)
        return {
            "pixels": [pixels(page, self._sizes, self._max_image_pixels) for page in pages],
            "head": torch.tensor(self._encoder.parts(prompt.head)),
            "tail": torch.tensor(self._encoder.parts(prompt.tail)),
            "labels": torch.tensor([1.0] + [0.0] * (len(pages) - 1)),
        }

    def pages(self, key: int) -> tuple[str, list[Page]]:
        """Return the query of a sample and its pages, the relevant one first.

        Raises:
            RecordError: If there is no negative for it.
        """
        epoch, number = divmod(key, len(self))
        record, answer = self._positives[number]
        example = self._examples[record]
        rng = random.Random(f"{self._seed}/{epoch}/{number}")
        seen = {example.pages[index].fingerprint() for index in example.answers}
        wanted = self._hard + self._random
        hard = self._new(rng.sample(example.pages, len(example.pages)), seen, wanted)
        few = max(0, self._hard - len(hard))
        others = self._new(self._candidates(rng, record), seen, self._random + few)
        negatives = [*hard[: self._hard], *others]
        negatives += hard[self._hard :][: wanted - len(negatives)]
        if not negatives:
            raise RecordError(f"there is no page that is not an answer to {example.query!r}")
        return example.query, [example.pages[answer], *negatives]

    @staticmethod
    def _new(pages: Sequence[Page], seen: set[str], most: int) -> list[Page]:
        """Return the first ``most`` pages that are not in ``seen``, each once, and add them to it."""
        new: list[Page] = []
        for page in pages:
            if len(new) == most:
                break
            fingerprint = page.fingerprint()
            if fingerprint not in seen:
                seen.add(fingerprint)
                new.append(page)
        return new

    def _candidates(self, rng: random.Random, record: int) -> list[Page]:
        """Return random pages of records with another query: enough for the negatives, not all of them."""
        pages = []
        total, query = self._ends[-1], self._examples[record].query.strip()
        for flat in rng.sample(range(total), min(total, max(_CANDIDATES, 8 * self._random))):
            other = bisect.bisect_right(self._ends, flat)
            example = self._examples[other]
            if example.query.strip() != query:
                pages.append(example.pages[flat - self._ends[other]])  # counted from the record's end
        return pages
