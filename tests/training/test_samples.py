"""Samples: the same for the same seed and epoch, with the letters as the engine reads them."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from tests.training.data import write
from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.training.records import read
from ziprerank_integrations.training.samples import EpochSampler, Samples


def test_samples_depend_on_seed_and_epoch_alone(tmp_path: Path, untied: Path) -> None:
    row = {"query": "q", "passages": [f"text {i}" for i in range(8)], "ranking": list(range(8))}
    tokenizer = AutoTokenizer.from_pretrained(untied)
    encoder = TextEncoder(tokenizer, tokenizer.convert_tokens_to_ids("<|image_pad|>"))
    examples = read(write(tmp_path / "a.jsonl", row, row), 1)
    samples = Samples(examples, encoder, checkpoint_config.read(untied), keep_ratios=[1.0, 0.5], seed=3)
    sampler = EpochSampler(2, 3)
    sampler.set_epoch(5)
    assert sorted(sampler) == [10, 11]
    first, again, later = samples[10], samples[10], samples[12]
    assert first["ranks"].tolist() == again["ranks"].tolist() != later["ranks"].tolist()
    # The response names the slots by wanted rank, between brackets as at inference.
    best = first["ranks"].argsort().tolist()
    text = tokenizer.decode(first["ids"][-first["response"] :])
    assert text.replace(" ", "") == ">".join(f"[{'ABCDEFGH'[slot]}]" for slot in best) + "<|im_end|>"
    assert first["targets"][best[0]] == first["targets"].max()
