"""The language model with its parts in training, its listwise loss and its Recall@1."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny import circuits, forward
from scripts.tiny.lists import PageList, PagePool, PageText
from scripts.tiny.prompt import encode
from scripts.tiny.vision_tower import CONTENT
from scripts.tiny.word_statistics import WordStatistics

LONGEST = 1300  # tokens of a training sequence
Contents = Callable[[PageText], Tensor]


@dataclass
class ListwiseModel:
    """The language model, its embeddings and mergers, and what their training needs.

    Attributes:
        model: The stock language model.
        rows: Input and output embeddings, shape (vocabulary, D).
        flags: What every visual token has besides its content, shape (D,).
        deep: The deepstack mergers.
        tokenizer: The checkpoint's tokenizer.
        stats: Tokens and weights.
    """

    model: Qwen3VLTextModel
    rows: nn.Parameter
    flags: Tensor
    deep: nn.ModuleList
    tokenizer: PreTrainedTokenizerBase
    stats: WordStatistics

    def sequence(
        self,
        example: PageList,
        keep: float,
        content: Contents,
        interaction: str = "prompt",
        generator: torch.Generator | None = None,
    ) -> forward.Assembled:
        """Return the input sequence of a list."""
        prompt = encode(self.tokenizer, example.query, len(example.pages))
        pages = []
        for page in example.pages:
            vectors = content(page).to(self.flags.dtype)
            if vectors.shape[1] == CONTENT:
                pages.append(torch.cat([vectors, self.flags[CONTENT:].expand(len(vectors), -1)], 1))
            else:
                pages.append(vectors)
        levels = [page.levels for page in example.pages if page.levels is not None]
        sequence = forward.assemble(
            self.rows,
            prompt,
            pages,
            [(page.rows, page.columns) for page in example.pages],
            keep,
            forward.special_ids(self.tokenizer),
            interaction,
            levels if len(levels) == len(pages) else None,
            generator,
        )
        if sequence.levels is not None:
            sequence.levels = torch.stack(
                [merge(level) for merge, level in zip(self.deep, sequence.levels, strict=True)]
            )
        return sequence

    def freeze(self) -> None:
        """Disable gradients of all weights."""
        for weights in (self.model, self.deep):
            cast(nn.Module, weights).requires_grad_(False)
        self.rows.requires_grad_(False)

    def logits(self, last: Tensor, count: int) -> Tensor:
        """Return the letters' logits."""
        return self.rows[torch.tensor(circuits.letters(self.tokenizer)[:count])].float() @ last.float()


def listwise_loss(
    ranker: ListwiseModel, example: PageList, sequence: forward.Assembled
) -> tuple[Tensor, bool]:
    """Compute the listwise loss: a page's target grows with its share of the question's weight.

    Args:
        ranker: The model.
        example: The list.
        sequence: The list as assembled.

    Returns:
        The loss, and whether the right page came first.
    """
    last, _ = forward.forward(ranker.model, sequence)
    logits = ranker.logits(last, len(example.pages))
    wanted = (example.overlap / example.overlap.max() / 0.12).softmax(0)
    return -(wanted * logits.log_softmax(0)).sum(), int(logits.argmax()) == example.answer


def sample_keep_ratio(cells: Sequence[int], rng: random.Random, longest: int = LONGEST) -> float:
    """Sample a keep ratio whose sequence has at most ``longest`` tokens."""
    for keep in rng.sample((1.0, 0.5, 0.25), 3):
        if sum(max(1, round(keep * n)) for n in cells) + 350 <= longest:
            return keep
    return 0.25 if 0.25 * sum(cells) + 350 <= longest else 0.1


@torch.no_grad()
def recall_at_1(
    ranker: ListwiseModel,
    pool: PagePool,
    content: Contents,
    lists: int,
    seed: int = 1,
    cells: Sequence[tuple[int, float]] = ((8, 0.25), (20, 0.25)),
) -> dict[str, float]:
    """Compute Recall@1 by number of pages and keep ratio; 20 large unpruned pages take minutes per list."""
    result = {}
    for count, keep in cells:
        rng = random.Random(seed)
        right = total = 0
        while total < lists:
            example = pool.sample(count, rng)
            if example is None:
                continue
            last, _ = forward.forward(ranker.model, ranker.sequence(example, keep, content))
            right += int(ranker.logits(last, count).argmax() == example.answer)
            total += 1
        result[f"{count}@{keep}"] = round(right / total, 3)
    return result
