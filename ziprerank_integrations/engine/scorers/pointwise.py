"""The pointwise scorer: each page alone, by the logits of "yes" and "no" after a prompt with the page.

Sources: Qwen3-VL-Reranker's scoring script (the query first); miniReranker (arXiv 2606.10759) for the page
first, early exit and the band of layers in which query and page interact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor

from ziprerank_integrations import cancellation
from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.device import upload_integers
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.page_kv import PageKV
from ziprerank_integrations.engine.prompts import PointwisePrompt, pointwise, pointwise_head
from ziprerank_integrations.engine.pruning import select_tokens
from ziprerank_integrations.engine.qwen3vl import KeyValues, Prefix
from ziprerank_integrations.engine.scorers import pruning
from ziprerank_integrations.engine.scorers.base import PageState, Scored, read_evidence
from ziprerank_integrations.engine.selection import received_attention, strongest
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.errors import CheckpointError
from ziprerank_integrations.options import CallOptions

if TYPE_CHECKING:
    from ziprerank_integrations.engine.embedder import Embedder

_TOKENS = {"cpu": 8_192, "cuda": 32_768}
_STACKED_BYTES = 2**30
_HEADS = 8  # instructions whose keys and values are kept


class PointwiseScorer:
    """Scores each page alone; a page's logit is that of "yes" minus that of "no".

    With the page first, a page's state is its keys and values, which no query enters; they are computed once
    and cached. With the query first it is the output of the vision tower.

    Args:
        checkpoint: The loaded model.
        options: ``instruction``, ``keep_ratio`` and ``interaction`` are used.
        embedder: Selects visual tokens with ``interaction="embedder"``.
    """

    max_pages: int | None = None
    scale: Literal["relative", "absolute"] = "absolute"

    def __init__(
        self, checkpoint: Checkpoint, options: CallOptions, embedder: Embedder | None = None
    ) -> None:
        config = checkpoint.config.pointwise
        assert config is not None  # the config reader has checked it
        self._checkpoint = checkpoint
        self._config = config
        self._instruction = config.instruction if options.instruction is None else options.instruction
        self._page_first = config.order == "vision-first"
        self._keep_ratio, self._interaction = pruning(checkpoint.config, options)
        self._embedder = embedder
        self.state = ""
        if self._page_first:
            pruned = "" if self._keep_ratio == 1 else f" {self._keep_ratio} {self._interaction}"
            if pruned and self._interaction == "embedder":
                assert embedder is not None  # the options are checked
                pruned += f" {embedder.identity}"
            self.state = f"kv {config.layers} {config.band}{pruned} {self._instruction}"

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
    def prepare(self, pages: Sequence[PageFeatures], images: Tensor) -> Sequence[PageState]:
        """Return the states of pages of one shape. See `Scorer.prepare`."""
        if not self._page_first:
            return pages
        prefix = self._head(pointwise_head(self._instruction))
        head, length = prefix.cache, len(prefix.hidden)
        first, stop = self._config.band
        rows, columns = pages[0].rows, pages[0].columns
        kept = None
        if self._keep_ratio < 1:
            kept = strongest(self._importance(pages, images, head, length), self._keep_ratio)
        hidden, visual, deepstack = self._page_tokens(pages, kept)
        positions = self._page_positions(length, rows, columns, kept)
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
                None if kept is None else kept[index].clone(),
            )
            for index in range(len(pages))
        ]

    def _importance(
        self, pages: Sequence[PageFeatures], images: Tensor, head: list[KeyValues], length: int
    ) -> Tensor:
        """Return the attention that each visual token of unpruned pages receives, (B, N) float32."""
        if self._interaction == "embedder":
            assert self._embedder is not None
            return self._embedder.importance(images)
        hidden, visual, deepstack = self._page_tokens(pages)
        return received_attention(
            self._checkpoint.language,
            hidden,
            self._page_positions(length, pages[0].rows, pages[0].columns),
            self._config.layers,
            head,
            visual=visual,
            deepstack=deepstack,
        )

    @torch.inference_mode()
    def score(self, query: str, pages: Sequence[PageState], share: int = 1) -> Scored:
        """Score any number of pages. See `Scorer.score`."""
        prompt = pointwise(query, self._instruction, page_first=self._page_first)
        tail = self._embed(prompt.tail)
        prefix = self._head(prompt.head)
        head, length = prefix.cache, len(prefix.hidden)
        kept = self._kept(prompt, prefix, pages)
        logits = torch.zeros(len(pages), device=self._checkpoint.device)
        groups: dict[tuple[int, int, int], list[int]] = {}
        for index, page in enumerate(pages):
            start = page.start if isinstance(page, PageKV) else 0
            groups.setdefault((page.rows, page.columns, start), []).append(index)
        below: dict[int, Tensor] = {}
        for (rows, columns, start), indices in groups.items():
            tokens = rows * columns if kept is None else len(kept[indices[0]])
            for batch in self._batches(indices, tokens + 2, len(tail), share):
                cancellation.check()
                chosen = [pages[index] for index in batch]
                if self._page_first:
                    if start not in below:
                        below[start] = self._below_band(tail, start, head)
                    hidden = self._query_pass(below[start], start, head, chosen)
                else:
                    stacked = None if kept is None else torch.stack([kept[index] for index in batch])
                    hidden = self._page_pass(tail, length, head, chosen, stacked)
                logits[batch] = self._logits(hidden)
        before = sum(page.rows * page.columns for page in pages)
        if kept is None:
            return Scored(logits.tolist(), None, before, before)
        return Scored(logits.tolist(), read_evidence(pages, kept), before, sum(map(len, kept)))

    def _kept(self, prompt: PointwisePrompt, head: Prefix, pages: Sequence[PageState]) -> list[Tensor] | None:
        """Return the indices of each page's kept visual tokens; None if nothing is pruned."""
        if self._keep_ratio == 1:
            return None
        if self._page_first:
            return [cast(Tensor, cast(PageKV, page).kept) for page in pages]
        features = cast(Sequence[PageFeatures], pages)
        return select_tokens(
            self._query_vectors(prompt, head), [page.embeddings for page in features], self._keep_ratio
        )

    def _query_vectors(self, prompt: PointwisePrompt, head: Prefix) -> Tensor:
        """Return the text vectors, (t, D), that visual tokens are compared with if the query comes first."""
        text = head.hidden if self._interaction == "contextual" else self._embed(prompt.head)
        if self._interaction == "prompt":
            return text
        run, inside = self._checkpoint.text.run(prompt.text, prompt.query)
        return text[[len(text) - len(run) + index for index in inside]]

    @torch.inference_mode()
    def similarity(self, query: str, page: PageState) -> Tensor:
        """Return the attention that each visual token gets, summed over the band. See `Scorer.similarity`.

        With the page first, it is the mean attention of the query's tokens, 0 for pruned visual tokens; with
        the query first, where these cannot attend to the page, the attention of the prompt's last token.
        """
        prompt = pointwise(query, self._instruction, page_first=self._page_first)
        tail = self._embed(prompt.tail)
        prefix = self._head(prompt.head)
        head, length = prefix.cache, len(prefix.hidden)
        first, stop = self._config.band
        language = self._checkpoint.language
        if isinstance(page, PageKV):
            hidden = self._below_band(tail, page.start, head)
            positions = self._text_positions(tail, page.start)
            visual: Tensor | None = None
            levels: list[Tensor] = []
            _, rows = self._checkpoint.text.run(prompt.text, prompt.query)
            kept = page.kept
        else:
            hidden, positions, visual, levels = self._page_sequence([page], length, tail)
            rows, kept = [-1], None
        offset = length + 1
        count = page.rows * page.columns
        total = torch.zeros(count if kept is None else len(kept), device=hidden.device)
        for layer in range(first, stop):
            past = self._past(head, layer, [page]) if isinstance(page, PageKV) else head[layer]
            weights = language.attention_weights(hidden, positions, layer, past)[0]
            total += weights[rows, offset : offset + len(total)].mean(0)
            hidden, _ = language.run(
                hidden, positions, range(layer, layer + 1), [past], visual=visual, deepstack=levels
            )
        if kept is not None:
            total = torch.zeros(count, device=total.device).index_put_((kept,), total)
        return total.cpu()

    def _page_pass(
        self,
        tail: Tensor,
        length: int,
        head: list[KeyValues],
        pages: Sequence[PageState],
        kept: Tensor | None,
    ) -> Tensor:
        """Run pages of one shape and the text after them, and return the last hidden state of each."""
        hidden, positions, visual, deepstack = self._page_sequence(
            cast(Sequence[PageFeatures], pages), length, tail, kept
        )
        hidden, _ = self._checkpoint.language.run(
            hidden,
            positions,
            range(self._config.layers),
            head,
            visual=visual,
            deepstack=deepstack,
            last_only=True,
            keep=False,
        )
        return hidden[:, -1]

    def _below_band(self, tail: Tensor, start: int, head: list[KeyValues]) -> Tensor:
        """Run the query's text below the band, where it does not depend on the page: (1, m, D)."""
        first, _ = self._config.band
        positions = self._text_positions(tail, start)
        return self._checkpoint.language.run(tail[None], positions, range(first), head[:first], keep=False)[0]

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
                keep=False,
            )
        if stop < layers:
            hidden, _ = language.run(
                hidden, positions, range(stop, layers), head[stop:layers], last_only=True, keep=False
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

    def _head(self, parts: list[str]) -> Prefix:
        """Return the state of the text before the page."""
        key = "".join(parts)
        heads = self._checkpoint.heads
        if self._page_first and key in heads:
            return heads[key]
        text = self._embed(parts)
        positions = self._text_positions(text, 0)[:, 0]
        prefix = self._checkpoint.language.prefix(text, positions, self._config.layers)
        if self._page_first:
            if len(heads) >= _HEADS:  # clients may send any instruction
                del heads[next(iter(heads))]
            heads[key] = prefix
        return prefix

    def _embed(self, parts: list[str]) -> Tensor:
        ids = upload_integers(self._checkpoint.text.parts(parts), self._checkpoint.device)
        return self._checkpoint.language.embed(ids)

    def _page_tokens(
        self, pages: Sequence[PageFeatures], kept: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return (B, n + 2, D) embeddings of pages of one shape, the visual indices, and deepstack levels.

        ``kept``, (B, n), are the visual tokens that stay; None keeps all.
        """
        marks = torch.tensor(self._checkpoint.vision_marks, device=self._checkpoint.device)
        opening, closing = self._checkpoint.language.embed(marks)[:, None, None].expand(-1, len(pages), 1, -1)
        visual = torch.stack([page.embeddings for page in pages])
        levels = [torch.stack(level) for level in zip(*(page.deepstack for page in pages), strict=True)]
        if kept is not None:
            index = kept[:, :, None].expand(-1, -1, visual.shape[2])
            visual, *levels = (part.gather(1, index) for part in (visual, *levels))
        indices = torch.arange(1, 1 + visual.shape[1], device=self._checkpoint.device)
        return torch.cat([opening, visual, closing], 1), indices, levels

    def _page_sequence(
        self, pages: Sequence[PageFeatures], length: int, tail: Tensor, kept: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Return what `_page_tokens` does, with the text after the pages, and the positions."""
        hidden, visual, levels = self._page_tokens(pages, kept)
        rows, columns = pages[0].rows, pages[0].columns
        page = self._page_positions(length, rows, columns, kept)
        text = self._text_positions(tail, length + 2 + max(rows, columns)).expand(-1, page.shape[1], -1)
        hidden = torch.cat([hidden, tail.expand(len(pages), -1, -1)], 1)
        return hidden, torch.cat([page, text], 2), visual, levels

    def _page_positions(self, length: int, rows: int, columns: int, kept: Tensor | None = None) -> Tensor:
        """Return the M-RoPE positions (3, B or 1, n + 2) of pages after ``length`` tokens of text."""
        index = torch.arange(rows * columns, device=self._checkpoint.device)[None] if kept is None else kept
        tokens = torch.stack([torch.zeros_like(index), index // columns, index % columns]) + length + 1
        marks = (length, length + 1 + max(rows, columns))
        opening, closing = (tokens.new_full((3, len(index), 1), mark) for mark in marks)
        return torch.cat([opening, tokens, closing], 2)

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
