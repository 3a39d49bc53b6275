"""A Qwen3-VL whose forward computes the ranking loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration

from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.preprocess import patches
from ziprerank_integrations.engine.pruning import select_tokens, text_vectors
from ziprerank_integrations.engine.qwen3vl import LanguageModel, VisionTower
from ziprerank_integrations.engine.sequence import Tokens, build
from ziprerank_integrations.engine.tokenizer import EncodedPrompt
from ziprerank_integrations.training import losses
from ziprerank_integrations.training.samples import Sample


def encode(visual: Any, images: Tensor, config: CheckpointConfig, train: bool) -> list[PageFeatures]:
    """Return the features of pages of one size.

    Args:
        visual: transformers' ``Qwen3VLVisionModel``.
        images: (B, H, W, 3) uint8, on its device.
        config: The checkpoint's configuration.
        train: Whether gradients flow into the vision tower.
    """
    rows, columns = (side // config.patch for side in images.shape[1:3])
    with torch.set_grad_enabled(train):
        merged, levels = VisionTower(visual, "sdpa")(patches(images, config), rows, columns)
    grid = rows // config.merge, columns // config.merge
    return [
        PageFeatures(page, tuple(level[index] for level in levels), *grid)
        for index, page in enumerate(merged)
    ]


class Qwen3VLForRanking(Qwen3VLForConditionalGeneration):  # type: ignore[no-untyped-call]
    """The stock model with the same weights; only its forward differs.

    A subclass rather than a wrapper, so that the Trainer, peft, FSDP and ``save_pretrained`` work as usual.
    """

    accepts_loss_kwargs = False

    def prepare(
        self,
        config: CheckpointConfig,
        letters: list[int],
        *,
        interaction: str = "prompt",
        rank_loss: str = "ranknet",
        rank_weight: float = 1.0,
        language_weight: float = 1.0,
        train_vision: bool = False,
    ) -> None:
        """Set the options of a training step.

        Args:
            config: The checkpoint's configuration.
            letters: Token ids of A to T.
            interaction: The text that visual tokens are compared with; see `ZipReranker`.
            rank_loss: ``ranknet`` or ``soft``.
            rank_weight: λ, the weight of the ranking loss.
            language_weight: The weight of the language-modelling loss.
            train_vision: Whether gradients flow into the vision tower.
        """
        self._config = config
        self._letters = letters
        self._interaction = interaction
        self._rank_loss = rank_loss
        self._rank_weight = rank_weight
        self._language_weight = language_weight
        self._train_vision = train_vision
        if not train_vision:
            self.model.visual.requires_grad_(False)

    def forward(self, samples: list[Sample], **_: Any) -> dict[str, Tensor]:
        """Compute the mean loss over lists.

        Args:
            samples: Items of `Samples`.

        Returns:
            ``loss`` and its parts ``rank_loss`` and ``language_loss``, scalars; ``logits``, the letters'
            logits of the last list, (pages,).
        """
        steps = [self._step(sample) for sample in samples]
        parts = {
            name: torch.stack([step[name] for step in steps]).mean()
            for name in ("rank_loss", "language_loss")
        }
        loss = self._rank_weight * parts["rank_loss"] + self._language_weight * parts["language_loss"]
        return {"loss": loss, **parts, "logits": steps[-1]["logits"]}

    def _step(self, sample: Sample) -> dict[str, Tensor]:
        device = self.model.language_model.embed_tokens.weight.device
        ids: Tensor = sample["ids"].to(device)
        images = [image.to(device)[None] for image in sample["pixels"]]
        train = self._train_vision and torch.is_grad_enabled()
        pages = [page for image in images for page in encode(self.model.visual, image, self._config, train)]
        tokens = self._tokens(ids, sample, pages)
        length, response = len(tokens.embeddings), int(sample["response"])
        mask = torch.zeros(1, length, dtype=torch.bool, device=device)
        mask[0, tokens.visual] = True
        order = torch.arange(length, device=device)
        # Four rows of positions: with three and no mask, transformers reads jumps as packed sequences.
        positions = torch.cat([order[None], tokens.positions])[:, None]
        hidden = self.model.language_model(
            inputs_embeds=tokens.embeddings[None],
            position_ids=positions,
            use_cache=False,
            visual_pos_masks=mask,
            deepstack_visual_embeds=tokens.deepstack,
        ).last_hidden_state[0]
        # Position i predicts token i + 1: each token of the response is predicted one position before it.
        logits = self.lm_head(hidden[length - response - 1 : -1]).float()
        letters = logits[1, self._letters[: len(pages)]]
        if self._rank_loss == "soft":
            rank = losses.soft_ranking(letters, sample["targets"].to(device))
        else:
            rank = losses.weighted_ranknet(letters, sample["ranks"].to(device))
        return {
            "rank_loss": rank,
            "language_loss": losses.language(logits, ids[-response:]),
            "logits": letters.detach(),
        }

    def _tokens(self, ids: Tensor, sample: Sample, pages: list[PageFeatures]) -> Tokens:
        encoded = EncodedPrompt(ids.tolist(), sample["images"], sample["query"])
        text = self.model.language_model.embed_tokens(ids)
        kept = None
        if sample["keep_ratio"] < 1:
            # No gradient flows through the selection, only through the tokens that it keeps.
            with torch.no_grad():
                marks = (self.config.vision_start_token_id, self.config.vision_end_token_id)
                language = LanguageModel(self.model.language_model, "sdpa")
                vectors, _ = text_vectors(self._interaction, language, text, encoded, marks)
                kept = select_tokens(vectors, [page.embeddings for page in pages], sample["keep_ratio"])
        return build(text, encoded, pages, kept)
