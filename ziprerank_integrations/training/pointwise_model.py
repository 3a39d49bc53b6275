"""A Qwen3-VL whose forward computes the loss of pointwise training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration

from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.pruning import select_tokens
from ziprerank_integrations.engine.selection import strongest
from ziprerank_integrations.training import losses
from ziprerank_integrations.training.decoder import Batch, build, importance, states
from ziprerank_integrations.training.model import encode
from ziprerank_integrations.training.samples import Sample


class Qwen3VLForPointwise(Qwen3VLForConditionalGeneration):  # type: ignore[no-untyped-call]
    """The stock model with the same weights; only its forward differs. See `model.Qwen3VLForRanking`.

    The forward is that of the engine's scorer (`engine.scorers.pointwise`): pruned, with the band and the
    exit, so that a trained checkpoint meets at inference what it met in training.
    """

    accepts_loss_kwargs = False

    def prepare(
        self,
        config: CheckpointConfig,
        answers: list[int],
        *,
        embedder: Callable[[Tensor], Tensor] | None = None,
        train_vision: bool = False,
    ) -> None:
        """Set the options of a training step.

        Args:
            config: The configuration of a pointwise checkpoint.
            answers: Token ids of yes and no.
            embedder: Returns the importance (B, N) of the visual tokens of pages (B, H, W, 3); for the
                selection ``embedder``.
            train_vision: Whether gradients flow into the vision tower.
        """
        assert config.pointwise is not None
        self._config = config
        self._scorer = config.pointwise
        self._answers = answers
        self._embedder = embedder
        self._train_vision = train_vision
        if not train_vision:
            self.model.visual.requires_grad_(False)

    def forward(self, samples: list[Sample], **_: Any) -> dict[str, Tensor]:
        """Compute the mean loss over all pages of the samples.

        Args:
            samples: Items of `pairs.PairSamples`.

        Returns:
            ``loss``, a scalar, and ``logits``, (pages,) float32: of each page, that of yes minus that of no.
        """
        logits = torch.cat([self._logits(sample) for sample in samples])
        labels = torch.cat([sample["labels"] for sample in samples]).to(logits.device)
        return {"loss": losses.yes_no(logits, labels), "logits": logits.detach()}

    def batches(self, sample: Sample) -> Iterator[tuple[list[int], Batch]]:
        """Yield the input sequences of a sample, those of one page size together, and the pages' indices."""
        decoder = self.model.language_model
        device = decoder.embed_tokens.weight.device
        mark_ids = torch.tensor(
            [self.config.vision_start_token_id, self.config.vision_end_token_id], device=device
        )
        head, tail = (decoder.embed_tokens(sample[name].to(device)) for name in ("head", "tail"))
        marks = decoder.embed_tokens(mark_ids)
        sizes: dict[torch.Size, list[int]] = {}
        for index, image in enumerate(sample["pixels"]):
            sizes.setdefault(image.shape, []).append(index)
        train = self._train_vision and torch.is_grad_enabled()
        for indices in sizes.values():
            images = torch.stack([sample["pixels"][index] for index in indices]).to(device)
            pages = encode(self.model.visual, images, self._config, train)
            kept = None
            if self._scorer.keep_ratio < 1:
                kept = self._select(head, tail, marks, pages, images)
            yield indices, build(head, tail, marks, pages, kept)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits, (…) float32, of hidden states (…, D) before the final norm: yes minus no."""
        yes, no = self._answers
        normed = self.model.language_model.norm(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            # The difference of the rows in float32: that of two 16-bit logits would lose most of its digits.
            weight = self.lm_head.weight[yes].float() - self.lm_head.weight[no].float()
            logits: Tensor = normed.float() @ weight
        return logits

    def _logits(self, sample: Sample) -> Tensor:
        parts: list[Tensor] = []
        order: list[int] = []
        for indices, batch in self.batches(sample):
            layers = states(self.model.language_model, batch, self._scorer.layers, self._scorer.band)
            hidden = deque(layers, maxlen=1).pop()  # of the last layer
            parts.append(self.logits(hidden[:, -1]))
            order += indices
        return torch.cat(parts)[torch.tensor(order).argsort()]

    @torch.no_grad()
    def _select(
        self, head: Tensor, tail: Tensor, marks: Tensor, pages: list[PageFeatures], images: Tensor
    ) -> Tensor:
        """Return the visual tokens that stay, (B, n). No gradient flows through the selection."""
        ratio = self._scorer.keep_ratio
        if self._scorer.order == "query-first":
            return torch.stack(select_tokens(head, [page.embeddings for page in pages], ratio))
        if self._scorer.selection == "self":
            unpruned = build(head, tail, marks, pages)
            return strongest(importance(self.model.language_model, unpruned, self._scorer.layers), ratio)
        assert self._embedder is not None
        return strongest(self._embedder(images), ratio)
