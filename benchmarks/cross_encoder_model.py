"""sentence-transformers' CrossEncoder over a model that is in memory, without torchvision.

Optional: ``pip install sentence-transformers``. Its image extra adds torchvision, which transformers needs
for videos only.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, AutoTokenizer, Qwen3VLConfig
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from benchmarks.baseline import image_processor
from benchmarks.presets import BenchmarkModel
from ziprerank_integrations.engine.pointwise_config import INSTRUCTION
from ziprerank_integrations.engine.prompts import pointwise
from ziprerank_integrations.errors import MissingDependencyError

_QUERY = "@"


class ImageTextProcessor(Qwen3VLProcessor):
    """The processor of Qwen3-VL without videos: the tokenizer and the image processor that uses Pillow."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)  # type: ignore[no-untyped-call]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str, **options: Any
    ) -> ImageTextProcessor:
        """Load the tokenizer and its chat template from a folder; the options are not needed."""
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path)
        return cls(image_processor(), tokenizer, tokenizer.chat_template)


def chat_template() -> str:
    """Return a chat template that writes the pointwise prompt for a query and a document (image or text)."""
    prompt = pointwise(_QUERY, INSTRUCTION, page_first=False)
    before, between = "".join(prompt.head).split(_QUERY)
    query = (
        "{% for message in messages if message.role == 'query' %}{{ message.content[0].text }}{% endfor %}"
    )
    document = (
        "{% for message in messages if message.role == 'document' %}{% for part in message.content %}"
        "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
        "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    # As expressions, because Jinja drops the line feed after a block.
    first, second, last = (
        f"{{{{ {json.dumps(text)} }}}}" for text in (before, between, "".join(prompt.tail))
    )
    return first + query + second + document + last


def cross_encoder(model: BenchmarkModel) -> Any:
    """Return a CrossEncoder on a copy of the model's weights; its scores are logits.

    Raises:
        MissingDependencyError: If sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import CrossEncoder  # type: ignore[import-not-found]
        from sentence_transformers.base.modules import Transformer  # type: ignore[import-not-found]
        from sentence_transformers.cross_encoder.modules import (  # type: ignore[import-not-found]
            LogitScore,
        )
    except ImportError as error:
        raise MissingDependencyError(
            f"the CrossEncoder is not importable ({error}); pip install sentence-transformers"
        ) from error
    AutoProcessor.register(  # type: ignore[no-untyped-call]
        Qwen3VLConfig, ImageTextProcessor, exist_ok=True
    )
    with tempfile.TemporaryDirectory() as folder:
        model.stock.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        (Path(folder) / "chat_template.jinja").write_text(chat_template())
        transformer = Transformer(
            folder,
            transformer_task="any-to-any",
            model_kwargs={"dtype": model.checkpoint.dtype},
        )
    yes, no = (model.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    return CrossEncoder(
        modules=[transformer, LogitScore(yes, no)],
        device=str(model.checkpoint.device),
        activation_fn=torch.nn.Identity(),
    )
