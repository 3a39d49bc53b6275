"""The training forward computes what the engine computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tests.training.data import stage2_data
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.scorers.listwise import ListwiseScorer
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.training import records
from ziprerank_integrations.training.model import Qwen3VLForRanking
from ziprerank_integrations.training.samples import Samples


@pytest.mark.parametrize(
    ("interaction", "keep_ratio"), [("prompt", 1.0), ("query", 0.5), ("contextual", 0.3)]
)
def test_training_and_inference_compute_the_same_logits(
    tmp_path: Path, untied: Path, interaction: str, keep_ratio: float
) -> None:
    config = checkpoint_config.read(untied)
    model: Any = Qwen3VLForRanking.from_pretrained(untied, dtype=torch.float32).eval()
    encoder = TextEncoder(AutoTokenizer.from_pretrained(untied), model.config.image_token_id)
    model.prepare(config, ListwiseScorer.answer_tokens(encoder, config), interaction=interaction)
    examples = records.read(stage2_data(tmp_path), 2)
    samples = Samples(examples, encoder, config, keep_ratios=[keep_ratio], shuffle=False)
    reranker = ZipReranker(untied, keep_ratio=keep_ratio, interaction=interaction)
    for number, example in enumerate(examples):
        with torch.no_grad():
            logits = model(samples=[samples[number]])["logits"].tolist()
        ranking = reranker.rerank(example.query, example.pages)
        wanted = [item.logit for item in sorted(ranking, key=lambda item: item.index)]
        assert logits == pytest.approx(wanted, abs=1e-4)
