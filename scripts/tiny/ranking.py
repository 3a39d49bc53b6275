"""Lists as the language model reads them, its loss on them, and how often it is right."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny import circuits, ranker
from scripts.tiny.lexis import Lexis
from scripts.tiny.lists import PageList, PageText, Shelf
from scripts.tiny.prompt import encode
from scripts.tiny.reader import CONTENT

LONGEST = 1300  # tokens of a training sequence
Contents = Callable[[PageText], Tensor]


@dataclass
class Trainee:
    """Everything that is trained, and what training needs at hand.

    Attributes:
        model: The stock language model.
        rows: Input embeddings, shape (vocabulary, D); also the output's.
        flags: What every visual token carries besides its content, shape (D,).
        deep: The deepstack mergers.
        tokenizer: The checkpoint's.
        lexis: Tokens and weights.
    """

    model: Qwen3VLTextModel
    rows: nn.Parameter
    flags: Tensor
    deep: nn.ModuleList
    tokenizer: PreTrainedTokenizerBase
    lexis: Lexis

    def sequence(
        self,
        example: PageList,
        keep: float,
        content: Contents,
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

    def freeze(self) -> None:
        """Stops gradients everywhere; whoever trains a part turns it on again."""
        for weights in (self.model, self.deep):
            cast(nn.Module, weights).requires_grad_(False)
        self.rows.requires_grad_(False)

    def logits(self, last: Tensor, count: int) -> Tensor:
        """The letters' logits."""
        return self.rows[torch.tensor(circuits.letters(self.tokenizer)[:count])].float() @ last.float()


def loss_of(trainee: Trainee, example: PageList, sequence: ranker.Assembled) -> tuple[Tensor, bool]:
    """Listwise loss: the closer a page comes to holding the whole question, the more of the mass it should
    get.

    Args:
        trainee: The model.
        example: The list.
        sequence: The list as assembled.

    Returns:
        The loss, and whether the right page came first.
    """
    last, _ = ranker.forward(trainee.model, sequence)
    logits = trainee.logits(last, len(example.pages))
    wanted = (example.held / example.held.max() / 0.12).softmax(0)
    return -(wanted * logits.log_softmax(0)).sum(), int(logits.argmax()) == example.answer


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
    content: Contents,
    lists: int,
    seed: int = 1,
    cells: Sequence[tuple[int, float]] = ((8, 0.25), (20, 0.25)),
) -> dict[str, float]:
    """Recall@1 by number of pages and keep ratio; 20 large pages in full take this code minutes a list."""
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
