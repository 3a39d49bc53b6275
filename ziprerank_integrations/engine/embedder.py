"""A Qwen3-VL embedding model that selects the visual tokens of a page."""

from __future__ import annotations

import torch
from torch import Tensor

from ziprerank_integrations.engine.checkpoint import Weights
from ziprerank_integrations.engine.preprocess import patches
from ziprerank_integrations.engine.prompts import embedding
from ziprerank_integrations.engine.selection import received_attention


class Embedder:
    """Computes how important each visual token of a page is, by an embedding model's attention.

    Source: miniReranker (arXiv 2606.10759); the prompt is that of Qwen3-VL-Embedding.

    Args:
        weights: The loaded embedding model.
        identity: What its results depend on besides the page; see `page_store.identity`.
    """

    def __init__(self, weights: Weights, identity: str) -> None:
        self._weights = weights
        self.identity = identity

    @torch.inference_mode()
    def importance(self, images: Tensor) -> Tensor:
        """Return the attention that each visual token receives from the prompt's last token.

        Args:
            images: (B, H, W, 3) uint8 pages of one size, on the model's device.

        Returns:
            (B, N) float32, in reading order.
        """
        model, config = self._weights, self._weights.config
        rows, columns = (side // config.patch for side in images.shape[1:3])
        merged, levels = model.vision(patches(images, config), rows, columns)
        head, tail = embedding()
        before = [*model.text.parts(head), model.vision_marks[0]]
        after = [model.vision_marks[1], *model.text.parts(tail), *model.text.appended]
        texts = [model.language.embed(torch.tensor(ids, device=model.device)) for ids in (before, after)]
        hidden = torch.cat(
            [texts[0].expand(len(images), -1, -1), merged, texts[1].expand(len(images), -1, -1)], 1
        )
        height, width = rows // config.merge, columns // config.merge
        start = len(before)
        index = torch.arange(height * width, device=model.device)
        page = torch.stack([torch.zeros_like(index), index // width, index % width]) + start
        text = torch.arange(start, device=model.device).expand(3, -1)
        end = torch.arange(len(after), device=model.device).expand(3, -1) + start + max(height, width)
        positions = torch.cat([text, page, end], 1)[:, None]
        return received_attention(
            model.language,
            hidden,
            positions,
            model.language.layers,
            visual=index + start,
            deepstack=levels,
        )
