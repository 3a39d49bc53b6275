"""The CrossEncoder's inputs are those of the stock reference; its scores are the engine's logits."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from benchmarks import presets, synthetic
from benchmarks.baseline import image_processor
from benchmarks.cross_encoder_model import ImageTextProcessor, chat_template, cross_encoder
from benchmarks.presets import PRESETS, BenchmarkModel, build
from benchmarks.stock_pointwise import StockPointwise
from benchmarks.synthetic import POINTWISE_QUERY
from ziprerank_integrations.errors import MissingDependencyError

PRESET = PRESETS["toy"]


@pytest.fixture(scope="module")
def model() -> BenchmarkModel:
    return build(PRESET, torch.device("cpu"), torch.float32, "auto")


def test_template_and_processor_write_the_inputs_of_the_stock_model(model: BenchmarkModel) -> None:
    image = synthetic.images(1, PRESET.max_side)[0]
    tokenizer = AutoTokenizer.from_pretrained(presets._TOKENIZER)
    processor = ImageTextProcessor(image_processor(), tokenizer, chat_template())
    messages: Any = [
        {"role": "query", "content": [{"type": "text", "text": POINTWISE_QUERY}]},
        {"role": "document", "content": [{"type": "image", "image": image}]},
    ]
    inputs: Any = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt"
    )
    expected = StockPointwise(model, PRESET.max_side).inputs(POINTWISE_QUERY, image)
    for name, value in expected.items():
        assert torch.equal(inputs[name], value), name


def test_a_missing_package_is_named(model: BenchmarkModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError, match="pip install sentence-transformers"):
        cross_encoder(model)
