"""The pointwise scorer: each page alone, by the logits of "yes" and "no" after a prompt with the page.

Sources: Qwen3-VL-Reranker's scoring script (the query first); miniReranker (arXiv 2606.10759) for the page
first, early exit and the band of layers in which query and page interact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.page_kv import PageKV
from ziprerank_integrations.engine.prompts import pointwise, pointwise_head
from ziprerank_integrations.engine.qwen3vl import KeyValues
from ziprerank_integrations.engine.scorers.base import PageState, Scored
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.errors import CheckpointError
from ziprerank_integrations.options import CallOptions

_TOKENS = {"cpu": 8_192, "cuda": 32_768}
_STACKED_BYTES = 2**30


class PointwiseScorer:
    """Scores each page alone; a page's logit is that of "yes" minus that of "no".

    With the page first, a page's state is its keys and values, which no query enters; they are computed once
    and cached. With the query first it is the output of the vision tower.

    Args:
        checkpoint: The loaded model.
        options: ``instruction`` is used.
    """

    max_pages: int | None = None
    scale: Literal["relative", "absolute"] = "absolute"

    def __init__(self, checkpoint: Checkpoint, options: CallOptions) -> None:
        config = checkpoint.config.pointwise
        assert config is not None  # the config reader has checked it
        self._checkpoint = checkpoint
        self._config = config
        self._instruction = config.instruction if options.instruction is None else options.instruction
        self._page_first = config.order == "vision-first"
        self.state = f"kv {config.layers} {config.band} {self._instruction}" if self._page_first else ""

    @classmethod
    def answer_tokens(cls, text: TextEncoder, config: CheckpointConfig) -> list[int]:
        """Return the ids of "yes" and "no". See `Scorer.answer_tokens`."""
        if config.pointwise is not None and config.pointwise.answers is not None:
            return list(config.pointwise.answers)
        yes, no = text.single_tokens(["yes", "no"])
        if yes == no:
            raise CheckpointError("the tokenizer has one token for yes and no")
        return [yes, no]

    @torch.inference_mode()
    def prepare(self, pages: Sequence[PageFeatures]) -> Sequence[PageState]:
        """Return the states of pages of one shape. See `Scorer.prepare`."""
        if not self._page_first:
            return pages
        head, length = self._head(pointwise_head(self._instruction))
        first, stop = self._config.band
        rows, columns = pages[0].rows, pages[0].columns
        hidden, visual, deepstack = self._page_tokens(pages)
        positions = self._page_positions(length, rows, columns)
        language = self._checkpoint.language
        # The last layer of the band needs keys and values only.
        hidden, own = language.run(
            hidden, positions, range(stop - 1), head[: stop - 1], visual=visual, deepstack=deepstack
        )
        band = [*own[first:], language.keys_values(hidden, positions, stop - 1)]
        start = length + 2 + max(rows, columns)
        return [
            PageKV(
                torch.stack([keys[index] for keys, _ in band]),
                torch.stack([values[index] for _, values in band]),
                start,
                rows,
                columns,
            )
            for index in range(len(pages))
        ]

    @torch.inference_mode()
    def score(self, query: str, pages: Sequence[PageState], share: int = 1) -> Scored:
        """Score any number of pages. See `Scorer.score`."""
        prompt = pointwise(query, self._instruction, page_first=self._page_first)
        tail = self._embed(prompt.tail)
        head, length = self._head(prompt.head)
        logits = torch.zeros(len(pages))
        groups: dict[tuple[int, int, int], list[int]] = {}
        for index, page in enumerate(pages):
            start = page.start if isinstance(page, PageKV) else 0
            groups.setdefault((page.rows, page.columns, start), []).append(index)
        below: dict[int, Tensor] = {}
        for (rows, columns, start), indices in groups.items():
            for batch in self._batches(indices, rows * columns + 2, len(tail), share):
                chosen = [pages[index] for index in batch]
                if self._page_first:
                    if start not in below:
                        below[start] = self._below_band(tail, start, head)
                    hidden = self._query_pass(below[start], start, head, chosen)
                else:
                    hidden = self._page_pass(tail, length, head, chosen)
                logits[batch] = self._logits(hidden).cpu()
        tokens = sum(page.rows * page.columns for page in pages)
        return Scored(logits.tolist(), None, tokens, tokens)

    @torch.inference_mode()
    def similarity(self, query: str, page: PageState) -> Tensor:
        """Return the attention that each visual token gets, summed over the band. See `Scorer.similarity`.

        With the page first, it is the mean attention of the query's text; with the query first, where that
        cannot attend to the page, the attention of the prompt's last token.
        """
        prompt = pointwise(query, self._instruction, page_first=self._page_first)
        tail = self._embed(prompt.tail)
        head, length = self._head(prompt.head)
        first, stop = self._config.band
        language = self._checkpoint.language
        if isinstance(page, PageKV):
            hidden = self._below_band(tail, page.start, head)
            positions = self._text_positions(tail, page.start)
            visual: Tensor | None = None
            levels: list[Tensor] = []
            rows = slice(0, len(self._checkpoint.text.parts(prompt.tail[:1])))
        else:
            hidden, positions, visual, levels = self._page_sequence([page], length, tail)
            rows = slice(-1, None)
        offset = length + 1
        total = torch.zeros(page.rows * page.columns, device=hidden.device)
        for layer in range(first, stop):
            past = self._past(head, layer, [page]) if isinstance(page, PageKV) else head[layer]
            weights = language.attention_weights(hidden, positions, layer, past[0])
            total += weights[rows, offset : offset + len(total)].mean(0)
            hidden, _ = language.run(
                hidden, positions, range(layer, layer + 1), [past], visual=visual, deepstack=levels
            )
        return total.cpu()

    def _page_pass(
        self, tail: Tensor, length: int, head: list[KeyValues], pages: Sequence[PageState]
    ) -> Tensor:
        """Run pages of one shape and the text after them, and return the last hidden state of each."""
        hidden, positions, visual, deepstack = self._page_sequence(
            cast(Sequence[PageFeatures], pages), length, tail
        )
        hidden, _ = self._checkpoint.language.run(
            hidden,
            positions,
            range(self._config.layers),
            head,
            visual=visual,
            deepstack=deepstack,
            last_only=True,
        )
        return hidden[:, -1]

    def _below_band(self, tail: Tensor, start: int, head: list[KeyValues]) -> Tensor:
        """Run the query's text below the band, where it does not depend on the page: (1, m, D)."""
        first, _ = self._config.band
        positions = self._text_positions(tail, start)
        return self._checkpoint.language.run(tail[None], positions, range(first), head[:first])[0]

    def _query_pass(
        self, hidden: Tensor, start: int, head: list[KeyValues], pages: Sequence[PageState]
    ) -> Tensor:
        """Run the query's text in and above the band, and return the last hidden state for each page."""
        language, layers = self._checkpoint.language, self._config.layers
        first, stop = self._config.band
        states = cast(Sequence[PageKV], pages)
        positions = self._text_positions(hidden[0], start)
        hidden = hidden.expand(len(states), -1, -1)
        for layer in range(first, stop):
            past = self._past(head, layer, states)
            hidden, _ = language.run(
                hidden,
                positions,
                range(layer, layer + 1),
                [past],
                last_only=layer == layers - 1,
            )
        if stop < layers:
            hidden, _ = language.run(
                hidden, positions, range(stop, layers), head[stop:layers], last_only=True
            )
        return hidden[:, -1]

    def _past(self, head: list[KeyValues], layer: int, states: Sequence[PageKV]) -> KeyValues:
        """Return the keys and values before the query's text in one layer of the band.

        One layer at a time: stacked for all layers, the states would take their memory twice.
        """
        pairs = [state.layer(layer - self._config.band[0]) for state in states]
        keys, values = (
            torch.cat([before.expand(len(states), -1, -1, -1), torch.stack(own)], 1)
            for before, own in zip(head[layer], zip(*pairs, strict=True), strict=True)
        )
        return keys, values

    def _logits(self, hidden: Tensor) -> Tensor:
        yes, no = self._checkpoint.answers
        logits: Tensor = self._checkpoint.language.norm(hidden).float() @ (yes - no)
        return logits

    def _head(self, parts: list[str]) -> tuple[list[KeyValues], int]:
        """Return the keys and values of the text before the page, and its length."""
        embeddings = self._embed(parts)
        key = "".join(parts)
        heads = self._checkpoint.heads
        if key not in heads:
            positions = self._text_positions(embeddings, 0)
            _, own = self._checkpoint.language.run(embeddings[None], positions, range(self._config.layers))
            if not self._page_first:
                return own, len(embeddings)
            heads[key] = own
        return heads[key], len(embeddings)

    def _embed(self, parts: list[str]) -> Tensor:
        ids = torch.tensor(self._checkpoint.text.parts(parts), device=self._checkpoint.device)
        return self._checkpoint.language.embed(ids)

    def _page_tokens(self, pages: Sequence[PageFeatures]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return (B, n + 2, D) embeddings of pages of one shape, the visual indices, and deepstack levels."""
        marks = torch.tensor(self._checkpoint.vision_marks, device=self._checkpoint.device)
        opening, closing = self._checkpoint.language.embed(marks)[:, None, None].expand(-1, len(pages), 1, -1)
        visual = torch.stack([page.embeddings for page in pages])
        levels = [torch.stack(level) for level in zip(*(page.deepstack for page in pages), strict=True)]
        indices = torch.arange(1, 1 + visual.shape[1], device=self._checkpoint.device)
        return torch.cat([opening, visual, closing], 1), indices, levels

    def _page_sequence(
        self, pages: Sequence[PageFeatures], length: int, tail: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Return what `_page_tokens` does, with the text after the pages, and the positions."""
        hidden, visual, levels = self._page_tokens(pages)
        rows, columns = pages[0].rows, pages[0].columns
        page, text = (
            self._page_positions(length, rows, columns),
            self._text_positions(tail, length + 2 + max(rows, columns)),
        )
        hidden = torch.cat([hidden, tail.expand(len(pages), -1, -1)], 1)
        return hidden, torch.cat([page, text], 2), visual, levels

    def _page_positions(self, length: int, rows: int, columns: int) -> Tensor:
        """Return the M-RoPE positions (3, 1, n + 2) of a page after ``length`` tokens of text."""
        index = torch.arange(rows * columns, device=self._checkpoint.device)
        tokens = torch.stack([torch.zeros_like(index), index // columns, index % columns]) + length + 1
        marks = (length, length + 1 + max(rows, columns))
        opening, closing = (torch.full((3, 1), mark, device=index.device) for mark in marks)
        return torch.cat([opening, tokens, closing], 1)[:, None]

    def _text_positions(self, text: Tensor, start: int) -> Tensor:
        positions = torch.arange(start, start + len(text), device=self._checkpoint.device)
        return positions.expand(3, 1, -1)

    def _batches(self, indices: list[int], page: int, text: int, share: int) -> Iterator[list[int]]:
        """Split pages of one shape into batches that fit into memory.

        Args:
            indices: The pages.
            page: Tokens of a page.
            text: Tokens of the text after it.
            share: Divides the usual batch, where memory is short.
        """
        limit = _TOKENS.get(self._checkpoint.device.type, _TOKENS["cpu"])
        if self._page_first:
            size = min(2 * limit // text, _STACKED_BYTES // (page * self._checkpoint.language.kv_bytes))
        else:
            size = limit // (page + text)
        size = max(1, size // share)
        for begin in range(0, len(indices), size):
            yield indices[begin : begin + size]
