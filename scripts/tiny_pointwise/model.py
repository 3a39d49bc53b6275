"""The language model in training: pages of a list, each alone, in the page-first order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny.lists import PageText
from scripts.tiny_pointwise import circuit
from ziprerank_integrations.engine.pointwise_config import INSTRUCTION
from ziprerank_integrations.engine.prompts import pointwise
from ziprerank_integrations.engine.qwen3vl import LanguageModel


@dataclass
class PointwiseModel:
    """The language model and what its training needs.

    Attributes:
        model: The stock language model.
        rows: Input and output embeddings, shape (vocabulary, D).
        tokenizer: The checkpoint's tokenizer.
        inputs: By page, its visual tokens behind the layers below the band, which training does not change.
    """

    model: Qwen3VLTextModel
    rows: nn.Parameter
    tokenizer: PreTrainedTokenizerBase
    inputs: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.language = LanguageModel(self.model, "sdpa")

    def _embed(self, parts: Sequence[str]) -> Tensor:
        ids = [i for part in parts for i in self.tokenizer(part, add_special_tokens=False)["input_ids"]]
        return self.rows[torch.tensor(ids)]

    def logits(self, query: str, pages: Sequence[PageText]) -> Tensor:
        """Return the logits of pages, shape (pages,)."""
        prompt = pointwise(query, INSTRUCTION, page_first=True)
        head, tail = self._embed(prompt.head), self._embed(prompt.tail)
        positions = torch.arange(len(head)).expand(3, 1, -1)
        _, before = self.language.run(head[None], positions, range(circuit.LAYERS))
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, page in enumerate(pages):
            groups[page.rows, page.columns].append(index)
        result = torch.zeros(len(pages))
        band = circuit.BAND
        for (rows, columns), indices in groups.items():
            start = len(head) + 2 + max(rows, columns)
            positions = (torch.arange(len(tail)) + start).expand(3, 1, -1)
            hidden, _ = self.language.run(tail[None], positions, range(band), before[:band])
            keys, values = self._page_states([pages[i] for i in indices], len(head), before)
            past = (
                torch.cat([before[band][0].expand(len(indices), -1, -1, -1), keys], 1),
                torch.cat([before[band][1].expand(len(indices), -1, -1, -1), values], 1),
            )
            hidden = hidden.expand(len(indices), -1, -1)
            hidden, _ = self.language.run(hidden, positions, range(band, band + 1), [past])
            hidden, _ = self.language.run(
                hidden, positions, range(band + 1, circuit.LAYERS), before[band + 1 :], last_only=True
            )
            result = result.index_put((torch.tensor(indices),), self._answer(hidden[:, -1]))
        return result

    def _answer(self, hidden: Tensor) -> Tensor:
        ids = self.tokenizer.convert_tokens_to_ids(["yes", "no"])
        yes, no = self.rows[torch.tensor(ids)]
        logits: Tensor = self.language.norm(hidden) @ (yes - no)
        return logits

    def _page_states(
        self, pages: Sequence[PageText], length: int, before: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Return the keys and values of pages of one size in the band's layer."""
        rows, columns = pages[0].rows, pages[0].columns
        index = torch.arange(rows * columns)
        positions = torch.stack([torch.zeros_like(index), index // columns, index % columns]) + length + 1
        positions = positions[:, None]
        missing = [page for page in pages if id(page) not in self.inputs]
        if missing:
            with torch.no_grad():
                visual = torch.stack([page.features for page in missing if page.features is not None])
                below, _ = self.language.run(visual, positions, range(circuit.BAND), before[: circuit.BAND])
            self.inputs.update({id(page): state for page, state in zip(missing, below, strict=True)})
        hidden = torch.stack([self.inputs[id(page)] for page in pages])
        return self.language.keys_values(hidden, positions, circuit.BAND)
