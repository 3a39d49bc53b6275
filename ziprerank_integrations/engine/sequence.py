"""Prompt and kept visual tokens → the language model's input: embeddings, M-RoPE positions, deepstack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ziprerank_integrations.engine.device import upload
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.tokenizer import EncodedPrompt


@dataclass(frozen=True)
class Tokens:
    """The language model's input sequence.

    Attributes:
        embeddings: (L, D).
        positions: (3, L) int64: time, height, width.
        visual: (V,) int64: the indices in L of the visual tokens.
        deepstack: By level, (V, D).
    """

    embeddings: Tensor
    positions: Tensor
    visual: Tensor
    deepstack: list[Tensor]

    def after(self, length: int) -> Tokens:
        """Return the sequence without its first ``length`` tokens, which must be text."""
        return Tokens(
            self.embeddings[length:], self.positions[:, length:], self.visual - length, self.deepstack
        )


def build(
    text: Tensor, encoded: EncodedPrompt, pages: Sequence[PageFeatures], kept: Sequence[Tensor] | None
) -> Tokens:
    """Replace the prompt's image tokens by the pages' visual tokens.

    Positions are those of the unpruned sequence (M-RoPE, Qwen2-VL, arXiv 2409.12191, section 2.1): a text
    token advances all three axes by one; an image has one time, its tokens are offset by their row and
    column, and the text after it continues at the larger of its sides.

    Args:
        text: (T, D) input embeddings of ``encoded.ids``; those of the image tokens are not used.
        encoded: The prompt.
        pages: The pages' features, in order.
        kept: By page, the indices of the tokens that stay, in reading order, on the device; None keeps all.
    """
    parts: list[Tensor] = []
    times: list[Tensor] = []  # of each token, the position that does not depend on its row and column
    grid: list[Tensor] = []  # of each visual token, the columns of its page
    visual: list[Tensor] = []
    length = time = begin = 0

    def add_text(start: int, stop: int) -> None:
        nonlocal length, time
        parts.append(text[start:stop])
        times.append(torch.arange(time, time + stop - start, device="cpu"))
        length, time = length + stop - start, time + stop - start

    for number, (slot, page) in enumerate(zip(encoded.images, pages, strict=True)):
        add_text(begin, slot)
        begin = slot + 1
        parts.append(_select(page.embeddings, kept, number))
        count = len(parts[-1])
        times.append(torch.full((count,), time, device="cpu"))
        visual.append(torch.arange(length, length + count, device="cpu"))
        grid.append(torch.full((count,), page.columns, device="cpu"))
        length, time = length + count, time + max(page.rows, page.columns)
    add_text(begin, len(encoded.ids))
    # One copy to the device, and none back: indices of kept tokens are computed there, and stay there.
    total = sum(map(len, visual))
    packed = upload(torch.cat([*times, *visual, *grid]), text.device)
    base, where, columns = torch.split(packed, [length, total, total])
    if kept is None:
        index = torch.cat([torch.arange(len(part), device=text.device) for part in visual])
    else:
        index = torch.cat(list(kept))
    positions = base.repeat(3, 1)
    positions[1:].index_add_(1, where, torch.stack([index // columns, index % columns]))
    levels = range(len(pages[0].deepstack) if pages else 0)
    return Tokens(
        torch.cat(parts),
        positions,
        where,
        [torch.cat([_select(page.deepstack[i], kept, n) for n, page in enumerate(pages)]) for i in levels],
    )


def _select(level: Tensor, kept: Sequence[Tensor] | None, number: int) -> Tensor:
    return level if kept is None else level[kept[number]]
